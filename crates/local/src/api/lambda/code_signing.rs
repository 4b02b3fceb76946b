//! The code signing operations on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, AwsError, Call, layers::listed, wire};
use crate::{
    service::{CodeSigningChanges, code_signing_arn},
    store::{CodeSigningRecord, Scope},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigRequest {
    #[serde(default)]
    code_signing_config_arn: String,
    description: Option<String>,
    allowed_publishers: Option<Value>,
    code_signing_policies: Option<Policies>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policies {
    untrusted_artifact_on_deployment: Option<String>,
}

impl ConfigRequest {
    fn changes(self) -> CodeSigningChanges {
        CodeSigningChanges {
            description: self.description,
            publishers: self.allowed_publishers,
            untrusted: self
                .code_signing_policies
                .and_then(|policies| policies.untrusted_artifact_on_deployment),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionRequest {
    function_name: String,
    #[serde(default)]
    code_signing_config_arn: String,
}

fn answered(scope: &Scope, record: &CodeSigningRecord) -> Value {
    let mut config = json!({
        "CodeSigningConfigId": record.id,
        "CodeSigningConfigArn": code_signing_arn(scope, &record.id),
        "AllowedPublishers": record.publishers,
        "CodeSigningPolicies": { "UntrustedArtifactOnDeployment": record.untrusted },
        "LastModified": wire::time(record.modified),
    });
    if let Some(description) = &record.description {
        config["Description"] = description.as_str().into();
    }
    config
}

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut request: ConfigRequest = call.input()?;
    let tags = std::mem::take(&mut request.tags);
    let record = call.api.cloud.create_code_signing(call.scope.clone(), request.changes(), tags).await?;
    Ok(Answer::Json(json!({ "CodeSigningConfig": answered(&call.scope, &record) })))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ConfigRequest = call.input()?;
    let record = call.api.cloud.code_signing(call.scope.clone(), request.code_signing_config_arn).await?;
    Ok(Answer::Json(json!({ "CodeSigningConfig": answered(&call.scope, &record) })))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut request: ConfigRequest = call.input()?;
    let arn = std::mem::take(&mut request.code_signing_config_arn);
    let record = call.api.cloud.update_code_signing(call.scope.clone(), arn, request.changes()).await?;
    Ok(Answer::Json(json!({ "CodeSigningConfig": answered(&call.scope, &record) })))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ConfigRequest = call.input()?;
    call.api.cloud.delete_code_signing(call.scope, request.code_signing_config_arn).await?;
    Ok(Answer::Empty(204))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ConfigRequest = call.input()?;
    let limit = request.max_items.unwrap_or(10_000);
    let page = call.api.cloud.code_signings(call.scope.clone(), request.marker, limit).await?;
    let configs: Vec<_> = page.items.iter().map(|record| answered(&call.scope, record)).collect();
    Ok(listed("CodeSigningConfigs", configs.into(), page.next))
}

pub(super) async fn list_functions(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ConfigRequest = call.input()?;
    let limit = request.max_items.unwrap_or(10_000);
    let arn = request.code_signing_config_arn;
    let page = call.api.cloud.functions_with_code_signing(call.scope, arn, request.marker, limit).await?;
    Ok(listed("FunctionArns", page.items.into(), page.next))
}

pub(super) async fn put_of_function(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: FunctionRequest = call.input()?;
    let function = call.function(&request.function_name, None)?;
    let (name, arn) = (function.name.clone(), request.code_signing_config_arn);
    call.api.cloud.put_function_code_signing(call.scope, function, arn.clone()).await?;
    Ok(Answer::Json(json!({ "CodeSigningConfigArn": arn, "FunctionName": name })))
}

pub(super) async fn get_of_function(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: FunctionRequest = call.input()?;
    let function = call.function(&request.function_name, None)?;
    let name = function.name.clone();
    // A function without a configuration is answered without a name, too; so it was recorded.
    Ok(Answer::Json(match call.api.cloud.function_code_signing(call.scope, function).await? {
        Some(arn) => json!({ "CodeSigningConfigArn": arn, "FunctionName": name }),
        None => json!({}),
    }))
}

pub(super) async fn delete_of_function(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: FunctionRequest = call.input()?;
    let function = call.function(&request.function_name, None)?;
    call.api.cloud.delete_function_code_signing(call.scope, function).await?;
    Ok(Answer::Empty(204))
}
