//! The wire: which service a request is for, and how each service's protocol reads and writes.
//!
//! The only module that knows HTTP status codes and AWS's error shapes. It translates; what may
//! happen is decided in `service`.

mod constraints;
mod error;
mod function_urls;
mod guard;
mod health;
mod iam;
mod lambda;
mod location;
mod logs;
mod model;
mod query;
mod s3;
mod served;
mod serving;
mod signature;
mod spool;
mod sts;
mod to_its_end;
mod types;
mod validate;

use std::{net::SocketAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
    middleware,
    response::Response,
    routing::get,
};
use futures::FutureExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use layercake_core::aws::Region;

pub(crate) use error::{AwsError, answer};
pub use health::Health;
pub(crate) use serving::serve;

use self::to_its_end::ToItsEnd;
use crate::{
    Access, Presence, Signatures,
    service::{Caller, Cloud, Keyring},
    store::{Scope, StoreError},
};

/// What every handler needs.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) s3: s3s::service::S3Service,
    pub(crate) presence: Presence,
    keyring: Arc<Keyring>,
    links: location::LinkKey,
    seen: Arc<lambda::SeenInvocations>,
}

/// Who may come in, and where they come in.
pub(crate) struct Reach<'a> {
    pub(crate) access: &'a Access,
    /// Where it listens; nothing when it has no socket.
    pub(crate) address: Option<SocketAddr>,
}

impl Api {
    fn new(cloud: Arc<Cloud>, presence: Presence, access: &Access) -> Result<Self, StoreError> {
        let s3 = s3::service(&cloud);
        let keyring = Arc::new(Keyring::new(access, cloud.account.clone()));
        let links = location::LinkKey::of(&cloud.store)?;
        Ok(Self { cloud, s3, presence, keyring, links, seen: Arc::default() })
    }
}

/// All services behind one address.
pub(crate) struct Front {
    api: Api,
    hosts: Arc<guard::Hosts>,
    router: Router,
}

impl Front {
    pub(crate) fn new(cloud: Arc<Cloud>, presence: Presence, reach: &Reach<'_>) -> Result<Self, StoreError> {
        let hosts = guard::Hosts::new(reach.address.map(|address| address.ip()), &reach.access.hosts);
        let (api, hosts) = (Api::new(cloud, presence, reach.access)?, Arc::new(hosts));
        let router = Router::new()
            .route(health::PATH, get(health::answer_health))
            .route(location::PATH, get(location::answer_blob))
            .fallback(|State(api): State<Api>, request: Request| dispatch(api, request, None))
            .layer(middleware::from_fn_with_state(Arc::clone(&hosts), guard::refuse_web_pages))
            .with_state(api.clone());
        Ok(Self { api, hosts, router })
    }

    /// The same as a service of its own, for who has no socket.
    pub(crate) fn into_router(self) -> Router {
        self.router
    }

    /// Answers one request. AWS's paths are not ours to route, and a call of a function goes past the
    /// router: finding out that it is none of our own paths would cost more than answering it.
    async fn answer(&self, request: Request, peer: SocketAddr) -> Response {
        let holds_back = request.headers().contains_key(header::EXPECT);
        let mut response = self.routed(request, peer).await;
        if holds_back && response.status().as_u16() >= 400 {
            // A client that is refused before it was asked for the body never sends it, and what it sends
            // next would be taken for that body.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn routed(&self, mut request: Request, peer: SocketAddr) -> Response {
        if request.uri().path().starts_with(OWN_PATHS) {
            request.extensions_mut().insert(ConnectInfo(peer));
            let Ok(response) = TowerToHyperService::new(self.router.clone()).call(request).await;
            return response;
        }
        match guard::admitted(&self.hosts, request) {
            Ok(request) => dispatch(self.api.clone(), request, Some(peer)).await,
            Err(refusal) => *refusal,
        }
    }
}

/// How the paths of the local cloud itself begin.
const OWN_PATHS: &str = "/_layercake/";

/// The services there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Lambda,
    S3,
    Iam,
    Sts,
    Logs,
}

impl Service {
    /// The service that a credential scope names.
    fn named(text: &str) -> Option<Self> {
        match text {
            "lambda" => Some(Self::Lambda),
            "s3" | "s3express" => Some(Self::S3),
            "iam" => Some(Self::Iam),
            "sts" => Some(Self::Sts),
            "logs" => Some(Self::Logs),
            _ => None,
        }
    }
}

/// A client that hangs up takes its connection with it, and must not take half of what it asked for.
/// Who only reads asks for nothing that could be left half done.
async fn dispatch(api: Api, mut request: Request, peer: Option<SocketAddr>) -> Response {
    let request_id = uuid::Uuid::new_v4().to_string();
    if let Some(addressed) = function_urls::Addressed::of(request.headers(), request.uri()) {
        // Whatever its method, it calls a function, which is told who asks.
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let answer = Box::pin(function_urls::answer_request(api, addressed, request, request_id.clone()));
        return to_its_end(answer, &request_id).await;
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // On the heap from the beginning: what is handed on from here is moved at every step.
    let answer = Box::pin(answered(api, request, request_id.clone()));
    if reads { whole(answer, &request_id).await } else { to_its_end(answer, &request_id).await }
}

async fn to_its_end<F>(answer: Pin<Box<F>>, request_id: &str) -> Response
where
    F: Future<Output = Response> + Send + 'static,
{
    whole(ToItsEnd::new(answer), request_id).await
}

/// An answer, also when it panics.
async fn whole(answer: impl Future<Output = Response>, request_id: &str) -> Response {
    // What a panic leaves behind is judged where it is used: by the locks of the store.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a request was not answered: its handler panicked");
        unanswered(request_id)
    })
}

fn unanswered(request_id: &str) -> Response {
    AwsError::service("The local cloud failed to answer this request").rest_json(request_id)
}

async fn answered(api: Api, request: Request, request_id: String) -> Response {
    let (parts, body) = request.into_parts();
    let credential = Credential::of(&parts.headers, &parts.uri);
    let signed_for = credential.as_ref().and_then(Credential::service);
    if signed_for.is_none()
        && let Some(credential) = &credential
    {
        return no_such_service(&parts, &credential.service, &request_id);
    }
    let service = signed_for.unwrap_or_else(|| by_path(&parts));
    let (caller, body, fault) = match identified(&api, service, &parts, body, credential.as_ref()).await {
        Ok(admitted) => admitted,
        Err((refusal, rest)) => {
            signature::drained(rest).await;
            return refusal.response(service, &request_id);
        }
    };
    let region =
        credential.and_then(|credential| credential.region.parse().ok()).unwrap_or_else(default_region);
    let scope = Scope { account: caller.account.clone(), region };
    let request = (parts, body);
    let answer = performed(&api, service, (scope, caller), request, &request_id).await;
    // Whoever read the body has stopped at an error, and answers as if the client had gone away.
    match fault.get() {
        Some(refusal) => refusal.response(service, &request_id),
        None => answer,
    }
}

/// Who sent the request: whoever signed it, or, where signatures do not matter, whoever it says.
async fn identified(
    api: &Api,
    service: Service,
    parts: &Parts,
    body: Body,
    credential: Option<&Credential>,
) -> Result<(Caller, Body, signature::Fault), (signature::Refusal, Body)> {
    let store = &api.cloud.store;
    if api.keyring.signatures() == Signatures::Required {
        let now = jiff::Timestamp::now();
        let admitted = signature::admitted(service, &api.keyring, store, parts, body, now);
        let admitted = Box::pin(admitted).await?;
        return Ok((admitted.caller, admitted.body, admitted.fault));
    }
    match api.keyring.claimed(store, credential.map(|credential| credential.key.as_str())) {
        Ok(caller) => Ok((caller, body, signature::Fault::default())),
        Err(error) => Err((signature::Refusal::Store(error), body)),
    }
}

async fn performed(
    api: &Api,
    service: Service,
    (scope, caller): (Scope, Caller),
    (parts, body): (Parts, Body),
    request_id: &str,
) -> Response {
    match service {
        Service::Lambda => lambda::answer_request(api, scope, parts, body, request_id).await,
        // A future is as large as the largest of these, and Lambda's is the one that has to be small.
        Service::S3 => Box::pin(s3::answer_request(api, scope, parts, body)).await,
        Service::Logs => Box::pin(logs::answer_request(api, scope, &parts, body, request_id)).await,
        // Without a signature, IAM and STS tell each other apart by their actions.
        Service::Iam | Service::Sts => {
            Box::pin(query::answer_request(api, &caller, &parts, body, request_id)).await
        }
    }
}

/// Says that there is no such service, in the protocol that the client speaks: who reads XML does
/// not read JSON.
fn no_such_service(parts: &Parts, service: &str, request_id: &str) -> Response {
    let error = AwsError::not_built(format!("The local cloud has no service `{service}`"));
    if is_form(parts) {
        error.query("", request_id)
    } else if parts.headers.contains_key("x-amz-target") {
        error.json_1_1(request_id)
    } else {
        error.rest_json(request_id)
    }
}

/// Whether the body is a form, as the Query protocol has it.
fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| text.starts_with("application/x-www-form-urlencoded"))
}

/// Where unsigned requests go.
fn by_path(parts: &Parts) -> Service {
    let path = parts.uri.path();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text("x-amz-target").starts_with("Logs_") {
        Service::Logs
    } else if is_dated(path) {
        Service::Lambda
    } else if path == "/" && parts.method == "POST" && is_form(parts) {
        Service::Iam
    } else {
        Service::S3
    }
}

/// `/2015-03-31/…`: Lambda's paths begin with a date. A bucket may be called so too; its clients
/// sign their requests.
fn is_dated(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default().as_bytes();
    first.len() == 10
        && first.iter().enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn default_region() -> Region {
    "us-east-1".parse().expect("us-east-1 is a region")
}

/// The credential scope of a signed request: `KEY/DATE/REGION/SERVICE/aws4_request`.
#[derive(Debug, PartialEq, Eq)]
struct Credential {
    key: String,
    region: String,
    service: String,
}

impl Credential {
    fn of(headers: &HeaderMap, uri: &Uri) -> Option<Self> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(text) = header.and_then(|text| text.split("Credential=").nth(1)) {
            return Self::parse(text.split([',', ' ']).next()?);
        }
        let query = url::form_urlencoded::parse(uri.query()?.as_bytes());
        let (_, text) = query.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-credential"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        // The key may hold slashes; what follows it may not.
        let mut parts = text.rsplit('/');
        parts.next().filter(|last| *last == "aws4_request")?;
        let service = parts.next()?.to_owned();
        let region = parts.next()?.to_owned();
        parts.next()?;
        let mut key: Vec<&str> = parts.collect();
        key.reverse();
        Some(Self { key: key.join("/"), region, service })
    }

    /// The service of ours that the request is for.
    fn service(&self) -> Option<Service> {
        Service::named(&self.service)
    }
}

/// Reads a body that fits in memory; more than `limit` bytes are read and thrown away, so that
/// the client gets to read the answer. The error is the number of bytes.
async fn read_body(body: Body, limit: usize) -> Result<Result<Vec<u8>, u64>, axum::Error> {
    use http_body_util::BodyExt as _;

    let mut body = body;
    let mut bytes = Vec::new();
    let mut count = 0_u64;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            count += piece.len() as u64;
            if count <= limit as u64 {
                bytes.extend_from_slice(&piece);
            } else {
                bytes = Vec::new();
            }
        }
    }
    Ok(if count <= limit as u64 { Ok(bytes) } else { Err(count) })
}

#[cfg(test)]
pub(crate) mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{Config, Interpreters, RetiredRuntimes, store::State as FunctionState};

    /// A cloud of its own in a folder of its own.
    pub(crate) fn api() -> (tempfile::TempDir, Api) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = camino::Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
        let config = Config {
            data,
            listen: "127.0.0.1:0".parse().expect("an address"),
            account: crate::DEFAULT_ACCOUNT.parse().expect("an account"),
            retired_runtimes: RetiredRuntimes::Refuse,
            presence: Presence::Embedded,
            interpreters: Interpreters::default(),
            tuning: crate::sandbox::Tuning::default(),
            access: Access::default(),
            event_speed: std::num::NonZeroU32::MIN,
        };
        let cloud = crate::open(&config).expect("a cloud");
        let api = Api::new(cloud, Presence::Embedded, &config.access).expect("an API");
        (folder, api)
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body.to_owned())).expect("a request")
    }

    async fn ask(api: &Api, request: Request) -> String {
        let response = dispatch(api.clone(), request, None).await;
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body))
    }

    fn new_function() -> Request {
        let mut zip = layercake_core::zip::ZipWriter::new(Vec::new());
        zip.file_from_bytes("app.py", layercake_core::zip::FileMode::Regular, b"").expect("memory");
        let (zip, _) = zip.finish().expect("memory");
        let zip = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, zip);
        let body = serde_json::json!({
            "FunctionName": "f", "Runtime": "python3.12", "Handler": "app.handler",
            "Role": "arn:aws:iam::123456789012:role/any", "Code": { "ZipFile": zip },
        });
        request("POST", "/2015-03-31/functions", &[], &body.to_string())
    }

    async fn settled(api: &Api) {
        let function = crate::service::FunctionRef { name: "f".parse().expect("a name"), qualifier: None };
        let scope = api.cloud.scope(default_region());
        loop {
            match api.cloud.function(&scope, &function).await {
                Ok(record) if record.state == FunctionState::Active => return,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_client_asked_for_is_done_even_when_it_hangs_up() {
        let (_folder, api) = api();
        let mut answer = Box::pin(dispatch(api.clone(), new_function(), None));
        assert!(futures::poll!(&mut answer).is_pending());
        drop(answer);
        settled(&api).await;
    }

    #[tokio::test]
    async fn a_panic_is_answered() {
        let answer = to_its_end(Box::pin(async { panic!("a test's panic") }), "id").await;
        assert_eq!(answer.status(), 500);
        let answer = whole(async { panic!("a test's panic") }, "id").await;
        assert_eq!(answer.status(), 500);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn numbers_that_clients_make_up_do_no_harm() {
        let (_folder, api) = api();
        let logs = |operation: &str, body: &str| {
            let target = format!("Logs_20140328.{operation}");
            request("POST", "/", &[("x-amz-target", &target)], body)
        };
        assert_eq!(ask(&api, logs("CreateLogGroup", r#"{"logGroupName": "g"}"#)).await, "200 ");
        let token = format!(r#"{{"logGroupName": "g", "nextToken": "{}"}}"#, usize::MAX);
        insta::assert_snapshot!(
            ask(&api, logs("DescribeLogStreams", &token)).await,
            @r#"400 {"__type":"InvalidParameterException","message":"The specified nextToken is invalid."}"#
        );
        let token = format!(r#"{{"logGroupName": "g", "nextToken": "{}/g"}}"#, i64::MAX);
        insta::assert_snapshot!(ask(&api, logs("DescribeLogStreams", &token)).await, @r#"200 {"logStreams":[]}"#);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let roles = format!("Action=ListRoles&MaxItems={}", i64::MAX);
        let answer = ask(&api, request("POST", "/", &form, &roles)).await;
        assert!(
            answer.starts_with("400 ") && answer.contains("Member must have value less than"),
            "{answer}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_context_has_a_limit_and_is_for_synchronous_calls() {
        let (_folder, api) = api();
        ask(&api, new_function()).await;
        settled(&api).await;
        let invoke = |kind: &str, context: &str| {
            let headers = [("x-amz-invocation-type", kind), ("x-amz-client-context", context)];
            request("POST", "/2015-03-31/functions/f/invocations", &headers, "{}")
        };
        let context = |letters: usize| {
            let json = format!("\"{}\"", "a".repeat(letters));
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, json)
        };
        // Base64 comes in groups of four, so 3,580 bytes are the most below the limit.
        assert_eq!(ask(&api, invoke("DryRun", &context(2683))).await, "204 ");
        insta::assert_snapshot!(
            ask(&api, invoke("DryRun", &context(2684))).await,
            @r#"400 {"Type":"User","message":"Client context must be at most 3583 bytes of Base64."}"#
        );
        // An event's is not looked at, since the function does not get it.
        assert_eq!(ask(&api, invoke("Event", "not base64")).await, "202 ");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_this_machine_lacks_is_no_fault_that_goes_away() {
        let (_folder, api) = api();
        ask(&api, new_function()).await;
        settled(&api).await;
        let invoke = || request("POST", "/2015-03-31/functions/f/invocations", &[], "{}");
        let answer = ask(&api, invoke()).await;
        // The second time it is known already how the request reads.
        assert_eq!(ask(&api, invoke()).await, answer);
        insta::assert_snapshot!(
            answer,
            @r#"400 {"Type":"User","message":"no Python 3.12 on this machine for python3.12; no CPython 3 was found at all; install it (`uv python install 3.12` or `pyenv install 3.12`), name one with --python"}"#
        );
    }

    #[tokio::test]
    async fn who_is_refused_before_the_body_gets_no_second_request() {
        let (_folder, api) = api();
        let access = Access::default();
        let reach = Reach { access: &access, address: None };
        let front = Front::new(Arc::clone(&api.cloud), Presence::Embedded, &reach).expect("a front");
        let check = async |headers: &[(&str, &str)]| {
            let peer = "127.0.0.1:1".parse().expect("an address");
            let response = front.answer(request("PUT", "/nowhere/key", headers, "x"), peer).await;
            let closes = response.headers().get("connection").map(HeaderValue::as_bytes);
            (response.status().as_u16(), closes == Some(b"close"))
        };
        assert_eq!(check(&[("expect", "100-continue")]).await, (404, true));
        assert_eq!(check(&[]).await, (404, false));
    }

    fn check(authorization: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().expect("a header value"));
        format!("{:?}", Credential::of(&headers, &Uri::from_static("/")))
    }

    #[test]
    fn the_credential_scope_says_region_and_service() {
        insta::assert_snapshot!(
            check("AWS4-HMAC-SHA256 Credential=AKIA/x/20261122/eu-central-1/lambda/aws4_request, SignedHeaders=host, Signature=0"),
            @r#"Some(Credential { key: "AKIA/x", region: "eu-central-1", service: "lambda" })"#
        );
        insta::assert_snapshot!(check("Basic abc"), @"None");
    }

    #[test]
    fn lambda_paths_begin_with_a_date() {
        assert!(is_dated("/2015-03-31/functions"));
        assert!(!is_dated("/bucket/2015-03-31"));
        assert!(!is_dated("/"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_that_is_not_there_says_so_in_the_clients_protocol() {
        let (_folder, api) = api();
        let signed = |service: &str| {
            format!("AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/{service}/aws4_request, Signature=x")
        };
        let check = async |service: &str, name: &str, value: &str| {
            let authorization = signed(service);
            let headers = [("authorization", authorization.as_str()), (name, value)];
            ask(&api, request("POST", "/", &headers, "")).await
        };
        let query = check("cloudformation", "content-type", "application/x-www-form-urlencoded").await;
        assert!(
            query.starts_with("501 <ErrorResponse><Error><Type>Receiver</Type><Code>NotImplemented</Code><Message>The local cloud has no service `cloudformation`</Message>"),
            "{query}"
        );
        assert_eq!(
            check("dynamodb", "x-amz-target", "DynamoDB_20120810.ListTables").await,
            r#"501 {"__type":"NotImplemented","message":"The local cloud has no service `dynamodb`"}"#
        );
        assert_eq!(
            check("apigateway", "accept", "application/json").await,
            r#"501 {"Type":"User","message":"The local cloud has no service `apigateway`"}"#
        );
    }
}
