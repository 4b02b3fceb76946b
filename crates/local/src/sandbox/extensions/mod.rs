//! The extensions of one environment: who has registered, for which events, and who is done with
//! the last one (Extensions API 2020-01-01, FACTS.md §9).
//!
//! Owns the state of that API. Knows no HTTP (`api` does) and no processes (the environment does).

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use camino::Utf8Path;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::{EnvironmentSpec, cell_event::Exit, exchange::RuntimeEvent, telemetry::Telemetry};

pub(super) mod api;
mod output;

pub(super) use output::ExtensionOutput;

/// As many as a function may have, both kinds together.
pub(super) const MOST_EXTENSIONS: usize = 10;

/// The names of the external extensions in an unpacked `/opt`, in the order in which they start.
pub(super) fn external_names(opt: Option<&Utf8Path>) -> Vec<String> {
    let Some(Ok(entries)) = opt.map(|opt| opt.join("extensions").read_dir_utf8()) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.path().is_dir())
        .map(|entry| entry.file_name().to_owned())
        .collect();
    names.sort();
    names
}

/// What an extension can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventKind {
    Invoke,
    Shutdown,
}

impl EventKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Invoke => "INVOKE",
            Self::Shutdown => "SHUTDOWN",
        }
    }
}

/// Why an environment is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShutdownReason {
    /// It is not needed any more.
    Spindown,
    /// A call or an init phase took too long.
    Timeout,
    /// The runtime or an extension failed.
    Failure,
}

impl ShutdownReason {
    fn name(self) -> &'static str {
        match self {
            Self::Spindown => "SPINDOWN",
            Self::Timeout => "TIMEOUT",
            Self::Failure => "FAILURE",
        }
    }
}

/// Where an extension stands; the names are those of AWS's log and error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Started,
    Registered,
    Ready,
    Running,
    InitError,
    ExitError,
    Exited,
    LaunchError,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Registered => "Registered",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InitError => "InitError",
            Self::ExitError => "ExitError",
            Self::Exited => "Exited",
            Self::LaunchError => "LaunchError",
        }
    }
}

/// What is told of a function when an extension registers.
#[derive(Clone, Debug)]
pub(super) struct FunctionIdentity {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) handler: String,
    pub(super) account: String,
}

impl FunctionIdentity {
    pub(super) fn of(spec: &EnvironmentSpec) -> Self {
        Self {
            name: spec.function_name.to_string(),
            version: spec.version.clone(),
            handler: spec.handler.clone(),
            account: spec.account.to_string(),
        }
    }
}

/// A call, as extensions are told of it.
#[derive(Debug)]
pub(super) struct Invoked<'a> {
    pub(super) request_id: &'a str,
    pub(super) invoked_arn: &'a str,
    pub(super) trace_id: &'a str,
    pub(super) deadline_ms: u64,
}

/// Why a request of an extension is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody has this identifier.
    Unknown(Uuid),
    /// The extension may not do this now.
    State { from: State, to: State, who: String },
    /// No such event, or none for this kind of extension.
    Event { event: String, internal_shutdown: bool },
    /// The init phase is over.
    Closed,
    /// The name is taken.
    Taken,
    /// There are as many as there may be.
    TooMany,
}

/// What went wrong first with an extension; it names the environment's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtensionFailure {
    /// `Extension.Crash` and its like.
    pub(super) error_type: &'static str,
    /// What is behind `Error:`.
    pub(super) message: String,
}

/// How an extension stands at the end of the init phase.
#[derive(Clone, Debug)]
pub(super) struct ExtensionStatus {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) events: Vec<EventKind>,
    pub(super) error_type: Option<String>,
}

#[derive(Debug)]
struct Extension {
    name: String,
    identifier: Uuid,
    /// Its number among the programs of the cell; internal ones have none.
    program: Option<usize>,
    state: State,
    events: Vec<EventKind>,
    error_type: Option<String>,
    /// An event that waits to be fetched.
    pending: Option<String>,
    /// A connection waits for an event.
    asked: bool,
}

impl Extension {
    fn new(name: &str, program: Option<usize>) -> Self {
        Self {
            name: name.to_owned(),
            identifier: Uuid::new_v4(),
            program,
            state: State::Started,
            events: Vec::new(),
            error_type: None,
            pending: None,
            asked: false,
        }
    }

    fn refuse(&self, to: State, who: String) -> Refusal {
        Refusal::State { from: self.state, to, who }
    }

    fn is_settled(&self) -> bool {
        self.state == State::Ready && self.pending.is_none()
    }
}

#[derive(Debug)]
struct All {
    extensions: Vec<Extension>,
    /// Registration is possible.
    open: bool,
    /// The first fatal error that an extension has told of itself.
    fatal: Option<&'static str>,
    events: mpsc::UnboundedSender<RuntimeEvent>,
}

/// The extensions of one environment.
#[derive(Debug)]
pub(super) struct Extensions {
    function: FunctionIdentity,
    /// What they can subscribe to.
    pub(super) telemetry: Arc<Telemetry>,
    all: Mutex<All>,
    /// Somebody has an event to fetch, or nobody has any more.
    woken: Notify,
}

impl Extensions {
    /// Nobody yet; the environment learns of changes by [`RuntimeEvent::Extensions`].
    pub(super) fn new(function: FunctionIdentity, events: mpsc::UnboundedSender<RuntimeEvent>) -> Self {
        let all = All { extensions: Vec::new(), open: true, fatal: None, events };
        let telemetry = Arc::default();
        Self { function, telemetry, all: Mutex::new(all), woken: Notify::new() }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Nothing panics while it holds the lock, so the state is whole even then.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everybody, and expects these programs of `/opt/extensions`.
    pub(super) fn reset(&self, external: &[String], events: mpsc::UnboundedSender<RuntimeEvent>) {
        let expected = external.iter().enumerate();
        let expected = expected.map(|(index, name)| Extension::new(name, Some(index + 1))).collect();
        *self.all() = All { extensions: expected, open: true, fatal: None, events };
        self.telemetry.reset();
        self.woken.notify_waiters();
    }

    /// Ends registration, as the end of the runtime's init does.
    pub(super) fn close_registration(&self) {
        self.all().open = false;
    }

    /// Whether there are any, and whether some are programs of their own.
    pub(super) fn kinds(&self) -> (bool, bool) {
        let all = self.all();
        (!all.extensions.is_empty(), all.extensions.iter().any(|extension| extension.program.is_some()))
    }

    /// Whether no program is left that has not registered.
    pub(super) fn all_registered(&self) -> bool {
        self.all().extensions.iter().all(|extension| extension.state != State::Started)
    }

    /// Whether everybody waits for an event.
    pub(super) fn all_ready(&self) -> bool {
        self.all().extensions.iter().all(Extension::is_settled)
    }

    /// Whether everybody who was told of a call has asked for the next event.
    pub(super) fn all_settled(&self) -> bool {
        let all = self.all();
        let told = |extension: &&Extension| extension.events.contains(&EventKind::Invoke);
        all.extensions.iter().filter(told).all(Extension::is_settled)
    }

    /// Whether there are names enough and to spare.
    pub(super) fn too_many(&self) -> bool {
        let mut all = self.all();
        let too_many = all.extensions.len() > MOST_EXTENSIONS;
        if too_many {
            for extension in all.extensions.iter_mut().skip(MOST_EXTENSIONS) {
                (extension.state, extension.error_type) =
                    (State::LaunchError, Some("TooManyExtensions".into()));
            }
        }
        too_many
    }

    /// Tells of a call.
    pub(super) fn invoke(&self, invoked: &Invoked<'_>) {
        let text = serde_json::json!({
            "eventType": EventKind::Invoke.name(),
            "deadlineMs": invoked.deadline_ms,
            "requestId": invoked.request_id,
            "invokedFunctionArn": invoked.invoked_arn,
            "tracing": { "type": "X-Amzn-Trace-Id", "value": invoked.trace_id },
        })
        .to_string();
        self.tell(EventKind::Invoke, &text);
    }

    /// Tells of the shutdown; gives the programs that were told.
    pub(super) fn shut_down(&self, reason: ShutdownReason, deadline_ms: u64) -> Vec<usize> {
        let text = serde_json::json!({
            "eventType": EventKind::Shutdown.name(),
            "shutdownReason": reason.name(),
            "deadlineMs": deadline_ms,
        })
        .to_string();
        self.tell(EventKind::Shutdown, &text)
    }

    fn tell(&self, kind: EventKind, text: &str) -> Vec<usize> {
        let mut all = self.all();
        let told = all.extensions.iter_mut().filter(|extension| extension.events.contains(&kind));
        let told = told.filter_map(|extension| {
            extension.pending = Some(text.to_owned());
            extension.program
        });
        let told = told.collect();
        drop(all);
        self.woken.notify_waiters();
        told
    }

    /// Notes that a program could not be started.
    pub(super) fn launch_failed(&self, program: usize, source: &io::Error) -> ExtensionFailure {
        let mut all = self.all();
        let found = all.extensions.iter_mut().find(|extension| extension.program == Some(program));
        let mut name = String::new();
        if let Some(extension) = found {
            let denied = source.kind() == io::ErrorKind::PermissionDenied;
            extension.state = State::LaunchError;
            extension.error_type = Some(if denied { "PermissionDenied" } else { "UnknownError" }.into());
            name.clone_from(&extension.name);
        }
        let message = format!("fork/exec /opt/extensions/{name}: {}", errno_text(source));
        ExtensionFailure { error_type: "Extension.LaunchError", message }
    }

    /// Notes that a program has ended when nobody asked it to.
    pub(super) fn crashed(&self, program: usize, exit: Exit) -> ExtensionFailure {
        let mut all = self.all();
        let error_type = all.fatal.unwrap_or("Extension.Crash");
        if let Some(extension) =
            all.extensions.iter_mut().find(|extension| extension.program == Some(program))
            && !matches!(extension.state, State::InitError | State::ExitError)
        {
            extension.state = State::Exited;
        }
        ExtensionFailure { error_type, message: super::failure::process_exit(exit) }
    }

    /// What an extension has told before the runtime ended.
    pub(super) fn fatal(&self) -> Option<&'static str> {
        self.all().fatal
    }

    /// How everybody stands.
    pub(super) fn statuses(&self) -> Vec<ExtensionStatus> {
        let all = self.all();
        let status = |extension: &Extension| ExtensionStatus {
            name: extension.name.clone(),
            state: extension.state,
            events: extension.events.clone(),
            error_type: extension.error_type.clone(),
        };
        all.extensions.iter().map(status).collect()
    }

    /// The name that belongs to an identifier.
    pub(super) fn name_of(&self, identifier: Uuid) -> Option<String> {
        let all = self.all();
        let found = all.extensions.iter().find(|extension| extension.identifier == identifier)?;
        (found.state != State::Started).then(|| found.name.clone())
    }

    /// `/register`.
    fn register(&self, name: &str, events: &[String]) -> Result<Uuid, Refusal> {
        let mut all = self.all();
        let All { extensions, open, events: changes, .. } = &mut *all;
        let taken = extensions.iter().position(|extension| extension.name == name);
        let expected = taken.filter(|&place| extensions[place].program.is_some());
        let mut kinds = Vec::new();
        for event in events {
            let kind = match event.as_str() {
                "INVOKE" => EventKind::Invoke,
                "SHUTDOWN" if expected.is_some() => EventKind::Shutdown,
                other => {
                    let internal_shutdown = other == "SHUTDOWN";
                    return Err(Refusal::Event { event: other.to_owned(), internal_shutdown });
                }
            };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let place = match expected {
            Some(place) if extensions[place].state == State::Started => place,
            Some(place) => return Err(extensions[place].refuse(State::Registered, name.to_owned())),
            None if !*open => return Err(Refusal::Closed),
            None if extensions.len() >= MOST_EXTENSIONS => return Err(Refusal::TooMany),
            None if taken.is_some() => return Err(Refusal::Taken),
            None => {
                extensions.push(Extension::new(name, None));
                extensions.len() - 1
            }
        };
        let extension = &mut extensions[place];
        (extension.state, extension.events) = (State::Registered, kinds);
        let identifier = extension.identifier;
        // An environment that is gone has no use for the news.
        let _ = changes.send(RuntimeEvent::Extensions);
        Ok(identifier)
    }

    /// `/event/next`: waits for an event; nothing when there will be none any more.
    async fn next(&self, identifier: Uuid) -> Result<Option<String>, Refusal> {
        {
            let mut all = self.all();
            let extension = all.find(identifier)?;
            match extension.state {
                State::Registered | State::Running => {}
                State::Ready if !extension.asked => {}
                _ => return Err(extension.refuse(State::Ready, identifier.to_string())),
            }
            (extension.state, extension.asked) = (State::Ready, true);
            let _ = all.events.send(RuntimeEvent::Extensions);
        }
        let _asking = Asking { extensions: self, identifier };
        loop {
            let woken = self.woken.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            {
                let mut all = self.all();
                let Ok(extension) = all.find(identifier) else { return Ok(None) };
                if let Some(event) = extension.pending.take() {
                    extension.state = State::Running;
                    return Ok(Some(event));
                }
            }
            woken.await;
        }
    }

    /// `/init/error` and `/exit/error`.
    fn report_error(&self, identifier: Uuid, error_type: &str, to: State) -> Result<(), Refusal> {
        let mut all = self.all();
        let extension = all.find(identifier)?;
        let init = to == State::InitError;
        match extension.state {
            // Of several reports the first counts.
            state if state == to => return Ok(()),
            State::Registered => {}
            State::Ready | State::Running if !init => {}
            _ => {
                let to = if init { State::InitError } else { State::Exited };
                return Err(extension.refuse(to, identifier.to_string()));
            }
        }
        (extension.state, extension.error_type) = (to, Some(error_type.to_owned()));
        all.fatal.get_or_insert(if init { "Extension.InitError" } else { "Extension.ExitError" });
        Ok(())
    }
}

impl All {
    fn find(&mut self, identifier: Uuid) -> Result<&mut Extension, Refusal> {
        let found = self.extensions.iter_mut().find(|extension| extension.identifier == identifier);
        found.filter(|extension| extension.state != State::Started).ok_or(Refusal::Unknown(identifier))
    }
}

/// A connection that waits for an event; it may break.
struct Asking<'a> {
    extensions: &'a Extensions,
    identifier: Uuid,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Ok(extension) = self.extensions.all().find(self.identifier) {
            extension.asked = false;
        }
    }
}

/// An error of the system in the words of Go, in which AWS's supervisor is written.
fn errno_text(source: &io::Error) -> String {
    match source.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(errno) => errno.desc().to_lowercase(),
        None => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(external: &[&str]) -> (Extensions, mpsc::UnboundedReceiver<RuntimeEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let function = FunctionIdentity {
            name: "f".into(),
            version: "$LATEST".into(),
            handler: "app.handler".into(),
            account: "123456789012".into(),
        };
        let extensions = Extensions::new(function, events.clone());
        let external: Vec<String> = external.iter().map(|name| (*name).to_owned()).collect();
        extensions.reset(&external, events);
        (extensions, receiver)
    }

    fn events(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn an_external_extension_goes_through_its_life() {
        let (extensions, _events) = extensions(&["watcher"]);
        assert!(!extensions.all_registered());
        let id = extensions.register("watcher", &events(&["INVOKE", "SHUTDOWN"])).expect("registered");
        assert!(extensions.all_registered() && !extensions.all_ready());
        let again = extensions.register("watcher", &[]);
        assert_eq!(
            again,
            Err(Refusal::State { from: State::Registered, to: State::Registered, who: "watcher".into() })
        );
        let invoked = Invoked { request_id: "r", invoked_arn: "a", trace_id: "t", deadline_ms: 7 };
        let next = extensions.next(id);
        tokio::pin!(next);
        assert!(futures::poll!(next.as_mut()).is_pending());
        assert!(extensions.all_ready());
        let second = extensions.next(id).await;
        assert!(matches!(second, Err(Refusal::State { from: State::Ready, .. })), "{second:?}");
        extensions.invoke(&invoked);
        assert!(!extensions.all_settled());
        let event = next.await.expect("an event").expect("an event");
        assert_eq!(
            event,
            r#"{"eventType":"INVOKE","deadlineMs":7,"requestId":"r","invokedFunctionArn":"a","tracing":{"type":"X-Amzn-Trace-Id","value":"t"}}"#
        );
        assert!(!extensions.all_settled(), "it works on the event");
        let next = extensions.next(id);
        tokio::pin!(next);
        assert!(futures::poll!(next.as_mut()).is_pending());
        assert!(extensions.all_settled());
        assert_eq!(extensions.shut_down(ShutdownReason::Timeout, 9), [1]);
        let event = next.await.expect("an event").expect("an event");
        assert_eq!(event, r#"{"eventType":"SHUTDOWN","shutdownReason":"TIMEOUT","deadlineMs":9}"#);
    }

    #[tokio::test]
    async fn a_broken_connection_may_ask_again_and_a_reset_ends_the_wait() {
        let (extensions, _events) = extensions(&[]);
        let id = extensions.register("inner", &events(&["INVOKE"])).expect("registered");
        {
            let next = extensions.next(id);
            tokio::pin!(next);
            assert!(futures::poll!(next.as_mut()).is_pending());
        }
        let next = extensions.next(id);
        tokio::pin!(next);
        assert!(futures::poll!(next.as_mut()).is_pending(), "the first connection is gone");
        let (changes, _) = mpsc::unbounded_channel();
        extensions.reset(&[], changes);
        assert_eq!(next.await, Ok(None));
        assert_eq!(extensions.next(id).await, Err(Refusal::Unknown(id)));
    }

    #[test]
    fn internal_extensions_have_limits() {
        let (extensions, _events) = extensions(&["watcher"]);
        let shutdown = extensions.register("inner", &events(&["INVOKE", "SHUTDOWN"]));
        assert_eq!(shutdown, Err(Refusal::Event { event: "SHUTDOWN".into(), internal_shutdown: true }));
        assert!(extensions.register("inner", &events(&["INVOKE"])).is_ok());
        assert_eq!(extensions.register("inner", &[]), Err(Refusal::Taken));
        for number in 2..MOST_EXTENSIONS {
            assert!(extensions.register(&format!("inner{number}"), &[]).is_ok());
        }
        assert_eq!(extensions.register("one more", &[]), Err(Refusal::TooMany));
        extensions.close_registration();
        assert_eq!(extensions.register("late", &[]), Err(Refusal::Closed));
    }

    #[test]
    fn the_first_error_names_the_failure() {
        let (extensions, _events) = extensions(&["a", "b"]);
        let id = extensions.register("a", &[]).expect("registered");
        assert_eq!(extensions.report_error(id, "Extension.Mine", State::InitError), Ok(()));
        assert_eq!(extensions.report_error(id, "Extension.Other", State::InitError), Ok(()));
        assert!(extensions.report_error(id, "Extension.Mine", State::ExitError).is_err());
        let failure = extensions.crashed(1, Exit::Code(0));
        assert_eq!((failure.error_type, failure.message.as_str()), ("Extension.InitError", "exit code 0"));
        let status = &extensions.statuses()[0];
        assert_eq!(
            (status.state.name(), status.error_type.as_deref()),
            ("InitError", Some("Extension.Mine"))
        );
        let source = io::Error::from_raw_os_error(nix::libc::EACCES);
        let failure = extensions.launch_failed(2, &source);
        assert_eq!(failure.message, "fork/exec /opt/extensions/b: permission denied");
    }
}
