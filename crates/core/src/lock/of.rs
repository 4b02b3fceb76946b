//! From resolutions, one for each target, to one lock.
//!
//! Owns the merge: which packages are one entry, and the markers that tell targets apart.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CREATED_BY, LOCK_VERSION, Lock, LockedDependency, LockedFile, LockedInputs, LockedPackage, Place, Source,
    read::decoded,
};
use crate::{
    hash::Sha256,
    resolution::{self, Resolution, ResolvedWheel},
    target::{Arch, Runtime, Target},
};

/// What tells entries of one name apart.
type Key<'a> = (&'a str, &'a str);

impl Lock {
    /// The lock of these resolutions, which were made from `inputs`. One resolution a target; the
    /// order does not count.
    pub fn of(resolutions: &[Resolution], inputs: LockedInputs, requires_python: Option<String>) -> Self {
        let all: BTreeSet<Target> = resolutions.iter().map(|resolution| resolution.target).collect();
        let mut entries: BTreeMap<Key<'_>, (BTreeSet<Target>, Vec<&ResolvedWheel>)> = BTreeMap::new();
        for resolution in resolutions {
            for wheel in &resolution.wheels {
                let (targets, wheels) = entries.entry((&wheel.name, &wheel.version)).or_default();
                targets.insert(resolution.target);
                wheels.push(wheel);
            }
        }
        let mut needs: BTreeMap<Key<'_>, BTreeSet<Key<'_>>> = BTreeMap::new();
        for resolution in resolutions {
            let by_name: BTreeMap<&str, Key<'_>> = resolution
                .wheels
                .iter()
                .map(|wheel| (wheel.name.as_str(), (wheel.name.as_str(), wheel.version.as_str())))
                .collect();
            for wheel in &resolution.wheels {
                for parent in &wheel.required_by {
                    if let Some(&parent) = by_name.get(parent.as_str()) {
                        needs.entry(parent).or_default().insert((&wheel.name, &wheel.version));
                    }
                }
            }
        }
        let is_alone = |name: &str| entries.keys().filter(|(other, _)| *other == name).count() == 1;
        let packages = entries.iter().map(|(&(name, version), (targets, wheels))| {
            let dependencies = needs.get(&(name, version)).into_iter().flatten().map(|&(name, version)| {
                let version = (!is_alone(name)).then(|| version.to_owned());
                LockedDependency { name: name.to_owned(), version }
            });
            let source = source(wheels);
            // "The version MUST NOT be included when it cannot be guaranteed to be consistent with
            // the code used (i.e. when a source tree is used)."
            let is_tree = matches!(source, Source::Directory { .. } | Source::Vcs { .. });
            LockedPackage {
                name: name.to_owned(),
                version: (!is_tree).then(|| version.to_owned()),
                marker: marker(targets, &all),
                requires_python: None,
                dependencies: dependencies.collect(),
                source,
            }
        });
        let packages = packages.collect();
        Self {
            lock_version: LOCK_VERSION.to_owned(),
            environments: all.iter().map(|&target| environment(target)).collect(),
            requires_python,
            extras: Vec::new(),
            dependency_groups: Vec::new(),
            default_groups: Vec::new(),
            created_by: CREATED_BY.to_owned(),
            packages,
            inputs: Some(inputs),
        }
    }
}

/// Where the wheels of one entry come from. A wheel that was built here is nobody else's: the lock
/// has what it was built from.
fn source(wheels: &[&ResolvedWheel]) -> Source {
    let built = wheels.iter().find_map(|wheel| wheel.source.as_ref());
    match built {
        Some(resolution::Source::Git { url, commit, requested, subdirectory }) => Source::Vcs {
            kind: "git".to_owned(),
            place: Place::Url(url.clone()),
            requested: requested.clone(),
            commit: commit.clone(),
            subdirectory: subdirectory.clone(),
        },
        Some(resolution::Source::Folder { path }) => {
            Source::Directory { path: path.clone(), subdirectory: None }
        }
        Some(resolution::Source::Archive { url, sha256, subdirectory: Some(folder) }) => {
            Source::Archive { file: archive(url, *sha256), subdirectory: Some(folder.clone()) }
        }
        // Some targets of one release may have a wheel and others only its source.
        Some(resolution::Source::Archive { url, sha256, subdirectory: None }) => {
            Source::Release { index: None, wheels: files(wheels), sdist: Some(archive(url, *sha256)) }
        }
        None => Source::Release { index: None, wheels: files(wheels), sdist: None },
    }
}

fn archive(url: &str, sha256: Sha256) -> LockedFile {
    let place = Place::Url(url.to_owned());
    LockedFile {
        name: decoded(place.last_part()),
        place,
        size: None,
        upload_time: None,
        hashes: BTreeMap::from([("sha256".to_owned(), sha256.to_hex())]),
    }
}

/// Each published wheel once, sorted by its name.
fn files(wheels: &[&ResolvedWheel]) -> Vec<LockedFile> {
    let files: BTreeMap<_, _> = wheels
        .iter()
        .filter(|wheel| wheel.source.is_none())
        .map(|wheel| {
            let file = LockedFile {
                name: wheel.filename.clone(),
                place: Place::Url(wheel.url.clone()),
                size: wheel.size,
                upload_time: None,
                hashes: BTreeMap::from([("sha256".to_owned(), wheel.sha256.to_hex())]),
            };
            ((&wheel.filename, wheel.sha256), file)
        })
        .collect();
    files.into_values().collect()
}

/// The marker of a target, whole.
fn environment(target: Target) -> String {
    format!(
        "implementation_name == 'cpython' and {} and {} and sys_platform == 'linux'",
        machine(target.arch),
        python(target.runtime)
    )
}

fn python(runtime: Runtime) -> String {
    format!("python_version == '{}'", runtime.python_version())
}

fn machine(arch: Arch) -> String {
    format!("platform_machine == '{}'", arch.machine())
}

/// A marker that holds for exactly these among all targets of the lock; nothing when that is all.
fn marker(these: &BTreeSet<Target>, all: &BTreeSet<Target>) -> Option<String> {
    if these == all {
        return None;
    }
    let runtimes = |targets: &BTreeSet<Target>| -> BTreeSet<Runtime> {
        targets.iter().map(|target| target.runtime).collect()
    };
    let arches =
        |targets: &BTreeSet<Target>| -> BTreeSet<Arch> { targets.iter().map(|target| target.arch).collect() };
    let of_arch = |arch: Arch, targets: &BTreeSet<Target>| -> BTreeSet<Target> {
        targets.iter().copied().filter(|target| target.arch == arch).collect()
    };
    // Where the architecture plays no part, the runtimes alone say it.
    let (wanted, present) = (runtimes(these), arches(these));
    let by_runtime: BTreeSet<Target> =
        all.iter().copied().filter(|target| wanted.contains(&target.runtime)).collect();
    if by_runtime == *these {
        return Some(any_of(&wanted));
    }
    let parts: Vec<String> = present
        .iter()
        .map(|&arch| {
            let (here, possible) = (of_arch(arch, these), of_arch(arch, all));
            if here == possible {
                return machine(arch);
            }
            let pythons = runtimes(&here);
            match pythons.len() {
                1 => format!("{} and {}", machine(arch), any_of(&pythons)),
                _ => format!("{} and ({})", machine(arch), any_of(&pythons)),
            }
        })
        .collect();
    Some(match &parts[..] {
        [one] => one.clone(),
        several => several
            .iter()
            .map(|part| if part.contains(" and ") { format!("({part})") } else { part.clone() })
            .collect::<Vec<_>>()
            .join(" or "),
    })
}

fn any_of(runtimes: &BTreeSet<Runtime>) -> String {
    runtimes.iter().map(|&runtime| python(runtime)).collect::<Vec<_>>().join(" or ")
}
