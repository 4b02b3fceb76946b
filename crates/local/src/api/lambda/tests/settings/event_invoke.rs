//! Options for asynchronous invocation.

use serde_json::{Value, json};

use super::{arn, check, with_alias};

fn config(name: &str, rest: &str) -> String {
    format!("/2019-09-25/functions/{name}/event-invoke-config{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn options_live() {
    let harness = with_alias().await;
    insta::assert_snapshot!(check(&harness, "GET", &config("f", ""), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST doesn't have an EventInvokeConfig"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &config("f", ""), json!({ "MaximumRetryAttempts": 0 })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST doesn't have an EventInvokeConfig"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &config("f", ""), json!({ "MaximumRetryAttempts": 0 })).await, @r#"200 {"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}},"MaximumRetryAttempts":0}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &config("f", ""), json!({ "MaximumEventAgeInSeconds": 60 })).await, @r#"200 {"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}},"MaximumEventAgeInSeconds":60}"#);
    insta::assert_snapshot!(check(&harness, "POST", &config("f", ""), json!({ "MaximumRetryAttempts": 2 })).await, @r#"200 {"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}},"MaximumRetryAttempts":2,"MaximumEventAgeInSeconds":60}"#);
    let destinations = json!({ "DestinationConfig": {
        "OnSuccess": { "Destination": "arn:aws:sqs:us-east-1:123456789012:q" },
        "OnFailure": { "Destination": "arn:aws:s3:::bucket" },
    } });
    insta::assert_snapshot!(check(&harness, "POST", &config("f", "?Qualifier=%24LATEST"), destinations).await, @r#"200 {"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:sqs:us-east-1:123456789012:q"},"OnFailure":{"Destination":"arn:aws:s3:::bucket"}},"MaximumRetryAttempts":2,"MaximumEventAgeInSeconds":60}"#);
    let number = harness.send("GET", &config("f", ""), Value::Null).await.json()["LastModified"].as_f64();
    assert!(number.is_some_and(|seconds| seconds > 1_700_000_000.0));
    for qualifier in ["1", "live"] {
        let path = config("f", &format!("?Qualifier={qualifier}"));
        assert!(check(&harness, "PUT", &path, json!({ "MaximumRetryAttempts": 1 })).await.starts_with("200"));
    }
    insta::assert_snapshot!(check(&harness, "GET", &config("f", "/list?MaxItems=2"), Value::Null).await, @r#"200 {"FunctionEventInvokeConfigs":[{"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:sqs:us-east-1:123456789012:q"},"OnFailure":{"Destination":"arn:aws:s3:::bucket"}},"MaximumRetryAttempts":2,"MaximumEventAgeInSeconds":60},{"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:1","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}},"MaximumRetryAttempts":1}],"NextMarker":"1"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &config("f", "/list?Marker=1"), Value::Null).await, @r#"200 {"FunctionEventInvokeConfigs":[{"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}},"MaximumRetryAttempts":1}]}"#);
    assert_eq!(check(&harness, "DELETE", &config("f", "?Qualifier=live"), Value::Null).await, "204");
    insta::assert_snapshot!(check(&harness, "DELETE", &config("f", "?Qualifier=live"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function arn:aws:lambda:us-east-1:123456789012:function:f:live doesn't have an EventInvokeConfig"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_are_not() {
    let harness = with_alias().await;
    let put = async |body: Value| check(&harness, "PUT", &config("f", ""), body).await;
    let to = |key: &str, destination: &str| json!({ "DestinationConfig": { key: { "Destination": destination } } });
    insta::assert_snapshot!(put(json!({})).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"You must specify at least one of error handling or destination setting."}"#);
    insta::assert_snapshot!(put(json!({ "MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 59 })).await, @r#"400 ValidationException {"message":"2 validation errors detected: Value '59' at 'maximumEventAgeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 60; Value '3' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 2"}"#);
    insta::assert_snapshot!(put(to("OnSuccess", &arn("function:nope"))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The destination ARN arn:aws:lambda:us-east-1:123456789012:function:nope is invalid."}"#);
    insta::assert_snapshot!(put(to("OnSuccess", &arn("function:f"))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"You can't specify the function as a destination for itself."}"#);
    insta::assert_snapshot!(put(to("OnFailure", &arn("function:f:live"))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"You can't specify the function as a destination for itself."}"#);
    insta::assert_snapshot!(put(to("OnSuccess", "arn:aws:iam:us-east-1:123456789012:x")).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:iam:us-east-1:123456789012:x), onFailure=null) is invalid."}"#);
    insta::assert_snapshot!(put(to("OnSuccess", "arn:aws:s3:::bucket")).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:s3:::bucket), onFailure=null) is invalid."}"#);
    insta::assert_snapshot!(put(to("OnFailure", "")).await, @r#"200 {"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{},"OnFailure":{}}}"#);
    harness.create("other", json!({})).await;
    insta::assert_snapshot!(put(to("OnSuccess", &arn("function:other"))).await, @r#"200 {"FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","LastModified":SECONDS,"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:lambda:us-east-1:123456789012:function:other"},"OnFailure":{}}}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &config("nope", ""), json!({ "MaximumRetryAttempts": 1 })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function doesn't exist."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &config("f", "?Qualifier=nope"), json!({ "MaximumRetryAttempts": 1 })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function doesn't exist."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &config("nope", ""), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST doesn't have an EventInvokeConfig"}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &config("nope", ""), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST doesn't have an EventInvokeConfig"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &config("nope", "/list"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The function doesn't exist."}"#);
}
