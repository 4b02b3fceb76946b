//! The server's side of a jail: commands in, events and output out.
//!
//! Owns the life of one keeper process. Whoever drops a [`Cell`] ends its processes.

use std::{io, os::fd::OwnedFd, sync::Arc};

use camino::Utf8PathBuf;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::unix::pipe,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    cell_event::{CellEvent, Exit, Outputs, RUNTIME},
    cgroup::Group,
    confine::Confinement,
    jail::{self, JailPlan, Record},
    loopback::Loopback,
    memory,
    sockets::Sockets,
};

/// A jail with its programs.
#[derive(Debug)]
pub(super) struct Cell {
    plan: JailPlan,
    pid: i32,
    control: Option<OwnedFd>,
    status: pipe::Receiver,
    own_pids: bool,
    /// Removed with the cell.
    scratch: Option<Utf8PathBuf>,
    /// The same.
    group: Option<Group>,
    memory_alarm: Alarm,
    loopback: Loopback,
}

/// A keeper that has just been started.
#[derive(Debug)]
pub(super) struct Launched {
    plan: JailPlan,
    keeper: jail::Keeper,
    scratch: Option<Utf8PathBuf>,
    group: Option<Group>,
}

impl Cell {
    /// Starts the keeper. Blocks for about a millisecond.
    pub(super) fn launch(
        plan: JailPlan,
        confinement: &Confinement,
        group: Option<Group>,
        scratch: Option<Utf8PathBuf>,
    ) -> io::Result<Launched> {
        jail::start(&plan, confinement).map(|keeper| Launched { plan, keeper, scratch, group })
    }

    /// The cell of a keeper, and beside it what its programs will print.
    pub(super) fn attach(launched: Launched) -> io::Result<(Self, Outputs)> {
        let Launched { plan, keeper, scratch, group } = launched;
        let own_pids = plan.namespaces & nix::libc::CLONE_NEWPID != 0;
        let runtime = pipe::Receiver::from_owned_fd(keeper.log)?;
        let extensions = keeper.extension_log.map(pipe::Receiver::from_owned_fd).transpose()?;
        let status = pipe::Receiver::from_owned_fd(keeper.status)?;
        let memory_alarm = Alarm::of(group.as_ref());
        let (pid, control) = (keeper.pid, Some(keeper.control));
        let loopback = keeper
            .sockets
            .map_or_else(Loopback::default, |socket| Loopback::Own(Arc::new(Sockets::new(socket))));
        let cell = Self { plan, pid, control, status, own_pids, scratch, group, memory_alarm, loopback };
        Ok((cell, Outputs { runtime, extensions }))
    }

    /// The loopback that the cell's programs see.
    pub(super) fn loopback(&self) -> &Loopback {
        &self.loopback
    }

    /// Starts a program. Its end is an event.
    pub(super) fn run(&self, program: usize) {
        self.command(jail::RUN, program);
    }

    /// Asks a program to end (SIGTERM).
    pub(super) fn terminate(&self, program: usize) {
        self.command(jail::TERMINATE, program);
    }

    /// Kills a program, and with the last one everything that any of them has started. The end is
    /// an event.
    pub(super) fn kill(&self, program: usize) {
        self.command(jail::KILL, program);
    }

    fn command(&self, command: u8, program: usize) {
        if let (Some(control), Ok(program)) = (&self.control, u8::try_from(program)) {
            // A keeper that is gone shows in `event`.
            let _ = nix::unistd::write(control, &[command, program]);
        }
    }

    /// The next event. May be dropped and called again.
    pub(super) async fn event(&mut self) -> CellEvent {
        loop {
            let mut bytes = [0; Record::SIZE];
            tokio::select! {
                biased;
                ready = self.status.readable() => if ready.is_err() {
                    return CellEvent::Gone;
                },
                () = memory_grew(&mut self.memory_alarm) => return CellEvent::MemoryGrew,
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
            Record::ExecFailed { program: RUNTIME, errno } => CellEvent::NotExecuted {
                program: self.plan.runtime.program.to_string_lossy().into_owned(),
                source: io::Error::from_raw_os_error(errno),
            },
            Record::ExecFailed { program, errno } => {
                CellEvent::LaunchFailed { program, source: io::Error::from_raw_os_error(errno) }
            }
            Record::Exited { program, wait_status, peak_kb } => CellEvent::Exited {
                program,
                exit: match (wait_status & 0x7f, (wait_status >> 8) & 0xff) {
                    (0, code) => Exit::Code(code),
                    (signal, _) => Exit::Signal(signal),
                },
                peak_kb: u64::try_from(peak_kb).unwrap_or_default(),
            },
        }
    }

    /// Whether the processes hold no more memory of their own than the setting, after an alarm. Sets
    /// the next alarm.
    pub(super) fn fits(&mut self) -> bool {
        let Some(group) = &self.group else { return true };
        self.memory_alarm = Alarm::of(Some(group));
        group.own_bytes().is_none_or(|own| own <= group.memory_bytes())
    }

    /// Whether the kernel has ended somebody who wanted more memory than there is, since this was
    /// asked last.
    pub(super) fn has_killed(&self) -> bool {
        self.group.as_ref().is_some_and(Group::has_killed)
    }

    /// Whether the processes hold more memory of their own than the setting; `own_kb` is what `/proc`
    /// says, in which memory that processes share counts for each.
    pub(super) fn exceeds(&self, memory_mb: u32, own_kb: u64) -> bool {
        match self.group.as_ref().and_then(|group| Some((group.own_bytes()?, group.memory_bytes()))) {
            Some((own, most)) => own > most,
            None => {
                let most = u64::from(memory_mb) << 10;
                own_kb > most && memory::own(self.pid).is_none_or(|own_kb| own_kb > most)
            }
        }
    }

    /// The most memory that all of it has held, in bytes, where the kernel keeps count.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        self.group.as_ref()?.peak_bytes()
    }

    /// Makes every process stand still, or go on.
    pub(super) fn freeze(&self, still: bool) {
        if let Some(group) = &self.group {
            group.freeze(still);
        }
    }

    /// The process number of the keeper, as this machine counts.
    pub(super) fn keeper(&self) -> i32 {
        self.pid
    }

    /// Ends all processes and waits until they are gone.
    pub(super) async fn end(mut self) {
        let Some(waiting) = self.close() else { return };
        let _ = spawn_blocking(waiting).await;
    }

    /// Lets go of the keeper; the answer waits for its end.
    fn close(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        drop(self.control.take()?);
        let (pid, own_pids) = (self.pid, self.own_pids);
        let (scratch, group) = (self.scratch.take(), self.group.take());
        if own_pids {
            // Even a keeper that hangs in a mount ends so, and its namespace with it. Without a
            // pid namespace only the keeper knows whom to kill, so it is left to do it.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        Some(move || {
            jail::wait(pid);
            drop(group);
            if let Some(scratch) = scratch {
                let _ = fs_err::remove_dir_all(scratch);
            }
        })
    }
}

/// What tells that memory has grown.
#[derive(Debug)]
enum Alarm {
    /// Nothing: whoever looks from time to time finds it.
    None,
    /// It is being made, off the async threads.
    Coming(JoinHandle<Option<OwnedFd>>),
    Set(pipe::Receiver),
}

impl Alarm {
    fn of(group: Option<&Group>) -> Self {
        group.and_then(Group::memory_alarm).map_or(Self::None, |make| Self::Coming(spawn_blocking(make)))
    }
}

/// Waits until the kernel raises the alarm, if it ever does.
async fn memory_grew(alarm: &mut Alarm) {
    if let Alarm::Coming(making) = alarm {
        let made = making.await.ok().flatten().map(pipe::Receiver::from_owned_fd_unchecked);
        *alarm = made.and_then(Result::ok).map_or(Alarm::None, Alarm::Set);
    }
    let Alarm::Set(alarm) = alarm else { return std::future::pending().await };
    // An eventfd is read like a pipe: eight bytes at a time.
    while alarm.readable().await.is_ok() && alarm.try_read(&mut [0; 8]).is_err() {}
}

impl Drop for Cell {
    fn drop(&mut self) {
        if let Some(waiting) = self.close() {
            // A few milliseconds, and only on paths that skipped `end`: no zombie stays behind.
            waiting();
        }
    }
}
