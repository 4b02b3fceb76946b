//! `layercake cache`: where it is, what lies in it, and taking out what is of no use.

use std::{process::ExitCode, sync::Arc, time::SystemTime};

use layercake_build::cache::{CacheFolder, Kind, Removed, Tally};
use serde_json::json;

use crate::{
    args::{Cache, CacheCommand, Common, Removal},
    error::CommandError,
    settings::Settings,
    show::grouped,
    ui::{Ui, size},
};

/// The form of the JSON documents. Fields may be added; this number changes when one goes or means
/// something else.
const FORMAT: u32 = 1;

/// Runs the command.
pub(crate) async fn run(common: &Common, arguments: Cache, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let folder = Settings::new(common, arguments.cache_dir.as_deref())?.cache;
    match arguments.command {
        CacheCommand::Dir => ui.print(folder.as_str()),
        CacheCommand::Size { json } => {
            let sizes = match CacheFolder::open(&folder)? {
                Some(cache) => cache.sizes()?,
                None => Kind::ALL.map(|kind| (kind, Tally::default())).into(),
            };
            let tallies: Vec<_> = sizes.into_iter().collect();
            let bytes = tallies.iter().map(|(_, tally)| tally.bytes).sum();
            if json {
                let document =
                    json!({ "format": FORMAT, "folder": folder, "kinds": kinds(&tallies), "bytes": bytes });
                ui.print(&format!("{document:#}"));
            } else {
                ui.say(folder.as_str());
                ui.print(&table(&tallies, bytes));
            }
        }
        CacheCommand::Prune { older_than, removal } => {
            let since = SystemTime::now().checked_sub(older_than).unwrap_or(SystemTime::UNIX_EPOCH);
            let removed = match CacheFolder::open(&folder)? {
                Some(cache) => cache.prune(since, removal.dry_run)?,
                None => Removed::default(),
            };
            tell(&removed, &removal, ui);
        }
        CacheCommand::Clean { removal } => {
            let removed = match CacheFolder::open(&folder)? {
                Some(cache) => cache.clean(removal.dry_run)?,
                None => Removed::default(),
            };
            tell(&removed, &removal, ui);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(tallies: &[(Kind, Tally)], bytes: u64) -> String {
    let mut lines: Vec<_> = tallies
        .iter()
        .map(|(kind, tally)| {
            format!("{:<14} {:>7} {:>10}", kind.text(), grouped(tally.items), size(tally.bytes))
        })
        .collect();
    lines.push(format!("{:<14} {:>7} {:>10}", "together", "", size(bytes)));
    lines.join("\n")
}

fn tell(removed: &Removed, removal: &Removal, ui: &Ui) {
    let kinds_removed: Vec<_> = removed.kinds.iter().map(|(kind, tally)| (*kind, *tally)).collect();
    if removal.json {
        let document = json!({
            "format": FORMAT,
            "dry_run": removal.dry_run,
            "kinds": kinds(&kinds_removed),
            "unfinished": tally_json(removed.unfinished),
            "held": removed.held,
            "bytes": removed.bytes(),
        });
        return ui.print(&format!("{document:#}"));
    }
    for path in &removed.held {
        ui.warn(&format!("`{path}` was left: a process is fetching into it"));
    }
    let mut parts: Vec<_> = kinds_removed
        .iter()
        .map(|(kind, tally)| format!("{} {}", grouped(tally.items), kind.text()))
        .collect();
    if removed.unfinished.items > 0 {
        parts.push(format!("{} unfinished", grouped(removed.unfinished.items)));
    }
    let done = if removal.dry_run { "would remove" } else { "removed" };
    match parts.is_empty() {
        true => ui.print("nothing to remove"),
        false => ui.print(&format!("{done} {}: {}", parts.join(", "), size(removed.bytes()))),
    }
}

fn kinds(tallies: &[(Kind, Tally)]) -> serde_json::Value {
    let by_kind = tallies.iter().map(|(kind, tally)| (kind.folder().to_owned(), tally_json(*tally)));
    serde_json::Value::Object(by_kind.collect())
}

fn tally_json(tally: Tally) -> serde_json::Value {
    json!({ "items": tally.items, "bytes": tally.bytes })
}
