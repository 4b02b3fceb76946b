//! InvokeWithResponseStream on the wire: the body is the event, and the answer a stream of events,
//! a chunk of the function's answer in each, and how the call ended in the last.

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::json;

use super::{
    Answer, AwsError, Call, event_stream,
    invoke::{Asked, asked, set},
};
use crate::{
    api::answer,
    sandbox::{Outcome, ResponseBody},
    service::{InvokedStreaming, LambdaError, StreamedEnd},
};

pub(super) async fn invoke(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let Asked { kind, function, event, wants_tail, .. } = asked(&mut call).await?;
    if kind == "DryRun" {
        return Ok(Answer::Empty(204));
    }
    let trace_id = event.trace_id.clone();
    let invoked = call.api.cloud.invoke_streaming(&call.scope, &function, event).await?;
    let version = invoked.version.clone();
    let log = if wants_tail { Log::Tail } else { Log::None };
    let body = Body::from_stream(messages(invoked, log));
    let mut response = answer(200, event_stream::CONTENT_TYPE, body, call.request_id);
    set(&mut response, "x-amz-executed-version", &version);
    set(&mut response, "x-amzn-trace-id", &trace_id);
    Ok(Answer::Response(Box::new(response)))
}

/// What the last message says of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    None,
    Tail,
}

/// How far an answer is.
enum Stage {
    /// The body may go on.
    Body {
        body: ResponseBody,
        end: StreamedEnd,
        answered: bool,
    },
    /// Only this message is left.
    Last(Vec<u8>),
    Over,
}

fn messages(invoked: InvokedStreaming, log: Log) -> impl Stream<Item = Result<Bytes, LambdaError>> {
    let InvokedStreaming { head, body, end, .. } = invoked;
    let first = Stage::Body { body, end, answered: head.is_some() };
    stream::unfold(first, move |stage| async move {
        match stage {
            Stage::Over => None,
            Stage::Last(message) => Some((Ok(message.into()), Stage::Over)),
            Stage::Body { mut body, end, answered } => {
                if let Some(piece) = body.next().await {
                    return Some((Ok(chunk(&piece)), Stage::Body { body, end, answered }));
                }
                let outcome = match end.outcome().await {
                    Ok(outcome) => outcome,
                    // The connection breaks off: nothing that could be told is the function's.
                    Err(error) => return Some((Err(error), Stage::Over)),
                };
                let last = complete(&outcome, log);
                // A function that failed before it answered has its error as the answer.
                if !answered && outcome.function_error.is_some() {
                    return Some((Ok(chunk(&outcome.payload)), Stage::Last(last)));
                }
                Some((Ok(last.into()), Stage::Over))
            }
        }
    })
}

fn chunk(piece: &[u8]) -> Bytes {
    event_stream::event("PayloadChunk", "application/octet-stream", piece).into()
}

/// `ErrorCode` and `ErrorDetails` are there only when the function failed, `LogResult` only when it
/// was asked for.
fn complete(outcome: &Outcome, log: Log) -> Vec<u8> {
    let mut members = json!({});
    if let Some(error) = &outcome.function_error {
        members["ErrorCode"] = error.as_str().into();
        members["ErrorDetails"] = String::from_utf8_lossy(&outcome.payload).into();
    }
    if log == Log::Tail {
        let tail = base64::engine::general_purpose::STANDARD.encode(outcome.log_tail());
        members["LogResult"] = tail.into();
    }
    event_stream::event("InvokeComplete", "application/json", members.to_string().as_bytes())
}
