//! What passes between the driver of an environment and its runtime: one call, one answer.
//!
//! Owns the protocol's state: which request of the Runtime API is allowed when. Knows no HTTP and
//! no processes.

mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use layercake_core::limits::SYNC_RESPONSE_BYTES;
use tokio::sync::{Notify, mpsc, oneshot};

pub use stream::ResponseHead;
pub(super) use stream::{Responder, Sink, StreamEnd};

/// The longest event that is sent without the task that serves the connection, in bytes.
const AT_ONCE: usize = 65_536;

/// A call on its way to the runtime.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) invoked_arn: String,
    pub(super) client_context: Option<String>,
    pub(super) trace_id: String,
    pub(super) deadline_ms: u64,
}

/// What the runtime did.
#[derive(Clone, Debug)]
pub(super) enum RuntimeEvent {
    /// It asked for the next call; the first time, its init phase is over.
    Asked,
    /// It answered the call.
    Answered(Bytes),
    /// The handler failed.
    Failed(Bytes),
    /// The answer was too large; it was not kept.
    TooLarge,
    /// It answered the call piece by piece, and its caller has the pieces.
    Streamed(StreamEnd),
    /// The init phase failed.
    InitFailed { payload: Bytes, error_type: String },
    /// Something has changed among the extensions.
    Extensions,
}

/// Why a request of the runtime is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No such request id is being worked on.
    InvalidRequestId,
    /// The request makes no sense now.
    InvalidStateTransition,
    /// More than a response may have.
    TooLarge,
    /// More than a streamed response may have.
    StreamTooLarge,
    /// A streamed response broke off.
    Truncated,
    /// Another mode than streaming.
    InvalidResponseMode,
}

/// A connection on which a runtime waits for its next call.
pub(super) trait Line: Send + Sync + std::fmt::Debug {
    /// Sends a call without waiting for the runtime to read it.
    fn send(self: Arc<Self>, delivery: &Delivery);
    /// Whether a call went over it, and the connection's task has not noticed yet.
    fn has_sent(&self) -> bool;
}

#[derive(Debug)]
struct State {
    /// Counts the runtime processes of the environment; connections of an earlier one are dead.
    generation: u64,
    offered: Option<Delivery>,
    /// Where a runtime waits. A call is sent there at once, which spares it the way through the task
    /// that serves the connection.
    waiting: Option<Arc<dyn Line>>,
    /// The request id that the runtime works on.
    current: Option<String>,
    /// Where the answer of the call goes, when its caller takes it piece by piece.
    responder: Option<Responder>,
    /// There while such an answer is on its way; without it, it is cut off.
    streaming: Option<oneshot::Sender<()>>,
    initialised: bool,
    /// Each question for a call is told, not only the first.
    announces: bool,
    connections: usize,
    events: mpsc::UnboundedSender<RuntimeEvent>,
}

/// The meeting point of a driver and the connections of its runtime.
#[derive(Debug)]
pub(super) struct Exchange {
    state: Mutex<State>,
    offer: Notify,
    disconnected: Notify,
}

impl Exchange {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<RuntimeEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let state = State {
            generation: 0,
            offered: None,
            waiting: None,
            current: None,
            responder: None,
            streaming: None,
            initialised: false,
            announces: false,
            connections: 0,
            events,
        };
        (Self { state: Mutex::new(state), offer: Notify::new(), disconnected: Notify::new() }, receiver)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so the state is whole even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the last runtime before a new one starts.
    pub(super) fn reset(&self) -> mpsc::UnboundedReceiver<RuntimeEvent> {
        let (events, receiver) = mpsc::unbounded_channel();
        let mut state = self.state();
        state.generation += 1;
        (state.offered, state.current, state.streaming, state.initialised) = (None, None, None, false);
        state.waiting = None;
        state.events = events;
        receiver
    }

    /// Where the events of the current runtime go.
    pub(super) fn events(&self) -> mpsc::UnboundedSender<RuntimeEvent> {
        self.state().events.clone()
    }

    /// Whether [`RuntimeEvent::Asked`] comes with each question for a call.
    pub(super) fn announce(&self, announces: bool) {
        self.state().announces = announces;
    }

    /// Gives the runtime a call, now or as soon as it asks.
    pub(super) fn offer(&self, delivery: Delivery) {
        let mut state = self.state();
        let line = state.waiting.take().filter(|_| delivery.payload.len() <= AT_ONCE);
        if let Some(line) = line {
            line.send(&delivery);
            state.current = Some(delivery.request_id);
            return;
        }
        state.offered = Some(delivery);
        drop(state);
        self.offer.notify_one();
    }

    /// Waits until every connection of a runtime that has ended has been read to its end.
    pub(super) async fn disconnected(&self) {
        loop {
            let notified = self.disconnected.notified();
            if self.state().connections == 0 {
                return;
            }
            notified.await;
        }
    }

    pub(super) fn connect(&self) -> u64 {
        let mut state = self.state();
        state.connections += 1;
        state.generation
    }

    pub(super) fn disconnect(&self) {
        let mut state = self.state();
        state.connections -= 1;
        if state.connections == 0 {
            self.disconnected.notify_waiters();
        }
    }

    /// `/next`: waits for a call. One that goes over the line itself ends no waiting: the line knows.
    pub(super) async fn next(&self, generation: u64, line: &Arc<dyn Line>) -> Result<Delivery, Refusal> {
        {
            let mut state = self.state();
            if state.generation != generation || state.current.is_some() {
                return Err(Refusal::InvalidStateTransition);
            }
            if !state.initialised || state.announces {
                state.initialised = true;
                // A driver that is gone has no use for the event.
                let _ = state.events.send(RuntimeEvent::Asked);
            }
        }
        loop {
            let notified = self.offer.notified();
            let has_sent = {
                let mut state = self.state();
                if state.generation != generation {
                    return Err(Refusal::InvalidStateTransition);
                }
                let has_sent = line.has_sent();
                if !has_sent && let Some(delivery) = state.offered.take() {
                    state.current = Some(delivery.request_id.clone());
                    return Ok(delivery);
                }
                if !has_sent && state.current.is_none() {
                    state.waiting = Some(Arc::clone(line));
                }
                has_sent
            };
            if has_sent {
                // What the notice was about is for whoever asks next: a runtime may leave the
                // connection that gave it one call open, and ask for another on a new one.
                self.offer.notify_one();
                return std::future::pending().await;
            }
            notified.await;
        }
    }

    /// Takes back what a connection said with [`Exchange::next`].
    pub(super) fn stop_waiting(&self, line: &Arc<dyn Line>) {
        let mut state = self.state();
        if state.waiting.as_ref().is_some_and(|waiting| Arc::ptr_eq(waiting, line)) {
            state.waiting = None;
        }
    }

    /// `/response`, with nothing in place of a body that is larger than any answer may be.
    pub(super) fn answer(
        &self,
        generation: u64,
        request_id: &str,
        payload: Option<Bytes>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        state.may_answer(generation, request_id)?;
        state.current = None;
        match payload.filter(|payload| payload.len() as u64 <= SYNC_RESPONSE_BYTES) {
            Some(payload) => {
                state.pass_whole(&payload);
                let _ = state.events.send(RuntimeEvent::Answered(payload));
                Ok(())
            }
            None => {
                let _ = state.events.send(RuntimeEvent::TooLarge);
                Err(Refusal::TooLarge)
            }
        }
    }

    /// `/error`.
    pub(super) fn fail(&self, generation: u64, request_id: &str, payload: Bytes) -> Result<(), Refusal> {
        let mut state = self.state();
        state.may_answer(generation, request_id)?;
        state.current = None;
        let _ = state.events.send(RuntimeEvent::Failed(payload));
        Ok(())
    }

    /// `/init/error`.
    pub(super) fn fail_init(&self, generation: u64, payload: Bytes, error_type: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.generation != generation || state.initialised {
            return Err(Refusal::InvalidStateTransition);
        }
        state.initialised = true;
        let _ = state
            .events
            .send(RuntimeEvent::InitFailed { payload, error_type: platform_error_type(error_type) });
        Ok(())
    }
}

impl State {
    fn may_answer(&self, generation: u64, request_id: &str) -> Result<(), Refusal> {
        match &self.current {
            _ if self.generation != generation || self.streaming.is_some() => {
                Err(Refusal::InvalidStateTransition)
            }
            Some(current) if current == request_id => Ok(()),
            Some(_) => Err(Refusal::InvalidRequestId),
            None => Err(Refusal::InvalidStateTransition),
        }
    }
}

/// The error type as the platform reports it: a runtime's own is kept when it has the form
/// `Runtime.Xyz` or `Function.Xyz` (FACTS.md §8).
pub(super) fn platform_error_type(sent: &str) -> String {
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphabetic())
    };
    match sent.split_once('.') {
        Some(("Runtime" | "Function", name)) if fits(name) => sent.to_owned(),
        _ if sent.starts_with("Function.") => "Function.Unknown".into(),
        _ => "Runtime.Unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: &str) -> Delivery {
        Delivery {
            request_id: id.into(),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: String::new(),
            client_context: None,
            trace_id: String::new(),
            deadline_ms: 0,
        }
    }

    /// A connection that takes everything.
    #[derive(Debug, Default)]
    struct Free(std::sync::atomic::AtomicBool);

    impl Line for Free {
        fn send(self: Arc<Self>, _: &Delivery) {
            self.0.store(true, std::sync::atomic::Ordering::Release);
        }

        fn has_sent(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::Acquire)
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_had_its_call_takes_no_other() {
        use futures::FutureExt as _;
        let (exchange, _events) = Exchange::new();
        let line: Arc<dyn Line> = Arc::<Free>::default();
        let mut first = Box::pin(exchange.next(0, &line));
        assert!((&mut first).now_or_never().is_none());
        exchange.offer(delivery("a"));
        assert_eq!(exchange.answer(0, "a", Some(Bytes::new())), Ok(()));
        exchange.offer(delivery("b"));
        assert!((&mut first).now_or_never().is_none(), "it waits on, or is given up");
        assert_eq!(next(&exchange, 0).await.as_deref(), Ok("b"));
    }

    pub(in crate::sandbox::exchange) async fn next(
        exchange: &Exchange,
        generation: u64,
    ) -> Result<String, Refusal> {
        let line: Arc<dyn Line> = Arc::<Free>::default();
        Ok(exchange.next(generation, &line).await?.request_id)
    }

    #[tokio::test]
    async fn one_answer_to_the_right_call_and_nothing_else() {
        let (exchange, mut events) = Exchange::new();
        let answer = || Some(Bytes::from_static(b"1"));
        assert_eq!(exchange.answer(0, "a", answer()), Err(Refusal::InvalidStateTransition));
        exchange.offer(delivery("a"));
        assert_eq!(next(&exchange, 0).await.as_deref(), Ok("a"));
        assert_eq!(next(&exchange, 0).await, Err(Refusal::InvalidStateTransition));
        assert_eq!(exchange.answer(0, "b", answer()), Err(Refusal::InvalidRequestId));
        assert_eq!(exchange.answer(0, "a", answer()), Ok(()));
        assert_eq!(exchange.answer(0, "a", answer()), Err(Refusal::InvalidStateTransition));
        assert_eq!(exchange.fail_init(0, Bytes::new(), ""), Err(Refusal::InvalidStateTransition));
        assert!(matches!(events.recv().await, Some(RuntimeEvent::Asked)));
        assert!(matches!(events.recv().await, Some(RuntimeEvent::Answered(_))));
        let mut events = exchange.reset();
        assert_eq!(next(&exchange, 0).await, Err(Refusal::InvalidStateTransition));
        assert_eq!(exchange.fail_init(1, Bytes::new(), "Runtime.X"), Ok(()));
        assert!(matches!(events.recv().await, Some(RuntimeEvent::InitFailed { .. })));
    }

    #[test]
    fn error_types_of_the_platform_s_form_are_kept() {
        assert_eq!(platform_error_type("Runtime.ImportModuleError"), "Runtime.ImportModuleError");
        assert_eq!(platform_error_type("Function.x"), "Function.Unknown");
        assert_eq!(platform_error_type("ValueError"), "Runtime.Unknown");
    }
}
