//! The local cloud's memory: records in SQLite, bytes in files named by their hash, and the
//! folders that functions run from.
//!
//! The only module that touches the data directory. It never decides what a request may do and
//! knows no AWS error. Every method is synchronous; a crash at any line leaves a folder that the
//! next start can use:
//!
//! - a blob is written beside its place, flushed and renamed before a record may name it;
//! - records change in SQLite transactions (WAL, synchronous=FULL);
//! - unpacked trees are a cache: made beside and renamed, and thrown away after a reboot, since
//!   they are not flushed;
//! - what no record names is collected when it loses its last record, and at the next start.

mod aliases;
mod archive;
mod blobs;
mod buckets;
mod code_signing;
mod collect;
mod damage;
mod disk;
mod events;
mod function_settings;
mod functions;
mod layers;
mod lock;
mod log_chunk;
mod log_events;
mod logs;
mod managed_policies;
mod mappings;
mod object_listing;
mod objects;
mod policies;
mod records;
mod roles;
mod schema;
mod sessions;
mod trees;
mod uploads;
mod versions;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    aws::{AccountId, Region},
    hash::Sha256,
    zip::{ReadError, ZipError},
};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use trees::unpack_function;

pub(crate) use aliases::AliasError;
pub(crate) use archive::{read_upload, verify_upload};
pub(crate) use blobs::{Blob, BlobFile, BlobWriter};
pub(crate) use buckets::BucketQuery;
pub(crate) use code_signing::{CodeSigningDeletion, CodeSigningRecord};
pub(crate) use damage::Watch;
pub(crate) use events::{EventChange, EventRecord, EventResponse, NewEvent, WaitingEvent};
pub(crate) use function_settings::{Setting, SettingKind, SettingOwner, SettingPart};
pub(crate) use functions::ChangeError;
pub(crate) use layers::LayerFilter;
pub use lock::ServerRecord;
pub(crate) use log_events::{EVENT_BYTES, FoundEvents, LogBatch, LogQuery, NewLogEvents};
pub(crate) use logs::LogStreamQuery;
pub(crate) use managed_policies::{PolicyDeletion, PolicyRecord, PolicyVersionRecord};
pub(crate) use mappings::{MappingAction, MappingChangeError, MappingRecord};
pub(crate) use object_listing::{Listed, ListedVersion, ListingQuery, VersionMarker};
pub(crate) use objects::{Deleted, Deletion, NULL_VERSION, NewVersion};
pub(crate) use policies::{FunctionPolicyRecord, LayerPolicyRecord};
pub(crate) use records::*;
pub(crate) use roles::{Attachment, RoleDeletion};
pub(crate) use sessions::SessionRecord;
pub(crate) use trees::TreePin;
pub(crate) use versions::{Publication, VersionDeletion};

/// What can go wrong with the data directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed; the source names the path.
    #[error("the local cloud's data folder cannot be used")]
    Files {
        /// What happened, with the path.
        source: io::Error,
    },
    /// The database refused.
    #[error("the local cloud's database cannot be used")]
    Database {
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database was written by a newer layercake.
    #[error("`{path}` was written by a newer layercake (schema {found}; this one knows up to {known})")]
    NewerSchema {
        /// The database.
        path: Utf8PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// Another local cloud serves this folder.
    #[error("`{data}` is in use by {}", lock::describe(holder.as_ref()))]
    InUse {
        /// The folder.
        data: Utf8PathBuf,
        /// Who has it, when that can be read.
        holder: Option<ServerRecord>,
    },
    /// A record cannot be read.
    #[error("a record of the local cloud's database is damaged: {what}")]
    DamagedRecord {
        /// Which one.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An upload cannot be unpacked.
    #[error("an uploaded archive cannot be unpacked")]
    Archive {
        /// Why.
        source: ZipError,
    },
    /// A file does not hold the bytes that were written.
    #[error("the file `{sha256}` is damaged: its bytes have another hash. {}", damage::whose(named_by))]
    DamagedFile {
        /// The hash that it is named by, and that its bytes should have.
        sha256: Sha256,
        /// The records that name it, in words.
        named_by: Vec<String>,
    },
    /// A worker thread ended early, which happens when the program shuts down.
    #[error("the local cloud is shutting down")]
    ShuttingDown,
}

impl StoreError {
    /// Whether SQLite's answer is one that a full disk gives: it has no room for the database
    /// (`SQLITE_FULL`) or for the memory shared with it (`SQLITE_IOERR`).
    pub(crate) fn may_be_a_full_disk(&self) -> bool {
        use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
        matches!(self, Self::Database { source }
            if matches!(source.sqlite_error_code(), Some(DiskFull | SystemIoFailure)))
    }
}

impl From<io::Error> for StoreError {
    fn from(source: io::Error) -> Self {
        Self::Files { source }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Zip(source) => Self::Archive { source },
            ReadError::Read { source } | ReadError::Write { source } => Self::Files { source },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database { source }
    }
}

/// Connections that read. More than two cores rarely read at the same time.
const READERS: usize = 3;

/// Whose resources: everything regional is kept apart by account and region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    /// The account.
    pub(crate) account: AccountId,
    /// The region.
    pub(crate) region: Region,
}

/// The data directory, held by a lock.
pub(crate) struct Store {
    root: Utf8PathBuf,
    writer: Mutex<Connection>,
    /// Several, so that nobody who asks for one record waits for who reads many.
    readers: [Mutex<Connection>; READERS],
    /// What may not be collected now, and how often it is held.
    pins: Mutex<BTreeMap<Pinned, usize>>,
    /// What lost its last record and waits to be collected.
    garbage: Mutex<BTreeSet<Pinned>>,
    /// Files whose bytes were seen to have their hash, and safely in their place.
    sound: Mutex<HashMap<Sha256, damage::Stamp>>,
    /// How often layers were changed.
    layer_changes: AtomicU64,
    /// How often anything was changed but logs.
    changes: AtomicU64,
    /// Held while a tree is made, so that nobody makes the same one beside.
    unpacking: Mutex<()>,
    /// Gone once the store is closed; nothing is written without it.
    lock: Mutex<Option<lock::DataLock>>,
}

/// A thing on disk that a record may name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pinned {
    /// An uploaded file and its unpacked tree, by SHA-256 in hexadecimal.
    Blob(String),
    /// Several layers merged into one tree, by the hash of their list.
    Merged(String),
}

impl Store {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process serves it, [`StoreError::NewerSchema`], or an
    /// I/O error.
    pub(crate) fn open(root: &Utf8Path) -> Result<Arc<Self>, StoreError> {
        create_private(root)?;
        let root = Utf8PathBuf::try_from(fs_err::canonicalize(root)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let lock = lock::DataLock::take(&root)?;
        for folder in ["blobs", "trees", "merged", "work"] {
            fs_err::create_dir_all(root.join(folder))?;
        }
        // Half-written files of a process that was killed: nobody names them.
        let beside = root.join("beside");
        trees::remove_leftover(&beside);
        fs_err::create_dir_all(&beside)?;
        let database = root.join("cloud.sqlite");
        keep_private(&database)?;
        let mut writer = Connection::open(&database)?;
        schema::prepare(&mut writer, &database)?;
        tune(&writer)?;
        let reader = || -> Result<_, StoreError> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&database, flags)?;
            tune(&connection)?;
            Ok(Mutex::new(connection))
        };
        let readers = [reader()?, reader()?, reader()?];
        let store = Arc::new(Self {
            root,
            writer: Mutex::new(writer),
            readers,
            pins: Mutex::default(),
            garbage: Mutex::default(),
            sound: Mutex::default(),
            layer_changes: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            unpacking: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        });
        store.forget_trees_of_an_earlier_boot()?;
        store.collect_everything();
        Ok(store)
    }

    /// The folder, as an absolute path.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// A folder for the sandbox's own files.
    pub(crate) fn work(&self) -> Utf8PathBuf {
        self.root.join("work")
    }

    /// Leaves a note for other processes about who serves this folder and where.
    pub(crate) fn announce(&self, record: &ServerRecord) -> Result<(), StoreError> {
        match &*held(&self.lock) {
            Some(lock) => lock.announce(&self.root, record),
            None => Err(StoreError::ShuttingDown),
        }
    }

    /// Lets another process have the folder. Whoever still holds the store reads as before and
    /// cannot write any more.
    pub(crate) fn close(&self) {
        // With the writer in hand no transaction is under way.
        let _writer = held(&self.writer);
        held(&self.lock).take();
    }

    /// Runs a statement or several that change nothing.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self.free_reader() {
            Some(reader) => work(&reader),
            None => work(&held(&self.readers[0])),
        }
    }

    /// Whether a reader is free: then reading a record takes no longer than it must.
    pub(crate) fn can_read_at_once(&self) -> bool {
        self.free_reader().is_some()
    }

    fn free_reader(&self) -> Option<MutexGuard<'_, Connection>> {
        self.readers.iter().find_map(|reader| match reader.try_lock() {
            Ok(free) => Some(free),
            Err(TryLockError::Poisoned(free)) => Some(free.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// A number that is another one after every change of anything but logs. Who keeps what was read
    /// after asking for it has what is true as long as the number stays.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Runs statements as one transaction: all of them or none.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let value = self.write_aside(work);
        // Also after a failure: a commit that was reported as failed may have reached the disk.
        self.changes.fetch_add(1, Ordering::Release);
        value
    }

    /// The same for what no invocation depends on, such as logs: [`Self::changes`] stays as it is.
    fn write_aside<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = held(&self.writer);
        if held(&self.lock).is_none() {
            return Err(StoreError::ShuttingDown);
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        disk::step(disk::Step::Commit)?;
        transaction.commit()?;
        Ok(value)
    }
}

/// What every connection has.
fn tune(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Makes the data folder, which holds everybody's code and variables, for its owner alone. One
/// that is there already stays as its owner wants it.
fn create_private(root: &Utf8Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;

    if let Some(above) = root.parent().filter(|above| !above.as_str().is_empty()) {
        fs_err::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(root) {
        // Also when something else is there; then this says what.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(fs_err::create_dir_all(root)?),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("failed to create directory `{root}`: {error}")).into())
        }
        Ok(()) => Ok(()),
    }
}

/// Gives the database's files to their owner alone. SQLite makes the files beside a database like
/// the database itself, so this comes before the first connection.
fn keep_private(database: &Utf8Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.options_mut().mode(0o600);
    options.open(database)?;
    for path in [database.to_string(), format!("{database}-wal"), format!("{database}-shm")] {
        match std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path, %error, "others may read the database");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads what another process left about itself; see [`Store::announce`].
pub(crate) fn announced(root: &Utf8Path) -> Option<ServerRecord> {
    lock::announced(root)
}

/// A mutex's content. A panic elsewhere does not make the content wrong here: every change is
/// one assignment or one SQLite transaction.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record as it is kept in a column.
fn to_json<T: serde::Serialize>(record: &T) -> Result<String, StoreError> {
    serde_json::to_string(record)
        .map_err(|source| StoreError::DamagedRecord { what: "a new record".to_owned(), source })
}

/// A record read from a column; `what` names it in the error.
fn from_json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::DamagedRecord { what: what.to_owned(), source })
}
