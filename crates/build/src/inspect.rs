//! Looking through somebody's zip on disk: a layer, a function's code, a wheel.
//!
//! Owns the way from a path to [`Contents`], in parallel and in bounded memory, whatever the zip
//! claims. Decides nothing about what it finds.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    sync::{Condvar, Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    Hint,
    contents::{Contents, Found, Reading, readings},
    hash::Sha256,
    limits,
    zip::{Archive, ReadLimits, ZipError, inflate_start},
};
use rayon::prelude::*;

/// The largest zip that is looked at, in bytes: more than four times what Lambda takes unzipped, and
/// it is held in memory.
pub const LARGEST_ZIP: u64 = 1 << 30;

/// More than any zip for Lambda has, so that one which is too large for it can still be looked at.
const LIMITS: ReadLimits = ReadLimits { unpacked_bytes: 4 << 30, entries: 200_000, symlinks: true };

/// Unpacked bytes that are in memory at once. Core reads no entry that is larger.
const UNPACKED_AT_ONCE: u64 = limits::UNZIPPED_BYTES;

/// A zip, looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// What is in it.
    pub contents: Contents,
}

/// Why a zip cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The zip.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder or a device.
    #[error("`{path}` is not a file")]
    NotAFile {
        /// What was given.
        path: Utf8PathBuf,
    },
    /// Larger than anything that is meant for Lambda.
    #[error("`{path}` has {size} bytes; a zip of more than {LARGEST_ZIP} is not looked at")]
    TooLarge {
        /// The zip.
        path: Utf8PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A page about it cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The page.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a sound zip.
    #[error("`{path}` is refused")]
    Refused {
        /// The zip.
        path: Utf8PathBuf,
        /// Why.
        source: ZipError,
    },
}

impl Hint for InspectError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "look for a typing mistake, or build it first".to_owned()
            }
            Self::Read { .. } => "make the file readable".to_owned(),
            Self::NotAFile { .. } => "give a zip file".to_owned(),
            Self::TooLarge { .. } => {
                format!(
                    "Lambda takes less than {} bytes unzipped: leave packages out",
                    limits::UNZIPPED_BYTES
                )
            }
            Self::Write { .. } => "make the folder writable, or write somewhere else".to_owned(),
            Self::Refused { source, .. } => return source.hint(),
        })
    }
}

/// Looks through a zip on disk. Only metadata and ELF files are unpacked.
///
/// Holds the zip in memory, and at most [`limits::UNZIPPED_BYTES`] unpacked bytes beside it.
///
/// # Errors
/// An [`InspectError`] for what is no sound zip, or too large to be one for Lambda.
pub fn inspect(path: &Utf8Path) -> Result<Inspected, InspectError> {
    let bytes = read(path)?;
    let refused = |source| InspectError::Refused { path: path.to_owned(), source };
    crate::resolve::prepare_threads();
    let (sha256, contents) = rayon::join(|| Sha256::of(&bytes), || look_through(&bytes));
    let contents = contents.map_err(refused)?;
    Ok(Inspected { path: path.to_owned(), size: bytes.len() as u64, sha256, contents })
}

/// Writes a page about a zip, all or nothing.
///
/// # Errors
/// [`InspectError::Write`]; nothing is left at `path` that was not there before.
pub fn write_page(path: &Utf8Path, page: &str) -> Result<(), InspectError> {
    let cannot = |source| InspectError::Write { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_str().is_empty() => folder,
        _ => Utf8Path::new("."),
    };
    let mut beside = tempfile::Builder::new()
        .prefix(".layercake-")
        .suffix(".html.new")
        // Readable as any file the user makes, where a temporary file would be private.
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        // Without the name of the temporary file, which means nothing to anybody.
        .map_err(|error| cannot(error.kind().into()))?;
    beside.write_all(page.as_bytes()).map_err(cannot)?;
    beside.persist(path).map_err(|error| cannot(error.error))?;
    Ok(())
}

fn read(path: &Utf8Path) -> Result<Vec<u8>, InspectError> {
    let cannot = |source| InspectError::Read { path: path.to_owned(), source };
    let too_large = |size| InspectError::TooLarge { path: path.to_owned(), size };
    // Asked before it is opened: opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(InspectError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > LARGEST_ZIP {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // A file that grows meanwhile is not followed.
    File::open(path).and_then(|file| file.take(LARGEST_ZIP).read_to_end(&mut bytes)).map_err(cannot)?;
    Ok(bytes)
}

fn look_through(bytes: &[u8]) -> Result<Contents, ZipError> {
    let archive = Archive::read(bytes, &LIMITS)?;
    let mut readings = readings(&archive);
    // The largest first, so that no thread is left with a large one when the others are done.
    readings.sort_by_key(|reading| std::cmp::Reverse(reading.bytes()));
    let memory = Memory { left: Mutex::new(UNPACKED_AT_ONCE), freed: Condvar::new() };
    let look = |reading: &Reading<'_>| -> Result<Found, ZipError> {
        let _held = memory.take(reading.bytes());
        reading.look(|entry, most| inflate_start(bytes, entry, most))
    };
    let found = readings.par_iter().with_max_len(1).map(look).collect::<Result<_, _>>()?;
    Ok(Contents::from_found(&archive, found))
}

/// The memory that may be taken for unpacked bytes.
struct Memory {
    left: Mutex<u64>,
    freed: Condvar,
}

/// Taken memory, given back when dropped.
struct Held<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Memory {
    /// Waits until there are so many bytes left. Whoever holds memory waits for nobody, so there
    /// will be.
    fn take(&self, bytes: u64) -> Held<'_> {
        let bytes = bytes.min(UNPACKED_AT_ONCE);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            self.freed.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        Held { memory: self, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.memory.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
