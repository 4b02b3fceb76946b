//! Runs functions: execution environments on this machine that look to their code like Lambda's.
//!
//! Owns every process that runs function code, from the first fork to the last wait. Never knows
//! HTTP status codes of the Lambda API, layers, versions' states or where code is stored: it is
//! given folders and values, and gives back outcomes.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use camino::Utf8PathBuf;
use futures::future::BoxFuture;
use layercake_core::{
    Hint,
    aws::{AccountId, FunctionName, Region},
};

use tokio::sync::{Notify, watch};

use self::{
    environment::Environment,
    exchange::Responder,
    host::Host,
    platform_event::Initialization,
    pool::{Acquired, Key, Pool},
    ready::Wishes,
};
use crate::interpreters::{Interpreters, NoInterpreter};

#[cfg(target_os = "linux")]
mod cell;
mod cell_event;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "only its tests are built here"))]
mod cell_plain;
#[cfg(target_os = "linux")]
mod cgroup;
mod client;
#[cfg(target_os = "linux")]
mod confine;
mod entrypoint;
mod environment;
mod exchange;
mod extensions;
mod failure;
#[cfg(target_os = "linux")]
mod filter;
mod function_runtime;
mod host;
mod image;
mod isolation;
#[cfg(target_os = "linux")]
mod jail;
mod log;
mod log_format;
mod loopback;
mod memory;
mod open;
mod peer;
mod platform_event;
mod pool;
mod ready;
#[cfg(target_os = "linux")]
mod root;
mod runtime_api;
#[cfg(target_os = "linux")]
mod sockets;
mod streaming;
mod survey;
mod telemetry;
pub mod terminal;
mod turns;
mod variables;

pub use exchange::ResponseHead;
pub use function_runtime::{FunctionRuntime, NotRun, Provided};
pub use image::{ImageSource, NoRegistry, RootFileSystem};
pub use isolation::{FeatureState, Isolation, IsolationFeature, IsolationReport};
pub use log::{LogEvent, Report, runtime_version_arn};
pub use log_format::{LogFormat, LogLevel};
pub use open::{Ended, Program, ProgramKind, ProgramStreams};
pub use ready::{NotReady, Ready};
pub use streaming::{Completion, ResponseBody, Streaming};
pub use survey::{ControlGroup, Survey, survey};
pub use variables::log_group;

/// What an execution environment is made from. Two calls with the same function ARN, version and
/// revision may share environments.
#[derive(Clone, Debug)]
pub struct EnvironmentSpec {
    /// The region the function believes to be in.
    pub region: Region,
    /// Whose function it is.
    pub account: AccountId,
    /// Its name.
    pub function_name: FunctionName,
    /// `$LATEST` or a number.
    pub version: String,
    /// The revision id; it changes with each change of code or configuration.
    pub revision: String,
    /// Which Python, or which system for a `bootstrap`.
    pub runtime: FunctionRuntime,
    /// `module.function`.
    pub handler: String,
    /// The memory setting.
    pub memory_mb: u32,
    /// The longest a call may take.
    pub timeout: Duration,
    /// The size of `/tmp`.
    pub tmp_mb: u32,
    /// The log group that its lines go to; [`log_group`] where none is configured.
    pub log_group: String,
    /// How they look.
    pub log_format: LogFormat,
    /// The user's environment variables.
    pub variables: BTreeMap<String, String>,
    /// The unpacked code, seen as `/var/task`.
    pub task: Utf8PathBuf,
    /// The merged layers, seen as `/opt`.
    pub opt: Option<Utf8PathBuf>,
    /// What it reaches.
    pub network: Network,
}

/// What a function reaches beside its Runtime API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// This machine's network, as on Lambda everything that can be reached from there.
    #[default]
    Host,
    /// Nothing but its own loopback.
    None,
}

impl EnvironmentSpec {
    /// The function's ARN without version or alias.
    pub fn function_arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.account, self.function_name)
    }
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request id, also in the log.
    pub request_id: String,
    /// The event.
    pub payload: Bytes,
    /// The ARN as the caller wrote it, qualified or not.
    pub invoked_arn: String,
    /// The client context as JSON text (already out of base64).
    pub client_context: Option<String>,
    /// The `X-Amzn-Trace-Id` value.
    pub trace_id: String,
}

/// What became of an invocation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The response, or the error as JSON.
    pub payload: Bytes,
    /// `Unhandled` when the payload is an error.
    pub function_error: Option<String>,
    /// The log, from `INIT_START` (first call of an environment only) to `REPORT`.
    pub log: Arc<Vec<LogEvent>>,
    /// The log stream of the environment that ran the call.
    pub log_stream: Arc<str>,
    /// The figures of the `REPORT` line.
    pub report: Report,
    /// Whether the lines went to the late log already, since more of the call follow there.
    pub logged: bool,
    /// Index in `log` of the first event that belongs to the invocation and not to the init phase.
    tail_from: usize,
    /// The end of the tail, where the call's own last lines are still to come.
    closing: Vec<LogEvent>,
}

/// Takes lines that belong to no outcome: what extensions print after the answer and while they shut
/// down, with the last lines of the call they belong to.
#[derive(Clone)]
pub struct LateLog(LateLogTaker);

/// The environment's spec, its log stream, the lines.
type LateLogTaker = Arc<dyn Fn(&Arc<EnvironmentSpec>, &Arc<str>, Arc<Vec<LogEvent>>) + Send + Sync>;

impl LateLog {
    /// Must neither wait nor fail.
    pub fn new(
        take: impl Fn(&Arc<EnvironmentSpec>, &Arc<str>, Arc<Vec<LogEvent>>) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(take))
    }
}

impl std::fmt::Debug for LateLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LateLog")
    }
}

impl Outcome {
    /// What `LogType=Tail` answers: the last 4 KB of the invocation's own log.
    pub fn log_tail(&self) -> Vec<u8> {
        let own = &self.log[self.tail_from.min(self.log.len())..];
        if self.closing.is_empty() { log::tail(own) } else { log::tail(&[own, &self.closing].concat()) }
    }
}

/// Why the sandbox could not run a call at all. What goes wrong inside the function is an
/// [`Outcome`] with a function error instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No Python of the function's minor version on this machine.
    #[error(transparent)]
    NoInterpreter(#[from] NoInterpreter),
    /// The environment could not be set up.
    #[error("cannot {step} for an execution environment")]
    Start {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A function that is to have no network, where none can be cut off from it.
    #[error("this machine cannot cut a function off from the network")]
    NoOwnNetwork,
    /// More calls than this machine's bound wait already.
    #[error("{environments} execution environments are busy and none became free in time")]
    Busy {
        /// The bound.
        environments: usize,
    },
    /// The sandbox is shutting down.
    #[error("the local cloud is shutting down")]
    ShuttingDown,
}

impl Hint for SandboxError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoInterpreter(error) => error.hint(),
            Self::Start { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some disk space, or choose another folder with --data".into())
            }
            Self::Start { .. } | Self::ShuttingDown => None,
            Self::NoOwnNetwork => {
                Some("it takes Linux with network namespaces; or let the function have the network".into())
            }
            Self::Busy { .. } => Some("wait for running calls to end, or call less at the same time".into()),
        }
    }
}

/// What a sandbox needs to know about its host.
#[derive(Debug)]
pub struct SandboxConfig {
    /// A scratch folder that is the sandbox's alone.
    pub work: Utf8PathBuf,
    /// The Pythons of this machine.
    pub interpreters: Interpreters,
    /// How much isolation to ask the host for.
    pub isolation: Isolation,
}

/// The program that speaks the Runtime API inside an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuntimeClient {
    /// The bootstrap of this crate.
    #[default]
    Ours,
    /// The same, once a debugger has attached at this port of the machine's loopback address: the
    /// function brings `debugpy`, and its init phase has as long as a call.
    Debugged {
        /// Where debugpy listens.
        port: u16,
    },
    /// These arguments of the interpreter, such as `-m awslambdaric app.handler`.
    Command(Vec<String>),
}

/// The knobs of a sandbox that have good defaults.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// How many environments may exist on this machine; further calls wait.
    pub most_environments: NonZeroUsize,
    /// How long a call waits for one.
    pub patience: Duration,
    /// How long an idle environment is kept.
    pub keep_idle: Duration,
    /// What runs inside.
    pub client: RuntimeClient,
    /// On which files.
    pub root: RootFileSystem,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            most_environments: NonZeroUsize::new(32).unwrap_or(NonZeroUsize::MIN),
            patience: Duration::from_secs(900),
            keep_idle: Duration::from_secs(300),
            client: RuntimeClient::Ours,
            root: RootFileSystem::Host,
        }
    }
}

/// How often idle environments are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long an environment is idle before it stands still. AWS stops it at once; here a call that
/// follows at once would pay for that.
const STILL_AFTER: Duration = Duration::from_millis(20);

/// All execution environments of one local cloud.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Arc<Host>,
    pool: Pool,
    wishes: Wishes,
    keep_idle: Duration,
    stop: watch::Sender<bool>,
}

impl Sandbox {
    /// A sandbox without environments; the first call of a function starts one.
    ///
    /// Tries out once, in a few milliseconds, what isolation this host gives. Must be called
    /// within a tokio runtime.
    pub fn new(config: SandboxConfig) -> Arc<Self> {
        Self::with(config, Tuning::default())
    }

    /// The same, with other knobs.
    pub fn with(config: SandboxConfig, tuning: Tuning) -> Arc<Self> {
        let shared = Arc::new(Shared {
            host: Arc::new(Host::new(
                config.work,
                config.interpreters,
                config.isolation,
                (tuning.client, tuning.root),
            )),
            pool: Pool::new(tuning.most_environments, tuning.patience),
            wishes: Wishes::default(),
            keep_idle: tuning.keep_idle,
            stop: watch::Sender::new(false),
        });
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        tokio::spawn(ready::keep(Arc::downgrade(&shared), shared.wishes.changed()));
        tokio::spawn(hold_still(Arc::downgrade(&shared), shared.pool.rested()));
        Arc::new(Self { shared })
    }

    /// Sets, once, where lines go that come outside a call. Without it they are lost.
    pub fn set_late_log(&self, late_log: LateLog) {
        self.shared.host.set_late_log(late_log);
    }

    /// Runs one call in an idle environment of its function, or in a new one.
    ///
    /// Who drops the future ends the environment in the middle of the call; [`Self::invoke`] does not.
    pub async fn run(&self, spec: Arc<EnvironmentSpec>, call: Call) -> Result<Outcome, SandboxError> {
        self.shared.invoke(spec, call, None).await
    }

    /// The same in a task of its own: a call that has begun is run to its end even when nobody waits
    /// for it any more.
    pub async fn invoke(&self, spec: Arc<EnvironmentSpec>, call: Call) -> Result<Outcome, SandboxError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { shared.invoke(spec, call, None).await });
        // A task that panicked has lost its environment, which ends with it.
        task.await.unwrap_or_else(|error| {
            Err(SandboxError::Start { step: "run the call".into(), source: std::io::Error::other(error) })
        })
    }

    /// Makes sure that no later call runs in an environment that exists now.
    ///
    /// `function_arn` is the ARN without version; idle environments end at once, busy ones after
    /// their call.
    pub async fn retire(&self, function_arn: &str) {
        self.shared.end(self.shared.pool.retire(function_arn, None, None)).await;
    }

    /// The same for one version of a function: `$LATEST` or a number.
    pub async fn retire_version(&self, function_arn: &str, version: &str) {
        self.shared.end(self.shared.pool.retire(function_arn, Some(version), None)).await;
    }

    /// The same, but for the environments of one revision: what else there is of the version is
    /// out of date, and these may be running a call already.
    pub async fn retire_except(&self, function_arn: &str, version: &str, revision: &str) {
        self.shared.end(self.shared.pool.retire(function_arn, Some(version), Some(revision))).await;
    }

    /// Keeps so many environments of these ready for calls, in place of what was asked for before.
    pub fn keep_ready(&self, wanted: Vec<(Arc<EnvironmentSpec>, usize)>) {
        let floors = wanted.iter().map(|(spec, count)| (Key::of(spec), *count)).collect();
        self.shared.pool.set_floors(floors);
        self.shared.wishes.replace(wanted);
    }

    /// What is ready of it.
    pub fn ready(&self, spec: &EnvironmentSpec) -> Ready {
        let key = Key::of(spec);
        Ready { count: self.shared.pool.ready(&key), missing: self.shared.wishes.fault(&key) }
    }

    /// Ends every environment, busy ones too, and waits until nothing of them is left. Later
    /// calls are refused.
    pub async fn shutdown(&self) {
        let idle = self.shared.pool.close();
        self.shared.stop.send_replace(true);
        self.shared.host.stop_fetching();
        self.shared.end(idle).await;
        self.shared.pool.empty().await;
        self.shared.host.close();
    }

    /// Runs a program of somebody's choice where the function's runtime would run: with the same
    /// files, variables, user and limits. It is in no pool, and ends when the future is dropped.
    ///
    /// # Errors
    /// [`SandboxError`] when it cannot be started.
    pub async fn open(
        &self,
        spec: EnvironmentSpec,
        program: Program,
        streams: ProgramStreams,
    ) -> Result<Ended, SandboxError> {
        open::run(&self.shared.host, spec, program, streams).await
    }

    /// The runtimes that were to run on AWS's images and do not, and why.
    pub fn missing_images(&self) -> Vec<(FunctionRuntime, String)> {
        self.shared.host.missing_images()
    }

    /// What this host gives and what it does not.
    pub fn isolation(&self) -> IsolationReport {
        self.shared.host.report.clone()
    }
}

impl Shared {
    async fn invoke(
        self: &Arc<Self>,
        spec: Arc<EnvironmentSpec>,
        call: Call,
        responder: Option<Responder>,
    ) -> Result<Outcome, SandboxError> {
        let (mut lease, acquired) = self.pool.acquire(Key::of(&spec)).await?;
        let mut environment = match acquired {
            Acquired::Warm(mut environment) => {
                if environment.has_died() {
                    Box::pin(environment.end()).await;
                    self.start(spec).await?
                } else {
                    environment
                }
            }
            Acquired::Start { evicted } => {
                if let Some(evicted) = evicted {
                    Box::pin(evicted.end()).await;
                }
                self.start(spec).await?
            }
        };
        let streams = responder.is_some();
        if let Some(responder) = responder {
            environment.stream_to(responder);
        }
        let mut stop = self.stop.subscribe();
        let result = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => Err(SandboxError::ShuttingDown),
            result = environment.run(call) => result,
        };
        if streams {
            environment.end_stream();
        }
        if result.is_err() {
            Box::pin(environment.end()).await;
        } else if environment.is_unsettled() {
            let (shared, number) = (Arc::clone(self), lease.keep());
            tokio::spawn(async move { shared.settle(number, environment).await });
        } else if let Some(environment) = lease.give_back(environment) {
            Box::pin(environment.end()).await;
        }
        result
    }

    /// A new environment for a call. What is rare is boxed: a warm call is not to be as large as a cold
    /// one, since it is moved about on its way.
    fn start(&self, spec: Arc<EnvironmentSpec>) -> BoxFuture<'_, Result<Box<Environment>, SandboxError>> {
        Box::pin(Environment::start(&self.host, spec, Initialization::OnDemand))
    }

    /// Lets the extensions of an environment finish their work on a call that has been answered.
    async fn settle(&self, number: u64, mut environment: Box<Environment>) {
        let mut lease = self.pool.lease(number);
        let mut stop = self.stop.subscribe();
        let settled = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => Err(SandboxError::ShuttingDown),
            settled = environment.settle() => settled,
        };
        let rest = if settled.is_ok() { lease.give_back(environment) } else { Some(environment) };
        if let Some(environment) = rest {
            environment.end().await;
        }
    }

    /// Ends environments, all the way even when nobody waits for it any more.
    #[allow(clippy::vec_box, reason = "they come boxed")]
    async fn end(self: &Arc<Self>, environments: Vec<Box<Environment>>) {
        let shared = Arc::clone(self);
        let ending = tokio::spawn(async move {
            let _leaving = shared.pool.leaving(environments.len());
            futures::future::join_all(environments.into_iter().map(|environment| environment.end())).await;
        });
        // A task that panicked has given the places back all the same.
        let _ = ending.await;
    }
}

/// Makes idle environments stand still, as long as the sandbox exists.
async fn hold_still(shared: Weak<Shared>, rested: Arc<Notify>) {
    loop {
        rested.notified().await;
        loop {
            tokio::time::sleep(STILL_AFTER).await;
            let Some(shared) = shared.upgrade() else { return };
            if !shared.pool.freeze_idle(STILL_AFTER) {
                break;
            }
        }
    }
}

/// Ends what has been idle for too long, as long as the sandbox exists.
async fn sweep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let stale = shared.pool.take_stale(shared.keep_idle);
        if !stale.is_empty() {
            shared.end(stale).await;
        }
    }
}
