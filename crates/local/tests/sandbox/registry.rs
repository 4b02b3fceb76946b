//! A registry of images on the loopback network, with anonymous tokens as AWS's has them, that can
//! be told to lie; and images made by hand to put into it.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use layercake_local::sandbox::ImageSource;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const TOKEN: &str = "anonymous-but-needed";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// What the registry holds and what it was asked.
#[derive(Default)]
struct Shelves {
    /// By digest, and manifests by tag too: their kind and their bytes.
    held: HashMap<String, (&'static str, Bytes)>,
    blobs_given: usize,
    address: String,
}

/// A registry that runs as long as this value lives.
pub(crate) struct Registry {
    shelves: Arc<Mutex<Shelves>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An image to be: its layers, each an archive without compression, and how its process starts.
pub(crate) struct Image {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) process: Value,
}

/// The digests of an image that was put into a registry.
pub(crate) struct Stored {
    pub(crate) manifest: String,
    pub(crate) config: String,
    pub(crate) layers: Vec<String>,
}

/// This machine, as images call it.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shelves = Arc::new(Mutex::new(Shelves { address, ..Shelves::default() }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shelves));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { shelves, server }
    }

    pub(crate) fn source(&self) -> ImageSource {
        let address = self.shelves.lock().expect("unpoisoned").address.clone();
        format!("http://{address}/lambda").parse().expect("a registry")
    }

    /// How many blobs were asked for and given.
    pub(crate) fn blobs_given(&self) -> usize {
        self.shelves.lock().expect("unpoisoned").blobs_given
    }

    fn hold(&self, name: &str, kind: &'static str, bytes: impl Into<Bytes>) {
        self.shelves.lock().expect("unpoisoned").held.insert(name.to_owned(), (kind, bytes.into()));
    }

    fn keep(&self, kind: &'static str, bytes: Vec<u8>) -> Value {
        let (digest, size) = (digest(&bytes), bytes.len());
        self.hold(&digest, kind, bytes);
        json!({ "mediaType": kind, "size": size, "digest": digest })
    }

    /// What is under a digest is something else from now on.
    pub(crate) fn replace(&self, digest: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) {
        let mut shelves = self.shelves.lock().expect("unpoisoned");
        let (kind, bytes) = shelves.held.remove(digest).expect("it is held");
        shelves.held.insert(digest.to_owned(), (kind, change(&bytes).into()));
    }

    /// Puts an image behind a tag such as `python:3.12`, in a list beside one for another machine.
    pub(crate) fn publish(&self, tag: &str, image: &Image) -> Stored {
        let mut layers = Vec::new();
        for archive in &image.layers {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(archive).expect("in memory");
            layers.push(self.keep(LAYER, gzip.finish().expect("in memory")));
        }
        let diff_ids: Vec<_> = image.layers.iter().map(|archive| digest(archive)).collect();
        let config = json!({
            "architecture": ARCHITECTURE, "os": "linux", "config": image.process,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.keep(CONFIG, config.to_string().into_bytes());
        let digests = layers.iter().map(|layer| layer["digest"].as_str().expect("text").to_owned()).collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        let mut entry = self.keep(MANIFEST, manifest.to_string().into_bytes());
        entry["platform"] = json!({ "architecture": ARCHITECTURE, "os": "linux" });
        let other = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
        let mut strange = self.keep(MANIFEST, other.to_string().into_bytes());
        strange["platform"] = json!({ "architecture": "s390x", "os": "linux" });
        let stored = Stored {
            manifest: entry["digest"].as_str().expect("text").to_owned(),
            config: config["digest"].as_str().expect("text").to_owned(),
            layers: digests,
        };
        let list = json!({ "schemaVersion": 2, "mediaType": LIST, "manifests": [strange, entry] });
        self.hold(tag, LIST, list.to_string());
        stored
    }

    /// Puts a list behind a tag in which nothing is for this machine.
    pub(crate) fn publish_for_others(&self, tag: &str) {
        let strange = json!({ "mediaType": MANIFEST, "size": 1, "digest": digest(b"x"), "platform": { "architecture": "s390x", "os": "linux" } });
        let list = json!({ "schemaVersion": 2, "mediaType": LIST, "manifests": [strange] });
        self.hold(tag, LIST, list.to_string());
    }
}

async fn answer(State(shelves): State<Arc<Mutex<Shelves>>>, uri: Uri, headers: HeaderMap) -> Response {
    let mut shelves = shelves.lock().expect("unpoisoned");
    let path = uri.path();
    if path == "/token" {
        assert!(!headers.contains_key(header::AUTHORIZATION), "an anonymous token");
        return axum::Json(json!({ "token": TOKEN, "expires_in": 300 })).into_response();
    }
    let bearer = format!("Bearer {TOKEN}");
    if headers.get(header::AUTHORIZATION).is_none_or(|given| given != bearer.as_str()) {
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"test\"", shelves.address);
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    let Some((kind, name)) = path.strip_prefix("/v2/lambda/").and_then(|rest| {
        let (repository, rest) = rest.split_once('/')?;
        let (kind, name) = rest.split_once('/')?;
        let is_digest = name.starts_with("sha256:");
        Some((kind, if is_digest { name.to_owned() } else { format!("{repository}:{name}") }))
    }) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some((media_type, bytes)) = shelves.held.get(&name).cloned() else {
        let error = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "not here" }] });
        return (StatusCode::NOT_FOUND, axum::Json(error)).into_response();
    };
    shelves.blobs_given += usize::from(kind == "blobs");
    ([(header::CONTENT_TYPE, media_type)], bytes).into_response()
}

/// Makes the archive of a layer.
#[derive(Default)]
pub(crate) struct LayerBuilder(Option<tar::Builder<Vec<u8>>>);

impl LayerBuilder {
    fn builder(&mut self) -> &mut tar::Builder<Vec<u8>> {
        self.0.get_or_insert_with(|| tar::Builder::new(Vec::new()))
    }

    fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header
    }

    pub(crate) fn file(mut self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let mut header = Self::header(tar::EntryType::Regular, mode, content.len());
        self.builder().append_data(&mut header, path, content).expect("in memory");
        self
    }

    pub(crate) fn link(mut self, kind: tar::EntryType, path: &str, target: &str) -> Self {
        let mut header = Self::header(kind, 0o777, 0);
        self.builder().append_link(&mut header, path, target).expect("in memory");
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.builder();
        self.0.take().expect("made above").into_inner().expect("in memory")
    }
}
