//! Files of the store on their way to a client.
//!
//! Bytes that do not have their hash are never served: a damaged file that is found before the
//! answer begins is told in the answer, and one that is found behind it breaks the connection off
//! before its last bytes.

use std::{io, sync::Arc};

use bytes::Bytes;
use layercake_core::{hash::Sha256, zip::ReadAt as _};

use crate::store::{BlobFile, Store, StoreError, Watch};

/// How much is read and sent at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// Opens a file for [`stream`]: for all of it, or for a range. `size` is what its record says.
pub(super) async fn opened(
    store: &Arc<Store>,
    sha256: Sha256,
    size: Option<u64>,
    whole: bool,
) -> Result<BlobFile, StoreError> {
    let file = store.open_blob(sha256)?;
    if file.is_sound() {
        return Ok(file);
    }
    let whole = whole && size.is_none_or(|size| size == file.size());
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || file.prepared(&store, whole))
        .await
        .unwrap_or(Err(StoreError::ShuttingDown))
}

/// The bytes `from` to `to` (without it) of a file, in pieces.
pub(super) fn stream(
    store: &Arc<Store>,
    file: BlobFile,
    from: u64,
    to: u64,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    let watch = store.watch(&file, to - from);
    let sending = Sending { store: Arc::clone(store), file, watch, at: from, to };
    futures::stream::unfold(Some(sending), |sending| async move {
        let sending = sending.filter(|sending| sending.at < sending.to)?;
        match tokio::task::spawn_blocking(move || sending.next()).await {
            Ok((piece, sending)) => Some((piece, sending)),
            Err(_) => Some((Err(io::Error::other(StoreError::ShuttingDown)), None)),
        }
    })
}

struct Sending {
    store: Arc<Store>,
    file: BlobFile,
    watch: Watch,
    at: u64,
    to: u64,
}

impl Sending {
    /// The next piece, and what is left unless it failed.
    fn next(mut self) -> (io::Result<Bytes>, Option<Self>) {
        // At most a quarter of a mebibyte.
        let mut piece = vec![0; (self.to - self.at).min(PIECE_BYTES) as usize];
        let read = self.file.read_exact_at(self.at, &mut piece).map_err(StoreError::from);
        let outcome = read.and_then(|()| self.watch.let_through(&self.store, &self.file, &piece));
        match outcome {
            Ok(()) => {
                self.at += piece.len() as u64;
                (Ok(piece.into()), Some(self))
            }
            Err(error) => (Err(io::Error::other(error)), None),
        }
    }
}
