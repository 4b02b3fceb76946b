//! Recursive loop detection and runtime updates of functions. The first counts where functions send
//! each other the records of their events (`events`); the second is kept and given back, since
//! runtimes are the Pythons of this machine.

use serde::{Deserialize, Serialize};

use super::{
    Cloud, FunctionRef, SettingsError,
    settings::{names_alias, owner_or_latest},
};
use crate::store::{ChangeError, Scope, SettingKind, SettingOwner};

/// How a version's runtime is updated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuntimeManagement {
    /// `Auto`, `FunctionUpdate` or `Manual`.
    pub(crate) update_on: String,
    /// With `Manual`: which runtime version.
    pub(crate) version_arn: Option<String>,
}

impl Cloud {
    /// Sets what happens when a loop is seen: `Allow` or `Terminate`.
    pub(crate) async fn put_recursion(
        &self,
        scope: Scope,
        function: FunctionRef,
        recursive_loop: String,
    ) -> Result<(), SettingsError> {
        self.unqualified_function(&scope, &function).await?;
        let owner = SettingOwner::function(&function.name);
        self.put_setting(scope, SettingKind::Recursion, owner, recursive_loop).await
    }

    /// What happens when a loop is seen.
    pub(crate) async fn recursion(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<String, SettingsError> {
        self.unqualified_function(&scope, &function).await?;
        let owner = SettingOwner::function(&function.name);
        let found: Option<String> =
            self.blocking(move |store| store.setting(&scope, SettingKind::Recursion, &owner)).await?;
        Ok(found.unwrap_or_else(|| "Terminate".to_owned()))
    }

    /// Sets how the runtime of a version is updated.
    pub(crate) async fn put_runtime_management(
        &self,
        scope: Scope,
        function: FunctionRef,
        new: RuntimeManagement,
    ) -> Result<(), SettingsError> {
        if names_alias(&function) {
            return Err(SettingsError::RuntimeOfAlias);
        }
        self.qualified_function(&scope, &function).await?;
        match (new.update_on.as_str(), &new.version_arn) {
            ("Manual", None) => return Err(SettingsError::NoRuntimeVersion),
            ("Auto" | "FunctionUpdate", Some(_)) => return Err(SettingsError::RuntimeVersionNotManual),
            _ => {}
        }
        let owner = owner_or_latest(&function);
        self.put_setting(scope, SettingKind::RuntimeManagement, owner, new).await
    }

    /// How the runtime of a version is updated.
    pub(crate) async fn runtime_management(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<RuntimeManagement, SettingsError> {
        if names_alias(&function) {
            return Err(SettingsError::RuntimeOfAlias);
        }
        self.qualified_function(&scope, &function).await?;
        let owner = owner_or_latest(&function);
        let found: Option<RuntimeManagement> =
            self.blocking(move |store| store.setting(&scope, SettingKind::RuntimeManagement, &owner)).await?;
        Ok(found.unwrap_or_else(|| RuntimeManagement { update_on: "Auto".to_owned(), version_arn: None }))
    }

    async fn put_setting<T>(
        &self,
        scope: Scope,
        kind: SettingKind,
        owner: SettingOwner,
        value: T,
    ) -> Result<(), SettingsError>
    where
        T: Serialize + serde::de::DeserializeOwned + Send + 'static,
    {
        self.blocking(move |store| {
            let changed: Result<(), ChangeError<SettingsError>> =
                store.change_setting(&scope, kind, &owner, |_, _: Option<T>| Ok((Some(value), ())));
            Ok::<_, SettingsError>(changed?)
        })
        .await
    }
}
