//! A zip bomb: an archive of 2 MB whose one entry really unpacks to 2 GB. Alone in its process,
//! because the process' memory is what is measured.

#![cfg(target_os = "linux")]

use std::io::Write as _;

use layercake_core::zip::{
    Archive, EntryHeader, FileMode, Method, ReadLimits, ZipError, ZipWriter, inflate_start, verify,
};

const MEBIBYTE: usize = 1 << 20;
const BOMB_MEBIBYTES: usize = 2048;

/// What checking may take beyond what was there before, in bytes: entries up to 32 MiB are unpacked
/// whole.
const BOUND: u64 = 64 << 20;

/// DEFLATE data of so many mebibytes of zeros, made of the same blocks again and again.
fn zeros(mebibytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; MEBIBYTE]).expect("written to memory");
    // A flush ends the last block at a whole byte.
    encoder.flush().expect("flushed to memory");
    let blocks = encoder.get_ref().clone();
    let mut data = blocks.repeat(mebibytes);
    // An empty last block with fixed codes.
    data.extend([0x03, 0x00]);
    data
}

fn bomb(data: &[u8], size: u64, crc32: u32) -> Vec<u8> {
    let mut writer = ZipWriter::new(Vec::new());
    let header = EntryHeader {
        path: "bomb",
        method: Method::Deflated,
        crc32,
        size,
        packed_size: data.len() as u64,
        mode: FileMode::Regular,
    };
    writer.file(&header, data).expect("a header may claim anything");
    writer.finish().expect("it is finished in memory").0
}

/// The most memory that this process ever had, in bytes.
#[expect(clippy::disallowed_methods, reason = "the kernel tells a process' memory in a file")]
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is listed");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

#[test]
fn two_gigabytes_are_read_and_verified_in_little_memory() {
    let size = (BOMB_MEBIBYTES * MEBIBYTE) as u64;
    let data = zeros(BOMB_MEBIBYTES);
    assert!(data.len() < 3 * MEBIBYTE, "it is a bomb: {} bytes", data.len());
    let mut crc = crc32fast::Hasher::new();
    let part = vec![0; MEBIBYTE];
    (0..BOMB_MEBIBYTES).for_each(|_| crc.update(&part));
    let crc = crc.finalize();
    let sound = bomb(&data, size, crc);
    let wrong = bomb(&data, size, !crc);
    let longer = bomb(&data, size + 1, crc);
    let shorter = bomb(&data, size - 1, crc);
    let before = peak_memory();

    let verified = |bytes: &[u8]| {
        let archive = Archive::read(bytes, &ReadLimits::WHEEL)?;
        assert_eq!(inflate_start(bytes, &archive.entries[0], 5), Ok(vec![0; 5]));
        verify(bytes, &archive.entries[0])
    };
    let entry = || "bomb".to_owned();
    assert_eq!(verified(&sound), Ok(()));
    assert_eq!(verified(&wrong), Err(ZipError::Checksum { entry: entry(), claimed: !crc, actual: crc }));
    assert_eq!(verified(&longer), Err(ZipError::LyingSize { entry: entry(), claimed: size + 1 }));
    assert_eq!(verified(&shorter), Err(ZipError::LyingSize { entry: entry(), claimed: size - 1 }));

    // What is less than is allowed is refused before anything is unpacked.
    let limits = ReadLimits { unpacked_bytes: size - 1, ..ReadLimits::WHEEL };
    let refused = Archive::read(&sound, &limits).expect_err("it is one byte more");
    assert_eq!(refused, ZipError::TooLarge { what: "the archive".to_owned(), size, limit: size - 1 });

    let grown = peak_memory() - before;
    assert!(grown < BOUND, "it took {grown} bytes");
}
