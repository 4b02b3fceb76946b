//! The files as a function sees them: the layers merged below `/opt`, the function's own below
//! `/var/task`.
//!
//! Owns the paths and which of several files of one path is seen. Judges nothing.

use std::collections::BTreeMap;

use super::{NamedContents, Subject};
use crate::{contents::ContentFile, zip::EntryKind};

/// Where layers are extracted.
pub(super) const LAYERS: &str = "/opt";
/// Where the function's own zip is extracted.
pub(super) const FUNCTION: &str = "/var/task";

/// A file with the zip that it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) zip: &'a NamedContents,
    pub(super) file: &'a ContentFile,
}

/// The merged files by absolute path, folders left out.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    files: BTreeMap<String, Placed<'a>>,
    minor: u8,
}

impl<'a> Tree<'a> {
    pub(super) fn new(subject: &Subject<'a>) -> Self {
        let mut files = BTreeMap::new();
        // "If the same file appears in multiple layers, the function uses the version in the last
        // extracted layer" (FACTS.md §5).
        let zips = subject.layers.iter().map(|layer| (LAYERS, layer));
        for (root, zip) in zips.chain(subject.function.map(|function| (FUNCTION, function))) {
            for file in &zip.contents.files {
                if file.kind != EntryKind::Folder {
                    files.insert(format!("{root}/{}", file.path), Placed { zip, file });
                }
            }
        }
        Self { files, minor: subject.target.runtime.minor() }
    }

    /// All files by absolute path, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, Placed<'a>)> {
        self.files.iter().map(|(path, placed)| (path.as_str(), *placed))
    }

    pub(super) fn get(&self, path: &str) -> Option<Placed<'a>> {
        self.files.get(path).copied()
    }

    /// Whether there is a file, or a folder with something in it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.below(path).next().is_some()
    }

    /// The files below a folder, with their paths as seen from it.
    pub(super) fn below<'t>(&'t self, folder: &'t str) -> impl Iterator<Item = (&'t str, Placed<'a>)> {
        let start = format!("{folder}/");
        self.files
            .range(start..)
            .map_while(move |(path, placed)| Some((path.strip_prefix(folder)?.strip_prefix('/')?, *placed)))
    }

    /// The folders on `sys.path` that layers and function fill, first searched first (FACTS.md §5).
    pub(super) fn python_roots(&self) -> [String; 3] {
        [
            FUNCTION.to_owned(),
            format!("{LAYERS}/python/lib/python3.{}/site-packages", self.minor),
            format!("{LAYERS}/python"),
        ]
    }

    /// A path as seen from the folder of `sys.path` that it lies in.
    pub(super) fn below_python_root<'p>(&self, path: &'p str) -> Option<&'p str> {
        if is_of_other_python(path, self.minor) {
            return None;
        }
        self.python_roots().iter().find_map(|root| path.strip_prefix(root.as_str())?.strip_prefix('/'))
    }
}

/// Whether a file lies in the folder of packages of another Python, where the target's does not
/// look. The path is absolute.
pub(super) fn is_of_other_python(path: &str, minor: u8) -> bool {
    path.strip_prefix("/opt/python/lib/python3.")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(other, _)| other.parse() != Ok(minor))
}

/// Resolves `.` and `..` in an absolute path.
pub(super) fn normalised(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The folder of a path, and its last part.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
