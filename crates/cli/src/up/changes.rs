//! What changes in the app's folder, as the system tells it.
//!
//! Owns the watching. Never reads a file: whether a change means anything is for who asked.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
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
    events: UnboundedReceiver<notify::Result<Event>>,
    folder: Utf8PathBuf,
    /// The app, when it is one file: then nothing else in the folder counts.
    file: Option<Utf8PathBuf>,
}

impl Changes {
    /// From now on changes are seen.
    pub(super) fn begin(wanted: &Wanted) -> Result<Self, CommandError> {
        let (sender, events) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| {
            // Nobody listens any more at the very end.
            let _ = sender.send(event);
        })
        .map_err(|error| cannot_watch(&error))?;
        let folder = wanted.app.folder.clone();
        let file = wanted.path.file.as_ref().map(|name| folder.join(name));
        let mut changes = Self { watcher, events, folder, file };
        changes.follow(wanted)?;
        Ok(changes)
    }

    /// Watches every folder that the app has now. One that is watched already stays so.
    pub(super) fn follow(&mut self, wanted: &Wanted) -> Result<(), CommandError> {
        let of_files = wanted.app.files.iter().filter_map(|file| file.source.parent());
        let folders: BTreeSet<_> = [self.folder.as_path()].into_iter().chain(of_files).collect();
        for folder in folders {
            match self.watcher.watch(folder.as_std_path(), RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // Gone again: the folder above tells when it is back.
                Err(_) if !folder.exists() && folder != self.folder => {}
                Err(error) => return Err(cannot_watch(&error)),
            }
        }
        Ok(())
    }

    /// Whether something has changed that was not told yet.
    pub(super) fn has_more(&self) -> bool {
        !self.events.is_empty()
    }

    /// Waits for the next change. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Change, CommandError> {
        let mut change = Change { files: BTreeSet::new(), begun: Instant::now() };
        while change.files.is_empty() {
            let event = self.events.recv().await;
            change.begun = Instant::now();
            self.add(event, &mut change)?;
        }
        while change.begun.elapsed() < LONGEST {
            match tokio::time::timeout(QUIET, self.events.recv()).await {
                Ok(event) => self.add(event, &mut change)?,
                Err(_) => break,
            }
        }
        Ok(change)
    }

    fn add(&self, event: Option<notify::Result<Event>>, change: &mut Change) -> Result<(), CommandError> {
        let event = event.unwrap_or_else(|| Err(notify::Error::generic("the watch ended")));
        let event = event.map_err(|error| cannot_watch(&error))?;
        // Reading is none, and we read ourselves.
        let is_change = match event.kind {
            EventKind::Access(kind) => matches!(kind, AccessKind::Close(notify::event::AccessMode::Write)),
            _ => true,
        };
        if is_change {
            let paths = event.paths.iter().filter_map(|path| Utf8Path::from_path(path));
            change.files.extend(
                paths
                    .filter(|path| self.counts(path))
                    .map(|path| path.strip_prefix(&self.folder).unwrap_or(path).to_string()),
            );
        }
        Ok(())
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
    const FOLDERS: [&str; 5] = [".layercake", "__pycache__", ".git", ".mypy_cache", ".ruff_cache"];
    FOLDERS.contains(&name)
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
