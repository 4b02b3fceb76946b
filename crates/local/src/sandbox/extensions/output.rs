//! What extensions print: one pipe for all of them, read all the time.
//!
//! Owns that pipe. Its lines wait here until the environment takes them for the function's log;
//! nobody waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{net::unix::pipe, task::JoinHandle};

use super::super::log::{Log, LogEvent};

/// The read end of the pipe and what has come through it.
#[derive(Debug)]
pub(in super::super) struct ExtensionOutput {
    shared: Arc<Shared>,
    reading: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    pipe: pipe::Receiver,
    log: Mutex<Log>,
}

impl ExtensionOutput {
    /// Reads until the environment is dropped; the log cuts and bounds the lines.
    pub(in super::super) fn read(pipe: pipe::Receiver, log: Log) -> Self {
        let shared = Arc::new(Shared { pipe, log: Mutex::new(log) });
        let reading = Arc::clone(&shared);
        let reading = tokio::spawn(async move {
            while reading.pipe.readable().await.is_ok() {
                if !reading.drain(&mut reading.log()) {
                    return;
                }
            }
        });
        Self { shared, reading }
    }

    /// Everything that was printed until now.
    pub(in super::super) fn take(&self) -> Vec<LogEvent> {
        let mut log = self.shared.log();
        // Asked of the kernel: the reading task may not have been woken yet.
        self.shared.drain(&mut log);
        log.take()
    }
}

impl Drop for ExtensionOutput {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is there, at most a pipe full; false when nobody can write any more.
    fn drain(&self, log: &mut Log) -> bool {
        const PIPE: usize = 1 << 20;
        let mut buffer = [0u8; 16_384];
        let mut read = 0;
        while read < PIPE {
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    log.output(&buffer[..count]);
                    read += count;
                }
                Err(_) => {
                    // Makes tokio learn that the pipe is empty.
                    let _ = self.pipe.try_read(&mut buffer).map(|count| log.output(&buffer[..count]));
                    return true;
                }
            }
        }
        true
    }
}
