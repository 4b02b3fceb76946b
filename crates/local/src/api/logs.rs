//! CloudWatch Logs on the wire: JSON 1.1 with the operation in `X-Amz-Target`.

use std::collections::BTreeMap;

use axum::{body::Body, http::request::Parts, response::Response};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{Api, AwsError, answer, lambda::with_causes, read_body};
use crate::{
    service::{GetEvents, LogsError},
    store::{LogEventRecord, Scope},
};

impl From<LogsError> for AwsError {
    fn from(error: LogsError) -> Self {
        let missing = |message: &str| Self::user(400, "ResourceNotFoundException", message);
        let exists = |message: &str| Self::user(400, "ResourceAlreadyExistsException", message);
        match error {
            LogsError::GroupExists => exists("The specified log group already exists"),
            LogsError::StreamExists => exists("The specified log stream already exists"),
            LogsError::NoSuchGroup => missing("The specified log group does not exist."),
            LogsError::NoSuchStream => missing("The specified log stream does not exist."),
            LogsError::BadToken => {
                Self::user(400, "InvalidParameterException", "The specified nextToken is invalid.")
            }
            LogsError::PatternNotBuilt => Self::user(
                400,
                "InvalidParameterException",
                "The local cloud understands filter patterns of words only",
            ),
            LogsError::Store(error) => Self::user(500, "ServiceUnavailableException", with_causes(&error)),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    resource_arn: Option<String>,
    tags: BTreeMap<String, String>,
    log_stream_name: Option<String>,
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_stream_name_prefix: Option<String>,
    log_stream_names: Vec<String>,
    order_by: Option<String>,
    descending: bool,
    log_events: Vec<InputEvent>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    limit: Option<usize>,
    next_token: Option<String>,
    start_from_head: bool,
    filter_pattern: Option<String>,
}

#[derive(Deserialize)]
struct InputEvent {
    timestamp: i64,
    message: String,
}

impl Request {
    fn group(&mut self) -> Result<String, AwsError> {
        let named = self.log_group_name.take().or_else(|| {
            let identifier = self.log_group_identifier.take()?;
            // A name, or an ARN that ends in one.
            Some(identifier.split(":log-group:").last()?.trim_end_matches(":*").to_owned())
        });
        named.ok_or_else(|| missing_member("logGroupName"))
    }

    fn stream(&mut self) -> Result<String, AwsError> {
        self.log_stream_name.take().ok_or_else(|| missing_member("logStreamName"))
    }
}

fn missing_member(name: &str) -> AwsError {
    AwsError::user(
        400,
        "InvalidParameterException",
        format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: \
             Member must not be null"
        ),
    )
}

/// PutLogEvents takes 1 MiB; JSON may make it twice that.
const BODY_BYTES: usize = 4 << 20;

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
        Ok(Ok(bytes)) => perform(api, scope, operation, &bytes).await,
        Ok(Err(_)) => Err(AwsError::user(413, "RequestEntityTooLargeException", "The request is too large")),
        Err(error) => Err(AwsError::user(400, "SerializationException", error.to_string())),
    };
    match outcome {
        Ok(Some(value)) => answer(200, "application/x-amz-json-1.1", value.to_string(), request_id),
        Ok(None) => answer(200, "application/x-amz-json-1.1", Body::empty(), request_id),
        Err(error) => error.json_1_1(request_id),
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AwsError> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| AwsError::user(400, "SerializationException", error.to_string()))
}

async fn perform(api: &Api, scope: Scope, operation: &str, bytes: &[u8]) -> Result<Option<Value>, AwsError> {
    let cloud = &api.cloud;
    let mut request: Request = parsed(bytes)?;
    match operation {
        "CreateLogGroup" => {
            let tags = std::mem::take(&mut request.tags);
            cloud.create_log_group(scope, request.group()?, tags).await?;
            Ok(None)
        }
        "ListTagsForResource" => {
            request.log_group_identifier = request.resource_arn.take();
            let group = request.group().map_err(|_| missing_member("resourceArn"))?;
            Ok(Some(json!({ "tags": cloud.log_group_tags(scope, group).await? })))
        }
        "DeleteLogGroup" => {
            cloud.delete_log_group(scope, request.group()?).await?;
            Ok(None)
        }
        "CreateLogStream" => {
            let (group, stream) = (request.group()?, request.stream()?);
            cloud.create_log_stream(scope, group, stream).await?;
            Ok(None)
        }
        "PutLogEvents" => {
            let (group, stream) = (request.group()?, request.stream()?);
            let events =
                request.log_events.into_iter().map(|event| (event.timestamp, event.message)).collect();
            cloud.put_log_events(scope, group, stream, events).await?;
            // Sequence tokens are of no use since 2023; old clients still read one.
            Ok(Some(json!({ "nextSequenceToken": "49039859629718217468893" })))
        }
        "DescribeLogGroups" => describe_groups(api, &scope, request).await.map(Some),
        "DescribeLogStreams" => describe_streams(api, &scope, request).await.map(Some),
        "GetLogEvents" => get_events(api, scope, request).await.map(Some),
        "FilterLogEvents" => filter_events(api, scope, request).await.map(Some),
        other => Err(AwsError::not_built(format!("The local cloud does not implement {other} yet"))),
    }
}

async fn describe_groups(api: &Api, scope: &Scope, request: Request) -> Result<Value, AwsError> {
    let (groups, next) = api
        .cloud
        .log_groups(
            scope.clone(),
            request.log_group_name_prefix.unwrap_or_default(),
            request.log_group_name_pattern.unwrap_or_default(),
            request.next_token,
            request.limit.unwrap_or(50).clamp(1, 50),
        )
        .await?;
    let groups: Vec<_> = groups
        .iter()
        .map(|group| {
            let arn = format!("arn:aws:logs:{}:{}:log-group:{}", scope.region, scope.account, group.name);
            let mut answer = json!({
                "logGroupName": group.name,
                "creationTime": group.created,
                "metricFilterCount": 0,
                "arn": format!("{arn}:*"),
                "storedBytes": group.stored_bytes,
                "logGroupClass": "STANDARD",
                "logGroupArn": arn,
            });
            if let Some(days) = group.retention {
                answer["retentionInDays"] = days.into();
            }
            answer
        })
        .collect();
    Ok(with_token(json!({ "logGroups": groups }), next))
}

async fn describe_streams(api: &Api, scope: &Scope, mut request: Request) -> Result<Value, AwsError> {
    let group = request.group()?;
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    let mut streams = api.cloud.log_streams(scope.clone(), group.clone(), prefix).await?;
    if request.order_by.as_deref() == Some("LastEventTime") {
        streams.sort_by_key(|stream| stream.last_event);
    }
    if request.descending {
        streams.reverse();
    }
    let limit = request.limit.unwrap_or(50).clamp(1, 50);
    let from = request.next_token.and_then(|token| token.parse::<usize>().ok()).unwrap_or(0);
    // The token is the client's to write, so the sum may be any.
    let end = from.saturating_add(limit);
    let next = (streams.len() > end).then(|| end.to_string());
    let streams: Vec<_> = streams
        .iter()
        .skip(from)
        .take(limit)
        .map(|stream| {
            let mut answer = Map::new();
            let arn = format!(
                "arn:aws:logs:{}:{}:log-group:{group}:log-stream:{}",
                scope.region, scope.account, stream.name
            );
            answer.insert("logStreamName".to_owned(), stream.name.clone().into());
            answer.insert("creationTime".to_owned(), stream.created.into());
            for (name, value) in [
                ("firstEventTimestamp", stream.first_event),
                ("lastEventTimestamp", stream.last_event),
                ("lastIngestionTime", stream.last_ingestion),
            ] {
                if let Some(value) = value {
                    answer.insert(name.to_owned(), value.into());
                }
            }
            answer.insert("arn".to_owned(), arn.into());
            answer.insert("storedBytes".to_owned(), 0.into());
            Value::Object(answer)
        })
        .collect();
    Ok(with_token(json!({ "logStreams": streams }), next))
}

async fn get_events(api: &Api, scope: Scope, mut request: Request) -> Result<Value, AwsError> {
    let group = request.group()?;
    let stream = request.stream()?;
    let get = GetEvents {
        streams: vec![stream],
        start: request.start_time,
        end: request.end_time,
        limit: request.limit,
        token: request.next_token,
        from_head: request.start_from_head,
        ..GetEvents::default()
    };
    let page = api.cloud.log_events(scope, group, get).await?;
    let events: Vec<_> = page
        .events
        .iter()
        .map(|event| {
            json!({ "timestamp": event.time, "message": message(event), "ingestionTime": event.ingested })
        })
        .collect();
    Ok(json!({ "events": events, "nextForwardToken": page.forward, "nextBackwardToken": page.backward }))
}

async fn filter_events(api: &Api, scope: Scope, mut request: Request) -> Result<Value, AwsError> {
    let group = request.group()?;
    let get = GetEvents {
        streams: std::mem::take(&mut request.log_stream_names),
        stream_prefix: request.log_stream_name_prefix,
        start: request.start_time,
        // FilterLogEvents alone includes the end.
        end: request.end_time.map(|end| end.saturating_add(1)),
        limit: request.limit,
        token: request.next_token,
        from_head: true,
        pattern: request.filter_pattern.filter(|pattern| !pattern.trim().is_empty()),
    };
    let page = api.cloud.log_events(scope, group, get).await?;
    let events: Vec<_> = page
        .events
        .iter()
        .map(|event| {
            json!({
                "logStreamName": event.stream,
                "timestamp": event.time,
                "message": message(event),
                "ingestionTime": event.ingested,
                "eventId": format!("{:056}", event.id),
            })
        })
        .collect();
    let next = page.more.then_some(page.forward);
    Ok(with_token(json!({ "events": events, "searchedLogStreams": [] }), next))
}

fn message(event: &LogEventRecord) -> &str {
    &event.message
}

fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    answer
}
