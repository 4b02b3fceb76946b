//! Extensions beside real runtimes: what they are told, what they may do, and how they end.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use layercake_local::sandbox::{Isolation, LateLog, Outcome, Tuning};

use crate::support::{Function, Lab, newest, scrub, show};

/// A client of the Extensions API in Python: what the bodies below begin with.
const CLIENT: &str = r#"#!/usr/bin/env python3
import http.client, json, os, signal, sys, time
name = os.path.basename(sys.argv[0])
api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
def ask(method, path, body=None, **headers):
    headers = {'Lambda-Extension-' + key.replace('_', '-'): value for key, value in headers.items()}
    api.request(method, '/2020-01-01/extension/' + path, body, headers)
    answer = api.getresponse()
    text = answer.read().decode()
    return answer.status, answer.headers, text
def register(*events):
    status, headers, text = ask('POST', 'register', json.dumps({'events': events}), Name=name)
    assert status == 200, (status, text)
    return headers['Lambda-Extension-Identifier']
def next_event(me):
    status, headers, text = ask('GET', 'event/next', Identifier=me)
    assert status == 200, (status, text)
    return json.loads(text)
def say(*words):
    print(name, *words, flush=True)
"#;

/// Says what it is told, until the end.
const WATCHER: &str = r#"
me = register('INVOKE', 'SHUTDOWN')
say('registered')
while True:
    event = next_event(me)
    if event['eventType'] == 'SHUTDOWN':
        say('SHUTDOWN', event['shutdownReason'], 0 < event['deadlineMs'] - time.time() * 1000 <= 2000)
        sys.exit(0)
    say(*sorted(event))
"#;

/// A function with extensions, and all lines that came outside its outcomes.
pub(crate) struct Extended {
    lab: Lab,
    pub(crate) function: Function,
    late: Arc<Mutex<String>>,
}

impl Extended {
    pub(crate) fn new(code: &str, extensions: &[(&str, &str)]) -> Self {
        // One environment, so that a second call waits for the first one's extensions.
        let tuning = Tuning { most_environments: NonZeroUsize::MIN, ..Tuning::default() };
        Self::on(Lab::with(Isolation::Best, tuning), code, extensions)
    }

    pub(crate) fn on(lab: Lab, code: &str, extensions: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let late: Arc<Mutex<String>> = Arc::default();
        let taken = Arc::clone(&late);
        lab.sandbox.set_late_log(LateLog::new(move |_, _, events| {
            let mut taken = taken.lock().expect("unpoisoned");
            taken.extend(events.iter().map(|event| event.text.clone()));
        }));
        let mut function = lab.function(newest(), code);
        let files: Vec<(String, String)> = extensions
            .iter()
            .map(|(name, body)| (format!("extensions/{name}"), format!("{CLIENT}{body}")))
            .collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, body)| (path.as_str(), body.as_str())).collect();
        let opt = lab.files(&files);
        fs_err::create_dir_all(&opt).expect("a folder");
        for (path, _) in files {
            let executable = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(opt.join(path), executable).expect("executable");
        }
        function.spec.opt = Some(opt);
        function.spec.timeout = Duration::from_secs(30);
        Self { lab, function, late }
    }

    pub(crate) async fn call(&self) -> Outcome {
        self.function.call("{}").await
    }

    /// Waits until this many calls are over, extensions and all.
    pub(crate) async fn settled(&self, calls: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.late.lock().expect("unpoisoned").matches("REPORT ").count() < calls {
            assert!(Instant::now() < deadline, "{calls} calls do not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The lines so far, when one of them holds this text, within twenty seconds.
    pub(crate) async fn late_with(&self, wanted: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let text = self.late.lock().expect("unpoisoned").clone();
            if text.contains(wanted) {
                return self.plain(&text);
            }
            assert!(Instant::now() < deadline, "`{wanted}` did not come:\n{text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn plain(&self, text: &str) -> String {
        scrub(text).replace(&newest().python_version(), "3.x")
    }

    /// Everything that was logged, to the end, as it came.
    pub(crate) async fn end_plainly(self) -> String {
        self.lab.sandbox.shutdown().await;
        self.late.lock().expect("unpoisoned").clone()
    }

    pub(crate) async fn end(self) -> String {
        self.lab.sandbox.shutdown().await;
        let text = self.late.lock().expect("unpoisoned").clone();
        self.plain(&text)
    }
}

/// Two programs print at the same time, so the lines of one come first.
fn apart(log: &str, extension: &str) -> String {
    let (own, others): (Vec<&str>, Vec<&str>) = log.lines().partition(|line| line.starts_with(extension));
    format!("{}\n--\n{}", others.join("\n"), own.join("\n"))
}

const GOOD: &str = "def handler(event, context):\n    print('handled')\n    return 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_external_extension_sees_calls_and_the_end() {
    let extended = Extended::new(GOOD, &[("watcher", WATCHER)]);
    let first = extended.call().await;
    assert_eq!(first.payload, "1");
    assert!(first.logged);
    let tail = extended.plain(&String::from_utf8(first.log_tail()).expect("UTF-8"));
    assert!(tail.starts_with("START ") && tail.contains("REPORT "), "{tail}");
    extended.late_with("REPORT").await;
    let second = extended.call().await;
    assert_eq!(second.payload, "1");
    assert_snapshot!(apart(&extended.end().await, "watcher"), @r"
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    EXTENSION→Name: watcher→State: Ready→Events: [INVOKE, SHUTDOWN]
    START RequestId: <id> Version: $LATEST
    handled
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
    START RequestId: <id> Version: $LATEST
    handled
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→
    --
    watcher registered
    watcher deadlineMs eventType invokedFunctionArn requestId tracing
    watcher deadlineMs eventType invokedFunctionArn requestId tracing
    watcher SHUTDOWN SPINDOWN True
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_has_the_answer_before_a_slow_extension_is_done() {
    let slow = "me = register('INVOKE')\nwhile True:\n    event = next_event(me)\n    \
        while not os.path.exists('/tmp/go'):\n        time.sleep(0.01)\n    os.remove('/tmp/go')\n    say('done')\n";
    let code = "import os\ndef handler(event, context):\n    if event == 'go':\n        open('/tmp/go', 'w')\n    \
        return os.getpid()\n";
    let extended = Extended::on(Lab::new(), code, &[("slow", slow)]);
    let first = extended.function.value("\"wait\"").await;
    assert!(!extended.late.lock().expect("unpoisoned").contains("REPORT"), "the call is not over");
    // The environment is still busy, so another one answers.
    let other = extended.function.value("\"go\"").await;
    assert!(first.is_number() && other.is_number());
    let late = extended.late_with("REPORT").await;
    let (done, report) = (late.find("slow done"), late.find("REPORT"));
    assert!(done.is_some() && done < report, "{late}");
    extended.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_get_their_variables_and_the_function_s_place() {
    let code = "import os\ndef handler(event, context):\n    return sorted(os.environ)\n";
    let body =
        "me = register()\nsay('|'.join(sorted(os.environ)), os.getcwd(), os.getuid())\nnext_event(me)\n";
    let mut extended = Extended::new(code, &[("watcher", body)]);
    extended.function.spec.variables.insert("MINE".into(), "1".into());
    let outcome = extended.call().await;
    let of_runtime: Vec<String> = serde_json::from_slice(&outcome.payload).expect("a list");
    let log = extended.end().await;
    let line = log.lines().find(|line| line.starts_with("watcher ")).expect("a line").to_owned();
    let own: Vec<&str> = line.split(' ').nth(1).expect("names").split('|').collect();
    let missing: Vec<&str> =
        of_runtime.iter().map(String::as_str).filter(|name| !own.contains(name)).collect();
    assert_snapshot!(missing.join(" "), @"AWS_EXECUTION_ENV AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_XRAY_CONTEXT_MISSING AWS_XRAY_DAEMON_ADDRESS LAMBDA_RUNTIME_DIR LAMBDA_TASK_ROOT PWD PYTHONPATH SHLVL _AWS_XRAY_DAEMON_ADDRESS _AWS_XRAY_DAEMON_PORT _HANDLER _X_AMZN_TRACE_ID");
    assert!(own.contains(&"MINE") && own.contains(&"AWS_LAMBDA_RUNTIME_API"), "{own:?}");
    assert!(line.contains(" / "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_is_not_executable() {
    let extended = Extended::new(GOOD, &[("plain", WATCHER)]);
    let opt = extended.function.spec.opt.clone().expect("layers");
    fs_err::set_permissions(
        opt.join("extensions/plain"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .expect("plain");
    let outcome = extended.call().await;
    assert_snapshot!(extended.plain(&show(&outcome)), @r#"
    Unhandled {"errorType":"Extension.LaunchError","errorMessage":"RequestId: <id> Error: fork/exec /opt/extensions/plain: permission denied"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    EXTENSION→Name: plain→State: LaunchError→Events: []→Error Type: PermissionDenied
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Extension.LaunchError
    EXTENSION→Name: plain→State: LaunchError→Events: []→Error Type: PermissionDenied
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Extension.LaunchError
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: fork/exec /opt/extensions/plain: permission denied
    Extension.LaunchError
    "#);
    extended.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_ends_before_it_registers_and_one_that_tells_why() {
    let extended = Extended::new(GOOD, &[("crasher", "sys.exit(3)\n")]);
    assert_snapshot!(extended.plain(&show(&extended.call().await)), @r#"
    Unhandled {"errorType":"Extension.Crash","errorMessage":"RequestId: <id> Error: exit status 3"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    EXTENSION→Name: crasher→State: Exited→Events: []
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Extension.Crash
    EXTENSION→Name: crasher→State: Exited→Events: []
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Extension.Crash
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: exit status 3
    Extension.Crash
    "#);
    extended.end().await;

    let body = "me = register()\n\
        print(ask('POST', 'init/error', '{}', Identifier=me, Function_Error_Type='Extension.NoKey')[0])\n";
    let extended = Extended::new(GOOD, &[("teller", body)]);
    assert_snapshot!(extended.plain(&show(&extended.call().await)), @r#"
    Unhandled {"errorType":"Extension.InitError","errorMessage":"RequestId: <id> Error: exit code 0"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    202
    EXTENSION→Name: teller→State: InitError→Events: []→Error Type: Extension.NoKey
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Extension.InitError
    202
    EXTENSION→Name: teller→State: InitError→Events: []→Error Type: Extension.NoKey
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Extension.InitError
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: exit code 0
    Extension.InitError
    "#);
    extended.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_never_registers_holds_the_init_up() {
    let mut extended = Extended::new(GOOD, &[("sleeper", "time.sleep(600)\n")]);
    // The init phase proper takes ten seconds; the second try has the function's timeout.
    extended.function.spec.timeout = Duration::from_secs(1);
    assert_snapshot!(extended.plain(&show(&extended.call().await)), @r#"
    Unhandled {"errorType":"Sandbox.Timedout","errorMessage":"RequestId: <id> Error: Task timed out after <n> seconds"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    EXTENSION→Name: sleeper→State: Started→Events: []
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: timeout
    EXTENSION→Name: sleeper→State: Started→Events: []
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: timeout
    START RequestId: <id> Version: $LATEST
    <time> <id> Task timed out after <n> seconds
    "#);
    extended.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_crashes_in_a_call_fails_it_and_everything_starts_anew() {
    let body = "me = register('INVOKE', 'SHUTDOWN')\nwhile True:\n    event = next_event(me)\n    \
        if event['eventType'] == 'INVOKE' and not os.path.exists('/tmp/crashed'):\n        \
        open('/tmp/crashed', 'w')\n        os._exit(4)\n";
    let code = "import os, time\ncount = 0\ndef handler(event, context):\n    global count\n    count += 1\n    \
        if not os.path.exists('/tmp/second'):\n        open('/tmp/second', 'w')\n        time.sleep(600)\n    return count\n";
    let extended = Extended::new(code, &[("crasher", body), ("watcher", WATCHER)]);
    let outcome = extended.call().await;
    assert_eq!(outcome.function_error.as_deref(), Some("Unhandled"));
    extended.late_with("FAILURE").await;
    assert_eq!(extended.call().await.payload, "1", "a new runtime, with the old /tmp");
    assert_snapshot!(apart(&extended.end().await, "watcher"), @r"
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    EXTENSION→Name: crasher→State: Ready→Events: [INVOKE, SHUTDOWN]
    EXTENSION→Name: watcher→State: Ready→Events: [INVOKE, SHUTDOWN]
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: exit status 4
    Extension.Crash
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→Status: error→Error Type: Extension.Crash
    EXTENSION→Name: crasher→State: Ready→Events: [INVOKE, SHUTDOWN]
    EXTENSION→Name: watcher→State: Ready→Events: [INVOKE, SHUTDOWN]
    START RequestId: <id> Version: $LATEST
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→
    --
    watcher registered
    watcher deadlineMs eventType invokedFunctionArn requestId tracing
    watcher SHUTDOWN FAILURE True
    watcher registered
    watcher deadlineMs eventType invokedFunctionArn requestId tracing
    watcher SHUTDOWN SPINDOWN True
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_told_to_extensions() {
    let code = "import os, time\ndef handler(event, context):\n    \
        if not os.path.exists('/tmp/second'):\n        open('/tmp/second', 'w')\n        time.sleep(600)\n    return 2\n";
    let mut extended = Extended::new(code, &[("watcher", WATCHER)]);
    extended.function.spec.timeout = Duration::from_secs(2);
    let outcome = extended.call().await;
    assert!(String::from_utf8_lossy(&outcome.payload).contains("Task timed out after 2.00 seconds"));
    extended.late_with("SHUTDOWN TIMEOUT").await;
    extended.function.spec.timeout = Duration::from_secs(2);
    assert_eq!(extended.call().await.payload, "2");
    let log = extended.end().await;
    assert!(log.contains("Status: timeout") && log.contains("watcher SHUTDOWN SPINDOWN True"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_extension_registers_from_within_the_runtime() {
    let code = r#"
import http.client, json, os, threading, signal
def ask(method, path, body=None, **headers):
    api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
    api.request(method, '/2020-01-01/extension/' + path, body,
        {'Lambda-Extension-' + key: value for key, value in headers.items()})
    answer = api.getresponse()
    return answer.status, answer.headers, answer.read().decode()
refused = ask('POST', 'register', '{"events": ["SHUTDOWN"]}', Name='inner')[2]
me = ask('POST', 'register', '{"events": ["INVOKE"]}', Name='inner')[1]['Lambda-Extension-Identifier']
def watch():
    while True:
        print(json.loads(ask('GET', 'event/next', Identifier=me)[2])['eventType'], flush=True)
threading.Thread(target=watch, daemon=True).start()
def term(*ignored):
    print('SIGTERM', flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, term)
def handler(event, context):
    return [json.loads(refused), json.loads(ask('POST', 'register', '{}', Name='late')[2])]
"#;
    let extended = Extended::new(code, &[]);
    let outcome = extended.call().await;
    assert_snapshot!(String::from_utf8_lossy(&outcome.payload), @r#"[{"errorMessage": "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension", "errorType": "Extension.InvalidEventType"}, {"errorMessage": "Extension registration closed already", "errorType": "Extension.RegistrationClosed"}]"#);
    extended.late_with("REPORT").await;
    assert_snapshot!(extended.end().await, @r"
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    EXTENSION→Name: inner→State: Ready→Events: [INVOKE]
    START RequestId: <id> Version: $LATEST
    INVOKE
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
    SIGTERM
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_extension_is_killed_when_its_time_is_over() {
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        let stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nme = register('SHUTDOWN')\n\
            event = next_event(me)\nsay(event['shutdownReason'])\ntime.sleep(600)\n";
        let code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
            def handler(event, context):\n    return 1\n";
        let lab = Lab::with(isolation, Tuning::default());
        let extended = Extended::on(lab, code, &[("stubborn", stubborn)]);
        assert_eq!(extended.call().await.payload, "1");
        let begun = Instant::now();
        let log = extended.end().await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(15), "{took:?}");
        assert!(log.contains("stubborn SPINDOWN"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eleven_extensions_are_too_many() {
    let names: Vec<String> = (0..11).map(|number| format!("watcher{number:02}")).collect();
    let all: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), WATCHER)).collect();
    let extended = Extended::new(GOOD, &all);
    let outcome = extended.call().await;
    let shown = extended.plain(&show(&outcome));
    assert!(shown.contains(r#""errorType":"Extension.LaunchError""#), "{shown}");
    assert!(
        shown.contains("Name: watcher10→State: LaunchError→Events: []→Error Type: TooManyExtensions"),
        "{shown}"
    );
    extended.end().await;

    let extended = Extended::new(GOOD, &all[..10]);
    assert_eq!(extended.call().await.payload, "1");
    let log = extended.end().await;
    assert_eq!(log.matches("SHUTDOWN SPINDOWN").count(), 10, "{log}");
}
