//! A program of the user's own where a function's runtime would run: a shell, an interpreter, a
//! command.
//!
//! Owns what such a program gets that a runtime does not: streams of its own and the search path
//! that the bootstrap would have set up. No part of an invocation: nothing here is on its way.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use super::{
    EnvironmentSpec, SandboxError,
    cell_event::{CellEvent, Exit, RUNTIME},
    host::{Cell, Command, Host},
    memory,
};

/// How often memory is looked at, as for functions.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// What runs.
    pub what: ProgramKind,
    /// Variables beside those of the function, such as `TERM`.
    pub variables: Vec<(String, String)>,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// A shell that asks for commands, or reads them.
    Shell,
    /// A command and its arguments, found as a shell finds it; `python` is the function's own.
    Command(Vec<String>),
}

/// The standard streams of a program.
#[derive(Debug)]
pub struct ProgramStreams {
    /// stdin, stdout, stderr.
    pub files: [OwnedFd; 3],
    /// Whether stdin is a terminal that becomes the program's own.
    pub is_terminal: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(i32),
    /// A signal of this number killed it.
    Signal(i32),
    /// It wanted more memory than the function has.
    OutOfMemory,
}

/// The Python of an environment.
#[derive(Debug)]
pub(super) struct PythonInside<'a> {
    /// As the environment sees it.
    pub(super) executable: String,
    /// Where the layers are, when our runtime client would look for modules there.
    pub(super) layers: Option<&'a str>,
}

impl Program {
    /// Turns the command of a runtime into that of this program.
    pub(super) fn command(
        &self,
        mut runtime: Command,
        python: Option<PythonInside<'_>>,
        streams: ProgramStreams,
    ) -> Command {
        let environment = &mut runtime.environment;
        let task = &runtime.directory;
        // Nobody answers there, and nobody reads frames.
        environment.retain(|(name, _)| {
            name != "AWS_LAMBDA_RUNTIME_API"
                && name != "_LAMBDA_TELEMETRY_LOG_FD"
                && !name.starts_with("_LAYERCAKE_")
        });
        if let Some(python) = &python {
            let (folder, version) = python.executable.rsplit_once('/').unwrap_or_default();
            for (_, path) in environment.iter_mut().filter(|(name, _)| name == "PATH") {
                if !path.split(':').any(|part| part == folder) {
                    *path = format!("{folder}:{path}");
                }
            }
            if let Some(layers) = python.layers {
                // The runtime client puts these in by itself, after the interpreter has started.
                let layers = format!("{layers}/python/lib/{version}/site-packages:{layers}/python");
                environment.push(("PYTHONPATH".to_owned(), format!("{task}:{layers}:/var/runtime")));
            }
        }
        environment.extend(self.variables.iter().cloned());
        let python = python.map(|python| python.executable);
        (runtime.program, runtime.arguments) = match &self.what {
            // The shell that starts the other one is there on every system and image.
            ProgramKind::Shell => {
                let script = "[ -x /bin/bash ] && exec /bin/bash; exec /bin/sh";
                ("/bin/sh".to_owned(), ["-c", script].map(str::to_owned).to_vec())
            }
            ProgramKind::Command(command) => {
                let mut arguments = ["-c", "exec \"$@\"", "layercake shell"].map(str::to_owned).to_vec();
                arguments.extend(command.iter().cloned());
                match (arguments.get_mut(3), python) {
                    // On a machine's own files these may be another version, or not there.
                    (Some(first), Some(python)) if first == "python" || first == "python3" => *first = python,
                    _ => {}
                }
                ("/bin/sh".to_owned(), arguments)
            }
        };
        runtime.streams = Some(streams);
        runtime
    }
}

/// Runs a program to its end.
pub(super) async fn run(
    host: &Arc<Host>,
    spec: EnvironmentSpec,
    program: Program,
    streams: ProgramStreams,
) -> Result<Ended, SandboxError> {
    let failed = |step: &str, source| SandboxError::Start { step: step.to_owned(), source };
    let image = host.image(spec.runtime).await;
    let host = Arc::clone(host);
    let memory_mb = spec.memory_mb;
    let launch = tokio::task::spawn_blocking(move || host.launch_program(&spec, image, &program, streams));
    let launched = launch.await.map_err(|error| failed("start a process", io::Error::other(error)))??;
    let (mut cell, _) = Cell::attach(launched).map_err(|error| failed("read from a process", error))?;
    cell.run(RUNTIME);
    let mut is_out_of_memory = false;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let ended = loop {
        let event = tokio::select! {
            biased;
            event = cell.event() => event,
            // Where the kernel does not see to it.
            _ = look.tick(), if !is_out_of_memory => {
                let used = memory::usage(cell.keeper()).unwrap_or_default();
                if cell.exceeds(memory_mb, used.own_kb) {
                    is_out_of_memory = true;
                    cell.kill(RUNTIME);
                }
                continue;
            }
        };
        match event {
            CellEvent::Ready => {}
            CellEvent::Failed { step, source } => {
                cell.end().await;
                return Err(SandboxError::Start { step, source });
            }
            CellEvent::NotExecuted { program, source } => {
                cell.end().await;
                return Err(failed(&format!("run `{program}`"), source));
            }
            // There are none.
            CellEvent::LaunchFailed { .. } => {}
            CellEvent::MemoryGrew => {
                if !cell.fits() {
                    is_out_of_memory = true;
                    cell.kill(RUNTIME);
                }
            }
            CellEvent::Exited { .. } | CellEvent::Gone if is_out_of_memory => break Ended::OutOfMemory,
            CellEvent::Exited { exit: Exit::Code(code), .. } => break Ended::Code(code),
            CellEvent::Exited { exit: Exit::Signal(9), .. } | CellEvent::Gone if cell.has_killed() => {
                break Ended::OutOfMemory;
            }
            CellEvent::Exited { exit: Exit::Signal(signal), .. } => break Ended::Signal(signal),
            CellEvent::Gone => break Ended::Signal(9),
        }
    };
    cell.end().await;
    Ok(ended)
}
