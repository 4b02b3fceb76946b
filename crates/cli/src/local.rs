//! `layercake local`: the local cloud for other clients, until it is stopped.

use std::{process::ExitCode, sync::Arc, time::Duration};

use layercake_local::{Access, Exposure, Presence, RetiredRuntimes, Signatures, sandbox::RootFileSystem};

use crate::{
    args::{Common, Local, Retired, RootFs},
    cloud,
    credentials::access_keys,
    error::{CommandError, Kind},
    settings::Settings,
    ui::Ui,
    up::interrupted,
};

/// Runs the command.
pub(crate) async fn run(common: &Common, local: &Local, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, None)?;
    let data = settings.cloud_or(None);
    let mut config = cloud::config(&data, local.listen, &settings.interpreters(), Presence::Serving)?;
    config.retired_runtimes = match local.retired_runtimes {
        Retired::Allow => RetiredRuntimes::Allow,
        Retired::Refuse => RetiredRuntimes::Refuse,
    };
    config.event_speed = local.event_speed;
    config.tuning.most_environments = local.environments;
    config.tuning.keep_idle = Duration::from_secs(local.keep_idle);
    config.tuning.root = match local.rootfs {
        RootFs::Host => RootFileSystem::Host,
        RootFs::Image => RootFileSystem::Image(local.rootfs_registry.clone().unwrap_or_default()),
    };
    config.access = Access {
        signatures: if local.require_signatures { Signatures::Required } else { Signatures::Ignored },
        credentials: access_keys(local, &config.account)?,
        hosts: local.allow_host.clone(),
        exposure: if local.insecure { Exposure::Accepted } else { Exposure::Refused },
    };
    let keys = config.access.credentials.len();
    let mut handle = layercake_local::start(config).await?;
    ui.print(&format!("layercake local is listening on {}", handle.endpoint()));
    ui.say(&format!("  state   {data}"));
    for missing in handle.isolation().missing() {
        ui.say(&format!("  not isolated here: {}: {}", missing.name, missing.without));
    }
    ui.say(&match (local.require_signatures, local.listen.ip().is_loopback()) {
        (true, _) => format!("  keys    {keys}; every request must be signed with one of them"),
        (false, true) => {
            "  any credentials do; signatures are not verified, so only this machine is listened to"
                .to_owned()
        }
        (false, false) => {
            "  insecure: signatures are not verified, and everybody who reaches the address may run code here"
                .to_owned()
        }
    });
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
