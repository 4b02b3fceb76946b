//! Names, times and resources as Lambda's JSON writes them.

use layercake_core::aws::{FunctionName, LayerArn, LayerName, Region};
use serde_json::{Map, Value, json};

use super::{AwsError, Links};
use crate::{
    sandbox::{FunctionRuntime, runtime_version_arn},
    service::{FunctionRef, LambdaError, Qualifier, alias_arn},
    store::{AliasRecord, FunctionRecord, LayerVersionRecord, Scope, State, Update, version_text},
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

/// Seconds since 1970, as the API's `Date` shape travels.
pub(super) fn seconds(milliseconds: i64) -> Value {
    (milliseconds as f64 / 1000.0).into()
}

/// A function in any way that Lambda takes: `NAME` behind any of `arn:aws:lambda:`, `REGION:`,
/// `ACCOUNT:` and `function:`, perhaps with a version or alias behind it, which may also come as the
/// member `Qualifier`. The operation is named to those who ask for another account's function.
pub(super) fn function_of(
    scope: &Scope,
    text: &str,
    qualifier: Option<&str>,
    operation: &str,
) -> Result<FunctionRef, AwsError> {
    let named = Named::parse(text).ok_or_else(|| not_a_function(text))?;
    if named.name.len() > 64 {
        return Err(AwsError::user(
            400,
            "InvalidParameterValueException",
            format!(
                "1 validation error detected: Value '{}' at 'functionName' failed to satisfy constraint: \
                 Member must have length less than or equal to 64",
                named.name
            ),
        ));
    }
    let name: FunctionName = named.name.parse().map_err(|_| not_a_function(text))?;
    if let (Some(own), Some(other)) = (named.qualifier, qualifier)
        && own != other
    {
        return Err(AwsError::user(
            400,
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        ));
    }
    if let Some(region) = named.region
        && region != scope.region.as_str()
    {
        let error =
            LambdaError::FunctionElsewhere { asked: region.to_owned(), here: scope.region.to_string() };
        return Err(error.into());
    }
    let function = FunctionRef { name, qualifier: named.qualifier.or(qualifier).map(Qualifier::of) };
    match named.account.map(str::parse) {
        Some(Ok(account)) if account != scope.account => {
            let theirs = Scope { account, region: scope.region.clone() };
            let action = if operation.starts_with("Invoke") { "InvokeFunction" } else { operation };
            Err(LambdaError::FunctionNotPermitted {
                arn: function.arn(&theirs),
                account: scope.account.to_string(),
                action: format!("lambda:{action}"),
            }
            .into())
        }
        _ => Ok(function),
    }
}

/// The parts of a function's name.
#[derive(Debug)]
struct Named<'a> {
    region: Option<&'a str>,
    account: Option<&'a str>,
    name: &'a str,
    qualifier: Option<&'a str>,
}

impl<'a> Named<'a> {
    /// Takes the parts as the API model's pattern does: each that fits, as long as a name is left.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts: Vec<_> = text.split(':').collect();
        if let ["arn", _, "lambda", _, ..] = parts[..] {
            parts.drain(..3);
        }
        let mut take = |fits: fn(&str) -> bool| -> Option<&'a str> {
            let taken = *parts.first().filter(|first| fits(first))?;
            (parts.len() > 1).then(|| parts.remove(0)).map(|_| taken)
        };
        let region = take(|part| part.parse::<Region>().is_ok());
        let account = take(|part| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit()));
        take(|part| part == "function");
        match parts[..] {
            [name] => Some(Self { region, account, name, qualifier: None }),
            [name, qualifier] => Some(Self { region, account, name, qualifier: Some(qualifier) }),
            _ => None,
        }
    }
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

/// A layer of any account by name or ARN, and where it is.
pub(super) fn layer_place(scope: &Scope, text: &str) -> Result<(Scope, LayerName), AwsError> {
    match text.parse::<LayerArn>() {
        Ok(arn) if arn.region == scope.region => {
            Ok((Scope { account: arn.account, region: arn.region }, arn.name))
        }
        _ => Ok((scope.clone(), layer_name(scope, text)?)),
    }
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
    endpoint: &Links,
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
pub(super) fn location(endpoint: &Links, sha256: layercake_core::hash::Sha256) -> String {
    endpoint.to_blob(sha256)
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
    let snap_start = settings.snap_start.as_deref();
    // Only versions are optimised, and here nothing has to be done for it.
    let optimised = snap_start.is_some() && record.version.is_some();
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
        "Version": record.version_text(),
        "TracingConfig": { "Mode": settings.tracing },
        "RevisionId": record.revision,
        "PackageType": "Zip",
        "Architectures": [settings.architecture],
        "EphemeralStorage": { "Size": settings.ephemeral_storage },
        "SnapStart": {
            "ApplyOn": snap_start.unwrap_or("None"),
            "OptimizationStatus": if optimised { "On" } else { "Off" },
        },
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
    for (name, value) in settings.echoed.iter().filter(|(name, _)| *name != CODE_SIGNING) {
        answer[name] = if name == "VpcConfig" { vpc(scope, value) } else { value.clone() };
    }
    add_state(&mut answer, record);
    answer
}

/// The member that is kept with the others and told by another operation.
const CODE_SIGNING: &str = "CodeSigningConfigArn";

/// A list has only a part of each configuration, says the API's documentation.
pub(super) fn listed_configuration(scope: &Scope, record: &FunctionRecord, arn: &str) -> Value {
    let mut answer = configuration(scope, record, arn);
    if let Value::Object(members) = &mut answer {
        members.retain(|name, _| {
            !name.starts_with("State")
                && !name.starts_with("LastUpdateStatus")
                && name != "RuntimeVersionConfig"
        });
    }
    answer
}

/// A VPC configuration as it is answered: all members are there, also after it was emptied.
fn vpc(scope: &Scope, given: &Value) -> Value {
    let list = |name: &str| given.get(name).cloned().unwrap_or_else(|| json!([]));
    let (subnets, groups) = (list("SubnetIds"), list("SecurityGroupIds"));
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    // There are no VPCs here; an account has the same one in all its subnets of a region.
    let id = if is_empty(&subnets) && is_empty(&groups) {
        String::new()
    } else {
        let mut hasher = layercake_core::hash::Sha256::hasher();
        hasher.update(format!("{}:{}", scope.account, scope.region).as_bytes());
        format!("vpc-{}", &hasher.finish().to_hex()[..17])
    };
    json!({
        "SubnetIds": subnets,
        "SecurityGroupIds": groups,
        "VpcId": id,
        "Ipv6AllowedForDualStack": given.get("Ipv6AllowedForDualStack").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// An alias.
pub(super) fn alias(scope: &Scope, function: &FunctionRef, record: &AliasRecord) -> Value {
    let mut answer = json!({
        "AliasArn": alias_arn(scope, function, &record.name),
        "Name": record.name,
        "FunctionVersion": version_text(record.version),
        "Description": record.description,
        "RevisionId": record.revision,
    });
    if !record.weights.is_empty() {
        let weights: Map<_, _> =
            record.weights.iter().map(|(version, weight)| (version.to_string(), json!(weight))).collect();
        answer["RoutingConfig"] = json!({ "AdditionalVersionWeights": weights });
    }
    answer
}

fn runtime_version(scope: &Scope, runtime: &str) -> Option<String> {
    runtime.parse::<FunctionRuntime>().ok().map(|runtime| runtime_version_arn(&scope.region, runtime))
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
