//! `layercake local`: the local cloud for other clients, until it is stopped.

use std::{process::ExitCode, sync::Arc};

use layercake_local::{Presence, RetiredRuntimes};

use crate::{
    args::{Common, Local, Retired},
    cloud,
    error::{CommandError, Kind},
    settings::Settings,
    ui::Ui,
    up::interrupted,
};

/// Runs the command.
pub(crate) async fn run(common: &Common, local: &Local, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    if !local.listen.ip().is_loopback() {
        return Err(CommandError::new(
            Kind::User,
            format!("not implemented: listening on {}, which is not a loopback address", local.listen),
            "signatures are not verified yet, so everybody who reaches the address could run code here: use 127.0.0.1",
        ));
    }
    let settings = Settings::new(common, None)?;
    let data = settings.cloud_or(None);
    let mut config = cloud::config(&data, local.listen, &settings.interpreters(), Presence::Serving)?;
    config.retired_runtimes = match local.retired_runtimes {
        Retired::Allow => RetiredRuntimes::Allow,
        Retired::Refuse => RetiredRuntimes::Refuse,
    };
    let mut handle = layercake_local::start(config).await?;
    ui.print(&format!("layercake local is listening on {}", handle.endpoint()));
    ui.say(&format!("  state   {data}"));
    for missing in handle.isolation().missing() {
        ui.say(&format!("  not isolated here: {}: {}", missing.name, missing.without));
    }
    ui.say("  any credentials do; signatures are not verified");
    ui.say(&format!("  try     aws --endpoint-url {} lambda list-functions", handle.endpoint()));
    ui.say("  stop    Ctrl-C");
    tokio::select! {
        () = handle.finished() => {
            return Err(CommandError::new(Kind::Bug, "the server ended by itself", "see what `--verbose` says"));
        }
        _ = interrupted() => {}
    }
    handle.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
