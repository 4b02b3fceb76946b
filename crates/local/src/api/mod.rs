//! The wire: which service a request is for, and how each service's protocol reads and writes.
//!
//! The only module that knows HTTP status codes and AWS's error shapes. It translates; what may
//! happen is decided in `service`.

mod error;
mod health;
mod iam;
mod lambda;
mod logs;
mod model;
mod query;
mod s3;
mod spool;
mod sts;
mod validate;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Uri, header, request::Parts},
    response::Response,
    routing::get,
};
use layercake_core::aws::Region;

pub(crate) use error::{AwsError, answer};
pub use health::Health;

use crate::{Presence, service::Cloud};

/// What every handler needs.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) s3: s3s::service::S3Service,
    pub(crate) presence: Presence,
}

/// All services behind one address.
pub(crate) fn router(cloud: Arc<Cloud>, presence: Presence) -> Router {
    let s3 = s3::service(&cloud);
    Router::new()
        .route(health::PATH, get(health::answer_health))
        .route("/_layercake/blobs/{sha256}", get(health::answer_blob))
        .fallback(dispatch)
        .with_state(Api { cloud, s3, presence })
}

/// The services there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Lambda,
    S3,
    Iam,
    Sts,
    Logs,
}

async fn dispatch(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let credential = Credential::of(&parts.headers, &parts.uri);
    let request_id = uuid::Uuid::new_v4().to_string();
    let region = credential
        .as_ref()
        .and_then(|credential| credential.region.parse().ok())
        .unwrap_or_else(default_region);
    let scope = api.cloud.scope(region);
    let signed_for = credential.as_ref().and_then(|credential| match credential.service.as_str() {
        "lambda" => Some(Service::Lambda),
        "s3" | "s3express" => Some(Service::S3),
        "iam" => Some(Service::Iam),
        "sts" => Some(Service::Sts),
        "logs" => Some(Service::Logs),
        _ => None,
    });
    if signed_for.is_none()
        && let Some(credential) = &credential
    {
        let message = format!("The local cloud has no service `{}`", credential.service);
        return AwsError::not_built(message).rest_json(&request_id);
    }
    match signed_for.unwrap_or_else(|| by_path(&parts)) {
        Service::Lambda => lambda::answer_request(&api, scope, parts, body, &request_id).await,
        Service::S3 => s3::answer_request(&api, scope, parts, body).await,
        Service::Logs => logs::answer_request(&api, scope, &parts, body, &request_id).await,
        // Without a signature, IAM and STS tell each other apart by their actions.
        Service::Iam | Service::Sts => query::answer_request(&api, &scope, &parts, body, &request_id).await,
    }
}

/// Where unsigned requests go.
fn by_path(parts: &Parts) -> Service {
    let path = parts.uri.path();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text("x-amz-target").starts_with("Logs_") {
        Service::Logs
    } else if is_dated(path) {
        Service::Lambda
    } else if path == "/"
        && parts.method == "POST"
        && text(header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded")
    {
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
        Some(Self { region, service })
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

/// The address under which the client reached us, for links in answers.
fn endpoint(parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    format!("http://{}", host.unwrap_or("127.0.0.1:4566"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(authorization: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().expect("a header value"));
        format!("{:?}", Credential::of(&headers, &Uri::from_static("/")))
    }

    #[test]
    fn the_credential_scope_says_region_and_service() {
        insta::assert_snapshot!(
            check("AWS4-HMAC-SHA256 Credential=AKIA/x/20261122/eu-central-1/lambda/aws4_request, SignedHeaders=host, Signature=0"),
            @r#"Some(Credential { region: "eu-central-1", service: "lambda" })"#
        );
        insta::assert_snapshot!(check("Basic abc"), @"None");
    }

    #[test]
    fn lambda_paths_begin_with_a_date() {
        assert!(is_dated("/2015-03-31/functions"));
        assert!(!is_dated("/bucket/2015-03-31"));
        assert!(!is_dated("/"));
    }
}
