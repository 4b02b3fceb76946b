//! The record of an event that has ended, as destinations get it.

use serde::Serialize;
use serde_json::value::RawValue;

use super::decision::Condition;
use crate::store::{EventRecord, EventResponse};

/// AWS's invocation record (Developer Guide, invocation-async-retain-records), members in AWS's
/// order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    request_payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<Answer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: &'a str,
    condition: &'static str,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'a str>,
}

/// A function's answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Json(&'a RawValue),
    /// A runtime of the user's own may answer anything.
    Text(&'a str),
}

/// The record of an event as JSON. `arn` is the function's, always qualified; an event that never
/// reached the function has no response.
///
/// # Errors
/// When the event is not JSON, which was seen to be JSON when it was accepted.
pub(super) fn invocation_record(
    arn: &str,
    event: &EventRecord,
    payload: &[u8],
    condition: Condition,
    now: i64,
) -> Result<String, serde_json::Error> {
    let time = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
    let response = event.response.as_ref();
    let record = InvocationRecord {
        version: "1.0",
        timestamp: time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        request_context: RequestContext {
            request_id: &event.request_id,
            function_arn: arn,
            condition: condition.as_str(),
            // AWS was seen to say 1 for what succeeded, also when earlier runs had failed.
            approximate_invoke_count: if condition == Condition::Success { 1 } else { event.runs },
        },
        request_payload: serde_json::from_slice(payload)?,
        response_context: response.map(context),
        response_payload: response.and_then(|response| response.payload.as_deref()).map(answer),
    };
    serde_json::to_string(&record)
}

fn context(response: &EventResponse) -> ResponseContext<'_> {
    ResponseContext {
        status_code: response.status,
        executed_version: response.version.as_deref(),
        function_error: response.error.as_deref(),
    }
}

fn answer(text: &str) -> Answer<'_> {
    serde_json::from_str(text).map_or(Answer::Text(text), Answer::Json)
}

/// Where the record of a function's event lies in a bucket: `aws/lambda/async/FUNCTION/YYYY/MM/DD/
/// YYYY-MM-DDTHH.MM.SS-UUID`.
pub(super) fn object_key(function: &str, now: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
    let time = time.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S");
    format!("aws/lambda/async/{function}/{time}-{}", uuid::Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runs: u32, response: Option<EventResponse>, condition: Condition) -> String {
        let event = EventRecord {
            request_id: "e4b46cbf-b738-4d22-8880-a18cdf61200e".to_owned(),
            runs,
            response,
            ..EventRecord::default()
        };
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST";
        let payload = br#" {"b": 1.50, "a": [ ]} "#;
        invocation_record(arn, &event, payload, condition, 1_573_755_365_568).expect("a record")
    }

    fn response(error: Option<&str>, payload: &str) -> EventResponse {
        EventResponse {
            status: 200,
            version: Some("$LATEST".to_owned()),
            error: error.map(str::to_owned),
            payload: Some(payload.to_owned()),
        }
    }

    #[test]
    fn a_record_is_awss() {
        let failed = response(Some("Unhandled"), r#"{"errorMessage": "x"}"#);
        insta::assert_snapshot!(check(3, Some(failed), Condition::RetriesExhausted), @r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"e4b46cbf-b738-4d22-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"b": 1.50, "a": [ ]},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage": "x"}}"#);
        insta::assert_snapshot!(check(2, Some(response(None, "null")), Condition::Success), @r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"e4b46cbf-b738-4d22-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","condition":"Success","approximateInvokeCount":1},"requestPayload":{"b": 1.50, "a": [ ]},"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":null}"#);
    }

    #[test]
    fn what_did_not_run_has_no_answer() {
        let throttled = EventResponse { status: 429, ..EventResponse::default() };
        insta::assert_snapshot!(check(0, Some(throttled), Condition::EventAgeExceeded), @r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"e4b46cbf-b738-4d22-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","condition":"EventAgeExceeded","approximateInvokeCount":0},"requestPayload":{"b": 1.50, "a": [ ]},"responseContext":{"statusCode":429}}"#);
        insta::assert_snapshot!(check(0, None, Condition::ZeroReservedConcurrency), @r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"e4b46cbf-b738-4d22-8880-a18cdf61200e","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","condition":"ZeroReservedConcurrency","approximateInvokeCount":0},"requestPayload":{"b": 1.50, "a": [ ]}}"#);
    }

    #[test]
    fn an_answer_that_is_not_json_is_a_text() {
        let said = check(1, Some(response(None, "<x>")), Condition::Success);
        assert!(said.ends_with(r#""responsePayload":"<x>"}"#), "{said}");
    }

    #[test]
    fn a_record_in_a_bucket_is_found_by_its_day() {
        let key = object_key("f", 1_573_755_365_568);
        assert!(key.starts_with("aws/lambda/async/f/2019/11/14/2019-11-14T18.16.05-"), "{key}");
    }
}
