//! Aliases.

use serde_json::{Value, json};

use super::{Harness, code};

const ALIASES: &str = "/2015-03-31/functions/f/aliases";

/// A function with the versions 1 and 2.
async fn two_versions() -> Harness {
    let harness = Harness::new();
    harness.create("f", json!({ "Publish": true })).await;
    harness.update("f", json!({ "Timeout": 4 })).await;
    harness.send("POST", "/2015-03-31/functions/f/versions", json!({})).await;
    harness
}

/// The answer without the revision, which is another every time.
async fn check(harness: &Harness, method: &str, path: &str, body: Value) -> String {
    let seen = harness.send(method, path, body).await;
    let mut answer = seen.json();
    if let Some(members) = answer.as_object_mut() {
        members.remove("RevisionId");
    }
    format!("{} {}{answer}", seen.status, seen.error_type.map(|error| error + " ").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_lives() {
    let harness = two_versions().await;
    let body = json!({ "Name": "live", "FunctionVersion": "1", "Description": "mine",
        "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.2 } } });
    let created = harness.send("POST", ALIASES, body.clone()).await;
    assert_eq!(created.status, 201);
    let mut shown = created.json();
    shown["RevisionId"] = Value::Null;
    insta::assert_snapshot!(shown.to_string(), @r#"{"AliasArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live","Name":"live","FunctionVersion":"1","Description":"mine","RevisionId":null,"RoutingConfig":{"AdditionalVersionWeights":{"2":0.2}}}"#);
    let one = format!("{ALIASES}/live");
    assert_eq!(harness.send("GET", &one, Value::Null).await.json(), created.json());
    insta::assert_snapshot!(
        harness.check("POST", ALIASES, body).await,
        @r#"409 ResourceConflictException {"Type":"User","message":"Alias already exists: arn:aws:lambda:us-east-1:123456789012:function:f:live"}"#
    );
    insta::assert_snapshot!(
        harness.check("PUT", &one, json!({ "RevisionId": "wrong", "Description": "x" })).await,
        @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#
    );
    let change = json!({ "RoutingConfig": {}, "RevisionId": created.json()["RevisionId"] });
    let updated = harness.send("PUT", &one, change).await.json();
    assert!(updated.get("RoutingConfig").is_none());
    assert_eq!((&updated["Description"], &updated["FunctionVersion"]), (&json!("mine"), &json!("1")));
    assert_ne!(updated["RevisionId"], created.json()["RevisionId"]);
    // The function is there by its alias, with the version behind it.
    let function = harness.settled("f?Qualifier=live").await;
    assert_eq!(
        (&function["FunctionArn"], &function["Version"], &function["Timeout"]),
        (&json!("arn:aws:lambda:us-east-1:123456789012:function:f:live"), &json!("1"), &json!(3))
    );
    harness.send("PUT", &one, json!({ "FunctionVersion": "2" })).await;
    assert_eq!(harness.settled("f:live").await["Timeout"], 4);
    assert_eq!(harness.check("DELETE", &one, Value::Null).await, "204");
    assert_eq!(harness.check("DELETE", &one, Value::Null).await, "204");
    insta::assert_snapshot!(
        harness.check("GET", &one, Value::Null).await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:f:live"}"#
    );
    insta::assert_snapshot!(
        harness.check("PUT", &one, json!({})).await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Alias not found: arn:aws:lambda:us-east-1:123456789012:function:f:live"}"#
    );
    insta::assert_snapshot!(
        harness.check("GET", "/2015-03-31/functions/f?Qualifier=live", Value::Null).await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:live"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alias_cannot_be() {
    let harness = two_versions().await;
    let weights = async |version: &str, weights: Value| {
        let body = json!({ "Name": "a", "FunctionVersion": version,
            "RoutingConfig": { "AdditionalVersionWeights": weights } });
        check(&harness, "POST", ALIASES, body).await
    };
    insta::assert_snapshot!(weights("1", json!({ "1": 0.8, "2": 0.2 })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Number of items in AdditionalVersionWeights cannot be greater than 1"}"#);
    insta::assert_snapshot!(weights("1", json!({ "2": 2 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"}"#);
    insta::assert_snapshot!(weights("1", json!({ "2": -1 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '{2=-1.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"}"#);
    insta::assert_snapshot!(weights("1", json!({ "1": 0.5 })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Invalid function version 1. Function version 1 is already included in routing configuration."}"#);
    insta::assert_snapshot!(weights("10", json!({ "2": 0.5 })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:10"}"#);
    insta::assert_snapshot!(weights("1", json!({ "10": 0.5 })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:10"}"#);
    insta::assert_snapshot!(weights("$LATEST", json!({ "1": 0.5 })).await, @r#"400 InvalidParameterValueException {"message":"$LATEST is not supported for an alias pointing to more than 1 version"}"#);
    insta::assert_snapshot!(weights("1", json!({ "$LATEST": 0.5 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"}"#);
    insta::assert_snapshot!(
        check(&harness, "POST", ALIASES, json!({ "Name": "12", "FunctionVersion": "1" })).await,
        @r#"400 ValidationException {"message":"1 validation error detected: Value '12' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"}"#
    );
    insta::assert_snapshot!(
        check(&harness, "POST", "/2015-03-31/functions/nope/aliases", json!({ "Name": "a", "FunctionVersion": "1" })).await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:1"}"#
    );
    insta::assert_snapshot!(
        check(&harness, "POST", ALIASES, json!({ "Name": "latest", "FunctionVersion": "$LATEST" })).await,
        @r#"201 {"AliasArn":"arn:aws:lambda:us-east-1:123456789012:function:f:latest","Name":"latest","FunctionVersion":"$LATEST","Description":""}"#
    );
    insta::assert_snapshot!(
        weights("1", json!({})).await,
        @r#"201 {"AliasArn":"arn:aws:lambda:us-east-1:123456789012:function:f:a","Name":"a","FunctionVersion":"1","Description":""}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_listed() {
    let harness = two_versions().await;
    for (name, version) in [("c", "2"), ("a", "1"), ("b", "1")] {
        harness.send("POST", ALIASES, json!({ "Name": name, "FunctionVersion": version })).await;
    }
    let list = async |query: &str| {
        let listed = harness.send("GET", &format!("{ALIASES}{query}"), Value::Null).await.json();
        let names: Vec<_> =
            listed["Aliases"].as_array().expect("a list").iter().map(|one| one["Name"].clone()).collect();
        format!("{} {}", json!(names), listed["NextMarker"])
    };
    assert_eq!(list("").await, r#"["a","b","c"] null"#);
    assert_eq!(list("?FunctionVersion=1").await, r#"["a","b"] null"#);
    assert_eq!(list("?FunctionVersion=$LATEST").await, "[] null");
    assert_eq!(list("?MaxItems=2").await, r#"["a","b"] "b""#);
    assert_eq!(list("?MaxItems=2&Marker=b").await, r#"["c"] null"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_where_the_alias_points() {
    let harness = Harness::new();
    let runtime = {
        let found = harness.interpreters.newest_runtime();
        found.expect("a Python on this machine").to_string()
    };
    let text = |number: u32| {
        format!(
            "import os\ndef handler(event, context):\n    return [{number}, context.function_version, \
             os.environ['AWS_LAMBDA_FUNCTION_VERSION'], context.invoked_function_arn[-9:], \
             context.log_stream_name.split('[')[1].split(']')[0]]\n"
        )
    };
    let first = json!({ "Runtime": runtime, "Code": { "ZipFile": code(&text(1)) }, "Publish": true });
    harness.create("f", first).await;
    let second = json!({ "ZipFile": code(&text(2)), "Publish": true });
    harness.send("PUT", "/2015-03-31/functions/f/code", second).await;
    harness.settled("f").await;
    harness.settled("f:1").await;
    harness.settled("f:2").await;
    harness.send("POST", ALIASES, json!({ "Name": "live", "FunctionVersion": "1" })).await;
    let invoke = async |name: &str| {
        let path = format!("/2015-03-31/functions/{name}");
        let (parts, body) = harness.raw("POST", &path, &[], "{}".into()).await;
        let version = parts.headers.get("x-amz-executed-version").and_then(|value| value.to_str().ok());
        format!("{} {} {}", parts.status.as_u16(), version.unwrap_or("-"), String::from_utf8_lossy(&body))
    };
    insta::assert_snapshot!(invoke("f/invocations").await, @r#"200 $LATEST [2, "$LATEST", "$LATEST", "unction:f", "$LATEST"]"#);
    insta::assert_snapshot!(invoke("f/invocations?Qualifier=$LATEST").await, @r#"200 $LATEST [2, "$LATEST", "$LATEST", "f:$LATEST", "$LATEST"]"#);
    insta::assert_snapshot!(invoke("f:1/invocations").await, @r#"200 1 [1, "1", "1", "ction:f:1", "1"]"#);
    insta::assert_snapshot!(invoke("f:live/invocations").await, @r#"200 1 [1, "1", "1", "on:f:live", "1"]"#);
    let all = json!({ "RoutingConfig": { "AdditionalVersionWeights": { "2": 1 } } });
    harness.send("PUT", &format!("{ALIASES}/live"), all).await;
    insta::assert_snapshot!(invoke("f:live/invocations").await, @r#"200 2 [2, "2", "2", "on:f:live", "2"]"#);
    insta::assert_snapshot!(
        invoke("f/invocations?Qualifier=nope").await,
        @r#"404 - {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:nope"}"#
    );
    insta::assert_snapshot!(
        invoke("nope/invocations").await,
        @r#"404 - {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST"}"#
    );
}
