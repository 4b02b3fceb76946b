//! Shared libraries (ELF): what one needs of the system, and how to take out what the loader never
//! reads.
//!
//! Owns reading and stripping. Both take bytes from strangers: nothing here panics, loops without
//! bound or allocates what a header merely claims, whatever the bytes are. Decides nothing about
//! what is missing on a runtime; that is for whoever knows the runtime.
//!
//! The bytes are read with a small reader of our own. The stripper has to know and rewrite every
//! offset of the headers in place, which a crate for reading does not do, and the versions needed
//! must be found the way the loader finds them, through the segments: crates find them through the
//! section table, which a library need not have.

mod fingerprint;
mod layout;
mod library;
mod plan;
mod read;
mod strip;

pub use read::{NotReadable, read};
pub use strip::{Stripped, Unstrippable, strip};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What the loader reads of a library, and what a check needs of it.
///
/// Of a file that is not 64-bit little-endian only the first two fields are read; the others are
/// empty, since no processor of Lambda loads it anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElfFacts {
    /// `e_machine`: 62 is x86-64, 183 is AArch64.
    pub machine: u16,
    /// Whether it is a 64-bit little-endian file, the only kind that Lambda's processors run.
    pub is_64_bit_little_endian: bool,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_NEEDED`, in the order of the file.
    pub needed: Vec<String>,
    /// `DT_RPATH` and `DT_RUNPATH`, split at `:`.
    pub run_paths: Vec<String>,
    /// Symbol versions that it asks of other libraries (`.gnu.version_r`): library → versions, such
    /// as `libc.so.6` → `GLIBC_2.28`. Versions marked weak are left out: the loader does not insist
    /// on them.
    pub versions_needed: BTreeMap<String, BTreeSet<String>>,
    /// Whether it names a program interpreter (`PT_INTERP`): a program, not a library.
    pub is_program: bool,
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
