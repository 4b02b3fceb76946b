//! What lies in the cache, and taking out of it what is no longer of use.
//!
//! Owns the sizes, the age of what is there, and removing it. Removes nothing from a folder that
//! does not carry our mark, nothing that a process holds, and nothing but the folders named here:
//! a slip in `--cache-dir` must not cost anybody their files.
//!
//! ```text
//! CACHEDIR.TAG             the mark (Cache Directory Tagging Specification), with our name in it
//! wheels/ab/HASH/          a wheel; `lock` is held while it is fetched, `partial` is unfinished
//! wheels/addresses/HASH    the hash of the wheel at an address
//! derived/ab/HASH/         what was made of a wheel; `NAME.lock` is held while it grows
//! layers/*.zip code/*.zip  built zips
//! interpreters/*.txt       what the bytecode of an interpreter depends on
//! levers/*.json            which levers made a set of wheels fit
//! index/                   pages of package indexes; its inside is uv's
//! sources/VERSION/         sources and what was built of them; its inside is uv's
//! ```

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::Hint;

const TAG: &str = "CACHEDIR.TAG";
/// What the Cache Directory Tagging Specification has a tag begin with.
const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55";
const OURS: &str = "# This folder is a cache made by layercake.";

/// How old a thing without a lock must be to have been left behind by a process that died.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// What the cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Wheels, as they were downloaded.
    Wheels,
    /// What was made of wheels.
    Derived,
    /// Source distributions, and wheels built of them.
    Sources,
    /// Pages of package indexes.
    IndexPages,
    /// Built layers.
    Layers,
    /// Zipped code of apps.
    Code,
    /// What is remembered of Pythons.
    Interpreters,
    /// Which levers made a set of wheels fit.
    Levers,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Wheels,
        Self::Derived,
        Self::Sources,
        Self::IndexPages,
        Self::Layers,
        Self::Code,
        Self::Interpreters,
        Self::Levers,
    ];

    /// Its folder in the cache.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Wheels => "wheels",
            Self::Derived => "derived",
            Self::Sources => "sources",
            Self::IndexPages => "index",
            Self::Layers => "layers",
            Self::Code => "code",
            Self::Interpreters => "interpreters",
            Self::Levers => "levers",
        }
    }

    /// In words, in the plural.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Wheels => "wheels",
            Self::Derived => "derived files",
            Self::Sources => "sources",
            Self::IndexPages => "index pages",
            Self::Layers => "layers",
            Self::Code => "code zips",
            Self::Interpreters => "interpreters",
            Self::Levers => "levers",
        }
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of things that are kept or removed as a whole: a wheel, a page, a zip.
    pub items: u64,
    /// Sum of the sizes of their files in bytes.
    pub bytes: u64,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// What was no longer of use.
    pub kinds: BTreeMap<Kind, Tally>,
    /// Unfinished downloads and other things that a process left behind when it died.
    pub unfinished: Tally,
    /// Folders that were left because a process holds them.
    pub held: Vec<Utf8PathBuf>,
}

impl Removed {
    /// Sum of the sizes of everything removed, in bytes.
    pub fn bytes(&self) -> u64 {
        self.unfinished.bytes + self.kinds.values().map(|tally| tally.bytes).sum::<u64>()
    }
}

/// Why the cache could not be looked after.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A folder that is no cache of ours.
    #[error("`{folder}` is not a cache that layercake made: it has no `{TAG}` that says so")]
    NotOurs {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// Something in it cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it cannot be removed.
    #[error("cannot remove `{path}`")]
    Remove {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Hint for CacheError {
    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::NotOurs { .. } => {
                    "nothing was touched; a build marks the cache that it uses, so check the folder, or remove it by hand"
                }
                Self::Read { .. } | Self::Remove { .. } => "make the cache's folder yours, or give another",
            }
            .to_owned(),
        )
    }
}

/// Makes the cache's folder and marks it as ours, so that backups leave it out and
/// [`CacheFolder::open`] knows it. A folder that holds something else than a cache is left unmarked.
///
/// # Errors
/// What the system says when the folder or the mark cannot be written.
pub fn mark(folder: &Utf8Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let tag = folder.join(TAG);
    if tag.exists() {
        return Ok(());
    }
    let mut is_empty = true;
    for entry in folder.read_dir_utf8()? {
        is_empty = false;
        let entry = entry?;
        if !Kind::ALL.iter().any(|kind| kind.folder() == entry.file_name()) {
            return Ok(());
        }
    }
    // Names alone prove nothing, many a home has a folder `code`; uv marks its part of the cache.
    if !is_empty && !folder.join(Kind::IndexPages.folder()).join(TAG).exists() {
        return Ok(());
    }
    fs::write(tag, format!("{SIGNATURE}\n{OURS}\n# It may be deleted at any time: layercake cache clean\n"))
}

/// A cache that carries our mark.
#[derive(Clone, Debug)]
pub struct CacheFolder {
    folder: Utf8PathBuf,
}

/// Something that is kept or removed as a whole.
struct Item {
    kind: Kind,
    path: Utf8PathBuf,
    bytes: u64,
    /// When it was last read or written, as far as the file system tells.
    last_used: SystemTime,
    is_unfinished: bool,
}

impl CacheFolder {
    /// The cache in this folder; nothing when the folder is not there, or is empty.
    ///
    /// # Errors
    /// [`CacheError::NotOurs`] for a folder without our mark.
    pub fn open(folder: &Utf8Path) -> Result<Option<Self>, CacheError> {
        let is_empty = match folder.read_dir_utf8() {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(source) => return Err(CacheError::Read { path: folder.to_owned(), source }),
        };
        if is_empty {
            return Ok(None);
        }
        let mut tag = String::new();
        let read = File::open(folder.join(TAG)).and_then(|file| file.take(1000).read_to_string(&mut tag));
        if read.is_err() || !tag.starts_with(SIGNATURE) || !tag.contains(OURS) {
            return Err(CacheError::NotOurs { folder: folder.to_owned() });
        }
        Ok(Some(Self { folder: folder.to_owned() }))
    }

    /// How much there is of each kind.
    ///
    /// # Errors
    /// [`CacheError::Read`].
    pub fn sizes(&self) -> Result<BTreeMap<Kind, Tally>, CacheError> {
        let mut sizes: BTreeMap<_, Tally> = Kind::ALL.map(|kind| (kind, Tally::default())).into();
        for item in self.items()? {
            sizes.entry(item.kind).or_default().add(&item);
        }
        Ok(sizes)
    }

    /// Removes what has not been used since then, and unfinished downloads. With `dry_run` only says
    /// what it would remove.
    ///
    /// # Errors
    /// [`CacheError::Read`], [`CacheError::Remove`].
    pub fn prune(&self, unused_since: SystemTime, dry_run: bool) -> Result<Removed, CacheError> {
        self.remove(dry_run, |item| item.is_unfinished || item.last_used < unused_since)
    }

    /// Removes everything, and the cache's folder when nothing else is in it. With `dry_run` only
    /// says what it would remove.
    ///
    /// # Errors
    /// [`CacheError::Read`], [`CacheError::Remove`].
    pub fn clean(&self, dry_run: bool) -> Result<Removed, CacheError> {
        let removed = self.remove(dry_run, |_| true)?;
        if dry_run || !removed.held.is_empty() {
            return Ok(removed);
        }
        for kind in Kind::ALL {
            let path = self.folder.join(kind.folder());
            // Links are not followed: `remove_dir_all` refuses them, and they are nothing we made.
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                fs::remove_dir_all(&path).map_err(|source| CacheError::Remove { path, source })?;
            }
        }
        let tag = self.folder.join(TAG);
        fs::remove_file(&tag).map_err(|source| CacheError::Remove { path: tag, source })?;
        // It stays when there is something else in it, which is not ours to remove.
        let _ = fs::remove_dir(&self.folder);
        Ok(removed)
    }

    fn remove(&self, dry_run: bool, of_no_use: impl Fn(&Item) -> bool) -> Result<Removed, CacheError> {
        let mut removed = Removed::default();
        for item in self.items()?.into_iter().filter(of_no_use) {
            let Some(_locks) = lock(&item.path)? else {
                removed.held.push(item.path);
                continue;
            };
            if !dry_run {
                remove(&item.path)?;
            }
            if item.is_unfinished {
                removed.unfinished.add(&item);
            } else {
                removed.kinds.entry(item.kind).or_default().add(&item);
            }
        }
        Ok(removed)
    }

    fn items(&self) -> Result<Vec<Item>, CacheError> {
        let mut items = Vec::new();
        for kind in Kind::ALL {
            let folder = self.folder.join(kind.folder());
            let paths = match kind {
                Kind::Wheels | Kind::Derived => below(&folder)?,
                Kind::Layers | Kind::Code | Kind::Interpreters | Kind::Levers => entries(&folder)?,
                Kind::IndexPages => of_uv(&folder)?,
                Kind::Sources => {
                    let versions = entries(&folder)?;
                    versions.iter().map(|version| of_uv(version)).collect::<Result<Vec<_>, _>>()?.concat()
                }
            };
            for path in paths {
                items.push(Item::measure(kind, path)?);
            }
        }
        Ok(items)
    }
}

impl Tally {
    fn add(&mut self, item: &Item) {
        self.items += 1;
        self.bytes += item.bytes;
    }
}

impl Item {
    fn measure(kind: Kind, path: Utf8PathBuf) -> Result<Self, CacheError> {
        let mut item = Self { kind, path, bytes: 0, last_used: SystemTime::UNIX_EPOCH, is_unfinished: false };
        let mut files = Vec::new();
        for path in files_below(&item.path)? {
            let Some(metadata) = metadata(&path)? else { continue };
            item.bytes += metadata.len();
            let used = [metadata.accessed(), metadata.modified()].into_iter().flatten().max();
            item.last_used = item.last_used.max(used.unwrap_or(SystemTime::UNIX_EPOCH));
            files.extend(path.file_name().map(str::to_owned));
        }
        if let Some(metadata) = metadata(&item.path)? {
            // Not when it was read: looking at what is in a folder is reading it.
            item.last_used = item.last_used.max(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        }
        let is_old = item.last_used.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
        let is_beside = item.path.file_name().is_some_and(|name| name.starts_with('.'));
        item.is_unfinished = match kind {
            // Held by its lock for as long as somebody works on it.
            Kind::Wheels if files.iter().any(|name| name == "partial") => true,
            // A failed download leaves its lock and nothing that could be resumed.
            Kind::Wheels | Kind::Derived => is_old && (is_beside || files.iter().all(|name| is_lock(name))),
            Kind::Layers | Kind::Code | Kind::Interpreters | Kind::Levers => is_old && is_beside,
            Kind::Sources | Kind::IndexPages => false,
        };
        Ok(item)
    }
}

/// Holds an item against other processes while it is removed; nothing when one of them holds it.
/// What has no lock is free.
fn lock(item: &Utf8Path) -> Result<Option<Vec<File>>, CacheError> {
    let mut held = Vec::new();
    for path in entries(item)?.into_iter().filter(|path| path.file_name().is_some_and(is_lock)) {
        let file = match File::options().append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(CacheError::Read { path, source }),
        };
        match file.try_lock() {
            Ok(()) => held.push(file),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(CacheError::Read { path, source }),
        }
    }
    Ok(Some(held))
}

fn is_lock(name: &str) -> bool {
    name == "lock" || name.ends_with(".lock")
}

fn remove(path: &Utf8Path) -> Result<(), CacheError> {
    let Some(metadata) = metadata(path)? else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CacheError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The paths of what lies in the folders of a folder, and of the files beside these, sorted.
fn below(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, CacheError> {
    let mut paths = Vec::new();
    for path in entries(folder)? {
        match metadata(&path)? {
            Some(metadata) if metadata.is_dir() => paths.extend(entries(&path)?),
            Some(_) => paths.push(path),
            None => {}
        }
    }
    Ok(paths)
}

/// What can be removed by itself of a cache of uv's. Its pages stand by themselves; of everything
/// else uv takes the presence of a folder for that of all that is in it.
fn of_uv(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, CacheError> {
    let mut paths = Vec::new();
    for bucket in entries(folder)? {
        let are_pages =
            bucket.file_name().is_some_and(|name| name.starts_with("simple-") || name.starts_with("wheels-"));
        if !metadata(&bucket)?.is_some_and(|metadata| metadata.is_dir()) {
            continue;
        }
        paths.extend(if are_pages { files_below(&bucket)? } else { entries(&bucket)? });
    }
    Ok(paths)
}

/// The paths of what lies in a folder, sorted; none when it is not there or no folder.
fn entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, CacheError> {
    let cannot = |source| CacheError::Read { path: folder.to_owned(), source };
    if !metadata(folder)?.is_some_and(|metadata| metadata.is_dir()) {
        return Ok(Vec::new());
    }
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(cannot(source)),
    };
    let mut paths = entries
        .map(|entry| entry.map(camino::Utf8DirEntry::into_path))
        .collect::<Result<Vec<_>, _>>()
        .map_err(cannot)?;
    paths.sort();
    Ok(paths)
}

/// Every file at or below a path, sorted; links are files.
fn files_below(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, CacheError> {
    let mut files = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        match metadata(&path)? {
            Some(metadata) if metadata.is_dir() => open.extend(entries(&path)?),
            Some(_) => files.push(path),
            None => {}
        }
    }
    files.sort();
    Ok(files)
}

/// What the system knows of a path itself; nothing when another process has removed it.
fn metadata(path: &Utf8Path) -> Result<Option<fs::Metadata>, CacheError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CacheError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
