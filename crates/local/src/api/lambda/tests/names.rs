//! Functions by name, partial ARN and ARN, with a version or alias in every place it may stand.

use serde_json::{Value, json};

use super::Harness;

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

/// A function with version 1 and the alias `live`.
async fn harness() -> Harness {
    let harness = Harness::new();
    harness.create("f", json!({ "Publish": true })).await;
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    harness.send("POST", "/2015-03-31/functions/f/aliases", alias).await;
    harness
}

/// The ARN of what was found, or the error.
async fn get(harness: &Harness, name: &str, query: &str) -> String {
    let path = format!("/2015-03-31/functions/{}/configuration{query}", name.replace(':', "%3A"));
    let seen = harness.send("GET", &path, Value::Null).await;
    match seen.json()["FunctionArn"].as_str() {
        Some(arn) => format!("{} {arn}", seen.status),
        None => seen.line(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_finds_the_function() {
    let harness = harness().await;
    for prefix in [
        "",
        "function:",
        "123456789012:",
        "123456789012:function:",
        "us-east-1:123456789012:function:",
        "arn:aws:lambda:us-east-1:123456789012:function:",
    ] {
        assert_eq!(get(&harness, &format!("{prefix}f"), "").await, format!("200 {ARN}"));
        for qualifier in ["$LATEST", "1", "live"] {
            let found = format!("200 {ARN}:{qualifier}");
            assert_eq!(get(&harness, &format!("{prefix}f:{qualifier}"), "").await, found);
            assert_eq!(get(&harness, &format!("{prefix}f"), &format!("?Qualifier={qualifier}")).await, found);
            let query = format!("?Qualifier={qualifier}");
            assert_eq!(get(&harness, &format!("{prefix}f:{qualifier}"), &query).await, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_as_it_was_asked_for() {
    let harness = harness().await;
    insta::assert_snapshot!(get(&harness, "nope", "").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(get(&harness, "nope", "?Qualifier=$LATEST").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST"}"#);
    insta::assert_snapshot!(get(&harness, "nope:live", "").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:live"}"#);
    insta::assert_snapshot!(get(&harness, "f:7", "").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:7"}"#);
    insta::assert_snapshot!(get(&harness, "f", "?Qualifier=nope").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:nope"}"#);
    insta::assert_snapshot!(get(&harness, "f:1", "?Qualifier=2").await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The derived qualifier from the function name does not match the specified qualifier."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_regions_and_accounts_are_out_of_reach() {
    let harness = harness().await;
    insta::assert_snapshot!(get(&harness, "arn:aws:lambda:eu-west-1:123456789012:function:f", "").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"}"#);
    insta::assert_snapshot!(get(&harness, "arn:aws:lambda:us-east-1:210987654321:function:f", "").await, @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetFunctionConfiguration on resource: arn:aws:lambda:us-east-1:210987654321:function:f because no resource-based policy allows the lambda:GetFunctionConfiguration action"}"#);
    insta::assert_snapshot!(
        harness.check("POST", "/2015-03-31/functions/210987654321:f:live/invocations", json!({})).await,
        @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:210987654321:function:f:live because no resource-based policy allows the lambda:InvokeFunction action"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be() {
    let harness = harness().await;
    let create = async |name: &str| {
        let seen = harness.send("POST", "/2015-03-31/functions", super::new_function(name, json!({}))).await;
        if seen.status == 201 { seen.json()["FunctionName"].to_string() } else { seen.line() }
    };
    assert_eq!(create(&"a".repeat(64)).await, format!("\"{}\"", "a".repeat(64)));
    assert_eq!(
        create(&"a".repeat(65)).await,
        format!(
            "400 InvalidParameterValueException {{\"Type\":\"User\",\"message\":\"1 validation error detected: \
             Value '{}' at 'functionName' failed to satisfy constraint: Member must have length less than or \
             equal to 64\"}}",
            "a".repeat(65)
        )
    );
    assert_eq!(create("arn:aws:lambda:us-east-1:123456789012:function:by-arn").await, "\"by-arn\"");
    insta::assert_snapshot!(create("f:1").await, @r#"400 InvalidParameterValueException {"Type":"User","message":"This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."}"#);
    insta::assert_snapshot!(create("a b").await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"}"#);
    insta::assert_snapshot!(create("arn:aws:lambda:eu-west-1:123456789012:function:f").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"}"#);
    insta::assert_snapshot!(create(&"a".repeat(141)).await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140"}"#);
    insta::assert_snapshot!(get(&harness, "a:b:c:d", "").await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'a:b:c:d' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_functions_takes_no_version() {
    let harness = harness().await;
    let refused = harness.check("PUT", "/2015-03-31/functions/f:1/configuration", json!({})).await;
    insta::assert_snapshot!(refused, @r#"400 InvalidParameterValueException {"Type":"User","message":"This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."}"#);
    for (method, path, body) in [
        ("PUT", "/2015-03-31/functions/f:live/code", json!({ "S3Bucket": "bucket", "S3Key": "k" })),
        ("POST", "/2015-03-31/functions/f:1/versions", json!({})),
        ("POST", "/2015-03-31/functions/f:1/aliases", json!({ "Name": "a", "FunctionVersion": "1" })),
        ("GET", "/2015-03-31/functions/f:1/aliases/live", Value::Null),
        ("PUT", "/2015-03-31/functions/f:1/aliases/live", json!({})),
        ("DELETE", "/2015-03-31/functions/f:1/aliases/live", Value::Null),
        ("GET", "/2015-03-31/functions/f:1/aliases", Value::Null),
    ] {
        assert_eq!(harness.check(method, path, body).await, refused, "{method} {path}");
    }
    let latest = harness.send("PUT", "/2015-03-31/functions/f:$LATEST/configuration", json!({})).await;
    assert_eq!(latest.status, 200);
}
