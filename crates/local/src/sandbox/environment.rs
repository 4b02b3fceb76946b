//! The life of one execution environment: init, calls, timeouts, crashes, the end.
//!
//! Owns the order of things as AWS has it (FACTS.md §6, §7). Runs one call at a time; who may use
//! it when is the pool's affair. What extensions add to it is in `extended`, the end in `shutdown`.

use std::{pin::Pin, sync::Arc, time::Duration};

use layercake_core::limits::{STREAMED_RESPONSE_BYTES, SYNC_RESPONSE_BYTES};
use tokio::{
    net::unix::pipe,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, Sleep},
};

use super::{
    Call, EnvironmentSpec, Outcome, SandboxError,
    cell_event::{CellEvent, Exit, RUNTIME},
    entrypoint::Entrypoint,
    exchange::{Delivery, Exchange, Responder, RuntimeEvent, StreamEnd},
    extensions::{ExtensionFailure, ExtensionOutput, Extensions, FunctionIdentity, ShutdownReason},
    host::{Cell, Furnished, Host},
    log::{Log, now_ms, runtime_version_arn},
    memory,
    platform_event::{Ending, InitPhase, Initialization, PlatformEvent, Tracing},
    runtime_api,
};

use verdict::{Answer, Ended, Failure, KILLED, describe};

mod extended;
mod shutdown;
mod verdict;

/// The longest init phase before any call, where the function's own timeout is not longer (AWS, "Understanding the
/// Lambda execution environment lifecycle").
const PROVISIONED_INIT_TIMEOUT: Duration = Duration::from_secs(130);
/// How long the last bytes of a dead runtime may take to be read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a call's memory is looked at while it runs.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// The most that a pipe holds, in bytes (pipe(7)).
const PIPE_BYTES: usize = 1 << 20;
/// How much output is read at once, in bytes.
const OUTPUT_BYTES: usize = 16_384;
/// A call as short as this cannot have touched much memory, so a recent figure will do.
const SHORT_CALL: Duration = Duration::from_millis(2);

#[derive(Debug)]
enum Phase {
    /// Nothing has run yet.
    Fresh,
    /// The runtime has started and has not asked for a call yet.
    Starting,
    /// The runtime waits for a call, or works on one.
    Ready,
    /// The runtime has ended, and its extensions; `/tmp` has not.
    Stopped,
}

/// One environment.
#[derive(Debug)]
pub(super) struct Environment {
    host: Arc<Host>,
    spec: Arc<EnvironmentSpec>,
    initialization: Initialization,
    cell: Cell,
    /// A bit for each program that has been started and not been seen to end.
    running: u32,
    entrypoint: Entrypoint,
    output: pipe::Receiver,
    /// Where output is read into; here, and not in the futures that read, which would be as large.
    buffer: Box<[u8]>,
    /// Nobody can print any more: the pipe would be ready, and empty, for ever.
    output_ended: bool,
    exchange: Arc<Exchange>,
    events: mpsc::UnboundedReceiver<RuntimeEvent>,
    extensions: Arc<Extensions>,
    /// The programs in `/opt/extensions`.
    external: Vec<String>,
    extension_output: Option<ExtensionOutput>,
    /// Somebody has subscribed to telemetry.
    listened_to: bool,
    /// Some extension has registered, or has to; all that extensions cost depends on it.
    extended: bool,
    /// What a call has left to do after its answer.
    unsettled: Option<Box<extended::Unsettled>>,
    server: Server,
    log_stream: Arc<str>,
    phase: Phase,
    peak_kb: u64,
    /// What the processes held of their own when they were measured last.
    own_kb: u64,
    /// What the kernel said of the most that all of it had held, then.
    group_peak: Option<u64>,
    measured: Option<Instant>,
    /// Its processes stand still.
    frozen: bool,
    /// Rings at times while a call runs. It is set anew when it has rung, not for each call: most
    /// calls end long before, and setting a timer wakes whoever waits for the next one.
    bell: Pin<Box<Sleep>>,
}

#[derive(Debug)]
struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Environment {
    /// Sets up an environment; the runtime starts with the first call.
    pub(super) async fn start(
        host: &Arc<Host>,
        spec: Arc<EnvironmentSpec>,
        initialization: Initialization,
    ) -> Result<Box<Self>, SandboxError> {
        let log_stream: Arc<str> = log_stream(&spec.version).into();
        let Furnished { cell, entrypoint, outputs, listener, extensions: external } =
            host.cell(Arc::clone(&spec), log_stream.to_string(), initialization).await?;
        let (exchange, events) = Exchange::new();
        let extensions = Extensions::new(FunctionIdentity::of(&spec), exchange.events());
        extensions.telemetry.set_loopback(cell.loopback().clone());
        extensions.reset(&external, exchange.events());
        let (exchange, extensions) = (Arc::new(exchange), Arc::new(extensions));
        let admission = host.admission(&cell);
        let serving = runtime_api::serve(listener, Arc::clone(&exchange), Arc::clone(&extensions), admission);
        let server = Server(tokio::spawn(serving));
        let telemetry = &extensions.telemetry;
        let read = |pipe| ExtensionOutput::read(pipe, Log::of_extensions(Arc::clone(telemetry)));
        let extension_output = outputs.extensions.map(read);
        Ok(Box::new(Self {
            host: Arc::clone(host),
            spec,
            initialization,
            cell,
            running: 0,
            entrypoint,
            output: outputs.runtime,
            buffer: vec![0; OUTPUT_BYTES].into(),
            output_ended: false,
            exchange,
            events,
            extensions,
            listened_to: false,
            extended: !external.is_empty(),
            external,
            extension_output,
            unsettled: None,
            server,
            log_stream,
            phase: Phase::Fresh,
            peak_kb: 0,
            own_kb: 0,
            group_peak: None,
            measured: None,
            frozen: false,
            bell: Box::pin(tokio::time::sleep(SAMPLE_EVERY)),
        }))
    }

    /// Whether a waiting runtime has died meanwhile.
    pub(super) fn has_died(&mut self) -> bool {
        use futures::FutureExt;
        loop {
            match self.cell.event().now_or_never() {
                None => return false,
                // The runtime may have asked for its first call before this was read.
                Some(CellEvent::Ready) => {}
                Some(CellEvent::MemoryGrew) => {
                    self.cell.fits();
                }
                Some(_) => return true,
            }
        }
    }

    /// Makes the processes stand still until the next call, or go on.
    pub(super) fn freeze(&mut self, still: bool) {
        if self.frozen != still {
            self.frozen = still;
            self.cell.freeze(still);
        }
    }

    /// Whether they stand still.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Hands the answer of the next call on as it comes.
    pub(super) fn stream_to(&self, responder: Responder) {
        self.exchange.stream_to(responder);
    }

    /// Ends what [`Environment::stream_to`] began.
    pub(super) fn end_stream(&self) {
        self.exchange.end_stream();
    }

    /// Runs one call. What only happens around a start, a failure or an end is boxed: the future of a
    /// warm call is made for each of them, and is as large as all that it may come to.
    pub(super) async fn run(&mut self, call: Call) -> Result<Outcome, SandboxError> {
        self.freeze(false);
        let mut log = self.log();
        let mut init_ms = None;
        match self.phase {
            Phase::Fresh => {
                let begun = Instant::now();
                let longest = self.host.init_timeout(&self.spec);
                if Box::pin(self.initialise_first(longest, &mut log)).await?.is_ok() {
                    init_ms = Some(milliseconds(begun.elapsed()));
                }
            }
            Phase::Starting | Phase::Ready | Phase::Stopped => {}
        }

        // What is in the pipes now was printed between two calls, and tokio has had the time to know.
        self.take_known(&mut log);
        self.take_extension_lines(&mut log);
        log.begin_call();
        let begun = Instant::now();
        let deadline = begun + self.spec.timeout;
        let timeout_ms = u64::try_from(self.spec.timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = now_ms().saturating_add(timeout_ms);
        let mut answer = None;
        if matches!(self.phase, Phase::Stopped) {
            let result = Box::pin(self.initialise(deadline, InitPhase::Invoke, &mut log)).await?;
            let (failure, took) = (result.as_ref().err(), begun.elapsed());
            Box::pin(self.init_ended(failure, took, InitPhase::Invoke, &mut log)).await?;
            answer = result.err().map(Answer::Failure);
        }
        let tracing = Tracing::of(&call.trace_id);
        log.platform(&PlatformEvent::Start {
            request_id: &call.request_id,
            version: &self.spec.version,
            function_arn: &call.invoked_arn,
            tracing: tracing.as_ref(),
        });
        let request_id = call.request_id.clone();
        let answer = match answer {
            Some(answer) => answer,
            None => {
                if self.extended {
                    self.tell_extensions(&call, deadline_ms);
                }
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
        if self.may_have_grown(duration) {
            self.measure();
        }
        let verdict = self.judge(answer, &request_id, &mut log);
        let ended = Ended { request_id, begun, duration, init_ms, tracing, verdict };
        if self.extended {
            return Ok(self.conclude_extended(ended, deadline, log));
        }
        self.runtime_done(&ended, &[], &mut log);
        Ok(self.conclude(ended, log))
    }

    /// Goes through the init phase before there is a call, for which there is more time than within
    /// one. An environment whose init phase fails, which is what `false` says, is of no use.
    pub(super) async fn prepare(&mut self) -> Result<bool, SandboxError> {
        let mut log = self.log();
        let longest = PROVISIONED_INIT_TIMEOUT.max(self.spec.timeout);
        let result = self.initialise_first(longest, &mut log).await?;
        self.log_late(log);
        Ok(result.is_ok())
    }

    /// The init phase of an environment in which nothing has run.
    async fn initialise_first(
        &mut self,
        longest: Duration,
        log: &mut Log,
    ) -> Result<Result<(), Failure>, SandboxError> {
        let begun = Instant::now();
        let result = self.initialise(begun + longest, InitPhase::Init, log).await?;
        self.init_ended(result.as_ref().err(), begun.elapsed(), InitPhase::Init, log).await?;
        Ok(result)
    }

    /// An empty log. An init phase may bring somebody who wants to hear of all of it.
    fn log(&self) -> Log {
        let heard = self.listened_to || !matches!(self.phase, Phase::Ready);
        Log::new(self.spec.log_format, heard.then(|| Arc::clone(&self.extensions.telemetry)))
    }

    fn init_started(&self, phase: InitPhase, log: &mut Log) {
        if phase == InitPhase::Invoke && !log.wants_details() {
            return;
        }
        log.platform(&PlatformEvent::InitStart {
            initialization: self.initialization,
            phase,
            runtime_version: &format!("{}.v1", self.spec.runtime.log_name()),
            runtime_version_arn: &runtime_version_arn(&self.spec.region, self.spec.runtime),
        });
    }

    /// Starts the extensions, then the runtime, and waits until all of them ask for a call.
    async fn initialise(
        &mut self,
        deadline: Instant,
        phase: InitPhase,
        log: &mut Log,
    ) -> Result<Result<(), Failure>, SandboxError> {
        if matches!(self.phase, Phase::Stopped) {
            self.events = self.exchange.reset();
            self.extensions.reset(&self.external, self.exchange.events());
        }
        self.phase = Phase::Starting;
        self.init_started(phase, log);
        if !self.external.is_empty()
            && let Err(failure) = self.start_extensions(deadline, log).await?
        {
            return Ok(Err(failure));
        }
        self.launch(RUNTIME);
        let failure = loop {
            break match self.watch(deadline, log).await? {
                Happened::Runtime(RuntimeEvent::Extensions) => continue,
                Happened::Runtime(RuntimeEvent::Asked) => {
                    self.drain(log);
                    self.extensions.close_registration();
                    let (initialization, ending) = (self.initialization, Ending::default());
                    log.platform(&PlatformEvent::InitRuntimeDone { initialization, phase, ending });
                    self.phase = Phase::Ready;
                    return self.await_extensions(deadline, log).await;
                }
                Happened::Runtime(RuntimeEvent::InitFailed { payload, error_type }) => {
                    Failure::Init { payload, error_type }
                }
                Happened::Runtime(_) => Failure::Exited(Exit::Code(0)),
                Happened::NotExecuted(reason) => Failure::Entrypoint(reason),
                Happened::Exited(exit) => self.exited(exit),
                Happened::OutOfMemory => Failure::OutOfMemory,
                Happened::Extension(failure) => Failure::Extension(failure),
                Happened::TimedOut => Failure::TimedOut,
            };
        };
        self.drain(log);
        let (status, error_type) = describe(&failure);
        let ending = Ending { status: Some(status), error_type: error_type.as_deref() };
        log.platform(&PlatformEvent::InitRuntimeDone { initialization: self.initialization, phase, ending });
        Ok(Err(failure))
    }

    async fn wait_for_answer(&mut self, deadline: Instant, log: &mut Log) -> Result<Answer, SandboxError> {
        loop {
            let failure = match self.watch(deadline, log).await? {
                Happened::Runtime(RuntimeEvent::Answered(payload)) => return Ok(Answer::Response(payload)),
                Happened::Runtime(RuntimeEvent::Failed(payload)) => return Ok(Answer::HandlerError(payload)),
                Happened::Runtime(RuntimeEvent::TooLarge) => {
                    return Ok(Answer::TooLarge(SYNC_RESPONSE_BYTES));
                }
                Happened::Runtime(RuntimeEvent::Streamed(end)) => match end {
                    StreamEnd::Whole => return Ok(Answer::Streamed),
                    StreamEnd::Failed(payload) => return Ok(Answer::HandlerError(payload)),
                    StreamEnd::TooLarge => return Ok(Answer::TooLarge(STREAMED_RESPONSE_BYTES)),
                    // Most often because the runtime has died, which is the better news.
                    StreamEnd::Truncated => {
                        let soon = (Instant::now() + DRAIN_TIMEOUT).min(deadline);
                        match Box::pin(self.watch(soon, log)).await? {
                            Happened::Exited(exit) => self.exited(exit),
                            Happened::OutOfMemory => Failure::OutOfMemory,
                            _ => return Ok(Answer::Truncated),
                        }
                    }
                },
                Happened::Runtime(
                    RuntimeEvent::Asked | RuntimeEvent::Extensions | RuntimeEvent::InitFailed { .. },
                ) => continue,
                Happened::NotExecuted(reason) => Failure::Entrypoint(reason),
                Happened::Exited(exit) => self.exited(exit),
                Happened::OutOfMemory => Failure::OutOfMemory,
                Happened::Extension(failure) => Failure::Extension(failure),
                Happened::TimedOut => Failure::TimedOut,
            };
            if matches!(failure, Failure::OutOfMemory) {
                // Nobody who waits for memory can be told anything.
                self.measure();
                self.kill_all(self.running);
                Box::pin(self.shut_down(ShutdownReason::Failure, log)).await?;
            }
            if matches!(failure, Failure::TimedOut) {
                // A caller that reads slowly must not hold the runtime's connection now.
                self.end_stream();
                self.measure();
                // Extensions are told, and have time, when the caller has the answer.
                if !self.extended {
                    Box::pin(self.shut_down(ShutdownReason::Timeout, log)).await?;
                }
            }
            return Ok(Answer::Failure(failure));
        }
    }

    /// The next thing that matters, while the output is read all the time.
    async fn watch(&mut self, deadline: Instant, log: &mut Log) -> Result<Happened, SandboxError> {
        if deadline < self.bell.deadline() {
            self.bell.as_mut().reset(deadline);
        }
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Ok(Happened::Runtime(event)),
                () = self.bell.as_mut() => {
                    let now = Instant::now();
                    if now >= deadline {
                        return Ok(Happened::TimedOut);
                    }
                    if self.measured.is_none_or(|measured| now - measured >= SAMPLE_EVERY) {
                        self.measure();
                        if self.cell.exceeds(self.spec.memory_mb, self.own_kb) {
                            return Ok(Happened::OutOfMemory);
                        }
                    }
                    self.bell.as_mut().reset(deadline.min(now + SAMPLE_EVERY));
                }
                readable = self.output.readable(), if !self.output_ended => match readable {
                    Ok(()) => if let Ok(count) = self.output.try_read(&mut self.buffer) {
                        log.output(&self.buffer[..count]);
                        self.output_ended = count == 0;
                    },
                    Err(_) => self.output_ended = true,
                },
                event = self.cell.event() => match event {
                    CellEvent::Ready => {}
                    CellEvent::MemoryGrew => if !self.cell.fits() {
                        return Ok(Happened::OutOfMemory);
                    },
                    CellEvent::Failed { step, source } => return Err(SandboxError::Start { step, source }),
                    CellEvent::NotExecuted { program, source } => {
                        return match self.entrypoint.fault(&source) {
                            Some(reason) => Ok(Happened::NotExecuted(reason)),
                            None => Err(SandboxError::Start { step: format!("execute `{program}`"), source }),
                        };
                    }
                    CellEvent::LaunchFailed { program, source } => {
                        return Ok(Happened::Extension(self.extensions.launch_failed(program, &source)));
                    }
                    CellEvent::Exited { program: RUNTIME, exit, peak_kb } => {
                        return Ok(Box::pin(self.runtime_ended(exit, peak_kb, log)).await);
                    }
                    CellEvent::Exited { program, exit, .. } => {
                        self.ended(program);
                        return Ok(Happened::Extension(self.extensions.crashed(program, exit)));
                    }
                    CellEvent::Gone => {
                        self.running = 0;
                        return Ok(Box::pin(self.runtime_ended(KILLED, 0, log)).await);
                    }
                },
            }
        }
    }

    /// Takes what a dead runtime has left behind: it may have answered before it died.
    async fn runtime_ended(&mut self, exit: Exit, peak_kb: u64, log: &mut Log) -> Happened {
        self.phase = Phase::Stopped;
        self.ended(RUNTIME);
        self.peak_kb = self.peak_kb.max(peak_kb);
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, self.exchange.disconnected()).await;
        self.drain(log);
        while let Ok(event) = self.events.try_recv() {
            let is_news = !matches!(
                event,
                RuntimeEvent::Asked | RuntimeEvent::Extensions | RuntimeEvent::Streamed(StreamEnd::Truncated)
            );
            if is_news {
                return Happened::Runtime(event);
            }
        }
        if exit == KILLED && self.cell.has_killed() {
            return Happened::OutOfMemory;
        }
        Happened::Exited(exit)
    }

    /// Logs how the init phase went, and clears up after one that failed.
    async fn init_ended(
        &mut self,
        failure: Option<&Failure>,
        duration: Duration,
        phase: InitPhase,
        log: &mut Log,
    ) -> Result<(), SandboxError> {
        self.log_extensions(log);
        let (status, error_type) = failure.map(describe).unzip();
        let error_type = error_type.flatten();
        if let Some(failure) = failure {
            self.measure();
            self.shut_down(failure.reason(), log).await?;
        }
        log.platform(&PlatformEvent::InitReport {
            initialization: self.initialization,
            phase,
            duration_ms: milliseconds(duration),
            ending: Ending { status, error_type: error_type.as_deref() },
        });
        self.listened_to = failure.is_none() && self.extensions.telemetry.close();
        if !self.listened_to && failure.is_none() {
            log.stop_telemetry();
        }
        Ok(())
    }

    fn launch(&mut self, program: usize) {
        self.cell.run(program);
        self.running |= 1 << program;
    }

    fn ended(&mut self, program: usize) {
        self.running &= !(1 << program);
    }

    fn is_running(&self, program: usize) -> bool {
        self.running & (1 << program) != 0
    }

    /// Reads what is known to be in the output pipe, which asks the kernel nothing where nothing is.
    fn take_known(&mut self, log: &mut Log) {
        let mut read = 0;
        while read < PIPE_BYTES
            && let Ok(count @ 1..) = self.output.try_read(&mut self.buffer)
        {
            log.output(&self.buffer[..count]);
            read += count;
        }
    }

    /// Reads everything that is in the output pipe now, and no more: all that was printed before
    /// an answer came is in it, and a background thread may print without end.
    fn drain(&mut self, log: &mut Log) {
        let mut read = 0;
        while read < PIPE_BYTES {
            // Asked of the kernel itself: tokio tries only what it knows to be readable, and may learn
            // of an answer before it learns of what was printed earlier.
            match nix::unistd::read(&self.output, &mut self.buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    log.output(&self.buffer[..count]);
                    read += count;
                }
            }
        }
    }

    /// Whether a call that has taken so long may have held more memory than was measured last. To
    /// measure costs as much as all the rest of a call.
    fn may_have_grown(&self, duration: Duration) -> bool {
        if self.measured.is_none_or(|measured| measured.elapsed() > SAMPLE_EVERY) {
            return true;
        }
        let group_peak = || self.cell.peak_bytes();
        duration > SHORT_CALL && group_peak().is_none_or(|peak| self.group_peak != Some(peak))
    }

    fn measure(&mut self) {
        self.measured = Some(Instant::now());
        // Before the processes are looked at: what they take meanwhile is for the next look.
        self.group_peak = self.cell.peak_bytes();
        let usage = memory::usage(self.cell.keeper()).unwrap_or_default();
        self.peak_kb = self.peak_kb.max(usage.peak_kb);
        self.own_kb = usage.own_kb;
    }
}

/// What a watched runtime did.
enum Happened {
    Runtime(RuntimeEvent),
    /// Why, in AWS's words.
    NotExecuted(String),
    Exited(Exit),
    OutOfMemory,
    Extension(ExtensionFailure),
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
