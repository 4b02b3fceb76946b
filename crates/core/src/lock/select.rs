//! Choosing from a lock: which packages and which wheel of each a target gets.
//!
//! Owns the specification's steps of installation as far as they choose. Never takes what has no
//! hash, never takes source for a wheel.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lock, LockedFile, LockedPackage, Place, Source};
use crate::{
    Hint,
    hash::Sha256,
    resolution::{Resolution, ResolvedWheel},
    target::Target,
    wheel::normalised_name,
};

/// What a resolver knows of a target: markers, version specifiers and wheel tags are its language.
pub trait TargetRules {
    /// The target.
    fn target(&self) -> Target;

    /// Whether a marker of a `pylock.toml` holds, with these extras and dependency groups chosen
    /// (`'x' in extras`, `'x' in dependency_groups`).
    ///
    /// # Errors
    /// What is wrong with the marker.
    fn holds(&self, marker: &str, extras: &[String], groups: &[String]) -> Result<bool, String>;

    /// Whether a marker of a requirement holds, with these extras (`extra == 'x'`).
    ///
    /// # Errors
    /// What is wrong with the marker.
    fn holds_with_extra(&self, marker: &str, extras: &[String]) -> Result<bool, String>;

    /// Whether the target's Python is within a `requires-python`.
    ///
    /// # Errors
    /// What is wrong with the specifier.
    fn python_fits(&self, specifiers: &str) -> Result<bool, String>;

    /// The wheel that fits the target best, by the order of its tags; nothing when none fits.
    fn best_wheel(&self, filenames: &[&str]) -> Option<usize>;

    /// The normalised name of a requirement that applies to the target; nothing when its marker
    /// does not hold or when it has no name.
    fn asked_name(&self, requirement: &str) -> Option<String>;
}

/// Which parts of a project or a lock are wanted beside its dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Extras.
    pub extras: Vec<String>,
    /// Dependency groups.
    pub groups: Vec<String>,
    /// A member of a workspace, in place of the workspace's root.
    pub package: Option<String>,
}

/// What a lock has for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The wheels.
    pub resolution: Resolution,
    /// What it has as source only, sorted by name.
    pub to_build: Vec<ToBuild>,
}

/// A package that the lock has as source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToBuild {
    /// Normalised name.
    pub name: String,
    /// Version, when that is known before it is built.
    pub version: Option<String>,
    /// What it is built from.
    pub source: BuildSource,
    /// Names of the packages that need it.
    pub required_by: Vec<String>,
    /// Whether the user asked for it.
    pub asked: bool,
}

/// What a wheel is to be built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildSource {
    /// The source distribution of a release.
    Release(SourceArchive),
    /// A file that was asked for by its address.
    Archive(SourceArchive),
    /// A folder, as seen from the lock.
    Folder {
        /// The folder.
        path: String,
    },
    /// A commit of a git repository.
    Git {
        /// Where the repository is.
        place: Place,
        /// The commit.
        commit: String,
        /// The folder in it that holds the project, when that is not its top.
        subdirectory: Option<String>,
    },
}

/// A file of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceArchive {
    /// Where it is.
    pub place: Place,
    /// Its hash.
    pub sha256: Sha256,
    /// The folder in it that holds the project, when that is not its top.
    pub subdirectory: Option<String>,
}

impl BuildSource {
    fn kind(&self) -> &'static str {
        match self {
            Self::Release(_) => SOURCE_ONLY,
            Self::Archive(_) => "an archive of source",
            Self::Folder { .. } => "a folder",
            Self::Git { .. } => "a repository",
        }
    }
}

impl Selection {
    /// The wheels, when they are all there is.
    ///
    /// # Errors
    /// [`SelectError::NotAWheel`] when something would have to be built.
    pub fn only_wheels(self) -> Result<Resolution, SelectError> {
        match self.to_build.into_iter().next() {
            None => Ok(self.resolution),
            Some(first) => Err(SelectError::NotAWheel { package: first.name, kind: first.source.kind() }),
        }
    }
}

/// How [`SelectError::NotAWheel`] says that a release has no wheel.
const SOURCE_ONLY: &str = "source only";

/// Why a lock gives no set of wheels for a target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// An extra or group that the lock does not have.
    #[error("the lock has no {kind} `{name}`{}", there_are(.known))]
    Unknown {
        /// `extra`, `dependency group` or `project`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The lock is for other Pythons.
    #[error("the lock is for Python {requires_python}, which {target} is not")]
    WrongPython {
        /// Its `requires-python`.
        requires_python: String,
        /// What was wanted.
        target: Target,
    },
    /// The lock is for other environments.
    #[error("the lock is not for {target}; it is for {}", .environments.join("; "))]
    WrongEnvironment {
        /// What was wanted.
        target: Target,
        /// Its `environments`, or the targets of a lock of ours.
        environments: Vec<String>,
    },
    /// A marker or specifier that is none.
    #[error("the lock has `{text}`{}, which is no {kind}: {reason}", of_package(.package.as_deref()))]
    Unreadable {
        /// The package it stands at.
        package: Option<String>,
        /// What is written there.
        text: String,
        /// `marker` or `version specifier`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A package of the lock is for other Pythons.
    #[error("the lock has `{package}` for Python {requires_python}, which {target} is not")]
    PackagePython {
        /// The package.
        package: String,
        /// Its `requires-python`.
        requires_python: String,
        /// What was wanted.
        target: Target,
    },
    /// More than one entry of a name applies.
    #[error("the lock has more than one `{package}` for {target}: {}", .versions.join(", "))]
    Twice {
        /// The package.
        package: String,
        /// What was wanted.
        target: Target,
        /// What is there.
        versions: Vec<String>,
    },
    /// Wheels, but for other targets.
    #[error("the lock has no wheel of `{package}`{version} that fits {target}{}", or_source(*.has_source))]
    NoWheel {
        /// The package.
        package: String,
        /// Its version, after a space, when it has one.
        version: String,
        /// What was wanted.
        target: Target,
        /// Whether the lock has its source.
        has_source: bool,
    },
    /// Not wheels at all.
    #[error("the lock has `{package}` as {kind}, and layers are made of wheels")]
    NotAWheel {
        /// The package.
        package: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// Nothing to know the file by.
    #[error("the lock gives no sha256 for `{filename}`, so it could not be verified")]
    NoHash {
        /// The wheel.
        filename: String,
    },
    /// Parts of a project that exclude each other.
    #[error("`{one}` and `{other}` cannot be chosen together: the project declares them in conflict")]
    Conflict {
        /// One extra or group.
        one: String,
        /// Another.
        other: String,
    },
    /// A dependency that the lock does not have, or has more than once.
    #[error("the lock is damaged: `{package}` {problem}")]
    Damaged {
        /// The package.
        package: String,
        /// What is wrong.
        problem: String,
    },
}

impl Hint for SelectError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { kind, known, .. } if known.is_empty() => {
                format!("leave the {kind} out, or write the lock with it")
            }
            Self::Unknown { kind, .. } => format!("name {} that is there", with_article(kind)),
            Self::WrongPython { .. } | Self::WrongEnvironment { .. } | Self::PackagePython { .. } => {
                "choose another --runtime or --arch, or write the lock for this one too".to_owned()
            }
            Self::Unreadable { .. } | Self::Twice { .. } | Self::Damaged { .. } => {
                "write the lock anew with the tool that wrote it".to_owned()
            }
            Self::NoWheel { package, target, .. } => format!(
                "lock a version of `{package}` that has a wheel for {target} (`layercake lock` picks one), or choose another runtime"
            ),
            Self::NotAWheel { package, kind } if *kind == SOURCE_ONLY => format!(
                "lock a version of `{package}` that has wheels, or publish a wheel on an index of your own"
            ),
            Self::NotAWheel { package, .. } => {
                format!(
                    "make a wheel of `{package}` and ask for that, or build from the requirements in place of the lock"
                )
            }
            Self::Conflict { .. } => "choose one of them".to_owned(),
            Self::NoHash { .. } => "write the lock with a tool that records sha256 hashes".to_owned(),
        })
    }
}

fn there_are(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there are {}", known.join(", ")) }
}

fn of_package(package: Option<&str>) -> String {
    package.map(|package| format!(" at `{package}`")).unwrap_or_default()
}

fn or_source(has_source: bool) -> &'static str {
    if has_source { "; its source would be built for this machine" } else { "" }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

impl Lock {
    /// Chooses the wheels for a target, as the specification has it ("Installation").
    ///
    /// # Errors
    /// [`SelectError`].
    pub fn select(&self, rules: &dyn TargetRules, scope: &Scope) -> Result<Selection, SelectError> {
        let target = rules.target();
        let extras = known("extra", &scope.extras, &self.extras)?;
        let mut groups: Vec<String> = self.default_groups.clone();
        groups.extend(known("dependency group", &scope.groups, &self.dependency_groups)?);
        if let Some(package) = &scope.package {
            return Err(SelectError::Unknown { kind: "project", name: package.clone(), known: Vec::new() });
        }
        self.check_target(rules, &extras, &groups)?;
        let mut chosen: BTreeMap<&str, &LockedPackage> = BTreeMap::new();
        for package in &self.packages {
            if let Some(marker) = &package.marker
                && !holds(rules, Some(&package.name), marker, &extras, &groups)?
            {
                continue;
            }
            // The project that the lock is of: its code is the function, not a part of the layer.
            if matches!(&package.source, Source::Directory { path, .. } if path.trim_end_matches('/') == ".")
            {
                continue;
            }
            if let Some(python) = &package.requires_python
                && !fits(rules, Some(&package.name), python)?
            {
                return Err(SelectError::PackagePython {
                    package: package.name.clone(),
                    requires_python: python.clone(),
                    target,
                });
            }
            if let Some(other) = chosen.insert(&package.name, package) {
                let versions = [other, package].map(|entry| entry.version.clone().unwrap_or_default());
                return Err(SelectError::Twice {
                    package: package.name.clone(),
                    target,
                    versions: versions.into(),
                });
            }
        }
        let asked: BTreeSet<String> = match &self.inputs {
            Some(inputs) => inputs.requirements.iter().filter_map(|text| rules.asked_name(text)).collect(),
            None => BTreeSet::new(),
        };
        let needed_by = needed_by(&chosen);
        let (mut wheels, mut to_build) = (Vec::new(), Vec::new());
        for package in chosen.values() {
            let required_by = needed_by.get(package.name.as_str()).cloned().unwrap_or_default();
            // A lock of others does not say what was asked for; what nothing needs must have been.
            let asked = if self.is_ours() { asked.contains(&package.name) } else { required_by.is_empty() };
            let (name, version) = (package.name.clone(), package.version.clone());
            match choose(rules, package)? {
                Chosen::Wheel(file) => {
                    let version = version.unwrap_or_else(|| version_of(&file.name));
                    wheels.push(resolved(&name, &version, file, required_by, asked)?);
                }
                Chosen::Source(source) => {
                    to_build.push(ToBuild { name, version, source, required_by, asked });
                }
            }
        }
        Ok(Selection { resolution: Resolution::new(target, wheels), to_build })
    }

    fn check_target(
        &self,
        rules: &dyn TargetRules,
        extras: &[String],
        groups: &[String],
    ) -> Result<(), SelectError> {
        let target = rules.target();
        if let Some(inputs) = &self.inputs
            && !inputs.targets.contains(&target)
        {
            let environments = inputs.targets.iter().map(ToString::to_string).collect();
            return Err(SelectError::WrongEnvironment { target, environments });
        }
        if let Some(python) = &self.requires_python
            && !fits(rules, None, python)?
        {
            return Err(SelectError::WrongPython { requires_python: python.clone(), target });
        }
        for marker in &self.environments {
            if holds(rules, None, marker, extras, groups)? {
                return Ok(());
            }
        }
        if self.environments.is_empty() {
            return Ok(());
        }
        Err(SelectError::WrongEnvironment { target, environments: self.environments.clone() })
    }
}

fn needed_by<'a>(chosen: &BTreeMap<&'a str, &'a LockedPackage>) -> BTreeMap<&'a str, Vec<String>> {
    let mut needed_by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, package) in chosen {
        for dependency in &package.dependencies {
            let parents = needed_by.entry(&dependency.name).or_default();
            if dependency.name != *name && parents.last().is_none_or(|last| last != name) {
                parents.push((*name).to_owned());
            }
        }
    }
    needed_by
}

/// The names, normalised; an error for one that is not among the known.
pub(super) fn known(
    kind: &'static str,
    names: &[String],
    known: &[String],
) -> Result<Vec<String>, SelectError> {
    let known: Vec<String> = known.iter().map(|name| normalised_name(name)).collect();
    names
        .iter()
        .map(|name| normalised_name(name))
        .map(|name| match known.contains(&name) {
            true => Ok(name),
            false => Err(SelectError::Unknown { kind, name, known: known.clone() }),
        })
        .collect()
}

fn holds(
    rules: &dyn TargetRules,
    package: Option<&str>,
    marker: &str,
    extras: &[String],
    groups: &[String],
) -> Result<bool, SelectError> {
    rules.holds(marker, extras, groups).map_err(|reason| bad_marker(package, marker, reason))
}

pub(super) fn bad_marker(package: Option<&str>, marker: &str, reason: String) -> SelectError {
    let package = package.map(str::to_owned);
    SelectError::Unreadable { package, text: marker.to_owned(), kind: "marker", reason }
}

pub(super) fn fits(
    rules: &dyn TargetRules,
    package: Option<&str>,
    specifiers: &str,
) -> Result<bool, SelectError> {
    rules.python_fits(specifiers).map_err(|reason| SelectError::Unreadable {
        package: package.map(str::to_owned),
        text: specifiers.to_owned(),
        kind: "version specifier",
        reason,
    })
}

/// What is taken of a package.
pub(super) enum Chosen<'a> {
    Wheel(&'a LockedFile),
    Source(BuildSource),
}

fn choose<'a>(rules: &dyn TargetRules, package: &'a LockedPackage) -> Result<Chosen<'a>, SelectError> {
    match &package.source {
        Source::Release { wheels, sdist, .. } => {
            best(rules, &package.name, package.version.as_deref(), wheels, sdist.as_ref())
        }
        Source::Archive { file, .. } if is_wheel(&file.name) => {
            best(rules, &package.name, package.version.as_deref(), std::slice::from_ref(file), None)
        }
        Source::Archive { file, subdirectory } => {
            let archive = source_archive(file, subdirectory.clone())?;
            Ok(Chosen::Source(BuildSource::Archive(archive)))
        }
        Source::Directory { path, subdirectory } => {
            let path = match subdirectory {
                Some(below) => format!("{path}/{below}"),
                None => path.clone(),
            };
            Ok(Chosen::Source(BuildSource::Folder { path }))
        }
        Source::Vcs { kind, place, commit, subdirectory, .. } if kind == "git" => {
            let (place, commit, subdirectory) = (place.clone(), commit.clone(), subdirectory.clone());
            Ok(Chosen::Source(BuildSource::Git { place, commit, subdirectory }))
        }
        Source::Vcs { .. } => Err(SelectError::NotAWheel {
            package: package.name.clone(),
            kind: "a repository of another kind than git",
        }),
    }
}

pub(super) fn source_archive(
    file: &LockedFile,
    subdirectory: Option<String>,
) -> Result<SourceArchive, SelectError> {
    Ok(SourceArchive { place: file.place.clone(), sha256: sha256(file)?, subdirectory })
}

/// The version in a wheel's file name.
fn version_of(filename: &str) -> String {
    filename.split('-').nth(1).unwrap_or_default().to_owned()
}

pub(super) fn is_wheel(filename: &str) -> bool {
    crate::wheel::has_extension(filename, &["whl"])
}

/// The wheel that fits best, or the source of a release that has no wheel at all. Where there are
/// wheels and none fits, the source is native: nothing is built from it.
pub(super) fn best<'a>(
    rules: &dyn TargetRules,
    package: &str,
    version: Option<&str>,
    wheels: &'a [LockedFile],
    sdist: Option<&LockedFile>,
) -> Result<Chosen<'a>, SelectError> {
    if wheels.is_empty() {
        return match sdist {
            Some(sdist) => Ok(Chosen::Source(BuildSource::Release(source_archive(sdist, None)?))),
            None => {
                Err(SelectError::Damaged { package: package.to_owned(), problem: "has no file".to_owned() })
            }
        };
    }
    let names: Vec<&str> = wheels.iter().map(|wheel| wheel.name.as_str()).collect();
    let best = rules.best_wheel(&names).and_then(|index| wheels.get(index));
    best.map(Chosen::Wheel).ok_or_else(|| SelectError::NoWheel {
        package: package.to_owned(),
        version: version.map(|version| format!(" {version}")).unwrap_or_default(),
        target: rules.target(),
        has_source: sdist.is_some(),
    })
}

fn sha256(file: &LockedFile) -> Result<Sha256, SelectError> {
    let hash = file.hashes.iter().find(|(name, _)| name.eq_ignore_ascii_case("sha256"));
    hash.and_then(|(_, hash)| hash.parse().ok())
        .ok_or_else(|| SelectError::NoHash { filename: file.name.clone() })
}

/// A file of a lock as part of a resolution.
pub(super) fn resolved(
    package: &str,
    version: &str,
    file: &LockedFile,
    required_by: Vec<String>,
    asked: bool,
) -> Result<ResolvedWheel, SelectError> {
    Ok(ResolvedWheel {
        name: package.to_owned(),
        version: version.to_owned(),
        filename: file.name.clone(),
        url: file.place.as_str().to_owned(),
        sha256: sha256(file)?,
        size: file.size,
        required_by,
        asked,
        source: None,
    })
}
