//! Permissions of layer versions, and what other accounts may do with them.

use serde_json::{Value, json};

use super::{super::Harness, check, code_of, segment};
use crate::{
    service::{LayerPermission, NewLayer, Source},
    store::Scope,
};

const POLICY: &str = "/2018-10-31/layers/l/versions/1/policy";

async fn with_layer() -> Harness {
    let harness = Harness::new();
    let body = json!({ "Content": { "ZipFile": code_of("") } });
    let published = harness.send("POST", "/2018-10-31/layers/l/versions", body).await;
    assert_eq!(published.status, 201, "{}", published.text);
    harness
}

fn statement(id: &str, principal: &str) -> Value {
    json!({ "StatementId": id, "Action": "lambda:GetLayerVersion", "Principal": principal })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_policy_lives() {
    let harness = with_layer().await;
    insta::assert_snapshot!(check(&harness, "GET", POLICY, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy is associated with the given resource."}"#);
    let added = harness.send("POST", POLICY, statement("s1", "*")).await;
    insta::assert_snapshot!(super::stable(&added.line()), @r#"201 {"Statement":"{\"Sid\":\"s1\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"lambda:GetLayerVersion\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:layer:l:1\"}","RevisionId":"UUID"}"#);
    let got = harness.send("GET", POLICY, Value::Null).await;
    insta::assert_snapshot!(super::stable(&got.line()), @r#"200 {"Policy":"{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":[{\"Sid\":\"s1\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"lambda:GetLayerVersion\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:layer:l:1\"}]}","RevisionId":"UUID"}"#);
    assert_eq!(got.json()["RevisionId"], added.json()["RevisionId"]);
    insta::assert_snapshot!(check(&harness, "POST", POLICY, statement("s1", "*")).await, @r#"409 ResourceConflictException {"Type":"User","message":"The statement id (s1) provided already exists. Please provide a new statement id, or remove the existing statement."}"#);
    insta::assert_snapshot!(check(&harness, "POST", POLICY, json!({ "StatementId": "s", "Action": "*", "Principal": "*" })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '*' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: lambda:GetLayerVersion"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &format!("{POLICY}?RevisionId=wrong"), statement("s2", "*")).await, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"}"#);
    let revision = got.json()["RevisionId"].as_str().expect("a revision").to_owned();
    insta::assert_snapshot!(check(&harness, "POST", &format!("{POLICY}?RevisionId={revision}"), statement("s2", "210987654321")).await, @r#"201 {"Statement":"{\"Sid\":\"s2\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::210987654321:root\"},\"Action\":\"lambda:GetLayerVersion\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:layer:l:1\"}","RevisionId":"UUID"}"#);
    let mut organization = statement("s3", "*");
    organization["OrganizationId"] = "o-0123456789".into();
    insta::assert_snapshot!(check(&harness, "POST", POLICY, organization).await, @r#"201 {"Statement":"{\"Sid\":\"s3\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"lambda:GetLayerVersion\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:layer:l:1\",\"Condition\":{\"StringEquals\":{\"aws:PrincipalOrgID\":\"o-0123456789\"}}}","RevisionId":"UUID"}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{POLICY}/nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Statement nope is not found in resource policy."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{POLICY}/s1?RevisionId=wrong"), Value::Null).await, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"}"#);
    for id in ["s1", "s2", "s3"] {
        assert_eq!(check(&harness, "DELETE", &format!("{POLICY}/{id}"), Value::Null).await, "204");
    }
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{POLICY}/s1"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy is associated with the given resource."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_policies_are_of_layer_versions() {
    let harness = with_layer().await;
    for path in ["/2018-10-31/layers/nope/versions/1/policy", "/2018-10-31/layers/l/versions/2/policy"] {
        let name = if path.contains("nope") { "nope:1" } else { "l:2" };
        let missing = format!(
            "404 ResourceNotFoundException {{\"Type\":\"User\",\"Message\":\"Layer version \
             arn:aws:lambda:us-east-1:123456789012:layer:{name} does not exist.\"}}"
        );
        assert_eq!(check(&harness, "POST", path, statement("s", "*")).await, missing);
        assert_eq!(check(&harness, "GET", path, Value::Null).await, missing);
        assert_eq!(check(&harness, "DELETE", &format!("{path}/s"), Value::Null).await, missing);
    }
    // The policy goes with its version, and does not come back with another.
    harness.send("POST", POLICY, statement("s", "*")).await;
    harness.send("DELETE", "/2018-10-31/layers/l/versions/1", Value::Null).await;
    insta::assert_snapshot!(check(&harness, "GET", POLICY, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Layer version arn:aws:lambda:us-east-1:123456789012:layer:l:1 does not exist."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_layer_follows_its_policy() {
    let harness = Harness::new();
    let other = Scope {
        account: "210987654321".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    };
    let mut zip = harness.cloud.store.new_blob().expect("a writer");
    zip.write(&super::super::zip(&[("python/shared.py", b"VALUE = 7")])).expect("room");
    let layer = NewLayer {
        name: "theirs".parse().expect("a name"),
        source: Some(Source::Zip(zip)),
        description: String::new(),
        license: None,
        runtimes: None,
        architectures: None,
    };
    harness.cloud.publish_layer_version(other.clone(), layer).await.expect("a version");
    let layer = "arn:aws:lambda:us-east-1:210987654321:layer:theirs";
    let get = format!("/2018-10-31/layers/{}/versions/1", segment(layer));
    let by_arn = format!("/2018-10-31/layers?find=LayerVersion&Arn={}", segment(&format!("{layer}:1")));
    harness.create("f", json!({})).await;
    let configuration = "/2015-03-31/functions/f/configuration";
    let attach = || json!({ "Layers": [format!("{layer}:1")] });
    insta::assert_snapshot!(check(&harness, "GET", &get, Value::Null).await, @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:210987654321:layer:theirs:1 because no resource-based policy allows the lambda:GetLayerVersion action"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &by_arn, Value::Null).await, @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:210987654321:layer:theirs:1 because no resource-based policy allows the lambda:GetLayerVersion action"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", configuration, attach()).await, @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:210987654321:layer:theirs:1 because no resource-based policy allows the lambda:GetLayerVersion action"}"#);
    // Nor does one see which versions there are.
    insta::assert_snapshot!(check(&harness, "GET", &get.replace("/1", "/2"), Value::Null).await, @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:210987654321:layer:theirs:2 because no resource-based policy allows the lambda:GetLayerVersion action"}"#);
    let permit = |id: &str, principal: &str, organization: Option<&str>| LayerPermission {
        id: id.to_owned(),
        action: "lambda:GetLayerVersion".to_owned(),
        principal: principal.to_owned(),
        organization: organization.map(str::to_owned),
    };
    for permission in
        [permit("organization", "*", Some("o-0123456789")), permit("third", "333333333333", None)]
    {
        let name = "theirs".parse().expect("a name");
        harness.cloud.add_layer_permission(other.clone(), name, 1, permission, None).await.expect("added");
    }
    assert!(check(&harness, "GET", &get, Value::Null).await.starts_with("403 AccessDeniedException"));
    let name = "theirs".parse().expect("a name");
    let permission = permit("us", "123456789012", None);
    harness.cloud.add_layer_permission(other, name, 1, permission, None).await.expect("added");
    let got = harness.send("GET", &get, Value::Null).await;
    assert_eq!((got.status, &got.json()["LayerVersionArn"]), (200, &json!(format!("{layer}:1"))));
    assert_eq!(harness.send("GET", &by_arn, Value::Null).await.status, 200);
    let attached = harness.update("f", attach()).await;
    assert_eq!(
        (&attached["LastUpdateStatus"], &attached["Layers"][0]["Arn"]),
        (&json!("Successful"), &json!(format!("{layer}:1")))
    );
    if harness.interpreters.for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    let code = "import shared\ndef handler(event, context):\n    return shared.VALUE\n";
    let updated =
        harness.send("PUT", "/2015-03-31/functions/f/code", json!({ "ZipFile": code_of(code) })).await;
    assert_eq!(updated.status, 200, "{}", updated.text);
    harness.settled("f").await;
    insta::assert_snapshot!(check(&harness, "POST", "/2015-03-31/functions/f/invocations", Value::Null).await, @"200 7");
}
