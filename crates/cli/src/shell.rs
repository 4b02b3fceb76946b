//! `layercake shell`: a shell, Python or a command in a function's environment.
//!
//! Fetches what the endpoint has, and hands it to the sandbox. What is typed and shown goes through
//! untouched.

use std::{
    io::{IsTerminal as _, Read, Write},
    os::fd::{AsFd as _, OwnedFd},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use camino::Utf8Path;
use layercake_core::aws::FunctionName;
use layercake_deploy::{Endpoint, FetchedFunction, fetch_function};
use layercake_local::{
    Interpreters, StoreError,
    sandbox::{
        Ended, EnvironmentSpec, FunctionRuntime, Isolation, LogFormat, Program, ProgramKind, ProgramStreams,
        Sandbox, SandboxConfig, log_group,
        terminal::{RawMode, Terminal, copy_size},
    },
    unpack_function,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Common, Shell},
    cloud::Cloud,
    error::{CommandError, Kind},
    settings::Settings,
    ui::Ui,
    up::interrupted,
};

/// How long the last words of a program may take on their way to the terminal.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the command.
pub(crate) async fn run(common: &Common, shell: Shell, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, None)?;
    let interpreters = settings.interpreters();
    let temporary = tempfile::tempdir().map_err(|error| no_folder(&error))?;
    let folder = Utf8Path::from_path(temporary.path()).ok_or_else(|| {
        CommandError::new(
            Kind::User,
            "the temporary folder has a name that is not UTF-8",
            "set TMPDIR to another",
        )
    })?;
    let spec = tokio::select! {
        spec = fetch(&shell, &settings, &interpreters, folder, ui) => spec?,
        error = interrupted() => return Err(error),
    };
    let ended = open(&shell, spec, interpreters, folder, ui).await?;
    // Whole trees are gone before the prompt is back.
    let _ = temporary.close();
    match ended {
        Ended::Code(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        Ended::Signal(signal) => Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))),
        Ended::OutOfMemory => Err(CommandError::new(
            Kind::User,
            "it needed more memory than the function has, and was ended, as Lambda ends a function",
            "give the function more with `layercake up --memory`",
        )),
    }
}

/// The function as the endpoint has it, unpacked.
async fn fetch(
    shell: &Shell,
    settings: &Settings,
    interpreters: &Interpreters,
    folder: &Utf8Path,
    ui: &Ui,
) -> Result<EnvironmentSpec, CommandError> {
    let cloud = Cloud::open(shell.on, &shell.aws, settings, interpreters, ui).await?;
    let fetched = fetch_function(&cloud.endpoint, &shell.function, shell.qualifier.as_deref(), folder).await;
    let endpoint = cloud.endpoint.clone();
    // The function's files are here now: others may have the local cloud.
    cloud.close().await;
    let fetched = fetched?;
    let (code, layers, place) = (fetched.code.clone(), fetched.layers.clone(), folder.to_owned());
    let unpacking = tokio::task::spawn_blocking(move || unpack_function(&code, &layers, &place)).await;
    let (task, opt) =
        unpacking.map_err(|error| no_folder(&std::io::Error::other(error)))?.map_err(unreadable)?;
    let mut spec = spec(&fetched, &endpoint)?;
    (spec.task, spec.opt) = (task, opt);
    Ok(spec)
}

fn spec(fetched: &FetchedFunction, endpoint: &Endpoint) -> Result<EnvironmentSpec, CommandError> {
    let runtime = fetched.runtime.as_deref().unwrap_or("none");
    let runtime: FunctionRuntime = runtime.parse().map_err(|_| {
        CommandError::new(
            Kind::User,
            format!("the function `{}` has the runtime {runtime}", fetched.name),
            "only functions of Python's and the `provided` runtimes can be opened here",
        )
    })?;
    let function_name: FunctionName = fetched.name.parse().map_err(|error| CommandError {
        kind: Kind::Bug,
        error: Box::new(error),
        hints: Vec::new(),
    })?;
    Ok(EnvironmentSpec {
        region: endpoint.region.clone(),
        account: endpoint.account.clone(),
        version: fetched.version.clone(),
        revision: String::new(),
        runtime,
        handler: fetched.handler.clone(),
        memory_mb: fetched.memory_mb,
        timeout: Duration::from_secs(fetched.timeout_seconds.into()),
        tmp_mb: fetched.tmp_mb,
        log_format: LogFormat::of(
            fetched.logging.format.as_deref().unwrap_or("Text"),
            fetched.logging.application_level.as_deref(),
            fetched.logging.system_level.as_deref(),
        ),
        log_group: fetched.log_group.clone().unwrap_or_else(|| log_group(&function_name)),
        function_name,
        variables: fetched.variables.clone(),
        task: fetched.code.clone(),
        opt: None,
    })
}

/// Runs it to its end.
async fn open(
    shell: &Shell,
    spec: EnvironmentSpec,
    interpreters: Interpreters,
    folder: &Utf8Path,
    ui: &Ui,
) -> Result<Ended, CommandError> {
    let work = folder.join("work");
    std::fs::create_dir(&work).map_err(|error| no_folder(&error))?;
    let sandbox = Sandbox::new(SandboxConfig { work, interpreters, isolation: Isolation::Best });
    for missing in sandbox.isolation().missing().filter(|missing| missing.name == "own file system") {
        ui.warn(&format!("no {} here: {}", missing.name, missing.without));
    }
    let what = match shell.command.is_empty() {
        true => ProgramKind::Shell,
        false => ProgramKind::Command(shell.command.clone()),
    };
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    if stdin.is_terminal() && stdout.is_terminal() {
        return on_terminal(&sandbox, spec, what).await;
    }
    let own = || -> std::io::Result<[OwnedFd; 3]> {
        let stderr = std::io::stderr();
        Ok([
            stdin.as_fd().try_clone_to_owned()?,
            stdout.as_fd().try_clone_to_owned()?,
            stderr.as_fd().try_clone_to_owned()?,
        ])
    };
    let files = own().map_err(|error| no_streams(&error))?;
    let streams = ProgramStreams { files, is_terminal: false };
    let program = Program { what, variables: Vec::new() };
    tokio::select! {
        ended = sandbox.open(spec, program, streams) => Ok(ended?),
        error = interrupted() => Err(error),
    }
}

/// Runs it in a terminal of its own, which shows in the user's.
async fn on_terminal(
    sandbox: &Sandbox,
    spec: EnvironmentSpec,
    what: ProgramKind,
) -> Result<Ended, CommandError> {
    let variables =
        crate::settings::terminal_type().map(|kind| ("TERM".to_owned(), kind)).into_iter().collect();
    let stdin = std::io::stdin();
    let prepare = || -> std::io::Result<_> {
        let Terminal { outer, inner } = Terminal::like(&stdin)?;
        let files = [inner.try_clone()?, inner.try_clone()?, inner];
        let typed = std::fs::File::from(outer.try_clone()?);
        let shown = std::fs::File::from(outer.try_clone()?);
        Ok((outer, files, typed, shown, RawMode::begin(&stdin)?))
    };
    let (outer, files, mut typed, mut shown, raw) = prepare().map_err(|error| no_streams(&error))?;
    let mut resized = signal(SignalKind::window_change()).map_err(|error| no_streams(&error))?;
    // Both end with the terminal, or with this process.
    std::thread::spawn(move || copy(&mut std::io::stdin().lock(), &mut typed));
    let (done, finished) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        copy(&mut shown, &mut std::io::stdout().lock());
        let _ = done.send(());
    });
    let streams = ProgramStreams { files, is_terminal: true };
    let mut opened = std::pin::pin!(sandbox.open(spec, Program { what, variables }, streams));
    let ended = loop {
        tokio::select! {
            ended = &mut opened => break ended.map_err(CommandError::from),
            // Ctrl-C is a key like any other here, so this comes from somewhere else.
            error = interrupted() => break Err(error),
            _ = resized.recv() => {
                let _ = copy_size(&stdin, &outer);
            }
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS, finished).await;
    drop(raw);
    ended
}

/// Copies until one side ends; every piece at once.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0u8; 16_384];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // A terminal that nobody has open any more gives an error and not an end.
            Err(_) => return,
        }
    }
}

fn no_folder(error: &std::io::Error) -> CommandError {
    CommandError::new(
        Kind::User,
        format!("the function's files cannot be put into a temporary folder: {error}"),
        "set TMPDIR to a folder that can be written and has room",
    )
}

fn no_streams(error: &std::io::Error) -> CommandError {
    CommandError::new(
        Kind::User,
        format!("the terminal cannot be used: {error}"),
        "run a command instead, with its input from a file: layercake shell FUNCTION -- COMMAND < /dev/null",
    )
}

fn unreadable(error: StoreError) -> CommandError {
    let hint = "what the endpoint gave cannot be unpacked here".to_owned();
    CommandError { kind: Kind::User, error: Box::new(error), hints: vec![hint] }
}
