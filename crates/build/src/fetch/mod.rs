//! Bringing wheels into the cache: downloaded in parallel, verified, looked through once.
//!
//! Owns the wheel cache (see [`store`](self) for its layout) and everything that can go wrong on
//! the way. Never trusts a byte that it has not hashed, never prints.

mod admit;
mod download;
mod measure;
mod store;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use camino::Utf8PathBuf;
use layercake_core::{
    Hint,
    hash::Sha256,
    resolution::{Resolution, ResolvedWheel},
    wheel::{WheelContents, WheelError},
};

pub(crate) use measure::measure;

use crate::resolve::{PackageIndex, ResolveError};

/// Downloads at once. More does not help: the package index's files come from few hosts.
const DOWNLOADS: usize = 8;

/// The wheels of a resolution, in the cache, in the order of the resolution.
#[derive(Debug)]
pub struct WheelSet {
    /// What the planner needs of each.
    pub contents: Vec<WheelContents>,
    /// Where each lies.
    pub files: Vec<WheelFile>,
    /// How many had to be downloaded.
    pub downloaded: usize,
}

/// A wheel in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelFile {
    /// Where it lies.
    pub path: Utf8PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
}

/// Hears how downloads go, from several threads at once. Each method may be left out.
pub trait Progress: Sync {
    /// A wheel that is not in the cache is being fetched. `size` is in bytes, if the index says.
    fn started(&self, filename: &str, size: Option<u64>) {
        let _ = (filename, size);
    }

    /// So many bytes of it are there. Falls back when a download starts again.
    fn at(&self, filename: &str, bytes: u64) {
        let _ = (filename, bytes);
    }

    /// It is in the cache.
    fn finished(&self, filename: &str) {
        let _ = filename;
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {}

/// Why wheels could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The bytes are not those that the index promised.
    #[error(
        "`{filename}` from {url} is not what the package index promised: its sha256 is {actual}, and {expected} was expected"
    )]
    WrongHash {
        /// The wheel.
        filename: String,
        /// Where it came from.
        url: String,
        /// By the index.
        expected: Sha256,
        /// Of the bytes that came.
        actual: Sha256,
    },
    /// More bytes came than the index promised, or than a wheel can have.
    #[error("`{filename}` from {url} is not what the package index promised: more than {limit} bytes came")]
    TooLong {
        /// The wheel.
        filename: String,
        /// Where it came from.
        url: String,
        /// How many bytes there should be at most.
        limit: u64,
    },
    /// It could not be downloaded.
    #[error("cannot download `{filename}` from {url}: {reason}")]
    Download {
        /// The wheel.
        filename: String,
        /// Where it is.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// Offline, and it is not in the cache.
    #[error("`{filename}` is not in the cache, and the network is off")]
    Offline {
        /// The wheel.
        filename: String,
    },
    /// It is what the index promised, but no wheel to trust.
    #[error("wheel `{filename}` is refused")]
    Refused {
        /// The wheel.
        filename: String,
        /// Why.
        source: WheelError,
    },
    /// Its name says something else than its contents.
    #[error("wheel `{filename}` is refused: {reason}")]
    Misnamed {
        /// The wheel.
        filename: String,
        /// What does not fit.
        reason: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot use the wheel cache at `{path}`")]
    Cache {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index cannot be asked at all.
    #[error(transparent)]
    Index(#[from] ResolveError),
}

impl Hint for FetchError {
    fn hint(&self) -> Option<String> {
        use std::io::ErrorKind;
        match self {
            Self::WrongHash { .. } | Self::TooLong { .. } => Some(
                "try again; if it stays, the mirror or proxy between here and the index is at fault, or the file was tampered with"
                    .to_owned(),
            ),
            Self::Download { .. } => Some(
                "try again: what came so far is kept; check the network and the proxy settings (HTTPS_PROXY)"
                    .to_owned(),
            ),
            Self::Offline { .. } => Some("run once without --offline".to_owned()),
            Self::Refused { source, .. } => source.hint(),
            Self::Misnamed { .. } => Some("ask the project for a sound wheel, or pin another version".to_owned()),
            Self::Cache { source, .. } => Some(match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "the disk is full: free some space, or choose another folder with --cache-dir".to_owned()
                }
                _ => "make it readable and writable, or choose another folder with --cache-dir".to_owned(),
            }),
            Self::Index(error) => error.hint(),
        }
    }

    fn is_bug(&self) -> bool {
        matches!(self, Self::Index(error) if error.is_bug())
    }
}

/// Sees to it that every wheel of the resolution is in the cache, and opens it.
///
/// Blocks. Several processes may do this at once with one cache.
///
/// # Errors
/// [`FetchError`] of the first wheel, in the order of the resolution, that could not be fetched.
pub fn fetch(
    index: &PackageIndex,
    resolution: &Resolution,
    progress: &dyn Progress,
) -> Result<WheelSet, FetchError> {
    let cache = store::WheelCache::new(&index.options().cache);
    let wheels = &resolution.wheels;
    let mut opened: Vec<Option<store::Opened>> = wheels.iter().map(|wheel| cache.open(wheel)).collect();
    let missing: Vec<usize> = (0..wheels.len()).filter(|&number| opened[number].is_none()).collect();
    for (&number, result) in missing.iter().zip(fetch_missing(index, &cache, wheels, &missing, progress)) {
        opened[number] = Some(result?);
    }
    let mut set = WheelSet { contents: Vec::new(), files: Vec::new(), downloaded: missing.len() };
    for (wheel, opened) in wheels.iter().zip(opened.into_iter().flatten()) {
        set.files.push(WheelFile { path: opened.path, size: opened.size, sha256: wheel.sha256 });
        set.contents.push(WheelContents {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
            archive: opened.archive,
            facts: opened.facts,
        });
    }
    Ok(set)
}

/// Fetches the wheels with these numbers; the results are in the same order.
fn fetch_missing(
    index: &PackageIndex,
    cache: &store::WheelCache,
    wheels: &[ResolvedWheel],
    missing: &[usize],
    progress: &dyn Progress,
) -> Vec<Result<store::Opened, FetchError>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<store::Opened, FetchError>>>> =
        missing.iter().map(|_| Mutex::new(None)).collect();
    // Looking through a wheel takes its size in memory, so one at a time does it, on all cores.
    let admission = Mutex::new(());
    let worker = || {
        while let Some((slot, &number)) =
            results.iter().zip(missing).nth(next.fetch_add(1, Ordering::Relaxed))
        {
            let wheel = &wheels[number];
            let result = fetch_one(index, cache, wheel, &admission, progress);
            *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..missing.len().min(DOWNLOADS) {
            scope.spawn(worker);
        }
        worker();
    });
    results
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
        .collect()
}

fn fetch_one(
    index: &PackageIndex,
    cache: &store::WheelCache,
    wheel: &ResolvedWheel,
    admission: &Mutex<()>,
    progress: &dyn Progress,
) -> Result<store::Opened, FetchError> {
    progress.started(&wheel.filename, wheel.size);
    let place = cache.lock(wheel)?;
    // Another process may have fetched it while this one waited for the lock.
    if let Some(opened) = cache.open(wheel) {
        progress.finished(&wheel.filename);
        return Ok(opened);
    }
    download::download(index, wheel, &place.partial(), progress)?;
    let turn = admission.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let opened = admit::admit(wheel, &place)?;
    drop(turn);
    progress.finished(&wheel.filename);
    Ok(opened)
}
