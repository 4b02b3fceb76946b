//! What a caller gets when a function fails, and what its log says.

use std::time::Duration;

use insta::{allow_duplicates, assert_snapshot};
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
        allow_duplicates! { assert_snapshot!(cold.replace(&runtime.python_version(), "3.x"), @r"
        - 2
        INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
        at import
        START RequestId: <id> Version: $LATEST
        one
        two
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
        "); }
        let warm = show(&function.call(r#"{"x": 1}"#).await);
        allow_duplicates! { assert_snapshot!(warm, @r"
        - 3
        START RequestId: <id> Version: $LATEST
        one
        two
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→
        "); }
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_raises() {
    let code = "def handler(event, context):\n    helper()\ndef helper():\n    raise ValueError('a \"quoted\" reason')\n";
    // The 3.13 traceback module underlines, the payload does not: frames are plain on all.
    assert_snapshot!(check(code).await, @r#"
    Unhandled {"errorMessage": "a \"quoted\" reason", "errorType": "ValueError", "requestId": "<id>", "stackTrace": ["  File \"/var/task/app.py\", line 2, in handler\n    helper()\n", "  File \"/var/task/app.py\", line 4, in helper\n    raise ValueError('a \"quoted\" reason')\n"]}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    START RequestId: <id> Version: $LATEST
    [ERROR] ValueError: a "quoted" reason␍Traceback (most recent call last):␍··File "/var/task/app.py", line 2, in handler␍····helper()␍··File "/var/task/app.py", line 4, in helper␍····raise ValueError('a "quoted" reason')
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_raises() {
    let shown = check_on(newest(), "raise RuntimeError('at import')\n").await;
    assert!(shown.contains("importlib/__init__.py"), "{shown}");
    assert!(shown.contains(r#""errorType": "RuntimeError", "requestId": "", "stackTrace": ["#), "{shown}");
    assert!(
        shown.contains(
            r#"  File \"/var/task/app.py\", line 1, in <module>\n    raise RuntimeError('at import')\n"]"#
        ),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_module() {
    assert_snapshot!(check("import nowhere\n").await, @r#"
    Unhandled {"errorMessage": "Unable to import module 'app': No module named 'nowhere'", "errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": []}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    [ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'nowhere'␍Traceback (most recent call last):
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.ImportModuleError
    [ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'nowhere'␍Traceback (most recent call last):
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.ImportModuleError
    START RequestId: <id> Version: $LATEST
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.ImportModuleError
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_handler() {
    assert_snapshot!(check("x = 1\n").await, @r#"
    Unhandled {"errorMessage": "Handler 'handler' missing on module 'app'", "errorType": "Runtime.HandlerNotFound", "requestId": "", "stackTrace": []}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    [ERROR] Runtime.HandlerNotFound: Handler 'handler' missing on module 'app'␍Traceback (most recent call last):
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.HandlerNotFound
    [ERROR] Runtime.HandlerNotFound: Handler 'handler' missing on module 'app'␍Traceback (most recent call last):
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.HandlerNotFound
    START RequestId: <id> Version: $LATEST
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.HandlerNotFound
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syntax_error() {
    // The words of the message are the compiler's, and change.
    let shown = check_on(newest(), "x = = 1\n").await;
    assert_snapshot!(shown.lines().next().expect("a line"), @r#"Unhandled {"errorMessage": "Syntax error in module 'app': invalid syntax (app.py, line 1)", "errorType": "Runtime.UserCodeSyntaxError", "requestId": "", "stackTrace": ["  File \"/var/task/app.py\" Line 1\n    x = = 1\n"]}"#);
    let log: Vec<_> =
        shown.lines().filter(|line| line.starts_with("REPORT") || line.starts_with("INIT_REPORT")).collect();
    assert_snapshot!(log.join("\n"), @r"
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.UserCodeSyntaxError
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.UserCodeSyntaxError
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.UserCodeSyntaxError
    ");
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
        assert!(
            shown.contains(&format!(r#"{{"errorMessage": "{expected}", "errorType": "Runtime."#)),
            "{shown}"
        );
    }
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_json() {
    assert_snapshot!(check("def handler(event, context):\n    return {1, 2}\n").await, @r#"
    Unhandled {"errorMessage": "Unable to marshal response: Object of type set is not JSON serializable", "errorType": "Runtime.MarshalError", "requestId": "<id>", "stackTrace": []}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    START RequestId: <id> Version: $LATEST
    [ERROR] Runtime.MarshalError: Unable to marshal response: Object of type set is not JSON serializable␍Traceback (most recent call last):
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_in_the_handler() {
    assert_snapshot!(check("import sys\ndef handler(event, context):\n    print('bye')\n    sys.exit(3)\n").await, @r#"
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: exit status 3"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    START RequestId: <id> Version: $LATEST
    bye
    RequestId: <id> Error: Runtime exited with error: exit status 3
    Runtime.ExitError
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→Status: error→Error Type: Runtime.ExitError
    "#);
    let zero = check("import os\ndef handler(event, context):\n    os._exit(0)\n").await;
    assert_snapshot!(zero.lines().next().expect("a line"), @r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited without providing a reason"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_in_the_module() {
    assert_snapshot!(check("import sys\nsys.exit(4)\n").await, @r#"
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: exit status 4"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.ExitError
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.ExitError
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Runtime exited with error: exit status 4
    Runtime.ExitError
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.ExitError
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash() {
    assert_snapshot!(check("import ctypes\ndef handler(event, context):\n    ctypes.string_at(0)\n").await, @r#"
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: signal: segmentation fault"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Runtime exited with error: signal: segmentation fault
    Runtime.ExitError
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→Status: error→Error Type: Runtime.ExitError
    "#);
    let killed = check("import os\ndef handler(event, context):\n    os.kill(os.getpid(), 9)\n").await;
    assert_snapshot!(killed.lines().next().expect("a line"), @r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: signal: killed"}"#);
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
        allow_duplicates! { assert_snapshot!(show(&outcome), @r#"
        Unhandled {"errorType":"Sandbox.Timedout","errorMessage":"RequestId: <id> Error: Task timed out after <n> seconds"}
        START RequestId: <id> Version: $LATEST
        sleeping
        <time> <id> Task timed out after <n> seconds
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: timeout
        "#); }
        assert_eq!(outcome.report.duration_ms, 1000.0);
        assert_eq!(outcome.report.billed_ms, 1000);
        assert_eq!(function.value("{}").await.to_string(), "[1,true]", "globals are new, /tmp is not");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_never_ends_times_out_within_the_call() {
    let lab = Lab::new();
    let mut function = lab
        .function(newest(), "import sys\nprint('again')\nsys.stdout.flush()\nimport time\ntime.sleep(60)\n");
    function.spec.timeout = Duration::from_secs(1);
    let shown = show(&function.call("{}").await).replace(&newest().python_version(), "3.x");
    assert_snapshot!(shown, @r#"
    Unhandled {"errorType":"Sandbox.Timedout","errorMessage":"RequestId: <id> Error: Task timed out after <n> seconds"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    again
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: timeout
    again
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: timeout
    START RequestId: <id> Version: $LATEST
    <time> <id> Task timed out after <n> seconds
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: timeout
    "#);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_too_large() {
    let lab = Lab::new();
    let function =
        lab.function(newest(), "def handler(event, context):\n    print('ran')\n    return 'x' * event\n");
    assert_snapshot!(show(&function.call("6291555").await), @r#"
    Unhandled {"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}
    INIT_START Runtime Version: python:3.13.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    START RequestId: <id> Version: $LATEST
    ran
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
    "#);
    assert_eq!(function.call("6291554").await.payload.len(), 6_291_556);
    lab.sandbox.shutdown().await;
}
