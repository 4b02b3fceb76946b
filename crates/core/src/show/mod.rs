//! What a zip costs: by package, by kind of file, by folder and by file, against what Lambda takes.
//!
//! Owns these sums and the page that shows them. Says nothing about whether the zip will run.

mod page;
mod tree;

use serde::Serialize;

use crate::{
    contents::{ContentFile, Contents},
    hash::Sha256,
    limits,
    wheel::has_extension,
    zip::EntryKind,
};

pub use page::page;
pub use tree::{Node, Tree};

/// The form of [`Costs`] as JSON. Fields may be added; this number changes when one goes or means
/// something else.
pub const FORMAT: u32 = 1;

/// A zip as its maker gave it, and its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZipTotals {
    /// The file's name, for people.
    pub name: String,
    /// Its hash.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub zipped: u64,
    /// Sum of the unpacked sizes in bytes, as Lambda counts.
    pub unzipped: u64,
    /// Number of files and links in it.
    pub files: u64,
}

/// What a zip costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// [`FORMAT`].
    pub format: u32,
    /// The zip.
    pub zip: ZipTotals,
    /// What Lambda takes.
    pub budget: Budget,
    /// By package, the one with the most unzipped bytes first.
    pub packages: Vec<PackageCost>,
    /// By kind, in the same order; kinds that do not occur are left out.
    pub kinds: Vec<KindCost>,
    /// By file, in the same order.
    pub files: Vec<FileCost>,
}

/// A zip's sizes against Lambda's limits ([`limits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Limit on the unzipped size of a function's code and all its layers, in bytes.
    pub unzipped_limit: u64,
    /// Whether this zip alone is below it.
    pub unzipped_fits: bool,
    /// Limit on a zip that travels in the request, in bytes.
    pub direct_limit: u64,
    /// Whether this zip can; a larger one goes through S3.
    pub direct_fits: bool,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Number of files and links.
    pub files: u64,
    /// Sum of their unpacked sizes in bytes.
    pub unzipped: u64,
    /// Sum of their sizes in the zip in bytes, without the zip's own headers.
    pub zipped: u64,
}

/// What a package costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageCost {
    /// Its normalised name; nothing for files that belong to no package.
    pub name: Option<String>,
    /// Its version, if its metadata names one.
    pub version: Option<String>,
    /// The folder it is installed into, as a path in the zip.
    pub root: Option<String>,
    /// How much it is.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What files of a kind cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KindCost {
    /// The kind.
    pub kind: FileKind,
    /// How much it is.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a file costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCost {
    /// Its path in the zip.
    pub path: String,
    /// Its package, if it belongs to one.
    pub package: Option<String>,
    /// Its kind.
    pub kind: FileKind,
    /// Unpacked size in bytes.
    pub unzipped: u64,
    /// Size in the zip in bytes.
    pub zipped: u64,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Shared libraries and programs.
    Library,
    /// Python's bytecode.
    Bytecode,
    /// Python's sources and type stubs.
    Source,
    /// What installers wrote about distributions.
    Metadata,
    /// Everything else.
    Data,
}

impl FileKind {
    /// All kinds, in the order of a legend.
    pub const ALL: [Self; 5] = [Self::Library, Self::Bytecode, Self::Source, Self::Metadata, Self::Data];

    /// The kind of a file.
    pub fn of(file: &ContentFile, contents: &Contents) -> Self {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let is_metadata = contents
            .owner(file)
            .and_then(|owner| file.path.strip_prefix(owner.folder.as_str()))
            .is_some_and(|below| below.is_empty() || below.starts_with('/'));
        let is_library = file.elf.is_some()
            || file.damage.is_some()
            || name.contains(".so.")
            || has_extension(name, &["so", "dylib", "dll", "pyd"]);
        if is_metadata {
            Self::Metadata
        } else if is_library {
            Self::Library
        } else if has_extension(name, &["pyc"]) {
            Self::Bytecode
        } else if has_extension(name, &["py", "pyi"]) {
            Self::Source
        } else {
            Self::Data
        }
    }

    /// In words, in the plural.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Library => "shared libraries",
            Self::Bytecode => "bytecode",
            Self::Source => "sources",
            Self::Metadata => "metadata",
            Self::Data => "data",
        }
    }
}

impl Tally {
    /// Adds one file.
    pub(crate) fn add(&mut self, file: &ContentFile) {
        self.files += 1;
        self.unzipped += file.size;
        self.zipped += file.packed_size;
    }
}

impl ZipTotals {
    /// Sums up a zip of this name, size in bytes and hash.
    pub fn new(name: &str, zipped: u64, sha256: Sha256, contents: &Contents) -> Self {
        Self {
            name: name.to_owned(),
            sha256,
            zipped,
            unzipped: contents.unpacked_size(),
            files: files(contents).count() as u64,
        }
    }
}

impl Costs {
    /// Sums up what is in a zip.
    pub fn new(zip: ZipTotals, contents: &Contents) -> Self {
        let budget = Budget {
            unzipped_limit: limits::UNZIPPED_BYTES,
            unzipped_fits: zip.unzipped < limits::UNZIPPED_BYTES,
            direct_limit: limits::ZIPPED_DIRECT_BYTES,
            direct_fits: limits::fits_in_request(zip.zipped),
        };
        Self {
            format: FORMAT,
            zip,
            budget,
            packages: packages(contents),
            kinds: kinds(contents),
            files: file_costs(contents),
        }
    }
}

/// What takes space: everything but folders.
pub(crate) fn files(contents: &Contents) -> impl Iterator<Item = &ContentFile> {
    contents.files.iter().filter(|file| file.kind != EntryKind::Folder)
}

fn packages(contents: &Contents) -> Vec<PackageCost> {
    let mut tallies = vec![Tally::default(); contents.distributions.len()];
    let mut rest = Tally::default();
    for file in files(contents) {
        file.owner.and_then(|owner| tallies.get_mut(owner)).unwrap_or(&mut rest).add(file);
    }
    let mut packages: Vec<_> = contents
        .distributions
        .iter()
        .zip(tallies)
        .map(|(distribution, tally)| PackageCost {
            name: Some(distribution.name.clone()),
            version: Some(distribution.version.clone()).filter(|version| !version.is_empty()),
            root: Some(distribution.root().to_owned()),
            tally,
        })
        .collect();
    if rest.files > 0 {
        packages.push(PackageCost { name: None, version: None, root: None, tally: rest });
    }
    // The sort is stable, so that equals stay in the order of their folders.
    packages.sort_by_key(|package| std::cmp::Reverse(package.tally.unzipped));
    packages
}

fn kinds(contents: &Contents) -> Vec<KindCost> {
    let mut kinds = FileKind::ALL.map(|kind| KindCost { kind, tally: Tally::default() });
    for file in files(contents) {
        let kind = FileKind::of(file, contents);
        for cost in kinds.iter_mut().filter(|cost| cost.kind == kind) {
            cost.tally.add(file);
        }
    }
    kinds.sort_by_key(|cost| std::cmp::Reverse(cost.tally.unzipped));
    kinds.into_iter().filter(|cost| cost.tally.files > 0).collect()
}

fn file_costs(contents: &Contents) -> Vec<FileCost> {
    let mut costs: Vec<_> = files(contents)
        .map(|file| FileCost {
            path: file.path.clone(),
            package: contents.owner(file).map(|owner| owner.name.clone()),
            kind: FileKind::of(file, contents),
            unzipped: file.size,
            zipped: file.packed_size,
        })
        .collect();
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.unzipped));
    costs
}

#[cfg(test)]
mod tests;
