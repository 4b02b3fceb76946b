//! Writing an archive: the same entries give the same bytes, on any machine and at any time.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::Method;

/// 1980-01-01 00:00:00, the earliest time a zip can hold: every entry carries it, so that a
/// layer's hash does not change with the clock.
const DOS_TIME: u16 = 0;
const DOS_DATE: u16 = 0x0021;

/// Bit 11: names are UTF-8 (APPNOTE 4.4.4).
const FLAG_UTF8: u16 = 0x0800;
/// Made by Unix (3), so that readers take the modes from the external attributes.
const MADE_BY_UNIX: u16 = 3 << 8;
const VERSION_DEFLATE: u16 = 20;
const LOCAL_HEADER_BYTES: u64 = 30;
const CENTRAL_HEADER_BYTES: u64 = 46;
const END_BYTES: u64 = 22;

/// The two modes a layer's file can have. Whatever else a wheel says is folded into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileMode {
    /// 0644.
    Regular,
    /// 0755.
    Executable,
}

impl FileMode {
    /// The mode for an entry that carries these permission bits.
    pub const fn from_permissions(permissions: u32) -> Self {
        if permissions & 0o111 == 0 { Self::Regular } else { Self::Executable }
    }

    /// With the file type, as zip's external attributes hold it.
    const fn unix(self) -> u32 {
        match self {
            Self::Regular => 0o100_644,
            Self::Executable => 0o100_755,
        }
    }
}

/// All of an entry but its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryHeader<'a> {
    /// Relative path, `/`-separated.
    pub path: &'a str,
    /// How the data is kept.
    pub method: Method,
    /// CRC-32 of the unpacked data.
    pub crc32: u32,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Size of the data as kept, in bytes.
    pub packed_size: u64,
    /// The file's mode.
    pub mode: FileMode,
}

/// Writes a zip archive from front to back.
pub struct ZipWriter<W> {
    sink: W,
    position: u64,
    entries: u16,
    directory: Vec<u8>,
}

impl<W: Write> ZipWriter<W> {
    /// Starts an archive at the beginning of `sink`.
    pub fn new(sink: W) -> Self {
        Self { sink, position: 0, entries: 0, directory: Vec::new() }
    }

    /// Adds one file, whose data is already in the form `header.method` names.
    ///
    /// # Errors
    /// What the sink says; `InvalidInput` when a size, a name or the number of entries needs
    /// ZIP64, which no archive that Lambda accepts does (262,144,000 bytes at most).
    pub fn file(&mut self, header: &EntryHeader<'_>, data: &[u8]) -> io::Result<()> {
        debug_assert_eq!(header.packed_size, data.len() as u64);
        let offset = narrow(self.position, "position")?;
        let packed = narrow(header.packed_size, "packed size")?;
        let size = narrow(header.size, "size")?;
        let name = u16::try_from(header.path.len()).map_err(|_| too_large("name"))?;
        self.entries = self.entries.checked_add(1).ok_or_else(|| too_large("number of entries"))?;

        let mut common = Vec::with_capacity(26);
        common.extend(VERSION_DEFLATE.to_le_bytes());
        common.extend(FLAG_UTF8.to_le_bytes());
        common.extend(header.method.number().to_le_bytes());
        common.extend(DOS_TIME.to_le_bytes());
        common.extend(DOS_DATE.to_le_bytes());
        common.extend(header.crc32.to_le_bytes());
        common.extend(packed.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(name.to_le_bytes());
        common.extend(0_u16.to_le_bytes()); // no extra field

        let mut local = Vec::with_capacity(LOCAL_HEADER_BYTES as usize + header.path.len());
        local.extend(0x0403_4b50_u32.to_le_bytes());
        local.extend(&common);
        local.extend(header.path.as_bytes());
        self.sink.write_all(&local)?;
        self.sink.write_all(data)?;
        self.position += (local.len() + data.len()) as u64;

        self.directory.extend(0x0201_4b50_u32.to_le_bytes());
        self.directory.extend((MADE_BY_UNIX | VERSION_DEFLATE).to_le_bytes());
        self.directory.extend(&common);
        self.directory.extend([0; 6]); // comment length, disk number, internal attributes
        self.directory.extend((header.mode.unix() << 16).to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(header.path.as_bytes());
        Ok(())
    }

    /// Adds one file from its unpacked bytes, compressing them.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn file_from_bytes(&mut self, path: &str, mode: FileMode, bytes: &[u8]) -> io::Result<()> {
        let (method, packed) = super::deflate(bytes);
        let header = EntryHeader {
            path,
            method,
            crc32: crc32fast::hash(bytes),
            size: bytes.len() as u64,
            packed_size: packed.len() as u64,
            mode,
        };
        self.file(&header, &packed)
    }

    /// Writes the central directory and gives back the sink and the archive's size in bytes.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        let start = narrow(self.position, "position")?;
        let size = narrow(self.directory.len() as u64, "central directory")?;
        self.directory.extend(0x0605_4b50_u32.to_le_bytes());
        self.directory.extend([0; 4]); // disk numbers
        self.directory.extend(self.entries.to_le_bytes());
        self.directory.extend(self.entries.to_le_bytes());
        self.directory.extend(size.to_le_bytes());
        self.directory.extend(start.to_le_bytes());
        self.directory.extend([0; 2]); // comment length
        self.sink.write_all(&self.directory)?;
        self.sink.flush()?;
        Ok((self.sink, self.position + self.directory.len() as u64))
    }
}

/// The size in bytes of the archive that [`ZipWriter`] makes of files with these names' lengths
/// and packed sizes, told before a byte is written.
pub fn zip_len(files: impl Iterator<Item = (usize, u64)>) -> u64 {
    files.fold(END_BYTES, |total, (name, packed)| {
        total + LOCAL_HEADER_BYTES + CENTRAL_HEADER_BYTES + 2 * name as u64 + packed
    })
}

fn narrow(value: u64, what: &str) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| too_large(what))
}

fn too_large(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the archive's {what} is more than a zip without ZIP64 holds"),
    )
}
