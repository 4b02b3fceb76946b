//! What the sandbox costs without the HTTP API before it. Prints one figure; judges nothing.
//!
//! `warm ENVIRONMENTS SECONDS` prints calls per second of a function that does nothing, with as
//! many callers as environments. `cold TIMES` prints, as a median in milliseconds, how long after
//! the call a new environment's handler was called; `start TIMES` how long after it a program was
//! started that does nothing else than to say so: this one, as the `bootstrap` of a function.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark for the terminal")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::target::Runtime;
use layercake_local::{
    interpreters::{Interpreters, SearchPlaces},
    sandbox::{
        Call, EnvironmentSpec, Isolation, LogFormat, Network, Sandbox, SandboxConfig, Tuning, log_group,
    },
};

const WARM: &str = "def handler(event, context):\n    return {\"ok\": True}\n";
/// When the handler was called.
const COLD: &str = "import time\ndef handler(event, context):\n    return time.time()\n";

fn main() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        println!("{}", now());
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    match words[..] {
        ["warm", environments, seconds] => {
            println!(
                "{:.0}",
                runtime.block_on(warm(number(environments), Duration::from_secs(number(seconds))))
            );
        }
        ["cold", times] => {
            println!("{:.2}", runtime.block_on(cold(number(times))));
        }
        ["start", times] => {
            println!("{:.2}", runtime.block_on(start(number(times))));
        }
        _ => println!("warm ENVIRONMENTS SECONDS | cold TIMES | start TIMES"),
    }
}

struct Lab {
    sandbox: Arc<Sandbox>,
    spec: EnvironmentSpec,
    _folder: tempfile::TempDir,
}

fn lab(code: &str) -> Lab {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let task = path.join("task");
    fs_err::create_dir_all(&task).expect("a folder");
    fs_err::write(task.join("app.py"), code).expect("a file");
    let home = std::env::var("HOME").ok().map(Utf8PathBuf::from);
    let places = SearchPlaces {
        named: Vec::new(),
        path: std::env::var("PATH").unwrap_or_default().split(':').map(Utf8PathBuf::from).collect(),
        pyenv_root: std::env::var("PYENV_ROOT").ok().map(Utf8PathBuf::from),
        uv_pythons: home.map(|home| home.join(".local/share/uv/python")),
        homebrew: Vec::new(),
        memory: None,
    };
    let interpreters = Interpreters::discover(&places);
    let runtime: Runtime = "python3.12".parse().expect("a runtime");
    let config = SandboxConfig { work: path.join("work"), interpreters, isolation: Isolation::Best };
    let function_name = "bench".parse().expect("a name");
    let spec = EnvironmentSpec {
        region: "eu-west-1".parse().expect("a region"),
        account: "123456789012".parse().expect("an account"),
        log_group: log_group(&function_name),
        log_format: LogFormat::Text,
        function_name,
        version: "$LATEST".into(),
        revision: "1".into(),
        runtime: runtime.into(),
        handler: "app.handler".into(),
        memory_mb: 1769,
        timeout: Duration::from_secs(10),
        tmp_mb: 512,
        variables: BTreeMap::new(),
        task,
        opt: None,
        network: Network::Host,
    };
    Lab { sandbox: Sandbox::with(config, Tuning::default()), spec, _folder: folder }
}

fn call(spec: &EnvironmentSpec) -> Call {
    Call {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload: Bytes::from_static(b"{}"),
        invoked_arn: spec.function_arn(),
        client_context: None,
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0".into(),
    }
}

async fn warm(environments: u64, lasting: Duration) -> f64 {
    let lab = lab(WARM);
    let spec = Arc::new(lab.spec.clone());
    let count = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let (warmed, until) = (begun + Duration::from_millis(500), begun + Duration::from_millis(500) + lasting);
    let callers: Vec<_> = (0..environments)
        .map(|_| {
            let (sandbox, spec, count) = (Arc::clone(&lab.sandbox), Arc::clone(&spec), Arc::clone(&count));
            tokio::spawn(async move {
                while Instant::now() < until {
                    let outcome = sandbox.run(Arc::clone(&spec), call(&spec)).await.expect("a call");
                    assert_eq!(outcome.function_error, None);
                    if Instant::now() >= warmed {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
    lab.sandbox.shutdown().await;
    count.load(Ordering::Relaxed) as f64 / lasting.as_secs_f64()
}

async fn cold(times: u64) -> f64 {
    let lab = lab(COLD);
    let mut taken = Vec::new();
    for revision in 0..times {
        let spec = Arc::new(EnvironmentSpec { revision: revision.to_string(), ..lab.spec.clone() });
        let begun = now();
        let outcome = lab.sandbox.run(Arc::clone(&spec), call(&spec)).await.expect("a call");
        let called: f64 = String::from_utf8_lossy(&outcome.payload).parse().expect("a number");
        taken.push((called - begun) * 1e3);
        lab.sandbox.retire(&spec.function_arn()).await;
    }
    lab.sandbox.shutdown().await;
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}

/// From the call to the first instruction of a program in a new environment, in ms.
async fn start(times: u64) -> f64 {
    let lab = lab("");
    let own = std::env::current_exe().expect("this program");
    fs_err::copy(own, lab.spec.task.join("bootstrap")).expect("copied");
    let runtime = "provided.al2023".parse().expect("a runtime");
    let spec = EnvironmentSpec { runtime, ..lab.spec.clone() };
    let mut taken = Vec::new();
    // Once more than is counted: the first one reads the program from the disk.
    for revision in 0..=times {
        let spec = Arc::new(EnvironmentSpec { revision: revision.to_string(), ..spec.clone() });
        let begun = now();
        let outcome = lab.sandbox.run(Arc::clone(&spec), call(&spec)).await.expect("a call");
        let started = outcome.log.iter().find_map(|event| event.text.trim().parse::<f64>().ok());
        taken.push((started.expect("a time in the log") - begun) * 1e3);
        lab.sandbox.retire(&spec.function_arn()).await;
    }
    lab.sandbox.shutdown().await;
    let mut taken = taken.split_off(1);
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64()
}
