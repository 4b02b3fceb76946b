//! Where a command's endpoint comes from: AWS, a local cloud that is running, or one that is
//! started for this command.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    str::FromStr,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    aws::{InvalidName, Region},
    journal::Place,
};
use layercake_deploy::{Credentials, Destination, Endpoint};
use layercake_local::{
    Access, Config, DEFAULT_ACCOUNT, Interpreters, Presence, RetiredRuntimes, StartError, StoreError, ask,
    find_running,
};

use crate::{
    args::{Aws, On},
    error::{CommandError, Kind},
    settings::Settings,
    ui::Ui,
};

/// The address that `layercake local` serves by default.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:4566";

/// The region of the local cloud when none is given.
const LOCAL_REGION: &str = "us-east-1";

/// How long AWS may need until everybody sees what a request whose answer was lost has made.
const AWS_SETTLES: Duration = Duration::from_secs(10);

/// The same for a local cloud of another process, which finishes what it has begun. One of this
/// process has nothing under way.
const SERVED_SETTLES: Duration = Duration::from_secs(2);

/// How long to wait for another layercake that has the local cloud to itself, in seconds.
const BUSY_SECONDS: u64 = 120;

/// An endpoint that answers, and the local cloud behind it if this process runs it.
pub(crate) struct Cloud {
    pub(crate) endpoint: Endpoint,
    /// The endpoint's URL; nothing for AWS's own.
    pub(crate) url: Option<String>,
    /// As the journal names it.
    pub(crate) place: Place,
    embedded: Option<layercake_local::Handle>,
}

impl Cloud {
    /// Opens what the arguments ask for.
    pub(crate) async fn open(
        on: On,
        aws: &Aws,
        settings: &Settings,
        interpreters: &Interpreters,
        ui: &Ui,
    ) -> Result<Self, CommandError> {
        Self::open_as(Presence::Embedded, on, aws, settings, interpreters, ui).await
    }

    /// The same; a local cloud that is started for it is there for other commands and clients too
    /// when the presence says so.
    pub(crate) async fn open_as(
        presence: Presence,
        on: On,
        aws: &Aws,
        settings: &Settings,
        interpreters: &Interpreters,
        ui: &Ui,
    ) -> Result<Self, CommandError> {
        match on {
            On::Aws => Self::aws(aws.region.clone(), aws.aws_profile.clone()).await,
            On::Local => {
                let data = settings.cloud_or(served_by_default().await);
                Self::local(&data, presence, aws.region.clone(), interpreters, ui).await
            }
        }
    }

    /// Opens the place that a journal names.
    pub(crate) async fn reopen(
        place: &Place,
        interpreters: &Interpreters,
        ui: &Ui,
    ) -> Result<Self, CommandError> {
        match place {
            Place::Local { data, region } => {
                let region = Some(region.clone());
                Self::local(Utf8Path::new(data), Presence::Embedded, region, interpreters, ui).await
            }
            Place::Aws { region, profile, account } => {
                let cloud = Self::aws(Some(region.clone()), profile.clone()).await?;
                if cloud.endpoint.account.as_str() != account {
                    return Err(CommandError::new(
                        Kind::User,
                        format!(
                            "the journal's resources are in account {account}, these credentials are for {}",
                            cloud.endpoint.account
                        ),
                        "sign in to the other account, for instance with AWS_PROFILE",
                    ));
                }
                Ok(cloud)
            }
        }
    }

    /// Whether this process runs the local cloud, and nobody else can use it meanwhile.
    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Ends the local cloud if this process runs it.
    pub(crate) async fn close(self) {
        if let Some(handle) = self.embedded {
            handle.shutdown().await;
        }
    }

    async fn aws(region: Option<Region>, profile: Option<String>) -> Result<Self, CommandError> {
        let credentials = Credentials::Chain { profile: profile.clone() };
        let destination = Destination { url: None, region, credentials, settling: AWS_SETTLES };
        let endpoint = destination.connect().await?;
        let place =
            Place::Aws { region: endpoint.region.clone(), profile, account: endpoint.account.to_string() };
        Ok(Self { endpoint, url: None, place, embedded: None })
    }

    async fn local(
        data: &Utf8Path,
        presence: Presence,
        region: Option<Region>,
        interpreters: &Interpreters,
        ui: &Ui,
    ) -> Result<Self, CommandError> {
        let (url, embedded, signed) = match running(data).await {
            Some(served) => (served.url(), None, served.signatures),
            None => match start_own(data, presence, interpreters, ui).await? {
                Started::Ours(handle) => {
                    for missing in handle.isolation().missing() {
                        ui.say(&format!(
                            "      note: functions here have no {}: {}",
                            missing.name, missing.without
                        ));
                    }
                    (handle.endpoint(), Some(handle), false)
                }
                Started::Theirs(served) => (served.url(), None, served.signatures),
            },
        };
        let region = match region {
            Some(region) => region,
            None => known(LOCAL_REGION)?,
        };
        // A local cloud takes any credentials unless it requires signatures; then the user has
        // configured some for it, as for AWS.
        let credentials = if signed {
            Credentials::Chain { profile: None }
        } else {
            Credentials::Fixed { key: "layercake".to_owned(), secret: "layercake".to_owned() }
        };
        let settling = if embedded.is_some() { Duration::ZERO } else { SERVED_SETTLES };
        let destination =
            Destination { url: Some(url.clone()), region: Some(region.clone()), credentials, settling };
        let endpoint = destination.connect().await?;
        let place = Place::Local { data: data.to_string(), region };
        Ok(Self { endpoint, url: Some(url), place, embedded })
    }
}

/// The folder of the local cloud at the default address, if there is one.
pub(crate) async fn served_by_default() -> Option<Utf8PathBuf> {
    let health = ask(DEFAULT_ADDRESS.parse().ok()?).await?;
    (health.presence == Presence::Serving.as_str()).then(|| health.data.into())
}

/// How a local cloud came to be there.
enum Started {
    /// It is started, and ours.
    Ours(layercake_local::Handle),
    /// Another process was faster, and serves it for any client.
    Theirs(Served),
}

/// A local cloud of another process.
struct Served {
    address: SocketAddr,
    /// Whether it verifies signatures.
    signatures: bool,
}

impl Served {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The local cloud that serves this folder for any client, if one does.
async fn running(data: &Utf8Path) -> Option<Served> {
    let (address, health) = find_running(data).await?;
    let served = Served { address, signatures: health.signatures };
    (health.presence == Presence::Serving.as_str()).then_some(served)
}

async fn start_own(
    data: &Utf8Path,
    presence: Presence,
    interpreters: &Interpreters,
    ui: &Ui,
) -> Result<Started, CommandError> {
    let config = config(data, SocketAddr::from(([127, 0, 0, 1], 0)), interpreters, presence)?;
    let mut told = false;
    let begun = Instant::now();
    loop {
        let error = match layercake_local::start(config.clone()).await {
            Ok(handle) => return Ok(Started::Ours(handle)),
            Err(error @ StartError::Store(StoreError::InUse { .. })) => error,
            Err(error) => return Err(error.into()),
        };
        if let Some(served) = running(data).await {
            return Ok(Started::Theirs(served));
        }
        if begun.elapsed() > Duration::from_secs(BUSY_SECONDS) {
            return Err(error.into());
        }
        if !told {
            ui.say("      note: another layercake is using the local cloud; waiting for it");
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a local cloud of this process is made from.
pub(crate) fn config(
    data: &Utf8Path,
    listen: SocketAddr,
    interpreters: &Interpreters,
    presence: Presence,
) -> Result<Config, CommandError> {
    Ok(Config {
        data: data.to_owned(),
        listen,
        account: known(DEFAULT_ACCOUNT)?,
        // What `up` makes for itself may be of any age: the write-up's own case is python3.6.
        retired_runtimes: RetiredRuntimes::Allow,
        presence,
        interpreters: interpreters.clone(),
        tuning: layercake_local::sandbox::Tuning::default(),
        access: Access::default(),
        event_speed: NonZeroU32::MIN,
    })
}

/// Parses a name that stands in this program.
fn known<T: FromStr<Err = InvalidName>>(text: &str) -> Result<T, CommandError> {
    text.parse().map_err(|error: InvalidName| CommandError {
        kind: Kind::Bug,
        error: Box::new(error),
        hints: Vec::new(),
    })
}
