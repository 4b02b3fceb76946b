//! Lock files: `pylock.toml` (PEP 751, whoever wrote it) and `uv.lock`, as values.
//!
//! Owns the model, reading, writing and choosing for a target. Never touches files, never resolves,
//! never writes credentials. What only a resolver can answer (markers, version specifiers, the
//! order of wheel tags) comes in as [`TargetRules`].

mod changes;
mod drift;
mod of;
mod read;
mod select;
mod uv;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::target::Target;

pub use changes::PackageChange;
pub use drift::{Change, Drift};
pub use read::LockError;
pub use select::{BuildSource, Scope, SelectError, Selection, SourceArchive, TargetRules, ToBuild};
pub use uv::UvLock;

/// The version of the format that is written here and known in full.
pub const LOCK_VERSION: &str = "1.0";

/// What [`Lock::created_by`] says in our own locks.
pub const CREATED_BY: &str = "layercake";

/// The largest lock that is read, in bytes. The largest known ones, of projects with thousands of
/// packages, have a few MB.
pub const LARGEST_LOCK: usize = 64 << 20;

/// A `pylock.toml`.
///
/// Field names are those of the specification ("pylock.toml Specification", PEP 751).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// `lock-version`. A minor version above [`LOCK_VERSION`] may have keys that are not known here.
    pub lock_version: String,
    /// Markers of the environments it is for; empty for any.
    pub environments: Vec<String>,
    /// The Python versions it is for.
    pub requires_python: Option<String>,
    /// Extras that may be chosen.
    pub extras: Vec<String>,
    /// Dependency groups that may be chosen.
    pub dependency_groups: Vec<String>,
    /// Groups that count without being chosen.
    pub default_groups: Vec<String>,
    /// The tool that wrote it.
    pub created_by: String,
    /// Everything that may be installed. A name may stand here more than once, with other markers.
    pub packages: Vec<LockedPackage>,
    /// What it was made from, in a lock of our own (`[tool.layercake]`).
    pub inputs: Option<LockedInputs>,
}

/// What a lock was made from, so that a change of it shows without the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedInputs {
    /// What it was resolved for.
    pub targets: Vec<Target>,
    /// The requirements, normalised, each with the hashes that it allows; sorted.
    pub requirements: Vec<String>,
    /// The constraints, normalised; sorted.
    pub constraints: Vec<String>,
}

/// One entry of `packages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// Normalised name.
    pub name: String,
    /// Version; not there for a folder or a repository.
    pub version: Option<String>,
    /// Where it is installed; everywhere without one.
    pub marker: Option<String>,
    /// The Python versions it is for.
    pub requires_python: Option<String>,
    /// The other packages that it needs. Told to people; never followed.
    pub dependencies: Vec<LockedDependency>,
    /// Where it comes from.
    pub source: Source,
}

/// Another entry, named as shortly as it is unambiguous.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedDependency {
    /// Normalised name.
    pub name: String,
    /// Its version, where the name stands for several.
    pub version: Option<String>,
}

/// Where a package comes from. The specification lets an entry have one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files of a release: wheels, and perhaps its source distribution.
    Release {
        /// The index they are from.
        index: Option<String>,
        /// The wheels.
        wheels: Vec<LockedFile>,
        /// The source distribution.
        sdist: Option<LockedFile>,
    },
    /// One file that was asked for by its address.
    Archive {
        /// The file.
        file: LockedFile,
        /// The folder in it that holds the project, when that is not its top.
        subdirectory: Option<String>,
    },
    /// A folder.
    Directory {
        /// The folder, as seen from the lock.
        path: String,
        /// The folder in it that holds the project, when that is not its top.
        subdirectory: Option<String>,
    },
    /// A repository.
    Vcs {
        /// `git` and the like.
        kind: String,
        /// Its address, or its folder.
        place: Place,
        /// What was asked for: a branch, a tag or a commit.
        requested: Option<String>,
        /// The commit.
        commit: String,
        /// The folder in it that holds the project, when that is not its top.
        subdirectory: Option<String>,
    },
}

/// A file, and how to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    /// File name.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Size in bytes.
    pub size: Option<u64>,
    /// When it was published, in RFC 3339.
    pub upload_time: Option<String>,
    /// Hashes in hexadecimal by the name of their algorithm.
    pub hashes: BTreeMap<String, String>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An address.
    Url(String),
    /// A path as seen from the lock, or an absolute one.
    Path(String),
}

impl Place {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Url(text) | Self::Path(text) => text,
        }
    }

    /// The last part, as it is written, without what follows `?` or `#`.
    pub(crate) fn last_part(&self) -> &str {
        let path = match self {
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or(url),
            Self::Path(path) => path,
        };
        path.rsplit('/').next().unwrap_or(path)
    }
}

impl Lock {
    /// Changes every place and folder in it: a path counts from the lock's folder, and an address
    /// may hold credentials that must not get on.
    pub fn relocate(&mut self, place: impl Fn(&mut Place), folder: impl Fn(&mut String)) {
        for package in &mut self.packages {
            match &mut package.source {
                Source::Release { wheels, sdist, .. } => {
                    wheels.iter_mut().chain(sdist).for_each(|file| place(&mut file.place));
                }
                Source::Archive { file, .. } => place(&mut file.place),
                Source::Directory { path, .. } => folder(path),
                Source::Vcs { place: repository, .. } => place(repository),
            }
        }
    }

    /// Whether we wrote it.
    pub fn is_ours(&self) -> bool {
        self.inputs.is_some()
    }
}

/// Whether a lock of anyone may have this file name (the specification's "File Name").
pub fn is_lock_name(file_name: &str) -> bool {
    let Some(stem) = file_name.strip_suffix(".toml") else { return false };
    match stem.strip_prefix("pylock") {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(|name| !name.is_empty() && !name.contains('.')),
        None => false,
    }
}
