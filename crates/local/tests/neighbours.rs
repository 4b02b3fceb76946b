//! IAM, STS and CloudWatch Logs as boto3 sees them. The scenarios are in
//! `clients/neighbours_suite.py`; every one runs against a cloud of its own.

mod common;

use common::{TestCloud, client, run};

async fn check(scenario: &str) {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let scenario = scenario.to_owned();
    tokio::task::spawn_blocking(move || {
        let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/neighbours_suite.py");
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
    roles_read_back,
    role_errors,
    policies_in_roles,
    managed_policies,
    iam_paging,
    who_am_i,
    assuming_roles,
    accounts_by_digits,
    log_groups,
    log_streams,
    log_events,
    log_limits,
    log_search,
    log_retention,
    log_tail,
    what_is_not_built,
);
