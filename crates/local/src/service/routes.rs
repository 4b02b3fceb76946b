//! Where calls go: what an invocation needs to know of its function, kept from one call to the
//! next as long as nothing was changed.
//!
//! Owns copies of records, never the records: every route is looked up again after any change of
//! the store.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use layercake_core::aws::FunctionName;

use super::{Cloud, FunctionRef, LambdaError, functions::aliases};
use crate::store::{FunctionRecord, Scope, State};

/// Routes that are kept at most; with more, all are looked up again.
const MOST: usize = 4096;

/// Where the calls of one function, version or alias go.
#[derive(Clone)]
pub(crate) struct Route {
    /// The version that runs.
    pub(super) record: Arc<FunctionRecord>,
    /// The most calls that may run at once, when that is reserved.
    pub(super) reserved: Option<u32>,
    /// How many run.
    pub(super) running: Arc<AtomicU32>,
}

/// The routes that were looked up since the last change.
#[derive(Default)]
pub(crate) struct Routes(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// [`crate::store::Store::changes`] when these were true.
    changes: u64,
    routes: HashMap<Scope, HashMap<FunctionRef, Route>>,
    /// The calls of each function, over all its versions. They outlive changes.
    running: HashMap<(Scope, FunctionName), Arc<AtomicU32>>,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, changes: u64, scope: &Scope, function: &FunctionRef) -> Option<Route> {
        let known = self.lock();
        if known.changes != changes {
            return None;
        }
        known.routes.get(scope)?.get(function).cloned()
    }

    fn keep(&self, changes: u64, scope: &Scope, function: &FunctionRef, route: &Route) {
        let mut known = self.lock();
        let count: usize = known.routes.values().map(HashMap::len).sum();
        if known.changes != changes || count >= MOST {
            // Another call may have found out about a later change already; a route that is kept for
            // an earlier one is only looked up again.
            known.changes = changes;
            known.routes.clear();
        }
        known.routes.entry(scope.clone()).or_default().insert(function.clone(), route.clone());
    }

    fn running(&self, scope: &Scope, name: &FunctionName) -> Arc<AtomicU32> {
        let mut known = self.lock();
        if known.running.len() >= MOST {
            known.running.retain(|_, running| Arc::strong_count(running) > 1);
        }
        Arc::clone(known.running.entry((scope.clone(), name.clone())).or_default())
    }
}

/// A call that runs, until this is dropped.
pub(super) struct RunningCall(Arc<AtomicU32>);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Route {
    /// Notes that a call begins, as long as the value lives.
    ///
    /// # Errors
    /// [`LambdaError::Throttled`] when as many run as are reserved.
    pub(super) fn begin_call(&self) -> Result<RunningCall, LambdaError> {
        let most = self.reserved.unwrap_or(u32::MAX);
        let begun = self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
            (running < most).then(|| running + 1)
        });
        match begun {
            Ok(_) => Ok(RunningCall(Arc::clone(&self.running))),
            Err(_) => Err(LambdaError::Throttled { reserved: most }),
        }
    }
}

impl Cloud {
    /// Where a call goes now; calls of an alias are shared by weight, so that another call may go
    /// elsewhere.
    ///
    /// # Errors
    /// [`LambdaError`] when there is no such function, or it cannot run yet.
    pub(crate) async fn route(&self, scope: &Scope, function: &FunctionRef) -> Result<Route, LambdaError> {
        // Asked for before anything is read: whatever changes from here on gives another number.
        let changes = self.store.changes();
        if let Some(route) = self.routes.known(changes, scope, function) {
            return Ok(route);
        }
        // Boxed, since it is rare and its future is large.
        Box::pin(self.find_route(changes, scope, function)).await
    }

    async fn find_route(
        &self,
        changes: u64,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<Route, LambdaError> {
        let shared = Arc::new(AtomicBool::new(false));
        let record = self
            .resolve(scope, function, {
                let shared = Arc::clone(&shared);
                move |alias| {
                    shared.store(!alias.weights.is_empty(), Ordering::Relaxed);
                    aliases::route(alias, aliases::throw())
                }
            })
            .await
            .map_err(|error| match error {
                // Invoke alone names the version it looked for (FACTS.md §2).
                LambdaError::NoSuchFunction { .. } if function.qualifier.is_none() => {
                    LambdaError::NoSuchFunction { arn: format!("{}:$LATEST", function.arn(scope)) }
                }
                other => other,
            })?;
        match &record.state {
            State::Active => {}
            State::Pending => return Err(LambdaError::Pending),
            State::Failed { reason } => return Err(LambdaError::CreationFailed { reason: reason.clone() }),
        }
        let reserved = self.reserved(scope, &function.name).await?;
        let running = self.routes.running(scope, &function.name);
        let route = Route { record: Arc::new(record), reserved, running };
        if !shared.load(Ordering::Relaxed) {
            self.routes.keep(changes, scope, function, &route);
        }
        Ok(route)
    }
}
