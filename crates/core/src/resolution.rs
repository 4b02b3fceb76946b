//! What the resolver chose: the pins, the wheel of each, and why it is there.

use serde::{Deserialize, Serialize};

use crate::{hash::Sha256, target::Target};

/// Version of the serialised form, raised when its meaning changes.
pub const RESOLUTION_FORMAT: u32 = 1;

/// One wheel for each package that the requirements need on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// [`RESOLUTION_FORMAT`] of the writer.
    pub format: u32,
    /// What it was resolved for.
    pub target: Target,
    /// The wheels, sorted by package name.
    pub wheels: Vec<ResolvedWheel>,
}

/// A wheel on an index, chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedWheel {
    /// Package name, normalised (PEP 503).
    pub name: String,
    /// Version (PEP 440).
    pub version: String,
    /// The wheel's file name, with its tags.
    pub filename: String,
    /// Where it is. Never holds credentials.
    pub url: String,
    /// The hash that the index gives.
    pub sha256: Sha256,
    /// Size in bytes, when the index tells it.
    pub size: Option<u64>,
    /// Names of the packages that need it.
    pub required_by: Vec<String>,
    /// Whether the user asked for it by name; other packages may need it all the same.
    #[serde(default)]
    pub asked: bool,
    /// What it was built from, when it is no wheel that somebody published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// What a wheel was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// A source distribution: on an index, at an address of its own, or a file.
    Archive {
        /// Where it is. Never holds credentials.
        url: String,
        /// Its hash.
        sha256: Sha256,
        /// The folder in it that holds the project, when that is not its top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
    /// A commit of a git repository.
    Git {
        /// The repository. Never holds credentials.
        url: String,
        /// The commit, in full.
        commit: String,
        /// What was asked for: a branch, a tag or a commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requested: Option<String>,
        /// The folder in it that holds the project, when that is not its top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
    /// A folder of this machine. Nothing vouches for what it will hold tomorrow.
    Folder {
        /// The folder.
        path: String,
    },
}

impl Resolution {
    /// A resolution whose wheels are in the one order that everything after relies on.
    pub fn new(target: Target, mut wheels: Vec<ResolvedWheel>) -> Self {
        wheels.sort_by(|a, b| a.name.cmp(&b.name));
        Self { format: RESOLUTION_FORMAT, target, wheels }
    }
}
