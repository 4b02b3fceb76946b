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
use layercake_local::{
    Interpreters,
    sandbox::{
        Ended, EnvironmentSpec, Isolation, Program, ProgramKind, ProgramStreams, Sandbox, SandboxConfig,
        terminal::{RawMode, Terminal, copy_size},
    },
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Common, Shell},
    error::{CommandError, Kind},
    fetched::{Asked, fetch, no_folder, scratch},
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
    let (temporary, folder) = scratch()?;
    let asked = Asked {
        function: &shell.function,
        qualifier: shell.qualifier.as_deref(),
        on: shell.on,
        aws: &shell.aws,
    };
    let spec = tokio::select! {
        spec = fetch(&asked, &settings, &interpreters, &folder, ui) => spec?,
        error = interrupted() => return Err(error),
    };
    let ended = open(&shell, spec, interpreters, &folder, ui).await?;
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

fn no_streams(error: &std::io::Error) -> CommandError {
    CommandError::new(
        Kind::User,
        format!("the terminal cannot be used: {error}"),
        "run a command instead, with its input from a file: layercake shell FUNCTION -- COMMAND < /dev/null",
    )
}
