//! The local cloud as boto3 sees it. The scenarios are in `clients/suite.py`, one function each;
//! every one runs against a cloud of its own.

mod common;

use common::{TestCloud, client, run};

async fn check(scenario: &str) {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let scenario = scenario.to_owned();
    tokio::task::spawn_blocking(move || {
        let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/suite.py");
        run(client("python").arg(suite).arg(endpoint).arg(scenario));
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
    layers,
    layer_paging_and_filters,
    layer_errors,
    functions,
    function_limits,
    function_states,
    package_limits,
    invocations,
    tags,
    what_is_not_built,
    roles,
    caller_identity,
    logs,
    buckets,
    objects,
    listings,
    multipart,
    regions,
);
