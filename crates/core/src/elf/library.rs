//! A library as the stripper sees it: its tables, and which sections stay.
//!
//! Owns the decision what is taken out and what is too unusual to be touched. Changes nothing.

use std::ops::Range;

use super::{
    layout::{
        HEADER_LENGTH, Header, PT_LOAD, PT_PHDR, SHF_ALLOC, SHT_GROUP, SHT_NOTE, SHT_NULL, SHT_REL, SHT_RELA,
        SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX, Section, Segment, range_in, text_at,
    },
    strip::{Unstrippable, unusual},
};

/// The longest section name that is read. Linkers write a few dozen bytes.
const NAME_LIMIT: usize = 256;

/// The most program headers; libraries in wheels have up to 15.
const SEGMENT_LIMIT: usize = 256;

/// From this number of sections on (`SHN_LORESERVE`), counts and indices are written elsewhere.
const SECTION_LIMIT: u16 = 0xff00;

/// How often every byte may belong to a segment or section. A library's bytes belong to one that is
/// loaded, perhaps one that describes a part of it, and a section.
const OVERLAP_LIMIT: u64 = 4;

/// A library, and which of its sections are kept.
pub(super) struct Library {
    /// Its ELF header.
    pub(super) header: Header,
    /// Its program headers.
    pub(super) segments: Vec<Segment>,
    /// Its section headers.
    sections: Vec<Section>,
    /// The names of the sections.
    pub(super) names: Vec<Vec<u8>>,
    /// For each section, whether it is kept.
    kept: Vec<bool>,
}

impl Library {
    /// Reads the headers and refuses what is unusual.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unstrippable> {
        let header = Header::read(bytes)?;
        if u64::from(header.length) != HEADER_LENGTH {
            return Err(unusual("its ELF header has an unknown length"));
        }
        if header.section_count == 0 || header.section_count >= SECTION_LIMIT {
            return Err(unusual("it has no section header table, or a very long one"));
        }
        if usize::from(header.segment_count) > SEGMENT_LIMIT {
            return Err(unusual("it has very many segments"));
        }
        if header.names_index >= header.section_count {
            return Err(unusual("the names of its sections are in no section"));
        }
        if header.segments_at < HEADER_LENGTH {
            return Err(unusual("its headers overlap"));
        }
        let segments = header.segments(bytes)?;
        let sections = header.sections(bytes)?;
        let names = section_names(bytes, &sections, header.names_index)?;
        let kept: Vec<_> =
            sections.iter().zip(&names).map(|(section, name)| is_kept(section, name)).collect();
        refuse_incongruent(&segments)?;
        let library = Self { header, segments, sections, names, kept };
        library.refuse_missing(bytes)?;
        library.refuse_overlaps(bytes)?;
        library.refuse_trailing_bytes(bytes)?;
        Ok(library)
    }

    /// Whether the section of an index stays.
    pub(super) fn keeps(&self, index: usize) -> bool {
        self.kept.get(index).copied().unwrap_or(false)
    }

    /// The sections that are kept, with their index.
    pub(super) fn kept_sections(&self) -> impl Iterator<Item = (usize, &Section)> {
        self.sections.iter().enumerate().filter(|(index, _)| self.keeps(*index))
    }

    /// The bytes of the file that its segments and the kept sections need.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Range<u64>> {
        let segments = self.segments.iter().map(Segment::piece);
        let sections = self.kept_sections().map(|(_, section)| (section.offset, section.file_size()));
        segments.chain(sections).map(|(offset, size)| offset..offset.saturating_add(size))
    }

    fn refuse_missing(&self, bytes: &[u8]) -> Result<(), Unstrippable> {
        let mut pieces = self.pieces().filter(|piece| !piece.is_empty());
        match pieces.any(|piece| piece.end > bytes.len() as u64) {
            true => Err(unusual("a segment or section lies beyond its end")),
            false => Ok(()),
        }
    }

    /// The headers are rewritten, so nothing else may lie in the same bytes. Those segments that
    /// are loaded may: they take the headers along.
    fn refuse_overlaps(&self, bytes: &[u8]) -> Result<(), Unstrippable> {
        let table = self.header.segment_table(bytes)?;
        let table = table.start as u64..table.end as u64;
        let in_headers = |offset: u64, size: u64| {
            let end = offset.saturating_add(size);
            size > 0 && (offset < HEADER_LENGTH || offset < table.end && end > table.start)
        };
        let described = self.segments.iter().filter(|segment| !matches!(segment.kind, PT_LOAD | PT_PHDR));
        let described = described.map(|segment| (segment.offset, segment.file_size));
        let sections = self.kept_sections().map(|(_, section)| (section.offset, section.file_size()));
        if described.chain(sections).any(|(offset, size)| in_headers(offset, size)) {
            return Err(unusual("a segment or section lies in its headers"));
        }
        let sum = self.pieces().map(|piece| piece.end - piece.start).fold(0, u64::saturating_add);
        if sum > OVERLAP_LIMIT * bytes.len() as u64 {
            return Err(unusual("its segments and sections lie over one another"));
        }
        Ok(())
    }

    /// Bytes that no header names may be data that somebody appended and reads from the file.
    fn refuse_trailing_bytes(&self, bytes: &[u8]) -> Result<(), Unstrippable> {
        let tables = [self.header.segment_table(bytes)?.end, self.header.section_table(bytes)?.end];
        let segments = self.segments.iter().map(|segment| segment.offset.saturating_add(segment.file_size));
        let sections = self.sections.iter().filter(|section| section.file_size() > 0);
        let sections = sections.map(|section| section.offset.saturating_add(section.size));
        let ends = tables.into_iter().map(|end| end as u64).chain(segments).chain(sections);
        let end = usize::try_from(ends.max().unwrap_or(0)).unwrap_or(usize::MAX);
        match bytes.get(end..) {
            Some(rest) if rest.iter().any(|byte| *byte != 0) => {
                Err(unusual("bytes that no header names follow its end"))
            }
            _ => Ok(()),
        }
    }
}

fn section_names(bytes: &[u8], sections: &[Section], index: u16) -> Result<Vec<Vec<u8>>, Unstrippable> {
    let table = sections
        .get(usize::from(index))
        .and_then(|section| range_in(bytes, section.offset, section.file_size()))
        .map(|range| &bytes[range])
        .ok_or_else(|| unusual("the names of its sections lie beyond its end"))?;
    let name = |section: &Section| match section.kind {
        SHT_NULL => Ok(Vec::new()),
        _ => text_at(table, section.name.into(), NAME_LIMIT)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| unusual("a section's name cannot be read")),
    };
    sections.iter().map(name).collect()
}

/// Whether a section stays: what is loaded, and what is not loaded and unknown to us.
fn is_kept(section: &Section, name: &[u8]) -> bool {
    const NAMES: [&[u8]; 12] = [
        b".debug_",
        b".zdebug_",
        b".gdb_index",
        b".gnu_debug",
        b".gnu.debuglto_",
        b".gnu.lto_",
        b".gnu.build.attributes",
        b".annobin",
        b".comment",
        b".stab",
        b".llvm",
        b".GCC.command.line",
    ];
    if section.kind == SHT_NULL {
        return false;
    }
    if section.flags & SHF_ALLOC != 0 {
        return true;
    }
    let kinds = [SHT_SYMTAB, SHT_STRTAB, SHT_SYMTAB_SHNDX, SHT_REL, SHT_RELA, SHT_GROUP, SHT_NOTE];
    !kinds.contains(&section.kind) && !NAMES.iter().any(|known| name.starts_with(known))
}

/// The loader refuses a segment that lies elsewhere in its page than in the file's.
fn refuse_incongruent(segments: &[Segment]) -> Result<(), Unstrippable> {
    for segment in segments {
        if !segment.alignment.is_power_of_two() {
            return Err(unusual("a segment's alignment is no power of two"));
        }
        let is_congruent = segment.offset % segment.alignment == segment.address % segment.alignment;
        if segment.kind == PT_LOAD && !is_congruent {
            return Err(unusual("a segment's offset and address are not congruent"));
        }
    }
    Ok(())
}
