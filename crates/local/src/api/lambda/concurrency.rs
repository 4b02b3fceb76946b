//! The concurrency operations on the wire.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, AwsError, Call, layers::listed, wire};
use crate::{sandbox::NotReady, service::Provisioned};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    function_name: String,
    qualifier: Option<String>,
    #[serde(default)]
    reserved_concurrent_executions: u32,
    #[serde(default)]
    provisioned_concurrent_executions: u32,
    marker: Option<String>,
    max_items: Option<usize>,
}

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, None)?;
    let reserved = request.reserved_concurrent_executions;
    call.api.cloud.put_concurrency(call.scope, function, reserved).await?;
    Ok(Answer::Json(json!({ "ReservedConcurrentExecutions": reserved })))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, None)?;
    Ok(Answer::Json(match call.api.cloud.concurrency(&call.scope, &function).await? {
        Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
        None => json!({}),
    }))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, None)?;
    call.api.cloud.delete_concurrency(call.scope, function).await?;
    Ok(Answer::Empty(204))
}

fn answered(provisioned: &Provisioned) -> Value {
    let (status, reason) = match &provisioned.missing {
        None if provisioned.allocated == provisioned.requested => ("READY", None),
        None => ("IN_PROGRESS", None),
        Some(NotReady::InitFailed) => ("FAILED", Some("FUNCTION_ERROR_INIT_FAILURE".to_owned())),
        Some(NotReady::MachineFull { environments }) => {
            ("FAILED", Some(format!("This machine keeps {environments} execution environments at most.")))
        }
        Some(NotReady::Start(reason)) => ("FAILED", Some(reason.clone())),
    };
    let mut answer = json!({
        "RequestedProvisionedConcurrentExecutions": provisioned.requested,
        "AvailableProvisionedConcurrentExecutions": provisioned.allocated,
        "AllocatedProvisionedConcurrentExecutions": provisioned.allocated,
        "Status": status,
        "LastModified": wire::time(provisioned.modified),
    });
    if let Some(reason) = reason {
        answer["StatusReason"] = reason.into();
    }
    answer
}

pub(super) async fn put_provisioned(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let requested = request.provisioned_concurrent_executions;
    Ok(Answer::Json(answered(&call.api.cloud.put_provisioned(call.scope, function, requested).await?)))
}

pub(super) async fn get_provisioned(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    Ok(Answer::Json(answered(&call.api.cloud.provisioned(call.scope, function).await?)))
}

pub(super) async fn list_provisioned(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, None)?;
    let limit = request.max_items.unwrap_or(50);
    let page = call.api.cloud.list_provisioned(call.scope, function, request.marker, limit).await?;
    let configs: Vec<_> = page
        .items
        .iter()
        .map(|provisioned| {
            let mut config = answered(provisioned);
            config["FunctionArn"] = provisioned.arn.as_str().into();
            config
        })
        .collect();
    Ok(listed("ProvisionedConcurrencyConfigs", configs.into(), page.next))
}

pub(super) async fn delete_provisioned(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    call.api.cloud.delete_provisioned(call.scope, function).await?;
    Ok(Answer::Empty(204))
}
