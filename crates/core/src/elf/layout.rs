//! Where ELF keeps what: the fields of the headers of 64-bit little-endian files, read with bounds.
//!
//! Owns offsets and constants; field names are those of the System V ABI. Never judges whether a
//! file is loadable.

use std::ops::Range;

use super::NotReadable;

/// Length of the ELF header.
pub(super) const HEADER_LENGTH: u64 = 64;
/// Length of one program header.
pub(super) const SEGMENT_LENGTH: u64 = 56;
/// Length of one section header.
pub(super) const SECTION_LENGTH: u64 = 64;

/// Where `e_phoff` is in the ELF header.
pub(super) const E_PHOFF: usize = 32;
/// Where `e_shoff` is in the ELF header.
pub(super) const E_SHOFF: usize = 40;
/// Where `e_shnum` is in the ELF header; `e_shstrndx` follows.
pub(super) const E_SHNUM: usize = 60;
/// Where `e_shstrndx` is in the ELF header.
pub(super) const E_SHSTRNDX: usize = 62;
/// Where `p_offset` is in a program header.
pub(super) const P_OFFSET: usize = 8;
/// Where `sh_name` is in a section header.
pub(super) const SH_NAME: usize = 0;
/// Where `sh_type` is in a section header.
pub(super) const SH_TYPE: usize = 4;
/// Where `sh_offset` is in a section header.
pub(super) const SH_OFFSET: usize = 24;
/// Where `sh_size` is in a section header.
pub(super) const SH_SIZE: usize = 32;
/// Where `sh_link` is in a section header.
pub(super) const SH_LINK: usize = 40;
/// Where `sh_addralign` is in a section header.
pub(super) const SH_ADDRALIGN: usize = 48;

/// The page of the processors that Lambda has, in bytes.
pub(super) const PAGE: u64 = 0x1000;

/// `ET_DYN`: a shared library, or a program that may be loaded anywhere.
pub(super) const ET_DYN: u16 = 3;

pub(super) const PT_LOAD: u32 = 1;
pub(super) const PT_DYNAMIC: u32 = 2;
pub(super) const PT_INTERP: u32 = 3;
pub(super) const PT_PHDR: u32 = 6;

pub(super) const SHT_NULL: u32 = 0;
pub(super) const SHT_SYMTAB: u32 = 2;
pub(super) const SHT_STRTAB: u32 = 3;
pub(super) const SHT_RELA: u32 = 4;
pub(super) const SHT_NOTE: u32 = 7;
pub(super) const SHT_NOBITS: u32 = 8;
pub(super) const SHT_REL: u32 = 9;
pub(super) const SHT_GROUP: u32 = 17;
pub(super) const SHT_SYMTAB_SHNDX: u32 = 18;
/// `SHF_ALLOC`: the section is in memory while the library runs.
pub(super) const SHF_ALLOC: u64 = 2;

fn array<const LENGTH: usize>(bytes: &[u8], at: u64) -> Option<[u8; LENGTH]> {
    let start = usize::try_from(at).ok()?;
    bytes.get(start..start.checked_add(LENGTH)?)?.try_into().ok()
}

/// The 16-bit number at an offset.
pub(super) fn u16_at(bytes: &[u8], at: u64) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// The 32-bit number at an offset.
pub(super) fn u32_at(bytes: &[u8], at: u64) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// The 64-bit number at an offset.
pub(super) fn u64_at(bytes: &[u8], at: u64) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// The range of `size` bytes from `offset` on, if the file has them all.
pub(super) fn range_in(bytes: &[u8], offset: u64, size: u64) -> Option<Range<usize>> {
    let end = offset.checked_add(size).filter(|end| *end <= bytes.len() as u64)?;
    Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
}

/// The text that begins at an offset and ends before the next zero byte; nothing when no zero byte
/// comes within `limit` bytes.
pub(super) fn text_at(bytes: &[u8], at: u64, limit: usize) -> Option<&[u8]> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let length = rest.iter().take(limit).position(|byte| *byte == 0)?;
    rest.get(..length)
}

/// What every ELF file says first, whatever its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// `e_machine`.
    pub(super) machine: u16,
    /// `ELFCLASS64` and `ELFDATA2LSB`.
    pub(super) is_64_bit_little_endian: bool,
}

impl Identity {
    /// Reads it; nothing for bytes that are no ELF file.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, NotReadable> {
        if !bytes.starts_with(b"\x7fELF") {
            return Ok(None);
        }
        let cut = NotReadable::OutOfFile { what: "the ELF header" };
        let (Some(&class), Some(&order), Some(machine)) = (bytes.get(4), bytes.get(5), array(bytes, 18))
        else {
            return Err(cut);
        };
        if !matches!(class, 1 | 2) || !matches!(order, 1 | 2) {
            return Err(NotReadable::Odd { what: "its class or byte order is none that ELF knows" });
        }
        let machine = if order == 1 { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
        Ok(Some(Self { machine, is_64_bit_little_endian: class == 2 && order == 1 }))
    }
}

/// The ELF header of a 64-bit little-endian file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// `e_type`.
    pub(super) kind: u16,
    /// `e_phoff`.
    pub(super) segments_at: u64,
    /// `e_shoff`.
    pub(super) sections_at: u64,
    /// `e_ehsize`.
    pub(super) length: u16,
    /// `e_phentsize`.
    segment_length: u16,
    /// `e_phnum`.
    pub(super) segment_count: u16,
    /// `e_shentsize`.
    section_length: u16,
    /// `e_shnum`.
    pub(super) section_count: u16,
    /// `e_shstrndx`.
    pub(super) names_index: u16,
}

impl Header {
    /// Reads it from a file that [`Identity`] found to be 64-bit little-endian.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NotReadable> {
        let fields = || {
            Some(Self {
                kind: u16_at(bytes, 16)?,
                segments_at: u64_at(bytes, E_PHOFF as u64)?,
                sections_at: u64_at(bytes, E_SHOFF as u64)?,
                length: u16_at(bytes, 52)?,
                segment_length: u16_at(bytes, 54)?,
                segment_count: u16_at(bytes, 56)?,
                section_length: u16_at(bytes, 58)?,
                section_count: u16_at(bytes, E_SHNUM as u64)?,
                names_index: u16_at(bytes, E_SHSTRNDX as u64)?,
            })
        };
        fields().ok_or(NotReadable::OutOfFile { what: "the ELF header" })
    }

    /// The bytes of the program header table.
    pub(super) fn segment_table(&self, bytes: &[u8]) -> Result<Range<usize>, NotReadable> {
        if self.segment_count == 0 {
            return Ok(0..0);
        }
        if u64::from(self.segment_length) != SEGMENT_LENGTH {
            return Err(NotReadable::Odd { what: "its program headers have an unknown length" });
        }
        if self.segment_count == u16::MAX {
            // PN_XNUM: the number stands elsewhere. The loader does not follow that either.
            return Err(NotReadable::Odd { what: "it has more program headers than the loader reads" });
        }
        range_in(bytes, self.segments_at, u64::from(self.segment_count) * SEGMENT_LENGTH)
            .ok_or(NotReadable::OutOfFile { what: "the program header table" })
    }

    /// The program headers.
    pub(super) fn segments(&self, bytes: &[u8]) -> Result<Vec<Segment>, NotReadable> {
        let table = &bytes[self.segment_table(bytes)?];
        Ok(table.chunks_exact(SEGMENT_LENGTH as usize).filter_map(Segment::read).collect())
    }

    /// The bytes of the section header table.
    pub(super) fn section_table(&self, bytes: &[u8]) -> Result<Range<usize>, NotReadable> {
        if u64::from(self.section_length) != SECTION_LENGTH {
            return Err(NotReadable::Odd { what: "its section headers have an unknown length" });
        }
        range_in(bytes, self.sections_at, u64::from(self.section_count) * SECTION_LENGTH)
            .ok_or(NotReadable::OutOfFile { what: "the section header table" })
    }

    /// The section headers.
    pub(super) fn sections(&self, bytes: &[u8]) -> Result<Vec<Section>, NotReadable> {
        let table = &bytes[self.section_table(bytes)?];
        Ok(table.chunks_exact(SECTION_LENGTH as usize).filter_map(Section::read).collect())
    }
}

/// A program header: a piece of the file, and where it is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// `p_type`.
    pub(super) kind: u32,
    /// `p_offset`.
    pub(super) offset: u64,
    /// `p_vaddr`.
    pub(super) address: u64,
    /// `p_filesz`.
    pub(super) file_size: u64,
    /// `p_align`, at least 1.
    pub(super) alignment: u64,
}

impl Segment {
    fn read(row: &[u8]) -> Option<Self> {
        Some(Self {
            kind: u32_at(row, 0)?,
            offset: u64_at(row, P_OFFSET as u64)?,
            address: u64_at(row, 16)?,
            file_size: u64_at(row, SH_SIZE as u64)?,
            alignment: u64_at(row, 48)?.max(1),
        })
    }

    /// The bytes of the file that it needs, as offset and size.
    ///
    /// A loaded segment without bytes in the file is all zeros in memory; yet the loader maps the
    /// page of the file in which it begins and clears the rest of it, so that page must be there.
    pub(super) fn piece(&self) -> (u64, u64) {
        let inside = self.offset % self.page();
        match self.kind {
            _ if self.file_size > 0 => (self.offset, self.file_size),
            PT_LOAD => (self.offset - inside, inside),
            _ => (0, 0),
        }
    }

    /// What its offset must stay congruent to: its alignment, and at least a page, even when a
    /// library claims less.
    pub(super) fn page(&self) -> u64 {
        self.alignment.max(PAGE)
    }
}

/// A section header, as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// All its bytes.
    pub(super) row: [u8; SECTION_LENGTH as usize],
    /// `sh_name`.
    pub(super) name: u32,
    /// `sh_type`.
    pub(super) kind: u32,
    /// `sh_flags`.
    pub(super) flags: u64,
    /// `sh_offset`.
    pub(super) offset: u64,
    /// `sh_size`.
    pub(super) size: u64,
    /// `sh_link`.
    pub(super) link: u32,
}

impl Section {
    fn read(row: &[u8]) -> Option<Self> {
        Some(Self {
            row: row.try_into().ok()?,
            name: u32_at(row, SH_NAME as u64)?,
            kind: u32_at(row, SH_TYPE as u64)?,
            flags: u64_at(row, 8)?,
            offset: u64_at(row, SH_OFFSET as u64)?,
            size: u64_at(row, SH_SIZE as u64)?,
            link: u32_at(row, SH_LINK as u64)?,
        })
    }

    /// How many bytes of the file are its data.
    pub(super) fn file_size(&self) -> u64 {
        if matches!(self.kind, SHT_NULL | SHT_NOBITS) { 0 } else { self.size }
    }
}
