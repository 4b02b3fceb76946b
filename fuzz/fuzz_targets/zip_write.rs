//! The zip writer on any files.
//!
//! Laws: what is read back is what was written; the length is known beforehand; the same files give
//! the same bytes; a path that the reader accepts in one archive, it accepts in every one.

#![no_main]

use std::collections::BTreeMap;

use layercake_core::zip::{
    Archive, EntryHeader, FileMode, Packing, ReadLimits, ZipWriter, checksum, clean_path, deflate_as,
    inflate, verify, zip_len,
};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};

#[derive(Arbitrary, Debug)]
struct Input {
    files: BTreeMap<String, File>,
}

#[derive(Arbitrary, Debug)]
struct File {
    is_executable: bool,
    is_hard: bool,
    repeated: u8,
    bytes: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let files: Vec<_> = input
        .files
        .iter()
        .map(|(path, file)| {
            let mode = if file.is_executable { FileMode::Executable } else { FileMode::Regular };
            let bytes = file.bytes.repeat(1 + usize::from(file.repeated));
            let packing = if file.is_hard { Packing::Hard } else { Packing::Normal };
            let (method, packed) = deflate_as(&bytes, packing);
            (path.as_str(), mode, method, packed, bytes)
        })
        .collect();
    let written = || {
        let mut writer = ZipWriter::new(Vec::new());
        for (path, mode, method, packed, bytes) in &files {
            let header = EntryHeader {
                path,
                method: *method,
                crc32: checksum(bytes),
                size: bytes.len() as u64,
                packed_size: packed.len() as u64,
                mode: *mode,
            };
            writer.file(&header, packed).ok()?;
        }
        writer.finish().ok()
    };
    let Some((zip, length)) = written() else { return };
    assert_eq!(written().map(|(again, _)| again).as_ref(), Some(&zip));
    assert_eq!(length, zip.len() as u64);
    let sizes = files.iter().map(|(path, _, _, packed, _)| (path.len(), packed.len() as u64));
    assert_eq!(zip_len(sizes), length);

    let is_below =
        |path: &str| path.match_indices('/').any(|(end, _)| input.files.contains_key(&path[..end]));
    let is_readable =
        files.iter().all(|(path, ..)| clean_path(path.as_bytes()).as_deref() == Ok(*path) && !is_below(path));
    match Archive::read(&zip, &ReadLimits::WHEEL) {
        Ok(archive) => {
            assert_eq!(archive.entries.len(), files.len());
            for (entry, (path, mode, method, _, bytes)) in archive.entries.iter().zip(&files) {
                assert_eq!(entry.path, path.strip_suffix('/').unwrap_or(path));
                assert_eq!((FileMode::from_permissions(entry.permissions), entry.method), (*mode, *method));
                assert_eq!(verify(&zip, entry), Ok(()));
                assert_eq!(inflate(&zip, entry).as_ref(), Ok(bytes));
            }
        }
        Err(error) => assert!(!is_readable, "{error}"),
    }
});
