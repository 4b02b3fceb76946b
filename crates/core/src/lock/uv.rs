//! Reading `uv.lock` and choosing from it.
//!
//! Owns uv's own format, version 1, as far as it says what is installed. The project itself is not
//! chosen: its code is the function.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::{
    LockError, LockedFile, Place,
    read::{decoded, from_toml},
    select::{self, BuildSource, Chosen, Scope, SelectError, Selection, TargetRules, ToBuild},
};
use crate::{resolution::Resolution, wheel::normalised_name};

/// The version of uv's format that is known.
const VERSION: &str = "1";

/// A `uv.lock`.
#[derive(Clone, Debug)]
pub struct UvLock {
    requires_python: Option<String>,
    conflicts: Vec<Vec<Conflict>>,
    manifest: Manifest,
    packages: Vec<Package>,
    by_name: BTreeMap<String, Vec<usize>>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    version: u32,
    requires_python: Option<String>,
    #[serde(default)]
    conflicts: Vec<Vec<Conflict>>,
    #[serde(default)]
    manifest: Manifest,
    #[serde(default, rename = "package", alias = "distribution")]
    packages: Vec<Package>,
}

/// A part of a project that cannot be chosen together with the others of its set.
#[derive(Clone, Debug, Deserialize)]
struct Conflict {
    package: String,
    extra: Option<String>,
    group: Option<String>,
}

impl Conflict {
    /// As conflict markers spell it.
    fn spelled(&self) -> String {
        match (&self.extra, &self.group) {
            (Some(extra), _) => spelled("extra", &self.package, Some(extra)),
            (None, Some(group)) => spelled("group", &self.package, Some(group)),
            (None, None) => spelled("project", &self.package, None),
        }
    }
}

/// A chosen project, extra or group as uv's conflict markers spell it, as an extra of its own.
fn spelled(kind: &str, package: &str, part: Option<&str>) -> String {
    let name = normalised_name(package);
    let part = part.map(|part| format!("-{}", normalised_name(part))).unwrap_or_default();
    format!("{kind}-{}-{name}{part}", name.len())
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    #[serde(default)]
    members: Vec<String>,
    #[serde(default)]
    requirements: Vec<Dependency>,
    #[serde(default)]
    dependency_groups: BTreeMap<String, Vec<Dependency>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    source: Source,
    #[serde(default)]
    resolution_markers: Vec<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default, alias = "dependency-groups")]
    dev_dependencies: BTreeMap<String, Vec<Dependency>>,
    #[serde(default)]
    metadata: Metadata,
    sdist: Option<Artifact>,
    #[serde(default)]
    wheels: Vec<Artifact>,
}

/// What a package promises, even where nothing follows from it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    provides_extras: Vec<String>,
    #[serde(default)]
    requires_dev: BTreeMap<String, toml::Value>,
}

/// One of these is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Source {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
    subdirectory: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Dependency {
    name: String,
    version: Option<String>,
    source: Option<Source>,
    #[serde(default, alias = "extras")]
    extra: Vec<String>,
    marker: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Artifact {
    url: Option<String>,
    path: Option<String>,
    filename: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
}

impl Source {
    /// The folder of a project, for a package that is one.
    fn folder(&self) -> Option<&str> {
        self.directory.as_deref().or(self.editable.as_deref()).or(self.r#virtual.as_deref())
    }
}

impl UvLock {
    /// Reads a `uv.lock`.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let file: File = from_toml(text).map_err(|error| {
            let version = from_toml::<Version>(text).ok().map(|version| version.version);
            version.and_then(|version| known(version).err()).unwrap_or(error)
        })?;
        known(file.version)?;
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, package) in file.packages.iter().enumerate() {
            by_name.entry(normalised_name(&package.name)).or_default().push(index);
        }
        Ok(Self {
            requires_python: file.requires_python,
            conflicts: file.conflicts,
            manifest: file.manifest,
            packages: file.packages,
            by_name,
        })
    }

    /// Chooses the wheels that the project needs on a target, as `uv sync` without development
    /// groups would install them.
    ///
    /// # Errors
    /// [`SelectError`].
    pub fn select(&self, rules: &dyn TargetRules, scope: &Scope) -> Result<Selection, SelectError> {
        let target = rules.target();
        if let Some(python) = &self.requires_python
            && !select::fits(rules, None, python)?
        {
            return Err(SelectError::WrongPython { requires_python: python.clone(), target });
        }
        let roots = self.roots(scope)?;
        self.check_scope(&roots, scope)?;
        let mut walk = Walk { lock: self, rules, roots, active: Vec::new() };
        walk.activate_roots(scope);
        if !self.conflicts.is_empty() {
            // What one extra brings may depend on whether another one is chosen further down, so
            // all that are chosen must be known first.
            while walk.activate_dependencies(scope)? {}
            walk.check_conflicts()?;
        }
        walk.collect(scope)
    }

    /// The projects whose dependencies are wanted.
    fn roots(&self, scope: &Scope) -> Result<Vec<usize>, SelectError> {
        let local: Vec<usize> = (0..self.packages.len())
            .filter(|&index| self.packages[index].source.folder().is_some())
            .collect();
        let name_of = |index: usize| normalised_name(&self.packages[index].name);
        if let Some(wanted) = &scope.package {
            let name = normalised_name(wanted);
            return match local.iter().find(|&&index| name_of(index) == name) {
                Some(&index) => Ok(vec![index]),
                None => Err(SelectError::Unknown {
                    kind: "project",
                    name,
                    known: local.into_iter().map(name_of).collect(),
                }),
            };
        }
        if let Some(&root) = local.iter().find(|&&index| self.packages[index].source.folder() == Some(".")) {
            return Ok(vec![root]);
        }
        // A workspace without a project at its root stands for all its members; a script's lock has
        // requirements of its own.
        let members: BTreeSet<String> =
            self.manifest.members.iter().map(|name| normalised_name(name)).collect();
        let roots: Vec<usize> =
            local.iter().copied().filter(|&index| members.contains(&name_of(index))).collect();
        if roots.is_empty() && self.manifest.requirements.is_empty() && !self.packages.is_empty() {
            return Err(SelectError::Damaged {
                package: "(root)".to_owned(),
                problem: "is not there: no entry is the project of this folder".to_owned(),
            });
        }
        Ok(roots)
    }

    /// Extras and groups must be of one of the projects.
    fn check_scope(&self, roots: &[usize], scope: &Scope) -> Result<(), SelectError> {
        let roots = roots.iter().map(|&index| &self.packages[index]);
        let (mut extras, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for root in roots {
            extras.extend(root.optional_dependencies.keys().chain(&root.metadata.provides_extras).cloned());
            groups.extend(root.dev_dependencies.keys().chain(root.metadata.requires_dev.keys()).cloned());
        }
        groups.extend(self.manifest.dependency_groups.keys().cloned());
        select::known("extra", &scope.extras, &Vec::from_iter(extras))?;
        select::known("dependency group", &scope.groups, &Vec::from_iter(groups))?;
        Ok(())
    }

    /// The entry that a dependency means.
    fn find(&self, parent: &str, dependency: &Dependency) -> Result<usize, SelectError> {
        let refuse = |problem: String| SelectError::Damaged { package: parent.to_owned(), problem };
        let candidates = self.by_name.get(&normalised_name(&dependency.name));
        let mut fitting = candidates.into_iter().flatten().copied().filter(|&index| {
            let package = &self.packages[index];
            let same = |wanted: &Option<String>, there: &Option<String>| wanted.is_none() || wanted == there;
            same(&dependency.version, &package.version)
                && dependency.source.as_ref().is_none_or(|source| *source == package.source)
        });
        let first = fitting
            .next()
            .ok_or_else(|| refuse(format!("needs `{}`, which has no entry", dependency.name)))?;
        match fitting.next() {
            None => Ok(first),
            Some(_) => Err(refuse(format!("needs one of several entries for `{}`", dependency.name))),
        }
    }
}

fn known(version: u32) -> Result<(), LockError> {
    if version.to_string() == VERSION {
        return Ok(());
    }
    Err(LockError::UnknownVersion { version: version.to_string(), known: VERSION })
}

/// One walk through the lock.
struct Walk<'a> {
    lock: &'a UvLock,
    rules: &'a dyn TargetRules,
    roots: Vec<usize>,
    /// Chosen projects, extras and groups, in the spelling of uv's conflict markers.
    active: Vec<String>,
}

/// A package, reached for its dependencies or for those of one of its extras.
type Step<'a> = (usize, Option<&'a str>);

impl<'a> Walk<'a> {
    fn activate_roots(&mut self, scope: &Scope) {
        for &index in &self.roots {
            let name = &self.lock.packages[index].name;
            self.active.push(spelled("project", name, None));
            self.active.extend(scope.extras.iter().map(|extra| spelled("extra", name, Some(extra))));
            self.active.extend(scope.groups.iter().map(|group| spelled("group", name, Some(group))));
        }
    }

    /// Marks the extras that dependencies ask for. Answers whether there were any new ones.
    fn activate_dependencies(&mut self, scope: &Scope) -> Result<bool, SelectError> {
        let mut found = BTreeSet::new();
        self.visit(scope, |_, index, dependency| {
            let name = &self.lock.packages[index].name;
            found.extend(dependency.extra.iter().map(|extra| spelled("extra", name, Some(extra))));
            Ok(())
        })?;
        found.retain(|extra| !self.active.contains(extra));
        let is_new = !found.is_empty();
        self.active.extend(found);
        Ok(is_new)
    }

    /// Refuses parts that the project itself says exclude each other.
    fn check_conflicts(&self) -> Result<(), SelectError> {
        for set in &self.lock.conflicts {
            let mut chosen = set.iter().filter(|one| self.active.contains(&one.spelled()));
            if let (Some(one), Some(other)) = (chosen.next(), chosen.next()) {
                let part = |one: &Conflict| {
                    one.extra.clone().or_else(|| one.group.clone()).unwrap_or_else(|| one.package.clone())
                };
                return Err(SelectError::Conflict { one: part(one), other: part(other) });
            }
        }
        Ok(())
    }

    /// Chooses a wheel of everything that is reached.
    fn collect(&self, scope: &Scope) -> Result<Selection, SelectError> {
        let mut chosen: BTreeMap<String, (usize, BTreeSet<String>, bool)> = BTreeMap::new();
        let target = self.rules.target();
        let lock = self.lock;
        self.visit(scope, |parent, index, _| {
            let name = normalised_name(&lock.packages[index].name);
            let entry = chosen.entry(name.clone()).or_insert_with(|| (index, BTreeSet::new(), false));
            if entry.0 != index {
                let version = |index: usize| lock.packages[index].version.clone().unwrap_or_default();
                return Err(SelectError::Twice {
                    package: name,
                    target,
                    versions: vec![version(entry.0), version(index)],
                });
            }
            match parent {
                Some(parent) if parent != name => {
                    entry.1.insert(parent.to_owned());
                }
                Some(_) => {}
                None => entry.2 = true,
            }
            Ok(())
        })?;
        let (mut wheels, mut to_build) = (Vec::new(), Vec::new());
        for (name, (index, parents, asked)) in chosen {
            let package = &lock.packages[index];
            // A project that is not made to be installed has nothing but its dependencies.
            if self.roots.contains(&index) || package.source.r#virtual.is_some() {
                continue;
            }
            let required_by = parents.into_iter().collect();
            let version = package.version.clone();
            let files = package.files(&name)?;
            match package.choose(self.rules, &name, &files)? {
                Chosen::Wheel(file) => {
                    let version = version.as_deref().unwrap_or("(no version)");
                    wheels.push(select::resolved(&name, version, file, required_by, asked)?);
                }
                Chosen::Source(source) => {
                    to_build.push(ToBuild { name, version, source, required_by, asked });
                }
            }
        }
        Ok(Selection { resolution: Resolution::new(target, wheels), to_build })
    }

    /// Goes from the roots along every dependency that applies. `see` gets the parent's name
    /// (nothing for a root), the entry and the dependency that led there.
    fn visit(
        &self,
        scope: &Scope,
        mut see: impl FnMut(Option<&str>, usize, &'a Dependency) -> Result<(), SelectError>,
    ) -> Result<(), SelectError> {
        let lock = self.lock;
        let mut seen: BTreeSet<Step<'a>> = BTreeSet::new();
        let mut queue: VecDeque<Step<'a>> = VecDeque::new();
        let manifest = lock.manifest.requirements.iter().filter(|_| self.roots.is_empty());
        let of_root = scope.groups.iter().filter_map(|group| named(&lock.manifest.dependency_groups, group));
        for dependency in manifest.chain(of_root.flatten()) {
            self.step(None, dependency, true, &mut seen, &mut queue, &mut see)?;
        }
        for &root in &self.roots {
            let package = &lock.packages[root];
            seen.insert((root, None));
            queue.push_back((root, None));
            for extra in &scope.extras {
                if let Some((extra, _)) = entry(&package.optional_dependencies, extra)
                    && seen.insert((root, Some(extra)))
                {
                    queue.push_back((root, Some(extra)));
                }
            }
            for group in &scope.groups {
                for dependency in named(&package.dev_dependencies, group).into_iter().flatten() {
                    self.step(None, dependency, false, &mut seen, &mut queue, &mut see)?;
                }
            }
        }
        while let Some((index, extra)) = queue.pop_front() {
            let package = &lock.packages[index];
            let name = normalised_name(&package.name);
            let parent = (!self.roots.contains(&index)).then_some(name.as_str());
            let dependencies: &[Dependency] = match extra {
                None => &package.dependencies,
                Some(extra) => package.optional_dependencies.get(extra).map_or(&[], Vec::as_slice),
            };
            for dependency in dependencies {
                self.step(parent, dependency, false, &mut seen, &mut queue, &mut see)?;
            }
        }
        Ok(())
    }

    /// Takes one dependency, if it applies.
    fn step(
        &self,
        parent: Option<&str>,
        dependency: &'a Dependency,
        is_of_manifest: bool,
        seen: &mut BTreeSet<Step<'a>>,
        queue: &mut VecDeque<Step<'a>>,
        see: &mut impl FnMut(Option<&str>, usize, &'a Dependency) -> Result<(), SelectError>,
    ) -> Result<(), SelectError> {
        if let Some(marker) = &dependency.marker
            && !self.holds(&dependency.name, marker)?
        {
            return Ok(());
        }
        for index in self.targets_of(parent, dependency, is_of_manifest)? {
            let child = &self.lock.packages[index];
            see(parent, index, dependency)?;
            let extras =
                dependency.extra.iter().filter_map(|extra| entry(&child.optional_dependencies, extra));
            for step in std::iter::once((index, None)).chain(extras.map(|(extra, _)| (index, Some(extra)))) {
                if seen.insert(step) {
                    queue.push_back(step);
                }
            }
        }
        Ok(())
    }

    fn holds(&self, package: &str, marker: &str) -> Result<bool, SelectError> {
        self.rules
            .holds_with_extra(marker, &self.active)
            .map_err(|reason| select::bad_marker(Some(package), marker, reason))
    }

    /// The entries that a dependency leads to. One of the manifest names no version: there it is
    /// the entry whose own markers hold.
    fn targets_of(
        &self,
        parent: Option<&str>,
        dependency: &Dependency,
        is_of_manifest: bool,
    ) -> Result<Vec<usize>, SelectError> {
        if !is_of_manifest {
            return Ok(vec![self.lock.find(parent.unwrap_or("the project"), dependency)?]);
        }
        let mut fitting = Vec::new();
        for &index in self.lock.by_name.get(&normalised_name(&dependency.name)).into_iter().flatten() {
            let package = &self.lock.packages[index];
            let mut applies = package.resolution_markers.is_empty();
            for marker in &package.resolution_markers {
                applies |= self.holds(&package.name, marker)?;
            }
            if applies {
                fitting.push(index);
            }
        }
        Ok(fitting)
    }
}

impl Package {
    fn files(&self, name: &str) -> Result<Vec<LockedFile>, SelectError> {
        let files = self.wheels.iter().map(|wheel| file(wheel, &self.source));
        files.collect::<Option<Vec<_>>>().ok_or_else(|| SelectError::Damaged {
            package: name.to_owned(),
            problem: "has a wheel without address".to_owned(),
        })
    }

    /// What is taken of it; `wheels` are its files.
    fn choose<'a>(
        &self,
        rules: &dyn TargetRules,
        name: &str,
        wheels: &'a [LockedFile],
    ) -> Result<Chosen<'a>, SelectError> {
        let source = &self.source;
        if let Some(folder) = source.folder() {
            return Ok(Chosen::Source(BuildSource::Folder { path: folder.to_owned() }));
        }
        if let Some(git) = &source.git {
            return Ok(Chosen::Source(repository(git)));
        }
        let sdist = self.sdist.as_ref().and_then(|sdist| file(sdist, source));
        let is_direct = source.url.is_some() || source.path.is_some();
        match sdist {
            Some(sdist) if is_direct && wheels.is_empty() => {
                let archive = select::source_archive(&sdist, source.subdirectory.clone())?;
                Ok(Chosen::Source(BuildSource::Archive(archive)))
            }
            sdist => select::best(rules, name, self.version.as_deref(), wheels, sdist.as_ref()),
        }
    }
}

/// `https://host/repository?subdirectory=x&rev=y#commit`, as uv writes it.
fn repository(text: &str) -> BuildSource {
    let (address, commit) = text.rsplit_once('#').unwrap_or((text, ""));
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    let subdirectory = query.split('&').find_map(|pair| pair.strip_prefix("subdirectory=")).map(decoded);
    BuildSource::Git { place: Place::Url(address.to_owned()), commit: commit.to_owned(), subdirectory }
}

/// The entry of a table whose keys may be spelled in other ways.
fn entry<'a, T>(table: &'a BTreeMap<String, T>, name: &str) -> Option<(&'a str, &'a T)> {
    let name = normalised_name(name);
    table.iter().find(|(key, _)| normalised_name(key) == name).map(|(key, value)| (key.as_str(), value))
}

fn named<'a, T>(table: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    entry(table, name).map(|(_, value)| value)
}

/// A file. Its place is its own address, or a path below a folder that is an index, or what
/// the package's source says.
fn file(artifact: &Artifact, source: &Source) -> Option<LockedFile> {
    let place = match (&artifact.url, &artifact.path, &source.registry, &source.url, &source.path) {
        (Some(url), ..) => Place::Url(url.clone()),
        (None, Some(path), Some(folder), ..) if !folder.contains("://") => {
            Place::Path(format!("{}/{path}", folder.trim_end_matches('/')))
        }
        (None, Some(path), ..) => Place::Path(path.clone()),
        (None, None, _, Some(url), _) => Place::Url(url.clone()),
        (None, None, _, None, Some(path)) => Place::Path(path.clone()),
        (None, None, ..) => return None,
    };
    let name = artifact.filename.clone().unwrap_or_else(|| decoded(place.last_part()));
    let hash = artifact.hash.as_deref().and_then(|hash| hash.split_once(':'));
    Some(LockedFile {
        name,
        place,
        size: artifact.size,
        upload_time: None,
        hashes: hash.map(|(name, hash)| (name.to_owned(), hash.to_owned())).into_iter().collect(),
    })
}
