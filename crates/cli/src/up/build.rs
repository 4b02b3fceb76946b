//! The stages left of the endpoint: resolve, fetch, plan, zip.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use camino::Utf8PathBuf;
use indicatif::ProgressBar;
use layercake_build::{
    app::CodeZip,
    assemble::{LayerZip, assemble},
    fetch::{Progress, WheelSet, fetch},
    resolve::{IndexOptions, PackageIndex},
};
use layercake_core::{
    aws::LayerVersionArn,
    hash::Sha256,
    imports::test_modules_imported,
    limits,
    plan::{Finding, LayerPlan},
    report::{LayerReport, Published, StageTime, packages},
    resolution::Resolution,
};

use super::{prepare::Wanted, sizes};
use crate::{
    error::{CommandError, Kind},
    settings::Settings,
    ui::{SharedUi, Ui, size},
};

/// What the stages made.
pub(crate) struct Built {
    /// The layer; nothing for an app without requirements.
    pub(crate) layer: Option<BuiltLayer>,
    /// The code.
    pub(crate) code: CodeZip,
}

impl Built {
    /// Lambda's limits on the code, alone and with the layer (FACTS.md §1), before anything is
    /// made.
    fn check_sizes(&self) -> Result<(), CommandError> {
        let code = self.code.unzipped;
        let layer = self.layer.as_ref().map_or(0, |layer| layer.zip.unzipped);
        if code < limits::UNZIPPED_BYTES && code + layer <= limits::UNZIPPED_BYTES {
            return Ok(());
        }
        Err(CommandError::new(
            Kind::User,
            format!(
                "the code is {code} bytes unzipped and the layer {layer}; Lambda takes {} together",
                limits::UNZIPPED_BYTES
            ),
            "keep data out of the app's folder, for instance in a bucket, or leave out packages",
        ))
    }
}

/// A layer, from its resolution to its zip.
pub(crate) struct BuiltLayer {
    resolution: Resolution,
    plan: LayerPlan,
    pub(crate) zip: LayerZip,
}

impl BuiltLayer {
    /// The packages in words, those that the user asked for first.
    pub(crate) fn describe(&self) -> String {
        let wheels = &self.resolution.wheels;
        let (asked, brought): (Vec<_>, Vec<_>) = wheels.iter().partition(|wheel| wheel.asked);
        let words: Vec<_> =
            asked.iter().chain(&brought).map(|wheel| format!("{} {}", wheel.name, wheel.version)).collect();
        words.join(", ")
    }

    /// The layer's part of the report.
    pub(crate) fn report(&self, arn: LayerVersionArn, published: Published) -> LayerReport {
        LayerReport {
            packages: packages(&self.resolution, &self.plan),
            files: self.plan.files.len() as u64,
            zipped: self.zip.size,
            unzipped: self.zip.unzipped,
            sha256: self.zip.sha256,
            excluded: self.plan.excluded_by_reason(),
            findings: self.plan.findings.clone(),
            arn,
            published,
        }
    }
}

/// Runs the stages. The work is blocking, so it runs on a thread of its own; when this is
/// dropped, that thread ends with the process.
pub(crate) async fn build(
    wanted: Arc<Wanted>,
    settings: &Settings,
    ui: &SharedUi,
    times: &mut Vec<StageTime>,
) -> Result<Built, CommandError> {
    let cache = settings.cache.clone();
    let ui = Arc::clone(ui);
    let work = tokio::task::spawn_blocking(move || {
        let mut times = Vec::new();
        build_blocking(&wanted, &cache, &ui, &mut times).map(|built| (built, times))
    });
    let (built, taken) = work.await.map_err(|error| CommandError {
        kind: Kind::Bug,
        error: Box::new(error),
        hints: Vec::new(),
    })??;
    times.extend(taken);
    Ok(built)
}

fn build_blocking(
    wanted: &Wanted,
    cache: &Utf8PathBuf,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Built, CommandError> {
    let layer = if wanted.asked.is_empty() {
        ui.say("      note: the app has no requirements, so there is no layer");
        None
    } else {
        let index = open_index(wanted, cache)?;
        let resolution = resolve(&index, wanted, ui, times)?;
        let wheels = fetch_wheels(&index, &resolution, ui, times)?;
        Some(build_layer(wanted, resolution, &wheels, cache, ui, times)?)
    };
    let key = Sha256::of(format!("{} {}", wanted.path.path(), wanted.function).as_bytes()).to_hex();
    let code = wanted.app.pack(&cache.join("code").join(format!("{}.zip", &key[..32])))?;
    let built = Built { layer, code };
    built.check_sizes()?;
    Ok(built)
}

/// The package index as the arguments and the app's own requirement files name it.
pub(crate) fn open_index(wanted: &Wanted, cache: &Utf8PathBuf) -> Result<PackageIndex, CommandError> {
    let given = &wanted.arguments.index;
    let mut options = IndexOptions::new(cache.clone());
    options.offline = given.offline;
    options.exclude_newer = given.exclude_newer.clone();
    options.indexes.index_url = given.index_url.clone();
    options.indexes.extra_index_urls = given.extra_index_url.clone();
    options.indexes = options.indexes.or(wanted.asked.indexes.clone());
    Ok(PackageIndex::open(options)?)
}

/// Chooses the wheels.
pub(crate) fn resolve(
    index: &PackageIndex,
    wanted: &Wanted,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Resolution, CommandError> {
    let stage = ui.stage("resolve", format!("resolving for {}", wanted.target));
    let resolution = index.resolve(&wanted.asked, wanted.target)?;
    let count = resolution.wheels.len();
    let noun = if count == 1 { "package" } else { "packages" };
    times.push(stage.done("Resolved", &format!("{count} {noun} for {}", wanted.target)));
    Ok(resolution)
}

fn fetch_wheels(
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
    times.push(stage.done("Fetched", &format!("{} wheels, {}, {from}", wheels.files.len(), size(bytes))));
    Ok(wheels)
}

fn build_layer(
    wanted: &Wanted,
    resolution: Resolution,
    wheels: &WheelSet,
    cache: &Utf8PathBuf,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<BuiltLayer, CommandError> {
    let stage = ui.stage("build", "building the layer");
    let sources = wanted.app.python_sources()?;
    let imported = sources.iter().flat_map(|(path, text)| test_modules_imported(path, text)).collect();
    let plan = LayerPlan::for_app(wanted.target, &wheels.contents, wanted.arguments.profile, &imported)?;
    for finding in &plan.findings {
        match finding {
            Finding::TooLarge { .. } => return Err(too_large(finding)),
            Finding::Conflict { path, kept, dropped } => {
                ui.warn(&format!("`{path}` is in {dropped} and in {kept}; the layer has that of {kept}"));
            }
        }
    }
    let hashes: Vec<_> = wheels.files.iter().map(|file| file.sha256.to_hex()).collect();
    let key =
        Sha256::of(format!("{:?} {} {}", plan.profile, plan.target, hashes.join(" ")).as_bytes()).to_hex();
    let zip = assemble(&plan, wheels, &cache.join("layers").join(format!("{}.zip", &key[..32])))?;
    let details = format!("layer of {} files, {}", plan.files.len(), sizes(zip.size, zip.unzipped));
    times.push(stage.done("Built", &details));
    for (reason, tally) in plan.excluded_by_reason() {
        ui.say(&format!(
            "           left out: {}, {} files, {}",
            reason.text(),
            tally.files,
            size(tally.bytes)
        ));
    }
    Ok(BuiltLayer { resolution, plan, zip })
}

fn too_large(finding: &Finding) -> CommandError {
    let Finding::TooLarge { unzipped, limit, heaviest } = finding else {
        return CommandError::new(Kind::Bug, "a finding was taken for another", "");
    };
    let heaviest: Vec<_> = heaviest.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
    CommandError::new(
        Kind::User,
        format!("the layer would be {unzipped} bytes unzipped; Lambda takes less than {limit}"),
        format!("leave out what the function does not need; heaviest: {}", heaviest.join(", ")),
    )
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

impl Progress for Bars<'_> {
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
