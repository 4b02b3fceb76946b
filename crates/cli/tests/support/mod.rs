//! A user of their own for each test: home, cache, cloud, package index, and the real binary.

#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_build::testing::{TestIndex, WheelBuilder};

/// The environment of one test. Removed when dropped.
pub(crate) struct TestEnv {
    root: tempfile::TempDir,
    index: TestIndex,
}

/// What a command said.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestEnv {
    /// With an index that has `demo` 1.0, which needs `demo-base`.
    pub(crate) fn new() -> Self {
        let demo = WheelBuilder::new("demo", "1.0")
            .requires("demo-base>=1")
            .file("demo/__init__.py", "from demo_base import WORD\n")
            .file("demo/tests/test_demo.py", "assert False\n");
        let base = WheelBuilder::new("demo-base", "1.2").file("demo_base/__init__.py", "WORD = 'layered'\n");
        Self::with_index(TestIndex::serving(&[demo, base]))
    }

    /// With this index.
    pub(crate) fn with_index(index: TestIndex) -> Self {
        Self { root: tempfile::tempdir().expect("a folder for the test"), index }
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.root.path()).expect("the folder's name is UTF-8")
    }

    pub(crate) fn cloud(&self) -> Utf8PathBuf {
        self.root().join("cloud")
    }

    /// Writes an app's file and answers the app's folder.
    pub(crate) fn app(&self, name: &str, files: &[(&str, &str)]) -> Utf8PathBuf {
        let folder = self.root().join(name);
        for (path, text) in files {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("made");
            std::fs::write(file, text).expect("written");
        }
        folder
    }

    /// The app that most tests use: its answer shows that the layer is there.
    pub(crate) fn demo_app(&self) -> Utf8PathBuf {
        self.app("demo-app", &[("app.py", DEMO_CODE), ("requirements.txt", "demo\n")])
    }

    /// A command of the binary, in this environment and nothing of the tester's own but Pythons.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layercake"));
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// Gives a command this environment.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let home = self.root().join("home");
        std::fs::create_dir_all(&home).expect("made");
        command
            .env_clear()
            .env("HOME", home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYENV_ROOT", pyenv_root())
            .env("LAYERCAKE_DATA", self.cloud())
            .env("LAYERCAKE_CACHE", self.root().join("cache"))
            .env("LAYERCAKE_INDEX_URL", self.index.url())
            .current_dir(self.root())
            .stdin(Stdio::null());
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(&self.command(arguments).output().expect("the binary starts"))
    }

    /// Runs the binary and demands success.
    pub(crate) fn run_ok(&self, arguments: &[&str]) -> Answer {
        let answer = self.run(arguments);
        assert_eq!(answer.code, Some(0), "{arguments:?}\n{}\n{}", answer.stdout, answer.stderr);
        answer
    }

    /// Runs the binary, demands success, and reads the JSON document on its stdout.
    pub(crate) fn run_json(&self, arguments: &[&str]) -> serde_json::Value {
        let answer = self.run_ok(arguments);
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {}", answer.stdout))
    }

    /// Serves the local cloud with the binary until the answer is dropped.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Served {
        let mut command = self.command(&["local", "--listen", "127.0.0.1:0"]);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
            .expect("it says where it is");
        let endpoint = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "it says where it is: {line}");
        Served { child, endpoint }
    }

    /// What is on the local cloud, by AWS's own client: empty lists when nothing is.
    pub(crate) fn everything(&self) -> serde_json::Value {
        self.everything_in("us-east-1")
    }

    /// The same for another region.
    pub(crate) fn everything_in(&self, region: &str) -> serde_json::Value {
        let served = self.serve(&[]);
        let mut command = Command::new(client("python"));
        self.prepare(&mut command);
        served.credentials(&mut command);
        let output =
            command.args(["-c", LIST_EVERYTHING, &served.endpoint, region]).output().expect("Python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the listing is JSON")
    }
}

/// A handler that shows where its parts come from.
pub(crate) const DEMO_CODE: &str = "import demo\n\ndef lambda_handler(event, context):\n    print('event', event)\n    return {'word': demo.WORD, 'from': demo.__file__}\n";

const LIST_EVERYTHING: &str = "
import boto3, json, sys
def client(name): return boto3.client(name, endpoint_url=sys.argv[1], region_name=sys.argv[2])
print(json.dumps({
    'functions': [f['FunctionName'] for f in client('lambda').list_functions()['Functions']],
    'layers': [l['LayerName'] for l in client('lambda').list_layers()['Layers']],
    'buckets': [b['Name'] for b in client('s3').list_buckets()['Buckets']],
    'roles': [r['RoleName'] for r in client('iam').list_roles()['Roles']],
    'logGroups': [g['logGroupName'] for g in client('logs').describe_log_groups()['logGroups']],
}))
";

/// What [`TestEnv::everything`] answers when nothing is there.
pub(crate) fn nothing() -> serde_json::Value {
    serde_json::json!({ "functions": [], "layers": [], "buckets": [], "roles": [], "logGroups": [] })
}

impl Answer {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Both streams with what changes from run to run taken out, for snapshots.
    pub(crate) fn told(&self, env: &TestEnv) -> String {
        tidy(&format!("exit {}\n{}{}", self.code.unwrap_or(-1), self.stderr, self.stdout), env)
    }
}

/// Takes out what changes from run to run: paths, times, ids, this machine's Pythons.
pub(crate) fn tidy(text: &str, env: &TestEnv) -> String {
    let text = text.replace(env.root().as_str(), "[ROOT]");
    let mut tidied = String::new();
    for line in text.lines() {
        tidied.push_str(line.trim_end());
        tidied.push('\n');
    }
    tidied
}

/// A served local cloud.
pub(crate) struct Served {
    child: std::process::Child,
    pub(crate) endpoint: String,
}

impl Served {
    /// Gives a client of AWS what it needs.
    pub(crate) fn credentials(&self, command: &mut Command) {
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_PAGER", "")
            .env("AWS_EC2_METADATA_DISABLED", "true");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its environments; the process is our own child.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A program of AWS's clients (`cargo xtask clients` installs them).
pub(crate) fn client(program: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("LAYERCAKE_AWS_CLIENTS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let output = Command::new(env!("CARGO"))
                .args(["xtask", "clients"])
                .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
                .output()
                .expect("cargo starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8_lossy(&output.stdout);
            PathBuf::from(said.lines().last().unwrap_or_default()).join("bin")
        }
    });
    folder.join(program)
}

fn pyenv_root() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    std::env::var_os("PYENV_ROOT").map_or_else(|| home().join(".pyenv"), PathBuf::from)
}
