//! The stripper on a small library whose headers are changed field by field, which gets further than
//! changing any bytes does.
//!
//! Laws: as in `elf`; and a library that nothing was changed in is stripped.

#![no_main]

use layercake_core::elf::{Stripped, read, strip};
use layercake_fuzz::{loads, stripper_sample};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};

#[derive(Arbitrary, Debug)]
struct Input {
    debug: u16,
    is_appended: bool,
    alignment: u8,
    segment: Option<Segment>,
    changes: Vec<Change>,
}

#[derive(Arbitrary, Debug)]
struct Segment {
    kind: u8,
    offset: u16,
    address: u32,
    size: u16,
    alignment: u8,
}

#[derive(Arbitrary, Debug)]
enum Change {
    /// A field of the ELF header.
    Header(u8, Value),
    /// A field of a program header.
    Segment(u8, u8, Value),
    /// A field of a section header.
    Section(u8, u8, Value),
    /// A word of the names, versions and dynamic section.
    Dynamic(u8, Value),
    /// Any byte.
    Byte(u16, u8),
    /// What follows the end.
    Append(Vec<u8>),
    /// The end.
    Cut(u16),
}

#[derive(Arbitrary, Debug)]
enum Value {
    Byte(u8),
    Half(u16),
    Word(u32),
    Long(u64),
    /// A power of two.
    Power(u8),
    /// The length of the file and some more or less.
    AboutTheEnd(i8),
}

impl Value {
    fn write(&self, bytes: &mut [u8], at: usize) {
        let value = match *self {
            Self::Byte(value) => vec![value],
            Self::Half(value) => value.to_le_bytes().to_vec(),
            Self::Word(value) => value.to_le_bytes().to_vec(),
            Self::Long(value) => value.to_le_bytes().to_vec(),
            Self::Power(value) => (1_u64 << (value % 64)).to_le_bytes().to_vec(),
            Self::AboutTheEnd(more) => (bytes.len() as i64 + i64::from(more)).to_le_bytes().to_vec(),
        };
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(&value);
        }
    }
}

fuzz_target!(|input: Input| {
    let segment = input.segment.as_ref().map(|segment| {
        let alignment = 1_u64 << (segment.alignment % 24);
        let offset = u64::from(segment.offset);
        [segment.kind.into(), offset, u64::from(segment.address), segment.size.into(), alignment]
    });
    let mut bytes = stripper_sample(input.debug, input.is_appended, input.alignment, segment);
    let table = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
    let sections = u16::from_le_bytes([bytes[60], bytes[61]]);
    for change in &input.changes {
        match change {
            Change::Header(at, value) => value.write(&mut bytes, usize::from(*at) % 64),
            Change::Segment(row, at, value) => {
                value.write(&mut bytes, 64 + usize::from(row % 8) * 56 + usize::from(at % 7) * 8);
            }
            Change::Section(row, at, value) => {
                let row = usize::from(u16::from(*row) % sections);
                value.write(&mut bytes, table + row * 64 + usize::from(at % 16) * 4);
            }
            Change::Dynamic(at, value) => value.write(&mut bytes, 0x400 + usize::from(*at) * 4),
            Change::Byte(at, value) => {
                let length = bytes.len();
                if let Some(byte) = bytes.get_mut(usize::from(*at) % length.max(1)) {
                    *byte = *value;
                }
            }
            Change::Append(more) => bytes.extend(more),
            Change::Cut(length) => bytes.truncate(usize::from(*length)),
        }
    }
    match strip(bytes.clone()) {
        Ok(Stripped::Smaller(stripped)) => {
            assert!(stripped.len() < bytes.len());
            assert_eq!(read(&stripped), read(&bytes));
            assert_eq!(loads(&stripped), loads(&bytes));
            assert_eq!(strip(stripped), Ok(Stripped::NothingToGain));
        }
        Ok(Stripped::NothingToGain) => {}
        Err(error) => assert!(!input.changes.is_empty() || segment.is_some(), "{error}"),
    }
});
