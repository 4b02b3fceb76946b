//! An image's layers, one over the other, in a folder.
//!
//! Owns what a layer may do to the folder: nothing outside it, whatever its paths and links say,
//! and no more than the bounds. The folder must be the caller's alone while this works: links are
//! followed by hand, below the root, which is safe only where nobody else changes them meanwhile.

use std::{
    cell::Cell,
    collections::{BTreeSet, VecDeque},
    ffi::{OsStr, OsString},
    fs::Permissions,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

/// What an image may hold. Lambda's own images have a tenth of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of all layers together, unpacked (Lambda's limit for images is 10 GB).
    pub(super) bytes: u64,
    /// Files, folders and links of all layers together.
    pub(super) entries: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 10 * 1024 * 1024 * 1024, entries: 1_000_000 }
    }
}

/// What the names and attributes of one entry may take: they are read into memory.
const HEADER_BYTES: u64 = 64 * 1024;
/// As many links as Linux follows in one path.
const MOST_LINKS: u32 = 40;

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// A path leads out of the image.
    #[error("the entry `{path}` leads out of the image")]
    Escapes { path: String },
    /// A hard link to nothing, or to what cannot be linked to.
    #[error("the entry `{path}` is a link to `{target}`, which is no file of the image")]
    Link { path: String, target: String },
    /// More than the bounds permit.
    #[error("the image holds more than {bytes} bytes or {entries} entries")]
    TooLarge { bytes: u64, entries: u64 },
    /// The bytes are not those that the image's configuration names.
    #[error("its content has the digest {found} and not {expected}")]
    Digest { expected: String, found: String },
    /// It is no archive, or it cannot be written.
    #[error("it cannot be unpacked")]
    Io(#[from] io::Error),
}

/// A folder that layers are put into.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    bounds: Bounds,
    bytes: u64,
    entries: u64,
}

/// Counts what is read, and stops where the allowance ends.
struct Metered<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.get();
        if allowed == 0 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than is allowed"));
        }
        let length = buffer.len().min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..length])?;
        self.allowance.set(allowed - count as u64);
        Ok(count)
    }
}

/// Hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

fn digest(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// What one layer has made so far.
#[derive(Default)]
struct Layer {
    /// Whiteouts hide what lower layers have, and never what their own layer brings.
    made: BTreeSet<PathBuf>,
    /// Folders get their modes last: one without the right to write still has to be filled.
    modes: Vec<(PathBuf, u32)>,
}

impl Layer {
    /// Whether a path, or anything below it, comes from this layer.
    fn has_made_below(&self, path: &Path) -> bool {
        // Paths are ordered by their parts, so that what is below a folder follows it.
        self.made.range(path.to_owned()..).next().is_some_and(|made| made.starts_with(path))
    }
}

impl Tree {
    /// A tree in an empty folder.
    pub(super) fn new(root: &Path, bounds: Bounds) -> Self {
        Self { root: root.to_owned(), bounds, bytes: 0, entries: 0 }
    }

    /// Puts a layer over what is there. `diff_id` is the digest of the archive without compression.
    pub(super) fn apply<'l>(
        &mut self,
        layer: impl Read + 'l,
        gzip: bool,
        diff_id: &str,
    ) -> Result<(), UnpackError> {
        let plain: Box<dyn Read + 'l> =
            if gzip { Box::new(MultiGzDecoder::new(io::BufReader::new(layer))) } else { Box::new(layer) };
        let allowance = Rc::new(Cell::new(0));
        let metered = Metered { inner: plain, allowance: Rc::clone(&allowance) };
        let mut archive = Archive::new(Hashed { inner: metered, hash: Sha256::new() });
        let mut layer = Layer::default();
        let mut entries = archive.entries()?;
        loop {
            allowance.set(HEADER_BYTES);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry?;
            self.entries += 1;
            let left = self.bounds.bytes - self.bytes;
            if self.entries > self.bounds.entries || entry.size() > left {
                return Err(self.too_large());
            }
            allowance.set(left.saturating_add(1));
            self.put(&mut entry, &mut layer)?;
            // To the end, so that nothing but the next header is read with its allowance.
            let skipped = io::copy(&mut entry, &mut io::sink())?;
            if skipped > left {
                return Err(self.too_large());
            }
        }
        // The digest is that of the whole archive, with the zeros behind its last entry.
        let mut rest = archive.into_inner();
        allowance.set(HEADER_BYTES);
        io::copy(&mut rest, &mut io::sink())?;
        let found = digest(rest.hash);
        if found != diff_id {
            return Err(UnpackError::Digest { expected: diff_id.to_owned(), found });
        }
        for (path, mode) in layer.modes.iter().rev() {
            let path = self.root.join(path);
            if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                // The owner keeps all rights: it is this server, which one day removes the tree.
                fs_err::set_permissions(path, Permissions::from_mode((mode & 0o777) | 0o700))?;
            }
        }
        Ok(())
    }

    fn too_large(&self) -> UnpackError {
        UnpackError::TooLarge { bytes: self.bounds.bytes, entries: self.bounds.entries }
    }

    fn put<R: Read>(&mut self, entry: &mut Entry<'_, R>, layer: &mut Layer) -> Result<(), UnpackError> {
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = inside(&entry.path()?, &shown)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The root itself, whose mode is ours to choose.
            return Ok(());
        };
        let parent = self.resolve(path.parent().unwrap_or(Path::new("")))?;
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return self.white_out(&parent, OsStr::from_bytes(hidden), &shown, layer);
        }
        let relative = parent.join(&name);
        let target = self.root.join(&relative);
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().unwrap_or(0o644);
        match kind {
            EntryType::Directory => {
                if !target.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    remove(&target)?;
                    fs_err::create_dir(&target)?;
                }
                layer.modes.push((relative.clone(), mode));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                remove(&target)?;
                // Made anew, and so never written through a link.
                let mut file = fs_err::OpenOptions::new().write(true).create_new(true).open(&target)?;
                self.bytes +=
                    io::copy(&mut Read::take(&mut *entry, self.bounds.bytes - self.bytes), &mut file)?;
                fs_err::set_permissions(&target, Permissions::from_mode(mode & 0o777))?;
            }
            EntryType::Symlink => {
                let to = entry.link_name()?.unwrap_or_default().into_owned();
                remove(&target)?;
                fs_err::os::unix::fs::symlink(to, &target)?;
            }
            EntryType::Link => {
                let to = entry.link_name()?.unwrap_or_default().into_owned();
                self.link(&to, &relative, &shown)?;
            }
            // Devices and pipes mean nothing here: `/dev` is made by the sandbox.
            _ => return Ok(()),
        }
        layer.made.insert(relative);
        Ok(())
    }

    /// A second name of a file that is there already.
    fn link(&self, to: &Path, relative: &Path, shown: &str) -> Result<(), UnpackError> {
        let named = to.display().to_string();
        let source = inside(to, &named)?;
        let wrong = || UnpackError::Link { path: shown.to_owned(), target: named.clone() };
        let name = source.file_name().ok_or_else(wrong)?;
        let source = self.resolve(source.parent().unwrap_or(Path::new("")))?.join(name);
        let metadata = self.root.join(&source).symlink_metadata().map_err(|_| wrong())?;
        if metadata.is_dir() {
            return Err(wrong());
        }
        if source != relative {
            let target = self.root.join(relative);
            remove(&target)?;
            fs_err::hard_link(self.root.join(source), target)?;
        }
        Ok(())
    }

    /// Takes away what lower layers have at a place.
    fn white_out(
        &self,
        parent: &Path,
        hidden: &OsStr,
        shown: &str,
        layer: &Layer,
    ) -> Result<(), UnpackError> {
        if hidden == ".wh..opq" {
            return Ok(self.clear(parent, layer)?);
        }
        // Marks that a file system once made for itself.
        if hidden.as_bytes().starts_with(b".wh.") {
            return Ok(());
        }
        if hidden.is_empty() || hidden == "." || hidden == ".." {
            return Err(UnpackError::Escapes { path: shown.to_owned() });
        }
        let path = parent.join(hidden);
        if self.root.join(&path).symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            self.clear(&path, layer)?;
            if !layer.has_made_below(&path) {
                fs_err::remove_dir(self.root.join(&path))?;
            }
        } else if !layer.made.contains(&path) {
            remove(&self.root.join(&path))?;
        }
        Ok(())
    }

    /// Empties a folder of all that its own layer has not made.
    fn clear(&self, folder: &Path, layer: &Layer) -> io::Result<()> {
        for entry in fs_err::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if !layer.has_made_below(&path) {
                remove(&entry.path())?;
            } else if entry.file_type()?.is_dir() {
                self.clear(&path, layer)?;
            }
        }
        Ok(())
    }

    /// The folder that a path means when the tree is the root: links are followed below it, as a
    /// process inside would follow them; what is missing is made.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut waiting: VecDeque<OsString> = names(path).collect();
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = waiting.pop_front() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let candidate = resolved.join(&name);
            let here = self.root.join(&candidate);
            match here.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => resolved = candidate,
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
                    }
                    let target = fs_err::read_link(&here)?;
                    if target.is_absolute() {
                        resolved.clear();
                    }
                    for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                        waiting.push_front(name);
                    }
                }
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs_err::create_dir(&here)?;
                    fs_err::set_permissions(&here, Permissions::from_mode(0o755))?;
                    resolved = candidate;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(resolved)
    }
}

/// The names of a path, `..` among them; neither the root nor `.`.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The path of an entry, from the root on. None may say `..`.
fn inside(path: &Path, shown: &str) -> Result<PathBuf, UnpackError> {
    let names: PathBuf = names(path).collect();
    if names.components().any(|component| component == Component::ParentDir) {
        return Err(UnpackError::Escapes { path: shown.to_owned() });
    }
    Ok(names)
}

/// Removes whatever is at a path; nothing may be there.
fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
