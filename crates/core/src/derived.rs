//! Files that are made from a wheel's own once and kept in the cache: libraries without symbols,
//! bytecode, data packed harder.
//!
//! Owns what each of them is called and remembered as. Never makes one: `build::derive` does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::zip::Entry;

/// Raised when the stored form changes.
pub const DERIVED_FORMAT: u32 = 1;

/// How a file was made from one of the wheel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Derivation {
    /// A shared library without what the loader never reads.
    Stripped,
    /// The bytecode of a module.
    Bytecode,
    /// The same bytes, packed harder.
    Repacked,
}

/// The files of one derivation of one wheel, one after the other in a file of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedArchive {
    /// [`DERIVED_FORMAT`] of the writer.
    pub format: u32,
    /// Name of the file that holds the data, beside this index. Never written to again.
    pub pack: String,
    /// Size of that file in bytes.
    pub size: u64,
    /// The files, sorted by path. Each has the path of the wheel's entry that it was made from.
    pub entries: Vec<Entry>,
    /// Entries of the wheel from which nothing was made, with the reason: a module that is no
    /// Python of this version, a library that strips to nothing less.
    pub left_alone: BTreeMap<String, String>,
}

impl DerivedArchive {
    /// The stored form.
    ///
    /// # Errors
    /// None that is known: every value has a form.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Reads the stored form; nothing when it is damaged or of another format.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let archive: Self = serde_json::from_slice(bytes).ok()?;
        (archive.format == DERIVED_FORMAT).then_some(archive)
    }

    /// Whether it is known what becomes of this entry of the wheel.
    pub fn knows(&self, path: &str) -> bool {
        self.left_alone.contains_key(path)
            || self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).is_ok()
    }
}

/// Everything that was derived from one wheel for one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DerivedFiles {
    /// Its libraries without symbols.
    pub stripped: Option<DerivedArchive>,
    /// Its modules' bytecode.
    pub bytecode: Option<DerivedArchive>,
    /// Its other files, packed harder.
    pub repacked: Option<DerivedArchive>,
}

impl DerivedFiles {
    /// The archive of one derivation.
    pub fn archive(&self, derivation: Derivation) -> Option<&DerivedArchive> {
        match derivation {
            Derivation::Stripped => self.stripped.as_ref(),
            Derivation::Bytecode => self.bytecode.as_ref(),
            Derivation::Repacked => self.repacked.as_ref(),
        }
    }

    /// Sets the archive of one derivation.
    pub fn set(&mut self, derivation: Derivation, archive: DerivedArchive) {
        let place = match derivation {
            Derivation::Stripped => &mut self.stripped,
            Derivation::Bytecode => &mut self.bytecode,
            Derivation::Repacked => &mut self.repacked,
        };
        *place = Some(archive);
    }
}
