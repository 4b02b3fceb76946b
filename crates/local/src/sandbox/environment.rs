//! The life of one execution environment: init, calls, timeouts, crashes, the end.
//!
//! Owns the order of things as AWS has it (FACTS.md §6, §7). Runs one call at a time; who may use
//! it when is the pool's affair.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, unix::pipe},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use super::{
    Call, EnvironmentSpec, Outcome, SandboxError,
    cell_event::{CellEvent, Exit},
    entrypoint::Entrypoint,
    exchange::{Delivery, Exchange, RuntimeEvent},
    failure,
    host::{Cell, Host},
    log::{Log, Report, now_ms},
    memory, runtime_api,
};

/// The init phase of a cold start; what takes longer is tried again within the call.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last bytes of a dead runtime may take to be read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a call's memory is looked at while it runs.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// A call as short as this cannot have touched much memory, so a recent figure will do.
const SHORT_CALL: Duration = Duration::from_millis(2);

/// What becomes of a runtime whose keeper is killed from outside, by the kernel's OOM killer for one.
const KILLED: Exit = Exit::Signal(9);

#[derive(Debug)]
enum Phase {
    /// Nothing has run yet.
    Fresh,
    /// The runtime has started and has not asked for a call yet.
    Starting,
    /// The runtime waits for a call, or works on one.
    Ready,
    /// The runtime has ended; `/tmp` has not.
    Stopped,
}

/// One environment.
#[derive(Debug)]
pub(super) struct Environment {
    spec: Arc<EnvironmentSpec>,
    cell: Cell,
    entrypoint: Entrypoint,
    output: pipe::Receiver,
    /// Nobody can print any more: the pipe would be ready, and empty, for ever.
    output_ended: bool,
    exchange: Arc<Exchange>,
    events: mpsc::UnboundedReceiver<RuntimeEvent>,
    server: Server,
    log_stream: String,
    phase: Phase,
    peak_kb: u64,
    measured: Option<Instant>,
}

#[derive(Debug)]
struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a runtime did instead of what was hoped for.
enum Failure {
    /// The runtime reported that its init phase failed.
    Init {
        payload: Bytes,
        error_type: String,
    },
    /// The runtime could not be executed, for this reason.
    Entrypoint(String),
    Exited(Exit),
    TimedOut,
}

/// What became of a call.
enum Answer {
    Response(Bytes),
    HandlerError(Bytes),
    TooLarge,
    Failure(Failure),
}

impl Environment {
    /// Sets up an environment; the runtime starts with the first call.
    pub(super) async fn start(host: &Arc<Host>, spec: Arc<EnvironmentSpec>) -> Result<Self, SandboxError> {
        let bind = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let start = |source| SandboxError::Start { step: "open a port on 127.0.0.1".into(), source };
        let (listener, address) = bind.await.map_err(start)?;
        let log_stream = log_stream(&spec.version);
        let (cell, entrypoint, output) =
            host.cell(Arc::clone(&spec), log_stream.clone(), address.to_string()).await?;
        let (exchange, events) = Exchange::new();
        let exchange = Arc::new(exchange);
        let serving = runtime_api::serve(listener, Arc::clone(&exchange), host.admission(&cell));
        let server = Server(tokio::spawn(serving));
        Ok(Self {
            spec,
            cell,
            entrypoint,
            output,
            output_ended: false,
            exchange,
            events,
            server,
            log_stream,
            phase: Phase::Fresh,
            peak_kb: 0,
            measured: None,
        })
    }

    /// Ends all processes of the environment and waits until they are gone.
    pub(super) async fn end(self) {
        drop(self.server);
        self.cell.end().await;
    }

    /// Whether a waiting runtime has died meanwhile.
    pub(super) fn has_died(&mut self) -> bool {
        use futures::FutureExt;
        loop {
            match self.cell.event().now_or_never() {
                None => return false,
                // The runtime may have asked for its first call before this was read.
                Some(CellEvent::Ready) => {}
                Some(_) => return true,
            }
        }
    }

    /// Runs one call.
    pub(super) async fn run(&mut self, call: Call) -> Result<Outcome, SandboxError> {
        let mut log = Log::default();
        let mut init_ms = None;
        match self.phase {
            Phase::Fresh => {
                log.init_start(self.spec.runtime, &self.spec.region);
                let begun = Instant::now();
                match self.initialise(begun + INIT_TIMEOUT, &mut log).await? {
                    Ok(()) => init_ms = Some(milliseconds(begun.elapsed())),
                    Err(failure) => self.init_failed(&failure, begun.elapsed(), "init", &mut log).await?,
                }
            }
            Phase::Starting | Phase::Ready | Phase::Stopped => {}
        }

        // What is in the pipe now was printed between two calls.
        self.drain(&mut log);
        log.begin_call();
        let begun = Instant::now();
        let deadline = begun + self.spec.timeout;
        let timeout_ms = u64::try_from(self.spec.timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = now_ms().saturating_add(timeout_ms);
        let mut answer = None;
        if matches!(self.phase, Phase::Stopped)
            && let Err(failure) = self.initialise(deadline, &mut log).await?
        {
            self.init_failed(&failure, begun.elapsed(), "invoke", &mut log).await?;
            answer = Some(Answer::Failure(failure));
        }
        log.start(&call.request_id, &self.spec.version);
        let request_id = call.request_id.clone();
        let answer = match answer {
            Some(answer) => answer,
            None => {
                self.exchange.offer(Delivery {
                    request_id: call.request_id,
                    payload: call.payload,
                    invoked_arn: call.invoked_arn,
                    client_context: call.client_context,
                    trace_id: call.trace_id,
                    deadline_ms,
                });
                self.wait_for_answer(deadline, &mut log).await?
            }
        };
        let duration = begun.elapsed();
        self.drain(&mut log);
        if duration > SHORT_CALL || self.measured.is_none_or(|measured| measured.elapsed() > SAMPLE_EVERY) {
            self.measure();
        }
        Ok(self.conclude(answer, &request_id, duration, init_ms, log))
    }

    /// Starts the runtime and waits until it asks for a call.
    async fn initialise(
        &mut self,
        deadline: Instant,
        log: &mut Log,
    ) -> Result<Result<(), Failure>, SandboxError> {
        if matches!(self.phase, Phase::Stopped) {
            self.events = self.exchange.reset();
        }
        self.cell.run();
        self.phase = Phase::Starting;
        let failure = match self.watch(deadline, log).await? {
            Happened::Runtime(RuntimeEvent::Asked) => {
                self.drain(log);
                self.phase = Phase::Ready;
                return Ok(Ok(()));
            }
            Happened::Runtime(RuntimeEvent::InitFailed { payload, error_type }) => {
                Failure::Init { payload, error_type }
            }
            Happened::Runtime(_) => Failure::Exited(Exit::Code(0)),
            Happened::NotExecuted(reason) => Failure::Entrypoint(reason),
            Happened::Exited(exit) => Failure::Exited(exit),
            Happened::TimedOut => Failure::TimedOut,
        };
        Ok(Err(failure))
    }

    async fn wait_for_answer(&mut self, deadline: Instant, log: &mut Log) -> Result<Answer, SandboxError> {
        loop {
            let failure = match self.watch(deadline, log).await? {
                Happened::Runtime(RuntimeEvent::Answered(payload)) => return Ok(Answer::Response(payload)),
                Happened::Runtime(RuntimeEvent::Failed(payload)) => return Ok(Answer::HandlerError(payload)),
                Happened::Runtime(RuntimeEvent::TooLarge) => return Ok(Answer::TooLarge),
                Happened::Runtime(RuntimeEvent::Asked | RuntimeEvent::InitFailed { .. }) => continue,
                Happened::NotExecuted(reason) => Failure::Entrypoint(reason),
                Happened::Exited(exit) => Failure::Exited(exit),
                Happened::TimedOut => Failure::TimedOut,
            };
            if matches!(failure, Failure::TimedOut) {
                self.measure();
                self.stop(log).await?;
            }
            return Ok(Answer::Failure(failure));
        }
    }

    /// The next thing that matters, while the output is read all the time.
    async fn watch(&mut self, deadline: Instant, log: &mut Log) -> Result<Happened, SandboxError> {
        let mut buffer = [0u8; 16_384];
        let mut sample = tokio::time::interval_at(Instant::now() + SAMPLE_EVERY, SAMPLE_EVERY);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Ok(Happened::Runtime(event)),
                () = tokio::time::sleep_until(deadline) => return Ok(Happened::TimedOut),
                readable = self.output.readable(), if !self.output_ended => match readable {
                    Ok(()) => if let Ok(count) = self.output.try_read(&mut buffer) {
                        log.output(&buffer[..count]);
                        self.output_ended = count == 0;
                    },
                    Err(_) => self.output_ended = true,
                },
                event = self.cell.event() => match event {
                    CellEvent::Ready => {}
                    CellEvent::Failed { step, source } => return Err(SandboxError::Start { step, source }),
                    CellEvent::NotExecuted { program, source } => {
                        return match self.entrypoint.fault(&source) {
                            Some(reason) => Ok(Happened::NotExecuted(reason)),
                            None => Err(SandboxError::Start { step: format!("execute `{program}`"), source }),
                        };
                    }
                    CellEvent::Exited { exit, peak_kb } => {
                        return Ok(self.runtime_ended(exit, peak_kb, log).await);
                    }
                    CellEvent::Gone => return Ok(self.runtime_ended(KILLED, 0, log).await),
                },
                _ = sample.tick() => self.measure(),
            }
        }
    }

    /// Takes what a dead runtime has left behind: it may have answered before it died.
    async fn runtime_ended(&mut self, exit: Exit, peak_kb: u64, log: &mut Log) -> Happened {
        self.phase = Phase::Stopped;
        self.peak_kb = self.peak_kb.max(peak_kb);
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, self.exchange.disconnected()).await;
        self.drain(log);
        match self.events.try_recv() {
            Ok(event) if !matches!(event, RuntimeEvent::Asked) => Happened::Runtime(event),
            _ => Happened::Exited(exit),
        }
    }

    /// Kills the runtime and waits for its end; `/tmp` stays.
    async fn stop(&mut self, log: &mut Log) -> Result<(), SandboxError> {
        if matches!(self.phase, Phase::Stopped) {
            return Ok(());
        }
        self.cell.kill();
        loop {
            match self.cell.event().await {
                CellEvent::Ready | CellEvent::NotExecuted { .. } => {}
                CellEvent::Exited { exit, peak_kb } => {
                    self.runtime_ended(exit, peak_kb, log).await;
                    return Ok(());
                }
                CellEvent::Gone => {
                    self.runtime_ended(KILLED, 0, log).await;
                    return Ok(());
                }
                CellEvent::Failed { step, source } => return Err(SandboxError::Start { step, source }),
            }
        }
    }

    async fn init_failed(
        &mut self,
        failure: &Failure,
        duration: Duration,
        phase: &str,
        log: &mut Log,
    ) -> Result<(), SandboxError> {
        self.measure();
        self.stop(log).await?;
        let (status, error_type) = match failure {
            Failure::Init { error_type, .. } => ("error", Some(error_type.as_str())),
            Failure::Entrypoint(_) => ("error", Some("Runtime.InvalidEntrypoint")),
            Failure::Exited(_) => ("error", Some("Runtime.ExitError")),
            Failure::TimedOut => ("timeout", None),
        };
        log.init_report(milliseconds(duration), phase, status, error_type);
        Ok(())
    }

    /// Reads everything that is in the output pipe now, and no more: all that was printed before
    /// an answer came is in it, and a background thread may print without end.
    fn drain(&mut self, log: &mut Log) {
        const PIPE: usize = 1 << 20;
        let mut buffer = [0u8; 16_384];
        let mut read = 0;
        while read < PIPE {
            // Asked of the kernel itself: tokio tries only what it knows to be readable, and may learn
            // of an answer before it learns of what was printed earlier.
            match nix::unistd::read(&self.output, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    log.output(&buffer[..count]);
                    read += count;
                }
            }
        }
    }

    fn measure(&mut self) {
        self.measured = Some(Instant::now());
        self.peak_kb = self.peak_kb.max(memory::peak_kb(self.cell.keeper()).unwrap_or_default());
    }

    fn conclude(
        &self,
        answer: Answer,
        request_id: &str,
        duration: Duration,
        init_ms: Option<f64>,
        mut log: Log,
    ) -> Outcome {
        let timeout = self.spec.timeout;
        let (payload, failed, status, error_type) = match answer {
            Answer::Response(payload) => (payload, false, None, None),
            Answer::HandlerError(payload) => (payload, true, None, None),
            Answer::TooLarge => (failure::too_large_error(), true, None, None),
            Answer::Failure(Failure::Init { payload, error_type }) => {
                (payload, true, Some("error"), Some(error_type))
            }
            Answer::Failure(Failure::Entrypoint(reason)) => {
                let error_type = "Runtime.InvalidEntrypoint";
                log.runtime_failed(request_id, &reason, error_type);
                let payload = failure::entrypoint_error(request_id, &reason);
                (payload, true, Some("error"), Some(error_type.into()))
            }
            Answer::Failure(Failure::Exited(exit)) => {
                log.runtime_failed(request_id, &failure::exit_reason(exit), "Runtime.ExitError");
                (failure::exit_error(request_id, exit), true, Some("error"), Some("Runtime.ExitError".into()))
            }
            Answer::Failure(Failure::TimedOut) => {
                log.timed_out(request_id, &failure::timeout_message(timeout));
                (failure::timeout_error(request_id, timeout), true, Some("timeout"), None)
            }
        };
        // AWS reports a call that was cut off with its timeout, not with the time of the cutting.
        let duration = if status == Some("timeout") { timeout } else { duration };
        let duration_ms = milliseconds(duration);
        let report = Report {
            duration_ms,
            billed_ms: (duration_ms + init_ms.unwrap_or_default()).ceil().max(1.0) as u64,
            memory_mb: self.spec.memory_mb,
            max_memory_mb: u32::try_from(self.peak_kb.div_ceil(1024)).unwrap_or(u32::MAX),
            init_ms,
            status,
            error_type,
        };
        let (log, tail_from) = log.finish(request_id, &report);
        Outcome {
            payload,
            function_error: failed.then(|| "Unhandled".into()),
            log,
            log_stream: self.log_stream.clone(),
            report,
            tail_from,
        }
    }
}

/// What a watched runtime did.
enum Happened {
    Runtime(RuntimeEvent),
    /// Why, in AWS's words.
    NotExecuted(String),
    Exited(Exit),
    TimedOut,
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// `YYYY/MM/DD/[$LATEST]32hex`.
fn log_stream(version: &str) -> String {
    let today = jiff::Timestamp::now().strftime("%Y/%m/%d").to_string();
    format!("{today}/[{version}]{}", uuid::Uuid::new_v4().simple())
}
