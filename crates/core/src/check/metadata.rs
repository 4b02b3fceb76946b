//! What the metadata of distributions asks for: other distributions, a version of Python.
//!
//! Owns the judgement. Markers and versions are evaluated by whoever knows the packaging rules
//! (`build::resolve::installed`), from the distributions that [`visible_distributions`] names.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Code, Findings, NamedContents, Place, Severity, Subject,
    machines::build_command,
    modules::ModuleName,
    table::{cells, rows},
    tree::Tree,
};
use crate::{contents::Distribution, target::Target};

/// What the metadata of the distributions asks for and does not get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfulfilled {
    /// Requirements that no distribution fulfils.
    pub requirements: Vec<UnmetRequirement>,
    /// Distributions that exclude the target's Python.
    pub pythons: Vec<WrongPython>,
}

/// A requirement that applies on the target and is not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnmetRequirement {
    /// The distribution that requires it: normalised name.
    pub by: String,
    /// What is required: normalised name.
    pub name: String,
    /// The requirement as written, without its marker.
    pub requirement: String,
    /// The version that is there, if one is.
    pub found: Option<String>,
}

/// A distribution that excludes the target's Python.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrongPython {
    /// Normalised name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `Requires-Python`, as written.
    pub requires_python: String,
    /// Whether the target's Python is too old for it, rather than newer than it allows.
    pub is_too_old: bool,
}

/// The distributions that Python sees on a target, first found first: the function's own, then
/// those of the layers, the last layer first.
pub fn visible_distributions<'a>(
    target: Target,
    layers: &'a [NamedContents],
    function: Option<&'a NamedContents>,
) -> Vec<&'a Distribution> {
    let versioned = format!("python/lib/{}/site-packages", python_folder(target));
    let own =
        function.into_iter().flat_map(|zip| &zip.contents.distributions).filter(|one| one.root().is_empty());
    let of_layers = |root: String| {
        layers.iter().rev().flat_map(|zip| &zip.contents.distributions).filter(move |one| one.root() == root)
    };
    own.chain(of_layers(versioned)).chain(of_layers("python".to_owned())).collect()
}

fn python_folder(target: Target) -> String {
    format!("python{}", target.runtime.python_version())
}

pub(super) fn check(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    let zips = zips_of(subject);
    let place = |name: &str| match zips.get(name) {
        Some((zip, folder)) => Place::file(zip, folder),
        None => Place::EVERYWHERE,
    };
    for wrong in &subject.unfulfilled.pythons {
        let severity = if wrong.is_too_old { Severity::Error } else { Severity::Warning };
        found.add(
            severity,
            Code::RequiresPython,
            place(&wrong.name),
            format!(
                "{} {} requires Python {}, and {} runs {}",
                wrong.name,
                wrong.version,
                wrong.requires_python,
                subject.target.runtime,
                subject.target.runtime.python_version()
            ),
            format!("take a release that allows it: {}", build_command(Some(&wrong.name), subject.target)),
        );
    }
    let present = Present::of(subject, tree);
    for unmet in &subject.unfulfilled.requirements {
        if rows(include_str!("data/runtime-distributions.txt")).any(|name| name == unmet.name)
            && unmet.found.is_none()
        {
            continue;
        }
        let (severity, code, why) = match &unmet.found {
            Some(version) => (
                Severity::Warning,
                Code::RequirementVersion,
                format!(
                    "{} requires `{}`, and {} {version} is there",
                    unmet.by, unmet.requirement, unmet.name
                ),
            ),
            None if present.may_have(&unmet.name) => continue,
            None => missing(unmet, &present),
        };
        let build = build_command(Some(&unmet.by), subject.target);
        let fix = match code {
            Code::RequirementVersion => format!("take versions that fit together: {build} chooses such"),
            _ => format!("add it: {build} takes it along; if another layer has it, name that layer as well"),
        };
        found.add(severity, code, place(&unmet.by), why, fix);
    }
}

fn missing(unmet: &UnmetRequirement, present: &Present<'_>) -> (Severity, Code, String) {
    let why = format!("{} requires `{}`, which is not there", unmet.by, unmet.requirement);
    let soft = rows(include_str!("data/soft-requirements.txt"))
        .filter_map(cells::<2>)
        .find(|[name, _]| *name == unmet.name);
    match soft {
        Some([_, reason]) => (Severity::Warning, Code::MissingRequirement, format!("{why}; {reason}")),
        None if present.has_unknown => (
            Severity::Warning,
            Code::MissingRequirement,
            format!("{why} by that name; some packages are there without metadata, so it may be one of them"),
        ),
        None => (Severity::Error, Code::MissingRequirement, why),
    }
}

/// The zip and folder of each distribution, the first found of a name.
fn zips_of<'a>(subject: &Subject<'a>) -> BTreeMap<&'a str, (&'a NamedContents, &'a str)> {
    let mut zips = BTreeMap::new();
    for zip in subject.function.into_iter().chain(subject.layers.iter().rev()) {
        for distribution in &zip.contents.distributions {
            zips.entry(distribution.name.as_str()).or_insert((zip, distribution.folder.as_str()));
        }
    }
    zips
}

/// The modules that are there although no metadata tells of them.
struct Present<'t> {
    modules: BTreeSet<&'t str>,
    /// Whether a layer has packages that belong to no distribution.
    has_unknown: bool,
}

impl<'t> Present<'t> {
    fn of(subject: &Subject<'_>, tree: &'t Tree<'_>) -> Self {
        let mut modules = BTreeSet::new();
        let mut has_unknown = false;
        for (path, placed) in tree.files() {
            let Some(below) = tree.below_python_root(path) else { continue };
            let first = below.split('/').next().unwrap_or(below);
            let is_module = match below.strip_prefix(first) {
                Some("") => {
                    [".py", ".pyc"].iter().any(|ending| first.ends_with(ending))
                        || ModuleName::parse(first).is_some()
                }
                _ => !first.contains('.') && first != "bin",
            };
            if !is_module {
                continue;
            }
            modules.insert(first.split('.').next().unwrap_or(first));
            let is_functions = subject.function.is_some_and(|function| std::ptr::eq(function, placed.zip));
            has_unknown |= !is_functions && placed.file.owner.is_none();
        }
        Self { modules, has_unknown }
    }

    fn may_have(&self, distribution: &str) -> bool {
        let usual = distribution.replace('-', "_");
        let known = rows(include_str!("data/import-names.txt"))
            .filter_map(|row| row.split_once(' '))
            .filter(|(name, _)| *name == distribution)
            .map(|(_, module)| module);
        known.chain([usual.as_str(), distribution]).any(|module| self.modules.contains(module))
    }
}
