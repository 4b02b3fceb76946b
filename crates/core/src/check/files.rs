//! Permissions and links: Lambda runs code as a user that owns none of its files.
//!
//! Owns the bits. Archives that carry none are extracted with sound ones.

use super::{
    Code, Findings, NamedContents, Place, Severity, Subject,
    tree::{FUNCTION, LAYERS, Tree, normalised, split},
};
use crate::zip::EntryKind;

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_EXECUTE: u32 = 0o001;

pub(super) fn check(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    for layer in subject.layers {
        permissions(layer, true, found);
        links(layer, LAYERS, tree, found);
    }
    if let Some(function) = subject.function {
        permissions(function, false, found);
        links(function, FUNCTION, tree, found);
    }
}

fn permissions(zip: &NamedContents, is_layer: bool, found: &mut Findings) {
    for file in &zip.contents.files {
        let bits = file.permissions;
        // Nothing given, as by archivers on Windows.
        if bits == 0 || file.kind == EntryKind::Symlink {
            continue;
        }
        let place = Place::file(zip, &file.path);
        let is_folder = file.kind == EntryKind::Folder;
        if is_folder && bits & OTHERS_EXECUTE == 0 {
            found.add(
                Severity::Error,
                Code::UnreadableFile,
                place,
                format!("the folder has mode {bits:o}: Lambda runs as another user, who cannot enter it"),
                "set modes before zipping: `chmod -R a+rX .`",
            );
        } else if bits & OTHERS_READ == 0 {
            found.add(
                Severity::Error,
                Code::UnreadableFile,
                place,
                format!("it has mode {bits:o}: Lambda runs as another user, who cannot read it"),
                "set modes before zipping: `chmod -R a+rX .`",
            );
        } else if bits & OTHERS_WRITE != 0 {
            found.add(
                Severity::Note,
                Code::WritableByAll,
                place,
                format!(
                    "it has mode {bits:o}: everybody may write it; Lambda extracts it read-only all the same"
                ),
                "set modes before zipping: `chmod -R go-w .`",
            );
        }
        if is_layer && !is_folder && bits & OTHERS_EXECUTE == 0 {
            not_executable(zip, &file.path, found);
        }
    }
}

/// Lambda starts every file in `extensions/`; those in `bin/` are called by name.
fn not_executable(zip: &NamedContents, path: &str, found: &mut Findings) {
    let (severity, why) = match split(path).0 {
        "extensions" => {
            (Severity::Error, "Lambda starts every file in `extensions/`, and this one is not executable")
        }
        "bin" => (Severity::Warning, "it is in a folder for programs, and it is not executable"),
        _ => return,
    };
    let fix = "set its mode before zipping: `chmod a+x`";
    found.add(severity, Code::NotExecutable, Place::file(zip, path), why, fix);
}

fn links(zip: &NamedContents, root: &str, tree: &Tree<'_>, found: &mut Findings) {
    for file in &zip.contents.files {
        let Some(target) = &file.points_to else { continue };
        let folder = format!("{root}/{}", split(&file.path).0);
        let absolute = if target.starts_with('/') {
            normalised(target)
        } else {
            normalised(&format!("{folder}/{target}"))
        };
        let is_within = [LAYERS, FUNCTION].iter().any(|root| {
            absolute.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let why = if !is_within {
            format!("it is a link to `{target}`, which leads out of {root}")
        } else if absolute != root && !tree.has(&absolute) {
            format!("it is a link to `{target}`, which is not there")
        } else {
            continue;
        };
        found.add(
            Severity::Warning,
            Code::BrokenLink,
            Place::file(zip, &file.path),
            why,
            "zip the file that it points to in its place (`zip -r` without `-y` does)",
        );
    }
}
