//! Unpacking entries of an archive that is not in memory, in a bounded amount of it.

use std::io;

use super::{
    Entry, Method, ReadAt, ReadError,
    inflate::{check, lying},
};

/// An entry whose data and unpacked bytes both have at most this size is unpacked in one go, which
/// takes half the time; a larger one goes through windows.
const WHOLE_BYTES: usize = 2 << 20;

/// How much of a larger entry is in memory at a time, packed and again unpacked.
const WINDOW_BYTES: usize = 256 << 10;

/// Unpacks entries of one archive, one after the other, with the same buffers: at most twice 2 MiB,
/// whatever the archive holds. Several may read the same archive on several threads.
pub struct Unpacker<'a, S: ?Sized> {
    source: &'a S,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

impl<'a, S: ReadAt + ?Sized> Unpacker<'a, S> {
    /// For the archive whose entries were read from `source`.
    pub fn new(source: &'a S) -> Self {
        Self { source, packed: Vec::new(), unpacked: Vec::new() }
    }

    /// Checks that an entry's data has the size and checksum of its header.
    ///
    /// # Errors
    /// [`super::ZipError::LyingSize`] or [`super::ZipError::Checksum`] when it has not, and
    /// [`ReadError::Read`].
    pub fn verify(&mut self, entry: &Entry) -> Result<(), ReadError> {
        self.unpack(entry, &mut |_| Ok(()))
    }

    /// Gives an entry's bytes piece by piece. Whether they are the right ones is known at the end
    /// only: after an error, what `take` got is worth nothing. It never gets more than the header
    /// says.
    ///
    /// # Errors
    /// As [`Self::verify`], and [`ReadError::Write`] with what `take` gave.
    pub fn unpack(
        &mut self,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        match entry.method {
            Method::Stored => self.copy(entry, take),
            Method::Deflated if entry.size.max(entry.data.len() as u64) <= WHOLE_BYTES as u64 => {
                self.inflate_whole(entry, take)
            }
            Method::Deflated => self.inflate_windows(entry, take),
        }
    }

    fn copy(
        &mut self,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        if entry.size != entry.data.len() as u64 {
            return Err(lying(entry).into());
        }
        let mut crc = crc32fast::Hasher::new();
        let mut at = entry.data.start;
        while at < entry.data.end {
            let piece = room(&mut self.packed, WINDOW_BYTES.min(entry.data.end - at));
            self.source.read_exact_at(at as u64, piece).map_err(cannot_read)?;
            at += piece.len();
            crc.update(piece);
            take(piece).map_err(cannot_write)?;
        }
        Ok(check(entry, entry.size, crc.finalize())?)
    }

    fn inflate_whole(
        &mut self,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        let packed = room(&mut self.packed, entry.data.len());
        self.source.read_exact_at(entry.data.start as u64, packed).map_err(cannot_read)?;
        let size = usize::try_from(entry.size).map_err(|_| lying(entry))?;
        let unpacked = room(&mut self.unpacked, size);
        let written = libdeflater::Decompressor::new()
            .deflate_decompress(packed, unpacked)
            .map_err(|_| lying(entry))?;
        check(entry, written as u64, crc32fast::hash(unpacked))?;
        take(unpacked).map_err(cannot_write)
    }

    fn inflate_windows(
        &mut self,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        let mut inflater = flate2::Decompress::new(false);
        let mut crc = crc32fast::Hasher::new();
        let mut size = 0_u64;
        // What is still to be read from the archive, and what is still to be unpacked of the window.
        let mut at = entry.data.start;
        let mut waiting = 0..0;
        loop {
            if waiting.is_empty() {
                let window = room(&mut self.packed, WINDOW_BYTES.min(entry.data.end - at));
                self.source.read_exact_at(at as u64, window).map_err(cannot_read)?;
                at += window.len();
                waiting = 0..window.len();
            }
            let unpacked = room(&mut self.unpacked, WINDOW_BYTES);
            let (read, written) = (inflater.total_in(), inflater.total_out());
            let status = inflater
                .decompress(&self.packed[waiting.clone()], unpacked, flate2::FlushDecompress::None)
                .map_err(|_| lying(entry))?;
            // Both are at most the length of a window.
            let (read, written) =
                ((inflater.total_in() - read) as usize, (inflater.total_out() - written) as usize);
            waiting.start += read;
            size += written as u64;
            if size > entry.size {
                return Err(lying(entry).into());
            }
            crc.update(&unpacked[..written]);
            take(&unpacked[..written]).map_err(cannot_write)?;
            if status == flate2::Status::StreamEnd {
                return Ok(check(entry, size, crc.finalize())?);
            }
            let at_the_end = waiting.is_empty() && at == entry.data.end;
            if written == 0 && (read == 0 || at_the_end) {
                return Err(lying(entry).into());
            }
        }
    }
}

/// The first `size` bytes of a buffer that only ever grows.
fn room(buffer: &mut Vec<u8>, size: usize) -> &mut [u8] {
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    &mut buffer[..size]
}

fn cannot_read(source: io::Error) -> ReadError {
    ReadError::Read { source }
}

fn cannot_write(source: io::Error) -> ReadError {
    ReadError::Write { source }
}
