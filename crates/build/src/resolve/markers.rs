//! A target's answers to what locks and projects ask: markers, version specifiers, wheel tags, and
//! requirements in one spelling.
//!
//! Owns the translation to uv's crates for these questions. Never asks an index.

use std::str::FromStr as _;

use layercake_core::{lock::TargetRules, target::Target};
use uv_distribution_filename::WheelFilename;
use uv_normalize::{ExtraName, GroupName};
use uv_pep440::VersionSpecifiers;
use uv_pep508::{MarkerEnvironment, MarkerTree, VersionOrUrl};
use uv_platform_tags::{TagCompatibility, Tags};
use uv_pypi_types::VerbatimParsedUrl;

pub(crate) use super::settings::{shown_address, without_credentials};
use super::{ResolveError, failure, target_tags};

/// The longest marker that is looked at, in bytes, and how deep its parentheses may nest: uv's
/// reader goes down into each pair.
const LONGEST_MARKER: usize = 16 << 10;
const DEEPEST_MARKER: usize = 64;

/// [`TargetRules`] by uv's crates.
pub(crate) struct UvRules {
    target: Target,
    tags: Tags,
    markers: MarkerEnvironment,
}

impl UvRules {
    /// The rules of a target.
    ///
    /// # Errors
    /// [`ResolveError::Internal`] when uv's crates do not know the target.
    pub(crate) fn new(target: Target) -> Result<Self, ResolveError> {
        Ok(Self { target, tags: target_tags::tags(target)?, markers: target_tags::markers(target)? })
    }
}

impl TargetRules for UvRules {
    fn target(&self) -> Target {
        self.target
    }

    fn holds(&self, marker: &str, extras: &[String], groups: &[String]) -> Result<bool, String> {
        let groups: Vec<GroupName> =
            groups.iter().filter_map(|name| GroupName::from_str(name).ok()).collect();
        Ok(parse_marker(marker)?.evaluate_pep751(&self.markers, &extra_names(extras), &groups))
    }

    fn holds_with_extra(&self, marker: &str, extras: &[String]) -> Result<bool, String> {
        Ok(parse_marker(marker)?.evaluate(&self.markers, &extra_names(extras)))
    }

    fn python_fits(&self, specifiers: &str) -> Result<bool, String> {
        let specifiers: VersionSpecifiers = specifiers.parse().map_err(|error| failure::one_line(&error))?;
        Ok(target_tags::admits(&specifiers, self.target))
    }

    fn best_wheel(&self, filenames: &[&str]) -> Option<usize> {
        let fitting = filenames.iter().enumerate().filter_map(|(index, filename)| {
            let filename = WheelFilename::from_str(filename).ok()?;
            let TagCompatibility::Compatible(priority) = filename.compatibility(&self.tags) else {
                return None;
            };
            // Of equally good ones the first counts, as in uv.
            Some(((priority, filename.build_tag().cloned(), std::cmp::Reverse(index)), index))
        });
        fitting.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, index)| index)
    }

    fn asked_name(&self, requirement: &str) -> Option<String> {
        let specifier = requirement.split(" --hash=").next().unwrap_or(requirement);
        match parse(specifier) {
            Some(parsed) => parsed.marker.evaluate(&self.markers, &[]).then(|| parsed.name.to_string()),
            None => name_of_wheel(specifier),
        }
    }
}

fn extra_names(extras: &[String]) -> Vec<ExtraName> {
    extras.iter().filter_map(|name| ExtraName::from_str(name).ok()).collect()
}

fn parse_marker(marker: &str) -> Result<MarkerTree, String> {
    check_marker(marker)?;
    marker.parse().map_err(|error: uv_pep508::Pep508Error| failure::plain(&error.message.to_string()))
}

fn check_marker(marker: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in marker.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if marker.len() > LONGEST_MARKER || deepest > DEEPEST_MARKER {
        return Err(format!(
            "it is longer than {LONGEST_MARKER} bytes, or nested more than {DEEPEST_MARKER} deep"
        ));
    }
    Ok(())
}

pub(super) fn parse(requirement: &str) -> Option<uv_pep508::Requirement<VerbatimParsedUrl>> {
    check_marker(requirement).ok()?;
    requirement.parse().ok()
}

/// The package of a wheel that is named by its address or path alone.
fn name_of_wheel(place: &str) -> Option<String> {
    let file = place.split(['?', '#']).next()?.rsplit('/').next()?;
    Some(WheelFilename::from_str(file).ok()?.name.to_string())
}

/// A requirement in the one spelling that locks compare: names, specifiers and markers normalised,
/// no credentials. What cannot be read stays as it is, without white space around it.
pub(crate) fn normalised(requirement: &str) -> String {
    let Some(parsed) = parse(requirement) else {
        let text = requirement.trim();
        return if text.contains("://") { without_credentials(text) } else { text.to_owned() };
    };
    let mut text = parsed.name.to_string();
    if !parsed.extras.is_empty() {
        let mut extras: Vec<String> = parsed.extras.iter().map(ToString::to_string).collect();
        extras.sort();
        extras.dedup();
        text = format!("{text}[{}]", extras.join(","));
    }
    match &parsed.version_or_url {
        None => {}
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            let mut specifiers: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
            specifiers.sort();
            text.push_str(&specifiers.join(","));
        }
        Some(VersionOrUrl::Url(url)) => {
            let url = url::Url::from(url.verbatim.raw().clone());
            text = format!("{text} @ {}", without_credentials(url.as_str()));
        }
    }
    match parsed.marker.contents() {
        Some(marker) => format!("{text} ; {marker}"),
        None => text,
    }
}
