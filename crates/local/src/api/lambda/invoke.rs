//! Invoke on the wire: the body is the event, and most of the answer is headers.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
};
use base64::Engine as _;
use bytes::Bytes;
use layercake_core::limits;
use serde::Deserialize;

use super::{Answer, AwsError, Call, read_body};
use crate::{
    api::answer,
    sandbox,
    service::{FunctionRef, Invoked, Route, check_event, invoked_arn},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InvokeRequest {
    function_name: String,
    qualifier: Option<String>,
    invocation_type: Option<String>,
    log_type: Option<String>,
    client_context: Option<String>,
}

/// A header of every answer that the function itself is asked for; its number is no length of
/// anything that the client gets (seen in answers that users have pasted).
const REMAPPED_LENGTH: &str = "x-amzn-remapped-content-length";

/// The event of a call, within the limit for its kind.
async fn event(call: &mut Call<'_>, kind: &str) -> Result<Bytes, AwsError> {
    let limit = if kind == "Event" { limits::EVENT_PAYLOAD_BYTES } else { limits::SYNC_PAYLOAD_BYTES };
    let payload = read_body(call.take_body(), usize::try_from(limit).unwrap_or(usize::MAX))
        .await
        .map_err(|error| AwsError::user(400, "BadRequestException", error.to_string()))?
        .map_err(|count| AwsError {
            style: crate::api::error::Style::UserUpper,
            ..AwsError::user(
                413,
                "RequestEntityTooLargeException",
                format!(
                    "{count} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
                ),
            )
        })?;
    Ok(if payload.is_empty() { Bytes::from_static(b"{}") } else { Bytes::from(payload) })
}

/// The older way to invoke without waiting.
pub(super) async fn invoke_async(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: InvokeRequest = call.input()?;
    let payload = event(&mut call, "Event").await?;
    let function = call.function(&request.function_name, None)?;
    // A function that is not there is named before an event that is none.
    call.api.cloud.route(&call.scope, &function).await?;
    check_event(&payload)?;
    let event = sandbox::Call {
        request_id: call.request_id.to_owned(),
        payload,
        invoked_arn: invoked_arn(&call.scope, &function),
        client_context: None,
        trace_id: trace_id(&call.headers),
    };
    call.api.cloud.accept_event(call.scope, function, event).await?;
    Ok(Answer::Empty(202))
}

/// A call as its request asks for it, checked and not made yet.
pub(super) struct Asked {
    /// `RequestResponse` where the request says nothing.
    pub(super) kind: String,
    pub(super) function: FunctionRef,
    /// Where it goes.
    pub(super) route: Route,
    pub(super) event: sandbox::Call,
    /// Whether the end of the log is wanted.
    pub(super) wants_tail: bool,
}

/// Reads a request, and refuses what cannot be called.
pub(super) async fn asked(call: &mut Call<'_>) -> Result<Asked, AwsError> {
    let request = match call.seen.take() {
        Some(request) => request,
        None => {
            let request = Arc::new(call.input::<InvokeRequest>()?);
            if let Some(key) = call.unseen.take() {
                call.api.seen.keep(key, &request);
            }
            request
        }
    };
    let kind = request.invocation_type.clone().unwrap_or_else(|| "RequestResponse".to_owned());
    let payload = event(call, &kind).await?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let route = call.api.cloud.route(&call.scope, &function).await?;
    check_event(&payload)?;
    let event = sandbox::Call {
        request_id: call.request_id.to_owned(),
        payload,
        invoked_arn: invoked_arn(&call.scope, &function),
        client_context: match request.client_context.as_deref() {
            // "Lambda passes the ClientContext object to your function for synchronous invocations only."
            Some(text) if kind != "Event" => Some(client_context(text)?),
            _ => None,
        },
        trace_id: trace_id(&call.headers),
    };
    Ok(Asked { kind, function, route, event, wants_tail: request.log_type.as_deref() == Some("Tail") })
}

pub(super) async fn invoke(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let Asked { kind, function, route, event, wants_tail } = asked(&mut call).await?;
    let trace_id = event.trace_id.clone();
    match kind.as_str() {
        "DryRun" => Ok(Answer::Empty(204)),
        "Event" => {
            Box::pin(call.api.cloud.accept_event(call.scope, function, event)).await?;
            let mut response = answer(202, "application/json", Body::empty(), call.request_id);
            set(&mut response, REMAPPED_LENGTH, "0");
            set(&mut response, "x-amzn-trace-id", &trace_id);
            Ok(Answer::Response(Box::new(response)))
        }
        _ => {
            let Invoked { outcome, version } =
                call.api.cloud.invoke_by(route, &call.scope, &function, event).await?;
            let mut response = answer(200, "application/json", Body::empty(), call.request_id);
            if let Some(error) = &outcome.function_error {
                set(&mut response, "x-amz-function-error", error);
            }
            if wants_tail {
                let tail = base64::engine::general_purpose::STANDARD.encode(outcome.log_tail());
                set(&mut response, "x-amz-log-result", &tail);
            }
            set(&mut response, REMAPPED_LENGTH, "0");
            set(&mut response, "x-amz-executed-version", &version);
            set(&mut response, "x-amzn-trace-id", &trace_id);
            if let Ok(length) = HeaderValue::from_str(&outcome.payload.len().to_string()) {
                response.headers_mut().insert(header::CONTENT_LENGTH, length);
            }
            *response.body_mut() = Body::from(outcome.payload);
            Ok(Answer::Response(Box::new(response)))
        }
    }
}

pub(super) fn set(response: &mut axum::response::Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The longest client context, in base64 (FACTS.md §1).
const CLIENT_CONTEXT_BYTES: usize = 3_583;

fn client_context(text: &str) -> Result<String, AwsError> {
    if text.len() > CLIENT_CONTEXT_BYTES {
        // The number is Lambda's; the words are ours, since no recording of Lambda's was found.
        return Err(AwsError::user(
            400,
            "InvalidRequestContentException",
            format!("Client context must be at most {CLIENT_CONTEXT_BYTES} bytes of Base64."),
        ));
    }
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|json| serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok())
        .ok_or_else(|| {
            AwsError::user(
                400,
                "InvalidRequestContentException",
                "Client context must be a valid Base64-encoded JSON object.",
            )
        })
}

/// The caller's trace, or a new one that is not sampled.
pub(crate) fn trace_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok());
    if let Some(given) = given {
        return given.to_owned();
    }
    let random = uuid::Uuid::new_v4().simple().to_string();
    let seconds = jiff::Timestamp::now().as_second();
    format!(
        "Root=1-{seconds:08x}-{};Parent={};Sampled=0",
        &random[..24],
        &uuid::Uuid::new_v4().simple().to_string()[..16]
    )
}
