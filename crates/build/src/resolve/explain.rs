//! Why there is no solution, in plain words where there are any.
//!
//! Owns finding the one package that is the reason. Otherwise the solver's own text explains.

use std::collections::BTreeSet;

use layercake_core::target::Target;
use uv_distribution_types::{Requirement, RequirementSource};
use uv_errors::Hint as _;
use uv_normalize::PackageName;
use uv_pep440::VersionSpecifiers;
use uv_resolver::NoSolutionError;
use uv_types::BuildContext as _;

use super::{
    ResolveError, availability,
    client::Connection,
    context::Context,
    direct::{self, Wanted},
    failure,
    formats::{FormatControl, Formats},
    settings::shown_address,
    solve::Request,
    target_tags,
};

/// The packages behind a "no solution" that have nothing but source in every version that is asked
/// for.
pub(super) async fn only_sources(
    index: &Connection,
    error: &NoSolutionError,
    request: &Request<'_>,
) -> Result<Vec<PackageName>, ResolveError> {
    let involved: BTreeSet<PackageName> = error.packages().cloned().collect();
    let mut found = Vec::new();
    for package in involved {
        let Ok(releases) = availability::releases(index, &package).await else { continue };
        let specifiers: Vec<VersionSpecifiers> = bounds(request, &package).map(direct::specifiers).collect();
        let mut within = releases
            .iter()
            .filter(|release| specifiers.iter().all(|bound| bound.contains(&release.version)))
            .peekable();
        if within.peek().is_some() && within.all(|release| release.wheels.is_empty() && release.has_source) {
            found.push(package);
        }
    }
    Ok(found)
}

/// What the user wrote about a package.
fn bounds<'a>(request: &'a Request<'_>, package: &'a PackageName) -> impl Iterator<Item = &'a Requirement> {
    request
        .wanted
        .iter()
        .map(|wanted| &wanted.requirement)
        .chain(&request.constraints)
        .filter(move |requirement| requirement.name == *package)
        .filter(|requirement| matches!(requirement.source, RequirementSource::Registry { .. }))
}

/// Finds the plain reason behind "no solution", if there is one: a package that is not there or
/// that has no wheel for the target. Otherwise the solver's text is the explanation.
pub(super) async fn explain(
    index: &Connection,
    error: &NoSolutionError,
    request: &Request<'_>,
    context: &Context,
    formats: &FormatControl,
    target: Target,
) -> ResolveError {
    // uv passes over an index that wants a password, as if it had nothing.
    let capabilities = context.capabilities();
    for place in index.locations.allowed_indexes() {
        let status = match () {
            () if capabilities.unauthorized(place.url()) => 401,
            () if capabilities.forbidden(place.url()) => 403,
            () => continue,
        };
        return ResolveError::IndexRefused { url: shown_address(place.raw_url().as_str()), status };
    }
    let mut involved: BTreeSet<PackageName> = error.packages().cloned().collect();
    let direct: Vec<&Wanted> =
        request.wanted.iter().filter(|wanted| involved.remove(&wanted.requirement.name)).collect();
    for wanted in &direct {
        if !matches!(wanted.requirement.source, RequirementSource::Registry { .. }) {
            continue;
        }
        let specifiers = direct::specifiers(&wanted.requirement);
        let origin = Some(wanted.origin.as_str());
        let name = &wanted.requirement.name;
        if let Some(reason) = plain_reason(index, name, &specifiers, origin, formats, target).await {
            return reason;
        }
    }
    for package in &involved {
        // A package further down that is missing altogether is the solver's to explain: it knows
        // who needs it.
        match plain_reason(index, package, &VersionSpecifiers::empty(), None, formats, target).await {
            None | Some(ResolveError::NoSuchPackage { .. }) => {}
            Some(reason) => return reason,
        }
    }
    ResolveError::Unsatisfiable {
        target,
        explanation: failure::redacted(&failure::plain(error.report())),
        advice: error.hints().into_iter().map(|hint| advice(&failure::plain(&hint))).collect(),
    }
}

/// What uv advises, without options that only uv has.
fn advice(hint: &str) -> String {
    let end = hint.find(" Consider using `exclude-newer-package`").unwrap_or(hint.len());
    failure::redacted(&hint[..end])
}

/// Why no version of one package within the specifiers can be used, whatever the others are.
async fn plain_reason(
    index: &Connection,
    package: &PackageName,
    specifiers: &VersionSpecifiers,
    origin: Option<&str>,
    formats: &FormatControl,
    target: Target,
) -> Option<ResolveError> {
    let releases = match availability::releases(index, package).await {
        Ok(releases) => releases,
        Err(ResolveError::NoSuchPackage { package, .. }) => {
            return Some(ResolveError::NoSuchPackage { package, origin: origin.map(str::to_owned) });
        }
        Err(ResolveError::Offline { .. }) => {
            return Some(ResolveError::Offline { package: package.to_string() });
        }
        Err(error) => return Some(error),
    };
    let tags = target_tags::tags(target).ok()?;
    let within: Vec<_> = releases.iter().filter(|release| specifiers.contains(&release.version)).collect();
    let Some(newest) = within.last() else {
        let newest = releases.last()?.version.to_string();
        return origin.map(|origin| ResolveError::NoSuchVersion {
            package: package.to_string(),
            specifiers: specifiers.to_string(),
            origin: Some(origin.to_owned()),
            newest,
        });
    };
    if within.iter().any(|release| release.fits(target, &tags))
        || formats.of(package.as_str()) == Formats::Source
    {
        return None;
    }
    let nearest = availability::newest_fitting(&releases, target, &tags);
    let version = match within.len() {
        1 => newest.version.to_string(),
        _ => format!("up to {}", newest.version),
    };
    let forbidden = formats.of(package.as_str()) == Formats::Wheels;
    let package = package.to_string();
    if within.iter().all(|release| release.wheels.is_empty()) {
        return newest.has_source.then_some(ResolveError::OnlySourceDistribution {
            package,
            version,
            target,
            nearest,
            forbidden,
        });
    }
    let available = availability::targets_of(&within).ok()?;
    Some(ResolveError::NoCompatibleWheel { package, version, target, available, nearest })
}
