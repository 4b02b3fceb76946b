//! CloudWatch Logs on the wire: JSON 1.1 with the operation in `X-Amz-Target`.

mod events;
mod groups;
mod input;

use axum::{body::Body, http::request::Parts, response::Response};
use serde_json::Value;

use self::input::Input;
use super::{Api, AwsError, answer, lambda::with_causes, read_body};
use crate::{
    service::{Cloud, LogsError},
    store::Scope,
};

/// One request.
struct Call<'a> {
    api: &'a Api,
    scope: Scope,
    operation: &'a str,
    input: Input,
}

impl Call<'_> {
    /// What decides.
    fn cloud(&self) -> &Cloud {
        &self.api.cloud
    }

    /// The answer to what is not built.
    fn not_built(&self) -> AwsError {
        AwsError::not_built(format!("The local cloud does not implement {} yet", self.operation))
    }
}

/// What an operation answers: a JSON object, or nothing when it has no output.
type Outcome = Result<Option<Value>, AwsError>;

/// A service of JSON 1.1. An `impl` is the list of what is built: whatever operation it does not
/// name answers NotImplemented.
#[async_trait::async_trait]
trait JsonService {
    /// Performs an operation.
    async fn perform(&self, call: Call<'_>) -> Outcome {
        Err(call.not_built())
    }
}

/// CloudWatch Logs on the local cloud.
struct Logs;

/// The list of what is built.
#[async_trait::async_trait]
impl JsonService for Logs {
    async fn perform(&self, call: Call<'_>) -> Outcome {
        match call.operation {
            "CreateLogGroup" => groups::create(call).await,
            "DescribeLogGroups" => groups::describe(call).await,
            "DeleteLogGroup" => groups::delete(call).await,
            "PutRetentionPolicy" => groups::put_retention(call).await,
            "DeleteRetentionPolicy" => groups::delete_retention(call).await,
            "TagLogGroup" => groups::tag_group(call).await,
            "UntagLogGroup" => groups::untag_group(call).await,
            "ListTagsLogGroup" => groups::list_group_tags(call).await,
            "TagResource" => groups::tag_resource(call).await,
            "UntagResource" => groups::untag_resource(call).await,
            "ListTagsForResource" => groups::list_resource_tags(call).await,
            "CreateLogStream" => groups::create_stream(call).await,
            "DescribeLogStreams" => groups::describe_streams(call).await,
            "DeleteLogStream" => groups::delete_stream(call).await,
            "PutLogEvents" => events::put(call).await,
            "GetLogEvents" => events::get(call).await,
            "FilterLogEvents" => events::filter(call).await,
            _ => Err(call.not_built()),
        }
    }
}

impl From<LogsError> for AwsError {
    fn from(error: LogsError) -> Self {
        let missing = |message: &str| Self::user(400, "ResourceNotFoundException", message);
        let exists = |message: &str| Self::user(400, "ResourceAlreadyExistsException", message);
        match error {
            LogsError::GroupExists => exists("The specified log group already exists"),
            LogsError::StreamExists => exists("The specified log stream already exists"),
            LogsError::NoSuchGroup => missing("The specified log group does not exist."),
            LogsError::NoSuchStream => missing("The specified log stream does not exist."),
            LogsError::BadToken => input::invalid("The specified nextToken is invalid."),
            LogsError::BadPattern => input::invalid("Invalid filter pattern"),
            LogsError::NotChronological => {
                input::invalid("Log events in a single PutLogEvents request must be in chronological order.")
            }
            LogsError::TooLongSpan => input::invalid(
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
            ),
            LogsError::TooManyBytes { bytes, most } => {
                input::invalid(format!("Upload too large: {bytes} bytes exceeds limit of {most}"))
            }
            LogsError::TooManyTags => Self::user(
                400,
                "TooManyTagsException",
                "The number of tags exceeds the limit of 50 tags for a log group.",
            ),
            LogsError::Store(error) => Self::user(500, "ServiceUnavailableException", with_causes(&error)),
        }
    }
}

/// PutLogEvents takes 1 MiB; JSON may make it several times that.
const BODY_BYTES: usize = 8 << 20;

/// Answers one request to CloudWatch Logs.
pub(super) async fn answer_request(
    api: &Api,
    scope: Scope,
    parts: &Parts,
    body: Body,
    request_id: &str,
) -> Response {
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let outcome = match read_body(body, BODY_BYTES).await {
        Ok(Ok(bytes)) => match Input::parse(&bytes) {
            Ok(input) => Logs.perform(Call { api, scope, operation, input }).await,
            Err(error) => Err(error),
        },
        Ok(Err(_)) => Err(AwsError::user(413, "RequestEntityTooLargeException", "The request is too large")),
        Err(error) => Err(AwsError::user(400, "SerializationException", error.to_string())),
    };
    match outcome {
        Ok(Some(value)) => answer(200, "application/x-amz-json-1.1", value.to_string(), request_id),
        Ok(None) => answer(200, "application/x-amz-json-1.1", Body::empty(), request_id),
        Err(error) => error.json_1_1(request_id),
    }
}

/// Adds where the next page begins.
fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    answer
}
