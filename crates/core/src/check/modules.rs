//! Compiled modules by their names: does Python on the target import them?
//!
//! Owns the tags in file names (PEP 3149, PEP 384) and what they mean for the target. What is
//! inside of a module is `libraries`' work.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Code, Findings, Place, Severity, Subject,
    machines::{build_command, made_for, names_a_processor, runs_on},
    table::rows,
    tree::{Placed, Tree, split},
};
use crate::{
    limits,
    target::{Arch, Target},
    zip::EntryKind,
};

/// The file name of a compiled module, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModuleName<'a> {
    /// The module.
    pub(super) stem: &'a str,
    /// What it is compiled for.
    pub(super) tag: Tag<'a>,
}

/// What a compiled module is made for, as its file name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag<'a> {
    /// `.cpython-312-x86_64-linux-gnu.so`: one Python, one platform.
    CPython {
        /// Second number of the Python version, nothing for Python 2.
        minor: Option<u8>,
        /// ABI flags: `m`, `t` (free-threaded), `d` (debug).
        flags: &'a str,
        /// `x86_64-linux-gnu`, `darwin`; empty when the name has none.
        platform: &'a str,
    },
    /// `.abi3.so`: every Python from some version on.
    Stable,
    /// `.so`: nothing said.
    Plain,
    /// `.pyd`: Windows.
    Windows,
    /// Another implementation, such as PyPy.
    OtherImplementation(&'a str),
}

impl<'a> ModuleName<'a> {
    /// Takes a file name apart; nothing for what Python would never take for a module, on any
    /// system.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (stem, rest) = name.split_once('.')?;
        let tag = match rest {
            "so" => Tag::Plain,
            "abi3.so" => Tag::Stable,
            "pyd" => Tag::Windows,
            _ if rest.ends_with(".pyd") => Tag::Windows,
            _ => {
                let tag = rest.strip_suffix(".so")?;
                if let Some(tag) = tag.strip_prefix("cpython-") {
                    cpython(tag)?
                } else if tag.starts_with("pypy") || tag.starts_with("graalpy") {
                    Tag::OtherImplementation(tag.split('-').next().unwrap_or(tag))
                } else {
                    return None;
                }
            }
        };
        // Libraries that modules link to or load themselves.
        let is_library = tag == Tag::Plain && stem.starts_with("lib");
        (!stem.is_empty() && !is_library).then_some(Self { stem, tag })
    }
}

/// `312-x86_64-linux-gnu`, `36m-darwin`, `313t-…`.
fn cpython(tag: &str) -> Option<Tag<'_>> {
    let (python, platform) = tag.split_once('-').unwrap_or((tag, ""));
    let digits = python.len() - python.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (version, flags) = python.split_at(digits);
    let minor = match version.split_at_checked(1)? {
        ("3", minor) => Some(minor.parse().ok()?),
        _ => None,
    };
    Some(Tag::CPython { minor, flags, platform })
}

/// Whether a file name is that of a module compiled for one Python or for the stable ABI.
pub(super) fn is_tagged(name: &str) -> bool {
    ModuleName::parse(name).is_some_and(|module| module.tag != Tag::Plain)
}

/// The tag that the target's Python looks for: `cpython-312-x86_64-linux-gnu`.
fn wanted_tag(target: Target) -> String {
    format!("cpython-3{}{}-{}", target.runtime.minor(), wanted_flags(target), wanted_platform(target.arch))
}

/// Python up to 3.7 marks its ABI with the flag `m` (PEP 3149; dropped in 3.8).
fn wanted_flags(target: Target) -> &'static str {
    if target.runtime.minor() <= 7 { "m" } else { "" }
}

fn wanted_platform(arch: Arch) -> String {
    format!("{}-linux-gnu", arch.machine())
}

/// Whether the target's Python takes a file for a module, by its name
/// (`importlib.machinery.EXTENSION_SUFFIXES`).
pub(super) fn is_importable(tag: Tag<'_>, target: Target) -> bool {
    match tag {
        Tag::CPython { minor, flags, platform } => {
            minor == Some(target.runtime.minor())
                && flags == wanted_flags(target)
                && platform == wanted_platform(target.arch)
        }
        Tag::Stable | Tag::Plain => true,
        Tag::Windows | Tag::OtherImplementation(_) => false,
    }
}

/// Whether a package does without a module: a table says so, the same module stands beside it in
/// Python, or it only serves modules that do.
pub(super) fn is_optional(tree: &Tree<'_>, path: &str) -> bool {
    let (folder, name) = split(path);
    let Some(module) = ModuleName::parse(name) else { return false };
    if module.stem.ends_with("__mypyc") || tree.get(&format!("{folder}/{}.py", module.stem)).is_some() {
        return true;
    }
    let below = tree.below_python_root(path).unwrap_or(path);
    rows(include_str!("data/optional-modules.txt")).any(|start| below.starts_with(start))
}

/// The files of one module.
struct Candidates<'t, 'a> {
    files: Vec<(&'t str, ModuleName<'t>, Placed<'a>)>,
}

/// Checks the modules; answers the distributions that are not made for the target at all.
pub(super) fn check<'a>(subject: &Subject<'a>, tree: &Tree<'a>, found: &mut Findings) -> BTreeSet<&'a str> {
    let target = subject.target;
    let mut modules: BTreeMap<(&str, &str), Candidates<'_, 'a>> = BTreeMap::new();
    for (path, placed) in tree.files() {
        let (folder, name) = split(path);
        if super::tree::is_of_other_python(path, target.runtime.minor()) {
            continue;
        }
        if let Some(module) = ModuleName::parse(name) {
            let entry =
                modules.entry((folder, module.stem)).or_insert_with(|| Candidates { files: Vec::new() });
            entry.files.push((path, module, placed));
        }
    }
    // A distribution of which other modules fit was built for the target: the rest is extra.
    let fitting: BTreeSet<_> = modules
        .values()
        .flat_map(|candidates| &candidates.files)
        .filter(|(_, module, _)| module.tag != Tag::Plain && is_importable(module.tag, target))
        .filter_map(|(_, _, placed)| owner(placed))
        .collect();
    let mut unfit = BTreeSet::new();
    for candidates in modules.values() {
        let mut importable = false;
        for (path, module, placed) in &candidates.files {
            if is_importable(module.tag, target) {
                importable = true;
                check_content(subject, tree, path, *module, *placed, found);
            }
        }
        if importable {
            continue;
        }
        let best = candidates.files.iter().min_by_key(|(_, module, _)| distance(module.tag, target));
        if let Some((path, module, placed)) = best {
            let is_extra = owner(placed).is_some_and(|owner| fitting.contains(owner));
            let severity =
                if is_extra || is_optional(tree, path) { Severity::Warning } else { Severity::Error };
            let package = owner(placed);
            unfit.extend(package.filter(|_| severity == Severity::Error));
            let (code, why) = mismatch(module.tag, target);
            let place = Place::file(placed.zip, &placed.file.path);
            found.add(severity, code, place, why, rebuild(package, module.tag, target));
        }
    }
    numpy_core(subject, tree, found);
    not_compiled(subject, found);
    unfit
}

/// The normalised name of the distribution that a file belongs to.
pub(super) fn owner<'a>(placed: &Placed<'a>) -> Option<&'a str> {
    placed.zip.contents.owner(placed.file).map(|owner| owner.name.as_str())
}

/// How far a tag is from the target's: the nearest is what the user most likely meant.
fn distance(tag: Tag<'_>, target: Target) -> (u8, u8) {
    match tag {
        Tag::CPython { minor, platform, .. } => {
            let system = match platform {
                _ if platform == wanted_platform(target.arch) => 0,
                _ if platform.ends_with("-linux-gnu") => 1,
                _ if platform.ends_with("-linux-musl") => 2,
                _ => 3,
            };
            (system, minor.map_or(u8::MAX, |minor| minor.abs_diff(target.runtime.minor())))
        }
        Tag::Stable | Tag::Plain => (0, 0),
        Tag::OtherImplementation(_) => (4, 0),
        Tag::Windows => (5, 0),
    }
}

/// Why the target's Python does not import a module of this tag.
fn mismatch(tag: Tag<'_>, target: Target) -> (Code, String) {
    let imports = format!("{} imports `.{}.so`", target.runtime, wanted_tag(target));
    match tag {
        Tag::Windows => (Code::OtherSystem, "it is compiled for Windows; Lambda runs Linux".to_owned()),
        Tag::OtherImplementation(name) => {
            (Code::OtherPython, format!("it is compiled for {name}; Lambda runs CPython"))
        }
        Tag::CPython { platform, .. } if platform.contains("darwin") => {
            (Code::OtherSystem, "it is compiled for macOS; Lambda runs Linux".to_owned())
        }
        Tag::CPython { platform, .. } if platform.ends_with("musl") => (
            Code::OtherSystem,
            "it is compiled for musl, the C library of Alpine Linux; Lambda has glibc".to_owned(),
        ),
        Tag::CPython { minor, flags, .. }
            if minor != Some(target.runtime.minor()) || flags != wanted_flags(target) =>
        {
            let python = minor.map_or_else(|| "Python 2".to_owned(), |minor| format!("Python 3.{minor}"));
            let kind = match flags {
                flags if flags.contains('t') => "free-threaded ",
                flags if flags.contains('d') => "the debug build of ",
                _ => "",
            };
            (Code::OtherPython, format!("it is compiled for {kind}{python}; {imports}"))
        }
        Tag::CPython { platform, .. } => {
            let machine = platform.strip_suffix("-linux-gnu").unwrap_or(platform);
            let machine = if machine.is_empty() { "no platform that its name tells" } else { machine };
            (Code::OtherArchitecture, format!("it is compiled for {machine}; {imports}"))
        }
        Tag::Stable | Tag::Plain => (Code::OtherPython, imports),
    }
}

fn rebuild(package: Option<&str>, tag: Tag<'_>, target: Target) -> String {
    let build = build_command(package, target);
    match tag {
        Tag::CPython { minor: Some(minor), platform, flags }
            if platform.ends_with("-linux-gnu") && flags != "t" =>
        {
            let arch = if platform.starts_with("aarch64") { "arm64" } else { "x86_64" };
            format!("build it for the target: {build}; or let the function run on python3.{minor} and {arch}")
        }
        _ => format!("build it for the target: {build}"),
    }
}

/// What is inside must be what the name says.
fn check_content(
    subject: &Subject<'_>,
    tree: &Tree<'_>,
    path: &str,
    module: ModuleName<'_>,
    placed: Placed<'_>,
    found: &mut Findings,
) {
    let file = placed.file;
    // Larger files are not read, and no package of Lambda's may hold one.
    if file.kind != EntryKind::File || file.size > limits::UNZIPPED_BYTES {
        return;
    }
    let target = subject.target;
    let place = Place::file(placed.zip, &file.path);
    let rebuild = rebuild(owner(&placed), Tag::Plain, target);
    let Some(elf) = &file.elf else {
        let severity = match module.tag {
            Tag::Plain if file.damage.is_none() => Severity::Warning,
            _ if is_optional(tree, path) => Severity::Warning,
            _ => Severity::Error,
        };
        let why = match &file.damage {
            Some(damage) => format!("the loader cannot read it: {damage}"),
            None => "it is no shared library of Linux (ELF), whatever its name says: made for macOS, perhaps"
                .to_owned(),
        };
        found.add(severity, Code::NotALibrary, place, why, rebuild);
        return;
    };
    if runs_on(elf, target.arch) {
        return;
    }
    if module.tag == Tag::Plain && names_a_processor(&file.path) {
        return;
    }
    let severity = if is_optional(tree, path) { Severity::Warning } else { Severity::Error };
    let (code, why) = match module.tag {
        Tag::CPython { platform, .. } => (
            Code::NameAndContentDiffer,
            format!("its name says {platform}, and its content is for {}", made_for(elf)),
        ),
        _ => (
            Code::OtherArchitecture,
            format!("it is compiled for {}, not for {}", made_for(elf), target.arch),
        ),
    };
    found.add(severity, code, place, why, rebuild);
}

/// numpy tells people not to import it "from its source directory" when its core does not load.
fn numpy_core(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    for root in tree.python_roots() {
        let Some(init) =
            ["__init__.py", "__init__.pyc"].iter().find_map(|name| tree.get(&format!("{root}/numpy/{name}")))
        else {
            continue;
        };
        let is_core = |folder: &str| {
            tree.below(&format!("{root}/numpy/{folder}")).any(|(path, _)| {
                ModuleName::parse(path).is_some_and(|module| {
                    matches!(module.stem, "_multiarray_umath" | "multiarray")
                        && is_importable(module.tag, subject.target)
                })
            })
        };
        if !is_core("_core") && !is_core("core") {
            found.add(
                Severity::Error,
                Code::NumpyWithoutCore,
                Place::file(init.zip, &init.file.path),
                format!(
                    "numpy's compiled core (`_multiarray_umath`) is not there for {} on {}: the import fails with \"you should not try to import numpy from its source directory\"",
                    subject.target.runtime, subject.target.arch
                ),
                format!("take numpy's wheel for the target: {}", build_command(Some("numpy"), subject.target)),
            );
        }
    }
}

/// Cython sources are of no use without what is compiled from them. Told only where nothing of the
/// distribution is compiled: single sources without a module are includes and examples.
fn not_compiled(subject: &Subject<'_>, found: &mut Findings) {
    for zip in subject.layers.iter().chain(subject.function) {
        let mut sources: BTreeMap<usize, &str> = BTreeMap::new();
        let mut settled = BTreeSet::new();
        let paths: BTreeSet<&str> = zip.contents.files.iter().map(|file| file.path.as_str()).collect();
        for file in &zip.contents.files {
            let Some(owner) = file.owner else { continue };
            let (_, name) = split(&file.path);
            if ModuleName::parse(name).is_some() || file.elf.is_some() {
                settled.insert(owner);
            }
            if let Some(stem) = file.path.strip_suffix(".pyx")
                && [".c", ".cpp"].iter().any(|ending| paths.contains(format!("{stem}{ending}").as_str()))
            {
                if paths.contains(format!("{stem}.py").as_str()) {
                    settled.insert(owner);
                }
                sources.entry(owner).or_insert(&file.path);
            }
        }
        for (owner, path) in sources.into_iter().filter(|(owner, _)| !settled.contains(owner)) {
            let name =
                zip.contents.distributions.get(owner).map_or("", |distribution| distribution.name.as_str());
            found.add(
                Severity::Warning,
                Code::NotCompiled,
                Place::file(zip, path),
                format!("{name} has Cython sources and nothing compiled from them"),
                format!("take its wheel for the target: {}", build_command(Some(name), subject.target)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Runtime;

    fn check(names: &[&str], minor: u8, arch: Arch) -> String {
        let runtime = Runtime::from_minor(minor).expect("a runtime");
        let target = Target { runtime, arch };
        let verdict = |name: &&str| match ModuleName::parse(name) {
            None => format!("{name}: no module"),
            Some(module) if is_importable(module.tag, target) => format!("{name}: {}", module.stem),
            Some(module) => format!("{name}: {}", mismatch(module.tag, target).1),
        };
        names.iter().map(verdict).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_tell_what_a_module_is_for() {
        let names = [
            "a.cpython-312-x86_64-linux-gnu.so",
            "a.cpython-312-aarch64-linux-gnu.so",
            "a.cpython-39-x86_64-linux-gnu.so",
            "a.cpython-36m-x86_64-linux-gnu.so",
            "a.cpython-313t-x86_64-linux-gnu.so",
            "a.cpython-312d-x86_64-linux-gnu.so",
            "a.cpython-312-x86_64-linux-musl.so",
            "a.cpython-312-darwin.so",
            "a.cpython-312.so",
            "a.cpython-27mu-x86_64-linux-gnu.so",
            "a.abi3.so",
            "a.so",
            "a.pyd",
            "a.cp312-win_amd64.pyd",
            "a.pypy39-pp73-x86_64-linux-gnu.so",
            "liba.so",
            "liba.so.1",
            "libopenblas-r0.3.23.dev.so",
            "a.cpython-.so",
            "a.cpython-3x.so",
            ".so",
            "a.py",
            "",
        ];
        insta::assert_snapshot!(check(&names, 12, Arch::X86_64), @r"
        a.cpython-312-x86_64-linux-gnu.so: a
        a.cpython-312-aarch64-linux-gnu.so: it is compiled for aarch64; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.cpython-39-x86_64-linux-gnu.so: it is compiled for Python 3.9; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.cpython-36m-x86_64-linux-gnu.so: it is compiled for Python 3.6; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.cpython-313t-x86_64-linux-gnu.so: it is compiled for free-threaded Python 3.13; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.cpython-312d-x86_64-linux-gnu.so: it is compiled for the debug build of Python 3.12; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.cpython-312-x86_64-linux-musl.so: it is compiled for musl, the C library of Alpine Linux; Lambda has glibc
        a.cpython-312-darwin.so: it is compiled for macOS; Lambda runs Linux
        a.cpython-312.so: it is compiled for no platform that its name tells; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.cpython-27mu-x86_64-linux-gnu.so: it is compiled for Python 2; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
        a.abi3.so: a
        a.so: a
        a.pyd: it is compiled for Windows; Lambda runs Linux
        a.cp312-win_amd64.pyd: it is compiled for Windows; Lambda runs Linux
        a.pypy39-pp73-x86_64-linux-gnu.so: it is compiled for pypy39; Lambda runs CPython
        liba.so: no module
        liba.so.1: no module
        libopenblas-r0.3.23.dev.so: no module
        a.cpython-.so: no module
        a.cpython-3x.so: no module
        .so: no module
        a.py: no module
        : no module
        ");
        insta::assert_snapshot!(check(&names[3..5], 6, Arch::X86_64), @r"
        a.cpython-36m-x86_64-linux-gnu.so: a
        a.cpython-313t-x86_64-linux-gnu.so: it is compiled for free-threaded Python 3.13; python3.6 imports `.cpython-36m-x86_64-linux-gnu.so`
        ");
        insta::assert_snapshot!(check(&names[..2], 12, Arch::Arm64), @r"
        a.cpython-312-x86_64-linux-gnu.so: it is compiled for x86_64; python3.12 imports `.cpython-312-aarch64-linux-gnu.so`
        a.cpython-312-aarch64-linux-gnu.so: a
        ");
    }
}
