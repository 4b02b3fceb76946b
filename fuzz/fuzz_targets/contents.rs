//! Looking through a zip of any files: METADATA, RECORD, `top_level.txt`, egg-info, libraries.
//!
//! Laws: every entry is there, in order; owners exist; a distribution's folder is in the zip; what
//! is printed of METADATA cannot steer a terminal; the order of reading does not count; the facts of
//! a wheel survive being stored.

#![no_main]

use layercake_core::{
    cached_wheel::CachedWheel,
    contents::{Contents, readings},
    zip::inflate_start,
};
use layercake_fuzz::{trees, wheel_of, zip_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let (_, trees) = trees(text);
    for tree in &trees {
        let Some((bytes, archive)) = zip_of(tree) else { continue };
        let contents = Contents::collect(&archive, |entry, most| inflate_start(&bytes, entry, most))
            .expect("what was written unpacks");
        assert_eq!(contents.files.len(), archive.entries.len());
        assert!(contents.files.windows(2).all(|pair| pair[0].path < pair[1].path));
        assert!(contents.distributions.windows(2).all(|pair| pair[0].folder < pair[1].folder));
        for file in &contents.files {
            assert_eq!(contents.owner(file).is_some(), file.owner.is_some());
        }
        for distribution in &contents.distributions {
            let folder = format!("{}/", distribution.folder);
            let is_there = |path: &str| path == distribution.folder || path.starts_with(&folder);
            assert!(contents.files.iter().any(|file| is_there(&file.path)));
            let printed = [&distribution.name, &distribution.version].into_iter();
            let printed = printed.chain(&distribution.requires).chain(&distribution.requires_python);
            assert!(printed.flat_map(|text| text.chars()).all(|character| !character.is_control()));
        }
        let mut found: Vec<_> = readings(&archive)
            .iter()
            .map(|reading| {
                reading.look(|entry, most| inflate_start(&bytes, entry, most)).expect("it unpacks")
            })
            .collect();
        found.reverse();
        assert_eq!(Contents::from_found(&archive, found), contents);
        if let Some((bytes, archive, facts)) = wheel_of(tree) {
            let cached = CachedWheel::new(bytes.len() as u64, archive, facts);
            assert_eq!(CachedWheel::from_json(&cached.to_json().expect("it has a form")), Some(cached));
        }
    }
});
