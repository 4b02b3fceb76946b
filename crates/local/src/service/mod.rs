//! What the local cloud decides: which request may happen, what it changes, and the states that
//! functions and layers go through.
//!
//! Owns every rule that AWS's services have beyond their API model. Knows no HTTP and no AWS
//! error code (that is `api`), touches no file (that is `store`) and starts no process (that is
//! `sandbox`).

mod digest;
mod error;
mod functions;
mod iam;
mod invoke;
mod layers;
mod logs;
mod objects;
mod packages;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use layercake_core::aws::{AccountId, Region};

pub(crate) use digest::{ALGORITHMS, DEFAULT_ALGORITHM, Digest, hex_to_base64};
pub(crate) use error::{IamError, LambdaError, LogsError, ObjectError};
pub(crate) use functions::{FunctionChanges, FunctionRef, NewFunction, Qualifier};
pub(crate) use iam::NewRole;
pub(crate) use invoke::{PreparedCache, check_event, invoked_arn};
pub(crate) use layers::{LayerPages, LayerQuestion, NewLayer};
pub(crate) use logs::{GetEvents, LogSink};
pub(crate) use objects::{CompletedPart, Copied, CopiedPart, ListingRequest, NewObject};
pub(crate) use packages::Source;

use crate::{
    RetiredRuntimes,
    sandbox::Sandbox,
    store::{Scope, Store, StoreError},
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
}

impl Cloud {
    /// Puts the services together and takes up what an earlier process left unfinished.
    pub(crate) fn new(
        store: Arc<Store>,
        sandbox: Arc<Sandbox>,
        account: AccountId,
        retired_runtimes: RetiredRuntimes,
    ) -> Result<Arc<Self>, StoreError> {
        let logs = LogSink::start(&store);
        let cloud = Arc::new(Self {
            store,
            sandbox,
            account,
            retired_runtimes,
            prepared: PreparedCache::default(),
            layer_pages: LayerPages::default(),
            logs,
        });
        for (scope, name) in cloud.store.unfinished_functions()? {
            cloud.settle_soon(scope, name);
        }
        Ok(cloud)
    }

    /// The configured account in a region.
    pub(crate) fn scope(&self, region: Region) -> Scope {
        Scope { account: self.account.clone(), region }
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
