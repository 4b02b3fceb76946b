//! Function URLs: their configuration, and which function is behind one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use layercake_core::{aws::Region, hash::Sha256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Cloud, FunctionRef, LambdaError, Qualifier, SettingsError, now,
    settings::{Page, owner_arn, owner_or_function},
};
use crate::store::{ChangeError, Scope, Setting, SettingKind, SettingOwner, StoreError};

/// A function URL's configuration as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UrlConfig {
    /// `NONE` or `AWS_IAM`.
    pub(crate) auth: String,
    /// As given.
    pub(crate) cors: Option<Value>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub(crate) invoke_mode: String,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
}

/// What a request sets of a function URL.
pub(crate) struct UrlChanges {
    /// `NONE` or `AWS_IAM`.
    pub(crate) auth: Option<String>,
    /// Cross-origin settings; they replace what there was.
    pub(crate) cors: Option<Value>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub(crate) invoke_mode: Option<String>,
}

/// A function URL.
pub(crate) struct FunctionUrl {
    /// Of which function or alias.
    pub(crate) arn: String,
    /// What its host name begins with.
    pub(crate) id: String,
    /// In which region it answers.
    pub(crate) region: Region,
    /// Its configuration.
    pub(crate) config: UrlConfig,
}

/// What answers at a function URL.
pub(crate) struct UrlTarget {
    /// Whose function, and where.
    pub(crate) scope: Scope,
    /// The function or its alias.
    pub(crate) function: FunctionRef,
    /// The URL's configuration.
    pub(crate) config: UrlConfig,
}

/// Which URL belongs to what, as far as somebody has asked. An entry may outlive its URL.
#[derive(Default)]
pub(crate) struct UrlOwners(Mutex<HashMap<String, (Scope, SettingOwner)>>);

impl UrlOwners {
    fn get(&self, id: &str) -> Option<(Scope, SettingOwner)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn add(&self, id: &str, owner: (Scope, SettingOwner)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), owner);
    }
}

const KIND: SettingKind = SettingKind::Url;

impl Cloud {
    /// Gives a function or alias a URL.
    pub(crate) async fn create_url(
        &self,
        scope: Scope,
        function: FunctionRef,
        new: UrlChanges,
    ) -> Result<FunctionUrl, SettingsError> {
        self.function(&scope, &function).await.map_err(no_function)?;
        let owner = owner_or_function(&function);
        let arn = owner_arn(&scope, &owner);
        let config = UrlConfig {
            auth: new.auth.unwrap_or_else(|| "NONE".to_owned()),
            cors: new.cors,
            invoke_mode: new.invoke_mode.unwrap_or_else(|| "BUFFERED".to_owned()),
            created: now(),
            modified: now(),
        };
        let setting = Setting { owner, value: config };
        self.blocking(move |store| {
            let kept = setting.value.clone();
            let changed: Result<(), ChangeError<SettingsError>> = store.change_setting(
                &scope,
                KIND,
                &setting.owner,
                |_, found: Option<UrlConfig>| match found {
                    Some(_) => Err(SettingsError::UrlExists { arn }),
                    None => Ok((Some(kept), ())),
                },
            );
            changed?;
            Ok::<_, SettingsError>(answered(&scope, setting))
        })
        .await
    }

    /// The URL of a function or alias.
    pub(crate) async fn url(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<FunctionUrl, SettingsError> {
        let owner = owner_or_function(&function);
        self.blocking(move |store| {
            let value = store.setting(&scope, KIND, &owner)?.ok_or(SettingsError::NoSuchResource)?;
            Ok(answered(&scope, Setting { owner, value }))
        })
        .await
    }

    /// What answers at the URL with this id, if something does.
    pub(crate) async fn url_target(
        &self,
        id: &str,
        region: &Region,
    ) -> Result<Option<UrlTarget>, StoreError> {
        let known = self.url_owners.get(id).filter(|(scope, _)| scope.region == *region);
        let (scope, owner) = match known {
            Some(known) => known,
            None => {
                let (id, region) = (id.to_owned(), region.clone());
                let wanted = id.clone();
                let found = self
                    .blocking(move |store| {
                        let owners = store.setting_owners(&region, KIND)?;
                        Ok::<_, StoreError>(
                            owners.into_iter().find(|(scope, owner)| url_id(scope, owner) == wanted),
                        )
                    })
                    .await?;
                let Some(found) = found else { return Ok(None) };
                self.url_owners.add(&id, found.clone());
                found
            }
        };
        let function = FunctionRef {
            name: owner.function.clone(),
            qualifier: Some(owner.qualifier.clone()).filter(|name| !name.is_empty()).map(Qualifier::Alias),
        };
        let at = scope.clone();
        let config = self.reading(move |store| store.setting(&at, KIND, &owner)).await?;
        Ok(config.map(|config| UrlTarget { scope, function, config }))
    }

    /// Changes the URL of a function or alias.
    pub(crate) async fn update_url(
        &self,
        scope: Scope,
        function: FunctionRef,
        changes: UrlChanges,
    ) -> Result<FunctionUrl, SettingsError> {
        self.function(&scope, &function).await.map_err(no_function)?;
        let owner = owner_or_function(&function);
        self.blocking(move |store| {
            let changed: Result<UrlConfig, ChangeError<SettingsError>> =
                store.change_setting(&scope, KIND, &owner, |_, found: Option<UrlConfig>| {
                    let before = found.ok_or(SettingsError::NoSuchResource)?;
                    let config = UrlConfig {
                        auth: changes.auth.unwrap_or(before.auth),
                        cors: changes.cors.or(before.cors),
                        invoke_mode: changes.invoke_mode.unwrap_or(before.invoke_mode),
                        created: before.created,
                        modified: now(),
                    };
                    Ok((Some(config.clone()), config))
                });
            Ok::<_, SettingsError>(answered(&scope, Setting { owner, value: changed? }))
        })
        .await
    }

    /// Takes the URL of a function or alias away.
    pub(crate) async fn delete_url(&self, scope: Scope, function: FunctionRef) -> Result<(), SettingsError> {
        if self.forget_setting::<UrlConfig>(scope, KIND, owner_or_function(&function)).await? {
            Ok(())
        } else {
            Err(SettingsError::NoSuchResource)
        }
    }

    /// The URLs of a function and its aliases.
    pub(crate) async fn urls(
        &self,
        scope: Scope,
        function: FunctionRef,
        marker: Option<String>,
        limit: usize,
    ) -> Result<Page<FunctionUrl>, SettingsError> {
        let name = function.name.clone();
        self.function(&scope, &function.unqualified()).await.map_err(no_function)?;
        self.blocking(move |store| {
            let found = store.settings_of(&scope, KIND, &name, marker.as_deref(), limit + 1)?;
            let page =
                Page::of(found, limit, |last: &Setting<UrlConfig>| match last.owner.qualifier.as_str() {
                    // Clients take an empty marker for none. This one stands behind the function's own
                    // URL and before those of its aliases.
                    "" => "$LATEST".to_owned(),
                    alias => alias.to_owned(),
                });
            let items = page.items.into_iter().map(|setting| answered(&scope, setting)).collect();
            Ok(Page { items, next: page.next })
        })
        .await
    }
}

fn answered(scope: &Scope, setting: Setting<UrlConfig>) -> FunctionUrl {
    FunctionUrl {
        arn: owner_arn(scope, &setting.owner),
        id: url_id(scope, &setting.owner),
        region: scope.region.clone(),
        config: setting.value,
    }
}

/// The first part of a URL's host name. It follows from what the URL belongs to, so that it is the
/// same on every machine.
fn url_id(scope: &Scope, owner: &SettingOwner) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let hash = Sha256::of(owner_arn(scope, owner).as_bytes()).to_hex();
    hash.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
        .collect()
}

fn no_function(error: LambdaError) -> SettingsError {
    match error {
        LambdaError::NoSuchFunction { .. } => SettingsError::NoFunctionForUrl,
        other => other.into(),
    }
}
