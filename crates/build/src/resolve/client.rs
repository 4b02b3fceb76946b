//! The connection to package indexes: uv's client with its proxies, certificates, credentials and
//! its cache of index pages.
//!
//! Owns the async runtime, so that the rest of the crate is ordinary blocking code. Never shows
//! credentials: they live in uv's client, and every address that leaves here has none. What is
//! asked for and how it is reached is in [`super::settings`].

use std::{
    io::{self, Read as _},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::{OnceCell, Semaphore};
use uv_cache::Cache;
use uv_client::{
    BaseClientBuilder, Certificates, Connectivity, FlatIndexClient, FlatIndexEntries, RegistryClient,
    RegistryClientBuilder,
};
use uv_configuration::KeyringProviderType;
use uv_distribution_types::{Index, IndexLocations, IndexUrl};
use uv_redacted::DisplaySafeUrl;
use uv_resolver::ExcludeNewer;

use super::{IndexOptions, IndexSettings, ResolveError, failure, settings::shown_address};

/// uv's resolver and its HTTP stack recurse deeply; the default 2 MiB of a thread are too few.
const STACK_BYTES: usize = 16 << 20;
/// Requests of the resolver at once.
const REQUESTS: usize = 16;
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The package indexes, reachable. Connects when first asked. Copies share one connection.
#[derive(Clone)]
pub struct PackageIndex(Arc<Shared>);

/// What hears `name version` before a build.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

struct Shared {
    options: IndexOptions,
    runtime: Option<tokio::runtime::Runtime>,
    connection: OnceCell<Connection>,
    /// Hears what is built from source.
    listener: OnceLock<Listener>,
}

/// What a connection consists of.
pub(super) struct Connection {
    pub(super) client: RegistryClient,
    pub(super) cache: Cache,
    pub(super) locations: IndexLocations,
    /// What the `--find-links` places list.
    pub(super) found_links: FlatIndexEntries,
    pub(super) exclude_newer: ExcludeNewer,
    pub(super) strategy: uv_configuration::IndexStrategy,
    pub(super) downloads: Arc<Semaphore>,
    pub(super) offline: bool,
}

/// Starts the threads that `rayon` uses. uv wants to be the one that starts them, and panics when
/// they run already, so every use of `rayon` in this crate comes after this.
pub(crate) fn prepare_threads() {
    uv_configuration::initialize_rayon_once();
}

/// How a transfer starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    /// Where in the file the bytes start: what was asked for, or 0 when the server sends all of it.
    pub(crate) offset: u64,
}

/// Takes the bytes of a transfer.
pub(crate) trait Sink {
    /// Called once, before the first byte.
    fn begin(&mut self, begin: Begin) -> io::Result<()>;
    /// Called with the next bytes.
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Why a transfer ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The server answered with an error.
    #[error("the server answered {status}")]
    Status {
        /// HTTP status code.
        status: u16,
    },
    /// No answer.
    #[error("{reason}")]
    Unreachable {
        /// What went wrong.
        reason: String,
    },
    /// The answer broke off, or was not what was asked for.
    #[error("{reason}")]
    Broken {
        /// What went wrong.
        reason: String,
    },
    /// The client cannot be made.
    #[error(transparent)]
    Client(Box<ResolveError>),
    /// The bytes could not be kept.
    #[error("the bytes could not be kept")]
    Sink(#[source] io::Error),
}

impl PackageIndex {
    /// Prepares access. Nothing is sent and nothing is written yet.
    ///
    /// # Errors
    /// [`ResolveError::Internal`] when no thread can be started.
    pub fn open(options: IndexOptions) -> Result<Self, ResolveError> {
        // uv's crates panic when nobody has chosen their preview features; a second choice is
        // refused, which is fine: it would be the same.
        let _ = uv_preview::set(uv_preview::Preview::default());
        prepare_threads();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(STACK_BYTES)
            .thread_name("package-index")
            .enable_all()
            .build()
            .map_err(|error| ResolveError::Internal { reason: format!("no threads: {error}") })?;
        Ok(Self(Arc::new(Shared {
            options,
            runtime: Some(runtime),
            connection: OnceCell::new(),
            listener: OnceLock::new(),
        })))
    }

    /// How this index is reached.
    pub fn options(&self) -> &IndexOptions {
        &self.0.options
    }

    /// Names who hears `name version` before a package is built from source, which runs code of
    /// that package (PEP 517). Only the first listener counts.
    pub fn on_build(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        // A second one is refused, as documented.
        let _ = self.0.listener.set(Box::new(listener));
    }

    /// Tells the listener that this package is being built.
    pub(super) fn tell_of_build(&self, what: &str) {
        if let Some(listener) = self.0.listener.get() {
            listener(what);
        }
    }

    /// Runs async work over the connection on a thread of its own with a big stack.
    pub(super) fn run<T: Send>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, ResolveError> + Send,
    ) -> Result<T, ResolveError> {
        let result = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("resolve".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || self.handle()?.block_on(async { work(self.connect().await?).await }))
                .map_err(|error| ResolveError::Internal { reason: format!("no thread: {error}") })?
                .join()
                .unwrap_or_else(|_| Err(ResolveError::Internal { reason: "it panicked".to_owned() }))
        });
        result.map_err(|error| match error {
            ResolveError::Cache { path, reason } if path == failure::CACHE => {
                ResolveError::Cache { path: self.options().cache.join(path), reason }
            }
            other => other,
        })
    }

    /// Sends the bytes of `url` from `offset` on into `sink`, blocking. One try, beside what the
    /// client repeats by itself before the first byte.
    pub(crate) fn transfer(&self, url: &str, offset: u64, sink: &mut dyn Sink) -> Result<(), TransferError> {
        let connect = async {
            let connection = self.connect().await.map_err(|error| TransferError::Client(Box::new(error)))?;
            transfer(connection, url, offset, sink).await
        };
        self.handle().map_err(|error| TransferError::Client(Box::new(error)))?.block_on(connect)
    }

    /// Has the credentials in an address, if it has any, sent to that host from now on.
    pub(super) fn remember_credentials(&self, url: &str) {
        let remember = async {
            if let (Ok(connection), Ok(url)) = (self.connect().await, DisplaySafeUrl::parse(url)) {
                // An address without any has nothing to remember.
                let _ = connection.client.credentials_cache().store_credentials_from_url(&url);
            }
        };
        if let Ok(handle) = self.handle() {
            handle.block_on(remember);
        }
    }

    fn handle(&self) -> Result<&tokio::runtime::Handle, ResolveError> {
        self.0
            .runtime
            .as_ref()
            .map(tokio::runtime::Runtime::handle)
            .ok_or_else(|| ResolveError::Internal { reason: "the index is closed".to_owned() })
    }

    async fn connect(&self) -> Result<&Connection, ResolveError> {
        self.0.connection.get_or_try_init(async || Connection::new(self.options()).await).await
    }
}

impl Drop for Shared {
    /// A runtime must not be dropped, which waits, where async code runs; the caller may be such.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    async fn new(options: &IndexOptions) -> Result<Self, ResolveError> {
        let folder = options.cache.join(failure::CACHE);
        let cache = Cache::from_path(&folder)
            .init()
            .await
            .map_err(|error| ResolveError::Cache { path: folder, reason: failure::innermost(&error) })?;
        // After uv has marked its part, by which ours is known to be a cache. Without the mark the
        // cache works all the same; only `cache clean` refuses it.
        let _ = crate::cache::mark(&options.cache);
        let locations = locations(&options.indexes)?;
        let exclude_newer = match &options.exclude_newer {
            None => ExcludeNewer::default(),
            Some(text) => ExcludeNewer::global(
                text.parse().map_err(|_: String| ResolveError::BadTime { text: text.clone() })?,
            ),
        };
        let connectivity = if options.offline { Connectivity::Offline } else { Connectivity::Online };
        let mut builder = BaseClientBuilder::new(
            connectivity,
            true,
            Vec::new(),
            uv_preview::Preview::default(),
            READ_TIMEOUT,
            CONNECT_TIMEOUT,
            options.retries,
        )
        .no_retry_delay(!options.pause_between_retries);
        if options.keyring {
            builder = builder.keyring(KeyringProviderType::Subprocess);
        }
        if let Some(certificates) = Certificates::from_env() {
            builder = builder.custom_certificates(certificates);
        }
        let client = RegistryClientBuilder::new(builder, cache.clone())
            .index_locations(locations.clone())
            .index_strategy(options.strategy.into())
            .build()
            .map_err(|error| ResolveError::Internal {
                reason: format!("no HTTP client: {}", failure::one_line(&error)),
            })?;
        let found_links = FlatIndexClient::new(client.cached_client(), connectivity, &cache)
            .fetch_all(locations.flat_indexes().map(Index::url))
            .await
            .map_err(|error| failure::of_find_links(&error))?;
        let downloads = Arc::new(Semaphore::new(REQUESTS));
        let offline = options.offline;
        let strategy = options.strategy.into();
        Ok(Self { client, cache, locations, found_links, exclude_newer, strategy, downloads, offline })
    }
}

fn locations(settings: &IndexSettings) -> Result<IndexLocations, ResolveError> {
    let parse = |url: &String| {
        IndexUrl::parse(url, None).map_err(|error| ResolveError::BadIndex {
            url: shown_address(url),
            reason: failure::one_line(&error),
        })
    };
    let mut indexes = Vec::new();
    for url in &settings.extra_index_urls {
        indexes.push(with_lasting_files(Index::from_extra_index_url(parse(url)?), None));
    }
    match &settings.index_url {
        Some(url) => indexes.push(with_lasting_files(Index::from_index_url(parse(url)?), None)),
        None => indexes.extend(public_index()),
    }
    let find_links = settings.find_links.iter().map(|place| {
        let url = IndexUrl::parse(place, None).map_err(|error| ResolveError::BadFindLinks {
            place: shown_address(place),
            reason: failure::one_line(&error),
        })?;
        Ok(with_lasting_files(Index::from_find_links(url), None))
    });
    let find_links = find_links.collect::<Result<Vec<_>, ResolveError>>()?;
    Ok(IndexLocations::new(indexes, find_links, settings.no_index))
}

/// The public index, whose pages are kept for as long as it says itself (ten minutes): a mirror
/// in between may drop that header, and then every run would fetch megabytes again.
fn public_index() -> Option<Index> {
    let index = IndexLocations::default().default_index()?.clone();
    Some(with_lasting_files(index, Some("max-age=600")))
}

/// An index whose source distributions are kept once they are there, whatever headers it sends: a
/// published file does not change, and one that does is found out by its hash. `pages` says how long
/// its pages are kept, in place of what it says itself.
fn with_lasting_files(mut index: Index, pages: Option<&str>) -> Index {
    let control = serde_json::json!({ "api": pages, "files": "max-age=31536000, immutable" });
    index.cache_control = serde_json::from_value(control).ok();
    index
}

async fn transfer(
    connection: &Connection,
    url: &str,
    offset: u64,
    sink: &mut dyn Sink,
) -> Result<(), TransferError> {
    let unreachable =
        |error: &dyn std::error::Error| TransferError::Unreachable { reason: failure::innermost(error) };
    let url = DisplaySafeUrl::parse(url).map_err(|error| unreachable(&error))?;
    if let Some(path) = url.to_file_path().ok().filter(|_| url.scheme() == "file") {
        return copy_file(&path, sink);
    }
    if connection.offline {
        return Err(TransferError::Unreachable { reason: "the network is off".to_owned() });
    }
    // The bytes must be the file's, not a compression of them: the hash is over the file.
    let mut request = connection
        .client
        .uncached_client(&url)
        .get(url::Url::from(url.clone()))
        .header("accept-encoding", "identity");
    if offset > 0 {
        request = request.header("range", format!("bytes={offset}-"));
    }
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let begin = match status {
        200 => Begin { offset: 0 },
        206 => {
            let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
            if range.is_none_or(|range| !range.starts_with(&format!("bytes {offset}-"))) {
                let reason = format!("asked for bytes from {offset} on, got {}", range.unwrap_or("others"));
                return Err(TransferError::Broken { reason });
            }
            Begin { offset }
        }
        _ => return Err(TransferError::Status { status }),
    };
    sink.begin(begin).map_err(TransferError::Sink)?;
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => sink.chunk(&bytes).map_err(TransferError::Sink)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(TransferError::Broken { reason: failure::innermost(&error) }),
        }
    }
}

fn copy_file(path: &std::path::Path, sink: &mut dyn Sink) -> Result<(), TransferError> {
    let unreadable = |error: io::Error| TransferError::Unreachable { reason: failure::innermost(&error) };
    let mut file = fs_err::File::open(path).map_err(unreadable)?;
    sink.begin(Begin { offset: 0 }).map_err(TransferError::Sink)?;
    let mut window = vec![0; 256 << 10];
    loop {
        match file.read(&mut window).map_err(unreadable)? {
            0 => return Ok(()),
            count => sink.chunk(&window[..count]).map_err(TransferError::Sink)?,
        }
    }
}
