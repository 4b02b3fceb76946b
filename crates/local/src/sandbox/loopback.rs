//! The loopback that an environment sees: this machine's, or one of its own.
//!
//! Owns how the server reaches it. Never decides which one an environment has.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpStream};

#[cfg(target_os = "linux")]
use super::sockets::Sockets;

/// Whose loopback something is on.
#[derive(Clone, Debug, Default)]
pub(super) enum Loopback {
    /// This machine's.
    #[default]
    Machine,
    /// That of one environment.
    #[cfg(target_os = "linux")]
    Own(std::sync::Arc<Sockets>),
}

impl Loopback {
    /// Whether nobody but one environment is on it.
    pub(super) fn is_own(&self) -> bool {
        !matches!(self, Self::Machine)
    }

    /// A connection to a port.
    ///
    /// # Errors
    /// What the kernel says; `UnexpectedEof` when the environment is gone.
    pub(super) async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match self {
            Self::Machine => TcpStream::connect(address).await,
            #[cfg(target_os = "linux")]
            Self::Own(sockets) => {
                let sockets = std::sync::Arc::clone(sockets);
                // The keeper answers at once, but it is another process that does.
                let socket = tokio::task::spawn_blocking(move || sockets.another()).await;
                let socket = socket.map_err(io::Error::other)??;
                tokio::net::TcpSocket::from_std_stream(socket.into()).connect(address).await
            }
        }
    }

    /// The listener that a new environment has made on its own loopback.
    ///
    /// # Errors
    /// `UnexpectedEof` when the environment could not be set up, `Unsupported` on this machine's.
    pub(super) async fn listener(&self) -> io::Result<TcpListener> {
        match self {
            Self::Machine => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(target_os = "linux")]
            Self::Own(sockets) => {
                let sockets = std::sync::Arc::clone(sockets);
                let listener = tokio::task::spawn_blocking(move || sockets.listener()).await;
                let listener = listener.map_err(io::Error::other)??;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
        }
    }
}
