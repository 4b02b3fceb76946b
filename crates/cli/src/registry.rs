//! Which journals there are, so that `down` without an app forgets none.
//!
//! Each journal has a small file here that names it and, where the file system allows, a hard
//! link to it: when the app's folder is deleted, the journal lives on in the link and what it
//! names can still be removed. Never holds anything that is not in a journal.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use layercake_core::{Hint, hash::Sha256};
use serde::{Deserialize, Serialize};

/// The folder of registered journals.
#[derive(Debug)]
pub(crate) struct Registry {
    folder: Utf8PathBuf,
}

/// The registry cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the list of apps `{folder}`")]
pub(crate) struct RegistryError {
    folder: Utf8PathBuf,
    source: std::io::Error,
}

impl Hint for RegistryError {
    fn hint(&self) -> Option<String> {
        Some("the folder must be writable; choose another with --data FOLDER".to_owned())
    }
}

#[derive(Serialize, Deserialize)]
struct Registered {
    format: u32,
    journal: Utf8PathBuf,
    /// The journal was about to be begun: where it is not, nothing is lost.
    #[serde(default)]
    announced: bool,
}

const REGISTRY_FORMAT: u32 = 1;

/// How old a file is that a killed process was writing: it would have been renamed at once.
const ABANDONED: Duration = Duration::from_secs(60);

impl Registry {
    pub(crate) fn at(folder: &Utf8Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Says that a journal is about to be begun, so that one whose process is killed at once is known too.
    pub(crate) fn announce(&self, journal: &Utf8Path) -> Result<(), RegistryError> {
        let [entry, _] = self.paths(journal);
        if entry.exists() { Ok(()) } else { self.enter(journal, true) }
    }

    /// Registers a journal that exists.
    pub(crate) fn add(&self, journal: &Utf8Path) -> Result<(), RegistryError> {
        self.enter(journal, false)?;
        let [_, link] = self.paths(journal);
        let _ = fs::remove_file(&link);
        // Another file system has no hard links to this one; then the journal's own path must do.
        let _ = fs::hard_link(journal, &link);
        Ok(())
    }

    fn enter(&self, journal: &Utf8Path, announced: bool) -> Result<(), RegistryError> {
        let error = |source| RegistryError { folder: self.folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(error)?;
        let [entry, _] = self.paths(journal);
        let registered = Registered { format: REGISTRY_FORMAT, journal: journal.to_owned(), announced };
        let text = serde_json::to_string(&registered).map_err(|source| error(source.into()))?;
        let beside = entry.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&beside, text + "\n").and_then(|()| fs::rename(&beside, &entry)).map_err(error)
    }

    /// Puts a journal back that was deleted or emptied beside its app, so that `up` goes on with it.
    pub(crate) fn restore(&self, journal: &Utf8Path) -> Result<(), RegistryError> {
        let [_, link] = self.paths(journal);
        if says_something(journal) || !says_something(&link) {
            return Ok(());
        }
        let folder = journal.parent().unwrap_or(Utf8Path::new("/"));
        let emptied = || if journal.exists() { fs::remove_file(journal) } else { Ok(()) };
        fs::create_dir_all(folder)
            .and_then(|()| emptied())
            .and_then(|()| fs::hard_link(&link, journal))
            .map_err(|source| RegistryError { folder: folder.to_owned(), source })
    }

    /// Forgets a journal that is done with.
    pub(crate) fn remove(&self, journal: &Utf8Path) {
        for path in self.paths(journal) {
            let _ = fs::remove_file(path);
        }
    }

    /// Removes what processes were writing when they were killed.
    pub(crate) fn sweep(&self) {
        let entries = self.folder.read_dir_utf8().into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().extension() == Some("tmp")) {
            let age =
                entry.metadata().and_then(|metadata| metadata.modified()).ok().map(|time| time.elapsed());
            if age.is_some_and(|age| age.is_ok_and(|age| age > ABANDONED)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Every registered journal: its own path and where its text can be read now.
    pub(crate) fn all(&self) -> Result<Vec<Found>, RegistryError> {
        let error = |source| RegistryError { folder: self.folder.clone(), source };
        let entries = match self.folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(error(source)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(error)?.into_path();
            if path.extension() != Some("json") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(error)?;
            let Ok(registered) = serde_json::from_str::<Registered>(&text) else { continue };
            let [_, link] = self.paths(&registered.journal);
            let readable = [registered.journal.clone(), link].into_iter().find(|path| says_something(path));
            found.push(Found { journal: registered.journal, readable, announced: registered.announced });
        }
        found.sort_by(|a, b| a.journal.cmp(&b.journal));
        Ok(found)
    }

    fn paths(&self, journal: &Utf8Path) -> [Utf8PathBuf; 2] {
        let name = &Sha256::of(journal.as_str().as_bytes()).to_hex()[..16];
        [self.folder.join(format!("{name}.json")), self.folder.join(format!("{name}.journal"))]
    }
}

/// Whether a file is there and not empty.
fn says_something(path: &Utf8Path) -> bool {
    path.metadata().is_ok_and(|file| file.len() > 0)
}

/// A registered journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where `up` keeps it.
    pub(crate) journal: Utf8PathBuf,
    /// Where its text is: there, or in the registry's link when that is gone.
    pub(crate) readable: Option<Utf8PathBuf>,
    /// Whether it was only about to be begun when that was written.
    pub(crate) announced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_is_known_as_soon_as_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let registry = Registry::at(&root.join("apps"));
        let journal = root.join("app.journal");
        registry.announce(&journal).expect("announced");
        let never_begun = Found { journal: journal.clone(), readable: None, announced: true };
        assert_eq!(registry.all().expect("readable"), [never_begun]);
        fs::write(&journal, "text\n").expect("written");
        assert_eq!(registry.all().expect("readable")[0].readable, Some(journal.clone()));
        registry.add(&journal).expect("registered");
        registry.announce(&journal).expect("known already");
        assert!(!registry.all().expect("readable")[0].announced);
        fs::remove_file(&journal).expect("removed");
        assert!(registry.all().expect("readable")[0].readable.is_some(), "the link is left");
    }

    #[test]
    fn only_what_was_abandoned_is_swept_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        Registry::at(&root.join("none")).sweep();
        let registry = Registry::at(root);
        registry.add(&root.join("app.journal")).expect("registered");
        let [abandoned, at_work] = ["a.1.tmp", "b.2.tmp"].map(|name| root.join(name));
        for path in [&abandoned, &at_work] {
            fs::write(path, "{").expect("written");
        }
        let long_ago = std::time::SystemTime::now() - 2 * ABANDONED;
        let file = std::fs::File::options().write(true).open(&abandoned).expect("opened");
        file.set_modified(long_ago).expect("set");
        registry.sweep();
        assert!(!abandoned.exists());
        assert!(at_work.exists());
        assert_eq!(registry.all().expect("readable").len(), 1);
    }

    #[test]
    fn a_journal_outlives_its_app() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let registry = Registry::at(&root.join("apps"));
        assert_eq!(registry.all().expect("readable"), []);
        let journal = root.join("app.journal");
        fs::write(&journal, "text\n").expect("written");
        registry.add(&journal).expect("registered");
        registry.add(&journal).expect("registered twice is once");
        assert_eq!(registry.all().expect("readable").len(), 1);
        fs::write(root.join("empty"), "")
            .and_then(|()| fs::rename(root.join("empty"), &journal))
            .expect("emptied");
        registry.restore(&journal).expect("restored");
        assert_eq!(fs::read_to_string(&journal).expect("readable"), "text\n");
        fs::remove_file(&journal).expect("removed");
        let found = registry.all().expect("readable");
        let link = found[0].readable.clone().expect("the link is left");
        assert_eq!(fs::read_to_string(link).expect("readable"), "text\n");
        registry.remove(&journal);
        assert_eq!(registry.all().expect("readable"), []);
    }
}
