//! `up` killed at any moment, and interrupted at any moment: nothing is left.

mod support;

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use support::{TestEnv, nothing};

/// How many moments of a run are tried.
const MOMENTS: u32 = 24;

fn start(env: &TestEnv, app: &str) -> Child {
    let mut command = env.command(&["up", app, "--via-s3"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// How long an undisturbed run takes, with the cache warm.
fn undisturbed(env: &TestEnv, app: &str) -> Duration {
    env.run_ok(&["up", app, "--via-s3"]);
    env.run_ok(&["down", app]);
    let begun = Instant::now();
    env.run_ok(&["up", app, "--via-s3"]);
    let took = begun.elapsed();
    env.run_ok(&["down", app]);
    took
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.expect("kill starts").success());
}

/// Processes whose environment names this function.
fn environments_of(function: &str) -> Vec<String> {
    let needle = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter(|process| {
            std::fs::read(process.path().join("environ")).is_ok_and(|environ| {
                environ.split(|byte| *byte == 0).any(|variable| variable == needle.as_bytes())
            })
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits until there is no such process; what a kill leaves behind ends by itself, but not within
/// the same microsecond.
fn none_is_left(function: &str) {
    let begun = Instant::now();
    loop {
        let left = environments_of(function);
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "processes {left:?} outlive the server");
        std::thread::yield_now();
    }
}

#[test]
fn killed_at_any_moment_down_leaves_nothing() {
    let env = TestEnv::new();
    let app = env.app("killed-app", &[("app.py", support::DEMO_CODE), ("requirements.txt", "demo\n")]);
    let whole = undisturbed(&env, app.as_str());
    for moment in 0..MOMENTS {
        let mut child = start(&env, app.as_str());
        std::thread::sleep(whole * (moment + 1) / (MOMENTS + 1));
        signal(&child, "KILL");
        child.wait().expect("it has ended");
        none_is_left("killed-app");
        // Every third time `up` goes on where it was killed; then `down` undoes both.
        if moment % 3 == 2 {
            env.run_ok(&["up", app.as_str(), "--via-s3"]);
        }
        env.run_ok(&["down"]);
        let left: Vec<_> = app.join(".layercake").read_dir_utf8().into_iter().flatten().flatten().collect();
        assert!(!app.join(".layercake").exists(), "moment {moment}: {left:?}");
    }
    assert_eq!(env.everything(), nothing());
}

#[test]
fn interrupted_at_any_moment_it_cleans_up_itself() {
    let env = TestEnv::new();
    let app = env.app("interrupted-app", &[("app.py", support::DEMO_CODE), ("requirements.txt", "demo\n")]);
    let whole = undisturbed(&env, app.as_str());
    let mut interrupted = 0;
    for moment in 0..MOMENTS / 2 {
        let mut child = start(&env, app.as_str());
        std::thread::sleep(whole * (moment + 1) / (MOMENTS / 2 + 1));
        signal(&child, "INT");
        let status = child.wait().expect("it has ended");
        none_is_left("interrupted-app");
        match status.code() {
            // It was done before the signal came.
            Some(0) => drop(env.run_ok(&["down", app.as_str()])),
            // 130, or the signal itself when it comes before the program listens for it.
            Some(130) | None => interrupted += 1,
            other => panic!("exit code {other:?}"),
        }
        assert!(!app.join(".layercake").exists(), "moment {moment}");
    }
    assert!(interrupted > 0, "no moment fell into a run");
    assert_eq!(env.everything(), nothing());
}
