//! What the local cloud decides: which request may happen, what it changes, and the states that
//! functions and layers go through.
//!
//! Owns every rule that AWS's services have beyond their API model. Knows no HTTP and no AWS
//! error code (that is `api`), touches no file (that is `store`) and starts no process (that is
//! `sandbox`).

mod buckets;
mod code_signing;
mod concurrency;
mod credentials;
mod digest;
mod documents;
mod error;
mod event_invoke;
mod events;
mod functions;
mod iam;
mod invoke;
mod layers;
mod log_sink;
mod logs;
mod managed_policies;
mod management;
mod mappings;
mod object_tags;
mod objects;
mod packages;
mod pattern;
mod policies;
mod provisioning;
mod routes;
mod settings;
mod settings_error;
mod streaming;
mod tags;
mod uploads;
mod url_access;
mod urls;
mod version_id;

#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc};

use layercake_core::aws::AccountId;
#[cfg(test)]
use layercake_core::aws::Region;

pub(crate) use buckets::{ListBuckets, Setting};
pub(crate) use code_signing::{CodeSigningChanges, code_signing_arn};
pub(crate) use concurrency::{LEAST_UNRESERVED, Provisioned};
pub(crate) use credentials::{Caller, Keyring, KnownKey, Principal, user_id};
pub(crate) use digest::{ALGORITHMS, DEFAULT_ALGORITHM, Digest, hex_to_base64};
pub(crate) use documents::{DocumentFault, Trust, trust};
pub(crate) use error::{IamError, LambdaError, LogsError, ObjectError, TagFault};
pub(crate) use event_invoke::{Destinations, EventInvoke, NewEventInvokeConfig};
pub(crate) use events::EventQueue;
pub(crate) use functions::{
    AliasChanges, CODE_STORAGE_BYTES, CodeChange, FunctionChanges, FunctionRef, NewFunction, NewVersion,
    Qualifier, alias_arn,
};
pub(crate) use iam::{NewRole, RoleChanges, is_awss_policy};
pub use invoke::NETWORK_TAG;
pub(crate) use invoke::{Invoked, PreparedCache, check_event, invoked_arn};
pub(crate) use layers::{LayerPages, LayerQuestion, NewLayer};
pub(crate) use log_sink::{CallLog, LogSink};
pub(crate) use logs::{FilterEvents, GetEvents, RETENTION_DAYS, Rejected};
pub(crate) use managed_policies::NewPolicy;
pub(crate) use management::RuntimeManagement;
pub(crate) use mappings::{Duplicate, Mapping, MappingFault, MappingRequest, Source as EventSource};
pub(crate) use object_tags::{check_bucket_tags, check_object_tags};
pub(crate) use objects::{
    Copied, DeleteRequest, NewObject, ObjectName, ObjectVersion, WriteCondition, is_etag,
};
pub(crate) use packages::Source;
pub(crate) use policies::{FunctionPermission, LayerPermission, POLICY_BYTES, Policy};
pub(crate) use provisioning::Provisioning;
pub(crate) use routes::{Route, Routes};
pub(crate) use settings_error::SettingsError;
pub(crate) use streaming::{InvokedStreaming, StreamedEnd};
pub(crate) use tags::Taggable;
pub(crate) use uploads::{CompletedPart, Completion, CopiedPart};
#[cfg(test)]
pub(crate) use urls::UrlConfig;
pub(crate) use urls::{FunctionUrl, UrlChanges, UrlOwners, UrlTarget};

use crate::{
    RetiredRuntimes,
    sandbox::Sandbox,
    store::{Store, StoreError},
};

/// Everything that the services share.
pub(crate) struct Cloud {
    pub(crate) store: Arc<Store>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) account: AccountId,
    pub(crate) retired_runtimes: RetiredRuntimes,
    pub(crate) prepared: PreparedCache,
    pub(crate) layer_pages: LayerPages,
    pub(crate) logs: LogSink,
    /// What invocations know of their functions, and how many of each run.
    pub(crate) routes: Routes,
    /// Events that were accepted and have not ended.
    pub(crate) events: EventQueue,
    pub(crate) url_owners: UrlOwners,
    pub(crate) provisioning: Provisioning,
}

impl Cloud {
    /// Puts the services together and takes up what an earlier process left unfinished.
    pub(crate) fn new(
        store: Arc<Store>,
        sandbox: Arc<Sandbox>,
        account: AccountId,
        retired_runtimes: RetiredRuntimes,
        event_speed: NonZeroU32,
    ) -> Result<Arc<Self>, StoreError> {
        let logs = LogSink::start(&store);
        let events = EventQueue::open(&store, event_speed)?;
        sandbox.set_late_log(logs.of_environments());
        let cloud = Arc::new(Self {
            store,
            sandbox,
            account,
            retired_runtimes,
            prepared: PreparedCache::default(),
            layer_pages: LayerPages::default(),
            logs,
            routes: Routes::default(),
            events,
            url_owners: UrlOwners::default(),
            provisioning: Provisioning::default(),
        });
        for (scope, name, version) in cloud.store.unfinished_functions()? {
            cloud.settle_soon(scope, name, version);
        }
        EventQueue::start(&cloud);
        Provisioning::start(&cloud);
        Ok(cloud)
    }

    /// The configured account in a region, for tests without a caller.
    #[cfg(test)]
    pub(crate) fn scope(&self, region: Region) -> crate::store::Scope {
        crate::store::Scope { account: self.account.clone(), region }
    }

    /// Reads a few records by their keys, here and now: that takes some microseconds, and waking
    /// another thread takes more. When all of the store's readers are busy, it waits on a thread that
    /// may wait.
    async fn reading<T, E>(
        &self,
        work: impl FnOnce(&Arc<Store>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if self.store.can_read_at_once() { work(&self.store) } else { self.blocking(work).await }
    }

    /// Runs store work that waits for the disk on a thread that may wait.
    async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&Arc<Store>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|_| Err(StoreError::ShuttingDown.into()))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
