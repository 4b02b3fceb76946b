//! File names of wheels, and names of packages.
//!
//! Laws: a name that parses prints as it was, and no part of it leads to another folder; a
//! normalised name is normal.

#![no_main]

use layercake_core::wheel::{WheelFilename, destination, has_extension, normalised_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<WheelFilename>() {
        assert_eq!(name.to_string(), text);
        assert!(!text.contains('/'));
        assert!(!name.python.is_empty() && !name.abi.is_empty() && !name.platform.is_empty());
    }
    let normal = normalised_name(text);
    assert_eq!(normalised_name(&normal), normal);
    assert!(!normal.contains(['_', '.']) && !normal.contains("--"));
    let _ = (destination(text), has_extension(text, &["py"]));
});
