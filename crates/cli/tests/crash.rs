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
        assert_eq!(registered(&env), [""; 0], "moment {moment}");
    }
    assert_eq!(env.everything(), nothing());
}

/// The files of the list of apps, but for those that a killed process was writing: they are swept
/// away later.
fn registered(env: &TestEnv) -> Vec<String> {
    let entries = env.cloud().join("apps").read_dir_utf8().into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_owned()).filter(|name| !name.ends_with(".tmp")).collect()
}

#[test]
fn a_journal_that_was_emptied_is_not_forgotten() {
    let env = TestEnv::new();
    let app = env.app("emptied-app", &[("app.py", "def lambda_handler(event, context):\n    return 1\n")]);
    let journal = app.join(".layercake/emptied-app.local.journal");
    env.run_ok(&["up", app.as_str()]);
    // Beside it and renamed: the registry's link is to the file that was there.
    let beside = app.join("beside");
    std::fs::write(&beside, "").expect("written");
    std::fs::rename(&beside, &journal).expect("renamed");
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing(), "the link still says what was made");
    // In place: then nothing says it, and that is told, not cleared away.
    std::fs::remove_dir_all(app.join(".layercake")).expect("removed");
    env.run_ok(&["up", app.as_str()]);
    let text = std::fs::read_to_string(&journal).expect("readable");
    std::fs::write(&journal, "").expect("written");
    let answer = env.run_ok(&["down"]);
    assert!(
        answer.stderr.contains("is gone, and with it the list of what its app made"),
        "{}",
        answer.stderr
    );
    assert!(journal.exists());
    std::fs::write(&journal, text).expect("written");
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
}

/// The moments between announcing a journal and its first record are too short to be met.
#[test]
fn killed_before_the_first_record_down_leaves_nothing() {
    let env = TestEnv::new();
    let app = env.app("begun-app", &[("app.py", "def lambda_handler(event, context):\n    return 1\n")]);
    let (state, apps) = (app.join(".layercake"), env.cloud().join("apps"));
    let journal = state.join("begun-app.local.journal");
    env.run_ok(&["up", app.as_str()]);
    let opening = std::fs::read_to_string(&journal).expect("readable");
    let opening = opening.lines().next().expect("its first record");
    let entry = registered(&env).into_iter().find(|name| name.ends_with(".json")).expect("registered");
    env.run_ok(&["down"]);
    let announced = serde_json::json!({ "format": 1, "journal": journal, "announced": true }).to_string();
    let moments = [None, Some(""), Some(&opening[..opening.len() / 2]), Some(opening)];
    for (arguments, moment) in [vec!["down"], vec!["down", app.as_str()]]
        .iter()
        .flat_map(|arguments| moments.iter().map(move |moment| (arguments, moment)))
    {
        std::fs::write(apps.join(&entry), &announced).expect("written");
        std::fs::create_dir(&state).expect("made");
        if let Some(text) = moment {
            std::fs::write(&journal, text).expect("written");
        }
        let dry = env.run_ok(&[arguments, &["--dry-run"][..]].concat());
        assert!(dry.stderr.contains("nothing is up"), "{}", dry.stderr);
        assert!(state.exists(), "a dry run touches nothing");
        env.run_ok(arguments);
        assert!(!state.exists(), "{arguments:?} {moment:?}");
        assert_eq!(registered(&env), [""; 0], "{arguments:?} {moment:?}");
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
