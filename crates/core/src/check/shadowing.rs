//! Modules that come before others on `sys.path`: those of the standard library and of the runtime.
//!
//! Owns the lists of both.

use std::collections::BTreeMap;

use super::{
    Code, Findings, Place, Severity, Subject,
    metadata::visible_distributions,
    modules::{ModuleName, is_importable},
    table::{cells, rows},
    tree::{Placed, Tree},
};

pub(super) fn check(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    standard_library(subject, tree, found);
    runtime(subject, found);
}

fn standard_library(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    let minor = subject.target.runtime.minor();
    let library: BTreeMap<&str, ()> = rows(include_str!("data/standard-library.txt"))
        .filter_map(|row| {
            let (name, range) = row.split_once(' ')?;
            let (first, last) = range.split_once('-')?;
            let is_in = first.parse().is_ok_and(|first: u8| first <= minor)
                && last.parse().map_or(last.is_empty(), |last: u8| minor <= last);
            is_in.then_some((name, ()))
        })
        .collect();
    for root in tree.python_roots() {
        let mut told = BTreeMap::new();
        for (path, placed) in tree.below(&root) {
            if let Some(module) = top_level_module(path, subject)
                && library.contains_key(module)
            {
                told.entry(module).or_insert((path, placed));
            }
        }
        for (module, (path, placed)) in told {
            hidden(subject, module, path, placed, found);
        }
    }
}

/// The module that a file makes importable at the top level. A folder without `__init__.py` hides
/// nothing: regular packages further down `sys.path` come before it (PEP 420).
fn top_level_module<'p>(path: &'p str, subject: &Subject<'_>) -> Option<&'p str> {
    match path.split_once('/') {
        Some((package, "__init__.py" | "__init__.pyc")) => Some(package),
        Some(_) => None,
        None => path.strip_suffix(".py").or_else(|| path.strip_suffix(".pyc")).or_else(|| {
            ModuleName::parse(path)
                .filter(|module| is_importable(module.tag, subject.target))
                .map(|module| module.stem)
        }),
    }
}

fn hidden(subject: &Subject<'_>, module: &str, path: &str, placed: Placed<'_>, found: &mut Findings) {
    let owner = placed.zip.contents.owner(placed.file);
    let known = owner.and_then(|owner| {
        rows(include_str!("data/replaced-modules.txt"))
            .filter_map(cells::<4>)
            .find(|[name, distribution, ..]| *name == module && *distribution == owner.name)
    });
    let place = Place::file(placed.zip, &placed.file.path);
    let hides = format!("it comes before the standard library's `{module}`");
    match (known, owner) {
        (Some([_, distribution, first, why]), _) => {
            let breaks = first.parse().is_ok_and(|first: u8| first <= subject.target.runtime.minor());
            let severity = if breaks { Severity::Error } else { Severity::Warning };
            let why = if breaks { format!("{hides}, and {why}") } else { hides };
            let fix = format!("leave out the distribution {distribution}: the standard library has it");
            found.add(severity, Code::HidesStandardLibrary, place, why, fix);
        }
        (None, Some(owner)) => found.add(
            Severity::Warning,
            Code::HidesStandardLibrary,
            place,
            format!("{hides}: everything that imports `{module}` gets {}'s", owner.name),
            format!("leave out the distribution {}, if the standard library does", owner.name),
        ),
        (None, None) => {
            let file = path.split('/').next().unwrap_or(path);
            found.add(
                Severity::Warning,
                Code::HidesStandardLibrary,
                place,
                format!("{hides}: everything that imports `{module}` gets this one"),
                format!("give `{file}` another name"),
            );
        }
    }
}

/// Distributions that the runtime has as well.
fn runtime(subject: &Subject<'_>, found: &mut Findings) {
    let visible = visible_distributions(subject.target, subject.layers, subject.function);
    let has = |name: &str| visible.iter().find(|distribution| distribution.name == name);
    for zip in subject.layers.iter().chain(subject.function) {
        for distribution in &zip.contents.distributions {
            let is_seen = visible.iter().any(|seen| std::ptr::eq(*seen, distribution));
            let is_runtimes =
                rows(include_str!("data/runtime-distributions.txt")).any(|name| name == distribution.name);
            // Small helpers that every second package asks for; the runtime has them by accident.
            let is_helper = matches!(distribution.name.as_str(), "six" | "python-dateutil" | "simplejson");
            if is_seen && is_runtimes && !is_helper {
                found.add(
                    Severity::Note,
                    Code::ReplacesRuntime,
                    Place::file(zip, &distribution.folder),
                    format!(
                        "{} {} comes before the runtime's own, which AWS keeps up to date",
                        distribution.name, distribution.version
                    ),
                    format!("leave out {}, if the code runs with the runtime's", distribution.name),
                );
            }
        }
    }
    let place = Place::EVERYWHERE;
    if let Some(boto3) = has("boto3")
        && has("botocore").is_none()
    {
        found.add(
            Severity::Warning,
            Code::ReplacesRuntime,
            place,
            format!(
                "boto3 {} is there without botocore, so it works with the runtime's, which may be older",
                boto3.version
            ),
            "add botocore, or leave out boto3",
        );
    }
    // botocore asks for `urllib3<1.27` on Python before 3.10 (its METADATA).
    if let Some(urllib3) = has("urllib3")
        && has("botocore").is_none()
        && subject.target.runtime.minor() < 10
        && urllib3
            .version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major >= 2)
    {
        found.add(
            Severity::Warning,
            Code::ReplacesRuntime,
            place,
            format!("urllib3 {} comes before the runtime's, and the runtime's botocore needs `urllib3<1.27`: `import boto3` fails", urllib3.version),
            "add `urllib3<1.27` to the requirements, or boto3 with all it needs",
        );
    }
}
