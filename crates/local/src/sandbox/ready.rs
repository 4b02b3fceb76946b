//! Provisioned concurrency: environments that are there, through with their init phase, before a call
//! needs them.
//!
//! Owns how many are wanted of which, and why some are missing. Where they are kept is the pool's
//! affair; whose they are is decided above.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use tokio::sync::Notify;

use super::{
    EnvironmentSpec, SandboxError, Shared, environment::Environment, platform_event::Initialization,
    pool::Key,
};

/// How many are started at the same time.
const AT_ONCE: usize = 4;
/// How often it is looked whether all are there still.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a function whose init phase fails is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Why fewer environments are ready than are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// The function's init phase fails.
    InitFailed,
    /// This machine keeps no more environments than these.
    MachineFull {
        /// The bound.
        environments: usize,
    },
    /// They could not be started, for this reason.
    Start(String),
}

/// What there is of what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Environments that have been through their init phase, busy ones among them.
    pub count: usize,
    /// Why there are not more.
    pub missing: Option<NotReady>,
}

/// What is wanted, and what stands in its way.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    state: Mutex<State>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    wanted: Vec<(Arc<EnvironmentSpec>, usize)>,
    faults: HashMap<Key, (Instant, NotReady)>,
}

impl Wishes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes these in place of all earlier ones.
    pub(super) fn replace(&self, wanted: Vec<(Arc<EnvironmentSpec>, usize)>) {
        let mut state = self.state();
        state.faults.retain(|key, _| wanted.iter().any(|(spec, _)| Key::of(spec) == *key));
        state.wanted = wanted;
        drop(state);
        self.changed.notify_one();
    }

    /// Why something is missing of a key.
    pub(super) fn fault(&self, key: &Key) -> Option<NotReady> {
        self.state().faults.get(key).map(|(_, fault)| fault.clone())
    }

    /// Told when something else is wanted, and when nobody can want anything any more.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    fn wanted(&self) -> Vec<(Arc<EnvironmentSpec>, usize)> {
        self.state().wanted.clone()
    }

    fn may_try(&self, key: &Key) -> bool {
        match self.state().faults.get(key) {
            Some((since, NotReady::InitFailed | NotReady::Start(_))) => since.elapsed() >= AGAIN_AFTER,
            Some((_, NotReady::MachineFull { .. })) | None => true,
        }
    }

    fn note(&self, key: &Key, fault: Option<NotReady>) {
        let mut state = self.state();
        match fault {
            Some(fault) => state.faults.insert(key.clone(), (Instant::now(), fault)),
            None => state.faults.remove(key),
        };
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// Starts what is missing, as long as the sandbox exists.
pub(super) async fn keep(shared: Weak<Shared>, changed: Arc<Notify>) {
    let mut is_idle = true;
    loop {
        if is_idle {
            changed.notified().await;
        } else {
            let _ = tokio::time::timeout(LOOK_EVERY, changed.notified()).await;
        }
        let Some(shared) = shared.upgrade() else { return };
        let wanted = shared.wishes.wanted();
        is_idle = wanted.is_empty();
        // More of one function may start at once too: each entry is as many chances as are wanted.
        let chances = wanted.iter().flat_map(|(spec, count)| std::iter::repeat_n(spec, *count));
        futures::stream::iter(chances).for_each_concurrent(AT_ONCE, |spec| shared.start_missing(spec)).await;
    }
}

impl Shared {
    /// Starts an environment if one is missing.
    async fn start_missing(&self, spec: &Arc<EnvironmentSpec>) {
        let key = Key::of(spec);
        if !self.wishes.may_try(&key) {
            return;
        }
        let Some(mut lease) = self.pool.lease_missing(&key) else {
            let environments = self.pool.most();
            let full = self.pool.is_missing(&key).then_some(NotReady::MachineFull { environments });
            return self.wishes.note(&key, full);
        };
        let mut stop = self.stop.subscribe();
        let prepared = async {
            let mut environment =
                Environment::start(&self.host, Arc::clone(spec), Initialization::Provisioned).await?;
            let prepared = tokio::select! {
                biased;
                _ = stop.wait_for(|&stop| stop) => Err(SandboxError::ShuttingDown),
                prepared = environment.prepare() => prepared,
            };
            if let Ok(true) = prepared {
                return Ok(Some(environment));
            }
            environment.end().await;
            prepared.map(|_| None)
        };
        let fault = match prepared.await {
            Ok(Some(environment)) => {
                if let Some(environment) = lease.give_back(environment) {
                    environment.end().await;
                }
                None
            }
            Ok(None) => Some(NotReady::InitFailed),
            Err(SandboxError::ShuttingDown) => None,
            Err(error) => Some(NotReady::Start(error.to_string())),
        };
        self.wishes.note(&key, fault);
    }
}
