//! What can happen in a cell, whichever kind of cell the host gives.

use std::io;

use tokio::net::unix::pipe;

/// The number of the runtime among the programs of a cell; the extensions are 1 and up.
pub(super) const RUNTIME: usize = 0;

/// What the programs of a cell print.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) runtime: pipe::Receiver,
    /// All extensions share one pipe; without any there is none.
    pub(super) extensions: Option<pipe::Receiver>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal of this number killed it.
    Signal(i32),
}

/// What happens in a cell.
#[derive(Debug)]
pub(super) enum CellEvent {
    /// The file system stands.
    Ready,
    /// It could not be set up.
    Failed { step: String, source: io::Error },
    /// The runtime could not be executed; its end is told next.
    NotExecuted { program: String, source: io::Error },
    /// An extension could not be executed. Its end is another event.
    LaunchFailed { program: usize, source: io::Error },
    /// A program ended. With the last one, nothing is left of any.
    Exited { program: usize, exit: Exit, peak_kb: u64 },
    /// There may be more memory in use than the setting; [`super::host::Cell::fits`] tells.
    MemoryGrew,
    /// The keeper itself is gone.
    Gone,
}
