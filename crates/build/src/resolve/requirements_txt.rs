//! Reading `requirements.txt` as pip writes it: requirements, hashes, includes, constraints,
//! index options.
//!
//! Owns the file format. Never ignores what it does not support: each such option is refused by
//! its name, because a layer built without it would not be the one that was asked for.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{Hint, hash::Sha256, requirements::RequirementLine};
use uv_pypi_types::VerbatimParsedUrl;

use super::{AllowedHashes, Asked, failure};

/// Why a requirements file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequirementsFileError {
    /// It cannot be read.
    #[error("cannot read the requirements file `{path}`")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line that is neither requirement nor option.
    #[error("`{text}` ({origin}) is not a requirement: {reason}")]
    BadLine {
        /// File and line.
        origin: String,
        /// What is written there.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something pip knows and we do not.
    #[error("{origin} uses {feature}, which is not supported")]
    Unsupported {
        /// File and line.
        origin: String,
        /// The option, or what kind of requirement it is.
        feature: String,
    },
}

impl Hint for RequirementsFileError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check that the file is there and is UTF-8 text".to_owned(),
            Self::BadLine { .. } => "write requirements as in `pandas>=2,<3` (PEP 508)".to_owned(),
            Self::Unsupported { .. } => {
                "take it out of the file; packages are taken as wheels from package indexes".to_owned()
            }
        })
    }
}

/// Reads a requirements file with all it includes.
///
/// `${NAME}` in it is replaced by the environment variable, as pip does.
///
/// # Errors
/// [`RequirementsFileError`].
pub fn read(path: &Utf8Path) -> Result<Asked, RequirementsFileError> {
    let mut reader = Reader { asked: Asked::default(), seen: BTreeSet::new() };
    reader.file(path, path.file_name().unwrap_or(path.as_str()), Kind::Requirements)?;
    Ok(reader.asked)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Requirements,
    Constraints,
}

struct Reader {
    asked: Asked,
    seen: BTreeSet<(Utf8PathBuf, Kind)>,
}

/// Options that ask for what is done anyway.
const FULFILLED: [&str; 2] = ["--only-binary", "--prefer-binary"];

impl Reader {
    /// Reads one file; `shown` is how its lines are named.
    fn file(&mut self, path: &Utf8Path, shown: &str, kind: Kind) -> Result<(), RequirementsFileError> {
        let unreadable = |source| RequirementsFileError::Read { path: path.to_owned(), source };
        let resolved = path.canonicalize_utf8().map_err(unreadable)?;
        // Includes may form a circle; each file counts once.
        if !self.seen.insert((resolved, kind)) {
            return Ok(());
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        for (line, text) in logical_lines(text.trim_start_matches('\u{feff}')) {
            self.line(path, shown, &format!("{shown}:{line}"), &text, kind)?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        path: &Utf8Path,
        shown: &str,
        origin: &str,
        text: &str,
        kind: Kind,
    ) -> Result<(), RequirementsFileError> {
        let text = uv_pep508::expand_env_vars(text);
        if !text.starts_with('-') {
            return self.requirement(origin, &text, kind);
        }
        let (option, value) = option_and_value(&text);
        match option {
            "-r" | "--requirement" => self.include(path, shown, origin, value, kind),
            "-c" | "--constraint" => self.include(path, shown, origin, value, Kind::Constraints),
            "-i" | "--index-url" | "--pypi-url" => {
                self.asked.indexes.index_url.get_or_insert_with(|| value.to_owned());
                Ok(())
            }
            "--extra-index-url" => {
                self.asked.indexes.extra_index_urls.push(value.to_owned());
                Ok(())
            }
            "--require-hashes" => {
                self.asked.require_hashes = true;
                Ok(())
            }
            option if FULFILLED.contains(&option) => Ok(()),
            option => Err(unsupported(origin, &format!("the option `{option}`"))),
        }
    }

    fn include(
        &mut self,
        path: &Utf8Path,
        shown: &str,
        origin: &str,
        value: &str,
        kind: Kind,
    ) -> Result<(), RequirementsFileError> {
        if value.contains("://") {
            return Err(unsupported(origin, "a requirements file by URL"));
        }
        let beside = |file: &str| Utf8Path::new(file).parent().unwrap_or(Utf8Path::new("")).join(value);
        self.file(&beside(path.as_str()), beside(shown).as_str(), kind)
    }

    fn requirement(&mut self, origin: &str, text: &str, kind: Kind) -> Result<(), RequirementsFileError> {
        let (specifier, options) = match text.split_once(" --") {
            Some((specifier, options)) => (specifier.trim_end(), Some(options)),
            None => (text, None),
        };
        let name = package_name(origin, specifier)?;
        let line = RequirementLine { text: specifier.to_owned(), origin: origin.to_owned() };
        match kind {
            Kind::Requirements => self.asked.requirements.lines.push(line),
            Kind::Constraints => self.asked.constraints.lines.push(line),
        }
        let mut sha256 = Vec::new();
        for option in options.into_iter().flat_map(|options| options.split(" --")) {
            sha256.extend(allowed_hash(origin, option.trim())?);
        }
        if !sha256.is_empty() {
            self.asked.hashes.push(AllowedHashes { package: name, origin: origin.to_owned(), sha256 });
        }
        Ok(())
    }
}

/// The package a requirement asks for, once it is sure that it asks for one by name.
fn package_name(origin: &str, specifier: &str) -> Result<String, RequirementsFileError> {
    use uv_pep508::Pep508ErrorSource;
    match specifier.parse::<uv_pep508::Requirement<VerbatimParsedUrl>>() {
        Ok(requirement) if matches!(requirement.version_or_url, Some(uv_pep508::VersionOrUrl::Url(_))) => {
            Err(unsupported(origin, &format!("a requirement by URL for `{}`", requirement.name)))
        }
        Ok(requirement) => Ok(requirement.name.to_string()),
        Err(error) if matches!(error.message, Pep508ErrorSource::UnsupportedRequirement(_)) => {
            Err(unsupported(origin, "a requirement by file or URL"))
        }
        Err(error) => Err(RequirementsFileError::BadLine {
            origin: origin.to_owned(),
            text: failure::redacted(specifier),
            reason: failure::plain(&error.message.to_string()),
        }),
    }
}

/// The sha256 in `hash=sha256:…`; nothing for a weaker or other hash, which cannot be compared.
fn allowed_hash(origin: &str, option: &str) -> Result<Option<Sha256>, RequirementsFileError> {
    let (name, value) = option_and_value(option);
    if name != "hash" {
        return Err(unsupported(origin, &format!("the option `--{name}`")));
    }
    let Some((algorithm, digest)) = value.split_once(':') else {
        return Err(unsupported(origin, "a hash without its algorithm"));
    };
    if algorithm != "sha256" {
        return Err(unsupported(origin, &format!("a hash by {algorithm}")));
    }
    let hash =
        digest.parse().map_err(|error: layercake_core::hash::NotASha256| RequirementsFileError::BadLine {
            origin: origin.to_owned(),
            text: format!("--{option}"),
            reason: error.to_string(),
        })?;
    Ok(Some(hash))
}

/// Splits `--index-url=X`, `--index-url X`, `-iX` and `-i X`.
fn option_and_value(text: &str) -> (&str, &str) {
    let end = if text.starts_with('-') && !text.starts_with("--") {
        text.char_indices().nth(2).map_or(text.len(), |(index, _)| index)
    } else {
        text.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(text.len())
    };
    let (option, value) = text.split_at(end);
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    (option, value.trim_matches(['"', '\'']))
}

fn unsupported(origin: &str, feature: &str) -> RequirementsFileError {
    RequirementsFileError::Unsupported { origin: origin.to_owned(), feature: feature.to_owned() }
}

/// Lines that say something, with the number of the first of the physical lines each is made of:
/// continued ones joined, comments cut off.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (start, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let is_comment = joined.is_empty() && line.trim_start().starts_with('#');
        if let Some(continued) = line.strip_suffix('\\').filter(|_| !is_comment) {
            joined.push_str(continued);
            joined.push(' ');
            open = Some((start, joined));
            continue;
        }
        joined.push_str(line);
        lines.push((start, joined));
    }
    lines.extend(open);
    lines
        .into_iter()
        .map(|(start, line)| (start, without_comment(&line).trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// A `#` starts a comment at the beginning of a line or after white space.
fn without_comment(line: &str) -> &str {
    let starts =
        |(index, _): &(usize, &str)| line[..*index].chars().next_back().is_none_or(char::is_whitespace);
    line.match_indices('#').find(starts).map_or(line, |(index, _)| &line[..index])
}
