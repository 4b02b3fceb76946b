//! What the loader reads of a library: its dynamic section, found through the segments.
//!
//! Owns [`read`]. Follows the loader (`elf/dl-load.c` and `elf/dl-version.c` of glibc), not the
//! section table, so a library without one is read as well. Never trusts a number: lists end where
//! the file ends, and all names together may take [`TEXT_LIMIT`] bytes.

use std::collections::BTreeMap;

use super::{
    ElfFacts,
    layout::{
        Header, Identity, PT_DYNAMIC, PT_INTERP, PT_LOAD, Segment, range_in, text_at, u16_at, u32_at, u64_at,
    },
};
use crate::Hint;

/// How many bytes all names that one file gives may have together. The largest libraries in wheels
/// have a few thousand; without a bound, many entries that share one long name would fill the
/// memory.
const TEXT_LIMIT: usize = 1 << 20;

/// How many entries a dynamic section may have. Those in wheels have a few dozen, one for each
/// library needed and one for each table.
const ENTRY_LIMIT: usize = 1 << 16;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_VERNEED: u64 = 0x6fff_fffe;

/// `VER_FLG_WEAK`: the library loads without this version, too.
const VERSION_IS_WEAK: u16 = 2;

/// Why a file that begins as an ELF file cannot be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotReadable {
    /// The file ends before something that a header promises.
    #[error("this is not a whole ELF file: {what} lies beyond its end")]
    OutOfFile {
        /// What is missing.
        what: &'static str,
    },
    /// An address that no part of the file is loaded to.
    #[error("this is not a readable ELF file: {what} lies outside of what is loaded")]
    NotLoaded {
        /// What is missing.
        what: &'static str,
    },
    /// Something that no linker writes.
    #[error("this is not a readable ELF file: {what}")]
    Odd {
        /// What is odd.
        what: &'static str,
    },
}

impl Hint for NotReadable {
    fn hint(&self) -> Option<String> {
        Some("the file is damaged: download or build it again".to_owned())
    }
}

/// Reads what a library needs of the system; nothing for bytes that are no ELF file.
///
/// # Errors
/// A [`NotReadable`] for a file that begins as an ELF file and does not go on as one.
pub fn read(bytes: &[u8]) -> Result<Option<ElfFacts>, NotReadable> {
    let Some(identity) = Identity::read(bytes)? else {
        return Ok(None);
    };
    let mut facts = ElfFacts {
        machine: identity.machine,
        is_64_bit_little_endian: identity.is_64_bit_little_endian,
        soname: None,
        needed: Vec::new(),
        run_paths: Vec::new(),
        versions_needed: BTreeMap::new(),
        is_program: false,
    };
    if !identity.is_64_bit_little_endian {
        return Ok(Some(facts));
    }
    let segments = Header::read(bytes)?.segments(bytes)?;
    facts.is_program = segments.iter().any(|segment| segment.kind == PT_INTERP);
    let image = Image::new(bytes, &segments)?;
    // Of several, the loader takes the last one.
    if let Some(dynamic) = segments.iter().rfind(|segment| segment.kind == PT_DYNAMIC) {
        let entries = dynamic_entries(&image, dynamic.address)?;
        let mut names = Names::new(&image, &entries)?;
        read_entries(&entries, &mut names, &mut facts)?;
        if let Some(address) = last_value(&entries, DT_VERNEED) {
            read_versions(image.from(address, "the list of versions needed")?, &mut names, &mut facts)?;
        }
    }
    Ok(Some(facts))
}

/// The file as the loader maps it.
struct Image<'a> {
    bytes: &'a [u8],
    loads: Vec<Segment>,
}

impl<'a> Image<'a> {
    fn new(bytes: &'a [u8], segments: &[Segment]) -> Result<Self, NotReadable> {
        let loads: Vec<_> = segments.iter().copied().filter(|segment| segment.kind == PT_LOAD).collect();
        if loads.iter().any(|load| range_in(bytes, load.offset, load.file_size).is_none()) {
            return Err(NotReadable::OutOfFile { what: "a segment" });
        }
        Ok(Self { bytes, loads })
    }

    /// The bytes from an address on, to the end of its segment.
    fn from(&self, address: u64, what: &'static str) -> Result<&'a [u8], NotReadable> {
        let place = self.loads.iter().find_map(|load| {
            let inside = address.checked_sub(load.address).filter(|inside| *inside < load.file_size)?;
            range_in(self.bytes, load.offset + inside, load.file_size - inside)
        });
        place.and_then(|place| self.bytes.get(place)).ok_or(NotReadable::NotLoaded { what })
    }
}

/// The tags and values of the dynamic section, up to `DT_NULL`, of which we read names and
/// places of lists.
fn dynamic_entries(image: &Image<'_>, address: u64) -> Result<Vec<(u64, u64)>, NotReadable> {
    let bytes = image.from(address, "the dynamic section")?;
    let mut entries = Vec::new();
    for row in bytes.chunks_exact(16).take(ENTRY_LIMIT) {
        let (Some(tag), Some(value)) = (u64_at(row, 0), u64_at(row, 8)) else { break };
        match tag {
            DT_NULL => return Ok(entries),
            DT_NEEDED | DT_STRTAB | DT_SONAME | DT_RPATH | DT_RUNPATH | DT_VERNEED => {
                entries.push((tag, value));
            }
            _ => {}
        }
    }
    Err(NotReadable::Odd { what: "its dynamic section has no end" })
}

fn last_value(entries: &[(u64, u64)], tag: u64) -> Option<u64> {
    entries.iter().rfind(|entry| entry.0 == tag).map(|entry| entry.1)
}

/// The table of names, read within [`TEXT_LIMIT`].
struct Names<'a> {
    table: &'a [u8],
    left: usize,
}

impl<'a> Names<'a> {
    fn new(image: &Image<'a>, entries: &[(u64, u64)]) -> Result<Self, NotReadable> {
        let table = match last_value(entries, DT_STRTAB) {
            Some(address) => image.from(address, "the table of names")?,
            None => &[],
        };
        Ok(Self { table, left: TEXT_LIMIT })
    }

    fn at(&mut self, offset: u64) -> Result<String, NotReadable> {
        let text = text_at(self.table, offset, self.left)
            .ok_or(NotReadable::Odd { what: "a name is out of the table of names, or has no end" })?;
        // Each name costs something, so that lists of empty names end, too.
        self.left -= text.len() + 1;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

fn read_entries(
    entries: &[(u64, u64)],
    names: &mut Names<'_>,
    facts: &mut ElfFacts,
) -> Result<(), NotReadable> {
    for &(tag, value) in entries {
        match tag {
            DT_NEEDED => facts.needed.push(names.at(value)?),
            DT_SONAME => facts.soname = Some(names.at(value)?),
            DT_RPATH | DT_RUNPATH => {
                let paths = names.at(value)?;
                facts.run_paths.extend(paths.split(':').filter(|path| !path.is_empty()).map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the chain of `Elf64_Verneed`, one for each library, and the chain of `Elf64_Vernaux` of
/// each, one for each version.
///
/// The chains end where a distance is 0, as for the loader; `DT_VERNEEDNUM` and `vn_cnt` say the
/// same twice and the loader ignores them. Distances are unsigned and every record costs a name, so
/// the chains end in any case.
fn read_versions(bytes: &[u8], names: &mut Names<'_>, facts: &mut ElfFacts) -> Result<(), NotReadable> {
    let cut = || NotReadable::NotLoaded { what: "part of the list of versions needed" };
    let mut library_at = 0_u64;
    loop {
        if u16_at(bytes, library_at).ok_or_else(cut)? != 1 {
            return Err(NotReadable::Odd { what: "its list of versions needed has an unknown form" });
        }
        let library = names.at(u32_at(bytes, library_at + 4).ok_or_else(cut)?.into())?;
        let versions = facts.versions_needed.entry(library).or_default();
        let mut version_at = library_at + u64::from(u32_at(bytes, library_at + 8).ok_or_else(cut)?);
        loop {
            let flags = u16_at(bytes, version_at + 4).ok_or_else(cut)?;
            let version = names.at(u32_at(bytes, version_at + 8).ok_or_else(cut)?.into())?;
            if flags & VERSION_IS_WEAK == 0 {
                versions.insert(version);
            }
            match u32_at(bytes, version_at + 12).ok_or_else(cut)? {
                0 => break,
                next => version_at += u64::from(next),
            }
        }
        match u32_at(bytes, library_at + 12).ok_or_else(cut)? {
            0 => break,
            next => library_at += u64::from(next),
        }
    }
    // A library of which only weak versions are asked is asked for nothing.
    facts.versions_needed.retain(|_, versions| !versions.is_empty());
    Ok(())
}
