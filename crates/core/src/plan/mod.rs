//! The plan of a layer: every file of every wheel, kept or left out, and why; and the bytecode that
//! goes with them.
//!
//! Owns all pruning rules (in `rules`; for single packages in `packages`), what a profile means
//! (`policy`), and how a layer is made to fit (`fit`) or split (`split`). The plan is one value;
//! writing the zip, `--dry-run` and the report read it and decide nothing of their own.

mod contents;
pub mod fit;
mod packages;
pub mod policy;
mod rules;
pub mod split;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Hint,
    derived::{Derivation, DerivedFiles},
    limits,
    target::{Runtime, Target},
    wheel::WheelContents,
    zip::{Entry, EntryKind, FileMode, zip_len},
};
use packages::PackageRules;
pub use policy::{Bytecode, Policy, Profile};
use rules::{Judged, Rules, tests_to_keep};

/// Why a file of a wheel is not in the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// `__pycache__`, and `.pyc` beside its `.py`: made for another path or time, so Python would not
    /// use it.
    Bytecode,
    /// In a folder of tests, and nothing outside of tests imports it.
    Tests,
    /// C, C++, Fortran and Cython sources, headers and static libraries that no code names.
    Sources,
    /// Type stubs that no code names: only type checkers read them.
    TypeStubs,
    /// A command that the installer would have to write an interpreter into; Lambda calls none.
    Command,
    /// What an installer keeps for itself in `*.dist-info`.
    InstallerRecord,
    /// What this one package never reads on Lambda.
    PackageRule,
    /// The same library is there under the name that is asked for.
    SameLibrary,
    /// The module is there as bytecode.
    Compiled,
    /// A part of a package that nothing asked for, left out to make the layer fit.
    OptionalPart,
    /// The user wants it out.
    Dropped,
    /// The same file is already there from another wheel.
    SameFile,
    /// Another wheel has a different file of this name, and that one is kept.
    Replaced,
}

impl Reason {
    /// In a sentence, for the terminal.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Bytecode => "stale bytecode",
            Self::Tests => "tests that nothing imports",
            Self::Sources => "sources and headers",
            Self::TypeStubs => "type stubs",
            Self::Command => "commands, which Lambda never calls",
            Self::InstallerRecord => "installers' records",
            Self::PackageRule => "what these packages do not read on Lambda",
            Self::SameLibrary => "second copies of libraries",
            Self::Compiled => "sources whose bytecode is there",
            Self::OptionalPart => "parts that nothing asked for",
            Self::Dropped => "left out by --drop",
            Self::SameFile => "files two wheels share",
            Self::Replaced => "files another wheel replaces",
        }
    }
}

/// Where a planned file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An entry of the wheel, by its number, as it is.
    Wheel(usize),
    /// An entry of what was derived from the wheel.
    Derived(Derivation, usize),
    /// This text.
    Text(String),
}

/// One file of the layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Path in the layer's zip, below `/opt`.
    pub path: String,
    /// Which wheel it belongs to, as an index into [`LayerPlan::wheels`].
    pub wheel: usize,
    /// Where its bytes come from.
    pub source: Source,
    /// Its mode in the layer.
    pub mode: FileMode,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Size in the zip in bytes.
    pub packed_size: u64,
}

/// One file that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcludedFile {
    /// Path it would have had in the layer.
    pub path: String,
    /// Which wheel it comes from.
    pub wheel: usize,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Why.
    pub reason: Reason,
    /// What the package's rule says, where one decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Something about the plan that the user should know before the upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Lambda will refuse the layer: it must be smaller than the limit.
    TooLarge {
        /// Unpacked size of the layer in bytes.
        unzipped: u64,
        /// The limit in bytes.
        limit: u64,
        /// The heaviest packages with their unpacked bytes, heaviest first.
        heaviest: Vec<(String, u64)>,
    },
    /// Two wheels have different files of one name.
    Conflict {
        /// The path in the layer.
        path: String,
        /// The package whose file is kept.
        kept: String,
        /// The package whose file is not.
        dropped: String,
    },
}

/// A package in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWheel {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Files kept.
    pub files: u64,
    /// Unpacked bytes kept.
    pub unzipped: u64,
    /// Bytes kept as they are in the zip.
    #[serde(default)]
    pub packed: u64,
}

/// Where in a layer the packages lie (FACTS.md §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `python/`, which every runtime searches.
    #[default]
    Python,
    /// `python/lib/python3.N/site-packages/`, which one runtime searches.
    SitePackages,
}

impl Layout {
    /// The folder of the packages in the zip, with a slash at its end.
    pub fn folder(self, runtime: Runtime) -> String {
        match self {
            Self::Python => "python/".to_owned(),
            Self::SitePackages => format!("python/lib/{runtime}/site-packages/"),
        }
    }
}

/// Every file of a layer, decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// What it is for: several runtimes when [`LayerPlan::joined`].
    pub targets: Vec<Target>,
    /// How much was to be kept.
    pub profile: Profile,
    /// The packages, in the order of the resolution.
    pub wheels: Vec<PlannedWheel>,
    /// What goes in, sorted by path.
    pub files: Vec<PlannedFile>,
    /// What stays out, sorted by path.
    pub excluded: Vec<ExcludedFile>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// Files and bytes that share a fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many files.
    pub files: u64,
    /// Their unpacked size in bytes.
    pub bytes: u64,
}

/// Why there can be no plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// One wheel has a file where another has a folder.
    #[error("`{path}` is a file in `{one}` and a folder in `{other}`: the two cannot be in one layer")]
    FileAndFolder {
        /// The path.
        path: String,
        /// The wheel with the file.
        one: String,
        /// The wheel with the folder.
        other: String,
    },
}

impl Hint for PlanError {
    fn hint(&self) -> Option<String> {
        Some("put the two packages into two layers, or leave one of them out".to_owned())
    }
}

/// Everything that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What the layer is for.
    pub target: Target,
    /// The wheels, in the order of the resolution.
    pub wheels: &'a [WheelContents],
    /// What was derived from each of them. Shorter or empty when nothing was.
    pub derived: &'a [DerivedFiles],
    /// What decides.
    pub policy: &'a Policy,
    /// Test modules that the app imports: [`crate::imports::test_modules_imported`].
    pub imported: &'a BTreeSet<String>,
    /// Where the packages lie.
    pub layout: Layout,
}

/// What has to be derived from a wheel before the last plan is made: paths of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Libraries to strip.
    pub strip: BTreeSet<String>,
    /// Modules to compile.
    pub compile: BTreeSet<String>,
    /// Whether the bytecode is to have no docstrings.
    pub without_docstrings: bool,
    /// Files to pack harder.
    pub repack: BTreeSet<String>,
}

impl LayerPlan {
    /// Decides about every file of these wheels.
    ///
    /// # Errors
    /// [`PlanError`] when the wheels contradict each other.
    pub fn new(given: &Given<'_>) -> Result<Self, PlanError> {
        let kept_tests = match given.policy.profile {
            Profile::Faithful => BTreeSet::new(),
            Profile::Lean | Profile::Smallest => tests_to_keep(given.wheels, given.imported),
        };
        let mut planner = Planner::default();
        for (number, wheel) in given.wheels.iter().enumerate() {
            planner.wheel(given, number, wheel, &kept_tests);
        }
        let files: BTreeMap<String, PlannedFile> =
            planner.files.into_iter().map(|(path, (file, _))| (path, file)).collect();
        refuse_file_and_folder(&files, given.wheels)?;
        let mut plan = Self {
            targets: vec![given.target],
            profile: given.policy.profile,
            wheels: given.wheels.iter().map(PlannedWheel::of).collect(),
            files: files.into_values().collect(),
            excluded: planner.excluded,
            findings: planner.findings,
        };
        if given.policy.profile != Profile::Faithful {
            plan.write_records(given);
        }
        plan.settle();
        Ok(plan)
    }

    /// One layer for several runtimes, whose plans lie in folders of their own
    /// ([`Layout::SitePackages`]). The wheels of all plans stand one after the other.
    pub fn joined(plans: Vec<Self>) -> Self {
        let mut joined = Self {
            targets: Vec::new(),
            profile: plans.first().map_or_else(Profile::default, |plan| plan.profile),
            wheels: Vec::new(),
            files: Vec::new(),
            excluded: Vec::new(),
            findings: Vec::new(),
        };
        for plan in plans {
            let offset = joined.wheels.len();
            joined.targets.extend(plan.targets);
            joined.wheels.extend(plan.wheels);
            joined.files.extend(plan.files.into_iter().map(|mut file| {
                file.wheel += offset;
                file
            }));
            joined.excluded.extend(plan.excluded.into_iter().map(|mut file| {
                file.wheel += offset;
                file
            }));
            joined.findings.extend(
                plan.findings.into_iter().filter(|finding| !matches!(finding, Finding::TooLarge { .. })),
            );
        }
        joined.settle();
        joined
    }

    /// Sorts, counts, and looks at the limit.
    fn settle(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.excluded.sort_by(|a, b| a.path.cmp(&b.path).then(a.wheel.cmp(&b.wheel)));
        for wheel in &mut self.wheels {
            (wheel.files, wheel.unzipped, wheel.packed) = (0, 0, 0);
        }
        for file in &self.files {
            let wheel = &mut self.wheels[file.wheel];
            wheel.files += 1;
            wheel.unzipped += file.size;
            wheel.packed += file.packed_size;
        }
        if let Some(finding) = self.too_large(limits::UNZIPPED_BYTES) {
            self.findings.push(finding);
        }
    }

    /// What has to be derived from each wheel so that this plan, made without, becomes complete.
    pub fn needed(&self, given: &Given<'_>) -> Vec<Needed> {
        let policy = given.policy;
        let mut needed: Vec<Needed> = given.wheels.iter().map(|_| Needed::default()).collect();
        for file in &self.files {
            let Source::Wheel(entry) = &file.source else { continue };
            let wheel = &given.wheels[file.wheel];
            let path = &wheel.archive.entries[*entry].path;
            let needed = &mut needed[file.wheel];
            if policy.bytecode != Bytecode::None && file.path.ends_with(".py") {
                needed.compile.insert(path.clone());
            }
            if policy.strip && wheel.facts.libraries.contains_key(path) {
                needed.strip.insert(path.clone());
            } else if policy.pack_hard && file.size > 0 {
                needed.repack.insert(path.clone());
            }
        }
        for (needed, wheel) in needed.iter_mut().zip(given.wheels) {
            let rules = PackageRules::of(&wheel.name, &wheel.version);
            needed.without_docstrings = is_without_docstrings(policy, &rules);
            if policy.bytecode == Bytecode::Only && !rules.needs_sources() {
                needed.repack.retain(|path| !path.ends_with(".py"));
            }
        }
        needed
    }

    /// Unpacked size of the layer in bytes, as Lambda counts it: the sum of its files.
    pub fn unzipped_size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Size of the layer's zip in bytes, known before it is written.
    pub fn zip_size(&self) -> u64 {
        zip_len(self.files.iter().map(|file| (file.path.len(), file.packed_size)))
    }

    /// What stays out, by reason.
    pub fn excluded_by_reason(&self) -> BTreeMap<Reason, Tally> {
        let mut tallies: BTreeMap<Reason, Tally> = BTreeMap::new();
        for file in &self.excluded {
            let tally = tallies.entry(file.reason).or_default();
            tally.files += 1;
            tally.bytes += file.size;
        }
        tallies
    }

    /// Where the files lie that stay out for one reason, heaviest place first, at most so many: the
    /// first two folders of each, or what the package's rule says.
    pub fn excluded_places(&self, reason: Reason, most: usize) -> Vec<(String, Tally)> {
        let mut places: BTreeMap<String, Tally> = BTreeMap::new();
        for file in self.excluded.iter().filter(|file| file.reason == reason) {
            let name = &self.wheels[file.wheel].name;
            let place = match &file.detail {
                Some(why) => format!("{name}: {why}"),
                None => file.path.split('/').skip(1).take(2).collect::<Vec<_>>().join("/"),
            };
            let tally = places.entry(place).or_default();
            tally.files += 1;
            tally.bytes += file.size;
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_by(|a, b| b.1.bytes.cmp(&a.1.bytes).then_with(|| a.0.cmp(&b.0)));
        places.truncate(most);
        places
    }

    /// The packages with their unpacked bytes, heaviest first.
    pub fn heaviest(&self) -> Vec<(String, u64)> {
        let mut heaviest: Vec<_> =
            self.wheels.iter().map(|wheel| (wheel.name.clone(), wheel.unzipped)).collect();
        heaviest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        heaviest
    }

    /// A finding when the layer is not below this many bytes unzipped.
    pub fn too_large(&self, limit: u64) -> Option<Finding> {
        let unzipped = self.unzipped_size();
        if unzipped < limit {
            return None;
        }
        let mut heaviest = self.heaviest();
        heaviest.truncate(5);
        Some(Finding::TooLarge { unzipped, limit, heaviest })
    }

    /// RECORD of each distribution anew, with the files that are there and without hashes, which
    /// nobody on Lambda compares (binary distribution format, "RECORD").
    fn write_records(&mut self, given: &Given<'_>) {
        let folder = given.layout.folder(given.target.runtime);
        for (number, wheel) in given.wheels.iter().enumerate() {
            let dist_info = wheel.archive.entries.iter().find_map(|entry| {
                entry
                    .path
                    .strip_suffix("/WHEEL")
                    .filter(|folder| folder.ends_with(".dist-info") && !folder.contains('/'))
            });
            let Some(dist_info) = dist_info else { continue };
            let record = format!("{dist_info}/RECORD");
            if given.policy.drop.iter().any(|pattern| pattern.matches(&record)) {
                continue;
            }
            let path = format!("{folder}{record}");
            let mut lines = vec![record_line(&record)];
            lines.extend(
                self.files
                    .iter()
                    .filter(|file| file.wheel == number && file.path != path)
                    .filter_map(|file| file.path.strip_prefix(&folder))
                    .map(record_line),
            );
            lines.sort();
            let text = lines.concat();
            let size = text.len() as u64;
            self.files.retain(|file| file.path != path);
            self.excluded.retain(|file| file.path != path);
            self.files.push(PlannedFile {
                path,
                wheel: number,
                mode: FileMode::Regular,
                size,
                packed_size: crate::zip::deflate(text.as_bytes()).1.len() as u64,
                source: Source::Text(text),
            });
        }
    }
}

/// A line of RECORD, which is CSV.
fn record_line(path: &str) -> String {
    if path.contains(['"', ',']) {
        format!("\"{}\",,\n", path.replace('"', "\"\""))
    } else {
        format!("{path},,\n")
    }
}

fn is_without_docstrings(policy: &Policy, rules: &PackageRules) -> bool {
    policy.docstrings_out
        && policy.bytecode == Bytecode::Only
        && rules.bears_no_docstrings()
        && !rules.needs_sources()
}

impl PlannedWheel {
    fn of(wheel: &WheelContents) -> Self {
        Self { name: wheel.name.clone(), version: wheel.version.clone(), files: 0, unzipped: 0, packed: 0 }
    }
}

/// The plan in the making.
#[derive(Default)]
struct Planner {
    /// By path, with checksum and size of the wheel's entry that each is or was made from.
    files: BTreeMap<String, (PlannedFile, (u32, u64))>,
    excluded: Vec<ExcludedFile>,
    findings: Vec<Finding>,
}

impl Planner {
    fn wheel(
        &mut self,
        given: &Given<'_>,
        number: usize,
        wheel: &WheelContents,
        kept_tests: &BTreeSet<&str>,
    ) {
        let folder = given.layout.folder(given.target.runtime);
        let package = PackageRules::of(&wheel.name, &wheel.version);
        let rules = Rules::new(wheel, given.policy, kept_tests, &package);
        let derived = DerivedByPath::of(given.derived.get(number));
        let bytecode = match given.policy.bytecode {
            Bytecode::Only if package.needs_sources() => Bytecode::Beside,
            bytecode => bytecode,
        };
        for (entry_number, entry) in wheel.archive.entries.iter().enumerate() {
            if entry.kind != EntryKind::File {
                continue;
            }
            let Judged { path, excluded } = rules.judge(&entry.path);
            if let Some((reason, detail)) = excluded {
                let detail = detail.map(str::to_owned);
                let path = format!("{folder}{path}");
                self.excluded.push(ExcludedFile { path, wheel: number, size: entry.size, reason, detail });
                continue;
            }
            let mode = FileMode::from_permissions(entry.permissions);
            let file = |path: String, source, entry: &Entry| PlannedFile {
                path: format!("{folder}{path}"),
                wheel: number,
                source,
                mode,
                size: entry.size,
                packed_size: entry.data.len() as u64,
            };
            let compiled = derived.get(Derivation::Bytecode, &entry.path).filter(|_| path.ends_with(".py"));
            if let Some((derivation, derived_entry)) = compiled {
                let source = Source::Derived(Derivation::Bytecode, derivation);
                let is_wanted = given.policy.keep.iter().any(|pattern| pattern.matches(&path));
                match if is_wanted { bytecode.min(Bytecode::Beside) } else { bytecode } {
                    Bytecode::None => {}
                    Bytecode::Beside => {
                        let cached = cached_path(&path, given.target.runtime);
                        self.add(given.wheels, file(cached, source, derived_entry), entry);
                    }
                    Bytecode::Only => {
                        self.add(given.wheels, file(format!("{path}c"), source, derived_entry), entry);
                        self.exclude(&format!("{folder}{path}"), number, entry.size, Reason::Compiled);
                        continue;
                    }
                }
            }
            let better = [Derivation::Stripped, Derivation::Repacked]
                .into_iter()
                .filter(|derivation| match derivation {
                    Derivation::Stripped => given.policy.strip,
                    Derivation::Repacked => given.policy.pack_hard,
                    Derivation::Bytecode => false,
                })
                .find_map(|derivation| {
                    derived.get(derivation, &entry.path).map(|(number, entry)| (derivation, number, entry))
                });
            match better {
                Some((derivation, derived_number, derived_entry)) => {
                    let source = Source::Derived(derivation, derived_number);
                    self.add(given.wheels, file(path, source, derived_entry), entry);
                }
                None => self.add(given.wheels, file(path, Source::Wheel(entry_number), entry), entry),
            }
        }
    }

    /// Adds a file. `origin` is the wheel's entry that it is or was made from: it tells whether
    /// two wheels have the same file.
    fn add(&mut self, wheels: &[WheelContents], file: PlannedFile, origin: &Entry) {
        let origin = (origin.crc32, origin.size);
        if let Some((earlier, same_as)) = self.files.get(&file.path) {
            if *same_as == origin {
                self.exclude(&file.path, file.wheel, file.size, Reason::SameFile);
                return;
            }
            let (earlier_wheel, earlier_size) = (earlier.wheel, earlier.size);
            self.exclude(&file.path, earlier_wheel, earlier_size, Reason::Replaced);
            // Bytecode goes with its source, of which the same was said already.
            if !file.path.contains("/__pycache__/") {
                self.findings.push(Finding::Conflict {
                    path: file.path.clone(),
                    kept: wheels[file.wheel].name.clone(),
                    dropped: wheels[earlier_wheel].name.clone(),
                });
            }
        }
        self.files.insert(file.path.clone(), (file, origin));
    }

    fn exclude(&mut self, path: &str, wheel: usize, size: u64, reason: Reason) {
        self.excluded.push(ExcludedFile { path: path.to_owned(), wheel, size, reason, detail: None });
    }
}

/// Where Python looks for the bytecode of a source (PEP 3147).
fn cached_path(source: &str, runtime: Runtime) -> String {
    let stem = source.strip_suffix(".py").unwrap_or(source);
    let (folder, name) = stem.rsplit_once('/').map_or(("", stem), |(folder, name)| (folder, name));
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}__pycache__/{name}.cpython-3{}.pyc", runtime.minor())
}

/// What was derived from one wheel, by the path of the wheel's entry.
struct DerivedByPath<'a> {
    entries: BTreeMap<(Derivation, &'a str), (usize, &'a Entry)>,
}

impl<'a> DerivedByPath<'a> {
    fn of(derived: Option<&'a DerivedFiles>) -> Self {
        let mut entries = BTreeMap::new();
        for derivation in [Derivation::Stripped, Derivation::Bytecode, Derivation::Repacked] {
            let archive = derived.and_then(|derived| derived.archive(derivation));
            for (number, entry) in archive.into_iter().flat_map(|archive| archive.entries.iter().enumerate())
            {
                entries.insert((derivation, entry.path.as_str()), (number, entry));
            }
        }
        Self { entries }
    }

    fn get(&self, derivation: Derivation, path: &'a str) -> Option<(usize, &'a Entry)> {
        self.entries.get(&(derivation, path)).copied()
    }
}

fn refuse_file_and_folder(
    files: &BTreeMap<String, PlannedFile>,
    wheels: &[WheelContents],
) -> Result<(), PlanError> {
    for file in files.values() {
        let mut below = file.path.as_str();
        while let Some((folder, _)) = below.rsplit_once('/') {
            if let Some(blocking) = files.get(folder) {
                return Err(PlanError::FileAndFolder {
                    path: folder.to_owned(),
                    one: wheels[blocking.wheel].name.clone(),
                    other: wheels[file.wheel].name.clone(),
                });
            }
            below = folder;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
