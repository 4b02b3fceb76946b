//! The steps that make bytes outlive a power loss, one function each.
//!
//! Apart from the rest so that tests can see their order and let each of them fail. Decides nothing.

use std::{fs::File, io};

use camino::Utf8Path;
use tempfile::NamedTempFile;

/// What is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A file's bytes go to the disk.
    FlushFile,
    /// A file gets its name.
    PutInPlace,
    /// The names in a folder go to the disk.
    FlushFolder,
    /// Records go to the disk.
    Commit,
}

/// Waits until the names in a folder are on the disk.
pub(super) fn flush_folder(path: &Utf8Path) -> io::Result<()> {
    step(Step::FlushFolder)?;
    fs_err::File::open(path)?.sync_all()
}

/// Gives a file that was written beside its place its name there, instead of one that has it.
pub(super) fn put_in_place(file: NamedTempFile, place: &Utf8Path) -> io::Result<File> {
    step(Step::PutInPlace)?;
    file.persist(place).map_err(|error| error.error)
}

/// Before a step. Only tests let it fail.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests have one that fails")]
pub(super) fn step(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use watched::{failing_at, step, watched};

#[cfg(test)]
mod watched {
    use std::cell::{Cell, RefCell};

    use super::*;

    thread_local! {
        static SEEN: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
        /// How many more steps succeed before one fails.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(in crate::store) fn step(step: Step) -> io::Result<()> {
        SEEN.with_borrow_mut(|seen| seen.push(step));
        match LEFT.get() {
            None => Ok(()),
            Some(0) => {
                LEFT.set(None);
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }

    /// The steps that `work` takes on this thread.
    pub(in crate::store) fn watched<T>(work: impl FnOnce() -> T) -> (T, Vec<Step>) {
        SEEN.take();
        let value = work();
        (value, SEEN.take())
    }

    /// Lets the step behind so many others fail, as on a full disk. False when there was none.
    pub(in crate::store) fn failing_at<T>(steps: usize, work: impl FnOnce() -> T) -> (T, bool) {
        LEFT.set(Some(steps));
        let value = work();
        (value, LEFT.take().is_none())
    }
}
