//! Choosing wheels: from requirements and a target to pins, with no interpreter of the target.
//!
//! Owns the adapter over uv's crates; this folder is the only place that names them, so that a
//! change of their interface ends here. Never builds anything itself ([`crate::source`] does), never
//! prints, never lets credentials out of the client.

mod availability;
mod client;
mod context;
mod digest;
mod direct;
mod draft;
mod error;
mod explain;
mod failure;
mod finish;
mod formats;
mod host;
pub mod installed;
mod lookahead;
pub(crate) mod markers;
mod remote;
pub mod requirements_txt;
mod settings;
mod solve;
mod target_tags;

use std::collections::BTreeMap;

use layercake_core::{
    requirements::{RequirementLine, Requirements},
    resolution::Resolution,
    target::Target,
};

pub use availability::describe_targets;
pub use client::PackageIndex;
pub(crate) use client::{Begin, Sink, TransferError, prepare_threads};
pub(crate) use digest::Digester;
pub use digest::{Algorithm, Digest, NotADigest};
pub use error::ResolveError;
pub(crate) use failure::redacted;
pub use formats::FormatControl;
pub(crate) use host::Host;
pub use settings::{IndexOptions, IndexSettings, IndexStrategy};
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
    /// Versions to keep where they are still allowed, by normalised package name: those of an
    /// existing lock.
    pub preferred: BTreeMap<String, String>,
    /// `--no-binary` and `--only-binary` of requirement files.
    pub formats: FormatControl,
    /// Whether a requirement file says `--pre`.
    pub pre: bool,
    /// Requirement files by URL. They are read when the resolution starts.
    pub remote: Vec<RemoteFile>,
    /// What the user should know about the lines.
    pub notes: Vec<String>,
}

/// A requirements file by URL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemoteFile {
    /// Where it is; may hold credentials.
    pub url: String,
    /// Where it was named.
    pub origin: String,
    /// Whether its lines are bounds (`-c`).
    pub is_constraints: bool,
}

impl std::fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteFile")
            .field("url", &settings::shown_address(&self.url))
            .field("origin", &self.origin)
            .field("is_constraints", &self.is_constraints)
            .finish()
    }
}

/// The files that one requirement line accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHashes {
    /// Normalised package name; empty when the line is an address that does not tell it.
    pub package: String,
    /// Where it was written.
    pub origin: String,
    /// Any of these will do.
    pub digests: Vec<Digest>,
}

impl AllowedHashes {
    /// Whether they speak of this package, which was asked for in these places.
    fn belongs_to(&self, package: &str, origins: &[String]) -> bool {
        if self.package.is_empty() { origins.contains(&self.origin) } else { self.package == package }
    }
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
        self.preferred.extend(other.preferred);
        self.formats = self.formats.and(other.formats);
        self.pre |= other.pre;
        self.remote.extend(other.remote);
        self.notes.extend(other.notes);
        self
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.remote.iter().all(|file| file.is_constraints)
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
    /// What is asked for as source, by address or by `--no-binary`, and what is published as source
    /// only, is built by the Python among [`IndexOptions::pythons`] that has the target's minor
    /// version. **That runs code of those packages**, as with pip and uv; [`Self::on_build`] hears
    /// of it before. What comes of a build is used only when it has no native code.
    ///
    /// Blocks; call it outside of async code or on a blocking thread.
    ///
    /// # Errors
    /// [`ResolveError`], which says what to change.
    pub fn resolve(&self, asked: &Asked, target: Target) -> Result<Resolution, ResolveError> {
        let asked = remote::with_remote_files(self, asked)?;
        let drafts = self.run(async |index| solve::solve(self, index, &asked, target).await)?;
        Ok(Resolution::new(target, finish::finish(self, &asked, drafts)?))
    }

    /// Chooses wheels that run on this machine, for building something with them.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub(crate) fn resolve_for_build(
        &self,
        requires: &[String],
        host: &Host,
    ) -> Result<Resolution, ResolveError> {
        let drafts = self.run(async |index| solve::solve_for_build(index, requires, host).await)?;
        Ok(Resolution::new(host.target, finish::finish(self, &Asked::default(), drafts)?))
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
