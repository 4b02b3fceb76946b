//! A folder that the first version of layercake wrote is read by this one.

use layercake_core::aws::FunctionName;

use crate::store::*;

use super::{folder, scope};

/// Everything that version 1 could remember, one of each, as it was written then.
const ROWS: &str = r#"
    INSERT INTO layer_counters VALUES ('123456789012', 'us-east-1', 'l', 7);
    INSERT INTO layer_versions VALUES ('123456789012', 'us-east-1', 'l', 5, 'CODE', '["python3.12"]', NULL,
        '{"name":"l","version":5,"sha256":"CODE","code_size":7,"unzipped_size":9,"description":"d","license":null,"runtimes":["python3.12"],"architectures":null,"created":1}');
    INSERT INTO functions VALUES ('123456789012', 'us-east-1', 'f',
        '{"name":"f","settings":{"id":"i","code":"CODE","code_size":7,"unzipped_size":9,"runtime":"python3.12","handler":"app.handler","architecture":"x86_64","description":"","role":"arn:aws:iam::123456789012:role/r","memory":128,"timeout":3,"ephemeral_storage":512,"variables":{"A":"b"},"layers":[{"arn":"arn:aws:lambda:us-east-1:123456789012:layer:l:5","sha256":"CODE","code_size":7,"unzipped_size":9}],"logging":{"format":"Text","group":"/aws/lambda/f","application_level":null,"system_level":null},"tracing":"PassThrough"},"revision":"r","last_modified":2,"state":"Active","update":"Successful","tags":{"t":"u"}}');
    INSERT INTO function_uses VALUES ('123456789012', 'us-east-1', 'f', 'code', 'CODE');
    INSERT INTO function_uses VALUES ('123456789012', 'us-east-1', 'f', 'layer', 'CODE');
    INSERT INTO roles VALUES ('123456789012', 'r',
        '{"name":"r","id":"AROA","path":"/","assume_role_policy":"{}","description":null,"max_session":3600,"created":3,"tags":{}}');
    INSERT INTO role_policies VALUES ('123456789012', 'r', 'arn:aws:iam::aws:policy/p');
    INSERT INTO log_groups VALUES ('123456789012', 'us-east-1', '/aws/lambda/f', 4, NULL);
    INSERT INTO log_streams VALUES ('123456789012', 'us-east-1', '/aws/lambda/f', 's', 5, 6, 6, 6);
    INSERT INTO log_events (account, region, log_group, stream, time, ingested, message)
        VALUES ('123456789012', 'us-east-1', '/aws/lambda/f', 's', 6, 6, 'hello');
    INSERT INTO buckets VALUES ('b', '123456789012', 'us-east-1', 7);
    INSERT INTO objects VALUES ('b', 'k', 'CODE',
        '{"sha256":"CODE","size":7,"etag":"e","modified":8,"headers":{"standard":{"content-type":"text/plain"},"metadata":{}}}');
    INSERT INTO uploads VALUES ('b', 'big', 'u', '{"initiated":9,"headers":{"standard":{},"metadata":{}}}');
    INSERT INTO parts VALUES ('u', 1, 'CODE', '{"number":1,"sha256":"CODE","size":7,"etag":"p","modified":10}');
"#;

/// A folder with a database of version 1, and the hash of its only file.
fn old_folder() -> (tempfile::TempDir, Utf8PathBuf, Sha256) {
    let (keep, path) = folder();
    let sha256 = Sha256::of(b"content");
    let shelf = path.join("blobs").join(&sha256.to_hex()[..2]);
    fs_err::create_dir_all(&shelf).expect("a shelf");
    fs_err::write(shelf.join(sha256.to_hex()), b"content").expect("a file");
    let database = Connection::open(path.join("cloud.sqlite")).expect("a database");
    database.execute_batch(schema::FIRST_STEP).expect("the first schema");
    database.execute_batch(&ROWS.replace("CODE", &sha256.to_hex())).expect("rows");
    database.pragma_update(None, "user_version", 1).expect("version 1");
    (keep, path, sha256)
}

#[test]
fn the_first_version_s_folder_is_read_whole() {
    let (_folder, path, sha256) = old_folder();
    let store = Store::open(&path).expect("the store");

    let layer_name = "l".parse().expect("a layer name");
    let version = store.layer_version(&scope(), &layer_name, 5).expect("readable").expect("there");
    assert_eq!((version.sha256, version.runtimes), (sha256, Some(vec!["python3.12".to_owned()])));
    assert_eq!(store.layers(&scope(), &LayerFilter::default(), "", 10).expect("readable").len(), 1);

    let name: FunctionName = "f".parse().expect("a function name");
    let function = store.function(&scope(), &name).expect("readable").expect("there");
    assert_eq!((function.settings.code, function.settings.layers.len()), (sha256, 1));
    assert_eq!(function.tags.get("t").map(String::as_str), Some("u"));

    let account = scope().account;
    assert!(store.role(&account, "r").expect("readable").is_some());
    assert_eq!(store.attached_policies(&account, "r").expect("readable"), ["arn:aws:iam::aws:policy/p"]);
    assert!(store.log_group_tags(&scope(), "/aws/lambda/f").expect("readable").is_some());

    let object = store.object("b", "k").expect("readable").expect("there");
    assert_eq!((object.sha256, object.etag.as_str()), (sha256, "e"));
    assert!(store.upload("b", "big", "u").expect("readable").is_some());
    assert_eq!(store.parts("u").expect("readable").len(), 1);
    assert!(store.sound_blob(sha256).is_ok(), "records name it, so it was not collected");

    // Numbers go on behind the last one that was ever given.
    let content = store.hold_blob(sha256, 7);
    let next = store.publish_layer_version(&scope(), super::layer("l", &content)).expect("a version");
    assert_eq!(next.version, 8);
}

#[test]
fn the_new_database_cannot_be_told_from_one_made_now() {
    let tables = |path: &Utf8Path| {
        let database = Connection::open(path.join("cloud.sqlite")).expect("the database");
        let mut statement = database.prepare("SELECT name FROM sqlite_schema ORDER BY name").expect("SQL");
        let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        names.collect::<Result<Vec<_>, _>>().expect("names")
    };
    let (_old, old, _) = old_folder();
    drop(Store::open(&old).expect("the store"));
    let (_new, new) = folder();
    drop(Store::open(&new).expect("a new store"));
    assert_eq!(tables(&old), tables(&new));
}

#[test]
fn a_migration_that_was_cut_off_is_made_again() {
    let (_folder, path, _) = old_folder();
    let database = Connection::open(path.join("cloud.sqlite")).expect("the database");
    // What a killed process leaves: a transaction without its end.
    database
        .execute_batch("BEGIN; ALTER TABLE log_groups ADD COLUMN tags TEXT NOT NULL DEFAULT '{}'")
        .expect("SQL");
    drop(database);
    let store = Store::open(&path).expect("the store");
    assert!(store.log_group_tags(&scope(), "/aws/lambda/f").expect("readable").is_some());
}
