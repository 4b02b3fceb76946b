//! Will it run on Lambda? Told from what is in the zips, before anything is uploaded.
//!
//! Owns every judgement about a layer's or function's zip and the sentences that say it. A pure
//! function of values: who made the [`Contents`] does not matter, a reader of a zip on disk or a
//! planner that has written nothing yet. Never reads a zip, never changes one.

mod budget;
mod bytecode;
mod conflicts;
mod files;
mod guess;
mod layout;
mod libraries;
mod machines;
mod metadata;
mod modules;
mod settings;
mod shadowing;
mod symbol_versions;
mod system;
mod table;
mod tree;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{aws::Handler, contents::Contents, target::Target};

pub use budget::Sizes;
pub use guess::{Guess, guess_runtimes};
pub use metadata::{Unfulfilled, UnmetRequirement, WrongPython, visible_distributions};

/// Raised when the serialised form changes.
pub const CHECK_FORMAT: u32 = 1;

/// A zip with the name by which findings call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedContents {
    /// What to call it: a file name, a layer's name.
    pub name: String,
    /// What is in it.
    pub contents: Contents,
    /// Size of the zip in bytes.
    pub zip_bytes: u64,
}

/// What is checked: a function with its layers, or as much of it as is known.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where it is to run.
    pub target: Target,
    /// The layers in the order in which Lambda extracts them: a later one replaces files of an
    /// earlier one.
    pub layers: &'a [NamedContents],
    /// The function's own zip.
    pub function: Option<&'a NamedContents>,
    /// The function's environment variables.
    pub environment: &'a BTreeMap<String, String>,
    /// What Lambda calls.
    pub handler: Option<&'a Handler>,
    /// What the metadata of the distributions asks for and does not get on this target.
    pub unfulfilled: &'a Unfulfilled,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will not run, or Lambda will refuse it.
    Error,
    /// It may surprise.
    Warning,
    /// Good to know.
    Note,
}

/// What kind of finding it is. The words are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Packages lie where Python on Lambda does not look.
    MisplacedPackages,
    /// Packages lie in `python/lib/python3.X` of other Pythons only.
    OtherPythonFolder,
    /// A layer has nothing in the folders that Lambda looks into.
    NothingForLambda,
    /// Files that only a desktop made.
    DesktopFiles,
    /// Too many layers.
    TooManyLayers,
    /// A package, or function and layers together, exceed the unzipped limit.
    TooLarge,
    /// Little is left of the unzipped limit.
    NearlyFull,
    /// The zip cannot travel within the request.
    NeedsS3,
    /// A module is compiled for another Python.
    OtherPython,
    /// A module is compiled for another operating system or C library.
    OtherSystem,
    /// A module, library or program is compiled for another processor.
    OtherArchitecture,
    /// A module is no shared library, or a library cannot be read.
    NotALibrary,
    /// A module's name says one architecture and its content another.
    NameAndContentDiffer,
    /// numpy without its compiled core.
    NumpyWithoutCore,
    /// Cython sources of a distribution that has nothing compiled.
    NotCompiled,
    /// A symbol version that the runtime's libraries do not have.
    TooNewSymbol,
    /// A library that is neither in the layers nor in the runtime.
    MissingLibrary,
    /// A library that is in the layers where the loader does not look.
    UnreachableLibrary,
    /// A library that the interpreter's own folder may have.
    UncertainLibrary,
    /// A distribution that another one requires is not there.
    MissingRequirement,
    /// A required distribution is there in a version that does not fit.
    RequirementVersion,
    /// `Requires-Python` of a distribution excludes the target's Python.
    RequiresPython,
    /// The function's `PYTHONPATH` hides the layers' packages.
    PythonPath,
    /// An environment variable that Lambda refuses or that breaks the runtime.
    EnvironmentVariable,
    /// The handler's module is not there.
    MissingHandler,
    /// A file that Lambda's user cannot read or enter.
    UnreadableFile,
    /// An extension or program that cannot be executed.
    NotExecutable,
    /// A file that everybody may write.
    WritableByAll,
    /// A link that leads out of the zip or to nothing.
    BrokenLink,
    /// A module that hides one of the standard library.
    HidesStandardLibrary,
    /// A distribution that comes before the runtime's own.
    ReplacesRuntime,
    /// A file that several layers have.
    ConflictingFile,
    /// Several versions of one distribution.
    SeveralVersions,
    /// Modules without bytecode.
    NoBytecode,
    /// Bytecode of another Python.
    OtherBytecode,
    /// Bytecode that Python does not import, since its source is not there.
    BytecodeWithoutSource,
    /// A runtime or a combination with an architecture that AWS does not offer (any more).
    NotOffered,
}

impl Code {
    /// The word that stands for it in documents.
    pub fn as_str(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            // A unit variant is written as a string.
            _ => String::new(),
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: Code,
    /// Why: a sentence that holds for every file of the same case.
    pub why: String,
    /// What to do.
    pub fix: String,
    /// The zip in which it was found.
    pub in_zip: Option<String>,
    /// The file, as a path in that zip.
    pub file: Option<String>,
}

/// What came out for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Where it is to run.
    pub target: Target,
    /// Whether it will: no finding is an error.
    pub runs: bool,
    /// The sizes that Lambda limits.
    pub sizes: Sizes,
    /// All findings, the worst first.
    pub findings: Vec<Finding>,
}

/// The outcome of a check for every target asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// [`CHECK_FORMAT`] of the writer.
    pub format: u32,
    /// One a target, in the order in which they were asked for.
    pub verdicts: Vec<Verdict>,
}

impl CheckReport {
    /// A report of these verdicts.
    pub fn new(verdicts: Vec<Verdict>) -> Self {
        Self { format: CHECK_FORMAT, verdicts }
    }

    /// Whether it will run on every target; with `strict`, warnings count as errors.
    pub fn passes(&self, strict: bool) -> bool {
        self.verdicts.iter().all(|verdict| verdict.passes(strict))
    }
}

impl Verdict {
    /// Whether it will run; with `strict`, warnings count as errors.
    pub fn passes(&self, strict: bool) -> bool {
        let worst = if strict { Severity::Warning } else { Severity::Error };
        self.findings.iter().all(|finding| finding.severity > worst)
    }
}

/// Checks for one target, with the sizes.
pub fn verdict(subject: &Subject<'_>) -> Verdict {
    let findings = check(subject);
    let runs = findings.iter().all(|finding| finding.severity > Severity::Error);
    Verdict { target: subject.target, runs, sizes: Sizes::of(subject), findings }
}

/// Everything there is to say, the worst first; the same subject gives the same findings.
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Findings::default();
    let tree = tree::Tree::new(subject);
    settings::check(subject, &tree, &mut found);
    layout::check(subject, &mut found);
    budget::check(subject, &mut found);
    let unfit = modules::check(subject, &tree, &mut found);
    libraries::check(subject, &tree, &unfit, &mut found);
    metadata::check(subject, &tree, &mut found);
    files::check(subject, &tree, &mut found);
    shadowing::check(subject, &tree, &mut found);
    conflicts::check(subject, &mut found);
    bytecode::check(subject, &tree, &mut found);
    found.sorted()
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

/// Where something was found.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    zip: Option<&'a str>,
    file: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The function with its layers as a whole.
    const EVERYWHERE: Self = Self { zip: None, file: None };

    fn zip(zip: &'a NamedContents) -> Self {
        Self { zip: Some(&zip.name), file: None }
    }

    fn file(zip: &'a NamedContents, path: &'a str) -> Self {
        Self { zip: Some(&zip.name), file: Some(path) }
    }
}

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        place: Place<'_>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding {
            severity,
            code,
            why: why.into(),
            fix: fix.into(),
            in_zip: place.zip.map(str::to_owned),
            file: place.file.map(str::to_owned),
        });
    }

    fn sorted(mut self) -> Vec<Finding> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}

#[cfg(test)]
mod tests;
