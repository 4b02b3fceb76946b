//! `layercake`: the command line.
//!
//! Owns arguments, settings, what is printed and the exit code; one file per verb. Never holds
//! logic that a library test should reach.

mod args;
mod build;
mod cache;
mod check;
mod cloud;
mod credentials;
mod debug;
mod diff;
mod doctor;
mod down;
mod error;
mod fetched;
mod inputs;
mod invoke;
mod journals;
mod local;
mod lock;
mod logs;
mod registry;
mod settings;
mod shell;
mod show;
mod stages;
mod ui;
mod up;

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;

use crate::{
    args::{Arguments, Command},
    error::{CommandError, Kind},
    ui::{Talk, Ui},
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ui = Arc::new(Ui::new(if arguments.common.quiet { Talk::Quiet } else { Talk::Normal }));
    log_to_stderr(arguments.common.verbose, matches!(arguments.command, Command::Local(_)));
    match run(arguments, &ui) {
        Ok(code) => code,
        Err(error) => {
            ui.error(&error);
            error.exit_code()
        }
    }
}

/// Half of the cores: the functions run on the same ones, and a thread that looks for work takes more
/// from them than it gives (`cargo xtask bench invoke`).
fn threads_of_the_local_cloud() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

fn run(arguments: Arguments, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if matches!(arguments.command, Command::Local(_)) {
        builder.worker_threads(threads_of_the_local_cloud());
    }
    let runtime = builder.enable_all().build().map_err(|error| CommandError {
        kind: Kind::User,
        error: Box::new(error),
        hints: vec!["the system has no threads or files left for this process".to_owned()],
    })?;
    let common = arguments.common;
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Up(up) => up::run(&common, *up, ui).await,
            Command::Down(down) => down::run(&common, down, ui).await,
            Command::Invoke(invoke) => invoke::run(&common, invoke, ui).await,
            Command::Shell(shell) => shell::run(&common, shell, ui).await,
            Command::Logs(logs) => logs::run(&common, logs, ui).await,
            Command::Build(build) => build::run(&common, *build, ui).await,
            Command::Lock(lock) => lock::run(&common, *lock, ui).await,
            Command::Check(check) => check::run(&common, check, ui).await,
            Command::Show(show) => show::run(&common, show, ui).await,
            Command::Diff(diff) => diff::run(&common, diff, ui).await,
            Command::Cache(cache) => cache::run(&common, cache, ui).await,
            Command::Local(local) => local::run(&common, &local, ui).await,
            Command::Doctor(doctor) => doctor::run(&common, &doctor, ui).await,
        }
    });
    // Work that runs on other threads must not hold the process when the command is over.
    runtime.shutdown_background();
    code
}

/// A server says what goes wrong while it serves; other commands give it as their result.
fn log_to_stderr(verbose: bool, serves: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) if verbose => EnvFilter::new(
            "layercake=debug,layercake_build=debug,layercake_deploy=debug,layercake_local=debug",
        ),
        Err(_) if serves => EnvFilter::new("layercake_local=warn"),
        Err(_) => return,
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
