//! What is different in two zips: packages and files added, removed, changed.
//!
//! Owns the comparison. Files are the same when Lambda would unpack the same: path, content by
//! checksum and size, kind, mode.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    contents::{ContentFile, Contents, Distribution},
    show::{Tally, ZipTotals, files},
};

/// The form of [`Difference`] as JSON. Fields may be added; this number changes when one goes or
/// means something else.
pub const FORMAT: u32 = 1;

/// What is different in two zips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// [`FORMAT`].
    pub format: u32,
    /// The zip that was.
    pub old: ZipTotals,
    /// The zip that is.
    pub new: ZipTotals,
    /// Number of files that are the same in both.
    pub same_files: u64,
    /// Packages that are not the same, sorted by name and place.
    pub packages: Vec<PackageChange>,
    /// Files that are not the same, sorted by path.
    pub files: Vec<FileChange>,
}

/// A package that is not the same in both zips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its normalised name; nothing for files that belong to no package.
    pub name: Option<String>,
    /// The folder it is installed into, as a path in the zip.
    pub root: Option<String>,
    /// As it was; nothing when it was added.
    pub old: Option<PackageSide>,
    /// As it is; nothing when it was removed.
    pub new: Option<PackageSide>,
    /// Number of its files that were added.
    pub files_added: u64,
    /// Number of its files that were removed.
    pub files_removed: u64,
    /// Number of its files that are not what they were.
    pub files_changed: u64,
}

/// A package in one of the zips.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackageSide {
    /// Its version, if its metadata names one.
    pub version: Option<String>,
    /// How much it is.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A file that is not the same in both zips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path in the zips.
    pub path: String,
    /// What happened to it.
    pub change: Change,
    /// Its package, where it is now or was last.
    pub package: Option<String>,
    /// Unpacked size in bytes as it was, 0 when it was added.
    pub old_unzipped: u64,
    /// Unpacked size in bytes as it is, 0 when it was removed.
    pub new_unzipped: u64,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there.
    Added,
    /// It is no longer there.
    Removed,
    /// Its content is another, or it became a link or ceased to be one.
    Changed,
    /// Its content is the same, its mode is another.
    Mode,
}

impl Difference {
    /// Compares two zips.
    pub fn new(old: (ZipTotals, &Contents), new: (ZipTotals, &Contents)) -> Self {
        let (old, old_contents) = old;
        let (new, new_contents) = new;
        let before: BTreeMap<&str, &ContentFile> = by_path(old_contents);
        let after: BTreeMap<&str, &ContentFile> = by_path(new_contents);
        let mut changes = Vec::new();
        let mut same_files = 0;
        let mut counts: BTreeMap<PackageKey<'_>, [u64; 3]> = BTreeMap::new();
        for path in before.keys().chain(after.keys()).copied().collect::<BTreeSet<_>>() {
            let (was, is) = (before.get(path).copied(), after.get(path).copied());
            let Some(change) = change_of(was, is) else {
                same_files += 1;
                continue;
            };
            let sides = [(was, old_contents), (is, new_contents)];
            let keys = sides.map(|(file, contents)| file.map(|file| key(file, contents)));
            let package = keys[1].or(keys[0]).and_then(|(name, _)| name);
            // A file that went from one package to another changed both.
            for key in keys.into_iter().flatten().collect::<BTreeSet<_>>() {
                let count = counts.entry(key).or_default();
                count[match change {
                    Change::Added => 0,
                    Change::Removed => 1,
                    Change::Changed | Change::Mode => 2,
                }] += 1;
            }
            changes.push(FileChange {
                path: path.to_owned(),
                change,
                package: package.map(str::to_owned),
                old_unzipped: was.map_or(0, |file| file.size),
                new_unzipped: is.map_or(0, |file| file.size),
            });
        }
        let packages = package_changes(&packages(old_contents), &packages(new_contents), &counts);
        Self { format: FORMAT, old, new, same_files, packages, files: changes }
    }

    /// Whether Lambda would unpack the same from both.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// What tells packages apart: a layer for several Pythons has one of each name for each of them.
type PackageKey<'a> = (Option<&'a str>, Option<&'a str>);

fn key<'a>(file: &ContentFile, contents: &'a Contents) -> PackageKey<'a> {
    let owner = contents.owner(file);
    (owner.map(|owner| owner.name.as_str()), owner.map(Distribution::root))
}

fn by_path(contents: &Contents) -> BTreeMap<&str, &ContentFile> {
    files(contents).map(|file| (file.path.as_str(), file)).collect()
}

fn change_of(was: Option<&ContentFile>, is: Option<&ContentFile>) -> Option<Change> {
    match (was, is) {
        (None, _) => Some(Change::Added),
        (_, None) => Some(Change::Removed),
        (Some(was), Some(is)) => {
            if (was.kind, was.size, was.crc32) != (is.kind, is.size, is.crc32) {
                Some(Change::Changed)
            } else if was.permissions != is.permissions {
                Some(Change::Mode)
            } else {
                None
            }
        }
    }
}

fn packages(contents: &Contents) -> BTreeMap<PackageKey<'_>, PackageSide> {
    let mut packages: BTreeMap<PackageKey<'_>, PackageSide> = BTreeMap::new();
    for file in files(contents) {
        let side = packages.entry(key(file, contents)).or_default();
        side.tally.add(file);
        side.version =
            contents.owner(file).map(|owner| owner.version.clone()).filter(|version| !version.is_empty());
    }
    packages
}

fn package_changes(
    old: &BTreeMap<PackageKey<'_>, PackageSide>,
    new: &BTreeMap<PackageKey<'_>, PackageSide>,
    counts: &BTreeMap<PackageKey<'_>, [u64; 3]>,
) -> Vec<PackageChange> {
    let change = |(&key, &[files_added, files_removed, files_changed]): (&PackageKey<'_>, &[u64; 3])| {
        let (name, root) = key;
        PackageChange {
            name: name.map(str::to_owned),
            root: root.map(str::to_owned),
            old: old.get(&key).cloned(),
            new: new.get(&key).cloned(),
            files_added,
            files_removed,
            files_changed,
        }
    };
    counts.iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::Sha256, zip::EntryKind};

    /// `path content [x]` a line; `NAME-VERSION.dist-info` makes a distribution, and files are of
    /// the one whose name they begin with.
    fn contents(text: &str) -> Contents {
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|l: &Vec<_>| !l.is_empty())
            .collect();
        let distributions: Vec<_> = lines
            .iter()
            .filter_map(|line| line[0].strip_suffix("/METADATA"))
            .map(|folder| {
                let (name, version) =
                    folder.trim_end_matches(".dist-info").split_once('-').expect("a version");
                Distribution {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    folder: folder.to_owned(),
                    requires_python: None,
                    requires: Vec::new(),
                }
            })
            .collect();
        let files = lines
            .iter()
            .map(|line| ContentFile {
                path: line[0].to_owned(),
                kind: EntryKind::File,
                permissions: if line.contains(&"x") { 0o755 } else { 0o644 },
                size: line[1].len() as u64,
                packed_size: 1,
                crc32: crc32fast::hash(line[1].as_bytes()),
                owner: distributions.iter().position(|owner| line[0].starts_with(&owner.name)),
                elf: None,
                damage: None,
                points_to: None,
            })
            .collect();
        Contents { files, distributions }
    }

    fn compare(old: &str, new: &str) -> Difference {
        let (old, new) = (contents(old), contents(new));
        let totals = |name, contents| ZipTotals::new(name, 100, Sha256::of(b""), contents);
        Difference::new((totals("old.zip", &old), &old), (totals("new.zip", &new), &new))
    }

    fn check(old: &str, new: &str) -> String {
        let difference = compare(old, new);
        let side = |side: &Option<PackageSide>| match side {
            None => "-".to_owned(),
            Some(side) => {
                format!("{} ({} bytes)", side.version.as_deref().unwrap_or("?"), side.tally.unzipped)
            }
        };
        let mut lines = vec![format!("{} the same", difference.same_files)];
        for package in &difference.packages {
            lines.push(format!(
                "{}: {} -> {}; {} added, {} removed, {} changed",
                package.name.as_deref().unwrap_or("no package"),
                side(&package.old),
                side(&package.new),
                package.files_added,
                package.files_removed,
                package.files_changed
            ));
        }
        for file in &difference.files {
            lines.push(format!(
                "{:?} {} {} -> {}",
                file.change, file.path, file.old_unzipped, file.new_unzipped
            ));
        }
        lines.join("\n")
    }

    #[test]
    fn packages_and_files_are_compared() {
        insta::assert_snapshot!(
            check(
                "a-1.dist-info/METADATA one\na/x.py abc\na/y.py abc\na/run.sh abc\nb-1.dist-info/METADATA b\nsame s\nc-1.dist-info/METADATA c",
                "a-2.dist-info/METADATA one\na/x.py abd\na/z.py abcd\na/run.sh abc x\nd-1.dist-info/METADATA d\nsame s\nnote n\nc-1.dist-info/METADATA c"
            ),
            @r"
        2 the same
        no package: ? (1 bytes) -> ? (2 bytes); 1 added, 0 removed, 0 changed
        a: 1 (12 bytes) -> 2 (13 bytes); 2 added, 2 removed, 2 changed
        b: 1 (1 bytes) -> -; 0 added, 1 removed, 0 changed
        d: - -> 1 (1 bytes); 1 added, 0 removed, 0 changed
        Removed a-1.dist-info/METADATA 3 -> 0
        Added a-2.dist-info/METADATA 0 -> 3
        Mode a/run.sh 3 -> 3
        Changed a/x.py 3 -> 3
        Removed a/y.py 3 -> 0
        Added a/z.py 0 -> 4
        Removed b-1.dist-info/METADATA 1 -> 0
        Added d-1.dist-info/METADATA 0 -> 1
        Added note 0 -> 1
        "
        );
    }

    #[test]
    fn a_zip_is_not_different_from_itself() {
        let difference = compare("a x\nb y", "b y\na x");
        assert!(difference.is_empty() && difference.packages.is_empty());
        assert_eq!(difference.same_files, 2);
    }

    #[test]
    fn the_difference_as_json_says_its_format() {
        let json = serde_json::to_string(&compare("a x", "a yy")).expect("it is JSON");
        insta::assert_snapshot!(json, @r#"{"format":1,"old":{"name":"old.zip","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","zipped":100,"unzipped":1,"files":1},"new":{"name":"new.zip","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","zipped":100,"unzipped":2,"files":1},"same_files":0,"packages":[{"name":null,"root":null,"old":{"version":null,"files":1,"unzipped":1,"zipped":1},"new":{"version":null,"files":1,"unzipped":2,"zipped":1},"files_added":0,"files_removed":0,"files_changed":1}],"files":[{"path":"a","change":"changed","package":null,"old_unzipped":1,"new_unzipped":2}]}"#);
    }
}
