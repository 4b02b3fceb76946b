//! The whole of deploy against an endpoint that speaks AWS, with every request failing once.
//!
//! The endpoint is the local cloud behind a layer that refuses one chosen request; deploy knows
//! nothing of that.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    hash::Sha256,
    journal::{JOURNAL_FORMAT, Opening, Place},
    report::{Change, JsonText, Published},
    target::{Arch, Runtime, Target},
    zip::{FileMode, ZipWriter},
};
use layercake_deploy::{
    Credentials, DeployError, Destination, Endpoint, FunctionSpec, JournalFile, LayerUpload, destroy,
    ensure_function, ensure_log_group, ensure_role, invoke, log_group_exists, publish_layer, role_name,
};
use layercake_local::{
    Access, Config, DEFAULT_ACCOUNT, Interpreters, Presence, RetiredRuntimes, interpreters::SearchPlaces,
};

/// A cloud that can refuse one request.
struct Fixture {
    folder: tempfile::TempDir,
    address: SocketAddr,
    refusal: Arc<Refusal>,
    runtime: Runtime,
}

#[derive(Default)]
struct Refusal {
    /// Which of the requests to come is refused, counted from 1; 0 refuses none.
    countdown: AtomicUsize,
    /// Whether it takes effect all the same, and only its answer is lost.
    takes_effect: AtomicBool,
    /// Whether the answer says that the request may be repeated (503), as clients then do.
    may_repeat: AtomicBool,
}

async fn refuse(State(refusal): State<Arc<Refusal>>, request: Request, next: Next) -> Response {
    let due = refusal.countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if due == Ok(1) {
        if refusal.takes_effect.load(Ordering::SeqCst) {
            next.run(request).await;
        } else {
            // What is not read when a connection is closed makes it break under the client, which then
            // repeats the request without having seen the answer.
            axum::body::to_bytes(request.into_body(), usize::MAX).await.expect("the request's body");
        }
        let headers = [("x-amzn-errortype", "TestRefusal")];
        // 400 with a code of no meaning: no client repeats it.
        let status = match refusal.may_repeat.load(Ordering::SeqCst) {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::BAD_REQUEST,
        };
        return (status, headers, "{\"message\":\"refused by the test\"}").into_response();
    }
    next.run(request).await
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let interpreters = Interpreters::discover(&places());
        let runtime = interpreters.newest_runtime().expect("the tests need a Python 3.6 to 3.15");
        let config = Config {
            data: Utf8Path::from_path(folder.path()).expect("UTF-8").join("cloud"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            account: DEFAULT_ACCOUNT.parse().expect("an account"),
            retired_runtimes: RetiredRuntimes::Allow,
            presence: Presence::Embedded,
            interpreters,
            tuning: layercake_local::sandbox::Tuning::default(),
            access: Access::default(),
            event_speed: std::num::NonZeroU32::MIN,
        };
        let refusal = Arc::new(Refusal::default());
        let router = layercake_local::router(&config)
            .expect("the cloud opens")
            .layer(middleware::from_fn_with_state(Arc::clone(&refusal), refuse));
        let listener = tokio::net::TcpListener::bind(config.listen).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder, address, refusal, runtime }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8").join(name)
    }

    async fn connect(&self) -> Result<Endpoint, DeployError> {
        let destination = Destination {
            url: Some(format!("http://{}", self.address)),
            region: Some(region()),
            settling: std::time::Duration::ZERO,
            credentials: Credentials::Fixed { key: "k".to_owned(), secret: "s".to_owned() },
        };
        destination.connect().await
    }

    fn journal(&self) -> JournalFile {
        let opening = || Opening {
            format: JOURNAL_FORMAT,
            app: "app".to_owned(),
            place: Place::Local { data: "cloud".to_owned(), region: region() },
            token: "0f1e2d3c-token".to_owned(),
        };
        JournalFile::open_or_begin(&self.path("app.journal"), opening).expect("a journal")
    }

    fn zip(&self, name: &str, files: &[(&str, &[u8])]) -> (Utf8PathBuf, u64, Sha256) {
        let mut writer = ZipWriter::new(Vec::new());
        for (path, bytes) in files {
            writer.file_from_bytes(path, FileMode::Regular, bytes).expect("written");
        }
        let (bytes, size) = writer.finish().expect("finished");
        let path = self.path(name);
        std::fs::write(&path, &bytes).expect("written");
        (path, size, Sha256::of(&bytes))
    }

    fn target(&self) -> Target {
        Target {
            runtime: self.runtime,
            arch: if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 },
        }
    }

    fn layer(&self) -> LayerUpload {
        let (zip, size, sha256) = self.zip("layer.zip", &[("python/word.py", b"WORD = 'layered'\n")]);
        LayerUpload {
            name: "words".parse().expect("a name"),
            zip,
            size,
            sha256,
            target: self.target(),
            description: "word 1".to_owned(),
            force_s3: false,
        }
    }

    async fn nothing_is_left(&self, endpoint: &Endpoint) {
        let functions = endpoint.lambda.list_functions().send().await.expect("a list");
        assert!(functions.functions().is_empty(), "{functions:?}");
        let layers = endpoint.lambda.list_layers().send().await.expect("a list");
        assert!(layers.layers().is_empty(), "{layers:?}");
        let buckets = endpoint.s3.list_buckets().send().await.expect("a list");
        assert!(buckets.buckets().is_empty(), "{buckets:?}");
        let left = log_group_exists(endpoint, "/aws/lambda/words").await.expect("an answer");
        assert!(!left, "the log group is left");
        let name = role_name(&"words".parse().expect("a name")).expect("a name");
        // A role that is left would belong to another token.
        let mut other = JournalFile::open_or_begin(&self.path("other.journal"), || Opening {
            format: JOURNAL_FORMAT,
            app: "other".to_owned(),
            place: Place::Local { data: "cloud".to_owned(), region: region() },
            token: "another-token".to_owned(),
        })
        .expect("a journal");
        ensure_role(endpoint, &mut other, &name).await.expect("no role of that name is left");
        destroy(endpoint, &mut other, |_, _| ()).await.expect("removed");
        other.close().expect("closed");
    }
}

fn region() -> layercake_core::aws::Region {
    "eu-central-1".parse().expect("a region")
}

fn places() -> SearchPlaces {
    let home = Utf8PathBuf::from(std::env::var("HOME").unwrap_or_default());
    let path = std::env::var_os("PATH").unwrap_or_default();
    SearchPlaces {
        path: std::env::split_paths(&path)
            .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
            .collect(),
        pyenv_root: Some(std::env::var("PYENV_ROOT").map_or_else(|_| home.join(".pyenv"), Utf8PathBuf::from)),
        uv_pythons: Some(home.join(".local/share/uv/python")),
        ..SearchPlaces::default()
    }
}

/// Everything `up` does on an endpoint.
async fn deploy(
    fixture: &Fixture,
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    force_s3: bool,
) -> Result<(Published, Change, serde_json::Value), DeployError> {
    let function: layercake_core::aws::FunctionName = "words".parse().expect("a name");
    ensure_log_group(endpoint, journal, &function).await?;
    let (arn, published) =
        publish_layer(endpoint, journal, &LayerUpload { force_s3, ..fixture.layer() }).await?;
    let role = ensure_role(endpoint, journal, &role_name(&function).expect("a name")).await?;
    let code =
        b"import os, word\ndef run(event, context):\n    return [word.WORD, os.environ['MODE'], event]\n";
    let (zip, zip_size, zip_sha256) = fixture.zip("code.zip", &[("app.py", code)]);
    let spec = FunctionSpec {
        name: function.clone(),
        target: fixture.target(),
        handler: "app.run".parse().expect("a handler"),
        role,
        memory_mb: 128,
        timeout_seconds: 3,
        layers: vec![arn],
        variables: BTreeMap::from([("MODE".to_owned(), "test".to_owned())]),
        tags: BTreeMap::new(),
        zip,
        zip_size,
        zip_sha256,
        force_s3,
    };
    let (_, change) = ensure_function(endpoint, journal, &spec).await?;
    let invocation = invoke(endpoint, &function, &JsonText::of("{\"n\": 1}")).await?;
    assert_eq!(invocation.function_error, None, "{}", invocation.log);
    let payload = serde_json::from_str(invocation.payload.text()).expect("JSON");
    Ok((published, change, payload))
}

#[tokio::test]
async fn done_once_and_then_left_alone() {
    let fixture = Fixture::new().await;
    let endpoint = fixture.connect().await.expect("it answers");
    assert_eq!(endpoint.account.as_str(), DEFAULT_ACCOUNT);
    let mut journal = fixture.journal();
    let answer = serde_json::json!(["layered", "test", { "n": 1 }]);
    let first = deploy(&fixture, &endpoint, &mut journal, false).await.expect("it deploys");
    assert_eq!(first, (Published::Directly, Change::Created, answer.clone()));
    let steps = journal.journal().steps().len();
    let second = deploy(&fixture, &endpoint, &mut journal, false).await.expect("it deploys");
    assert_eq!(second, (Published::Already, Change::Unchanged, answer));
    assert_eq!(journal.journal().steps().len(), steps);
    destroy(&endpoint, &mut journal, |_, _| ()).await.expect("it is removed");
    destroy(&endpoint, &mut journal, |step, _| panic!("{step:?} was undone twice"))
        .await
        .expect("twice is fine");
    fixture.nothing_is_left(&endpoint).await;
}

#[tokio::test]
async fn a_request_that_proves_too_large_goes_through_s3() {
    let fixture = Fixture::new().await;
    let endpoint = fixture.connect().await.expect("it answers");
    let mut journal = fixture.journal();
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(53_000_000)
    .collect();
    let (zip, _, sha256) = fixture.zip("large.zip", &[("python/noise", &noise)]);
    // The size is given wrongly, so the limit is met only at the endpoint.
    let upload = LayerUpload { zip, size: 1, sha256, ..fixture.layer() };
    let (_, published) = publish_layer(&endpoint, &mut journal, &upload).await.expect("it is published");
    assert_eq!(published, Published::ViaS3);
    destroy(&endpoint, &mut journal, |_, _| ()).await.expect("it is removed");
    fixture.nothing_is_left(&endpoint).await;
}

/// Fails the first, the second, … request of a whole deployment, and undoes what was made.
async fn every_request_fails_once(force_s3: bool, takes_effect: bool, may_repeat: bool) {
    let fixture = Fixture::new().await;
    fixture.refusal.may_repeat.store(may_repeat, Ordering::SeqCst);
    fixture.refusal.takes_effect.store(takes_effect, Ordering::SeqCst);
    let endpoint = fixture.connect().await.expect("it answers");
    let mut failures = 0;
    for request in 1.. {
        assert!(request < 200, "a deployment does not need so many requests");
        let mut journal = fixture.journal();
        fixture.refusal.countdown.store(request, Ordering::SeqCst);
        let outcome = deploy(&fixture, &endpoint, &mut journal, force_s3).await;
        let was_refused = fixture.refusal.countdown.swap(0, Ordering::SeqCst) == 0;
        // A request that is repeated may well succeed; what counts is that nothing is left.
        assert!(may_repeat || outcome.is_err() == was_refused, "request {request}: {outcome:?}");
        if request % 2 == 0 && was_refused {
            deploy(&fixture, &endpoint, &mut journal, force_s3)
                .await
                .expect("a second try goes on where it was");
        }
        destroy(&endpoint, &mut journal, |_, _| ()).await.expect("it is removed");
        journal.close().expect("closed");
        fixture.nothing_is_left(&endpoint).await;
        if !was_refused {
            break;
        }
        failures += 1;
    }
    assert!(failures >= 10, "only {failures} requests were refused");
}

#[tokio::test]
async fn every_request_is_refused_once() {
    every_request_fails_once(false, false, false).await;
}

#[tokio::test]
async fn every_request_is_refused_once_through_s3() {
    every_request_fails_once(true, false, false).await;
}

#[tokio::test]
async fn every_answer_is_lost_once() {
    every_request_fails_once(false, true, false).await;
}

#[tokio::test]
async fn every_answer_is_lost_once_through_s3() {
    every_request_fails_once(true, true, false).await;
}

#[tokio::test]
async fn every_answer_is_lost_once_and_the_client_repeats_the_request() {
    every_request_fails_once(true, true, true).await;
}
