//! Our own paths: "are you a layercake local cloud?", and the zips behind `Code.Location`.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use layercake_core::hash::Sha256;
use serde::{Deserialize, Serialize};

use super::Api;

/// Where to ask.
pub(crate) const PATH: &str = "/_layercake/health";

/// What a local cloud says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The version of layercake.
    pub layercake: String,
    /// The data directory.
    pub data: String,
    /// `serving` or `embedded`.
    pub presence: String,
}

pub(super) async fn answer_health(State(api): State<Api>) -> Json<Health> {
    Json(Health {
        layercake: env!("CARGO_PKG_VERSION").to_owned(),
        data: api.cloud.store.root().to_string(),
        presence: api.presence.as_str().to_owned(),
    })
}

pub(super) async fn answer_blob(State(api): State<Api>, Path(sha256): Path<String>) -> Response {
    let Some((file, size)) =
        sha256.parse::<Sha256>().ok().and_then(|hash| api.cloud.store.open_blob(hash).ok())
    else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_LENGTH, size.to_string())];
    (headers, Body::from_stream(super::s3::file_stream(file, size))).into_response()
}
