//! Other hosts: an ordinary user, no namespaces, AWS's own runtime client.

use std::{os::unix::process::CommandExt, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use insta::{allow_duplicates, assert_snapshot};
use layercake_core::target::Runtime;
use layercake_local::{
    interpreters::{FoundIn, Interpreter, Interpreters},
    sandbox::{Isolation, RuntimeClient, Sandbox, SandboxConfig, Tuning},
};

use crate::support::{Lab, interpreters, newest, runtimes, show};

fn missing(lab: &Lab) -> String {
    lab.sandbox.isolation().missing().map(|feature| feature.name).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_layers_still_import_and_the_report_says_what_is_missing() {
    let code = "import in_layer, os, sys, tempfile\nprint('at import')\ndef handler(event, context):\n    \
        open(os.path.join(tempfile.gettempdir(), 'x'), 'w').close()\n    \
        return [in_layer.WHO, os.getcwd() == os.environ['LAMBDA_TASK_ROOT'], tempfile.gettempdir().startswith(event),\n        \
        [p for p in sys.path if 'packages' in p and not p.startswith(event)], 'exit' in dir(__builtins__) or 'exit' in __builtins__]\n";
    for runtime in runtimes() {
        let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
        assert_eq!(
            missing(&lab),
            format!(
                "own file system, own processes, own IPC and host name, own user, process limit, {OF_GROUPS}, \
                 own network"
            )
        );
        let mut function = lab.function(runtime, code);
        function.spec.opt = Some(lab.files(&[("python/in_layer.py", "WHO = 'layer'\n")]));
        let event = format!("\"{}\"", lab.path());
        let seen = function.value(&event).await;
        assert_eq!(seen, serde_json::json!(["layer", true, true, [], true]), "{runtime}");
        assert_eq!(function.value(&event).await[0], "layer");
        assert!(!function.spec.task.join("__pycache__").exists(), "nothing is written beside the code");
        lab.sandbox.shutdown().await;
        let left = lab.path().join("work/tmp").read_dir_utf8().expect("a folder").count();
        assert_eq!(left, 0, "its /tmp is removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_has_left_behind_is_removed() {
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    let work = lab.path().join("work");
    let left = work.join("tmp/0123");
    fs_err::create_dir_all(left.join("folder")).expect("a folder");
    fs_err::write(left.join("folder/file"), "").expect("a file");
    let isolation = Isolation::ProcessOnly;
    let next = Sandbox::new(SandboxConfig { work, interpreters: interpreters(), isolation });
    assert!(!left.exists(), "a server that starts finds nothing of the last one");
    next.shutdown().await;
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_a_crash_and_a_timeout_are_answered() {
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    let code =
        "import os, time\ndef handler(event, context):\n    os._exit(3) if event else time.sleep(600)\n";
    let mut function = lab.function(newest(), code);
    function.spec.timeout = std::time::Duration::from_secs(1);
    for (event, expected) in [("1", "exit status 3"), ("0", "Task timed out after <n> seconds")] {
        let shown = show(&function.call(event).await);
        assert!(shown.contains(expected), "{shown}");
    }
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_s_python_runs_from_var_lang_without_the_system_s_packages() {
    let all = interpreters();
    // Not every machine has one; those that do have it where nothing else of Lambda's layout fits.
    let system: Vec<_> = all.all().iter().filter(|one| one.prefix == "/usr").cloned().collect();
    for python in system {
        let Some(runtime) = Runtime::from_minor(python.version.1) else { continue };
        let lab = Lab::on(Interpreters::of(vec![python]), Isolation::Best, Tuning::default());
        let code = "import ctypes, sqlite3, ssl, sys, zlib\ndef handler(event, context):\n    \
            return [sys.prefix, ssl.__file__, [p for p in sys.path if 'dist' in p or p.startswith('/usr')]]\n";
        let seen = lab.function(runtime, code).value("{}").await;
        let expected = format!(r#"["/var/lang","/var/lang/lib/python3.{}/ssl.py",[]]"#, runtime.minor());
        assert_eq!(seen.to_string(), expected);
        lab.sandbox.shutdown().await;
    }
}

/// What control groups give.
const OF_GROUPS: &str = "memory limit, CPU share, stands still between calls";

impl Lab {
    /// One with the Python that [`as_an_ordinary_user`] has made reachable.
    pub(crate) fn of_another_user() -> Self {
        let found = interpreters_in(&other_prefix());
        Self::on(found, Isolation::Best, Tuning::default())
    }

    /// The runtime of its Python.
    pub(crate) fn newest(&self) -> Runtime {
        interpreters_in(&other_prefix()).newest_runtime().expect("a Python")
    }
}

fn other_prefix() -> Utf8PathBuf {
    std::env::var("LAYERCAKE_TEST_PREFIX").expect("a prefix").into()
}

/// The rest of a test that must run as an ordinary user.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn as_this_user() {
    let lab = Lab::of_another_user();
    let runtime = lab.newest();
    // Control groups are root's, or whoever's it has given some to.
    let missing = missing(&lab);
    assert!(["", OF_GROUPS].contains(&missing.as_str()), "{:?}", lab.sandbox.isolation());
    let code = "import os, in_layer\ndef handler(event, context):\n    open('/tmp/x', 'w').close()\n    \
        try:\n        open('/var/task/x', 'w')\n    except OSError as error:\n        failed = error.errno\n    \
        return [os.getuid(), os.getgid(), failed, sorted(int(p) for p in os.listdir('/proc') if p.isdigit()), os.path.exists(event)]\n";
    let mut function = lab.function(runtime, code);
    function.spec.opt = Some(lab.files(&[("python/in_layer.py", "")]));
    let event = format!("\"{}\"", lab.path());
    assert_eq!(function.value(&event).await.to_string(), "[993,990,30,[1,2],false]");
    let crash = lab.function(runtime, "import os\ndef handler(event, context):\n    os.abort()\n");
    assert!(show(&crash.call("{}").await).contains("signal: aborted"));
    lab.sandbox.shutdown().await;
}

fn interpreters_in(prefix: &Utf8Path) -> Interpreters {
    let folder = prefix.join("lib");
    let names: Vec<_> = folder
        .read_dir_utf8()
        .expect("lib")
        .filter_map(Result::ok)
        .map(|e| e.file_name().to_owned())
        .collect();
    let minor =
        names.iter().find_map(|name| name.strip_prefix("python3.")?.parse::<u8>().ok()).expect("a library");
    let shared = names.iter().find(|name| name.ends_with(".so.1.0"));
    Interpreters::of(vec![Interpreter {
        version: (3, minor, 0),
        executable: prefix.join(format!("bin/python3.{minor}")),
        prefix: prefix.to_owned(),
        stdlib: folder.join(format!("python3.{minor}")),
        libpython: shared.map(|name| folder.join(name)),
        source: FoundIn::Named,
    }])
}

fn copy(source: &Utf8Path, target: &Utf8Path) {
    fs_err::create_dir_all(target).expect("a folder");
    for entry in source.read_dir_utf8().expect("a folder").filter_map(Result::ok) {
        let to = target.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            if !["test", "site-packages", "idlelib", "lib2to3"].contains(&entry.file_name())
                && !entry.file_name().starts_with("config-")
            {
                copy(entry.path(), &to);
            }
        } else if fs_err::hard_link(entry.path(), &to).is_err() {
            // Another file system: a copy. A link that leads nowhere is nobody's loss.
            let _ = fs_err::copy(entry.path(), &to);
        }
    }
}

#[test]
fn an_ordinary_user_gets_the_same_environment() {
    as_an_ordinary_user(&[6, 9, 12, 13], &["host::as_this_user"]);
}

#[test]
fn an_ordinary_user_s_functions_are_contained_too() {
    as_an_ordinary_user(
        &[9, 13],
        &["containment::as_this_user", "memory::as_this_user", "network::as_this_user"],
    );
}

/// Runs tests of this program as somebody who is not root, with each of these Pythons.
fn as_an_ordinary_user(minors: &[u8], tests: &[&str]) {
    let found = interpreters();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = Utf8Path::from_path(folder.path()).expect("UTF-8 path").to_owned();
    for &minor in minors {
        let Some(python) = found.all().iter().find(|one| one.version.1 == minor) else { continue };
        let prefix = root.join(minor.to_string());
        let name = format!("python3.{minor}");
        copy(&python.stdlib, &prefix.join("lib").join(&name));
        fs_err::create_dir_all(prefix.join("bin")).expect("a folder");
        fs_err::copy(&python.executable, prefix.join("bin").join(&name)).expect("a copy");
        if let Some(library) = &python.libpython {
            fs_err::copy(library, prefix.join("lib").join(library.file_name().expect("a name")))
                .expect("a copy");
        }
        let program = root.join("test");
        fs_err::copy(std::env::current_exe().expect("this test"), &program).expect("a copy");
        let temporary = root.join(format!("tmp{minor}"));
        fs_err::create_dir_all(&temporary).expect("a folder");
        let mut command = Command::new(&program);
        command
            .args(["--ignored", "--exact", "--nocapture"])
            .args(tests)
            .env("LAYERCAKE_TEST_PREFIX", &prefix)
            .env("TMPDIR", &temporary)
            .current_dir("/");
        if is_root() {
            for path in [&root, &temporary] {
                std::os::unix::fs::chown(path, Some(65534), Some(65534)).expect("chown");
            }
            command.uid(65534).gid(65534);
        }
        let output = command.output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains(&format!("{} passed", tests.len())),
            "3.{minor}: {text}"
        );
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("/proc")) == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_s_own_runtime_client_runs_against_it() {
    let found = interpreters();
    for minor in [9, 12, 13] {
        let Some(runtime) = Runtime::from_minor(minor) else { continue };
        let Ok(python) = found.for_runtime(runtime) else { continue };
        let client =
            RuntimeClient::Command(["-m", "awslambdaric", "app.handler"].map(str::to_owned).to_vec());
        let lab = Lab::with(Isolation::Best, Tuning { client, ..Tuning::default() });
        let code = "import logging\ndef handler(event, context):\n    print('hello')\n    logging.error('two\\nlines')\n    return {'event': event, 'seconds': context.get_remaining_time_in_millis() > 0}\n";
        let mut function = lab.function(runtime, code);
        let install = Command::new(&python.executable)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--root-user-action=ignore",
                "--target",
            ])
            .arg(&function.spec.task)
            .args(["--only-binary=:all:", "awslambdaric"])
            .output()
            .expect("pip");
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        let outcome = function.call(r#"{"a": "ü"}"#).await;
        let framed = outcome.log.iter().filter(|event| event.text.ends_with("\ttwo\nlines\n"));
        assert_eq!(framed.count(), 1, "a message of several lines is one event");
        let good = show(&outcome);
        let version = runtime.python_version();
        // Only from 3.12 on is text left as it is.
        allow_duplicates! { assert_snapshot!(good.replace(&version, "3.x").replace("\\u00fc", "ü"), @r#"
        - {"event": {"a": "ü"}, "seconds": true}
        INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
        START RequestId: <id> Version: $LATEST
        hello
        [ERROR]→<time>→<id>→two
        lines
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
        "#); }
        assert_eq!(function.value("1").await["event"], 1);

        fs_err::write(
            function.spec.task.join("app.py"),
            "def handler(event, context):\n    raise ValueError('no')\n",
        )
        .expect("a file");
        function.spec.revision = "2".into();
        let bad = show(&function.call("{}").await);
        allow_duplicates! { assert_snapshot!(bad.replace(&version, "3.x"), @r#"
        Unhandled {"errorMessage": "no", "errorType": "ValueError", "requestId": "<id>", "stackTrace": ["  File \"/var/task/app.py\", line 2, in handler\n    raise ValueError('no')\n"]}
        INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
        START RequestId: <id> Version: $LATEST
        [ERROR] ValueError: no␍Traceback (most recent call last):␍··File "/var/task/app.py", line 2, in handler␍····raise ValueError('no')
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
        "#); }
        lab.sandbox.shutdown().await;
    }
}
