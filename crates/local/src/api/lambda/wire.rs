//! Names, times and resources as Lambda's JSON writes them.

use layercake_core::{
    aws::{FunctionName, LayerName},
    target::Runtime,
};
use serde_json::{Map, Value, json};

use super::AwsError;
use crate::{
    sandbox::runtime_version_arn,
    service::{FunctionRef, LambdaError, Qualifier},
    store::{FunctionRecord, LayerVersionRecord, Scope, State, Update},
};

/// `2026-11-22T08:00:00.000+0000`.
pub(super) fn time(milliseconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    // By hand, since lists have many: a pattern takes several times as long.
    let time = jiff::tz::TimeZone::UTC.to_datetime(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+0000",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

/// A function in any way that Lambda takes: name, `ACCOUNT:function:NAME`, ARN, each perhaps with
/// a version or alias behind it, which may also come as the member `Qualifier`.
pub(super) fn function_ref(
    scope: &Scope,
    text: &str,
    qualifier: Option<&str>,
) -> Result<FunctionRef, AwsError> {
    let parts: Vec<_> = text.split(':').collect();
    let (region, account, name, own) = match parts[..] {
        ["arn", _, "lambda", region, account, "function", name] => (Some(region), Some(account), name, None),
        ["arn", _, "lambda", region, account, "function", name, own] => {
            (Some(region), Some(account), name, Some(own))
        }
        [account, "function", name] => (None, Some(account), name, None),
        [account, "function", name, own] => (None, Some(account), name, Some(own)),
        ["function", name] => (None, None, name, None),
        [account, name] if is_account(account) => (None, Some(account), name, None),
        [account, name, own] if is_account(account) => (None, Some(account), name, Some(own)),
        [name, own] => (None, None, name, Some(own)),
        [name] => (None, None, name, None),
        _ => return Err(not_a_function(text)),
    };
    if name.len() > 64 {
        return Err(AwsError::user(
            400,
            "InvalidParameterValueException",
            format!(
                "1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: \
                 Member must have length less than or equal to 64"
            ),
        ));
    }
    let name: FunctionName = name.parse().map_err(|_| not_a_function(text))?;
    if let (Some(own), Some(other)) = (own, qualifier)
        && own != other
    {
        return Err(AwsError::user(
            400,
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        ));
    }
    if let Some(region) = region
        && region != scope.region.as_str()
    {
        let error =
            LambdaError::FunctionElsewhere { asked: region.to_owned(), here: scope.region.to_string() };
        return Err(error.into());
    }
    let qualifier = own.or(qualifier).map(|text| match text {
        "$LATEST" => Qualifier::Latest,
        other => Qualifier::Other(other.to_owned()),
    });
    let function = FunctionRef { name, qualifier };
    if account.is_some_and(|account| account != scope.account.as_str()) {
        return Err(LambdaError::NoSuchFunction { arn: text.to_owned() }.into());
    }
    Ok(function)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn not_a_function(text: &str) -> AwsError {
    AwsError::user(400, "InvalidParameterValueException", format!("Invalid function name: {text}"))
}

/// A layer by name or ARN.
pub(super) fn layer_name(scope: &Scope, text: &str) -> Result<LayerName, AwsError> {
    let parts: Vec<_> = text.split(':').collect();
    let name = match parts[..] {
        ["arn", _, "lambda", region, account, "layer", name] => {
            if region != scope.region.as_str() || account != scope.account.as_str() {
                return Err(LambdaError::NoSuchLayerVersion.into());
            }
            name
        }
        _ => text,
    };
    name.parse().map_err(|_| LambdaError::NoSuchLayerVersion.into())
}

/// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME`.
pub(super) fn layer_arn(scope: &Scope, name: &LayerName) -> String {
    format!("arn:aws:lambda:{}:{}:layer:{name}", scope.region, scope.account)
}

/// A layer version as lists have it.
pub(super) fn layer_version(scope: &Scope, record: &LayerVersionRecord) -> Map<String, Value> {
    let mut members = Map::new();
    let arn = format!("{}:{}", layer_arn(scope, &record.name), record.version);
    members.insert("LayerVersionArn".to_owned(), arn.into());
    members.insert("Version".to_owned(), record.version.into());
    members.insert("Description".to_owned(), record.description.clone().into());
    members.insert("CreatedDate".to_owned(), time(record.created).into());
    let mut optional = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    optional("CompatibleRuntimes", record.runtimes.clone().map(Value::from));
    optional("CompatibleArchitectures", record.architectures.clone().map(Value::from));
    optional("LicenseInfo", record.license.clone().map(Value::from));
    members
}

/// A layer version with its content, as publishing and getting answer.
pub(super) fn layer_version_with_content(
    scope: &Scope,
    record: &LayerVersionRecord,
    endpoint: &str,
) -> Value {
    let mut members = layer_version(scope, record);
    members.insert("LayerArn".to_owned(), layer_arn(scope, &record.name).into());
    members.insert(
        "Content".to_owned(),
        json!({
            "Location": location(endpoint, record.sha256),
            "CodeSha256": record.sha256.to_base64(),
            "CodeSize": record.code_size,
        }),
    );
    Value::Object(members)
}

/// Where the bytes of a zip can be fetched.
pub(super) fn location(endpoint: &str, sha256: layercake_core::hash::Sha256) -> String {
    format!("{endpoint}/_layercake/blobs/{}", sha256.to_hex())
}

/// A function's configuration (FACTS.md §4). `arn` is as the caller named the function.
pub(super) fn configuration(scope: &Scope, record: &FunctionRecord, arn: &str) -> Value {
    let settings = &record.settings;
    let mut logging = json!({ "LogFormat": settings.logging.format, "LogGroup": settings.logging.group });
    if let Some(level) = &settings.logging.application_level {
        logging["ApplicationLogLevel"] = level.clone().into();
    }
    if let Some(level) = &settings.logging.system_level {
        logging["SystemLogLevel"] = level.clone().into();
    }
    let mut answer = json!({
        "FunctionName": record.name,
        "FunctionArn": arn,
        "Runtime": settings.runtime,
        "Role": settings.role,
        "Handler": settings.handler,
        "CodeSize": settings.code_size,
        "Description": settings.description,
        "Timeout": settings.timeout,
        "MemorySize": settings.memory,
        "LastModified": time(record.last_modified),
        "CodeSha256": settings.code.to_base64(),
        "Version": "$LATEST",
        "TracingConfig": { "Mode": settings.tracing },
        "RevisionId": record.revision,
        "PackageType": "Zip",
        "Architectures": [settings.architecture],
        "EphemeralStorage": { "Size": settings.ephemeral_storage },
        "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
        "LoggingConfig": logging,
    });
    if let Some(variables) = &settings.variables {
        answer["Environment"] = json!({ "Variables": variables });
    }
    if !settings.layers.is_empty() {
        answer["Layers"] = settings
            .layers
            .iter()
            .map(|layer| json!({ "Arn": layer.arn, "CodeSize": layer.code_size }))
            .collect();
    }
    if let Some(arn) = runtime_version(scope, &settings.runtime) {
        answer["RuntimeVersionConfig"] = json!({ "RuntimeVersionArn": arn });
    }
    for (name, value) in &settings.echoed {
        answer[name] = value.clone();
    }
    add_state(&mut answer, record);
    answer
}

fn runtime_version(scope: &Scope, runtime: &str) -> Option<String> {
    runtime.parse::<Runtime>().ok().map(|python| runtime_version_arn(&scope.region, python))
}

fn add_state(answer: &mut Value, record: &FunctionRecord) {
    const CREATING: &str = "The function is being created.";
    match &record.state {
        State::Pending => {
            answer["State"] = "Pending".into();
            answer["StateReason"] = CREATING.into();
            answer["StateReasonCode"] = "Creating".into();
        }
        State::Active => answer["State"] = "Active".into(),
        State::Failed { reason } => {
            answer["State"] = "Failed".into();
            answer["StateReason"] = reason.clone().into();
            answer["StateReasonCode"] = "InvalidZipFileException".into();
        }
    }
    match &record.update {
        Update::None => {}
        Update::Successful => answer["LastUpdateStatus"] = "Successful".into(),
        Update::InProgress { .. } => {
            answer["LastUpdateStatus"] = "InProgress".into();
            answer["LastUpdateStatusReason"] = CREATING.into();
            answer["LastUpdateStatusReasonCode"] = "Creating".into();
        }
        Update::Failed { reason, .. } => {
            answer["LastUpdateStatus"] = "Failed".into();
            answer["LastUpdateStatusReason"] = reason.clone().into();
            answer["LastUpdateStatusReasonCode"] = "InvalidZipFileException".into();
        }
    }
}
