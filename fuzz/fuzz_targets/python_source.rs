//! Python sources as text: the block of PEP 723, imports of tests, names in literals, the handler.
//!
//! Laws: nothing panics; imports that are found name `tests`; named files are parts of the source; a
//! source without comment lines has no block.

#![no_main]

use layercake_core::{
    app::{SourceFile, find_handler},
    imports::{TestFolders, test_modules_imported},
    literals::{Named, named},
    requirements::script_metadata,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, source) = text.split_once('\n').unwrap_or(("a/tests/b.py", text));
    for module in test_modules_imported(path, source) {
        assert!(module.split('.').any(|part| part == "tests"));
    }
    for name in named(source, &["cu", "h", "pyi"]) {
        match name {
            Named::File(name) => assert!(source.contains(&name) && !name.contains('/')),
            Named::Ending(ending) => assert!(source.to_ascii_lowercase().contains(&ending)),
        }
    }
    if !source.contains("# /// script") {
        assert_eq!(script_metadata(source), Ok(None));
    } else {
        let _ = script_metadata(source).map_err(|error| error.to_string());
    }
    let folders = TestFolders::among(source.lines());
    assert!(!folders.hold(path) || path.contains("tests"));
    let files = [SourceFile { path, text: source }, SourceFile { path: "app.py", text: source }];
    let _ = find_handler(&files);
});
