//! Wheels (PEP 427 and the binary distribution format): their names and what is inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    Hint,
    contents::Metadata,
    elf::{self, ElfFacts},
    imports::{self, TestFolders},
    literals::{self, Named},
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
    /// A Python file that is too large to be looked through.
    #[error("`{entry}` claims {size} bytes; no honest Python module has more than {LARGEST_MODULE}")]
    LargeModule {
        /// The file.
        entry: String,
        /// Claimed, in bytes.
        size: u64,
    },
}

impl Hint for WheelError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Zip(error) => error.hint(),
            Self::DistInfo { .. } => Some("this is not a wheel; ask the project for a real one".to_owned()),
            Self::LargeModule { .. } => Some(
                "no honest build tool makes such a wheel: find out where it came from before you use it"
                    .to_owned(),
            ),
        }
    }
}

/// The largest Python file that is looked through, in bytes: it is held in memory whole. The largest
/// modules of known packages are generated tables of a few MB.
pub const LARGEST_MODULE: u64 = 32 << 20;

/// How a script begins that the installer must write an interpreter into (binary distribution
/// format).
const PYTHON_SCRIPT: &[u8] = b"#!python";

/// What only a compiler reads, by ending, unless code names it.
pub(crate) const SOURCE_ENDINGS: &[&str] = &[
    "a", "c", "cc", "cpp", "cu", "cuh", "cxx", "f", "f77", "f90", "f95", "h", "hh", "hpp", "hxx", "pxd",
    "pxi", "pyx", "tp",
];

/// What only a type checker reads, by ending, unless code names it.
pub(crate) const STUB_ENDINGS: &[&str] = &["pyi"];

/// What the planner must know of a wheel's contents. Found once, when the wheel enters the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelFacts {
    /// Modules below `tests` that code outside of tests imports, by dotted name.
    pub imported_tests: BTreeSet<String>,
    /// The same for imports in test modules: module file → names. Followed only from
    /// [`Self::imported_tests`] on.
    pub imports_of_tests: Vec<(String, BTreeSet<String>)>,
    /// Names of files here that the code names, of endings that it seldom reads: `x.cu`, `y.h`.
    pub named_files: BTreeSet<String>,
    /// Endings of that kind that the code names by themselves (`.pyi`), or whose files it reads
    /// without naming them (`lazy_loader.attach_stub`).
    pub named_endings: BTreeSet<String>,
    /// Entries of `*.data/scripts/` that start with `#!python`: they need the installer to write
    /// an interpreter into them (binary distribution format).
    pub python_scripts: BTreeSet<String>,
    /// Entries that are shared libraries or programs (ELF), with what the loader reads of them.
    pub libraries: BTreeMap<String, ElfFacts>,
    /// `Requires-Dist` of METADATA, each as written (PEP 508).
    pub requires: Vec<String>,
    /// `Requires-Python` of METADATA, as written.
    pub requires_python: Option<String>,
}

/// Looks through a wheel's entries one by one, in any order and on any thread.
pub struct FactFinder<'a> {
    test_folders: TestFolders<'a>,
    seldom_read: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> FactFinder<'a> {
    /// For a wheel that [`check_wheel`] accepted.
    pub fn new(archive: &'a Archive) -> Self {
        Self { test_folders: archive.test_folders(), seldom_read: files_by_name(archive) }
    }

    /// How many bytes of an entry it wants to see first, at most; nothing when the entry tells
    /// nothing.
    pub fn wants(&self, entry: &Entry) -> Option<u64> {
        if entry.kind != EntryKind::File {
            None
        } else if is_script(&entry.path) {
            Some(PYTHON_SCRIPT.len() as u64)
        } else if is_module(entry) || is_metadata(&entry.path) {
            Some(LARGEST_MODULE)
        } else if may_be_library(&entry.path) {
            Some(ELF_MAGIC.len() as u64)
        } else {
            None
        }
    }

    /// What an entry tells. `bytes` are those that [`Self::wants`] asked for; `read` gives all of
    /// them, for a library.
    ///
    /// # Errors
    /// What `read` answers.
    pub fn look<E>(
        &self,
        entry: &Entry,
        bytes: &[u8],
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<WheelFacts, E> {
        let mut facts = WheelFacts::default();
        if bytes.starts_with(ELF_MAGIC) {
            // A damaged library is the loader's to refuse; nothing is known of it here.
            if let Ok(Some(elf)) = elf::read(&read()?) {
                facts.libraries.insert(entry.path.clone(), elf);
            }
        } else if is_script(&entry.path) {
            if bytes.starts_with(PYTHON_SCRIPT) {
                facts.python_scripts.insert(entry.path.clone());
            }
        } else if is_metadata(&entry.path) {
            facts.collect_metadata(bytes);
        } else if is_module(entry) {
            let source = String::from_utf8_lossy(bytes);
            let path = below_site_packages(&entry.path);
            let imported = imports::test_modules_imported(path, &source);
            if !self.test_folders.hold(path) {
                facts.imported_tests = imported;
                facts.collect_named(&source, &self.seldom_read);
            } else if !imported.is_empty() {
                facts.imports_of_tests.push((path.to_owned(), imported));
            }
        }
        Ok(facts)
    }
}

impl WheelFacts {
    /// Looks through a wheel.
    ///
    /// `read` gives unpacked bytes of an entry, at most so many of its first. [`check_wheel`] has
    /// refused larger modules.
    ///
    /// # Errors
    /// What `read` answers.
    pub fn collect<E>(
        archive: &Archive,
        read: impl Fn(&Entry, u64) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let finder = FactFinder::new(archive);
        let mut facts = Self::default();
        for entry in &archive.entries {
            if let Some(most) = finder.wants(entry) {
                facts.add(finder.look(entry, &read(entry, most)?, || read(entry, u64::MAX))?);
            }
        }
        Ok(facts)
    }

    /// Adds what another entry tells. The entries must come in the archive's order.
    pub fn add(&mut self, other: Self) {
        let Self {
            imported_tests,
            imports_of_tests,
            named_files,
            named_endings,
            python_scripts,
            libraries,
            requires,
            requires_python,
        } = other;
        self.imported_tests.extend(imported_tests);
        self.imports_of_tests.extend(imports_of_tests);
        self.named_files.extend(named_files);
        self.named_endings.extend(named_endings);
        self.python_scripts.extend(python_scripts);
        self.libraries.extend(libraries);
        self.requires.extend(requires);
        self.requires_python = self.requires_python.take().or(requires_python);
    }

    fn collect_metadata(&mut self, bytes: &[u8]) {
        let metadata = Metadata::read(&String::from_utf8_lossy(bytes));
        self.requires = metadata.requires;
        self.requires_python = metadata.requires_python;
    }

    fn collect_named(&mut self, source: &str, seldom_read: &BTreeMap<&str, BTreeSet<&str>>) {
        if source.contains("attach_stub") {
            self.named_endings.extend(STUB_ENDINGS.iter().map(|&ending| ending.to_owned()));
        }
        if seldom_read.is_empty() {
            return;
        }
        for named in literals::named(source, &seldom_read.keys().copied().collect::<Vec<_>>()) {
            match named {
                Named::Ending(ending) => {
                    self.named_endings.insert(ending);
                }
                Named::File(name) if seldom_read.values().any(|names| names.contains(name.as_str())) => {
                    self.named_files.insert(name);
                }
                Named::File(_) => {}
            }
        }
    }

    /// Whether the code names this file, or all of its ending.
    pub(crate) fn names(&self, path: &str) -> bool {
        let file = file_name(path);
        self.named_files.contains(file)
            || file
                .rsplit_once('.')
                .is_some_and(|(_, ending)| self.named_endings.contains(&ending.to_ascii_lowercase()))
    }
}

/// Names of files that code seldom reads, by their ending.
fn files_by_name(archive: &Archive) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in archive.entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        for &ending in SOURCE_ENDINGS.iter().chain(STUB_ENDINGS) {
            if has_extension(&entry.path, &[ending]) {
                names.entry(ending).or_default().insert(file_name(&entry.path));
            }
        }
    }
    names
}

/// The first bytes of a library or program.
pub const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Whether an entry's name lets it be a library or a program.
fn may_be_library(path: &str) -> bool {
    let name = file_name(path);
    name.contains(".so") || !name.contains('.')
}

/// Whether it is the wheel's own METADATA.
fn is_metadata(path: &str) -> bool {
    path.strip_suffix("/METADATA")
        .is_some_and(|folder| folder.ends_with(".dist-info") && !folder.contains('/'))
}

fn is_module(entry: &Entry) -> bool {
    has_extension(&entry.path, &["py"]) && !is_script(&entry.path)
}

impl Archive {
    /// The folders of a wheel that hold tests, as seen from `site-packages`.
    pub(crate) fn test_folders(&self) -> TestFolders<'_> {
        let files = self.entries.iter().filter(|entry| entry.kind == EntryKind::File);
        TestFolders::among(files.filter_map(|entry| match destination(&entry.path) {
            Destination::SitePackages(below) => Some(below),
            Destination::Scripts(_) | Destination::Headers => None,
        }))
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
/// [`WheelError::DistInfo`], [`WheelError::LargeModule`].
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
    if found != 1 {
        return Err(WheelError::DistInfo { found });
    }
    match archive.entries.iter().find(|entry| is_module(entry) && entry.size > LARGEST_MODULE) {
        Some(entry) => Err(WheelError::LargeModule { entry: entry.path.clone(), size: entry.size }),
        None => Ok(()),
    }
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

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a path's file has one of these extensions (without the dot, lower-case).
pub fn has_extension(path: &str, extensions: &[&str]) -> bool {
    file_name(path).rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && extensions.iter().any(|e| ending.eq_ignore_ascii_case(e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zip::Method;

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

    fn entry(path: &str, size: u64) -> Entry {
        let data = 0..0;
        let method = Method::Deflated;
        Entry {
            path: path.to_owned(),
            kind: EntryKind::File,
            permissions: 0,
            method,
            crc32: 0,
            size,
            modified: 0,
            data,
        }
    }

    #[test]
    fn a_module_too_large_to_look_into_is_refused() {
        let check = |path, size| {
            let archive = Archive { entries: vec![entry("x-1.dist-info/WHEEL", 1), entry(path, size)] };
            check_wheel(&archive).map_err(|error| error.to_string())
        };
        assert_eq!(check("x.py", LARGEST_MODULE), Ok(()));
        insta::assert_snapshot!(
            check("x.py", LARGEST_MODULE + 1).expect_err("it is too large"),
            @"`x.py` claims 33554433 bytes; no honest Python module has more than 33554432"
        );
        assert_eq!(check("x.so", 1 << 31), Ok(()));
        assert_eq!(check("x-1.data/scripts/run.py", 1 << 31), Ok(()));
    }

    #[test]
    fn only_the_beginning_of_a_script_is_read() {
        let archive = Archive { entries: vec![entry("x-1.data/scripts/run", 1 << 31), entry("x.py", 5)] };
        let asked = std::cell::RefCell::new(Vec::new());
        let facts = WheelFacts::collect(&archive, |entry, most| {
            asked.borrow_mut().push((entry.path.clone(), most));
            Ok::<_, ZipError>(b"#!python".to_vec())
        })
        .expect("everything is read");
        assert_eq!(
            asked.into_inner(),
            [("x-1.data/scripts/run".to_owned(), 8), ("x.py".to_owned(), LARGEST_MODULE)]
        );
        assert_eq!(facts.python_scripts.len(), 1);
    }

    #[test]
    fn data_folders_are_spread() {
        assert_eq!(destination("a-1.data/purelib/a/b.py"), Destination::SitePackages("a/b.py"));
        assert_eq!(destination("a-1.data/scripts/run"), Destination::Scripts("run"));
        assert_eq!(destination("a-1.data/headers/x.h"), Destination::Headers);
        assert_eq!(destination("a.data/x"), Destination::SitePackages("a.data/x"));
    }
}
