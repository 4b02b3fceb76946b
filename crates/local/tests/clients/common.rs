//! What the tests with real clients share: a local cloud of their own, and AWS's clients.

use std::{process::Command, sync::OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_local::{
    Access, Config, Handle, Interpreters, Presence, RetiredRuntimes, interpreters::SearchPlaces,
};

/// A local cloud in a folder of its own, on a port of its own.
pub(crate) struct TestCloud {
    pub(crate) handle: Handle,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn folder_of(folder: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8PathBuf::try_from(folder.path().to_owned()).expect("a UTF-8 path")
}

pub(crate) fn config(data: &Utf8Path) -> Config {
    Config {
        data: data.to_owned(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        account: layercake_local::DEFAULT_ACCOUNT.parse().expect("an account"),
        retired_runtimes: RetiredRuntimes::Refuse,
        presence: Presence::Serving,
        interpreters: interpreters(),
        tuning: layercake_local::sandbox::Tuning::default(),
        access: Access::default(),
        // A minute is a tenth of a second.
        event_speed: std::num::NonZeroU32::new(600).expect("not zero"),
    }
}

/// The Pythons of the machine that runs the tests.
pub(crate) fn interpreters() -> Interpreters {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var("HOME").map(Utf8PathBuf::from).unwrap_or_default();
    Interpreters::discover(&SearchPlaces {
        path: std::env::split_paths(&path).filter_map(|folder| Utf8PathBuf::try_from(folder).ok()).collect(),
        pyenv_root: Some(home.join(".pyenv")),
        ..SearchPlaces::default()
    })
}

impl TestCloud {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let handle = layercake_local::start(config(&folder_of(&folder))).await.expect("a local cloud");
        Self { handle, folder }
    }
}

/// The folder with the programs of AWS's Python clients: the one that `LAYERCAKE_AWS_CLIENTS`
/// names, or the virtual environment that `cargo xtask clients` makes.
pub(crate) fn aws_clients() -> Utf8PathBuf {
    static FOLDER: OnceLock<Utf8PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| std::env::var("LAYERCAKE_AWS_CLIENTS").map_or_else(|_| made_clients(), Into::into))
        .clone()
}

fn made_clients() -> Utf8PathBuf {
    // Tests may run in several processes; one of them makes the environment, the others wait.
    let target = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/");
    let lock = fs_err::File::create(target.join("aws-clients.lock")).expect("a lock file");
    lock.file().lock().expect("the lock");
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let said = run(Command::new(env!("CARGO")).args(["xtask", "clients"]).current_dir(workspace));
    Utf8Path::new(said.lines().last().expect("xtask says where they are")).join("bin")
}

/// Runs a program of AWS's against the cloud and gives what it printed; it must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed\n--- stdout\n{stdout}\n--- stderr\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Runs one scenario of a suite in Python against a cloud, in a folder of its own, with AWS's own
/// clients first in PATH.
pub(crate) async fn scenario(cloud: TestCloud, suite: &'static str, name: &'static str) {
    let endpoint = cloud.handle.endpoint();
    let work = folder_of(&cloud.folder).join("by-client");
    fs_err::create_dir(&work).expect("a folder");
    tokio::task::spawn_blocking(move || {
        let suite = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients")).join(suite);
        let path = format!("{}:{}", aws_clients(), std::env::var("PATH").unwrap_or_default());
        let mut python = client("python");
        run(python.arg(suite).arg(endpoint).arg(name).env("PATH", path).current_dir(work));
    })
    .await
    .expect("the scenario");
    cloud.handle.shutdown().await;
}

/// A test for each scenario of a suite, each with a cloud of its own.
macro_rules! scenarios {
    ($suite:literal; $($name:ident),* $(,)?) => {
        $crate::common::scenarios!($suite in $crate::common::TestCloud::start(); $($name),*);
    };
    ($suite:literal in $cloud:expr; $($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            $crate::common::scenario($cloud.await, $suite, stringify!($name)).await;
        }
    )*};
}
pub(crate) use scenarios;

/// A command, of AWS's clients or of the machine, with credentials and nothing of the user's own
/// AWS configuration.
pub(crate) fn client(program: &str) -> Command {
    let ours = aws_clients().join(program);
    let mut command = if ours.exists() { Command::new(ours) } else { Command::new(program) };
    command
        .env_remove("AWS_PROFILE")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "anything")
        .env("AWS_SECRET_ACCESS_KEY", "anything")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_PAGER", "");
    command
}
