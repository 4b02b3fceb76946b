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
    /// It could not be set up, or the runtime not executed.
    Failed { step: String, source: io::Error },
    /// The runtime ended and nothing of it is left.
    Exited { exit: Exit, peak_kb: u64 },
    /// Somebody wants more memory than there is, and waits until [`super::host::Cell::make_room`] has
    /// been tried.
    MemoryRanOut,
    /// The keeper itself is gone.
    Gone,
}
