//! `layercake lock`: inputs to a lock file for every target asked for.

use std::{collections::BTreeSet, process::ExitCode, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_build::{
    inputs::{AskedFor, Given, LockFile, Wanted, lock_text, locked_inputs, write_lock},
    resolve::Asked,
};
use layercake_core::{
    lock::{Lock as Pylock, PackageChange},
    target::Target,
    wheel::normalised_name,
};
use layercake_local::interpreters::Interpreters;
use serde::Serialize;

use crate::{
    args::{Common, Lock},
    error::{CommandError, Kind},
    inputs::{self, LOCK},
    settings::{Settings, host_arch},
    stages,
    ui::Ui,
    up::{interrupted, json},
};

/// Runs the command.
pub(crate) async fn run(common: &Common, arguments: Lock, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, arguments.index.cache_dir.as_deref())?;
    let talk = Arc::clone(ui);
    let work = tokio::task::spawn_blocking(move || Locking::new(&arguments, &settings, &talk)?.run());
    tokio::select! {
        done = work => done.map_err(|error| CommandError {
            kind: Kind::Bug,
            error: Box::new(error),
            hints: Vec::new(),
        })?,
        error = interrupted() => Err(error.with_hint("no lock was written")),
    }
}

/// What the work needs.
struct Locking<'a> {
    arguments: &'a Lock,
    cache: &'a Utf8Path,
    ui: &'a Ui,
    wanted: AskedFor,
    interpreters: Interpreters,
    targets: Vec<Target>,
    path: Utf8PathBuf,
}

/// The answer with `--json`.
#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    lock: &'a Utf8Path,
    written: bool,
    targets: &'a [Target],
    packages: Vec<Package<'a>>,
    changes: &'a [PackageChange],
}

/// A package in it.
#[derive(Serialize)]
struct Package<'a> {
    name: &'a str,
    version: Option<&'a str>,
    marker: Option<&'a str>,
}

impl<'a> Locking<'a> {
    fn new(arguments: &'a Lock, settings: &'a Settings, ui: &'a Ui) -> Result<Self, CommandError> {
        let mut given = arguments.inputs.clone();
        if given.is_empty() && arguments.requirement.is_empty() {
            if !Utf8Path::new("pyproject.toml").is_file() {
                return Err(CommandError::new(
                    Kind::Usage,
                    "nothing to lock was given, and there is no pyproject.toml here",
                    "give requirements (`pandas>=2`), -r requirements.txt, pyproject.toml or a script",
                ));
            }
            given.push("./pyproject.toml".to_owned());
        }
        let folder = inputs::folder_of(&given, &arguments.requirement);
        let configuration = stages::configuration(arguments.config.as_deref(), &folder)?;
        let scope = inputs::scope(&given, &arguments.extra, &arguments.group, &configuration);
        let given = Given {
            inputs: given,
            requirements: arguments.requirement.clone(),
            constraints: arguments.constraint.clone(),
            scope,
        };
        let wanted = match given.read()? {
            Wanted::Asked(wanted) => *wanted,
            Wanted::Lock(lock) => {
                return Err(CommandError::new(
                    Kind::User,
                    format!("`{}` is a lock already", lock.path),
                    format!(
                        "build from it with `layercake build {}`, or lock what it was made from",
                        lock.path
                    ),
                ));
            }
        };
        let typed = &arguments.runtime;
        let runtimes = if typed.is_empty() { &configuration.runtimes } else { typed };
        let mut arches = arguments.arch.clone();
        if arches.is_empty() {
            arches.push(configuration.arch.or(host_arch()).unwrap_or_default());
        }
        let required = &wanted.requires_python;
        let interpreters = settings.interpreters();
        let targets = inputs::targets(runtimes, &arches, required, &interpreters)?;
        let beside = || wanted.folder.as_deref().unwrap_or(Utf8Path::new("")).join(LOCK);
        let path = arguments.output.clone().unwrap_or_else(beside);
        check_name(&path)?;
        Ok(Self { arguments, cache: &settings.cache, ui, wanted, interpreters, targets, path })
    }

    fn run(self) -> Result<ExitCode, CommandError> {
        let before = self.existing()?;
        if self.arguments.check {
            let there = before.as_ref().ok_or_else(|| {
                CommandError::new(
                    Kind::User,
                    format!("there is no lock `{}`", self.path),
                    "write it with the same command without --check",
                )
            })?;
            there.check(&self.wanted.asked, &self.targets)?;
        }
        let lock = self.resolve(before.as_ref())?;
        let old = before.as_ref().and_then(LockFile::pylock).cloned().unwrap_or_default();
        let changes = lock.changes_since(&old);
        let text = lock_text(&self.path, &lock)?;
        let is_same = std::fs::read(&self.path).is_ok_and(|there| there == text.as_bytes());
        if self.arguments.check && !is_same {
            let told: Vec<_> = changes.iter().map(ToString::to_string).collect();
            let what = if told.is_empty() { "its text differs".to_owned() } else { told.join(", ") };
            return Err(CommandError::new(
                Kind::User,
                format!("the lock `{}` is not what the inputs give: {what}", self.path),
                "write it anew with the same command without --check",
            ));
        }
        let is_written = !is_same && !self.arguments.dry_run && !self.arguments.check;
        if is_written {
            write_lock(&self.path, &lock)?;
        }
        self.tell(&lock, &changes, is_same);
        if self.arguments.json {
            self.ui.print(&json(&self.report(&lock, &changes, is_written))?);
        } else if self.arguments.dry_run {
            self.ui.print(&text);
        } else {
            self.ui.print(self.path.as_str());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The lock that is there, unless all of it is to be new.
    fn existing(&self) -> Result<Option<LockFile>, CommandError> {
        if !self.path.exists() || self.arguments.upgrade {
            return Ok(None);
        }
        let lock = LockFile::read(&self.path).map_err(|error| {
            CommandError::from(error).with_hint("or write it from nothing with --upgrade")
        })?;
        match lock.pylock() {
            Some(there) if !there.is_ours() => Err(CommandError::new(
                Kind::User,
                format!("`{}` was written by {}, and would be overwritten", self.path, there.created_by),
                "choose another file with -o, such as -o pylock.layer.toml; with --upgrade it is written from nothing",
            )),
            _ => Ok(Some(lock)),
        }
    }

    fn resolve(&self, before: Option<&LockFile>) -> Result<Pylock, CommandError> {
        let index = stages::open_index(
            &self.arguments.index,
            &self.wanted.asked,
            &self.interpreters,
            self.cache,
            self.ui,
        )?;
        let fresh: BTreeSet<String> =
            self.arguments.upgrade_package.iter().map(|name| normalised_name(name)).collect();
        let mut times = Vec::new();
        let mut resolutions = Vec::new();
        for &target in &self.targets {
            let mut preferred = before.map(|lock| lock.preferred(target)).transpose()?.unwrap_or_default();
            preferred.retain(|name, _| !fresh.contains(name));
            let asked = Asked { preferred, ..self.wanted.asked.clone() };
            resolutions.push(stages::resolve(&index, &asked, target, self.ui, &mut times)?);
        }
        let folder = self.path.parent().unwrap_or(Utf8Path::new(""));
        let inputs = locked_inputs(folder, &self.wanted.asked, &self.targets)?;
        let pythons: BTreeSet<&str> =
            self.wanted.requires_python.iter().map(|(_, python)| python.as_str()).collect();
        let requires_python =
            (!pythons.is_empty()).then(|| pythons.into_iter().collect::<Vec<_>>().join(", "));
        Ok(Pylock::of(&resolutions, inputs, requires_python))
    }

    fn tell(&self, lock: &Pylock, changes: &[PackageChange], is_same: bool) {
        // All of a first lock is new; that need not be told one by one.
        let is_first =
            changes.iter().all(|change| change.before.is_empty()) && lock.package_names() == changes.len();
        if !is_first {
            for change in changes {
                self.ui.say(&format!("           {change}"));
            }
        }
        if is_same {
            self.ui.say(&format!("           {} is up to date", self.path));
        }
    }

    fn report(&'a self, lock: &'a Pylock, changes: &'a [PackageChange], written: bool) -> Report<'a> {
        let packages = lock.packages.iter().map(|package| Package {
            name: &package.name,
            version: package.version.as_deref(),
            marker: package.marker.as_deref(),
        });
        Report {
            format: 1,
            lock: &self.path,
            written,
            targets: &self.targets,
            packages: packages.collect(),
            changes,
        }
    }
}

/// Tools find a lock by its name.
fn check_name(path: &Utf8Path) -> Result<(), CommandError> {
    if path.file_name().is_some_and(layercake_core::lock::is_lock_name) {
        return Ok(());
    }
    Err(CommandError::new(
        Kind::Usage,
        format!("`{path}` is no name of a lock"),
        "name it pylock.toml or pylock.NAME.toml (PEP 751)",
    ))
}
