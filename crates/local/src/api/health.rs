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

use super::{Api, served};
use crate::store::StoreError;

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
    let missing = || (StatusCode::NOT_FOUND, "no such file\n").into_response();
    let Ok(sha256) = sha256.parse::<Sha256>() else {
        return missing();
    };
    let store = &api.cloud.store;
    let file = match served::opened(store, sha256, None, true).await {
        Ok(file) => file,
        Err(StoreError::Files { source }) if source.kind() == std::io::ErrorKind::NotFound => {
            return missing();
        }
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    };
    let size = file.size();
    let headers =
        [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_LENGTH, size.to_string())];
    (headers, Body::from_stream(served::stream(store, file, 0, size))).into_response()
}
