//! `up` and `down` as a user runs them, against an index of the test's own.

mod support;

use support::{TestEnv, nothing};

#[test]
fn a_function_runs_with_its_layer_and_leaves_nothing() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let answer = env.run_ok(&["up", app.as_str(), "--event", r#"{"n": 1}"#]);
    assert!(answer.stdout.contains("event {'n': 1}\n"), "{}", answer.stdout);
    assert!(
        answer.stdout.contains(r#"Response: {"word": "layered", "from": "/opt/python/demo/__init__.py"}"#),
        "{}",
        answer.stdout
    );
    let log: Vec<_> = answer.stdout.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(log, ["START", "event", "END", "REPORT", "Response:"]);
    assert!(app.join(".layercake/demo-app.local.journal").exists());

    let there = env.everything();
    assert_eq!(there["functions"], serde_json::json!(["demo-app"]));
    assert_eq!(there["layers"], serde_json::json!(["demo-app-layer"]));
    assert_eq!(there["roles"], serde_json::json!(["layercake-demo-app"]));
    assert_eq!(there["logGroups"], serde_json::json!(["/aws/lambda/demo-app"]));

    let answer = env.run_ok(&["down", app.as_str()]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 0
       removed function demo-app
       removed policy AWSLambdaBasicExecutionRole on role layercake-demo-app
       removed role layercake-demo-app
       removed layer version demo-app-layer:1
       removed log group /aws/lambda/demo-app
    ");
    assert!(!app.join(".layercake").exists());
    assert_eq!(env.everything(), nothing());
    let answer = env.run_ok(&["down", app.as_str()]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 0
    nothing is up
    ");
}

#[cfg(target_os = "linux")]
#[test]
fn a_function_without_a_network_reaches_nobody_and_still_answers() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let code = "import socket\ndef handler(event, context):\n    try:\n        \
        socket.create_connection(('127.0.0.1', event), 5).close()\n    \
        except OSError as error:\n        return type(error).__name__\n    return 'connected'\n";
    std::fs::write(app.join("app.py"), code).expect("written");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let up = ["up", app.as_str(), "--json", "--event", &port];
    let without = env.run_json(&[&up[..], &["--no-network"]].concat());
    assert_eq!(without["invocation"]["payload"], "ConnectionRefusedError");
    let with = env.run_json(&up);
    assert_eq!(with["invocation"]["payload"], "connected");
    assert_eq!(with["function"]["change"], "configuration-updated");
    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn only_what_differs_is_done_again() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let first = env.run_json(&["up", app.as_str(), "--json"]);
    assert_eq!(first["function"]["change"], "created");
    assert_eq!(first["layer"]["published"], "directly");
    assert_eq!(first["layer"]["excluded"]["tests"]["files"], 1);
    assert_eq!(first["invocation"]["payload"]["word"], "layered");
    assert!(first["invocation"]["figures"]["init_ms"].is_number());

    let again = env.run_json(&["up", app.as_str(), "--json"]);
    assert_eq!(again["function"]["change"], "unchanged");
    assert_eq!(again["layer"]["published"], "already");
    assert_eq!(again["layer"]["arn"], first["layer"]["arn"]);

    std::fs::write(app.join("app.py"), "def lambda_handler(event, context):\n    return 'new'\n")
        .expect("written");
    let changed = env.run_json(&["up", app.as_str(), "--json"]);
    assert_eq!(changed["function"]["change"], "code-updated");
    assert_eq!(changed["layer"]["published"], "already");
    assert_eq!(changed["invocation"]["payload"], "new");

    let configured = env.run_json(&["up", app.as_str(), "--json", "--memory", "256", "--env", "MODE=x"]);
    assert_eq!(configured["function"]["change"], "configuration-updated");
    assert_eq!(configured["invocation"]["figures"]["memory_mb"], 256);

    let other = env.run_json(&["up", app.as_str(), "--json", "--profile", "faithful"]);
    assert_eq!(other["layer"]["published"], "directly");
    assert_ne!(other["layer"]["sha256"], first["layer"]["sha256"]);

    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn the_same_layer_has_the_same_bytes_elsewhere() {
    let (one, other) = (TestEnv::new(), TestEnv::new());
    let hash = |env: &TestEnv, time_zone: &str| {
        let app = env.demo_app();
        let mut command = env.command(&["up", app.as_str(), "--json"]);
        let output = command.env("TZ", time_zone).env("LC_ALL", "C").output().expect("starts");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        (report["layer"]["sha256"].clone(), report["function"]["code_sha256"].clone())
    };
    let first = hash(&one, "UTC");
    assert!(first.0.is_string());
    assert_eq!(first, hash(&other, "Asia/Tokyo"));
}

#[test]
fn a_single_file_works_with_its_own_requirements() {
    let env = TestEnv::new();
    let folder = env.app(
        "scripts",
        &[
            ("one.py", "# /// script\n# dependencies = [\"demo\"]\n# ///\nimport demo\ndef handler(event, context):\n    return demo.WORD\n"),
            ("two.py", "import demo_base\ndef handler(event, context):\n    return demo_base.WORD\n"),
        ],
    );
    let one = env.run_json(&["up", folder.join("one.py").as_str(), "--json"]);
    assert_eq!(one["invocation"]["payload"], "layered");
    assert_eq!(one["function"]["handler"], "one.handler");
    let two = env.run_json(&["up", folder.join("two.py").as_str(), "--with", "demo-base", "--json"]);
    assert_eq!(two["invocation"]["payload"], "layered");
    let packages = two["layer"]["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), 1);

    env.run_ok(&["down", folder.join("one.py").as_str()]);
    assert_eq!(env.everything()["functions"], serde_json::json!(["two"]));
    // Without an app: everything that `up` made.
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn a_deleted_app_is_still_cleaned_up() {
    let env = TestEnv::new();
    let app = env.demo_app();
    env.run_ok(&["up", app.as_str()]);
    std::fs::remove_dir_all(&app).expect("removed");
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());

    let app = env.demo_app();
    env.run_ok(&["up", app.as_str()]);
    std::fs::remove_dir_all(&app).expect("removed");
    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn a_deleted_journal_is_put_back() {
    let env = TestEnv::new();
    let app = env.demo_app();
    env.run_ok(&["up", app.as_str()]);
    std::fs::remove_dir_all(app.join(".layercake")).expect("removed");
    let again = env.run_json(&["up", app.as_str(), "--json"]);
    assert_eq!(again["function"]["change"], "unchanged");
    std::fs::remove_dir_all(app.join(".layercake")).expect("removed");
    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn an_app_without_requirements_has_no_layer() {
    let env = TestEnv::new();
    let app = env.app("plain", &[("app.py", "def lambda_handler(event, context):\n    return 1\n")]);
    let report = env.run_json(&["up", app.as_str(), "--json"]);
    assert_eq!(report["layer"], serde_json::Value::Null);
    assert_eq!(report["invocation"]["payload"], 1);
    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn through_s3_leaves_no_bucket() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let report = env.run_json(&["up", app.as_str(), "--via-s3", "--json"]);
    assert_eq!(report["layer"]["published"], "via-s3");
    assert_eq!(report["invocation"]["payload"]["word"], "layered");
    assert_eq!(env.everything()["buckets"], serde_json::json!([]));
    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn a_dry_run_does_nothing() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let answer = env.run_ok(&["up", app.as_str(), "--dry-run"]);
    for step in [
        "fetch  demo-1.0",
        "publish  a version of layer demo-app-layer",
        "role  create",
        "function  create demo-app",
        "invoke",
    ] {
        assert!(answer.stdout.contains(step), "{step}: {}", answer.stdout);
    }
    assert!(!app.join(".layercake").exists());
    assert!(!env.cloud().exists());
    let steps = env.run_json(&["up", app.as_str(), "--dry-run", "--json"]);
    assert_eq!(steps["dryRun"], true);

    env.run_ok(&["up", app.as_str()]);
    let answer = env.run_ok(&["down", "--dry-run"]);
    assert!(answer.stdout.contains("remove  function demo-app"), "{}", answer.stdout);
    assert_eq!(env.everything()["functions"], serde_json::json!(["demo-app"]));
}

#[test]
fn what_is_not_ours_stays() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let other =
        env.app("elsewhere/demo-app", &[("app.py", "def lambda_handler(event, context):\n    return 1\n")]);
    env.run_ok(&["up", app.as_str()]);
    let answer = env.run(&["up", other.as_str()]);
    insta::assert_snapshot!(answer.told(&env).lines().filter(|line| !line.contains("note:")).collect::<Vec<_>>().join("\n"), @r"
    exit 1
    error: function demo-app exists already and was not made by this app
      hint: choose another name with --name, or remove it yourself
    ");
    env.run_ok(&["down", other.as_str()]);
    assert_eq!(env.everything()["functions"], serde_json::json!(["demo-app"]));
    env.run_ok(&["up", other.as_str(), "--name", "another"]);
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn a_served_cloud_is_used_when_it_runs() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let served = env.serve(&[]);
    let report = env.run_json(&["up", app.as_str(), "--json"]);
    assert_eq!(report["endpoint"].as_str(), Some(served.endpoint.as_str()));
    drop(served);
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn on_aws_differs_by_the_endpoint_only() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let served = env.serve(&[]);
    let on_aws = |arguments: &[&str]| {
        let mut command = env.command(arguments);
        served.credentials(&mut command);
        let output = command.env("AWS_ENDPOINT_URL", &served.endpoint).output().expect("starts");
        let answer = support::Answer::of(&output);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer.stdout
    };
    let report = on_aws(&["up", app.as_str(), "--on", "aws", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    assert_eq!(report["on"], "aws");
    assert_eq!(report["invocation"]["payload"]["word"], "layered");
    assert!(app.join(".layercake/demo-app.aws.journal").exists());
    on_aws(&["down", app.as_str()]);
    drop(served);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn two_at_once_share_the_cache_and_the_cloud() {
    let env = TestEnv::new();
    let apps = ["first", "second"]
        .map(|name| env.app(name, &[("app.py", support::DEMO_CODE), ("requirements.txt", "demo\n")]));
    let running = apps.each_ref().map(|app| {
        let mut command = env.command(&["up", app.as_str(), "--json"]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("starts")
    });
    for child in running {
        let answer = support::Answer::of(&child.wait_with_output().expect("it ends"));
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        let report: serde_json::Value = serde_json::from_str(&answer.stdout).expect("a report");
        assert_eq!(report["invocation"]["payload"]["word"], "layered");
    }
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn another_region_is_remembered() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let report = env.run_json(&["up", app.as_str(), "--region", "eu-central-1", "--json"]);
    assert!(report["function"]["arn"].as_str().is_some_and(|arn| arn.contains(":eu-central-1:")));
    let answer = env.run(&["--quiet", "up", app.as_str()]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("is up somewhere else already"), "{}", answer.stderr);
    env.run_ok(&["down", app.as_str()]);
    assert_eq!(env.everything_in("eu-central-1"), nothing());
}

#[test]
fn apps_that_share_a_state_folder_are_kept_apart() {
    let env = TestEnv::new();
    let code = [("app.py", "def handler(event, context):\n    return 1\n")];
    let (one, two) = (env.app("one", &code), env.app("two", &code));
    let state = env.root().join("state");
    for app in [&one, &two] {
        env.run_ok(&["up", app.as_str(), "--state", state.as_str()]);
    }
    let answer = env.run(&["--quiet", "up", two.as_str(), "--state", state.as_str(), "--name", "one"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("the function `one` belongs to another app here"), "{}", answer.stderr);
    env.run_ok(&["down", one.as_str(), "--state", state.as_str()]);
    assert_eq!(env.everything()["functions"], serde_json::json!(["two"]));
    // The registry knows of it without being told where the journal is.
    env.run_ok(&["down", two.as_str()]);
    assert_eq!(env.everything(), nothing());
    assert_eq!(env.run(&["down", "--state", state.as_str()]).code, Some(2));
}

#[test]
fn one_damaged_journal_does_not_hold_up_the_others() {
    let env = TestEnv::new();
    let code = [("app.py", "def handler(event, context):\n    return 1\n")];
    let (one, two) = (env.app("one", &code), env.app("two", &code));
    for app in [&one, &two] {
        env.run_ok(&["up", app.as_str()]);
    }
    let journal = one.join(".layercake/one.local.journal");
    let text = std::fs::read_to_string(&journal).expect("readable");
    // Written in place: the registry's link is to this very file.
    std::fs::write(&journal, text.replacen("will-create", "nonsense", 1)).expect("written");
    let answer = env.run(&["down"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("of the journal is damaged"), "{}", answer.stderr);
    assert_eq!(env.everything()["functions"], serde_json::json!(["one"]));
    std::fs::write(&journal, text).expect("written");
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn event_and_response_keep_every_digit() {
    let env = TestEnv::new();
    let app =
        env.app("digits", &[("app.py", "def handler(event, context):\n    return [event['n'], 2**70]\n")]);
    let answer = env.run_ok(&["up", app.as_str(), "--event", "{\"n\": 123456789012345678901}"]);
    assert!(
        answer.stdout.contains("Response: [123456789012345678901, 1180591620717411303424]"),
        "{}",
        answer.stdout
    );
    env.run_ok(&["down"]);
}

#[test]
fn a_role_that_was_deleted_by_hand_comes_back_with_its_policy() {
    let env = TestEnv::new();
    let app = env.demo_app();
    env.run_ok(&["up", app.as_str()]);
    let served = env.serve(&[]);
    let steps = "
import boto3, sys
iam = boto3.client('iam', endpoint_url=sys.argv[1], region_name='us-east-1')
role, policy = 'layercake-demo-app', 'arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole'
if sys.argv[2] == 'delete':
    iam.detach_role_policy(RoleName=role, PolicyArn=policy)
    iam.delete_role(RoleName=role)
else:
    print(len(iam.list_attached_role_policies(RoleName=role)['AttachedPolicies']))
";
    let python = |what: &str| {
        let mut command = std::process::Command::new(support::client("python"));
        env.prepare(&mut command);
        served.credentials(&mut command);
        let output = command.args(["-c", steps, &served.endpoint, what]).output().expect("Python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    python("delete");
    env.run_ok(&["up", app.as_str()]);
    assert_eq!(python("count"), "1\n");
    drop(served);
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn the_cloud_may_lie_in_the_app() {
    let env = TestEnv::new();
    let app = env.demo_app();
    let cloud = app.join("cloud");
    let run = || env.run_json(&["up", app.as_str(), "--data", cloud.as_str(), "--json"]);
    let first = run();
    let again = run();
    assert_eq!(again["function"]["change"], "unchanged", "{first:#} {again:#}");
    env.run_ok(&["down", app.as_str(), "--data", cloud.as_str()]);
}
