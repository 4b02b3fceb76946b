//! Work that is done to its end even when nobody waits for it any more.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use futures::FutureExt as _;

/// A future that goes on in a task of its own when it is dropped before it has ended. Who waits for it
/// to the end, as nearly everybody does, is spared that task, and the way there and back.
pub(super) struct ToItsEnd<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> ToItsEnd<F> {
    pub(super) fn new(future: Pin<Box<F>>) -> Self {
        Self(Some(future))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for ToItsEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(mut future) = self.0.take() else { return Poll::Pending };
        // A future that panics is not put back, and so not run again.
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(future);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for ToItsEnd<F> {
    fn drop(&mut self) {
        // Without a runtime the process is about to end.
        if let (Some(future), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if AssertUnwindSafe(future).catch_unwind().await.is_err() {
                    tracing::error!("a request was not answered: its handler panicked");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_waits_gets_the_result_and_who_does_not_changes_nothing() {
        assert_eq!(ToItsEnd::new(Box::pin(async { 7 })).await, 7);
        let (go, going) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut work = ToItsEnd::new(Box::pin(async move {
            let _ = going.await;
            let _ = done.send("done");
        }));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        go.send(()).expect("somebody waits");
        assert_eq!(ended.await, Ok("done"));
    }

    #[tokio::test]
    async fn what_was_never_looked_at_is_done_too() {
        let (done, ended) = oneshot::channel();
        drop(ToItsEnd::new(Box::pin(async move { done.send(()) })));
        assert_eq!(ended.await, Ok(()));
    }
}
