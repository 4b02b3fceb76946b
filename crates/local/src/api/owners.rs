//! Buckets belong to the account that made them, and there are no bucket policies here: another
//! account's requests are refused before S3 sees them.

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use percent_encoding::percent_decode_str;

use super::{Api, answer};
use crate::store::Scope;

/// The refusal, when the request is for somebody else's bucket.
pub(super) fn refusal(api: &Api, scope: &Scope, parts: &Parts, request_id: &str) -> Option<Response> {
    let source = parts.headers.get("x-amz-copy-source").and_then(|value| value.to_str().ok());
    let buckets = [asked_bucket(parts), source.and_then(first_segment)];
    let is_foreign = buckets
        .into_iter()
        .flatten()
        .any(|bucket| api.cloud.bucket(&bucket).is_ok_and(|found| found.account != scope.account.as_str()));
    is_foreign.then(|| {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
             <Message>Access Denied</Message><RequestId>{request_id}</RequestId></Error>"
        );
        let body = if parts.method == Method::HEAD { String::new() } else { body };
        answer(403, "application/xml", body, request_id)
    })
}

/// The bucket in the path. CreateBucket is let through: it has an answer of its own for names that
/// somebody else has.
fn asked_bucket(parts: &Parts) -> Option<String> {
    let path = parts.uri.path();
    let is_whole_bucket = path.trim_matches('/').split('/').count() == 1;
    let has_subresource = parts.uri.query().is_some_and(|query| {
        url::form_urlencoded::parse(query.as_bytes())
            .any(|(name, _)| name != "x-id" && !name.to_ascii_lowercase().starts_with("x-amz-"))
    });
    if parts.method == Method::PUT && is_whole_bucket && !has_subresource {
        return None;
    }
    first_segment(path)
}

fn first_segment(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let first = decoded.trim_start_matches('/').split('/').next()?;
    (!first.is_empty()).then(|| first.to_owned())
}
