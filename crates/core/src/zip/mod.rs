//! Zip archives: read with suspicion, written the same way every time.
//!
//! Wheels and uploads are input from strangers, so reading refuses by name what no honest archive
//! holds. Writing sorts nothing and invents nothing: the caller gives entries in order.

mod inflate;
mod read;
mod source;
mod unpack;
mod write;

pub use inflate::{Packing, checksum, deflate, deflate_as, inflate, inflate_start, verify};
pub use read::{Archive, Entry, EntryKind, ReadLimits, ZipError, clean_path};
pub use source::{ReadAt, ReadError};
pub use unpack::Unpacker;
pub use write::{EntryHeader, FileMode, ZipWriter, zip_len};

use serde::{Deserialize, Serialize};

/// How an entry's bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// As they are.
    Stored,
    /// Compressed with DEFLATE (RFC 1951).
    Deflated,
}

impl Method {
    /// The number in zip headers (APPNOTE 4.4.5).
    pub const fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}

#[cfg(test)]
mod tests;
