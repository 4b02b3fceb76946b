//! Shared libraries (ELF): what one needs of the system, and how to take out what the loader never
//! reads.
//!
//! Owns reading and stripping. Both take bytes from strangers: nothing here
//! panics, whatever the bytes are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What the loader reads of a library, and what a check needs of it.
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
    /// as `libc.so.6` → `GLIBC_2.28`.
    pub versions_needed: BTreeMap<String, BTreeSet<String>>,
    /// Whether it names a program interpreter (`PT_INTERP`): a program, not a library.
    pub is_program: bool,
}
