//! Environments come and go: reuse, concurrency, retirement, shutdown, floods, the server's death.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    process::{Command, Stdio},
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use insta::{allow_duplicates, assert_snapshot};
use layercake_local::sandbox::{Isolation, SandboxError, Tuning};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Lab, newest, show};

const STREAM: &str = "import os, time\n\
    def handler(event, context):\n    time.sleep(event)\n    return os.environ['AWS_LAMBDA_LOG_STREAM_NAME']\n";

/// Processes of this machine that have this text among their environment variables.
pub(crate) fn processes_with(marker: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.windows(marker.len()).any(|window| window == marker.as_bytes())
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits until something holds, for at most ten seconds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come to be");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_have_environments_of_their_own() {
    let lab = Lab::new();
    let function = lab.function(newest(), STREAM);
    let streams = join_all((0..3).map(|_| function.value("0.5"))).await;
    let distinct: BTreeSet<_> = streams.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), 3);
    let again = function.value("0").await.to_string();
    assert!(distinct.contains(&again), "a later call reuses one of them");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_s_bound_makes_calls_wait_and_idle_environments_give_way() {
    let tuning = Tuning { most_environments: NonZeroUsize::MIN, ..Tuning::default() };
    let lab = Lab::with(Isolation::Best, tuning);
    let (one, two) = (lab.function(newest(), STREAM), lab.function(newest(), STREAM));
    let streams = join_all([&one, &two, &one, &two].map(|function| function.value("0.05"))).await;
    assert_eq!(streams.len(), 4);
    lab.sandbox.shutdown().await;

    let impatient = Tuning {
        patience: Duration::from_millis(50),
        most_environments: NonZeroUsize::MIN,
        ..Tuning::default()
    };
    let lab = Lab::with(Isolation::Best, impatient);
    let function = lab.function(newest(), STREAM);
    let results = join_all((0..2).map(|_| function.try_call("1"))).await;
    assert_eq!(
        results.iter().filter(|result| matches!(result, Err(SandboxError::Busy { environments: 1 }))).count(),
        1
    );
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_function_starts_anew_and_a_new_revision_too() {
    let lab = Lab::new();
    let mut function = lab.function(newest(), STREAM);
    let first = function.value("0").await;
    assert_eq!(function.value("0").await, first);
    let name = function.spec.function_name.to_string();
    lab.sandbox.retire(&function.spec.function_arn()).await;
    assert_eq!(processes_with(&name), Vec::<String>::new(), "idle environments end at once");
    let second = function.value("0").await;
    assert_ne!(second, first);

    // One that is busy while it is retired finishes its call and is not used again.
    let busy = tokio::spawn({
        let function = function.clone();
        async move { function.value("0.5").await }
    });
    eventually("the call", || processes_with(&name).len() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    lab.sandbox.retire(&function.spec.function_arn()).await;
    let during = busy.await.expect("an answer");
    assert_ne!(function.value("0").await, during);

    let before = function.value("0").await;
    function.spec.revision = "2".into();
    assert_ne!(function.value("0").await, before, "another revision has other environments");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_can_spare_a_revision() {
    let lab = Lab::new();
    let old = lab.function(newest(), STREAM);
    let mut new = old.clone();
    new.spec.revision = "2".into();
    let name = old.spec.function_name.to_string();
    let (idle_old, idle_new) = (old.value("0").await, new.value("0").await);
    let (busy_old, busy_new) = (old.clone(), new.clone());
    let busy = tokio::spawn(async move { join_all([busy_old.value("1"), busy_new.value("1")]).await });
    // They are busy when there is nobody left whom a second pair of calls could use.
    let busy_too = tokio::spawn({
        let (old, new) = (old.clone(), new.clone());
        async move { join_all([old.value("1"), new.value("1")]).await }
    });
    eventually("the second pair", || processes_with(&name).len() == 4).await;
    lab.sandbox.retire_except(&old.spec.function_arn(), "$LATEST", "2").await;
    let streams = [busy.await.expect("answers"), busy_too.await.expect("answers")].concat();
    assert!(streams.contains(&idle_old) && streams.contains(&idle_new), "{streams:?}");
    let (olds, news) = ([&streams[0], &streams[2]], [&streams[1], &streams[3]]);
    assert!(news.contains(&&new.value("0").await), "the spared revision's environments are kept");
    assert!(!olds.contains(&&old.value("0").await), "the other revision's are not, busy as they were");

    lab.sandbox.retire_except(&old.spec.function_arn(), "$LATEST", "2").await;
    assert_eq!(processes_with(&name).len(), 2, "idle ones of the other revision end at once");
    lab.sandbox.retire(&old.spec.function_arn()).await;
    assert_eq!(processes_with(&name), Vec::<String>::new(), "a deletion spares none");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_environments_end_after_their_time() {
    let lab = Lab::with(Isolation::Best, Tuning { keep_idle: Duration::ZERO, ..Tuning::default() });
    let function = lab.function(newest(), STREAM);
    function.value("0").await;
    let name = function.spec.function_name.to_string();
    eventually("the end of the idle environment", || processes_with(&name).is_empty()).await;
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_everything_at_once() {
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        let lab = Lab::with(isolation, Tuning::default());
        // A daemon that has left its process group, as an unkind function may leave behind.
        let code = "import os, subprocess, time\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n\
            def handler(event, context):\n    time.sleep(event)\n";
        let function = lab.function(newest(), code);
        function.value("0").await;
        let busy = tokio::spawn({
            let function = function.clone();
            async move { function.try_call("600").await }
        });
        let name = function.spec.function_name.to_string();
        eventually("the second environment", || processes_with(&name).len() >= 2).await;
        lab.sandbox.shutdown().await;
        assert_eq!(processes_with(&name), Vec::<String>::new(), "{isolation:?}");
        assert!(matches!(busy.await.expect("joined"), Err(SandboxError::ShuttingDown)));
        assert!(matches!(function.try_call("0").await, Err(SandboxError::ShuttingDown)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_that_nobody_waits_for_keeps_no_place() {
    let lab = Lab::new();
    let function = lab.function(newest(), STREAM);
    function.value("0").await;
    let abandoned = lab.sandbox.retire(&function.spec.function_arn()).now_or_never();
    assert_eq!(abandoned, None, "an end takes longer than one look at it");
    let shutdown = tokio::time::timeout(Duration::from_secs(20), lab.sandbox.shutdown()).await;
    shutdown.expect("shutdown does not wait for a place that nobody gives back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_from_outside_ends_the_call_at_once() {
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        let lab = Lab::with(isolation, Tuning::default());
        let mut function = lab.function(newest(), STREAM);
        function.spec.timeout = Duration::from_secs(600);
        let name = function.spec.function_name.to_string();
        let busy = tokio::spawn({
            let function = function.clone();
            async move { function.call("600").await }
        });
        eventually("the runtime", || processes_with(&name).len() == 1).await;
        kill(parent(&processes_with(&name)[0]), Signal::SIGKILL).expect("killed");
        let outcome = tokio::time::timeout(Duration::from_secs(20), busy).await;
        let shown = show(&outcome.expect("an answer long before the timeout").expect("joined"));
        allow_duplicates! { assert_snapshot!(shown.lines().next().expect("a line"), @r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: signal: killed"}"#); }
        assert_eq!(function.call("0").await.function_error, None, "the next call has a new environment");
        lab.sandbox.shutdown().await;
    }
}

/// The parent of a process, as this machine counts.
fn parent(pid: &str) -> Pid {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    Pid::from_raw(line.trim().parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_waits_for_runs_to_its_end() {
    let tuning = Tuning { most_environments: NonZeroUsize::MIN, ..Tuning::default() };
    let lab = Lab::with(Isolation::Best, tuning);
    let code = "import time\ndone = []\n\
        def handler(event, context):\n    time.sleep(event)\n    done.append(event)\n    return done\n";
    let function = lab.function(newest(), code);
    function.value("0").await;
    let abandoned = tokio::time::timeout(Duration::from_millis(50), function.value("0.4")).await;
    assert!(abandoned.is_err());
    // The only environment is busy, so this call waits for it, and finds the work done.
    assert_eq!(function.value("0").await.to_string(), "[0,0.4,0]");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_does_not_block_and_all_of_it_comes_before_the_end() {
    let lab = Lab::new();
    let code = "import sys\ndef handler(event, context):\n    for n in range(event):\n        \
        print('line', n, file=[sys.stdout, sys.stderr][n % 2])\n    sys.stdout.write('open')\n    return 'done'\n";
    let function = lab.function(newest(), code);
    let outcome = function.call("20000").await;
    let lines: Vec<_> = outcome.log.iter().map(|event| event.text.trim_end()).collect();
    let start = lines.iter().position(|line| line.starts_with("START")).expect("START");
    assert!((0..20000).all(|n| lines[start + 1 + n] == format!("line {n}")), "every line, in order");
    assert_eq!(lines[start + 20001], "open");
    assert!(lines[start + 20002].starts_with("END"));
    let tail = String::from_utf8(outcome.log_tail()).expect("UTF-8");
    assert!(tail.len() == 4096 && tail.contains("REPORT"), "{tail}");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_outlive_the_handler_do_not_hold_the_answer() {
    let lab = Lab::new();
    let code = "import subprocess\ndef handler(event, context):\n    subprocess.Popen(['sleep', '600'])\n    return 1\n";
    let function = lab.function(newest(), code);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), function.value("{}")).await.expect("in time"), 1);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_six_megabytes_pass() {
    let lab = Lab::new();
    let function = lab.function(newest(), "def handler(event, context):\n    return len(event)\n");
    let event = format!("\"{}\"", "x".repeat(6_000_000));
    assert_eq!(function.value(&event).await, 6_000_000);
    lab.sandbox.shutdown().await;
}

/// The server that `nothing_survives_the_server_s_death` kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn serves_until_it_is_killed() {
    let isolation = match std::env::var("LAYERCAKE_TEST_ISOLATION").as_deref() {
        Ok("process") => Isolation::ProcessOnly,
        _ => Isolation::Best,
    };
    let lab = Lab::with(isolation, Tuning::default());
    let code = "import os, subprocess, time\nsubprocess.Popen(['sleep', '600'])\n\
        def handler(event, context):\n    open('/dev/null')\n    time.sleep(600)\n";
    let mut function = lab.function(newest(), code);
    function.spec.timeout = Duration::from_secs(600);
    let marker = std::env::var("LAYERCAKE_TEST_MARKER").expect("a marker");
    function.spec.variables.insert("MARKER".into(), marker);
    let _ = function.call("{}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_survives_the_server_s_death() {
    for isolation in ["best", "process"] {
        let marker = format!("M{}", uuid::Uuid::new_v4().simple());
        let mut server = Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "life::serves_until_it_is_killed"])
            .env("LAYERCAKE_TEST_MARKER", &marker)
            .env("LAYERCAKE_TEST_ISOLATION", isolation)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        let inside = format!("\0MARKER={marker}");
        eventually("two processes", || processes_with(&inside).len() == 2).await;
        server.kill().expect("killed");
        server.wait().expect("waited");
        eventually("the end of all processes", || processes_with(&inside).is_empty()).await;
    }
}

/// Figures, not a verdict: `cargo test -p layercake-local --test sandbox -- --ignored --nocapture how_long`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn how_long_a_cold_start_takes() {
    use std::time::Instant;

    const ROUNDS: usize = 30;
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let begun = Instant::now();
    let found = crate::support::interpreters();
    println!("discovery of {} Pythons: {:.1} ms", found.all().len(), begun.elapsed().as_secs_f64() * 1e3);
    for runtime in crate::support::runtimes() {
        let python = found.for_runtime(runtime).expect("a Python").clone();
        let plain = |arguments: &[&str]| {
            let times = (0..ROUNDS).map(|_| {
                let begun = Instant::now();
                Command::new(&python.executable).args(arguments).status().expect("python");
                begun.elapsed().as_secs_f64() * 1e3
            });
            median(times.collect())
        };
        let (bare, isolated) = (plain(&["-c", "pass"]), plain(&["-I", "-S", "-c", "pass"]));
        let mut cold = Vec::new();
        for isolation in [Isolation::ProcessOnly, Isolation::Best] {
            let lab = Lab::with(isolation, Tuning::default());
            let function =
                lab.function(runtime, "import time\ndef handler(event, context):\n    return time.time()\n");
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let begun =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
                let called = function.value("{}").await.as_f64().expect("a time");
                times.push((called - begun.as_secs_f64()) * 1e3);
                lab.sandbox.retire(&function.spec.function_arn()).await;
            }
            cold.push(median(times));
            if isolation == Isolation::Best {
                function.value("{}").await;
                let begun = Instant::now();
                for _ in 0..2000 {
                    function.call("{}").await;
                }
                cold.push(begun.elapsed().as_secs_f64() * 1e6 / 2000.0);
            }
            lab.sandbox.shutdown().await;
        }
        println!(
            "{runtime}: python -c pass {bare:.1} ms, -I -S {isolated:.1} ms; spawn to handler {:.1} ms as a process, \
             {:.1} ms in the jail; warm call {:.0} us",
            cold[0], cold[1], cold[2]
        );
    }
}
