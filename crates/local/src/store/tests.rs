//! What the store promises: whole after a crash, no number twice, nothing kept that nobody names.

use std::{io::BufRead as _, process::Stdio};

use layercake_core::{aws::LayerName, hash::Sha256};

use super::*;

mod damage;
mod durability;
mod logs;
mod migration;

fn scope() -> Scope {
    Scope {
        account: "123456789012".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    }
}

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
    (folder, path)
}

fn blob(store: &Arc<Store>, bytes: &[u8]) -> Blob {
    let mut writer = store.new_blob().expect("a writer");
    writer.write(bytes).expect("room");
    writer.finish().expect("a blob")
}

fn layer(name: &str, blob: &Blob) -> LayerVersionRecord {
    LayerVersionRecord {
        name: name.parse().expect("a layer name"),
        version: 0,
        sha256: blob.sha256(),
        code_size: blob.size(),
        unzipped_size: 0,
        description: String::new(),
        license: None,
        runtimes: None,
        architectures: None,
        created: 0,
    }
}

fn object(blob: &Blob) -> ObjectRecord {
    ObjectRecord {
        sha256: blob.sha256(),
        size: blob.size(),
        etag: String::new(),
        modified: 0,
        headers: ObjectHeaders::default(),
        checksums: BTreeMap::new(),
        composite: false,
        traits: ObjectTraits::default(),
        parts: 0,
    }
}

/// Puts `k` into the bucket `b`, and says whether it is there.
fn put(store: &Store, content: &Blob) -> bool {
    let record = object(content);
    let new = NewVersion { bucket: "b", key: "k", id: NULL_VERSION, record: &record, parts: &[] };
    store.put_object(&new, &mut |_, _| true).expect("an answer").is_some()
}

/// Deletes it again.
fn delete(store: &Store) {
    let deletion = Deletion { key: "k".to_owned(), version: None, marker: "m".to_owned(), now: 0 };
    let outcomes = store.delete_objects("b", &[deletion], &mut |_, _| true).expect("an answer");
    assert!(outcomes.is_some_and(|outcomes| !outcomes.contains(&Deleted::Refused)));
}

/// Every file below a folder, by its path, with mode and text.
fn shown(folder: &Utf8Path) -> String {
    use std::os::unix::fs::PermissionsExt as _;

    let mut lines = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for item in next.read_dir_utf8().expect("a folder") {
            let item = item.expect("an item");
            let kind = item.path().symlink_metadata().expect("its kind");
            let name = item.path().strip_prefix(folder).expect("below the folder").to_string();
            if kind.is_dir() {
                waiting.push(item.path().to_owned());
            } else if kind.is_symlink() {
                lines.push(format!("{name} -> {}", item.path().read_link_utf8().expect("a link")));
            } else {
                let mode = kind.permissions().mode() & 0o777;
                lines.push(format!(
                    "{name} {mode:o} {}",
                    String::from_utf8_lossy(&fs_err::read(item.path()).expect("its bytes"))
                ));
            }
        }
    }
    lines.sort();
    lines.join("\n")
}

fn zip(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut central = Vec::new();
    for (path, mode, text) in entries {
        let offset = u32::try_from(archive.len()).expect("a small archive");
        let length = u32::try_from(text.len()).expect("a small file").to_le_bytes();
        let name_length = u16::try_from(path.len()).expect("a short name").to_le_bytes();
        let crc = crc32fast::hash(text.as_bytes()).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc);
        common.extend(length);
        common.extend(length);
        common.extend(name_length);
        common.extend([0, 0]);
        archive.extend(*b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(path.as_bytes());
        archive.extend(text.as_bytes());
        central.extend(*b"PK\x01\x02");
        central.extend([20, 3]);
        central.extend(&common);
        central.extend([0; 6]);
        central.extend((mode << 16).to_le_bytes());
        central.extend(offset.to_le_bytes());
        central.extend(path.as_bytes());
    }
    let count = u16::try_from(entries.len()).expect("few entries").to_le_bytes();
    let start = u32::try_from(archive.len()).expect("a small archive").to_le_bytes();
    let size = u32::try_from(central.len()).expect("a small archive").to_le_bytes();
    archive.extend(central);
    archive.extend(*b"PK\x05\x06\0\0\0\0");
    archive.extend(count);
    archive.extend(count);
    archive.extend(size);
    archive.extend(start);
    archive.extend([0, 0]);
    archive
}

#[test]
fn version_numbers_are_never_reused_and_blobs_go_with_their_last_version() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, b"content");
    let sha256 = content.sha256();
    let first = store.publish_layer_version(&scope(), layer("l", &content)).expect("version 1");
    let second = store.publish_layer_version(&scope(), layer("l", &content)).expect("version 2");
    drop(content);
    assert_eq!((first.version, second.version), (1, 2));
    let name: LayerName = "l".parse().expect("a layer name");
    store.delete_layer_version(&scope(), &name, 1).expect("deleted");
    assert!(store.open_blob(sha256).is_ok(), "version 2 names it");
    store.delete_layer_version(&scope(), &name, 2).expect("deleted");
    assert!(store.open_blob(sha256).is_err(), "nobody names it");
    let content = blob(&store, b"content");
    assert_eq!(store.publish_layer_version(&scope(), layer("l", &content)).expect("a version").version, 3);
}

#[test]
fn an_upload_that_nobody_names_leaves_nothing() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, b"content");
    let sha256 = content.sha256();
    assert!(store.open_blob(sha256).is_ok());
    drop(content);
    assert!(store.open_blob(sha256).is_err());
    let mut cut_off = store.new_blob().expect("a writer");
    cut_off.write(b"half").expect("room");
    drop(cut_off);
    assert_eq!(shown(&path.join("beside")), "");
}

#[test]
fn later_layers_win_in_one_tree() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let low = blob(
        &store,
        &zip(&[
            ("python/a.py", 0o100_600, "low"),
            ("python/b.py", 0o100_644, "low"),
            ("bin/tool", 0o100_700, "low"),
            ("was_folder/x", 0o100_644, "low"),
            ("was_file", 0o100_644, "low"),
        ]),
    );
    let high = blob(
        &store,
        &zip(&[
            ("python/b.py", 0, "high"),
            ("was_folder", 0o100_644, "high"),
            ("was_file/x", 0o100_644, "high"),
            ("lib/libx.so", 0o120_777, "../bin/tool"),
        ]),
    );
    let tree = store.merged(&[low.sha256(), high.sha256()]).expect("a tree").expect("two layers");
    insta::assert_snapshot!(shown(tree.path()), @"
    bin/tool 755 low
    lib/libx.so -> ../bin/tool
    python/a.py 644 low
    python/b.py 644 high
    was_file/x 644 high
    was_folder 644 high
    ");
    let reversed = store.merged(&[high.sha256(), low.sha256()]).expect("a tree").expect("two layers");
    assert_ne!(tree.path(), reversed.path());
    assert!(shown(reversed.path()).contains("python/b.py 644 low"));
}

#[test]
fn links_out_of_the_tree_are_refused() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    for target in ["/etc/passwd", "../../x", "a/../../../x"] {
        let upload = blob(&store, &zip(&[("d/link", 0o120_777, target)]));
        let error = store.tree(upload.sha256()).map(|_| ()).expect_err("a link out of the tree");
        assert!(matches!(error, StoreError::Archive { .. }), "{target}: {error}");
    }
    assert_eq!(shown(&path.join("trees")), "");
    assert_eq!(shown(&path.join("beside")), "");
}

#[test]
fn uploads_that_cannot_be_unpacked_are_known_before() {
    let check = |archive: Vec<u8>| read_upload(archive.as_slice()).expect_err("refused").to_string();
    insta::assert_snapshot!(
        check(zip(&[("d/link", 0o120_777, "../../x")])),
        @"entry `d/link` is a symbolic link to `../../x`, outside of the archive"
    );
    let names: Vec<_> = (0..300).map(|number| format!("{number}/{}x", "d/".repeat(2000))).collect();
    let deep: Vec<_> = names.iter().map(|name| (name.as_str(), 0, "")).collect();
    let refused = check(zip(&deep));
    assert!(refused.starts_with("the number of folders claims"), "{refused}");
}

#[test]
fn garbage_that_cannot_be_removed_is_in_nobodys_way() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, b"content");
    let place = store.blob_path(content.sha256());
    store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
    drop(content);
    // A folder cannot be removed as a file is.
    fs_err::remove_file(&place).expect("removed");
    fs_err::create_dir(&place).expect("a folder");
    let name: LayerName = "l".parse().expect("a layer name");
    store.delete_layer_version(&scope(), &name, 1).expect("deleted all the same");
    assert!(store.layer_version(&scope(), &name, 1).expect("readable").is_none());
    drop(store);

    fs_err::write(path.join("blobs/note"), "not a shelf").expect("a file");
    let closed = path.join("beside/left/closed");
    fs_err::create_dir_all(&closed).expect("a folder");
    fs_err::write(closed.join("file"), "").expect("a file");
    fs_err::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("closed");
    Store::open(&path).expect("the store opens all the same");
    assert!(!path.join("beside/left").exists());
}

#[test]
fn a_closed_store_removes_nothing() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, b"content");
    let sha256 = content.sha256();
    store.close();
    drop(content);
    assert!(store.open_blob(sha256).is_ok(), "another process may need it");
}

#[test]
fn what_was_found_is_what_is_held() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let (old, new) = (blob(&store, b"old"), blob(&store, b"new"));
    let asked = std::cell::Cell::new(0);
    // The record changes between the first look and the pin.
    let answers = [old.sha256(), new.sha256(), new.sha256()];
    let find = |_: &Store| {
        asked.set(asked.get() + 1);
        Ok(answers.get(asked.get() - 1).copied())
    };
    let (found, held) = store.hold(find, |sha256| (*sha256, 3)).expect("readable").expect("found");
    assert_eq!((found, held.sha256(), asked.get()), (new.sha256(), new.sha256(), 3));
    // It goes between the first look and the pin.
    let answers = [old.sha256()];
    asked.set(0);
    let find = |_: &Store| {
        asked.set(asked.get() + 1);
        Ok(answers.get(asked.get() - 1).copied())
    };
    assert!(store.hold(find, |sha256| (*sha256, 3)).expect("readable").is_none());

    store.publish_layer_version(&scope(), layer("l", &old)).expect("a version");
    let sha256 = old.sha256();
    drop((old, new, held));
    let name: LayerName = "l".parse().expect("a layer name");
    let held = store.hold_layer_version(&scope(), &name, 1).expect("readable").expect("found");
    store.delete_layer_version(&scope(), &name, 1).expect("deleted");
    assert!(store.open_blob(sha256).is_ok(), "it is held");
    drop(held);
    assert!(store.open_blob(sha256).is_err(), "nobody names it");
}

#[test]
fn nothing_is_made_below_what_is_not_there() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, b"content");
    let object = object(&content);
    let part = PartRecord {
        number: 1,
        sha256: content.sha256(),
        size: content.size(),
        etag: String::new(),
        modified: 0,
        checksums: BTreeMap::new(),
    };
    let upload = UploadRecord {
        initiated: 0,
        headers: ObjectHeaders::default(),
        checksum_algorithm: None,
        checksum_type: None,
        traits: ObjectTraits::default(),
    };
    let new = NewVersion { bucket: "b", key: "k", id: "v", record: &object, parts: &[] };
    let account = scope().account;
    assert!(store.put_object(&new, &mut |_, _| true).expect("an answer").is_none());
    assert!(!store.create_upload("b", "k", "u", &upload).expect("an answer"));
    assert!(!store.put_part("u", &part).expect("an answer"));
    assert!(store.complete_upload("u", &new, &mut |_, _| true).expect("an answer").is_none());
    assert_eq!(store.attach_policy(&account, "r", "arn", 10).expect("an answer"), Attachment::NoSuchRole);
    assert!(store.object("b", "k", None).expect("readable").is_none());
    assert!(store.attached_policies(&account, "r", "", 10).expect("readable").is_empty());
    drop(content);
    assert!(store.open_blob(object.sha256).is_err(), "nothing names it");
}

#[test]
fn a_new_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &Utf8Path| path.metadata().expect("its mode").permissions().mode() & 0o777;
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    assert_eq!(mode(&path), 0o700);
    for name in ["cloud.sqlite", "cloud.sqlite-wal", "cloud.sqlite-shm"] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    drop(store);
    // A folder that was there already is as its owner wants it.
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).expect("a mode");
    drop(Store::open(&path).expect("the store"));
    assert_eq!(mode(&path), 0o750);
}

#[test]
fn two_servers_on_one_folder() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    store
        .announce(&ServerRecord {
            pid: 42,
            address: "127.0.0.1:4566".to_owned(),
            presence: "serving".to_owned(),
            layercake: "0.1.0".to_owned(),
        })
        .expect("a note");
    let error = Store::open(&path).map(|_| ()).expect_err("the folder is in use");
    let text = error.to_string().replace(path.as_str(), "DATA");
    assert!(text.ends_with("is in use by the local cloud at 127.0.0.1:4566 (process 42, serving)"), "{text}");
    drop(store);
    assert!(announced(&path).is_none());
    Store::open(&path).expect("the folder is free again");
}

#[test]
fn a_newer_database_is_left_alone() {
    let (_folder, path) = folder();
    drop(Store::open(&path).expect("a new store"));
    let database = Connection::open(path.join("cloud.sqlite")).expect("the database");
    database.pragma_update(None, "user_version", 99).expect("a version");
    drop(database);
    let error = Store::open(&path).map(|_| ()).expect_err("a newer database");
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
}

#[test]
fn a_tree_that_no_function_runs_from_goes_with_its_last_user() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, &zip(&[("a", 0, "1")]));
    let sha256 = content.sha256();
    store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
    drop(content);
    let trees = [store.tree(sha256).expect("a tree"), store.tree(sha256).expect("the same tree")];
    let [first, last] = trees;
    drop(first);
    assert_ne!(shown(&path.join("trees")), "");
    drop(last);
    assert_eq!(shown(&path.join("trees")), "");
    assert!(store.open_blob(sha256).is_ok(), "the layer names it");
}

#[test]
fn trees_do_not_survive_a_boot() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a new store");
    let content = blob(&store, &zip(&[("a", 0, "1")]));
    store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
    let tree = store.tree(content.sha256()).expect("a tree");
    // Closed first, so that the tree is left behind as a killed process leaves it.
    store.close();
    drop((tree, content, store));
    assert_ne!(shown(&path.join("trees")), "");
    fs_err::write(path.join("trees-of-boot"), "another boot").expect("a note");
    let store = Store::open(&path).expect("the store");
    assert_eq!(shown(&path.join("trees")), "");
    drop(store);
}

/// The child of the crash test: publishes and deletes as fast as it can until it is killed, and
/// prints each version that it was told is there.
#[test]
#[ignore = "runs only as the child process of `a_kill_at_any_moment_leaves_a_whole_store`"]
fn crash_child() {
    let Ok(path) = std::env::var("LAYERCAKE_CRASH_TEST") else { return };
    let store = Store::open(Utf8Path::new(&path)).expect("the store");
    for number in 0_u32.. {
        let content = blob(&store, &zip(&[("a", 0, &format!("{number} {}", "x".repeat(50_000)))]));
        let record = store.publish_layer_version(&scope(), layer("l", &content)).expect("a version");
        drop(content);
        drop(store.tree(record.sha256).expect("a tree"));
        if number % 3 == 0 {
            println!("deleting {}", record.version);
            store.delete_layer_version(&scope(), &record.name, record.version).expect("deleted");
        } else {
            println!("published {} {}", record.version, record.sha256);
        }
    }
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_store() {
    let (_folder, path) = folder();
    let mut published = BTreeMap::new();
    let mut newest = 0;
    for round in 0..8_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "store::tests::crash_child", "--ignored", "--nocapture"])
            .env("LAYERCAKE_CRASH_TEST", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child");
        let mut lines = io::BufReader::new(child.stdout.take().expect("its output")).lines();
        // Another number of steps each round, and then some bytes of the next step.
        let mut steps = 0;
        let mut read = |line: io::Result<String>| {
            let line = line.expect("a line");
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["published", version, sha256] => {
                    newest = version.parse().expect("a number");
                    published.insert(newest, sha256.parse::<Sha256>().expect("a hash"));
                }
                ["deleting", version] => newest = version.parse().expect("a number"),
                _ => return false,
            }
            true
        };
        while steps < 2 + round * 2 {
            if read(lines.next().expect("the child goes on")) {
                steps += 1;
            }
        }
        child.kill().expect("killed");
        for line in lines {
            read(line);
        }
        child.wait().expect("ended");

        let store = Store::open(&path).expect("a store that was killed opens");
        let name: LayerName = "l".parse().expect("a layer name");
        for (version, sha256) in &published {
            let found =
                store.layer_version(&scope(), &name, *version).expect("readable").expect("still there");
            assert_eq!(found.sha256, *sha256);
            assert_eq!(Sha256::of(&store.blob_bytes(*sha256).expect("its bytes")), *sha256);
            drop(store.tree(*sha256).expect("a whole tree"));
        }
        let content = blob(&store, b"after the crash");
        let next = store.publish_layer_version(&scope(), layer("l", &content)).expect("a version").version;
        assert!(next > newest, "{next} after {newest}");
        store.delete_layer_version(&scope(), &name, next).expect("deleted");
        newest = next;
        drop(content);
        // Nothing is kept that no record names. The one that was published unheard may be there.
        let everything = LayerFilter::default();
        let versions = store.layer_versions(&scope(), &name, &everything, None, 10_000).expect("a list");
        let named: BTreeSet<_> = versions.iter().map(|version| version.sha256.to_hex()).collect();
        let kept: BTreeSet<_> = path
            .join("blobs")
            .read_dir_utf8()
            .expect("a folder")
            .flat_map(|shelf| shelf.expect("a shelf").path().read_dir_utf8().expect("a folder"))
            .map(|file| file.expect("a file").file_name().to_owned())
            .collect();
        assert_eq!(kept, named);
    }
}

#[test]
fn the_log_of_a_deleted_function_brings_no_group_back() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    let late = |function: Option<&str>| {
        let events = NewLogEvents {
            scope: scope(),
            group: "/aws/lambda/gone".to_owned(),
            stream: "s".to_owned(),
            function: function.map(str::to_owned),
            ingested: 1,
            events: vec![(1, "late".to_owned())],
        };
        store.add_log_events(&[events]).expect("written");
        store.log_group_tags(&scope(), "/aws/lambda/gone").expect("readable").is_some()
    };
    assert!(!late(Some("gone")), "neither function nor group are there");
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    assert!(
        store
            .create_log_group(&scope(), "/aws/lambda/gone", &tags, &LogGroupSettings::default(), 1)
            .expect("written")
    );
    assert!(late(Some("gone")), "the group is there, so the log of its last run is kept");
    assert_eq!(store.log_group_tags(&scope(), "/aws/lambda/gone").expect("readable"), Some(tags));
    assert!(store.delete_log_group(&scope(), "/aws/lambda/gone").expect("written"));
    assert!(late(None), "what a client writes is written");
}
