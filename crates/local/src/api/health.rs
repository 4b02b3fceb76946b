//! Our own path: "are you a layercake local cloud?" It asks for no signature, and tells strangers
//! little.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
};
use serde::{Deserialize, Serialize};

use super::Api;
use crate::Signatures;

/// Where to ask.
pub(crate) const PATH: &str = "/_layercake/health";

/// What a local cloud says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The version of layercake.
    pub layercake: String,
    /// The data directory; nothing for clients on other machines.
    pub data: String,
    /// `serving` or `embedded`.
    pub presence: String,
    /// Whether requests must be signed with a key that it knows.
    #[serde(default)]
    pub signatures: bool,
}

pub(super) async fn answer_health(
    State(api): State<Api>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
) -> Json<Health> {
    // Where the folder is, is nobody's business who is not on this machine.
    let is_near = peer.is_none_or(|Extension(ConnectInfo(peer))| peer.ip().to_canonical().is_loopback());
    Json(Health {
        layercake: env!("CARGO_PKG_VERSION").to_owned(),
        data: if is_near { api.cloud.store.root().to_string() } else { String::new() },
        presence: api.presence.as_str().to_owned(),
        signatures: api.keyring.signatures() == Signatures::Required,
    })
}
