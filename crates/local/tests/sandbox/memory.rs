//! Memory and disk inside real environments: what counts, what the limits do, what is measured.

use std::time::Duration;

use insta::{allow_duplicates, assert_snapshot};
use layercake_core::target::Runtime;
use layercake_local::sandbox::{Isolation, Tuning};
use serde_json::json;

use crate::support::{Function, Lab, newest, oldest_to_newest, show};

/// Keeps so many MB more. Whoever holds more than the setting waits, for hosts that only look at
/// memory from time to time.
const EATER: &str = "
import time
kept = []
def handler(event, context):
    for _ in range(event):
        kept.append(bytearray(b'x') * 1048576)
    if len(kept) > 128:
        time.sleep(20)
    return len(kept)
";

/// The first call of an environment whose memory has run out.
async fn check_killed(function: &Function, event: &str) {
    let outcome = function.call(event).await;
    allow_duplicates! { assert_snapshot!(scrubbed(&show(&outcome)), @r#"
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: signal: killed"}
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Runtime exited with error: signal: killed
    Runtime.ExitError
    END RequestId: <id>
    REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 128 MB→Max Memory Used: <n> MB→Status: error→Error Type: Runtime.OutOfMemory
    "#); }
    assert_eq!(outcome.report.max_memory_mb, 128);
}

/// Without what only the first call of an environment has.
fn scrubbed(shown: &str) -> String {
    let lines: Vec<_> = shown.lines().filter(|line| !line.starts_with("INIT_START")).collect();
    lines.join("\n").replace("Init Duration: <n> ms→", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_more_than_the_setting_is_killed_and_the_next_call_starts_anew() {
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let mut function = lab.function(runtime, EATER);
        function.spec.memory_mb = 128;
        function.spec.timeout = Duration::from_secs(60);
        check_killed(&function, "600").await;
        assert_eq!(function.value("1").await, 1, "{runtime}: globals are at their start");
        // What is enough for a call is enough for the next one.
        assert_eq!(function.value("20").await, 21, "{runtime}");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_needs_too_much_fails_the_call_in_the_same_words() {
    let lab = Lab::new();
    let code = "import time\nkept = bytearray(b'x') * (600 << 20)\ntime.sleep(20)\ndef handler(event, context):\n    pass\n";
    let mut function = lab.function(newest(), code);
    function.spec.memory_mb = 128;
    function.spec.timeout = Duration::from_secs(60);
    let shown = show(&function.call("{}").await);
    assert!(shown.contains("Phase: init→Status: error→Error Type: Runtime.OutOfMemory"), "{shown}");
    assert!(shown.starts_with(r#"Unhandled {"errorType":"Runtime.ExitError""#), "{shown}");
    assert!(shown.contains("Error: Runtime exited with error: signal: killed"), "{shown}");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_s_memory_is_the_function_s() {
    let lab = Lab::new();
    let code = "
import subprocess, sys
def handler(event, context):
    child = 'import time; kept = bytearray(b\"x\") * (%d << 20); time.sleep(%d)' % (event, 20 if event > 128 else 0)
    return subprocess.call([sys.executable, '-S', '-c', child])
";
    let mut function = lab.function(newest(), code);
    function.spec.memory_mb = 128;
    function.spec.timeout = Duration::from_secs(60);
    check_killed(&function, "600").await;
    assert_eq!(function.value("40").await, 0);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_share_their_parent_s_memory_do_not_count_it_again() {
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        let lab = Lab::with(isolation, Tuning::default());
        check_shared(&lab, newest()).await;
        lab.sandbox.shutdown().await;
    }
}

async fn check_shared(lab: &Lab, runtime: Runtime) {
    let code = "
import os, time
kept = bytearray(b'x') * (60 << 20)
def handler(event, context):
    children = []
    for _ in range(event):
        child = os.fork()
        if child == 0:
            time.sleep(1.5)
            os._exit(0)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]
";
    let mut function = lab.function(runtime, code);
    function.spec.memory_mb = 160;
    function.spec.timeout = Duration::from_secs(60);
    assert_eq!(function.value("6").await, json!([0, 0, 0, 0, 0, 0]));
}

const FILLER: &str = "
import os, time
kept = []
def fill():
    written = 0
    try:
        with open('/tmp/filler', 'wb', 0) as file:
            while True:
                written += file.write(b'x' * 1048576)
    except OSError as error:
        return [error.errno, written]
def handler(event, context):
    if event == 'fill':
        return fill()
    if event == 'size':
        return os.path.getsize('/tmp/filler')
    if event == 'remove':
        os.remove('/tmp/filler')
        return True
    for _ in range(event):
        kept.append(bytearray(b'x') * 1048576)
    if len(kept) > 128:
        time.sleep(20)
    return len(kept)
";

#[tokio::test(flavor = "multi_thread")]
async fn what_tmp_holds_is_no_memory_and_tmp_is_full_at_its_size() {
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let mut function = lab.function(runtime, FILLER);
        (function.spec.memory_mb, function.spec.tmp_mb) = (128, 300);
        function.spec.timeout = Duration::from_secs(60);
        let full = function.value("\"fill\"").await;
        assert_eq!(full, json!([28, 300 << 20]), "{runtime}: ENOSPC at the size of /tmp");
        assert_eq!(function.value("40").await, 40, "{runtime}: memory is left beside a full /tmp");
        check_killed(&function, "600").await;
        assert_eq!(function.value("\"size\"").await, 300 << 20, "{runtime}: /tmp outlives the runtime");
        // The room that files had is nobody's afterwards.
        assert_eq!(function.value("\"remove\"").await, true);
        check_killed(&function, "200").await;
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_memory_used_is_that_of_all_processes_at_their_peak() {
    let code = "
import subprocess, sys
def handler(event, context):
    freed = bytearray(b'x') * (event[0] << 20)
    del freed
    child = 'kept = bytearray(b\"x\") * (%d << 20); input()' % event[1]
    if event[1]:
        child = subprocess.Popen([sys.executable, '-S', '-c', child], stdin=subprocess.PIPE)
        __import__('time').sleep(0.5)
        child.communicate(b'\\n')
";
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let function = lab.function(runtime, code);
        let small = function.call("[0, 0]").await.report.max_memory_mb;
        let large = function.call("[100, 0]").await.report.max_memory_mb;
        assert!((4..60).contains(&small), "{runtime}: {small}");
        assert!((small + 95..small + 125).contains(&large), "{runtime}: {small} {large}");
        assert_eq!(
            function.call("[0, 0]").await.report.max_memory_mb,
            large,
            "{runtime}: the most of all calls"
        );
        lab.sandbox.shutdown().await;
    }
}

/// The rest of a test that must run as an ordinary user.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn as_this_user() {
    let lab = Lab::of_another_user();
    let mut function = lab.function(lab.newest(), EATER);
    function.spec.memory_mb = 128;
    function.spec.timeout = Duration::from_secs(60);
    check_killed(&function, "600").await;
    assert_eq!(function.value("1").await, 1);
    check_shared(&lab, lab.newest()).await;
    lab.sandbox.shutdown().await;
}
