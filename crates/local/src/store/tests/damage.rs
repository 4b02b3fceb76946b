//! Files that do not hold what was written: found, named, never used.

use crate::store::*;

use super::{blob, folder, layer, put, scope, zip};

/// Changes one bit of a file, as a disk does, and then its times, as a disk does not: the file is
/// looked at once for each process and once more when it was touched.
fn flip_a_bit(path: &Utf8Path) {
    let mut bytes = fs_err::read(path).expect("its bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs_err::write(path, bytes).expect("written");
}

/// A store whose only layer and only object have one file, and that file is damaged.
fn damaged() -> (tempfile::TempDir, Arc<Store>, Sha256) {
    let (keep, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, &zip(&[("a", 0, "one file's text")]));
    store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
    let bucket = BucketRecord {
        name: "b".to_owned(),
        account: scope().account.to_string(),
        region: scope().region.to_string(),
        created: 0,
        versioning: None,
    };
    assert!(store.create_bucket(&bucket).expect("a bucket").is_none());
    assert!(put(&store, &content));
    let sha256 = content.sha256();
    drop(content);
    assert!(store.open_blob(sha256).expect("the file").is_sound(), "it was hashed when it was written");
    flip_a_bit(&store.blob_path(sha256));
    (keep, store, sha256)
}

fn check(outcome: Result<(), StoreError>, sha256: Sha256) -> String {
    outcome.expect_err("it is damaged").to_string().replace(&sha256.to_hex(), "HASH")
}

#[test]
fn a_damaged_file_is_found_wherever_it_is_read() {
    let (_folder, store, sha256) = damaged();
    insta::assert_snapshot!(
        check(store.sound_blob(sha256).map(|_| ()), sha256),
        @"the file `HASH` is damaged: its bytes have another hash. It belongs to version 1 of layer `l` in us-east-1, object `k` of bucket `b`; upload it again."
    );
    let damaged = |outcome| check(outcome, sha256).starts_with("the file `HASH` is damaged");
    assert!(damaged(store.read_blob(sha256, &mut |_| Ok(()))));
    assert!(damaged(store.tree(sha256).map(|_| ())));
    assert!(damaged(store.merged(&[sha256, sha256]).map(|_| ())));
    assert!(!store.root().join("trees").join(sha256.to_hex()).exists());
    // The next process finds it as well.
    let path = store.root().to_owned();
    drop(store);
    let store = Store::open(&path).expect("the store");
    assert!(damaged(store.sound_blob(sha256).map(|_| ())));
}

#[test]
fn the_last_bytes_of_a_damaged_file_are_not_let_through() {
    let (_folder, store, sha256) = damaged();
    let file = store.open_blob(sha256).expect("the file");
    assert!(!file.is_sound());
    let mut bytes = vec![0; file.size() as usize];
    layercake_core::zip::ReadAt::read_exact_at(&file, 0, &mut bytes).expect("its bytes");
    let (first, last) = bytes.split_at(bytes.len() / 3);
    let mut watch = store.watch(&file, file.size());
    watch.let_through(&store, &file, first).expect("nothing is known yet");
    assert!(matches!(watch.let_through(&store, &file, last), Err(StoreError::DamagedFile { .. })));
}

#[test]
fn a_file_that_changes_while_it_is_served_is_not_let_through() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, b"content");
    let file = store.open_blob(content.sha256()).expect("the file");
    let mut watch = store.watch(&file, 7);
    watch.let_through(&store, &file, b"con").expect("it is good");
    flip_a_bit(&store.blob_path(content.sha256()));
    assert!(matches!(watch.let_through(&store, &file, b"tent"), Err(StoreError::DamagedFile { .. })));
}

#[test]
fn a_damaged_file_is_mended_by_uploading_it_again() {
    let (_folder, store, sha256) = damaged();
    let again = blob(&store, &zip(&[("a", 0, "one file's text")]));
    assert_eq!(again.sha256(), sha256);
    drop(store.sound_blob(sha256).expect("it is good again"));
    drop(store.tree(sha256).expect("it can be unpacked"));
}

#[test]
fn a_file_that_a_power_loss_cut_off_is_damaged() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, &zip(&[("a", 0, "text")]));
    let sha256 = content.sha256();
    store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
    drop((content, store));
    let store = Store::open(&path).expect("the store");
    let place = store.blob_path(sha256);
    for length in [0, 10] {
        fs_err::OpenOptions::new().write(true).open(&place).expect("the file").set_len(length).expect("cut");
        assert!(matches!(store.sound_blob(sha256), Err(StoreError::DamagedFile { .. })), "{length}");
        assert!(matches!(store.read_blob(sha256, &mut |_| Ok(())), Err(StoreError::DamagedFile { .. })));
    }
}
