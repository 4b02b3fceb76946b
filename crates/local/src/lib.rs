//! A local AWS cloud: Lambda with layers and functions that really run, S3, and the calls to IAM,
//! STS and CloudWatch Logs that real clients make.
//!
//! `api` translates the wire, `service` decides, `store` remembers, `sandbox` runs. A library:
//! [`start`] serves a data directory on a port, [`router`] is the same without a socket. It never
//! prints, never reads the environment, and knows nothing of building or deploying layers.

mod access;
mod api;
pub mod interpreters;
mod running;
pub mod sandbox;
mod service;
mod space;
mod store;

use std::{
    io,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::Utf8PathBuf;
use futures::{FutureExt, future::BoxFuture};
use layercake_core::{Hint, aws::AccountId};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use access::{Access, AccessError, AccessKey, Exposure, Signatures};
pub use api::Health;
pub use interpreters::Interpreters;
pub use running::{ask, find_running};
pub use service::NETWORK_TAG;
pub use space::free_space;
pub use store::{ServerRecord, StoreError, unpack_function};

use crate::{
    sandbox::{Isolation, Sandbox, SandboxConfig, Tuning},
    service::Cloud,
    store::Store,
};

/// The account that everything belongs to unless another is configured.
pub const DEFAULT_ACCOUNT: &str = "123456789012";

/// What a local cloud is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory; it is made if it is not there.
    pub data: Utf8PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The account that everything belongs to.
    pub account: AccountId,
    /// Whether functions may be created on runtimes that AWS has retired.
    pub retired_runtimes: RetiredRuntimes,
    /// What this process is for.
    pub presence: Presence,
    /// The Pythons that functions run on.
    pub interpreters: Interpreters,
    /// How functions run: how many environments there may be, how long idle ones are kept, and on
    /// which files they run.
    pub tuning: Tuning,
    /// Who may use it.
    pub access: Access,
    /// How many times faster than on AWS the time passes that events of asynchronous invocations
    /// wait: with 60 a function that failed is run again after one and two seconds and not minutes,
    /// and an event is too old after six minutes and not hours. 1 is AWS's own time.
    pub event_speed: NonZeroU32,
}

/// Whether functions may be created on runtimes that AWS has retired (python3.6, python3.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetiredRuntimes {
    /// They may.
    Allow,
    /// As AWS does today.
    #[default]
    Refuse,
}

/// What a process serves a local cloud for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// For any client, until it is stopped.
    Serving,
    /// For one command of the process itself.
    Embedded,
}

impl Presence {
    /// As other processes read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Embedded => "embedded",
        }
    }
}

/// Why a local cloud does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It would not be safe, or nobody could use it.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Hint for StartError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(StoreError::InUse { .. }) => {
                Some("use the one that runs, stop it, or choose another folder with --data".to_owned())
            }
            Self::Store(StoreError::NewerSchema { .. }) => {
                Some("update layercake, or choose another folder with --data".to_owned())
            }
            Self::Store(StoreError::Files { source }) if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some disk space, or choose another folder with --data".to_owned())
            }
            Self::Store(error @ StoreError::Database { .. }) if error.may_be_a_full_disk() => {
                Some("the disk may be full: free some space, or choose another folder with --data".to_owned())
            }
            Self::Store(StoreError::Files { .. }) => {
                Some("choose a folder that can be written with --data".to_owned())
            }
            Self::Store(StoreError::Database { .. }) => Some(
                "another folder can be chosen with --data; what is wrong with this one is said above"
                    .to_owned(),
            ),
            Self::Store(_) => None,
            Self::Access(error) => error.hint(),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "another program listens there: stop it, or choose another address with --listen".to_owned(),
            ),
            Self::Listen { .. } => Some("choose another address with --listen".to_owned()),
        }
    }
}

/// A local cloud that runs. Dropped without [`Handle::shutdown`], it stops taking requests and
/// ends its processes as soon as the runtime lets it.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
    cloud: CloudHolder,
}

/// The service behind a [`Handle`], given away at its end.
struct CloudHolder(Mutex<Option<Arc<Cloud>>>);

impl std::fmt::Debug for CloudHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cloud")
    }
}

impl CloudHolder {
    fn take(&self) -> Option<Arc<Cloud>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Starts a local cloud.
///
/// # Errors
/// [`StartError`] when the folder is in use or cannot be used, the address cannot be had, or
/// listening there would not be safe.
pub fn start(config: Config) -> BoxFuture<'static, Result<Handle, StartError>> {
    // Code of an `async fn` is generated where it is awaited first, and with it all that it starts: as
    // one, this would give the whole server the optimisation of whoever calls it, which is none.
    begin(config).boxed()
}

async fn begin(config: Config) -> Result<Handle, StartError> {
    config.access.fault(config.listen)?;
    let cloud = open(&config)?;
    let listen = |source| StartError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    cloud.store.announce(&ServerRecord {
        pid: std::process::id(),
        address: address.to_string(),
        presence: config.presence.as_str().to_owned(),
        layercake: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    let access = api::Reach { access: &config.access, address: Some(address) };
    let front = api::Front::new(Arc::clone(&cloud), config.presence, &access)?;
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(api::serve(listener, front, stopped));
    Ok(Handle { address, stop, server: Some(server), cloud: CloudHolder(Mutex::new(Some(cloud))) })
}

/// The same service without a socket, for tests and in-process clients.
///
/// # Errors
/// [`StartError`] when the folder is in use or cannot be used.
pub fn router(config: &Config) -> Result<axum::Router, StartError> {
    config.access.fault(config.listen)?;
    let access = api::Reach { access: &config.access, address: None };
    Ok(api::Front::new(open(config)?, config.presence, &access)?.into_router())
}

fn open(config: &Config) -> Result<Arc<Cloud>, StartError> {
    let store = Store::open(&config.data)?;
    let sandbox = Sandbox::with(
        SandboxConfig {
            work: store.work(),
            interpreters: config.interpreters.clone(),
            isolation: Isolation::Best,
        },
        config.tuning.clone(),
    );
    Ok(Cloud::new(store, sandbox, config.account.clone(), config.retired_runtimes, config.event_speed)?)
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As AWS's clients want it: `http://127.0.0.1:4566`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What isolates functions on this host, and what does not.
    pub fn isolation(&self) -> sandbox::IsolationReport {
        let cloud = self.cloud.0.lock().unwrap_or_else(PoisonError::into_inner);
        cloud.as_ref().map(|cloud| cloud.sandbox.isolation()).unwrap_or_default()
    }

    /// Waits until the server ends by itself, which it does only when it panics: a socket that takes no
    /// connections is tried again.
    pub async fn finished(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.await;
            self.server = None;
        }
    }

    /// Stops taking requests, ends every environment and closes the store.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let Some(cloud) = self.cloud.take() else {
            return;
        };
        // Calls that run now end with their environments, and so do the requests that wait; events
        // stay in their queue.
        cloud.events.close();
        cloud.sandbox.shutdown().await;
        cloud.events.settled().await;
        if let Some(server) = self.server.take() {
            let abort = server.abort_handle();
            if tokio::time::timeout(Duration::from_secs(5), server).await.is_err() {
                abort.abort();
            }
        }
        // Only now has the last of them left its log.
        cloud.logs.flush().await;
        cloud.store.close();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(cloud) = self.cloud.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                cloud.events.close();
                cloud.sandbox.shutdown().await;
                cloud.events.settled().await;
                cloud.logs.flush().await;
                cloud.store.close();
            });
        }
    }
}
