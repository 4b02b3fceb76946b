//! What the services decide without a client in between.

use std::collections::BTreeMap;

use bytes::Bytes;
use camino::Utf8PathBuf;
use layercake_core::aws::FunctionName;

use super::{invoke::check_event, *};
use crate::{
    interpreters::Interpreters,
    sandbox::{Isolation, SandboxConfig},
    store::{FunctionRecord, NewVersion, ObjectHeaders, ObjectTraits, Scope, State, Update},
};

fn cloud(data: &camino::Utf8Path) -> Arc<Cloud> {
    let store = Store::open(data).expect("a store");
    let sandbox = Sandbox::new(SandboxConfig {
        work: store.work(),
        interpreters: Interpreters::default(),
        isolation: Isolation::Best,
    });
    let account = "123456789012".parse().expect("an account");
    Cloud::new(store, sandbox, account, RetiredRuntimes::Refuse, NonZeroU32::MIN).expect("a cloud")
}

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
    (folder, path)
}

fn zip(text: &str) -> Vec<u8> {
    let mut writer = layercake_core::zip::ZipWriter::new(Vec::new());
    writer
        .file_from_bytes("app.py", layercake_core::zip::FileMode::Regular, text.as_bytes())
        .expect("memory");
    writer.finish().expect("memory").0
}

fn source(cloud: &Cloud, text: &str) -> Option<Source> {
    let mut writer = cloud.store.new_blob().expect("a writer");
    writer.write(&zip(text)).expect("room");
    Some(Source::Zip(writer))
}

fn function(name: &str) -> FunctionRef {
    FunctionRef { name: name.parse().expect("a function name"), qualifier: None }
}

async fn create(cloud: &Arc<Cloud>, name: &str, layers: Vec<String>) -> Result<FunctionRecord, LambdaError> {
    let changes = FunctionChanges {
        runtime: Some("python3.12".to_owned()),
        handler: Some("app.handler".to_owned()),
        layers: Some(layers),
        ..FunctionChanges::default()
    };
    let new = NewFunction {
        name: name.parse().expect("a function name"),
        source: source(cloud, name),
        architecture: None,
        changes,
        tags: BTreeMap::new(),
        publish: false,
    };
    cloud.create_function(here(cloud), new).await
}

fn here(cloud: &Cloud) -> Scope {
    cloud.scope("us-east-1".parse().expect("a region"))
}

async fn settled(cloud: &Cloud, name: &str) -> FunctionRecord {
    loop {
        let record = cloud.function(&here(cloud), &function(name)).await.expect("the function");
        if record.state != State::Pending && !matches!(record.update, Update::InProgress { .. }) {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

/// Names of what lies in the folders of the store.
fn kept(data: &camino::Utf8Path) -> usize {
    ["trees", "merged", "beside"]
        .iter()
        .map(|folder| data.join(folder).read_dir_utf8().expect("a folder").count())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_takes_everything_with_it() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    let mut layers = Vec::new();
    for name in ["low", "high"] {
        let layer = NewLayer {
            name: name.parse().expect("a layer name"),
            source: source(&cloud, name),
            description: String::new(),
            license: None,
            runtimes: None,
            architectures: None,
        };
        let record = cloud.publish_layer_version(here(&cloud), layer).await.expect("a version");
        layers.push(format!("arn:aws:lambda:us-east-1:123456789012:layer:{name}:{}", record.version));
    }
    create(&cloud, "f", layers).await.expect("a function");
    assert_eq!(settled(&cloud, "f").await.state, State::Active);
    for name in ["low", "high"] {
        cloud
            .delete_layer_version(here(&cloud), name.parse().expect("a layer name"), 1)
            .await
            .expect("deleted");
    }
    assert_eq!(kept(&data), 4, "code, two layers, and the two in one");
    cloud.delete_function(here(&cloud), function("f")).await.expect("deleted");
    // The last pin of a tree may be let go in the background.
    while kept(&data) > 0 {
        tokio::task::yield_now().await;
    }
    let blobs: usize = data
        .join("blobs")
        .read_dir_utf8()
        .expect("a folder")
        .map(|shelf| shelf.expect("a shelf").path().read_dir_utf8().expect("a folder").count())
        .sum();
    assert_eq!(blobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_cut_off_is_taken_up_again() {
    let (_folder, data) = folder();
    let first = cloud(&data);
    create(&first, "f", Vec::new()).await.expect("a function");
    let mut record = settled(&first, "f").await;
    // As a process leaves it that is killed between the answer and the unpacking.
    record.state = State::Pending;
    record.update = Update::None;
    let name: FunctionName = record.name.clone();
    first
        .store
        .change_function(&here(&first), &name, |stored| {
            *stored = record;
            Ok::<_, LambdaError>(())
        })
        .expect("changed");
    first.store.close();
    fs_err::remove_dir_all(data.join("trees")).expect("removed");
    drop(first);
    let second = cloud(&data);
    let record = settled(&second, "f").await;
    assert_eq!((record.state, record.update), (State::Active, Update::Successful));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_was_damaged_on_disk_fails_with_a_reason() {
    let (_folder, data) = folder();
    let first = cloud(&data);
    create(&first, "f", Vec::new()).await.expect("a function");
    let record = settled(&first, "f").await;
    let pending = |stored: &mut FunctionRecord| {
        (stored.state, stored.update) = (State::Pending, Update::None);
        Ok::<_, LambdaError>(())
    };
    first.store.change_function(&here(&first), &record.name, pending).expect("changed");
    first.store.close();
    drop(first);
    fs_err::remove_dir_all(data.join("trees")).expect("removed");
    let hex = record.settings.code.to_hex();
    fs_err::write(data.join("blobs").join(&hex[..2]).join(&hex), "no zip").expect("written");
    let second = cloud(&data);
    let State::Failed { reason } = settled(&second, "f").await.state else { panic!("it is damaged") };
    assert!(reason.contains("is damaged") && reason.contains(&hex), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_takes_nothing_more() {
    let (_folder, data) = folder();
    let first = cloud(&data);
    first.store.close();
    let second = cloud(&data);
    let refused = create(&first, "f", Vec::new()).await.expect_err("closed");
    assert!(matches!(refused, LambdaError::Store(StoreError::ShuttingDown)), "{refused}");
    create(&second, "f", Vec::new()).await.expect("open");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_code_leaves_a_configuration_change_alone() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    create(&cloud, "f", Vec::new()).await.expect("a function");
    settled(&cloud, "f").await;
    let code = source(&cloud, "other code");
    let update = cloud.update_function_code(
        here(&cloud),
        function("f"),
        CodeChange { source: code, ..CodeChange::default() },
    );
    let mut update = Box::pin(update);
    assert!(futures::poll!(&mut update).is_pending());
    let changes = FunctionChanges { timeout: Some(77), ..FunctionChanges::default() };
    cloud.update_function_configuration(here(&cloud), function("f"), changes, None).await.expect("a change");
    let code = settled(&cloud, "f").await.settings.code;
    let record = update.await.expect("another change");
    assert_eq!(record.settings.timeout, 77);
    assert_ne!(record.settings.code, code);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_after_a_failed_change_runs_during_the_next_one_too() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    create(&cloud, "f", Vec::new()).await.expect("a function");
    let runs = settled(&cloud, "f").await.settings;
    cloud
        .store
        .change_function(&here(&cloud), &function("f").name, |record| {
            let earlier = Box::new(record.settings.clone());
            record.settings.id = "failed".to_owned();
            record.update = Update::Failed { reason: "a test".to_owned(), earlier };
            Ok::<_, LambdaError>(())
        })
        .expect("changed");
    let changes = FunctionChanges { timeout: Some(77), ..FunctionChanges::default() };
    let record = cloud
        .update_function_configuration(here(&cloud), function("f"), changes, None)
        .await
        .expect("a change");
    assert_eq!(record.running().id, runs.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_whose_function_went_holds_nothing() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    let record = create(&cloud, "f", Vec::new()).await.expect("a function");
    settled(&cloud, "f").await;
    // The code's bytes stay while somebody else has the same ones.
    let held = cloud.store.hold_blob(record.settings.code, record.settings.code_size);
    cloud.delete_function(here(&cloud), function("f")).await.expect("deleted");
    drop(cloud.prepare(&here(&cloud), &record).await.expect("still there"));
    assert!(cloud.prepared.is_empty());
    drop(held);
    while kept(&data) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_code_went_meanwhile_runs_what_came_in_its_place() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    create(&cloud, "f", Vec::new()).await.expect("a function");
    settled(&cloud, "f").await;
    let route = async || cloud.route(&here(&cloud), &function("f")).await.expect("a route");
    let before = route().await;
    let change = CodeChange { source: source(&cloud, "other code"), ..CodeChange::default() };
    cloud.update_function_code(here(&cloud), function("f"), change).await.expect("a change");
    let now = settled(&cloud, "f").await.settings;
    // Until nobody has the old code any more: it is deleted behind the answer.
    while cloud.prepare(&here(&cloud), &before.record).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let prepared = cloud.prepare_routed(before.clone(), &here(&cloud), &function("f")).await;
    let (record, prepared) = prepared.expect("what came in its place");
    assert_eq!((&record.settings.id, &prepared.spec.revision), (&now.id, &now.id));
    drop(prepared);
    // What fails though nothing has changed is said, and a function that is gone is not there.
    let mut broken = route().await;
    let mut record = (*broken.record).clone();
    record.settings.runtime = "ruby3.4".to_owned();
    broken.record = Arc::new(record);
    cloud.prepared.forget_version(&here(&cloud), &function("f").name, None);
    let refused = cloud.prepare_routed(broken, &here(&cloud), &function("f")).await.err();
    assert!(matches!(refused, Some(LambdaError::NotBuilt { .. })), "{refused:?}");
    cloud.delete_function(here(&cloud), function("f")).await.expect("deleted");
    let refused = cloud.prepare_routed(before, &here(&cloud), &function("f")).await.err();
    assert!(matches!(refused, Some(LambdaError::NoSuchFunction { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_knows_its_own_log_group() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    create(&cloud, "f", Vec::new()).await.expect("a function");
    settled(&cloud, "f").await;
    let group = Some("/another/group".to_owned());
    let changes = FunctionChanges { log_group: group, ..FunctionChanges::default() };
    cloud.update_function_configuration(here(&cloud), function("f"), changes, None).await.expect("a change");
    let record = settled(&cloud, "f").await;
    let prepared = cloud.prepare(&here(&cloud), &record).await.expect("prepared");
    assert_eq!(prepared.spec.log_group, "/another/group");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_archives_are_refused_when_they_come_in() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    let take = async |bytes: &[u8]| {
        let mut writer = cloud.store.new_blob().expect("a writer");
        writer.write(bytes).expect("room");
        match cloud.package(&here(&cloud), Source::Zip(writer)).await {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let mut archive = zip("text");
    assert_eq!(take(&archive).await, "taken");
    let place = archive.windows(4).position(|bytes| bytes == b"text").expect("stored as it is");
    archive[place] = b'T';
    assert_eq!(take(&archive).await, "not a zip");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_too_large_is_not_even_read() {
    let (_folder, data) = folder();
    let cloud = cloud(&data);
    cloud.create_bucket(here(&cloud), "bucket".to_owned(), Vec::new()).await.expect("a bucket");
    let mut writer = cloud.store.new_blob().expect("a writer");
    writer.write(&zip("text")).expect("room");
    let blob = writer.finish().expect("a blob");
    let new = NewObject {
        etag: String::new(),
        headers: ObjectHeaders::default(),
        checksums: BTreeMap::new(),
        traits: ObjectTraits::default(),
        blob,
    };
    let put = cloud.put_object("bucket".to_owned(), "k".to_owned(), new, WriteCondition::None);
    let mut record = put.await.expect("an object").record;
    let take = async || {
        let source = Source::Object { bucket: "bucket".to_owned(), key: "k".to_owned(), version: None };
        cloud.package(&here(&cloud), source).await.map(|_| ())
    };
    take().await.expect("small enough");
    record.size = 262_144_000;
    let larger = NewVersion { bucket: "bucket", key: "k", id: "v", record: &record, parts: &[] };
    cloud.store.put_object(&larger, &mut |_, _| true).expect("an object");
    let refused = take().await.expect_err("too large");
    assert!(matches!(refused, LambdaError::UnzippedTooLarge), "{refused}");
}

#[test]
fn events_that_are_not_json_are_told_as_lambda_does() {
    let check = |event: &'static [u8]| match check_event(&Bytes::from_static(event)) {
        Err(LambdaError::EventNotJson { why }) => why.lines().next().unwrap_or_default().to_owned(),
        other => format!("{other:?}"),
    };
    insta::assert_snapshot!(check(b"{}"), @"Ok(())");
    insta::assert_snapshot!(check(b"\"\x87\""), @"Invalid UTF-8 start byte 0x87");
    insta::assert_snapshot!(check(b"hello"), @"Unrecognized token 'hello': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')");
    insta::assert_snapshot!(check(b"{\"a\": "), @"Unexpected end-of-input");
    insta::assert_snapshot!(check(b"<x>"), @"Unexpected character ('<' (code 60)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')");
}
