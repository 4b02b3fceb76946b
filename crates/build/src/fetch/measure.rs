//! The hash of a file that nobody tells the hash of.
//!
//! Owns finding it out: a local file is read; a remote one is downloaded, and what came is left
//! where the fetch that follows goes on from, so that it comes only once. Vouches for nothing: the
//! hash says what the bytes are, not that they are the right ones.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use camino::Utf8Path;
use layercake_core::{hash::Sha256, resolution::ResolvedWheel, zip::ReadLimits};
use tempfile::NamedTempFile;

use super::{FetchError, store::WheelCache};
use crate::resolve::{Begin, Digest, Digester, PackageIndex, Sink, TransferError};

/// More bytes than a wheel may unpack to never come.
const MOST_BYTES: u64 = ReadLimits::WHEEL.unpacked_bytes;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) sha256: Sha256,
    /// By every function that requirement lines may use.
    pub(crate) digests: Vec<Digest>,
    /// In bytes.
    pub(crate) size: u64,
}

/// Why it cannot be found out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeasureError {
    /// It cannot be had.
    #[error(transparent)]
    Transfer(TransferError),
    /// Offline, and it was never there before.
    #[error("it is not in the cache, and the network is off")]
    Offline,
    /// The cache cannot be written.
    #[error("{0}")]
    Cache(io::Error),
    /// More than a wheel may have.
    #[error("it has more than {MOST_BYTES} bytes")]
    TooLong,
    /// Its place in the wheel cache cannot be had.
    #[error(transparent)]
    Place(Box<FetchError>),
}

/// Finds out the hash of the wheel with this file name at this address.
pub(crate) fn measure(index: &PackageIndex, filename: &str, url: &str) -> Result<Measured, MeasureError> {
    let options = index.options();
    let is_local = url.starts_with("file:");
    let wheels = options.cache.join("wheels");
    let remembered = wheels.join("addresses").join(Sha256::of(url.as_bytes()).to_hex());
    if options.offline && !is_local {
        return read(&remembered).ok_or(MeasureError::Offline);
    }
    let mut tries = 0;
    let counted = loop {
        let mut counted = Counted::new(if is_local { None } else { Some(&wheels) })?;
        match index.transfer(url, 0, &mut counted) {
            Ok(()) => break counted,
            Err(TransferError::Sink(_)) if counted.size > MOST_BYTES => return Err(MeasureError::TooLong),
            Err(TransferError::Sink(error)) => return Err(MeasureError::Cache(error)),
            Err(TransferError::Broken { .. }) if tries < options.retries => {
                tries += 1;
                if options.pause_between_retries {
                    std::thread::sleep(Duration::from_millis(200) * tries);
                }
            }
            Err(error) => return Err(MeasureError::Transfer(error)),
        }
    };
    let (sha256, digests) = counted.digester.finish();
    let measured = Measured { sha256, digests, size: counted.size };
    if let Some(file) = counted.file {
        leave(&options.cache, filename, url, &measured, file)?;
        write(&remembered, &measured).map_err(MeasureError::Cache)?;
    }
    Ok(measured)
}

/// Bytes on their way: hashed, and kept when they came from elsewhere.
struct Counted {
    digester: Digester,
    size: u64,
    file: Option<NamedTempFile>,
}

impl Counted {
    fn new(folder: Option<&Utf8Path>) -> Result<Self, MeasureError> {
        let file = folder.map(|folder| {
            std::fs::create_dir_all(folder)?;
            NamedTempFile::with_prefix_in("incoming-", folder)
        });
        let file = file.transpose().map_err(MeasureError::Cache)?;
        Ok(Self { digester: Digester::new(), size: 0, file })
    }
}

impl Sink for Counted {
    fn begin(&mut self, _begin: Begin) -> io::Result<()> {
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        if self.size > MOST_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.digester.update(bytes);
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }
}

/// Leaves the bytes where the fetch looks for an unfinished download; this one is finished.
fn leave(
    cache: &Utf8Path,
    filename: &str,
    url: &str,
    measured: &Measured,
    file: NamedTempFile,
) -> Result<(), MeasureError> {
    let wheels = WheelCache::new(cache);
    let wheel = ResolvedWheel {
        name: String::new(),
        version: String::new(),
        filename: filename.to_owned(),
        url: url.to_owned(),
        sha256: measured.sha256,
        size: Some(measured.size),
        required_by: Vec::new(),
        asked: false,
        source: None,
    };
    let place = wheels.lock(&wheel).map_err(|error| MeasureError::Place(Box::new(error)))?;
    if wheels.open(&wheel).is_none() {
        file.persist(place.partial()).map_err(|error| MeasureError::Cache(error.error))?;
    }
    Ok(())
}

/// Remembers what is at an address, for when the network is off.
fn write(path: &Utf8Path, measured: &Measured) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let digests: Vec<String> = measured.digests.iter().map(ToString::to_string).collect();
    let beside = path.with_extension("new");
    std::fs::write(&beside, format!("{}\n{}\n", measured.size, digests.join("\n")))?;
    std::fs::rename(&beside, path)
}

fn read(path: &Utf8Path) -> Option<Measured> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let size = lines.next()?.parse().ok()?;
    let digests: Vec<Digest> = lines.map(str::parse).collect::<Result<_, _>>().ok()?;
    let sha256 = digests.iter().find_map(Digest::sha256)?;
    Some(Measured { sha256, digests, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8Path::from_path(folder.path()).expect("it is UTF-8 here").join("a").join("b");
        let (sha256, digests) = Digester::new().finish();
        let measured = Measured { sha256, digests, size: 7 };
        write(&path, &measured).expect("the folder is writable");
        assert_eq!(read(&path), Some(measured));
        std::fs::write(&path, "7\nsha256:abc\n").expect("a file");
        assert_eq!(read(&path), None);
    }
}
