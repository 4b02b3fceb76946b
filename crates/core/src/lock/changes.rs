//! What is different between two locks, package by package.
//!
//! Owns the comparison that people read; whether the files are the same is told by their bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::Lock;

/// One package that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Normalised name.
    pub package: String,
    /// Its versions before; none when it is new.
    pub before: Vec<String>,
    /// Its versions now; none when it is gone.
    pub after: Vec<String>,
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before.join(", "), self.after.join(", "));
        match (&self.before[..], &self.after[..]) {
            ([], _) => write!(f, "added {} {after}", self.package),
            (_, []) => write!(f, "removed {} {before}", self.package),
            _ if before == after => write!(f, "changed the files of {} {after}", self.package),
            _ => write!(f, "changed {} {before} to {after}", self.package),
        }
    }
}

impl Lock {
    /// The packages that differ from `before`, sorted by name.
    pub fn changes_since(&self, before: &Self) -> Vec<PackageChange> {
        let (then, now) = (before.by_name(), self.by_name());
        let names: BTreeSet<&str> = then.keys().chain(now.keys()).copied().collect();
        names
            .into_iter()
            .filter(|name| then.get(name) != now.get(name))
            .map(|name| {
                let versions = |side: &BTreeMap<&str, Vec<&super::LockedPackage>>| {
                    side.get(name).into_iter().flatten().map(|package| package.version_or_source()).collect()
                };
                PackageChange { package: name.to_owned(), before: versions(&then), after: versions(&now) }
            })
            .collect()
    }

    /// How many packages it has, whatever the number of their versions.
    pub fn package_names(&self) -> usize {
        self.by_name().len()
    }

    fn by_name(&self) -> BTreeMap<&str, Vec<&super::LockedPackage>> {
        let mut by_name: BTreeMap<&str, Vec<&super::LockedPackage>> = BTreeMap::new();
        for package in &self.packages {
            by_name.entry(&package.name).or_default().push(package);
        }
        by_name
    }
}

impl super::LockedPackage {
    fn version_or_source(&self) -> String {
        match (&self.version, &self.source) {
            (Some(version), _) => version.clone(),
            (None, super::Source::Vcs { commit, .. }) => commit.clone(),
            (None, super::Source::Directory { path, .. }) => path.clone(),
            (None, _) => "(no version)".to_owned(),
        }
    }
}
