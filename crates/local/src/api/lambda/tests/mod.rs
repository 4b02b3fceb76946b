//! Lambda's answers through the router, as a client sees them: status, error header, exact body.

mod account;
mod aliases;
mod configuration;
mod functions;
mod invocations;
mod layers;
mod names;
mod settings;
mod versions;

use axum::{
    Router,
    body::Body,
    http::{Request, response::Parts},
};
use base64::Engine as _;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use crate::{Config, Interpreters, Presence, RetiredRuntimes, api, service::Cloud};

/// A local cloud without a socket.
pub(super) struct Harness {
    _folder: tempfile::TempDir,
    router: Router,
    pub(super) interpreters: Interpreters,
    pub(super) cloud: std::sync::Arc<Cloud>,
}

/// What came back.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) error_type: Option<String>,
    pub(super) text: String,
}

impl Seen {
    /// The body as JSON; null when there is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Status, error type and body on one line.
    pub(super) fn line(&self) -> String {
        let error = self.error_type.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
        format!("{}{error} {}", self.status, self.text).trim_end().to_owned()
    }
}

impl Harness {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = camino::Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = std::env::var("HOME").map(camino::Utf8PathBuf::from).unwrap_or_default();
        let places = crate::interpreters::SearchPlaces {
            path: std::env::split_paths(&path)
                .filter_map(|folder| camino::Utf8PathBuf::try_from(folder).ok())
                .collect(),
            pyenv_root: Some(home.join(".pyenv")),
            ..crate::interpreters::SearchPlaces::default()
        };
        let interpreters = Interpreters::discover(&places);
        let config = Config {
            data,
            listen: "127.0.0.1:0".parse().expect("an address"),
            account: crate::DEFAULT_ACCOUNT.parse().expect("an account"),
            retired_runtimes: RetiredRuntimes::Refuse,
            presence: Presence::Embedded,
            interpreters: interpreters.clone(),
            tuning: crate::sandbox::Tuning::default(),
            access: crate::Access::default(),
            // A minute is a tenth of a second.
            event_speed: std::num::NonZeroU32::new(600).expect("not zero"),
        };
        let cloud = crate::open(&config).expect("a cloud");
        let reach = api::Reach { access: &config.access, address: None };
        let front = api::Front::new(std::sync::Arc::clone(&cloud), config.presence, &reach);
        let router = front.expect("a front").into_router();
        Self { _folder: folder, router, interpreters, cloud }
    }

    /// Sends a request with a JSON body.
    pub(super) async fn send(&self, method: &str, path: &str, body: Value) -> Seen {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send_body(method, path, &[], body).await
    }

    /// Sends any request.
    pub(super) async fn send_body(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Seen {
        let (parts, text) = self.raw(method, path, headers, body).await;
        let error_type = parts.headers.get("x-amzn-errortype");
        Seen {
            status: parts.status.as_u16(),
            error_type: error_type.and_then(|value| value.to_str().ok()).map(str::to_owned),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// The same, with the answer's headers and bytes.
    pub(super) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> (Parts, bytes::Bytes) {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let response = TowerToHyperService::new(self.router.clone()).call(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.expect("a body").to_bytes())
    }

    /// Sends a request and gives the answer's line.
    pub(super) async fn check(&self, method: &str, path: &str, body: Value) -> String {
        self.send(method, path, body).await.line()
    }

    /// Creates a function and waits until it is active. `more` goes into the request.
    pub(super) async fn create(&self, name: &str, more: Value) -> Value {
        let created = self.send("POST", "/2015-03-31/functions", new_function(name, more)).await;
        assert_eq!(created.status, 201, "{}", created.text);
        self.settled(name).await;
        created.json()
    }

    /// Waits until a function, or a version as `NAME?Qualifier=N`, is ready.
    pub(super) async fn settled(&self, name: &str) -> Value {
        loop {
            let seen = self.send("GET", &format!("/2015-03-31/functions/{name}"), Value::Null).await;
            let configuration = seen.json()["Configuration"].take();
            assert!(configuration.is_object(), "{}", seen.text);
            if configuration["State"] != "Pending" && configuration["LastUpdateStatus"] != "InProgress" {
                return configuration;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Changes a function's configuration and waits until that is done.
    pub(super) async fn update(&self, name: &str, change: Value) -> Value {
        let path = format!("/2015-03-31/functions/{name}/configuration");
        let updated = self.send("PUT", &path, change).await;
        assert_eq!(updated.status, 200, "{}", updated.text);
        self.settled(name).await
    }
}

/// The body of a CreateFunction with `more` in it.
pub(super) fn new_function(name: &str, more: Value) -> Value {
    let mut body = json!({
        "FunctionName": name, "Runtime": "python3.12", "Handler": "app.handler",
        "Role": "arn:aws:iam::123456789012:role/any", "Code": { "ZipFile": code("") },
    });
    let (Value::Object(body_members), Value::Object(more)) = (&mut body, more) else {
        panic!("what goes into a request is an object");
    };
    body_members.extend(more);
    body
}

/// Base64 of a zip with `app.py`.
pub(super) fn code(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(zip(&[("app.py", text.as_bytes())]))
}

/// A zip with these files.
pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = layercake_core::zip::ZipWriter::new(Vec::new());
    for (path, bytes) in files {
        writer.file_from_bytes(path, layercake_core::zip::FileMode::Regular, bytes).expect("memory");
    }
    writer.finish().expect("memory").0
}

/// The members of an object by name, in order.
pub(super) fn members(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// A zip of one file of so many zeros, which takes little room.
pub(super) fn zip_of_zeros(bytes: usize) -> Vec<u8> {
    zip(&[("app.py", &vec![0; bytes])])
}

/// The body of a request with a zip, made without JSON's detour.
pub(super) fn with_zip(before: &str, zip: &[u8], after: &str) -> Body {
    let mut body = before.as_bytes().to_vec();
    body.extend(base64::engine::general_purpose::STANDARD.encode(zip).into_bytes());
    body.extend(after.as_bytes());
    Body::from(body)
}
