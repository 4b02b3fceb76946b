//! What is in a layer's or function's zip: files, the distributions they belong to, and what is
//! known of each.
//!
//! Owns the one picture of a zip that `check`, `show` and `diff` look at, whoever made the zip.
//! Decides nothing about it.

use serde::{Deserialize, Serialize};

use crate::{elf::ElfFacts, zip::EntryKind};

/// A zip, looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its entries, sorted by path.
    pub files: Vec<ContentFile>,
    /// The installed distributions (`*.dist-info`, `*.egg-info`) in it, sorted by folder.
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
    /// What the loader reads of it; nothing for a file that is no ELF file.
    pub elf: Option<ElfFacts>,
}

/// An installed distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Normalised name (PEP 503).
    pub name: String,
    /// Version, as METADATA has it.
    pub version: String,
    /// Its `*.dist-info` folder, as a path in the zip.
    pub folder: String,
    /// `Requires-Python`, as written.
    pub requires_python: Option<String>,
    /// `Requires-Dist`, each as written (PEP 508).
    pub requires: Vec<String>,
}
