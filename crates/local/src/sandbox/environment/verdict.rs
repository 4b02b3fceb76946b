//! What a call has come to: from an answer or a failure to the caller's payload, the log's lines and
//! the report (FACTS.md §6, §7).
//!
//! Owns what is said of a call that has ended. Never waits, and never touches a process.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::{Environment, milliseconds};
use crate::sandbox::{
    Outcome,
    cell_event::Exit,
    extensions::{ExtensionFailure, ShutdownReason},
    failure,
    log::{Log, Report},
    platform_event::{PlatformEvent, Tracing},
};

/// What becomes of a runtime whose keeper is killed from outside, by the kernel's OOM killer for one.
pub(super) const KILLED: Exit = Exit::Signal(9);

/// The error type of a report when memory has run out (FACTS.md §7).
const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";
/// The error type of an answer when the runtime has ended.
pub(super) const EXIT_ERROR: &str = "Runtime.ExitError";

/// What a runtime did instead of what was hoped for.
pub(super) enum Failure {
    /// The runtime reported that its init phase failed.
    Init {
        payload: Bytes,
        error_type: String,
    },
    /// The runtime could not be executed, for this reason.
    Entrypoint(String),
    Exited(Exit),
    /// It wanted more memory than the function has.
    OutOfMemory,
    Extension(ExtensionFailure),
    TimedOut,
}

impl Failure {
    /// What it is to the extensions.
    pub(super) fn reason(&self) -> ShutdownReason {
        if matches!(self, Self::TimedOut) { ShutdownReason::Timeout } else { ShutdownReason::Failure }
    }
}

/// What became of a call.
pub(super) enum Answer {
    Response(Bytes),
    HandlerError(Bytes),
    /// More than this many bytes.
    TooLarge(u64),
    /// The caller has it already.
    Streamed,
    /// A streamed answer broke off, and its runtime lives.
    Truncated,
    Failure(Failure),
}

/// The status and error type of a failure in log lines.
pub(super) fn describe(failure: &Failure) -> (&'static str, Option<String>) {
    match failure {
        Failure::Init { error_type, .. } => ("error", Some(error_type.clone())),
        Failure::Exited(_) => ("error", Some("Runtime.ExitError".into())),
        Failure::OutOfMemory => ("error", Some(OUT_OF_MEMORY.into())),
        Failure::Entrypoint(_) => ("error", Some("Runtime.InvalidEntrypoint".into())),
        Failure::Extension(failure) => ("error", Some(failure.error_type.into())),
        Failure::TimedOut => ("timeout", None),
    }
}

/// What a call has come to.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) payload: Bytes,
    /// The payload is an error.
    pub(super) failed: bool,
    /// `error` or `timeout`, when more than the handler failed.
    pub(super) status: Option<&'static str>,
    pub(super) error_type: Option<String>,
}

/// A call that has been answered.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) request_id: String,
    pub(super) begun: Instant,
    pub(super) duration: Duration,
    pub(super) init_ms: Option<f64>,
    pub(super) tracing: Option<Tracing>,
    pub(super) verdict: Verdict,
}

impl Environment {
    /// What a call's answer means to its caller and to its report.
    pub(super) fn judge(&self, answer: Answer, request_id: &str, log: &mut Log) -> Verdict {
        let timeout = self.spec.timeout;
        let good = |payload| Verdict { payload, failed: false, status: None, error_type: None };
        let failed = |payload| Verdict { failed: true, ..good(payload) };
        match answer {
            Answer::Response(payload) => good(payload),
            Answer::Streamed => good(Bytes::new()),
            Answer::HandlerError(payload) => failed(payload),
            Answer::TooLarge(limit) => failed(failure::too_large_error(limit)),
            Answer::Truncated => Verdict {
                status: Some("error"),
                error_type: Some(failure::TRUNCATED.into()),
                ..failed(failure::truncated_error(request_id))
            },
            Answer::Failure(failure) => {
                let (status, error_type) = describe(&failure);
                let payload = match failure {
                    Failure::Init { payload, .. } => payload,
                    Failure::Exited(exit) => {
                        let error_type = error_type.as_deref().unwrap_or_default();
                        let reason = failure::exit_reason(exit);
                        log.exit(request_id, error_type, &reason);
                        failure::exit_error(request_id, error_type, &reason)
                    }
                    Failure::OutOfMemory => {
                        let reason = failure::exit_reason(KILLED);
                        log.exit(request_id, EXIT_ERROR, &reason);
                        failure::exit_error(request_id, EXIT_ERROR, &reason)
                    }
                    Failure::Entrypoint(reason) => {
                        let error_type = error_type.as_deref().unwrap_or_default();
                        log.exit(request_id, error_type, &reason);
                        failure::exit_error(request_id, error_type, &reason)
                    }
                    Failure::Extension(ExtensionFailure { error_type, message }) => {
                        log.exit(request_id, error_type, &message);
                        failure::exit_error(request_id, error_type, &message)
                    }
                    Failure::TimedOut => {
                        log.timed_out(request_id, &failure::timeout_message(timeout));
                        failure::timeout_error(request_id, timeout)
                    }
                };
                Verdict { status: Some(status), error_type, ..failed(payload) }
            }
        }
    }

    /// What the end of the runtime means: an extension may have told of its failure before.
    pub(super) fn exited(&self, exit: Exit) -> Failure {
        match self.extensions.fatal() {
            Some(error_type) => {
                let message = failure::exit_reason(exit);
                Failure::Extension(ExtensionFailure { error_type, message })
            }
            None => Failure::Exited(exit),
        }
    }

    /// The figures of a call that has ended, `duration` after it began.
    pub(super) fn report(&self, ended: &Ended) -> Report {
        let Verdict { status, error_type, .. } = &ended.verdict;
        // AWS reports a call that was cut off with its timeout, not with the time of the cutting.
        let duration = if *status == Some("timeout") { self.spec.timeout } else { ended.duration };
        let duration_ms = milliseconds(duration);
        Report {
            duration_ms,
            billed_ms: (duration_ms + ended.init_ms.unwrap_or_default()).ceil().max(1.0) as u64,
            memory_mb: self.spec.memory_mb,
            max_memory_mb: if error_type.as_deref() == Some(OUT_OF_MEMORY) {
                self.spec.memory_mb
            } else {
                u32::try_from(self.peak_kb.div_ceil(1024)).unwrap_or(u32::MAX).min(self.spec.memory_mb)
            },
            init_ms: ended.init_ms,
            status: *status,
            error_type: error_type.clone(),
        }
    }

    pub(super) fn conclude(&self, ended: Ended, mut log: Log) -> Outcome {
        let report = self.report(&ended);
        log.report(&PlatformEvent::Report {
            request_id: &ended.request_id,
            report: &report,
            spans: &[],
            tracing: ended.tracing.as_ref(),
        });
        let (log, tail_from) = log.take_call();
        Outcome {
            payload: ended.verdict.payload,
            function_error: ended.verdict.failed.then(|| "Unhandled".into()),
            log: Arc::new(log),
            log_stream: Arc::clone(&self.log_stream),
            report,
            logged: false,
            tail_from,
            closing: Vec::new(),
        }
    }
}
