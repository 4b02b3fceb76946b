//! The files that the resolver chose, with what is known of their hashes.
//!
//! Owns reading uv's answer, and building what it chose as source. Never transfers a wheel.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use layercake_core::{hash::Sha256, resolution::Source};
use uv_cache::{Cache, CacheBucket};
use uv_distribution::DistributionDatabase;
use uv_distribution_filename::WheelFilename;
use uv_distribution_types::{
    BuiltDist, CachedDist, Dist, Name, Node, RegistryBuiltWheel, ResolvedDist, SourceDist,
};
use uv_pypi_types::HashDigest;
use uv_redacted::DisplaySafeUrl;
use uv_resolver::ResolverOutput;
use uv_types::BuildContext as _;

use super::{
    Digest, Digester, ResolveError, client::Connection, context::Context, failure,
    settings::without_credentials, solve::Request,
};

/// A file that was chosen.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) filename: String,
    /// Where it is, without credentials.
    pub(super) url: String,
    pub(super) size: Option<u64>,
    pub(super) required_by: Vec<String>,
    pub(super) asked: bool,
    /// Where it was asked for.
    pub(super) origins: Vec<String>,
    pub(super) source: Option<Source>,
    /// The known hashes of the file that the user's hashes speak of: the wheel, or the source
    /// distribution that it was built from.
    pub(super) digests: Vec<Digest>,
}

/// Reads the answer, and builds what is not a wheel.
pub(super) async fn drafts(
    index: &Connection,
    request: &Request<'_>,
    context: &Context,
    output: ResolverOutput,
) -> Result<Vec<Draft>, ResolveError> {
    let answer = uv_distribution_types::Resolution::from(output);
    let (mut required_by, asked) = edges(&answer);
    let mut drafts = Vec::new();
    for dist in answer.distributions() {
        let ResolvedDist::Installable { dist, .. } = dist else {
            return Err(ResolveError::Internal { reason: format!("`{dist}` counts as installed") });
        };
        let draft = match dist.as_ref() {
            Dist::Built(built) => of_wheel(built)?,
            Dist::Source(_) => of_source(index, request, context, dist).await?,
        };
        let name = dist.name().to_string();
        let origins = request
            .wanted
            .iter()
            .filter(|wanted| wanted.requirement.name.as_str() == name)
            .map(|wanted| wanted.origin.clone())
            .collect();
        drafts.push(Draft {
            required_by: required_by.remove(&name).unwrap_or_default().into_iter().collect(),
            asked: asked.contains(&name),
            origins,
            ..draft
        });
    }
    drafts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(drafts)
}

/// Who needs whom, and what the user asked for.
fn edges(
    answer: &uv_distribution_types::Resolution,
) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
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
    (required_by, asked)
}

/// A draft of which only the file is known.
fn of_file(filename: &WheelFilename, file: String, url: String) -> Draft {
    Draft {
        name: filename.name.to_string(),
        version: filename.version.to_string(),
        filename: file,
        url,
        size: None,
        required_by: Vec::new(),
        asked: false,
        origins: Vec::new(),
        source: None,
        digests: Vec::new(),
    }
}

fn of_wheel(built: &BuiltDist) -> Result<Draft, ResolveError> {
    let bad = |error: &dyn std::error::Error| ResolveError::BadAnswer { reason: failure::one_line(error) };
    Ok(match built {
        BuiltDist::Registry(registry) => {
            let RegistryBuiltWheel { filename, file, .. } = registry.best_wheel();
            let url = file.url.to_url().map_err(|error| bad(&error))?;
            let digests = known(file.hashes.iter());
            Draft { size: file.size, digests, ..of_file(filename, file.filename.to_string(), plain(&url)) }
        }
        BuiltDist::DirectUrl(wheel) => {
            let url = wheel.url.to_url();
            let name = last_part(&wheel.location, &wheel.filename);
            Draft {
                size: wheel.size,
                digests: in_fragment(url.fragment()),
                ..of_file(&wheel.filename, name, plain(&wheel.location))
            }
        }
        BuiltDist::Path(wheel) => {
            let url = file_url(&wheel.install_path)?;
            let name = wheel.install_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            of_file(&wheel.filename, name, url)
        }
        BuiltDist::GitPath(_) => {
            return Err(ResolveError::Internal { reason: format!("`{built}` is a wheel in a repository") });
        }
    })
}

/// The file name in an address; what uv read of it when the address has it in another way.
fn last_part(url: &DisplaySafeUrl, filename: &WheelFilename) -> String {
    url.path_segments()
        .and_then(|mut parts| parts.next_back())
        .filter(|part| part.parse::<WheelFilename>().is_ok())
        .map_or_else(|| filename.to_string(), str::to_owned)
}

async fn of_source(
    index: &Connection,
    request: &Request<'_>,
    context: &Context,
    dist: &Dist,
) -> Result<Draft, ResolveError> {
    let Dist::Source(source) = dist else {
        return Err(ResolveError::Internal { reason: format!("`{dist}` is no source") });
    };
    let database = DistributionDatabase::new(&index.client, context, Arc::clone(&index.downloads));
    let local = database
        .get_or_build_wheel(dist, &request.platform.tags, request.hasher.get(dist))
        .await
        .map_err(|error| failure::of_distribution(&error))?;
    let mut digests = known(uv_distribution_types::Hashed::hashes(&local).iter());
    match source {
        SourceDist::Registry(registry) => {
            let listed = known(registry.file.hashes.iter());
            let differs = |one: &Digest| {
                digests.iter().any(|other| other.algorithm() == one.algorithm() && other != one)
            };
            if let Some(promised) = listed.iter().find(|one| differs(one)) {
                return Err(ResolveError::BadAnswer {
                    reason: format!("`{}` is not what it promised, {promised}", registry.file.filename),
                });
            }
            digests.extend(listed);
            let path = registry.file.url.to_url().ok().filter(|url| url.scheme() == "file");
            if let Some(path) = path.and_then(|url| url.to_file_path().ok()) {
                digests.extend(of_local_file(&path)?);
            }
        }
        // uv computes the hash of what it downloads, and of a file only when it has to compare it.
        SourceDist::Path(file) => digests.extend(of_local_file(&file.install_path)?),
        _ => {}
    }
    digests.sort();
    digests.dedup();
    let cached = CachedDist::from(local);
    let wheel = wheel_file(context.cache(), cached.path(), cached.filename()).ok_or_else(|| {
        ResolveError::Internal { reason: format!("the wheel that was built of `{dist}` is gone") }
    })?;
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = Some(source_of(source, context, &digests)?);
    Ok(Draft { digests, source, ..of_file(cached.filename(), name, file_url(&wheel)?) })
}

fn source_of(source: &SourceDist, context: &Context, digests: &[Digest]) -> Result<Source, ResolveError> {
    let bad = |error: &dyn std::error::Error| ResolveError::BadAnswer { reason: failure::one_line(error) };
    let text = |path: &Path| path.display().to_string();
    let archive = |url: String, subdirectory: Option<String>| -> Result<Source, ResolveError> {
        let sha256: Option<Sha256> = digests.iter().find_map(Digest::sha256);
        let reason = || "it was not computed".to_owned();
        let sha256 = sha256.ok_or_else(|| ResolveError::NoHash {
            filename: source.name().to_string(),
            url: url.clone(),
            reason: reason(),
        })?;
        Ok(Source::Archive { url, sha256, subdirectory })
    };
    match source {
        SourceDist::Registry(registry) => {
            archive(plain(&registry.file.url.to_url().map_err(|error| bad(&error))?), None)
        }
        SourceDist::DirectUrl(direct) => {
            archive(plain(&direct.location), direct.subdirectory.as_deref().map(text))
        }
        SourceDist::Path(file) => archive(file_url(&file.install_path)?, None),
        SourceDist::Directory(folder) => Ok(Source::Folder { path: text(&folder.install_path) }),
        SourceDist::GitDirectory(git) => {
            let commit = context.git().get_precise(&git.git).or_else(|| git.git.precise());
            let commit = commit
                .ok_or_else(|| ResolveError::Internal { reason: format!("`{source}` has no commit") })?;
            Ok(Source::Git {
                url: plain(git.git.url()),
                commit: commit.to_string(),
                requested: git.git.reference().as_str().map(str::to_owned),
                subdirectory: git.subdirectory.as_deref().map(text),
            })
        }
        SourceDist::GitPath(_) => {
            Err(ResolveError::Internal { reason: format!("`{source}` is an archive in a repository") })
        }
    }
}

fn of_local_file(path: &Path) -> Result<Vec<Digest>, ResolveError> {
    let bytes = std::fs::read(path).map_err(|error| ResolveError::NoHash {
        filename: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        url: path.display().to_string(),
        reason: error.to_string(),
    })?;
    let mut digester = Digester::new();
    digester.update(&bytes);
    Ok(digester.finish().1)
}

/// The hashes that requirement lines can speak of.
fn known<'a>(hashes: impl Iterator<Item = &'a HashDigest>) -> Vec<Digest> {
    hashes.filter_map(|hash| hash.to_string().parse().ok()).collect()
}

/// The hash behind an address: `#sha256=…`.
fn in_fragment(fragment: Option<&str>) -> Vec<Digest> {
    let parts = fragment.into_iter().flat_map(|fragment| fragment.split('&'));
    parts.filter_map(|part| part.replacen('=', ":", 1).parse().ok()).collect()
}

/// An address as it may be stored. The fragment repeats the hash; it is no part of the address.
fn plain(url: &DisplaySafeUrl) -> String {
    let mut url = url::Url::from(url.clone());
    url.set_fragment(None);
    without_credentials(url.as_str())
}

fn file_url(path: &Path) -> Result<String, ResolveError> {
    url::Url::from_file_path(path)
        .map(String::from)
        .map_err(|()| ResolveError::Internal { reason: format!("`{}` is no whole path", path.display()) })
}

/// The wheel that was unpacked to this place: uv keeps it among the sources, beside a link to where
/// it was unpacked.
fn wheel_file(cache: &Cache, unpacked: &Path, filename: &WheelFilename) -> Option<PathBuf> {
    let unpacked = unpacked.canonicalize().ok()?;
    let mut folders = vec![cache.bucket(CacheBucket::SourceDistributions)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            // The unpacked sources themselves hold none.
            if kind.is_dir() && name != "src" {
                folders.push(path);
            } else if kind.is_file()
                && name.to_str().and_then(|name| name.parse::<WheelFilename>().ok()).as_ref()
                    == Some(filename)
                && cache.resolve_link(path.with_file_name(filename.stem())).ok().as_ref() == Some(&unpacked)
            {
                return Some(path);
            }
        }
    }
    None
}
