//! Reading `pylock.toml`.
//!
//! Owns the shape of the file. Keys that are not known are passed over, as the specification has
//! it; a major version that is not known is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    LARGEST_LOCK, LOCK_VERSION, Lock, LockedDependency, LockedFile, LockedInputs, LockedPackage, Place,
    Source,
};
use crate::{Hint, target::Target, wheel::normalised_name};

/// Why a text is no lock that can be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LockError {
    /// Too large to be one.
    #[error("it has {size} bytes; locks of more than {LARGEST_LOCK} are not read")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Not TOML, or not of the right shape.
    #[error("it is not a valid lock{}: {reason}", in_line(*.line))]
    Invalid {
        /// Where, counted from 1, when that is known.
        line: Option<usize>,
        /// What the TOML reader said.
        reason: String,
    },
    /// A version of the format that is not known.
    #[error("it has version {version} of the format, and version {known} is known here")]
    UnknownVersion {
        /// What it says.
        version: String,
        /// What is known.
        known: &'static str,
    },
    /// An entry that contradicts the specification.
    #[error("its entry for `{package}` {reason}")]
    BadPackage {
        /// The package.
        package: String,
        /// What is wrong.
        reason: String,
    },
}

impl Hint for LockError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TooLarge { .. } => "this is no lock of Python packages: check the file".to_owned(),
            Self::Invalid { .. } | Self::BadPackage { .. } => {
                "write the lock anew with the tool that wrote it".to_owned()
            }
            Self::UnknownVersion { .. } => {
                "update layercake, or write the lock anew with an older version of the tool that wrote it"
                    .to_owned()
            }
        })
    }
}

fn in_line(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

/// Reads TOML of at most [`LARGEST_LOCK`] bytes. The reader bounds how deep values may nest.
pub(super) fn from_toml<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, LockError> {
    if text.len() > LARGEST_LOCK {
        return Err(LockError::TooLarge { size: text.len() });
    }
    let text = text.trim_start_matches('\u{feff}');
    toml::from_str(text).map_err(|error| LockError::Invalid {
        line: error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| before.lines().count().max(1)),
        reason: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Version {
    lock_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    lock_version: String,
    #[serde(default)]
    environments: Vec<String>,
    requires_python: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
    #[serde(default)]
    dependency_groups: Vec<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Default, Deserialize)]
struct Tool {
    layercake: Option<Inputs>,
}

#[derive(Deserialize)]
struct Inputs {
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    requirements: Vec<String>,
    #[serde(default)]
    constraints: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    index: Option<String>,
    #[serde(default)]
    wheels: Vec<Artifact>,
    sdist: Option<Artifact>,
    archive: Option<Artifact>,
    directory: Option<Directory>,
    vcs: Option<Vcs>,
}

#[derive(Deserialize)]
struct Dependency {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Directory {
    path: String,
    subdirectory: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Vcs {
    r#type: String,
    url: Option<String>,
    path: Option<String>,
    requested_revision: Option<String>,
    commit_id: String,
    subdirectory: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Artifact {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    subdirectory: Option<String>,
    size: Option<u64>,
    upload_time: Option<toml::value::Datetime>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

impl Lock {
    /// Reads a `pylock.toml`, whoever wrote it.
    ///
    /// # Errors
    /// [`LockError`]. What is wrong with the files of one package is told when it is chosen.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let file: File = from_toml(text).map_err(|error| {
            // Another version may have another shape; then the version is what is wrong.
            let version = from_toml::<Version>(text).ok().map(|version| version.lock_version);
            version.and_then(|version| known(&version).err()).unwrap_or(error)
        })?;
        known(&file.lock_version)?;
        Ok(Self {
            lock_version: file.lock_version,
            environments: file.environments,
            requires_python: file.requires_python,
            extras: file.extras,
            dependency_groups: file.dependency_groups,
            default_groups: file.default_groups,
            created_by: file.created_by,
            packages: file.packages.into_iter().map(package).collect::<Result<_, _>>()?,
            inputs: file.tool.layercake.map(|inputs| LockedInputs {
                targets: inputs.targets,
                requirements: inputs.requirements,
                constraints: inputs.constraints,
            }),
        })
    }
}

/// Refuses a major version that is not known.
fn known(version: &str) -> Result<(), LockError> {
    if version.split('.').next() == LOCK_VERSION.split('.').next() {
        return Ok(());
    }
    Err(LockError::UnknownVersion { version: version.to_owned(), known: LOCK_VERSION })
}

fn package(package: Package) -> Result<LockedPackage, LockError> {
    let name = normalised_name(&package.name);
    let refuse = |reason: String| LockError::BadPackage { package: package.name.clone(), reason };
    if name.is_empty() {
        return Err(refuse("has no name".to_owned()));
    }
    let file = |artifact| file(artifact).map_err(refuse);
    let has_files = !package.wheels.is_empty() || package.sdist.is_some();
    let source = match (package.archive, package.directory, package.vcs, has_files) {
        (None, None, None, _) => Source::Release {
            index: package.index,
            wheels: package.wheels.into_iter().map(file).collect::<Result<_, _>>()?,
            sdist: package.sdist.map(file).transpose()?,
        },
        (Some(mut archive), None, None, false) => {
            let subdirectory = archive.subdirectory.take();
            Source::Archive { file: file(archive)?, subdirectory }
        }
        (None, Some(directory), None, false) => {
            Source::Directory { path: directory.path, subdirectory: directory.subdirectory }
        }
        (None, None, Some(vcs), false) => Source::Vcs {
            kind: vcs.r#type,
            place: place(vcs.url, vcs.path).map_err(refuse)?,
            requested: vcs.requested_revision,
            commit: vcs.commit_id,
            subdirectory: vcs.subdirectory,
        },
        _ => return Err(refuse("has more than one of archive, directory, vcs and files".to_owned())),
    };
    let dependencies = package.dependencies.into_iter().filter_map(|dependency| {
        let name = normalised_name(&dependency.name?);
        Some(LockedDependency { name, version: dependency.version })
    });
    Ok(LockedPackage {
        name,
        version: package.version,
        marker: package.marker,
        requires_python: package.requires_python,
        dependencies: dependencies.collect(),
        source,
    })
}

/// The specification lets both stand; the file is where either says, and an address needs no copy
/// of the lock's surroundings.
fn place(url: Option<String>, path: Option<String>) -> Result<Place, String> {
    match (url, path) {
        (Some(url), _) => Ok(Place::Url(url)),
        (None, Some(path)) => Ok(Place::Path(path)),
        (None, None) => Err("has neither url nor path".to_owned()),
    }
}

fn file(artifact: Artifact) -> Result<LockedFile, String> {
    let place = place(artifact.url, artifact.path)?;
    let name = artifact.name.unwrap_or_else(|| decoded(place.last_part()));
    Ok(LockedFile {
        name,
        place,
        size: artifact.size,
        upload_time: artifact.upload_time.map(|time| time.to_string()),
        hashes: artifact.hashes,
    })
}

/// Text with `%2B` and the like put back, as far as that gives UTF-8.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            Some(digits) if first == b'%' => {
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(first));
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
