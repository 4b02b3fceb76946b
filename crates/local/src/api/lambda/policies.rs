//! The permission operations on the wire: of layer versions, of functions, and by ARN.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, AwsError, Call, wire};
use crate::service::{FunctionPermission, FunctionRef, LayerPermission, Policy, SettingsError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddLayerRequest {
    layer_name: String,
    version_number: i64,
    statement_id: String,
    action: String,
    principal: String,
    organization_id: Option<String>,
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LayerRequest {
    layer_name: String,
    version_number: i64,
    #[serde(default)]
    statement_id: String,
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddRequest {
    function_name: String,
    qualifier: Option<String>,
    statement_id: String,
    action: String,
    principal: String,
    source_arn: Option<String>,
    source_account: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    event_source_token: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionRequest {
    function_name: String,
    qualifier: Option<String>,
    #[serde(default)]
    statement_id: String,
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRequest {
    resource_arn: String,
    #[serde(default)]
    policy: String,
    revision_id: Option<String>,
}

fn policy(policy: &Policy) -> Answer {
    Answer::Json(json!({ "Policy": policy.document.to_string(), "RevisionId": policy.revision }))
}

pub(super) async fn add_to_layer(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: AddLayerRequest = call.input()?;
    let name = wire::layer_name(&call.scope, &request.layer_name)?;
    let permission = LayerPermission {
        id: request.statement_id,
        action: request.action,
        principal: request.principal,
        organization: request.organization_id,
    };
    let (statement, revision) = call
        .api
        .cloud
        .add_layer_permission(call.scope, name, request.version_number, permission, request.revision_id)
        .await?;
    Ok(Answer::Json(json!({ "Statement": statement.to_string(), "RevisionId": revision })))
}

pub(super) async fn get_of_layer(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: LayerRequest = call.input()?;
    let name = wire::layer_name(&call.scope, &request.layer_name)?;
    Ok(policy(&call.api.cloud.layer_policy(call.scope, name, request.version_number).await?))
}

pub(super) async fn remove_from_layer(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: LayerRequest = call.input()?;
    let name = wire::layer_name(&call.scope, &request.layer_name)?;
    let (version, id) = (request.version_number, request.statement_id);
    call.api.cloud.remove_layer_permission(call.scope, name, version, id, request.revision_id).await?;
    Ok(Answer::Empty(204))
}

pub(super) async fn add(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: AddRequest = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let permission = FunctionPermission {
        id: request.statement_id,
        action: request.action,
        principal: request.principal,
        source_arn: request.source_arn,
        source_account: request.source_account,
        url_auth: request.function_url_auth_type,
        via_url: request.invoked_via_function_url,
        event_source_token: request.event_source_token,
        organization: request.principal_org_id,
    };
    let statement =
        call.api.cloud.add_permission(call.scope, function, permission, request.revision_id).await?;
    Ok(Answer::Json(json!({ "Statement": statement.to_string() })))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: FunctionRequest = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    Ok(policy(&call.api.cloud.function_policy(call.scope, function).await?))
}

pub(super) async fn remove(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: FunctionRequest = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    call.api.cloud.remove_permission(call.scope, function, request.statement_id, request.revision_id).await?;
    Ok(Answer::Empty(204))
}

/// The function of a resource's ARN; other resources with policies are not there.
fn resource(call: &Call<'_>, arn: &str) -> Result<FunctionRef, AwsError> {
    if arn.split(':').nth(5) != Some("function") {
        return Err(SettingsError::NoSuchResource.into());
    }
    call.function(arn, None)
}

pub(super) async fn put_of_resource(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ResourceRequest = call.input()?;
    let function = resource(&call, &request.resource_arn)?;
    let put = call.api.cloud.put_policy(call.scope, function, &request.policy, request.revision_id).await?;
    Ok(policy(&put))
}

pub(super) async fn get_of_resource(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ResourceRequest = call.input()?;
    let function = resource(&call, &request.resource_arn)?;
    Ok(policy(&call.api.cloud.function_policy(call.scope, function).await?))
}

pub(super) async fn delete_of_resource(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ResourceRequest = call.input()?;
    let function = resource(&call, &request.resource_arn)?;
    call.api.cloud.delete_policy(call.scope, function, request.revision_id).await?;
    Ok(Answer::Empty(204))
}
