//! The write-up's own case, from the real package index: pandas on today's Python and on 3.6.

mod support;

use support::{TestEnv, nothing};

/// The example of the repository, copied, so that no journal is left in it.
fn example(env: &TestEnv) -> camino::Utf8PathBuf {
    let example = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pandas");
    let read = |name: &str| std::fs::read_to_string(example.join(name)).expect("the example is there");
    env.app("pandas", &[("app.py", &read("app.py")), ("requirements.txt", &read("requirements.txt"))])
}

fn run(runtime: &str) -> serde_json::Value {
    let env = TestEnv::new();
    let app = example(&env);
    let mut command = env.command(&["up", app.as_str(), "--runtime", runtime, "--json"]);
    command.env_remove("LAYERCAKE_INDEX_URL");
    // The index is real, and so are its certificates.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command.output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let log = report["invocation"]["log"].as_str().unwrap_or_default();
    assert!(log.contains("0    10\n1    20\n2    30\ndtype: int64\n"), "{log}");
    assert_eq!(report["invocation"]["payload"]["body"], "\"Hello from Lambda!\"");
    assert!(report["invocation"]["figures"]["max_memory_mb"].as_u64() > Some(30));
    env.run_ok(&["down"]);
    assert_eq!(env.everything(), nothing());
    report
}

fn wheel<'a>(report: &'a serde_json::Value, name: &str) -> &'a str {
    let packages = report["layer"]["packages"].as_array().expect("packages");
    packages.iter().find(|package| package["name"] == name).expect("it is there")["wheel"]
        .as_str()
        .expect("a wheel")
}

#[test]
fn pandas_of_the_write_up() {
    let report = run("python3.6");
    assert!(wheel(&report, "pandas").starts_with("pandas-1.1.5-cp36-cp36m-manylinux"));
    assert!(wheel(&report, "numpy").starts_with("numpy-1.19.5-cp36-cp36m-manylinux"));
}

#[test]
fn pandas_of_today() {
    let report = run("python3.12");
    assert!(wheel(&report, "pandas").contains("-cp312-cp312-manylinux"));
    assert!(report["layer"]["unzipped"].as_u64() < Some(90_000_000));
}
