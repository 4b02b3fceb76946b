//! Running uv's resolver: from what is asked to the files that were chosen.
//!
//! Owns the policy of builds: a first resolution allows wheels only; when a package turns out to
//! have nothing but source, another one allows builds for that package. What the user asks for as
//! source, by address or by `--no-binary`, is built from the start.

use std::{collections::BTreeSet, sync::Arc};

use layercake_core::{requirements::RequirementLine, target::Target};
use uv_configuration::{BuildOptions, Constraints, Excludes, HashCheckingMode, NoBinary, NoBuild, Overrides};
use uv_distribution::DistributionDatabase;
use uv_distribution_types::{Requirement, RequirementSource, RequiresPython, UnresolvedRequirement};
use uv_normalize::PackageName;
use uv_pep440::Operator;
use uv_pep508::MarkerEnvironment;
use uv_platform_tags::Tags;
use uv_pypi_types::{Conflicts, ResolverMarkerEnvironment};
use uv_requirements_txt::{RequirementEntry, RequirementsTxtRequirement};
use uv_resolver::{
    Exclusions, FlatIndex, InMemoryIndex, Manifest, NoSolutionError, OptionsBuilder, Preference, Preferences,
    Prerelease, PrereleaseMode, PythonRequirement, Resolver, ResolverEnvironment, ResolverOutput,
};
use uv_types::{EmptyInstalledPackages, HashStrategy, RequestedRequirements};

use super::{
    AllowedHashes, Asked, Host, PackageIndex, ResolveError, availability,
    client::Connection,
    context::{BuildFailure, Builder, Context},
    direct::{self, Direct, Line, Wanted},
    draft::{self, Draft},
    explain, failure,
    formats::{FormatControl, Formats},
    lookahead, target_tags,
};
use crate::source::BuildError;

/// What wheels must fit: the target, or this machine for what a build needs.
pub(super) struct Platform {
    pub(super) tags: Tags,
    pub(super) markers: MarkerEnvironment,
}

/// Everything about one resolution that stays the same when builds are allowed for more packages.
pub(super) struct Request<'a> {
    pub(super) platform: &'a Platform,
    pub(super) wanted: Vec<Wanted>,
    pub(super) constraints: Vec<Requirement>,
    lookaheads: Vec<RequestedRequirements>,
    preferred: Vec<Preference>,
    pub(super) hasher: HashStrategy,
    pre: bool,
}

/// See [`super::PackageIndex::resolve`].
pub(super) async fn solve(
    owner: &PackageIndex,
    index: &Connection,
    asked: &Asked,
    target: Target,
) -> Result<Vec<Draft>, ResolveError> {
    let platform = Platform { tags: target_tags::tags(target)?, markers: target_tags::markers(target)? };
    let lines = applying(direct::lines(&asked.requirements.lines)?, &platform);
    let bounds = applying(direct::lines(&asked.constraints.lines)?, &platform);
    let mut from_source = BTreeSet::new();
    let mut to_build = None;
    for (line, origin) in lines.iter().chain(&bounds) {
        direct::check_fits(line, origin, &platform.tags, target)?;
        let Some(url) = line.url() else { continue };
        // The address that is stored has no credentials, and is asked for again with these.
        let _ = index.client.credentials_cache().store_credentials_from_url(&url.verbatim.to_url());
        if let Direct::Source(what) = direct::direct(url) {
            to_build.get_or_insert(what);
            from_source.extend(line.name());
        }
    }
    let formats = owner.options().formats.clone().and(asked.formats.clone());
    from_source.extend(formats.source_names().iter().filter_map(|name| name.parse::<PackageName>().ok()));
    if to_build.is_none() && formats.is_source_for_all() {
        to_build = Some("everything (--no-binary :all:)".to_owned());
    }
    if to_build.is_none() {
        to_build = from_source.first().map(ToString::to_string);
    }
    let mut context = match to_build {
        None => without_builder(index),
        Some(what) => {
            let again = !direct::folders(&lines).is_empty();
            with_builder(owner, index, target, again)
                .await?
                .ok_or(ResolveError::NoInterpreter { what, target })?
        }
    };
    let request = request(index, asked, &platform, lines, bounds, &mut context).await;
    let mut request = told(index, &context, target, request).await?;
    request.pre = owner.options().pre || asked.pre;
    from_source
        .extend(request.wanted.iter().filter(|wanted| is_source(wanted)).map(|w| w.requirement.name.clone()));
    loop {
        context.allow(build_options(&formats, &from_source));
        let answer = run_solver(index, &request, &context).await;
        let no_solution = match told(index, &context, target, answer).await? {
            Ok(output) => {
                let drafts = draft::drafts(index, &request, &context, output).await;
                return told(index, &context, target, drafts).await;
            }
            Err(no_solution) => no_solution,
        };
        let more = explain::only_sources(index, &no_solution, &request).await?;
        let mut more: Vec<PackageName> =
            more.into_iter().filter(|name| !from_source.contains(name)).collect();
        more.retain(|name| formats.of(name.as_str()) != Formats::Wheels);
        if more.is_empty() {
            return Err(explain::explain(index, &no_solution, &request, &context, &formats, target).await);
        }
        if !context.can_build() {
            match with_builder(owner, index, target, false).await? {
                Some(able) => context = able,
                None => {
                    return Err(
                        explain::explain(index, &no_solution, &request, &context, &formats, target).await
                    );
                }
            }
        }
        from_source.extend(more);
    }
}

/// Chooses wheels that run on this machine, for a build.
pub(super) async fn solve_for_build(
    index: &Connection,
    requires: &[String],
    host: &Host,
) -> Result<Vec<Draft>, ResolveError> {
    let platform = Platform { tags: host.tags()?, markers: host.markers() };
    let origin = "what a build needs".to_owned();
    let lines: Vec<RequirementLine> =
        requires.iter().map(|text| RequirementLine { text: text.clone(), origin: origin.clone() }).collect();
    let parsed = applying(direct::lines(&lines)?, &platform);
    if let Some(((line, _), text)) = parsed.iter().zip(&lines).find(|((line, _), _)| line.url().is_some()) {
        let text = line.name().map_or_else(|| failure::redacted(&text.text), |name| name.to_string());
        return Err(ResolveError::Unsupported {
            origin,
            text,
            feature: "something to build with, by address",
        });
    }
    let mut context = without_builder(index);
    let request = request(index, &Asked::default(), &platform, parsed, Vec::new(), &mut context).await?;
    match run_solver(index, &request, &context).await? {
        Ok(output) => draft::drafts(index, &request, &context, output).await,
        Err(no_solution) => {
            let formats = FormatControl::default();
            Err(explain::explain(index, &no_solution, &request, &context, &formats, host.target).await)
        }
    }
}

/// The lines whose marker holds.
fn applying(lines: Vec<(Line, String)>, platform: &Platform) -> Vec<(Line, String)> {
    lines.into_iter().filter(|(line, _)| line.marker().evaluate(&platform.markers, &[])).collect()
}

fn is_source(wanted: &Wanted) -> bool {
    use uv_distribution_filename::DistExtension::Wheel;
    match &wanted.requirement.source {
        RequirementSource::Registry { .. } => false,
        RequirementSource::Url { ext, .. } | RequirementSource::Path { ext, .. } => !matches!(ext, Wheel),
        _ => true,
    }
}

fn without_builder(index: &Connection) -> Context {
    let options = BuildOptions::new(NoBinary::None, NoBuild::All);
    Context::new(index.cache.clone(), index.locations.clone(), options, None)
}

/// Settings with which something can be built; nothing without a Python of the target's version.
async fn with_builder(
    owner: &PackageIndex,
    index: &Connection,
    target: Target,
    again: bool,
) -> Result<Option<Context>, ResolveError> {
    let Some(host) = Host::find(owner.options(), target, &index.cache)? else { return Ok(None) };
    let cache = host.cache(owner.options(), again).await?;
    let options = BuildOptions::new(NoBinary::None, NoBuild::All);
    let builder = Builder::new(owner.clone(), host);
    Ok(Some(Context::new(cache, index.locations.clone(), options, Some(builder))))
}

/// What may be built and what must be, in uv's terms.
fn build_options(formats: &FormatControl, from_source: &BTreeSet<PackageName>) -> BuildOptions {
    if formats.is_source_for_all() {
        let wheels: Vec<PackageName> =
            formats.wheel_names().iter().filter_map(|name| name.parse().ok()).collect();
        let no_build = if wheels.is_empty() { NoBuild::None } else { NoBuild::Packages(wheels) };
        return BuildOptions::new(NoBinary::All, no_build);
    }
    let no_binary = match from_source.is_empty() {
        true => NoBinary::None,
        // uv builds exactly these, although nothing may be built in general.
        false => NoBinary::Packages(from_source.iter().cloned().collect()),
    };
    BuildOptions::new(no_binary, NoBuild::All)
}

/// Replaces an error by the failure of a build behind it, if there is one.
async fn told<T>(
    index: &Connection,
    context: &Context,
    target: Target,
    result: Result<T, ResolveError>,
) -> Result<T, ResolveError> {
    match (result, context.failure()) {
        (Ok(value), _) => Ok(value),
        (Err(error), None) => Err(error),
        (Err(_), Some(BuildFailure { what, error })) => {
            let nearest = match (&error, what.split_once("==").map(|(name, _)| name.trim().parse())) {
                (BuildError::Native { .. } | BuildError::Backend { .. }, Some(Ok(name))) => {
                    let tags = target_tags::tags(target)?;
                    let releases = availability::releases(index, &name).await.unwrap_or_default();
                    availability::newest_fitting(&releases, target, &tags)
                        .map(|version| format!("`{name}=={version}`"))
                }
                _ => None,
            };
            Err(ResolveError::Build { what, target, nearest, source: Box::new(error) })
        }
    }
}

/// Names every line, looks at what direct references ask for in turn, and lets hashes narrow the
/// choice.
async fn request<'a>(
    index: &Connection,
    asked: &Asked,
    platform: &'a Platform,
    lines: Vec<(Line, String)>,
    bounds: Vec<(Line, String)>,
    context: &mut Context,
) -> Result<Request<'a>, ResolveError> {
    // A source that does not say its name is asked by building it. It was asked for by address.
    if context.can_build() {
        context.allow(BuildOptions::new(NoBinary::None, NoBuild::None));
    }
    let database = || DistributionDatabase::new(&index.client, &*context, Arc::clone(&index.downloads));
    let mut wanted = Vec::new();
    for (line, origin) in lines {
        wanted.push(direct::named(line, origin, &database()).await?);
    }
    let mut constraints = Vec::new();
    for (line, origin) in bounds {
        constraints.push(direct::named(line, origin, &database()).await?);
    }
    let (hasher, pins) = hashes(index, asked, platform, &wanted, &constraints).await?;
    let mut constraints: Vec<Requirement> =
        constraints.into_iter().map(|constraint| constraint.requirement).collect();
    constraints.extend(pins);
    let lookaheads = lookahead::lookaheads(&database(), &hasher, platform, &wanted).await?;
    let preferred = asked.preferred.iter().filter_map(|(name, version)| preference(name, version)).collect();
    Ok(Request { platform, wanted, constraints, lookaheads, preferred, hasher, pre: false })
}

/// A version that is kept when it may be; nothing for one that makes no sense, as it is only a wish.
fn preference(name: &str, version: &str) -> Option<Preference> {
    let requirement = format!("{name}=={version}").parse().ok()?;
    let requirement = RequirementsTxtRequirement::Named(requirement);
    Preference::from_entry(RequirementEntry { requirement, hashes: Vec::new() }).ok().flatten()
}

/// Lets the allowed hashes choose between the files of a version, and between versions where the
/// requirement leaves several: the second are the bounds that come of it.
async fn hashes(
    index: &Connection,
    asked: &Asked,
    platform: &Platform,
    wanted: &[Wanted],
    constraints: &[Wanted],
) -> Result<(HashStrategy, Vec<Requirement>), ResolveError> {
    let mut checked: Vec<(UnresolvedRequirement, Vec<String>)> = Vec::new();
    let mut pins = Vec::new();
    for allowed in &asked.hashes {
        let belongs = |wanted: &&Wanted| {
            allowed.belongs_to(wanted.requirement.name.as_str(), std::slice::from_ref(&wanted.origin))
        };
        for wanted in wanted.iter().chain(constraints).filter(belongs) {
            let requirement = match &wanted.requirement.source {
                RequirementSource::Registry { specifier, .. } => {
                    let pinned = specifier.iter().any(|bound| *bound.operator() == Operator::Equal);
                    match (pinned && specifier.len() == 1, pin(index, allowed, wanted, platform).await?) {
                        (true, _) => wanted.requirement.clone(),
                        (false, Some(requirement)) => {
                            pins.push(requirement.clone());
                            requirement
                        }
                        (false, None) => continue,
                    }
                }
                _ if allowed.digests.len() > 1 => {
                    return Err(ResolveError::Unsupported {
                        origin: allowed.origin.clone(),
                        text: wanted.requirement.name.to_string(),
                        feature: "one address with several hashes",
                    });
                }
                _ => wanted.requirement.clone(),
            };
            let digests = allowed.digests.iter().map(ToString::to_string).collect();
            checked.push((UnresolvedRequirement::Named(requirement), digests));
        }
    }
    // Addresses may carry a hash of their own.
    for wanted in wanted.iter().filter(|wanted| wanted.requirement.hashes().is_some()) {
        checked.push((UnresolvedRequirement::Named(wanted.requirement.clone()), Vec::new()));
    }
    if checked.is_empty() {
        return Ok((HashStrategy::None, pins));
    }
    let strategy = HashStrategy::from_requirements(
        checked.iter().map(|(requirement, digests)| (requirement, digests.as_slice())),
        std::iter::empty(),
        Some(&ResolverMarkerEnvironment::from(platform.markers.clone())),
        HashCheckingMode::Verify,
    )
    .map_err(|error| ResolveError::BadRequirement {
        origin: "--hash".to_owned(),
        text: String::new(),
        reason: failure::one_line(&error),
    })?;
    Ok((strategy, pins))
}

/// The newest version that the requirement admits and that has a file with an allowed hash.
async fn pin(
    index: &Connection,
    allowed: &AllowedHashes,
    wanted: &Wanted,
    platform: &Platform,
) -> Result<Option<Requirement>, ResolveError> {
    let specifiers = direct::specifiers(&wanted.requirement);
    let releases = match availability::releases(index, &wanted.requirement.name).await {
        Ok(releases) => releases,
        // That it is missing is told by who needs it.
        Err(ResolveError::NoSuchPackage { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = releases
        .iter()
        .rev()
        .filter(|release| specifiers.contains(&release.version))
        .find(|release| release.has_allowed(&allowed.digests, &platform.tags))
        .map(|release| release.version.to_string());
    let pinned = version.and_then(|version| {
        let name = &wanted.requirement.name;
        format!("{name}=={version}").parse::<uv_pep508::Requirement<uv_pypi_types::VerbatimParsedUrl>>().ok()
    });
    Ok(pinned.map(Requirement::from))
}

/// The inner result tells "no solution", which needs explaining, from all other failures.
async fn run_solver(
    index: &Connection,
    request: &Request<'_>,
    context: &Context,
) -> Result<Result<ResolverOutput, Box<NoSolutionError>>, ResolveError> {
    let Platform { tags, markers } = request.platform;
    let environment = ResolverEnvironment::specific(ResolverMarkerEnvironment::from(markers.clone()));
    let manifest = Manifest::new(
        request.wanted.iter().map(|wanted| wanted.requirement.clone()).collect(),
        Constraints::from_requirements(request.constraints.iter().cloned()),
        Overrides::default(),
        Excludes::default(),
        Preferences::from_iter(request.preferred.iter().cloned(), &environment),
        None,
        BTreeSet::new(),
        Exclusions::default(),
        request.lookaheads.clone(),
    );
    let prerelease = if request.pre { PrereleaseMode::Allow } else { PrereleaseMode::default() };
    let options = OptionsBuilder::new()
        .build_options(context.options().clone())
        .exclude_newer(index.exclude_newer.clone())
        .prerelease(Prerelease { global: prerelease, ..Prerelease::default() })
        .index_strategy(index.strategy)
        .build();
    let python = PythonRequirement::from_marker_environment(
        markers,
        RequiresPython::greater_than_equal_version(&markers.python_full_version().version),
    );
    let flat =
        FlatIndex::from_entries(index.found_links.clone(), Some(tags), &request.hasher, context.options());
    let memory = InMemoryIndex::default();
    let resolver = Resolver::new(
        manifest,
        options,
        &python,
        environment,
        markers,
        Conflicts::empty(),
        Some(tags),
        &flat,
        &memory,
        &request.hasher,
        context,
        EmptyInstalledPackages,
        DistributionDatabase::new(&index.client, context, Arc::clone(&index.downloads)),
    )
    .map_err(|error| failure::of_resolver(&error))?;
    match resolver.resolve().await {
        Ok(output) => Ok(Ok(output)),
        Err(uv_resolver::ResolveError::NoSolution(error)) => Ok(Err(error)),
        Err(error) => Err(failure::of_resolver(&error)),
    }
}
