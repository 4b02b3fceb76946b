//! What is configured beside functions and layers, as boto3 sees it: every member that can be
//! written is read back. The scenarios are in `clients/lambda_configs_suite.py`.

mod common;

use common::{TestCloud, client, run};

async fn check(scenario: &str) {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let scenario = scenario.to_owned();
    tokio::task::spawn_blocking(move || {
        let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/lambda_configs_suite.py");
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
    layer_permissions,
    function_permissions,
    resource_policies,
    tags,
    reserved_concurrency,
    provisioned_concurrency,
    event_invoke_configs,
    url_configs,
    recursion_and_runtime_management,
    code_signing_configs,
    queue_mappings,
    stream_mappings,
    other_mappings,
);
