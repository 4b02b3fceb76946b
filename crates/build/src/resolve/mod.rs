//! Choosing wheels: from requirements and a target to pins, with no interpreter of the target.
//!
//! Owns the adapter over uv's crates; this folder is the only place that names them, so that a
//! change of their interface ends here. Never builds a source distribution, never prints, never
//! lets credentials out of the client.

mod availability;
mod client;
mod context;
mod error;
mod failure;
pub mod requirements_txt;
mod solve;
mod target_tags;

use layercake_core::{
    hash::Sha256,
    requirements::{RequirementLine, Requirements},
    resolution::Resolution,
    target::Target,
};

pub use availability::describe_targets;
pub(crate) use client::{Begin, Sink, TransferError};
pub use client::{IndexOptions, IndexSettings, PackageIndex};
pub use error::ResolveError;
pub(crate) use target_tags::is_same_version;
pub use target_tags::{BadPythonSpecifier, python_fits};

/// Everything that narrows a resolution: what is wanted, within which bounds, from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What must be there.
    pub requirements: Requirements,
    /// Bounds on what may come along (`-c`).
    pub constraints: Requirements,
    /// Hashes that the lines allow (`--hash`), with the line each set belongs to.
    pub hashes: Vec<AllowedHashes>,
    /// Whether every wheel must have an allowed hash (`--require-hashes`).
    pub require_hashes: bool,
    /// Indexes that requirement files name. The caller decides whether they count.
    pub indexes: IndexSettings,
}

/// The wheels that one requirement line accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHashes {
    /// Normalised package name.
    pub package: String,
    /// Where it was written.
    pub origin: String,
    /// Any of these will do.
    pub sha256: Vec<Sha256>,
}

impl Asked {
    /// Asks for requirement specifiers given one by one, such as `--with pandas`.
    pub fn with(origin: &str, specifiers: &[String]) -> Self {
        let lines = specifiers
            .iter()
            .map(|text| RequirementLine { text: text.trim().to_owned(), origin: origin.to_owned() })
            .collect();
        Self { requirements: Requirements { lines }, ..Self::default() }
    }

    /// Asks for what both ask for. Index settings of `self` come first.
    pub fn and(mut self, other: Self) -> Self {
        self.requirements.lines.extend(other.requirements.lines);
        self.constraints.lines.extend(other.constraints.lines);
        self.hashes.extend(other.hashes);
        self.require_hashes |= other.require_hashes;
        self.indexes = self.indexes.or(other.indexes);
        self
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl From<Requirements> for Asked {
    fn from(requirements: Requirements) -> Self {
        Self { requirements, ..Self::default() }
    }
}

impl PackageIndex {
    /// Chooses one wheel for each package that `asked` needs on `target`.
    ///
    /// Blocks; call it outside of async code or on a blocking thread.
    ///
    /// # Errors
    /// [`ResolveError`], which says what to change.
    pub fn resolve(&self, asked: &Asked, target: Target) -> Result<Resolution, ResolveError> {
        self.run(async |index| solve::solve(index, asked, target).await)
    }

    /// The targets for which an index has a wheel of this package, of this version or (`None`) of
    /// its newest.
    ///
    /// # Errors
    /// [`ResolveError::NoSuchPackage`] and the errors of reaching the index.
    pub fn available_targets(
        &self,
        package: &str,
        version: Option<&str>,
    ) -> Result<Vec<Target>, ResolveError> {
        self.run(async |index| availability::available_targets(index, package, version).await)
    }
}
