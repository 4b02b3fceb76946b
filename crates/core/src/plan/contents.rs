//! A plan as the contents of the zip that it will be, so that the check can look at a layer before
//! it is written.
//!
//! Owns the translation. Never decides.

use super::{LayerPlan, Source};
use crate::{
    contents::{ContentFile, Contents, Distribution},
    derived::{Derivation, DerivedFiles},
    wheel::WheelContents,
    zip::{Entry, EntryKind, FileMode, checksum},
};

impl LayerPlan {
    /// What will be in the zip. `wheels` and `derived` are what the plan was made of.
    pub fn contents(&self, wheels: &[WheelContents], derived: &[DerivedFiles]) -> Contents {
        let mut contents = Contents::default();
        let mut folders: Vec<Option<usize>> = vec![None; wheels.len()];
        for file in &self.files {
            let Some((folder, _)) =
                file.path.rsplit_once("/METADATA").filter(|(folder, _)| folder.ends_with(".dist-info"))
            else {
                continue;
            };
            let wheel = &wheels[file.wheel];
            folders[file.wheel] = Some(contents.distributions.len());
            contents.distributions.push(Distribution {
                name: wheel.name.clone(),
                version: wheel.version.clone(),
                folder: folder.to_owned(),
                requires_python: wheel.facts.requires_python.clone(),
                requires: wheel.facts.requires.clone(),
            });
        }
        // The files are sorted by path, and so these are sorted by folder.
        for file in &self.files {
            let wheel = &wheels[file.wheel];
            let entry = match &file.source {
                Source::Wheel(number) => wheel.archive.entries.get(*number),
                Source::Derived(derivation, number) => derived
                    .get(file.wheel)
                    .and_then(|files| files.archive(*derivation))
                    .and_then(|archive| archive.entries.get(*number)),
                Source::Text(_) => None,
            };
            let crc32 = match (&file.source, entry) {
                (Source::Text(text), _) => checksum(text.as_bytes()),
                (_, entry) => entry.map_or(0, |entry| entry.crc32),
            };
            let is_bytecode = matches!(file.source, Source::Derived(Derivation::Bytecode, _));
            let library = |entry: &Entry| wheel.facts.libraries.get(&entry.path).cloned();
            contents.files.push(ContentFile {
                path: file.path.clone(),
                kind: EntryKind::File,
                permissions: match file.mode {
                    FileMode::Regular => 0o644,
                    FileMode::Executable => 0o755,
                },
                size: file.size,
                packed_size: file.packed_size,
                crc32,
                owner: folders[file.wheel],
                elf: entry.filter(|_| !is_bytecode).and_then(library),
                damage: None,
                points_to: None,
            });
        }
        contents
    }
}
