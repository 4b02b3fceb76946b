//! `layercake build`: inputs to a layer's zip.
//!
//! Reads as the list of stages; each stage's work is a library's.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_build::{
    assemble::assemble,
    inputs::{AskedFor, Given, LockFile, Wanted},
    layer::{Part, PlannedLayer, Wanted as WantedLayer},
};
use layercake_core::{
    check::Verdict,
    configuration::Configuration,
    hash::Sha256,
    limits,
    lock::Scope,
    plan::{LayerPlan, split::split},
    report::{BuildReport, REPORT_FORMAT, StageTime, ZipReport, built_packages},
    resolution::Resolution,
    target::Target,
};
use layercake_local::interpreters::Interpreters;

use crate::{
    args::{Build, Common},
    error::{CommandError, Kind},
    inputs,
    settings::{Settings, host_arch},
    stages::{self, Checked},
    ui::{Ui, size},
    up::{interrupted, json},
};

/// Runs the command.
pub(crate) async fn run(common: &Common, arguments: Build, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
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
        let folder = inputs::folder_of(&arguments.inputs, &arguments.requirement);
        let configuration = stages::configuration(arguments.layer.config.as_deref(), &folder)?;
        let scope = inputs::scope(&arguments.inputs, &arguments.extra, &arguments.group, &configuration);
        let read = Given {
            inputs: arguments.inputs.clone(),
            requirements: arguments.requirement.clone(),
            constraints: arguments.constraint.clone(),
            scope: scope.clone(),
        }
        .read()?;
        let interpreters = settings.interpreters();
        let arch = arguments.arch.or(configuration.arch).or(host_arch()).unwrap_or_default();
        let typed = &arguments.runtime;
        let runtimes = if typed.is_empty() { &configuration.runtimes } else { typed };
        let required: &[_] = match &read {
            Wanted::Asked(asked) => &asked.requires_python,
            Wanted::Lock(_) => &[],
        };
        let targets = inputs::targets(runtimes, &[arch], required, &interpreters)?;
        Ok(Self {
            arguments,
            cache: &settings.cache,
            ui,
            configuration,
            interpreters,
            inputs: read,
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
        let index =
            stages::open_index(&self.arguments.index, &asked, &self.interpreters, self.cache, self.ui)?;
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
            Wanted::Lock(lock) => Some(self.locked(index, lock, &self.scope)?),
            // It was made with the extras and groups that are asked for, so there are none to choose.
            Wanted::Asked(asked) if self.arguments.locked => {
                Some(self.locked(index, &self.checked_lock(asked)?, &Scope::default())?)
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

    fn locked(
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
        let lock = LockFile::read(&folder.join(inputs::LOCK))?;
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
                let hash = zip.sha256.map(Sha256::to_hex).unwrap_or_default();
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
        let noun = if tally.files == 1 { "file" } else { "files" };
        let _ =
            writeln!(text, "  {:<42} {:>6} {noun:<5} {:>10}", reason.text(), tally.files, size(tally.bytes));
        for (what, tally) in layer.plan.excluded_places(*reason, 5) {
            let _ = writeln!(text, "      {what:<52} {:>6} {:>10}", tally.files, size(tally.bytes));
        }
    }
    text
}
