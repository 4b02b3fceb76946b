//! `layercake build`: inputs to a layer's zip.
//!
//! Reads as the list of stages; each stage's work is a library's.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_build::{
    assemble::assemble,
    inputs::{AskedFor, Given, LockFile, Wanted},
    layer::{Part, PlannedLayer, Wanted as WantedLayer},
    resolve::python_fits,
};
use layercake_core::{
    check::Verdict,
    configuration::Configuration,
    limits,
    lock::Scope,
    plan::{LayerPlan, split::split},
    report::{BuildReport, REPORT_FORMAT, StageTime, ZipReport, built_packages},
    resolution::Resolution,
    target::{Runtime, Target},
};
use layercake_local::interpreters::Interpreters;

use crate::{
    args::{Build, Common},
    error::{CommandError, Kind},
    settings::{Settings, host_arch},
    stages::{self, Checked},
    ui::{Ui, size},
    up::{interrupted, json},
};

/// The lock beside a project.
const LOCK: &str = "pylock.toml";

/// Runs the command.
pub(crate) async fn run(
    common: &Common,
    arguments: Build,
    ui: &Arc<Ui>,
) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, arguments.index.cache_dir.as_deref())?;
    let talk = Arc::clone(ui);
    let work = tokio::task::spawn_blocking(move || Building::new(&arguments, &settings, &talk)?.run());
    tokio::select! {
        done = work => done.map_err(|error| CommandError {
            kind: Kind::Bug,
            error: Box::new(error),
            hints: Vec::new(),
        })?,
        error = interrupted() => Err(error.with_hint("no zip was written; what was fetched is in the cache")),
    }
}

/// Everything that the stages need.
struct Building<'a> {
    arguments: &'a Build,
    cache: &'a Utf8Path,
    ui: &'a Ui,
    configuration: Configuration,
    interpreters: Interpreters,
    inputs: Wanted,
    scope: Scope,
    targets: Vec<Target>,
    times: Vec<StageTime>,
    verdicts: Vec<Verdict>,
}

/// One of the zips that are written.
struct OutputPart {
    name: Option<String>,
    plan: LayerPlan,
    path: Utf8PathBuf,
}

impl<'a> Building<'a> {
    fn new(arguments: &'a Build, settings: &'a Settings, ui: &'a Ui) -> Result<Self, CommandError> {
        let given_nothing = arguments.inputs.is_empty() && arguments.requirement.is_empty();
        if given_nothing {
            return Err(CommandError::new(
                Kind::Usage,
                "nothing to build was given",
                "give requirements (`pandas>=2`), -r requirements.txt, pyproject.toml, uv.lock, pylock.toml, a script or wheels",
            ));
        }
        let configuration =
            stages::configuration(arguments.layer.config.as_deref(), &folder_of(arguments))?;
        let or_configured = |typed: &[String], configured: &[String]| {
            if typed.is_empty() { configured.to_vec() } else { typed.to_vec() }
        };
        let is_scoped = !(arguments.extra.is_empty() && arguments.group.is_empty())
            || arguments.inputs.iter().any(|input| input.ends_with(".toml") || input.ends_with(".lock"));
        let scope = if is_scoped {
            Scope {
                extras: or_configured(&arguments.extra, &configuration.extras),
                groups: or_configured(&arguments.group, &configuration.groups),
                package: None,
            }
        } else {
            Scope::default()
        };
        let inputs = Given {
            inputs: arguments.inputs.clone(),
            requirements: arguments.requirement.clone(),
            constraints: arguments.constraint.clone(),
            scope: scope.clone(),
        }
        .read()?;
        let interpreters = settings.interpreters();
        let targets = targets(arguments, &configuration, &inputs, &interpreters)?;
        Ok(Self {
            arguments,
            cache: &settings.cache,
            ui,
            configuration,
            interpreters,
            inputs,
            scope,
            targets,
            times: Vec::new(),
            verdicts: Vec::new(),
        })
    }

    fn run(mut self) -> Result<ExitCode, CommandError> {
        let asked = match &self.inputs {
            Wanted::Asked(asked) => asked.asked.clone(),
            Wanted::Lock(_) => layercake_build::resolve::Asked::default(),
        };
        let index = stages::open_index(&self.arguments.index, &asked, self.cache)?;
        let resolutions = self.resolutions(&index)?;
        let policy = stages::policy(&self.arguments.layer, &self.configuration);
        let mut parts = Vec::new();
        for resolution in &resolutions {
            let wheels = stages::fetch_wheels(&index, resolution, self.ui, &mut self.times)?;
            let target = resolution.target;
            let compiler = stages::compiler(&self.interpreters, target, &policy, self.cache)?;
            parts.push(Part { target, wheels, compiler });
        }
        let options = &self.arguments.layer;
        let limit = options.budget.or(self.configuration.budget).unwrap_or(limits::UNZIPPED_BYTES);
        let has_fit = options.fit || self.configuration.fit == Some(true);
        let imported = std::collections::BTreeSet::new();
        let wanted = WantedLayer { policy: &policy, imported: &imported, fit: has_fit.then_some(limit) };
        let layer = stages::plan(parts, wanted, self.cache, self.ui, &mut self.times)?;
        stages::say_excluded(&layer, self.ui);
        // A dry run shows what is there even when it is too much.
        let refused = stages::too_large(&layer, limit, has_fit);
        if let Some(error) = refused {
            if self.arguments.dry_run {
                let report = self.report(&layer, &resolutions, vec![planned_zip(&layer.plan, None)])?;
                self.print(&report, &layer)?;
            }
            return Err(error);
        }
        let parts = self.parts(&layer)?;
        self.check(&layer, &parts)?;
        let zips = self.zips(&layer, parts)?;
        let report = self.report(&layer, &resolutions, zips)?;
        self.print(&report, &layer)?;
        Ok(ExitCode::SUCCESS)
    }

    /// One resolution for each target: from a lock, or from the index.
    fn resolutions(
        &mut self,
        index: &layercake_build::resolve::PackageIndex,
    ) -> Result<Vec<Resolution>, CommandError> {
        let begun = self.ui.stage("lock", "reading the lock");
        let lock = match &self.inputs {
            Wanted::Lock(lock) => Some(self.from_lock(index, lock, &self.scope)?),
            // It was made with the extras and groups that are asked for, so there are none to choose.
            Wanted::Asked(asked) if self.arguments.locked => {
                Some(self.from_lock(index, &self.checked_lock(asked)?, &Scope::default())?)
            }
            Wanted::Asked(_) => None,
        };
        if let Some(resolutions) = lock {
            let words: Vec<_> = resolutions.iter().map(stages::resolved).collect();
            self.times.push(begun.done("Locked", &words.join(", ")));
            return Ok(resolutions);
        }
        drop(begun);
        let Wanted::Asked(asked) = &self.inputs else { return Ok(Vec::new()) };
        let times = &mut self.times;
        self.targets
            .iter()
            .map(|&target| stages::resolve(index, &asked.asked, target, self.ui, times))
            .collect()
    }

    fn from_lock(
        &self,
        index: &layercake_build::resolve::PackageIndex,
        lock: &LockFile,
        scope: &Scope,
    ) -> Result<Vec<Resolution>, CommandError> {
        self.targets.iter().map(|&target| Ok(lock.resolve(index, target, scope)?)).collect()
    }

    /// The lock beside the input, which must be the lock of what is asked for.
    fn checked_lock(&self, asked: &AskedFor) -> Result<LockFile, CommandError> {
        let folder = asked.folder.clone().unwrap_or_else(|| ".".into());
        let lock = LockFile::read(&folder.join(LOCK))?;
        lock.check(&asked.asked, &self.targets)?;
        Ok(lock)
    }

    /// The layers that it becomes.
    fn parts(&self, layer: &PlannedLayer) -> Result<Vec<OutputPart>, CommandError> {
        let output = self.arguments.output.clone().unwrap_or_else(|| "layer.zip".into());
        Ok(match self.arguments.split.or(self.configuration.split) {
            None => vec![OutputPart { name: None, plan: layer.plan.clone(), path: output }],
            Some(count) => split(&layer.plan, count)?
                .into_iter()
                .map(|part| OutputPart {
                    path: part_path(&output, &part.name),
                    name: Some(part.name),
                    plan: part.plan,
                })
                .collect(),
        })
    }

    fn check(&mut self, layer: &PlannedLayer, parts: &[OutputPart]) -> Result<(), CommandError> {
        let layers: Vec<_> = parts
            .iter()
            .map(|part| stages::named(part.path.file_name().unwrap_or("layer.zip"), &part.plan, layer))
            .collect();
        let checked = Checked {
            targets: &self.targets,
            layers: &layers,
            function: None,
            environment: &BTreeMap::new(),
            handler: None,
        };
        let is_fatal = !self.arguments.no_check && !self.arguments.dry_run;
        self.verdicts = stages::check(&checked, is_fatal, self.ui, &mut self.times)?;
        Ok(())
    }

    /// Writes the zips, or says what they would be.
    fn zips(&mut self, layer: &PlannedLayer, parts: Vec<OutputPart>) -> Result<Vec<ZipReport>, CommandError> {
        let mut zips = Vec::new();
        for OutputPart { name, plan, path } in parts {
            if self.arguments.dry_run {
                zips.push(planned_zip(&plan, name));
                continue;
            }
            let stage = self.ui.stage("build", format!("writing {path}"));
            let zip = assemble(&plan, &layer.wheels, &layer.derived, &path)?;
            let details =
                format!("{path} of {} files, {}", plan.files.len(), stages::sizes(zip.size, zip.unzipped));
            self.times.push(stage.done("Built", &details));
            zips.push(ZipReport {
                path: Some(path.into_string()),
                sha256: Some(zip.sha256),
                ..planned_zip(&plan, name)
            });
        }
        Ok(zips)
    }

    fn report(
        &self,
        layer: &PlannedLayer,
        resolutions: &[Resolution],
        layers: Vec<ZipReport>,
    ) -> Result<BuildReport, CommandError> {
        Ok(BuildReport {
            format: REPORT_FORMAT,
            targets: self.targets.clone(),
            profile: layer.policy.profile,
            layers,
            packages: built_packages(resolutions, &layer.plan),
            excluded: layer.plan.excluded_by_reason(),
            excluded_files: if self.arguments.dry_run { layer.plan.excluded.clone() } else { Vec::new() },
            findings: layer.plan.findings.clone(),
            pulled: layer.pulled.clone(),
            without_bytecode: layer.without_bytecode.clone(),
            checks: self.verdicts.clone(),
            stages: self.times.clone(),
        })
    }

    fn print(&self, report: &BuildReport, layer: &PlannedLayer) -> Result<(), CommandError> {
        if self.arguments.json {
            self.ui.print(&json(report)?);
        } else if self.arguments.dry_run {
            self.ui.print(&dry_run(report, layer));
        } else {
            let line = |zip: &ZipReport| {
                let hash = zip.sha256.map(|hash| hash.to_hex()).unwrap_or_default();
                format!("{}  sha256:{hash}", zip.path.as_deref().unwrap_or_default())
            };
            self.ui.print(&report.layers.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }
}

/// The zip that a plan would give.
fn planned_zip(plan: &LayerPlan, part: Option<String>) -> ZipReport {
    ZipReport {
        part,
        path: None,
        files: plan.files.len() as u64,
        zipped: plan.zip_size(),
        unzipped: plan.unzipped_size(),
        sha256: None,
    }
}

/// `layer.zip` and `numpy` make `layer-numpy.zip`.
fn part_path(output: &Utf8Path, part: &str) -> Utf8PathBuf {
    let stem = output.file_stem().unwrap_or("layer");
    let ending = output.extension().unwrap_or("zip");
    output.with_file_name(format!("{stem}-{part}.{ending}"))
}

/// What would go in, and what stays out with the reasons.
fn dry_run(report: &BuildReport, layer: &PlannedLayer) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for zip in &report.layers {
        let part = zip.part.as_deref().map(|part| format!("{part}: ")).unwrap_or_default();
        let _ = writeln!(text, "{part}{} files, {}", zip.files, stages::sizes(zip.zipped, zip.unzipped));
    }
    let _ = writeln!(text, "\ngoes in:");
    let mut packages: Vec<_> = report.packages.iter().collect();
    packages.sort_by(|a, b| b.unzipped.cmp(&a.unzipped).then_with(|| a.name.cmp(&b.name)));
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let _ = writeln!(
            text,
            "  {name:<34} {:>6} files {:>10} {:>10} zipped",
            package.files,
            size(package.unzipped),
            size(package.zipped)
        );
    }
    let _ = writeln!(text, "\nstays out:");
    for (reason, tally) in &report.excluded {
        let _ = writeln!(
            text,
            "  {:<34} {:>6} files {:>10}",
            reason.text(),
            tally.files,
            size(tally.bytes)
        );
        for (what, tally) in layer.plan.excluded_places(*reason, 5) {
            let _ = writeln!(text, "      {what:<52} {:>6} {:>10}", tally.files, size(tally.bytes));
        }
    }
    text
}

/// The folder of the first input that is a file or folder, else the current one: there the
/// project's settings are.
fn folder_of(arguments: &Build) -> Utf8PathBuf {
    let inputs = arguments.inputs.iter().map(|input| Utf8Path::new(input.as_str()));
    let given = inputs.chain(arguments.requirement.iter().map(Utf8PathBuf::as_path));
    for path in given {
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

/// What it is built for: as typed, as the project has it, or the newest runtime that this machine
/// has a Python for.
fn targets(
    arguments: &Build,
    configuration: &Configuration,
    inputs: &Wanted,
    interpreters: &Interpreters,
) -> Result<Vec<Target>, CommandError> {
    let arch = arguments.arch.or(configuration.arch).or(host_arch()).unwrap_or_default();
    let required: &[(Utf8PathBuf, String)] = match inputs {
        Wanted::Asked(asked) => &asked.requires_python,
        Wanted::Lock(_) => &[],
    };
    let fits = |runtime: Runtime| -> Result<Option<&(Utf8PathBuf, String)>, CommandError> {
        for one in required {
            if !python_fits(&one.1, Target { runtime, arch })? {
                return Ok(Some(one));
            }
        }
        Ok(None)
    };
    let typed = if arguments.runtime.is_empty() { &configuration.runtimes } else { &arguments.runtime };
    let mut runtimes = typed.clone();
    runtimes.sort();
    runtimes.dedup();
    if runtimes.is_empty() {
        let here = interpreters.all().iter().filter_map(|one| Runtime::from_minor(one.version.1));
        for runtime in here {
            if fits(runtime)?.is_none() {
                runtimes.push(runtime);
                break;
            }
        }
    }
    if runtimes.is_empty() {
        return Err(CommandError::new(
            Kind::User,
            "no Python on this machine tells which runtime to build for",
            "give one with --runtime, such as --runtime python3.13",
        ));
    }
    for &runtime in &runtimes {
        if let Some((file, required)) = fits(runtime)? {
            return Err(CommandError::new(
                Kind::User,
                format!("`{file}` requires Python {required}, which {runtime} is not"),
                "choose another --runtime, or change `requires-python`",
            ));
        }
    }
    Ok(runtimes.into_iter().map(|runtime| Target { runtime, arch }).collect())
}
