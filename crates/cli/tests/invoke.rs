//! `invoke` and `doctor` as a user runs them.

mod support;

use std::{io::Write as _, process::Stdio};

use support::{Answer, TestEnv, tidy};

const CODE: &str = "def lambda_handler(event, context):
    print('rows', event.get('rows'))
    if 'bad' in event:
        raise ValueError(event['bad'])
    client = context.client_context
    return {'rows': event.get('rows'), 'from': client.custom if client else None}
";

fn env_with_function() -> (TestEnv, String) {
    let env = TestEnv::new();
    let app = env.app("pandas", &[("app.py", CODE)]);
    env.run_ok(&["up", app.as_str()]);
    let app = app.into_string();
    (env, app)
}

#[test]
fn the_answer_alone_goes_to_stdout() {
    let (env, _) = env_with_function();
    let answer = env.run_ok(&["invoke", "pandas", "-d", r#"{"rows": 3}"#]);
    assert_eq!(answer.stdout, r#"{"rows": 3, "from": null}"#);
    assert_eq!(answer.stderr, "");

    let answer =
        env.run_ok(&["invoke", "pandas:$LATEST", "--tail", "--client-context", r#"{"custom": {"a": 1}}"#]);
    assert_eq!(answer.stdout, r#"{"rows": null, "from": {"a": 1}}"#);
    let log: Vec<_> = answer.stderr.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(log, ["START", "rows", "END", "REPORT"]);

    std::fs::write(env.root().join("event.json"), r#"{"rows": 5}"#).expect("written");
    let answer = env.run_ok(&["invoke", "pandas", "-d", "@event.json"]);
    assert_eq!(answer.stdout, r#"{"rows": 5, "from": null}"#);

    let mut command = env.command(&["invoke", "pandas", "-d", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("piped").write_all(br#"{"rows": 7}"#).expect("written");
    let answer = Answer::of(&child.wait_with_output().expect("it ends"));
    assert_eq!(answer.stdout, r#"{"rows": 7, "from": null}"#);
}

#[test]
fn a_failure_is_told_readably_with_its_own_exit_code() {
    let (env, app) = env_with_function();
    let answer = env.run(&["invoke", "pandas", "-d", r#"{"bad": "no rows"}"#]);
    insta::assert_snapshot!(answer.told(&env), @r#"
    exit 1
    error: the function failed (Unhandled): ValueError: no rows
        File "/var/task/app.py", line 4, in lambda_handler
          raise ValueError(event['bad'])
      hint: --tail shows its log
    "#);
    let answer = env.run(&["invoke", "pandas", "--json", "-d", r#"{"bad": "no rows"}"#]);
    assert_eq!(answer.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(report["format"], 1);
    assert_eq!(report["function_error"], "Unhandled");
    assert_eq!(report["payload"]["errorType"], "ValueError");
    assert_eq!(report["figures"]["memory_mb"], 128);

    insta::assert_snapshot!(env.run(&["invoke", "panads"]).told(&env), @r"
    exit 1
    error: there is no function `panads` in us-east-1
      hint: there is `pandas`
    ");
    insta::assert_snapshot!(env.run(&["invoke", "pandas", "--qualifier", "live"]).told(&env), @r"
    exit 1
    error: the function `pandas` has no version or alias `live`
      hint: leave the qualifier out to call the latest code
    ");
    insta::assert_snapshot!(env.run(&["invoke", "pandas", "-d", "{rows}"]).told(&env), @r#"
    exit 2
    error: `{rows}` is not JSON: key must be a string at line 1 column 2
      hint: -d takes JSON such as '{"rows": 3}', `@` and a file that holds it, or `-` for stdin
    "#);
    env.run_ok(&["down", &app]);
    insta::assert_snapshot!(env.run(&["invoke", "pandas"]).told(&env), @r"
    exit 1
    error: there is no function `pandas` in us-east-1
      hint: `layercake up` makes functions; --region and --on say where to look for them
    ");
}

#[test]
fn what_is_not_waited_for_has_no_answer() {
    let (env, _) = env_with_function();
    insta::assert_snapshot!(env.run(&["invoke", "pandas", "--dry-run"]).told(&env), @r"
    exit 0
    the function may be called
    ");
    let answer = env.run_ok(&["invoke", "pandas", "--async"]);
    assert_eq!(answer.stdout, "");
    assert!(answer.stderr.starts_with("queued as request "), "{}", answer.stderr);
    assert!(answer.stderr.contains("no local cloud is being served now"), "{}", answer.stderr);
    let _served = env.serve(&[]);
    let answer = env.run_ok(&["invoke", "pandas", "--async"]);
    assert!(!answer.stderr.contains("no local cloud"), "{}", answer.stderr);
}

#[test]
fn the_doctor_tells_what_this_machine_gives() {
    let env = TestEnv::new();
    let answer = env.run_ok(&["doctor"]);
    let told = tidy(&answer.stdout, &env);
    for part in
        ["\nPythons\n  yes  python3.", "\nIsolation of functions\n", "[ROOT]/cloud (made at the first use)"]
    {
        assert!(told.contains(part), "{part:?} is missing in {told}");
    }
    assert!(told.contains("credentials  none found"), "{told}");
    assert!(!env.cloud().exists(), "nothing is made");

    let served = env.serve(&[]);
    let findings = env.run_json(&["doctor", "--json"]);
    assert_eq!(findings["format"], 1);
    assert_eq!(
        format!("http://{}", findings["cloud"]["running"]["address"].as_str().unwrap_or_default()),
        served.endpoint
    );
    assert_eq!(findings["cloud"]["running"]["layercake"], env!("CARGO_PKG_VERSION"));
    let features = findings["isolation"]["features"].as_array().expect("a list");
    assert!(features.iter().any(|feature| feature["name"] == "own file system"));
    assert_eq!(findings["aws"]["credentials"], serde_json::json!([]));

    let mut command = env.command(&["doctor", "--json"]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "hush")
        .env("AWS_REGION", "eu-west-1");
    let answer = Answer::of(&command.output().expect("the binary starts"));
    assert!(answer.stdout.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{}", answer.stdout);
    assert!(answer.stdout.contains("eu-west-1") && !answer.stdout.contains("hush"), "{}", answer.stdout);
}
