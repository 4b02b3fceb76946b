//! Tags by ARN.

use serde_json::{Value, json};

use super::{arn, check, segment, with_alias};

fn tags(arn: &str) -> String {
    format!("/2017-03-31/tags/{}", segment(arn))
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_everything_live() {
    let harness = with_alias().await;
    let config = json!({ "AllowedPublishers": { "SigningProfileVersionArns": ["arn:aws:signer:us-east-1:123456789012:/signing-profiles/p"] } });
    let config = harness.send("POST", "/2020-04-22/code-signing-configs", config).await.json();
    let config = config["CodeSigningConfig"]["CodeSigningConfigArn"].as_str().expect("an ARN").to_owned();
    let mapping = json!({ "FunctionName": "f", "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q" });
    let mapping = harness.send("POST", "/2015-03-31/event-source-mappings", mapping).await.json();
    let mapping = mapping["EventSourceMappingArn"].as_str().expect("an ARN").to_owned();
    for resource in [arn("function:f"), config, mapping] {
        let path = tags(&resource);
        assert_eq!(check(&harness, "GET", &path, Value::Null).await, r#"200 {"Tags":{}}"#);
        assert_eq!(check(&harness, "POST", &path, json!({ "Tags": { "a": "1", "b": "2" } })).await, "204");
        assert_eq!(check(&harness, "POST", &path, json!({ "Tags": { "b": "3", "c": "" } })).await, "204");
        assert_eq!(
            check(&harness, "GET", &path, Value::Null).await,
            r#"200 {"Tags":{"a":"1","b":"3","c":""}}"#
        );
        assert_eq!(
            check(&harness, "DELETE", &format!("{path}?tagKeys=a&tagKeys=x"), Value::Null).await,
            "204"
        );
        assert_eq!(check(&harness, "GET", &path, Value::Null).await, r#"200 {"Tags":{"b":"3","c":""}}"#);
        let many: serde_json::Map<_, _> = (0..49).map(|n| (format!("k{n}"), json!("v"))).collect();
        assert_eq!(
            check(&harness, "POST", &path, json!({ "Tags": many })).await,
            r#"400 InvalidParameterValueException {"Type":"User","message":"Number of tags exceeds resource tag limit."}"#
        );
        assert_eq!(
            check(&harness, "POST", &path, json!({ "Tags": {} })).await,
            r#"400 InvalidParameterValueException {"Type":"User","message":"An error occurred and the request cannot be processed."}"#
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_what_is_not_there() {
    let harness = with_alias().await;
    insta::assert_snapshot!(check(&harness, "GET", &tags(&arn("function:nope")), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &tags(&arn("function:f:live")), Value::Null).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Tags on function aliases and versions are not supported. Please specify a function ARN."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &tags(&arn("code-signing-config:csc-00000000000000000")), Value::Null).await, @r#"404 ResourceNotFoundException {"Message":"The Lambda code signing configuration arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-ID can not be found."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &tags(&arn("event-source-mapping:00000000-0000-0000-0000-000000000000")), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &tags(&arn("function:f")), Value::Null).await, @r#"400 ValidationException {"message":"1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &tags(&arn("capacity-provider:c")), Value::Null).await, @r#"501 NotImplemented {"Type":"User","message":"The local cloud does not implement tags of a capacity-provider yet"}"#);
    assert!(
        check(&harness, "GET", &tags("arn:aws:something"), Value::Null)
            .await
            .starts_with("400 ValidationException")
    );
}
