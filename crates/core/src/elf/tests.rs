//! Reading and stripping, on the sample library and on what became of it.

use std::{collections::BTreeMap, fmt::Write as _};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{sample::Sample, *};

/// What reading says, in lines.
fn facts(bytes: &[u8]) -> String {
    let facts = match read(bytes) {
        Ok(Some(facts)) => facts,
        Ok(None) => return "no ELF file".to_owned(),
        Err(error) => return error.to_string(),
    };
    let kind = if facts.is_program { "program" } else { "library" };
    let mut text = format!("{kind} for machine {}, soname {:?}\n", facts.machine, facts.soname);
    let _ = writeln!(text, "needed {:?}\nrun paths {:?}", facts.needed, facts.run_paths);
    for (library, versions) in &facts.versions_needed {
        let _ = writeln!(text, "{library}: {versions:?}");
    }
    text
}

fn number<const LENGTH: usize>(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + LENGTH].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What a loader that knows nothing of our reader would have in memory: address → bytes, without
/// those that say where the tables are. Panics when a segment is out of the file or its page.
fn memory(bytes: &[u8]) -> BTreeMap<(usize, u64), Vec<u8>> {
    let table = number::<8>(bytes, 32) as usize;
    let count = number::<2>(bytes, 56) as usize;
    let mut file = bytes.to_vec();
    file[32..48].fill(0);
    file[60..64].fill(0);
    for index in 0..count {
        file[table + index * 56 + 8..][..8].fill(0);
    }
    let mut memory = BTreeMap::new();
    for index in 0..count {
        let [kind, offset, address, _, size, _, alignment] =
            [0, 8, 16, 24, 32, 40, 48].map(|field| number::<8>(bytes, table + index * 56 + field));
        if kind as u32 == 1 {
            assert_eq!(offset % alignment.max(1), address % alignment.max(1), "congruent");
        }
        if size > 0 {
            memory.insert((index, address), file[offset as usize..][..size as usize].to_vec());
        }
    }
    memory
}

/// Strips, and holds the result against the laws. The answer is the gain, or why there is none.
fn check(bytes: &[u8]) -> String {
    match strip(bytes.to_vec()) {
        Ok(Stripped::NothingToGain) => "nothing to gain".to_owned(),
        Ok(Stripped::Smaller(stripped)) => {
            assert!(stripped.len() < bytes.len());
            assert_eq!(memory(&stripped), memory(bytes));
            assert_eq!(read(&stripped), read(bytes));
            assert_eq!(strip(stripped.clone()), Ok(Stripped::NothingToGain), "once is enough");
            format!("{} bytes less", bytes.len() - stripped.len())
        }
        Err(error) => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// The sample with some bytes of its file replaced.
fn patched(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = Sample::default().build();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// The sample with a field of one of its sections replaced.
fn with_section(index: usize, field: usize, value: &[u8]) -> Vec<u8> {
    let table = number::<8>(&Sample::default().build(), 40) as usize;
    patched(table + index * 64 + field, value)
}

/// The sample with a field of one of its program headers replaced.
fn with_segment(index: usize, field: usize, value: &[u8]) -> Vec<u8> {
    patched(0x40 + index * 56 + field, value)
}

/// The names of the sections, by index.
fn section_names(bytes: &[u8]) -> Vec<String> {
    let table = number::<8>(bytes, 40) as usize;
    let [count, names] = [60, 62].map(|at| number::<2>(bytes, at) as usize);
    let names = number::<8>(bytes, table + names * 64 + 24) as usize;
    let name = |index| {
        let start = names + number::<4>(bytes, table + index * 64) as usize;
        bytes[start..].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
    };
    (0..count).map(name).collect()
}

#[test]
fn facts_of_a_library() {
    assert_snapshot!(facts(&Sample::default().build()), @r#"
    library for machine 62, soname Some("libsample.so.1")
    needed ["libm.so.6", "libc.so.6"]
    run paths ["$ORIGIN/../sample.libs", "$ORIGIN"]
    libc.so.6: {"GLIBC_2.14", "GLIBC_2.2.5"}
    libm.so.6: {"GLIBC_2.29"}
    "#);
}

#[test]
fn a_library_without_a_section_table_is_read_as_well() {
    let whole = Sample::default().build();
    let mut bytes = patched(40, &[0; 8]);
    bytes[60..64].fill(0);
    assert_eq!(read(&bytes), read(&whole));
}

#[test]
fn what_is_no_library_for_lambda() {
    assert_snapshot!(facts(b"import numpy\n"), @"no ELF file");
    assert_snapshot!(facts(b"\x7fELF\x02\x01"), @"this is not a whole ELF file: the ELF header lies beyond its end");
    assert_snapshot!(facts(&patched(4, &[9])), @"this is not a readable ELF file: its class or byte order is none that ELF knows");
    assert_snapshot!(check(b"import numpy\n"), @"not stripped: this is no ELF file, not a shared library for Lambda's processors");
    // Class and byte order of a 32-bit and of a big-endian file; of those only the machine is read.
    assert_snapshot!(facts(&patched(4, &[1])), @r"
    library for machine 62, soname None
    needed []
    run paths []
    ");
    assert_snapshot!(facts(&patched(5, &[2])), @r"
    library for machine 15872, soname None
    needed []
    run paths []
    ");
    assert_snapshot!(check(&patched(4, &[1])), @"not stripped: this is an ELF file for another kind of processor, not a shared library for Lambda's processors");
    assert_snapshot!(check(&patched(16, &[2])), @"not stripped: this is a program or an object file, not a shared library for Lambda's processors");
}

#[test]
fn a_program_is_told_from_a_library_and_left_alone() {
    let bytes = Sample { segment: Some([3, 0x400, 0x400, 16, 1]), ..Sample::default() }.build();
    assert!(facts(&bytes).starts_with("program for machine 62"));
    assert_snapshot!(check(&bytes), @"not stripped: this is a program, not a shared library for Lambda's processors");
}

#[test]
fn weak_versions_are_not_asked_for() {
    let whole = Sample::default().build();
    // The versions of the sample follow its names at a multiple of 16: the first record is libm's.
    let table = number::<8>(&whole, 40) as usize;
    let versions = number::<8>(&whole, table + 2 * 64 + 24) as usize;
    assert_snapshot!(facts(&patched(versions + 16 + 4, &[2])), @r#"
    library for machine 62, soname Some("libsample.so.1")
    needed ["libm.so.6", "libc.so.6"]
    run paths ["$ORIGIN/../sample.libs", "$ORIGIN"]
    libc.so.6: {"GLIBC_2.14", "GLIBC_2.2.5"}
    "#);
}

#[test]
fn damage_is_named() {
    let whole = Sample::default().build();
    let table = number::<8>(&whole, 40) as usize;
    let [names, versions, dynamic] =
        [1, 2, 3].map(|index| number::<8>(&whole, table + index * 64 + 24) as usize);
    assert_snapshot!(facts(&whole[..0x600]), @"this is not a whole ELF file: a segment lies beyond its end");
    assert_snapshot!(facts(&patched(32, &u64::MAX.to_le_bytes())), @"this is not a whole ELF file: the program header table lies beyond its end");
    assert_snapshot!(facts(&patched(54, &[32])), @"this is not a readable ELF file: its program headers have an unknown length");
    assert_snapshot!(facts(&patched(56, &[0xff, 0xff])), @"this is not a readable ELF file: it has more program headers than the loader reads");
    assert_snapshot!(facts(&with_segment(2, 16, &u64::MAX.to_le_bytes())), @"this is not a readable ELF file: the dynamic section lies outside of what is loaded");
    // The value of the first entry of the dynamic section: a name.
    assert_snapshot!(facts(&patched(dynamic + 8, &u64::MAX.to_le_bytes())), @"this is not a readable ELF file: a name is out of the table of names, or has no end");
    assert_snapshot!(facts(&patched(versions, &[7])), @"this is not a readable ELF file: its list of versions needed has an unknown form");
    assert_snapshot!(facts(&patched(versions + 12, &u32::MAX.to_le_bytes())), @"this is not a readable ELF file: part of the list of versions needed lies outside of what is loaded");
    // A record whose list of versions leads through the names.
    let list =
        facts(&patched(versions + 16 + 12, &((names as u32).wrapping_sub(versions as u32)).to_le_bytes()));
    assert_snapshot!(list, @"this is not a readable ELF file: part of the list of versions needed lies outside of what is loaded");
}

#[test]
fn many_names_of_one_long_text_do_not_fill_the_memory() {
    const LONG: &str = match std::str::from_utf8(&[b'x'; 40_000]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let bytes = Sample { needed: &[LONG; 30], ..Sample::default() }.build();
    assert_snapshot!(facts(&bytes), @"this is not a readable ELF file: a name is out of the table of names, or has no end");
}

#[test]
fn symbols_and_debug_sections_go() {
    let bytes = Sample::default().build();
    assert_snapshot!(check(&bytes), @"20512 bytes less");
    let Ok(Stripped::Smaller(stripped)) = strip(bytes.clone()) else { panic!("it is stripped") };
    assert_snapshot!(section_names(&bytes).join(" "), @" .dynstr .gnu.version_r .dynamic .bss .comment .debug_info .symtab .note.appended .shstrtab");
    assert_snapshot!(section_names(&stripped).join(" "), @" .dynstr .gnu.version_r .dynamic .bss    .note.appended .shstrtab");
}

#[test]
fn the_gap_before_an_appended_segment_closes_by_pages_whatever_the_first_segments_claim() {
    let with = |alignment, debug| check(&Sample { alignment, debug, ..Sample::default() }.build());
    let of_all = |debug| [0x1000, 0x1_0000, 0x20_0000].map(|alignment| with(alignment, debug)).join(", ");
    assert_snapshot!(of_all(0x1_0000), @"65568 bytes less, 65568 bytes less, 65568 bytes less");
    // What is less than a page stays as a gap; only the names of the sections are gained.
    assert_snapshot!(of_all(0x100), @"32 bytes less, 32 bytes less, 32 bytes less");
}

#[test]
fn without_an_appended_segment_the_end_is_cut_off() {
    assert_snapshot!(check(&Sample { appended: false, ..Sample::default() }.build()), @"20816 bytes less");
}

#[test]
fn unknown_sections_that_are_not_loaded_are_kept() {
    const PAYLOAD: &[(&str, u32, &[u8])] = &[(".payload", 1, b"read by the library itself")];
    let bytes = Sample { extra: PAYLOAD, ..Sample::default() }.build();
    let Ok(Stripped::Smaller(stripped)) = strip(bytes.clone()) else { panic!("it is stripped") };
    assert!(section_names(&stripped).contains(&".payload".to_owned()));
    assert!(stripped.windows(26).any(|window| window == PAYLOAD[0].2));
    assert_eq!(memory(&stripped), memory(&bytes));
}

#[test]
fn an_empty_segment_keeps_the_page_it_begins_in() {
    let whole = Sample::default().build();
    let table = number::<8>(&whole, 40) as usize;
    // In the middle of the debug section, behind which a loader would find the end of the file.
    let inside = number::<8>(&whole, table + 6 * 64 + 24) + 0x2345;
    let segment = Some([1, inside, 0x70_0000 + inside, 0, 0x1000]);
    let bytes = Sample { segment, appended: false, ..Sample::default() }.build();
    let Ok(Stripped::Smaller(stripped)) = strip(bytes.clone()) else { panic!("it is stripped") };
    let offset = number::<8>(&stripped, 0x40 + 4 * 56 + 8) as usize;
    assert_eq!(offset % 0x1000, inside as usize % 0x1000);
    let page = offset / 0x1000 * 0x1000;
    assert_eq!(stripped[page..offset], bytes[inside as usize / 0x1000 * 0x1000..inside as usize]);
}

#[test]
fn what_is_unusual_is_left_alone() {
    let far = (1_u64 << 60).to_le_bytes();
    let max = u64::MAX.to_le_bytes();
    let mut appended = Sample::default().build();
    appended.extend_from_slice(b"PK a zip that the library reads");
    let cases = [
        ("header length", patched(52, &[63])),
        ("no sections", patched(60, &[0, 0])),
        ("section header length", patched(58, &[63])),
        ("section table far away", patched(40, &far)),
        ("extended numbering", patched(62, &[0xff, 0xff])),
        ("no such section of names", patched(62, &[200, 0])),
        ("names in a section without bytes", patched(62, &[4, 0])),
        ("names beyond the end", with_section(9, 24, &max)),
        ("one name beyond the table", with_section(3, 0, &[0xff, 0xff, 0xff, 0x7f])),
        ("loaded section beyond the end", with_section(3, 32, &max)),
        ("segment beyond the end", with_segment(1, 32, &far)),
        ("described segment beyond the end", with_segment(5, 32, &far)),
        ("alignment 3", with_segment(3, 48, &[3])),
        ("incongruent", with_segment(4, 16, &[0x41])),
        ("table in the header", patched(32, &[0x30])),
        ("section in the table", with_section(1, 24, &[0x50, 0])),
        ("segment in the header", with_segment(5, 8, &[0; 8])),
        ("bytes behind the end", appended),
    ];
    let answers: Vec<_> = cases.iter().map(|(case, bytes)| format!("{case}: {}", check(bytes))).collect();
    assert_snapshot!(answers.join("\n"), @r"
    header length: not stripped, to be safe: its ELF header has an unknown length
    no sections: not stripped, to be safe: it has no section header table, or a very long one
    section header length: not stripped: its headers cannot be read: this is not a readable ELF file: its section headers have an unknown length
    section table far away: not stripped: its headers cannot be read: this is not a whole ELF file: the section header table lies beyond its end
    extended numbering: not stripped, to be safe: the names of its sections are in no section
    no such section of names: not stripped, to be safe: the names of its sections are in no section
    names in a section without bytes: not stripped, to be safe: a section's name cannot be read
    names beyond the end: not stripped, to be safe: the names of its sections lie beyond its end
    one name beyond the table: not stripped, to be safe: a section's name cannot be read
    loaded section beyond the end: not stripped, to be safe: a segment or section lies beyond its end
    segment beyond the end: not stripped: its headers cannot be read: this is not a whole ELF file: a segment lies beyond its end
    described segment beyond the end: not stripped, to be safe: a segment or section lies beyond its end
    alignment 3: not stripped, to be safe: a segment's alignment is no power of two
    incongruent: not stripped, to be safe: a segment's offset and address are not congruent
    table in the header: not stripped, to be safe: its headers overlap
    section in the table: not stripped, to be safe: a segment or section lies in its headers
    segment in the header: not stripped, to be safe: a segment or section lies in its headers
    bytes behind the end: not stripped, to be safe: bytes that no header names follow its end
    ");
}

#[test]
fn the_check_of_the_result_notices_what_the_plan_does_not_know() {
    let whole = Sample::default().build();
    let table = number::<8>(&whole, 40) as usize;
    let dynamic = number::<8>(&whole, table + 3 * 64 + 24) as usize;
    // The table of names is said to be the ELF header, and the run path what stands at `e_shoff`,
    // which is rewritten.
    let mut bytes = patched(dynamic + 4 * 16 + 8, &[0; 8]);
    bytes[dynamic + 3 * 16 + 8] = 40;
    assert_snapshot!(check(&bytes), @"not stripped: the result failed its check, since what it needs of the system would not be the same");
}

/// Changes of the sample: most of them in the headers, where they matter.
fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let end = Sample::default().build().len();
    let tables = number::<8>(&Sample::default().build(), 40) as usize;
    let place = prop_oneof![4 => 0..0x200_usize, 4 => tables..end, 3 => 0x400..0x700_usize, 1 => 0..end];
    let value = prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff)];
    proptest::collection::vec((place, value), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_change_makes_it_panic_or_break_the_laws(changes in changes(), length in proptest::option::of(0..0x8000_usize)) {
        let mut bytes = Sample::default().build();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(length.unwrap_or(usize::MAX));
        check(&bytes);
    }

    #[test]
    fn every_sample_is_stripped(debug in 0x2000..0x9000_usize, appended: bool, alignment in 12..22_u32) {
        let bytes = Sample { debug, appended, alignment: 1 << alignment, ..Sample::default() }.build();
        prop_assert!(check(&bytes).ends_with("bytes less"));
    }
}
