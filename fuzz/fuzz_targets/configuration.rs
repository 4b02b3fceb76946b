//! `layercake.toml` of any text, patterns over paths, sizes in bytes.
//!
//! Laws: nothing panics; a pattern that means a folder means all below it; two runs read the same.

#![no_main]

use layercake_core::{
    configuration::{Configuration, bytes},
    plan::policy::Pattern,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(configuration) = Configuration::read("layercake.toml", text) {
        assert_eq!(Configuration::read("layercake.toml", text).as_ref(), Ok(&configuration));
        for pattern in configuration.keep.iter().chain(&configuration.drop) {
            check(pattern, text);
        }
    }
    for line in text.lines() {
        let _ = bytes(line);
        if let Ok(pattern) = line.parse::<Pattern>() {
            assert_eq!(pattern.as_str(), line);
            check(&pattern, text);
        }
    }
});

fn check(pattern: &Pattern, text: &str) {
    for path in text.lines().take(4).chain(["a", "a/b.py", "python/a/b/c.so"]) {
        if pattern.matches(path) {
            assert!(pattern.matches(&format!("{path}/below")), "{} and {path}", pattern.as_str());
        }
    }
}
