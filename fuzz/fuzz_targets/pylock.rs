//! `pylock.toml` of any text.
//!
//! Laws: a lock that is read is the same after it was written and read again, and the text is the
//! same from then on; it does not differ from itself; choosing from it never panics, and what is
//! chosen is in it.

#![no_main]

use layercake_core::lock::{Lock, Scope};
use layercake_fuzz::{AnyRules, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(lock) = Lock::parse(text) else { return };
    let written = lock.to_toml();
    let again = Lock::parse(&written).unwrap_or_else(|error| panic!("{error}:\n{written}"));
    assert_eq!(again, lock);
    assert_eq!(again.to_toml(), written);
    assert_eq!(lock.changes_since(&again), Vec::new());
    if let Some(inputs) = &lock.inputs {
        assert_eq!(inputs.drift(inputs), None);
    }
    let all = Scope { extras: lock.extras.clone(), groups: lock.dependency_groups.clone(), package: None };
    for scope in [Scope::default(), all] {
        if let Ok(selection) = lock.select(&AnyRules(target(text.len() as u8)), &scope) {
            for wheel in &selection.resolution.wheels {
                assert!(lock.packages.iter().any(|package| package.name == wheel.name));
            }
        }
    }
});
