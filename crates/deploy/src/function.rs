//! The function: created, or brought to what is wanted with as few changes as possible.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use aws_sdk_lambda::{
    operation::get_function::GetFunctionOutput,
    primitives::Blob,
    types::{
        Architecture, Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus,
        Runtime as ApiRuntime, State,
    },
};
use camino::Utf8PathBuf;
use layercake_core::{
    aws::{FunctionName, Handler, LayerVersionArn},
    hash::Sha256,
    journal::{Resource, TOKEN_TAG},
    report::Change,
    target::Target,
};

use crate::{
    code::{self, Route},
    destination::Endpoint,
    error::DeployError,
    journal::JournalFile,
    role::confirm,
};

/// How long a function may take to become ready, in seconds.
const READY_SECONDS: u64 = 300;

/// How long a new role may take until Lambda can assume it, in seconds.
const ROLE_SECONDS: u64 = 60;

/// A function as it is wanted.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: FunctionName,
    /// Runtime and architecture.
    pub target: Target,
    /// What is called.
    pub handler: Handler,
    /// ARN of the role it runs as.
    pub role: String,
    /// Memory in MB.
    pub memory_mb: u32,
    /// Timeout in seconds.
    pub timeout_seconds: u32,
    /// Its layers, lowest first.
    pub layers: Vec<LayerVersionArn>,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// Its tags beside the one that says whose it is. Of those that begin with [`TAG_PREFIX`] others
    /// are taken from it.
    pub tags: BTreeMap<String, String>,
    /// The zip of its code.
    pub zip: Utf8PathBuf,
    /// The zip's size in bytes.
    pub zip_size: u64,
    /// The zip's hash.
    pub zip_sha256: Sha256,
    /// Whether to go through S3 whatever the size.
    pub force_s3: bool,
}

/// How the tags begin that are ours alone.
pub const TAG_PREFIX: &str = "layercake:";

/// Refuses a function of that name that this journal did not make.
///
/// # Errors
/// [`DeployError::NotOurs`], or that the endpoint cannot be asked.
pub async fn check_function(
    endpoint: &Endpoint,
    journal: &JournalFile,
    name: &FunctionName,
) -> Result<(), DeployError> {
    match find(endpoint, name).await? {
        Some(found) => owned(journal, name, &found).map(drop),
        None => Ok(()),
    }
}

/// Creates the function, or updates what differs, and waits until it is ready. Answers its ARN.
///
/// # Errors
/// [`DeployError`]; the journal then holds whatever may have been made.
pub async fn ensure_function(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    spec: &FunctionSpec,
) -> Result<(String, Change), DeployError> {
    let Some(found) = find(endpoint, &spec.name).await? else {
        create(endpoint, journal, spec).await?;
        let arn = wait_until_ready(endpoint, &spec.name, Some("created")).await?;
        return Ok((arn, Change::Created));
    };
    owned(journal, &spec.name, &found)?;
    confirm(journal, &Resource::Function { name: spec.name.clone() })?;
    // An earlier run may have been cut off in the middle of an update, or its update may have
    // failed: this run mends it.
    let mut arn = wait_until_ready(endpoint, &spec.name, None).await?;
    let found = find(endpoint, &spec.name)
        .await?
        .ok_or(DeployError::Incomplete { operation: "GetFunction", missing: "the function" })?;
    let tags = tag_changes(&found, spec);
    let change = compare(&owned(journal, &spec.name, &found)?, tags.is_none(), spec);
    if matches!(change, Change::ConfigurationUpdated | Change::Updated) {
        if let Some(tags) = tags {
            change_tags(endpoint, &arn, tags).await?;
        }
        update_configuration(endpoint, spec).await?;
        arn = wait_until_ready(endpoint, &spec.name, Some("updated")).await?;
    }
    if matches!(change, Change::CodeUpdated | Change::Updated) {
        update_code(endpoint, journal, spec).await?;
        arn = wait_until_ready(endpoint, &spec.name, Some("updated")).await?;
    }
    Ok((arn, change))
}

/// The function as the endpoint has it, if it has it.
pub(crate) async fn find(
    endpoint: &Endpoint,
    name: &FunctionName,
) -> Result<Option<GetFunctionOutput>, DeployError> {
    let answer = endpoint.lambda.get_function().function_name(name.as_str()).send().await;
    match answer.map_err(|error| DeployError::of("GetFunction", error)) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the function carries the token.
///
/// # Errors
/// [`DeployError::TagsUnreadable`]: without a look at the tags the answer is not no.
pub(crate) fn carries_token(
    name: &FunctionName,
    found: &GetFunctionOutput,
    token: &str,
) -> Result<bool, DeployError> {
    if let Some(error) = found.tags_error() {
        return Err(DeployError::TagsUnreadable {
            resource: Resource::Function { name: name.clone() },
            detail: error.message().to_owned(),
        });
    }
    Ok(found.tags().and_then(|tags| tags.get(TOKEN_TAG)).map(String::as_str) == Some(token))
}

fn owned(
    journal: &JournalFile,
    name: &FunctionName,
    found: &GetFunctionOutput,
) -> Result<FunctionConfiguration, DeployError> {
    if !carries_token(name, found, &journal.journal().opening.token)? {
        return Err(DeployError::NotOurs { resource: Resource::Function { name: name.clone() } });
    }
    found
        .configuration()
        .cloned()
        .ok_or(DeployError::Incomplete { operation: "GetFunction", missing: "Configuration" })
}

/// What of a function's tags is to be set and what to be taken away.
struct TagChanges {
    set: Vec<(String, String)>,
    removed: Vec<String>,
}

fn tag_changes(found: &GetFunctionOutput, spec: &FunctionSpec) -> Option<TagChanges> {
    let none = HashMap::new();
    let has = found.tags().unwrap_or(&none);
    let set: Vec<_> = spec
        .tags
        .iter()
        .filter(|(key, value)| has.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let ours = |key: &&String| key.starts_with(TAG_PREFIX) && *key != TOKEN_TAG;
    let removed: Vec<_> =
        has.keys().filter(ours).filter(|key| !spec.tags.contains_key(*key)).cloned().collect();
    (!set.is_empty() || !removed.is_empty()).then_some(TagChanges { set, removed })
}

async fn change_tags(endpoint: &Endpoint, arn: &str, changes: TagChanges) -> Result<(), DeployError> {
    if !changes.set.is_empty() {
        let tags = changes.set.into_iter().collect();
        let request = endpoint.lambda.tag_resource().resource(arn).set_tags(Some(tags));
        request.send().await.map_err(|error| DeployError::of("TagResource", error))?;
    }
    if !changes.removed.is_empty() {
        let request = endpoint.lambda.untag_resource().resource(arn).set_tag_keys(Some(changes.removed));
        request.send().await.map_err(|error| DeployError::of("UntagResource", error))?;
    }
    Ok(())
}

fn compare(found: &FunctionConfiguration, same_tags: bool, spec: &FunctionSpec) -> Change {
    let architecture = Architecture::from(spec.target.arch.as_str());
    let same_code = found.code_sha256() == Some(spec.zip_sha256.to_base64().as_str())
        && found.architectures() == [architecture];
    let layers: Vec<_> = found.layers().iter().filter_map(|layer| layer.arn()).collect();
    let wanted: Vec<_> = spec.layers.iter().map(ToString::to_string).collect();
    let variables: BTreeMap<_, _> = found
        .environment()
        .and_then(|environment| environment.variables())
        .map(|variables| variables.iter().collect())
        .unwrap_or_default();
    let same_configuration = found.runtime().map(ApiRuntime::as_str)
        == Some(spec.target.runtime.to_string().as_str())
        && found.handler() == Some(spec.handler.as_str())
        && found.role() == Some(spec.role.as_str())
        && found.memory_size() == i32::try_from(spec.memory_mb).ok()
        && found.timeout() == i32::try_from(spec.timeout_seconds).ok()
        && layers == wanted
        && variables.into_iter().eq(&spec.variables)
        && same_tags;
    match (same_code, same_configuration) {
        (true, true) => Change::Unchanged,
        (false, true) => Change::CodeUpdated,
        (true, false) => Change::ConfigurationUpdated,
        (false, false) => Change::Updated,
    }
}

fn environment(spec: &FunctionSpec) -> Environment {
    let variables = spec.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Environment::builder().set_variables(Some(variables)).build()
}

fn layer_arns(spec: &FunctionSpec) -> Vec<String> {
    spec.layers.iter().map(ToString::to_string).collect()
}

async fn create(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    spec: &FunctionSpec,
) -> Result<(), DeployError> {
    let resource = Resource::Function { name: spec.name.clone() };
    let token = journal.journal().opening.token.clone();
    let step = journal.will_create(resource.clone())?;
    let (code, staged) = code_for(endpoint, journal, spec).await?;
    let mut request = endpoint
        .lambda
        .create_function()
        .function_name(spec.name.as_str())
        .runtime(ApiRuntime::from(spec.target.runtime.to_string().as_str()))
        .architectures(Architecture::from(spec.target.arch.as_str()))
        .handler(spec.handler.as_str())
        .role(spec.role.as_str())
        .memory_size(i32::try_from(spec.memory_mb).unwrap_or(i32::MAX))
        .timeout(i32::try_from(spec.timeout_seconds).unwrap_or(i32::MAX))
        .code(code)
        .tags(TOKEN_TAG, token);
    for (key, value) in &spec.tags {
        request = request.tags(key, value);
    }
    if !spec.layers.is_empty() {
        request = request.set_layers(Some(layer_arns(spec)));
    }
    if !spec.variables.is_empty() {
        request = request.environment(environment(spec));
    }
    let mut patience = Patience::new("CreateFunction", ROLE_SECONDS);
    loop {
        match request.clone().send().await.map_err(|error| DeployError::of("CreateFunction", error)) {
            Ok(_) => break,
            // A new role is not known everywhere at once.
            Err(DeployError::Refused { message, .. }) if message.contains("cannot be assumed by Lambda") => {
                patience.wait().await?;
            }
            // The client repeated a request whose answer was lost: then it carries our token.
            Err(error) if error.exists_already() => match find(endpoint, &spec.name).await? {
                Some(found) => {
                    owned(journal, &spec.name, &found)?;
                    break;
                }
                None => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    journal.created(step, resource)?;
    if let Some(staged) = staged {
        code::unstage(endpoint, journal, staged).await?;
    }
    Ok(())
}

async fn code_for(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    spec: &FunctionSpec,
) -> Result<(FunctionCode, Option<code::Staged>), DeployError> {
    if code::route_for(spec.zip_size, spec.force_s3) == Route::Direct {
        let bytes = read_zip(spec).await?;
        return Ok((FunctionCode::builder().zip_file(bytes).build(), None));
    }
    let staged = code::stage(endpoint, journal, &spec.zip, &code_key(spec)).await?;
    let code = FunctionCode::builder().s3_bucket(staged.bucket.as_str()).s3_key(staged.key.as_str()).build();
    Ok((code, Some(staged)))
}

fn code_key(spec: &FunctionSpec) -> String {
    format!("{}-{}.zip", spec.name, &spec.zip_sha256.to_hex()[..12])
}

async fn read_zip(spec: &FunctionSpec) -> Result<Blob, DeployError> {
    let bytes = fs_err::tokio::read(&spec.zip)
        .await
        .map_err(|source| DeployError::ReadZip { path: spec.zip.clone(), source })?;
    Ok(Blob::new(bytes))
}

async fn update_code(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    spec: &FunctionSpec,
) -> Result<(), DeployError> {
    let request = endpoint
        .lambda
        .update_function_code()
        .function_name(spec.name.as_str())
        .architectures(Architecture::from(spec.target.arch.as_str()));
    let (request, staged) = match code::route_for(spec.zip_size, spec.force_s3) {
        Route::Direct => (request.zip_file(read_zip(spec).await?), None),
        Route::ViaS3 => {
            let staged = code::stage(endpoint, journal, &spec.zip, &code_key(spec)).await?;
            (request.s3_bucket(staged.bucket.as_str()).s3_key(staged.key.as_str()), Some(staged))
        }
    };
    let mut patience = Patience::new("UpdateFunctionCode", READY_SECONDS);
    loop {
        match request.clone().send().await.map_err(|error| DeployError::of("UpdateFunctionCode", error)) {
            Ok(_) => break,
            Err(error) if error.is_conflict() => patience.wait().await?,
            Err(error) => return Err(error),
        }
    }
    if let Some(staged) = staged {
        code::unstage(endpoint, journal, staged).await?;
    }
    Ok(())
}

async fn update_configuration(endpoint: &Endpoint, spec: &FunctionSpec) -> Result<(), DeployError> {
    let request = endpoint
        .lambda
        .update_function_configuration()
        .function_name(spec.name.as_str())
        .runtime(ApiRuntime::from(spec.target.runtime.to_string().as_str()))
        .handler(spec.handler.as_str())
        .role(spec.role.as_str())
        .memory_size(i32::try_from(spec.memory_mb).unwrap_or(i32::MAX))
        .timeout(i32::try_from(spec.timeout_seconds).unwrap_or(i32::MAX))
        .set_layers(Some(layer_arns(spec)))
        .environment(environment(spec));
    let mut patience = Patience::new("UpdateFunctionConfiguration", READY_SECONDS);
    loop {
        match request
            .clone()
            .send()
            .await
            .map_err(|error| DeployError::of("UpdateFunctionConfiguration", error))
        {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() => patience.wait().await?,
            Err(error) => return Err(error),
        }
    }
}

/// Polls until the function is Active and no update is under way. Answers its ARN.
///
/// `after` says what was asked for; nothing when nothing was, and an update that failed before
/// is no error.
async fn wait_until_ready(
    endpoint: &Endpoint,
    name: &FunctionName,
    after: Option<&'static str>,
) -> Result<String, DeployError> {
    let mut patience = Patience::new("waiting for the function", READY_SECONDS);
    loop {
        let now = endpoint
            .lambda
            .get_function_configuration()
            .function_name(name.as_str())
            .send()
            .await
            .map_err(|error| DeployError::of("GetFunctionConfiguration", error))?;
        let failed = |reason: Option<&str>| DeployError::FunctionFailed {
            what: after.unwrap_or("created"),
            reason: reason.unwrap_or("the endpoint gives no reason").to_owned(),
        };
        match (now.state(), now.last_update_status()) {
            (Some(State::Failed), _) => return Err(failed(now.state_reason())),
            (_, Some(LastUpdateStatus::Failed)) if after.is_some() => {
                return Err(failed(now.last_update_status_reason()));
            }
            (Some(State::Pending), _) | (_, Some(LastUpdateStatus::InProgress)) => patience.wait().await?,
            _ => {
                let missing =
                    DeployError::Incomplete { operation: "GetFunctionConfiguration", missing: "FunctionArn" };
                return now.function_arn().map(str::to_owned).ok_or(missing);
            }
        }
    }
}

/// Waits a little longer each time, up to an end.
pub(crate) struct Patience {
    operation: &'static str,
    seconds: u64,
    pause: Duration,
    spent: Duration,
}

impl Patience {
    pub(crate) const fn new(operation: &'static str, seconds: u64) -> Self {
        Self { operation, seconds, pause: Duration::from_millis(10), spent: Duration::ZERO }
    }

    /// # Errors
    /// [`DeployError::TimedOut`] when it is used up.
    pub(crate) async fn wait(&mut self) -> Result<(), DeployError> {
        if self.spent.as_secs() >= self.seconds {
            return Err(DeployError::TimedOut { operation: self.operation, seconds: self.seconds });
        }
        tokio::time::sleep(self.pause).await;
        self.spent += self.pause;
        self.pause = (self.pause * 2).min(Duration::from_secs(2));
        Ok(())
    }
}
