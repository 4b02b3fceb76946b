//! `AWS_LAMBDA_EXEC_WRAPPER`: a program that is started in place of the interpreter.

use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;
use insta::{allow_duplicates, assert_snapshot};
use layercake_core::target::Runtime;
use layercake_local::sandbox::{Isolation, Tuning};

use crate::support::{Function, Lab, newest, runtimes, show};

/// The wrapper of AWS's own example: one more option before the last argument.
const OPTIONS: &str = "#!/bin/sh\n\
    echo \"wrapped $#: ${1##*/}\"\n\
    export FROM_WRAPPER=yes\n\
    exec \"$1\" -X faulthandler \"$2\"\n";

const SEEN: &str = "import faulthandler, os, sys\ndef handler(event, context):\n    \
    return [faulthandler.is_enabled(), os.environ['FROM_WRAPPER'], os.environ['AWS_LAMBDA_EXEC_WRAPPER'], os.environ['SHLVL'], sys.path[0] == os.environ['LAMBDA_TASK_ROOT']]\n";

fn executable(path: &Utf8Path) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("the mode");
}

/// A function whose layer holds the wrapper.
fn wrapped(lab: &Lab, runtime: Runtime, code: &str, wrapper: &str) -> Function {
    let mut function = lab.function(runtime, code);
    let opt = lab.files(&[("wrapper", wrapper), ("plain", wrapper)]);
    executable(&opt.join("wrapper"));
    function.spec.opt = Some(opt);
    function.spec.variables.insert("AWS_LAMBDA_EXEC_WRAPPER".into(), "/opt/wrapper".into());
    function
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_in_a_layer_starts_the_interpreter() {
    for runtime in runtimes().into_iter().filter(|runtime| runtime.minor() >= 8) {
        let lab = Lab::new();
        let function = wrapped(&lab, runtime, SEEN, OPTIONS);
        let shown = show(&function.call("{}").await).replace(&runtime.python_version(), "3.x");
        allow_duplicates! { assert_snapshot!(shown, @r#"
        - [true, "yes", "/opt/wrapper", "0", true]
        INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
        wrapped 2: python3.x
        START RequestId: <id> Version: $LATEST
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
        "#); }
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_pythons_heed_no_wrapper() {
    for runtime in runtimes().into_iter().filter(|runtime| runtime.minor() < 8) {
        let lab = Lab::new();
        let function = wrapped(&lab, runtime, "def handler(event, context):\n    return 'plain'\n", OPTIONS);
        assert_eq!(function.value("{}").await, "plain", "{runtime}");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_is_not_there_or_not_executable_ends_the_runtime() {
    let lab = Lab::new();
    let mut function = wrapped(&lab, newest(), SEEN, OPTIONS);
    let mut shown = String::new();
    for (revision, path) in [("2", "/opt/nothing"), ("3", "/opt/plain")] {
        function.spec.revision = revision.into();
        function.spec.variables.insert("AWS_LAMBDA_EXEC_WRAPPER".into(), path.into());
        shown += &show(&function.call("{}").await).replace(&newest().python_version(), "3.x");
        shown.push('\n');
    }
    assert_snapshot!(shown, @r#"
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: exit status 127"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    /opt/nothing: does not exist
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.ExitError
    /opt/nothing: does not exist
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.ExitError
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Runtime exited with error: exit status 127
    Runtime.ExitError
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.ExitError
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: exit status 126"}
    INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
    /opt/plain: is not an executable
    INIT_REPORT Init Duration: <n> ms→Phase: init→Status: error→Error Type: Runtime.ExitError
    /opt/plain: is not an executable
    INIT_REPORT Init Duration: <n> ms→Phase: invoke→Status: error→Error Type: Runtime.ExitError
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Runtime exited with error: exit status 126
    Runtime.ExitError
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.ExitError
    "#);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_the_wrapper_is_found_where_the_layer_lies() {
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    let options = OPTIONS.replace("\"$1\" -X faulthandler \"$2\"", "\"$@\"");
    let function = wrapped(&lab, newest(), SEEN, &options);
    let seen = function.value("{}").await;
    assert_eq!(seen.to_string(), r#"[false,"yes","/opt/wrapper","0",true]"#);
    lab.sandbox.shutdown().await;
}
