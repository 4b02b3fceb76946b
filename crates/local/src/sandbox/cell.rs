//! The server's side of a jail: commands in, events and output out.
//!
//! Owns the life of one keeper process. Whoever drops a [`Cell`] ends its processes.

use std::{io, os::fd::OwnedFd};

use camino::Utf8PathBuf;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::net::unix::pipe;

use super::{
    cell_event::{CellEvent, Exit},
    jail::{self, JailPlan, Record},
};

/// A jail with its runtime.
#[derive(Debug)]
pub(super) struct Cell {
    plan: JailPlan,
    pid: i32,
    control: Option<OwnedFd>,
    status: pipe::Receiver,
    own_pids: bool,
    /// Removed with the cell.
    scratch: Option<Utf8PathBuf>,
}

/// A keeper that has just been started.
#[derive(Debug)]
pub(super) struct Launched {
    plan: JailPlan,
    keeper: jail::Keeper,
    scratch: Option<Utf8PathBuf>,
}

impl Cell {
    /// Starts the keeper. Blocks for about a millisecond.
    pub(super) fn launch(plan: JailPlan, scratch: Option<Utf8PathBuf>) -> io::Result<Launched> {
        jail::start(&plan).map(|keeper| Launched { plan, keeper, scratch })
    }

    /// The cell of a keeper, and beside it what the runtime will print.
    pub(super) fn attach(launched: Launched) -> io::Result<(Self, pipe::Receiver)> {
        let Launched { plan, keeper, scratch } = launched;
        let own_pids = plan.namespaces & nix::libc::CLONE_NEWPID != 0;
        let output = pipe::Receiver::from_owned_fd(keeper.log)?;
        let status = pipe::Receiver::from_owned_fd(keeper.status)?;
        Ok((Self { plan, pid: keeper.pid, control: Some(keeper.control), status, own_pids, scratch }, output))
    }

    /// Starts the runtime. Its end is an event.
    pub(super) fn run(&self) {
        self.command(jail::RUN);
    }

    /// Kills the runtime and all it has started. The end is an event.
    pub(super) fn kill(&self) {
        self.command(jail::KILL);
    }

    fn command(&self, command: u8) {
        if let Some(control) = &self.control {
            // A keeper that is gone shows in `event`.
            let _ = nix::unistd::write(control, &[command]);
        }
    }

    /// The next event. May be dropped and called again.
    pub(super) async fn event(&mut self) -> CellEvent {
        loop {
            let mut bytes = [0; Record::SIZE];
            if self.status.readable().await.is_err() {
                return CellEvent::Gone;
            }
            match self.status.try_read(&mut bytes) {
                Ok(Record::SIZE) => match Record::from_bytes(bytes) {
                    Some(record) => return self.translate(record),
                    None => return CellEvent::Gone,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return CellEvent::Gone,
            }
        }
    }

    fn translate(&self, record: Record) -> CellEvent {
        match record {
            Record::Ready => CellEvent::Ready,
            Record::StepFailed { step, errno } => CellEvent::Failed {
                step: self.plan.steps.get(step).map(jail::Step::describe).unwrap_or_default(),
                source: io::Error::from_raw_os_error(errno),
            },
            Record::ExecFailed { errno } => CellEvent::NotExecuted {
                program: self.plan.runtime.program.to_string_lossy().into_owned(),
                source: io::Error::from_raw_os_error(errno),
            },
            Record::Exited { wait_status, peak_kb } => CellEvent::Exited {
                exit: match (wait_status & 0x7f, (wait_status >> 8) & 0xff) {
                    (0, code) => Exit::Code(code),
                    (signal, _) => Exit::Signal(signal),
                },
                peak_kb: u64::try_from(peak_kb).unwrap_or_default(),
            },
        }
    }

    /// The process number of the keeper, as this machine counts.
    pub(super) fn keeper(&self) -> i32 {
        self.pid
    }

    /// Ends all processes and waits until they are gone.
    pub(super) async fn end(mut self) {
        let Some(waiting) = self.close() else { return };
        let _ = tokio::task::spawn_blocking(waiting).await;
    }

    /// Lets go of the keeper; the answer waits for its end.
    fn close(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        drop(self.control.take()?);
        let (pid, own_pids, scratch) = (self.pid, self.own_pids, self.scratch.take());
        if own_pids {
            // Even a keeper that hangs in a mount ends so, and its namespace with it. Without a
            // pid namespace only the keeper knows whom to kill, so it is left to do it.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        Some(move || {
            jail::wait(pid);
            if let Some(scratch) = scratch {
                let _ = fs_err::remove_dir_all(scratch);
            }
        })
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if let Some(waiting) = self.close() {
            // A few milliseconds, and only on paths that skipped `end`: no zombie stays behind.
            waiting();
        }
    }
}
