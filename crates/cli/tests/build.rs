//! `layercake build` as a user runs it: inputs, profiles, fitting, splitting, locks, and the same
//! bytes everywhere.

mod support;

use layercake_build::testing::{TestIndex, WheelBuilder};
use support::TestEnv;

/// Names in a zip.
fn names(path: &camino::Utf8Path) -> Vec<String> {
    let inspected = layercake_build::inspect::inspect(path).expect("a zip");
    inspected.contents.files.into_iter().map(|file| file.path).collect()
}

/// The newest runtime that this machine has a Python for, as the report of a build tells it.
fn newest(env: &TestEnv) -> String {
    let report = env.run_json(&["build", "demo", "--dry-run", "--json"]);
    report["targets"][0]["runtime"].as_str().expect("a runtime").to_owned()
}

#[test]
fn a_layer_is_the_same_everywhere() {
    let env = TestEnv::new();
    let first = env.run_json(&["build", "demo", "demo-base", "-o", "one.zip", "--json"]);
    assert_eq!(first["layers"][0]["path"], "one.zip");
    let mut command = env.command(&["build", "demo-base", "demo", "-o", "elsewhere/two.zip", "--json"]);
    command.env("TZ", "Asia/Tokyo").env("LC_ALL", "C").env("LAYERCAKE_CACHE", env.root().join("other-cache"));
    let output = command.output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(first["layers"][0]["sha256"], second["layers"][0]["sha256"]);
    let one = std::fs::read(env.root().join("one.zip")).expect("written");
    assert!(one == std::fs::read(env.root().join("elsewhere/two.zip")).expect("written"));
}

#[test]
fn what_stays_out_is_told_and_nothing_is_written() {
    let env = TestEnv::new();
    let answer = env.run_ok(&["build", "demo", "--dry-run", "--bytecode", "none"]);
    insta::assert_snapshot!(answer.stdout, @r"
    8 files, 1.6 kB (0 % of 52.4 MB) zipped, 515 B (0 % of 262.1 MB) unzipped

    goes in:
      demo 1.0                                4 files      264 B      216 B zipped
      demo-base 1.2                           4 files      251 B      192 B zipped

    stays out:
      tests that nothing imports                      1 file        13 B
          demo/tests                                                1       13 B
    ");
    assert!(!env.root().join("layer.zip").exists());
}

#[test]
fn several_runtimes_share_a_layer() {
    let env = TestEnv::new();
    env.run_ok(&["build", "demo", "--runtime", "python3.9", "--runtime", "python3.12", "--bytecode", "none"]);
    let names = names(&env.root().join("layer.zip"));
    for runtime in ["python3.9", "python3.12"] {
        assert!(names.contains(&format!("python/lib/{runtime}/site-packages/demo/__init__.py")), "{names:?}");
    }
    assert!(names.iter().all(|name| name.starts_with("python/lib/")), "{names:?}");
}

#[test]
fn patterns_of_the_user_come_last() {
    let env = TestEnv::new();
    env.run_ok(&[
        "build",
        "demo",
        "--keep",
        "demo/tests",
        "--drop",
        "demo_base",
        "--bytecode",
        "none",
        "--no-check",
    ]);
    let names = names(&env.root().join("layer.zip"));
    assert!(names.contains(&"python/demo/tests/test_demo.py".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("python/demo_base/")), "{names:?}");
}

#[test]
fn a_lock_is_taken_as_it_is_and_drift_is_refused() {
    let env = TestEnv::new();
    std::fs::write(env.root().join("requirements.txt"), "demo\n").expect("written");
    let runtime = newest(&env);
    env.run_ok(&["lock", "-r", "requirements.txt", "--runtime", &runtime]);
    let locked = ["build", "-r", "requirements.txt", "--locked", "--json", "--runtime", &runtime];
    let from_lock = env.run_json(&locked);
    let resolved = env.run_json(&["build", "demo", "--json", "--runtime", &runtime]);
    assert_eq!(from_lock["layers"][0]["sha256"], resolved["layers"][0]["sha256"]);
    let stages: Vec<_> =
        from_lock["stages"].as_array().expect("stages").iter().map(|s| &s["stage"]).collect();
    assert!(!stages.iter().any(|stage| *stage == "resolve"), "{stages:?}");
    std::fs::write(env.root().join("requirements.txt"), "demo\ndemo-base==1.2\n").expect("written");
    let drifted = env.run(&locked);
    assert_eq!(drifted.code, Some(1));
    assert!(drifted.stderr.contains("`demo-base==1.2` was added"), "{}", drifted.stderr);
}

/// An index with packages of many bytes, which no compressor makes smaller.
fn heavy() -> TestEnv {
    let noise = |seed: u64, bytes: usize| -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(bytes)
        .collect()
    };
    let wheels = [
        WheelBuilder::new("big", "1").file("big/data.bin", noise(1, 6_000_000)),
        WheelBuilder::new("bulky", "1").file("bulky/data.bin", noise(2, 7_000_000)),
        WheelBuilder::new("small", "1").file("small/x.py", "x = 1\n"),
    ];
    TestEnv::with_index(TestIndex::serving(&wheels))
}

#[test]
fn a_split_layer_keeps_packages_whole() {
    let env = heavy();
    let report = env.run_json(&["build", "big", "bulky", "small", "--split", "3", "--json", "-o", "l.zip"]);
    let parts: Vec<_> =
        report["layers"].as_array().expect("layers").iter().map(|part| part["part"].clone()).collect();
    assert_eq!(parts, ["big", "bulky", "rest"]);
    let before = report["layers"][0]["sha256"].clone();
    for (part, package) in
        [("l-big.zip", "python/big/"), ("l-bulky.zip", "python/bulky/"), ("l-rest.zip", "python/small/")]
    {
        let names = names(&env.root().join(part));
        assert!(names.iter().any(|name| name.starts_with(package)), "{part}: {names:?}");
    }
    // The heavy ones do not change when the small one does.
    let again = env.run_json(&[
        "build",
        "big",
        "bulky",
        "small",
        "--split",
        "3",
        "--json",
        "-o",
        "m.zip",
        "--drop",
        "small/x.py",
    ]);
    assert_eq!(again["layers"][0]["sha256"], before);
    assert_ne!(again["layers"][2]["sha256"], report["layers"][2]["sha256"]);
    let refused = env.run(&["build", "big", "--split", "9"]);
    assert!(refused.stderr.contains("a layer cannot be split into 9"), "{}", refused.stderr);
}

#[test]
fn what_cannot_fit_says_by_how_much() {
    let env = heavy();
    let answer = env.run(&["build", "big", "bulky", "--budget", "10MB", "--fit"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("the budget is 10000000: 3.0 MB too many"), "{}", answer.stderr);
    assert!(answer.stderr.contains("heaviest: bulky 7.0 MB, big 6.0 MB"), "{}", answer.stderr);
    assert!(!env.root().join("layer.zip").exists());
}

#[test]
fn settings_of_the_project_count() {
    let env = TestEnv::new();
    let settings = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['demo']\n[tool.layercake]\nprofile = 'faithful'\n";
    std::fs::write(env.root().join("pyproject.toml"), settings).expect("written");
    let report = env.run_json(&["build", "pyproject.toml", "--json"]);
    assert_eq!(report["profile"], "faithful");
    let typed = env.run_json(&["build", "pyproject.toml", "--profile", "lean", "--json"]);
    assert_eq!(typed["profile"], "lean");
}
