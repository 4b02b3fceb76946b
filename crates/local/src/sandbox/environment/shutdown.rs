//! The end of an environment's processes, in AWS's order and times (FACTS.md §9).
//!
//! Owns who is asked, who is told and who is killed when. `/tmp` stays until the cell ends.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        SandboxError,
        cell_event::{CellEvent, RUNTIME},
        extensions::ShutdownReason,
        log::{Log, now_ms},
    },
    Environment, KILLED, Phase,
};

/// What a runtime gets between SIGTERM and SIGKILL, and all processes together.
struct Times {
    runtime: Duration,
    all: Duration,
}

impl Times {
    fn of(any: bool, external: bool) -> Self {
        let (runtime, all) = match (any, external) {
            (false, _) => (0, 0),
            (true, false) => (500, 500),
            (true, true) => (300, 2000),
        };
        Self { runtime: Duration::from_millis(runtime), all: Duration::from_millis(all) }
    }
}

impl Environment {
    /// Ends all processes of the environment and waits until they are gone; extensions are told
    /// before, and have their time.
    pub(in super::super) async fn end(mut self) {
        if self.extended {
            self.freeze(false);
            let mut log = self.log();
            self.finish_unsettled(&mut log);
            // Whatever goes wrong here, the cell's end takes everything.
            let _ = self.shut_down(ShutdownReason::Spindown, &mut log).await;
            self.log_late(log);
        }
        drop(self.server);
        self.cell.end().await;
    }

    /// Ends the runtime and the extensions and waits for their end; `/tmp` stays.
    pub(super) async fn shut_down(
        &mut self,
        reason: ShutdownReason,
        log: &mut Log,
    ) -> Result<(), SandboxError> {
        if self.running != 0 {
            let (any, external) = if self.extended { self.extensions.kinds() } else { (false, false) };
            let (times, begun) = (Times::of(any, external), Instant::now());
            if self.is_running(RUNTIME) && !times.runtime.is_zero() {
                self.cell.terminate(RUNTIME);
                self.until_ended(1 << RUNTIME, Some(begun + times.runtime), log).await?;
            }
            if self.is_running(RUNTIME) {
                self.cell.kill(RUNTIME);
                self.until_ended(1 << RUNTIME, None, log).await?;
            }
            if self.running != 0 {
                self.extensions.telemetry.flush();
                self.shut_down_extensions(reason, begun + times.all, log).await?;
            }
        }
        self.phase = Phase::Stopped;
        if self.extended {
            self.take_extension_lines(log);
        }
        Ok(())
    }

    async fn shut_down_extensions(
        &mut self,
        reason: ShutdownReason,
        deadline: Instant,
        log: &mut Log,
    ) -> Result<(), SandboxError> {
        let left = u64::try_from(deadline.saturating_duration_since(Instant::now()).as_millis());
        let told = self.extensions.shut_down(reason, now_ms() + left.unwrap_or_default());
        let told: u32 = told.into_iter().map(|program| 1 << program).sum();
        self.kill_all(self.running & !told);
        self.until_ended(told, Some(deadline), log).await?;
        self.kill_all(self.running);
        self.until_ended(self.running, None, log).await
    }

    pub(super) fn kill_all(&mut self, programs: u32) {
        for program in (0..u32::BITS as usize).filter(|program| programs & (1 << program) != 0) {
            self.cell.kill(program);
        }
    }

    /// Waits until none of these programs runs, or for so long, while their output is read.
    async fn until_ended(
        &mut self,
        programs: u32,
        deadline: Option<Instant>,
        log: &mut Log,
    ) -> Result<(), SandboxError> {
        while self.running & programs != 0 {
            let event = tokio::select! {
                biased;
                event = self.cell.event() => event,
                readable = self.output.readable(), if !self.output_ended => {
                    match readable {
                        Ok(()) => if let Ok(count) = self.output.try_read(&mut self.buffer) {
                            log.output(&self.buffer[..count]);
                            self.output_ended = count == 0;
                        },
                        Err(_) => self.output_ended = true,
                    }
                    continue;
                }
                () = until(deadline) => return Ok(()),
            };
            match event {
                CellEvent::Ready | CellEvent::NotExecuted { .. } | CellEvent::LaunchFailed { .. } => {}
                CellEvent::MemoryGrew => {
                    self.cell.fits();
                }
                CellEvent::Exited { program: RUNTIME, exit, peak_kb } => {
                    self.runtime_ended(exit, peak_kb, log).await;
                }
                CellEvent::Exited { program, .. } => self.ended(program),
                CellEvent::Gone => {
                    self.running = 0;
                    self.runtime_ended(KILLED, 0, log).await;
                }
                CellEvent::Failed { step, source } => return Err(SandboxError::Start { step, source }),
            }
        }
        Ok(())
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
