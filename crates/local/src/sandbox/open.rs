//! A program of the user's own where a function's runtime would run: a shell, an interpreter, a
//! command.
//!
//! Owns what such a program gets that a runtime does not: streams of its own and the search path
//! that the bootstrap would have set up. No part of an invocation: nothing here is on its way.

use std::{io, os::fd::OwnedFd, sync::Arc};

use super::{
    EnvironmentSpec, SandboxError,
    cell_event::{CellEvent, Exit},
    host::{Cell, Command, Host},
    jail::Streams,
};

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
    /// The function's Python.
    Python,
    /// A command and its arguments, found as a shell finds it.
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

impl Program {
    /// Turns the command of a runtime into that of this program. `opt` is where the layers are, when
    /// the bootstrap would look for modules there.
    pub(super) fn command(&self, runtime: Command, python: &str, opt: Option<&str>) -> Command {
        let Command { mut environment, directory, .. } = runtime;
        let task = directory.clone();
        // Nobody waits for answers there.
        environment.retain(|(name, _)| name != "AWS_LAMBDA_RUNTIME_API" && !name.starts_with("_LAYERCAKE_"));
        let folder = python.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (name, value) in &mut environment {
            if name == "PATH" && !value.split(':').any(|part| part == folder) {
                *value = format!("{folder}:{value}");
            }
        }
        if let Some(opt) = opt {
            // The bootstrap puts these in by itself, after the interpreter has started.
            let version = python.rsplit_once('/').map_or(python, |(_, name)| name);
            environment.push((
                "PYTHONPATH".to_owned(),
                format!("{task}:{opt}/python/lib/{version}/site-packages:{opt}/python:/var/runtime"),
            ));
        }
        environment.extend(self.variables.iter().cloned());
        let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let shell = || ["/bin/bash", "/bin/sh"].into_iter().find(|path| std::path::Path::new(path).exists());
        let (program, arguments) = match &self.what {
            ProgramKind::Python => (python.to_owned(), Vec::new()),
            ProgramKind::Shell => (shell().unwrap_or("/bin/sh").to_owned(), Vec::new()),
            ProgramKind::Command(command) => {
                let mut arguments: Vec<String> = text(&["-c", "exec \"$@\"", "layercake shell"]);
                arguments.extend(command.iter().cloned());
                ("/bin/sh".to_owned(), arguments)
            }
        };
        Command { program, arguments, environment, directory }
    }
}

/// Runs a program to its end.
pub(super) async fn run(
    host: &Arc<Host>,
    spec: EnvironmentSpec,
    program: Program,
    streams: ProgramStreams,
) -> Result<Ended, SandboxError> {
    let host = Arc::clone(host);
    let failed = |step: &str, source| SandboxError::Start { step: step.to_owned(), source };
    let launch = tokio::task::spawn_blocking(move || {
        let ProgramStreams { files, is_terminal } = streams;
        host.launch_program(&spec, &program, Streams { files, is_terminal })
    });
    let launched = launch.await.map_err(|error| failed("start a process", io::Error::other(error)))??;
    let (mut cell, _log) = Cell::attach(launched).map_err(|error| failed("read from a process", error))?;
    cell.run();
    let mut is_out_of_memory = false;
    let ended = loop {
        match cell.event().await {
            CellEvent::Ready => {}
            CellEvent::Failed { step, source } => {
                cell.end().await;
                return Err(SandboxError::Start { step, source });
            }
            CellEvent::MemoryRanOut => {
                if !cell.make_room() {
                    is_out_of_memory = true;
                    cell.kill();
                }
            }
            CellEvent::Exited { .. } | CellEvent::Gone if is_out_of_memory => break Ended::OutOfMemory,
            CellEvent::Exited { exit: Exit::Code(code), .. } => break Ended::Code(code),
            CellEvent::Exited { exit: Exit::Signal(9), .. } | CellEvent::Gone
                if cell.is_out_of_memory() =>
            {
                break Ended::OutOfMemory;
            }
            CellEvent::Exited { exit: Exit::Signal(signal), .. } => break Ended::Signal(signal),
            CellEvent::Gone => break Ended::Signal(9),
        }
    };
    cell.end().await;
    Ok(ended)
}
