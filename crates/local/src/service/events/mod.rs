//! Asynchronous invocations: events that were accepted, and run until they end.
//!
//! An event is on the disk before it is accepted, and leaves the disk when it has ended; in between
//! it runs at least once, and again when the process was stopped or killed while it ran. Never runs
//! function code itself, and keeps no payload in memory but those of the events that run now.

mod decision;
mod delivery;
mod lanes;
mod record;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use self::{
    decision::{Attempt, Decision, Patience, decide},
    delivery::Ended,
    lanes::{Lanes, Next, Owner},
    writer::{Queue, Writer},
};
use super::{Cloud, FunctionRef, Invoked, LambdaError, Qualifier, invoke::invoked_arn, now};
use crate::{
    sandbox::{Call, SandboxError, Tuning},
    store::{EventChange, EventRecord, EventResponse, NewEvent, Scope, Store, StoreError, WaitingEvent},
};

/// How long the queue waits at most before it looks at the clock again, which somebody may have set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How long a shutdown waits for runs that are cut off to be noted.
const SETTLES: Duration = Duration::from_secs(5);

/// The queue of one local cloud.
pub(crate) struct EventQueue {
    lanes: Arc<Mutex<Lanes>>,
    signal: Arc<Signal>,
    writer: Writer,
    speed: NonZeroU32,
}

/// What wakes those who look at the queue.
#[derive(Default)]
struct Signal {
    /// One waits for this: the task that starts runs.
    changed: Notify,
    /// A run has ended.
    ended: Notify,
    closed: AtomicBool,
}

impl Signal {
    fn changed(&self) {
        self.changed.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl EventQueue {
    /// The queue as an earlier process left it. Nothing runs before [`EventQueue::start`].
    ///
    /// `speed` is how many times faster than on AWS the time passes that events wait.
    pub(super) fn open(store: &Arc<Store>, speed: NonZeroU32) -> Result<Self, StoreError> {
        // Half of the environments that may exist on this machine: the others are left to whoever
        // waits for an answer.
        let mut lanes = Lanes::new((Tuning::default().most_environments.get() / 2).max(1));
        for event in store.waiting_events()? {
            lanes.add((event.scope, event.function), event.due, event.id);
        }
        let (lanes, signal) = (Arc::new(Mutex::new(lanes)), Arc::new(Signal::default()));
        let queue = Queue { lanes: Arc::clone(&lanes), signal: Arc::clone(&signal) };
        Ok(Self { lanes, signal, writer: Writer::start(Arc::clone(store), queue), speed })
    }

    /// Starts what is due, now and from now on, as long as the cloud exists.
    pub(super) fn start(cloud: &Arc<Cloud>) {
        tokio::spawn(run_queue(Arc::downgrade(cloud), Arc::clone(&cloud.events.signal)));
    }

    /// Starts no other run. What waits is on the disk.
    pub(crate) fn close(&self) {
        self.signal.closed.store(true, Ordering::Release);
        self.signal.changed();
    }

    /// Waits until what became of the runs is on the disk, once the queue is closed and the sandbox
    /// has ended them.
    pub(crate) async fn settled(&self) {
        let all_ended = async {
            loop {
                let ended = self.signal.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.lanes().is_idle() {
                    return;
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(SETTLES, all_ended).await;
        self.writer.flush().await;
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.close();
    }
}

async fn run_queue(cloud: Weak<Cloud>, signal: Arc<Signal>) {
    while !signal.is_closed() {
        let Some(cloud) = cloud.upgrade() else { return };
        let next = cloud.start_due_events().await;
        drop(cloud);
        let wait = next.map_or(LOOK_AGAIN, |due| {
            Duration::from_millis(due.saturating_sub(now()).max(0).unsigned_abs()).min(LOOK_AGAIN)
        });
        let _ = tokio::time::timeout(wait, signal.changed.notified()).await;
    }
}

/// A run under way, until this is dropped.
struct Running {
    cloud: Arc<Cloud>,
    owner: Owner,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cloud.events.lanes().ended(&self.owner);
        self.cloud.events.signal.changed();
        self.cloud.events.signal.ended.notify_waiters();
    }
}

impl Cloud {
    /// Takes an event to be run later; it is on the disk when this returns.
    pub(crate) async fn accept_event(
        &self,
        scope: Scope,
        function: FunctionRef,
        call: Call,
    ) -> Result<(), LambdaError> {
        let accepted = now();
        let record = EventRecord {
            qualifier: qualifier_text(&function),
            request_id: call.request_id,
            invoked_arn: call.invoked_arn,
            client_context: call.client_context,
            trace_id: call.trace_id,
            accepted,
            ..EventRecord::default()
        };
        let event = NewEvent { scope, function: function.name, due: accepted, record, payload: call.payload };
        self.events.writer.write(EventChange::Add(event)).await?;
        Ok(())
    }

    /// Starts every event that may run now. Gives the time when the next one is due.
    async fn start_due_events(self: &Arc<Self>) -> Option<i64> {
        loop {
            if self.events.signal.is_closed() {
                return None;
            }
            let next = self.events.lanes().next(now());
            let (owner, id) = match next {
                Next::Run(owner, id) => (owner, id),
                Next::At(due) => return Some(due),
                Next::Nothing => return None,
            };
            // A reservation that cannot be read does not hold the queue up: the run sees why.
            let reserved = self.reserved(&owner.0, &owner.1).await.unwrap_or_default();
            if self.events.lanes().begin(&owner, reserved) {
                let running = Running { cloud: Arc::clone(self), owner };
                tokio::spawn(async move { run(&running, id).await });
            }
        }
    }

    /// Runs an event once, and notes what follows.
    async fn attempt(&self, owner: &Owner, id: i64) -> Result<(), LambdaError> {
        let found: Option<(EventRecord, Bytes)> =
            self.reading(move |store| store.event(id).map_err(LambdaError::from)).await?;
        // It may have gone with its function.
        let Some((mut record, payload)) = found else { return Ok(()) };
        let (scope, name) = owner;
        let qualifier = Some(record.qualifier.as_str()).filter(|text| !text.is_empty()).map(Qualifier::of);
        let function = FunctionRef { name: name.clone(), qualifier };
        let options = self.event_options(scope, &function).await;
        let patience = Patience { retries: options.retries, age: options.age, speed: self.events.speed };
        let attempt = if now() >= patience.deadline(&record) {
            Attempt::TooOld
        } else {
            match self.invoke(scope, &function, call(&record, &payload)).await {
                Ok(invoked) => Attempt::Ended(response(invoked)),
                Err(LambdaError::Throttled { reserved: 0 }) => Attempt::NothingReserved,
                Err(LambdaError::Throttled { .. }) => Attempt::Throttled,
                Err(error @ LambdaError::NoSuchFunction { .. }) => {
                    tracing::warn!(%error, function = %name, "an event was dropped");
                    self.events.writer.note(EventChange::End { id, then: None });
                    return Ok(());
                }
                Err(
                    error @ (LambdaError::Store(StoreError::ShuttingDown)
                    | LambdaError::Sandbox(SandboxError::ShuttingDown)),
                ) => return Err(error),
                Err(error) => {
                    // It may fail in the same way for six hours.
                    if record.setbacks == 0 {
                        tracing::warn!(%error, function = %name, "an event cannot be run; it is tried again");
                    }
                    Attempt::Faulted
                }
            }
        };
        match decide(&mut record, attempt, patience, now()) {
            Decision::Wait(due) => {
                let (scope, function) = owner.clone();
                let event = WaitingEvent { id, scope, function, due };
                self.events.writer.write(EventChange::Wait { event, record }).await?;
            }
            Decision::End(condition) => {
                let ended =
                    Ended { scope, function: &function, record: &record, payload: &payload, condition };
                match self.deliver(&ended, &options).await {
                    None => self.events.writer.note(EventChange::End { id, then: None }),
                    then => drop(self.events.writer.write(EventChange::End { id, then }).await?),
                }
            }
        }
        Ok(())
    }
}

async fn run(running: &Running, id: i64) {
    match running.cloud.attempt(&running.owner, id).await {
        // It is on the disk, and the next process goes on with it.
        Ok(())
        | Err(
            LambdaError::Store(StoreError::ShuttingDown) | LambdaError::Sandbox(SandboxError::ShuttingDown),
        ) => {}
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            let function = &running.owner.1;
            tracing::warn!(error, %function, "what became of an event is not kept; it runs again after a restart");
        }
    }
}

/// The invocation of a function with an event, the same in every attempt.
fn call(record: &EventRecord, payload: &Bytes) -> Call {
    Call {
        request_id: record.request_id.clone(),
        payload: payload.clone(),
        invoked_arn: record.invoked_arn.clone(),
        client_context: record.client_context.clone(),
        trace_id: record.trace_id.clone(),
    }
}

fn response(invoked: Invoked) -> EventResponse {
    EventResponse {
        status: 200,
        version: Some(invoked.version),
        error: invoked.outcome.function_error,
        payload: Some(String::from_utf8_lossy(&invoked.outcome.payload).into_owned()),
    }
}

/// The version or alias that a caller names, as AWS writes it; empty without one.
fn qualifier_text(function: &FunctionRef) -> String {
    match &function.qualifier {
        None => String::new(),
        Some(Qualifier::Latest) => "$LATEST".to_owned(),
        Some(Qualifier::Version(version)) => version.to_string(),
        Some(Qualifier::Alias(alias)) => alias.clone(),
    }
}

/// What an event to a function is made of when another function's record is the event.
fn forwarded(scope: &Scope, function: FunctionRef, from: &EventRecord, record: String) -> NewEvent {
    let accepted = now();
    NewEvent {
        scope: scope.clone(),
        due: accepted,
        record: EventRecord {
            qualifier: qualifier_text(&function),
            request_id: uuid::Uuid::new_v4().to_string(),
            invoked_arn: invoked_arn(scope, &function),
            trace_id: from.trace_id.clone(),
            accepted,
            chain: from.chain.clone(),
            ..EventRecord::default()
        },
        function: function.name,
        payload: Bytes::from(record),
    }
}
