//! The new file as a value: which bytes go where, and the new tables.
//!
//! Owns the arithmetic of offsets and carrying it out in place. Checks nothing afterwards; that is
//! the fingerprint's.

use std::ops::Range;

use super::{
    layout::{
        E_PHOFF, E_SHNUM, E_SHOFF, E_SHSTRNDX, HEADER_LENGTH, P_OFFSET, PAGE, SECTION_LENGTH, SEGMENT_LENGTH,
        SH_ADDRALIGN, SH_LINK, SH_NAME, SH_OFFSET, SH_SIZE, SH_TYPE, SHT_STRTAB, Segment,
    },
    library::Library,
};

/// Bytes of the library as it was, and where they go.
#[derive(Debug)]
struct Move {
    from: Range<u64>,
    to: u64,
}

/// The new file, as a value.
pub(super) struct Plan {
    /// In ascending order, without overlaps; nothing moves towards the end.
    moves: Vec<Move>,
    /// Where the program header table goes.
    segments_at: u64,
    /// The new `p_offset` of each segment.
    offsets: Vec<u64>,
    /// What follows the last bytes that are kept.
    sections: SectionTable,
    /// Where the new section header table goes.
    rows_at: u64,
    /// Length of the new file, in bytes.
    pub(super) length: u64,
}

impl Plan {
    /// Decides where everything goes.
    pub(super) fn new(library: &Library) -> Self {
        let moves = moves(needed_bytes(library), &library.segments);
        let names_at = moves.last().map_or(0, |last| last.to + (last.from.end - last.from.start));
        let sections = SectionTable::new(library, &moves, names_at);
        let rows_at = (names_at + sections.names.len() as u64).next_multiple_of(8);
        Self {
            segments_at: moved(&moves, library.header.segments_at),
            offsets: library.segments.iter().map(|segment| moved(&moves, segment.offset)).collect(),
            rows_at,
            length: rows_at + sections.rows.len() as u64 * SECTION_LENGTH,
            sections,
            moves,
        }
    }

    /// Carries the plan out. The caller has seen that the new file is shorter.
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        let mut written = 0;
        for piece in &self.moves {
            let (start, end, to) = (piece.from.start as usize, piece.from.end as usize, piece.to as usize);
            if start != to {
                bytes.copy_within(start..end, to);
            }
            // What was between two pieces belongs to neither.
            bytes[written..to].fill(0);
            written = to + (end - start);
        }
        bytes.truncate(written);
        bytes.extend_from_slice(&self.sections.names);
        bytes.resize(self.rows_at as usize, 0);
        bytes.extend_from_slice(self.sections.rows.as_flattened());
        put(bytes, E_PHOFF, &self.segments_at.to_le_bytes());
        put(bytes, E_SHOFF, &self.rows_at.to_le_bytes());
        let count = self.sections.rows.len() as u16;
        put(bytes, E_SHNUM, &count.to_le_bytes());
        put(bytes, E_SHSTRNDX, &(count - 1).to_le_bytes());
        for (index, offset) in self.offsets.iter().enumerate() {
            let row = self.segments_at as usize + index * SEGMENT_LENGTH as usize;
            put(bytes, row + P_OFFSET, &offset.to_le_bytes());
        }
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The parts of the file that stay, in ascending order, those that touch joined.
fn needed_bytes(library: &Library) -> Vec<Range<u64>> {
    let table = library.header.segments_at;
    let table = table..table + u64::from(library.header.segment_count) * SEGMENT_LENGTH;
    let mut needed = vec![0..HEADER_LENGTH, table];
    needed.extend(library.pieces());
    needed.retain(|range| !range.is_empty());
    needed.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in needed {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Closes the gaps between the parts.
///
/// A part moves by a multiple of the greatest alignment of the segments that begin in it or in the
/// gap behind it, so that their offsets stay congruent to their addresses. The other segments do
/// not matter: linkers align to 2 MiB what stays at the beginning, patchelf to a page what it
/// appends behind the debug sections.
fn moves(needed: Vec<Range<u64>>, segments: &[Segment]) -> Vec<Move> {
    let ends: Vec<_> = needed.iter().skip(1).map(|next| next.start).chain([u64::MAX]).collect();
    let mut written = 0;
    let mut moves = Vec::new();
    for (from, end) in needed.into_iter().zip(ends) {
        let here = segments.iter().filter(|segment| (from.start..end).contains(&segment.offset));
        let alignment = here.map(Segment::page).max().unwrap_or(PAGE);
        let to = from.start - (from.start - written) / alignment * alignment;
        written = to + (from.end - from.start);
        moves.push(Move { from, to });
    }
    moves
}

/// Where an offset of the old file is in the new one. An offset between two parts stays with the
/// part before it.
fn moved(moves: &[Move], offset: u64) -> u64 {
    let after = moves.partition_point(|piece| piece.from.start <= offset);
    match after.checked_sub(1).and_then(|index| moves.get(index)) {
        Some(piece) => offset - (piece.from.start - piece.to),
        None => offset,
    }
}

/// The new section headers and the table of their names.
struct SectionTable {
    names: Vec<u8>,
    rows: Vec<[u8; SECTION_LENGTH as usize]>,
}

impl SectionTable {
    /// Indices stay as they are, because the symbols of the library name their sections by index:
    /// sections that are taken out become empty rows. The table of names comes last.
    fn new(library: &Library, moves: &[Move], names_at: u64) -> Self {
        let count = library.kept_sections().last().map_or(1, |(last, _)| last + 1);
        let mut names = vec![0];
        let mut rows = vec![[0; SECTION_LENGTH as usize]; count];
        for (index, section) in library.kept_sections() {
            let row = &mut rows[index];
            *row = section.row;
            put(row, SH_NAME, &(names.len() as u32).to_le_bytes());
            put(row, SH_OFFSET, &moved(moves, section.offset).to_le_bytes());
            if !library.keeps(section.link as usize) {
                put(row, SH_LINK, &[0; 4]);
            }
            names.extend_from_slice(&library.names[index]);
            names.push(0);
        }
        let mut row = [0; SECTION_LENGTH as usize];
        put(&mut row, SH_NAME, &(names.len() as u32).to_le_bytes());
        names.extend_from_slice(b".shstrtab\0");
        put(&mut row, SH_TYPE, &SHT_STRTAB.to_le_bytes());
        put(&mut row, SH_OFFSET, &names_at.to_le_bytes());
        put(&mut row, SH_SIZE, &(names.len() as u64).to_le_bytes());
        put(&mut row, SH_ADDRALIGN, &1_u64.to_le_bytes());
        rows.push(row);
        Self { names, rows }
    }
}
