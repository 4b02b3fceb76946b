//! The event source mapping operations on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Answer, AwsError, Call, layers::listed, wire};
use crate::{
    service::{EventSource, Mapping, MappingRequest},
    store::Scope,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(rename = "UUID", default)]
    uuid: String,
    function_name: Option<String>,
    enabled: Option<bool>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    function_name: Option<String>,
    event_source_arn: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

fn request(call: &Call<'_>, request: Request) -> Result<MappingRequest, AwsError> {
    let function = request.function_name.as_deref().map(|name| call.function(name, None));
    Ok(MappingRequest { function: function.transpose()?, enabled: request.enabled, members: request.members })
}

fn answered(scope: &Scope, mapping: &Mapping) -> Value {
    let record = &mapping.record;
    let shards = mapping.source.has_shards();
    let mut answer = Map::new();
    let mut set = |name: &str, value: Value| {
        answer.insert(name.to_owned(), value);
    };
    set("UUID", record.uuid.as_str().into());
    let arn =
        format!("arn:aws:lambda:{}:{}:event-source-mapping:{}", scope.region, scope.account, record.uuid);
    set("EventSourceMappingArn", arn.into());
    if let Some(source) = &record.source {
        set("EventSourceArn", source.as_str().into());
    }
    set("FunctionArn", record.function_arn.as_str().into());
    set("LastModified", wire::seconds(record.changed));
    set("State", mapping.state.into());
    set("StateTransitionReason", if shards { "User action" } else { "USER_INITIATED" }.into());
    if mapping.settled {
        set("LastProcessingResult", nothing_to_read(mapping.source).into());
    } else if shards {
        set("LastProcessingResult", "No records processed".into());
    }
    for (name, value) in &record.members {
        set(name, value.clone());
    }
    Value::Object(answer)
}

/// Where AWS says how reading went, the local cloud says why nothing is read.
fn nothing_to_read(source: EventSource) -> String {
    format!("No records processed: the local cloud has no {}, so nothing is read", source.service())
}

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut given: Request = call.input()?;
    let tags = std::mem::take(&mut given.tags);
    let new = request(&call, given)?;
    let mapping = call.api.cloud.create_mapping(call.scope.clone(), new, tags).await?;
    Ok(Answer::Json(answered(&call.scope, &mapping)))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let given: Request = call.input()?;
    let mapping = call.api.cloud.mapping(call.scope.clone(), given.uuid).await?;
    Ok(Answer::Json(answered(&call.scope, &mapping)))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ListRequest = call.input()?;
    let function = request.function_name.as_deref().map(|name| call.function(name, None));
    let page = call
        .api
        .cloud
        .mappings(
            call.scope.clone(),
            function.transpose()?,
            request.event_source_arn,
            request.marker,
            request.max_items,
        )
        .await?;
    let mappings: Vec<_> = page.items.iter().map(|mapping| answered(&call.scope, mapping)).collect();
    Ok(listed("EventSourceMappings", mappings.into(), page.next))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let given: Request = call.input()?;
    let uuid = given.uuid.clone();
    let changes = request(&call, given)?;
    let mapping = call.api.cloud.update_mapping(call.scope.clone(), uuid, changes).await?;
    Ok(Answer::Json(answered(&call.scope, &mapping)))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let given: Request = call.input()?;
    let mapping = call.api.cloud.delete_mapping(call.scope.clone(), given.uuid).await?;
    Ok(Answer::Json(answered(&call.scope, &mapping)))
}
