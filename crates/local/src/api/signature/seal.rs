//! Keyed hashes: the signing key of a day, region and service, and what is signed with it.

use hmac::{Hmac, KeyInit as _, Mac as _};

/// HMAC-SHA256.
pub(in crate::api) fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    with_key(key).chain_update(data).finalize().into_bytes().into()
}

/// Whether `given` is the hexadecimal HMAC-SHA256 of the data, compared in constant time.
pub(in crate::api) fn is_hmac(key: &[u8], data: &[u8], given: &str) -> bool {
    from_hex(given).is_some_and(|bytes| with_key(key).chain_update(data).verify_slice(&bytes).is_ok())
}

fn with_key(key: &[u8]) -> Hmac<sha2::Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// The bytes as hexadecimal text.
pub(in crate::api) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Where and when a signature is good: `DATE/REGION/SERVICE/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SigningScope {
    /// `20261122`.
    pub(super) date: String,
    /// The region.
    pub(super) region: String,
    /// The service.
    pub(super) service: String,
}

impl SigningScope {
    /// As it stands in the string to sign.
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }

    /// The key that signs in this scope.
    pub(super) fn key(&self, secret: &str) -> [u8; 32] {
        let date = hmac(format!("AWS4{secret}").as_bytes(), self.date.as_bytes());
        let region = hmac(&date, self.region.as_bytes());
        hmac(&hmac(&region, self.service.as_bytes()), b"aws4_request")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_awss_documentation() {
        // "Deriving the signing key", IAM User Guide.
        let scope = SigningScope {
            date: "20150830".to_owned(),
            region: "us-east-1".to_owned(),
            service: "iam".to_owned(),
        };
        insta::assert_snapshot!(
            hex(&scope.key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
            @"c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn only_the_same_bytes_fit() {
        let right = hex(&hmac(b"key", b"data"));
        assert!(is_hmac(b"key", b"data", &right));
        for wrong in [&right[2..], "", "zz", "é0", &right.replace(&right[..1], "x")] {
            assert!(!is_hmac(b"key", b"data", wrong), "{wrong}");
        }
        assert!(!is_hmac(b"other", b"data", &right));
    }
}
