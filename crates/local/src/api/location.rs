//! The links behind `Code.Location` and `Content.Location`: who has one may fetch the zip for ten
//! minutes, as on AWS, and nobody can make one.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use layercake_core::{aws::Region, hash::Sha256};

use super::{
    Api, answer, served,
    signature::{hex, hmac, is_hmac},
};
use crate::{
    service::now,
    store::{Store, StoreError},
};

/// Where the zips are.
pub(super) const PATH: &str = "/_layercake/blobs/{sha256}";

/// As on AWS.
const MINUTES: i64 = 10;

/// The data folder's key, with which links are sealed: a link outlives a restart.
#[derive(Clone)]
pub(super) struct LinkKey(Arc<[u8]>);

impl LinkKey {
    /// Reads it, or makes it at the first start.
    pub(super) fn of(store: &Store) -> Result<Self, StoreError> {
        let fresh = [*uuid::Uuid::new_v4().as_bytes(), *uuid::Uuid::new_v4().as_bytes()].concat();
        Ok(Self(store.own_secret("links", &fresh)?.into()))
    }

    fn sealed(sha256: Sha256, expires: i64) -> String {
        format!("{}\n{expires}", sha256.to_hex())
    }

    fn query(&self, sha256: Sha256, expires: i64) -> String {
        let seal = hex(&hmac(&self.0, Self::sealed(sha256, expires).as_bytes()));
        format!("expires={expires}&seal={seal}")
    }
}

/// The address under which the client reached us, for links in answers.
pub(super) fn endpoint(parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    format!("http://{}", host.unwrap_or("127.0.0.1:4566"))
}

/// Makes links with the address under which the client reached us.
pub(super) struct Links {
    endpoint: String,
    key: LinkKey,
}

impl Links {
    /// For the answer to one request.
    pub(super) fn new(api: &Api, parts: &Parts) -> Self {
        Self { endpoint: endpoint(parts), key: api.links.clone() }
    }

    /// Where the bytes of a zip can be fetched from now on.
    pub(super) fn to_blob(&self, sha256: Sha256) -> String {
        let expires = now() / 1000 + MINUTES * 60;
        format!("{}/_layercake/blobs/{}?{}", self.endpoint, sha256.to_hex(), self.key.query(sha256, expires))
    }
}

impl Links {
    /// Where a function URL answers: below the name under which the client reached us. No name
    /// stands below a plain address, so a client that came by one is sent to `localhost`, which
    /// resolvers keep for this machine.
    pub(super) fn to_function(&self, id: &str, region: &Region) -> String {
        let authority = self.endpoint.strip_prefix("http://").unwrap_or(&self.endpoint);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, format!(":{port}"))
            }
            _ => (authority, String::new()),
        };
        let is_plain = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let host = if is_plain || host.ends_with(".localhost") { "localhost" } else { host };
        format!("http://{id}.lambda-url.{region}.{host}{port}/")
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Seal {
    expires: i64,
    seal: String,
}

/// Answers who has a link.
pub(super) async fn answer_blob(
    State(api): State<Api>,
    Path(sha256): Path<String>,
    seal: Result<Query<Seal>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(sha256) = sha256.parse::<Sha256>() else { return denied("Access Denied") };
    let Ok(Query(Seal { expires, seal })) = seal else { return denied("Access Denied") };
    if !is_hmac(&api.links.0, LinkKey::sealed(sha256, expires).as_bytes(), &seal) {
        return denied("Access Denied");
    }
    if expires <= now() / 1000 {
        return denied("Request has expired");
    }
    let store = &api.cloud.store;
    let file = match served::opened(store, sha256, None, true).await {
        Ok(file) => file,
        Err(StoreError::Files { source }) if source.kind() == std::io::ErrorKind::NotFound => {
            return (StatusCode::NOT_FOUND, "no such file\n").into_response();
        }
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    };
    let size = file.size();
    let headers =
        [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_LENGTH, size.to_string())];
    (headers, Body::from_stream(served::stream(store, file, 0, size))).into_response()
}

/// What S3 says of a presigned link that is no good.
fn denied(message: &str) -> Response {
    let request_id = uuid::Uuid::new_v4().to_string();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>{message}</Message>\
         <RequestId>{request_id}</RequestId></Error>"
    );
    answer(403, "application/xml", body, &request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_urls_are_where_the_client_came_to() {
        let url = |host: &str| {
            let links = Links { endpoint: format!("http://{host}"), key: LinkKey([].into()) };
            links.to_function("id", &"eu-west-1".parse().expect("a region"))
        };
        assert_eq!(url("localhost:4566"), "http://id.lambda-url.eu-west-1.localhost:4566/");
        assert_eq!(url("127.0.0.1:4566"), "http://id.lambda-url.eu-west-1.localhost:4566/");
        assert_eq!(url("[::1]:4566"), "http://id.lambda-url.eu-west-1.localhost:4566/");
        assert_eq!(url("lambda.localhost:1"), "http://id.lambda-url.eu-west-1.localhost:1/");
        assert_eq!(url("cloud.example"), "http://id.lambda-url.eu-west-1.cloud.example/");
    }

    #[test]
    fn a_link_is_good_for_its_zip_and_time_alone() {
        let key = LinkKey(b"key".as_slice().into());
        let (zip, other) = (Sha256::of(b"zip"), Sha256::of(b"other"));
        let query = key.query(zip, 600);
        let seal = query.rsplit('=').next().unwrap_or_default();
        let fits = |key: &LinkKey, sha256, expires| {
            is_hmac(&key.0, LinkKey::sealed(sha256, expires).as_bytes(), seal)
        };
        assert!(fits(&key, zip, 600));
        assert!(!fits(&key, other, 600));
        assert!(!fits(&key, zip, 601));
        assert!(!fits(&LinkKey(b"yek".as_slice().into()), zip, 600));
    }
}
