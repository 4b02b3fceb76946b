//! The cell of hosts that are not Linux: an ordinary child process in its own process group.
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

use super::cell_event::{CellEvent, Exit};

/// What to run.
#[derive(Debug)]
pub(super) struct PlainPlan {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Utf8PathBuf,
}

/// A runtime process.
#[derive(Debug)]
pub(super) struct Cell {
    plan: PlainPlan,
    child: Option<Child>,
    /// The process group of the child, until it has been killed.
    group: Option<Pid>,
    log: OwnedFd,
    scratch: Option<Utf8PathBuf>,
    failed: Option<io::Error>,
    /// A program that was never executed has not told its end yet.
    never_ran: bool,
    said_ready: bool,
}

/// A cell to be.
#[derive(Debug)]
pub(super) struct Launched {
    plan: PlainPlan,
    scratch: Option<Utf8PathBuf>,
}

impl Cell {
    pub(super) fn launch(plan: PlainPlan, scratch: Option<Utf8PathBuf>) -> io::Result<Launched> {
        Ok(Launched { plan, scratch })
    }

    pub(super) fn attach(launched: Launched) -> io::Result<(Self, pipe::Receiver)> {
        let Launched { plan, scratch } = launched;
        let (read, log) = nix::unistd::pipe()?;
        for end in [&read, &log] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        let output = pipe::Receiver::from_owned_fd(read)?;
        Ok((
            Self {
                plan,
                child: None,
                group: None,
                log,
                scratch,
                failed: None,
                never_ran: false,
                said_ready: false,
            },
            output,
        ))
    }

    pub(super) fn run(&mut self) {
        let outputs = self.log.try_clone().and_then(|first| Ok((first, self.log.try_clone()?)));
        let started = outputs.and_then(|(stdout, stderr)| {
            Command::new(&self.plan.program)
                .args(&self.plan.arguments)
                .env_clear()
                .envs(self.plan.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(&self.plan.directory)
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(stderr)
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
        });
        match started {
            Ok(child) => {
                // Asked now: a child that has been waited for does not know its number any more.
                self.group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
                self.child = Some(child);
            }
            Err(error) => self.failed = Some(error),
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    pub(super) async fn event(&mut self) -> CellEvent {
        use std::os::unix::process::ExitStatusExt;
        if !self.said_ready {
            self.said_ready = true;
            return CellEvent::Ready;
        }
        if let Some(source) = self.failed.take() {
            self.never_ran = true;
            return CellEvent::NotExecuted { program: self.plan.program.clone(), source };
        }
        if std::mem::take(&mut self.never_ran) {
            // As the keeper of a jail does it, whose child ends so.
            return CellEvent::Exited { exit: Exit::Code(127), peak_kb: 0 };
        }
        let Some(child) = &mut self.child else { return std::future::pending().await };
        let Ok(status) = child.wait().await else { return CellEvent::Gone };
        self.kill();
        (self.child, self.group) = (None, None);
        let exit =
            status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or_default()), Exit::Code);
        CellEvent::Exited { exit, peak_kb: 0 }
    }

    pub(super) fn keeper(&self) -> i32 {
        self.group.map(Pid::as_raw).unwrap_or_default()
    }

    pub(super) async fn end(mut self) {
        self.kill();
        if let Some(child) = &mut self.child {
            let _ = child.wait().await;
        }
        self.group = None;
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.kill();
        if let Some(scratch) = self.scratch.take() {
            let _ = fs_err::remove_dir_all(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_a_process_leaves_behind_ends_with_it() {
        let plan = PlainPlan {
            program: "/bin/sh".into(),
            arguments: ["-c", "sleep 600 & exit 3"].map(str::to_owned).to_vec(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            directory: "/".into(),
        };
        let launched = Cell::launch(plan, None).expect("launched");
        let (mut cell, mut output) = Cell::attach(launched).expect("attached");
        assert!(matches!(cell.event().await, CellEvent::Ready));
        cell.run();
        assert!(matches!(cell.event().await, CellEvent::Exited { exit: Exit::Code(3), .. }));
        drop(cell);
        // The pipe ends when the last process that could print into it has.
        let mut printed = Vec::new();
        let ended = output.read_to_end(&mut printed);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await;
        ended.expect("nothing is left").expect("read");
    }

    #[tokio::test]
    async fn a_process_runs_and_its_end_is_told() {
        let plan = PlainPlan {
            program: "/bin/sh".into(),
            arguments: ["-c", "echo $WHO; exit 3"].map(str::to_owned).to_vec(),
            environment: vec![("WHO".into(), "me".into())],
            directory: "/".into(),
        };
        let launched = Cell::launch(plan, None).expect("launched");
        let (mut cell, mut output) = Cell::attach(launched).expect("attached");
        assert!(matches!(cell.event().await, CellEvent::Ready));
        cell.run();
        assert!(cell.keeper() > 0);
        let CellEvent::Exited { exit, .. } = cell.event().await else { panic!("not its end") };
        assert_eq!(exit, Exit::Code(3));
        cell.end().await;
        let mut text = String::new();
        output.read_to_string(&mut text).await.expect("its output");
        assert_eq!(text, "me\n");
    }
}
