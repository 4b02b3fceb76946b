//! `shell` as a user runs it: with pipes, with a terminal, beside a served local cloud.

mod support;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use camino::Utf8PathBuf;
use support::{Answer, DEMO_CODE, TestEnv, client};

/// Tells where it runs, the same way for a function and for a shell.
const WHERE: &str = "
import json, os, sys
def where():
    names = ('LAMBDA_TASK_ROOT', 'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE', 'GREETING',
             'AWS_EXECUTION_ENV', '_HANDLER', 'LD_LIBRARY_PATH', 'TZ', 'AWS_ACCESS_KEY_ID')
    path = [folder for folder in sys.path if folder.startswith(('/var/task', '/opt'))]
    return {
        'variables': {name: os.environ.get(name) for name in names},
        'user': [os.getuid(), os.getgid()], 'folder': os.getcwd(), 'version': sys.version, 'path': path[:3],
        'limits': [__import__('resource').getrlimit(limit) for limit in (4, 6, 7)],
        'mounts': sorted(line.split()[4] for line in open('/proc/self/mountinfo')),
        'status': [line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp:'))],
    }
def lambda_handler(event, context):
    return where()
";

fn up(env: &TestEnv, code: &str, arguments: &[&str]) -> Utf8PathBuf {
    let app = env.app("there", &[("app.py", code), ("requirements.txt", "demo\n")]);
    env.run_ok(&[&["up", app.as_str()], arguments].concat());
    app
}

/// Runs a shell that reads this text.
fn typed(env: &TestEnv, arguments: &[&str], text: &str) -> Answer {
    let mut command = env.command(&[&["shell", "there"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    Answer::of(&child.wait_with_output().expect("it ends"))
}

#[test]
fn a_command_finds_what_the_function_finds() {
    let env = TestEnv::new();
    up(&env, WHERE, &["--env", "GREETING=hello", "--memory", "256"]);
    let called = env.run_ok(&["invoke", "there"]);
    let print = "import app, json; print(json.dumps(app.where()))";
    let opened = env.run_ok(&["shell", "there", "--", "python", "-c", print]);
    let of = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
    assert_eq!(of(&opened.stdout), of(&called.stdout));
    assert_eq!(of(&opened.stdout)["variables"]["GREETING"], "hello");

    let imported = "import demo; print(demo.WORD, demo.__file__)";
    let opened = env.run_ok(&["shell", "there", "--", "python3", "-c", imported]);
    assert!(opened.stdout.starts_with("layered /opt/python/"), "{}", opened.stdout);
}

#[test]
fn exit_codes_and_streams_go_through() {
    let env = TestEnv::new();
    up(&env, DEMO_CODE, &[]);
    insta::assert_snapshot!(typed(&env, &[], "pwd\necho beside >&2\nread word\nhello\necho $word\nexit 3\n").told(&env), @r"
    exit 3
    beside
    /var/task
    hello
    ");
    insta::assert_snapshot!(typed(&env, &["--", "tr", "a-z", "A-Z"], "to be read\n").told(&env), @r"
    exit 0
    TO BE READ
    ");
    insta::assert_snapshot!(env.run(&["shell", "there", "--", "sh", "-c", "kill -TERM $$"]).told(&env), @"exit 143");
    insta::assert_snapshot!(env.run(&["shell", "there", "--", "nothing-of-the-kind"]).told(&env), @r"
    exit 127
    layercake shell: 1: exec: nothing-of-the-kind: not found
    ");
    insta::assert_snapshot!(env.run(&["shell", "their"]).told(&env), @r"
    exit 1
    error: there is no function `their` in us-east-1
      hint: there is `there`
    ");
    let answer = env.run(&["shell", "there", "--", "sh", "-c", "echo x > /var/task/x"]);
    assert_ne!(answer.code, Some(0), "the code is read-only: {}", answer.stderr);
}

#[test]
fn memory_is_limited_as_the_functions() {
    let env = TestEnv::new();
    up(&env, DEMO_CODE, &[]);
    let limited = env.run_json(&["doctor", "--json"]);
    let features = limited["isolation"]["features"].as_array().expect("a list");
    let memory = features.iter().find(|feature| feature["name"] == "memory limit").expect("told");
    if memory["state"] != "given" {
        // The doctor has told that this machine cannot.
        return;
    }
    let answer = env.run(&["shell", "there", "--", "python", "-c", "bytearray(1 << 30)"]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 1
    error: it needed more memory than the function has, and was ended, as Lambda ends a function
      hint: give the function more with `layercake up --memory`
    ");
}

#[test]
fn a_served_function_is_opened_beside_its_server() {
    let env = TestEnv::new();
    let served = env.serve(&[]);
    up(&env, "WORD = 'first'\ndef lambda_handler(event, context):\n    return WORD\n", &[]);
    let mut publish = Command::new(client("aws"));
    env.prepare(&mut publish);
    served.credentials(&mut publish);
    publish.args([
        "--endpoint-url",
        &served.endpoint,
        "lambda",
        "publish-version",
        "--function-name",
        "there",
    ]);
    let published = Answer::of(&publish.output().expect("aws starts"));
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    up(&env, "WORD = 'second'\ndef lambda_handler(event, context):\n    return WORD\n", &[]);
    let word =
        ["--", "python", "-c", "import app, os; print(app.WORD, os.environ['AWS_LAMBDA_FUNCTION_VERSION'])"];
    let check = |arguments: &[&str]| env.run_ok(&[&["shell"], arguments, &word[..]].concat()).stdout;
    assert_eq!(check(&["there"]), "second $LATEST\n");
    assert_eq!(check(&["there", "--qualifier", "1"]), "first 1\n");
    assert_eq!(env.run_ok(&["invoke", "there"]).stdout, "\"second\"");
}

/// Runs the binary in a terminal of its own and types what stdin holds.
const IN_A_TERMINAL: &str = r"
import os, pty, signal, sys
signal.alarm(120)
pid, terminal = pty.fork()
if pid == 0:
    os.environ['TERM'] = 'dumb'
    os.execv(sys.argv[1], sys.argv[1:])
os.write(terminal, sys.stdin.buffer.read())
shown = b''
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
";

#[test]
fn a_terminal_is_the_programs_own() {
    let env = TestEnv::new();
    up(&env, DEMO_CODE, &[]);
    let mut command = Command::new(client("python"));
    env.prepare(&mut command);
    command.args(["-c", IN_A_TERMINAL, env!("CARGO_BIN_EXE_layercake"), "shell", "there"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python starts");
    // What is typed while the function is fetched waits in the terminal.
    let keys = "echo $((6 * 7)) $TERM; [ -t 0 ] && [ -t 1 ] && echo on a terminal\nexit 5\n";
    child.stdin.take().expect("piped").write_all(keys.as_bytes()).expect("written");
    let answer = Answer::of(&child.wait_with_output().expect("it ends"));
    let lines: Vec<_> = answer.stdout.lines().map(str::trim_end).collect();
    assert_eq!(answer.code, Some(5), "{}\n{}", answer.stdout, answer.stderr);
    assert!(lines.contains(&"42 dumb") && lines.contains(&"on a terminal"), "{lines:?}");
}
