//! The socket's side: connections are taken, served, and brought to an end.
//!
//! Knows neither requests nor answers; those are [`Front`]'s. Every call of a function passes here, so
//! there is nothing between a connection and its answer but the parser.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use super::Front;

/// How long to wait when this process can open no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is told to stop, and then until the last answer is sent.
pub(crate) async fn serve(listener: TcpListener, front: Front, mut stopped: watch::Receiver<bool>) {
    let front = Arc::new(front);
    // Every connection holds a sender, so the channel closes with the last one.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    let told = stopped.clone();
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            _ = stopped.wait_for(|&stopped| stopped) => break,
            accepted = accept(&listener) => accepted,
        };
        let (front, told, alive) = (Arc::clone(&front), told.clone(), alive.clone());
        tokio::spawn(async move {
            serve_connection(stream, peer, front, told).await;
            drop(alive);
        });
    }
    drop((listener, alive));
    ended.recv().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_client(error.kind()) => {}
            // The connection stays in the queue, so the next try would come, and fail, at once.
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// It went away before it was taken.
fn is_of_the_client(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    mut stopped: watch::Receiver<bool>,
) {
    // Without it a small answer waits for the client's acknowledgement, up to 40 ms.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request.map(Body::new), peer).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What goes wrong on a connection is its client's affair.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|&stopped| stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
