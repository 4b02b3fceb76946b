//! What must be the same before and after stripping, small enough to keep beside the file.
//!
//! Owns the self-check: everything that the loader sees, with checksums in place of the bytes.
//! Reads the headers anew from the bytes, so it does not repeat a mistake of the stripper's plan.

use std::ops::Range;

use super::{
    NotReadable,
    layout::{
        E_PHOFF, E_SHNUM, E_SHOFF, HEADER_LENGTH, Header, P_OFFSET, PT_LOAD, SEGMENT_LENGTH, SH_LINK,
        SH_NAME, SH_OFFSET, Section, Segment, range_in,
    },
};

/// Everything of a library that stripping must not change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The ELF header without what it says about the two tables.
    header: Vec<u8>,
    /// Each program header without `p_offset`, and its bytes in the file.
    segments: Vec<Piece>,
    /// Each section that is kept, by its index, without name, offset and link, and its bytes.
    sections: Vec<(usize, Piece)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Piece {
    row: Vec<u8>,
    /// Where it begins within its page.
    place: u64,
    checksum: u32,
}

impl Fingerprint {
    /// Takes it from the whole file. `keeps` says which sections count, by index.
    ///
    /// # Errors
    /// What [`Header`] says, and `OutOfFile` for a piece that is not in the file.
    pub(super) fn take(bytes: &[u8], keeps: impl Fn(usize, &Section) -> bool) -> Result<Self, NotReadable> {
        let header = Header::read(bytes)?;
        let table = header.segment_table(bytes)?;
        let masks = masks(&table);
        let segments = header.segments(bytes)?.into_iter().enumerate().map(|(index, segment)| {
            let row = table.start + index * SEGMENT_LENGTH as usize;
            Ok(Piece {
                row: masked(bytes, row..row + SEGMENT_LENGTH as usize, &masks),
                place: place(&segment),
                checksum: checksum(bytes, segment.offset, segment.file_size, &masks)?,
            })
        });
        let segments = segments.collect::<Result<_, _>>()?;
        let sections = header.sections(bytes)?.into_iter().enumerate();
        let sections = sections.filter(|(index, section)| keeps(*index, section)).map(|(index, section)| {
            let mut row = section.row.to_vec();
            row[SH_NAME..SH_NAME + 4].fill(0);
            row[SH_OFFSET..SH_OFFSET + 8].fill(0);
            row[SH_LINK..SH_LINK + 4].fill(0);
            let checksum = checksum(bytes, section.offset, section.file_size(), &masks)?;
            Ok((index, Piece { row, place: 0, checksum }))
        });
        let sections = sections.collect::<Result<_, _>>()?;
        Ok(Self { header: masked(bytes, 0..HEADER_LENGTH as usize, &masks), segments, sections })
    }

    /// What differs, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.header != other.header {
            Some("the ELF header")
        } else if self.segments != other.segments {
            Some("a segment")
        } else if self.sections != other.sections {
            Some("a section")
        } else {
            None
        }
    }
}

/// Where the loader's page arithmetic sees a segment begin. The offset of a segment that is not
/// loaded and has no bytes means nothing, and linkers write anything there.
fn place(segment: &Segment) -> u64 {
    if segment.kind == PT_LOAD || segment.file_size > 0 { segment.offset % segment.page() } else { 0 }
}

/// The bytes that stripping may change, in ascending order: where the tables are, how long the
/// section header table is, and each `p_offset`.
fn masks(segment_table: &Range<usize>) -> Vec<Range<usize>> {
    let rows = segment_table.clone().step_by(SEGMENT_LENGTH as usize);
    let offsets = rows.map(|row| row + P_OFFSET..row + P_OFFSET + 8);
    [E_PHOFF..E_SHOFF + 8, E_SHNUM..HEADER_LENGTH as usize].into_iter().chain(offsets).collect()
}

fn masked(bytes: &[u8], range: Range<usize>, masks: &[Range<usize>]) -> Vec<u8> {
    let mut copy = Vec::new();
    pieces(range, masks, |piece, is_masked| {
        if is_masked {
            copy.resize(copy.len() + piece.len(), 0);
        } else {
            copy.extend_from_slice(&bytes[piece]);
        }
    });
    copy
}

fn checksum(bytes: &[u8], offset: u64, size: u64, masks: &[Range<usize>]) -> Result<u32, NotReadable> {
    if size == 0 {
        return Ok(0);
    }
    let range =
        range_in(bytes, offset, size).ok_or(NotReadable::OutOfFile { what: "a segment or section" })?;
    let mut hasher = crc32fast::Hasher::new();
    pieces(range, masks, |piece, is_masked| {
        if is_masked {
            // A mask is never longer than the ELF header.
            hasher.update(&[0; HEADER_LENGTH as usize][..piece.len()]);
        } else {
            hasher.update(&bytes[piece]);
        }
    });
    Ok(hasher.finalize())
}

/// Cuts a range into what is masked and what is not, in order.
fn pieces(range: Range<usize>, masks: &[Range<usize>], mut each: impl FnMut(Range<usize>, bool)) {
    let mut at = range.start;
    for mask in masks {
        let from = mask.start.clamp(at, range.end);
        let to = mask.end.clamp(from, range.end);
        if at < from {
            each(at..from, false);
        }
        if from < to {
            each(from..to, true);
        }
        at = to;
    }
    if at < range.end {
        each(at..range.end, false);
    }
}
