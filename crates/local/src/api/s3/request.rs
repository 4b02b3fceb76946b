//! What happens to a request before s3s sees it: signatures and upload encodings come off, names
//! of buckets come out of host names, and what is not built is refused by its name.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
};
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::Range,
    host::{S3Host, VirtualHost},
};

use super::{Beside, chunked, refusal::refusal};
use crate::{service::ALGORITHMS, store::Scope};

/// What a request asks for, as far as errors repeat it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The bucket.
    pub(super) bucket: String,
    /// The key.
    pub(super) key: String,
    /// Whether it asks for an object's attributes.
    pub(super) attributes: bool,
}

impl Asked {
    pub(super) fn of(parts: &Parts) -> Self {
        let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let path = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = match bucket_of(host) {
            Some(bucket) => (bucket, path),
            None => path.split_once('/').unwrap_or((path, "")),
        };
        let attributes = parts.method == Method::GET
            && parts.uri.query().is_some_and(|query| {
                query.split('&').any(|pair| pair.split('=').next() == Some("attributes"))
            });
        Self { bucket: bucket.to_owned(), key: key.to_owned(), attributes }
    }
}

/// Finds buckets in host names: `bucket.localhost`, `bucket.s3.localhost` and
/// `bucket.s3.REGION.localhost`. Everything else has them in the path.
pub(super) struct LocalHosts;

impl S3Host for LocalHosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let found = VirtualHost::new(host);
        Ok(match bucket_of(host) {
            Some(bucket) => found.with_bucket(bucket),
            None => found,
        })
    }
}

fn bucket_of(host: &str) -> Option<&str> {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let name = host.strip_suffix(".localhost")?;
    if name == "s3" || name.starts_with("s3.") {
        return None;
    }
    let bucket = name.strip_suffix(".s3").or_else(|| {
        let (before, region) = name.rsplit_once('.')?;
        before.strip_suffix(".s3").filter(|_| region.contains('-'))
    });
    Some(bucket.unwrap_or(name)).filter(|bucket| !bucket.is_empty())
}

/// What s3s does not know and would take for something else: operations that came after it, by
/// their name in the query and what they are called.
const NOT_BUILT: [(&str, &str); 8] = [
    ("abac", "attribute-based access control of buckets"),
    ("annotation", "annotations of objects"),
    ("metadataAnnotationTable", "metadata tables"),
    ("metadataConfiguration", "metadata tables"),
    ("metadataInventoryTable", "metadata tables"),
    ("metadataJournalTable", "metadata tables"),
    ("metadataTable", "metadata tables"),
    ("renameObject", "renaming of objects"),
];

/// Why a request is refused for what its headers or its query ask for.
pub(super) fn refused(parts: &Parts) -> Option<S3Error> {
    let not_built = |what: &str| {
        let message = format!("The local cloud does not implement {what} yet");
        Some(S3Error::with_message(S3ErrorCode::NotImplemented, message))
    };
    let queries: Vec<_> = parts
        .uri
        .query()
        .map(|query| {
            url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect()
        })
        .unwrap_or_default();
    if let Some((_, what)) = NOT_BUILT.iter().find(|(name, _)| queries.iter().any(|query| query == name)) {
        return not_built(what);
    }
    let has = |name: &str| parts.headers.contains_key(name);
    if parts.headers.keys().any(|name| name.as_str().contains("server-side-encryption-customer-")) {
        return not_built("encryption with keys of the client (SSE-C)");
    }
    if has("x-amz-write-offset-bytes") {
        return not_built("appending to objects");
    }
    let enabled = parts.headers.get("x-amz-bucket-object-lock-enabled");
    if enabled.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
        return not_built("object lock");
    }
    if has("x-amz-bypass-governance-retention") {
        return Some(refusal(
            S3ErrorCode::InvalidArgument,
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
            &[("ArgumentName", "x-amz-bypass-governance-retention")],
        ));
    }
    let locks = ["mode", "retain-until-date", "legal-hold"];
    if locks.iter().any(|name| has(&format!("x-amz-object-lock-{name}"))) {
        return Some(super::settings::no_object_lock());
    }
    None
}

/// Makes a request one that s3s understands.
pub(super) fn prepared(parts: &mut Parts, body: Body, scope: Scope) -> s3s::Body {
    let trailers = chunked::Trailers::default();
    let text = |name: &str| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
    let beside = Beside {
        scope,
        trailers: trailers.clone(),
        announced: announced_checksums(&parts.headers),
        expected_owner: text("x-amz-expected-bucket-owner"),
        expected_source_owner: text("x-amz-source-expected-bucket-owner"),
        endpoint: crate::api::location::endpoint(parts),
    };
    // Ranges that S3 does not understand, or several, are as none.
    let range = text(header::RANGE.as_str());
    if range.is_some_and(|range| range == "bytes=-" || Range::parse(&range).is_err()) {
        parts.headers.remove(header::RANGE);
    }
    parts.extensions.insert(beside);
    let encoded = is_chunked(&parts.headers);
    let decoded_length = parts.headers.get("x-amz-decoded-content-length").cloned();
    strip_signature(parts);
    let body = if encoded {
        if let Some(length) = decoded_length {
            parts.headers.insert(header::CONTENT_LENGTH, length);
            parts.headers.remove(header::TRANSFER_ENCODING);
        }
        Body::from_stream(chunked::decoded(body, trailers))
    } else {
        body
    };
    s3s::Body::http_body_unsync(body)
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text("x-amz-content-sha256").starts_with("STREAMING-")
        || text("content-encoding").split(',').any(|coding| coding.trim() == "aws-chunked")
}

fn announced_checksums(headers: &HeaderMap) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trailer = text("x-amz-trailer").unwrap_or_default().to_ascii_lowercase();
    let chosen = text("x-amz-sdk-checksum-algorithm").unwrap_or_default().to_ascii_lowercase();
    ALGORITHMS
        .iter()
        .filter(|name| {
            let header = format!("x-amz-checksum-{name}");
            headers.contains_key(&header)
                || trailer.split(',').any(|trailer| trailer.trim() == header)
                || chosen == **name
        })
        .map(|name| (*name).to_owned())
        .collect()
}

/// Takes everything away that makes s3s look for a signature.
fn strip_signature(parts: &mut Parts) {
    for name in [
        "authorization",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
    ] {
        parts.headers.remove(name);
    }
    if let Some(codings) = parts.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()) {
        let kept: Vec<_> = codings
            .split(',')
            .map(str::trim)
            .filter(|coding| *coding != "aws-chunked" && !coding.is_empty())
            .collect();
        let kept = HeaderValue::from_str(&kept.join(",")).ok().filter(|kept| !kept.is_empty());
        match kept {
            Some(kept) => parts.headers.insert(header::CONTENT_ENCODING, kept),
            None => parts.headers.remove(header::CONTENT_ENCODING),
        };
    }
    let Some(query) = parts.uri.query() else {
        return;
    };
    const SIGNING: [&str; 10] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "awsaccesskeyid",
        "signature",
        "expires",
    ];
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
            !SIGNING.contains(&name.as_str())
        })
        .collect();
    let path = parts.uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    if let Ok(uri) = target.parse::<Uri>() {
        parts.uri = uri;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_in_host_names() {
        for (host, bucket) in [
            ("bucket.localhost:4566", Some("bucket")),
            ("my.bucket.localhost", Some("my.bucket")),
            ("bucket.s3.localhost", Some("bucket")),
            ("my.bucket.s3.eu-west-1.localhost:1", Some("my.bucket")),
            ("s3.localhost:4566", None),
            ("s3.eu-west-1.localhost", None),
            ("localhost:4566", None),
            ("127.0.0.1:4566", None),
            ("[::1]:4566", None),
            ("cloud.example", None),
        ] {
            assert_eq!(bucket_of(host), bucket, "{host}");
        }
    }
}
