//! The distributions installed in a zip, by what their installer wrote beside them ("Recording
//! installed projects", packaging specifications).
//!
//! Owns finding their folders and reading `METADATA`. Says nothing about which files are theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::{ContentFile, Distribution};
use crate::{wheel::normalised_name, zip::EntryKind};

/// Whether a folder describes a distribution, by its name.
pub(super) fn is_folder(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    (name.ends_with(".dist-info") && name.len() > ".dist-info".len())
        || (name.ends_with(".egg-info") && name.len() > ".egg-info".len())
}

/// Whether a file describes a distribution by itself, as distutils wrote it.
pub(super) fn is_single_file(path: &str) -> bool {
    path.ends_with(".egg-info") && is_folder(path)
}

/// Finds the distributions among files sorted by path. `texts` are the texts that were read, by
/// path.
pub(super) fn find(files: &[ContentFile], texts: &BTreeMap<&str, String>) -> Vec<Distribution> {
    let packages = package_folders(files);
    let mut folders = BTreeSet::new();
    for file in files {
        match file.kind {
            EntryKind::File if is_single_file(&file.path) => {
                folders.insert(file.path.as_str());
            }
            EntryKind::File => {
                // The outermost one: what lies in a distribution's folder is its own.
                let ends = file.path.match_indices('/').map(|(end, _)| &file.path[..end]);
                folders.extend(ends.into_iter().find(|folder| is_folder(folder)));
            }
            EntryKind::Folder | EntryKind::Symlink => {}
        }
    }
    folders.into_iter().filter(|folder| !is_carried(folder, &packages)).map(|f| describe(f, texts)).collect()
}

/// The folders that Python imports as packages.
fn package_folders(files: &[ContentFile]) -> BTreeSet<&str> {
    files
        .iter()
        .filter_map(|file| {
            file.path.strip_suffix("/__init__.py").or_else(|| file.path.strip_suffix("/__init__.pyc"))
        })
        // A stray `__init__.py` makes no package of the folder that everything is installed into.
        .filter(|folder| *folder != "python" && !folder.ends_with("site-packages"))
        .collect()
}

/// Whether a package carries the distribution inside itself, where nothing looks for it.
fn is_carried(folder: &str, packages: &BTreeSet<&str>) -> bool {
    folder.match_indices('/').any(|(end, _)| packages.contains(&folder[..end]))
}

fn describe(folder: &str, texts: &BTreeMap<&str, String>) -> Distribution {
    let text = ["/METADATA", "/PKG-INFO", ""]
        .into_iter()
        .find_map(|name| texts.get(format!("{folder}{name}").as_str()))
        .map_or("", String::as_str);
    let metadata = Metadata::read(text);
    let (name, version) = from_folder_name(folder);
    Distribution {
        name: normalised_name(metadata.name.as_deref().filter(|name| is_name(name)).unwrap_or(name)),
        version: metadata.version.filter(|version| is_version(version)).unwrap_or_else(|| version.to_owned()),
        folder: folder.to_owned(),
        requires_python: metadata.requires_python,
        requires: metadata.requires,
    }
}

/// `NAME-VERSION.dist-info`, `NAME-VERSION-py3.9.egg-info` or `NAME.egg-info`, taken apart.
fn from_folder_name(folder: &str) -> (&str, &str) {
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut parts = stem.split('-');
    (parts.next().unwrap_or_default(), parts.next().filter(|version| is_version(version)).unwrap_or_default())
}

/// Core metadata, "Name": ASCII letters, digits, `.`, `_`, `-`.
fn is_name(text: &str) -> bool {
    text.len() <= 200
        && text.contains(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Wider than PEP 440, for what old tools wrote; narrow enough to be printed.
fn is_version(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
}

/// The fields of a core metadata file (`METADATA`, `PKG-INFO`) that we know what to do with, each
/// as written but for line breaks and control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// `Name`.
    pub(crate) name: Option<String>,
    /// `Version`.
    pub(crate) version: Option<String>,
    /// `Requires-Python`.
    pub(crate) requires_python: Option<String>,
    /// `Requires-Dist`, one for each.
    pub(crate) requires: Vec<String>,
}

impl Metadata {
    /// Reads the header, which ends at the first empty line. What is no field is passed over.
    pub(crate) fn read(text: &str) -> Self {
        let mut metadata = Self::default();
        let mut lines = text.lines().take_while(|line| !line.trim_end().is_empty()).peekable();
        while let Some(line) = lines.next() {
            let Some((field, first)) = line.split_once(':') else { continue };
            let mut value = printable(first.trim());
            while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(&printable(more.trim()));
            }
            match field.trim().to_ascii_lowercase().as_str() {
                "name" => metadata.name = metadata.name.or(Some(value)),
                "version" => metadata.version = metadata.version.or(Some(value)),
                "requires-python" => metadata.requires_python = metadata.requires_python.or(Some(value)),
                "requires-dist" => metadata.requires.push(value),
                _ => {}
            }
        }
        metadata
    }
}

/// Without characters that would steer the terminal it is printed on.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
