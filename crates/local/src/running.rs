//! Finding a local cloud that runs already.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use camino::Utf8Path;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{api::Health, store};

/// The longest to wait for an answer; a local cloud answers in a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// The local cloud that serves a data directory, if one does and answers.
pub async fn find_running(data: &Utf8Path) -> Option<(SocketAddr, Health)> {
    let record = store::announced(data)?;
    let mut address: SocketAddr = record.address.parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let health = ask(address).await?;
    let same = match (data.canonicalize_utf8(), Utf8Path::new(&health.data).canonicalize_utf8()) {
        (Ok(wanted), Ok(served)) => wanted == served,
        _ => false,
    };
    same.then_some((address, health))
}

/// Asks any address: "are you a layercake local cloud?"
pub async fn ask(address: SocketAddr) -> Option<Health> {
    tokio::time::timeout(PATIENCE, health(address)).await.ok().flatten()
}

async fn health(address: SocketAddr) -> Option<Health> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/_layercake/health")
        .header(http::header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    let body = response.into_body().collect().await.ok()?.to_bytes();
    connection.abort();
    serde_json::from_slice(&body).ok()
}
