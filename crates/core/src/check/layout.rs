//! Whether packages lie where Python on Lambda looks: below `python/` in a layer, at the top of a
//! function's zip.
//!
//! Owns the folders. Never judges what is inside of a package.

use std::collections::BTreeSet;

use super::{Code, Findings, NamedContents, Place, Severity, Subject};
use crate::{target::Target, zip::EntryKind};

/// Top-level folders that Lambda, or what it starts, looks into (FACTS.md §5), and those of other
/// languages' runtimes.
const KNOWN_FOLDERS: [&str; 7] = ["python", "bin", "lib", "extensions", "nodejs", "java", "ruby"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Findings) {
    for layer in subject.layers {
        check_layer(layer, subject.target, found);
        desktop_files(layer, found);
    }
    if let Some(function) = subject.function {
        check_function(function, found);
        desktop_files(function, found);
    }
}

/// How a folder full of packages stands to what Lambda looks into.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// On `sys.path`.
    Seen,
    /// `python/lib/python3.X/site-packages` of another Python.
    OtherPython(u8),
    /// Anywhere else: what to call it.
    Misplaced(String),
}

fn check_layer(layer: &NamedContents, target: Target, found: &mut Findings) {
    let roots = package_roots(layer);
    let standings: Vec<_> = roots.iter().map(|root| (root, standing(root, target))).collect();
    let is_seen = standings.iter().any(|(_, standing)| *standing == Standing::Seen);
    let minor = target.runtime.minor();
    let mut other_pythons = BTreeSet::new();
    for (root, standing) in &standings {
        match standing {
            Standing::Seen => {}
            Standing::OtherPython(other) => {
                other_pythons.insert(*other);
            }
            Standing::Misplaced(what) => {
                // Beside packages in their place, these may be meant for something else.
                let severity = if is_seen { Severity::Warning } else { Severity::Error };
                let example = example(layer, root);
                let right = format!(
                    "python/{}",
                    example.strip_prefix(root.as_str()).unwrap_or(example).trim_start_matches('/')
                );
                found.add(
                    severity,
                    Code::MisplacedPackages,
                    Place::file(layer, example),
                    format!("{what}; Python on Lambda looks for a layer's packages in `python/` only"),
                    format!("zip the folder `python` that holds the packages: this file must be `{right}`"),
                );
            }
        }
    }
    if !is_seen && !other_pythons.is_empty() {
        let others: Vec<_> = other_pythons.iter().map(|other| format!("python3.{other}")).collect();
        found.add(
            Severity::Error,
            Code::OtherPythonFolder,
            Place::zip(layer),
            format!(
                "its packages lie in `python/lib/` of {} only; {} does not look there",
                others.join(" and "),
                target.runtime
            ),
            format!(
                "put packages for {} into `python/lib/python3.{minor}/site-packages/`, or those for every Python into `python/`",
                target.runtime
            ),
        );
    }
    if roots.is_empty() {
        nothing_for_lambda(layer, found);
    }
}

fn nothing_for_lambda(layer: &NamedContents, found: &mut Findings) {
    let tops: BTreeSet<&str> = layer.contents.files.iter().map(|file| top(&file.path)).collect();
    if tops.iter().any(|top| KNOWN_FOLDERS.contains(top)) {
        return;
    }
    let (why, fix) = if tops.is_empty() {
        ("the zip is empty".to_owned(), "zip the folder `python` that holds the packages")
    } else {
        let names: Vec<_> = tops.iter().take(5).map(|top| format!("`{top}`")).collect();
        (
            format!("at its top are {} only; nothing of Lambda looks there", names.join(", ")),
            "put packages into `python/`, programs into `bin/`, libraries into `lib/`; data is found below /opt",
        )
    };
    found.add(Severity::Warning, Code::NothingForLambda, Place::zip(layer), why, fix);
}

/// The folders that packages are installed into: those of the distributions, or, where installers
/// left no traces, the outermost ones that hold modules.
fn package_roots(zip: &NamedContents) -> BTreeSet<String> {
    let mut roots: BTreeSet<String> =
        zip.contents.distributions.iter().map(|distribution| distribution.root().to_owned()).collect();
    let below_python = |root: &str| root == "python" || root.starts_with("python/");
    if roots.iter().any(|root| below_python(root)) {
        return roots;
    }
    let guessed = folders_of_modules(zip);
    // Below `python/` everything may be a package without `__init__.py` (PEP 420).
    if guessed.iter().any(|root| below_python(root)) {
        roots.extend(guessed.into_iter().filter(|root| below_python(root)));
    } else if roots.is_empty() {
        roots.extend(guessed.into_iter().take(1));
    }
    roots
}

/// The outermost folders that hold modules or packages and are none themselves.
fn folders_of_modules(zip: &NamedContents) -> BTreeSet<String> {
    let files = || zip.contents.files.iter().filter(|file| file.kind != EntryKind::Folder);
    let packages: BTreeSet<&str> = files()
        .filter_map(|file| {
            file.path.strip_suffix("/__init__.py").or_else(|| file.path.strip_suffix("/__init__.pyc"))
        })
        .collect();
    let mut folders = BTreeSet::new();
    for file in files() {
        let (mut folder, name) = super::tree::split(&file.path);
        let is_module =
            [".py", ".pyc"].iter().any(|ending| name.ends_with(ending)) || super::modules::is_tagged(name);
        if !is_module || matches!(top(&file.path), "bin" | "extensions" | "nodejs" | "java" | "ruby") {
            continue;
        }
        while packages.contains(folder) {
            folder = super::tree::split(folder).0;
        }
        folders.insert(folder.strip_suffix("/__pycache__").unwrap_or(folder).to_owned());
    }
    let above = |folder: &str| (!folder.is_empty()).then(|| super::tree::split(folder).0.to_owned());
    let is_outermost = |folder: &String| {
        !std::iter::successors(above(folder), |folder| above(folder)).any(|above| folders.contains(&above))
    };
    folders.iter().filter(|folder| is_outermost(folder)).cloned().collect()
}

fn standing(root: &str, target: Target) -> Standing {
    let parts: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
    let misplaced = |what: String| Standing::Misplaced(what);
    if let ["python", "lib", python, "site-packages", ..] = parts[..]
        && let Some(minor) = python.strip_prefix("python3.").and_then(|minor| minor.parse().ok())
    {
        return if minor == target.runtime.minor() { Standing::Seen } else { Standing::OtherPython(minor) };
    }
    if parts.ends_with(&["site-packages"]) || parts.ends_with(&["dist-packages"]) {
        return misplaced(format!("the packages lie in `{root}/`, as in a virtual environment"));
    }
    match parts[..] {
        [] => misplaced("the packages lie at the top of the zip".to_owned()),
        ["python", "python", ..] => {
            misplaced("the packages lie in `python/python/`, one folder too deep".to_owned())
        }
        ["python", ..] => Standing::Seen,
        [first, ..] if first.eq_ignore_ascii_case("python") => {
            misplaced(format!("the packages lie in `{first}/`, which is not `python/`: case counts"))
        }
        [wrapper, "python", ..] => misplaced(format!("everything is wrapped in the folder `{wrapper}/`")),
        _ => misplaced(format!("the packages lie in `{root}/`")),
    }
}

/// A file of a folder of packages that shows the mistake: a package's `__init__.py` before all
/// others.
fn example<'a>(zip: &'a NamedContents, root: &str) -> &'a str {
    let below = || {
        zip.contents.files.iter().filter(|file| file.kind != EntryKind::Folder).filter_map(|file| {
            let rest = match root {
                // What lies in a known folder is not at the top.
                "" => Some(file.path.as_str()).filter(|path| !KNOWN_FOLDERS.contains(&top(path)))?,
                root => file.path.strip_prefix(root)?.strip_prefix('/')?,
            };
            Some((file.path.as_str(), rest))
        })
    };
    below()
        .find(|(_, rest)| rest.ends_with("/__init__.py") && rest.matches('/').count() == 1)
        .or_else(|| below().find(|(_, rest)| rest.ends_with(".py")))
        .or_else(|| below().next())
        .map_or("", |(path, _)| path)
}

fn check_function(function: &NamedContents, found: &mut Findings) {
    let roots = package_roots(function);
    if roots.contains("") || folders_of_modules(function).contains("") {
        for root in &roots {
            if root == "python" || root.starts_with("python/lib/") {
                found.add(
                    Severity::Warning,
                    Code::MisplacedPackages,
                    Place::file(function, example(function, root)),
                    format!("packages lie in `{root}/`, which is where layers have them; the function's own must be at the top of its zip"),
                    "move them to the top of the zip, or into a layer",
                );
            }
        }
        return;
    }
    if let Some(root) = roots.iter().next() {
        found.add(
            Severity::Error,
            Code::MisplacedPackages,
            Place::file(function, example(function, root)),
            format!("the code lies in `{root}/`; Python on Lambda looks for it at the top of the function's zip only"),
            "zip what is in the folder, not the folder",
        );
    }
}

/// What a Mac's archiver adds. It does no harm but weighs.
fn desktop_files(zip: &NamedContents, found: &mut Findings) {
    let made = |path: &str| path.starts_with("__MACOSX/") || path.ends_with(".DS_Store");
    if let Some(file) =
        zip.contents.files.iter().find(|file| file.kind == EntryKind::File && made(&file.path))
    {
        found.add(
            Severity::Note,
            Code::DesktopFiles,
            Place::file(zip, &file.path),
            "a Mac's archiver added files of its own",
            "zip with `zip -X -r`, or leave out `__MACOSX` and `.DS_Store`",
        );
    }
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}
