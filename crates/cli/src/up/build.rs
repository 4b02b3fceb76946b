//! The stages left of the endpoint: resolve, fetch, plan, zip.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_build::{
    app::CodeZip,
    assemble::{LayerZip, assemble},
    inspect::inspect,
    layer::{Part, PlannedLayer, Wanted as WantedLayer},
};
use layercake_core::{
    aws::LayerVersionArn,
    check::{NamedContents, Verdict},
    hash::Sha256,
    limits,
    report::{LayerReport, Published, StageTime, packages},
    resolution::Resolution,
};

use super::prepare::Wanted;
use crate::{
    error::{CommandError, Kind},
    settings::Settings,
    stages::{self, Checked},
    ui::{SharedUi, Ui},
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
    layer: PlannedLayer,
    checks: Vec<Verdict>,
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
            packages: packages(&self.resolution, &self.layer.plan),
            files: self.layer.plan.files.len() as u64,
            zipped: self.zip.size,
            unzipped: self.zip.unzipped,
            sha256: self.zip.sha256,
            excluded: self.layer.plan.excluded_by_reason(),
            findings: self.layer.plan.findings.clone(),
            pulled: self.layer.pulled.clone(),
            without_bytecode: self.layer.without_bytecode.clone(),
            checks: self.checks.clone(),
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
    let layer = if !wanted.has_requirements() {
        ui.say("      note: the app has no requirements, so there is no layer");
        None
    } else {
        Some(build_layer(wanted, cache, ui, times)?)
    };
    let code = pack(wanted, cache)?;
    let mut built = Built { layer, code };
    built.check_sizes()?;
    if let Some(layer) = &mut built.layer {
        layer.checks = check(wanted, layer, &built.code, ui, times)?;
    }
    Ok(built)
}

/// The same when only the code has changed: the layer is the one that there is.
pub(crate) fn rebuild_code(
    wanted: &Wanted,
    built: &mut Built,
    settings: &Settings,
    ui: &Ui,
) -> Result<(), CommandError> {
    built.code = pack(wanted, &settings.cache)?;
    built.check_sizes()?;
    if let Some(layer) = &mut built.layer {
        layer.checks = check(wanted, layer, &built.code, ui, &mut Vec::new())?;
    }
    Ok(())
}

fn pack(wanted: &Wanted, cache: &Utf8Path) -> Result<CodeZip, CommandError> {
    let key = Sha256::of(format!("{} {}", wanted.path.path(), wanted.function).as_bytes()).to_hex();
    Ok(wanted.app.pack(&cache.join("code").join(format!("{}.zip", &key[..32])))?)
}

/// Whether the function will run with its layer, told before anything is uploaded.
fn check(
    wanted: &Wanted,
    layer: &BuiltLayer,
    code: &CodeZip,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Vec<Verdict>, CommandError> {
    let inspected = inspect(&code.path)?;
    let function =
        NamedContents { name: "code".to_owned(), contents: inspected.contents, zip_bytes: inspected.size };
    let checked = Checked {
        targets: &[wanted.target],
        layers: &[stages::named(wanted.layer.as_str(), &layer.layer.plan, &layer.layer)],
        function: Some(&function),
        environment: &wanted.variables,
        handler: Some(&wanted.handler),
    };
    stages::check(&checked, !wanted.arguments.no_check, ui, times)
}

fn build_layer(
    wanted: &Wanted,
    cache: &Utf8PathBuf,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<BuiltLayer, CommandError> {
    let index = stages::open_index(&wanted.arguments.index, &wanted.asked, &wanted.interpreters, cache, ui)?;
    let resolution = wanted.resolution(&index, ui, times)?;
    let wheels = stages::fetch_wheels(&index, &resolution, ui, times)?;
    let options = &wanted.arguments.layer;
    let policy = stages::policy(options, &wanted.configuration);
    let compiler = stages::compiler(&wanted.interpreters, wanted.target, &policy, cache)?;
    let hashes: Vec<_> = wheels.files.iter().map(|file| file.sha256.to_hex()).collect();
    let parts = vec![Part { target: wanted.target, wheels, compiler }];
    let imported = stages::imported(&wanted.app)?;
    let limit = options.budget.or(wanted.configuration.budget).unwrap_or(limits::UNZIPPED_BYTES);
    let has_fit = options.fit || wanted.configuration.fit == Some(true);
    let layer_wanted = WantedLayer { policy: &policy, imported: &imported, fit: has_fit.then_some(limit) };
    let layer = stages::plan(parts, layer_wanted, cache, ui, times)?;
    if let Some(error) = stages::too_large(&layer, limit, has_fit) {
        return Err(error);
    }
    let stage = ui.stage("build", "building the layer");
    let key = format!("{} {} {}", layer.policy.key(), wanted.target, hashes.join(" "));
    let key = Sha256::of(key.as_bytes()).to_hex();
    let path = cache.join("layers").join(format!("{}.zip", &key[..32]));
    let zip = assemble(&layer.plan, &layer.wheels, &layer.derived, &path)?;
    let details =
        format!("layer of {} files, {}", layer.plan.files.len(), stages::sizes(zip.size, zip.unzipped));
    times.push(stage.done("Built", &details));
    stages::say_excluded(&layer, ui);
    Ok(BuiltLayer { resolution, layer, checks: Vec::new(), zip })
}
