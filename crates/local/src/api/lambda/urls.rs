//! The function URL operations on the wire.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, AwsError, Call, Links, layers::listed, wire};
use crate::service::{FunctionRef, FunctionUrl, UrlChanges};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    function_name: String,
    qualifier: Option<String>,
    auth_type: Option<String>,
    cors: Option<Value>,
    invoke_mode: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Request {
    fn changes(self) -> UrlChanges {
        UrlChanges { auth: self.auth_type, cors: self.cors, invoke_mode: self.invoke_mode }
    }
}

fn function(call: &Call<'_>, request: &Request) -> Result<FunctionRef, AwsError> {
    call.function(&request.function_name, request.qualifier.as_deref())
}

/// What every answer has.
fn answered(links: &Links, url: &FunctionUrl) -> Value {
    let mut answer = json!({
        "FunctionUrl": links.to_function(&url.id, &url.region),
        "FunctionArn": url.arn,
        "AuthType": url.config.auth,
        "CreationTime": wire::time(url.config.created),
    });
    if let Some(cors) = &url.config.cors {
        answer["Cors"] = cors.clone();
    }
    answer
}

/// As getting and listing answer: the mode of invocation is only here (FACTS.md §10).
fn full(links: &Links, url: &FunctionUrl) -> Value {
    let mut answer = answered(links, url);
    answer["LastModifiedTime"] = wire::time(url.config.modified).into();
    answer["InvokeMode"] = url.config.invoke_mode.as_str().into();
    answer
}

/// The recordings without the mode are of requests without it; one that has it gets it back.
fn with_mode(mut answer: Value, mode: Option<String>) -> Answer {
    if let Some(mode) = mode {
        answer["InvokeMode"] = mode.into();
    }
    Answer::Json(answer)
}

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    let mode = request.invoke_mode.clone();
    let url = call.api.cloud.create_url(call.scope, function, request.changes()).await?;
    Ok(with_mode(answered(&call.endpoint, &url), mode))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    let url = call.api.cloud.url(call.scope, function).await?;
    Ok(Answer::Json(full(&call.endpoint, &url)))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    let mode = request.invoke_mode.clone();
    let url = call.api.cloud.update_url(call.scope, function, request.changes()).await?;
    let mut answer = answered(&call.endpoint, &url);
    answer["LastModifiedTime"] = wire::time(url.config.modified).into();
    Ok(with_mode(answer, mode))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    call.api.cloud.delete_url(call.scope, function).await?;
    Ok(Answer::Empty(204))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    let limit = request.max_items.unwrap_or(50);
    let page = call.api.cloud.urls(call.scope, function, request.marker, limit).await?;
    let urls: Vec<_> = page.items.iter().map(|url| full(&call.endpoint, url)).collect();
    Ok(listed("FunctionUrlConfigs", urls.into(), page.next))
}
