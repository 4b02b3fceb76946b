//! The ids of object versions.
//!
//! S3 tells ids that it made from others: a made-up one is an invalid argument, and one whose
//! version is gone is no such version. So an id here ends with a check of what stands before it.
//! It also says when it was made, which tells where a version was that is gone.

use base64::Engine as _;
use layercake_core::hash::Sha256;
use uuid::Uuid;

/// Random bytes, the time, and the check: 24 bytes, which are 32 characters.
const RANDOM: usize = 12;
const TIME: usize = 6;
const CHECK: usize = 6;

/// A new id, made at a time in milliseconds since 1970.
pub(super) fn new_version_id(now: i64) -> String {
    let mut bytes = Vec::with_capacity(RANDOM + TIME + CHECK);
    bytes.extend_from_slice(&Uuid::new_v4().as_bytes()[..4]);
    bytes.extend_from_slice(&Uuid::new_v4().as_bytes()[8..]);
    bytes.extend_from_slice(&now.to_be_bytes()[8 - TIME..]);
    let check = check(&bytes);
    bytes.extend_from_slice(&check);
    // A dash could stand first, where command lines take it for an option.
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes).replace('-', ".")
}

/// When an id was made, in milliseconds since 1970; nothing when it is not one of ours.
pub(super) fn version_made(id: &str) -> Option<i64> {
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id.replace('.', "-")).ok()?;
    if bytes.len() != RANDOM + TIME + CHECK {
        return None;
    }
    let (said, found) = bytes.split_at(RANDOM + TIME);
    if check(said) != found {
        return None;
    }
    Some(said[RANDOM..].iter().fold(0, |time, byte| time << 8 | i64::from(*byte)))
}

fn check(bytes: &[u8]) -> Vec<u8> {
    let hex = Sha256::of(&[b"version ", bytes].concat()).to_hex();
    super::digest::from_hex(&hex[..CHECK * 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_made_up_ones() {
        let id = new_version_id(1_700_000_000_123);
        assert_eq!(id.len(), 32);
        assert_eq!(version_made(&id), Some(1_700_000_000_123));
        assert_eq!(version_made("HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"), None);
        assert_eq!(version_made("null"), None);
        assert_ne!(id, new_version_id(1_700_000_000_123));
    }
}
