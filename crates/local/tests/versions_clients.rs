//! Versions, aliases and configurations as boto3 sees them. The scenarios are in
//! `clients/versions_suite.py`, one function each; every one runs against a cloud of its own.

mod common;

use common::{TestCloud, client, run};

async fn check(scenario: &str) {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let scenario = scenario.to_owned();
    tokio::task::spawn_blocking(move || {
        let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/versions_suite.py");
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

scenarios!(waiters, versions_and_aliases, plans_show_no_difference, account_settings);
