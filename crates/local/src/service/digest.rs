//! What S3 computes over an object's bytes: the MD5 behind ETags, and checksums.

use std::collections::BTreeMap;

use base64::Engine as _;
use s3s::{
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256},
};

/// The checksum algorithms of S3, lower-case.
pub(crate) const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// The algorithm that S3 takes when a client chooses none.
pub(crate) const DEFAULT_ALGORITHM: &str = "crc64nvme";

/// Computes while bytes come in.
pub(crate) struct Digest {
    md5: Md5,
    checksums: ChecksumHasher,
}

/// What came out.
pub(crate) struct Digested {
    /// MD5 in hexadecimal.
    pub(crate) md5: String,
    /// By algorithm, base64.
    pub(crate) checksums: BTreeMap<String, String>,
}

impl Digest {
    /// With the algorithms named.
    pub(crate) fn new(algorithms: &[String]) -> Self {
        let wants = |name: &str| algorithms.iter().any(|algorithm| algorithm == name);
        Self {
            md5: Md5::new(),
            checksums: ChecksumHasher {
                crc32: wants("crc32").then(Crc32::new),
                crc32c: wants("crc32c").then(Crc32c::new),
                sha1: wants("sha1").then(Sha1::new),
                sha256: wants("sha256").then(Sha256::new),
                crc64nvme: wants("crc64nvme").then(Crc64Nvme::new),
            },
        }
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksums.update(bytes);
    }

    /// The results.
    pub(crate) fn finish(self) -> Digested {
        let sums = self.checksums.finalize();
        let all = [
            ("crc32", sums.checksum_crc32),
            ("crc32c", sums.checksum_crc32c),
            ("crc64nvme", sums.checksum_crc64nvme),
            ("sha1", sums.checksum_sha1),
            ("sha256", sums.checksum_sha256),
        ];
        let checksums = all.into_iter().filter_map(|(name, sum)| Some((name.to_owned(), sum?))).collect();
        Digested { md5: to_hex(&self.md5.finalize()), checksums }
    }
}

/// The checksum of parts' checksums, with the number of parts behind it.
pub(super) fn composite(algorithm: &str, parts: &[&str]) -> Option<String> {
    let mut digest = Digest::new(&[algorithm.to_owned()]);
    for part in parts {
        digest.update(&base64::engine::general_purpose::STANDARD.decode(part).ok()?);
    }
    let sum = digest.finish().checksums.remove(algorithm)?;
    Some(format!("{sum}-{}", parts.len()))
}

/// Bytes in hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal; what is no digit is left out.
pub(super) fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// MD5 in base64, as `Content-MD5` has it.
pub(crate) fn hex_to_base64(hex: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(from_hex(hex))
}
