//! The function's settings: runtime, environment variables, handler.
//!
//! Owns what Lambda refuses and what changes where code is looked for.

use super::{
    Code, Findings, NamedContents, Place, Severity, Subject,
    modules::ModuleName,
    tree::{FUNCTION, LAYERS, Tree, normalised, split},
};
use crate::{
    app::check_handler,
    limits,
    target::{Arch, OperatingSystem},
};

pub(super) fn check(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    offer(subject, found);
    names_and_size(subject, found);
    python_path(subject, found);
    library_path(subject, found);
    wrapper(subject, tree, found);
    handler(subject, found);
}

fn offer(subject: &Subject<'_>, found: &mut Findings) {
    let target = subject.target;
    if target.runtime.operating_system() == OperatingSystem::AmazonLinux1 && target.arch == Arch::Arm64 {
        found.add(
            Severity::Warning,
            Code::NotOffered,
            Place::EVERYWHERE,
            format!("{} runs on Amazon Linux 1, which Lambda has for x86_64 only", target.runtime),
            "let the function run on x86_64, or on python3.8 or later",
        );
    }
    if target.runtime.is_retired() {
        found.add(
            Severity::Note,
            Code::NotOffered,
            Place::EVERYWHERE,
            format!("AWS no longer creates functions on {}", target.runtime),
            "new functions need a newer runtime; existing ones keep running",
        );
    }
}

fn names_and_size(subject: &Subject<'_>, found: &mut Findings) {
    let mut refuse = |why: String, fix: &str| {
        found.add(Severity::Error, Code::EnvironmentVariable, Place::EVERYWHERE, why, fix);
    };
    for name in subject.environment.keys() {
        if limits::RESERVED_VARIABLES.contains(&name.as_str()) {
            refuse(format!("`{name}` is reserved: Lambda sets it itself and refuses it"), "take it out");
        } else if !is_variable_name(name) {
            refuse(
                format!("`{name}` is no name that Lambda takes for a variable"),
                "begin with a letter and use letters, digits and `_`, two characters at least",
            );
        }
    }
    let length = serde_json::to_string(subject.environment).map_or(0, |text| text.len());
    if length > limits::ENVIRONMENT_BYTES {
        refuse(
            format!("the variables have {length} bytes as JSON; Lambda takes {}", limits::ENVIRONMENT_BYTES),
            "move large values into the code, or into Parameter Store",
        );
    }
}

/// `[a-zA-Z]([a-zA-Z0-9_])+` (FACTS.md §5).
fn is_variable_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The runtime adds `/opt/python` to `sys.path` only where the user sets no `PYTHONPATH`
/// (FACTS.md §5).
fn python_path(subject: &Subject<'_>, found: &mut Findings) {
    let Some(value) = subject.environment.get("PYTHONPATH") else { return };
    let named: Vec<String> = value.split(':').map(normalised).collect();
    let versioned = format!("python/lib/python{}/site-packages", subject.target.runtime.python_version());
    let has_below = |folder: &str| {
        subject.layers.iter().flat_map(|layer| &layer.contents.files).any(|file| {
            file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
                && (folder != "python" || !file.path.starts_with("python/lib/python3."))
        })
    };
    for folder in ["python", versioned.as_str()] {
        let absolute = format!("{LAYERS}/{folder}");
        if has_below(folder) && !named.contains(&absolute) {
            found.add(
                Severity::Error,
                Code::PythonPath,
                Place::EVERYWHERE,
                format!("the function's variable PYTHONPATH (`{value}`) switches {absolute} off, where the layers have packages"),
                format!("take PYTHONPATH out, or add `{absolute}` to it"),
            );
        }
    }
}

fn library_path(subject: &Subject<'_>, found: &mut Findings) {
    if let Some(value) = subject.environment.get("LD_LIBRARY_PATH")
        && !value.split(':').any(|folder| normalised(folder) == "/var/lang/lib")
    {
        found.add(
            Severity::Warning,
            Code::EnvironmentVariable,
            Place::EVERYWHERE,
            format!("the function's variable LD_LIBRARY_PATH (`{value}`) leaves out /var/lang/lib, where Python's own libraries are"),
            "add `/var/lang/lib` to it, or put libraries into the folder `lib` of a layer, which is searched anyway",
        );
    }
}

/// A script that is run in place of the interpreter, with the interpreter's command line.
fn wrapper(subject: &Subject<'_>, tree: &Tree<'_>, found: &mut Findings) {
    let Some(value) = subject.environment.get("AWS_LAMBDA_EXEC_WRAPPER") else { return };
    let path = normalised(value);
    if ![LAYERS, FUNCTION].iter().any(|root| path.starts_with(&format!("{root}/"))) {
        return;
    }
    let problem = match tree.get(&path) {
        None => "is not there",
        Some(placed) if placed.file.permissions != 0 && placed.file.permissions & 0o001 == 0 => {
            "is not executable"
        }
        Some(_) => return,
    };
    found.add(
        Severity::Error,
        Code::EnvironmentVariable,
        Place::EVERYWHERE,
        format!("the function's variable AWS_LAMBDA_EXEC_WRAPPER names `{value}`, which {problem}"),
        "put the script into a layer, with mode 755",
    );
}

fn handler(subject: &Subject<'_>, found: &mut Findings) {
    let (Some(handler), Some(function)) = (subject.handler, subject.function) else { return };
    let versioned = format!("python/lib/python{}/site-packages/", subject.target.runtime.python_version());
    let paths =
        |zip: &NamedContents| zip.contents.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let own = paths(function);
    let of_layers: Vec<String> = subject.layers.iter().flat_map(paths).collect();
    let below = of_layers
        .iter()
        .filter_map(|path| path.strip_prefix(versioned.as_str()).or_else(|| path.strip_prefix("python/")));
    let all: Vec<&str> = own.iter().map(String::as_str).chain(below).collect();
    let Err(error) = check_handler(handler, all.iter().copied()) else { return };
    // Modules without source and compiled ones are imported as well.
    let module = handler.as_str().rsplit_once('.').map_or("", |(module, _)| module).replace('.', "/");
    let is_module = |path: &str| {
        let (folder, name) = split(path);
        let in_folder =
            |stem: &str| if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
        path == format!("{module}.pyc")
            || path == format!("{module}/__init__.pyc")
            || ModuleName::parse(name).is_some_and(|compiled| in_folder(compiled.stem) == module)
    };
    if !all.iter().any(|path| is_module(path)) {
        found.add(
            Severity::Error,
            Code::MissingHandler,
            Place::zip(function),
            error.to_string(),
            "the part of the handler before its last dot is the file, without .py",
        );
    }
}
