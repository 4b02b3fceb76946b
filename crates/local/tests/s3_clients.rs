//! S3 as its real clients see it: boto3's client, resource and transfers, and AWS's own command
//! line. The scenarios are in `clients/s3_suite.py`, one function each; every one runs against a
//! cloud of its own.

mod common;

use common::{TestCloud, client, folder_of, run};

async fn check(scenario: &str) {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let work = folder_of(&cloud.folder).join("by-client");
    fs_err::create_dir(&work).expect("a folder");
    let scenario = scenario.to_owned();
    tokio::task::spawn_blocking(move || {
        let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/s3_suite.py");
        let path = format!("{}:{}", common::aws_clients(), std::env::var("PATH").unwrap_or_default());
        let mut python = client("python");
        run(python.arg(suite).arg(endpoint).arg(scenario).env("PATH", path).current_dir(work));
    })
    .await
    .expect("the scenario");
    cloud.handle.shutdown().await;
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            check(stringify!($name)).await;
        }
    )*};
}

scenarios!(
    versions,
    suspended_versions,
    version_paging,
    deletions,
    tags,
    bucket_refresh,
    bucket_settings,
    access,
    names,
    listings,
    conditions,
    ranges,
    copies,
    multipart,
    upload_listings,
    attributes,
    transfers,
    resource,
    waiters,
    presigned,
    virtual_hosts,
    bucket_pages,
    code_by_version,
    many_objects,
    command_line,
    command_line_api,
);
