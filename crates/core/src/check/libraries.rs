//! What the loader does with compiled modules, libraries and programs: processor, shared libraries,
//! symbol versions.
//!
//! Owns where the loader looks (`ld.so(8)`) and in which order on Lambda. File names of modules are
//! `modules`' work.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Code, Findings, Place, Severity, Subject,
    machines::{build_command, made_for, names_a_processor, runs_on, system_name},
    modules::{ModuleName, is_importable, is_optional, owner},
    symbol_versions::{TooNew, too_new},
    system::{SystemLibraries, absent_library, advice_for},
    tree::{Placed, Tree, is_of_other_python, normalised, split},
};
use crate::{
    contents::ContentFile,
    elf::ElfFacts,
    target::{OperatingSystem, Target},
};

/// `LD_LIBRARY_PATH` of the runtimes (FACTS.md §5). The system's folders come first, so a library
/// of the system hides one of the same name in `/opt/lib`.
const LIBRARY_PATH: &str =
    "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";

/// Where a library is found that a file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lookup<'t> {
    /// In the zips, where the loader looks.
    Brought,
    /// In the runtime.
    System,
    /// In the runtime perhaps.
    Uncertain,
    /// In the zips, where the loader does not look for it: the path in its zip.
    Elsewhere(&'t str),
    /// Nowhere.
    Missing,
}

/// The ELF files of the zips and what is needed to look up what they need.
struct Loader<'t, 'a> {
    tree: &'t Tree<'a>,
    system: SystemLibraries,
    library_path: Vec<String>,
    /// All ELF files and links by file name and by soname.
    by_name: BTreeMap<&'t str, Vec<(&'t str, &'a ContentFile)>>,
    /// The files that need a library, by its name.
    needed_by: BTreeMap<&'t str, Vec<(&'t str, &'a ElfFacts)>>,
}

/// Checks every file but those of distributions in `unfit`, which are not made for the target at
/// all: enough has been said of them.
pub(super) fn check(subject: &Subject<'_>, tree: &Tree<'_>, unfit: &BTreeSet<&str>, found: &mut Findings) {
    let loader = Loader::new(subject, tree);
    for (path, placed) in tree.files() {
        if is_of_other_python(path, subject.target.runtime.minor()) {
            continue;
        }
        if owner(&placed).is_some_and(|owner| unfit.contains(owner)) {
            continue;
        }
        let module = ModuleName::parse(split(path).1);
        if let (None, Some(damage)) = (module, &placed.file.damage) {
            let place = Place::file(placed.zip, &placed.file.path);
            let why = format!("the loader cannot read it: {damage}");
            let fix = "take the file from its wheel again; tools that strip libraries damage some of them";
            found.add(Severity::Warning, Code::NotALibrary, place, why, fix);
        }
        let Some(elf) = &placed.file.elf else { continue };
        if module.is_some_and(|module| !is_importable(module.tag, subject.target)) {
            continue;
        }
        if !runs_on(elf, subject.target.arch) {
            // What is wrong with a module has been said of its name.
            if module.is_none() {
                loader.other_processor(subject.target, path, placed, elf, found);
            }
            continue;
        }
        loader.check_file(subject.target, path, placed, elf, found);
    }
}

impl<'t, 'a> Loader<'t, 'a> {
    fn new(subject: &Subject<'_>, tree: &'t Tree<'a>) -> Self {
        let library_path = subject.environment.get("LD_LIBRARY_PATH").map_or(LIBRARY_PATH, String::as_str);
        let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        let mut needed_by: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (path, placed) in tree.files() {
            let name = split(path).1;
            if name.contains(".so") {
                by_name.entry(name).or_default().push((path, placed.file));
            }
            let Some(elf) = &placed.file.elf else { continue };
            if let Some(soname) = elf.soname.as_deref().filter(|soname| *soname != name) {
                by_name.entry(soname).or_default().push((path, placed.file));
            }
            for needed in &elf.needed {
                needed_by.entry(needed.as_str()).or_default().push((path, elf));
            }
        }
        Self {
            tree,
            system: SystemLibraries::of(subject.target),
            library_path: library_path.split(':').map(normalised).collect(),
            by_name,
            needed_by,
        }
    }

    fn look_up(&self, path: &str, elf: &ElfFacts, soname: &str) -> Lookup<'t> {
        if soname.contains('/') || self.is_reached(path, elf, soname) {
            return Lookup::Brought;
        }
        if self.system.have(soname) {
            return Lookup::System;
        }
        if self.library_path.iter().any(|folder| self.tree.get(&format!("{folder}/{soname}")).is_some()) {
            return Lookup::Brought;
        }
        let Some(elsewhere) = self.by_name.get(soname) else {
            return if self.system.may_have(soname) { Lookup::Uncertain } else { Lookup::Missing };
        };
        if self.is_reached_before(path, elf, soname) {
            return Lookup::Brought;
        }
        match elsewhere.first() {
            Some((_, file)) => Lookup::Elsewhere(&file.path),
            None => Lookup::Missing,
        }
    }

    /// Whether a file's own run paths lead to the library.
    fn is_reached(&self, path: &str, elf: &ElfFacts, soname: &str) -> bool {
        let folder = split(path).0;
        elf.run_paths.iter().any(|run_path| {
            let run_path = run_path.replace("${ORIGIN}", folder).replace("$ORIGIN", folder);
            self.tree.get(&format!("{}/{soname}", normalised(&run_path)).replace("//", "/")).is_some()
        })
    }

    /// Whether a file that loads this one finds the library: then it is loaded already when this
    /// one asks for it, or this one inherits the other's `DT_RPATH`.
    fn is_reached_before(&self, path: &str, elf: &ElfFacts, soname: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![(path, elf)];
        while let Some((path, elf)) = open.pop() {
            let names = [Some(split(path).1), elf.soname.as_deref()];
            for (above, facts) in
                names.into_iter().flatten().filter_map(|name| self.needed_by.get(name)).flatten()
            {
                if seen.insert(*above) {
                    if self.is_reached(above, facts, soname) {
                        return true;
                    }
                    open.push((above, facts));
                }
            }
        }
        false
    }

    fn check_file(
        &self,
        target: Target,
        path: &str,
        placed: Placed<'a>,
        elf: &ElfFacts,
        found: &mut Findings,
    ) {
        let place = Place::file(placed.zip, &placed.file.path);
        let package = owner(&placed);
        let severity = self.severity(path, elf);
        let build = build_command(package, target);
        if elf.needed.iter().any(|soname| soname.starts_with("libc.musl") || soname == "libc.so") {
            let why = "it is linked with musl, the C library of Alpine Linux; Lambda has glibc";
            found.add(severity, Code::OtherSystem, place, why, format!("build it for the target: {build}"));
            return;
        }
        let mut systems = BTreeSet::new();
        for soname in &elf.needed {
            match self.look_up(path, elf, soname) {
                Lookup::Brought => {}
                Lookup::System => {
                    systems.insert(soname.as_str());
                }
                Lookup::Uncertain => found.add(
                    Severity::Warning,
                    Code::UncertainLibrary,
                    place,
                    format!("it needs `{soname}`, which the system of {} does not have; its interpreter's own folder may, but no list of that is published", target.runtime),
                    format!("take a wheel that brings the library: {build}"),
                ),
                Lookup::Elsewhere(there) => found.add(
                    Severity::Warning,
                    Code::UnreachableLibrary,
                    place,
                    format!("it needs `{soname}`, which is there as `{there}`, where the loader does not look for it: it loads only if something has loaded that library before"),
                    "put the library into the folder `lib` of a layer, or take the package's wheel, whose run paths lead to it",
                ),
                Lookup::Missing => {
                    let (why, fix) = missing(soname, package, target, &build);
                    found.add(severity, Code::MissingLibrary, place, why, fix);
                }
            }
        }
        let system = target.runtime.operating_system();
        for new in too_new(elf, system, |library| systems.contains(library)) {
            let (why, fix) = too_new_symbol(&new, target, &build);
            found.add(severity, Code::TooNewSymbol, place, why, fix);
        }
    }

    /// How bad it is when a file does not load.
    fn severity(&self, path: &str, elf: &ElfFacts) -> Severity {
        let (folder, _) = split(path);
        // Plugins are loaded when their feature is used, and programs when they are called.
        let is_plugin = folder.split('/').any(|part| part == "plugins");
        let is_called = elf.is_program && folder != "/opt/extensions";
        if is_plugin || is_called || is_optional(self.tree, path) {
            Severity::Warning
        } else {
            Severity::Error
        }
    }

    /// A library or program for another processor. Packages may carry such files for other
    /// machines; it is an error only where something that runs on the target needs it.
    fn other_processor(
        &self,
        target: Target,
        path: &str,
        placed: Placed<'a>,
        elf: &ElfFacts,
        found: &mut Findings,
    ) {
        let name = split(path).1;
        let is_needed = self.needed_by.get(name).is_some_and(|needing| {
            needing
                .iter()
                .any(|(above, facts)| runs_on(facts, target.arch) && self.is_reached(above, facts, name))
        });
        let is_loaded = elf.is_program || name.ends_with(".so") || name.contains(".so.");
        let is_extension = path.starts_with("/opt/extensions/");
        if !is_loaded || (!is_needed && !is_extension && names_a_processor(&placed.file.path)) {
            return;
        }
        let severity = if is_needed || is_extension { Severity::Error } else { Severity::Warning };
        let package = owner(&placed);
        found.add(
            severity,
            Code::OtherArchitecture,
            Place::file(placed.zip, &placed.file.path),
            format!("it is compiled for {}, not for {}", made_for(elf), target.arch),
            format!("build it for the target: {}", build_command(package, target)),
        );
    }
}

fn missing(soname: &str, package: Option<&str>, target: Target, build: &str) -> (String, String) {
    let nowhere = format!(
        "it needs `{soname}`, which is neither in the layers nor in {} ({})",
        target.runtime,
        system_name(target.runtime.operating_system())
    );
    if soname.starts_with("libpython") {
        return (
            format!("{nowhere}: it is linked with another Python"),
            format!("build it for the target: {build}"),
        );
    }
    let own_advice = package.and_then(advice_for);
    match (own_advice, absent_library(soname)) {
        (Some(advice), _) => (nowhere, advice.to_owned()),
        (None, Some(absent)) => {
            (format!("{nowhere}; usually it is asked for by {}", absent.brought_by), absent.advice.to_owned())
        }
        (None, None) => (
            nowhere,
            "take a wheel that brings the library, or put it into the folder `lib` of a layer".to_owned(),
        ),
    }
}

fn too_new_symbol(new: &TooNew, target: Target, build: &str) -> (String, String) {
    let system = target.runtime.operating_system();
    let why = format!(
        "it needs {} of {}; {} runs on {}, which has up to {}",
        new.asked,
        new.family.library,
        target.runtime,
        system_name(system),
        new.newest
    );
    let newest = OperatingSystem::AmazonLinux2023;
    let other = if system != newest && new.is_on(newest) {
        "; or let the function run on python3.12 or later, on Amazon Linux 2023"
    } else {
        ""
    };
    (why, format!("take an older release or build it on that system: {build} chooses wheels that fit{other}"))
}
