//! Reserved and provisioned concurrency: who has how much of the account's.
//!
//! Owns what is configured and what may be. What keeps the environments ready is `provisioning`.

use layercake_core::aws::FunctionName;
use serde::{Deserialize, Serialize};

use super::{
    Cloud, FunctionRef, LambdaError, Qualifier, SettingsError, now,
    settings::{Page, names_alias, owner_arn, owner_or_latest},
};
use crate::{
    sandbox::NotReady,
    store::{ChangeError, Scope, Setting, SettingKind, SettingOwner},
};

/// Calls that an account may run at once in a region (FACTS.md §1).
pub(crate) const ACCOUNT_CONCURRENCY: u32 = 1_000;

/// What reservations leave at least to all other functions (FACTS.md §1).
pub(crate) const LEAST_UNRESERVED: u32 = 100;

/// Provisioned concurrency of a version or alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProvisionedRecord {
    pub(super) requested: u32,
    /// In milliseconds since 1970.
    modified: i64,
}

/// Provisioned concurrency as it is answered.
pub(crate) struct Provisioned {
    /// Of which version or alias.
    pub(crate) arn: String,
    /// How much was asked for.
    pub(crate) requested: u32,
    /// How much there is.
    pub(crate) allocated: u32,
    /// Why there is not more, where more time will not help.
    pub(crate) missing: Option<NotReady>,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
}

impl Cloud {
    /// Reserves concurrency for a function.
    pub(crate) async fn put_concurrency(
        &self,
        scope: Scope,
        function: FunctionRef,
        reserved: u32,
    ) -> Result<(), SettingsError> {
        let arn = format!("{}:$LATEST", function.arn(&scope));
        self.unqualified_function(&scope, &function).await.map_err(|error| match error {
            // This operation alone names the version that it looked for.
            SettingsError::Lambda(LambdaError::NoSuchFunction { .. }) => {
                LambdaError::NoSuchFunction { arn }.into()
            }
            other => other,
        })?;
        let owner = SettingOwner::function(&function.name);
        self.blocking(move |store| {
            let changed: Result<(), ChangeError<SettingsError>> =
                store.change_setting(&scope, SettingKind::Concurrency, &owner, |settings, _| {
                    let provisioned: u32 = settings
                        .all::<ProvisionedRecord>(SettingKind::ProvisionedConcurrency)?
                        .iter()
                        .filter(|setting| setting.owner.function == owner.function)
                        .map(|setting| setting.value.requested)
                        .sum();
                    if reserved < provisioned {
                        return Err(SettingsError::ReservedBelowProvisioned { provisioned });
                    }
                    let others: u32 = settings
                        .all::<u32>(SettingKind::Concurrency)?
                        .iter()
                        .filter(|setting| setting.owner != owner)
                        .map(|setting| setting.value)
                        .sum();
                    if others.saturating_add(reserved) > ACCOUNT_CONCURRENCY - LEAST_UNRESERVED {
                        return Err(SettingsError::UnreservedTooLow);
                    }
                    Ok((Some(reserved), ()))
                });
            Ok::<_, SettingsError>(changed?)
        })
        .await
    }

    /// What is reserved for a function.
    pub(crate) async fn concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<Option<u32>, SettingsError> {
        self.unqualified_function(scope, function).await?;
        Ok(self.reserved(scope, &function.name).await?)
    }

    /// What is reserved for a function that need not be there.
    pub(crate) async fn reserved(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<Option<u32>, LambdaError> {
        let (scope, owner) = (scope.clone(), SettingOwner::function(name));
        self.reading(move |store| Ok(store.setting(&scope, SettingKind::Concurrency, &owner)?)).await
    }

    /// Gives a function's reservation up.
    pub(crate) async fn delete_concurrency(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<(), SettingsError> {
        self.unqualified_function(&scope, &function).await?;
        self.forget_setting::<u32>(scope, SettingKind::Concurrency, SettingOwner::function(&function.name))
            .await
            .map(|_| ())
    }

    /// Provisions concurrency for a version or alias.
    pub(crate) async fn put_provisioned(
        &self,
        scope: Scope,
        function: FunctionRef,
        requested: u32,
    ) -> Result<Provisioned, SettingsError> {
        if matches!(function.qualifier, None | Some(Qualifier::Latest)) {
            return Err(SettingsError::ProvisionedOfLatest);
        }
        self.qualified_function(&scope, &function).await?;
        let owner = provisioned_owner(&function)?;
        let record = ProvisionedRecord { requested, modified: now() };
        let arn = owner_arn(&scope, &owner);
        let exclusive = self.exclusive_with(&scope, &function).await?;
        let is_alias = names_alias(&function);
        self.blocking(move |store| {
            let changed: Result<(), ChangeError<SettingsError>> =
                store.change_setting(&scope, SettingKind::ProvisionedConcurrency, &owner, |settings, _| {
                    let all = settings.all::<ProvisionedRecord>(SettingKind::ProvisionedConcurrency)?;
                    let taken = all.iter().any(|other| {
                        other.owner.function == owner.function && exclusive.contains(&other.owner.qualifier)
                    });
                    if taken {
                        return Err(if is_alias {
                            SettingsError::VersionIsProvisioned
                        } else {
                            SettingsError::AliasIsProvisioned
                        });
                    }
                    check_provisioned(&all, &settings.all(SettingKind::Concurrency)?, &owner, requested)?;
                    Ok((Some(record), ()))
                });
            Ok::<_, SettingsError>(changed?)
        })
        .await?;
        self.provisioning.changed();
        Ok(Provisioned { arn, requested, allocated: 0, missing: None, modified: record.modified })
    }

    /// The provisioned concurrency of a version or alias.
    pub(crate) async fn provisioned(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<Provisioned, SettingsError> {
        let owner = provisioned_owner(&function)?;
        self.qualified_function(&scope, &function).await?;
        let found: Option<ProvisionedRecord> = self
            .blocking({
                let (scope, owner) = (scope.clone(), owner.clone());
                move |store| store.setting(&scope, SettingKind::ProvisionedConcurrency, &owner)
            })
            .await?;
        let value = found.ok_or(SettingsError::NoProvisioned)?;
        Ok(self.answered(&scope, &Setting { owner, value }))
    }

    /// The provisioned concurrency of a function's versions and aliases.
    pub(crate) async fn list_provisioned(
        &self,
        scope: Scope,
        function: FunctionRef,
        marker: Option<String>,
        limit: usize,
    ) -> Result<Page<Provisioned>, SettingsError> {
        let name = function.name.clone();
        self.function(&scope, &function.unqualified()).await?;
        let kind = SettingKind::ProvisionedConcurrency;
        let found: Vec<Setting<ProvisionedRecord>> = self
            .blocking({
                let scope = scope.clone();
                move |store| store.settings_of(&scope, kind, &name, marker.as_deref(), limit + 1)
            })
            .await?;
        let page = Page::of(found, limit, |last| last.owner.qualifier.clone());
        let items = page.items.iter().map(|setting| self.answered(&scope, setting)).collect();
        Ok(Page { items, next: page.next })
    }

    /// Gives the provisioned concurrency of a version or alias up; it need not have any.
    pub(crate) async fn delete_provisioned(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<(), SettingsError> {
        let owner = provisioned_owner(&function)?;
        self.qualified_function(&scope, &function).await?;
        self.forget_setting::<ProvisionedRecord>(scope, SettingKind::ProvisionedConcurrency, owner).await?;
        self.provisioning.changed();
        Ok(())
    }

    fn answered(&self, scope: &Scope, setting: &Setting<ProvisionedRecord>) -> Provisioned {
        let requested = setting.value.requested;
        let allocated = self.allocated(scope, &setting.owner, requested);
        Provisioned {
            arn: owner_arn(scope, &setting.owner),
            requested,
            allocated: allocated.count,
            missing: allocated.missing.filter(|_| allocated.count < requested),
            modified: setting.value.modified,
        }
    }

    /// What may not have provisioned concurrency when this has: of an alias its versions, of a
    /// version the aliases that point to it.
    async fn exclusive_with(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<Vec<String>, SettingsError> {
        Ok(match &function.qualifier {
            Some(Qualifier::Alias(name)) => {
                let alias = self.alias(scope.clone(), function.clone(), name.clone()).await?;
                if alias.version.is_none() {
                    return Err(SettingsError::ProvisionedOfLatest);
                }
                let shared = alias.weights.keys().copied();
                alias.version.into_iter().chain(shared).map(|version| version.to_string()).collect()
            }
            Some(Qualifier::Version(version)) => {
                let (scope, function) = (scope.clone(), function.clone());
                let aliases =
                    self.aliases(scope, function, Some(Some(*version)), None, usize::MAX - 1).await?;
                aliases.aliases.into_iter().map(|alias| alias.name).collect()
            }
            None | Some(Qualifier::Latest) => Vec::new(),
        })
    }
}

fn provisioned_owner(function: &FunctionRef) -> Result<SettingOwner, SettingsError> {
    match &function.qualifier {
        None | Some(Qualifier::Latest) => Err(SettingsError::NeitherAliasNorVersion),
        Some(_) => Ok(owner_or_latest(function)),
    }
}

/// Whether there is room: within the function's own reservation, or else within what the account
/// leaves to functions without one.
fn check_provisioned(
    all: &[Setting<ProvisionedRecord>],
    reserved: &[Setting<u32>],
    owner: &SettingOwner,
    requested: u32,
) -> Result<(), SettingsError> {
    let has_reserved = |function: &FunctionName| {
        reserved.iter().find(|setting| setting.owner.function == *function).map(|setting| setting.value)
    };
    let others = || all.iter().filter(|setting| setting.owner != *owner);
    if let Some(reserved) = has_reserved(&owner.function) {
        let own: u32 = others()
            .filter(|setting| setting.owner.function == owner.function)
            .map(|setting| setting.value.requested)
            .sum();
        if own.saturating_add(requested) > reserved {
            return Err(SettingsError::ProvisionedAboveReserved);
        }
        return Ok(());
    }
    let reservations: u32 = reserved.iter().map(|setting| setting.value).sum();
    let provisioned: u32 = others()
        .filter(|setting| has_reserved(&setting.owner.function).is_none())
        .map(|setting| setting.value.requested)
        .sum();
    let available = ACCOUNT_CONCURRENCY.saturating_sub(reservations).saturating_sub(provisioned);
    if requested > available {
        return Err(SettingsError::ProvisionedAboveUnreserved { available });
    }
    if available - requested < LEAST_UNRESERVED {
        return Err(SettingsError::ProvisionedLeavesTooLittle);
    }
    Ok(())
}
