//! The rules of pruning: which file of a wheel a layer keeps.
//!
//! Owns the verdict on one file. Never looks at sizes, other layers or Lambda's limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{Policy, Profile, Reason, packages::PackageRules};
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
    policy: &'a Policy,
    kept_tests: &'a BTreeSet<&'a str>,
    test_folders: TestFolders<'a>,
    package: &'a PackageRules,
    /// All files that go to `site-packages`.
    files: BTreeSet<&'a str>,
    /// Names under which a library lies there once more, and which no loader asks for.
    copies: BTreeSet<&'a str>,
}

/// What becomes of one entry.
pub(super) struct Judged<'a> {
    /// Its path below `site-packages`.
    pub(super) path: String,
    /// Why it is left out, if it is; with the words of its package's rule.
    pub(super) excluded: Option<(Reason, Option<&'a str>)>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(
        wheel: &'a WheelContents,
        policy: &'a Policy,
        kept_tests: &'a BTreeSet<&'a str>,
        package: &'a PackageRules,
    ) -> Self {
        let copies = if package.has_copies() { copies_of_libraries(wheel) } else { BTreeSet::new() };
        Self {
            facts: &wheel.facts,
            policy,
            kept_tests,
            test_folders: wheel.archive.test_folders(),
            package,
            files: files_of(wheel).collect(),
            copies,
        }
    }

    /// Where an entry goes below `site-packages`, and whether a rule keeps it out.
    pub(super) fn judge(&self, path: &str) -> Judged<'a> {
        let (path, natural) = match destination(path) {
            Destination::Headers => (path.to_owned(), Some((Reason::Sources, None))),
            Destination::Scripts(name) => {
                let is_command = self.facts.python_scripts.contains(path);
                (format!("bin/{name}"), is_command.then_some((Reason::Command, None)))
            }
            Destination::SitePackages(below) => {
                let verdict = match self.policy.profile {
                    Profile::Faithful => None,
                    Profile::Lean | Profile::Smallest => self.lean_verdict(below),
                };
                (below.to_owned(), verdict)
            }
        };
        let excluded = if self.policy.keep.iter().any(|pattern| pattern.matches(&path)) {
            None
        } else if self.policy.drop.iter().any(|pattern| pattern.matches(&path)) {
            Some((Reason::Dropped, None))
        } else if let Some(part) = self.package.optional(&path).filter(|_| self.policy.optional_parts_out) {
            Some((Reason::OptionalPart, Some(part)))
        } else {
            natural
        };
        Judged { path, excluded }
    }

    /// The rules of [`Profile::Lean`].
    fn lean_verdict(&self, path: &str) -> Option<(Reason, Option<&'a str>)> {
        if self.is_stale_bytecode(path) {
            return Some((Reason::Bytecode, None));
        }
        if let Some((folder, file)) = path.split_once('/')
            && folder.ends_with(".dist-info")
        {
            return is_installers(file).then_some((Reason::InstallerRecord, None));
        }
        if self.package.keeps(path) {
            return None;
        }
        if let Some(why) = self.package.drops(path) {
            return Some((Reason::PackageRule, Some(why)));
        }
        if self.test_folders.hold(path) && !self.kept_tests.contains(path) {
            return Some((Reason::Tests, None));
        }
        if self.copies.contains(path) {
            return Some((Reason::SameLibrary, None));
        }
        let is_source = has_extension(path, SOURCE_ENDINGS);
        if is_source && self.package.builds_only() {
            return Some((Reason::Sources, None));
        }
        // Who brings typeshed, the stubs of the standard library, reads them: mypy, jedi, pytype.
        if self.facts.names(path) || path.split('/').rev().skip(1).any(|part| part == "typeshed") {
            return None;
        }
        if is_source {
            return Some((Reason::Sources, None));
        }
        has_extension(path, STUB_ENDINGS).then_some((Reason::TypeStubs, None))
    }

    /// A `.pyc` in the place of its `.py` is the module itself.
    fn is_stale_bytecode(&self, path: &str) -> bool {
        if path.split('/').any(|part| part == "__pycache__") || has_extension(path, &["pyo"]) {
            return true;
        }
        path.strip_suffix(".pyc").is_some_and(|stem| self.files.contains(format!("{stem}.py").as_str()))
    }
}

/// What of a `*.dist-info` only installers and auditors read. RECORD is written anew, with what is
/// really there. Licences stay: they must go where the code goes.
fn is_installers(file: &str) -> bool {
    file.starts_with("sboms/")
        || matches!(
            file,
            "RECORD"
                | "RECORD.jws"
                | "RECORD.p7s"
                | "INSTALLER"
                | "REQUESTED"
                | "direct_url.json"
                | "zip-safe"
        )
}

/// Files that are the same library as another in their folder, under a name that no library asks
/// for while it asks for the other's.
fn copies_of_libraries(wheel: &WheelContents) -> BTreeSet<&str> {
    let needed: BTreeSet<&str> =
        wheel.facts.libraries.values().flat_map(|elf| &elf.needed).map(String::as_str).collect();
    let mut same: BTreeMap<(&str, u32, u64), Vec<&str>> = BTreeMap::new();
    for entry in &wheel.archive.entries {
        if let Destination::SitePackages(below) = destination(&entry.path)
            && wheel.facts.libraries.contains_key(&entry.path)
            && let Some((folder, _)) = below.rsplit_once('/')
        {
            same.entry((folder, entry.crc32, entry.size)).or_default().push(below);
        }
    }
    let is_needed = |path: &&&str| path.rsplit_once('/').is_some_and(|(_, name)| needed.contains(name));
    same.values()
        .filter(|names| names.iter().any(|path| is_needed(&path)))
        .flat_map(|names| names.iter().filter(|path| !is_needed(path)).copied())
        .collect()
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
