//! The zip reader on any bytes.
//!
//! Laws: what is accepted has safe paths, each once, and data that lie in the archive and do not
//! overlap; `verify` says the same as `inflate`, and so does unpacking in pieces what was read in
//! pieces; the beginning of an entry is its beginning; a file that verifies can be copied into an
//! archive of ours without unpacking it; looking through never panics.

#![no_main]

use std::collections::BTreeSet;

use layercake_core::{
    cached_wheel::CachedWheel,
    contents::Contents,
    wheel::{WheelFacts, check_wheel},
    zip::{
        Archive, Entry, EntryHeader, EntryKind, FileMode, ReadLimits, Unpacker, ZipWriter, checksum,
        clean_path, inflate, inflate_start, verify,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = ReadLimits { symlinks: true, ..ReadLimits::WHEEL };
    let in_pieces = Archive::read_from(bytes, &limits);
    let Ok(archive) = Archive::read(bytes, &limits) else {
        assert!(in_pieces.is_err());
        return;
    };
    assert_eq!(in_pieces.ok().as_ref(), Some(&archive));
    let mut unpacker = Unpacker::new(bytes);
    let mut paths = BTreeSet::new();
    let mut ranges = Vec::new();
    let mut writer = ZipWriter::new(Vec::new());
    let mut copied = Vec::new();
    for entry in &archive.entries {
        assert_eq!(clean_path(entry.path.as_bytes()).as_deref(), Ok(entry.path.as_str()));
        assert!(paths.insert(&entry.path) || entry.kind == EntryKind::Folder);
        assert!(entry.data.start <= entry.data.end && entry.data.end <= bytes.len());
        assert!(entry.size <= limits.unpacked_bytes);
        if !entry.data.is_empty() {
            ranges.push(entry.data.clone());
        }
        let whole = inflate(bytes, entry);
        assert_eq!(verify(bytes, entry).as_ref(), whole.as_ref().map(|_| &()));
        let mut unpacked = Vec::new();
        let outcome = unpacker.unpack(entry, &mut |piece| {
            unpacked.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!(outcome.is_ok(), whole.is_ok());
        assert!(unpacked.len() as u64 <= entry.size);
        if let Ok(whole) = &whole {
            assert_eq!((whole.len() as u64, checksum(whole)), (entry.size, entry.crc32));
            assert_eq!(&unpacked, whole);
            for most in [0, 4, entry.size / 2, entry.size] {
                let start = &whole[..whole.len().min(most as usize)];
                assert_eq!(inflate_start(bytes, entry, most).as_deref(), Ok(start));
            }
            if entry.kind == EntryKind::File {
                let header = EntryHeader {
                    path: &entry.path,
                    method: entry.method,
                    crc32: entry.crc32,
                    size: entry.size,
                    packed_size: entry.data.len() as u64,
                    mode: FileMode::from_permissions(entry.permissions),
                };
                writer.file(&header, &bytes[entry.data.clone()]).expect("it is small");
                copied.push((entry.path.clone(), entry.size, entry.crc32, whole.clone()));
            }
        }
    }
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));

    let (ours, _) = writer.finish().expect("it is small");
    let again = Archive::read(&ours, &ReadLimits::WHEEL).expect("our own archive is readable");
    let again = again.entries.iter().map(|entry| {
        (entry.path.clone(), entry.size, entry.crc32, inflate(&ours, entry).expect("it was good before"))
    });
    assert_eq!(again.collect::<Vec<_>>(), copied);

    // Data that do not verify are looked at as if they were empty, to get on.
    let read = |entry: &Entry, most: u64| Ok::<_, ()>(inflate_start(bytes, entry, most).unwrap_or_default());
    let contents = Contents::collect(&archive, read).expect("reading does not fail");
    assert_eq!(contents.files.len(), archive.entries.len());
    assert_eq!(contents.unpacked_size(), archive.unpacked_size());
    let _ = check_wheel(&archive);
    let facts = WheelFacts::collect(&archive, read).expect("reading does not fail");
    let cached = CachedWheel::new(bytes.len() as u64, archive, facts);
    assert_eq!(CachedWheel::from_json(&cached.to_json().expect("it has a form")), Some(cached));
});
