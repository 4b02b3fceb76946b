//! One download: streamed to disk, hashed on the way, resumed when it breaks off.
//!
//! Owns repetition and its bounds. What is left behind is either the whole verified file or a
//! beginning that the next try can go on from; never bytes known to be wrong.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    time::Duration,
};

use camino::Utf8Path;
use layercake_core::{
    hash::{Hasher, Sha256},
    resolution::ResolvedWheel,
    zip::ReadLimits,
};

use super::{FetchError, Progress};
use crate::resolve::{Begin, PackageIndex, Sink, TransferError};

/// However often a connection breaks after some progress, this many tries are enough.
const MOST_TRIES: u32 = 50;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// More never comes when the index does not tell a size: a wheel may not unpack to more either.
const MOST_BYTES: u64 = ReadLimits::WHEEL.unpacked_bytes;

/// Downloads a wheel into `partial`, going on from the bytes that are there.
pub(super) fn download(
    index: &PackageIndex,
    wheel: &ResolvedWheel,
    partial: &Utf8Path,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    let options = index.options();
    let in_cache = |source| FetchError::Cache { path: partial.to_owned(), source };
    let failed = |reason: String| FetchError::Download {
        filename: wheel.filename.clone(),
        url: wheel.url.clone(),
        reason,
    };
    let mut file = PartialFile::open(partial, wheel, progress).map_err(in_cache)?;
    let mut failures_in_a_row = 0;
    let mut restarted = false;
    for _ in 0..MOST_TRIES {
        let before = file.position;
        let resumed = before > 0;
        let outcome =
            if wheel.size == Some(before) { Ok(()) } else { index.transfer(&wheel.url, before, &mut file) };
        let broke = match outcome {
            Ok(()) => match wheel.size.filter(|&size| file.position < size) {
                Some(size) => format!("it ended after {} of {size} bytes", file.position),
                None => match file.finish().map_err(in_cache)? {
                    actual if actual == wheel.sha256 => return Ok(()),
                    // The beginning may be from another file, or damaged: try once from scratch.
                    _ if resumed && !restarted => {
                        restarted = true;
                        file.restart().map_err(in_cache)?;
                        continue;
                    }
                    actual => {
                        std::fs::remove_file(partial).map_err(in_cache)?;
                        return Err(FetchError::WrongHash {
                            filename: wheel.filename.clone(),
                            url: wheel.url.clone(),
                            expected: wheel.sha256,
                            actual,
                        });
                    }
                },
            },
            Err(TransferError::Broken { reason }) => {
                format!("the connection broke after {} bytes: {reason}", file.position)
            }
            Err(TransferError::Status { status: 416 }) if resumed => {
                file.restart().map_err(in_cache)?;
                "the server does not have the rest of what came before".to_owned()
            }
            Err(TransferError::Sink(_)) if file.is_overrun => {
                std::fs::remove_file(partial).map_err(in_cache)?;
                return Err(FetchError::TooLong {
                    filename: wheel.filename.clone(),
                    url: wheel.url.clone(),
                    limit: file.limit,
                });
            }
            Err(TransferError::Sink(source)) => return Err(in_cache(source)),
            Err(TransferError::Client(error)) => return Err((*error).into()),
            Err(TransferError::Unreachable { .. }) if options.offline => {
                return Err(FetchError::Offline { filename: wheel.filename.clone() });
            }
            // The client has repeated these already.
            Err(error @ (TransferError::Status { .. } | TransferError::Unreachable { .. })) => {
                return Err(failed(error.to_string()));
            }
        };
        failures_in_a_row = if file.position > before { 1 } else { failures_in_a_row + 1 };
        if failures_in_a_row > options.retries {
            return Err(failed(broke));
        }
        if options.pause_between_retries {
            let pause = FIRST_PAUSE.saturating_mul(1 << failures_in_a_row.min(8)).min(LONGEST_PAUSE);
            std::thread::sleep(pause);
        }
    }
    Err(failed(format!("the connection broke {MOST_TRIES} times")))
}

/// The file being downloaded, with the hash of what is in it.
struct PartialFile<'a> {
    file: File,
    hasher: Hasher,
    position: u64,
    /// More bytes than these are not taken.
    limit: u64,
    is_overrun: bool,
    filename: &'a str,
    progress: &'a dyn Progress,
}

impl<'a> PartialFile<'a> {
    fn open(path: &Utf8Path, wheel: &'a ResolvedWheel, progress: &'a dyn Progress) -> io::Result<Self> {
        let mut file = File::options().create(true).read(true).write(true).truncate(false).open(path)?;
        let mut hasher = Sha256::hasher();
        let mut position = 0;
        let mut window = vec![0; 256 << 10];
        loop {
            match file.read(&mut window)? {
                0 => break,
                count => {
                    hasher.update(&window[..count]);
                    position += count as u64;
                }
            }
        }
        let limit = wheel.size.unwrap_or(MOST_BYTES);
        let filename = &wheel.filename;
        let mut partial = Self { file, hasher, position, limit, is_overrun: false, filename, progress };
        if position > limit {
            partial.restart()?;
        }
        progress.at(partial.filename, partial.position);
        Ok(partial)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hasher = Sha256::hasher();
        self.position = 0;
        self.progress.at(self.filename, 0);
        Ok(())
    }

    /// The hash of everything in the file.
    fn finish(&mut self) -> io::Result<Sha256> {
        self.file.flush()?;
        Ok(std::mem::replace(&mut self.hasher, Sha256::hasher()).finish())
    }
}

impl Sink for PartialFile<'_> {
    fn begin(&mut self, begin: Begin) -> io::Result<()> {
        if begin.offset == self.position { Ok(()) } else { self.restart() }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.limit - self.position {
            self.is_overrun = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        self.progress.at(self.filename, self.position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Silent;

    #[test]
    fn without_a_size_there_is_a_limit_all_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8Path::from_path(folder.path()).expect("it is UTF-8 here").join("partial");
        let wheel = ResolvedWheel {
            name: "app".to_owned(),
            version: "1".to_owned(),
            filename: "app-1-py3-none-any.whl".to_owned(),
            url: String::new(),
            sha256: Sha256::of(b""),
            size: None,
            required_by: Vec::new(),
            asked: true,
            source: None,
        };
        let mut file = PartialFile::open(&path, &wheel, &Silent).expect("the folder is writable");
        assert_eq!(file.limit, 4 << 30);
        // As if all but one byte had come.
        file.position = file.limit - 1;
        file.chunk(b"x").expect("it is the last that may come");
        assert!(file.chunk(b"x").is_err() && file.is_overrun);
    }
}
