//! What an infrastructure tool does with every resource that the local cloud has.

use crate::common::{TestCloud, client, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_reads_back_and_goes_away() {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let said = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/terraform_like.py");
        let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
        run(client("python").args([script, &endpoint, &runtime]))
    })
    .await
    .expect("the steps");
    assert_eq!(said, "no difference, and nothing left\n");
    cloud.handle.shutdown().await;
}
