//! `uv.lock` of any text.
//!
//! Laws: reading and choosing never panic or run without end; a choice has each name once, sorted,
//! and is the same the second time.

#![no_main]

use layercake_core::lock::{Scope, UvLock};
use layercake_fuzz::{AnyRules, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(lock) = UvLock::parse(text) else { return };
    let rules = AnyRules(target(text.len() as u8));
    let names = || vec!["a".to_owned(), "dev".to_owned()];
    let scopes = [
        Scope::default(),
        Scope { extras: names(), groups: names(), package: None },
        Scope { extras: Vec::new(), groups: vec!["dev".to_owned()], package: Some("a".to_owned()) },
    ];
    for scope in scopes {
        let Ok(selection) = lock.select(&rules, &scope) else { continue };
        let names: Vec<_> = selection.resolution.wheels.iter().map(|wheel| &wheel.name).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(selection.to_build.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(lock.select(&rules, &scope), Ok(selection));
    }
});
