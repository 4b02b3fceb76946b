//! What is given to `build` and `lock`, decided the same way for both: a lock that `lock` writes
//! must be the lock of what `build` asks for.

use camino::{Utf8Path, Utf8PathBuf};
use layercake_build::resolve::python_fits;
use layercake_core::{
    configuration::Configuration,
    lock::Scope,
    target::{Arch, Runtime, Target},
};
use layercake_local::interpreters::Interpreters;

use crate::error::{CommandError, Kind};

/// The lock beside a project.
pub(crate) const LOCK: &str = "pylock.toml";

/// The folder of the first input that is a file or folder, else the current one: there the
/// project's settings are.
pub(crate) fn folder_of(inputs: &[String], requirements: &[Utf8PathBuf]) -> Utf8PathBuf {
    let inputs = inputs.iter().map(|input| Utf8Path::new(input.as_str()));
    for path in inputs.chain(requirements.iter().map(Utf8PathBuf::as_path)) {
        if path.is_dir() {
            return path.to_owned();
        }
        if path.is_file() && path.extension() != Some("whl") {
            return match path.parent() {
                Some(folder) if folder != "" => folder.to_owned(),
                _ => ".".into(),
            };
        }
    }
    ".".into()
}

/// The extras and groups: as typed, or as the project's settings have them when a project or lock
/// is given.
pub(crate) fn scope(
    inputs: &[String],
    extras: &[String],
    groups: &[String],
    configuration: &Configuration,
) -> Scope {
    let has_parts = |input: &String| {
        input.ends_with(".toml") || input.ends_with(".lock") || Utf8Path::new(input).is_dir()
    };
    if extras.is_empty() && groups.is_empty() && !inputs.iter().any(has_parts) {
        return Scope::default();
    }
    let or_configured = |typed: &[String], configured: &[String]| {
        if typed.is_empty() { configured.to_vec() } else { typed.to_vec() }
    };
    Scope {
        extras: or_configured(extras, &configuration.extras),
        groups: or_configured(groups, &configuration.groups),
        package: None,
    }
}

/// What it is for: each of the runtimes on each of the architectures, or the newest runtime that
/// this machine has a Python for and the inputs accept. `required` is each `requires-python` with
/// the file it is in.
pub(crate) fn targets(
    runtimes: &[Runtime],
    arches: &[Arch],
    required: &[(Utf8PathBuf, String)],
    interpreters: &Interpreters,
) -> Result<Vec<Target>, CommandError> {
    let refusing = |runtime: Runtime| -> Result<Option<&(Utf8PathBuf, String)>, CommandError> {
        for one in required {
            // The Python version is all that counts here.
            if !python_fits(&one.1, Target { runtime, arch: Arch::default() })? {
                return Ok(Some(one));
            }
        }
        Ok(None)
    };
    let mut runtimes = runtimes.to_vec();
    if runtimes.is_empty() {
        for runtime in interpreters.all().iter().filter_map(|one| Runtime::from_minor(one.version.1)) {
            if refusing(runtime)?.is_none() {
                runtimes.push(runtime);
                break;
            }
        }
    }
    if runtimes.is_empty() {
        return Err(CommandError::new(
            Kind::User,
            "no Python on this machine tells which runtime it is for",
            "give one with --runtime, such as --runtime python3.13",
        ));
    }
    for &runtime in &runtimes {
        if let Some((file, required)) = refusing(runtime)? {
            return Err(CommandError::new(
                Kind::User,
                format!("`{file}` requires Python {required}, which {runtime} is not"),
                "choose another --runtime, or change `requires-python`",
            ));
        }
    }
    let mut targets: Vec<Target> = runtimes
        .iter()
        .flat_map(|&runtime| arches.iter().map(move |&arch| Target { runtime, arch }))
        .collect();
    targets.sort();
    targets.dedup();
    Ok(targets)
}
