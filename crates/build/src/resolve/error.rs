//! Why no set of wheels could be chosen, in words a user can act on.

use layercake_core::{
    Hint,
    target::{Runtime, Target},
};

use super::describe_targets;
use crate::source::BuildError;

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
    /// A requirement by file or folder that is not there.
    #[error("there is no `{path}` ({origin})")]
    Missing {
        /// Where it was written.
        origin: String,
        /// The file or folder.
        path: String,
    },
    /// A requirements file by URL that cannot be had or used.
    #[error("the requirements file {url} ({origin}) cannot be used: {reason}")]
    RemoteFile {
        /// Where it was written.
        origin: String,
        /// Where it is, without credentials.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// A package that another one asks for by address.
    #[error(
        "`{package}` is asked for by address ({url}) by a package, which counts only when you ask for it too"
    )]
    IndirectUrl {
        /// The package.
        package: String,
        /// The address, without credentials.
        url: String,
    },
    /// A wheel that was asked for by address and does not run on the target.
    #[error("`{filename}` ({origin}) does not run on {target}: {reason}")]
    WheelDoesNotFit {
        /// The wheel.
        filename: String,
        /// Where it was written.
        origin: String,
        /// What was built for.
        target: Target,
        /// Which tag does not fit.
        reason: String,
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
    /// A `--find-links` place that cannot be read.
    #[error("cannot read `{place}` (--find-links): {reason}")]
    BadFindLinks {
        /// What was given, without credentials.
        place: String,
        /// What went wrong.
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
    /// The package is published as source only, and is not built.
    #[error("`{package}` {version} is published as source only, and {}", why_not_built(*.forbidden, *.target))]
    OnlySourceDistribution {
        /// The package.
        package: String,
        /// The version that was asked for, or `up to` the newest of several.
        version: String,
        /// What was built for.
        target: Target,
        /// The newest version that has a wheel for the target.
        nearest: Option<String>,
        /// Whether `--only-binary` forbids the build. Otherwise there is no Python to do it.
        forbidden: bool,
    },
    /// Something must be built from source, and there is no Python to do it.
    #[error("`{what}` must be built from source, which needs a Python {} on this machine", .target.runtime.python_version())]
    NoInterpreter {
        /// What is to be built.
        what: String,
        /// What was built for.
        target: Target,
    },
    /// The Python that should build does not work.
    #[error("`{path}` cannot build source distributions for {target}: {reason}")]
    BadInterpreter {
        /// The program.
        path: camino::Utf8PathBuf,
        /// What was built for.
        target: Target,
        /// What is wrong with it.
        reason: String,
    },
    /// A build from source failed.
    #[error("cannot build `{what}` from source for {target}")]
    Build {
        /// What was built.
        what: String,
        /// What was built for.
        target: Target,
        /// The newest version that has a wheel for the target.
        nearest: Option<String>,
        /// Why.
        source: Box<BuildError>,
    },
    /// A source distribution asks for another Python.
    #[error("the source distribution requires Python {specifiers}, and it would be built by {installed}")]
    SourceNeedsPython {
        /// What it asks for.
        specifiers: String,
        /// What there is.
        installed: String,
    },
    /// The source distribution that was chosen is not one that a `--hash` allows.
    #[error("{source_distribution} is none that a `--hash` allows: expected {expected}, and it has {actual}")]
    SourceHashNotAllowed {
        /// What was to be built.
        source_distribution: String,
        /// The allowed hashes.
        expected: String,
        /// Its own.
        actual: String,
    },
    /// A requirement from git, and there is no git.
    #[error("a requirement from git needs the program `git`, which is not on PATH")]
    NoGit,
    /// A requirement from git, and the network is off.
    #[error("a requirement from git is not in the cache, and the network is off")]
    OfflineGit,
    /// git failed.
    #[error("git failed: {reason}")]
    Git {
        /// What it said.
        reason: String,
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
    #[error("`{filename}` has {actual}, which no `--hash` of `{package}` ({origin}) allows")]
    HashNotAllowed {
        /// The package.
        package: String,
        /// Where the hashes are written.
        origin: String,
        /// The wheel, or the source distribution that it is built from.
        filename: String,
        /// Its hash.
        actual: String,
    },
    /// `--require-hashes` is on, and a package has none.
    #[error("`--require-hashes` is on, and no line gives a hash for `{package}=={version}`")]
    HashRequired {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// The hash of a file that nobody gives a hash for cannot be found out.
    #[error("cannot find out the sha256 of `{filename}` at {url}: {reason}")]
    NoHash {
        /// The file.
        filename: String,
        /// Where it is, without credentials.
        url: String,
        /// What went wrong.
        reason: String,
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
                "ask for the package by name and version, or by the address of a wheel or source".to_owned()
            }
            Self::Missing { .. } => "check the path; it is looked for beside the file that names it, and then here".to_owned(),
            Self::RemoteFile { .. } => "download it, look at it, and give it as a file".to_owned(),
            Self::IndirectUrl { package, url } => format!("ask for `{package} @ {url}` as well"),
            Self::WheelDoesNotFit { .. } => {
                "give a wheel that was built for Lambda, or use the --runtime and --arch that it is for".to_owned()
            }
            Self::BadFindLinks { .. } => {
                "give a folder with wheels, or the address of an HTML page with links to wheels".to_owned()
            }
            Self::NoInterpreter { target, .. } => install_python(*target),
            Self::BadInterpreter { .. } => "name another Python with --python".to_owned(),
            Self::Build { source, nearest, .. } => match (&**source, nearest) {
                (BuildError::Native { .. }, Some(version)) => format!(
                    "pin {version}, the newest version with a wheel for it, ask for another runtime, or give a wheel built for Lambda as ./file.whl"
                ),
                (BuildError::Backend { .. }, Some(version)) => format!(
                    "pin {version}, the newest version with a wheel; or {}",
                    source.hint().unwrap_or_default()
                ),
                _ => return source.hint(),
            },
            Self::SourceNeedsPython { .. } => "use a newer --runtime, or pin an older version".to_owned(),
            Self::SourceHashNotAllowed { .. } => {
                "add the hash after you have checked the source distribution, or remove the hashes".to_owned()
            }
            Self::NoGit => "install git, or give the address of an archive of the repository".to_owned(),
            Self::Git { .. } => {
                "check the address, the branch or tag after `@`, and that `git clone` of it works".to_owned()
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
            Self::OnlySourceDistribution { forbidden: true, .. } => {
                "take --only-binary out for it, or look for another package that does the same and has wheels"
                    .to_owned()
            }
            Self::OnlySourceDistribution { target, .. } => format!(
                "{}; or look for another package that does the same and has wheels",
                install_python(*target)
            ),
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
            Self::NoHash { .. } => "use an index that gives hashes, or write `#sha256=…` after the address".to_owned(),
            Self::IndexUnreachable { .. } => {
                "check the network, and the proxy and certificate settings (HTTPS_PROXY, SSL_CERT_FILE); --offline works from the cache alone"
                    .to_owned()
            }
            Self::IndexRefused { status: 401 | 403, .. } => {
                "give the index credentials in its address, in netrc or in a keyring".to_owned()
            }
            Self::IndexRefused { .. } | Self::BadAnswer { .. } => "try again later".to_owned(),
            Self::Offline { .. } | Self::OfflineGit => "run once without --offline".to_owned(),
            Self::Cache { .. } => "choose another folder with --cache-dir, or make this one writable".to_owned(),
            Self::Internal { .. } => return None,
        })
    }

    fn is_bug(&self) -> bool {
        match self {
            Self::Internal { .. } => true,
            Self::Build { source, .. } => source.is_bug(),
            _ => false,
        }
    }
}

fn why_not_built(forbidden: bool, target: Target) -> String {
    if forbidden {
        return "--only-binary forbids to build it".to_owned();
    }
    format!("there is no Python {} here to build it for {target}", target.runtime.python_version())
}

fn install_python(target: Target) -> String {
    let version = target.runtime.python_version();
    format!(
        "install Python {version} (`uv python install {version}` or `pyenv install {version}`), or name one with --python"
    )
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
