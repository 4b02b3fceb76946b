//! What installed distributions ask for and do not get: requirements with their markers and
//! extras, and versions of Python.
//!
//! Owns the evaluation by the packaging rules. How bad a gap is, `layercake_core::check` says.

use std::collections::{BTreeMap, BTreeSet};

use layercake_core::{
    check::{Unfulfilled, UnmetRequirement, WrongPython},
    contents::Distribution,
    target::Target,
};
use uv_normalize::{ExtraName, PackageName};
use uv_pep440::{Operator, Version, VersionSpecifiers};
use uv_pep508::{MarkerEnvironment, Requirement, VersionOrUrl};
use uv_pypi_types::VerbatimParsedUrl;

use super::{ResolveError, markers::parse, target_tags};

/// Compares what distributions require with what is there. Of several with one name the first
/// counts, as on `sys.path`. Requirements of extras count where another distribution asks for the
/// extra. What cannot be read asks for nothing.
///
/// # Errors
/// [`ResolveError::Internal`] when the target has no markers.
pub fn unfulfilled(target: Target, distributions: &[&Distribution]) -> Result<Unfulfilled, ResolveError> {
    let markers = target_tags::markers(target)?;
    let mut installed: BTreeMap<String, Installed<'_>> = BTreeMap::new();
    for distribution in distributions {
        installed.entry(distribution.name.clone()).or_insert_with(|| Installed::new(distribution));
    }
    ask_for_extras(&mut installed, &markers);
    let mut unfulfilled = Unfulfilled::default();
    for one in installed.values() {
        unfulfilled.pythons.extend(wrong_python(one.distribution, target));
        let applying = one.requirements.iter().filter(|wanted| one.applies(wanted, &markers));
        unfulfilled.requirements.extend(applying.filter_map(|wanted| unmet(one, wanted, &installed)));
    }
    unfulfilled.requirements.sort();
    unfulfilled.requirements.dedup();
    Ok(unfulfilled)
}

/// A distribution with what it requires.
struct Installed<'a> {
    distribution: &'a Distribution,
    requirements: Vec<Requirement<VerbatimParsedUrl>>,
    /// Its extras that another distribution asks for.
    extras: BTreeSet<ExtraName>,
}

impl<'a> Installed<'a> {
    fn new(distribution: &'a Distribution) -> Self {
        let requirements = distribution.requires.iter().filter_map(|text| parse(text)).collect();
        Self { distribution, requirements, extras: BTreeSet::new() }
    }

    fn applies(&self, wanted: &Requirement<VerbatimParsedUrl>, markers: &MarkerEnvironment) -> bool {
        let extras: Vec<ExtraName> = self.extras.iter().cloned().collect();
        wanted.marker.evaluate(markers, &extras)
    }
}

/// Marks the extras that are asked for. One extra may ask for another, so this goes on until
/// nothing changes: at most once for each extra that is named.
fn ask_for_extras(installed: &mut BTreeMap<String, Installed<'_>>, markers: &MarkerEnvironment) {
    loop {
        let asked: Vec<(String, ExtraName)> = installed
            .values()
            .flat_map(|one| one.requirements.iter().filter(|wanted| one.applies(wanted, markers)))
            .flat_map(|wanted| wanted.extras.iter().map(|extra| (wanted.name.to_string(), extra.clone())))
            .collect();
        let mut is_new = false;
        for (name, extra) in asked {
            if let Some(one) = installed.get_mut(&name) {
                is_new |= one.extras.insert(extra);
            }
        }
        if !is_new {
            return;
        }
    }
}

fn unmet(
    by: &Installed<'_>,
    wanted: &Requirement<VerbatimParsedUrl>,
    installed: &BTreeMap<String, Installed<'_>>,
) -> Option<UnmetRequirement> {
    let found = installed.get(wanted.name.as_ref());
    if found.is_some_and(|found| fits(wanted, &found.distribution.version)) {
        return None;
    }
    Some(UnmetRequirement {
        by: by.distribution.name.clone(),
        name: wanted.name.to_string(),
        requirement: shown(&wanted.name, wanted),
        found: found.map(|found| found.distribution.version.clone()),
    })
}

/// Whether a version is one that is asked for. A version that is none by PEP 440 cannot be
/// compared, and what is asked for by address is what was installed from there.
fn fits(wanted: &Requirement<VerbatimParsedUrl>, version: &str) -> bool {
    match (&wanted.version_or_url, version.parse::<Version>()) {
        (Some(VersionOrUrl::VersionSpecifier(specifiers)), Ok(version)) => specifiers.contains(&version),
        _ => true,
    }
}

/// `numpy>=1.26.0`, without marker and address.
fn shown(name: &PackageName, wanted: &Requirement<VerbatimParsedUrl>) -> String {
    match &wanted.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) if !specifiers.is_empty() => {
            let specifiers: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
            format!("{name}{}", specifiers.join(","))
        }
        _ => name.to_string(),
    }
}

fn wrong_python(distribution: &Distribution, target: Target) -> Option<WrongPython> {
    let text = distribution.requires_python.as_deref()?;
    let specifiers: VersionSpecifiers = text.parse().ok()?;
    if target_tags::admits(&specifiers, target) {
        return None;
    }
    let lowest = specifiers.iter().filter(|specifier| {
        matches!(
            specifier.operator(),
            Operator::GreaterThan | Operator::GreaterThanEqual | Operator::TildeEqual
        )
    });
    let is_too_old = lowest.cloned().any(|specifier| {
        let lower_bound = match specifier.operator() {
            // `~=3.9` is both a lower and an upper bound.
            Operator::TildeEqual => {
                uv_pep440::VersionSpecifier::greater_than_equal_version(specifier.version().clone())
            }
            _ => specifier,
        };
        !target_tags::admits(&VersionSpecifiers::from(lower_bound), target)
    });
    Some(WrongPython {
        name: distribution.name.clone(),
        version: distribution.version.clone(),
        requires_python: text.to_owned(),
        is_too_old,
    })
}

#[cfg(test)]
mod tests {
    use layercake_core::target::{Arch, Runtime};

    use super::*;

    fn distribution(name: &str, version: &str, python: &str, requires: &[&str]) -> Distribution {
        Distribution {
            name: name.to_owned(),
            version: version.to_owned(),
            folder: format!("python/{name}-{version}.dist-info"),
            requires_python: (!python.is_empty()).then(|| python.to_owned()),
            requires: requires.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn check(minor: u8, distributions: &[Distribution]) -> String {
        let runtime = Runtime::from_minor(minor).expect("a runtime");
        let target = Target { runtime, arch: Arch::X86_64 };
        let distributions: Vec<_> = distributions.iter().collect();
        let unfulfilled = unfulfilled(target, &distributions).expect("the target has markers");
        let requirements = unfulfilled
            .requirements
            .iter()
            .map(|unmet| format!("{} wants {}, there is {:?}", unmet.by, unmet.requirement, unmet.found));
        let pythons = unfulfilled.pythons.iter().map(|wrong| {
            format!(
                "{} {} {} too old: {}",
                wrong.name, wrong.version, wrong.requires_python, wrong.is_too_old
            )
        });
        requirements.chain(pythons).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn requirements_count_on_the_target() {
        let distributions = [
            distribution(
                "pandas",
                "3.0",
                ">=3.9",
                &[
                    "numpy>=1.26.0; python_version < \"3.14\"",
                    "Python_DateUtil>=2.8.2",
                    "tzdata; sys_platform == \"win32\"",
                    "pyarrow>=13; extra == \"feather\"",
                    "this is no requirement",
                ],
            ),
            distribution("numpy", "1.25.2", "", &[]),
            distribution("local", "1.0", "", &["numpy==1.25.2", "torch==2.0; python_version >= '3.8'"]),
            distribution("torch", "2.0+cpu", "", &[]),
            distribution("torch", "1.0", "", &[]),
        ];
        insta::assert_snapshot!(check(12, &distributions), @r#"
        pandas wants numpy>=1.26.0, there is Some("1.25.2")
        pandas wants python-dateutil>=2.8.2, there is None
        "#);
        insta::assert_snapshot!(check(14, &distributions), @"pandas wants python-dateutil>=2.8.2, there is None");
    }

    #[test]
    fn extras_count_where_they_are_asked_for() {
        let distributions = [
            distribution("app", "1", "", &["b[x]"]),
            distribution("b", "1", "", &["b[y]; extra == 'x'", "c; extra == 'y'", "d; extra == 'z'"]),
        ];
        insta::assert_snapshot!(check(12, &distributions), @"b wants c, there is None");
        assert_eq!(check(12, &distributions[1..]), "");
    }

    #[test]
    fn a_python_is_too_old_or_too_new() {
        let distributions = [
            distribution("fits", "1", ">=3.8,<4", &[]),
            distribution("new", "1", ">=3.13", &[]),
            distribution("compatible", "1", "~=3.13.0", &[]),
            distribution("old", "1", "<3.12,>=3.8", &[]),
            distribution("holes", "1", ">=2.7,!=3.12.*", &[]),
            distribution("nonsense", "1", "three", &[]),
        ];
        insta::assert_snapshot!(check(12, &distributions), @r"
        compatible 1 ~=3.13.0 too old: true
        holes 1 >=2.7,!=3.12.* too old: false
        new 1 >=3.13 too old: true
        old 1 <3.12,>=3.8 too old: false
        ");
    }
}
