//! Locks on the disk: reading them, choosing from them, comparing them with what is asked for, and
//! writing our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    lock::{BuildSource, Drift, Lock, LockedInputs, Place, Scope, Selection, ToBuild, UvLock},
    requirements::RequirementLine,
    resolution::{Resolution, ResolvedWheel},
    target::Target,
};

use super::{InputError, absolute, normalised_lines, read_text};
use crate::resolve::{
    AllowedHashes, Asked, PackageIndex,
    markers::{self, UvRules, without_credentials},
};

/// A lock, read.
#[derive(Debug)]
pub struct LockFile {
    /// The file.
    pub path: Utf8PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Pylock(Lock),
    Uv(UvLock),
}

impl LockFile {
    /// Reads a lock of either format, told by its name.
    ///
    /// # Errors
    /// [`InputError::Read`], [`InputError::Lock`].
    pub fn read(path: &Utf8Path) -> Result<Self, InputError> {
        let text = read_text(path)?;
        let refuse = |source| InputError::Lock { path: path.to_owned(), source };
        let kind = if path.file_name() == Some("uv.lock") {
            Kind::Uv(UvLock::parse(&text).map_err(refuse)?)
        } else {
            Kind::Pylock(Lock::parse(&text).map_err(refuse)?)
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    /// The `pylock.toml`, if it is one.
    pub fn pylock(&self) -> Option<&Lock> {
        match &self.kind {
            Kind::Pylock(lock) => Some(lock),
            Kind::Uv(_) => None,
        }
    }

    /// Chooses the wheels for a target. Asks nobody.
    ///
    /// # Errors
    /// [`InputError::Select`], also when the lock has something as source only: that takes
    /// [`Self::resolve`].
    pub fn select(&self, target: Target, scope: &Scope) -> Result<Resolution, InputError> {
        let selection = self.selection(target, scope)?;
        selection.only_wheels().map_err(|source| InputError::Select { path: self.path.clone(), source })
    }

    /// Chooses the wheels for a target, and has those built that the lock has as source. Asks the
    /// index only for the latter: what they need to be built, and what they depend on.
    ///
    /// # Errors
    /// [`InputError::Select`], [`InputError::Resolve`].
    pub fn resolve(
        &self,
        index: &PackageIndex,
        target: Target,
        scope: &Scope,
    ) -> Result<Resolution, InputError> {
        let Selection { resolution, to_build } = self.selection(target, scope)?;
        if to_build.is_empty() {
            return Ok(resolution);
        }
        let origin = self.path.to_string();
        let line = |text: String| RequirementLine { text, origin: origin.clone() };
        let mut asked = Asked::default();
        // Everything else stands: only what is built here is taken of the answer.
        asked.constraints.lines = resolution
            .wheels
            .iter()
            .map(|wheel| line(format!("{}=={}", wheel.name, wheel.version)))
            .collect();
        for package in &to_build {
            asked.requirements.lines.push(line(self.requirement(package)?));
            if let BuildSource::Release(archive) | BuildSource::Archive(archive) = &package.source {
                let digests = format!("sha256:{}", archive.sha256).parse().into_iter().collect();
                asked.hashes.push(AllowedHashes {
                    package: package.name.clone(),
                    origin: origin.clone(),
                    digests,
                });
            }
        }
        let built = index.resolve(&asked, target)?;
        let mut wheels = resolution.wheels;
        for wheel in built.wheels {
            if let Some(package) = to_build.iter().find(|package| package.name == wheel.name) {
                let (required_by, asked) = (package.required_by.clone(), package.asked);
                wheels.push(ResolvedWheel { required_by, asked, ..wheel });
            }
        }
        Ok(Resolution::new(target, wheels))
    }

    fn selection(&self, target: Target, scope: &Scope) -> Result<Selection, InputError> {
        let rules = UvRules::new(target)?;
        let chosen = match &self.kind {
            Kind::Pylock(lock) => lock.select(&rules, scope),
            Kind::Uv(lock) => lock.select(&rules, scope),
        };
        let mut selection =
            chosen.map_err(|source| InputError::Select { path: self.path.clone(), source })?;
        for wheel in &mut selection.resolution.wheels {
            wheel.url = without_credentials(&self.address(&wheel.url)?);
        }
        Ok(selection)
    }

    /// A package that the lock has as source, as a requirement.
    fn requirement(&self, package: &ToBuild) -> Result<String, InputError> {
        let with = |address: String, subdirectory: &Option<String>| {
            let fragment = subdirectory.as_ref().map(|folder| format!("#subdirectory={folder}"));
            format!("{} @ {address}{}", package.name, fragment.unwrap_or_default())
        };
        Ok(match &package.source {
            BuildSource::Release(archive) | BuildSource::Archive(archive) => {
                with(self.address(archive.place.as_str())?, &archive.subdirectory)
            }
            BuildSource::Folder { path } => with(self.address(path)?, &None),
            BuildSource::Git { place, commit, subdirectory } => {
                let address = self.address(place.as_str())?;
                with(format!("git+{}@{commit}", address.trim_start_matches("git+")), subdirectory)
            }
        })
    }

    /// The address of what a lock names by address or by a path as seen from the lock.
    fn address(&self, place: &str) -> Result<String, InputError> {
        if place.contains("://") {
            return Ok(place.to_owned());
        }
        let file = absolute(&self.path)?;
        let folder = file.parent().unwrap_or(Utf8Path::new("/"));
        Ok(url::Url::from_file_path(folder.join(place))
            .map_or_else(|()| place.to_owned(), |url| url.to_string()))
    }

    /// The versions that a new lock should keep on a target, by normalised name. For a target that
    /// the lock does not have: those on which all its targets agree.
    ///
    /// # Errors
    /// The errors of a target that uv's crates do not know.
    pub fn preferred(&self, target: Target) -> Result<BTreeMap<String, String>, InputError> {
        match self.select(target, &Scope::default()) {
            Ok(resolution) => {
                let wheels = resolution.wheels.into_iter();
                return Ok(wheels.map(|wheel| (wheel.name, wheel.version)).collect());
            }
            Err(InputError::Select { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in self.pylock().map(|lock| lock.packages.as_slice()).unwrap_or_default() {
            versions.entry(package.name.clone()).or_default().extend(package.version.clone());
        }
        let alone = versions.into_iter().filter(|(_, versions)| versions.len() == 1);
        Ok(alone.filter_map(|(name, versions)| Some((name, versions.into_iter().next()?))).collect())
    }

    /// Refuses a lock that is not the lock of what is asked for on these targets, without the
    /// network.
    ///
    /// # Errors
    /// [`InputError::Drift`]; [`InputError::ForeignLock`] for a lock that does not say what it is
    /// the lock of.
    pub fn check(&self, asked: &Asked, targets: &[Target]) -> Result<(), InputError> {
        let foreign = |created_by: String| InputError::ForeignLock { path: self.path.clone(), created_by };
        let lock = self.pylock().ok_or_else(|| foreign("uv".to_owned()))?;
        if !lock.is_ours() {
            return Err(foreign(lock.created_by.clone()));
        }
        let folder = self.path.parent().unwrap_or(Utf8Path::new(""));
        match drift(lock, folder, asked, targets)? {
            None => Ok(()),
            Some(source) => Err(InputError::Drift { path: self.path.clone(), source }),
        }
    }
}

/// How what is asked for differs from what a lock of ours in `folder` is of; nothing when the lock
/// is good for it, or is not ours.
///
/// # Errors
/// [`InputError::Read`] when the folder has no absolute path.
pub fn drift(
    lock: &Lock,
    folder: &Utf8Path,
    asked: &Asked,
    targets: &[Target],
) -> Result<Option<Drift>, InputError> {
    let Some(inputs) = &lock.inputs else { return Ok(None) };
    Ok(inputs.drift(&locked_inputs(folder, asked, targets)?))
}

/// What a lock in `folder` records of what is asked for: normalised, without credentials, and with
/// files of this machine as seen from the lock.
///
/// # Errors
/// [`InputError::Read`] when the folder has no absolute path.
pub fn locked_inputs(
    folder: &Utf8Path,
    asked: &Asked,
    targets: &[Target],
) -> Result<LockedInputs, InputError> {
    let folder = absolute(if folder == "" { Utf8Path::new(".") } else { folder })?;
    let line = |line: &RequirementLine| {
        let mut text = relative_files(&folder, &markers::normalised(&line.text));
        let package = text.split(|c: char| !is_of_name(c)).next().unwrap_or_default().to_owned();
        let mut hashes: Vec<_> = asked
            .hashes
            .iter()
            .filter(|allowed| allowed.origin == line.origin && allowed.package == package)
            .flat_map(|allowed| allowed.digests.iter().map(ToString::to_string))
            .collect();
        hashes.sort();
        hashes.dedup();
        text.extend(hashes.iter().map(|hash| format!(" --hash={hash}")));
        text
    };
    let mut targets = targets.to_vec();
    targets.sort();
    targets.dedup();
    let mut requirements = normalised_lines(&asked.requirements.lines, line);
    let mut constraints = normalised_lines(&asked.constraints.lines, line);
    // What stands at an address is read when the resolution starts; here its address counts.
    for file in &asked.remote {
        let (list, option) = match file.is_constraints {
            true => (&mut constraints, "-c"),
            false => (&mut requirements, "-r"),
        };
        list.push(format!("{option} {}", without_credentials(&file.url)));
    }
    requirements.sort();
    constraints.sort();
    Ok(LockedInputs { targets, requirements, constraints })
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A requirement whose file, if it has one on this machine, is named as seen from a folder.
fn relative_files(folder: &Utf8Path, requirement: &str) -> String {
    let Some((before, after)) = requirement.split_once("file://") else { return requirement.to_owned() };
    let end = after.find(char::is_whitespace).unwrap_or(after.len());
    match path_of(&format!("file://{}", &after[..end])) {
        Some(path) => format!("{before}{}{}", relative(folder, &path), &after[end..]),
        None => requirement.to_owned(),
    }
}

fn path_of(url: &str) -> Option<Utf8PathBuf> {
    let path = url::Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()?;
    Utf8PathBuf::from_path_buf(path).ok()
}

/// A path as seen from a folder; both are absolute.
fn relative(folder: &Utf8Path, path: &Utf8Path) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (
        folder.as_str().split('/').filter(|part| !part.is_empty()).collect(),
        path.as_str().split('/').filter(|part| !part.is_empty()).collect(),
    );
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..", from.len() - shared);
    let parts: Vec<&str> = up.chain(to[shared..].iter().copied()).collect();
    match parts.first() {
        Some(&"..") => parts.join("/"),
        _ => format!("./{}", parts.join("/")),
    }
}

/// Writes a lock, beside its place first: whoever reads it sees the old one or the new one. Files
/// of this machine are named as seen from the lock. Answers the text; a file that has it already is
/// left alone.
///
/// # Errors
/// [`InputError::Write`].
pub fn write_lock(path: &Utf8Path, lock: &Lock) -> Result<(), InputError> {
    let failed = |source| InputError::Write { path: path.to_owned(), source };
    let text = lock_text(path, lock)?;
    if std::fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Utf8Path::new("."));
    fs_err::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new()
        .prefix(".pylock-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The text of a lock that stands at `path`.
pub fn lock_text(path: &Utf8Path, lock: &Lock) -> Result<String, InputError> {
    let file = absolute(path)?;
    let folder = file.parent().unwrap_or(Utf8Path::new("/"));
    let mut lock = lock.clone();
    lock.relocate(
        |place| {
            if let Place::Url(url) = place {
                *place = match path_of(url) {
                    Some(path) => Place::Path(relative(folder, &path)),
                    None => Place::Url(without_credentials(url)),
                };
            }
        },
        |path| *path = relative(folder, Utf8Path::new(path.as_str())),
    );
    Ok(lock.to_toml())
}
