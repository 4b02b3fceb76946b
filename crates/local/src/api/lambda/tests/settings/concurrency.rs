//! Reserved and provisioned concurrency.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::{super::Harness, check, function, with_alias};

fn reserved(name: &str) -> String {
    format!("/2017-10-31/functions/{name}/concurrency")
}

fn got(name: &str) -> String {
    format!("/2019-09-30/functions/{name}/concurrency")
}

fn provisioned(name: &str, rest: &str) -> String {
    format!("/2019-09-30/functions/{name}/provisioned-concurrency{rest}")
}

fn reserve(count: u32) -> Value {
    json!({ "ReservedConcurrentExecutions": count })
}

/// What is answered when nothing is in progress any more.
async fn allocated(harness: &Harness, name: &str, rest: &str) -> String {
    let settled = async {
        loop {
            let seen = check(harness, "GET", &provisioned(name, rest), Value::Null).await;
            if !seen.contains("IN_PROGRESS") {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), settled).await.expect("an end")
}

fn provision(count: u32) -> Value {
    json!({ "ProvisionedConcurrentExecutions": count })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_lives() {
    let harness = with_alias().await;
    insta::assert_snapshot!(check(&harness, "GET", &got("f"), Value::Null).await, @"200 {}");
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("f"), reserve(1)).await, @r#"200 {"ReservedConcurrentExecutions":1}"#);
    insta::assert_snapshot!(check(&harness, "GET", &got("f"), Value::Null).await, @r#"200 {"ReservedConcurrentExecutions":1}"#);
    let whole = harness.send("GET", &function("f", ""), Value::Null).await.json();
    assert_eq!(whole["Concurrency"], reserve(1));
    assert_eq!(check(&harness, "DELETE", &reserved("f"), Value::Null).await, "204");
    insta::assert_snapshot!(check(&harness, "GET", &got("f"), Value::Null).await, @"200 {}");
    let whole = harness.send("GET", &function("f", ""), Value::Null).await.json();
    assert!(whole.get("Concurrency").is_none());
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("nope"), reserve(1)).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &got("nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("f:live"), reserve(1)).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("f"), json!({})).await, @r#"400 ValidationException {"message":"1 validation error detected: Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must not be null"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_stay_unreserved() {
    let harness = with_alias().await;
    harness.create("g", json!({})).await;
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("f"), reserve(901)).await, @r#"400 InvalidParameterValueException {"message":"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("f"), reserve(900)).await, @r#"200 {"ReservedConcurrentExecutions":900}"#);
    assert!(check(&harness, "PUT", &reserved("g"), reserve(1)).await.starts_with("400"));
    // A function's own reservation is not in its own way.
    assert!(check(&harness, "PUT", &reserved("f"), reserve(850)).await.starts_with("200"));
    assert!(check(&harness, "PUT", &reserved("g"), reserve(50)).await.starts_with("200"));
    let settings = harness.send("GET", "/2016-08-19/account-settings", Value::Null).await.json();
    assert_eq!(settings["AccountLimit"]["UnreservedConcurrentExecutions"], 100);
    // What is deleted gives its reservation back.
    harness.send("DELETE", &function("f", ""), Value::Null).await;
    assert!(check(&harness, "PUT", &reserved("g"), reserve(900)).await.starts_with("200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_nothing_reserved_is_throttled() {
    let harness = with_alias().await;
    harness.send("PUT", &reserved("f"), reserve(0)).await;
    insta::assert_snapshot!(check(&harness, "POST", &function("f", "/invocations"), json!({})).await, @r#"429 TooManyRequestsException {"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#);
    insta::assert_snapshot!(check(&harness, "POST", &function("f:live", "/invocations"), json!({})).await, @r#"429 TooManyRequestsException {"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#);
    // An event is taken all the same; it will not be run.
    let event = [("x-amz-invocation-type", "Event")];
    let taken = harness.send_body("POST", &function("f", "/invocations"), &event, Body::from("{}")).await;
    assert_eq!(taken.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioned_concurrency_lives() {
    let harness = Harness::new();
    if harness.interpreters.for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    let code = super::code_of("def handler(event, context):\n    return event\n");
    harness.create("f", json!({ "Code": { "ZipFile": code }, "Publish": true })).await;
    harness.send("POST", &function("f", "/aliases"), json!({ "Name": "live", "FunctionVersion": "1" })).await;
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("f", "?Qualifier=1"), Value::Null).await, @r#"404 ProvisionedConcurrencyConfigNotFoundException {"Type":"User","message":"No Provisioned Concurrency Config found for this function"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(2)).await, @r#"202 {"RequestedProvisionedConcurrentExecutions":2,"AvailableProvisionedConcurrentExecutions":0,"AllocatedProvisionedConcurrentExecutions":0,"Status":"IN_PROGRESS","LastModified":"TIME"}"#);
    insta::assert_snapshot!(allocated(&harness, "f", "?Qualifier=1").await, @r#"200 {"RequestedProvisionedConcurrentExecutions":2,"AvailableProvisionedConcurrentExecutions":2,"AllocatedProvisionedConcurrentExecutions":2,"Status":"READY","LastModified":"TIME"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("f", "?List=ALL"), Value::Null).await, @r#"200 {"ProvisionedConcurrencyConfigs":[{"RequestedProvisionedConcurrentExecutions":2,"AvailableProvisionedConcurrentExecutions":2,"AllocatedProvisionedConcurrentExecutions":2,"Status":"READY","LastModified":"TIME","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:1"}]}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=live"), provision(1)).await, @r#"409 ResourceConflictException {"Type":"User","message":"Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"}"#);
    assert_eq!(check(&harness, "DELETE", &provisioned("f", "?Qualifier=1"), Value::Null).await, "204");
    assert_eq!(check(&harness, "DELETE", &provisioned("f", "?Qualifier=1"), Value::Null).await, "204");
    assert!(
        check(&harness, "PUT", &provisioned("f", "?Qualifier=live"), provision(1)).await.starts_with("202")
    );
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(2)).await, @r#"409 ResourceConflictException {"Type":"User","message":"Version is pointed by a Provisioned Concurrency alias"}"#);
    // It goes with its alias.
    harness.send("DELETE", &function("f", "/aliases/live"), Value::Null).await;
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("f", "?Qualifier=live"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:f:live"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("f", "?List=ALL"), Value::Null).await, @r#"200 {"ProvisionedConcurrencyConfigs":[]}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioned_concurrency_is_of_versions_and_aliases() {
    let harness = with_alias().await;
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=%24LATEST"), provision(1)).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Provisioned Concurrency Configs cannot be applied to unpublished function versions."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("f", "?Qualifier=%24LATEST"), Value::Null).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The function resource provided must be an alias or a published version."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &provisioned("f", "?Qualifier=%24LATEST"), Value::Null).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The function resource provided must be an alias or a published version."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("nope", "?Qualifier=noalias"), provision(1)).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:nope:noalias"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("nope", "?Qualifier=1"), provision(1)).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:1"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=10"), provision(1)).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:10"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("f", "?Qualifier=noalias"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:f:noalias"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &provisioned("nope", "?List=ALL"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(0)).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(1001)).await, @r#"400 InvalidParameterValueException {"message":"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(901)).await, @r#"400 InvalidParameterValueException {"message":"Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."}"#);
    harness.send("PUT", &reserved("f"), reserve(5)).await;
    insta::assert_snapshot!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(6)).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"}"#);
    assert!(check(&harness, "PUT", &provisioned("f", "?Qualifier=1"), provision(5)).await.starts_with("202"));
    insta::assert_snapshot!(check(&harness, "PUT", &reserved("f"), reserve(4)).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"ReservedConcurrentExecutions  should not be lower than function's total provisioned concurrency [5]."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_run_at_once_than_are_reserved() {
    let harness = Harness::new();
    if harness.interpreters.for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    let code = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n";
    harness.create("f", json!({ "Code": { "ZipFile": super::code_of(code) }, "Timeout": 30 })).await;
    harness.send("PUT", &reserved("f"), reserve(1)).await;
    let path = function("f", "/invocations");
    // Either may be the one that finds the other running; each tries until it has its answer.
    let until = async |event: Value, wanted: u16| loop {
        let seen = harness.send("POST", &path, event.clone()).await;
        if seen.status == wanted {
            return seen;
        }
        assert!(matches!(seen.status, 200 | 429), "{}", seen.line());
    };
    let both = async { tokio::join!(until(json!(1.5), 200), until(json!(0), 429)) };
    let (first, second) = tokio::time::timeout(Duration::from_mins(1), both).await.expect("an end");
    let second = second.line();
    assert_eq!((first.status, first.text.as_str()), (200, "1.5"));
    insta::assert_snapshot!(second, @r#"429 TooManyRequestsException {"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#);
    assert_eq!(harness.send("POST", &path, json!(0)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_provisioned_is_there_before_the_call() {
    let harness = Harness::new();
    if harness.interpreters.for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    let code = "import os, time\nknown = os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n\
        def handler(event, context):\n    time.sleep(event)\n    return [known, os.environ['AWS_LAMBDA_LOG_STREAM_NAME']]\n";
    harness
        .create("f", json!({ "Code": { "ZipFile": super::code_of(code) }, "Timeout": 30, "Publish": true }))
        .await;
    harness.send("POST", &function("f", "/aliases"), json!({ "Name": "live", "FunctionVersion": "1" })).await;
    harness.send("PUT", &provisioned("f", "?Qualifier=live"), provision(2)).await;
    let seen = allocated(&harness, "f", "?Qualifier=live").await;
    assert!(seen.contains(r#""Status":"READY""#), "{seen}");
    let path = function("f", "/invocations?Qualifier=live");
    let call = async || harness.send("POST", &path, json!(1)).await.json();
    let (first, second) = tokio::join!(call(), call());
    assert_eq!(
        (&first[0], &second[0]),
        (&json!("provisioned-concurrency"), &json!("provisioned-concurrency"))
    );
    assert_ne!(first[1], second[1]);
    // One call more than those that are provided for starts an environment of its own.
    let all = futures::future::join_all((0..3).map(|_| call())).await;
    assert!(all.iter().any(|answer| answer[0] == "on-demand"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_whose_init_fails_is_not_ready() {
    let harness = Harness::new();
    if harness.interpreters.for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    let code = super::code_of("raise ValueError('no')");
    harness.create("f", json!({ "Code": { "ZipFile": code }, "Publish": true })).await;
    harness.send("PUT", &provisioned("f", "?Qualifier=1"), provision(1)).await;
    insta::assert_snapshot!(allocated(&harness, "f", "?Qualifier=1").await, @r#"200 {"RequestedProvisionedConcurrentExecutions":1,"AvailableProvisionedConcurrentExecutions":0,"AllocatedProvisionedConcurrentExecutions":0,"Status":"FAILED","LastModified":"TIME","StatusReason":"FUNCTION_ERROR_INIT_FAILURE"}"#);
}
