//! `up --watch` as a user runs it: one that goes on while files change.

mod support;

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use support::{DEMO_CODE, TestEnv};

/// No step of these tests takes as long; it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// An `up --watch` that runs.
struct Watcher {
    child: Child,
    said: Lines,
    printed: Lines,
}

/// The lines of one stream: only within one they have an order.
struct Lines {
    lines: Receiver<String>,
    seen: String,
}

impl Watcher {
    fn new(env: &TestEnv, app: &Utf8Path, arguments: &[&str]) -> Self {
        let mut command = env.command(&["up", app.as_str(), "--watch"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let printed = Lines::of(child.stdout.take().expect("piped"));
        let said = Lines::of(child.stderr.take().expect("piped"));
        Self { child, said, printed }
    }

    /// Waits for something on stderr.
    fn says(&mut self, words: &str) -> String {
        self.said.wait_for(words, &self.printed.seen)
    }

    /// Waits for something on stdout.
    fn prints(&mut self, words: &str) {
        self.printed.wait_for(words, &self.said.seen);
    }

    /// Presses Ctrl-C. Gives the exit code and all that was said.
    fn end(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill starts").success());
        self.said.end();
        self.printed.end();
        let status = self.child.wait().expect("it has ended");
        (status.code(), std::mem::take(&mut self.said.seen))
    }
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines, seen: String::new() }
    }

    /// Waits for a line that holds these words, and gives it.
    fn wait_for(&mut self, words: &str, beside: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no `{words}`: {}\n{beside}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until the stream is closed.
    fn end(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {}", self.seen),
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Only a test that failed has left it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(app: &Utf8Path, file: &str, text: &str) {
    std::fs::write(app.join(file), text).expect("written");
}

fn answering(word: &str) -> String {
    format!("def lambda_handler(event, context):\n    return '{word}'\n")
}

fn app(env: &TestEnv) -> Utf8PathBuf {
    env.app("seen", &[("app.py", &answering("first"))])
}

#[test]
fn a_change_of_the_code_goes_live_and_a_broken_one_does_not() {
    let env = TestEnv::new();
    let app = app(&env);
    let mut watcher = Watcher::new(&env, &app, &[]);
    watcher.prints("Response: \"first\"");
    watcher.says("endpoint http://127.0.0.1:");
    watcher.says("watching");
    // Anybody can use the endpoint meanwhile.
    assert_eq!(env.run_ok(&["invoke", "seen"]).stdout, "\"first\"");

    write(&app, "app.py", &answering("second"));
    let live = watcher.says("Updated app.py: live after");
    println!("{live}");
    watcher.prints("Response: \"second\"");
    assert_eq!(env.run_ok(&["invoke", "seen"]).stdout, "\"second\"");

    write(&app, "app.py", "def lambda_handler(event, context)\n    return 'broken'\n");
    watcher.says("error: ");
    watcher.says("the function is as it was");
    assert_eq!(env.run_ok(&["invoke", "seen"]).stdout, "\"second\"");

    write(&app, "app.py", "def lambda_handler(event, context):\n    return event['missing']\n");
    watcher.says("Updated app.py: live after");
    watcher.says("the function failed (Unhandled): KeyError: 'missing'");

    // A module in a folder that was not there is seen too, and an editor that writes beside.
    write(
        &app,
        "app.py",
        "import parts.word\ndef lambda_handler(event, context):\n    return parts.word.WORD\n",
    );
    watcher.says("Updated app.py: live after");
    std::fs::create_dir(app.join("parts")).expect("made");
    write(&app, "parts/word.py", "WORD = 'third'\n");
    watcher.prints("Response: \"third\"");
    write(&app, "parts/.word.py.new", "WORD = 'fourth'\n");
    std::fs::rename(app.join("parts/.word.py.new"), app.join("parts/word.py")).expect("renamed");
    watcher.prints("Response: \"fourth\"");

    let (code, seen) = watcher.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("remove it with: layercake down"), "{seen}");
    assert!(!seen.contains("panicked"), "{seen}");
    assert_eq!(env.run_ok(&["invoke", "seen"]).stdout, "\"fourth\"", "what was made stays");
}

#[test]
fn the_layer_is_built_again_only_for_other_requirements() {
    let env = TestEnv::new();
    let app = app(&env);
    let _served = env.serve(&[]);
    let mut watcher = Watcher::new(&env, &app, &[]);
    watcher.says("watching");
    write(&app, "requirements.txt", "demo\n");
    watcher.says("Changed requirements.txt");
    watcher.says("Done after");
    watcher.prints("Response: \"first\"");
    write(&app, "app.py", DEMO_CODE);
    watcher.says("Updated app.py: live after");
    watcher.prints("/opt/python/");
    write(&app, "app.py", &answering("second"));
    watcher.prints("Response: \"second\"");
    write(&app, "requirements.txt", "demo\nno-such-package\n");
    watcher.says("no-such-package");
    watcher.says("the function is as it was");
    write(&app, "requirements.txt", "demo\n");
    watcher.says("Unchanged requirements.txt");
    let (code, seen) = watcher.end();
    assert_eq!(code, Some(0), "{seen}");
    let published = seen.lines().filter(|line| line.trim_start().starts_with("Published")).count();
    assert_eq!(published, 1, "{seen}");
    env.run_ok(&["down", app.as_str()]);
}
