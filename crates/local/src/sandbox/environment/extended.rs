//! What extensions add to an environment's life: their start before the runtime's, their share of
//! each call, and what is left to do when the caller has the answer (FACTS.md §9).
//!
//! Nothing here runs in an environment without extensions.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    super::{
        Call, Outcome, SandboxError,
        cell_event::RUNTIME,
        exchange::RuntimeEvent,
        extensions::{ExtensionFailure, Invoked, ShutdownReason},
        failure,
        log::{Log, now_ms},
        platform_event::{Ending, PlatformEvent, Span},
    },
    Ended, Environment, Failure, Happened, Phase, describe, milliseconds,
};

/// A call whose caller has the answer, and whose extensions may still work on it.
#[derive(Debug)]
pub(super) struct Unsettled {
    ended: Ended,
    log: Log,
    deadline: Instant,
    answered: Instant,
    answered_ms: u64,
    /// The end of the runtime's part has been told.
    told: bool,
    /// The programs are to be ended, and to start anew with the next call.
    reset: Option<ShutdownReason>,
}

impl Environment {
    /// Starts the programs of `/opt/extensions` and waits until all have registered.
    pub(super) async fn start_extensions(
        &mut self,
        deadline: Instant,
        log: &mut Log,
    ) -> Result<Result<(), Failure>, SandboxError> {
        if self.extensions.too_many() {
            let message = "ErrTooManyExtensions".into();
            let failure = ExtensionFailure { error_type: "Extension.LaunchError", message };
            return Ok(Err(Failure::Extension(failure)));
        }
        for program in RUNTIME + 1..=RUNTIME + self.external.len() {
            self.launch(program);
        }
        while !self.extensions.all_registered() {
            if let Some(failure) = self.extension_failure(deadline, log).await? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// Waits until every extension asks for its first event, when the runtime has done so.
    pub(super) async fn await_extensions(
        &mut self,
        deadline: Instant,
        log: &mut Log,
    ) -> Result<Result<(), Failure>, SandboxError> {
        let (any, _) = self.extensions.kinds();
        self.extended = any;
        if !any {
            return Ok(Ok(()));
        }
        while !self.extensions.all_ready() {
            if let Some(failure) = self.extension_failure(deadline, log).await? {
                return Ok(Err(failure));
            }
        }
        self.exchange.announce(true);
        Ok(Ok(()))
    }

    /// The next change; a failure if it is one.
    async fn extension_failure(
        &mut self,
        deadline: Instant,
        log: &mut Log,
    ) -> Result<Option<Failure>, SandboxError> {
        Ok(match self.watch(deadline, log).await? {
            Happened::Runtime(_) => None,
            Happened::NotExecuted(reason) => Some(Failure::Entrypoint(reason)),
            Happened::Exited(exit) => Some(self.exited(exit)),
            Happened::OutOfMemory => Some(Failure::OutOfMemory),
            Happened::Extension(failure) => Some(Failure::Extension(failure)),
            Happened::TimedOut => Some(Failure::TimedOut),
        })
    }

    /// Says how each extension came through the init phase.
    pub(super) fn log_extensions(&mut self, log: &mut Log) {
        // An init that failed early has not yet noticed those within the runtime.
        self.extended |= self.extensions.kinds().0;
        if !self.extended {
            return;
        }
        self.take_extension_lines(log);
        for (name, subscription) in self.extensions.telemetry.news() {
            log.platform(&PlatformEvent::Subscription {
                telemetry: subscription.is_telemetry(),
                name: &name,
                types: &subscription.type_names(),
            });
        }
        for status in self.extensions.statuses() {
            log.platform(&PlatformEvent::Extension(&status));
        }
    }

    /// Moves what extensions have printed into a log.
    pub(super) fn take_extension_lines(&self, log: &mut Log) {
        if let Some(output) = &self.extension_output {
            log.merge(output.take());
        }
    }

    /// Tells those who want to know that a call begins.
    pub(super) fn tell_extensions(&self, call: &Call, deadline_ms: u64) {
        self.extensions.invoke(&Invoked {
            request_id: &call.request_id,
            invoked_arn: &call.invoked_arn,
            trace_id: &call.trace_id,
            deadline_ms,
        });
    }

    /// The outcome for the caller; the rest of the call is left to [`Environment::settle`].
    pub(super) fn conclude_extended(&mut self, ended: Ended, deadline: Instant, mut log: Log) -> Outcome {
        self.take_extension_lines(&mut log);
        let reset = match ended.verdict.status {
            None => None,
            Some("timeout") => Some(ShutdownReason::Timeout),
            Some(_) => Some(ShutdownReason::Failure),
        };
        // After a failed init everything has been shut down already.
        let reset = reset.filter(|_| self.running != 0);
        let report = self.report(&ended);
        let mut closing = Log::new(self.spec.log_format, None);
        closing.report(&PlatformEvent::Report {
            request_id: &ended.request_id,
            report: &report,
            spans: &[],
            tracing: ended.tracing.as_ref(),
        });
        let (events, tail_from) = log.take_call();
        let events = Arc::new(events);
        let logged = self.host.has_late_log();
        if logged {
            self.host.log_late(&self.spec, &self.log_stream, Arc::clone(&events));
        }
        let outcome = Outcome {
            payload: ended.verdict.payload.clone(),
            function_error: ended.verdict.failed.then(|| "Unhandled".into()),
            log: events,
            log_stream: Arc::clone(&self.log_stream),
            report,
            logged,
            tail_from,
            closing: closing.take(),
        };
        let (answered, answered_ms) = (Instant::now(), now_ms());
        self.unsettled =
            Some(Box::new(Unsettled { ended, log, deadline, answered, answered_ms, told: false, reset }));
        outcome
    }

    /// Whether a call has left something to do.
    pub(in super::super) fn is_unsettled(&self) -> bool {
        self.unsettled.is_some()
    }

    /// Waits until the runtime and the extensions ask for the next call, writes the end of the log, and
    /// clears up after a failure.
    pub(in super::super) async fn settle(&mut self) -> Result<(), SandboxError> {
        let Some(mut unsettled) = self.unsettled.take() else { return Ok(()) };
        let answered = matches!(self.phase, Phase::Ready) && unsettled.reset.is_none();
        if answered {
            // Kept where the end of the environment finds it when this is cut off.
            self.unsettled = Some(unsettled);
            let failure = self.until_settled().await?;
            let Some(taken) = self.unsettled.take() else { return Ok(()) };
            unsettled = taken;
            if let Some(failure) = failure {
                self.fail_unsettled(&mut unsettled, &failure);
            }
        }
        let reset = unsettled.reset;
        let mut log = self.close(*unsettled);
        self.extensions.telemetry.flush();
        if let Some(reason) = reset {
            self.shut_down(reason, &mut log).await?;
        }
        self.log_late(log);
        Ok(())
    }

    /// The same without waiting, for an environment that ends now.
    pub(super) fn finish_unsettled(&mut self, log: &mut Log) {
        if let Some(unsettled) = self.unsettled.take() {
            *log = self.close(*unsettled);
        }
    }

    /// Waits for the questions that end the call; a failure if something else comes.
    async fn until_settled(&mut self) -> Result<Option<Failure>, SandboxError> {
        let mut asked = false;
        while !(asked && self.extensions.all_settled()) {
            let Some(unsettled) = &mut self.unsettled else { return Ok(None) };
            let deadline = unsettled.deadline;
            let mut log = std::mem::take(&mut unsettled.log);
            let happened = self.watch(deadline, &mut log).await;
            let Some(unsettled) = &mut self.unsettled else { return Ok(None) };
            unsettled.log = log;
            match happened? {
                Happened::Runtime(RuntimeEvent::Asked) if !asked => {
                    asked = true;
                    self.runtime_is_done();
                }
                Happened::Runtime(_) => {}
                Happened::NotExecuted(reason) => return Ok(Some(Failure::Entrypoint(reason))),
                Happened::Exited(exit) => return Ok(Some(self.exited(exit))),
                Happened::OutOfMemory => return Ok(Some(Failure::OutOfMemory)),
                Happened::Extension(failure) => return Ok(Some(Failure::Extension(failure))),
                Happened::TimedOut => return Ok(Some(Failure::TimedOut)),
            }
        }
        Ok(None)
    }

    /// Logs that the runtime has asked for the next call.
    fn runtime_is_done(&mut self) {
        let Some(mut unsettled) = self.unsettled.take() else { return };
        let overhead = Span {
            name: "runtimeOverhead",
            start_ms: unsettled.answered_ms,
            duration_ms: milliseconds(unsettled.answered.elapsed()),
        };
        let Unsettled { ended, log, told, .. } = &mut *unsettled;
        self.runtime_done(ended, &[overhead], log);
        *told = true;
        self.unsettled = Some(unsettled);
    }

    /// Turns a call that was answered into one that failed afterwards.
    fn fail_unsettled(&self, unsettled: &mut Unsettled, failure: &Failure) {
        let (status, error_type) = describe(failure);
        let (ended, log) = (&mut unsettled.ended, &mut unsettled.log);
        match failure {
            Failure::Exited(exit) => {
                let reason = failure::exit_reason(*exit);
                log.exit(&ended.request_id, error_type.as_deref().unwrap_or_default(), &reason);
            }
            Failure::OutOfMemory => {
                log.exit(&ended.request_id, super::verdict::EXIT_ERROR, &failure::exit_reason(super::KILLED));
            }
            Failure::Extension(failure) => {
                log.exit(&ended.request_id, failure.error_type, &failure.message);
            }
            Failure::TimedOut => {
                log.timed_out(&ended.request_id, &failure::timeout_message(self.spec.timeout));
            }
            // Only before the first call.
            Failure::Init { .. } | Failure::Entrypoint(_) => {}
        }
        (ended.verdict.status, ended.verdict.error_type) = (Some(status), error_type);
        unsettled.reset = Some(failure.reason());
    }

    /// The end of a call's log.
    fn close(&mut self, unsettled: Unsettled) -> Log {
        let Unsettled { mut ended, mut log, answered, answered_ms, told, .. } = unsettled;
        self.drain(&mut log);
        if !told {
            self.runtime_done(&ended, &[], &mut log);
        }
        self.take_extension_lines(&mut log);
        self.measure();
        ended.duration = ended.begun.elapsed();
        let overhead = Span {
            name: "extensionOverhead",
            start_ms: answered_ms,
            duration_ms: milliseconds(answered.elapsed()),
        };
        log.report(&PlatformEvent::Report {
            request_id: &ended.request_id,
            report: &self.report(&ended),
            spans: &[overhead],
            tracing: ended.tracing.as_ref(),
        });
        log
    }

    /// Says that the runtime is done with a call.
    pub(super) fn runtime_done(&self, ended: &Ended, more: &[Span], log: &mut Log) {
        if !log.wants_details() {
            return;
        }
        let verdict = &ended.verdict;
        let duration_ms = milliseconds(ended.duration);
        let overhead_ms: f64 = more.iter().map(|span| span.duration_ms).sum();
        let start_ms = now_ms().saturating_sub((duration_ms + overhead_ms) as u64);
        let latency = Span { name: "responseLatency", start_ms, duration_ms };
        let sent =
            Span { name: "responseDuration", start_ms: start_ms + duration_ms as u64, duration_ms: 0.0 };
        let spans: Vec<Span> = match verdict.status {
            None => [latency, sent].into_iter().chain(more.iter().cloned()).collect(),
            Some(_) => Vec::new(),
        };
        log.platform(&PlatformEvent::RuntimeDone {
            request_id: &ended.request_id,
            ending: Ending { status: verdict.status, error_type: verdict.error_type.as_deref() },
            duration_ms: duration_ms + overhead_ms,
            produced_bytes: verdict.status.is_none().then_some(verdict.payload.len()),
            spans: &spans,
            tracing: ended.tracing.as_ref(),
        });
    }

    /// Hands over the lines of a log that no outcome takes.
    pub(super) fn log_late(&self, mut log: Log) {
        let (events, _) = log.take_call();
        self.host.log_late(&self.spec, &self.log_stream, Arc::new(events));
    }
}
