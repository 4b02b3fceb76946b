//! Why no set of wheels could be chosen, in words a user can act on.

use layercake_core::{
    Hint,
    hash::Sha256,
    target::{Runtime, Target},
};

use super::describe_targets;

/// Why requirements could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A line that is no requirement.
    #[error("`{text}` ({origin}) is not a requirement: {reason}")]
    BadRequirement {
        /// Where it was written.
        origin: String,
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A requirement of a kind that is understood but not supported.
    #[error("`{text}` ({origin}) is {feature}, which is not supported")]
    Unsupported {
        /// Where it was written.
        origin: String,
        /// What was written.
        text: String,
        /// What it is, with its article.
        feature: &'static str,
    },
    /// A bound on the time of publication that is none.
    #[error("`{text}` (--exclude-newer) is neither a date nor a time")]
    BadTime {
        /// What was given.
        text: String,
    },
    /// An index address that is none.
    #[error("`{url}` is not the address of a package index: {reason}")]
    BadIndex {
        /// What was given, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No index has the package.
    #[error("there is no package `{package}` on the package index{}", asked_in(.origin.as_deref()))]
    NoSuchPackage {
        /// Its name.
        package: String,
        /// Where it was asked for, if the user did.
        origin: Option<String>,
    },
    /// No version of the package is within the bounds.
    #[error("no version of `{package}` is `{specifiers}`{}; the newest is {newest}", asked_in(.origin.as_deref()))]
    NoSuchVersion {
        /// Its name.
        package: String,
        /// The bounds.
        specifiers: String,
        /// Where it was asked for, if the user did.
        origin: Option<String>,
        /// The newest version there is.
        newest: String,
    },
    /// The package has wheels, but none that runs on the target.
    #[error("no wheel of `{package}` {version} fits {target}; {}", there_is_one(.available))]
    NoCompatibleWheel {
        /// The package.
        package: String,
        /// The version that was asked for, or `up to` the newest of several.
        version: String,
        /// What was built for.
        target: Target,
        /// The targets that these versions have wheels for.
        available: Vec<Target>,
        /// The newest version that has a wheel for the target.
        nearest: Option<String>,
    },
    /// The package is published as source only.
    #[error(
        "`{package}` {version} is published as source only, and layers are made of wheels: source would be built for this machine, not for {target}"
    )]
    OnlySourceDistribution {
        /// The package.
        package: String,
        /// The version that was asked for, or `up to` the newest of several.
        version: String,
        /// What was built for.
        target: Target,
        /// The newest version that has a wheel for the target.
        nearest: Option<String>,
    },
    /// The requirements contradict each other.
    #[error("the requirements cannot all be met on {target}: {explanation}")]
    Unsatisfiable {
        /// What was built for.
        target: Target,
        /// The solver's reasoning.
        explanation: String,
        /// What it advises.
        advice: Vec<String>,
    },
    /// The wheel that was chosen is not one that a `--hash` allows.
    #[error("`{filename}` has sha256 {actual}, which no `--hash` of `{package}` ({origin}) allows")]
    HashNotAllowed {
        /// The package.
        package: String,
        /// Where the hashes are written.
        origin: String,
        /// The wheel.
        filename: String,
        /// Its hash, by the index.
        actual: Sha256,
    },
    /// `--require-hashes` is on, and a package has none.
    #[error("`--require-hashes` is on, and no line gives a hash for `{package}=={version}`")]
    HashRequired {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// The index does not say what the wheel's hash is.
    #[error("the package index gives no sha256 for `{filename}`, so it could not be verified")]
    NoHash {
        /// The wheel.
        filename: String,
    },
    /// The index did not answer.
    #[error("cannot reach the package index at {url}: {reason}")]
    IndexUnreachable {
        /// What was asked for, without credentials.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The index answered with an error.
    #[error("the package index answered {status} for {url}")]
    IndexRefused {
        /// What was asked for, without credentials.
        url: String,
        /// HTTP status code.
        status: u16,
    },
    /// Offline, and the answer is not in the cache.
    #[error("`{package}` is not in the cache, and the network is off")]
    Offline {
        /// What is missing.
        package: String,
    },
    /// The cache cannot be used.
    #[error("cannot use the cache at `{path}`: {reason}")]
    Cache {
        /// The folder.
        path: camino::Utf8PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// An answer of the index that makes no sense.
    #[error("the package index gave an answer that cannot be used: {reason}")]
    BadAnswer {
        /// What is wrong with it.
        reason: String,
    },
    /// Our own mistake.
    #[error("the resolver failed: {reason}")]
    Internal {
        /// What happened.
        reason: String,
    },
}

impl Hint for ResolveError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadRequirement { .. } => "write requirements as in `pandas>=2,<3` (PEP 508)".to_owned(),
            Self::Unsupported { .. } => {
                "ask for the package by name and version; it must have a wheel on a package index".to_owned()
            }
            Self::BadTime { .. } => {
                "give a date such as 2025-12-31, or a time such as 2025-12-31T12:00:00Z".to_owned()
            }
            Self::BadIndex { .. } => "give the address of a simple index, ending in `/simple`".to_owned(),
            Self::NoSuchPackage { .. } => {
                "check the spelling; the name on the index can differ from the name that is imported".to_owned()
            }
            Self::NoSuchVersion { package, newest, .. } => {
                format!("ask for a version that exists, such as `{package}=={newest}`")
            }
            Self::NoCompatibleWheel { package, target, available, nearest, .. } => {
                match (nearest, other_runtime(available, *target)) {
                    (Some(version), Some(runtime)) => format!(
                        "ask for `{package}=={version}`, the newest that has one, or use --runtime {runtime}"
                    ),
                    (Some(version), None) => {
                        format!("ask for `{package}=={version}`, the newest that has one")
                    }
                    (None, Some(runtime)) => format!("use --runtime {runtime}"),
                    (None, None) => "look for another package that does the same and has wheels".to_owned(),
                }
            }
            Self::OnlySourceDistribution { package, nearest: Some(version), .. } => {
                format!("ask for `{package}=={version}`, the newest that has a wheel")
            }
            Self::OnlySourceDistribution { .. } => {
                "look for another package that does the same and has wheels, or publish a wheel on an index of your own"
                    .to_owned()
            }
            Self::Unsatisfiable { advice, .. } if !advice.is_empty() => advice.join("; "),
            Self::Unsatisfiable { .. } => {
                "loosen one of the versions named above, or choose another runtime".to_owned()
            }
            Self::HashNotAllowed { .. } => {
                "the lines were locked for another target: add the hash after you have checked the wheel, or remove the hashes"
                    .to_owned()
            }
            Self::HashRequired { package, version } => {
                format!("add `{package}=={version} --hash=sha256:…`, or take `--require-hashes` out")
            }
            Self::NoHash { .. } => "use an index that gives hashes".to_owned(),
            Self::IndexUnreachable { .. } => {
                "check the network, and the proxy and certificate settings (HTTPS_PROXY, SSL_CERT_FILE); --offline works from the cache alone"
                    .to_owned()
            }
            Self::IndexRefused { status: 401 | 403, .. } => {
                "give the index credentials in its address, in netrc or in a keyring".to_owned()
            }
            Self::IndexRefused { .. } | Self::BadAnswer { .. } => "try again later".to_owned(),
            Self::Offline { .. } => "run once without --offline".to_owned(),
            Self::Cache { .. } => "choose another folder with --cache-dir, or make this one writable".to_owned(),
            Self::Internal { .. } => return None,
        })
    }

    fn is_bug(&self) -> bool {
        matches!(self, Self::Internal { .. })
    }
}

fn asked_in(origin: Option<&str>) -> String {
    origin.map(|origin| format!(" (asked for in {origin})")).unwrap_or_default()
}

fn there_is_one(available: &[Target]) -> String {
    if available.is_empty() {
        "there is none for any Lambda runtime".to_owned()
    } else {
        format!("there is one for {}", describe_targets(available))
    }
}

/// The runtime nearest to the target's that has a wheel on the same architecture.
fn other_runtime(available: &[Target], target: Target) -> Option<Runtime> {
    available
        .iter()
        .filter(|other| other.arch == target.arch)
        .map(|other| other.runtime)
        .min_by_key(|runtime| runtime.minor().abs_diff(target.runtime.minor()))
}
