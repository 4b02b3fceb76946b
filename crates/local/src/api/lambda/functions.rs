//! The function operations on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, AwsError, Call, layers::listed, wire};
use crate::service::{CodeChange, FunctionChanges, FunctionRef, LambdaError, NewFunction, Qualifier};

/// Members that are kept and given back and mean nothing on this machine; an empty one takes away
/// what there was.
const ECHOED: [&str; 3] = ["VpcConfig", "KMSKeyArn", "FileSystemConfigs"];

/// Members of what is not there.
const NOT_BUILT: [&str; 8] = [
    "AcceleratorConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "ImageConfig",
    "PublishTo",
    "RuntimeConfig",
    "SourceKMSKeyArn",
    "TenancyConfig",
];

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
    #[serde(rename = "SourceKMSKeyArn")]
    source_kms_key_arn: Option<String>,
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
    code_signing_config_arn: Option<String>,
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
    publish_to: Option<String>,
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
    snap_start: Option<SnapStart>,
    dead_letter_config: Option<DeadLetterConfig>,
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
struct SnapStart {
    apply_on: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig {
    #[serde(default)]
    target_arn: String,
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
            snap_start: self.snap_start.and_then(|snap_start| snap_start.apply_on),
            dead_letter_target: self.dead_letter_config.map(|config| config.target_arn),
            echoed: ECHOED
                .iter()
                .filter_map(|name| {
                    let value = self.rest.remove(*name)?;
                    let is_empty = match &value {
                        Value::String(text) => text.is_empty(),
                        Value::Array(items) => items.is_empty(),
                        _ => false,
                    };
                    Some(((*name).to_owned(), Some(value).filter(|_| !is_empty)))
                })
                .collect(),
        }
    }

    /// Refuses by name what is not there.
    fn refuse_not_built(&self) -> Result<(), AwsError> {
        NOT_BUILT
            .iter()
            .find(|name| self.rest.contains_key(**name))
            .map_or(Ok(()), |name| Err(not_built(name)))
    }
}

impl Code {
    /// Refuses by name what is not there.
    fn refuse_not_built(&self) -> Result<(), AwsError> {
        self.source_kms_key_arn.as_ref().map_or(Ok(()), |_| Err(not_built("SourceKMSKeyArn")))
    }
}

fn not_built(name: &str) -> AwsError {
    AwsError::not_built(format!("The local cloud does not implement {name} yet"))
}

fn first(architectures: Option<Vec<String>>) -> Option<String> {
    architectures.into_iter().flatten().next()
}

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: CreateRequest = call.input()?;
    if request.package_type.as_deref() == Some("Image") || request.code.image_uri.is_some() {
        let message = "The local cloud does not implement functions from container images";
        return Err(AwsError::not_built(message));
    }
    request.configuration.refuse_not_built()?;
    request.code.refuse_not_built()?;
    let function = call.unqualified_function(&request.function_name)?;
    let code_signing = request.code_signing_config_arn;
    if let Some(arn) = &code_signing {
        call.api.cloud.check_code_signing(call.scope.clone(), arn.clone()).await?;
    }
    let new = NewFunction {
        name: function.name.clone(),
        source: call.source(request.code.bucket, request.code.key, request.code.version)?,
        architecture: first(request.architectures),
        changes: request.configuration.changes(),
        tags: request.tags,
        publish: request.publish.unwrap_or(false),
    };
    let record = call.api.cloud.create_function(call.scope.clone(), new).await?;
    if let Some(arn) = code_signing {
        call.api.cloud.put_function_code_signing(call.scope.clone(), function.clone(), arn).await?;
    }
    // Also of a version that was published at once, as recorded.
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &function.arn(&call.scope))))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: NameRequest = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let record = call.api.cloud.function(&call.scope, &function).await?;
    let mut answer = json!({
        "Configuration": wire::configuration(&call.scope, &record, &function.arn(&call.scope)),
        "Code": {
            "RepositoryType": "S3",
            "Location": wire::location(&call.endpoint, record.settings.code),
        },
    });
    let tags = match record.version {
        None => record.tags,
        // Tags are of functions, whichever version is asked for.
        Some(_) => call.api.cloud.function(&call.scope, &function.unqualified()).await?.tags,
    };
    if !tags.is_empty() {
        answer["Tags"] = json!(tags);
    }
    if let Some(reserved) = call.api.cloud.reserved(&call.scope, &record.name).await? {
        answer["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
    }
    Ok(Answer::Json(answer))
}

pub(super) async fn get_configuration(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: NameRequest = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    let record = call.api.cloud.function(&call.scope, &function).await?;
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &function.arn(&call.scope))))
}

pub(super) async fn update_code(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: UpdateCodeRequest = call.input()?;
    request.code.refuse_not_built()?;
    if request.publish_to.is_some() {
        return Err(not_built("PublishTo"));
    }
    let mut function = call.function(&request.function_name, None)?;
    function.check_unqualified()?;
    if request.code.image_uri.is_some() {
        call.api.cloud.function(&call.scope, &function).await?;
        return Err(LambdaError::ImageForZip.into());
    }
    let change = CodeChange {
        source: call.source(request.code.bucket, request.code.key, request.code.version)?,
        architecture: first(request.architectures),
        revision: request.revision_id,
        dry_run: request.dry_run,
        publish: request.publish.unwrap_or(false),
    };
    let record = call.api.cloud.update_function_code(call.scope.clone(), function.clone(), change).await?;
    if let Some(version) = record.version {
        function.qualifier = Some(Qualifier::Version(version));
    }
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &function.arn(&call.scope))))
}

pub(super) async fn update_configuration(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: UpdateConfigurationRequest = call.input()?;
    request.configuration.refuse_not_built()?;
    let function = call.function(&request.function_name, None)?;
    let arn = function.arn(&call.scope);
    let (changes, revision) = (request.configuration.changes(), request.revision_id);
    let record =
        call.api.cloud.update_function_configuration(call.scope.clone(), function, changes, revision).await?;
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &arn)))
}

/// "Lambda returns up to 50 items in each response, even if you set the number higher."
pub(super) const LIST_ITEMS: usize = 50;

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ListRequest = call.input()?;
    let limit = request.max_items.unwrap_or(LIST_ITEMS).min(LIST_ITEMS);
    let (cloud, scope) = (&call.api.cloud, call.scope.clone());
    let all = request.function_version.is_some();
    let page = if all {
        cloud.all_function_versions(scope, request.marker, limit).await?
    } else {
        cloud.functions(scope, request.marker, limit).await?
    };
    let functions: Vec<_> = page
        .functions
        .iter()
        .map(|record| {
            let qualifier = all.then(|| record.version.map_or(Qualifier::Latest, Qualifier::Version));
            let function = FunctionRef { name: record.name.clone(), qualifier };
            wire::listed_configuration(&call.scope, record, &function.arn(&call.scope))
        })
        .collect();
    Ok(listed("Functions", functions.into(), page.next))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: NameRequest = call.input()?;
    let function = call.function(&request.function_name, request.qualifier.as_deref())?;
    call.api.cloud.delete_function(call.scope.clone(), function).await?;
    Ok(Answer::Empty(204))
}
