//! What can happen in a cell, whichever kind of cell the host gives.

use std::io;

/// How a runtime ended.
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
    /// The runtime ended and nothing of it is left.
    Exited { exit: Exit, peak_kb: u64 },
    /// The keeper itself is gone.
    Gone,
}
