//! Which targets a package has wheels for, told from the file names on the index.
//!
//! Owns the answer to "why not here, and where then". Never resolves.

use layercake_core::target::{Arch, Runtime, Target};
use uv_client::MetadataFormat;
use uv_distribution_filename::{DistFilename, WheelFilename};
use uv_distribution_types::IndexCapabilities;
use uv_normalize::PackageName;
use uv_pep440::{Version, VersionSpecifiers};
use uv_platform_tags::Tags;

use super::{Digest, ResolveError, client::Connection, failure, target_tags};

/// The files of one version of a package.
pub(super) struct Release {
    pub(super) version: Version,
    pub(super) wheels: Vec<ReleaseWheel>,
    pub(super) has_source: bool,
    /// The hashes of its source distributions.
    source_digests: Vec<Digest>,
}

/// A wheel, as far as its file name and `Requires-Python` tell.
pub(super) struct ReleaseWheel {
    filename: WheelFilename,
    requires_python: Option<VersionSpecifiers>,
    digests: Vec<Digest>,
}

impl Release {
    /// Whether one of the wheels runs on the target, whose tags are given.
    pub(super) fn fits(&self, target: Target, tags: &Tags) -> bool {
        self.wheels.iter().any(|wheel| {
            wheel.filename.is_compatible(tags)
                && wheel.requires_python.as_ref().is_none_or(|python| target_tags::admits(python, target))
        })
    }
}

impl Release {
    /// Whether it has a file that fits these tags, or a source distribution, with one of these hashes.
    pub(super) fn has_allowed(&self, allowed: &[Digest], tags: &Tags) -> bool {
        let any = |digests: &[Digest]| digests.iter().any(|digest| allowed.contains(digest));
        any(&self.source_digests)
            || self.wheels.iter().any(|wheel| wheel.filename.is_compatible(tags) && any(&wheel.digests))
    }
}

/// Every target that a wheel of one of these releases runs on, oldest runtime first.
pub(super) fn targets_of(releases: &[&Release]) -> Result<Vec<Target>, ResolveError> {
    let mut fitting = Vec::new();
    for runtime in Runtime::all() {
        for arch in [Arch::X86_64, Arch::Arm64] {
            let target = Target { runtime, arch };
            let tags = target_tags::tags(target)?;
            if releases.iter().any(|release| release.fits(target, &tags)) {
                fitting.push(target);
            }
        }
    }
    Ok(fitting)
}

/// All releases of a package, oldest first.
pub(super) async fn releases(
    index: &Connection,
    package: &PackageName,
) -> Result<Vec<Release>, ResolveError> {
    let mut releases: Vec<Release> = Vec::new();
    for entry in index.found_links.clone().into_parts().0 {
        let (filename, file, _) = entry.into_parts();
        if filename.name() == package {
            let version = filename.version().clone();
            releases.push(release_of(version, std::iter::once((filename, file))));
        }
    }
    let answers = index
        .client
        .simple_detail(package, None, &IndexCapabilities::default(), &index.downloads)
        .await
        .map_err(|error| match error.kind() {
            uv_client::ErrorKind::NoIndex(_) => {
                ResolveError::NoSuchPackage { package: package.to_string(), origin: None }
            }
            _ => failure::of_client(&error),
        });
    let answers = match answers {
        Ok(answers) => answers,
        Err(ResolveError::NoSuchPackage { .. }) if !releases.is_empty() => Vec::new(),
        Err(error) => return Err(error),
    };
    for (_, answer) in answers {
        match answer {
            MetadataFormat::Simple(archive) => {
                for release in uv_client::OwnedArchive::deserialize(&archive) {
                    releases.push(release_of(release.version, release.files.all(package)));
                }
            }
            MetadataFormat::Flat(entries) => {
                for (filename, file, _) in entries.into_iter().map(uv_client::FlatIndexEntry::into_parts) {
                    let version = filename.version().clone();
                    releases.push(release_of(version, std::iter::once((filename, file))));
                }
            }
        }
    }
    releases.sort_by(|a, b| a.version.cmp(&b.version));
    // A version may be on the index and in a `--find-links` place.
    releases.dedup_by(|other, release| {
        let same = other.version == release.version;
        if same {
            release.wheels.append(&mut other.wheels);
            release.has_source |= other.has_source;
            release.source_digests.append(&mut other.source_digests);
        }
        same
    });
    Ok(releases)
}

fn release_of(
    version: Version,
    files: impl Iterator<Item = (DistFilename, uv_distribution_types::File)>,
) -> Release {
    let mut release = Release { version, wheels: Vec::new(), has_source: false, source_digests: Vec::new() };
    for (filename, file) in files {
        if file.yanked.as_ref().is_some_and(|yanked| yanked.is_yanked()) {
            continue;
        }
        let digests = file.hashes.iter().filter_map(|hash| hash.to_string().parse().ok()).collect();
        match filename {
            DistFilename::WheelFilename(filename) => {
                let requires_python = file.requires_python.as_deref().cloned();
                release.wheels.push(ReleaseWheel { filename, requires_python, digests });
            }
            DistFilename::SourceDistFilename(_) => {
                release.has_source = true;
                release.source_digests.extend(digests);
            }
        }
    }
    release
}

/// The newest version among `releases` with a wheel for the target.
pub(super) fn newest_fitting(releases: &[Release], target: Target, tags: &Tags) -> Option<String> {
    let stable = |release: &&Release| !release.version.any_prerelease();
    releases
        .iter()
        .rev()
        .filter(stable)
        .find(|release| release.fits(target, tags))
        .map(|release| release.version.to_string())
}

/// See [`super::PackageIndex::available_targets`].
pub(super) async fn available_targets(
    index: &Connection,
    package: &str,
    version: Option<&str>,
) -> Result<Vec<Target>, ResolveError> {
    let bad = |reason: String| ResolveError::BadRequirement {
        origin: "available_targets".to_owned(),
        text: package.to_owned(),
        reason,
    };
    let name: PackageName = package.parse().map_err(|error| bad(failure::one_line(&error)))?;
    let version: Option<Version> =
        version.map(|text| text.parse().map_err(|error| bad(failure::one_line(&error)))).transpose()?;
    let releases = releases(index, &name).await?;
    let release = match &version {
        Some(version) => releases.iter().find(|release| release.version == *version),
        None => releases.iter().rev().find(|release| !release.version.any_prerelease()),
    };
    targets_of(&Vec::from_iter(release))
}

/// Says a set of targets in few words: `python3.9 to python3.12 on x86_64; python3.13 on arm64`.
pub fn describe_targets(targets: &[Target]) -> String {
    let runtimes = |arch: Arch| -> Vec<Runtime> {
        Runtime::all().filter(|runtime| targets.contains(&Target { runtime: *runtime, arch })).collect()
    };
    let (x86_64, arm64) = (runtimes(Arch::X86_64), runtimes(Arch::Arm64));
    if targets.is_empty() {
        return "no target".to_owned();
    }
    if x86_64 == arm64 {
        return format!("{} on x86_64 and arm64", ranges(&x86_64));
    }
    [(x86_64, Arch::X86_64), (arm64, Arch::Arm64)]
        .iter()
        .filter(|(runtimes, _)| !runtimes.is_empty())
        .map(|(runtimes, arch)| format!("{} on {arch}", ranges(runtimes)))
        .collect::<Vec<_>>()
        .join("; ")
}

/// `python3.6, python3.9 to python3.12`. The runtimes are in order.
fn ranges(runtimes: &[Runtime]) -> String {
    let mut spans: Vec<(Runtime, Runtime)> = Vec::new();
    for runtime in runtimes {
        match spans.last_mut() {
            Some((_, last)) if last.minor() + 1 == runtime.minor() => *last = *runtime,
            _ => spans.push((*runtime, *runtime)),
        }
    }
    let spans: Vec<String> = spans
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") })
        .collect();
    spans.join(", ")
}
