//! Function URLs: their configuration. Nothing answers at them yet.

use layercake_core::hash::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Cloud, FunctionRef, LambdaError, SettingsError, now,
    settings::{Page, owner_arn, owner_or_function},
};
use crate::store::{ChangeError, Scope, Setting, SettingKind, SettingOwner};

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
    /// Where it answers.
    pub(crate) url: String,
    /// Its configuration.
    pub(crate) config: UrlConfig,
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
        url: address(scope, &setting.owner),
        config: setting.value,
    }
}

/// `https://ID.lambda-url.REGION.on.aws/`. The id follows from what the URL belongs to, so that it
/// is the same on every machine.
fn address(scope: &Scope, owner: &SettingOwner) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let hash = Sha256::of(owner_arn(scope, owner).as_bytes()).to_hex();
    let id: String = hash
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
        .collect();
    format!("https://{id}.lambda-url.{}.on.aws/", scope.region)
}

fn no_function(error: LambdaError) -> SettingsError {
    match error {
        LambdaError::NoSuchFunction { .. } => SettingsError::NoFunctionForUrl,
        other => other.into(),
    }
}
