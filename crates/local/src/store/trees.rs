//! The folders that functions run from: unpacked code, and layers merged in order.
//!
//! A tree is a cache of one or several blobs. It is made beside its place and renamed, so it is
//! there as a whole or not at all.

use std::{
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    hash::Sha256,
    zip::{EntryKind, ReadAt, Unpacker},
};

use super::{Pinned, Store, StoreError, archive, held};

/// A tree in use. While the value lives, the folder stays.
pub(crate) struct TreePin {
    store: Arc<Store>,
    what: Pinned,
    path: Utf8PathBuf,
}

impl TreePin {
    /// The folder.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }
}

impl Drop for TreePin {
    fn drop(&mut self) {
        self.store.unpin(self.what.clone());
    }
}

/// The name of the tree that several layers make together, lowest first.
pub(crate) fn merged_key(layers: &[Sha256]) -> String {
    let mut hasher = Sha256::hasher();
    for layer in layers {
        hasher.update(layer.to_hex().as_bytes());
    }
    hasher.finish().to_hex()
}

impl Store {
    /// The unpacked tree of one upload, made now if it is not there.
    pub(crate) fn tree(self: &Arc<Self>, sha256: Sha256) -> Result<TreePin, StoreError> {
        let hex = sha256.to_hex();
        let path = self.root.join("trees").join(&hex);
        let pin = self.pin_tree(Pinned::Blob(hex), path);
        self.make(pin.path(), |beside| unpack(&self.sound_blob(sha256)?, beside))?;
        Ok(pin)
    }

    /// Several uploads in one tree, lowest first: "if the same file appears in multiple layers,
    /// the function uses the version in the last extracted layer".
    pub(crate) fn merged(self: &Arc<Self>, layers: &[Sha256]) -> Result<Option<TreePin>, StoreError> {
        match layers {
            [] => Ok(None),
            [only] => self.tree(*only).map(Some),
            several => {
                let parts = several.iter().map(|layer| self.tree(*layer)).collect::<Result<Vec<_>, _>>()?;
                let key = merged_key(several);
                let path = self.root.join("merged").join(&key);
                let pin = self.pin_tree(Pinned::Merged(key), path);
                self.make(pin.path(), |beside| {
                    parts.iter().try_for_each(|part| link_over(part.path(), beside))
                })?;
                Ok(Some(pin))
            }
        }
    }

    fn pin_tree(self: &Arc<Self>, what: Pinned, path: Utf8PathBuf) -> TreePin {
        self.pin(what.clone());
        // What it was made for may lose its record before it is there, so who lets go of it last
        // looks whether it is still named.
        held(&self.garbage).insert(what.clone());
        TreePin { store: Arc::clone(self), what, path }
    }

    fn make(
        &self,
        place: &Utf8Path,
        fill: impl FnOnce(&Utf8Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if place.exists() {
            return Ok(());
        }
        let _one_at_a_time = held(&self.unpacking);
        if place.exists() {
            return Ok(());
        }
        let beside = self.root.join("beside").join(uuid::Uuid::new_v4().to_string());
        fs_err::create_dir(&beside)?;
        let filled = fill(&beside).and_then(|()| {
            mode(&beside, 0o755)?;
            Ok(fs_err::rename(&beside, place)?)
        });
        if filled.is_err() {
            remove_leftover(&beside);
        }
        filled
    }

    /// Trees are not flushed to disk one file at a time, which would take longer than unpacking.
    /// After a power loss a file may therefore be there without its bytes, so trees do not
    /// survive a boot.
    pub(super) fn forget_trees_of_an_earlier_boot(&self) -> Result<(), StoreError> {
        let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let note = self.root.join("trees-of-boot");
        if fs_err::read_to_string(&note).is_ok_and(|noted| noted == boot) {
            return Ok(());
        }
        for folder in ["trees", "merged"] {
            let folder = self.root.join(folder);
            let beside = self.root.join("beside").join(uuid::Uuid::new_v4().to_string());
            fs_err::rename(&folder, &beside)?;
            fs_err::create_dir(&folder)?;
            remove_leftover(&beside);
        }
        Ok(fs_err::write(note, boot)?)
    }
}

/// A zip that lies anywhere.
struct ZipFile {
    file: std::fs::File,
    size: u64,
}

impl ZipFile {
    fn open(path: &Utf8Path) -> io::Result<Self> {
        let file = fs_err::File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file: file.into_file(), size })
    }
}

impl ReadAt for ZipFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }
}

/// Unpacks a function's code and its layers, lowest first, below a folder that is no store's: the
/// code and, where there are layers, what they make together.
///
/// # Errors
/// [`StoreError::Archive`] for what is no archive, else what the system says.
pub fn unpack_function(
    code: &Utf8Path,
    layers: &[Utf8PathBuf],
    folder: &Utf8Path,
) -> Result<(Utf8PathBuf, Option<Utf8PathBuf>), StoreError> {
    let unpacked = |zip: &Utf8Path, name: String| -> Result<Utf8PathBuf, StoreError> {
        let place = folder.join(name);
        fs_err::create_dir(&place)?;
        mode(&place, 0o755)?;
        unpack(&ZipFile::open(zip)?, &place)?;
        Ok(place)
    };
    let task = unpacked(code, "task".to_owned())?;
    let mut opt: Option<Utf8PathBuf> = None;
    for (index, layer) in layers.iter().enumerate() {
        let layer = unpacked(layer, format!("layer-{index}"))?;
        match &opt {
            None => opt = Some(layer),
            Some(opt) => link_over(&layer, opt)?,
        }
    }
    Ok((task, opt))
}

/// Unpacks an archive into an empty folder.
fn unpack<S: ReadAt + ?Sized>(source: &S, root: &Utf8Path) -> Result<(), StoreError> {
    let entries = archive::read_upload(source)?.entries;
    for folder in archive::folders(&entries, u64::MAX).map_err(|source| StoreError::Archive { source })? {
        let path = root.join(folder);
        fs_err::create_dir(&path)?;
        mode(&path, 0o755)?;
    }
    let of_kind = |kind| entries.iter().filter(move |entry| entry.kind == kind);
    let files: Vec<_> = of_kind(EntryKind::File).collect();
    archive::in_parallel(
        &files,
        || Unpacker::new(source),
        |unpacker, entry| -> Result<(), StoreError> {
            let path = root.join(&entry.path);
            let mut file = fs_err::File::create(&path)?;
            unpacker.unpack(entry, &mut |piece| file.write_all(piece))?;
            // Bytecode may be good only for a source of this time, in seconds since 1970.
            let since = std::time::Duration::from_secs(entry.modified.try_into().unwrap_or(0));
            file.file().set_modified(std::time::UNIX_EPOCH + since)?;
            // Lambda shows uploaded files to another user than their owner, so they must be
            // readable for everybody, whatever the archive says.
            mode(&path, if entry.permissions & 0o111 == 0 { 0o644 } else { 0o755 })
        },
    )?;
    // Links come last, so that no entry is ever written through one.
    let mut unpacker = Unpacker::new(source);
    for entry in of_kind(EntryKind::Symlink) {
        let target = archive::link_target(&mut unpacker, entry)?;
        fs_err::os::unix::fs::symlink(target, root.join(&entry.path))?;
    }
    Ok(())
}

/// Removes a folder that nobody names, or what is left of it. A fault is told and nothing more:
/// what is left is in nobody's way, and the next start tries again.
pub(super) fn remove_leftover(folder: &Utf8Path) {
    // A folder that may not be written cannot be emptied, so the second try opens them all.
    let removed = std::fs::remove_dir_all(folder).or_else(|_| {
        open_folders(folder)?;
        std::fs::remove_dir_all(folder)
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%folder, %error, "a folder that nobody names is left behind");
        }
        _ => {}
    }
}

/// Gives a folder and all folders in it to their owner again. Follows no link.
fn open_folders(folder: &Utf8Path) -> io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for item in folder.read_dir_utf8()? {
        let item = item?;
        if item.file_type()?.is_dir() {
            open_folders(item.path())?;
        }
    }
    Ok(())
}

/// Lays the tree `from` over `onto` with hard links; what is in the way gives way.
fn link_over(from: &Utf8Path, onto: &Utf8Path) -> Result<(), StoreError> {
    for item in from.read_dir_utf8()? {
        let item = item?;
        let kind = item.file_type()?;
        let place = onto.join(item.file_name());
        let in_the_way = place.symlink_metadata().ok().map(|found| found.file_type());
        if let Some(found) = in_the_way
            && !(found.is_dir() && kind.is_dir())
        {
            if found.is_dir() {
                fs_err::remove_dir_all(&place)?;
            } else {
                fs_err::remove_file(&place)?;
            }
        }
        if kind.is_dir() {
            if !in_the_way.is_some_and(|found| found.is_dir()) {
                fs_err::create_dir(&place)?;
                mode(&place, 0o755)?;
            }
            link_over(item.path(), &place)?;
        } else if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(item.path())?, &place)?;
        } else if fs_err::hard_link(item.path(), &place).is_err() {
            // Some file systems have no hard links, or not this many of one file.
            fs_err::copy(item.path(), &place)?;
        }
    }
    Ok(())
}

fn mode(path: &Utf8Path, mode: u32) -> Result<(), StoreError> {
    Ok(fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}
