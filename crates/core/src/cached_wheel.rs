//! What the wheel cache remembers of a wheel: its entries and facts, so that nobody has to look
//! through it again.
//!
//! Owns the stored form, in this crate because reading it is hot and this crate is always compiled
//! with optimisation. Never says where it is stored.

use serde::{Deserialize, Serialize};

use crate::{wheel::WheelFacts, zip::Archive};

/// Raised when the stored form changes, or what [`WheelFacts`] looks for.
pub const CACHED_WHEEL_FORMAT: u32 = 3;

/// A wheel that was looked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedWheel {
    /// [`CACHED_WHEEL_FORMAT`] of the writer.
    pub format: u32,
    /// Size of the wheel in bytes.
    pub size: u64,
    /// Its entries.
    pub archive: Archive,
    /// What was found in them.
    pub facts: WheelFacts,
}

impl CachedWheel {
    /// A wheel that was just looked through.
    pub fn new(size: u64, archive: Archive, facts: WheelFacts) -> Self {
        Self { format: CACHED_WHEEL_FORMAT, size, archive, facts }
    }

    /// The stored form.
    ///
    /// # Errors
    /// None that is known: every value has a form.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Reads the stored form; nothing when it is damaged or of another format.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let cached: Self = serde_json::from_slice(bytes).ok()?;
        (cached.format == CACHED_WHEEL_FORMAT).then_some(cached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_form_is_read() {
        let cached = CachedWheel::new(7, Archive { entries: Vec::new() }, WheelFacts::default());
        let json = cached.to_json().expect("it has a form");
        assert_eq!(CachedWheel::from_json(&json), Some(cached.clone()));
        let newer = CachedWheel { format: CACHED_WHEEL_FORMAT + 1, ..cached };
        assert_eq!(CachedWheel::from_json(&newer.to_json().expect("it has a form")), None);
        assert_eq!(CachedWheel::from_json(&json[..json.len() - 1]), None);
    }
}
