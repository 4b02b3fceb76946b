//! What is on the disk, in which order, and what is left when a step of it fails.

use crate::store::disk::{Step, failing_at, watched};
use crate::store::*;

use super::{blob, delete, folder, layer, put, scope, shown};

#[test]
fn bytes_and_names_are_on_the_disk_before_a_record_names_them() {
    use Step::{Commit, FlushFile, FlushFolder, PutInPlace};

    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let publish = || {
        let content = blob(&store, b"content");
        store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
        content
    };
    let (content, steps) = watched(publish);
    // The file, the shelf it is put on, its name on the shelf, and only then the record.
    assert_eq!(steps, [FlushFile, FlushFolder, PutInPlace, FlushFolder, Commit]);
    drop(content);
    let (_, steps) = watched(publish);
    assert_eq!(steps, [Commit], "the same bytes are safe already");
    let path = store.root().to_owned();
    drop(store);
    // Another process cannot know whether they are.
    let store = Store::open(&path).expect("the store");
    let (content, steps) = watched(|| blob(&store, b"content"));
    assert_eq!(steps, [FlushFile, FlushFolder, PutInPlace, FlushFolder]);
    drop(content);
    assert!(store.open_blob(Sha256::of(b"content")).is_ok(), "versions 1 and 2 name it");
}

#[test]
fn a_step_that_fails_leaves_nothing_half() {
    for steps in 0..10 {
        let (_folder, path) = folder();
        let store = Store::open(&path).expect("a new store");
        let publish = |text: &[u8]| {
            let mut writer = store.new_blob()?;
            writer.write(text)?;
            let content = writer.finish()?;
            store.publish_layer_version(&scope(), layer("l", &content))
        };
        let (outcome, failed) = failing_at(steps, || publish(b"content"));
        let name = "l".parse().expect("a layer name");
        let there = store.layer_version(&scope(), &name, 1).expect("readable").is_some();
        if !failed {
            assert!(outcome.is_ok() && there && steps > 0);
            return;
        }
        let error = outcome.expect_err("a step failed");
        assert!(matches!(error, StoreError::Files { .. }), "{error}");
        assert!(!there, "step {steps}: a record was made");
        assert_eq!(shown(&path.join("beside")), "", "step {steps}");
        assert_eq!(shown(&path.join("blobs")), "", "step {steps}");
        // The store lives and works.
        assert_eq!(publish(b"content").expect("a version").version, 1);
        assert!(store.sound_blob(Sha256::of(b"content")).is_ok());
    }
    panic!("there are fewer steps than that");
}

#[test]
fn what_a_crash_left_behind_is_collected() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let kept = blob(&store, b"kept");
    store.publish_layer_version(&scope(), layer("l", &kept)).expect("a version");
    // Between the file's place and its record; closed first, as a process that is killed does
    // nothing any more.
    let orphan = blob(&store, b"orphan");
    let half = store.new_blob().expect("a writer");
    store.close();
    let (kept_hash, orphan_hash) = (kept.sha256(), orphan.sha256());
    std::mem::forget(half);
    drop((kept, orphan, store));
    fs_err::write(path.join("beside/upload"), "half an upl").expect("a file");
    fs_err::create_dir_all(path.join("beside/half-a-tree/python")).expect("a folder");

    let store = Store::open(&path).expect("the store");
    assert_eq!(fs_err::read_dir(path.join("beside")).expect("a folder").count(), 0);
    assert!(store.sound_blob(kept_hash).is_ok());
    assert!(store.open_blob(orphan_hash).is_err(), "no record names it");
}

#[test]
fn an_object_keeps_its_file_until_it_goes() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let bucket = BucketRecord {
        name: "b".to_owned(),
        account: scope().account.to_string(),
        region: scope().region.to_string(),
        created: 0,
        versioning: None,
    };
    store.create_bucket(&bucket).expect("a bucket");
    let content = blob(&store, b"content");
    let sha256 = content.sha256();
    assert!(put(&store, &content));
    drop((content, store));
    let store = Store::open(&path).expect("the store");
    assert!(store.sound_blob(sha256).is_ok());
    delete(&store);
    assert!(store.open_blob(sha256).is_err());
}
