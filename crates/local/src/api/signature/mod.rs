//! AWS Signature Version 4, verified: in the `Authorization` header, in a presigned query, and in
//! the pieces of S3's uploads. One verifier stands before every service, so that nothing of a
//! request is believed before its signature is.
//!
//! Decides only whether a request is what the holder of a key signed; who the holder is says
//! `service::Keyring`.

mod body;
mod canonical;
mod chunks;
mod claim;
mod refusal;
mod seal;

use axum::{
    body::Body,
    http::{HeaderName, request::Parts},
};
use hyper::body::Body as _;
use jiff::Timestamp;
use layercake_core::hash::Sha256;

pub(super) use body::{Fault, drained};
pub(super) use refusal::Refusal;
pub(super) use seal::{hex, hmac, is_hmac};

use self::{
    body::Check,
    canonical::PathStyle,
    chunks::{Chain, ChunkVerifier},
    claim::Claim,
    refusal::{Mismatch, most_skew_seconds},
};
use super::Service;
use crate::{
    service::{Caller, Keyring, KnownKey},
    store::Store,
};

/// A request that is known to be its signer's.
pub(super) struct Admitted {
    /// Who signed it.
    pub(super) caller: Caller,
    /// Its body; it may still turn out to be another than the signed one, and then ends in an
    /// error.
    pub(super) body: Body,
    /// What was wrong with the body, once it has been read.
    pub(super) fault: Fault,
}

/// How the body was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodySigning<'a> {
    Unsigned,
    Hash(&'a str),
    Chunks { has_trailer: bool },
}

/// S3's words for bodies that are not signed by their hash.
const UNSIGNED: [&str; 2] = ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"];
const CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const CHUNKS_WITH_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

/// Verifies a request. A refusal comes with what is left of the body.
pub(super) async fn admitted(
    service: Service,
    keyring: &Keyring,
    store: &Store,
    parts: &Parts,
    body: Body,
    now: Timestamp,
) -> Result<Admitted, (Refusal, Body)> {
    let checked = match checked_claim(service, keyring, store, parts, now) {
        Ok(checked) => checked,
        Err(refusal) => return Err((refusal, body)),
    };
    let outcome = match service {
        Service::S3 => checked.s3(parts, body),
        _ => checked.others(parts, body, store).await,
    };
    outcome.map(|(body, fault)| Admitted { caller: checked.known.caller, body, fault })
}

/// A claim whose key, token and time are good.
struct Checked {
    claim: Claim,
    known: KnownKey,
}

fn checked_claim(
    service: Service,
    keyring: &Keyring,
    store: &Store,
    parts: &Parts,
    now: Timestamp,
) -> Result<Checked, Refusal> {
    let claim = Claim::of(&parts.headers, &parts.uri)?;
    if Service::named(&claim.scope.service) != Some(service) {
        let name = format!("{service:?}").to_lowercase();
        let why = format!("Credential should be scoped to correct service: '{name}'.");
        return Err(Refusal::Malformed { why });
    }
    let known = keyring
        .known(store, &claim.key)
        .map_err(Refusal::Store)?
        .ok_or_else(|| Refusal::UnknownKey { key: claim.key.clone() })?;
    let token_fits = match (&known.token, &claim.token) {
        (Some(known), Some(given)) => is_same_secret(known, given),
        (None, None) => true,
        _ => false,
    };
    if !token_fits {
        return Err(Refusal::WrongToken);
    }
    if known.expires.is_some_and(|end| end <= now.as_millisecond()) {
        return Err(Refusal::ExpiredToken);
    }
    check_time(service, &claim, now)?;
    check_signed_headers(parts, &claim)?;
    Ok(Checked { claim, known })
}

/// Compared by their keyed hashes, so that the time it takes tells nothing.
fn is_same_secret(known: &str, given: &str) -> bool {
    is_hmac(b"token", given.as_bytes(), &hex(&hmac(b"token", known.as_bytes())))
}

fn check_time(service: Service, claim: &Claim, now: Timestamp) -> Result<(), Refusal> {
    if !claim.time.starts_with(claim.scope.date.as_str()) || claim.scope.date.len() != 8 {
        return Err(Refusal::Malformed {
            why: format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}', from '{}'.",
                claim.scope.date,
                claim.time.get(..8).unwrap_or_default(),
                claim.time
            ),
        });
    }
    let age = now.as_second() - claim.signed_at.as_second();
    let skew = most_skew_seconds(service);
    match claim.expires {
        None if age.abs() > skew => Err(Refusal::Skewed { signed_at: claim.signed_at, now }),
        Some(_) if age < -skew => Err(Refusal::Skewed { signed_at: claim.signed_at, now }),
        Some(seconds) if age > seconds => {
            let ended = Timestamp::from_second(claim.signed_at.as_second() + seconds).unwrap_or(now);
            Err(Refusal::LinkExpired { seconds, ended, now })
        }
        _ => Ok(()),
    }
}

/// `Host` and everything that AWS gives a meaning must be signed, or a stranger could change it.
fn check_signed_headers(parts: &Parts, claim: &Claim) -> Result<(), Refusal> {
    let is_signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    let mut names: Vec<String> = parts
        .headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-") && *name != "x-amz-user-agent")
        .filter(|name| !is_signed(name))
        .map(str::to_owned)
        .collect();
    if !is_signed("host") {
        names.insert(0, "host".to_owned());
    }
    names.dedup();
    if names.is_empty() { Ok(()) } else { Err(Refusal::HeadersNotSigned { names }) }
}

impl Checked {
    /// S3 says in the request how the body is signed, so the signature is verified before a byte
    /// of the body is read.
    fn s3(&self, parts: &Parts, body: Body) -> Result<(Body, Fault), (Refusal, Body)> {
        let declared = match self.declared_hash(parts) {
            Ok(declared) => declared,
            Err(refusal) => return Err((refusal, body)),
        };
        let signing = match declared.as_str() {
            text if UNSIGNED.contains(&text) => BodySigning::Unsigned,
            CHUNKS => BodySigning::Chunks { has_trailer: false },
            CHUNKS_WITH_TRAILER => BodySigning::Chunks { has_trailer: true },
            text if text.parse::<Sha256>().is_ok() => BodySigning::Hash(text),
            _ => return Err((Refusal::BodySigning { how: declared }, body)),
        };
        let signature = match self.verified(parts, &declared, PathStyle::Once) {
            Ok(signature) => signature,
            Err(refusal) => return Err((refusal, body)),
        };
        let fault = Fault::default();
        let check = match signing {
            BodySigning::Unsigned => return Ok((body, fault)),
            BodySigning::Hash(claimed) => {
                Check::Hash { hasher: Sha256::hasher(), claimed: claimed.to_ascii_lowercase() }
            }
            BodySigning::Chunks { has_trailer } => Check::Chunks(Box::new(ChunkVerifier::new(Chain {
                id: self.claim.key.clone(),
                key: self.claim.scope.key(&self.known.secret),
                time: self.claim.time.clone(),
                scope: self.claim.scope.clone(),
                previous: signature,
                has_trailer,
            }))),
        };
        Ok((body::watched(body, check, Fault::clone(&fault)), fault))
    }

    fn declared_hash(&self, parts: &Parts) -> Result<String, Refusal> {
        let header = parts.headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok());
        let query = parts.uri.query().unwrap_or_default();
        let asked = url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"))
            .map(|(_, value)| value.into_owned());
        match (header.map(str::to_owned).or(asked), self.claim.expires) {
            (Some(declared), _) => Ok(declared),
            (None, Some(_)) => Ok(UNSIGNED[0].to_owned()),
            (None, None) => Err(Refusal::NoHash),
        }
    }

    /// The other services sign the body's hash without saying it, so the body is read first.
    async fn others(
        &self,
        parts: &Parts,
        body: Body,
        store: &Store,
    ) -> Result<(Body, Fault), (Refusal, Body)> {
        let (hash, body) = if body.is_end_stream() {
            (Sha256::of(b""), Body::empty())
        } else {
            body::kept(body, store).await.map_err(|refusal| (refusal, Body::empty()))?
        };
        match self.verified(parts, &hash.to_hex(), PathStyle::Twice) {
            Ok(_) => Ok((body, Fault::default())),
            Err(refusal) => Err((refusal, Body::empty())),
        }
    }

    /// Compares the signature and gives it.
    fn verified(&self, parts: &Parts, body_hash: &str, style: PathStyle) -> Result<String, Refusal> {
        let claim = &self.claim;
        let headers = canonical::headers(&parts.headers, &claim.signed_headers)
            .map_err(|name| Refusal::HeadersNotSigned { names: vec![name] })?;
        let canonical_request = format!(
            "{}\n{}\n{}\n{headers}\n{}\n{body_hash}",
            parts.method,
            canonical::path(parts.uri.path(), style),
            canonical::query(parts.uri.query()),
            claim.signed_headers.join(";"),
        );
        let string_to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            claim.time,
            claim.scope.text(),
            Sha256::of(canonical_request.as_bytes()).to_hex()
        );
        let key = claim.scope.key(&self.known.secret);
        if is_hmac(&key, string_to_sign.as_bytes(), &claim.signature) {
            return Ok(claim.signature.to_ascii_lowercase());
        }
        Err(Refusal::Mismatch(Box::new(Mismatch {
            key: claim.key.clone(),
            signature: claim.signature.clone(),
            string_to_sign,
            canonical_request,
        })))
    }
}

#[cfg(test)]
mod tests;
