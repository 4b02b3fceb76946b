//! `logs` as a user runs it, while functions run beside it.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use camino::Utf8PathBuf;
use support::{Answer, TestEnv, client};

/// No step of these tests takes as long; it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(120);

fn talker(env: &TestEnv) -> Utf8PathBuf {
    let code =
        "def lambda_handler(event, context):\n    print('said', event['word'])\n    print('\\ttabs')\n";
    env.app("talker", &[("app.py", code)])
}

/// Runs the app and gives what it logged.
fn say(env: &TestEnv, app: &Utf8PathBuf, word: &str) -> String {
    let answer = env.run_ok(&["up", app.as_str(), "--event", &format!(r#"{{"word": "{word}"}}"#)]);
    let end = answer.stdout.find("Response:").expect("a response");
    answer.stdout[..end].to_owned()
}

/// The first words of lines.
fn words(text: &str) -> String {
    text.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

/// A `logs --follow` that runs.
struct Follower {
    child: Child,
    lines: Receiver<String>,
    seen: String,
}

impl Follower {
    fn new(env: &TestEnv, arguments: &[&str]) -> Self {
        let mut command = env.command(&["logs", "talker", "--follow"]);
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, seen: String::new() }
    }

    /// Waits for a line that holds these words.
    fn wait_for(&mut self, words: &str) {
        loop {
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {words}: {}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(words) {
                return;
            }
        }
    }

    /// Presses Ctrl-C. Gives the exit code, everything that was printed, and what was said beside.
    fn end(mut self) -> Answer {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill starts").success());
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        let code = self.child.wait().expect("it ends").code();
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("stderr is piped");
        std::io::Read::read_to_string(&mut pipe, &mut stderr).expect("text");
        Answer { code, stdout: std::mem::take(&mut self.seen), stderr }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_logged_is_printed_as_it_was() {
    let env = TestEnv::new();
    let app = talker(&env);
    let first = say(&env, &app, "one");
    assert_eq!(words(&first), "START said \ttabs END REPORT");
    let logged = env.run_ok(&["logs", "talker"]);
    // The init phase belongs to the log and not to the run's own lines.
    let (init, rest) = logged.stdout.split_once('\n').expect("several lines");
    assert!(init.starts_with("INIT_START Runtime Version: python:"), "{init}");
    assert_eq!(rest, first);
    assert_eq!(logged.stderr, "");

    say(&env, &app, "two");
    let both = env.run_ok(&["logs", "talker", "--since", "2020-01-01", "--filter", "said"]);
    assert_eq!(both.stdout, "said one\nsaid two\n");
    let lines = env.run_ok(&["logs", "talker", "--filter", "\"said two\"", "--json"]).stdout;
    let event: serde_json::Value = serde_json::from_str(&lines).expect("one line of JSON");
    assert_eq!(event["message"], "said two\n");
    assert!(event["timestamp"].as_i64() <= event["ingestionTime"].as_i64());
    assert!(event["logStreamName"].as_str().is_some_and(|stream| stream.contains("[$LATEST]")));

    insta::assert_snapshot!(env.run(&["logs", "talker", "--since", "2100-01-01"]).told(&env), @r"
    exit 0
    nothing was found; --since looks further back, for instance --since 7d
    ");
    insta::assert_snapshot!(env.run(&["logs", "nobody", "--follow"]).told(&env), @r"
    exit 1
    error: there is no function `nobody` on the local cloud, and no log of one
      hint: `layercake up` makes a function and says its name; --data chooses another local cloud
    ");
    insta::assert_snapshot!(env.run(&["logs", "talker", "--filter", "{ $.x = "]).stderr.lines().next().unwrap_or_default(), @"error: FilterLogEvents was refused: InvalidParameterException: Invalid filter pattern");
    insta::assert_snapshot!(env.run(&["logs", "talker", "--since", "yesterday"]).told(&env), @r"
    exit 2
    error: invalid value 'yesterday' for '--since <AGE|TIME>': an age such as 30s, 10m, 2h, 7d or 1w is expected, or a time such as 2026-01-01T12:00

    For more information, try '--help'.
    ");
}

#[test]
fn a_follower_gives_every_line_once_while_the_function_runs() {
    let env = TestEnv::new();
    let app = talker(&env);
    let served = env.serve(&[]);
    say(&env, &app, "one");
    let mut follower = Follower::new(&env, &[]);
    follower.wait_for("said one");
    for word in ["two", "three"] {
        say(&env, &app, word);
        follower.wait_for(&format!("said {word}"));
        follower.wait_for("REPORT");
    }
    let followed = follower.end();
    assert_eq!((followed.code, followed.stderr.as_str()), (Some(0), ""));
    assert_eq!(followed.stdout, env.run_ok(&["logs", "talker"]).stdout);
    assert_eq!(followed.stdout.matches("said").count(), 3);

    // Without a group it waits for one, and says so.
    let mut aws = Command::new(client("aws"));
    env.prepare(&mut aws);
    served.credentials(&mut aws);
    aws.args(["--endpoint-url", &served.endpoint, "logs", "delete-log-group"]);
    assert!(aws.args(["--log-group-name", "/aws/lambda/talker"]).status().expect("aws starts").success());
    insta::assert_snapshot!(env.run(&["logs", "talker"]).told(&env), @r"
    exit 0
    talker has logged nothing yet: there is no log group `/aws/lambda/talker`
    ");
    let mut follower = Follower::new(&env, &["--filter", "said"]);
    say(&env, &app, "four");
    follower.wait_for("said four");
    let followed = follower.end();
    assert_eq!((followed.code, followed.stdout.as_str()), (Some(0), "said four\n"));
}

#[test]
fn without_a_server_a_follower_leaves_the_cloud_to_others_in_between() {
    let env = TestEnv::new();
    let app = talker(&env);
    say(&env, &app, "one");
    let mut follower = Follower::new(&env, &["--filter", "said"]);
    follower.wait_for("said one");
    say(&env, &app, "two");
    follower.wait_for("said two");
    assert_eq!(follower.end().stdout, "said one\nsaid two\n");
}

#[test]
fn a_reader_who_goes_ends_the_follower() {
    let env = TestEnv::new();
    say(&env, &talker(&env), "one");
    let mut follower = env
        .command(&["logs", "talker", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    drop(follower.stdout.take());
    let (sender, ended) = channel();
    let id = follower.id().to_string();
    std::thread::spawn(move || sender.send(follower.wait().expect("it ends").code()));
    let code = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = Command::new("kill").arg(&id).status();
        panic!("it goes on without a reader")
    });
    assert_eq!(code, Some(0));
}
