//! Bodies on their way through the verifier: hashed as they pass, or kept until they are known to
//! be what was signed.

use std::{
    io::{self, Read as _, Seek as _, Write as _},
    sync::{Arc, OnceLock},
};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use layercake_core::hash::{Hasher, Sha256};

use super::{Refusal, chunks::ChunkVerifier};
use crate::store::Store;

/// What was found wrong with a body while it was read; filled before its reader ends.
pub(in crate::api) type Fault = Arc<OnceLock<Refusal>>;

/// How a body is verified while it passes.
pub(super) enum Check {
    /// Its hash is known.
    Hash { hasher: Hasher, claimed: String },
    /// Its pieces are signed.
    Chunks(Box<ChunkVerifier>),
}

impl Check {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Hash { hasher, .. } => {
                hasher.update(bytes);
                Ok(())
            }
            Self::Chunks(verifier) => verifier.push(bytes),
        }
    }

    fn finish(self) -> Result<(), Refusal> {
        match self {
            Self::Hash { hasher, claimed } => {
                let computed = hasher.finish().to_hex();
                if computed == claimed { Ok(()) } else { Err(Refusal::OtherBody { claimed, computed }) }
            }
            Self::Chunks(verifier) => verifier.finish(),
        }
    }
}

/// The same body, which ends in an error when it is not what was signed. Whoever reads it to its
/// end without an error has read what the signer wrote.
pub(super) fn watched(body: Body, check: Check, fault: Fault) -> Body {
    Body::from_stream(watched_stream(body, check, fault))
}

fn watched_stream(body: Body, check: Check, fault: Fault) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let source = body.into_data_stream();
    stream::unfold((source, Some(check), fault), |(mut source, mut check, fault)| async move {
        let mut verifier = check.take()?;
        let refusal = match source.next().await {
            Some(Ok(piece)) => match verifier.push(&piece) {
                Ok(()) => return Some((Ok(piece), (source, Some(verifier), fault))),
                Err(refusal) => refusal,
            },
            Some(Err(error)) => return Some((Err(io::Error::other(error)), (source, None, fault))),
            None => match verifier.finish() {
                Ok(()) => return None,
                Err(refusal) => refusal,
            },
        };
        let _ = fault.set(refusal);
        let error = io::Error::new(io::ErrorKind::InvalidData, "the body is not what was signed");
        Some((Err(error), (source, None, fault)))
    })
}

/// More than any request to Lambda, Logs, IAM or STS may have; what is longer is refused unread.
const MOST_BYTES: u64 = 128 << 20;
/// What is kept in memory; the rest goes to a file without a name.
const IN_MEMORY: usize = 1 << 20;

/// Reads a body to its end, gives its hash, and the body anew.
pub(super) async fn kept(mut body: Body, store: &Store) -> Result<(Sha256, Body), Refusal> {
    let mut hasher = Sha256::hasher();
    let mut memory: Vec<u8> = Vec::new();
    let mut file: Option<std::fs::File> = None;
    let mut count = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Broken { why: error.to_string() })?;
        let Ok(piece) = frame.into_data() else { continue };
        count += piece.len() as u64;
        if count > MOST_BYTES {
            return Err(Refusal::TooLarge);
        }
        hasher.update(&piece);
        match &mut file {
            Some(file) => written(file, &piece)?,
            None => {
                memory.extend_from_slice(&piece);
                if memory.len() > IN_MEMORY {
                    let mut new = store.scratch().map_err(Refusal::Store)?;
                    written(&mut new, &memory)?;
                    memory = Vec::new();
                    file = Some(new);
                }
            }
        }
    }
    let body = match file {
        None => Body::from(memory),
        Some(mut file) => {
            file.rewind().map_err(|error| Refusal::Store(error.into()))?;
            Body::from_stream(stream::unfold(file, |mut file| async move {
                let mut piece = vec![0; 256 << 10];
                match file.read(&mut piece) {
                    Ok(0) => None,
                    Ok(count) => {
                        piece.truncate(count);
                        Some((Ok(Bytes::from(piece)), file))
                    }
                    Err(error) => Some((Err(error), file)),
                }
            }))
        }
    };
    Ok((hasher.finish(), body))
}

fn written(file: &mut std::fs::File, bytes: &[u8]) -> Result<(), Refusal> {
    file.write_all(bytes).map_err(|error| Refusal::Store(error.into()))
}

/// Reads what a refused client is still sending, so that it gets to read the answer.
pub(in crate::api) async fn drained(mut body: Body) {
    let mut count = 0_u64;
    while count <= MOST_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => count += frame.data_ref().map_or(0, |piece| piece.len() as u64),
            _ => return,
        }
    }
}
