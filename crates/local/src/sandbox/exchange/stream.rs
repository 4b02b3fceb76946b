//! An answer that comes piece by piece: from the runtime's request to the caller, as fast as the
//! caller takes it.
//!
//! Owns which of an answer's steps is allowed when, and the bounded channel between the two sides.
//! Knows no HTTP and no processes.

use bytes::Bytes;
use layercake_core::limits::SYNC_RESPONSE_BYTES;
use tokio::sync::{mpsc, oneshot};

use super::{Exchange, Refusal, RuntimeEvent, State};

/// Pieces on their way, each at most as long as one read of the runtime's connection. When they all
/// wait for the caller, the runtime waits too.
const PIECES: usize = 8;

/// What is known of a streamed answer before its first byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The type of the body, as the runtime says it.
    pub content_type: Option<String>,
}

/// Where the answer of one call goes.
#[derive(Debug)]
pub(in crate::sandbox) struct Responder {
    head: oneshot::Sender<ResponseHead>,
    pieces: mpsc::Sender<Bytes>,
}

/// The caller's side of a [`Responder`].
#[derive(Debug)]
pub(in crate::sandbox) struct Listener {
    /// Comes as soon as the runtime answers; never, when the call ends without an answer.
    pub(in crate::sandbox) head: oneshot::Receiver<ResponseHead>,
    /// The body; its end says nothing of how the call has ended.
    pub(in crate::sandbox) pieces: mpsc::Receiver<Bytes>,
}

impl Responder {
    /// Both sides of one answer.
    pub(in crate::sandbox) fn new() -> (Self, Listener) {
        let (head, head_to_come) = oneshot::channel();
        let (pieces, pieces_to_come) = mpsc::channel(PIECES);
        (Self { head, pieces }, Listener { head: head_to_come, pieces: pieces_to_come })
    }
}

/// How a streamed answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum StreamEnd {
    /// As the runtime meant it.
    Whole,
    /// The runtime says that it failed midway.
    Failed(Bytes),
    /// It went over the limit.
    TooLarge,
    /// The runtime's request broke off.
    Truncated,
}

/// The way to the caller of an answer that has begun.
#[derive(Debug)]
pub(in crate::sandbox) struct Sink {
    /// Nothing when the caller has gone away: the function is run to its end all the same.
    pieces: Option<mpsc::Sender<Bytes>>,
    cut: oneshot::Receiver<()>,
}

/// The call has ended before its answer has.
#[derive(Debug)]
pub(in crate::sandbox) struct CutOff;

impl Sink {
    /// Hands a piece on; waits for a slow caller.
    pub(in crate::sandbox) async fn pass(&mut self, piece: Bytes) -> Result<(), CutOff> {
        let Some(pieces) = &self.pieces else { return Ok(()) };
        let sent = tokio::select! {
            biased;
            _ = &mut self.cut => return Err(CutOff),
            sent = pieces.send(piece) => sent,
        };
        if sent.is_err() {
            self.pieces = None;
        }
        Ok(())
    }
}

impl Exchange {
    /// Sends the answer of the next call to its caller as it comes.
    pub(in crate::sandbox) fn stream_to(&self, responder: Responder) {
        self.state().responder = Some(responder);
    }

    /// Ends what [`Exchange::stream_to`] began, and cuts off what is still on its way.
    pub(in crate::sandbox) fn end_stream(&self) {
        let mut state = self.state();
        (state.responder, state.streaming) = (None, None);
    }

    /// `/response` of a runtime that streams, before its body. Nothing when the caller wants the
    /// answer in one piece.
    pub(in crate::sandbox) fn open_stream(
        &self,
        generation: u64,
        request_id: &str,
        content_type: Option<String>,
    ) -> Result<Option<Sink>, Refusal> {
        let mut state = self.state();
        state.may_answer(generation, request_id)?;
        let Some(responder) = state.responder.take() else { return Ok(None) };
        let (streaming, cut) = oneshot::channel();
        state.streaming = Some(streaming);
        // A caller that has gone away misses nothing.
        let _ = responder.head.send(ResponseHead { content_type });
        Ok(Some(Sink { pieces: Some(responder.pieces), cut }))
    }

    /// The end of a streamed `/response`.
    pub(in crate::sandbox) fn close_stream(&self, generation: u64, end: StreamEnd) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.generation != generation || state.streaming.take().is_none() {
            return Err(Refusal::InvalidStateTransition);
        }
        state.current = None;
        let refused = match end {
            StreamEnd::Whole | StreamEnd::Failed(_) => Ok(()),
            StreamEnd::TooLarge => Err(Refusal::StreamTooLarge),
            StreamEnd::Truncated => Err(Refusal::Truncated),
        };
        let _ = state.events.send(RuntimeEvent::Streamed(end));
        refused
    }
}

impl State {
    /// Sends an answer in one piece to a caller that takes it in pieces.
    pub(super) fn pass_whole(&mut self, payload: &Bytes) {
        if payload.len() as u64 <= SYNC_RESPONSE_BYTES
            && let Some(responder) = self.responder.take()
        {
            let content_type = Some("application/json".to_owned());
            let _ = responder.head.send(ResponseHead { content_type });
            // Nothing is in the channel yet, so the only piece has room in it.
            let _ = responder.pieces.try_send(payload.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::exchange::Delivery;

    fn delivery() -> Delivery {
        Delivery {
            request_id: "a".into(),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: String::new(),
            client_context: None,
            trace_id: String::new(),
            deadline_ms: 0,
        }
    }

    async fn called() -> (Exchange, mpsc::UnboundedReceiver<RuntimeEvent>, Listener) {
        let (exchange, events) = Exchange::new();
        let (responder, listener) = Responder::new();
        exchange.stream_to(responder);
        exchange.offer(delivery());
        exchange.next(0).await.expect("a call");
        (exchange, events, listener)
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_one_answer_at_a_time() {
        let (exchange, mut events, mut listener) = called().await;
        let mut sink = exchange.open_stream(0, "a", Some("text/x".into())).expect("allowed").expect("a sink");
        assert_eq!(listener.head.await.expect("a head").content_type.as_deref(), Some("text/x"));
        let whole = || Some(Bytes::from_static(b"1"));
        assert_eq!(exchange.answer(0, "a", whole()), Err(Refusal::InvalidStateTransition));
        assert!(matches!(exchange.open_stream(0, "a", None), Err(Refusal::InvalidStateTransition)));
        sink.pass(Bytes::from_static(b"one")).await.expect("passed");
        sink.pass(Bytes::from_static(b"two")).await.expect("passed");
        drop(sink);
        assert_eq!(exchange.close_stream(0, StreamEnd::Whole), Ok(()));
        assert_eq!(exchange.close_stream(0, StreamEnd::Whole), Err(Refusal::InvalidStateTransition));
        assert_eq!(listener.pieces.recv().await.as_deref(), Some(&b"one"[..]));
        assert_eq!(listener.pieces.recv().await.as_deref(), Some(&b"two"[..]));
        assert_eq!(listener.pieces.recv().await, None);
        assert!(matches!(events.recv().await, Some(RuntimeEvent::Asked)));
        assert!(matches!(events.recv().await, Some(RuntimeEvent::Streamed(StreamEnd::Whole))));
    }

    #[tokio::test]
    async fn a_slow_caller_holds_the_runtime_and_the_end_of_the_call_lets_it_go() {
        let (exchange, _events, listener) = called().await;
        let mut sink = exchange.open_stream(0, "a", None).expect("allowed").expect("a sink");
        let piece = Bytes::from_static(b"x");
        for _ in 0..PIECES {
            sink.pass(piece.clone()).await.expect("passed");
        }
        let mut held = Box::pin(sink.pass(piece.clone()));
        assert!(futures::poll!(&mut held).is_pending());
        exchange.end_stream();
        assert!(held.await.is_err());
        drop(listener);
        assert_eq!(exchange.close_stream(0, StreamEnd::Whole), Err(Refusal::InvalidStateTransition));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_holds_nobody() {
        let (exchange, _events, listener) = called().await;
        let mut sink = exchange.open_stream(0, "a", None).expect("allowed").expect("a sink");
        drop(listener);
        for _ in 0..3 * PIECES {
            sink.pass(Bytes::from_static(b"x")).await.expect("thrown away");
        }
        assert_eq!(exchange.close_stream(0, StreamEnd::Whole), Ok(()));
    }

    #[tokio::test]
    async fn an_answer_in_one_piece_is_one_piece() {
        let (exchange, _events, mut listener) = called().await;
        assert_eq!(exchange.answer(0, "a", Some(Bytes::from_static(b"1"))), Ok(()));
        assert_eq!(listener.head.await.expect("a head").content_type.as_deref(), Some("application/json"));
        assert_eq!(listener.pieces.recv().await.as_deref(), Some(&b"1"[..]));
        assert_eq!(listener.pieces.recv().await, None);
    }
}
