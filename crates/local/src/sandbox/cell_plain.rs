//! The cell of hosts that are not Linux: ordinary child processes in process groups of their own.
//!
//! Has the interface of `cell`, without a jail. Children that leave the process group can outlive
//! it; the isolation report says so.

use std::{io, os::fd::OwnedFd, process::Stdio};

use camino::Utf8PathBuf;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
};

use super::{
    cell_event::{CellEvent, Exit, Outputs, RUNTIME},
    loopback::Loopback,
    open::ProgramStreams,
    terminal,
};

/// What to run.
#[derive(Debug)]
pub(super) struct PlainPlan {
    /// The runtime, then the extensions.
    pub(super) programs: Vec<PlainProgram>,
}

/// One program.
#[derive(Debug)]
pub(super) struct PlainProgram {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Utf8PathBuf,
    /// Its standard streams, where they are not nothing and the log.
    pub(super) streams: Option<ProgramStreams>,
}

/// The processes of an environment.
#[derive(Debug)]
pub(super) struct Cell {
    plan: PlainPlan,
    running: Vec<Running>,
    log: OwnedFd,
    extension_log: Option<OwnedFd>,
    scratch: Option<Utf8PathBuf>,
    failed: Vec<(usize, io::Error)>,
    /// Programs that could not be started, and whose end has not been told.
    never_ran: Vec<usize>,
    said_ready: bool,
}

#[derive(Debug)]
struct Running {
    number: usize,
    child: Child,
    /// Asked at the start: a child that has been waited for does not know its number any more.
    group: Option<Pid>,
}

/// A cell to be.
#[derive(Debug)]
pub(super) struct Launched {
    plan: PlainPlan,
    scratch: Option<Utf8PathBuf>,
}

fn output() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = nix::unistd::pipe()?;
    for end in [&read, &write] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

impl Cell {
    /// This machine's: there is no other.
    pub(super) fn loopback(&self) -> &Loopback {
        &Loopback::Machine
    }

    /// Nothing raises an alarm.
    pub(super) fn fits(&mut self) -> bool {
        true
    }

    /// Nothing tells.
    pub(super) fn has_killed(&self) -> bool {
        false
    }

    /// Whether the processes hold more memory than the setting.
    pub(super) fn exceeds(&self, memory_mb: u32, own_kb: u64) -> bool {
        own_kb > u64::from(memory_mb) << 10
    }

    /// Nobody counts.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        None
    }

    /// Nothing can.
    pub(super) fn freeze(&self, _still: bool) {}

    pub(super) fn launch(plan: PlainPlan, scratch: Option<Utf8PathBuf>) -> io::Result<Launched> {
        Ok(Launched { plan, scratch })
    }

    pub(super) fn attach(launched: Launched) -> io::Result<(Self, Outputs)> {
        let Launched { plan, scratch } = launched;
        let (runtime, log) = output()?;
        let extensions = if plan.programs.len() > 1 { Some(output()?) } else { None };
        let (extensions, extension_log) = extensions.unzip();
        let cell = Self {
            plan,
            running: Vec::new(),
            log,
            extension_log,
            scratch,
            failed: Vec::new(),
            never_ran: Vec::new(),
            said_ready: false,
        };
        Ok((cell, Outputs { runtime, extensions }))
    }

    pub(super) fn run(&mut self, number: usize) {
        let Some(program) = self.plan.programs.get(number) else { return };
        let log = match &self.extension_log {
            Some(log) if number != RUNTIME => log,
            _ => &self.log,
        };
        let outputs = log.try_clone().and_then(|first| Ok((first, log.try_clone()?)));
        let started = outputs.and_then(|(stdout, stderr)| {
            let mut command = Command::new(&program.program);
            command
                .args(&program.arguments)
                .env_clear()
                .envs(program.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(&program.directory)
                .kill_on_drop(true);
            match &program.streams {
                None => command.stdin(Stdio::null()).stdout(stdout).stderr(stderr),
                Some(ProgramStreams { files: [stdin, stdout, stderr], .. }) => {
                    command.stdin(stdin.try_clone()?).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?)
                }
            };
            if program.streams.as_ref().is_some_and(|streams| streams.is_terminal) {
                terminal::own(&mut command);
            } else {
                command.process_group(0);
            }
            command.spawn()
        });
        match started {
            Ok(child) => {
                let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
                self.running.push(Running { number, child, group });
            }
            Err(error) => self.failed.push((number, error)),
        }
    }

    pub(super) fn terminate(&mut self, number: usize) {
        self.signal(number, Signal::SIGTERM);
    }

    pub(super) fn kill(&mut self, number: usize) {
        self.signal(number, Signal::SIGKILL);
    }

    fn signal(&self, number: usize, signal: Signal) {
        let group = self.running.iter().find(|running| running.number == number);
        if let Some(group) = group.and_then(|running| running.group) {
            let _ = killpg(group, signal);
        }
    }

    pub(super) async fn event(&mut self) -> CellEvent {
        use std::os::unix::process::ExitStatusExt;
        if !self.said_ready {
            self.said_ready = true;
            return CellEvent::Ready;
        }
        if let Some(program) = self.never_ran.pop() {
            return CellEvent::Exited { program, exit: Exit::Code(127), peak_kb: 0 };
        }
        if let Some((program, source)) = self.failed.pop() {
            // As the keeper of a jail does it, whose child ends so.
            self.never_ran.push(program);
            if program != RUNTIME {
                return CellEvent::LaunchFailed { program, source };
            }
            let program = self.plan.programs[RUNTIME].program.clone();
            return CellEvent::NotExecuted { program, source };
        }
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let waits = self.running.iter_mut().map(|running| Box::pin(running.child.wait()));
        let (status, index, _) = futures::future::select_all(waits).await;
        let ended = self.running.remove(index);
        if let Some(group) = ended.group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let Ok(status) = status else { return CellEvent::Gone };
        let exit =
            status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or_default()), Exit::Code);
        CellEvent::Exited { program: ended.number, exit, peak_kb: 0 }
    }

    pub(super) fn keeper(&self) -> i32 {
        let runtime = self.running.iter().find(|running| running.number == RUNTIME);
        runtime.and_then(|running| running.group).map(Pid::as_raw).unwrap_or_default()
    }

    fn kill_all(&self) {
        for group in self.running.iter().filter_map(|running| running.group) {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    pub(super) async fn end(mut self) {
        self.kill_all();
        for mut running in std::mem::take(&mut self.running) {
            let _ = running.child.wait().await;
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.kill_all();
        if let Some(scratch) = self.scratch.take() {
            let _ = fs_err::remove_dir_all(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn shell(script: &str) -> PlainProgram {
        PlainProgram {
            program: "/bin/sh".into(),
            arguments: ["-c", script].map(str::to_owned).to_vec(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into()), ("WHO".into(), "me".into())],
            directory: "/".into(),
            streams: None,
        }
    }

    fn attach(programs: Vec<PlainProgram>) -> (Cell, Outputs) {
        let launched = Cell::launch(PlainPlan { programs }, None).expect("launched");
        Cell::attach(launched).expect("attached")
    }

    async fn all_of(output: &mut pipe::Receiver) -> String {
        let mut text = String::new();
        let ended = output.read_to_string(&mut text);
        // The pipe ends when the last process that could print into it has.
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await;
        ended.expect("nothing is left").expect("its output");
        text
    }

    #[tokio::test]
    async fn what_a_process_leaves_behind_ends_with_it() {
        let (mut cell, mut outputs) = attach(vec![shell("sleep 600 & exit 3")]);
        assert!(matches!(cell.event().await, CellEvent::Ready));
        cell.run(RUNTIME);
        assert!(matches!(
            cell.event().await,
            CellEvent::Exited { program: RUNTIME, exit: Exit::Code(3), .. }
        ));
        drop(cell);
        assert_eq!(all_of(&mut outputs.runtime).await, "");
    }

    #[tokio::test]
    async fn programs_run_side_by_side_and_their_ends_are_told() {
        let nowhere = PlainProgram { program: "/nowhere".into(), ..shell("") };
        let programs = vec![shell("echo $WHO; exit 3"), shell("echo too; sleep 600"), nowhere];
        let (mut cell, mut outputs) = attach(programs);
        assert!(matches!(cell.event().await, CellEvent::Ready));
        cell.run(1);
        cell.run(2);
        assert!(matches!(cell.event().await, CellEvent::LaunchFailed { program: 2, .. }));
        assert!(matches!(cell.event().await, CellEvent::Exited { program: 2, exit: Exit::Code(127), .. }));
        cell.run(RUNTIME);
        assert!(cell.keeper() > 0);
        let CellEvent::Exited { program: RUNTIME, exit, .. } = cell.event().await else {
            panic!("not its end")
        };
        assert_eq!(exit, Exit::Code(3));
        cell.terminate(1);
        let CellEvent::Exited { program: 1, exit, .. } = cell.event().await else { panic!("not its end") };
        assert_eq!(exit, Exit::Signal(15));
        cell.run(1);
        cell.kill(1);
        let CellEvent::Exited { program: 1, exit, .. } = cell.event().await else { panic!("not its end") };
        assert_eq!(exit, Exit::Signal(9));
        cell.end().await;
        assert_eq!(all_of(&mut outputs.runtime).await, "me\n");
        all_of(&mut outputs.extensions.expect("there is one")).await;
    }
}
