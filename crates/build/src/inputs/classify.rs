//! Telling what one argument is.
//!
//! Owns the order of the questions: an address, a file that is there, a name that must be a file's,
//! a requirement. A package is never taken in place of a file whose name was mistyped.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{lock::is_lock_name, wheel::WheelFilename, wheel::normalised_name};

use super::{Input, InputError, absolute};
use crate::resolve::markers::shown_address;

/// Endings of files. A requirement without `/` that ends so is taken for a file, there or not.
const FILE_ENDINGS: [&str; 14] =
    ["txt", "in", "toml", "lock", "py", "whl", "gz", "zip", "bz2", "cfg", "ini", "json", "yml", "yaml"];

impl Input {
    /// Says what an argument is, by its form and by what is on the disk.
    ///
    /// # Errors
    /// [`InputError`] for a file that is missing or of an unknown kind, and for what is nothing.
    pub fn classify(text: &str) -> Result<Self, InputError> {
        let text = text.trim();
        if let Some(input) = of_address(text)? {
            return Ok(input);
        }
        let path = Utf8Path::new(text);
        let looks_like_path = text.contains('/') || text.starts_with('.') || has_file_ending(text);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() && looks_like_path => of_folder(path),
            Ok(metadata) if metadata.is_file() && looks_like_path => of_file(path),
            Ok(metadata) if metadata.is_dir() && path.join("pyproject.toml").is_file() => {
                Err(InputError::Ambiguous { text: text.to_owned() })
            }
            Err(_) if looks_like_path && !is_direct(text) => Err(no_such_file(path)),
            _ => of_requirement(text),
        }
    }

    /// A requirements file by name, as `-r` has it.
    ///
    /// # Errors
    /// [`InputError::NoSuchFile`], and [`InputError::UnknownFile`] for a file of another kind.
    pub fn requirements_file(path: &Utf8Path) -> Result<Self, InputError> {
        let is_lock = path.file_name().is_some_and(|name| is_lock_name(name) || name == "uv.lock");
        if path.as_str().contains("://") {
            return Err(InputError::UnknownFile {
                path: path.to_owned(),
                kind: "a requirements file at an address".to_owned(),
                advice: "download it and give the file".to_owned(),
            });
        }
        if !path.exists() {
            return Err(no_such_file(path));
        }
        // pip takes locks with -r too.
        Ok(if is_lock { Self::Lock(path.to_owned()) } else { Self::RequirementsFile(path.to_owned()) })
    }
}

/// `name @ address`: a requirement whatever it ends with.
fn is_direct(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, address)| {
        let name = name.trim_end().split('[').next().unwrap_or_default();
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !name.is_empty()
            && name.chars().all(is_of_name)
            && (address.starts_with(' ') || address.contains("://"))
    })
}

fn of_address(text: &str) -> Result<Option<Input>, InputError> {
    let Some((scheme, _)) = text.split_once("://") else { return Ok(None) };
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme || scheme.is_empty() {
        return Ok(None);
    }
    let unintelligible =
        |reason: &str| InputError::Unintelligible { text: shown_address(text), reason: reason.to_owned() };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" | "file" => {}
        scheme if scheme.starts_with("git+") => return Ok(Some(named(text, egg(text)))),
        "git" | "ssh" => {
            return Err(unintelligible("repositories are given as `git+https://…` or `git+ssh://…`"));
        }
        _ => return Err(unintelligible("packages come by https, http, file and git")),
    }
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let file = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let file = file.replace("%2B", "+").replace("%2b", "+");
    if path.ends_with(".git") {
        return Err(unintelligible("a repository is given as `git+https://…`"));
    }
    if Utf8Path::new(&file).extension() == Some("whl") {
        let filename: WheelFilename = file.parse().map_err(|error| InputError::Unintelligible {
            text: shown_address(text),
            reason: format!("{error}"),
        })?;
        return Ok(Some(named(text, Some(normalised_name(&filename.name)))));
    }
    if is_archive(&file) {
        return Ok(Some(named(text, egg(text).or_else(|| name_of_archive(&file)))));
    }
    Err(unintelligible("an address must be that of a wheel or of a source distribution"))
}

fn named(address: &str, name: Option<String>) -> Input {
    Input::Requirement(match name {
        Some(name) => format!("{name} @ {address}"),
        None => address.to_owned(),
    })
}

/// The name in `#egg=name`, as pip has it.
fn egg(address: &str) -> Option<String> {
    let (_, fragment) = address.split_once('#')?;
    let egg = fragment.split('&').find_map(|part| part.strip_prefix("egg="))?;
    Some(egg.split('[').next().unwrap_or(egg).to_owned())
}

fn is_archive(file: &str) -> bool {
    [".tar.gz", ".zip", ".tgz", ".tar.bz2"].iter().any(|ending| file.ends_with(ending))
}

/// The package of a source distribution, whose version begins after the last `-` (PEP 625).
fn name_of_archive(file: &str) -> Option<String> {
    let (name, version) = file.rsplit_once('-')?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| normalised_name(name))
}

fn has_file_ending(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | ' ');
    let extension = Utf8Path::new(text).extension();
    text.chars().all(is_name) && extension.is_some_and(|extension| FILE_ENDINGS.contains(&extension))
}

fn of_folder(path: &Utf8Path) -> Result<Input, InputError> {
    let project = path.join("pyproject.toml");
    if project.is_file() {
        return Ok(Input::Project(project));
    }
    let candidates = ["requirements.txt", "pylock.toml", "uv.lock", "setup.py"];
    let has = candidates.into_iter().filter(|name| path.join(name).is_file() && *name != "setup.py");
    Err(InputError::NotAProject { path: path.to_owned(), has: has.map(str::to_owned).collect() })
}

fn of_file(path: &Utf8Path) -> Result<Input, InputError> {
    let name = path.file_name().unwrap_or_default();
    let owned = path.to_owned();
    if is_lock_name(name) || name == "uv.lock" {
        return Ok(Input::Lock(owned));
    }
    if name == "pyproject.toml" {
        return Ok(Input::Project(owned));
    }
    let unknown = |kind: &str, advice: &str| {
        let (kind, advice) = (kind.to_owned(), advice.to_owned());
        Err(InputError::UnknownFile { path: path.to_owned(), kind, advice })
    };
    match (name, path.extension()) {
        ("poetry.lock", _) => unknown(
            "Poetry's own lock",
            "export it with `poetry export -o requirements.txt` and give `-r requirements.txt`",
        ),
        ("pdm.lock", _) => {
            unknown("PDM's own lock", "export it with `pdm export -f pylock -o pylock.toml` and give that")
        }
        ("Pipfile.lock" | "Pipfile", _) => unknown(
            "Pipenv's own format",
            "export it with `pipenv requirements > requirements.txt` and give `-r requirements.txt`",
        ),
        (_, Some("py")) => Ok(Input::Script(owned)),
        (_, Some("txt" | "in")) => Ok(Input::RequirementsFile(owned)),
        (_, Some("whl")) => of_local(path, name.parse::<WheelFilename>().ok().map(|wheel| wheel.name)),
        _ if is_archive(name) => of_local(path, name_of_archive(name)),
        (_, Some("lock")) => unknown("a lock of an unknown kind", "give a uv.lock or a pylock.toml"),
        _ => unknown(
            "a file of an unknown kind",
            "give a requirements file with -r, a pyproject.toml, a lock, a script or a wheel",
        ),
    }
}

/// A wheel or source distribution of this machine, as a requirement.
fn of_local(path: &Utf8Path, name: Option<String>) -> Result<Input, InputError> {
    let Some(name) = name else {
        return Err(InputError::UnknownFile {
            path: path.to_owned(),
            kind: "named like no wheel".to_owned(),
            advice:
                "give the wheel the name that it was published with: NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
                    .to_owned(),
        });
    };
    let file = absolute(path)?;
    let url = url::Url::from_file_path(&file).map_err(|()| InputError::Unintelligible {
        text: path.to_string(),
        reason: "its path is no address".to_owned(),
    })?;
    Ok(Input::Requirement(format!("{} @ {url}", normalised_name(&name))))
}

fn of_requirement(text: &str) -> Result<Input, InputError> {
    let unintelligible =
        |reason: &str| Err(InputError::Unintelligible { text: text.to_owned(), reason: reason.to_owned() });
    match text.chars().next() {
        None => unintelligible("it is empty"),
        Some('-') => unintelligible("options stand before it"),
        Some(first) if !first.is_ascii_alphanumeric() => {
            unintelligible("a package's name begins with a letter or digit")
        }
        Some(_) => Ok(Input::Requirement(text.to_owned())),
    }
}

pub(super) fn no_such_file(path: &Utf8Path) -> InputError {
    let name = path.file_name().unwrap_or(path.as_str());
    let stem = path.as_str();
    let may_be_package = !stem.contains('/') && !stem.starts_with('.') && !stem.contains(' ');
    InputError::NoSuchFile {
        path: path.to_string(),
        near: near(path, name),
        package: may_be_package.then(|| normalised_name(stem)),
    }
}

/// A file beside the one that is missing, with nearly its name.
fn near(path: &Utf8Path, name: &str) -> Option<String> {
    let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Utf8Path::new("."));
    let names = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let nearest =
        names.map(|other| (distance(name, &other), other)).filter(|(distance, _)| *distance <= 2).min();
    let (_, other) = nearest?;
    let beside: Utf8PathBuf =
        path.parent().map_or_else(|| other.as_str().into(), |folder| folder.join(&other));
    Some(beside.into_string())
}

/// How many letters must be put in, taken out or replaced to make one name the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().take(100).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, &candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != candidate);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
