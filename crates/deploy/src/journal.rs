//! The journal's file: written before every creation, one record a line, safe against a crash.
//!
//! What the records mean is `core`'s business. This module only sees that a record is on the disk
//! before anything happens, and that two runs never write one journal at a time.

use std::{
    fs::TryLockError,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use layercake_core::{
    Hint,
    journal::{Journal, JournalError, Opening, Record, Resource},
};
use tokio::sync::watch;

/// An open journal, locked for this process.
#[derive(Debug)]
pub struct JournalFile {
    path: Utf8PathBuf,
    file: fs::File,
    journal: Journal,
    stop: Stop,
}

/// Keeps a journal from taking up new steps. A request that is under way goes on to its end and
/// is recorded: to drop it would be to forget what it makes.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// From now on nothing new is begun.
    pub fn now(&self) {
        self.0.send_replace(true);
    }

    /// Waits until that is asked for.
    pub async fn asked_for(&self) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
    }

    fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}

/// Why a journal's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// Reading or writing failed.
    #[error("cannot use the journal `{path}`")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process is at it.
    #[error("another layercake is working on this app (journal `{path}`)")]
    Busy {
        /// The file.
        path: Utf8PathBuf,
    },
    /// It takes up nothing new any more.
    #[error("stopped before the next step")]
    Stopped,
    /// Its text is not a journal's.
    #[error("the journal `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: JournalError,
    },
}

impl Hint for JournalFileError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("make room on the disk and run the command again".to_owned())
            }
            Self::Io { .. } => {
                Some("the folder must be writable; keep the journal elsewhere with --state FOLDER".to_owned())
            }
            Self::Stopped => None,
            Self::Busy { .. } => Some("wait until the other run is done".to_owned()),
            Self::Unreadable { source, .. } => source.hint(),
        }
    }
}

impl JournalFile {
    /// Opens the journal at `path`, or begins one with what `opening` makes. The folder is made
    /// when it is not there.
    ///
    /// # Errors
    /// [`JournalFileError`]; nothing is changed then.
    pub fn open_or_begin(
        path: &Utf8Path,
        opening: impl FnOnce() -> Opening,
    ) -> Result<Self, JournalFileError> {
        if let Some(folder) = path.parent() {
            let io = |source| JournalFileError::Io { path: path.to_owned(), source };
            fs::create_dir_all(folder).map_err(io)?;
        }
        let (file, found) = loop {
            if let Some(locked) = Self::locked(path, fs::OpenOptions::new().create(true).truncate(false))? {
                break locked;
            }
        };
        match found {
            Some(journal) => Ok(Self::of(path, file, journal)),
            None => {
                let opening = opening();
                let mut begun = Self::of(path, file, Journal::new(opening.clone()));
                begun.append(Record::Opening(opening))?;
                begun.sync_folder()?;
                Ok(begun)
            }
        }
    }

    fn of(path: &Utf8Path, file: fs::File, journal: Journal) -> Self {
        Self { path: path.to_owned(), file, journal, stop: Stop::default() }
    }

    /// Opens the journal at `path` if there is one with anything in it.
    ///
    /// # Errors
    /// [`JournalFileError`].
    pub fn open(path: &Utf8Path) -> Result<Option<Self>, JournalFileError> {
        let Some((file, found)) = Self::locked(path, &mut fs::OpenOptions::new())? else { return Ok(None) };
        Ok(found.map(|journal| Self::of(path, file, journal)))
    }

    /// Reads a journal without taking it, to tell what is in it.
    ///
    /// # Errors
    /// [`JournalFileError`].
    pub fn peek(path: &Utf8Path) -> Result<Option<Journal>, JournalFileError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(JournalFileError::Io { path: path.to_owned(), source }),
        }
    }

    /// Clears away a journal in which not even the opening stands: its run was killed in between.
    /// Its folder goes too when nothing else is in it, also where the file was never made. What
    /// else speaks of the journal, `forget` removes, while no run can begin it. Answers whether
    /// there is none left; one that is begun, or that another process is at, stays.
    ///
    /// # Errors
    /// [`JournalFileError`].
    pub fn clear(path: &Utf8Path, forget: impl FnOnce()) -> Result<bool, JournalFileError> {
        if !path.parent().is_some_and(Utf8Path::exists) {
            forget();
            return Ok(true);
        }
        // The lock is a file's, so there must be one, lest another run begins it meanwhile.
        match Self::locked(path, fs::OpenOptions::new().create(true).truncate(false)) {
            Ok(Some((file, None))) => {
                forget();
                Self::remove(path)?;
                drop(file);
                Ok(true)
            }
            Ok(Some((_, Some(_))) | None) | Err(JournalFileError::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn parse(path: &Utf8Path, text: &str) -> Result<Option<Journal>, JournalFileError> {
        Journal::read(text).map_err(|source| JournalFileError::Unreadable { path: path.to_owned(), source })
    }

    /// Opens and locks the file. Answers nothing when there is none, or when it was removed
    /// between the two: what was written to it then, nobody could find.
    fn locked(
        path: &Utf8Path,
        how: &mut fs::OpenOptions,
    ) -> Result<Option<(fs::File, Option<Journal>)>, JournalFileError> {
        let io = |source| JournalFileError::Io { path: path.to_owned(), source };
        let mut file = match how.read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        };
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalFileError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let ours = file.metadata().map_err(io)?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let journal = Self::parse(path, &text)?;
        // A crash may have torn the last record; the next one must not continue its line.
        let whole = if journal.is_some() { text.rfind('\n').map_or(0, |end| end + 1) } else { 0 };
        if whole < text.len() {
            file.set_len(whole as u64).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Some((file, journal)))
    }

    /// What the journal says.
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What stops it.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Where it is.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Records that a resource is about to be created; answers the step's number. When this
    /// returns, the record is on the disk.
    ///
    /// # Errors
    /// [`JournalFileError`]: then nothing may be created.
    pub fn will_create(&mut self, resource: Resource) -> Result<u64, JournalFileError> {
        if self.stop.is_set() {
            return Err(JournalFileError::Stopped);
        }
        let step = self.journal.next_step();
        self.append(Record::WillCreate { step, resource })?;
        Ok(step)
    }

    /// Records that it has been created.
    ///
    /// # Errors
    /// [`JournalFileError`].
    pub fn created(&mut self, step: u64, resource: Resource) -> Result<(), JournalFileError> {
        self.append(Record::Created { step, resource })
    }

    /// Records that it is gone.
    ///
    /// # Errors
    /// [`JournalFileError`].
    pub fn undone(&mut self, step: u64) -> Result<(), JournalFileError> {
        self.append(Record::Undone { step })
    }

    /// Removes the file when nothing stands in it any more, and its folder when that is empty.
    ///
    /// # Errors
    /// [`JournalFileError`].
    pub fn close(self) -> Result<(), JournalFileError> {
        if !self.journal.steps().is_empty() {
            return Ok(());
        }
        Self::remove(&self.path)
    }

    fn remove(path: &Utf8Path) -> Result<(), JournalFileError> {
        fs::remove_file(path).map_err(|source| JournalFileError::Io { path: path.to_owned(), source })?;
        if let Some(folder) = path.parent() {
            // It may hold other journals; then it stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    fn append(&mut self, record: Record) -> Result<(), JournalFileError> {
        let io = |source| JournalFileError::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_string(&record).map_err(|error| io(error.into()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        self.journal.apply(record);
        Ok(())
    }

    fn sync_folder(&self) -> Result<(), JournalFileError> {
        let Some(folder) = self.path.parent() else { return Ok(()) };
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| JournalFileError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use layercake_core::journal::{JOURNAL_FORMAT, Place};

    use super::*;

    fn opening() -> Opening {
        Opening {
            format: JOURNAL_FORMAT,
            app: "a".to_owned(),
            place: Place::Local { data: "d".to_owned(), region: "us-east-1".parse().expect("a region") },
            token: "t".to_owned(),
        }
    }

    fn role() -> Resource {
        Resource::Role { name: "r".parse().expect("a role name") }
    }

    #[test]
    fn a_torn_record_is_cut_and_the_rest_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8").join("x/app.journal");
        let mut file = JournalFile::open_or_begin(&path, opening).expect("begun");
        let step = file.will_create(role()).expect("recorded");
        file.created(step, role()).expect("recorded");
        drop(file);
        let whole = fs::read_to_string(&path).expect("readable");
        fs::write(&path, format!("{whole}{{\"record\":\"und")).expect("written");
        let file = JournalFile::open(&path).expect("readable").expect("there");
        assert_eq!(file.journal().steps().len(), 1);
        assert_eq!(fs::read_to_string(&path).expect("readable"), whole);
        drop(file);
        fs::write(&path, "{\"record\":\"open").expect("written");
        assert!(JournalFile::open(&path).expect("readable").is_none());
        let file = JournalFile::open_or_begin(&path, opening).expect("begun anew");
        assert!(file.journal().steps().is_empty());
    }

    #[test]
    fn two_runs_never_share_a_journal() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8").join("app.journal");
        let first = JournalFile::open_or_begin(&path, opening).expect("begun");
        assert!(matches!(JournalFile::open(&path), Err(JournalFileError::Busy { .. })));
        drop(first);
        assert!(JournalFile::open(&path).is_ok());
    }

    #[test]
    fn a_stopped_journal_takes_nothing_new_but_records_what_is_done() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8").join("app.journal");
        let mut file = JournalFile::open_or_begin(&path, opening).expect("begun");
        let step = file.will_create(role()).expect("recorded");
        file.stop().now();
        file.created(step, role()).expect("what is done is recorded");
        assert!(matches!(file.will_create(role()), Err(JournalFileError::Stopped)));
    }

    #[test]
    fn a_journal_that_was_removed_is_not_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8").join("app.journal");
        let mut first = JournalFile::open_or_begin(&path, opening).expect("begun");
        let step = first.will_create(role()).expect("recorded");
        first.undone(step).expect("recorded");
        let (waiting, begun) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                loop {
                    let answer = JournalFile::open_or_begin(&path, opening);
                    let _ = waiting.send(());
                    match answer {
                        Err(JournalFileError::Busy { .. }) => std::thread::yield_now(),
                        answer => return answer,
                    }
                }
            });
            begun.recv().expect("the other thread tries");
            first.close().expect("closed");
            let mut second = other.join().expect("joined").expect("begun anew");
            second.will_create(role()).expect("recorded");
            assert!(fs::read_to_string(&path).expect("it is where it can be found").contains("will-create"));
        });
    }

    #[test]
    fn only_what_was_never_begun_is_cleared() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = Utf8Path::from_path(folder.path()).expect("UTF-8").join("app/.layercake");
        let path = state.join("app.journal");
        let clear = || {
            let mut forgotten = false;
            let cleared = JournalFile::clear(&path, || forgotten = true).expect("readable");
            assert_eq!(cleared, forgotten);
            cleared
        };
        assert!(clear(), "the app is gone");
        let whole = serde_json::to_string(&Record::Opening(opening())).expect("serialises");
        let torn = ["", "{\"record\":\"ope", &whole];
        for text in torn.map(Some).into_iter().chain([None]) {
            fs::create_dir_all(&state).expect("made");
            if let Some(text) = text {
                fs::write(&path, text).expect("written");
            }
            assert!(clear(), "{text:?}");
            assert!(!state.exists(), "{text:?}");
        }
        let mut file = JournalFile::open_or_begin(&path, || {
            assert!(!clear(), "another run is at it");
            opening()
        })
        .expect("begun");
        assert!(!clear(), "another run has it");
        file.will_create(role()).expect("recorded");
        drop(file);
        assert!(!clear(), "it is begun");
        assert!(path.exists());
    }

    #[test]
    fn an_empty_journal_goes_with_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8").join(".layercake/app.journal");
        let mut file = JournalFile::open_or_begin(&path, opening).expect("begun");
        let step = file.will_create(role()).expect("recorded");
        file.undone(step).expect("recorded");
        file.close().expect("closed");
        assert!(!path.parent().expect("a folder").exists());
    }
}
