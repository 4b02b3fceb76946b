//! The tag operations on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, AwsError, Call, wire};
use crate::service::FunctionRef;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagsRequest {
    resource: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

async fn function(call: &Call<'_>, resource: &str) -> Result<FunctionRef, AwsError> {
    let mut function = wire::function_ref(&call.scope, resource, None)?;
    if function.qualifier.take().is_some() {
        return Err(AwsError::user(
            400,
            "InvalidParameterValueException",
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        ));
    }
    call.api.cloud.function(&call.scope, &function).await?;
    Ok(function)
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: TagsRequest = call.input()?;
    let function = function(&call, &request.resource).await?;
    let record = call.api.cloud.function(&call.scope, &function).await?;
    Ok(Answer::Json(json!({ "Tags": record.tags })))
}

pub(super) async fn tag(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: TagsRequest = call.input()?;
    let function = function(&call, &request.resource).await?;
    let added = request.tags;
    call.api.cloud.change_tags(call.scope.clone(), function, move |tags| tags.extend(added)).await?;
    Ok(Answer::Empty(204))
}

pub(super) async fn untag(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: TagsRequest = call.input()?;
    let function = function(&call, &request.resource).await?;
    let removed = request.tag_keys;
    call.api
        .cloud
        .change_tags(call.scope.clone(), function, move |tags| tags.retain(|key, _| !removed.contains(key)))
        .await?;
    Ok(Answer::Empty(204))
}
