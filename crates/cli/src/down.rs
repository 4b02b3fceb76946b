//! `layercake down`: removes exactly what `up` made, newest first.

use std::{process::ExitCode, sync::Arc};

use camino::Utf8Path;
use layercake_core::journal::{Place, Step};
use layercake_deploy::{Endpoint, JournalFile, Undone, destroy};
use serde::Serialize;

use crate::{
    args::{Common, Down, On},
    cloud::Cloud,
    error::CommandError,
    journals::{self, AppPath, Standing},
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
    let (standing, lost) = match &down.app {
        Some(app) => (of_app(app, &down, &registry)?, Vec::new()),
        None => journals::of_all(&registry)?,
    };
    for journal in &lost {
        ui.warn(&format!("the journal `{journal}` is gone, and with it the list of what its app made"));
    }
    let standing: Vec<_> = standing.into_iter().filter(|standing| is_wanted(standing, down.on)).collect();
    if standing.is_empty() {
        ui.say("nothing is up");
    }
    if down.dry_run {
        return print_steps(&standing, down.json, ui);
    }
    let interpreters = settings.interpreters();
    let mut all = Vec::new();
    for standing in standing {
        let resources = tokio::select! {
            resources = take_down(&standing, &interpreters, &registry, ui) => resources?,
            error = interrupted() => {
                return Err(error.with_hint("run the same command again: it goes on where it was"));
            }
        };
        let on = standing.journal.opening.place.word();
        all.push(AppDown { journal: standing.path.to_string(), on, resources });
    }
    if down.json {
        ui.print(&json(&serde_json::json!({ "format": 1, "apps": all }))?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The journals of the app, also when its folder is gone.
fn of_app(app: &Utf8Path, down: &Down, registry: &Registry) -> Result<Vec<Standing>, CommandError> {
    let missing = match AppPath::find(app) {
        Ok(app) => return journals::of_app(&app, down.state.as_deref(), registry),
        Err(error) => error,
    };
    let standing = journals::of_gone(app, registry)?;
    if standing.is_empty() { Err(missing.into()) } else { Ok(standing) }
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
    interpreters: &layercake_local::interpreters::Interpreters,
    registry: &Registry,
    ui: &Ui,
) -> Result<Vec<Gone>, CommandError> {
    // It may have gone between the listing and now: another `down` was faster.
    let Some(mut journal) = JournalFile::open(&standing.readable)? else { return Ok(Vec::new()) };
    let gone = if journal.journal().steps().is_empty() {
        Vec::new()
    } else {
        let cloud = Cloud::reopen(&standing.journal.opening.place, interpreters, ui).await?;
        let gone = undo(&cloud.endpoint, &mut journal, ui).await;
        cloud.close().await;
        gone?
    };
    journal.close()?;
    registry.remove(&standing.path);
    Ok(gone)
}

/// Undoes a journal, with a line for each resource.
pub(crate) async fn undo(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    ui: &Ui,
) -> Result<Vec<Gone>, CommandError> {
    let mut gone = Vec::new();
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
    })?;
    Ok(gone)
}

fn print_steps(standing: &[Standing], as_json: bool, ui: &Ui) -> Result<ExitCode, CommandError> {
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
    Ok(ExitCode::SUCCESS)
}
