//! Running uv's resolver for a target, and turning its answer into ours.

use std::collections::{BTreeMap, BTreeSet};

use layercake_core::{
    hash::Sha256,
    requirements::RequirementLine,
    resolution::{Resolution, ResolvedWheel},
    target::Target,
};
use uv_configuration::{BuildOptions, Constraints, NoBinary, NoBuild};
use uv_distribution::DistributionDatabase;
use uv_distribution_types::{
    BuiltDist, Dist, Name, Node, RegistryBuiltWheel, Requirement, RequirementSource, RequiresPython,
    ResolvedDist,
};
use uv_errors::Hint as _;
use uv_normalize::PackageName;
use uv_pep440::VersionSpecifiers;
use uv_pep508::Pep508ErrorSource;
use uv_pypi_types::{Conflicts, HashAlgorithm, ResolverMarkerEnvironment, VerbatimParsedUrl};
use uv_resolver::{
    FlatIndex, InMemoryIndex, Manifest, NoSolutionError, OptionsBuilder, PythonRequirement, Resolver,
    ResolverEnvironment, ResolverOutput,
};
use uv_types::{EmptyInstalledPackages, HashStrategy};

use super::{
    Asked, ResolveError, availability,
    client::{Connection, without_credentials},
    context::Context,
    failure, target_tags,
};

/// A requirement that was understood, with where it was written.
struct Wanted {
    requirement: Requirement,
    origin: String,
}

/// See [`super::PackageIndex::resolve`].
pub(super) async fn solve(
    index: &Connection,
    asked: &Asked,
    target: Target,
) -> Result<Resolution, ResolveError> {
    let wanted = parse(&asked.requirements.lines)?;
    let constraints = parse(&asked.constraints.lines)?;
    let answer = match run_solver(index, &wanted, &constraints, target).await? {
        Ok(output) => uv_distribution_types::Resolution::from(output),
        Err(no_solution) => return Err(explain(index, &no_solution, &wanted, target).await),
    };
    let wheels = wheels_of(&answer)?;
    check_hashes(asked, &wheels)?;
    Ok(Resolution::new(target, wheels))
}

fn parse(lines: &[RequirementLine]) -> Result<Vec<Wanted>, ResolveError> {
    lines.iter().map(parse_line).collect()
}

fn parse_line(line: &RequirementLine) -> Result<Wanted, ResolveError> {
    let unsupported = |feature| ResolveError::Unsupported {
        origin: line.origin.clone(),
        text: failure::redacted(&line.text),
        feature,
    };
    let parsed: uv_pep508::Requirement<VerbatimParsedUrl> = match line.text.parse() {
        Ok(parsed) => parsed,
        Err(uv_pep508::Pep508Error { message: Pep508ErrorSource::UnsupportedRequirement(_), .. }) => {
            return Err(unsupported("a requirement by file or URL"));
        }
        Err(error) => {
            return Err(ResolveError::BadRequirement {
                origin: line.origin.clone(),
                text: failure::redacted(&line.text),
                reason: failure::plain(&error.message.to_string()),
            });
        }
    };
    let requirement = Requirement::from(parsed);
    let feature = match &requirement.source {
        RequirementSource::Registry { .. } => {
            return Ok(Wanted { requirement, origin: line.origin.clone() });
        }
        RequirementSource::Url { .. } => "a requirement by URL",
        RequirementSource::GitDirectory { .. } | RequirementSource::GitPath { .. } => {
            "a requirement from git"
        }
        RequirementSource::Path { .. } => "a requirement by file",
        RequirementSource::Directory { .. } => "a requirement by folder",
    };
    Err(unsupported(feature))
}

/// The inner result tells "no solution", which needs explaining, from all other failures.
async fn run_solver(
    index: &Connection,
    wanted: &[Wanted],
    constraints: &[Wanted],
    target: Target,
) -> Result<Result<ResolverOutput, Box<NoSolutionError>>, ResolveError> {
    let tags = target_tags::tags(target)?;
    let markers = target_tags::markers(target)?;
    let context = Context::new(index.cache.clone(), index.locations.clone());
    let requirements = |list: &[Wanted]| -> Vec<Requirement> {
        list.iter().map(|wanted| wanted.requirement.clone()).collect()
    };
    let manifest = Manifest::simple(requirements(wanted))
        .with_constraints(Constraints::from_requirements(requirements(constraints).into_iter()));
    let options = OptionsBuilder::new()
        .build_options(BuildOptions::new(NoBinary::None, NoBuild::All))
        .exclude_newer(index.exclude_newer.clone())
        .build();
    let python = PythonRequirement::from_marker_environment(
        &markers,
        RequiresPython::greater_than_equal_version(&markers.python_full_version().version),
    );
    let flat = FlatIndex::default();
    let memory = InMemoryIndex::default();
    let resolver = Resolver::new(
        manifest,
        options,
        &python,
        ResolverEnvironment::specific(ResolverMarkerEnvironment::from(markers.clone())),
        &markers,
        Conflicts::empty(),
        Some(&tags),
        &flat,
        &memory,
        &HashStrategy::None,
        &context,
        EmptyInstalledPackages,
        DistributionDatabase::new(&index.client, &context, std::sync::Arc::clone(&index.downloads)),
    )
    .map_err(|error| failure::of_resolver(&error))?;
    match resolver.resolve().await {
        Ok(output) => Ok(Ok(output)),
        Err(uv_resolver::ResolveError::NoSolution(error)) => Ok(Err(error)),
        Err(error) => Err(failure::of_resolver(&error)),
    }
}

fn wheels_of(answer: &uv_distribution_types::Resolution) -> Result<Vec<ResolvedWheel>, ResolveError> {
    let graph = answer.graph();
    let name_of = |node: &Node| match node {
        Node::Dist { dist, .. } => Some(dist.name().to_string()),
        Node::Root => None,
    };
    let mut required_by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for edge in graph.edge_indices() {
        let Some((from, to)) = graph.edge_endpoints(edge) else { continue };
        match (name_of(&graph[from]), name_of(&graph[to])) {
            (Some(from), Some(to)) if from != to => {
                required_by.entry(to).or_default().insert(from);
            }
            (None, Some(to)) => {
                asked.insert(to);
            }
            _ => {}
        }
    }
    let mut wheels: BTreeMap<String, ResolvedWheel> = BTreeMap::new();
    for dist in answer.distributions() {
        let wheel = wheel_of(dist)?;
        let name = dist.name().to_string();
        let required_by = required_by.remove(&name).unwrap_or_default().into_iter().collect();
        let asked = asked.contains(&name);
        wheels.insert(name, ResolvedWheel { required_by, asked, ..wheel });
    }
    Ok(wheels.into_values().collect())
}

fn wheel_of(dist: &ResolvedDist) -> Result<ResolvedWheel, ResolveError> {
    let ResolvedDist::Installable { dist, .. } = dist else {
        return Err(ResolveError::Internal { reason: format!("`{dist}` counts as installed") });
    };
    let Dist::Built(BuiltDist::Registry(built)) = dist.as_ref() else {
        return Err(ResolveError::Internal { reason: format!("`{dist}` is no wheel of an index") });
    };
    let RegistryBuiltWheel { filename, file, .. } = built.best_wheel();
    let url =
        file.url.to_url().map_err(|error| ResolveError::BadAnswer { reason: failure::one_line(&error) })?;
    // The fragment repeats the hash; it is no part of the address.
    let mut url = url::Url::from(url);
    url.set_fragment(None);
    let sha256 = file
        .hashes
        .iter()
        .find(|digest| digest.algorithm() == HashAlgorithm::Sha256)
        .and_then(|digest| digest.digest.parse::<Sha256>().ok())
        .ok_or_else(|| ResolveError::NoHash { filename: filename.to_string() })?;
    Ok(ResolvedWheel {
        name: filename.name.to_string(),
        version: filename.version.to_string(),
        filename: file.filename.to_string(),
        url: without_credentials(url.as_str()),
        sha256,
        size: file.size,
        required_by: Vec::new(),
        asked: false,
    })
}

fn check_hashes(asked: &Asked, wheels: &[ResolvedWheel]) -> Result<(), ResolveError> {
    if asked.require_hashes
        && let Some(wheel) =
            wheels.iter().find(|wheel| asked.hashes.iter().all(|allowed| allowed.package != wheel.name))
    {
        return Err(ResolveError::HashRequired {
            package: wheel.name.clone(),
            version: wheel.version.clone(),
        });
    }
    for allowed in &asked.hashes {
        let Some(wheel) = wheels.iter().find(|wheel| wheel.name == allowed.package) else { continue };
        if !allowed.sha256.contains(&wheel.sha256) {
            return Err(ResolveError::HashNotAllowed {
                package: allowed.package.clone(),
                origin: allowed.origin.clone(),
                filename: wheel.filename.clone(),
                actual: wheel.sha256,
            });
        }
    }
    Ok(())
}

/// Finds the plain reason behind "no solution", if there is one: a package that is not there or
/// that has no wheel for the target. Otherwise the solver's text is the explanation.
async fn explain(
    index: &Connection,
    error: &NoSolutionError,
    wanted: &[Wanted],
    target: Target,
) -> ResolveError {
    let mut involved: BTreeSet<PackageName> = error.packages().cloned().collect();
    let direct: Vec<&Wanted> =
        wanted.iter().filter(|wanted| involved.remove(&wanted.requirement.name)).collect();
    for wanted in &direct {
        let specifiers = match &wanted.requirement.source {
            RequirementSource::Registry { specifier, .. } => specifier.clone(),
            _ => VersionSpecifiers::empty(),
        };
        let origin = Some(wanted.origin.as_str());
        if let Some(reason) = plain_reason(index, &wanted.requirement.name, &specifiers, origin, target).await
        {
            return reason;
        }
    }
    for package in &involved {
        // A package further down that is missing altogether is the solver's to explain: it knows
        // who needs it.
        match plain_reason(index, package, &VersionSpecifiers::empty(), None, target).await {
            None | Some(ResolveError::NoSuchPackage { .. }) => {}
            Some(reason) => return reason,
        }
    }
    ResolveError::Unsatisfiable {
        target,
        explanation: failure::plain(error.report()),
        advice: error.hints().into_iter().map(|hint| failure::plain(&hint)).collect(),
    }
}

/// Why no version of one package within the specifiers can be used, whatever the others are.
async fn plain_reason(
    index: &Connection,
    package: &PackageName,
    specifiers: &VersionSpecifiers,
    origin: Option<&str>,
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
    if within.iter().any(|release| release.fits(target, &tags)) {
        return None;
    }
    let nearest = availability::newest_fitting(&releases, target, &tags);
    let version = match within.len() {
        1 => newest.version.to_string(),
        _ => format!("up to {}", newest.version),
    };
    let package = package.to_string();
    if within.iter().all(|release| release.wheels.is_empty()) {
        return newest.has_source.then_some(ResolveError::OnlySourceDistribution {
            package,
            version,
            target,
            nearest,
        });
    }
    let available = availability::targets_of(&within).ok()?;
    Some(ResolveError::NoCompatibleWheel { package, version, target, available, nearest })
}
