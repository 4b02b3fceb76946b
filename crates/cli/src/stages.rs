//! The stages left of the endpoint, which `up` and `build` share: resolve, fetch, derive, plan.
//!
//! Owns their lines and bars. Each stage's work is a library's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use camino::Utf8Path;
use indicatif::ProgressBar;
use layercake_build::{
    app::App,
    derive::{self, Compiler},
    fetch::{self, WheelSet, fetch},
    layer::{Part, PlannedLayer, Wanted, plan_layer},
    resolve::{Asked, IndexOptions, IndexStrategy, PackageIndex, installed::unfulfilled},
};
use layercake_core::{
    aws::Handler,
    check::{
        Finding as CheckFinding, NamedContents, Severity, Subject, Verdict, verdict, visible_distributions,
    },
    configuration::Configuration,
    imports::test_modules_imported,
    limits,
    plan::{Finding, LayerPlan, Policy, Profile},
    report::StageTime,
    resolution::Resolution,
    target::Target,
};
use layercake_local::interpreters::Interpreters;

use crate::{
    args::{Index, Keyring, LayerOptions, Strategy},
    error::{CommandError, Kind},
    ui::{Ui, share, size},
};

/// What the options and the project's settings make of a layer. What was typed wins.
pub(crate) fn policy(options: &LayerOptions, configuration: &Configuration) -> Policy {
    let mut policy = Policy::of(options.profile.or(configuration.profile).unwrap_or_default());
    policy.keep = configuration.keep.iter().chain(&options.keep).cloned().collect();
    policy.drop = configuration.drop.iter().chain(&options.drop).cloned().collect();
    if let Some(bytecode) = options.bytecode.or(configuration.bytecode) {
        policy.bytecode = bytecode;
    }
    if options.no_strip || configuration.strip == Some(false) {
        policy.strip = false;
    } else if configuration.strip == Some(true) {
        policy.strip = true;
    }
    policy
}

/// The settings of the folder that the input lies in: `layercake.toml`, or else `[tool.layercake]`
/// of its pyproject.toml. A file that the user names must be there.
pub(crate) fn configuration(
    named: Option<&Utf8Path>,
    folder: &Utf8Path,
) -> Result<Configuration, CommandError> {
    let read = |path: &Utf8Path| {
        std::fs::read_to_string(path).map_err(|error| {
            CommandError::new(
                Kind::User,
                format!("cannot read the settings file `{path}`: {error}"),
                "check the path that --config gives",
            )
        })
    };
    if let Some(path) = named {
        let text = read(path)?;
        return Ok(if path.file_name() == Some("pyproject.toml") {
            Configuration::of_project(path.as_str(), &text)?.unwrap_or_default()
        } else {
            Configuration::read(path.as_str(), &text)?
        });
    }
    let own = folder.join("layercake.toml");
    if own.is_file() {
        return Ok(Configuration::read(own.as_str(), &read(&own)?)?);
    }
    let project = folder.join("pyproject.toml");
    if project.is_file() {
        return Ok(Configuration::of_project(project.as_str(), &read(&project)?)?.unwrap_or_default());
    }
    Ok(Configuration::default())
}

/// The package index as the arguments and the requirement files name it.
pub(crate) fn open_index(
    given: &Index,
    asked: &Asked,
    interpreters: &Interpreters,
    cache: &Utf8Path,
    ui: &Ui,
) -> Result<PackageIndex, CommandError> {
    let mut options = IndexOptions::new(cache.to_owned());
    // The best of each minor version comes first; it builds source distributions.
    for interpreter in interpreters.all() {
        let minor = interpreter.version.1;
        if options.pythons.iter().all(|(known, _)| *known != minor) {
            options.pythons.push((minor, interpreter.executable.clone()));
        }
    }
    options.offline = given.offline;
    options.exclude_newer = given.exclude_newer.clone();
    options.indexes.index_url = given.index_url.clone();
    options.indexes.extra_index_urls = given.extra_index_url.clone();
    options.indexes.find_links = given.find_links.clone();
    options.indexes.no_index = given.no_index;
    options.indexes = options.indexes.or(asked.indexes.clone());
    options.strategy = match given.index_strategy {
        Strategy::FirstIndex => IndexStrategy::FirstIndex,
        Strategy::UnsafeFirstMatch => IndexStrategy::UnsafeFirstMatch,
        Strategy::UnsafeBestMatch => IndexStrategy::UnsafeBestMatch,
    };
    options.keyring = given.keyring_provider == Keyring::Subprocess;
    options.pre = given.pre;
    // clap does not keep the order between two options, so `:all:` comes before the names.
    let is_all = |value: &&String| value.split(',').any(|name| name == ":all:");
    for all in [true, false] {
        for value in given.only_binary.iter().filter(|value| is_all(value) == all) {
            options.formats.only_binary(value);
        }
        for value in given.no_binary.iter().filter(|value| is_all(value) == all) {
            options.formats.no_binary(value);
        }
    }
    for note in &asked.notes {
        ui.say(&format!("      note: {note}"));
    }
    let index = PackageIndex::open(options)?;
    let ui = ui.clone();
    index.on_build(move |what| ui.say(&format!("  building {what} from source, which runs its own code")));
    Ok(index)
}

/// Chooses the wheels.
pub(crate) fn resolve(
    index: &PackageIndex,
    asked: &Asked,
    target: Target,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Resolution, CommandError> {
    let stage = ui.stage("resolve", format!("resolving for {target}"));
    let resolution = index.resolve(asked, target)?;
    times.push(stage.done("Resolved", &resolved(&resolution)));
    Ok(resolution)
}

/// A resolution in a few words.
pub(crate) fn resolved(resolution: &Resolution) -> String {
    let count = resolution.wheels.len();
    let noun = if count == 1 { "package" } else { "packages" };
    format!("{count} {noun} for {}", resolution.target)
}

/// Brings the wheels into the cache.
pub(crate) fn fetch_wheels(
    index: &PackageIndex,
    resolution: &Resolution,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<WheelSet, CommandError> {
    let stage = ui.stage("fetch", "fetching wheels");
    let bars = Bars { ui, open: Mutex::default() };
    let wheels = fetch(index, resolution, &bars)?;
    let bytes = wheels.files.iter().map(|file| file.size).sum();
    let cached = wheels.files.len() - wheels.downloaded;
    let from = match (wheels.downloaded, cached) {
        (0, _) => "all from the cache".to_owned(),
        (_, 0) => "verified".to_owned(),
        _ => format!("verified, {cached} from the cache"),
    };
    let noun = if wheels.files.len() == 1 { "wheel" } else { "wheels" };
    times.push(stage.done("Fetched", &format!("{} {noun}, {}, {from}", wheels.files.len(), size(bytes))));
    Ok(wheels)
}

/// What compiles for a target, if this machine has it.
pub(crate) fn compiler(
    interpreters: &Interpreters,
    target: Target,
    policy: &Policy,
    cache: &Utf8Path,
) -> Result<Option<Compiler>, CommandError> {
    use layercake_core::plan::Bytecode;
    // With `--fit`, a layer without bytecode may still come to want some; one that asks for none
    // does not.
    if policy.bytecode == Bytecode::None && policy.profile != Profile::Faithful {
        return Ok(None);
    }
    match interpreters.for_runtime(target.runtime) {
        Ok(interpreter) => Ok(Some(Compiler::open(&interpreter.executable, cache)?)),
        Err(_) => Ok(None),
    }
}

/// Decides about the layer, and makes what it needs.
pub(crate) fn plan(
    parts: Vec<Part>,
    wanted: Wanted<'_>,
    cache: &Utf8Path,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<PlannedLayer, CommandError> {
    let stage = ui.stage("plan", "planning the layer");
    let bar = WorkBar { ui, bar: Mutex::default() };
    let layer = plan_layer(cache, parts, wanted, &bar)?;
    bar.clear();
    let made = match layer.derived.made {
        0 => String::new(),
        made => format!(", {made} of them compiled or stripped now"),
    };
    times.push(stage.done("Planned", &format!("{} files{made}", layer.plan.files.len())));
    for pulled in &layer.pulled {
        ui.say(&format!("           to fit: {}; {} less", pulled.lever.text(), size(pulled.gained)));
    }
    for target in &layer.without_bytecode {
        ui.warn(&format!(
            "no Python {} on this machine, so there is no bytecode for it: cold starts will take about three times as long in imports; install it or name one with --python",
            target.runtime.python_version()
        ));
    }
    for finding in &layer.plan.findings {
        if let Finding::Conflict { path, kept, dropped } = finding {
            ui.warn(&format!("`{path}` is in {dropped} and in {kept}; the layer has that of {kept}"));
        }
    }
    Ok(layer)
}

/// What is checked before anything is uploaded or written.
pub(crate) struct Checked<'a> {
    /// What it is to run on.
    pub(crate) targets: &'a [Target],
    /// The layers, in the order in which Lambda extracts them.
    pub(crate) layers: &'a [NamedContents],
    /// The function's code, when it is known.
    pub(crate) function: Option<&'a NamedContents>,
    /// Its environment variables.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// What Lambda calls.
    pub(crate) handler: Option<&'a Handler>,
}

/// Tells whether it will run. Warnings are said; what Lambda would refuse or what cannot run is an
/// error, unless the user wants to go on all the same.
pub(crate) fn check(
    checked: &Checked<'_>,
    is_fatal: bool,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Vec<Verdict>, CommandError> {
    let stage = ui.stage("check", "checking whether it will run");
    let mut verdicts = Vec::new();
    for &target in checked.targets {
        let visible = visible_distributions(target, checked.layers, checked.function);
        verdicts.push(verdict(&Subject {
            target,
            layers: checked.layers,
            function: checked.function,
            environment: checked.environment,
            handler: checked.handler,
            unfulfilled: &unfulfilled(target, &visible)?,
        }));
    }
    let told = |severity| {
        let findings = verdicts.iter().flat_map(|verdict| &verdict.findings);
        let mut told: Vec<&CheckFinding> = findings.filter(|finding| finding.severity == severity).collect();
        told.dedup_by(|a, b| (a.code, &a.why) == (b.code, &b.why));
        told
    };
    let (errors, warnings) = (told(Severity::Error), told(Severity::Warning));
    let words = match (errors.len(), warnings.len()) {
        (0, 0) => "it will run".to_owned(),
        (0, count) => format!("it will run; {}", counted(count, "warning")),
        (count, _) => format!("it will not run: {}", counted(count, "error")),
    };
    times.push(stage.done("Checked", &words));
    let Some((first, others)) = errors.split_first() else {
        for finding in warnings {
            ui.warn(&in_a_sentence(finding));
        }
        return Ok(verdicts);
    };
    if !is_fatal {
        for finding in &errors {
            ui.warn(&in_a_sentence(finding));
        }
        return Ok(verdicts);
    }
    let mut error =
        CommandError::new(Kind::User, format!("it would not run: {}", first.why), first.fix.clone());
    for finding in others.iter().take(4) {
        let is_same = finding.fix == first.fix;
        error = error.with_hint(if is_same { finding.why.clone() } else { in_a_sentence(finding) });
    }
    if others.len() > 4 {
        error = error.with_hint(format!("and {} more", counted(others.len() - 4, "error")));
    }
    Err(error)
}

fn in_a_sentence(finding: &CheckFinding) -> String {
    let file = finding.file.as_deref().map(|file| format!(" ({file})")).unwrap_or_default();
    format!("{}{file}; {}", finding.why, finding.fix)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The layer that a plan gives, for the check.
pub(crate) fn named(name: &str, plan: &LayerPlan, layer: &PlannedLayer) -> NamedContents {
    NamedContents {
        name: name.to_owned(),
        contents: plan.contents(&layer.wheels.contents, &layer.derived.files),
        zip_bytes: plan.zip_size(),
    }
}

/// Says what was left out of a layer, by reason.
pub(crate) fn say_excluded(layer: &PlannedLayer, ui: &Ui) {
    for (reason, tally) in layer.plan.excluded_by_reason() {
        let noun = if tally.files == 1 { "file" } else { "files" };
        ui.say(&format!(
            "           left out: {}, {} {noun}, {}",
            reason.text(),
            tally.files,
            size(tally.bytes)
        ));
    }
}

/// The error for a layer that Lambda would refuse, with all that could help.
pub(crate) fn too_large(layer: &PlannedLayer, limit: u64, has_fit: bool) -> Option<CommandError> {
    let Some(Finding::TooLarge { unzipped, heaviest, .. }) = layer.plan.too_large(limit) else { return None };
    let heaviest: Vec<_> = heaviest.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
    let what = if limit == limits::UNZIPPED_BYTES { "Lambda takes less than" } else { "the budget is" };
    let over = size((unzipped + 1).saturating_sub(limit));
    let mut error = CommandError::new(
        Kind::User,
        format!("the layer would be {unzipped} bytes unzipped; {what} {limit}: {over} too many"),
        format!("heaviest: {}", heaviest.join(", ")),
    );
    error = if has_fit {
        let pulled: Vec<_> = layer.pulled.iter().map(|pulled| size(pulled.gained)).collect();
        let gained = if pulled.is_empty() {
            "no lever gains anything".to_owned()
        } else {
            format!("--fit gained {}, and no lever is left", pulled.join(" + "))
        };
        error.with_hint(format!(
            "{gained}: leave out a package, drop parts of one with --drop, or give the function its data from a bucket"
        ))
    } else {
        error.with_hint("try --fit, which makes the layer smaller by what costs least")
    };
    Some(error)
}

/// Zipped and unzipped sizes against the limits they run into.
pub(crate) fn sizes(zipped: u64, unzipped: u64) -> String {
    let zip = if limits::fits_in_request(zipped) {
        share(zipped, limits::ZIPPED_DIRECT_BYTES)
    } else {
        format!("{} (more than the {} of a request)", size(zipped), size(limits::ZIPPED_DIRECT_BYTES))
    };
    format!("{zip} zipped, {} unzipped", share(unzipped, limits::UNZIPPED_BYTES))
}

/// Test modules that an app's sources import.
pub(crate) fn imported(app: &App) -> Result<BTreeSet<String>, CommandError> {
    let sources = app.python_sources()?;
    Ok(sources.iter().flat_map(|(path, text)| test_modules_imported(path, text)).collect())
}

/// A bar for each download under way.
struct Bars<'a> {
    ui: &'a Ui,
    open: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars<'_> {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, ProgressBar>) -> T) -> T {
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fetch::Progress for Bars<'_> {
    fn started(&self, filename: &str, size: Option<u64>) {
        let bar = self.ui.bar(filename, size);
        self.with(|open| open.insert(filename.to_owned(), bar));
    }

    fn at(&self, filename: &str, bytes: u64) {
        self.with(|open| {
            if let Some(bar) = open.get(filename) {
                bar.set_position(bytes);
            }
        });
    }

    fn finished(&self, filename: &str) {
        if let Some(bar) = self.with(|open| open.remove(filename)) {
            bar.finish_and_clear();
        }
    }
}

/// One bar for compiling and stripping.
struct WorkBar<'a> {
    ui: &'a Ui,
    bar: Mutex<Option<ProgressBar>>,
}

impl WorkBar<'_> {
    fn clear(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

impl derive::Progress for WorkBar<'_> {
    fn begun(&self, bytes: u64) {
        self.clear();
        let bar = self.ui.bar("compiling and stripping", Some(bytes));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advanced(&self, bytes: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(bytes);
        }
    }
}
