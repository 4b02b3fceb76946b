//! Who has the data directory: a lock that dies with its process, and a note that says where the
//! process answers.

use std::{fs::File, io};

use camino::Utf8Path;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// What a local cloud leaves in its folder for other processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// The process.
    pub pid: u32,
    /// Where it answers, as `host:port`.
    pub address: String,
    /// `serving` or `embedded`.
    pub presence: String,
    /// The version of layercake.
    pub layercake: String,
}

/// An exclusive `flock` on `<data>/lock`. The kernel drops it when the process ends, however it
/// ends, so a stale file never blocks anybody.
pub(super) struct DataLock {
    _file: Flock<File>,
    note: std::sync::Mutex<Option<camino::Utf8PathBuf>>,
}

impl DataLock {
    pub(super) fn take(root: &Utf8Path) -> Result<Self, StoreError> {
        let path = root.join("lock");
        let file =
            fs_err::OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path)?;
        match Flock::lock(file.into_parts().0, FlockArg::LockExclusiveNonblock) {
            Ok(file) => {
                // The note of a process that was killed is about nobody.
                let _ = fs_err::remove_file(root.join(NOTE));
                Ok(Self { _file: file, note: std::sync::Mutex::default() })
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                Err(StoreError::InUse { data: root.to_owned(), holder: announced(root) })
            }
            Err((_, errno)) => {
                Err(io::Error::new(io::Error::from(errno).kind(), format!("cannot lock `{path}`: {errno}"))
                    .into())
            }
        }
    }

    pub(super) fn announce(&self, root: &Utf8Path, record: &ServerRecord) -> Result<(), StoreError> {
        let text = super::to_json(record)?;
        let beside = root.join("beside/server.json");
        let place = root.join(NOTE);
        fs_err::write(&beside, text)?;
        fs_err::rename(&beside, &place)?;
        *super::held(&self.note) = Some(place);
        Ok(())
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        if let Some(note) = super::held(&self.note).take() {
            let _ = fs_err::remove_file(note);
        }
    }
}

const NOTE: &str = "server.json";

pub(super) fn announced(root: &Utf8Path) -> Option<ServerRecord> {
    serde_json::from_str(&fs_err::read_to_string(root.join(NOTE)).ok()?).ok()
}

pub(super) fn describe(holder: Option<&ServerRecord>) -> String {
    match holder {
        Some(record) => {
            format!("the local cloud at {} (process {}, {})", record.address, record.pid, record.presence)
        }
        None => "another local cloud that is just starting".to_owned(),
    }
}
