//! Bad input: one clear error with the next step, the right exit code, nothing half-made.

mod support;

use layercake_build::testing::{TestIndex, WheelBuilder};
use support::{TestEnv, tidy};

const HANDLER: &str = "def lambda_handler(event, context):\n    return 1\n";

/// Runs `up` on an app of these files and answers what it said; nothing may have been made.
fn check(files: &[(&str, &str)], arguments: &[&str]) -> String {
    check_in(&TestEnv::new(), files, arguments)
}

fn check_in(env: &TestEnv, files: &[(&str, &str)], arguments: &[&str]) -> String {
    let app = env.app("app", files);
    let mut all = vec!["--quiet", "up", app.as_str()];
    all.extend(arguments);
    let answer = env.run(&all);
    assert!(!app.join(".layercake").exists(), "a journal is left: {}", answer.stderr);
    answer.told(env)
}

#[test]
fn an_app_that_is_none() {
    let env = TestEnv::new();
    insta::assert_snapshot!(env.run(&["up", "nowhere"]).told(&env), @r"
    exit 1
    error: there is no app at `nowhere`
      hint: give the folder that holds the function's code, or one .py file
    ");
    insta::assert_snapshot!(check(&[("README.txt", "x")], &[]), @r"
    exit 1
    error: the app has no Python file
      hint: give the folder that holds the function's code, or one .py file
    ");
    insta::assert_snapshot!(check(&[("app.py", "x = 1\n")], &[]), @r"
    exit 1
    error: no handler found: none of app.py defines `lambda_handler` or `handler`
      hint: write `def lambda_handler(event, context):`, or name another function with --handler module.function
    ");
    insta::assert_snapshot!(check(&[("app.py", HANDLER)], &["--handler", "other.run"]), @r"
    exit 1
    error: handler `other.run` needs `other.py`, and the app has no such file
      hint: the part before the last dot is the file, without .py
    ");
}

#[test]
fn a_syntax_error() {
    insta::assert_snapshot!(check(&[("app.py", "def lambda_handler(event, context)\n    pass\n")], &["--runtime", "python3.12"]), @r"
    exit 1
    error: `app.py` line 1 is not valid for Python 3.12: expected ':'
      hint: correct this line: def lambda_handler(event, context)
    ");
}

#[test]
fn requirements_that_cannot_be_met() {
    let wants =
        |line: &str| check(&[("app.py", HANDLER), ("requirements.txt", line)], &["--runtime", "python3.12"]);
    insta::assert_snapshot!(wants("no-such-package\n"), @r"
    exit 1
    error: there is no package `no-such-package` on the package index (asked for in requirements.txt:1)
      hint: check the spelling; the name on the index can differ from the name that is imported
    ");
    insta::assert_snapshot!(wants("demo>=7\n"), @r"
    exit 1
    error: no version of `demo` is `>=7` (asked for in requirements.txt:1); the newest is 1.0
      hint: ask for a version that exists, such as `demo==1.0`
    ");
    insta::assert_snapshot!(wants("demo-base<1\ndemo\n"), @r"
    exit 1
    error: no version of `demo-base` is `<1` (asked for in requirements.txt:1); the newest is 1.2
      hint: ask for a version that exists, such as `demo-base==1.2`
    ");
    insta::assert_snapshot!(wants("demo @@ 3\n"), @r"
    exit 1
    error: there is no `[ROOT]/app/@ 3` (requirements.txt:1)
      hint: check the path; it is looked for beside the file that names it, and then here
    ");
}

#[test]
fn no_wheel_for_the_target() {
    let wheel = WheelBuilder::new("native", "2.0")
        .tags("cp39-cp39-manylinux2014_x86_64")
        .file("native/__init__.py", "");
    let env = TestEnv::with_index(TestIndex::serving(&[wheel]));
    let files = [("app.py", HANDLER), ("requirements.txt", "native\n")];
    insta::assert_snapshot!(check_in(&env, &files, &["--runtime", "python3.12"]), @r"
    exit 1
    error: no wheel of `native` 2.0 fits python3.12 on x86_64; there is one for python3.9 on x86_64
      hint: use --runtime python3.9
    ");
}

#[test]
fn no_interpreter() {
    let env = TestEnv::new();
    let app = env.app("app", &[("app.py", HANDLER)]);
    let mut command = env.command(&["--quiet", "up", app.as_str(), "--runtime", "python3.15"]);
    command.env("PATH", "/nonexistent").env("PYENV_ROOT", "/nonexistent");
    let answer = support::Answer::of(&command.output().expect("starts"));
    // Homebrew's folders are looked at whatever the environment says.
    assert_eq!(answer.code, Some(1));
    let told = tidy(&answer.stderr, &env);
    assert!(told.starts_with("error: no Python 3.15 on this machine for python3.15"), "{told}");
    assert!(told.contains("hint: install it"), "{told}");
}

#[test]
fn no_network() {
    let env = TestEnv::new();
    let app = env.app("app", &[("app.py", HANDLER), ("requirements.txt", "demo\n")]);
    // A port that was free a moment ago and that nobody listens on.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let mut command = env.command(&["--quiet", "up", app.as_str(), "--runtime", "python3.12"]);
    command.env("LAYERCAKE_INDEX_URL", format!("http://127.0.0.1:{port}/simple"));
    let answer = support::Answer::of(&command.output().expect("starts"));
    let told = answer.told(&env).replace(&port.to_string(), "[PORT]");
    insta::assert_snapshot!(told, @r"
    exit 1
    error: cannot reach the package index at http://127.0.0.1:[PORT]/simple/demo/: Connection refused (os error 111)
      hint: check the network, and the proxy and certificate settings (HTTPS_PROXY, SSL_CERT_FILE); --offline works from the cache alone
    ");
}

#[test]
fn no_credentials() {
    let env = TestEnv::new();
    let app = env.app("app", &[("app.py", HANDLER)]);
    let mut command = env.command(&[
        "--quiet",
        "up",
        app.as_str(),
        "--on",
        "aws",
        "--region",
        "us-east-1",
        "--runtime",
        "python3.12",
    ]);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let answer = support::Answer::of(&command.output().expect("starts"));
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 1
    error: no AWS credentials were found
      hint: sign in with `aws configure` or `aws sso login`, set AWS_PROFILE, or leave out `--on aws` to use the local cloud
    ");
    assert!(!app.join(".layercake").exists());
}

#[test]
fn bad_usage() {
    let env = TestEnv::new();
    for arguments in [
        &["up", "--runtime", "python2.7"][..],
        &["up", "--arch", "mips"],
        &["up", "--memory", "64"],
        &["up", "--timeout", "901"],
        &["up", "--profile", "tiny"],
        &["build"],
        &["up", "--env", "NOVALUE"],
        &["nonsense"],
    ] {
        let answer = env.run(arguments);
        assert_eq!(answer.code, Some(2), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.starts_with("error:"), "{}", answer.stderr);
    }
    insta::assert_snapshot!(check(&[("app.py", HANDLER)], &["--event", "{nonsense"]), @r#"
    exit 2
    error: the event `{nonsense` is neither JSON (key must be a string at line 1 column 2) nor a file that can be read
      hint: give JSON such as '{"rows": 3}', or a file that holds it
    "#);
}

/// Runs a shell line in namespaces of its own, where folders can be made read-only or small.
fn in_own_mounts(env: &TestEnv, prepare: &str, arguments: &[&str]) -> support::Answer {
    let mut command = std::process::Command::new("unshare");
    env.prepare(&mut command);
    let line = format!("{prepare} && exec \"$@\"");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-ec",
        &line,
        "sh",
        env!("CARGO_BIN_EXE_layercake"),
    ]);
    support::Answer::of(&command.args(arguments).output().expect("`unshare` of util-linux starts"))
}

#[test]
fn a_read_only_folder() {
    let env = TestEnv::new();
    let app = env.app("app", &[("app.py", HANDLER)]);
    let read_only = format!("mount --bind {app} {app} && mount -o remount,bind,ro {app}");
    let answer = in_own_mounts(&env, &read_only, &["--quiet", "up", app.as_str()]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 1
    error: cannot use the journal `[ROOT]/app/.layercake/app.local.journal`
      cause: failed to create directory `[ROOT]/app/.layercake`: Read-only file system (os error 30)
      hint: the folder must be writable; keep the journal elsewhere with --state FOLDER
    ");
    let state = env.root().join("state");
    let answer = in_own_mounts(&env, &read_only, &["--quiet", "up", app.as_str(), "--state", state.as_str()]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    env.run_ok(&["down", app.as_str(), "--state", state.as_str()]);
    assert_eq!(env.everything(), support::nothing());
}

#[test]
fn a_full_disk() {
    let env = TestEnv::new();
    let app = env.app("app", &[("app.py", HANDLER), ("requirements.txt", "demo\n")]);
    for folder in ["cache", "cloud"] {
        let full = env.root().join(folder);
        std::fs::create_dir_all(&full).expect("made");
        let small = format!("mount -t tmpfs -o size=8k tmpfs {full}");
        let answer = in_own_mounts(&env, &small, &["--quiet", "up", app.as_str()]);
        assert_eq!(answer.code, Some(1), "{folder}: {}", answer.told(&env));
        assert!(answer.stderr.contains("hint:"), "{}", answer.stderr);
        assert!(
            answer.stderr.contains("full") || answer.stderr.contains("No space left"),
            "{}",
            answer.stderr
        );
    }
    env.run_ok(&["up", app.as_str()]);
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), support::nothing());
}

#[test]
fn a_function_that_fails() {
    let env = TestEnv::new();
    let app = env
        .app("app", &[("app.py", "def lambda_handler(event, context):\n    raise ValueError('no rows')\n")]);
    let answer = env.run(&["--quiet", "up", app.as_str(), "--runtime", "python3.12"]);
    assert_eq!(answer.code, Some(1));
    insta::assert_snapshot!(tidy(&answer.stderr, &env), @r"
    error: the function failed (Unhandled): ValueError: no rows
      hint: mend the code and run the same command again: only the code is updated; or `layercake down [ROOT]/app`
    ");
    assert!(answer.stdout.contains("[ERROR] ValueError: no rows"), "{}", answer.stdout);
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), support::nothing());
}
