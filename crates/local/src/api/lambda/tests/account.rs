//! What an account has: the arithmetic of code storage, and its limit.

use serde_json::{Value, json};

use super::{Harness, code};
use crate::store::{FunctionRecord, Scope};

async fn settings(harness: &Harness) -> Value {
    harness.send("GET", "/2016-08-19/account-settings", Value::Null).await.json()
}

async fn total(harness: &Harness) -> u64 {
    settings(harness).await["AccountUsage"]["TotalCodeSize"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_begins_empty() {
    let harness = Harness::new();
    insta::assert_snapshot!(settings(&harness).await.to_string(), @r#"{"AccountLimit":{"TotalCodeSize":80530636800,"CodeSizeUnzipped":262144000,"CodeSizeZipped":52428800,"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":1000},"AccountUsage":{"TotalCodeSize":0,"FunctionCount":0}}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_zip_counts() {
    let harness = Harness::new();
    let size = harness.create("f", json!({})).await["CodeSize"].as_u64().expect("a size");
    assert_eq!(total(&harness).await, size);
    // An update that publishes adds its zip.
    let update = json!({ "ZipFile": code(""), "Publish": true });
    assert_eq!(harness.send("PUT", "/2015-03-31/functions/f/code", update).await.status, 200);
    harness.settled("f").await;
    assert_eq!(total(&harness).await, 2 * size);
    // A configuration adds nothing, and publishing it does.
    harness.update("f", json!({ "Timeout": 9 })).await;
    assert_eq!(total(&harness).await, 2 * size);
    harness.send("POST", "/2015-03-31/functions/f/versions", json!({})).await;
    assert_eq!(total(&harness).await, 3 * size);
    // Each layer version counts, also with the same content.
    for more in [4, 5] {
        let layer = json!({ "Content": { "ZipFile": code("") } });
        harness.send("POST", "/2018-10-31/layers/l/versions", layer).await;
        assert_eq!(total(&harness).await, more * size);
    }
    assert_eq!(settings(&harness).await["AccountUsage"]["FunctionCount"], 1);
    harness.send("DELETE", "/2015-03-31/functions/f", Value::Null).await;
    assert_eq!(total(&harness).await, 2 * size);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_storage_has_a_limit() {
    let harness = Harness::new();
    let size = harness.create("f", json!({})).await["CodeSize"].as_u64().expect("a size");
    let scope: Scope = harness.cloud.scope("us-east-1".parse().expect("a region"));
    let fill = |left: u64| {
        let change = |record: &mut FunctionRecord| {
            record.settings.code_size = 80_530_636_800 - left;
            Ok::<_, std::convert::Infallible>(())
        };
        let name = "f".parse().expect("a name");
        harness.cloud.store.change_function(&scope, &name, change).expect("changed");
    };
    fill(size - 1);
    let layer = json!({ "Content": { "ZipFile": code("") } });
    let full = harness.check("POST", "/2018-10-31/layers/l/versions", layer.clone()).await;
    insta::assert_snapshot!(full, @r#"400 CodeStorageExceededException {"Type":"User","message":"Code storage limit exceeded."}"#);
    let create = super::new_function("g", json!({}));
    assert_eq!(harness.check("POST", "/2015-03-31/functions", create).await, full);
    assert_eq!(harness.check("POST", "/2015-03-31/functions/f/versions", json!({})).await, full);
    // Other code in the place of what there is takes no more room.
    let update = json!({ "ZipFile": code("") });
    assert_eq!(harness.send("PUT", "/2015-03-31/functions/f/code", update).await.status, 200);
    harness.settled("f").await;
    fill(size);
    assert_eq!(harness.send("POST", "/2018-10-31/layers/l/versions", layer).await.status, 201);
}
