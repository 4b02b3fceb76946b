//! Published versions: what is published when, and what may be deleted.

use std::sync::Arc;

use uuid::Uuid;

use super::{FunctionPage, FunctionRef, check_changeable, function_arn, limits::check_storage};
use crate::{
    service::{Cloud, LambdaError},
    store::{
        ChangeError, FunctionRecord, Publication, Scope, State, StoreError, VersionDeletion, version_text,
    },
};

/// What a caller says about a version to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewVersion {
    /// Instead of `$LATEST`'s.
    pub(crate) description: Option<String>,
    /// What `$LATEST`'s code must have, base64.
    pub(crate) code_sha256: Option<String>,
    /// What `$LATEST` must have.
    pub(crate) revision: Option<String>,
}

impl Cloud {
    /// Publishes `$LATEST` as a version. Without a change since the last version, it is that one,
    /// and nothing happens (FACTS.md §3).
    pub(crate) async fn publish_version(
        self: &Arc<Self>,
        scope: Scope,
        function: FunctionRef,
        new: NewVersion,
    ) -> Result<FunctionRecord, LambdaError> {
        function.check_unqualified()?;
        let arn = function_arn(&scope, &function.name);
        let latest = self.function(&scope, &function.unqualified()).await?;
        let at = scope.clone();
        let published = self
            .blocking(move |store| {
                // Only a version that will be made needs room.
                let room = check_storage(store, &scope, latest.settings.code_size);
                store
                    .publish_function_version(&scope, &function.name, |latest, last| {
                        check_changeable(&scope, latest, new.revision.as_deref())?;
                        let current = latest.settings.code.to_base64();
                        if let Some(given) = new.code_sha256.filter(|given| *given != current) {
                            return Err(LambdaError::OtherCode { given, current });
                        }
                        let publication = publication(latest, last, new.description);
                        if matches!(publication, Publication::New(_)) {
                            room?;
                            latest.revision = Uuid::new_v4().to_string();
                        }
                        Ok(publication)
                    })
                    .map_err(|error| match error {
                        ChangeError::NoSuchFunction => LambdaError::NoSuchFunction { arn },
                        other => other.into(),
                    })
            })
            .await?;
        // What is published of a change that failed is not unpacked yet.
        if published.state == State::Pending {
            self.settle_soon(at, published.name.clone(), published.version);
        }
        Ok(published)
    }

    /// `$LATEST` and the published versions of one function, oldest first.
    pub(crate) async fn function_versions(
        &self,
        scope: Scope,
        function: FunctionRef,
        marker: Option<String>,
        limit: usize,
    ) -> Result<FunctionPage, LambdaError> {
        let latest = self.function(&scope, &function.unqualified()).await?;
        let after = marker.and_then(|marker| marker.parse::<u64>().ok());
        let published: Result<_, StoreError> = self
            .blocking(move |store| {
                store.function_versions(&scope, &function.name, after.unwrap_or(0), limit + 1)
            })
            .await;
        let mut functions = published?;
        if after.is_none() {
            functions.insert(0, latest);
        }
        Ok(FunctionPage::new(functions, limit, |last| last.version.unwrap_or(0).to_string()))
    }

    /// `$LATEST` and the published versions of all functions, by name and number.
    pub(crate) async fn all_function_versions(
        &self,
        scope: Scope,
        marker: Option<String>,
        limit: usize,
    ) -> Result<FunctionPage, LambdaError> {
        let marker = marker.unwrap_or_default();
        let found: Result<_, StoreError> = self
            .blocking(move |store| {
                let (name, version) = marker.rsplit_once(':').unwrap_or_default();
                store.all_function_versions(&scope, (name, version.parse().ok()), limit + 1)
            })
            .await;
        Ok(FunctionPage::new(found?, limit, |last| format!("{}:{}", last.name, last.version.unwrap_or(0))))
    }

    /// Deletes a version; one that is not there counts as deleted.
    pub(super) async fn delete_version(
        &self,
        scope: Scope,
        function: FunctionRef,
        version: u64,
    ) -> Result<(), LambdaError> {
        self.function(&scope, &function.unqualified()).await?;
        let arn = function_arn(&scope, &function.name);
        // Before the deletion, so that it removes the trees; and after it, for an invocation that
        // found the version just before it went.
        self.prepared.forget_version(&scope, &function.name, Some(version));
        let deletion: Result<_, StoreError> = self
            .blocking({
                let (scope, name) = (scope.clone(), function.name.clone());
                move |store| store.delete_function_version(&scope, &name, version)
            })
            .await;
        if let VersionDeletion::Referenced(aliases) = deletion? {
            return Err(LambdaError::VersionReferenced { aliases });
        }
        self.prepared.forget_version(&scope, &function.name, Some(version));
        self.sandbox.retire_version(&arn, &version_text(Some(version))).await;
        Ok(())
    }
}

/// What publishing `$LATEST` gives, knowing the last version.
pub(super) fn publication(
    latest: &FunctionRecord,
    last: Option<FunctionRecord>,
    description: Option<String>,
) -> Publication {
    match last {
        Some(last) if last.is_published_of(latest) => Publication::Unchanged(last),
        _ => Publication::New(latest.published(description)),
    }
}
