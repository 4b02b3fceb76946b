//! Reading `requirements.txt` as pip writes it: requirements, addresses, hashes, includes,
//! constraints, index options.
//!
//! Owns the file format. Never ignores what it does not support: each such option is refused by
//! its name, because a layer built without it would not be the one that was asked for. Never uses
//! the network: a file by URL is noted, and read when the resolution starts.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{Hint, requirements::RequirementLine};

use super::{
    AllowedHashes, Asked, Digest, NotADigest, RemoteFile,
    direct::{self, BadLine},
    failure,
};

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
    /// A file or folder that a line asks for is not there.
    #[error("there is no `{path}` ({origin})")]
    Missing {
        /// File and line.
        origin: String,
        /// The file or folder.
        path: String,
    },
    /// Something pip knows and we do not.
    #[error("{origin} uses {feature}, which is not supported{}", because(.why))]
    Unsupported {
        /// File and line.
        origin: String,
        /// The option, or what kind of requirement it is.
        feature: String,
        /// Why, where that is worth a word.
        why: Option<&'static str>,
    },
}

fn because(why: &Option<&'static str>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

impl Hint for RequirementsFileError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check that the file is there and is UTF-8 text".to_owned(),
            Self::BadLine { .. } => "write requirements as in `pandas>=2,<3` (PEP 508)".to_owned(),
            Self::Missing { .. } => {
                "check the path; it is looked for beside the file that names it, and then here".to_owned()
            }
            Self::Unsupported { .. } => "take it out of the file".to_owned(),
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

/// Reads a requirements file that came from this address.
///
/// # Errors
/// [`RequirementsFileError`].
pub(super) fn read_remote(url: &str, text: &str, kind: Kind) -> Result<Asked, RequirementsFileError> {
    let mut reader = Reader { asked: Asked::default(), seen: BTreeSet::new() };
    let shown = super::settings::shown_address(url);
    reader.text(&Place::Url(url), &shown, text, kind)?;
    Ok(reader.asked)
}

/// Whether the lines of a file ask for packages or bound them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Requirements,
    Constraints,
}

/// Where a file is.
enum Place<'a> {
    File(&'a Utf8Path),
    Url(&'a str),
}

struct Reader {
    asked: Asked,
    seen: BTreeSet<(Utf8PathBuf, Kind)>,
}

/// The line that is being read.
struct Line<'a> {
    place: &'a Place<'a>,
    /// How the file is named.
    shown: &'a str,
    origin: &'a str,
    kind: Kind,
}

impl Reader {
    /// Reads one file; `shown` is how its lines are named.
    fn file(&mut self, path: &Utf8Path, shown: &str, kind: Kind) -> Result<(), RequirementsFileError> {
        let unreadable = |source| RequirementsFileError::Read { path: path.to_owned(), source };
        let resolved = path.canonicalize_utf8().map_err(unreadable)?;
        // Includes may form a circle; each file counts once.
        if !self.seen.insert((resolved.clone(), kind)) {
            return Ok(());
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        // Paths in the file are beside what it is called here, not beside what a link points to.
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let folder = folder.canonicalize_utf8().unwrap_or_else(|_| folder.to_owned());
        let whole = folder.join(path.file_name().unwrap_or_default());
        self.text(&Place::File(&whole), shown, &text, kind)
    }

    fn text(
        &mut self,
        place: &Place<'_>,
        shown: &str,
        text: &str,
        kind: Kind,
    ) -> Result<(), RequirementsFileError> {
        for (number, text) in logical_lines(text.trim_start_matches('\u{feff}')) {
            let origin = format!("{shown}:{number}");
            self.line(&Line { place, shown, origin: &origin, kind }, &text)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>, text: &str) -> Result<(), RequirementsFileError> {
        let text = uv_pep508::expand_env_vars(text);
        if !text.starts_with('-') {
            return self.requirement(line, &text);
        }
        let (option, value) = option_and_value(&text);
        match option {
            "-r" | "--requirement" => return self.include(line, value, line.kind),
            "-c" | "--constraint" => return self.include(line, value, Kind::Constraints),
            "-e" | "--editable" => return self.editable(line, value),
            "-i" | "--index-url" | "--pypi-url" => {
                self.asked.indexes.index_url.get_or_insert_with(|| value.to_owned());
            }
            "--extra-index-url" => self.asked.indexes.extra_index_urls.push(value.to_owned()),
            "-f" | "--find-links" => self.asked.indexes.find_links.push(line.place.beside(value)),
            "--no-index" => self.asked.indexes.no_index = true,
            "--no-binary" => self.asked.formats.no_binary(value),
            "--only-binary" => self.asked.formats.only_binary(value),
            "--pre" => self.asked.pre = true,
            "--require-hashes" => self.asked.require_hashes = true,
            // A wheel is taken before a source of any version that may be built.
            "--prefer-binary" => {}
            option => return Err(line.unsupported_option(option)),
        }
        Ok(())
    }

    fn include(&mut self, line: &Line<'_>, value: &str, kind: Kind) -> Result<(), RequirementsFileError> {
        match line.place {
            Place::File(path) if !value.contains("://") => {
                let beside = |file: &Utf8Path| file.parent().unwrap_or(Utf8Path::new("")).join(value);
                self.file(&beside(path), beside(Utf8Path::new(line.shown)).as_str(), kind)
            }
            place => {
                self.asked.remote.push(RemoteFile {
                    url: place.beside(value),
                    origin: line.origin.to_owned(),
                    is_constraints: kind == Kind::Constraints,
                });
                Ok(())
            }
        }
    }

    /// A folder that pip would link to. A layer goes to another machine, so there it is copied.
    fn editable(&mut self, line: &Line<'_>, value: &str) -> Result<(), RequirementsFileError> {
        self.asked.notes.push(format!(
            "{}: `-e` has no meaning in a layer: the folder is built and copied as it is now",
            line.origin
        ));
        self.requirement(line, value)
    }

    fn requirement(&mut self, line: &Line<'_>, text: &str) -> Result<(), RequirementsFileError> {
        let (specifier, options) = match text.split_once(" --") {
            Some((specifier, options)) => (specifier.trim_end(), Some(options)),
            None => (text, None),
        };
        let (name, specifier) = self.understood(line, specifier)?;
        let requirement = RequirementLine { text: specifier, origin: line.origin.to_owned() };
        match line.kind {
            Kind::Requirements => self.asked.requirements.lines.push(requirement),
            Kind::Constraints => self.asked.constraints.lines.push(requirement),
        }
        let mut digests = Vec::new();
        for option in options.into_iter().flat_map(|options| options.split(" --")) {
            digests.push(allowed_hash(line, option.trim())?);
        }
        if !digests.is_empty() {
            let origin = line.origin.to_owned();
            self.asked.hashes.push(AllowedHashes { package: name, origin, digests });
        }
        Ok(())
    }

    /// The package a requirement asks for, as far as the line tells, and the line in a form that
    /// means the same elsewhere.
    fn understood(
        &self,
        line: &Line<'_>,
        specifier: &str,
    ) -> Result<(String, String), RequirementsFileError> {
        let parsed = match line.place {
            Place::File(path) => {
                let beside = path.parent().unwrap_or(Utf8Path::new(""));
                match direct::parse(specifier, beside.as_std_path()) {
                    // pip looks from where it was started.
                    Err(BadLine::Missing(path)) => {
                        let here = std::env::current_dir().unwrap_or_default();
                        direct::parse(specifier, &here).map_err(|_| BadLine::Missing(path))
                    }
                    other => other,
                }
            }
            Place::Url(_) => direct::parse(specifier, std::path::Path::new("/")),
        };
        let parsed = parsed.map_err(|bad| match bad {
            BadLine::Nonsense(reason) => RequirementsFileError::BadLine {
                origin: line.origin.to_owned(),
                text: failure::redacted(specifier),
                reason,
            },
            BadLine::Unsupported(feature) => line.unsupported(feature, None),
            BadLine::Missing(path) => RequirementsFileError::Missing { origin: line.origin.to_owned(), path },
        })?;
        if matches!(line.place, Place::Url(_)) && parsed.is_local() {
            return Err(line.unsupported("a file or folder", Some("the file comes from another machine")));
        }
        let name = parsed.name();
        if name.is_none() && line.kind == Kind::Constraints {
            return Err(line.unsupported("a constraint without a name", None));
        }
        let specifier = parsed.with_whole_path(specifier);
        Ok((name.map(|name| name.to_string()).unwrap_or_default(), specifier))
    }
}

impl Place<'_> {
    /// What a file or address in this file means.
    fn beside(&self, value: &str) -> String {
        if value.contains("://") {
            return value.to_owned();
        }
        match self {
            // pip, too, looks beside the file first.
            Self::File(path) => {
                let beside = path.parent().unwrap_or(Utf8Path::new("")).join(value);
                if beside.exists() { beside.into_string() } else { value.to_owned() }
            }
            Self::Url(url) => match url::Url::parse(url).and_then(|url| {
                let mut joined = url.join(value)?;
                // Both fail only for addresses that cannot have credentials.
                let _ = joined.set_username(url.username());
                let _ = joined.set_password(url.password());
                Ok(joined)
            }) {
                Ok(url) => url.into(),
                Err(_) => value.to_owned(),
            },
        }
    }
}

impl Line<'_> {
    fn unsupported(&self, feature: &str, why: Option<&'static str>) -> RequirementsFileError {
        RequirementsFileError::Unsupported {
            origin: self.origin.to_owned(),
            feature: feature.to_owned(),
            why,
        }
    }

    fn unsupported_option(&self, option: &str) -> RequirementsFileError {
        let why = match option.trim_start_matches('-') {
            "trusted-host" => Some(
                "what comes over a connection that nobody vouches for may be anything; name the host's certificate in SSL_CERT_FILE",
            ),
            "config-settings" | "config-setting" | "C" | "global-option" | "install-option"
            | "build-option" => Some("builds take no options; give a wheel that was built with them"),
            _ => None,
        };
        self.unsupported(&format!("the option `{option}`"), why)
    }
}

/// The hash in `hash=sha256:…`.
fn allowed_hash(line: &Line<'_>, option: &str) -> Result<Digest, RequirementsFileError> {
    let (name, value) = option_and_value(option);
    if name != "hash" {
        return Err(line.unsupported_option(&format!("--{name}")));
    }
    value.parse().map_err(|error: NotADigest| match error {
        NotADigest::BadDigits { .. } => RequirementsFileError::BadLine {
            origin: line.origin.to_owned(),
            text: format!("--{option}"),
            reason: error.to_string(),
        },
        weak_or_none => line.unsupported(&weak_or_none.to_string(), None),
    })
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
