//! The rules of pruning: which file of a wheel a layer keeps.
//!
//! Owns the verdict on one file. Never looks at sizes, other layers or Lambda's limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{Profile, Reason};
use crate::{
    imports::TestFolders,
    wheel::{
        Destination, SOURCE_ENDINGS, STUB_ENDINGS, WheelContents, WheelFacts, destination, has_extension,
    },
    zip::EntryKind,
};

/// What is needed to judge the files of one wheel.
pub(super) struct Rules<'a> {
    facts: &'a WheelFacts,
    profile: Profile,
    kept_tests: &'a BTreeSet<&'a str>,
    test_folders: TestFolders<'a>,
    /// All files that go to `site-packages`.
    files: BTreeSet<&'a str>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(wheel: &'a WheelContents, profile: Profile, kept_tests: &'a BTreeSet<&'a str>) -> Self {
        let test_folders = wheel.archive.test_folders();
        Self { facts: &wheel.facts, profile, kept_tests, test_folders, files: files_of(wheel).collect() }
    }

    /// Where an entry goes in the layer, and whether a rule keeps it out.
    pub(super) fn judge(&self, path: &str) -> (String, Option<Reason>) {
        let below = match destination(path) {
            Destination::Headers => return (format!("python/{path}"), Some(Reason::Sources)),
            Destination::Scripts(name) => {
                let verdict = self.facts.python_scripts.contains(path).then_some(Reason::Command);
                return (format!("python/bin/{name}"), verdict);
            }
            Destination::SitePackages(below) => below,
        };
        let verdict = match self.profile {
            Profile::Faithful => None,
            Profile::Lean => self.lean_verdict(below),
        };
        (format!("python/{below}"), verdict)
    }

    /// The rules of [`Profile::Lean`].
    fn lean_verdict(&self, path: &str) -> Option<Reason> {
        if self.is_stale_bytecode(path) {
            return Some(Reason::Bytecode);
        }
        if path.split('/').next().is_some_and(|folder| folder.ends_with(".dist-info")) {
            return None;
        }
        if self.test_folders.hold(path) && !self.kept_tests.contains(path) {
            return Some(Reason::Tests);
        }
        // Who brings typeshed, the stubs of the standard library, reads them: mypy, jedi, pytype.
        if self.facts.names(path) || path.split('/').rev().skip(1).any(|part| part == "typeshed") {
            return None;
        }
        if has_extension(path, SOURCE_ENDINGS) {
            return Some(Reason::Sources);
        }
        has_extension(path, STUB_ENDINGS).then_some(Reason::TypeStubs)
    }

    /// A `.pyc` in the place of its `.py` is the module itself.
    fn is_stale_bytecode(&self, path: &str) -> bool {
        if path.split('/').any(|part| part == "__pycache__") || has_extension(path, &["pyo"]) {
            return true;
        }
        path.strip_suffix(".pyc").is_some_and(|stem| self.files.contains(format!("{stem}.py").as_str()))
    }
}

/// The files of a wheel that go to `site-packages`, as seen from there.
fn files_of(wheel: &WheelContents) -> impl Iterator<Item = &str> {
    wheel.archive.entries.iter().filter(|entry| entry.kind == EntryKind::File).filter_map(|entry| {
        match destination(&entry.path) {
            Destination::SitePackages(below) => Some(below),
            Destination::Scripts(_) | Destination::Headers => None,
        }
    })
}

/// Files in folders of tests that code outside of tests imports, what those import in turn, and
/// the data beside them. `imported` is what the app imports.
pub(super) fn tests_to_keep<'a>(
    wheels: &'a [WheelContents],
    imported: &BTreeSet<String>,
) -> BTreeSet<&'a str> {
    let mut test_files = BTreeSet::new();
    let mut imports_of: BTreeMap<&str, &BTreeSet<String>> = BTreeMap::new();
    for wheel in wheels {
        let folders = wheel.archive.test_folders();
        test_files.extend(files_of(wheel).filter(|path| folders.hold(path)));
        imports_of.extend(wheel.facts.imports_of_tests.iter().map(|(path, names)| (path.as_str(), names)));
    }
    let mut kept = BTreeSet::new();
    let mut open: Vec<&String> =
        wheels.iter().flat_map(|wheel| &wheel.facts.imported_tests).chain(imported).collect();
    while let Some(name) = open.pop() {
        for path in files_of_module(name, &test_files) {
            if kept.insert(path)
                && let Some(names) = imports_of.get(path)
            {
                open.extend(names.iter());
            }
        }
    }
    let folders: BTreeSet<&str> = kept.iter().filter_map(|path| folder_of(path)).collect();
    let is_data = |path: &str| {
        !has_extension(path, &["py", "pyc", "so"])
            && folder_of(path).is_some_and(|folder| folders.contains(folder))
    };
    kept.extend(test_files.iter().filter(|path| is_data(path)));
    kept
}

fn folder_of(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

/// The file of the longest prefix of a dotted name that is a module in `tests`, with the
/// `__init__.py` of the packages above it.
fn files_of_module<'a>(name: &str, test_files: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let parts: Vec<&str> = name.split('.').collect();
    for length in (1..=parts.len()).rev() {
        let stem = parts[..length].join("/");
        let mut found: Vec<&str> = [format!("{stem}.py"), format!("{stem}/__init__.py")]
            .iter()
            .filter_map(|path| test_files.get(path.as_str()).copied())
            .collect();
        let extension = format!("{stem}.");
        let compiled = test_files
            .range::<str, _>((Bound::Included(extension.as_str()), Bound::Unbounded))
            .take_while(|path| path.starts_with(&extension));
        found.extend(compiled.filter(|path| has_extension(path, &["so"])).copied());
        if found.is_empty() {
            continue;
        }
        for above in 1..length {
            let init = format!("{}/__init__.py", parts[..above].join("/"));
            found.extend(test_files.get(init.as_str()).copied());
        }
        return found;
    }
    Vec::new()
}
