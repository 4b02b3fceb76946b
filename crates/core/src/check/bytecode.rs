//! Bytecode: what is there, for which Python, and what its absence costs.
//!
//! Owns the judgement from names alone. Whether a timestamp in a file fits its source cannot be told
//! without reading it, and is not.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Code, Findings, NamedContents, Place, Severity, Subject,
    tree::{LAYERS, Tree, is_of_other_python, split},
};
use crate::zip::EntryKind;

/// Source bytes from which on compiling at every cold start is worth a word: about a sixth of what
/// pandas and numpy have, which cost 0.76 s on python3.12 (MEASURED.md §4).
const MANY_SOURCE_BYTES: u64 = 2_000_000;

pub(super) fn check(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    let wanted = format!("cpython-3{}", subject.target.runtime.minor());
    for layer in subject.layers {
        of_other_python(layer, &wanted, subject, found);
        missing(layer, &wanted, subject, found);
    }
    without_source(tree, subject, found);
}

/// `a/__pycache__/b.cpython-312.opt-1.pyc` as folder, module and tag (PEP 3147).
fn cached(path: &str) -> Option<(&str, &str, &str)> {
    let (folder, name) = split(path);
    let folder = folder.strip_suffix("__pycache__")?;
    let mut parts = name.strip_suffix(".pyc")?.split('.');
    Some((folder.trim_end_matches('/'), parts.next()?, parts.next()?))
}

fn of_other_python(layer: &NamedContents, wanted: &str, subject: &Subject<'_>, found: &mut Findings) {
    let mut tags: BTreeMap<&str, (u64, usize, &str)> = BTreeMap::new();
    for file in &layer.contents.files {
        if let Some((_, _, tag)) = cached(&file.path)
            && tag != wanted
            && !is_of_other_python(&format!("{LAYERS}/{}", file.path), subject.target.runtime.minor())
        {
            let entry = tags.entry(tag).or_insert((0, 0, &file.path));
            entry.0 += file.size;
            entry.1 += 1;
        }
    }
    for (tag, (bytes, files, path)) in tags {
        found.add(
            Severity::Note,
            Code::OtherBytecode,
            Place::file(layer, path),
            format!(
                "{} bytecode of {tag}, which {} does not read: {bytes} bytes",
                are(files, "file"),
                subject.target.runtime
            ),
            "leave the folders `__pycache__` out, or compile with the target's own Python",
        );
    }
}

fn missing(layer: &NamedContents, wanted: &str, subject: &Subject<'_>, found: &mut Findings) {
    let minor = subject.target.runtime.minor();
    let seen = || {
        layer.contents.files.iter().filter(|file| {
            file.kind == EntryKind::File
                && file.path.starts_with("python/")
                && !is_of_other_python(&format!("{LAYERS}/{}", file.path), minor)
        })
    };
    let compiled: BTreeSet<(&str, &str)> = seen()
        .filter_map(|file| cached(&file.path))
        .filter(|(_, _, tag)| *tag == wanted)
        .map(|(folder, module, _)| (folder, module))
        .collect();
    let (mut bytes, mut sources) = (0, 0);
    for file in seen() {
        let (folder, name) = split(&file.path);
        if let Some(module) = name.strip_suffix(".py")
            && !compiled.contains(&(folder, module))
        {
            bytes += file.size;
            sources += 1;
        }
    }
    if bytes >= MANY_SOURCE_BYTES {
        found.add(
            Severity::Note,
            Code::NoBytecode,
            Place::zip(layer),
            format!(
                "{} without bytecode. /opt is read-only, so every cold start compiles anew what it imports: that makes `import pandas` take {} times as long on {}",
                are(sources, "module"), slower(minor), subject.target.runtime
            ),
            "`layercake build` puts bytecode beside the sources",
        );
    }
}

/// `1 file is`, `2 files are`.
fn are(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word} is") } else { format!("{count} {word}s are") }
}

/// How many times as long `import pandas` takes without bytecode, measured on the nearest Python
/// (MEASURED.md §4).
fn slower(minor: u8) -> &'static str {
    match minor {
        ..=7 => "3.1",
        8..=12 => "4.4",
        _ => "4.6",
    }
}

/// Python imports bytecode from `__pycache__` only beside its source (PEP 3147).
fn without_source(tree: &Tree<'_>, subject: &Subject<'_>, found: &mut Findings) {
    for (path, placed) in tree.files() {
        let Some((folder, "__init__", _)) = cached(path) else { continue };
        let has = |name: &str| tree.get(&format!("{folder}/{name}")).is_some();
        if tree.below_python_root(path).is_none() || has("__init__.py") || has("__init__.pyc") {
            continue;
        }
        // Bytecode of removed tests and the like stays behind; without any module the package
        // cannot be imported.
        let has_module = tree.below(folder).any(|(below, _)| {
            !below.contains('/') && [".py", ".pyc", ".so"].iter().any(|ending| below.ends_with(ending))
        });
        if !has_module {
            found.add(
                Severity::Warning,
                Code::BytecodeWithoutSource,
                Place::file(placed.zip, &placed.file.path),
                format!("the package has bytecode in `__pycache__` only, and {} imports that only beside its source", subject.target.runtime),
                "keep the sources, or put the bytecode in their place (`python -m compileall -b`)",
            );
        }
    }
}
