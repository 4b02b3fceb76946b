//! The hashes that requirement lines may give: sha256, sha384, sha512 (pip's strong hashes).
//!
//! Owns their text form and computing all three of some bytes at once.

use std::{fmt, str::FromStr};

use layercake_core::hash::Sha256;
use sha2::Digest as _;

/// Which hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, which indexes give.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A hash by one of these functions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// A text that is no such hash.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotADigest {
    /// It does not say which function.
    #[error("a hash without its algorithm")]
    NoAlgorithm,
    /// Not one of the three.
    #[error("a hash by {algorithm}")]
    OtherAlgorithm {
        /// What it says.
        algorithm: String,
    },
    /// Not as many hexadecimal digits as the function gives.
    #[error("`{text}` is no {algorithm}: {digits} hexadecimal digits are expected")]
    BadDigits {
        /// What was given.
        text: String,
        /// The function.
        algorithm: &'static str,
        /// How many digits there should be.
        digits: usize,
    },
}

impl Algorithm {
    /// The function's name in requirement lines and on indexes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl Digest {
    /// Which function it is by.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash, when it is a SHA-256.
    pub fn sha256(&self) -> Option<Sha256> {
        (self.algorithm == Algorithm::Sha256).then(|| self.hex.parse().ok()).flatten()
    }
}

impl From<Sha256> for Digest {
    fn from(hash: Sha256) -> Self {
        Self { algorithm: Algorithm::Sha256, hex: hash.to_hex() }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    /// Reads `sha256:…` and its like.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let (name, hex) = text.split_once(':').ok_or(NotADigest::NoAlgorithm)?;
        let algorithm = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| NotADigest::OtherAlgorithm { algorithm: name.to_owned() })?;
        let hex = hex.to_ascii_lowercase();
        if hex.len() != algorithm.digits() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotADigest::BadDigits {
                text: hex,
                algorithm: algorithm.name(),
                digits: algorithm.digits(),
            });
        }
        Ok(Self { algorithm, hex })
    }
}

/// Computes all three as bytes come.
pub(crate) struct Digester {
    sha256: layercake_core::hash::Hasher,
    sha384: sha2::Sha384,
    sha512: sha2::Sha512,
}

impl Digester {
    pub(crate) fn new() -> Self {
        Self { sha256: Sha256::hasher(), sha384: sha2::Sha384::new(), sha512: sha2::Sha512::new() }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha384.update(bytes);
        self.sha512.update(bytes);
    }

    /// The SHA-256, and all three.
    pub(crate) fn finish(self) -> (Sha256, Vec<Digest>) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sha256 = self.sha256.finish();
        let digests = vec![
            Digest::from(sha256),
            Digest { algorithm: Algorithm::Sha384, hex: hex(&self.sha384.finalize()) },
            Digest { algorithm: Algorithm::Sha512, hex: hex(&self.sha512.finalize()) },
        ];
        (sha256, digests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes_of_nothing() {
        let (sha256, digests) = Digester::new().finish();
        assert_eq!(digests[0], Digest::from(sha256));
        insta::assert_snapshot!(digests[1], @"sha384:38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b");
        assert!(digests[2].to_string().starts_with("sha512:cf83e1357eefb8bd"));
        for digest in digests {
            assert_eq!(digest.to_string().to_uppercase().replacen("SHA", "sha", 1).parse(), Ok(digest));
        }
    }

    #[test]
    fn other_hashes_are_named() {
        insta::assert_snapshot!(Digest::from_str("md5:abc").expect_err("md5 is weak"), @"a hash by md5");
        insta::assert_snapshot!(Digest::from_str("abc").expect_err("it has no name"), @"a hash without its algorithm");
        insta::assert_snapshot!(Digest::from_str("sha512:abc").expect_err("it is short"), @"`abc` is no sha512: 128 hexadecimal digits are expected");
    }
}
