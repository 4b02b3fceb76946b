//! What the configurations beside a function have in common: finding what they belong to, and
//! pages of them.

use serde::{Serialize, de::DeserializeOwned};

use super::{Cloud, FunctionRef, LambdaError, Qualifier, SettingsError};
use crate::store::{ChangeError, FunctionRecord, Scope, SettingKind, SettingOwner};

/// One page of a list.
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// A page of what was asked for with one more than `limit`; `marker` names the last of a page.
    pub(crate) fn of(mut items: Vec<T>, limit: usize, marker: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(marker) } else { None };
        Self { items, next }
    }
}

impl Cloud {
    /// A function, version or alias. What is missing is named as AWS names it: an alias as an
    /// alias, everything else as a function.
    pub(super) async fn qualified_function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<FunctionRecord, SettingsError> {
        self.function(scope, function).await.map_err(|error| match error {
            LambdaError::NoSuchFunction { arn } if names_alias(function) => {
                LambdaError::NoSuchAlias { arn }.into()
            }
            other => other.into(),
        })
    }

    /// A function as such; the caller may not name a version or alias.
    pub(super) async fn unqualified_function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<FunctionRecord, SettingsError> {
        if function.qualifier.is_some() {
            return Err(LambdaError::NotOfVersions.into());
        }
        Ok(self.function(scope, function).await?)
    }

    /// Removes a record. False when there was none.
    pub(super) async fn forget_setting<T>(
        &self,
        scope: Scope,
        kind: SettingKind,
        owner: SettingOwner,
    ) -> Result<bool, SettingsError>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        self.blocking(move |store| {
            let changed: Result<bool, ChangeError<SettingsError>> =
                store.change_setting(&scope, kind, &owner, |_, found: Option<T>| Ok((None, found.is_some())));
            Ok::<_, SettingsError>(changed?)
        })
        .await
    }
}

/// Whether the qualifier names an alias: no version, and nothing that no alias can be called by.
pub(super) fn names_alias(function: &FunctionRef) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    matches!(&function.qualifier, Some(Qualifier::Alias(name)) if name.bytes().all(word))
}

/// What belongs to the function as such unless the caller names a version or alias.
pub(super) fn owner_or_function(function: &FunctionRef) -> SettingOwner {
    match &function.qualifier {
        None | Some(Qualifier::Latest) => SettingOwner::function(&function.name),
        Some(_) => owner_or_latest(function),
    }
}

/// What belongs to `$LATEST` unless the caller names a version or alias.
pub(super) fn owner_or_latest(function: &FunctionRef) -> SettingOwner {
    let qualifier = match &function.qualifier {
        None | Some(Qualifier::Latest) => "$LATEST".to_owned(),
        Some(Qualifier::Version(version)) => version.to_string(),
        Some(Qualifier::Alias(alias)) => alias.clone(),
    };
    SettingOwner { function: function.name.clone(), qualifier }
}

/// The ARN of what a record belongs to, qualified when it belongs to a version or alias.
pub(super) fn owner_arn(scope: &Scope, owner: &SettingOwner) -> String {
    let arn = super::functions::function_arn(scope, &owner.function);
    if owner.qualifier.is_empty() { arn } else { format!("{arn}:{}", owner.qualifier) }
}
