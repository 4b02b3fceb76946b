//! Code signing, recursive loops and runtime updates.

use serde_json::{Value, json};

use super::{super::new_function, arn, check, function, segment, with_alias};

const CONFIGS: &str = "/2020-04-22/code-signing-configs";

fn of_function(name: &str) -> String {
    format!("/2020-06-30/functions/{name}/code-signing-config")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_signing_configuration_lives() {
    let harness = with_alias().await;
    let publishers = json!({ "SigningProfileVersionArns": ["arn:aws:signer:us-east-1:123456789012:/signing-profiles/test"] });
    let body = json!({
        "Description": "mine", "AllowedPublishers": publishers,
        "CodeSigningPolicies": { "UntrustedArtifactOnDeployment": "Enforce" }, "Tags": { "a": "1" },
    });
    let created = harness.send("POST", CONFIGS, body).await;
    insta::assert_snapshot!(super::stable(&created.line()), @r#"201 {"CodeSigningConfig":{"CodeSigningConfigId":"csc-ID","CodeSigningConfigArn":"arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID","AllowedPublishers":{"SigningProfileVersionArns":["arn:aws:signer:us-east-1:123456789012:/signing-profiles/test"]},"CodeSigningPolicies":{"UntrustedArtifactOnDeployment":"Enforce"},"LastModified":"TIME","Description":"mine"}}"#);
    let config =
        created.json()["CodeSigningConfig"]["CodeSigningConfigArn"].as_str().expect("an ARN").to_owned();
    let path = format!("{CONFIGS}/{}", segment(&config));
    assert_eq!(harness.send("GET", &path, Value::Null).await.json(), created.json());
    let mut none = harness.send("PUT", &path, json!({})).await.json();
    assert_eq!(none["CodeSigningConfig"].take(), created.json()["CodeSigningConfig"]);
    let warn =
        json!({ "CodeSigningPolicies": { "UntrustedArtifactOnDeployment": "Warn" }, "Description": "new" });
    insta::assert_snapshot!(check(&harness, "PUT", &path, warn).await, @r#"200 {"CodeSigningConfig":{"CodeSigningConfigId":"csc-ID","CodeSigningConfigArn":"arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID","AllowedPublishers":{"SigningProfileVersionArns":["arn:aws:signer:us-east-1:123456789012:/signing-profiles/test"]},"CodeSigningPolicies":{"UntrustedArtifactOnDeployment":"Warn"},"LastModified":"TIME","Description":"new"}}"#);
    insta::assert_snapshot!(check(&harness, "GET", CONFIGS, Value::Null).await, @r#"200 {"CodeSigningConfigs":[{"CodeSigningConfigId":"csc-ID","CodeSigningConfigArn":"arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID","AllowedPublishers":{"SigningProfileVersionArns":["arn:aws:signer:us-east-1:123456789012:/signing-profiles/test"]},"CodeSigningPolicies":{"UntrustedArtifactOnDeployment":"Warn"},"LastModified":"TIME","Description":"new"}]}"#);
    insta::assert_snapshot!(check(&harness, "GET", &of_function("f"), Value::Null).await, @"200 {}");
    insta::assert_snapshot!(check(&harness, "GET", &format!("{path}/functions"), Value::Null).await, @r#"200 {"FunctionArns":[]}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &of_function("f"), json!({ "CodeSigningConfigArn": config })).await, @r#"200 {"CodeSigningConfigArn":"arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID","FunctionName":"f"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &of_function("f"), Value::Null).await, @r#"200 {"CodeSigningConfigArn":"arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID","FunctionName":"f"}"#);
    // A function can be born with it.
    let born = harness
        .send(
            "POST",
            "/2015-03-31/functions",
            new_function("born", json!({ "CodeSigningConfigArn": config })),
        )
        .await;
    assert_eq!((born.status, born.json().get("CodeSigningConfigArn")), (201, None));
    insta::assert_snapshot!(check(&harness, "GET", &format!("{path}/functions"), Value::Null).await, @r#"200 {"FunctionArns":["arn:aws:lambda:us-east-1:123456789012:function:born","arn:aws:lambda:us-east-1:123456789012:function:f"]}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &path, Value::Null).await, @r#"409 ResourceConflictException {"Type":"User","message":"The code signing configuration cannot be deleted because it is in use by one or more functions."}"#);
    assert_eq!(check(&harness, "DELETE", &of_function("f"), Value::Null).await, "204");
    assert_eq!(check(&harness, "DELETE", &of_function("f"), Value::Null).await, "204");
    harness.send("DELETE", &function("born", ""), Value::Null).await;
    assert_eq!(check(&harness, "DELETE", &path, Value::Null).await, "204");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_signing_configurations_that_are_not() {
    let harness = with_alias().await;
    let config = arn("code-signing-config:csc-00000000000000000");
    let path = format!("{CONFIGS}/{}", segment(&config));
    for (method, rest) in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/functions")] {
        let body = if method == "PUT" { json!({}) } else { Value::Null };
        assert_eq!(
            harness.check(method, &format!("{path}{rest}"), body).await,
            format!(
                "404 ResourceNotFoundException {{\"Message\":\"The Lambda code signing configuration {config} can \
                 not be found.\"}}"
            )
        );
    }
    let put = || json!({ "CodeSigningConfigArn": config });
    insta::assert_snapshot!(check(&harness, "PUT", &of_function("f"), put()).await, @r#"404 CodeSigningConfigNotFoundException {"Type":"User","Message":"The code signing configuration cannot be found. Check that the provided configuration is not deleted: arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &of_function("nope"), put()).await, @r#"404 CodeSigningConfigNotFoundException {"Type":"User","Message":"The code signing configuration cannot be found. Check that the provided configuration is not deleted: arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &of_function("nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &of_function("nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "POST", "/2015-03-31/functions", new_function("g", put())).await, @r#"404 CodeSigningConfigNotFoundException {"Type":"User","Message":"The code signing configuration cannot be found. Check that the provided configuration is not deleted: arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID."}"#);
    assert_eq!(harness.send("GET", &function("g", ""), Value::Null).await.status, 404);
    insta::assert_snapshot!(check(&harness, "POST", CONFIGS, json!({ "AllowedPublishers": { "SigningProfileVersionArns": [] } })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '[]' at 'allowedPublishers.signingProfileVersionArns' failed to satisfy constraint: Member must have length greater than or equal to 1"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn recursive_loops() {
    let harness = with_alias().await;
    let path = |name: &str| format!("/2024-08-31/functions/{name}/recursion-config");
    insta::assert_snapshot!(check(&harness, "GET", &path("f"), Value::Null).await, @r#"200 {"RecursiveLoop":"Terminate"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("f"), json!({ "RecursiveLoop": "Allow" })).await, @r#"200 {"RecursiveLoop":"Allow"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("f"), Value::Null).await, @r#"200 {"RecursiveLoop":"Allow"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("f"), json!({ "RecursiveLoop": "Maybe" })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'Maybe' at 'recursiveLoop' failed to satisfy constraint: Member must satisfy enum value set: [Allow, Terminate]"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    assert!(
        check(&harness, "GET", &path("f:live"), Value::Null).await.starts_with("400 ValidationException")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_updates() {
    let harness = with_alias().await;
    let path =
        |name: &str, rest: &str| format!("/2021-07-20/functions/{name}/runtime-management-config{rest}");
    let runtime = "arn:aws:lambda:us-east-1::runtime:0123";
    insta::assert_snapshot!(check(&harness, "GET", &path("f", ""), Value::Null).await, @r#"200 {"UpdateRuntimeOn":"Auto","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","RuntimeVersionArn":null}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("f", "?Qualifier=1"), json!({ "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime })).await, @r#"200 {"UpdateRuntimeOn":"Manual","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:1","RuntimeVersionArn":"arn:aws:lambda:us-east-1::runtime:0123"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("f", "?Qualifier=1"), Value::Null).await, @r#"200 {"UpdateRuntimeOn":"Manual","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:1","RuntimeVersionArn":"arn:aws:lambda:us-east-1::runtime:0123"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("f", ""), json!({ "UpdateRuntimeOn": "FunctionUpdate" })).await, @r#"200 {"UpdateRuntimeOn":"FunctionUpdate","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","RuntimeVersionArn":null}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("f", "?Qualifier=%24LATEST"), Value::Null).await, @r#"200 {"UpdateRuntimeOn":"FunctionUpdate","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","RuntimeVersionArn":null}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("f", ""), json!({ "UpdateRuntimeOn": "Manual" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"RuntimeVersionArn is required when UpdateRuntimeOn is Manual."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("f", ""), json!({ "UpdateRuntimeOn": "Auto", "RuntimeVersionArn": runtime })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"RuntimeVersionArn is only supported when UpdateRuntimeOn is Manual."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("f", "?Qualifier=live"), Value::Null).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Runtime management is not supported for aliases. Please specify a function version."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("f", "?Qualifier=7"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:7"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &path("nope", ""), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
}
