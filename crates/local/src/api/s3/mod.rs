//! S3 on the wire. The protocol is s3s's; this translates between its types and the service's.
//!
//! s3s verifies signatures with secrets that it knows, and the local cloud takes every caller's
//! key. So a request loses its signature and its upload encoding before s3s sees it ([`request`]),
//! and errors get the members that AWS gives them on their way out ([`refusal`]). What is not
//! built answers NotImplemented, which is what s3s does by default.

mod access;
mod attributes;
mod buckets;
mod chunked;
mod deletion;
mod listing;
mod multipart;
mod objects;
mod operations;
mod refusal;
mod request;
mod settings;
mod tagging;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, request::Parts},
    response::{IntoResponse as _, Response},
};
use layercake_core::hash::Sha256;
use s3s::{S3Request, S3Result, dto::Owner};

use super::Api;
use crate::{
    service::Cloud,
    store::{BucketRecord, Scope},
};

/// S3 on the local cloud.
#[derive(Clone)]
pub(super) struct Objects {
    cloud: Arc<Cloud>,
}

/// What travels beside a request through s3s.
#[derive(Clone)]
struct Beside {
    scope: Scope,
    trailers: chunked::Trailers,
    /// Checksum algorithms that the client announced, lower-case.
    announced: Vec<String>,
    /// The account that the client expects the bucket to belong to.
    expected_owner: Option<String>,
    /// The account that the client expects the bucket to belong to that a copy reads.
    expected_source_owner: Option<String>,
    /// Where the client reached us, for links in answers.
    endpoint: String,
}

pub(super) fn service(cloud: &Arc<Cloud>) -> s3s::service::S3Service {
    let mut builder = s3s::service::S3ServiceBuilder::new(Objects { cloud: Arc::clone(cloud) });
    builder.set_host(request::LocalHosts);
    builder.build()
}

/// Answers one request to S3.
pub(super) async fn answer_request(api: &Api, scope: Scope, mut parts: Parts, body: Body) -> Response {
    let method = parts.method.clone();
    let asked = request::Asked::of(&parts);
    let mut response = match request::refused(&parts) {
        Some(error) => refusal::response(&error),
        None => {
            let body = request::prepared(&mut parts, body, scope);
            match api.s3.call(http::Request::from_parts(parts, body)).await {
                Ok(response) => response.map(Body::new),
                Err(error) => {
                    tracing::error!(?error, "S3 request failed");
                    http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            }
        }
    };
    let request_id = uuid::Uuid::new_v4().simple().to_string()[..16].to_uppercase();
    let host_id = Sha256::of(request_id.as_bytes()).to_base64();
    // s3s says so for a part of an object that is sent, and not for one that is only described.
    if method == http::Method::HEAD && response.headers().contains_key("content-range") {
        *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() || status == http::StatusCode::NOT_MODIFIED {
        response = refusal::completed(response, &method, &asked, &request_id, &host_id).await;
    } else if asked.attributes {
        response = attributes::without_quotes(response).await;
    }
    let headers = response.headers_mut();
    headers.insert("server", HeaderValue::from_static("AmazonS3"));
    for (name, value) in [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

impl Objects {
    fn beside<T>(request: &S3Request<T>) -> S3Result<Beside> {
        request
            .extensions
            .get::<Beside>()
            .cloned()
            .ok_or_else(|| s3s::s3_error!(InternalError, "a request without its scope"))
    }

    /// The bucket that a request names, when it is the caller's and the one that the caller
    /// expects.
    async fn enter(&self, beside: &Beside, name: &str) -> S3Result<BucketRecord> {
        self.enter_as(beside, name, beside.expected_owner.as_deref()).await
    }

    /// The bucket that a copy reads.
    async fn enter_source(&self, beside: &Beside, name: &str) -> S3Result<BucketRecord> {
        self.enter_as(beside, name, beside.expected_source_owner.as_deref()).await
    }

    async fn enter_as(&self, beside: &Beside, name: &str, owner: Option<&str>) -> S3Result<BucketRecord> {
        let bucket = self.cloud.bucket(&beside.scope, name).await.map_err(wire::error)?;
        match owner {
            Some(owner) if owner != bucket.account => Err(s3s::s3_error!(AccessDenied, "Access Denied")),
            _ => Ok(bucket),
        }
    }
}

/// The canonical user of an account. AWS's are 64 hexadecimal digits that say nothing; these are
/// the same for an account at all times.
fn canonical_id(account: &str) -> String {
    Sha256::of(format!("canonical user of {account}").as_bytes()).to_hex()
}

/// The owner of whatever belongs to an account.
fn owner(account: &str) -> Owner {
    Owner { display_name: None, id: Some(canonical_id(account)) }
}
