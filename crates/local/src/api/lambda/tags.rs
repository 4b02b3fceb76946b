//! The tag operations on the wire: of functions, event source mappings and code signing
//! configurations.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, AwsError, Call};
use crate::service::{SettingsError, Taggable};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagsRequest {
    resource: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// What an ARN names; the API model has checked its shape.
fn resource(call: &Call<'_>, arn: &str) -> Result<Taggable, AwsError> {
    let parts: Vec<_> = arn.splitn(7, ':').collect();
    let ["arn", _, _, region, account, kind, name] = parts[..] else {
        return Err(SettingsError::NoSuchResource.into());
    };
    match kind {
        "function" => {
            let function = call.function(arn, None)?;
            if function.qualifier.is_some() {
                return Err(AwsError::user(
                    400,
                    "InvalidParameterValueException",
                    "Tags on function aliases and versions are not supported. Please specify a function ARN.",
                ));
            }
            Ok(Taggable::Function(function))
        }
        "code-signing-config" => Ok(Taggable::CodeSigning(arn.to_owned())),
        "event-source-mapping"
            if region == call.scope.region.as_str() && account == call.scope.account.as_str() =>
        {
            Ok(Taggable::Mapping(name.to_owned()))
        }
        "event-source-mapping" => Err(SettingsError::NoSuchResource.into()),
        other => {
            Err(AwsError::not_built(format!("The local cloud does not implement tags of a {other} yet")))
        }
    }
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: TagsRequest = call.input()?;
    let resource = resource(&call, &request.resource)?;
    let tags = call.api.cloud.tags(&call.scope, resource).await?;
    Ok(Answer::Json(json!({ "Tags": tags })))
}

pub(super) async fn tag(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: TagsRequest = call.input()?;
    let resource = resource(&call, &request.resource)?;
    let added = request.tags;
    if added.is_empty() {
        return Err(SettingsError::NoTags.into());
    }
    call.api.cloud.change_resource_tags(call.scope, resource, move |tags| tags.extend(added)).await?;
    Ok(Answer::Empty(204))
}

pub(super) async fn untag(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: TagsRequest = call.input()?;
    let resource = resource(&call, &request.resource)?;
    let removed = request.tag_keys;
    call.api
        .cloud
        .change_resource_tags(call.scope, resource, move |tags| tags.retain(|key, _| !removed.contains(key)))
        .await?;
    Ok(Answer::Empty(204))
}
