//! Requirement lines in uv's terms, those by address among them: wheels, source distributions,
//! folders and git repositories that the user names instead of a version.
//!
//! Owns understanding a line and finding the name of what it asks for. Never chooses a version.

use std::{borrow::Cow, path::Path};

use layercake_core::{requirements::RequirementLine, target::Target};
use uv_distribution::DistributionDatabase;
use uv_distribution_filename::{DistExtension, WheelFilename};
use uv_distribution_types::{
    BuildableSource, DirectSourceUrl, DirectorySourceUrl, GitDirectorySourceUrl, HashPolicy, PathSourceUrl,
    RemoteSource as _, Requirement, RequirementSource, SourceUrl,
};
use uv_normalize::PackageName;
use uv_pep508::{Pep508ErrorSource, TracingReporter, UnnamedRequirement, VersionOrUrl};
use uv_platform_tags::{IncompatibleTag, TagCompatibility, Tags};
use uv_pypi_types::{ParsedUrl, VerbatimParsedUrl};

use super::{ResolveError, context::Context, failure, settings::shown_address};

type NamedLine = uv_pep508::Requirement<VerbatimParsedUrl>;
type UnnamedLine = UnnamedRequirement<VerbatimParsedUrl>;

/// A requirement that was understood, with where it was written.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) requirement: Requirement,
    pub(super) origin: String,
}

/// A requirement line.
pub(super) enum Line {
    /// It names its package.
    Named(NamedLine),
    /// An address alone.
    Unnamed(UnnamedLine),
}

/// Why a line is no requirement.
pub(super) enum BadLine {
    /// It makes no sense.
    Nonsense(String),
    /// It is understood, and not supported: what it is, with its article.
    Unsupported(&'static str),
    /// It names a file or folder that is not there.
    Missing(String),
}

impl BadLine {
    pub(super) fn into_error(self, line: &RequirementLine) -> ResolveError {
        let (origin, text) = (line.origin.clone(), failure::redacted(&line.text));
        match self {
            Self::Nonsense(reason) => ResolveError::BadRequirement { origin, text, reason },
            Self::Unsupported(feature) => ResolveError::Unsupported { origin, text, feature },
            Self::Missing(path) => ResolveError::Missing { origin, path },
        }
    }
}

/// Understands a line; paths in it are below `folder`.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Line, BadLine> {
    let nonsense = |message: &dyn std::fmt::Display| {
        BadLine::Nonsense(failure::redacted(&failure::plain(&message.to_string())))
    };
    let line = match NamedLine::parse(text, folder) {
        Ok(named) => Line::Named(named),
        Err(error) if matches!(error.message, Pep508ErrorSource::UnsupportedRequirement(_)) => {
            let unnamed = UnnamedLine::parse(text, folder, &mut TracingReporter);
            Line::Unnamed(unnamed.map_err(|error| nonsense(&error.message))?)
        }
        Err(error) => return Err(nonsense(&error.message)),
    };
    if let Some(url) = line.url() {
        match &url.parsed_url {
            ParsedUrl::GitPath(_) => return Err(BadLine::Unsupported("a file in a git repository")),
            ParsedUrl::Path(file) if !file.install_path.is_file() => {
                return Err(BadLine::Missing(file.install_path.display().to_string()));
            }
            ParsedUrl::Directory(folder) if !folder.install_path.is_dir() => {
                return Err(BadLine::Missing(folder.install_path.display().to_string()));
            }
            _ => {}
        }
    }
    Ok(line)
}

impl Line {
    /// The address, when it has one.
    pub(super) fn url(&self) -> Option<&VerbatimParsedUrl> {
        match self {
            Self::Named(named) => match &named.version_or_url {
                Some(VersionOrUrl::Url(url)) => Some(url),
                _ => None,
            },
            Self::Unnamed(unnamed) => Some(&unnamed.url),
        }
    }

    /// Whether it asks for a file or folder of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.url().is_some_and(is_local)
    }

    /// Where it applies.
    pub(super) fn marker(&self) -> uv_pep508::MarkerTree {
        match self {
            Self::Named(named) => named.marker,
            Self::Unnamed(unnamed) => unnamed.marker,
        }
    }

    /// The package's name, as far as the line alone tells.
    pub(super) fn name(&self) -> Option<PackageName> {
        match self {
            Self::Named(named) => Some(named.name.clone()),
            Self::Unnamed(unnamed) => {
                let file = unnamed.url.verbatim.filename().ok()?;
                is_wheel(&unnamed.url)
                    .then(|| file.parse::<WheelFilename>().ok())
                    .flatten()
                    .map(|file| file.name)
            }
        }
    }

    /// The same line with the place of a file or folder as an address, so that it means the same
    /// wherever it is read again.
    pub(super) fn with_whole_path(&self, text: &str) -> String {
        let extras = |extras: &[uv_normalize::ExtraName]| match extras {
            [] => String::new(),
            extras => format!("[{}]", extras.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        };
        let marker = |marker: uv_pep508::MarkerTree| {
            marker.try_to_string().map(|marker| format!(" ; {marker}")).unwrap_or_default()
        };
        match self {
            Self::Named(named) => match &named.version_or_url {
                Some(VersionOrUrl::Url(url)) if is_local(url) => format!(
                    "{}{} @ {}{}",
                    named.name,
                    extras(&named.extras),
                    url.verbatim.to_url(),
                    marker(named.marker)
                ),
                _ => text.to_owned(),
            },
            Self::Unnamed(unnamed) if is_local(&unnamed.url) => format!(
                "{}{}{}",
                unnamed.url.verbatim.to_url(),
                extras(&unnamed.extras),
                marker(unnamed.marker)
            ),
            Self::Unnamed(_) => text.to_owned(),
        }
    }
}

fn is_local(url: &VerbatimParsedUrl) -> bool {
    matches!(url.parsed_url, ParsedUrl::Path(_) | ParsedUrl::Directory(_))
}

fn is_wheel(url: &VerbatimParsedUrl) -> bool {
    match &url.parsed_url {
        ParsedUrl::Path(file) => matches!(file.ext, DistExtension::Wheel),
        ParsedUrl::Archive(file) => matches!(file.ext, DistExtension::Wheel),
        _ => false,
    }
}

/// Understands all lines. Those that need a build to tell their name are left without one.
pub(super) fn lines(lines: &[RequirementLine]) -> Result<Vec<(Line, String)>, ResolveError> {
    let here = std::env::current_dir().unwrap_or_default();
    let parsed = lines.iter().map(|line| match parse(&line.text, &here) {
        Ok(parsed) => Ok((parsed, line.origin.clone())),
        Err(bad) => Err(bad.into_error(line)),
    });
    parsed.collect()
}

/// The line as a requirement; one that does not tell its name is asked for its metadata.
pub(super) async fn named(
    line: Line,
    origin: String,
    database: &DistributionDatabase<'_, Context>,
) -> Result<Wanted, ResolveError> {
    let known = line.name();
    let requirement = match (line, known) {
        (Line::Named(named), _) => named,
        (Line::Unnamed(unnamed), Some(name)) => with_name(unnamed, name),
        (Line::Unnamed(unnamed), None) => {
            let source = BuildableSource::Url(source_of(&unnamed.url)?);
            let metadata = database
                .build_wheel_metadata(&source, HashPolicy::None)
                .await
                .map_err(|error| failure::of_distribution(&error))?;
            with_name(unnamed, metadata.metadata.name)
        }
    };
    Ok(Wanted { requirement: Requirement::from(requirement), origin })
}

fn with_name(line: UnnamedLine, name: PackageName) -> NamedLine {
    NamedLine {
        name,
        extras: line.extras,
        version_or_url: Some(VersionOrUrl::Url(line.url)),
        marker: line.marker,
        origin: line.origin,
    }
}

/// A source by address, before its name is known.
fn source_of(url: &VerbatimParsedUrl) -> Result<SourceUrl<'_>, ResolveError> {
    let no_source = || ResolveError::Internal { reason: "a wheel was taken for a source".to_owned() };
    Ok(match &url.parsed_url {
        ParsedUrl::Directory(folder) => SourceUrl::Directory(DirectorySourceUrl {
            url: &url.verbatim,
            install_path: &folder.install_path,
            editable: None,
        }),
        ParsedUrl::Path(file) => {
            let DistExtension::Source(ext) = file.ext else { return Err(no_source()) };
            let path = Cow::Borrowed(&*file.install_path);
            SourceUrl::Path(PathSourceUrl { url: &url.verbatim, path, ext })
        }
        ParsedUrl::Archive(archive) => {
            let DistExtension::Source(ext) = archive.ext else { return Err(no_source()) };
            let subdirectory = archive.subdirectory.as_deref();
            SourceUrl::Direct(DirectSourceUrl { url: &archive.url, subdirectory, ext })
        }
        ParsedUrl::GitDirectory(git) => SourceUrl::GitDirectory(GitDirectorySourceUrl {
            url: &url.verbatim,
            git: &git.url,
            subdirectory: git.subdirectory.as_deref(),
        }),
        ParsedUrl::GitPath(_) => return Err(no_source()),
    })
}

/// What a requirement by address asks for.
pub(super) enum Direct {
    /// A wheel.
    Wheel,
    /// Something to build, with how it is shown.
    Source(String),
}

/// Whether the line is by address, and to what.
pub(super) fn direct(url: &VerbatimParsedUrl) -> Direct {
    if is_wheel(url) {
        return Direct::Wheel;
    }
    Direct::Source(match &url.parsed_url {
        ParsedUrl::Path(file) => file.install_path.display().to_string(),
        ParsedUrl::Directory(folder) => folder.install_path.display().to_string(),
        _ => shown_address(url.verbatim.to_url().without_credentials().as_str()),
    })
}

/// The folders that requirements name; what is in them may have changed since they were last built.
pub(super) fn folders(lines: &[(Line, String)]) -> Vec<Box<Path>> {
    let folder = |line: &Line| match &line.url()?.parsed_url {
        ParsedUrl::Directory(folder) => Some(folder.install_path.clone()),
        _ => None,
    };
    lines.iter().filter_map(|(line, _)| folder(line)).collect()
}

/// Whether the wheel that a line asks for by address runs on the target.
pub(super) fn check_fits(line: &Line, origin: &str, tags: &Tags, target: Target) -> Result<(), ResolveError> {
    let Some(url) = line.url().filter(|url| is_wheel(url)) else { return Ok(()) };
    let Ok(filename) = url.verbatim.filename() else { return Ok(()) };
    let wheel: WheelFilename = filename.parse().map_err(|error| ResolveError::BadRequirement {
        origin: origin.to_owned(),
        text: filename.to_string(),
        reason: failure::one_line(&error),
    })?;
    let TagCompatibility::Incompatible(tag) = wheel.compatibility(tags) else { return Ok(()) };
    let list = |tags: Vec<String>| tags.join(".");
    let pythons = || list(wheel.python_tags().iter().map(ToString::to_string).collect());
    let abis = || list(wheel.abi_tags().iter().map(ToString::to_string).collect());
    let platforms = || list(wheel.platform_tags().iter().map(ToString::to_string).collect());
    let reason = match tag {
        IncompatibleTag::Invalid => "its tags are not known".to_owned(),
        IncompatibleTag::Python | IncompatibleTag::AbiPythonVersion => {
            format!("it is for the Python `{}`", pythons())
        }
        IncompatibleTag::Abi | IncompatibleTag::FreethreadedAbi => format!("it is for the ABI `{}`", abis()),
        IncompatibleTag::Platform => format!("it is for the platform `{}`", platforms()),
    };
    Err(ResolveError::WheelDoesNotFit {
        filename: filename.to_string(),
        origin: origin.to_owned(),
        target,
        reason,
    })
}

/// The version bounds of a requirement; none for one by address.
pub(super) fn specifiers(requirement: &Requirement) -> uv_pep440::VersionSpecifiers {
    match &requirement.source {
        RequirementSource::Registry { specifier, .. } => specifier.clone(),
        _ => uv_pep440::VersionSpecifiers::empty(),
    }
}
