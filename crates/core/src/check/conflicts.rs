//! Files and distributions that more than one zip brings.
//!
//! Owns which of them wins: of layers the one that is extracted last, and the function's own code
//! before every layer (FACTS.md §5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Findings, NamedContents, Place, Severity, Subject, tree::split};
use crate::{
    contents::{ContentFile, Distribution},
    zip::EntryKind,
};

pub(super) fn check(subject: &Subject<'_>, found: &mut Findings) {
    let differing = several_versions(subject, found);
    conflicting_files(subject, &differing, found);
    for zip in subject.layers.iter().chain(subject.function) {
        left_over_versions(zip, found);
    }
}

/// The distributions of which layers have different versions, by name.
fn several_versions<'a>(subject: &Subject<'a>, found: &mut Findings) -> BTreeSet<&'a str> {
    let mut by_name: BTreeMap<(&str, &str), Vec<(&NamedContents, &Distribution)>> = BTreeMap::new();
    for layer in subject.layers {
        for distribution in &layer.contents.distributions {
            by_name.entry((&distribution.name, distribution.root())).or_default().push((layer, distribution));
        }
    }
    let mut differing = BTreeSet::new();
    for ((name, _), copies) in by_name {
        let Some(((winner, winning), others)) = copies.split_last() else { continue };
        for (zip, other) in others.iter().filter(|(zip, _)| !std::ptr::eq(*zip, *winner)) {
            if other.version != winning.version {
                differing.insert(name);
                found.add(
                    Severity::Warning,
                    Code::SeveralVersions,
                    Place::file(zip, &other.folder),
                    format!(
                        "{name} is here in version {}, and layer {} has {}: it is extracted later, so its files win, and files that only one of them has are mixed",
                        other.version, winner.name, winning.version
                    ),
                    "build the layers from one resolution, so that each package is in one of them only",
                );
            }
        }
    }
    let Some(function) = subject.function else { return differing };
    for own in function.contents.distributions.iter().filter(|own| own.root().is_empty()) {
        let of_layer = subject.layers.iter().rev().find_map(|layer| {
            let copy = layer.contents.distributions.iter().find(|copy| copy.name == own.name)?;
            Some((layer, copy))
        });
        if let Some((layer, copy)) = of_layer.filter(|(_, copy)| copy.version != own.version) {
            found.add(
                Severity::Note,
                Code::SeveralVersions,
                Place::file(function, &own.folder),
                format!(
                    "{} {} of the function comes before {} of layer {}",
                    own.name, own.version, copy.version, layer.name
                ),
                "keep one of the two",
            );
        }
    }
    differing
}

fn conflicting_files(subject: &Subject<'_>, differing: &BTreeSet<&str>, found: &mut Findings) {
    let mut by_path: BTreeMap<&str, (&NamedContents, &ContentFile)> = BTreeMap::new();
    for layer in subject.layers {
        for file in layer.contents.files.iter().filter(|file| file.kind != EntryKind::Folder) {
            let Some((earlier, other)) = by_path.insert(&file.path, (layer, file)) else { continue };
            let is_same = (file.size, file.crc32, file.kind) == (other.size, other.crc32, other.kind)
                && file.points_to == other.points_to;
            let owners = (layer.contents.owner(file), earlier.contents.owner(other));
            if is_same || matters_not(&file.path, owners, differing) {
                continue;
            }
            let severity = match owners {
                (Some(one), Some(two)) if one.name == two.name => Severity::Note,
                _ if is_code(&file.path) => Severity::Warning,
                _ => Severity::Note,
            };
            found.add(
                severity,
                Code::ConflictingFile,
                Place::file(earlier, &file.path),
                format!(
                    "layer {} has another file of this path; it is extracted later, so that one wins",
                    layer.name
                ),
                "keep it in one of the layers, or change their order",
            );
        }
    }
}

/// What installers and compilers write anew each time, and what has been said of the distribution.
fn matters_not(
    path: &str,
    owners: (Option<&Distribution>, Option<&Distribution>),
    differing: &BTreeSet<&str>,
) -> bool {
    let is_record = split(path).0.ends_with(".dist-info") || split(path).0.ends_with(".egg-info");
    let is_bytecode = path.ends_with(".pyc");
    let is_told = matches!(owners, (Some(one), Some(two)) if one.name == two.name && differing.contains(one.name.as_str()));
    is_record || is_bytecode || is_told
}

fn is_code(path: &str) -> bool {
    let name = split(path).1;
    name.ends_with(".py")
        || name.contains(".so")
        || path.starts_with("bin/")
        || path.starts_with("extensions/")
        || path.starts_with("lib/")
}

/// Two versions in one zip are what `pip install --target` leaves of an update.
fn left_over_versions(zip: &NamedContents, found: &mut Findings) {
    let mut by_name: BTreeMap<(&str, &str), Vec<&Distribution>> = BTreeMap::new();
    for distribution in &zip.contents.distributions {
        by_name.entry((&distribution.name, distribution.root())).or_default().push(distribution);
    }
    for ((name, _), copies) in by_name {
        let versions: BTreeSet<&str> = copies.iter().map(|copy| copy.version.as_str()).collect();
        if let ([first, ..], 2..) = (&copies[..], versions.len()) {
            let versions: Vec<_> = versions.into_iter().collect();
            found.add(
                Severity::Warning,
                Code::SeveralVersions,
                Place::file(zip, &first.folder),
                format!(
                    "{name} is in this zip in versions {}: their files are mixed",
                    versions.join(" and ")
                ),
                "install into an empty folder",
            );
        }
    }
}
