//! Where an archive's bytes are: in memory, or anywhere else that can be read at a place.
//!
//! Owns the trait and what it is for slices. Opens nothing: who has files implements it for them.

use std::io;

use super::ZipError;

/// Bytes that can be read at any place, by several threads at once.
pub trait ReadAt: Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are not as many; whatever reading gives.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(buffer.len()).and_then(|end| self.get(start..end));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Why an archive that is not in memory cannot be read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive is refused.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// Its bytes cannot be read.
    #[error("the archive's bytes cannot be read")]
    Read {
        /// What happened.
        source: io::Error,
    },
    /// What was unpacked was not taken.
    #[error("an unpacked file cannot be written")]
    Write {
        /// What happened.
        source: io::Error,
    },
}
