//! Which environment runs which call: pools by function, version and revision, and one bound for
//! the machine.
//!
//! Owns every environment that is not running a call. Never looks inside one.
#![allow(clippy::vec_box, reason = "an environment is boxed once, and then handed on as a pointer")]

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, oneshot};

use super::{EnvironmentSpec, Network, SandboxError, environment::Environment, turns::Turns};

#[cfg(test)]
mod tests;

/// From how many busy environments of a function for each processor on its quick calls wait for one of
/// them: one works while the other's answer and next call are on their way.
const CROWD_OF_A_CPU: usize = 2;
/// A quick call that has waited so long, while nothing came back, has what is idle.
const STALL: Duration = Duration::from_millis(10);

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
struct Idle<E> {
    environment: E,
    since: Instant,
}

#[derive(Debug)]
struct State<E> {
    /// The environment used last is at the end, and used next: the others may retire.
    idle: HashMap<Key, Vec<Idle<E>>>,
    /// Who uses environments now, by a number.
    leased: HashMap<u64, Leased>,
    next_lease: u64,
    /// Who waits for a busy environment, by the number of its lease.
    turns: HashMap<Key, Turns<(u64, E)>>,
    /// How many environments are to be kept, whether they are used or not.
    floors: HashMap<Key, usize>,
    /// Environments that exist, busy ones and those being started or ended among them.
    alive: usize,
    /// How many calls wait for any one, by what they are to run; none of them is zero.
    waiting: HashMap<Key, usize>,
    closed: bool,
    /// Somebody will look for idle environments that move.
    watched: bool,
}

#[derive(Debug)]
struct Leased {
    key: Key,
    since: Instant,
    /// Its environment is not kept.
    retired: bool,
    /// Its environment is not ready for a call yet.
    starting: bool,
}

/// When environments of a function are so many that one more makes its quick calls no quicker.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// How many that is.
    size: usize,
    /// Those count that went to their calls within this time: the others wait for something.
    of_late: Duration,
}

/// All pools. What is in them is an environment, but for tests.
#[derive(Debug)]
pub(super) struct Pool<E = Box<Environment>> {
    state: Mutex<State<E>>,
    /// Told once for each environment or place that becomes free: who has waited longest comes first.
    freed: Notify,
    /// Told when no environment exists any more.
    emptied: Notify,
    /// Told when something is idle and moves.
    rested: Arc<Notify>,
    most: NonZeroUsize,
    crowd: Crowd,
    patience: Duration,
}

/// The right to use an environment, or to start one.
#[derive(Debug)]
pub(super) struct Lease<'a, E = Box<Environment>> {
    pool: &'a Pool<E>,
    number: u64,
    returned: bool,
}

/// A call that waits, until this is dropped.
struct Waiting<'a, E> {
    pool: &'a Pool<E>,
    key: &'a Key,
}

impl<'a, E> Waiting<'a, E> {
    fn of(pool: &'a Pool<E>, key: &'a Key) -> Self {
        *pool.state().waiting.entry(key.clone()).or_default() += 1;
        Self { pool, key }
    }
}

impl<E> Drop for Waiting<'_, E> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        if let Some(count) = state.waiting.get_mut(self.key) {
            *count -= 1;
            if *count == 0 {
                state.waiting.remove(self.key);
            }
        }
    }
}

/// A call that waits for a busy environment. What it is given when it has gone goes back.
struct Turn<'a, E> {
    pool: &'a Pool<E>,
    given: oneshot::Receiver<(u64, E)>,
}

impl<E> Drop for Turn<'_, E> {
    fn drop(&mut self) {
        self.given.close();
        if let Ok((number, environment)) = self.given.try_recv() {
            // It ends before its lease does, where it may not be kept.
            let mut lease = self.pool.lease(number);
            drop(lease.give_back(environment));
        }
    }
}

/// Environments on their way out. They keep their places until this is dropped.
#[derive(Debug)]
pub(super) struct Leaving<'a, E = Box<Environment>> {
    pool: &'a Pool<E>,
    count: usize,
}

/// What a call gets.
pub(super) enum Acquired<E = Box<Environment>> {
    /// An environment that has run before.
    Warm(E),
    /// The right to start one, after ending this one where the machine is full.
    Start { evicted: Option<E> },
}

impl<E> Default for State<E> {
    fn default() -> Self {
        Self {
            idle: HashMap::new(),
            leased: HashMap::new(),
            next_lease: 0,
            turns: HashMap::new(),
            floors: HashMap::new(),
            alive: 0,
            waiting: HashMap::new(),
            closed: false,
            watched: false,
        }
    }
}

impl<E> State<E> {
    fn lease(&mut self, key: &Key, starting: bool) -> u64 {
        self.next_lease += 1;
        let leased = Leased { key: key.clone(), since: Instant::now(), retired: false, starting };
        self.leased.insert(self.next_lease, leased);
        self.next_lease
    }

    /// How many calls could have an environment now: one that is idle, or a place for a new one.
    fn free(&self, most: NonZeroUsize) -> usize {
        self.idle.values().map(Vec::len).sum::<usize>() + most.get().saturating_sub(self.alive)
    }

    /// Queues a call up for a busy environment, where that is better than to take an idle one.
    fn line_up(&mut self, key: &Key, crowd: Crowd) -> Option<oneshot::Receiver<(u64, E)>> {
        // Where nothing is idle, one more starts, as on AWS.
        if self.idle.get(key).is_none_or(Vec::is_empty) || self.others_wait(key) {
            return None;
        }
        if !self.turns.get(key).is_some_and(Turns::is_quick) || !self.is_crowded(key, crowd, Instant::now()) {
            return None;
        }
        self.turns.get_mut(key).map(Turns::join)
    }

    /// Notes how long an environment was away.
    fn came_back(&mut self, leased: &Leased, now: Instant) {
        let held = now.saturating_duration_since(leased.since);
        match self.turns.get_mut(&leased.key) {
            Some(turns) => turns.came_back(held, now),
            None => self.turns.entry(leased.key.clone()).or_default().came_back(held, now),
        }
    }

    /// Whether one who waits for a busy environment may have this one, which nobody has now.
    fn has_room_for_a_turn(&self, key: &Key, crowd: Crowd, now: Instant) -> bool {
        self.turns.get(key).is_some_and(Turns::is_awaited)
            && !self.is_crowded(key, crowd, now)
            && !self.others_wait(key)
    }

    /// Whether so many environments of a key have gone to calls just now.
    fn is_crowded(&self, key: &Key, crowd: Crowd, now: Instant) -> bool {
        let is_of_late = |leased: &&Leased| {
            !leased.retired
                && now.saturating_duration_since(leased.since) < crowd.of_late
                && leased.key == *key
        };
        self.leased.len() >= crowd.size && self.leased.values().filter(is_of_late).count() >= crowd.size
    }

    /// Whether calls of something else wait for any environment: who has one is to let it go.
    fn others_wait(&self, key: &Key) -> bool {
        self.waiting.keys().any(|waiting| waiting != key)
    }

    /// How many calls wait for any environment.
    fn waiting(&self) -> usize {
        self.waiting.values().sum()
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

impl<E> Pool<E> {
    pub(super) fn new(most: NonZeroUsize, patience: Duration) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            state: Mutex::default(),
            freed: Notify::new(),
            emptied: Notify::new(),
            rested: Arc::default(),
            most,
            crowd: Crowd { size: CROWD_OF_A_CPU * cpus, of_late: STALL },
            patience,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle environment, or room for a new one; waits while the machine is full.
    pub(super) async fn acquire(&self, key: Key) -> Result<(Lease<'_, E>, Acquired<E>), SandboxError> {
        let given = {
            let mut state = self.state();
            if state.waiting.is_empty() { state.line_up(&key, self.crowd) } else { None }
        };
        if let Some(given) = given
            && let Some((lease, environment)) = Box::pin(self.turn(&key, given)).await
        {
            return Ok((lease, Acquired::Warm(environment)));
        }
        let acquired = {
            let mut state = self.state();
            // What is free while others wait is theirs.
            if state.waiting.is_empty() { self.take(&mut state, &key)? } else { None }
        };
        let (acquired, number) = match acquired {
            Some(acquired) => acquired,
            None => Box::pin(self.wait(&key)).await?,
        };
        Ok((Lease { pool: self, number, returned: false }, acquired))
    }

    /// Waits for an environment that is busy, as long as some come back.
    async fn turn(&self, key: &Key, given: oneshot::Receiver<(u64, E)>) -> Option<(Lease<'_, E>, E)> {
        let mut turn = Turn { pool: self, given };
        loop {
            if let Ok(given) = tokio::time::timeout(self.crowd.of_late, &mut turn.given).await {
                return given.ok().map(|(number, environment)| (self.lease(number), environment));
            }
            let has_stalled = |turns: &Turns<_>| turns.has_stalled(Instant::now(), self.crowd.of_late);
            if self.state().turns.get(key).is_none_or(has_stalled) {
                return None;
            }
        }
    }

    /// Queues up.
    async fn wait(&self, key: &Key) -> Result<(Acquired<E>, u64), SandboxError> {
        let deadline = tokio::time::Instant::now() + self.patience;
        let (mut is_next, mut has_stalled) = (false, false);
        loop {
            let waiting = Waiting::of(self, key);
            let given = loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                {
                    let mut state = self.state();
                    if is_next
                        && !has_stalled
                        && let Some(given) = state.line_up(key, self.crowd)
                    {
                        // What it was told of is still free.
                        self.freed.notify_one();
                        break given;
                    }
                    // Something may have become free before it could be told.
                    if (is_next || state.closed || state.free(self.most) >= state.waiting())
                        && let Some(acquired) = self.take(&mut state, key)?
                    {
                        return Ok(acquired);
                    }
                }
                if tokio::time::timeout_at(deadline, freed).await.is_err() {
                    return Err(SandboxError::Busy { environments: self.most.get() });
                }
                is_next = true;
            };
            drop(waiting);
            if let Some((lease, environment)) = self.turn(key, given).await {
                return Ok((Acquired::Warm(environment), lease.keep()));
            }
            has_stalled = true;
        }
    }

    fn take(&self, state: &mut State<E>, key: &Key) -> Result<Option<(Acquired<E>, u64)>, SandboxError> {
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
    pub(super) fn retire(&self, function_arn: &str, version: Option<&str>, spared: Option<&str>) -> Vec<E> {
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

    /// Sets how many environments of which function are to be kept, in place of what was set before.
    pub(super) fn set_floors(&self, floors: HashMap<Key, usize>) {
        self.state().floors = floors;
    }

    /// Whether fewer environments exist than are to be kept.
    pub(super) fn is_missing(&self, key: &Key) -> bool {
        self.state().is_missing(key)
    }

    /// The right to start an environment, where one is missing and there is room for it.
    pub(super) fn lease_missing(&self, key: &Key) -> Option<Lease<'_, E>> {
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
    pub(super) fn close(&self) -> Vec<E> {
        let mut state = self.state();
        state.closed = true;
        let idle =
            std::mem::take(&mut state.idle).into_values().flatten().map(|idle| idle.environment).collect();
        drop(state);
        self.freed.notify_waiters();
        idle
    }

    /// The lease of this number, which somebody has kept.
    pub(super) fn lease(&self, number: u64) -> Lease<'_, E> {
        Lease { pool: self, number, returned: false }
    }

    /// What holds the places of environments while they end.
    pub(super) fn leaving(&self, count: usize) -> Leaving<'_, E> {
        Leaving { pool: self, count }
    }

    /// Notes that environments have ended.
    fn ended(&self, count: usize) {
        let left = {
            let mut state = self.state();
            state.alive -= count;
            state.alive
        };
        for _ in 0..count {
            self.freed.notify_one();
        }
        if left == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until no environment exists.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.state().alive == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Pool {
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
    pub(super) fn take_stale(&self, longest: Duration) -> Vec<Box<Environment>> {
        let mut state = self.state();
        let mut stale = Vec::new();
        let spare: HashMap<Key, usize> =
            state.floors.keys().map(|key| (key.clone(), state.spare(key))).collect();
        for (key, idle) in &mut state.idle {
            let mut spare = spare.get(key).copied().unwrap_or(usize::MAX);
            let mut is_stale = |idle: &mut Idle<Box<Environment>>| {
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
        let State { turns, idle, .. } = &mut *state;
        turns.retain(|key, turns| turns.is_awaited() || idle.contains_key(key));
        stale
    }
}

impl<E> Drop for Pool<E> {
    fn drop(&mut self) {
        self.rested.notify_one();
    }
}

impl<E> Lease<'_, E> {
    /// Goes on under its number, and comes back with [`Pool::lease`].
    pub(super) fn keep(mut self) -> u64 {
        self.returned = true;
        self.number
    }

    /// Gives an environment back after a call. It comes out again when it may not be kept: then it
    /// must end before the lease does.
    pub(super) fn give_back(&mut self, environment: E) -> Option<E> {
        let now = Instant::now();
        let mut guard = self.pool.state();
        let state = &mut *guard;
        // Its lease ends when the environment has, where it may not be kept.
        let may_be_kept =
            !state.closed && state.leased.get(&self.number).is_some_and(|leased| !leased.retired);
        let Some(leased) = state.leased.remove(&self.number).filter(|_| may_be_kept) else {
            return Some(environment);
        };
        self.returned = true;
        state.came_back(&leased, now);
        let mut environment = environment;
        if state.has_room_for_a_turn(&leased.key, self.pool.crowd, now)
            && let Some(turns) = state.turns.get_mut(&leased.key)
        {
            match turns.hand_on((self.number, environment)) {
                Ok(()) => {
                    state.leased.insert(self.number, Leased { since: now, ..leased });
                    return None;
                }
                Err((_, refused)) => environment = refused,
            }
        }
        state.idle.entry(leased.key).or_default().push(Idle { environment, since: now });
        let watched = std::mem::replace(&mut state.watched, true);
        drop(guard);
        if !watched {
            self.pool.rested.notify_one();
        }
        self.pool.freed.notify_one();
        None
    }
}

impl<E> Drop for Lease<'_, E> {
    fn drop(&mut self) {
        if !self.returned {
            self.pool.state().leased.remove(&self.number);
            self.pool.ended(1);
        }
    }
}

impl<E> Drop for Leaving<'_, E> {
    fn drop(&mut self) {
        self.pool.ended(self.count);
    }
}
