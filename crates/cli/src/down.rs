//! `layercake down`: removes exactly what `up` made, newest first.

use std::{process::ExitCode, sync::Arc};

use layercake_core::journal::{Place, Step};
use layercake_deploy::{Endpoint, JournalFile, Undone, destroy};
use layercake_local::Interpreters;
use serde::Serialize;

use crate::{
    args::{Common, Down, On},
    cloud::Cloud,
    error::CommandError,
    journals::{self, Standing},
    registry::Registry,
    settings::Settings,
    ui::Ui,
    up::{interrupted, json},
};

/// A resource and what became of it, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Gone {
    resource: String,
    outcome: &'static str,
}

/// What became of an app's resources.
#[derive(Debug, Serialize)]
struct AppDown {
    journal: String,
    on: &'static str,
    resources: Vec<Gone>,
}

/// Runs the command.
pub(crate) async fn run(common: &Common, down: Down, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, None)?;
    let registry = Registry::at(&settings.registry);
    let mut found = match &down.app {
        Some(app) => journals::of_app(app, down.state.as_deref(), &registry)?,
        None => journals::of_all(&registry)?,
    };
    for journal in &found.lost {
        ui.warn(&format!("the journal `{journal}` is gone, and with it the list of what its app made"));
    }
    found.standing.retain(|standing| is_wanted(standing, down.on));
    // One app must not keep another from being removed: what fails is told, and the rest goes on.
    let mut failed = found.unreadable;
    if found.standing.is_empty() && failed.is_empty() {
        ui.say("nothing is up");
    }
    if down.dry_run {
        print_steps(&found.standing, down.json, ui)?;
        return end(failed, ui);
    }
    registry.sweep();
    for journal in &found.unbegun {
        if let Err(error) = JournalFile::clear(journal, || registry.remove(journal)) {
            failed.push(error.into());
        }
    }
    let interpreters = settings.interpreters();
    let mut apps = Vec::new();
    for standing in found.standing {
        let mut resources = Vec::new();
        let outcome = tokio::select! {
            outcome = take_down(&standing, &interpreters, &registry, ui, &mut resources) => outcome,
            error = interrupted() => {
                return Err(error.with_hint("run the same command again: it goes on where it was"));
            }
        };
        let on = standing.journal.opening.place.word();
        apps.push(AppDown { journal: standing.path.to_string(), on, resources });
        failed.extend(outcome.err());
    }
    if down.json {
        ui.print(&json(&serde_json::json!({ "format": 1, "apps": apps }))?);
    }
    end(failed, ui)
}

/// Tells every failure; the last one is the command's.
fn end(mut failed: Vec<CommandError>, ui: &Ui) -> Result<ExitCode, CommandError> {
    let last = failed.pop();
    for error in &failed {
        ui.error(error);
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn is_wanted(standing: &Standing, on: Option<On>) -> bool {
    match on {
        None => true,
        Some(On::Local) => matches!(standing.journal.opening.place, Place::Local { .. }),
        Some(On::Aws) => matches!(standing.journal.opening.place, Place::Aws { .. }),
    }
}

async fn take_down(
    standing: &Standing,
    interpreters: &Interpreters,
    registry: &Registry,
    ui: &Ui,
    gone: &mut Vec<Gone>,
) -> Result<(), CommandError> {
    // It may have gone between the listing and now: another `down` was faster.
    let Some(mut journal) = JournalFile::open(&standing.readable)? else { return Ok(()) };
    if !journal.journal().steps().is_empty() {
        let cloud = Cloud::reopen(&standing.journal.opening.place, interpreters, ui).await?;
        let outcome = undo(&cloud.endpoint, &mut journal, ui, gone).await;
        cloud.close().await;
        outcome?;
    }
    journal.close()?;
    registry.remove(&standing.path);
    Ok(())
}

/// Undoes a journal, with a line for each resource.
pub(crate) async fn undo(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    ui: &Ui,
    gone: &mut Vec<Gone>,
) -> Result<(), CommandError> {
    let tell = |step: &Step, outcome: Undone| {
        let resource = step.resource.describe();
        let word = match outcome {
            Undone::Removed => "removed",
            Undone::WasGone => "was gone",
            Undone::NotOurs => "not ours",
        };
        match outcome {
            Undone::NotOurs => ui.warn(&format!("{resource} is not what `up` made; it stays")),
            _ => ui.say(&format!("{word:>10} {resource}")),
        }
        gone.push(Gone { resource, outcome: word });
    };
    destroy(endpoint, journal, tell).await.map_err(|error| {
        CommandError::from(error).with_hint("run the same command again: what is removed stays removed")
    })
}

fn print_steps(standing: &[Standing], as_json: bool, ui: &Ui) -> Result<(), CommandError> {
    let mut apps = Vec::new();
    for standing in standing {
        let resources: Vec<_> =
            standing.journal.cleanup().iter().map(|step| step.resource.describe()).collect();
        let on = standing.journal.opening.place.word();
        if !as_json {
            let lines: Vec<_> = resources.iter().map(|resource| format!("    remove  {resource}")).collect();
            ui.print(&format!("{} (on {on})\n{}", standing.path, lines.join("\n")));
        }
        apps.push(serde_json::json!({ "journal": standing.path, "on": on, "resources": resources }));
    }
    if as_json {
        ui.print(&json(&serde_json::json!({ "format": 1, "dryRun": true, "apps": apps }))?);
    }
    Ok(())
}
