//! Invocations whose answer is taken while it is made.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Cloud, FunctionRef, LambdaError};
use crate::{
    sandbox::{Call, Outcome, ResponseBody, ResponseHead, SandboxError},
    store::Scope,
};

/// A call whose answer has begun, or which has ended without one.
pub(crate) struct InvokedStreaming {
    /// What is known of the answer; nothing when the function failed before it answered.
    pub(crate) head: Option<ResponseHead>,
    /// The answer.
    pub(crate) body: ResponseBody,
    /// How the call ends.
    pub(crate) end: StreamedEnd,
    /// `$LATEST` or the number of the version that runs.
    pub(crate) version: String,
}

/// The end of a call. It comes, and its log is kept, also when nobody waits for it.
pub(crate) struct StreamedEnd(JoinHandle<Result<Outcome, SandboxError>>);

impl StreamedEnd {
    /// Waits for it.
    pub(crate) async fn outcome(self) -> Result<Outcome, LambdaError> {
        let joined = self.0.await.unwrap_or_else(|error| {
            Err(SandboxError::Start { step: "run the call".into(), source: std::io::Error::other(error) })
        });
        Ok(joined?)
    }
}

impl Cloud {
    /// Runs a function as [`Cloud::invoke`] does, and hands its answer on as it comes.
    pub(crate) async fn invoke_streaming(
        self: &Arc<Self>,
        scope: &Scope,
        function: &FunctionRef,
        call: Call,
    ) -> Result<InvokedStreaming, LambdaError> {
        let route = self.route(scope, function).await?;
        let running = route.begin_call()?;
        let (record, prepared) = self.prepare_routed(route, scope, function).await?;
        let streaming = self.sandbox.invoke_streaming(Arc::clone(&prepared.spec), call).await?;
        let version = record.version_text();
        let cloud = Arc::clone(self);
        let end = tokio::spawn(async move {
            let outcome = streaming.completion.outcome().await;
            if let Ok(outcome) = &outcome {
                cloud.keep_log(&prepared.spec, outcome);
            }
            // Kept until the call has ended: its place among the running calls, and its trees.
            drop((running, prepared));
            outcome
        });
        let (head, body) = (streaming.head, streaming.body);
        Ok(InvokedStreaming { head, body, end: StreamedEnd(end), version })
    }
}
