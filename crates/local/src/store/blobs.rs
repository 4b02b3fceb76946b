//! Uploaded bytes, in files named by their SHA-256.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use camino::Utf8PathBuf;
use layercake_core::{
    hash::{Hasher, Sha256},
    zip::ReadAt,
};
use tempfile::NamedTempFile;

use super::{Pinned, Store, StoreError, damage::Stamp, disk, held};

/// Bytes on their way into the store. Dropped before [`BlobWriter::finish`], it leaves nothing.
pub(crate) struct BlobWriter {
    store: Arc<Store>,
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

/// A file of the store. While the value lives, the file is not collected; a record that names it
/// keeps it after that.
pub(crate) struct Blob {
    store: Arc<Store>,
    sha256: Sha256,
    size: u64,
}

/// A file of the store, open. It can be read to its end also after it was collected.
pub(crate) struct BlobFile {
    pub(super) sha256: Sha256,
    pub(super) file: File,
    /// What the file was like when it was opened.
    pub(super) stamp: Stamp,
    /// Whether these very bytes have been held against the hash.
    pub(super) sound: bool,
}

impl BlobFile {
    /// How many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Whether these very bytes have been held against the hash.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }
}

impl ReadAt for BlobFile {
    fn size(&self) -> u64 {
        self.stamp.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

impl BlobWriter {
    /// Adds the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were added.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Puts the bytes in their place, safe against a crash from here on.
    pub(crate) fn finish(self) -> Result<Blob, StoreError> {
        self.finish_with(|_| Ok(())).map(|(blob, ())| blob)
    }

    /// As [`Self::finish`], if who looks at the bytes takes them. They are looked at while they are
    /// flushed to the disk, which takes as long; what is refused gets no place.
    pub(crate) fn finish_with<T, E: From<StoreError>>(
        self,
        look: impl FnOnce(&BlobFile) -> Result<T, E>,
    ) -> Result<(Blob, T), E> {
        let sha256 = self.hasher.finish();
        // Pinned before it is visible, so that a collection that runs now leaves it alone.
        let blob = Blob::pin(&self.store, sha256, self.size);
        let file = self.file.as_file().try_clone().map_err(StoreError::from)?;
        let written = BlobFile::just_written(sha256, file)?;
        // A file that is there already may be damaged, or not yet flushed by whom it was put there:
        // unless it is known to be good, this one takes its place.
        if self.store.is_known_sound(sha256) {
            held(&self.store.garbage).insert(Pinned::Blob(sha256.to_hex()));
            return Ok((blob, look(&written)?));
        }
        let step = disk::step(disk::Step::FlushFile);
        let value = std::thread::scope(|scope| {
            let flushed = scope.spawn(|| step.and_then(|()| self.file.as_file().sync_all()));
            let value = look(&written);
            let flushed = flushed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            flushed.map_err(StoreError::from)?;
            value
        })?;
        held(&self.store.garbage).insert(Pinned::Blob(sha256.to_hex()));
        self.store.put_in_place(sha256, self.file)?;
        Ok((blob, value))
    }
}

impl Blob {
    fn pin(store: &Arc<Store>, sha256: Sha256, size: u64) -> Self {
        store.pin(Pinned::Blob(sha256.to_hex()));
        Self { store: Arc::clone(store), sha256, size }
    }

    /// The hash of the bytes.
    pub(crate) fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// How many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Opens it; its bytes have been held against the hash.
    pub(crate) fn open(&self) -> Result<BlobFile, StoreError> {
        self.store.sound_blob(self.sha256)
    }

    /// The bytes, all of them in memory.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        self.store.blob_bytes(self.sha256)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        self.store.unpin(Pinned::Blob(self.sha256.to_hex()));
    }
}

impl Store {
    /// Starts a new file.
    pub(crate) fn new_blob(self: &Arc<Self>) -> Result<BlobWriter, StoreError> {
        Ok(BlobWriter {
            store: Arc::clone(self),
            file: NamedTempFile::new_in(self.root.join("beside"))?,
            hasher: Sha256::hasher(),
            size: 0,
        })
    }

    /// Gives a file that was flushed its place among the others.
    fn put_in_place(&self, sha256: Sha256, file: NamedTempFile) -> Result<(), StoreError> {
        let place = self.blob_path(sha256);
        let shelves = self.root.join("blobs");
        let shelf = place.parent().unwrap_or(&shelves);
        match fs_err::create_dir(shelf) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            // Also when another upload has just made it and may not have flushed it yet.
            _ => disk::flush_folder(&shelves)?,
        }
        let file = disk::put_in_place(file, &place)?;
        disk::flush_folder(shelf)?;
        self.note_sound(sha256, &file)
    }

    /// Keeps a file that a record names from being collected while the value lives.
    #[cfg(test)]
    pub(crate) fn hold_blob(self: &Arc<Self>, sha256: Sha256, size: u64) -> Blob {
        Blob::pin(self, sha256, size)
    }

    /// Finds a record and keeps the file that it names from being collected while the [`Blob`]
    /// lives. `find` is asked again once the file is held: before that it may have lost its record,
    /// and itself, at any moment.
    pub(super) fn hold<R>(
        self: &Arc<Self>,
        find: impl Fn(&Self) -> Result<Option<R>, StoreError>,
        names: impl Fn(&R) -> (Sha256, u64),
    ) -> Result<Option<(R, Blob)>, StoreError> {
        let Some(mut found) = find(self)? else {
            return Ok(None);
        };
        loop {
            let named = names(&found);
            let blob = Blob::pin(self, named.0, named.1);
            let Some(again) = find(self)? else {
                return Ok(None);
            };
            found = again;
            if names(&found) == named {
                return Ok(Some((found, blob)));
            }
        }
    }

    /// Reads a file in pieces. Whether they are the right ones is known at the end only: after an
    /// error, what `take` got is worth nothing.
    pub(crate) fn read_blob(
        &self,
        sha256: Sha256,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let file = self.open_blob(sha256)?;
        self.read_hashed(&file, take)
    }

    #[cfg(test)]
    pub(super) fn blob_bytes(&self, sha256: Sha256) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.read_blob(sha256, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    pub(super) fn blob_path(&self, sha256: Sha256) -> Utf8PathBuf {
        let hex = sha256.to_hex();
        self.root.join("blobs").join(&hex[..2]).join(hex)
    }

    pub(super) fn pin(&self, what: Pinned) {
        *held(&self.pins).entry(what).or_default() += 1;
    }

    /// Lets go, and collects what lost its last record meanwhile.
    pub(super) fn unpin(self: &Arc<Self>, what: Pinned) {
        {
            let mut pins = held(&self.pins);
            match pins.get_mut(&what) {
                Some(count) if *count > 1 => {
                    *count -= 1;
                    return;
                }
                _ => pins.remove(&what),
            };
        }
        if !held(&self.garbage).remove(&what) {
            return;
        }
        let store = Arc::clone(self);
        let collect = move || store.collect([what]);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(collect)),
            Err(_) => collect(),
        }
    }
}
