//! `invoke --debug` as a debugger finds it: debugpy from the real package index in the function's
//! layer, and the Debug Adapter Protocol over its port.

mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use support::{Answer, TestEnv};

/// No step of these tests takes as long; it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(120);

const CODE: &str = "FACTOR = 2
def lambda_handler(event, context):
    total = event['rows'] * FACTOR
    return {'total': total, 'left': context.get_remaining_time_in_millis()}
";

fn app(env: &TestEnv) -> Utf8PathBuf {
    env.app("stopped", &[("app.py", CODE)])
}

/// `up` with debugpy as the index has it today.
fn up_with_debugpy(env: &TestEnv, app: &Utf8Path) {
    let event = r#"{"rows": 1}"#;
    let mut command = env.command(&["up", app.as_str(), "--with", "debugpy", "--event", event]);
    command.args(["--runtime", "python3.12", "--timeout", "1"]).env_remove("LAYERCAKE_INDEX_URL");
    // The index is real, and so are its certificates.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let answer = Answer::of(&command.output().expect("the binary starts"));
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stdout, answer.stderr);
}

/// A port that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("it has an address").port()
}

/// A debugger, as far as these tests need one.
struct Debugger {
    stream: BufReader<TcpStream>,
    sent: u64,
}

impl Debugger {
    /// Attaches as soon as debugpy is there; nobody tells when that is.
    fn attach(port: u16, child: &mut Child) -> Self {
        let end = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "nobody listens: {error}"),
            }
            assert_eq!(child.try_wait().expect("asked"), None, "it waits");
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { stream: BufReader::new(stream), sent: 0 }
    }

    fn send(&mut self, command: &str, arguments: &Value) {
        self.sent += 1;
        let request =
            json!({"seq": self.sent, "type": "request", "command": command, "arguments": arguments});
        let text = request.to_string();
        let message = format!("Content-Length: {}\r\n\r\n{text}", text.len());
        self.stream.get_mut().write_all(message.as_bytes()).expect("sent");
    }

    fn next(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).expect("a header in time"), 0, "it goes on");
            match line.trim_end().strip_prefix("Content-Length: ") {
                Some(number) => length = number.parse().expect("a number"),
                None if line == "\r\n" => break,
                None => {}
            }
        }
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text).expect("a body in time");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Waits for an event.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let message = self.next();
            if message["type"] == "event" && message["event"] == name {
                return message;
            }
        }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, command: &str, arguments: &Value) -> Value {
        self.send(command, arguments);
        loop {
            let message = self.next();
            if message["type"] == "response" && message["command"] == command {
                assert_eq!(message["success"], true, "{message}");
                return message["body"].clone();
            }
        }
    }
}

#[test]
fn a_debugger_stops_the_handler_and_the_clock() {
    let env = TestEnv::new();
    let app = app(&env);
    up_with_debugpy(&env, &app);
    let port = free_port();
    let mut command = env.command(&["invoke", "stopped", "-d", r#"{"rows": 4}"#]);
    command.arg(format!("--debug={port}")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut debugger = Debugger::attach(port, &mut child);
    debugger.ask("initialize", &json!({"adapterID": "test", "pathFormat": "path"}));
    let mapping = json!([{"localRoot": app.as_str(), "remoteRoot": "/var/task"}]);
    debugger.send("attach", &json!({"justMyCode": true, "pathMappings": mapping}));
    debugger.event("initialized");
    let source = json!({"path": app.join("app.py").as_str()});
    let lines = json!([{"line": 1}, {"line": 4}]);
    let set = debugger.ask("setBreakpoints", &json!({"source": source, "breakpoints": lines}));
    assert_eq!(set["breakpoints"][1]["line"], 4, "{set}");
    debugger.ask("configurationDone", &json!({}));
    // What runs at import is stopped too.
    let thread = debugger.event("stopped")["body"]["threadId"].clone();
    let stack = debugger.ask("stackTrace", &json!({"threadId": thread}));
    assert_eq!(stack["stackFrames"][0]["line"], 1, "{stack}");
    debugger.send("continue", &json!({"threadId": thread}));
    let thread = debugger.event("stopped")["body"]["threadId"].clone();
    let stack = debugger.ask("stackTrace", &json!({"threadId": thread}));
    let frame = &stack["stackFrames"][0];
    assert_eq!((&frame["name"], &frame["line"]), (&json!("lambda_handler"), &json!(4)), "{stack}");
    assert_eq!(frame["source"]["path"], json!(app.join("app.py").as_str()), "{stack}");
    let asked = json!({"expression": "total + 1", "frameId": frame["id"], "context": "watch"});
    assert_eq!(debugger.ask("evaluate", &asked)["result"], "9");
    let changed = json!({"expression": "total = 100", "frameId": frame["id"], "context": "repl"});
    debugger.ask("evaluate", &changed);
    // Longer than the function's timeout.
    std::thread::sleep(Duration::from_millis(1200));
    // The process may be gone before the answer is sent.
    debugger.send("continue", &json!({"threadId": thread}));
    let answer = Answer::of(&child.wait_with_output().expect("it ends"));
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stdout, answer.stderr);
    let payload: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(payload["total"], 100);
    assert!(payload["left"].as_u64() > Some(1000 * 60 * 60), "{payload}");
    assert!(
        answer.stderr.contains(&format!("waits for a debugger on 127.0.0.1:{port}")),
        "{}",
        answer.stderr
    );

    // Without the option nothing of this happens.
    let answer = env.run_ok(&["invoke", "stopped", "-d", r#"{"rows": 4}"#]);
    assert!(answer.stdout.starts_with(r#"{"total": 8, "#), "{}", answer.stdout);
}

#[test]
fn what_keeps_a_debugger_away_is_told_at_once() {
    let env = TestEnv::new();
    let app = app(&env);
    env.run_ok(&["up", app.as_str(), "--event", r#"{"rows": 1}"#]);
    let port = free_port();
    insta::assert_snapshot!(env.run(&["invoke", "stopped", &format!("--debug={port}")]).told(&env), @r"
    exit 1
    error: the function `stopped` does not bring debugpy, which a debugger talks to
      hint: give it to the function for a while: `layercake up APP --with debugpy`; without --with it is gone again
    ");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("it has an address").port().to_string();
    let told =
        env.run(&["invoke", "stopped", &format!("--debug={port}")]).told(&env).replace(&port, "[PORT]");
    insta::assert_snapshot!(told, @r"
    exit 1
    error: a debugger cannot be waited for on port [PORT]: Address already in use (os error 98)
      hint: give another one, such as --debug=5679
    ");
    let answer = env.run(&["invoke", "stopped", "--debug", "--async"]);
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
}
