//! Which environment runs which call: pools by function, version and revision, and one bound for
//! the machine.
//!
//! Owns every environment that is not running a call. Never looks inside one.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{EnvironmentSpec, Network, SandboxError, environment::Environment};

/// Which calls may share environments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    function_arn: String,
    version: String,
    revision: String,
    network: Network,
}

impl Key {
    pub(super) fn of(spec: &EnvironmentSpec) -> Self {
        Self {
            function_arn: spec.function_arn(),
            version: spec.version.clone(),
            revision: spec.revision.clone(),
            network: spec.network,
        }
    }
}

#[derive(Debug)]
struct Idle {
    environment: Environment,
    since: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// The environment used last is at the end, and used next: the others may retire.
    idle: HashMap<Key, Vec<Idle>>,
    /// Who uses environments now, by a number.
    leased: HashMap<u64, Leased>,
    next_lease: u64,
    /// How many environments are to be kept, whether they are used or not.
    floors: HashMap<Key, usize>,
    /// Environments that exist, busy ones and those being started or ended among them.
    alive: usize,
    closed: bool,
    /// Somebody will look for idle environments that move.
    watched: bool,
}

#[derive(Debug)]
struct Leased {
    key: Key,
    /// Its environment is not kept.
    retired: bool,
    /// Its environment is not ready for a call yet.
    starting: bool,
}

/// All pools.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    freed: Notify,
    /// Told when something is idle and moves.
    rested: Arc<Notify>,
    most: NonZeroUsize,
    patience: Duration,
}

/// The right to use an environment, or to start one.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    number: u64,
    returned: bool,
}

/// Environments on their way out. They keep their places until this is dropped.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    pool: &'a Pool,
    count: usize,
}

/// What a call gets.
pub(super) enum Acquired {
    /// An environment that has run before.
    Warm(Environment),
    /// The right to start one, after ending this one where the machine is full.
    Start { evicted: Option<Environment> },
}

impl State {
    fn lease(&mut self, key: &Key, starting: bool) -> u64 {
        self.next_lease += 1;
        self.leased.insert(self.next_lease, Leased { key: key.clone(), retired: false, starting });
        self.next_lease
    }

    /// How many environments of a key are in use.
    fn in_use(&self, key: &Key) -> usize {
        self.leased.values().filter(|leased| leased.key == *key && !leased.retired).count()
    }

    fn is_missing(&self, key: &Key) -> bool {
        let floor = self.floors.get(key).copied().unwrap_or_default();
        floor > 0 && self.idle.get(key).map_or(0, Vec::len) + self.in_use(key) < floor
    }

    /// How many idle environments of a key are more than are to be kept.
    fn spare(&self, key: &Key) -> usize {
        let idle = self.idle.get(key).map_or(0, Vec::len);
        match self.floors.get(key) {
            None => idle,
            Some(&floor) => idle.saturating_sub(floor.saturating_sub(self.in_use(key))),
        }
    }
}

impl Pool {
    pub(super) fn new(most: NonZeroUsize, patience: Duration) -> Self {
        Self { state: Mutex::default(), freed: Notify::new(), rested: Arc::default(), most, patience }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle environment, or room for a new one; waits while the machine is full.
    pub(super) async fn acquire(&self, key: Key) -> Result<(Lease<'_>, Acquired), SandboxError> {
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some((acquired, number)) = self.try_acquire(&key)? {
                return Ok((Lease { pool: self, number, returned: false }, acquired));
            }
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(SandboxError::Busy { environments: self.most.get() });
            }
        }
    }

    fn try_acquire(&self, key: &Key) -> Result<Option<(Acquired, u64)>, SandboxError> {
        let mut state = self.state();
        if state.closed {
            return Err(SandboxError::ShuttingDown);
        }
        if let Some(idle) = state.idle.get_mut(key).and_then(Vec::pop) {
            let number = state.lease(key, false);
            return Ok(Some((Acquired::Warm(idle.environment), number)));
        }
        if state.alive < self.most.get() {
            state.alive += 1;
            let number = state.lease(key, false);
            return Ok(Some((Acquired::Start { evicted: None }, number)));
        }
        // The one that has been idle longest gives way, one that is kept ready only where there is no
        // other; its place is taken over.
        let filled = state.idle.iter().filter(|(_, idle)| !idle.is_empty());
        let oldest = filled.min_by_key(|(key, idle)| (state.spare(key) == 0, idle[0].since));
        let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return Ok(None) };
        let evicted = state.idle.get_mut(&oldest).map(|idle| idle.remove(0).environment);
        let number = state.lease(key, false);
        Ok(Some((Acquired::Start { evicted }, number)))
    }

    /// Takes out what is idle of a function, or of one version of it, and keeps what is busy from
    /// coming back; all but what belongs to the revision that is spared.
    pub(super) fn retire(
        &self,
        function_arn: &str,
        version: Option<&str>,
        spared: Option<&str>,
    ) -> Vec<Environment> {
        let mut state = self.state();
        let retires = |key: &Key| {
            key.function_arn == function_arn
                && version.is_none_or(|version| version == key.version)
                && spared != Some(key.revision.as_str())
        };
        for leased in state.leased.values_mut() {
            leased.retired |= retires(&leased.key);
        }
        let keys: Vec<_> = state.idle.keys().filter(|key| retires(key)).cloned().collect();
        keys.iter()
            .flat_map(|key| state.idle.remove(key).unwrap_or_default())
            .map(|idle| idle.environment)
            .collect()
    }

    /// Told when there may be something to make stand still, and when the pool is gone.
    pub(super) fn rested(&self) -> Arc<Notify> {
        Arc::clone(&self.rested)
    }

    /// Makes what has been idle for so long stand still. Says whether something idle still moves.
    pub(super) fn freeze_idle(&self, least: Duration) -> bool {
        let mut state = self.state();
        let mut moves = false;
        for idle in state.idle.values_mut().flatten().filter(|idle| !idle.environment.is_frozen()) {
            if idle.since.elapsed() >= least {
                idle.environment.freeze(true);
            } else {
                moves = true;
            }
        }
        state.watched = moves;
        moves
    }

    /// Takes out what has been idle for so long, or has died.
    pub(super) fn take_stale(&self, longest: Duration) -> Vec<Environment> {
        let mut state = self.state();
        let mut stale = Vec::new();
        let spare: HashMap<Key, usize> =
            state.floors.keys().map(|key| (key.clone(), state.spare(key))).collect();
        for (key, idle) in &mut state.idle {
            let mut spare = spare.get(key).copied().unwrap_or(usize::MAX);
            let mut is_stale = |idle: &mut Idle| {
                if idle.environment.has_died() {
                    return true;
                }
                let stale = spare > 0 && idle.since.elapsed() >= longest;
                spare -= usize::from(stale);
                stale
            };
            stale.extend(idle.extract_if(.., |idle| is_stale(idle)).map(|idle| idle.environment));
        }
        state.idle.retain(|_, idle| !idle.is_empty());
        stale
    }

    /// Sets how many environments of which function are to be kept, in place of what was set before.
    pub(super) fn set_floors(&self, floors: HashMap<Key, usize>) {
        self.state().floors = floors;
    }

    /// Whether fewer environments exist than are to be kept.
    pub(super) fn is_missing(&self, key: &Key) -> bool {
        self.state().is_missing(key)
    }

    /// The right to start an environment, where one is missing and there is room for it.
    pub(super) fn lease_missing(&self, key: &Key) -> Option<Lease<'_>> {
        let mut state = self.state();
        if state.closed || !state.is_missing(key) || state.alive >= self.most.get() {
            return None;
        }
        state.alive += 1;
        let number = state.lease(key, true);
        Some(Lease { pool: self, number, returned: false })
    }

    /// How many environments of a key wait for a call or work on one.
    pub(super) fn ready(&self, key: &Key) -> usize {
        let state = self.state();
        let starting = state.leased.values().filter(|leased| leased.key == *key && leased.starting).count();
        state.idle.get(key).map_or(0, Vec::len) + state.in_use(key).saturating_sub(starting)
    }

    /// How many environments there may be.
    pub(super) fn most(&self) -> usize {
        self.most.get()
    }

    /// Refuses later calls and takes out everything that is idle.
    pub(super) fn close(&self) -> Vec<Environment> {
        let mut state = self.state();
        state.closed = true;
        let idle =
            std::mem::take(&mut state.idle).into_values().flatten().map(|idle| idle.environment).collect();
        drop(state);
        self.freed.notify_waiters();
        idle
    }

    /// The lease of this number, which somebody has kept.
    pub(super) fn lease(&self, number: u64) -> Lease<'_> {
        Lease { pool: self, number, returned: false }
    }

    /// What holds the places of environments while they end.
    pub(super) fn leaving(&self, count: usize) -> Leaving<'_> {
        Leaving { pool: self, count }
    }

    /// Notes that environments have ended.
    fn ended(&self, count: usize) {
        self.state().alive -= count;
        self.freed.notify_waiters();
    }

    /// Waits until no environment exists.
    pub(super) async fn empty(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.state().alive == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.rested.notify_one();
    }
}

impl Lease<'_> {
    /// Goes on under its number, and comes back with [`Pool::lease`].
    pub(super) fn keep(mut self) -> u64 {
        self.returned = true;
        self.number
    }

    /// Gives an environment back after a call. It comes out again when it may not be kept: then it
    /// must end before the lease does.
    pub(super) fn give_back(&mut self, environment: Environment) -> Option<Environment> {
        let mut state = self.pool.state();
        let Some(Leased { key, retired: false, .. }) = state.leased.remove(&self.number) else {
            return Some(environment);
        };
        if state.closed {
            return Some(environment);
        }
        self.returned = true;
        let idle = Idle { environment, since: Instant::now() };
        state.idle.entry(key).or_default().push(idle);
        let watched = std::mem::replace(&mut state.watched, true);
        drop(state);
        if !watched {
            self.pool.rested.notify_one();
        }
        self.pool.freed.notify_waiters();
        None
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.pool.state().leased.remove(&self.number);
            self.pool.ended(1);
        }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.pool.ended(self.count);
    }
}
