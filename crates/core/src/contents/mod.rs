//! What is in a layer's or function's zip: files, the distributions they belong to, and what is
//! known of each.
//!
//! Owns the one picture of a zip that `check`, `show` and `diff` look at, whoever made the zip, and
//! how much of it is read for that. The zip is a stranger's: what is read is bounded, and a text
//! that makes no sense is passed over. Decides nothing about the zip.

mod distributions;
mod owners;

use std::collections::BTreeMap;

pub(crate) use distributions::Metadata;
use serde::{Deserialize, Serialize};

use crate::{
    elf::{self, ElfFacts},
    limits,
    wheel::has_extension,
    zip::{Archive, Entry, EntryKind},
};

/// A zip, looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its entries, sorted by path.
    pub files: Vec<ContentFile>,
    /// The installed distributions (`*.dist-info`, `*.egg-info`) in it, sorted by folder. Those
    /// that a package carries inside itself (`setuptools/_vendor`) are not installed and not here.
    pub distributions: Vec<Distribution>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentFile {
    /// Its path in the zip, `/`-separated.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Unix permission bits (0o777), 0 when the archive gives none.
    pub permissions: u32,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Size in the zip in bytes.
    pub packed_size: u64,
    /// CRC-32 of the unpacked data.
    pub crc32: u32,
    /// Which of [`Contents::distributions`] it belongs to.
    pub owner: Option<usize>,
    /// What the loader reads of it; nothing for a file that is no ELF file, or one of more than
    /// [`limits::UNZIPPED_BYTES`], which is not read at all.
    pub elf: Option<ElfFacts>,
    /// Why a file that begins as an ELF file cannot be read as one.
    pub damage: Option<String>,
    /// Where a symbolic link points to, as written.
    pub points_to: Option<String>,
}

/// An installed distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Normalised name (PEP 503).
    pub name: String,
    /// Version, as METADATA has it; empty when nothing names one.
    pub version: String,
    /// Its `*.dist-info` folder, as a path in the zip. For what old installers left, the
    /// `*.egg-info` folder or file.
    pub folder: String,
    /// `Requires-Python`, as written.
    pub requires_python: Option<String>,
    /// `Requires-Dist`, each as written (PEP 508).
    pub requires: Vec<String>,
}

impl Distribution {
    /// The folder it is installed into, `site-packages` so to speak: empty for the zip's root.
    pub fn root(&self) -> &str {
        self.folder.rsplit_once('/').map_or("", |(root, _)| root)
    }
}

/// The metadata's header stands first in the file, and it is short: the longest of known packages
/// have some hundred lines.
const MOST_METADATA: u64 = 1 << 20;
/// A line of RECORD has about 100 bytes, and no layer has more than some ten thousand files.
const MOST_RECORD: u64 = 8 << 20;
const MOST_TOP_LEVEL: u64 = 64 << 10;
/// All texts of a zip together: they are held until the zip is looked through.
const MOST_TEXT: u64 = 64 << 20;
/// `PATH_MAX` of Linux.
const MOST_LINK: u64 = 4096;

/// How an ELF file begins (System V ABI, "ELF Identification").
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// An entry of which bytes must be read, found by [`readings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    entry: &'a Entry,
    index: usize,
    wanted: Wanted,
}

/// What is wanted of an entry's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// A text of a distribution: so many bytes of its beginning.
    Text(u64),
    /// Where a link points to.
    Link,
    /// What the loader reads of it, if it is an ELF file.
    Elf,
}

/// What [`Reading::look`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    index: usize,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    Text(String),
    Link(String),
    Elf(Box<ElfFacts>),
    Damage(String),
}

/// The entries that must be read to look a zip through, in the archive's order. They may be looked
/// at in any order and from several threads; [`Contents::from_found`] takes what was found.
pub fn readings(archive: &Archive) -> Vec<Reading<'_>> {
    let mut text_left = MOST_TEXT;
    let mut readings = Vec::new();
    for (index, entry) in archive.entries.iter().enumerate() {
        let wanted = match entry.kind {
            EntryKind::Folder => continue,
            EntryKind::Symlink => Wanted::Link,
            EntryKind::File => match most_text(&entry.path) {
                Some(most) => {
                    let Some(left) = text_left.checked_sub(entry.size.min(most)) else { continue };
                    text_left = left;
                    Wanted::Text(most)
                }
                None if may_be_elf(entry) => Wanted::Elf,
                None => continue,
            },
        };
        readings.push(Reading { entry, index, wanted });
    }
    readings
}

impl Reading<'_> {
    /// The most bytes that are in memory at once while it is looked at.
    pub fn bytes(&self) -> u64 {
        match self.wanted {
            Wanted::Text(most) => self.entry.size.min(most),
            Wanted::Link => self.entry.size.min(MOST_LINK),
            Wanted::Elf => self.entry.size,
        }
    }

    /// Reads what is wanted of the entry. `read` gives unpacked bytes of an entry, at most so many
    /// of its first.
    ///
    /// # Errors
    /// What `read` answers.
    pub fn look<E>(&self, mut read: impl FnMut(&Entry, u64) -> Result<Vec<u8>, E>) -> Result<Found, E> {
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let what = match self.wanted {
            Wanted::Text(most) => What::Text(text(read(self.entry, most)?)),
            Wanted::Link => What::Link(text(read(self.entry, MOST_LINK)?)),
            // The first bytes cost little, so that only what is an ELF file is unpacked whole.
            Wanted::Elf if read(self.entry, ELF_MAGIC.len() as u64)? != ELF_MAGIC => What::Nothing,
            Wanted::Elf => match elf::read(&read(self.entry, self.entry.size)?) {
                Ok(Some(facts)) => What::Elf(Box::new(facts)),
                Ok(None) => What::Nothing,
                Err(damage) => What::Damage(damage.to_string()),
            },
        };
        Ok(Found { index: self.index, what })
    }
}

impl Contents {
    /// Looks a zip through, one entry after another. `read` gives unpacked bytes of an entry, at
    /// most so many of its first. Sources, bytecode and data are not read, nor is any entry of more
    /// than [`limits::UNZIPPED_BYTES`].
    ///
    /// # Errors
    /// What `read` answers.
    pub fn collect<E>(
        archive: &Archive,
        mut read: impl FnMut(&Entry, u64) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let found =
            readings(archive).iter().map(|reading| reading.look(&mut read)).collect::<Result<_, _>>()?;
        Ok(Self::from_found(archive, found))
    }

    /// Puts together what was found of an archive's [`readings`], in whatever order it comes.
    pub fn from_found(archive: &Archive, found: Vec<Found>) -> Self {
        let mut texts = BTreeMap::new();
        let mut files: Vec<_> = archive.entries.iter().map(ContentFile::new).collect();
        for Found { index, what } in found {
            let (Some(file), Some(entry)) = (files.get_mut(index), archive.entries.get(index)) else {
                continue;
            };
            match what {
                What::Nothing => {}
                What::Text(text) => {
                    texts.insert(entry.path.as_str(), text);
                }
                What::Link(path) => file.points_to = Some(path),
                What::Elf(facts) => file.elf = Some(*facts),
                What::Damage(damage) => file.damage = Some(damage),
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let distributions = distributions::find(&files, &texts);
        owners::assign(&mut files, &distributions, &texts);
        Self { files, distributions }
    }

    /// The distribution that a file belongs to.
    pub fn owner(&self, file: &ContentFile) -> Option<&Distribution> {
        self.distributions.get(file.owner?)
    }

    /// Sum of the unpacked sizes, in bytes, as Lambda counts. Data that stand behind a folder's name
    /// are never unpacked.
    pub fn unpacked_size(&self) -> u64 {
        self.files.iter().filter(|file| file.kind != EntryKind::Folder).map(|file| file.size).sum()
    }
}

impl ContentFile {
    fn new(entry: &Entry) -> Self {
        Self {
            path: entry.path.clone(),
            kind: entry.kind,
            permissions: entry.permissions,
            size: entry.size,
            packed_size: entry.data.len() as u64,
            crc32: entry.crc32,
            owner: None,
            elf: None,
            damage: None,
            points_to: None,
        }
    }
}

/// How much is read of a text that describes a distribution; nothing for any other file.
fn most_text(path: &str) -> Option<u64> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if distributions::is_single_file(path) {
        return Some(MOST_METADATA);
    }
    let most = match name {
        "METADATA" | "PKG-INFO" => MOST_METADATA,
        "RECORD" => MOST_RECORD,
        "top_level.txt" => MOST_TOP_LEVEL,
        _ => return None,
    };
    distributions::is_folder(folder).then_some(most)
}

/// Whether an entry could be a shared library or a program, told without reading it. Archives made
/// on Windows have no permissions, so the folders where such files lie count as well.
fn may_be_elf(entry: &Entry) -> bool {
    if entry.size < ELF_MAGIC.len() as u64 || entry.size > limits::UNZIPPED_BYTES {
        return false;
    }
    let (folder, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
    if name.contains(".so") {
        return true;
    }
    // Whole trees lie below `python/lib/python3.12`, and most of them is this.
    !has_extension(name, &["py", "pyc", "pyi", "txt", "json", "html", "js", "css", "h", "hpp", "csv"])
        && (entry.permissions & 0o111 != 0 || folder.split('/').any(|part| matches!(part, "bin" | "lib")))
}

#[cfg(test)]
mod tests;
