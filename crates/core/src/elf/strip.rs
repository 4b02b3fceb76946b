//! Taking out of a library what the loader never reads: symbols for debuggers, debug sections.
//!
//! Owns [`strip`]. Keeps every byte of every segment at its place within its page. That is the
//! difference to binutils' `strip`, which lays a library out anew and breaks those that patchelf
//! (and so auditwheel) has changed: patchelf puts new segments behind everything else, and
//! binutils loses the congruence of their offsets and addresses, which the loader refuses with
//! "ELF load command address/offset not page-aligned". Here bytes move only towards the beginning,
//! by whole multiples of the alignment of what moves. Checks its own result, always, and refuses
//! whatever is unusual: a library that stays as it is costs space, a broken one costs a day.

use super::{
    ElfFacts, NotReadable,
    fingerprint::Fingerprint,
    layout::{ET_DYN, Header, SHT_NULL, Section},
    library::Library,
    plan::Plan,
    read,
};
use crate::Hint;

/// What stripping gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Stripped {
    /// The library without what nobody loads; shorter than it was.
    Smaller(Vec<u8>),
    /// There is nothing to take out: keep the original.
    NothingToGain,
}

/// Why a file is left as it is. The caller keeps the original.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unstrippable {
    /// Only 64-bit little-endian shared libraries are stripped.
    #[error("not stripped: this is {kind}, not a shared library for Lambda's processors")]
    NotALibrary {
        /// What it is.
        kind: &'static str,
    },
    /// It is damaged.
    #[error("not stripped: its headers cannot be read")]
    Unreadable(#[from] NotReadable),
    /// It is unlike what linkers and patchelf write, so what its bytes mean is not certain.
    #[error("not stripped, to be safe: {what}")]
    Unusual {
        /// What is unlike.
        what: &'static str,
    },
    /// The result was not what it had to be, so it is thrown away.
    #[error("not stripped: the result failed its check, since {what} would not be the same")]
    FailedCheck {
        /// What differs.
        what: &'static str,
    },
}

impl Hint for Unstrippable {
    fn hint(&self) -> Option<String> {
        matches!(self, Self::Unreadable(_))
            .then(|| "the file is damaged: download or build it again".to_owned())
    }
}

/// Short for the commonest reason.
pub(super) fn unusual(what: &'static str) -> Unstrippable {
    Unstrippable::Unusual { what }
}

/// Takes out of a shared library what the loader never reads, in place: the bytes only move towards
/// the beginning, so nothing the size of the library is allocated.
///
/// What is taken out is the sections that are not loaded and that we know: symbol and string tables
/// for debuggers, debug sections, comments of compilers, relocations that are already done. Others
/// that are not loaded are kept, since the library may read its own file.
///
/// # Errors
/// An [`Unstrippable`] that says why the file is to be left as it is.
pub fn strip(mut bytes: Vec<u8>) -> Result<Stripped, Unstrippable> {
    let facts = library_facts(&bytes)?;
    let library = Library::read(&bytes)?;
    let plan = Plan::new(&library);
    if plan.length >= bytes.len() as u64 {
        return Ok(Stripped::NothingToGain);
    }
    let before = Fingerprint::take(&bytes, |index, _| library.keeps(index))?;
    plan.apply(&mut bytes);
    check(&bytes, &before, &facts)?;
    Ok(Stripped::Smaller(bytes))
}

fn library_facts(bytes: &[u8]) -> Result<ElfFacts, Unstrippable> {
    let no_library = |kind| Err(Unstrippable::NotALibrary { kind });
    let Some(facts) = read(bytes)? else {
        return no_library("no ELF file");
    };
    if !facts.is_64_bit_little_endian {
        return no_library("an ELF file for another kind of processor");
    }
    if Header::read(bytes)?.kind != ET_DYN {
        return no_library("a program or an object file");
    }
    // Programs are known to carry data behind their last section and to read it from their own file.
    if facts.is_program {
        return no_library("a program");
    }
    Ok(facts)
}

/// The self-check: whatever the loader sees is the same as before.
fn check(bytes: &[u8], before: &Fingerprint, facts: &ElfFacts) -> Result<(), Unstrippable> {
    let failed = |what| Err(Unstrippable::FailedCheck { what });
    // The last section is the new table of names; those that were taken out have no kind.
    let names_index = usize::from(Header::read(bytes).map_or(0, |header| header.names_index));
    let keeps = |index, section: &Section| section.kind != SHT_NULL && index != names_index;
    let Ok(after) = Fingerprint::take(bytes, keeps) else {
        return failed("a header");
    };
    if let Some(what) = before.difference(&after) {
        return failed(what);
    }
    if read(bytes).ok().flatten().as_ref() != Some(facts) {
        return failed("what it needs of the system");
    }
    Ok(())
}
