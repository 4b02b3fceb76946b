//! `layercake lock`: from inputs to a lock, kept, checked, built from.

mod support;

use layercake_build::testing::{TestIndex, WheelBuilder};
use support::TestEnv;

const PROJECT: &str = "[project]
name = 'shop'
requires-python = '>=3.9'
dependencies = ['lib', \"old; python_version < '3.10'\"]
[project.optional-dependencies]
fast = ['speed']
";

fn wheels(newest: &str) -> Vec<WheelBuilder> {
    let wheel = WheelBuilder::new;
    let mut wheels = vec![
        wheel("lib", "1").requires("base"),
        wheel("base", "1").tags("cp39-cp39-manylinux2014_x86_64"),
        wheel("base", "1").tags("cp312-cp312-manylinux_2_28_x86_64"),
        wheel("base", "1").tags("cp312-cp312-manylinux_2_28_aarch64"),
        wheel("old", "1"),
        wheel("speed", "1"),
    ];
    if newest != "1" {
        wheels.push(wheel("lib", newest).requires("base"));
    }
    wheels
}

/// A lock without what changes from run to run: the index's port, and hashes cut short.
fn tidy(env: &TestEnv, text: &str) -> String {
    let mut tidy = String::new();
    for line in support::tidy(text, env).lines() {
        let line = match line.split_once("http://127.0.0.1:") {
            Some((before, after)) => {
                format!("{before}[INDEX]{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => line.to_owned(),
        };
        match line.split_once("sha256 = \"") {
            Some((before, _)) => tidy.push_str(&format!("{before}sha256 = […]")),
            None => tidy.push_str(&line),
        }
        tidy.push('\n');
    }
    tidy
}

#[test]
fn a_project_is_locked_for_every_target_and_checked() {
    let env = TestEnv::with_index(TestIndex::serving(&wheels("1")));
    let project = env.app("shop", &[("pyproject.toml", PROJECT)]).join("pyproject.toml");
    let project = project.as_str();
    let targets = ["--runtime", "python3.12", "--runtime", "python3.9", "--arch", "x86_64"];
    let lock = |more: &[&str]| env.run(&[&["lock", project], &targets[..], more].concat());
    let missing = lock(&["--check"]);
    insta::assert_snapshot!(missing.told(&env), @r"
    exit 1
    error: there is no lock `[ROOT]/shop/pylock.toml`
      hint: write it with the same command without --check
    ");
    let dry = lock(&["--dry-run", "--quiet"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert!(!env.root().join("shop/pylock.toml").exists());
    let answer = lock(&["--quiet"]);
    assert_eq!(answer.told(&env), "exit 0\n[ROOT]/shop/pylock.toml\n");
    let written = std::fs::read_to_string(env.root().join("shop/pylock.toml")).expect("a lock");
    assert_eq!(written, dry.stdout);
    insta::assert_snapshot!(tidy(&env, &written), @r#"
    # Written by `layercake lock`. Change the requirements and run it again; edits here are lost.
    lock-version = "1.0"
    environments = [
        "implementation_name == 'cpython' and platform_machine == 'x86_64' and python_version == '3.9' and sys_platform == 'linux'",
        "implementation_name == 'cpython' and platform_machine == 'x86_64' and python_version == '3.12' and sys_platform == 'linux'",
    ]
    requires-python = ">=3.9"
    created-by = "layercake"

    [[packages]]
    name = "base"
    version = "1"
    wheels = [
        { url = "[INDEX]/files/base-1-cp312-cp312-manylinux_2_28_x86_64.whl", size = 614, hashes = { sha256 = […]
        { url = "[INDEX]/files/base-1-cp39-cp39-manylinux2014_x86_64.whl", size = 612, hashes = { sha256 = […]
    ]

    [[packages]]
    name = "lib"
    version = "1"
    dependencies = [
        { name = "base" },
    ]
    wheels = [
        { url = "[INDEX]/files/lib-1-py3-none-any.whl", size = 607, hashes = { sha256 = […]
    ]

    [[packages]]
    name = "old"
    version = "1"
    marker = "python_version == '3.9'"
    wheels = [
        { url = "[INDEX]/files/old-1-py3-none-any.whl", size = 587, hashes = { sha256 = […]
    ]

    [tool.layercake]
    targets = [
        { runtime = "python3.9", arch = "x86_64" },
        { runtime = "python3.12", arch = "x86_64" },
    ]
    requirements = [
        "lib",
        "old ; python_full_version < '3.10'",
    ]
    "#);
    assert_eq!(lock(&["--check"]).code, Some(0));

    // Another order of the targets is the same lock; a target more is not.
    let reversed = ["--runtime", "python3.9", "--runtime", "python3.12", "--arch", "x86_64", "--check"];
    env.run_ok(&[&["lock", project][..], &reversed].concat());
    let answer = env.run(&["lock", project, "--runtime", "python3.12", "--arch", "arm64", "--check"]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 1
    error: cannot use the lock `[ROOT]/shop/pylock.toml`
      cause: the lock is out of date: it was not locked for python3.12 on arm64
      hint: run `layercake lock` with the same inputs, and look at what it changes
    ");
    let answer = lock(&["--extra", "fast", "--check"]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 1
    error: cannot use the lock `[ROOT]/shop/pylock.toml`
      cause: the lock is out of date: `speed` was added
      hint: run `layercake lock` with the same inputs, and look at what it changes
    ");
}

#[test]
fn versions_are_kept_until_an_upgrade_is_asked_for() {
    let old = TestEnv::with_index(TestIndex::serving(&wheels("1")));
    old.app("shop", &[("requirements.txt", "lib\nspeed\n")]);
    let arguments = ["lock", "-r", "shop/requirements.txt", "--runtime", "python3.12", "--arch", "arm64"];
    old.run_ok(&arguments);
    let lock = std::fs::read_to_string(old.root().join("shop/pylock.toml")).expect("a lock");

    let env = TestEnv::with_index(TestIndex::serving(&wheels("2")));
    env.app("shop", &[("requirements.txt", "lib\nspeed\n"), ("pylock.toml", &lock)]);
    let version = |more: &[&str]| -> String {
        let report = env.run_json(&[&arguments[..], &["--json", "--dry-run"], more].concat());
        let lib = report["packages"].as_array().expect("packages").iter().find(|one| one["name"] == "lib");
        lib.expect("it is asked for")["version"].as_str().expect("a version").to_owned()
    };
    assert_eq!(version(&[]), "1");
    assert_eq!(version(&["--upgrade-package", "speed"]), "1");
    assert_eq!(version(&["--upgrade-package", "Lib"]), "2");
    assert_eq!(version(&["--upgrade"]), "2");
}

#[test]
fn a_lock_of_another_tool_is_not_overwritten() {
    let env = TestEnv::with_index(TestIndex::serving(&wheels("1")));
    let foreign = "lock-version = \"1.0\"\ncreated-by = \"uv\"\npackages = []\n";
    env.app(".", &[("pylock.toml", foreign)]);
    let lock = |more: &[&str]| {
        env.run(&[&["lock", "speed", "--runtime", "python3.12", "--arch", "x86_64"], more].concat())
    };
    insta::assert_snapshot!(lock(&[]).told(&env), @r"
    exit 1
    error: `pylock.toml` was written by uv, and would be overwritten
      hint: choose another file with -o, such as -o pylock.layer.toml; with --upgrade it is written from nothing
    ");
    assert_eq!(lock(&["-o", "pylock.layer.toml"]).code, Some(0));
    insta::assert_snapshot!(lock(&["-o", "layer.lock"]).told(&env), @r"
    exit 2
    error: `layer.lock` is no name of a lock
      hint: name it pylock.toml or pylock.NAME.toml (PEP 751)
    ");
    assert_eq!(std::fs::read_to_string(env.root().join("pylock.toml")).expect("a lock"), foreign);
}

#[test]
fn what_cannot_be_locked_is_told() {
    let env = TestEnv::with_index(TestIndex::serving(&wheels("1")));
    env.app(".", &[("uv.lock", "version = 1\n")]);
    insta::assert_snapshot!(env.run(&["lock"]).told(&env), @r"
    exit 2
    error: nothing to lock was given, and there is no pyproject.toml here
      hint: give requirements (`pandas>=2`), -r requirements.txt, pyproject.toml or a script
    ");
    insta::assert_snapshot!(env.run(&["lock", "uv.lock"]).told(&env), @r"
    exit 1
    error: `uv.lock` is a lock already
      hint: build from it with `layercake build uv.lock`, or lock what it was made from
    ");
    insta::assert_snapshot!(env.run(&["lock", "requirments.txt"]).told(&env), @r"
    exit 1
    error: there is no file `requirments.txt`
      hint: check the path; the package is asked for as `requirments-txt`
    ");
    insta::assert_snapshot!(env.run(&["lock", "speed", "--check", "--upgrade"]).code.unwrap_or_default(), @"2");
}
