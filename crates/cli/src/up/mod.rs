//! `layercake up`: an app to a running function, stage by stage.
//!
//! Reads as the list of stages; each stage's work is a library's. [`prepare`] decides what is
//! wanted, [`build`] makes the zips, [`deploy`] brings them to the endpoint; [`watch`] does it again
//! for every change.

mod build;
mod changes;
mod deploy;
mod dry_run;
mod prepare;
mod watch;

use std::{process::ExitCode, sync::Arc};

use layercake_core::report::{Invocation, REPORT_FORMAT, Report, StageTime};
use layercake_deploy::{FunctionSpec, JournalFile};
use layercake_local::Presence;

use crate::{
    args::{Common, Up},
    cloud::Cloud,
    error::{CommandError, Kind},
    registry::Registry,
    settings::Settings,
    ui::Ui,
};
use build::Built;
use prepare::Wanted;

/// Runs the command.
pub(crate) async fn run(common: &Common, up: Up, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, up.index.cache_dir.as_deref())?;
    let wanted = Arc::new(prepare::prepare(up, &settings)?);
    for note in &wanted.notes {
        ui.say(&format!("      note: {note}"));
    }
    if wanted.arguments.dry_run {
        return dry_run::print(wanted, &settings, ui).await;
    }
    // What is saved from here on is seen: nothing is lost while the first version is on its way.
    let changes = if wanted.arguments.watch { Some(changes::Changes::begin(&wanted)?) } else { None };
    let mut times = Vec::new();
    let built = tokio::select! {
        built = build::build(Arc::clone(&wanted), &settings, ui, &mut times) => built?,
        error = interrupted() => return Err(error.with_hint("nothing was created")),
    };
    let cloud = tokio::select! {
        cloud = open(&wanted, &settings, ui) => cloud?,
        error = interrupted() => return Err(error.with_hint("nothing was created")),
    };
    let outcome = on_endpoint(&wanted, &built, &cloud, &settings, ui, &mut times).await;
    if let Some(changes) = changes {
        let watched = match outcome {
            Ok((report, spec)) => {
                show(&report.invocation, ui);
                watch::Watch { wanted, built, spec, cloud: &cloud, settings: &settings, ui }
                    .run(changes)
                    .await
            }
            Err(error) => Err(error),
        };
        cloud.close().await;
        return watched;
    }
    cloud.close().await;
    finish(&outcome?.0, &wanted, ui)
}

/// What stays while the code is changed serves others too.
async fn open(wanted: &Wanted, settings: &Settings, ui: &Ui) -> Result<Cloud, CommandError> {
    let presence = if wanted.arguments.watch { Presence::Serving } else { Presence::Embedded };
    let Up { on, aws, .. } = &wanted.arguments;
    Cloud::open_as(presence, *on, aws, settings, &wanted.interpreters, ui).await
}

/// The app's journal, of which a `down` without an app knows before there is anything in it.
fn open_journal(wanted: &Wanted, cloud: &Cloud, registry: &Registry) -> Result<JournalFile, CommandError> {
    registry.announce(&wanted.journal)?;
    let mut still = Ok(());
    let journal = JournalFile::open_or_begin(&wanted.journal, || {
        // A `down` that found it not begun has forgotten it, if it came before the lock.
        still = registry.announce(&wanted.journal);
        wanted.opening(&cloud.place)
    })?;
    still?;
    registry.add(&wanted.journal)?;
    Ok(journal)
}

/// Brings what was built to the endpoint. When that is interrupted in an app's first run, what it
/// made is removed again.
async fn on_endpoint(
    wanted: &Wanted,
    built: &Built,
    cloud: &Cloud,
    settings: &Settings,
    ui: &Arc<Ui>,
    times: &mut Vec<StageTime>,
) -> Result<(Report, FunctionSpec), CommandError> {
    let registry = Registry::at(&settings.registry);
    registry.restore(&wanted.journal)?;
    let known = JournalFile::peek(&wanted.journal)?;
    if let Some(journal) = &known {
        wanted.check_journal(journal, &cloud.place)?;
    }
    let mut journal = open_journal(wanted, cloud, &registry)?;
    let (deployed, interrupt) = until_interrupted(wanted, built, cloud, &mut journal, ui, times).await?;
    let app = &wanted.arguments.app;
    match (deployed, interrupt) {
        (Ok(deployed), None) => {
            let spec = deployed.spec.clone();
            Ok((report(wanted, built, cloud, deployed, times), spec))
        }
        (Err(error), None) if journal.journal().steps().is_empty() => {
            journal.close()?;
            registry.remove(&wanted.journal);
            Err(error)
        }
        (Err(error), None) => Err(error.with_hint(format!(
            "what was made so far is in the journal: run the same command again to go on, or `layercake down {app}`"
        ))),
        (_, Some(interrupt)) if known.is_none() => {
            ui.warn("interrupted: removing what was made (interrupt again to leave it to `layercake down`)");
            let mut gone = Vec::new();
            tokio::select! {
                undone = crate::down::undo(&cloud.endpoint, &mut journal, ui, &mut gone) => undone?,
                error = interrupted() => return Err(error.with_hint("run `layercake down` to remove what is left")),
            }
            journal.close()?;
            registry.remove(&wanted.journal);
            Err(interrupt.with_hint("everything it had made was removed"))
        }
        (_, Some(interrupt)) => Err(interrupt.with_hint(format!(
            "the function stays as it is: run the same command again, or `layercake down {app}`"
        ))),
    }
}

/// Deploys; when interrupted, begins nothing new, but lets the request under way come to its end:
/// dropped, it would still take effect, and nobody would know of what it makes.
async fn until_interrupted(
    wanted: &Wanted,
    built: &Built,
    cloud: &Cloud,
    journal: &mut JournalFile,
    ui: &Arc<Ui>,
    times: &mut Vec<StageTime>,
) -> Result<(Result<deploy::Deployed, CommandError>, Option<CommandError>), CommandError> {
    let stop = journal.stop();
    let mut deploying = std::pin::pin!(deploy::deploy(wanted, built, &cloud.endpoint, journal, ui, times));
    let interrupt = tokio::select! {
        deployed = &mut deploying => return Ok((deployed, None)),
        error = interrupted() => error,
    };
    stop.now();
    tokio::select! {
        deployed = &mut deploying => Ok((deployed, Some(interrupt))),
        error = interrupted() => Err(error.with_hint("run `layercake down` to remove what was made")),
    }
}

fn report(
    wanted: &Wanted,
    built: &Built,
    cloud: &Cloud,
    deployed: deploy::Deployed,
    times: &[StageTime],
) -> Report {
    Report {
        format: REPORT_FORMAT,
        app: wanted.app.name.clone(),
        on: cloud.place.word().to_owned(),
        endpoint: cloud.url.clone(),
        target: wanted.target,
        layer: built
            .layer
            .as_ref()
            .zip(deployed.layer)
            .map(|(layer, (arn, published))| layer.report(arn, published)),
        function: deployed.function,
        invocation: deployed.invocation,
        stages: times.to_vec(),
        notes: wanted.notes.clone(),
    }
}

/// Prints the result: the function's log and its response, or the whole report.
fn finish(report: &Report, wanted: &Wanted, ui: &Ui) -> Result<ExitCode, CommandError> {
    if wanted.arguments.json {
        ui.print(&json(report)?);
    } else {
        show(&report.invocation, ui);
    }
    let Some(kind) = &report.invocation.function_error else {
        ui.say(&format!("\nRemove all of it with: layercake down {}", wanted.arguments.app));
        return Ok(ExitCode::SUCCESS);
    };
    let text = |key: &str| report.invocation.payload.string_at(key).unwrap_or_else(|| "?".to_owned());
    Err(CommandError::new(
        Kind::User,
        format!("the function failed ({kind}): {}: {}", text("errorType"), text("errorMessage")),
        format!(
            "mend the code and run the same command again: only the code is updated; or `layercake down {}`",
            wanted.arguments.app
        ),
    ))
}

/// Prints a run: its log and its response.
fn show(invocation: &Invocation, ui: &Ui) {
    ui.print(&invocation.log);
    ui.print(&format!("Response: {}", invocation.payload.text()));
}

/// A value as the one JSON document on stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, CommandError> {
    serde_json::to_string_pretty(value).map_err(|error| CommandError {
        kind: Kind::Bug,
        error: Box::new(error),
        hints: Vec::new(),
    })
}

/// Waits for Ctrl-C, or for the system to end the process.
pub(crate) async fn interrupted() -> CommandError {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    CommandError { kind: Kind::Interrupted, error: "interrupted".into(), hints: Vec::new() }
}
