//! The CPythons of this machine: where they are, which release, where their library lies.
//!
//! Owns discovery. Never reads the environment (the command line hands it [`SearchPlaces`]),
//! never runs anything but a short probe of a Python whose place does not already tell its release,
//! and writes nothing but what such a probe answered, where the command line lets it.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    process::{Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{Hint, hash::Sha256, target::Runtime};

/// Where a Python was found, in the order of preference between equal releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoundIn {
    /// Named by the user: it wins over every other of its minor version.
    Named,
    /// Among pyenv's versions.
    Pyenv,
    /// Among uv's Pythons.
    Uv,
    /// Installed by Homebrew.
    Homebrew,
    /// In a folder of `PATH`.
    Path,
}

/// One CPython.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Such as `(3, 12, 1)`.
    pub version: (u8, u8, u8),
    /// The program itself, without shims, links or virtual environments.
    pub executable: Utf8PathBuf,
    /// `sys.base_prefix`.
    pub prefix: Utf8PathBuf,
    /// The folder of the standard library.
    pub stdlib: Utf8PathBuf,
    /// The shared `libpython`, where there is one under the prefix.
    pub libpython: Option<Utf8PathBuf>,
    /// Where it was found.
    pub source: FoundIn,
}

/// Where to look, as the command line read it from arguments and environment.
#[derive(Clone, Debug, Default)]
pub struct SearchPlaces {
    /// Programs (or prefixes) named by the user.
    pub named: Vec<Utf8PathBuf>,
    /// The folders of `PATH`, in order.
    pub path: Vec<Utf8PathBuf>,
    /// pyenv's root (`PYENV_ROOT`, or `~/.pyenv`).
    pub pyenv_root: Option<Utf8PathBuf>,
    /// uv's folder of Pythons (`UV_PYTHON_INSTALL_DIR`, or `~/.local/share/uv/python`).
    pub uv_pythons: Option<Utf8PathBuf>,
    /// Homebrew's prefixes (`/opt/homebrew`, `/usr/local`, `/home/linuxbrew/.linuxbrew`).
    pub homebrew: Vec<Utf8PathBuf>,
    /// Folder that remembers what a Python answered, for as long as the program does not change.
    pub memory: Option<Utf8PathBuf>,
}

/// All CPythons found: newest minor first, the best of each minor before the others.
#[derive(Clone, Debug, Default)]
pub struct Interpreters {
    found: Vec<Interpreter>,
}

/// No Python of the wanted minor version.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no Python {} on this machine for {wanted}{}", wanted.python_version(), list(found))]
pub struct NoInterpreter {
    /// The runtime that needs it.
    pub wanted: Runtime,
    /// What was found instead.
    pub found: Vec<((u8, u8, u8), Utf8PathBuf)>,
}

fn list(found: &[((u8, u8, u8), Utf8PathBuf)]) -> String {
    if found.is_empty() {
        return "; no CPython 3 was found at all".into();
    }
    let all: Vec<_> = found
        .iter()
        .map(|((major, minor, patch), path)| format!("{major}.{minor}.{patch} ({path})"))
        .collect();
    format!("; found {}", all.join(", "))
}

impl Hint for NoInterpreter {
    fn hint(&self) -> Option<String> {
        let version = self.wanted.python_version();
        let other = self
            .found
            .iter()
            .filter_map(|(version, _)| Runtime::from_minor(version.1))
            .max()
            .map(|runtime| format!(", or use --runtime {runtime}"))
            .unwrap_or_default();
        Some(format!(
            "install it (`uv python install {version}` or `pyenv install {version}`), name one with --python{other}"
        ))
    }
}

impl Interpreters {
    /// Looks in all places. Pythons of pyenv and uv are known by their folder's name; the others
    /// are asked, all at the same time.
    pub fn discover(places: &SearchPlaces) -> Self {
        let mut found = Vec::new();
        if let Some(root) = &places.pyenv_root {
            found.extend(
                list_folder(&root.join("versions"))
                    .iter()
                    .filter_map(|folder| from_prefix(folder, release(folder.file_name()?)?, FoundIn::Pyenv)),
            );
        }
        if let Some(root) = &places.uv_pythons {
            found.extend(list_folder(root).iter().filter_map(|folder| {
                let name = folder.file_name()?.strip_prefix("cpython-")?;
                from_prefix(folder, release(name.split('-').next()?)?, FoundIn::Uv)
            }));
        }
        let known: BTreeSet<_> = found.iter().map(|one: &Interpreter| one.prefix.clone()).collect();
        let shims = places.pyenv_root.as_ref().map(|root| root.join("shims"));

        let mut unknown: Vec<(Utf8PathBuf, FoundIn)> = Vec::new();
        for named in &places.named {
            let program = if named.is_dir() { named.join("bin/python3") } else { named.clone() };
            unknown.push((program, FoundIn::Named));
        }
        for prefix in &places.homebrew {
            unknown.extend(list_folder(&prefix.join("opt")).into_iter().filter_map(|folder| {
                let minor = folder.file_name()?.strip_prefix("python@3.")?.to_owned();
                Some((folder.join(format!("bin/python3.{minor}")), FoundIn::Homebrew))
            }));
        }
        for folder in places.path.iter().filter(|folder| Some(*folder) != shims.as_ref()) {
            let names = Runtime::all().map(|runtime| runtime.to_string()).chain(["python3".to_owned()]);
            unknown.extend(names.map(|name| (folder.join(name), FoundIn::Path)));
        }

        let mut seen = BTreeSet::new();
        let probes: Vec<_> = unknown
            .into_iter()
            .filter_map(|(program, source)| Some((without_links(&program)?, source)))
            .filter(|(program, source)| {
                let inside_known = program.ancestors().any(|folder| known.contains(folder));
                (*source == FoundIn::Named || !inside_known) && seen.insert(program.clone())
            })
            .map(|(program, source)| {
                let memory = places.memory.clone();
                std::thread::spawn(move || probe(&program, source, memory.as_deref()))
            })
            .collect();
        found.extend(probes.into_iter().filter_map(|thread| thread.join().ok().flatten()));
        Self::of(found)
    }

    /// Exactly these.
    pub fn of(mut found: Vec<Interpreter>) -> Self {
        found.sort_by_key(|one| {
            (Reverse(one.version.1), one.source != FoundIn::Named, Reverse(one.version.2), one.source)
        });
        Self { found }
    }

    /// The Python for a runtime; the minor version must be the same.
    pub fn for_runtime(&self, runtime: Runtime) -> Result<&Interpreter, NoInterpreter> {
        self.found.iter().find(|one| one.version.1 == runtime.minor()).ok_or_else(|| NoInterpreter {
            wanted: runtime,
            found: self.found.iter().map(|one| (one.version, one.executable.clone())).collect(),
        })
    }

    /// The newest runtime that this machine can run.
    pub fn newest_runtime(&self) -> Option<Runtime> {
        self.found.iter().find_map(|one| Runtime::from_minor(one.version.1))
    }

    /// Every Python found.
    pub fn all(&self) -> &[Interpreter] {
        &self.found
    }
}

fn list_folder(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(entries) = folder.read_dir_utf8() else { return Vec::new() };
    // uv and pyenv keep links such as `3.12` beside the real folders; a link would be a duplicate.
    let real = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().contains('@') || !is_link(entry.path()));
    let mut folders: Vec<_> = real.map(|entry| entry.path().to_owned()).collect();
    folders.sort();
    folders
}

fn is_link(path: &Utf8Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
}

/// `3.12.1`, and nothing with more to it: no alphas, no free-threaded builds, no PyPy.
fn release(text: &str) -> Option<(u8, u8, u8)> {
    let parts: Vec<u8> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match parts[..] {
        [3, minor, patch] => Some((3, minor, patch)),
        _ => None,
    }
}

fn from_prefix(prefix: &Utf8Path, version: (u8, u8, u8), source: FoundIn) -> Option<Interpreter> {
    let python = format!("python3.{}", version.1);
    let executable = prefix.join("bin").join(&python);
    let stdlib = prefix.join("lib").join(&python);
    (executable.is_file() && stdlib.join("os.py").is_file()).then(|| Interpreter {
        version,
        libpython: libpython(prefix, version.1),
        executable,
        prefix: prefix.to_owned(),
        stdlib,
        source,
    })
}

fn libpython(prefix: &Utf8Path, minor: u8) -> Option<Utf8PathBuf> {
    ["", "m"]
        .map(|abi| prefix.join(format!("lib/libpython3.{minor}{abi}.so.1.0")))
        .into_iter()
        .find(|path| path.is_file())
}

/// The program behind links and virtual environments.
fn without_links(program: &Utf8Path) -> Option<Utf8PathBuf> {
    let folder = program.parent()?;
    if let Ok(settings) = fs_err::read_to_string(folder.parent()?.join("pyvenv.cfg")) {
        let home = settings.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "home").then(|| Utf8PathBuf::from(value.trim()))
        })?;
        // The environment's `python3` is a link to the base's; its own name may be absent there.
        let base = program.canonicalize_utf8().ok()?;
        return Some(if base.starts_with(folder) { home.join(program.file_name()?) } else { base });
    }
    program.canonicalize_utf8().ok()
}

const PROBE: &str = "import sys, os; \
    print(sys.implementation.name, sys.version_info[3], *sys.version_info[:3]); \
    print(getattr(sys, 'base_prefix', sys.prefix)); print(os.path.dirname(os.__file__)); \
    print('t' in getattr(sys, 'abiflags', ''))";

fn probe(program: &Utf8Path, source: FoundIn, memory: Option<&Utf8Path>) -> Option<Interpreter> {
    let remembered = memory.and_then(|folder| Some(folder.join(format!("{}.probe", stamp(program)?))));
    if let Some(answer) = remembered.as_ref().and_then(|path| fs_err::read_to_string(path).ok())
        && let Some(interpreter) = read_probe(program, &answer, source)
    {
        return Some(interpreter);
    }
    let output = Command::new(program)
        .args(["-I", "-S", "-c", PROBE])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let answer = String::from_utf8(output.stdout).ok()?;
    let interpreter = read_probe(program, &answer, source)?;
    if let Some(path) = remembered {
        remember(&path, &answer);
    }
    Some(interpreter)
}

/// A name that changes when the program does; nothing when it cannot be looked at.
fn stamp(program: &Utf8Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let facts = std::fs::metadata(program).ok()?;
    let text = format!(
        "{program} {} {} {} {} {}",
        facts.dev(),
        facts.ino(),
        facts.len(),
        facts.mtime(),
        facts.mtime_nsec()
    );
    Some(Sha256::of(text.as_bytes()).to_hex()[..32].to_owned())
}

/// Only a shortcut: when it cannot be written, the Python is asked again the next time.
fn remember(path: &Utf8Path, answer: &str) {
    let Some(folder) = path.parent() else { return };
    let written = fs_err::create_dir_all(folder)
        .and_then(|()| tempfile::NamedTempFile::new_in(folder))
        .and_then(|file| fs_err::write(file.path(), answer).map(|()| file));
    if let Ok(file) = written {
        let _ = file.persist(path);
    }
}

fn read_probe(program: &Utf8Path, answer: &str, source: FoundIn) -> Option<Interpreter> {
    let mut lines = answer.lines();
    let words: Vec<_> = lines.next()?.split(' ').collect();
    let ["cpython", "final", "3", minor, patch] = words[..] else { return None };
    let (prefix, stdlib) = (Utf8PathBuf::from(lines.next()?), Utf8PathBuf::from(lines.next()?));
    if lines.next()? == "True" {
        return None;
    }
    let version = (3, minor.parse().ok()?, patch.parse().ok()?);
    let libpython = libpython(&prefix, version.1);
    Some(Interpreter { version, executable: program.to_owned(), prefix, stdlib, libpython, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(root: &Utf8Path) -> String {
        let places = SearchPlaces {
            pyenv_root: Some(root.join("pyenv")),
            uv_pythons: Some(root.join("uv")),
            ..SearchPlaces::default()
        };
        let found = Interpreters::discover(&places);
        let lines = found.all().iter().map(|one| {
            let path = one.executable.strip_prefix(root).expect("below the root").to_owned();
            format!("{:?} {path} {:?}", one.version, one.source)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn fake(root: &Utf8Path, folder: &str, minor: u8) {
        let prefix = root.join(folder);
        let lib = prefix.join(format!("lib/python3.{minor}"));
        fs_err::create_dir_all(&lib).expect("folder");
        fs_err::create_dir_all(prefix.join("bin")).expect("folder");
        fs_err::write(lib.join("os.py"), "").expect("file");
        fs_err::write(prefix.join(format!("bin/python3.{minor}")), "").expect("file");
    }

    #[test]
    fn folders_tell_the_release_and_only_final_cpythons_count() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8 path");
        fake(root, "pyenv/versions/3.12.1", 12);
        fake(root, "pyenv/versions/3.9.18", 9);
        fake(root, "pyenv/versions/3.13.0t", 13);
        fake(root, "pyenv/versions/3.15.0a1", 15);
        fake(root, "pyenv/versions/pypy3.10-7.3", 10);
        fake(root, "uv/cpython-3.12.7-linux-x86_64-gnu", 12);
        fake(root, "uv/cpython-3.13.1+freethreaded-linux-x86_64-gnu", 13);
        insta::assert_snapshot!(check(root), @r"
        (3, 12, 7) uv/cpython-3.12.7-linux-x86_64-gnu/bin/python3.12 Uv
        (3, 12, 1) pyenv/versions/3.12.1/bin/python3.12 Pyenv
        (3, 9, 18) pyenv/versions/3.9.18/bin/python3.9 Pyenv
        ");
    }

    #[test]
    fn a_missing_python_says_what_there_is_and_what_to_do() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8 path");
        fake(root, "versions/3.12.1", 12);
        let places = SearchPlaces { pyenv_root: Some(root.to_owned()), ..SearchPlaces::default() };
        let all = Interpreters::discover(&places);
        let error = all.for_runtime(Runtime::PYTHON3_6).expect_err("there is no 3.6");
        let text = error.to_string().replace(root.as_str(), "ROOT");
        insta::assert_snapshot!(text, @"no Python 3.6 on this machine for python3.6; found 3.12.1 (ROOT/versions/3.12.1/bin/python3.12)");
        insta::assert_snapshot!(error.hint().expect("a hint"), @"install it (`uv python install 3.6` or `pyenv install 3.6`), name one with --python, or use --runtime python3.12");
        insta::assert_snapshot!(Interpreters::default().for_runtime(Runtime::PYTHON3_6).expect_err("none"), @"no Python 3.6 on this machine for python3.6; no CPython 3 was found at all");
    }

    #[test]
    fn the_answer_of_a_probe_is_read() {
        let read = |answer: &str| read_probe(Utf8Path::new("/usr/bin/python3.11"), answer, FoundIn::Path);
        let good = read("cpython final 3 11 2\n/usr\n/usr/lib/python3.11\nFalse\n").expect("good");
        assert_eq!((good.version, good.stdlib.as_str()), ((3, 11, 2), "/usr/lib/python3.11"));
        assert!(read("pypy final 3 11 2\n/usr\n/usr/lib/python3.11\nFalse\n").is_none());
        assert!(read("cpython alpha 3 11 2\n/usr\n/usr/lib/python3.11\nFalse\n").is_none());
        assert!(read("cpython final 3 13 2\n/usr\n/usr/lib/python3.13\nTrue\n").is_none());
        assert!(read("").is_none());
    }
}
