//! Calls whose answer is taken while it is made.
//!
//! Owns the caller's side of such a call: when its answer begins, its pieces, and how it ended.
//! Never holds more of an answer than the pieces on their way.

use std::{io, sync::Arc};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Call, EnvironmentSpec, Outcome, ResponseHead, Sandbox, SandboxError, Shared, exchange::Responder,
};

/// A call whose answer has begun, or which has ended without one.
#[derive(Debug)]
pub struct Streaming {
    /// What is known of the answer; nothing when the function failed before it answered.
    pub head: Option<ResponseHead>,
    /// The answer. Whoever drops it ends neither the call nor its answer.
    pub body: ResponseBody,
    /// How the call ended. The payload of its outcome is the error, if there is one.
    pub completion: Completion,
}

/// The pieces of an answer.
#[derive(Debug)]
pub struct ResponseBody(mpsc::Receiver<Bytes>);

impl ResponseBody {
    /// The next piece; nothing at the end of the answer, which may be too early.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

/// The end of a call.
#[derive(Debug)]
pub struct Completion(JoinHandle<Result<Outcome, SandboxError>>);

impl Completion {
    /// Waits for the end.
    ///
    /// # Errors
    /// [`SandboxError`] when the call could not be run to its end.
    pub async fn outcome(self) -> Result<Outcome, SandboxError> {
        joined(self.0.await)
    }
}

fn joined(
    result: Result<Result<Outcome, SandboxError>, tokio::task::JoinError>,
) -> Result<Outcome, SandboxError> {
    // A task that panicked has lost its environment, which ends with it.
    result.unwrap_or_else(|error| {
        Err(SandboxError::Start { step: "run the call".into(), source: io::Error::other(error) })
    })
}

impl Sandbox {
    /// Runs one call as [`Sandbox::invoke`] does, and hands its answer on as it comes. Gives the
    /// call back as soon as its answer begins, or when it has ended without one.
    ///
    /// A caller that takes the pieces slowly slows the function, whose time goes on. The answer of
    /// a runtime that does not stream comes in one piece.
    ///
    /// # Errors
    /// [`SandboxError`] when the call could not be run at all.
    pub async fn invoke_streaming(
        &self,
        spec: Arc<EnvironmentSpec>,
        call: Call,
    ) -> Result<Streaming, SandboxError> {
        let shared: Arc<Shared> = Arc::clone(&self.shared);
        let (responder, listener) = Responder::new();
        let mut task = tokio::spawn(async move { shared.invoke(spec, call, Some(responder)).await });
        let body = ResponseBody(listener.pieces);
        tokio::select! {
            biased;
            Ok(head) = listener.head => {
                Ok(Streaming { head: Some(head), body, completion: Completion(task) })
            }
            result = &mut task => {
                let outcome = joined(result)?;
                let completion = Completion(tokio::spawn(async move { Ok(outcome) }));
                Ok(Streaming { head: None, body, completion })
            }
        }
    }
}
