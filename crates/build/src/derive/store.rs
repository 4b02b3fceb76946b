//! The derived files on disk.
//!
//! Owns reading an index, and growing one: a new pack with all that the old one held, and then the
//! index in one move. A process that reads meanwhile has the old index and the old pack.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Write as _},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    derived::{DERIVED_FORMAT, DerivedArchive},
    hash::Sha256,
    zip::Entry,
};

use super::DeriveError;

/// The folder of one wheel.
pub(super) fn folder(cache: &Utf8Path, wheel: &Sha256) -> Utf8PathBuf {
    let hash = wheel.to_hex();
    cache.join("derived").join(&hash[..2]).join(hash)
}

/// An index whose pack is there.
pub(super) fn read(folder: &Utf8Path, name: &str) -> Option<DerivedArchive> {
    let json = std::fs::read(folder.join(format!("{name}.json"))).ok()?;
    let archive = DerivedArchive::from_json(&json)?;
    // The name becomes a path, and an index may have been tampered with.
    if archive.pack.contains('/') {
        return None;
    }
    let there = std::fs::metadata(folder.join(&archive.pack)).ok()?.len();
    (there == archive.size).then_some(archive)
}

/// An index that grows. Holds the wheel's lock.
pub(super) struct Growing {
    folder: Utf8PathBuf,
    name: String,
    archive: DerivedArchive,
    pack: BufWriter<tempfile::NamedTempFile>,
    _lock: File,
}

impl Growing {
    /// Begins with what there is.
    pub(super) fn begin(folder: &Utf8Path, name: &str) -> Result<Self, DeriveError> {
        let path = folder.join(format!("{name}.lock"));
        let lock = std::fs::create_dir_all(folder)
            .and_then(|()| File::options().create(true).append(true).open(&path))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(cache(&path))?;
        let pack = tempfile::Builder::new()
            .prefix("")
            .suffix(".pack")
            .rand_bytes(16)
            .tempfile_in(folder)
            .map_err(cache(folder))?;
        let mut pack = BufWriter::with_capacity(1 << 20, pack);
        let mut archive = read(folder, name).unwrap_or_default();
        if archive.size > 0 {
            let old = folder.join(&archive.pack);
            File::open(&old).and_then(|mut file| io::copy(&mut file, &mut pack)).map_err(cache(&old))?;
        }
        archive.format = DERIVED_FORMAT;
        Ok(Self { folder: folder.to_owned(), name: name.to_owned(), archive, pack, _lock: lock })
    }

    /// Whether the old index knew this entry. To be asked before anything is added.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.archive.knows(path)
    }

    /// The index as another process has left it, when that made everything meanwhile.
    pub(super) fn unchanged(self) -> DerivedArchive {
        self.archive
    }

    /// Adds a file. The range of `entry`'s data is set here.
    pub(super) fn add(&mut self, mut entry: Entry, data: &[u8]) -> Result<(), DeriveError> {
        let start = usize::try_from(self.archive.size).unwrap_or(usize::MAX);
        entry.data = start..start.saturating_add(data.len());
        self.pack.write_all(data).map_err(cache(&self.folder))?;
        self.archive.size += data.len() as u64;
        self.archive.entries.push(entry);
        Ok(())
    }

    /// Remembers that nothing is made of an entry.
    pub(super) fn leave_alone(&mut self, path: &str, why: String) {
        self.archive.left_alone.insert(path.to_owned(), why);
    }

    /// Makes it the index.
    pub(super) fn keep(self) -> Result<DerivedArchive, DeriveError> {
        let Self { folder, name, mut archive, pack, _lock: lock } = self;
        let pack = pack.into_inner().map_err(|error| cache(&folder)(error.into_error()))?;
        // The index vouches for the pack's bytes, so they must be on the disk before it is.
        pack.as_file().sync_data().map_err(cache(&folder))?;
        let (_, kept) = pack.keep().map_err(|error| cache(&folder)(error.error))?;
        archive.pack = kept.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        archive.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let path = folder.join(format!("{name}.json"));
        let json = archive.to_json().map_err(|error| cache(&path)(error.into()))?;
        let beside = tempfile::NamedTempFile::new_in(&folder).map_err(cache(&folder))?;
        std::fs::write(beside.path(), json).map_err(cache(&path))?;
        beside.persist(&path).map_err(|error| cache(&path)(error.error))?;
        remove_old_packs(&folder);
        drop(lock);
        Ok(archive)
    }
}

/// How long a pack stays that no index names any more: a build that read the old index may be about
/// to open it.
const OLD_PACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes packs that no index has named for a day. Only tidiness: a fault leaves them to the next
/// time, or to `cache prune`.
fn remove_old_packs(folder: &Utf8Path) {
    let Ok(entries) = folder.read_dir_utf8() else { return };
    let paths: Vec<_> = entries.flatten().map(|entry| entry.path().to_owned()).collect();
    let named: BTreeSet<String> = paths
        .iter()
        .filter(|path| path.extension() == Some("json"))
        .filter_map(|path| Some(DerivedArchive::from_json(&std::fs::read(path).ok()?)?.pack))
        .collect();
    for path in paths.iter().filter(|path| path.extension() == Some("pack")) {
        let is_named = path.file_name().is_some_and(|name| named.contains(name));
        let age = std::fs::metadata(path).and_then(|facts| facts.modified()).map(|time| time.elapsed());
        if !is_named && age.is_ok_and(|age| age.is_ok_and(|age| age > OLD_PACK)) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn cache(path: &Utf8Path) -> impl FnOnce(io::Error) -> DeriveError + use<> {
    let path = path.to_owned();
    move |source| DeriveError::Cache { path, source }
}
