//! The stages on the endpoint: publish, role, function, test run.

use std::collections::BTreeMap;

use layercake_core::{
    aws::{LayerVersionArn, RoleName},
    limits,
    report::{Change, FunctionReport, Invocation, Published, StageTime},
};
use layercake_deploy::{
    DeployError, Endpoint, FunctionSpec, JournalFile, JournalFileError, LayerUpload, check_function,
    check_role, ensure_function, ensure_log_group, ensure_role, invoke, publish_layer, role_name,
};
use layercake_local::NETWORK_TAG;

use super::{build::Built, prepare::Wanted};
use crate::{
    error::CommandError,
    ui::{Ui, share},
};

/// What is on the endpoint now.
pub(crate) struct Deployed {
    pub(crate) layer: Option<(LayerVersionArn, Published)>,
    pub(crate) function: FunctionReport,
    pub(crate) invocation: Invocation,
    /// What the function was to be.
    pub(crate) spec: FunctionSpec,
}

/// Runs the stages.
pub(crate) async fn deploy(
    wanted: &Wanted,
    built: &Built,
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Deployed, CommandError> {
    refuse_what_is_not_ours(wanted, endpoint, journal).await?;
    ensure_log_group(endpoint, journal, &wanted.function).await?;
    let layer = publish(wanted, built, endpoint, journal, ui, times).await?;
    let role = role(wanted, endpoint, journal, ui, times).await?;
    let spec = spec(wanted, built, layer.as_ref(), role);
    let function = function(&spec, built, endpoint, journal, layer.as_ref(), ui, times).await?;
    let stage = ui.stage("invoke", "running the function");
    let invocation = test_run(wanted, endpoint, journal).await?;
    times.push(stage.done("Invoked", &ran(&invocation)));
    Ok(Deployed { layer, function, invocation, spec })
}

/// Runs the function once.
pub(crate) async fn test_run(
    wanted: &Wanted,
    endpoint: &Endpoint,
    journal: &JournalFile,
) -> Result<Invocation, CommandError> {
    let stop = journal.stop();
    tokio::select! {
        invocation = invoke(endpoint, &wanted.function, &wanted.event) => Ok(invocation?),
        // A run makes nothing, so it need not be waited for.
        () = stop.asked_for() => Err(JournalFileError::Stopped.into()),
    }
}

fn spec(
    wanted: &Wanted,
    built: &Built,
    layer: Option<&(LayerVersionArn, Published)>,
    role: String,
) -> FunctionSpec {
    FunctionSpec {
        name: wanted.function.clone(),
        target: wanted.target,
        handler: wanted.handler.clone(),
        role,
        memory_mb: wanted.arguments.memory,
        timeout_seconds: wanted.arguments.timeout,
        layers: layer.map(|(arn, _)| arn.clone()).into_iter().collect(),
        variables: wanted.variables.clone(),
        tags: tags(wanted),
        zip: built.code.path.clone(),
        zip_size: built.code.size,
        zip_sha256: built.code.sha256,
        force_s3: wanted.arguments.via_s3,
    }
}

/// What the local cloud reads from a function's tags, since Lambda has no setting for it.
fn tags(wanted: &Wanted) -> BTreeMap<String, String> {
    let network = wanted.arguments.no_network.then(|| (NETWORK_TAG.to_owned(), "none".to_owned()));
    network.into_iter().collect()
}

/// Looks at the names before anything is made under them.
async fn refuse_what_is_not_ours(
    wanted: &Wanted,
    endpoint: &Endpoint,
    journal: &JournalFile,
) -> Result<(), DeployError> {
    check_function(endpoint, journal, &wanted.function).await?;
    if wanted.arguments.role.is_none() {
        check_role(endpoint, journal, &role_of(wanted)?).await?;
    }
    Ok(())
}

fn role_of(wanted: &Wanted) -> Result<RoleName, DeployError> {
    role_name(&wanted.function).map_err(|source| DeployError::Name { operation: "CreateRole", source })
}

async fn publish(
    wanted: &Wanted,
    built: &Built,
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<Option<(LayerVersionArn, Published)>, CommandError> {
    let Some(layer) = &built.layer else { return Ok(None) };
    let stage = ui.stage("publish", "publishing the layer");
    let upload = LayerUpload {
        name: wanted.layer.clone(),
        zip: layer.zip.path.clone(),
        size: layer.zip.size,
        sha256: layer.zip.sha256,
        target: wanted.target,
        description: layer.describe(),
        force_s3: wanted.arguments.via_s3,
    };
    let (arn, how) = publish_layer(endpoint, journal, &upload).await?;
    let (done, details) = match how {
        Published::Directly => ("Published", format!("{arn}, within the request")),
        Published::ViaS3 => ("Published", format!("{arn}, through a bucket that is gone again")),
        Published::Already => ("Unchanged", format!("{arn}, published before")),
    };
    times.push(stage.done(done, &details));
    Ok(Some((arn, how)))
}

async fn role(
    wanted: &Wanted,
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<String, CommandError> {
    if let Some(arn) = &wanted.arguments.role {
        return Ok(arn.clone());
    }
    let stage = ui.stage("role", "making the role");
    let name = role_of(wanted)?;
    let steps = journal.journal().next_step();
    let arn = ensure_role(endpoint, journal, &name).await?;
    let done = if journal.journal().next_step() == steps { "Unchanged" } else { "Created" };
    times.push(stage.done(done, &format!("role {name}, which may write the function's log")));
    Ok(arn)
}

async fn function(
    spec: &FunctionSpec,
    built: &Built,
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    layer: Option<&(LayerVersionArn, Published)>,
    ui: &Ui,
    times: &mut Vec<StageTime>,
) -> Result<FunctionReport, CommandError> {
    let stage = ui.stage("function", "making the function");
    let (arn, change) = ensure_function(endpoint, journal, spec).await?;
    let (done, what) = match change {
        Change::Created => ("Created", ""),
        Change::CodeUpdated => ("Updated", ", its code only"),
        Change::ConfigurationUpdated => ("Updated", ", its configuration only"),
        Change::Updated => ("Updated", ", code and configuration"),
        Change::Unchanged => ("Unchanged", ""),
    };
    let unzipped = built.code.unzipped + built.layer.as_ref().map_or(0, |layer| layer.zip.unzipped);
    let with = match layer {
        Some((arn, _)) => format!(" with {}:{}", arn.layer.name, arn.version),
        None => String::new(),
    };
    let details = format!(
        "function {} ({}, {} MB, {} s){with}{what}; code and layers {}",
        spec.name,
        spec.target.runtime,
        spec.memory_mb,
        spec.timeout_seconds,
        share(unzipped, limits::UNZIPPED_BYTES)
    );
    times.push(stage.done(done, &details));
    Ok(FunctionReport {
        name: spec.name.clone(),
        arn,
        handler: spec.handler.clone(),
        memory_mb: spec.memory_mb,
        timeout_seconds: spec.timeout_seconds,
        code_zipped: spec.zip_size,
        code_sha256: spec.zip_sha256,
        change,
    })
}

/// How a run went, in words.
pub(crate) fn ran(invocation: &Invocation) -> String {
    let outcome = match &invocation.function_error {
        Some(kind) => format!("failed ({kind})"),
        None => "answered".to_owned(),
    };
    match &invocation.figures {
        Some(figures) => {
            let start = match figures.init_ms {
                Some(init) => format!("cold start, init {init:.0} ms"),
                None => "warm".to_owned(),
            };
            format!(
                "{outcome} in {:.0} ms ({start}), {} of {} MB used",
                figures.duration_ms, figures.max_memory_mb, figures.memory_mb
            )
        }
        None => outcome,
    }
}
