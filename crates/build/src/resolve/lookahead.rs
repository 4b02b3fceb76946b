//! What direct references ask for in turn, by address.
//!
//! uv counts an address only when it is known before the resolution starts, so those in the
//! metadata of what the user gave by address are looked up first. Owns that walk.

use std::collections::{BTreeSet, VecDeque};

use uv_distribution::DistributionDatabase;
use uv_distribution_types::{Dist, Requirement, RequirementSource};
use uv_types::{HashStrategy, RequestedRequirements};

use super::{ResolveError, context::Context, direct::Wanted, failure, solve::Platform};

/// The requirements of everything that is asked for by address.
pub(super) async fn lookaheads(
    database: &DistributionDatabase<'_, Context>,
    hasher: &HashStrategy,
    platform: &Platform,
    wanted: &[Wanted],
) -> Result<Vec<RequestedRequirements>, ResolveError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut queue: VecDeque<Requirement> = wanted.iter().map(|wanted| wanted.requirement.clone()).collect();
    while let Some(requirement) = queue.pop_front() {
        if !seen.insert(requirement.to_string()) {
            continue;
        }
        let Some(dist) = dist(&requirement)? else { continue };
        let metadata = database
            .get_or_build_wheel_metadata(&dist, hasher.get(&dist))
            .await
            .map_err(|error| failure::of_distribution(&error))?
            .metadata;
        let requires: Box<[Requirement]> = metadata
            .requires_dist
            .into_iter()
            .map(|mut dependency| {
                // An extra of the package itself stays with the address.
                if dependency.name == requirement.name {
                    dependency.source = requirement.source.clone();
                }
                dependency
            })
            .collect();
        queue.extend(
            requires
                .iter()
                .filter(|dependency| {
                    dependency.evaluate_markers(Some(&platform.markers), &requirement.extras)
                })
                .cloned(),
        );
        let is_folder = matches!(requirement.source, RequirementSource::Directory { .. });
        found.push(RequestedRequirements::new(
            metadata.name,
            metadata.version,
            requirement.extras,
            requires,
            is_folder,
        ));
    }
    Ok(found)
}

/// What a requirement by address stands for.
fn dist(requirement: &Requirement) -> Result<Option<Dist>, ResolveError> {
    let name = requirement.name.clone();
    let dist = match &requirement.source {
        RequirementSource::Registry { .. } => return Ok(None),
        RequirementSource::Url { subdirectory, location, ext, url } => {
            Dist::from_http_url(name, url.clone(), location.clone(), subdirectory.clone(), *ext)
        }
        RequirementSource::GitDirectory { git, subdirectory, url } => {
            Dist::from_git_directory_url(name, url.clone(), git.clone(), subdirectory.clone())
        }
        RequirementSource::GitPath { git, install_path, ext, url } => {
            Dist::from_git_path_url(name, url.clone(), git.clone(), install_path.clone(), *ext)
        }
        RequirementSource::Path { install_path, ext, url } => {
            Dist::from_file_url(name, url.clone(), install_path, *ext)
        }
        RequirementSource::Directory { install_path, r#virtual, url, .. } => {
            // Never editable: a layer is copied to another machine.
            Dist::from_directory_url(name, url.clone(), install_path, None, *r#virtual)
        }
    };
    dist.map(Some).map_err(|error| ResolveError::BadAnswer { reason: failure::one_line(&error) })
}
