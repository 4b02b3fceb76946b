//! Code signing configurations, and which function has which. They are kept and given back; no
//! code is verified here, since nothing here can sign.

use std::collections::BTreeMap;

use layercake_core::aws::FunctionName;
use serde_json::Value;
use uuid::Uuid;

use super::{Cloud, FunctionRef, LambdaError, SettingsError, functions::function_arn, now, settings::Page};
use crate::store::{
    ChangeError, CodeSigningDeletion, CodeSigningRecord, Scope, Setting, SettingKind, SettingOwner,
};

/// What a request sets of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeSigningChanges {
    /// As given.
    pub(crate) description: Option<String>,
    /// As given.
    pub(crate) publishers: Option<Value>,
    /// `Warn` or `Enforce`.
    pub(crate) untrusted: Option<String>,
}

const KIND: SettingKind = SettingKind::CodeSigning;

impl Cloud {
    /// Makes a configuration.
    pub(crate) async fn create_code_signing(
        &self,
        scope: Scope,
        new: CodeSigningChanges,
        tags: BTreeMap<String, String>,
    ) -> Result<CodeSigningRecord, SettingsError> {
        if tags.len() > super::tags::MOST_TAGS {
            return Err(LambdaError::TooManyTags.into());
        }
        let record = CodeSigningRecord {
            id: format!("csc-{}", &Uuid::new_v4().simple().to_string()[..17]),
            description: new.description,
            publishers: new.publishers.unwrap_or_default(),
            untrusted: new.untrusted.unwrap_or_else(|| "Warn".to_owned()),
            modified: now(),
            tags,
        };
        self.blocking(move |store| {
            store.create_code_signing(&scope, &record)?;
            Ok(record)
        })
        .await
    }

    /// One configuration.
    pub(crate) async fn code_signing(
        &self,
        scope: Scope,
        arn: String,
    ) -> Result<CodeSigningRecord, SettingsError> {
        self.blocking(move |store| {
            let found = match id_of(&scope, &arn) {
                Some(id) => store.code_signing(&scope, id)?,
                None => None,
            };
            found.ok_or(SettingsError::NoSuchCodeSigning { arn })
        })
        .await
    }

    /// Configurations by id.
    pub(crate) async fn code_signings(
        &self,
        scope: Scope,
        marker: Option<String>,
        limit: usize,
    ) -> Result<Page<CodeSigningRecord>, SettingsError> {
        let found = self
            .blocking(move |store| store.code_signings(&scope, &marker.unwrap_or_default(), limit + 1))
            .await?;
        Ok(Page::of(found, limit, |last| last.id.clone()))
    }

    /// Changes a configuration; what is not given stays.
    pub(crate) async fn update_code_signing(
        &self,
        scope: Scope,
        arn: String,
        changes: CodeSigningChanges,
    ) -> Result<CodeSigningRecord, SettingsError> {
        self.change_code_signing(scope, arn, move |record| {
            let nothing =
                changes.description.is_none() && changes.publishers.is_none() && changes.untrusted.is_none();
            if !nothing {
                record.modified = now();
            }
            record.description = changes.description.or(record.description.take());
            record.publishers = changes.publishers.unwrap_or_else(|| record.publishers.take());
            if let Some(untrusted) = changes.untrusted {
                record.untrusted = untrusted;
            }
            Ok(())
        })
        .await
    }

    /// Changes a configuration as one step.
    pub(super) async fn change_code_signing(
        &self,
        scope: Scope,
        arn: String,
        change: impl FnOnce(&mut CodeSigningRecord) -> Result<(), SettingsError> + Send + 'static,
    ) -> Result<CodeSigningRecord, SettingsError> {
        self.blocking(move |store| {
            let changed = match id_of(&scope, &arn) {
                Some(id) => store.change_code_signing(&scope, id, change)?,
                None => None,
            };
            changed.ok_or(SettingsError::NoSuchCodeSigning { arn })
        })
        .await
    }

    /// Deletes a configuration that no function has.
    pub(crate) async fn delete_code_signing(&self, scope: Scope, arn: String) -> Result<(), SettingsError> {
        self.blocking(move |store| {
            let deletion = match id_of(&scope, &arn) {
                Some(id) => store.delete_code_signing(&scope, id, &arn)?,
                None => CodeSigningDeletion::NotFound,
            };
            match deletion {
                CodeSigningDeletion::Deleted => Ok(()),
                CodeSigningDeletion::NotFound => Err(SettingsError::NoSuchCodeSigning { arn }),
                CodeSigningDeletion::InUse => Err(SettingsError::CodeSigningInUse),
            }
        })
        .await
    }

    /// The ARNs of the functions that have a configuration.
    pub(crate) async fn functions_with_code_signing(
        &self,
        scope: Scope,
        arn: String,
        marker: Option<String>,
        limit: usize,
    ) -> Result<Page<String>, SettingsError> {
        self.code_signing(scope.clone(), arn.clone()).await?;
        let after = marker.unwrap_or_default();
        self.blocking(move |store| {
            let found: Vec<FunctionName> = store
                .all_settings(&scope, KIND)?
                .into_iter()
                .filter(|setting: &Setting<String>| setting.value == arn)
                .map(|setting| setting.owner.function)
                .filter(|name| name.as_str() > after.as_str())
                .take(limit + 1)
                .collect();
            let page = Page::of(found, limit, FunctionName::to_string);
            let items = page.items.iter().map(|name| function_arn(&scope, name)).collect();
            Ok(Page { items, next: page.next })
        })
        .await
    }

    /// Whether a function could have a configuration.
    pub(crate) async fn check_code_signing(&self, scope: Scope, arn: String) -> Result<(), SettingsError> {
        self.code_signing(scope, arn).await.map(|_| ()).map_err(|error| match error {
            SettingsError::NoSuchCodeSigning { arn } => SettingsError::CodeSigningMissing { arn },
            other => other,
        })
    }

    /// Gives a function a configuration.
    pub(crate) async fn put_function_code_signing(
        &self,
        scope: Scope,
        function: FunctionRef,
        arn: String,
    ) -> Result<(), SettingsError> {
        // The configuration is looked for first; that was recorded.
        self.check_code_signing(scope.clone(), arn.clone()).await?;
        self.unqualified_function(&scope, &function).await?;
        let owner = SettingOwner::function(&function.name);
        self.blocking(move |store| {
            let changed: Result<(), ChangeError<SettingsError>> =
                store.change_setting(&scope, KIND, &owner, |settings, _: Option<String>| {
                    match id_of(&scope, &arn) {
                        Some(id) if settings.has_code_signing(id)? => Ok((Some(arn), ())),
                        _ => Err(SettingsError::CodeSigningMissing { arn }),
                    }
                });
            Ok::<_, SettingsError>(changed?)
        })
        .await
    }

    /// The ARN of the configuration that a function has.
    pub(crate) async fn function_code_signing(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<Option<String>, SettingsError> {
        self.unqualified_function(&scope, &function).await?;
        let owner = SettingOwner::function(&function.name);
        Ok(self.blocking(move |store| store.setting(&scope, KIND, &owner)).await?)
    }

    /// Takes a function's configuration away; it need not have one.
    pub(crate) async fn delete_function_code_signing(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<(), SettingsError> {
        self.unqualified_function(&scope, &function).await?;
        self.forget_setting::<String>(scope, KIND, SettingOwner::function(&function.name)).await.map(|_| ())
    }
}

/// The id in an ARN of this account and region.
fn id_of<'a>(scope: &Scope, arn: &'a str) -> Option<&'a str> {
    let parts: Vec<_> = arn.split(':').collect();
    match parts[..] {
        ["arn", _, "lambda", region, account, "code-signing-config", id]
            if region == scope.region.as_str() && account == scope.account.as_str() =>
        {
            Some(id)
        }
        _ => None,
    }
}

/// `arn:aws:lambda:REGION:ACCOUNT:code-signing-config:ID`.
pub(crate) fn code_signing_arn(scope: &Scope, id: &str) -> String {
    format!("arn:aws:lambda:{}:{}:code-signing-config:{id}", scope.region, scope.account)
}
