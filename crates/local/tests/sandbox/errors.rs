//! What a caller gets when a function fails, and what its log says.

use std::time::Duration;

use insta::assert_snapshot;
use layercake_core::target::Runtime;

use crate::support::{Lab, newest, runtimes, show};

/// The outcome of one call of an `app.py` that must be the same on every Python.
async fn check(code: &str) -> String {
    let mut all = Vec::new();
    for runtime in runtimes() {
        all.push((runtime, check_on(runtime, code).await));
    }
    let (_, newest) = all.last().expect("a Python").clone();
    for (runtime, shown) in all {
        assert_eq!(shown, newest, "{runtime} differs from the newest");
    }
    newest
}

async fn check_on(runtime: Runtime, code: &str) -> String {
    let lab = Lab::new();
    let mut function = lab.function(runtime, code);
    function.spec.timeout = Duration::from_secs(20);
    let outcome = function.call("{}").await;
    lab.sandbox.shutdown().await;
    show(&outcome).replace(&format!("python:{}", runtime.python_version()), "python:3.x")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_call_and_a_warm_one() {
    for runtime in runtimes() {
        let lab = Lab::new();
        let code = "print('at import')\ncount = 0\n\
            def handler(event, context):\n    global count\n    count += 1\n    print('one\\ntwo')\n    return event['x'] + count\n";
        let function = lab.function(runtime, code);
        let cold = show(&function.call(r#"{"x": 1}"#).await);
        assert_snapshot!(cold.replace(&runtime.python_version(), "3.x"), @"");
        assert_snapshot!(show(&function.call(r#"{"x": 1}"#).await), @"");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_raises() {
    let code = "def handler(event, context):\n    helper()\ndef helper():\n    raise ValueError('a \"quoted\" reason')\n";
    // The 3.13 traceback module underlines, the payload does not: frames are plain on all.
    assert_snapshot!(check(code).await, @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_raises() {
    let shown = check_on(newest(), "raise RuntimeError('at import')\n").await;
    assert!(shown.contains("importlib/__init__.py"), "{shown}");
    assert!(shown.contains(r#""errorType": "RuntimeError", "requestId": "", "stackTrace": ["#), "{shown}");
    assert!(shown.contains(r#"  File \"/var/task/app.py\", line 1, in <module>\n    raise RuntimeError('at import')\n"]"#), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_module() {
    assert_snapshot!(check("import nowhere\n").await, @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_handler() {
    assert_snapshot!(check("x = 1\n").await, @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syntax_error() {
    // The words of the message are the compiler's, and change.
    let shown = check_on(newest(), "x = = 1\n").await;
    assert_snapshot!(shown.lines().next().expect("a line"), @"");
    let log: Vec<_> = shown.lines().filter(|line| line.starts_with("REPORT") || line.starts_with("INIT_REPORT")).collect();
    assert_snapshot!(log.join("\n"), @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_name_without_a_module_or_of_a_builtin() {
    let lab = Lab::new();
    for (handler, expected) in [
        ("app", "Bad handler 'app': not enough values to unpack (expected 2, got 1)"),
        ("sys.exit", "Cannot use built-in module sys as a handler module"),
        ("gone.handler", "Unable to import module 'gone': No module named 'gone'"),
    ] {
        let mut function = lab.function(newest(), "");
        function.spec.handler = handler.into();
        let shown = show(&function.call("{}").await);
        assert!(shown.contains(&format!(r#"{{"errorMessage": "{expected}", "errorType": "Runtime."#)), "{shown}");
    }
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_json() {
    assert_snapshot!(check("def handler(event, context):\n    return {1, 2}\n").await, @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_in_the_handler() {
    assert_snapshot!(check("import sys\ndef handler(event, context):\n    print('bye')\n    sys.exit(3)\n").await, @"");
    let zero = check("import os\ndef handler(event, context):\n    os._exit(0)\n").await;
    assert_snapshot!(zero.lines().next().expect("a line"), @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_in_the_module() {
    assert_snapshot!(check("import sys\nsys.exit(4)\n").await, @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash() {
    assert_snapshot!(check("import ctypes\ndef handler(event, context):\n    ctypes.string_at(0)\n").await, @"");
    let killed = check("import os\ndef handler(event, context):\n    os.kill(os.getpid(), 9)\n").await;
    assert_snapshot!(killed.lines().next().expect("a line"), @"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_restarts_the_runtime_and_keeps_tmp() {
    let code = "import os, time\ncount = 0\n\
        def handler(event, context):\n    global count\n    count += 1\n    \
        kept = os.path.exists('/tmp/kept')\n    open('/tmp/kept', 'w').close()\n    \
        if event.get('sleep'):\n        print('sleeping')\n        time.sleep(60)\n    \
        return [count, kept]\n";
    for runtime in runtimes() {
        let lab = Lab::new();
        let mut function = lab.function(runtime, code);
        function.spec.timeout = Duration::from_secs(1);
        assert_eq!(function.value("{}").await.to_string(), "[1,false]");
        assert_eq!(function.value("{}").await.to_string(), "[2,true]");
        let outcome = function.call(r#"{"sleep": true}"#).await;
        assert_snapshot!(show(&outcome), @"");
        assert_eq!(outcome.report.duration_ms, 1000.0);
        assert_eq!(outcome.report.billed_ms, 1000);
        assert_eq!(function.value("{}").await.to_string(), "[1,true]", "globals are new, /tmp is not");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_never_ends_times_out_within_the_call() {
    let lab = Lab::new();
    let mut function = lab.function(newest(), "import sys\nprint('again')\nsys.stdout.flush()\nimport time\ntime.sleep(60)\n");
    function.spec.timeout = Duration::from_secs(1);
    assert_snapshot!(show(&function.call("{}").await), @"");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_too_large() {
    let lab = Lab::new();
    let function = lab.function(newest(), "def handler(event, context):\n    print('ran')\n    return 'x' * event\n");
    assert_snapshot!(show(&function.call("6291555").await), @"");
    assert_eq!(function.call("6291554").await.payload.len(), 6_291_556);
    lab.sandbox.shutdown().await;
}
