//! Functions that bring their own `bootstrap`: `provided`, `provided.al2`, `provided.al2023`.

use std::{os::unix::fs::PermissionsExt, sync::OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use insta::{allow_duplicates, assert_snapshot};
use layercake_local::sandbox::{FunctionRuntime, Isolation, Provided, Tuning};
use serde_json::{Value, json};

use crate::support::{Function, Lab, show};

/// The function that these tests run, built with AWS's `lambda_runtime`: it is this very program,
/// which `bootstrap` starts with this test's name.
#[test]
#[ignore = "a function, started by the other tests"]
fn rust_function() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let served = runtime.block_on(lambda_runtime::run(lambda_runtime::service_fn(handler)));
    served.expect("the Runtime API");
}

#[expect(clippy::exit, clippy::print_stdout, reason = "a function ends and prints as it likes")]
async fn handler(event: lambda_runtime::LambdaEvent<Value>) -> Result<Value, lambda_runtime::Error> {
    match event.payload["do"].as_str() {
        Some("fail") => Err("no such luck".into()),
        Some("exit") => std::process::exit(3),
        Some("say") => {
            println!("a line");
            Ok(event.payload)
        }
        _ => Ok(json!({
            "event": event.payload,
            "arn": event.context.invoked_function_arn,
            "folder": std::env::current_dir().expect("a folder"),
            "variables": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
            "has_time": event.context.deadline > 0,
            "var_lang": std::path::Path::new("/var/lang").exists(),
        })),
    }
}

/// Where this program lies, once for all tests: it is large, and only linked to.
fn this_program() -> &'static Utf8Path {
    static PROGRAM: OnceLock<Utf8PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        Utf8PathBuf::try_from(std::env::current_exe().expect("a program")).expect("a UTF-8 path")
    })
}

/// Puts a `bootstrap` that starts the function above into a folder.
fn bootstrap_into(folder: &Utf8Path, seen_at: &str) {
    let program = folder.join("function");
    // A link where the file system has both ends, which saves a copy of many megabytes.
    if fs_err::hard_link(this_program(), &program).is_err() {
        fs_err::copy(this_program(), &program).expect("a copy");
    }
    let script = format!(
        "#!/bin/sh\nexec {seen_at}/function --ignored --exact provided::rust_function --nocapture --quiet\n"
    );
    let bootstrap = folder.join("bootstrap");
    fs_err::write(&bootstrap, script).expect("a file");
    fs_err::set_permissions(bootstrap, std::fs::Permissions::from_mode(0o755)).expect("the mode");
}

fn al2023() -> FunctionRuntime {
    "provided.al2023".parse().expect("a runtime")
}

/// A function whose code is the Rust function above.
fn rust(lab: &Lab, runtime: FunctionRuntime) -> Function {
    let function = lab.function(runtime, "");
    bootstrap_into(&function.spec.task, "/var/task");
    function
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_function_runs_on_every_provided_runtime() {
    for runtime in Provided::ALL {
        let lab = Lab::new();
        let function = rust(&lab, runtime.into());
        let cold = show(&function.call(r#"{"do": "say"}"#).await);
        let system = runtime.as_str().strip_prefix("provided.").unwrap_or("alami");
        // The test harness that the function is has printed a line of its own.
        let cold: String = cold
            .replace(&format!("provided:{system}.v1"), "provided:SYSTEM.v1")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("running"))
            .map(|line| format!("{line}\n"))
            .collect();
        allow_duplicates! { assert_snapshot!(cold, @r#"
        - {"do":"say"}
        INIT_START Runtime Version: provided:SYSTEM.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
        START RequestId: <id> Version: $LATEST
        a line
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
        "#); }
        let failed = function.call(r#"{"do": "fail"}"#).await;
        assert_eq!(failed.function_error.as_deref(), Some("Unhandled"));
        let payload: Value = serde_json::from_slice(&failed.payload).expect("JSON");
        assert_eq!(payload["errorMessage"], "no such luck", "{payload}");
        let exited = show(&function.call(r#"{"do": "exit"}"#).await);
        assert!(exited.contains("Runtime exited with error: exit status 3"), "{exited}");
        assert_eq!(function.value(r#"{"do": "say"}"#).await["do"], "say", "it starts again");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provided_runtime_is_told_what_aws_tells_it() {
    let lab = Lab::new();
    let mut function = rust(&lab, al2023());
    function.spec.variables.insert("MINE".into(), "1".into());
    // No wrapper is heeded: a bootstrap does as it likes.
    function.spec.variables.insert("AWS_LAMBDA_EXEC_WRAPPER".into(), "/opt/none".into());
    let mut seen = function.value("{}").await;
    assert_eq!(seen["arn"], function.spec.function_arn());
    assert_eq!((&seen["has_time"], &seen["var_lang"]), (&json!(true), &json!(false)));
    let name = function.spec.function_name.as_str();
    let variables = seen["variables"].take();
    let shown: Vec<_> = variables
        .as_object()
        .expect("a map")
        .iter()
        .map(|(key, value)| match (key.as_str(), value.as_str().expect("text")) {
            ("AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN", _) => key.clone(),
            ("AWS_LAMBDA_LOG_STREAM_NAME" | "AWS_LAMBDA_RUNTIME_API" | "_X_AMZN_TRACE_ID", _) => key.clone(),
            (_, value) => format!("{key}={}", value.replace(name, "NAME")),
        })
        // Whatever a shell sets by itself.
        .filter(|line| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|shell| line.starts_with(shell)))
        .collect();
    assert_snapshot!(format!("{}\n{}", seen["folder"], shown.join("\n")), @r#"
    "/var/task"
    AWS_ACCESS_KEY_ID
    AWS_DEFAULT_REGION=eu-west-1
    AWS_LAMBDA_EXEC_WRAPPER=/opt/none
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024
    AWS_LAMBDA_FUNCTION_NAME=NAME
    AWS_LAMBDA_FUNCTION_VERSION=$LATEST
    AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
    AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/NAME
    AWS_LAMBDA_LOG_STREAM_NAME
    AWS_LAMBDA_RUNTIME_API
    AWS_REGION=eu-west-1
    AWS_SECRET_ACCESS_KEY
    AWS_SESSION_TOKEN
    AWS_XRAY_CONTEXT_MISSING=LOG_ERROR
    AWS_XRAY_DAEMON_ADDRESS=169.254.100.1:2000
    LAMBDA_RUNTIME_DIR=/var/runtime
    LAMBDA_TASK_ROOT=/var/task
    LANG=en_US.UTF-8
    LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib
    MINE=1
    PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin
    TZ=:UTC
    _AWS_XRAY_DAEMON_ADDRESS=169.254.100.1
    _AWS_XRAY_DAEMON_PORT=2000
    _HANDLER=app.handler
    _X_AMZN_TRACE_ID
    "#);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_in_a_layer_runs_and_one_in_the_code_goes_first() {
    let lab = Lab::new();
    let mut function = lab.function(al2023(), "");
    let opt = lab.files(&[("file", "")]);
    bootstrap_into(&opt, "/opt");
    function.spec.opt = Some(opt);
    assert_eq!(function.value(r#"{"do": "say"}"#).await["do"], "say");
    let own = function.spec.task.join("bootstrap");
    fs_err::write(&own, "#!/bin/sh\necho mine\nexit 7\n").expect("a file");
    fs_err::set_permissions(own, std::fs::Permissions::from_mode(0o755)).expect("the mode");
    function.spec.revision = "2".into();
    let shown = show(&function.call("{}").await);
    assert!(shown.contains("mine\n") && shown.contains("exit status 7"), "{shown}");
    lab.sandbox.shutdown().await;
}

/// The outcome of a function whose code holds this `bootstrap`.
async fn check(lab: &Lab, bootstrap: Option<(&str, u32)>) -> String {
    let function = lab.function(al2023(), "");
    if let Some((content, mode)) = bootstrap {
        let path = function.spec.task.join("bootstrap");
        fs_err::write(&path, content).expect("a file");
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the mode");
    }
    show(&function.call("{}").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_that_cannot_be_started_is_an_invalid_entrypoint() {
    let lab = Lab::new();
    assert_snapshot!(check(&lab, None).await, @r#"
    Unhandled {"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: <id> Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}
    INIT_START Runtime Version: provided:al2023.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.InvalidEntrypoint
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.InvalidEntrypoint
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]
    Runtime.InvalidEntrypoint
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.InvalidEntrypoint
    "#);
    let cases =
        [("#!/bin/sh\n", 0o644), ("#!/no/such/shell\n", 0o755), ("neither a script nor a program\n", 0o755)];
    let mut shown = String::new();
    for case in cases {
        shown += check(&lab, Some(case)).await.lines().next().expect("a line");
        shown.push('\n');
    }
    assert_snapshot!(shown, @r#"
    Unhandled {"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: <id> Error: fork/exec /var/task/bootstrap: permission denied"}
    Unhandled {"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: <id> Error: fork/exec /var/task/bootstrap: no such file or directory"}
    Unhandled {"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: <id> Error: fork/exec /var/task/bootstrap: exec format error"}
    "#);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_a_bootstrap_runs_too() {
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    let function = lab.function(al2023(), "");
    bootstrap_into(&function.spec.task, function.spec.task.as_str());
    let seen = function.value("{}").await;
    assert_eq!(seen["folder"], function.spec.task.as_str());
    assert_eq!(seen["variables"]["LAMBDA_TASK_ROOT"], function.spec.task.as_str());
    let missing = check(&lab, None).await;
    assert!(missing.contains("Couldn't find valid bootstrap(s)"), "{missing}");
    lab.sandbox.shutdown().await;
}
