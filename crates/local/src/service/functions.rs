//! Functions: their settings, their limits and the states they go through.

use std::{collections::BTreeMap, sync::Arc};

use layercake_core::{aws::FunctionName, limits, target::Runtime};
use serde_json::Value;
use uuid::Uuid;

use super::{Cloud, LambdaError, Source, layers::attach, now, packages};
use crate::{
    RetiredRuntimes,
    store::{
        ChangeError, FunctionRecord, Logging, Scope, Settings, State, Store, StoreError, TreePin, Update,
    },
};

/// A function as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionRef {
    /// The function.
    pub(crate) name: FunctionName,
    /// The version or alias, when the caller says one.
    pub(crate) qualifier: Option<Qualifier>,
}

/// A version or alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Qualifier {
    /// `$LATEST`.
    Latest,
    /// Anything else; there are no published versions and aliases yet.
    Other(String),
}

impl FunctionRef {
    /// The function's ARN, qualified as the caller did.
    pub(crate) fn arn(&self, scope: &Scope) -> String {
        let arn = function_arn(scope, &self.name);
        match &self.qualifier {
            None => arn,
            Some(Qualifier::Latest) => format!("{arn}:$LATEST"),
            Some(Qualifier::Other(other)) => format!("{arn}:{other}"),
        }
    }
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
pub(crate) fn function_arn(scope: &Scope, name: &FunctionName) -> String {
    format!("arn:aws:lambda:{}:{}:function:{name}", scope.region, scope.account)
}

/// What a caller may set, at creation or later. `None` leaves the default or what there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionChanges {
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) memory: Option<u32>,
    pub(crate) timeout: Option<u32>,
    pub(crate) ephemeral_storage: Option<u32>,
    /// The map in the order of the request, when it has `Environment`.
    pub(crate) variables: Option<Vec<(String, String)>>,
    pub(crate) layers: Option<Vec<String>>,
    pub(crate) log_format: Option<String>,
    pub(crate) log_group: Option<String>,
    pub(crate) application_log_level: Option<String>,
    pub(crate) system_log_level: Option<String>,
    pub(crate) tracing: Option<String>,
    /// Given back as they came, by their name in the API.
    pub(crate) echoed: BTreeMap<String, Value>,
}

/// A function to be.
pub(crate) struct NewFunction {
    pub(crate) name: FunctionName,
    pub(crate) source: Option<Source>,
    pub(crate) architecture: Option<String>,
    pub(crate) changes: FunctionChanges,
    pub(crate) tags: BTreeMap<String, String>,
}

/// One page of functions.
pub(crate) struct FunctionPage {
    /// The functions.
    pub(crate) functions: Vec<FunctionRecord>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

/// Environment variables that Lambda sets (FACTS.md §5).
const RESERVED: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// Identifiers that the service takes for new functions besides Python's (FACTS.md §5).
const OTHER_RUNTIMES: [&str; 24] = [
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "nodejs26.x",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided.al2",
    "provided.al2023",
    "custom",
];

/// Identifiers that the service knows and does not take for new functions any more.
const RETIRED_RUNTIMES: [&str; 18] = [
    "nodejs",
    "nodejs4.3",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs4.3-edge",
    "java8",
    "python2.7",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "provided",
];

impl Cloud {
    /// Creates a function. It is pending until its code is unpacked.
    pub(crate) async fn create_function(
        self: &Arc<Self>,
        scope: Scope,
        new: NewFunction,
    ) -> Result<FunctionRecord, LambdaError> {
        let (Some(runtime), Some(_)) = (&new.changes.runtime, &new.changes.handler) else {
            return Err(LambdaError::NoRuntimeOrHandler);
        };
        self.check_runtime(runtime)?;
        check_variables(new.changes.variables.as_deref())?;
        if new.tags.len() > 50 {
            return Err(LambdaError::TooManyTags);
        }
        let layers = self
            .blocking({
                let (scope, name, layers) = (scope.clone(), new.name.clone(), new.changes.layers.clone());
                move |store| {
                    if store.function(&scope, &name)?.is_some() {
                        return Err(LambdaError::FunctionExists { name: name.to_string() });
                    }
                    attach(store, &scope, &layers.unwrap_or_default())
                }
            })
            .await?;
        let package = self.package(new.source.ok_or(LambdaError::NoCode)?).await?;
        let mut settings = Settings {
            id: String::new(),
            code: package.blob.sha256(),
            code_size: package.blob.size(),
            unzipped_size: package.unzipped_size,
            runtime: String::new(),
            handler: String::new(),
            architecture: new.architecture.unwrap_or_else(|| "x86_64".to_owned()),
            description: String::new(),
            role: String::new(),
            memory: limits::MEMORY_MB.2,
            timeout: limits::TIMEOUT_SECONDS.2,
            ephemeral_storage: limits::EPHEMERAL_STORAGE_MB.2,
            variables: None,
            layers: layers.attached,
            logging: Logging {
                format: "Text".to_owned(),
                group: format!("/aws/lambda/{}", new.name),
                application_level: None,
                system_level: None,
            },
            tracing: "PassThrough".to_owned(),
            echoed: BTreeMap::new(),
        };
        new.changes.apply(&mut settings);
        check_together(&settings)?;
        let record = FunctionRecord {
            name: new.name,
            settings,
            revision: Uuid::new_v4().to_string(),
            last_modified: now(),
            state: State::Pending,
            update: Update::None,
            tags: new.tags,
        };
        let (stored, at) = (record.clone(), scope.clone());
        let created = self
            .blocking(move |store| {
                let created = store.create_function(&at, &stored)?;
                // Only now may these lose their pins: a record names them.
                drop((package, layers.held));
                Ok::<_, LambdaError>(created)
            })
            .await?;
        if !created {
            return Err(LambdaError::FunctionExists { name: record.name.to_string() });
        }
        self.settle_soon(scope, record.name.clone());
        Ok(record)
    }

    /// One function.
    pub(crate) async fn function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<FunctionRecord, LambdaError> {
        let missing = || LambdaError::NoSuchFunction { arn: function.arn(scope) };
        if let Some(Qualifier::Other(_)) = function.qualifier {
            return Err(missing());
        }
        let (at, name) = (scope.clone(), function.name.clone());
        let found: Result<_, StoreError> = self.reading(move |store| store.function(&at, &name)).await;
        found?.ok_or_else(missing)
    }

    /// Functions by name.
    pub(crate) async fn functions(
        &self,
        scope: Scope,
        marker: Option<String>,
        limit: usize,
    ) -> Result<FunctionPage, LambdaError> {
        let after = marker.unwrap_or_default();
        let found: Result<_, StoreError> =
            self.blocking(move |store| store.functions(&scope, &after, limit + 1)).await;
        let mut functions = found?;
        let more = functions.len() > limit;
        functions.truncate(limit);
        let next = if more { functions.last().map(|last| last.name.to_string()) } else { None };
        Ok(FunctionPage { functions, next })
    }

    /// Gives a function other code.
    pub(crate) async fn update_function_code(
        self: &Arc<Self>,
        scope: Scope,
        function: FunctionRef,
        source: Option<Source>,
        architecture: Option<String>,
        revision: Option<String>,
        dry_run: bool,
    ) -> Result<FunctionRecord, LambdaError> {
        let mut record = self.function(&scope, &function).await?;
        check_changeable(&scope, &record, revision.as_deref())?;
        let package = self.package(source.ok_or(LambdaError::NoCode)?).await?;
        let (code, code_size) = (package.blob.sha256(), package.blob.size());
        let unzipped_size = package.unzipped_size;
        // Changes the settings that are there when it is written: taking the package in lasts, and
        // the configuration may change meanwhile.
        let change = move |settings: &Settings| {
            let mut settings = Settings { code, code_size, unzipped_size, ..settings.clone() };
            if let Some(architecture) = architecture {
                settings.architecture = architecture;
            }
            check_together(&settings)?;
            Ok(settings)
        };
        if dry_run {
            record.settings = change(&record.settings)?;
            return Ok(record);
        }
        self.change_settings(scope, function, revision, package, change).await
    }

    /// Changes a function's configuration.
    pub(crate) async fn update_function_configuration(
        self: &Arc<Self>,
        scope: Scope,
        function: FunctionRef,
        changes: FunctionChanges,
        revision: Option<String>,
    ) -> Result<FunctionRecord, LambdaError> {
        check_changeable(&scope, &self.function(&scope, &function).await?, revision.as_deref())?;
        if let Some(runtime) = &changes.runtime {
            self.check_runtime(runtime)?;
        }
        check_variables(changes.variables.as_deref())?;
        let (layers, held) = match changes.layers.clone() {
            None => (None, Vec::new()),
            Some(wanted) => {
                let at = scope.clone();
                let layers = self.blocking(move |store| attach(store, &at, &wanted)).await?;
                (Some(layers.attached), layers.held)
            }
        };
        self.change_settings(scope, function, revision, held, move |settings| {
            let mut settings = settings.clone();
            if let Some(layers) = layers {
                settings.layers = layers;
            }
            changes.apply(&mut settings);
            check_together(&settings)?;
            Ok(settings)
        })
        .await
    }

    /// Changes a function's settings; invocations go on with the earlier ones until the new ones
    /// are unpacked. `held` is what the new ones name; it is let go once the record names it.
    async fn change_settings(
        self: &Arc<Self>,
        scope: Scope,
        function: FunctionRef,
        revision: Option<String>,
        held: impl Send + 'static,
        change: impl FnOnce(&Settings) -> Result<Settings, LambdaError> + Send + 'static,
    ) -> Result<FunctionRecord, LambdaError> {
        let at = scope.clone();
        let arn = function.arn(&scope);
        let name = function.name.clone();
        let changed = self
            .blocking(move |store| {
                let changed = store.change_function(&at, &function.name, |record| {
                    check_changeable(&at, record, revision.as_deref())?;
                    let mut settings = change(&record.settings)?;
                    settings.id = Uuid::new_v4().to_string();
                    // After a change that failed, what runs is not the newest settings.
                    let earlier = Box::new(record.running().clone());
                    record.settings = settings;
                    record.update = Update::InProgress { earlier };
                    record.revision = Uuid::new_v4().to_string();
                    record.last_modified = now();
                    Ok(())
                });
                drop(held);
                changed.map(|((), record)| record).map_err(|error: ChangeError<LambdaError>| match error {
                    ChangeError::NoSuchFunction => LambdaError::NoSuchFunction { arn },
                    other => other.into(),
                })
            })
            .await?;
        self.settle_soon(scope, name);
        Ok(changed)
    }

    /// Deletes a function and everything only it needs.
    pub(crate) async fn delete_function(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<(), LambdaError> {
        self.function(&scope, &function).await?;
        let arn = function.arn(&scope);
        let retired = function_arn(&scope, &function.name);
        // Before the deletion, so that it removes the trees; and after it, for an invocation that
        // found the function just before it went.
        self.prepared.forget(&scope, &function.name);
        let deleted: Result<bool, StoreError> = self
            .blocking({
                let (scope, name) = (scope.clone(), function.name.clone());
                move |store| store.delete_function(&scope, &name)
            })
            .await;
        let deleted = deleted?;
        self.prepared.forget(&scope, &function.name);
        self.sandbox.retire(&retired).await;
        if deleted { Ok(()) } else { Err(LambdaError::NoSuchFunction { arn }) }
    }

    /// Changes a function's tags.
    pub(crate) async fn change_tags(
        &self,
        scope: Scope,
        function: FunctionRef,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), LambdaError> {
        let arn = function.arn(&scope);
        self.blocking(move |store| {
            store
                .change_function(&scope, &function.name, |record| {
                    change(&mut record.tags);
                    if record.tags.len() > 50 { Err(LambdaError::TooManyTags) } else { Ok(()) }
                })
                .map(|_| ())
                .map_err(|error| match error {
                    ChangeError::NoSuchFunction => LambdaError::NoSuchFunction { arn },
                    other => other.into(),
                })
        })
        .await
    }

    /// Brings a function from `Pending` or `InProgress` to its end, in the background.
    pub(super) fn settle_soon(self: &Arc<Self>, scope: Scope, name: FunctionName) {
        let cloud = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = cloud.settle(scope, name).await {
                tracing::warn!(%error, "a function could not be made ready");
            }
        });
    }

    async fn settle(&self, scope: Scope, name: FunctionName) -> Result<(), LambdaError> {
        let found = self
            .blocking({
                let (scope, name) = (scope.clone(), name.clone());
                move |store| {
                    let Some(record) = store.function(&scope, &name)? else { return Ok(None) };
                    let unpacked = unpack(store, &record.settings);
                    Ok::<_, StoreError>(Some((record.settings, unpacked)))
                }
            })
            .await?;
        let Some((settings, unpacked)) = found else {
            return Ok(());
        };
        let arn = function_arn(&scope, &name);
        let fault = match &unpacked {
            Ok(_) => None,
            Err(error) => Some(packages::archive_fault(error).unwrap_or_else(|| error.to_string())),
        };
        let runs = self
            .blocking({
                let (scope, name) = (scope.clone(), name.clone());
                move |store| {
                    let changed = store.change_function(&scope, &name, |record| {
                        // A function deleted and made anew meanwhile is not the one that was unpacked.
                        if record.settings.id == settings.id {
                            record.settle(fault);
                        }
                        Ok::<_, LambdaError>(record.running().id.clone())
                    });
                    drop(unpacked);
                    match changed {
                        Ok((runs, _)) => Ok(Some(runs)),
                        Err(ChangeError::Store(error)) => Err(LambdaError::Store(error)),
                        Err(_) => Ok(None),
                    }
                }
            })
            .await?;
        // Environments of other settings than those that run are of no use any more.
        self.prepared.forget(&scope, &name);
        match runs {
            Some(runs) => self.sandbox.retire_except(&arn, &runs).await,
            None => self.sandbox.retire(&arn).await,
        }
        Ok(())
    }

    fn check_runtime(&self, runtime: &str) -> Result<(), LambdaError> {
        if let Ok(python) = runtime.parse::<Runtime>() {
            if python.is_retired() && self.retired_runtimes == RetiredRuntimes::Refuse {
                return Err(LambdaError::RetiredRuntime { runtime: runtime.to_owned() });
            }
            return Ok(());
        }
        if RETIRED_RUNTIMES.contains(&runtime) {
            return Err(LambdaError::RetiredRuntime { runtime: runtime.to_owned() });
        }
        if OTHER_RUNTIMES.contains(&runtime) {
            return Ok(());
        }
        Err(LambdaError::UnknownRuntime { runtime: runtime.to_owned() })
    }
}

/// The folders that settings run from: the code, and the layers when there are any.
pub(super) fn unpack(
    store: &Arc<Store>,
    settings: &Settings,
) -> Result<(TreePin, Option<TreePin>), StoreError> {
    let layers: Vec<_> = settings.layers.iter().map(|layer| layer.sha256).collect();
    Ok((store.tree(settings.code)?, store.merged(&layers)?))
}

impl FunctionRecord {
    /// Ends a creation or a change, well or with a fault.
    fn settle(&mut self, fault: Option<String>) {
        if self.state == State::Pending {
            (self.state, self.update) = match fault {
                None => (State::Active, Update::Successful),
                Some(reason) => (State::Failed { reason }, Update::None),
            };
        } else if let Update::InProgress { earlier } = &self.update {
            let earlier = earlier.clone();
            if fault.is_none() {
                self.state = State::Active;
            }
            self.update = match fault {
                None => Update::Successful,
                Some(reason) => Update::Failed { reason, earlier },
            };
        } else {
            return;
        }
        self.revision = Uuid::new_v4().to_string();
    }
}

impl FunctionChanges {
    /// Puts the changes, layers excepted, into the settings.
    fn apply(self, settings: &mut Settings) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        settings.id = Uuid::new_v4().to_string();
        set(&mut settings.runtime, self.runtime);
        set(&mut settings.handler, self.handler);
        set(&mut settings.description, self.description);
        set(&mut settings.role, self.role);
        set(&mut settings.memory, self.memory);
        set(&mut settings.timeout, self.timeout);
        set(&mut settings.ephemeral_storage, self.ephemeral_storage);
        set(&mut settings.tracing, self.tracing);
        set(&mut settings.logging.format, self.log_format);
        set(&mut settings.logging.group, self.log_group);
        if let Some(variables) = self.variables {
            settings.variables =
                Some(variables.into_iter().collect()).filter(|map: &BTreeMap<_, _>| !map.is_empty());
        }
        let logging = &mut settings.logging;
        if logging.format == "JSON" {
            let level = |given: Option<String>, kept: &mut Option<String>| {
                *kept = given.or_else(|| kept.take()).or_else(|| Some("INFO".to_owned()));
            };
            level(self.application_log_level, &mut logging.application_level);
            level(self.system_log_level, &mut logging.system_level);
        } else {
            logging.application_level = None;
            logging.system_level = None;
        }
        settings.echoed.extend(self.echoed);
    }
}

fn check_changeable(
    scope: &Scope,
    record: &FunctionRecord,
    revision: Option<&str>,
) -> Result<(), LambdaError> {
    if record.state == State::Pending {
        return Err(LambdaError::Pending);
    }
    if let Update::InProgress { .. } = record.update {
        return Err(LambdaError::UpdateInProgress { arn: function_arn(scope, &record.name) });
    }
    match revision {
        Some(revision) if revision != record.revision => Err(LambdaError::OtherRevision),
        _ => Ok(()),
    }
}

/// The limit is on the JSON text of the map as the caller wrote it, in the caller's order.
fn check_variables(variables: Option<&[(String, String)]>) -> Result<(), LambdaError> {
    let Some(variables) = variables else {
        return Ok(());
    };
    let reserved = |key: &&String| RESERVED.contains(&key.as_str());
    let keys: Vec<_> = variables.iter().map(|(key, _)| key).filter(reserved).cloned().collect();
    if !keys.is_empty() {
        return Err(LambdaError::ReservedVariables { keys });
    }
    let map: serde_json::Map<_, _> =
        variables.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let measured = Value::Object(map).to_string();
    if measured.len() > limits::ENVIRONMENT_BYTES {
        return Err(LambdaError::EnvironmentTooLarge { measured });
    }
    Ok(())
}

fn check_together(settings: &Settings) -> Result<(), LambdaError> {
    let layers: u64 = settings.layers.iter().map(|layer| layer.unzipped_size).sum();
    let bytes = settings.unzipped_size + layers;
    if !settings.layers.is_empty() && bytes > limits::UNZIPPED_BYTES {
        return Err(LambdaError::TogetherTooLarge { bytes });
    }
    Ok(())
}
