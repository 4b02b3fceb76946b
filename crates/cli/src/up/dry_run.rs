//! `up --dry-run`: the steps, printed and not done. Reads the index and the journal; writes
//! nothing but the index's pages into the cache, and speaks to no endpoint.

use std::{process::ExitCode, sync::Arc};

use layercake_core::{journal::Resource, limits, resolution::Resolution};
use layercake_deploy::{JournalFile, role_name};
use serde::Serialize;

use super::{json, prepare::Wanted};
use crate::{
    args::On,
    error::{CommandError, Kind},
    settings::Settings,
    stages,
    ui::{SharedUi, size},
};

/// One step, as it is printed.
#[derive(Serialize)]
struct Step {
    stage: &'static str,
    what: String,
}

/// Prints the steps.
pub(crate) async fn print(
    wanted: Arc<Wanted>,
    settings: &Settings,
    ui: &SharedUi,
) -> Result<ExitCode, CommandError> {
    let resolution = resolve(Arc::clone(&wanted), settings, ui).await?;
    let steps = steps(&wanted, resolution.as_ref())?;
    if wanted.arguments.json {
        ui.print(&json(
            &serde_json::json!({ "format": 1, "dryRun": true, "steps": steps, "resolution": resolution }),
        )?);
    } else {
        let lines: Vec<_> = steps.iter().map(|step| format!("{:>10}  {}", step.stage, step.what)).collect();
        ui.print(&lines.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn resolve(
    wanted: Arc<Wanted>,
    settings: &Settings,
    ui: &SharedUi,
) -> Result<Option<Resolution>, CommandError> {
    if !wanted.has_requirements() {
        return Ok(None);
    }
    let (cache, ui) = (settings.cache.clone(), Arc::clone(ui));
    let work = tokio::task::spawn_blocking(move || {
        let index =
            stages::open_index(&wanted.arguments.index, &wanted.asked, &wanted.interpreters, &cache, &ui)?;
        wanted.resolution(&index, &ui, &mut Vec::new())
    });
    let answer = tokio::select! {
        answer = work => answer,
        error = super::interrupted() => return Err(error),
    };
    answer
        .map_err(|error| CommandError { kind: Kind::Bug, error: Box::new(error), hints: Vec::new() })?
        .map(Some)
}

fn steps(wanted: &Wanted, resolution: Option<&Resolution>) -> Result<Vec<Step>, CommandError> {
    let journal = JournalFile::peek(&wanted.journal)?;
    let stands = |pick: &dyn Fn(&Resource) -> bool| {
        journal.as_ref().is_some_and(|journal| journal.steps().iter().any(|step| pick(&step.resource)))
    };
    let mut steps = Vec::new();
    let mut add = |stage, what| steps.push(Step { stage, what });
    if let Some(resolution) = resolution {
        // Some indexes tell no sizes; then nothing can be said before the wheels are here.
        let bytes: Option<u64> = resolution.wheels.iter().map(|wheel| wheel.size).sum();
        for wheel in &resolution.wheels {
            let weight = wheel.size.map_or_else(|| "size unknown".to_owned(), size);
            add("fetch", format!("{} ({weight})", wheel.filename));
        }
        let most = bytes.map(|bytes| format!(", at most {} zipped", size(bytes))).unwrap_or_default();
        add("build", format!("a layer of {} wheels{most}", resolution.wheels.len()));
        let way = if wanted.arguments.via_s3 {
            "through a bucket made for it and removed again"
        } else if bytes.is_some_and(limits::fits_in_request) {
            "within the request"
        } else {
            "within the request if it gets below 52.4 MB, else through a bucket made for it and removed again"
        };
        let again = if stands(&|resource| matches!(resource, Resource::LayerVersion { .. })) {
            ", unless the version that is there has the same content"
        } else {
            ""
        };
        add("publish", format!("a version of layer {}, {way}{again}", wanted.layer));
    }
    match &wanted.arguments.role {
        Some(arn) => add("role", format!("use {arn}")),
        None => {
            let name = role_name(&wanted.function).map(|name| name.to_string()).unwrap_or_default();
            let verb =
                if stands(&|resource| matches!(resource, Resource::Role { .. })) { "keep" } else { "create" };
            add("role", format!("{verb} {name} with AWSLambdaBasicExecutionRole"));
        }
    }
    let verb = if stands(&|resource| matches!(resource, Resource::Function { .. })) {
        "update what differs in"
    } else {
        "create"
    };
    add(
        "function",
        format!(
            "{verb} {} ({}, handler {}, {} MB, {} s)",
            wanted.function, wanted.target, wanted.handler, wanted.arguments.memory, wanted.arguments.timeout
        ),
    );
    add("invoke", format!("{} with {}", wanted.function, wanted.event.text()));
    let place = match wanted.arguments.on {
        On::Local => "the local cloud",
        On::Aws => "AWS",
    };
    add("journal", format!("{}, everything on {place}", wanted.journal));
    Ok(steps)
}
