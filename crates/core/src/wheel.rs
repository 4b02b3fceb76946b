//! Wheels (PEP 427 and the binary distribution format): their names and what is inside.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Hint, imports,
    zip::{Archive, Entry, EntryKind, ZipError},
};

/// The file name of a wheel, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WheelFilename {
    /// Distribution name as the file name spells it.
    pub name: String,
    /// Version as the file name spells it.
    pub version: String,
    /// Build tag, rarely there.
    pub build: Option<String>,
    /// Python tags, such as `cp312` or `py2`, `py3`.
    pub python: Vec<String>,
    /// ABI tags, such as `cp312`, `abi3`, `none`.
    pub abi: Vec<String>,
    /// Platform tags, such as `manylinux_2_28_x86_64` or `any`.
    pub platform: Vec<String>,
}

/// A text that is not a wheel's file name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a wheel file name: NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl is expected")]
pub struct NotAWheelFilename {
    /// What was given.
    pub text: String,
}

impl FromStr for WheelFilename {
    type Err = NotAWheelFilename;

    fn from_str(text: &str) -> Result<Self, NotAWheelFilename> {
        let refuse = || NotAWheelFilename { text: text.to_owned() };
        let stem = text.strip_suffix(".whl").ok_or_else(refuse)?;
        let parts: Vec<&str> = stem.split('-').collect();
        if parts.iter().any(|part| part.is_empty() || part.contains('/')) {
            return Err(refuse());
        }
        let (name, version, build, tags) = match parts[..] {
            [name, version, python, abi, platform] => (name, version, None, [python, abi, platform]),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build.to_owned()), [python, abi, platform])
            }
            _ => return Err(refuse()),
        };
        let [python, abi, platform] = tags.map(|set| set.split('.').map(str::to_owned).collect::<Vec<_>>());
        Ok(Self { name: name.to_owned(), version: version.to_owned(), build, python, abi, platform })
    }
}

impl fmt::Display for WheelFilename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-", self.name, self.version)?;
        if let Some(build) = &self.build {
            write!(f, "{build}-")?;
        }
        write!(f, "{}-{}-{}.whl", self.python.join("."), self.abi.join("."), self.platform.join("."))
    }
}

/// A package name as indexes compare it (PEP 503).
pub fn normalised_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}

/// Why a wheel whose archive is sound is refused all the same.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WheelError {
    /// The archive itself.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// No `*.dist-info/WHEEL`, or several.
    #[error("it has {found} `.dist-info` folders; a wheel has exactly one")]
    DistInfo {
        /// How many there are.
        found: usize,
    },
}

impl Hint for WheelError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Zip(error) => error.hint(),
            Self::DistInfo { .. } => Some("this is not a wheel; ask the project for a real one".to_owned()),
        }
    }
}

/// What the planner must know of a wheel's contents. Found once, when the wheel enters the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelFacts {
    /// Modules below `tests` that code outside of tests imports, by dotted name.
    pub imported_tests: BTreeSet<String>,
    /// The same for imports in test modules: module file → names. Followed only from
    /// [`Self::imported_tests`] on.
    pub imports_of_tests: Vec<(String, BTreeSet<String>)>,
    /// Whether code here reads `.pyi` files at run time (`lazy_loader.attach_stub`).
    pub reads_stubs: bool,
    /// Entries of `*.data/scripts/` that start with `#!python`: they need the installer to write
    /// an interpreter into them (binary distribution format).
    pub python_scripts: BTreeSet<String>,
}

impl WheelFacts {
    /// Looks through a wheel's Python sources.
    ///
    /// `read` gives the unpacked bytes of an entry; it is called for every `.py` file and every
    /// script once.
    ///
    /// # Errors
    /// What `read` answers.
    pub fn collect<E>(
        archive: &Archive,
        mut read: impl FnMut(&Entry) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut facts = Self::default();
        for entry in archive.entries.iter().filter(|entry| entry.kind == EntryKind::File) {
            if is_script(&entry.path) {
                if read(entry)?.starts_with(b"#!python") {
                    facts.python_scripts.insert(entry.path.clone());
                }
                continue;
            }
            if !has_extension(&entry.path, &["py"]) {
                continue;
            }
            let bytes = read(entry)?;
            let source = String::from_utf8_lossy(&bytes);
            facts.reads_stubs |= source.contains("attach_stub");
            let path = below_site_packages(&entry.path);
            let imported = imports::test_modules_imported(path, &source);
            if imported.is_empty() {
                continue;
            }
            if imports::is_in_tests(path) {
                facts.imports_of_tests.push((path.to_owned(), imported));
            } else {
                facts.imported_tests.extend(imported);
            }
        }
        Ok(facts)
    }
}

/// A wheel as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelContents {
    /// Package name, normalised.
    pub name: String,
    /// Version.
    pub version: String,
    /// The wheel's entries.
    pub archive: Archive,
    /// What was found in them.
    pub facts: WheelFacts,
}

/// Checks what a wheel must have beside a sound archive.
///
/// # Errors
/// [`WheelError::DistInfo`].
pub fn check_wheel(archive: &Archive) -> Result<(), WheelError> {
    let found = archive
        .entries
        .iter()
        .filter(|entry| {
            entry
                .path
                .strip_suffix("/WHEEL")
                .is_some_and(|folder| folder.ends_with(".dist-info") && !folder.contains('/'))
        })
        .count();
    if found == 1 { Ok(()) } else { Err(WheelError::DistInfo { found }) }
}

/// Where an installer puts a wheel's entry, seen from `site-packages` (binary distribution
/// format, "Installing a wheel").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// In `site-packages`, under this path.
    SitePackages(&'a str),
    /// In the folder of commands.
    Scripts(&'a str),
    /// In the folder of C headers.
    Headers,
}

/// Says where an entry goes: entries of `NAME-VERSION.data/` are spread over several folders.
pub fn destination(path: &str) -> Destination<'_> {
    let Some((folder, rest)) = path.split_once('/') else { return Destination::SitePackages(path) };
    if !folder.ends_with(".data") || !folder.contains('-') {
        return Destination::SitePackages(path);
    }
    match rest.split_once('/') {
        // `pip install --target` puts `data` beside the packages too.
        Some(("purelib" | "platlib" | "data", below)) => Destination::SitePackages(below),
        Some(("scripts", below)) => Destination::Scripts(below),
        Some(("headers", _)) => Destination::Headers,
        _ => Destination::SitePackages(path),
    }
}

fn is_script(path: &str) -> bool {
    matches!(destination(path), Destination::Scripts(_))
}

fn below_site_packages(path: &str) -> &str {
    match destination(path) {
        Destination::SitePackages(below) | Destination::Scripts(below) => below,
        Destination::Headers => path,
    }
}

/// Whether a path's file has one of these extensions (without the dot, lower-case).
pub fn has_extension(path: &str, extensions: &[&str]) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && extensions.iter().any(|e| ending.eq_ignore_ascii_case(e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_parse_and_print_back() {
        for name in [
            "pandas-1.1.5-cp36-cp36m-manylinux1_x86_64.whl",
            "six-1.17.0-py2.py3-none-any.whl",
            "x-1.0-2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        ] {
            assert_eq!(name.parse::<WheelFilename>().expect("a real name").to_string(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "pandas.whl",
            "pandas-1.0.tar.gz",
            "a-b-c-d-e-f-g.whl",
            "a--c-d-e.whl",
            "../a-1-py3-none-any.whl",
        ] {
            assert!(name.parse::<WheelFilename>().is_err(), "{name}");
        }
    }

    #[test]
    fn names_compare_as_indexes_do() {
        assert_eq!(normalised_name("Foo__Bar.-baz"), "foo-bar-baz");
    }

    #[test]
    fn data_folders_are_spread() {
        assert_eq!(destination("a-1.data/purelib/a/b.py"), Destination::SitePackages("a/b.py"));
        assert_eq!(destination("a-1.data/scripts/run"), Destination::Scripts("run"));
        assert_eq!(destination("a-1.data/headers/x.h"), Destination::Headers);
        assert_eq!(destination("a.data/x"), Destination::SitePackages("a.data/x"));
    }
}
