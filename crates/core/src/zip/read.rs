//! Reading an archive that a stranger made.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use super::{Method, ReadAt, ReadError};
use crate::Hint;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ZipError {
    /// Not a zip, or a damaged one.
    #[error("this is not a readable zip archive: {reason}")]
    NotAZip {
        /// What the reader said.
        reason: String,
    },
    /// The archive is split, encrypted or compressed in a way that Lambda does not read.
    #[error("entry `{entry}` uses {feature}, which Lambda cannot unpack")]
    Unsupported {
        /// The entry.
        entry: String,
        /// What it uses.
        feature: String,
    },
    /// A name that would escape the folder it is unpacked into, or that is no name.
    #[error("entry `{entry}` has an unsafe path: {reason}")]
    UnsafePath {
        /// The name, made printable.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A symbolic link where none may be, or one that points out of the archive.
    #[error("entry `{entry}` is a symbolic link{detail}")]
    Symlink {
        /// The entry.
        entry: String,
        /// Where to, if that is what is wrong.
        detail: String,
    },
    /// A device, socket or other special file.
    #[error("entry `{entry}` is neither file, folder nor link (mode {mode:o})")]
    SpecialFile {
        /// The entry.
        entry: String,
        /// Its Unix mode.
        mode: u32,
    },
    /// Two entries of one name, or a file where a folder must be.
    #[error("entry `{entry}` occurs twice, or as a file and as a folder")]
    Duplicate {
        /// The entry.
        entry: String,
    },
    /// Two entries share bytes, as zip bombs do.
    #[error("entry `{entry}` overlaps another entry, as in a zip bomb")]
    Overlap {
        /// The entry.
        entry: String,
    },
    /// More bytes than are allowed, or than the compressed bytes could ever give.
    #[error("{what} claims {size} bytes; at most {limit} are possible, so this is taken for a zip bomb")]
    TooLarge {
        /// `entry \`x\`` or `the archive`.
        what: String,
        /// Claimed, in bytes.
        size: u64,
        /// Allowed, in bytes.
        limit: u64,
    },
    /// The data does not have the size that the header gives.
    #[error("entry `{entry}` says it has {claimed} bytes, but its data does not unpack to that size")]
    LyingSize {
        /// The entry.
        entry: String,
        /// The size in the header, in bytes.
        claimed: u64,
    },
    /// The data does not have the checksum that the header gives.
    #[error("entry `{entry}` is damaged: CRC-32 is {actual:08x}, the header says {claimed:08x}")]
    Checksum {
        /// The entry.
        entry: String,
        /// The checksum in the header.
        claimed: u32,
        /// The checksum of the data.
        actual: u32,
    },
}

impl Hint for ZipError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAZip { .. } | Self::LyingSize { .. } | Self::Checksum { .. } => {
                "the file is damaged: download or build it again".to_owned()
            }
            Self::Unsupported { .. } => "repack it with plain deflate and without encryption".to_owned(),
            Self::UnsafePath { .. }
            | Self::Symlink { .. }
            | Self::SpecialFile { .. }
            | Self::Duplicate { .. }
            | Self::Overlap { .. }
            | Self::TooLarge { .. } => {
                "no honest build tool makes such an archive: find out where it came from before you use it"
                    .to_owned()
            }
        })
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; its data is the path it points to.
    Symlink,
}

/// One entry of an archive, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The path, `/`-separated, relative, without `.`, `..` or a trailing slash.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Unix permission bits (0o777), 0 when the archive gives none.
    pub permissions: u32,
    /// How the data is kept.
    pub method: Method,
    /// CRC-32 of the data, by the header.
    pub crc32: u32,
    /// Unpacked size in bytes, by the header.
    pub size: u64,
    /// When it was changed, in seconds since 1970 as Unix counts; a time without zone is taken for
    /// UTC, which is Lambda's.
    #[serde(default)]
    pub modified: i64,
    /// Where the data lies in the archive's bytes, still compressed.
    pub data: Range<usize>,
}

/// How much an archive may claim.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Sum of unpacked sizes, in bytes.
    pub unpacked_bytes: u64,
    /// Number of entries.
    pub entries: u64,
    /// Whether symbolic links may occur. A wheel has none (the wheel specification gives them no
    /// meaning); an upload to Lambda may.
    pub symlinks: bool,
}

impl ReadLimits {
    /// For wheels: larger than any layer can be, since a plan may leave most of a wheel out.
    pub const WHEEL: Self = Self { unpacked_bytes: 4 << 30, entries: 200_000, symlinks: false };
}

/// DEFLATE cannot do better than 1032:1 (zlib's technical notes), so a header that claims more lies.
const DEFLATE_BEST_RATIO: u64 = 1032;

/// The entries of an archive, in the archive's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Archive {
    /// Reads the central directory of an archive held in memory (or mapped).
    ///
    /// Checks everything that can be told without unpacking; [`super::verify`] checks the data.
    ///
    /// # Errors
    /// A [`ZipError`] that names the offending entry.
    pub fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Self, ZipError> {
        let zip = rawzip::ZipArchive::from_slice(bytes).map_err(not_a_zip)?;
        let mut records = zip.entries();
        let mut collected = Collected::new(limits);
        while let Some(record) = records.next_entry().map_err(not_a_zip)? {
            collected.add(&record, |wayfinder| {
                Ok::<_, ZipError>(zip.get_entry(wayfinder).map_err(not_a_zip)?.compressed_data_range())
            })?;
        }
        collected.finish()
    }

    /// As [`Self::read`], for an archive that is not in memory: only its central directory is read,
    /// record by record.
    ///
    /// # Errors
    /// [`ReadError::Zip`] as [`Self::read`], and [`ReadError::Read`].
    pub fn read_from<S: ReadAt + ?Sized>(source: &S, limits: &ReadLimits) -> Result<Self, ReadError> {
        let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let size = source.size();
        let zip = rawzip::ZipLocator::new()
            .locate_in_reader(At(source), &mut buffer, size)
            .map_err(|(_, error)| not_readable(error))?;
        let mut records = zip.entries(&mut buffer);
        let mut collected = Collected::new(limits);
        while let Some(record) = records.next_entry().map_err(not_readable)? {
            collected.add(&record, |wayfinder| {
                let (start, end) = zip.get_entry(wayfinder).map_err(not_readable)?.compressed_data_range();
                if end > size {
                    return Err(not_a_zip(rawzip::ErrorKind::Eof.into()).into());
                }
                Ok::<_, ReadError>((start, end))
            })?;
        }
        Ok(collected.finish()?)
    }

    /// Sum of the unpacked sizes of the files, in bytes. Data that stand behind a folder's name are
    /// never unpacked.
    pub fn unpacked_size(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.kind != EntryKind::Folder).map(|entry| entry.size).sum()
    }
}

/// The entries read so far, held against the limits.
struct Collected<'a> {
    limits: &'a ReadLimits,
    entries: Vec<Entry>,
    unpacked: u64,
}

impl<'a> Collected<'a> {
    fn new(limits: &'a ReadLimits) -> Self {
        Self { limits, entries: Vec::new(), unpacked: 0 }
    }

    /// Adds the next entry; `locate` gives where its data begins and ends.
    fn add<E: From<ZipError>>(
        &mut self,
        record: &rawzip::ZipFileHeaderRecord<'_>,
        locate: impl FnOnce(rawzip::ZipArchiveEntryWayfinder) -> Result<(u64, u64), E>,
    ) -> Result<(), E> {
        let limits = self.limits;
        if self.entries.len() as u64 >= limits.entries {
            let size = self.entries.len() as u64 + 1;
            let what = "the number of entries".to_owned();
            return Err(ZipError::TooLarge { what, size, limit: limits.entries }.into());
        }
        let entry = checked_entry(record, limits, locate)?;
        self.unpacked = self.unpacked.saturating_add(entry.size);
        if self.unpacked > limits.unpacked_bytes {
            let what = "the archive".to_owned();
            return Err(ZipError::TooLarge { what, size: self.unpacked, limit: limits.unpacked_bytes }.into());
        }
        self.entries.push(entry);
        Ok(())
    }

    fn finish(self) -> Result<Archive, ZipError> {
        refuse_collisions(&self.entries)?;
        refuse_overlaps(&self.entries)?;
        Ok(Archive { entries: self.entries })
    }
}

/// Any [`ReadAt`] as the zip crate wants it.
struct At<'a, S: ?Sized>(&'a S);

impl<S: ReadAt + ?Sized> rawzip::ReaderAt for At<'_, S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let left = self.0.size().saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.0.read_exact_at(offset, &mut buffer[..count])?;
        Ok(count)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn not_a_zip(error: rawzip::Error) -> ZipError {
    ZipError::NotAZip { reason: error.to_string() }
}

/// Tells the archive's faults from those of reading it.
fn not_readable(error: rawzip::Error) -> ReadError {
    let kind = match error.kind() {
        rawzip::ErrorKind::IO(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => source.kind(),
        // Behind the last byte nothing can be read, which is a fault of the archive's pointers.
        rawzip::ErrorKind::IO(_) => return not_a_zip(rawzip::ErrorKind::Eof.into()).into(),
        _ => return not_a_zip(error).into(),
    };
    ReadError::Read { source: std::io::Error::new(kind, error) }
}

fn checked_entry<E: From<ZipError>>(
    record: &rawzip::ZipFileHeaderRecord<'_>,
    limits: &ReadLimits,
    locate: impl FnOnce(rawzip::ZipArchiveEntryWayfinder) -> Result<(u64, u64), E>,
) -> Result<Entry, E> {
    let raw_path = record.file_path();
    let raw_path: &[u8] = raw_path.as_ref();
    let shown = printable(raw_path);
    let path = clean_path(raw_path)?;
    let unsupported = |feature: String| ZipError::Unsupported { entry: shown.clone(), feature };
    if record.flags().is_encrypted() {
        return Err(unsupported("encryption".to_owned()).into());
    }
    let method = match record.compression_method() {
        rawzip::CompressionMethod::STORE => Method::Stored,
        rawzip::CompressionMethod::DEFLATE => Method::Deflated,
        other => return Err(unsupported(format!("compression method {}", other.as_u16())).into()),
    };
    let mode = record.external_attributes() >> 16;
    let kind = match mode & 0o170_000 {
        0 | 0o100_000 | 0o040_000 => {
            if raw_path.ends_with(b"/") || mode & 0o170_000 == 0o040_000 {
                EntryKind::Folder
            } else {
                EntryKind::File
            }
        }
        0o120_000 if limits.symlinks => EntryKind::Symlink,
        0o120_000 => return Err(ZipError::Symlink { entry: shown, detail: String::new() }.into()),
        _ => return Err(ZipError::SpecialFile { entry: shown, mode }.into()),
    };
    let (start, end) = locate(record.wayfinder())?;
    let (start, end) = (start as usize, end as usize);
    let size = record.uncompressed_size_hint();
    let packed = (end - start) as u64;
    let limit = match method {
        Method::Stored => packed,
        Method::Deflated => packed.saturating_mul(DEFLATE_BEST_RATIO),
    };
    if method == Method::Stored && size != packed {
        return Err(ZipError::LyingSize { entry: shown, claimed: size }.into());
    }
    if size > limit {
        return Err(ZipError::TooLarge { what: format!("entry `{shown}`"), size, limit }.into());
    }
    let modified = unix_seconds(&record.last_modified());
    let permissions = mode & 0o777;
    Ok(Entry { path, kind, permissions, method, crc32: record.crc32(), size, modified, data: start..end })
}

/// Seconds since 1970. What is no time counts as the beginning of Unix.
fn unix_seconds(time: &rawzip::time::ZipDateTimeKind) -> i64 {
    use rawzip::time::{UtcDateTime, ZipDateTimeKind};
    match time {
        ZipDateTimeKind::Utc(time) => time.to_unix(),
        ZipDateTimeKind::Local(time) => UtcDateTime::from_components(
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            0,
        )
        .map_or(0, |time| time.to_unix()),
    }
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().take(200).collect()
}

/// Makes a relative, `/`-separated path of an entry's raw name.
///
/// # Errors
/// [`ZipError::UnsafePath`] for everything that could land outside the folder it is unpacked into
/// or that a file system could not hold.
pub fn clean_path(raw: &[u8]) -> Result<String, ZipError> {
    let refuse = |reason| Err(ZipError::UnsafePath { entry: printable(raw), reason });
    let Ok(text) = std::str::from_utf8(raw) else {
        return refuse("it is not UTF-8");
    };
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.starts_with('/') {
        return refuse("it is absolute");
    }
    if text.contains('\\') || text.as_bytes().get(1) == Some(&b':') {
        return refuse("it is a Windows path");
    }
    if text.chars().any(char::is_control) {
        return refuse("it has control characters");
    }
    if text.len() > 4096 {
        return refuse("it is longer than 4096 bytes");
    }
    for part in text.split('/') {
        match part {
            "" => return refuse("it has an empty part"),
            "." => return refuse("it has the part `.`"),
            ".." => return refuse("it has the part `..`"),
            _ if part.len() > 255 => return refuse("a part is longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(text.to_owned())
}

fn refuse_collisions(entries: &[Entry]) -> Result<(), ZipError> {
    let mut seen: BTreeMap<&str, EntryKind> = BTreeMap::new();
    for entry in entries {
        if let Some(kind) = seen.insert(&entry.path, entry.kind)
            && !(kind == EntryKind::Folder && entry.kind == EntryKind::Folder)
        {
            return Err(ZipError::Duplicate { entry: entry.path.clone() });
        }
    }
    for entry in entries {
        let mut parent = entry.path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            if seen.get(above).is_some_and(|kind| *kind != EntryKind::Folder) {
                return Err(ZipError::Duplicate { entry: above.to_owned() });
            }
            parent = above;
        }
    }
    Ok(())
}

fn refuse_overlaps(entries: &[Entry]) -> Result<(), ZipError> {
    let mut ranges: Vec<_> = entries.iter().filter(|entry| !entry.data.is_empty()).collect();
    ranges.sort_by_key(|entry| entry.data.start);
    match ranges.windows(2).find(|pair| pair[0].data.end > pair[1].data.start) {
        Some(pair) => Err(ZipError::Overlap { entry: pair[1].path.clone() }),
        None => Ok(()),
    }
}
