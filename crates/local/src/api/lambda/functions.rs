//! The function operations on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, AwsError, Call, layers::listed, wire};
use crate::service::{FunctionChanges, FunctionRef, NewFunction, Qualifier};

/// Members that are kept and given back and mean nothing on this machine.
const ECHOED: [&str; 5] = ["VpcConfig", "KMSKeyArn", "DeadLetterConfig", "FileSystemConfigs", "ImageConfig"];

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Code {
    #[serde(rename = "S3Bucket")]
    bucket: Option<String>,
    #[serde(rename = "S3Key")]
    key: Option<String>,
    #[serde(rename = "S3ObjectVersion")]
    version: Option<String>,
    image_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateRequest {
    function_name: String,
    code: Code,
    package_type: Option<String>,
    architectures: Option<Vec<String>>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    publish: Option<bool>,
    #[serde(flatten)]
    configuration: Configuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateConfigurationRequest {
    function_name: String,
    revision_id: Option<String>,
    #[serde(flatten)]
    configuration: Configuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateCodeRequest {
    function_name: String,
    revision_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
    publish: Option<bool>,
    architectures: Option<Vec<String>>,
    #[serde(flatten)]
    code: Code,
}

/// What creation and configuration have in common.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    runtime: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    role: Option<String>,
    memory_size: Option<u32>,
    timeout: Option<u32>,
    ephemeral_storage: Option<EphemeralStorage>,
    environment: Option<Environment>,
    layers: Option<Vec<String>>,
    logging_config: Option<LoggingConfig>,
    tracing_config: Option<TracingConfig>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    size: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    #[serde(default)]
    variables: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LoggingConfig {
    log_format: Option<String>,
    log_group: Option<String>,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TracingConfig {
    mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NameRequest {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    marker: Option<String>,
    max_items: Option<usize>,
    function_version: Option<String>,
}

impl Configuration {
    fn changes(mut self) -> FunctionChanges {
        let logging = self.logging_config.unwrap_or_default();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        FunctionChanges {
            runtime: self.runtime,
            handler: self.handler,
            description: self.description,
            role: self.role,
            memory: self.memory_size,
            timeout: self.timeout,
            ephemeral_storage: self.ephemeral_storage.map(|storage| storage.size),
            variables: self.environment.map(|environment| {
                environment.variables.into_iter().map(|(key, value)| (key, text(value))).collect()
            }),
            layers: self.layers,
            log_format: logging.log_format,
            log_group: logging.log_group,
            application_log_level: logging.application_log_level,
            system_log_level: logging.system_log_level,
            tracing: self.tracing_config.and_then(|tracing| tracing.mode),
            echoed: ECHOED
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), self.rest.remove(*name)?)))
                .collect(),
        }
    }
}

fn refuse_images(package_type: Option<&str>, code: &Code) -> Result<(), AwsError> {
    if package_type == Some("Image") || code.image_uri.is_some() {
        return Err(AwsError::not_built(
            "The local cloud does not implement functions from container images",
        ));
    }
    Ok(())
}

fn refuse_publish(publish: Option<bool>) -> Result<(), AwsError> {
    if publish == Some(true) {
        return Err(AwsError::not_built("The local cloud does not implement published versions yet"));
    }
    Ok(())
}

fn first(architectures: Option<Vec<String>>) -> Option<String> {
    architectures.into_iter().flatten().next()
}

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: CreateRequest = call.input()?;
    refuse_images(request.package_type.as_deref(), &request.code)?;
    refuse_publish(request.publish)?;
    let function = wire::function_ref(&call.scope, &request.function_name, None)?;
    let new = NewFunction {
        name: function.name,
        source: call.source(request.code.bucket, request.code.key, request.code.version)?,
        architecture: first(request.architectures),
        changes: request.configuration.changes(),
        tags: request.tags,
    };
    let record = call.api.cloud.create_function(call.scope.clone(), new).await?;
    let arn = FunctionRef { name: record.name.clone(), qualifier: None }.arn(&call.scope);
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &arn)))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: NameRequest = call.input()?;
    let function = wire::function_ref(&call.scope, &request.function_name, request.qualifier.as_deref())?;
    let record = call.api.cloud.function(&call.scope, &function).await?;
    let mut answer = json!({
        "Configuration": wire::configuration(&call.scope, &record, &function.arn(&call.scope)),
        "Code": {
            "RepositoryType": "S3",
            "Location": wire::location(&call.endpoint, record.settings.code),
        },
    });
    if !record.tags.is_empty() {
        answer["Tags"] = json!(record.tags);
    }
    if let Some(reserved) = call.api.cloud.reserved(&call.scope, &record.name).await? {
        answer["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
    }
    Ok(Answer::Json(answer))
}

pub(super) async fn get_configuration(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: NameRequest = call.input()?;
    let function = wire::function_ref(&call.scope, &request.function_name, request.qualifier.as_deref())?;
    let record = call.api.cloud.function(&call.scope, &function).await?;
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &function.arn(&call.scope))))
}

pub(super) async fn update_code(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: UpdateCodeRequest = call.input()?;
    refuse_images(None, &request.code)?;
    refuse_publish(request.publish)?;
    let function = wire::function_ref(&call.scope, &request.function_name, None)?;
    let source = call.source(request.code.bucket, request.code.key, request.code.version)?;
    let arn = function.arn(&call.scope);
    let record = call
        .api
        .cloud
        .update_function_code(
            call.scope.clone(),
            function,
            source,
            first(request.architectures),
            request.revision_id,
            request.dry_run,
        )
        .await?;
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &arn)))
}

pub(super) async fn update_configuration(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: UpdateConfigurationRequest = call.input()?;
    let function = wire::function_ref(&call.scope, &request.function_name, None)?;
    let arn = function.arn(&call.scope);
    let record = call
        .api
        .cloud
        .update_function_configuration(
            call.scope.clone(),
            function,
            request.configuration.changes(),
            request.revision_id,
        )
        .await?;
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &arn)))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ListRequest = call.input()?;
    // "Lambda returns up to 50 items in each response, even if you set the number higher."
    let limit = request.max_items.unwrap_or(50).min(50);
    let page = call.api.cloud.functions(call.scope.clone(), request.marker, limit).await?;
    let qualifier = request.function_version.map(|_| Qualifier::Latest);
    let functions: Vec<_> = page
        .functions
        .iter()
        .map(|record| {
            let function = FunctionRef { name: record.name.clone(), qualifier: qualifier.clone() };
            let mut answer = wire::configuration(&call.scope, record, &function.arn(&call.scope));
            // A list has only a part of each configuration, says the API's documentation.
            if let Value::Object(members) = &mut answer {
                members.retain(|name, _| {
                    !name.starts_with("State")
                        && !name.starts_with("LastUpdateStatus")
                        && name != "RuntimeVersionConfig"
                });
            }
            answer
        })
        .collect();
    Ok(listed("Functions", functions.into(), page.next))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: NameRequest = call.input()?;
    let function = wire::function_ref(&call.scope, &request.function_name, request.qualifier.as_deref())?;
    if function.qualifier == Some(Qualifier::Latest) {
        return Err(AwsError::user(
            400,
            "InvalidParameterValueException",
            "$LATEST version cannot be deleted without deleting the function.",
        ));
    }
    call.api.cloud.delete_function(call.scope.clone(), function).await?;
    Ok(Answer::Empty(204))
}
