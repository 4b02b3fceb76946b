//! The ELF reader and stripper on any bytes.
//!
//! Laws: neither panics or hangs; names are bounded, whatever the headers claim, and the facts survive
//! being stored; a stripped library is shorter, reads to the same facts, loads to the same memory at
//! the same places within its pages, and cannot be stripped once more.

#![no_main]

use layercake_core::elf::{ElfFacts, Stripped, read, strip};
use layercake_fuzz::loads;
use libfuzzer_sys::fuzz_target;

/// As the reader promises: 1 MiB of names, each of which may have grown threefold because what is no
/// UTF-8 is replaced.
const MOST_TEXT: usize = 3 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(facts)) = read(bytes) {
        check(&facts);
    }
    if let Ok(Stripped::Smaller(stripped)) = strip(bytes.to_vec()) {
        assert!(stripped.len() < bytes.len());
        assert_eq!(read(&stripped), read(bytes));
        assert_eq!(loads(&stripped), loads(bytes));
        assert_eq!(strip(stripped), Ok(Stripped::NothingToGain));
    }
});

fn check(facts: &ElfFacts) {
    let versions = facts.versions_needed.iter();
    let versions = versions.flat_map(|(library, versions)| versions.iter().chain([library]));
    let names = facts.needed.iter().chain(&facts.run_paths).chain(&facts.soname).chain(versions);
    assert!(names.map(String::len).sum::<usize>() <= MOST_TEXT);
    if !facts.is_64_bit_little_endian {
        assert!(facts.needed.is_empty() && facts.versions_needed.is_empty());
    }
    let stored = serde_json::to_vec(facts).expect("facts have a form");
    assert_eq!(&serde_json::from_slice::<ElfFacts>(&stored).expect("they are read back"), facts);
}
