//! The data of an entry: unpacking, checking, packing.

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use super::{Entry, Method, ZipError};

/// Entries up to this size are unpacked in one go, larger ones through a window, so that memory
/// stays bounded whatever an archive holds.
const WHOLE_BYTES: u64 = 32 << 20;

/// Unpacks an entry. `archive` are the bytes the entry was read from.
///
/// # Errors
/// [`ZipError::LyingSize`] or [`ZipError::Checksum`] when the data is not what the header says.
pub fn inflate(archive: &[u8], entry: &Entry) -> Result<Vec<u8>, ZipError> {
    let packed = packed_bytes(archive, entry)?;
    let unpacked = match entry.method {
        Method::Stored => packed.to_vec(),
        Method::Deflated => {
            let size = usize::try_from(entry.size).map_err(|_| lying(entry))?;
            let mut unpacked = vec![0; size];
            let written = libdeflater::Decompressor::new()
                .deflate_decompress(packed, &mut unpacked)
                .map_err(|_| lying(entry))?;
            if written != size {
                return Err(lying(entry));
            }
            unpacked
        }
    };
    check(entry, unpacked.len() as u64, crc32fast::hash(&unpacked))?;
    Ok(unpacked)
}

/// Unpacks at most the first `most` bytes of an entry. Only an entry that is not longer is checked.
///
/// # Errors
/// As [`inflate`].
pub fn inflate_start(archive: &[u8], entry: &Entry, most: u64) -> Result<Vec<u8>, ZipError> {
    if entry.size <= most {
        return inflate(archive, entry);
    }
    let packed = packed_bytes(archive, entry)?;
    let mut start = Vec::new();
    let read = match entry.method {
        Method::Stored => packed.take(most).read_to_end(&mut start),
        Method::Deflated => flate2::read::DeflateDecoder::new(packed).take(most).read_to_end(&mut start),
    };
    match read {
        Ok(_) => Ok(start),
        Err(_) => Err(lying(entry)),
    }
}

/// Checks that an entry's data has the size and checksum of its header, in bounded memory.
///
/// # Errors
/// As [`inflate`].
pub fn verify(archive: &[u8], entry: &Entry) -> Result<(), ZipError> {
    if entry.method == Method::Stored {
        let packed = packed_bytes(archive, entry)?;
        return check(entry, packed.len() as u64, crc32fast::hash(packed));
    }
    if entry.size <= WHOLE_BYTES {
        return inflate(archive, entry).map(drop);
    }
    let mut stream = flate2::read::DeflateDecoder::new(packed_bytes(archive, entry)?);
    let mut window = vec![0; 256 << 10];
    let mut crc = crc32fast::Hasher::new();
    let mut size = 0_u64;
    loop {
        match stream.read(&mut window) {
            Ok(0) => break,
            Ok(count) => {
                size += count as u64;
                if size > entry.size {
                    return Err(lying(entry));
                }
                crc.update(&window[..count]);
            }
            Err(_) => return Err(lying(entry)),
        }
    }
    check(entry, size, crc.finalize())
}

/// How hard bytes are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// DEFLATE level 6.
    #[default]
    Normal,
    /// As hard as DEFLATE can (level 12): 4 % smaller, and twelve times the work.
    Hard,
}

/// Packs bytes with DEFLATE, or keeps them as they are when that is not smaller.
pub fn deflate(bytes: &[u8]) -> (Method, Vec<u8>) {
    deflate_as(bytes, Packing::Normal)
}

/// As [`deflate`], as hard as asked.
pub fn deflate_as(bytes: &[u8], packing: Packing) -> (Method, Vec<u8>) {
    let level = match packing {
        Packing::Normal => libdeflater::CompressionLvl::default(),
        Packing::Hard => libdeflater::CompressionLvl::best(),
    };
    let mut compressor = libdeflater::Compressor::new(level);
    let mut packed = vec![0; compressor.deflate_compress_bound(bytes.len())];
    match compressor.deflate_compress(bytes, &mut packed) {
        Ok(size) if size < bytes.len() => {
            packed.truncate(size);
            (Method::Deflated, packed)
        }
        _ => (Method::Stored, bytes.to_vec()),
    }
}

/// CRC-32 of bytes, as zip headers hold it.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn packed_bytes<'a>(archive: &'a [u8], entry: &Entry) -> Result<&'a [u8], ZipError> {
    archive.get(entry.data.clone()).ok_or_else(|| lying(entry))
}

pub(super) fn check(entry: &Entry, size: u64, crc32: u32) -> Result<(), ZipError> {
    if size != entry.size {
        return Err(lying(entry));
    }
    if crc32 != entry.crc32 {
        return Err(ZipError::Checksum { entry: entry.path.clone(), claimed: entry.crc32, actual: crc32 });
    }
    Ok(())
}

pub(super) fn lying(entry: &Entry) -> ZipError {
    ZipError::LyingSize { entry: entry.path.clone(), claimed: entry.size }
}
