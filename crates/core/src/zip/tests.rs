use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

/// An archive of these files, as layercake writes it.
fn archive(files: &[(&str, FileMode, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Vec::new());
    for (path, mode, bytes) in files {
        writer.file_from_bytes(path, *mode, bytes).expect("a small archive is written to memory");
    }
    let (bytes, size) = writer.finish().expect("a small archive is finished in memory");
    assert_eq!(bytes.len() as u64, size);
    bytes
}

fn one(path: &str, bytes: &[u8]) -> Vec<u8> {
    archive(&[(path, FileMode::Regular, bytes)])
}

/// Reads and verifies; the answer is the listing or the refusal.
fn check(bytes: &[u8]) -> String {
    let limits = ReadLimits { unpacked_bytes: 1 << 20, entries: 100, symlinks: false };
    let archive = match (Archive::read(bytes, &limits), Archive::read_from(bytes, &limits)) {
        (Ok(archive), Ok(same)) => {
            assert_eq!(archive, same);
            archive
        }
        (Err(error), Err(ReadError::Zip(same))) => {
            assert_eq!(error, same);
            return error.to_string();
        }
        (one, other) => panic!("in memory {one:?}, else {other:?}"),
    };
    let mut unpacker = Unpacker::new(bytes);
    let mut lines = Vec::new();
    for entry in &archive.entries {
        let mut unpacked = Vec::new();
        let streamed = unpacker.unpack(entry, &mut |piece| {
            unpacked.extend_from_slice(piece);
            Ok(())
        });
        assert!(unpacked.len() as u64 <= entry.size);
        match (inflate(bytes, entry), streamed) {
            (Ok(whole), Ok(())) => assert_eq!(whole, unpacked),
            (Err(error), Err(ReadError::Zip(same))) => assert_eq!(error, same),
            (one, other) => panic!("in memory {one:?}, else {other:?}"),
        }
        match verify(bytes, entry) {
            Ok(()) => lines.push(format!("{} {:o} {} bytes", entry.path, entry.permissions, entry.size)),
            Err(error) => return error.to_string(),
        }
    }
    lines.join("\n")
}

/// The archive with every occurrence of one byte string replaced by another of the same length.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at: Vec<_> = (0..=bytes.len() - from.len()).filter(|&i| bytes[i..].starts_with(from)).collect();
    assert!(!at.is_empty(), "the bytes to patch are there");
    for i in at {
        bytes[i..i + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = archive(&[
        ("python/a.py", FileMode::Regular, b"print()\n"),
        ("python/b.so", FileMode::Executable, &[7; 5000]),
        ("python/empty", FileMode::Regular, b""),
    ]);
    assert_snapshot!(check(&bytes), @r"
    python/a.py 644 8 bytes
    python/b.so 755 5000 bytes
    python/empty 644 0 bytes
    ");
}

#[test]
fn unsafe_paths_are_refused_by_name() {
    let long = "x".repeat(256);
    for path in
        ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a\\b", "C:x", "a\nb", long.as_str(), "/"]
    {
        let answer = check(&one(path, b"x"));
        assert!(answer.contains("unsafe path"), "{path:?}: {answer}");
    }
    assert_snapshot!(check(&one("a/../../up", b"x")), @"entry `a/../../up` has an unsafe path: it has the part `..`");
    assert_snapshot!(check(&patched(one("ab", b"x"), b"ab", b"\xff\xfe")), @"entry `��` has an unsafe path: it is not UTF-8");
}

#[test]
fn duplicates_and_file_under_file_are_refused() {
    assert_snapshot!(
        check(&archive(&[("a", FileMode::Regular, b"1"), ("a", FileMode::Regular, b"2")])),
        @"entry `a` occurs twice, or as a file and as a folder"
    );
    assert_snapshot!(
        check(&archive(&[("a", FileMode::Regular, b"1"), ("a/b", FileMode::Regular, b"2")])),
        @"entry `a` occurs twice, or as a file and as a folder"
    );
}

#[test]
fn links_and_devices_are_refused() {
    let link = patched(
        one("a", b"/etc"),
        &(0o100_644_u32 << 16).to_le_bytes(),
        &(0o120_777_u32 << 16).to_le_bytes(),
    );
    assert_snapshot!(check(&link), @"entry `a` is a symbolic link");
    let device =
        patched(one("a", b""), &(0o100_644_u32 << 16).to_le_bytes(), &(0o020_644_u32 << 16).to_le_bytes());
    assert_snapshot!(check(&device), @"entry `a` is neither file, folder nor link (mode 20644)");
}

#[test]
fn damage_and_lies_are_found() {
    let crc = crc32fast::hash(b"hello").to_le_bytes();
    assert_snapshot!(check(&patched(one("a", b"hello"), &crc, &[0; 4])), @"entry `a` is damaged: CRC-32 is 3610a686, the header says 00000000");
    let sizes = |n: u32| [n.to_le_bytes(), n.to_le_bytes()].concat();
    assert_snapshot!(
        check(&patched(one("a", b"hello"), &sizes(5), &[5_u32.to_le_bytes(), 6_u32.to_le_bytes()].concat())),
        @"entry `a` says it has 6 bytes, but its data does not unpack to that size"
    );
    let text = vec![b'x'; 5000];
    let size = 5000_u32.to_le_bytes();
    assert_snapshot!(
        check(&patched(one("a", &text), &size, &4999_u32.to_le_bytes())),
        @"entry `a` says it has 4999 bytes, but its data does not unpack to that size"
    );
    assert_snapshot!(
        check(&patched(one("a", &text), &size, &900_000_u32.to_le_bytes())),
        @"entry `a` claims 900000 bytes; at most 22704 are possible, so this is taken for a zip bomb"
    );
    assert!(check(b"not a zip").starts_with("this is not a readable zip archive"));
    let whole = one("a", b"hello");
    assert!(check(&whole[..whole.len() - 10]).starts_with("this is not a readable zip archive"));
}

#[test]
fn too_much_is_refused() {
    assert_snapshot!(check(&one("big", &vec![0; 1_100_000])), @"the archive claims 1100000 bytes; at most 1048576 are possible, so this is taken for a zip bomb");
    let names: Vec<_> = (0..101).map(|i| format!("f{i}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), FileMode::Regular, &b"x"[..])).collect();
    assert_snapshot!(check(&archive(&files)), @"the number of entries claims 101 bytes; at most 100 are possible, so this is taken for a zip bomb");
}

#[test]
fn data_behind_a_folders_name_are_not_counted() {
    let mut writer = ZipWriter::new(Vec::new());
    for (path, data) in [("folder/", &b"no file"[..]), ("file", b"text")] {
        let header = EntryHeader {
            path,
            method: Method::Stored,
            crc32: checksum(data),
            size: data.len() as u64,
            packed_size: data.len() as u64,
            mode: FileMode::Regular,
        };
        writer.file(&header, data).expect("the writer looks at no name");
    }
    let (bytes, _) = writer.finish().expect("it is finished in memory");
    let archive = Archive::read(&bytes, &ReadLimits::WHEEL).expect("it is an archive");
    assert_eq!((archive.entries.len(), archive.unpacked_size()), (2, 4));
}

#[test]
fn a_wheel_may_claim_its_limits_and_no_more() {
    // DEFLATE gives 1032 bytes for one at best, so each claim needs this much behind it.
    let data = vec![0; (2_u64 << 30).div_ceil(1032) as usize];
    let claiming = |sizes: [u64; 2]| {
        let mut writer = ZipWriter::new(Vec::new());
        for (path, size) in ["a", "b"].into_iter().zip(sizes) {
            let method = Method::Deflated;
            let packed_size = data.len() as u64;
            let header = EntryHeader { path, method, crc32: 0, size, packed_size, mode: FileMode::Regular };
            writer.file(&header, &data).expect("a header may claim anything");
        }
        let (bytes, _) = writer.finish().expect("it is finished in memory");
        Archive::read(&bytes, &ReadLimits::WHEEL).map(|archive| archive.unpacked_size())
    };
    assert_eq!(claiming([2 << 30, 2 << 30]), Ok(4 << 30));
    assert_snapshot!(
        claiming([2 << 30, (2 << 30) + 1]).expect_err("it is one byte more"),
        @"the archive claims 4294967297 bytes; at most 4294967296 are possible, so this is taken for a zip bomb"
    );
    let limit = ReadLimits::WHEEL.entries as usize;
    assert_eq!(limit, 200_000);
    let read = |count| Archive::read(&many(count), &ReadLimits::WHEEL).map(|archive| archive.entries.len());
    assert_eq!(read(limit), Ok(limit));
    assert_snapshot!(read(limit + 1).expect_err("it is one entry more"), @"the number of entries claims 200001 bytes; at most 200000 are possible, so this is taken for a zip bomb");
}

/// An archive of so many empty files, more than a zip without ZIP64 can count: the number at its end
/// has lost its high bits, and the directory is as long as it says.
fn many(count: usize) -> Vec<u8> {
    let one = one("f000000", b"");
    let (local, directory) = one.split_at(30 + 7);
    let (record, end) = directory.split_at(46 + 7);
    let mut bytes = local.to_vec();
    for number in 0..count {
        bytes.extend(patched(record.to_vec(), b"f000000", format!("f{number:06}").as_bytes()));
    }
    let size = ((count * record.len()) as u32).to_le_bytes();
    let count = (count as u16).to_le_bytes();
    bytes.extend(&end[..8]);
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend(size);
    bytes.extend(&end[16..]);
    bytes
}

#[test]
fn the_beginning_of_an_entry_can_be_had_alone() {
    let bytes = archive(&[("a", FileMode::Regular, &[7; 5000]), ("b", FileMode::Regular, b"hello")]);
    let read = Archive::read(&bytes, &ReadLimits::WHEEL).expect("our own archive is readable");
    let start = |entry: usize, most| inflate_start(&bytes, &read.entries[entry], most);
    assert_eq!(start(0, 8), Ok(vec![7; 8]));
    assert_eq!(start(0, 5000), Ok(vec![7; 5000]));
    assert_eq!(start(1, 2), Ok(b"he".to_vec()));
}

#[test]
fn entries_that_share_bytes_are_refused() {
    // Two directory records that point at the same local entry.
    let bytes = archive(&[("a", FileMode::Regular, b"hello"), ("b", FileMode::Regular, b"hello")]);
    let offset_of_b = 30 + 1 + 5_u32;
    let pointer = |offset: u32| [&offset.to_le_bytes()[..], b"b"].concat();
    let answer = check(&patched(bytes, &pointer(offset_of_b), &pointer(0)));
    assert!(answer.contains("overlaps") || answer.contains("not a readable zip"), "{answer}");
}

/// Data that is too large to be unpacked in one go, of the kind that packs well and of the kind that
/// does not.
fn large(random: bool) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..5_000_001_u32)
        .map(|number| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if random { state as u8 } else { (number / 1000) as u8 ^ (state & 3) as u8 }
        })
        .collect()
}

#[test]
fn large_entries_go_through_windows() {
    let limits = ReadLimits::WHEEL;
    for random in [false, true] {
        let content = large(random);
        let good = one("a", &content);
        let read = Archive::read_from(good.as_slice(), &limits).expect("our own archive is readable");
        let unpack = |bytes: &[u8], entry: &Entry| {
            let mut unpacked = Vec::new();
            let outcome = Unpacker::new(bytes).unpack(entry, &mut |piece| {
                unpacked.extend_from_slice(piece);
                Ok(())
            });
            (outcome.map_err(|error| error.to_string()), unpacked)
        };
        let entry = &read.entries[0];
        assert_eq!(unpack(&good, entry), (Ok(()), content.clone()));
        for (what, changed) in [
            ("shorter", Entry { size: entry.size - 1, ..entry.clone() }),
            ("longer", Entry { size: entry.size + 1, ..entry.clone() }),
            ("another checksum", Entry { crc32: !entry.crc32, ..entry.clone() }),
            ("cut off", Entry { data: entry.data.start..entry.data.end - 100, ..entry.clone() }),
            ("empty", Entry { data: 0..0, ..entry.clone() }),
        ] {
            let (outcome, unpacked) = unpack(&good, &changed);
            let whole = verify(&good, &changed).map_err(|error| error.to_string());
            assert_eq!(outcome, whole, "{what}");
            assert!(outcome.is_err() && unpacked.len() as u64 <= changed.size, "{what}");
        }
    }
}

/// A source that ends or fails before its time.
struct Broken<'a>(&'a [u8], std::io::ErrorKind);

impl ReadAt for Broken<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
        Err(self.1.into())
    }
}

#[test]
fn faults_of_the_disk_are_not_faults_of_the_archive() {
    let bytes = one("a", b"hello");
    let broken = Broken(&bytes, std::io::ErrorKind::PermissionDenied);
    let error = Archive::read_from(&broken, &ReadLimits::WHEEL).expect_err("it cannot be read");
    assert!(matches!(error, ReadError::Read { .. }), "{error}");
    let archive = Archive::read(&bytes, &ReadLimits::WHEEL).expect("our own archive is readable");
    let error = Unpacker::new(&broken).verify(&archive.entries[0]).expect_err("it cannot be read");
    assert!(matches!(error, ReadError::Read { .. }), "{error}");
    let mut full = |_: &[u8]| Err(std::io::ErrorKind::StorageFull.into());
    let error = Unpacker::new(bytes.as_slice()).unpack(&archive.entries[0], &mut full).expect_err("full");
    assert!(matches!(error, ReadError::Write { .. }), "{error}");
}

proptest! {
    #[test]
    fn the_length_is_known_beforehand(files in proptest::collection::btree_map("[a-z]{1,20}", proptest::collection::vec(any::<u8>(), 0..2000), 0..20)) {
        let listed: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), FileMode::Regular, bytes.as_slice())).collect();
        let bytes = archive(&listed);
        let sizes = files.iter().map(|(path, bytes)| (path.len(), deflate(bytes).1.len() as u64));
        prop_assert_eq!(zip_len(sizes), bytes.len() as u64);
        let read = Archive::read(&bytes, &ReadLimits::WHEEL).expect("our own archive is readable");
        for (entry, (path, content)) in read.entries.iter().zip(&files) {
            prop_assert_eq!(&entry.path, path);
            prop_assert_eq!(&inflate(&bytes, entry).expect("our own entry unpacks"), content);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(at in 0_usize..200, value in any::<u8>()) {
        let mut bytes = archive(&[("a/b.py", FileMode::Regular, b"hello hello hello"), ("c", FileMode::Executable, &[1; 300])]);
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = check(&bytes);
    }
}
