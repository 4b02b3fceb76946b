//! The runtime management operations on the wire.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, AwsError, Call};
use crate::service::RuntimeManagement;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    function_name: String,
    qualifier: Option<String>,
    #[serde(default)]
    update_runtime_on: String,
    runtime_version_arn: Option<String>,
}

/// "If the runtime update mode is manual, the ARN is returned, otherwise null is returned."
fn answered(arn: &str, management: &RuntimeManagement) -> Value {
    json!({
        "UpdateRuntimeOn": management.update_on,
        "FunctionArn": arn,
        "RuntimeVersionArn": management.version_arn,
    })
}

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let arn = function.arn(&call.scope);
    let management =
        RuntimeManagement { update_on: request.update_runtime_on, version_arn: request.runtime_version_arn };
    call.api.cloud.put_runtime_management(call.scope, function, management.clone()).await?;
    Ok(Answer::Json(answered(&arn, &management)))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let arn = function.arn(&call.scope);
    let management = call.api.cloud.runtime_management(call.scope, function).await?;
    Ok(Answer::Json(answered(&arn, &management)))
}
