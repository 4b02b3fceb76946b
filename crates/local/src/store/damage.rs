//! Finding files that do not hold the bytes that were written.
//!
//! Every file is named by its hash and is held against it before its bytes are of any effect: before
//! it is unpacked, and before the last of it is served. That is done once for each process, as long
//! as the file is not touched.

use std::{fs::File, io, os::unix::fs::MetadataExt as _, sync::Arc};

use layercake_core::{
    hash::{Hasher, Sha256},
    zip::ReadAt as _,
};
use rusqlite::{Connection, Row};

use super::{BlobFile, Store, StoreError, held};

/// How much is read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What a file is like from the outside. Whoever changes its bytes changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    /// In bytes.
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Hashes a file's bytes on their way to somebody else, who may have all but the last of them before
/// the hash is known.
pub(crate) struct Watch {
    hasher: Option<Hasher>,
    left: u64,
}

impl Watch {
    /// For the next bytes. At the last ones the file is held against its hash; on an error, they
    /// must not be let through.
    ///
    /// # Errors
    /// [`StoreError::DamagedFile`], and when the file was changed while it was read.
    pub(crate) fn let_through(
        &mut self,
        store: &Store,
        file: &BlobFile,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left > 0 {
            return Ok(());
        }
        match self.hasher.take() {
            Some(hasher) => store.judge(file, hasher.finish()),
            None if Stamp::of(&file.file)? == file.stamp => Ok(()),
            // It was good when it was opened.
            None => store.hash(file),
        }
    }
}

impl Store {
    /// Opens a file whose bytes may have to be held against the hash yet.
    pub(crate) fn open_blob(&self, sha256: Sha256) -> Result<BlobFile, StoreError> {
        let file = fs_err::File::open(self.blob_path(sha256))?.into_parts().0;
        let stamp = Stamp::of(&file)?;
        let sound = held(&self.sound).get(&sha256) == Some(&stamp);
        Ok(BlobFile { sha256, file, stamp, sound })
    }

    /// Opens a file and reads it all if it was not seen to have its hash before.
    ///
    /// # Errors
    /// [`StoreError::DamagedFile`].
    pub(crate) fn sound_blob(&self, sha256: Sha256) -> Result<BlobFile, StoreError> {
        let mut file = self.open_blob(sha256)?;
        if !file.sound {
            self.hash(&file)?;
            file.sound = true;
        }
        Ok(file)
    }

    /// For serving `length` bytes of a file: all of them, unless the file is known to be good.
    pub(crate) fn watch(&self, file: &BlobFile, length: u64) -> Watch {
        Watch { hasher: (!file.sound).then(Sha256::hasher), left: length }
    }

    /// Gives a file's bytes in pieces and holds them against the hash at the end.
    pub(super) fn read_hashed(
        &self,
        file: &BlobFile,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut watch = self.watch(file, file.size());
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < file.size() {
            let count = usize::try_from(file.size() - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            file.read_exact_at(at, &mut piece[..count])?;
            at += count as u64;
            watch.let_through(self, file, &piece[..count])?;
            take(&piece[..count])?;
        }
        if file.size() == 0 { watch.let_through(self, file, &[]) } else { Ok(()) }
    }

    /// Reads all of a file for its hash.
    fn hash(&self, file: &BlobFile) -> Result<(), StoreError> {
        let mut hasher = Sha256::hasher();
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < file.size() {
            let count = usize::try_from(file.size() - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            file.read_exact_at(at, &mut piece[..count])?;
            at += count as u64;
            hasher.update(&piece[..count]);
        }
        self.judge(file, hasher.finish())
    }

    /// Remembers that a file is good, or says that it is not.
    fn judge(&self, file: &BlobFile, found: Sha256) -> Result<(), StoreError> {
        if found != file.sha256 {
            return Err(self.damaged(file.sha256));
        }
        // One that was changed meanwhile is looked at again.
        if Stamp::of(&file.file)? == file.stamp {
            held(&self.sound).insert(file.sha256, file.stamp);
        }
        Ok(())
    }

    /// Remembers that a file that is open has its hash and is safe in its place.
    pub(super) fn note_sound(&self, sha256: Sha256, file: &File) -> Result<(), StoreError> {
        let stamp = Stamp::of(file)?;
        held(&self.sound).insert(sha256, stamp);
        Ok(())
    }

    /// Whether the file of that name is the one that was seen to be good.
    pub(super) fn is_known_sound(&self, sha256: Sha256) -> bool {
        self.open_blob(sha256).is_ok_and(|file| file.sound)
    }

    /// Forgets a file that was removed.
    pub(super) fn forget_sound(&self, sha256: Sha256) {
        held(&self.sound).remove(&sha256);
    }

    /// Tells the log, and gives the error for the answer.
    fn damaged(&self, sha256: Sha256) -> StoreError {
        self.forget_sound(sha256);
        let named_by = self.read(|connection| named_by(connection, &sha256.to_hex())).unwrap_or_default();
        let error = StoreError::DamagedFile { sha256, named_by };
        tracing::error!("{error}");
        error
    }
}

/// Which records name a file, in words.
fn named_by(connection: &Connection, hex: &str) -> Result<Vec<String>, StoreError> {
    let mut all = Vec::new();
    let mut ask = |sql: &str, words: fn(&Row<'_>) -> rusqlite::Result<String>| {
        let mut statement = connection.prepare_cached(sql)?;
        for found in statement.query_map([hex], words)? {
            all.push(found?);
        }
        Ok::<_, StoreError>(())
    };
    ask("SELECT name, version, region FROM layer_versions WHERE sha256 = ?1", |row| {
        let (name, version, region): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("version {version} of layer `{name}` in {region}"))
    })?;
    ask("SELECT DISTINCT name, region FROM function_uses WHERE key = ?1", |row| {
        Ok(format!("function `{}` in {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    ask("SELECT DISTINCT bucket, key FROM object_versions WHERE sha256 = ?1", |row| {
        Ok(format!("object `{}` of bucket `{}`", row.get::<_, String>(1)?, row.get::<_, String>(0)?))
    })?;
    Ok(all)
}

/// The end of the message about a damaged file.
pub(super) fn whose(named_by: &[String]) -> String {
    match named_by {
        [] => "Nothing names it any more.".to_owned(),
        named_by => format!("It belongs to {}; upload it again.", named_by.join(", ")),
    }
}

impl BlobFile {
    /// A file whose bytes were hashed when they were written, a moment ago.
    pub(super) fn just_written(sha256: Sha256, file: File) -> Result<Self, StoreError> {
        let stamp = Stamp::of(&file)?;
        Ok(Self { sha256, file, stamp, sound: true })
    }

    /// Makes sure that the bytes can be served, for which a range of a file that was not looked at
    /// yet, and every small file, must be read first. Larger files are held against their hash while
    /// they are served; see [`Watch`].
    pub(crate) fn prepared(mut self, store: &Arc<Store>, whole: bool) -> Result<Self, StoreError> {
        if !self.sound && (!whole || self.size() <= SMALL_BYTES) {
            store.hash(&self)?;
            self.sound = true;
        }
        Ok(self)
    }
}

/// A file that is read faster than anybody waits.
const SMALL_BYTES: u64 = 16 << 20;
