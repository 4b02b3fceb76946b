//! What changes in the app's folder, as the system tells it.
//!
//! Owns the watching: which folders, and which names count. Never reads a file: whether a change means anything is for who asked.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};
use layercake_build::app::is_skipped;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::AccessKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::prepare::Wanted;
use crate::error::{CommandError, Kind};

/// How long nothing may happen until a change counts as whole: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(15);

/// How long a change may go on; a program that writes all the time must not keep it from being seen.
const LONGEST: Duration = Duration::from_millis(300);

/// Files that changed at about the same time.
pub(super) struct Change {
    /// Their names below the app's folder.
    pub(super) files: BTreeSet<String>,
    /// When the first of them was seen to change.
    pub(super) begun: Instant,
}

/// Changes to come.
pub(super) struct Changes {
    watcher: RecommendedWatcher,
    /// The names of files that changed together; never none.
    events: UnboundedReceiver<notify::Result<Vec<String>>>,
    folder: Utf8PathBuf,
    /// Folders in it that are not the app's.
    without: Vec<Utf8PathBuf>,
    /// Whether the app is one file of that folder.
    is_file: bool,
}

/// What counts as a change.
struct Sieve {
    folder: Utf8PathBuf,
    /// The app, when it is one file: then nothing else in the folder counts.
    file: Option<Utf8PathBuf>,
}

impl Changes {
    /// From now on changes are seen.
    pub(super) fn begin(wanted: &Wanted) -> Result<Self, CommandError> {
        let (sender, events) = unbounded_channel();
        let folder = wanted.app.folder.clone();
        let file = wanted.path.file.as_ref().map(|name| folder.join(name));
        let sieve = Sieve { folder: folder.clone(), file };
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let names = event.map(|event| sieve.names(&event));
            if names.as_ref().map_or(true, |names| !names.is_empty()) {
                // Nobody listens any more at the very end.
                let _ = sender.send(names);
            }
        })
        .map_err(|error| cannot_watch(&error))?;
        let without = wanted.without.iter().filter_map(|folder| folder.canonicalize_utf8().ok()).collect();
        let is_file = wanted.path.file.is_some();
        let mut changes = Self { watcher, events, folder, without, is_file };
        changes.enter(changes.folder.clone())?;
        Ok(changes)
    }

    /// Watches a folder and those in it. One that is watched already stays so.
    fn enter(&mut self, folder: Utf8PathBuf) -> Result<(), CommandError> {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            // First the watch, then the look: what is made in between is seen twice, not never.
            match self.watcher.watch(folder.as_std_path(), RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // Gone again: the folder above tells when it is back.
                Err(_) if folder != self.folder && !folder.exists() => continue,
                Err(error) => return Err(cannot_watch(&error)),
            }
            let entries = folder.read_dir_utf8().into_iter().flatten().flatten().filter(|_| !self.is_file);
            folders.extend(entries.map(Utf8DirEntry::into_path).filter(|path| self.holds_code(path)));
        }
        Ok(())
    }

    /// Whether something is a folder of the app.
    fn holds_code(&self, path: &Utf8Path) -> bool {
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        is_folder
            && !path.file_name().is_some_and(is_passing)
            && !self.without.iter().any(|folder| folder == path)
            && !path.join("pyvenv.cfg").exists()
    }

    /// Whether something has changed that was not told yet.
    pub(super) fn has_more(&self) -> bool {
        !self.events.is_empty()
    }

    /// Waits for the next change. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Change, CommandError> {
        let names = |event: Option<notify::Result<Vec<String>>>| {
            let event = event.unwrap_or_else(|| Err(notify::Error::generic("the watch ended")));
            event.map_err(|error| cannot_watch(&error))
        };
        let first = names(self.events.recv().await)?;
        let mut change = Change { files: first.into_iter().collect(), begun: Instant::now() };
        while change.begun.elapsed() < LONGEST {
            match tokio::time::timeout(QUIET, self.events.recv()).await {
                Ok(event) => change.files.extend(names(event)?),
                Err(_) => break,
            }
        }
        let made = change.files.iter().map(|name| self.folder.join(name));
        let made: Vec<_> = made.filter(|path| !self.is_file && self.holds_code(path)).collect();
        made.into_iter().try_for_each(|folder| self.enter(folder))?;
        Ok(change)
    }
}

impl Sieve {
    /// The files that an event tells a change of, below the app's folder.
    fn names(&self, event: &Event) -> Vec<String> {
        // Reading is none, and we read ourselves.
        let is_change = match event.kind {
            EventKind::Access(kind) => matches!(kind, AccessKind::Close(notify::event::AccessMode::Write)),
            _ => true,
        };
        if !is_change {
            return Vec::new();
        }
        let paths = event.paths.iter().filter_map(|path| Utf8Path::from_path(path));
        let counted = paths.filter(|path| self.counts(path));
        counted.map(|path| path.strip_prefix(&self.folder).unwrap_or(path).to_string()).collect()
    }

    fn counts(&self, path: &Utf8Path) -> bool {
        match &self.file {
            Some(file) => path == file,
            None => path != self.folder && !path.file_name().is_some_and(is_passing),
        }
    }
}

/// Whether a name is that of a file that editors and Python make beside the real ones.
fn is_passing(name: &str) -> bool {
    is_skipped(name)
        || [".mypy_cache", ".ruff_cache"].contains(&name)
        || name.ends_with('~')
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || (name.starts_with('.') && [".swp", ".swo", ".swx", ".swpx"].iter().any(|end| name.ends_with(end)))
        // What Vim tries a folder with.
        || name == "4913"
}

fn cannot_watch(error: &notify::Error) -> CommandError {
    let hint = match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system watches no more folders: `sudo sysctl fs.inotify.max_user_watches=524288`"
        }
        _ => "leave out --watch, and run `layercake up` again after a change",
    };
    CommandError::new(Kind::User, format!("the app's folder cannot be watched: {error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_leave_for_a_moment_is_no_change() {
        for name in [".app.py.swp", "app.py~", ".#app.py", "#app.py#", "4913", "__pycache__", ".layercake"] {
            assert!(is_passing(name), "{name}");
        }
        for name in ["app.py", "requirements.txt", ".env", "data.swp", "#notes"] {
            assert!(!is_passing(name), "{name}");
        }
    }
}
