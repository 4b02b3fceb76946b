//! Invocations, as far as they need no running function.

use serde_json::{Value, json};

use super::Harness;

const INVOCATIONS: &str = "/2015-03-31/functions/f/invocations";

async fn invoke(harness: &Harness, kind: &str, payload: Vec<u8>) -> String {
    let headers = [("x-amz-invocation-type", kind)];
    harness.send_body("POST", INVOCATIONS, &headers, payload.into()).await.line()
}

/// A JSON text of so many bytes.
fn text(bytes: usize) -> Vec<u8> {
    format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_have_limits() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    assert_eq!(invoke(&harness, "DryRun", text(6_291_456)).await, "204");
    insta::assert_snapshot!(invoke(&harness, "RequestResponse", text(6_291_457)).await, @r#"413 RequestEntityTooLargeException {"Type":"User","Message":"6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"}"#);
    assert_eq!(invoke(&harness, "Event", text(1_048_576)).await, "202");
    insta::assert_snapshot!(invoke(&harness, "Event", text(1_048_577)).await, @r#"413 RequestEntityTooLargeException {"Type":"User","Message":"1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_json() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    insta::assert_snapshot!(invoke(&harness, "DryRun", b"\"\x87\"".to_vec()).await, @r#"400 InvalidRequestContentException {"Type":"User","message":"Could not parse request body into json: Could not parse payload into json: Invalid UTF-8 start byte 0x87\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 3]"}"#);
    assert_eq!(invoke(&harness, "DryRun", Vec::new()).await, "204");
    insta::assert_snapshot!(invoke(&harness, "Sometimes", Vec::new()).await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'Sometimes' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_wait_for_nothing_name_no_version() {
    let harness = Harness::new();
    harness.create("f", json!({ "Publish": true })).await;
    for kind in ["Event", "DryRun"] {
        let headers = [("x-amz-invocation-type", kind)];
        let (parts, _) = harness.raw("POST", INVOCATIONS, &headers, "{}".into()).await;
        assert!(parts.headers.get("x-amz-executed-version").is_none());
        assert!(parts.headers.get("x-amzn-requestid").is_some());
    }
    let path = "/2014-11-13/functions/f/invoke-async";
    assert_eq!(harness.check("POST", path, json!({})).await, "202");
    insta::assert_snapshot!(harness.check("POST", "/2014-11-13/functions/nope/invoke-async", json!({})).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST"}"#);
    insta::assert_snapshot!(harness.check("POST", "/2015-03-31/functions/f:7/invocations", Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:7"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_asked_for_as_a_call_is() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let path = |name: &str| format!("/2021-11-15/functions/{name}/response-streaming-invocations");
    let ask = async |name: &str, kind: &str, payload: Vec<u8>| {
        let headers = [("x-amz-invocation-type", kind)];
        harness.send_body("POST", &path(name), &headers, payload.into()).await.line()
    };
    assert_eq!(ask("f", "DryRun", text(6_291_456)).await, "204");
    insta::assert_snapshot!(ask("f", "RequestResponse", text(6_291_457)).await, @r#"413 RequestEntityTooLargeException {"Type":"User","Message":"6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"}"#);
    insta::assert_snapshot!(ask("f", "Event", Vec::new()).await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'Event' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [RequestResponse, DryRun]"}"#);
    insta::assert_snapshot!(ask("f", "DryRun", b"{".to_vec()).await, @r#"400 InvalidRequestContentException {"Type":"User","message":"Could not parse request body into json: Could not parse payload into json: Unexpected end-of-input\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 2]"}"#);
    insta::assert_snapshot!(ask("nope", "RequestResponse", Vec::new()).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope:$LATEST"}"#);
}
