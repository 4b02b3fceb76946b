//! Functions: how they come to be, change and go, and the states they go through.
//!
//! Owns `$LATEST`; published versions, aliases, settings and limits have modules of their own.

pub(super) mod aliases;
mod limits;
mod settings;
mod versions;

use std::{collections::BTreeMap, sync::Arc};

use layercake_core::aws::FunctionName;
use uuid::Uuid;

pub(crate) use self::{
    aliases::{AliasChanges, alias_arn},
    limits::{CODE_STORAGE_BYTES, check_storage},
    settings::FunctionChanges,
    versions::NewVersion,
};
use self::{
    limits::{check_together, check_variables},
    settings::default_settings,
    versions::publication,
};
use super::{Cloud, LambdaError, Source, invoke::NETWORK_TAG, layers::attach, now, packages};
use crate::store::{
    AliasRecord, ChangeError, FunctionRecord, Scope, Settings, State, Store, StoreError, TreePin, Update,
    version_text,
};

/// A function as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FunctionRef {
    /// The function.
    pub(crate) name: FunctionName,
    /// The version or alias, when the caller says one.
    pub(crate) qualifier: Option<Qualifier>,
}

/// A version or alias.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Qualifier {
    /// `$LATEST`.
    Latest,
    /// A published version.
    Version(u64),
    /// An alias, or a text that no alias can be called by.
    Alias(String),
}

impl FunctionRef {
    /// The function's ARN, qualified as the caller did.
    pub(crate) fn arn(&self, scope: &Scope) -> String {
        let arn = function_arn(scope, &self.name);
        match &self.qualifier {
            None => arn,
            Some(Qualifier::Latest) => format!("{arn}:$LATEST"),
            Some(Qualifier::Version(version)) => format!("{arn}:{version}"),
            Some(Qualifier::Alias(alias)) => format!("{arn}:{alias}"),
        }
    }

    /// The function itself.
    pub(crate) fn unqualified(&self) -> Self {
        Self { name: self.name.clone(), qualifier: None }
    }

    /// Refuses versions and aliases, for what is done to functions alone.
    pub(crate) fn check_unqualified(&self) -> Result<(), LambdaError> {
        match self.qualifier {
            None | Some(Qualifier::Latest) => Ok(()),
            Some(Qualifier::Version(_) | Qualifier::Alias(_)) => Err(LambdaError::NotOfVersions),
        }
    }
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
pub(crate) fn function_arn(scope: &Scope, name: &FunctionName) -> String {
    format!("arn:aws:lambda:{}:{}:function:{name}", scope.region, scope.account)
}

/// A function to be.
pub(crate) struct NewFunction {
    pub(crate) name: FunctionName,
    pub(crate) source: Option<Source>,
    pub(crate) architecture: Option<String>,
    pub(crate) changes: FunctionChanges,
    pub(crate) tags: BTreeMap<String, String>,
    /// Whether its first version is published at once.
    pub(crate) publish: bool,
}

/// Other code for a function.
#[derive(Default)]
pub(crate) struct CodeChange {
    pub(crate) source: Option<Source>,
    pub(crate) architecture: Option<String>,
    /// What `$LATEST` must have.
    pub(crate) revision: Option<String>,
    /// Whether only to say what would become of it.
    pub(crate) dry_run: bool,
    /// Whether a version is published at once.
    pub(crate) publish: bool,
}

/// One page of functions or versions.
pub(crate) struct FunctionPage {
    /// The functions.
    pub(crate) functions: Vec<FunctionRecord>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

impl FunctionPage {
    /// A page of what was found, which is one more than the page holds when there is more.
    fn new(
        mut functions: Vec<FunctionRecord>,
        limit: usize,
        marker: impl Fn(&FunctionRecord) -> String,
    ) -> Self {
        let more = functions.len() > limit;
        functions.truncate(limit);
        let next = if more { functions.last().map(marker) } else { None };
        Self { functions, next }
    }
}

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
        new.changes.check_dead_letter_target()?;
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
        let package = self.package(&scope, new.source.ok_or(LambdaError::NoCode)?).await?;
        let mut settings = default_settings(&new.name, &package, new.architecture);
        settings.layers = layers.attached;
        new.changes.apply(&mut settings);
        check_together(&settings)?;
        let record = FunctionRecord {
            name: new.name,
            version: None,
            latest_description: None,
            settings,
            revision: Uuid::new_v4().to_string(),
            last_modified: now(),
            state: State::Pending,
            update: Update::None,
            tags: new.tags,
        };
        let (name, at) = (record.name.clone(), scope.clone());
        let created = self
            .blocking(move |store| {
                let zips = if new.publish { 2 } else { 1 };
                check_storage(store, &at, zips * record.settings.code_size)?;
                let created = store.create_function(&at, &record, new.publish)?;
                // Only now may these lose their pins: a record names them.
                drop((package, layers.held));
                Ok::<_, LambdaError>(created)
            })
            .await?;
        let Some(created) = created else {
            return Err(LambdaError::FunctionExists { name: name.to_string() });
        };
        self.settle_soon(scope.clone(), name.clone(), None);
        if created.version.is_some() {
            self.settle_soon(scope, name, created.version);
        }
        Ok(created)
    }

    /// One function, or the version that its qualifier means: of an alias the one that it points
    /// to, whatever its weights. What is not there is an error with the ARN as it was asked for.
    pub(crate) async fn function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<FunctionRecord, LambdaError> {
        self.resolve(scope, function, |alias| alias.version).await
    }

    /// The version that a reference means; whoever asks chooses among those of an alias.
    pub(super) async fn resolve(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        choose: impl FnOnce(&AliasRecord) -> Option<u64> + Send + 'static,
    ) -> Result<FunctionRecord, LambdaError> {
        let (at, asked) = (scope.clone(), function.clone());
        let found: Result<_, StoreError> = self
            .reading(move |store| match asked.qualifier {
                None | Some(Qualifier::Latest) => store.function(&at, &asked.name),
                Some(Qualifier::Version(version)) => store.function_version(&at, &asked.name, Some(version)),
                Some(Qualifier::Alias(alias)) => store.aliased_version(&at, &asked.name, &alias, choose),
            })
            .await;
        found?.ok_or_else(|| LambdaError::NoSuchFunction { arn: function.arn(scope) })
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
        Ok(FunctionPage::new(found?, limit, |last| last.name.to_string()))
    }

    /// Gives a function other code. With `publish` it is the version that comes back.
    pub(crate) async fn update_function_code(
        self: &Arc<Self>,
        scope: Scope,
        function: FunctionRef,
        change: CodeChange,
    ) -> Result<FunctionRecord, LambdaError> {
        function.check_unqualified()?;
        let mut record = self.function(&scope, &function).await?;
        check_changeable(&scope, &record, change.revision.as_deref())?;
        let package = self.package(&scope, change.source.ok_or(LambdaError::NoCode)?).await?;
        let (code, code_size) = (package.blob.sha256(), package.blob.size());
        let unzipped_size = package.unzipped_size;
        self.blocking({
            let (scope, earlier) = (scope.clone(), record.settings.code_size);
            let zips = if change.publish { 2 } else { 1 };
            move |store| check_storage(store, &scope, (zips * code_size).saturating_sub(earlier))
        })
        .await?;
        let architecture = change.architecture;
        // Changes the settings that are there when it is written: taking the package in lasts, and
        // the configuration may change meanwhile.
        let apply = move |settings: &Settings| {
            let mut settings = Settings { code, code_size, unzipped_size, ..settings.clone() };
            if let Some(architecture) = architecture {
                settings.architecture = architecture;
            }
            check_together(&settings)?;
            Ok(settings)
        };
        if change.dry_run {
            record.settings = apply(&record.settings)?;
            return Ok(record);
        }
        let conditions = Conditions { revision: change.revision, publish: change.publish };
        self.change_settings(scope, function, conditions, package, apply).await
    }

    /// Changes a function's configuration.
    pub(crate) async fn update_function_configuration(
        self: &Arc<Self>,
        scope: Scope,
        function: FunctionRef,
        changes: FunctionChanges,
        revision: Option<String>,
    ) -> Result<FunctionRecord, LambdaError> {
        function.check_unqualified()?;
        check_changeable(&scope, &self.function(&scope, &function).await?, revision.as_deref())?;
        if let Some(runtime) = &changes.runtime {
            self.check_runtime(runtime)?;
        }
        check_variables(changes.variables.as_deref())?;
        changes.check_dead_letter_target()?;
        let (layers, held) = match changes.layers.clone() {
            None => (None, Vec::new()),
            Some(wanted) => {
                let at = scope.clone();
                let layers = self.blocking(move |store| attach(store, &at, &wanted)).await?;
                (Some(layers.attached), layers.held)
            }
        };
        let conditions = Conditions { revision, publish: false };
        self.change_settings(scope, function, conditions, held, move |settings| {
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
        conditions: Conditions,
        held: impl Send + 'static,
        change: impl FnOnce(&Settings) -> Result<Settings, LambdaError> + Send + 'static,
    ) -> Result<FunctionRecord, LambdaError> {
        let at = scope.clone();
        let arn = function.arn(&scope);
        let name = function.name.clone();
        let change = move |record: &mut FunctionRecord| {
            check_changeable(&at, record, conditions.revision.as_deref())?;
            let mut settings = change(&record.settings)?;
            settings.id = Uuid::new_v4().to_string();
            // After a change that failed, what runs is not the newest settings.
            let earlier = Box::new(record.running().clone());
            record.settings = settings;
            record.update = Update::InProgress { earlier };
            record.revision = Uuid::new_v4().to_string();
            record.last_modified = now();
            Ok(())
        };
        let at = scope.clone();
        let changed = self
            .blocking(move |store| {
                let changed = if conditions.publish {
                    store.publish_function_version(&at, &function.name, |latest, last| {
                        change(latest)?;
                        Ok(publication(latest, last, None))
                    })
                } else {
                    store.change_function(&at, &function.name, change).map(|((), record)| record)
                };
                drop(held);
                changed.map_err(|error: ChangeError<LambdaError>| match error {
                    ChangeError::NoSuchFunction => LambdaError::NoSuchFunction { arn },
                    other => other.into(),
                })
            })
            .await?;
        self.settle_soon(scope.clone(), name.clone(), None);
        if changed.version.is_some() && changed.state == State::Pending {
            self.settle_soon(scope, name, changed.version);
        }
        Ok(changed)
    }

    /// Deletes a function and everything only it needs, or one version of it.
    pub(crate) async fn delete_function(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<(), LambdaError> {
        match function.qualifier {
            None => {}
            Some(Qualifier::Latest) => return Err(LambdaError::LatestNotDeletable),
            Some(Qualifier::Alias(_)) => return Err(LambdaError::AliasNotDeletable),
            Some(Qualifier::Version(version)) => return self.delete_version(scope, function, version).await,
        }
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
        let (changed_scope, name) = (scope.clone(), function.name.clone());
        let network_changed = self
            .blocking(move |store| {
                let mut network_changed = false;
                store
                    .change_function(&scope, &function.name, |record| {
                        let before = record.tags.get(NETWORK_TAG).cloned();
                        change(&mut record.tags);
                        network_changed = record.tags.get(NETWORK_TAG) != before.as_ref();
                        // Tags are part of what a revision id stands for; so it was recorded.
                        record.revision = Uuid::new_v4().to_string();
                        if record.tags.len() > 50 { Err(LambdaError::TooManyTags) } else { Ok(()) }
                    })
                    .map_err(|error| match error {
                        ChangeError::NoSuchFunction => LambdaError::NoSuchFunction { arn },
                        other => other.into(),
                    })?;
                Ok::<_, LambdaError>(network_changed)
            })
            .await?;
        if network_changed {
            self.prepared.forget(&changed_scope, &name);
            self.sandbox.retire(&function_arn(&changed_scope, &name)).await;
        }
        Ok(())
    }

    /// Brings a function or a version from `Pending` or `InProgress` to its end, in the background.
    pub(super) fn settle_soon(self: &Arc<Self>, scope: Scope, name: FunctionName, version: Option<u64>) {
        let cloud = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = cloud.settle(scope, name, version).await {
                tracing::warn!(%error, "a function could not be made ready");
            }
        });
    }

    async fn settle(
        &self,
        scope: Scope,
        name: FunctionName,
        version: Option<u64>,
    ) -> Result<(), LambdaError> {
        let found = self
            .blocking({
                let (scope, name) = (scope.clone(), name.clone());
                move |store| {
                    let Some(record) = store.function_version(&scope, &name, version)? else {
                        return Ok(None);
                    };
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
                    let changed = store.change_function_version(&scope, &name, version, |record| {
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
        self.prepared.forget_version(&scope, &name, version);
        let version = version_text(version);
        match runs {
            Some(runs) => self.sandbox.retire_except(&arn, &version, &runs).await,
            None => self.sandbox.retire_version(&arn, &version).await,
        }
        Ok(())
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

/// When a change happens, and what with it.
struct Conditions {
    /// What `$LATEST` must have.
    revision: Option<String>,
    /// Whether a version is published at once.
    publish: bool,
}

/// Whether `$LATEST` may be changed or published now.
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
