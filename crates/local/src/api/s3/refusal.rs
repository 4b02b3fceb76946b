//! Errors as S3 writes them: a code, a message, and members that say what it is about. s3s has
//! only the first two, so the others travel in a header that never leaves this module.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use s3s::{S3Error, S3ErrorCode};

use super::request::Asked;
use crate::api::error::escaped;

/// Carries members of an error, as a query string.
const MEMBERS: &str = "x-layercake-error-members";

/// Errors are short; what is longer is not one.
const LONGEST_ERROR: usize = 1 << 20;

/// An error with members.
pub(super) fn refusal(
    code: S3ErrorCode,
    message: impl Into<std::borrow::Cow<'static, str>>,
    members: &[(&str, &str)],
) -> S3Error {
    let status = code.status_code().or(match code.as_str() {
        "NoSuchPublicAccessBlockConfiguration" | "NoSuchConfiguration" => Some(StatusCode::NOT_FOUND),
        "InvalidPartNumber" => Some(StatusCode::RANGE_NOT_SATISFIABLE),
        _ => Some(StatusCode::BAD_REQUEST),
    });
    let mut error = S3Error::with_message(code, message);
    if let Some(status) = status {
        error.set_status_code(status);
    }
    let mut headers = HeaderMap::new();
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(MEMBERS, value);
    }
    error.set_headers(headers);
    error
}

/// An error with headers besides.
pub(super) fn with_headers(mut error: S3Error, more: &[(&'static str, &str)]) -> S3Error {
    let mut headers = error.headers().cloned().unwrap_or_default();
    for (name, value) in more {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    error.set_headers(headers);
    error
}

/// A code that s3s has no name for.
pub(super) fn code(name: &'static str) -> S3ErrorCode {
    S3ErrorCode::from_bytes(name.as_bytes()).unwrap_or(S3ErrorCode::InternalError)
}

/// An error that did not come from s3s, on the same way as those that do.
pub(super) fn response(error: &S3Error) -> Response {
    let mut response = Response::new(Body::from(format!(
        "<Code>{}</Code><Message>{}</Message>",
        error.code().as_str(),
        escaped(error.message().unwrap_or_default())
    )));
    *response.status_mut() = error.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(headers) = error.headers() {
        response.headers_mut().extend(headers.clone());
    }
    response
}

/// An error's answer with everything that AWS writes into it.
pub(super) async fn completed(
    response: Response,
    method: &Method,
    asked: &Asked,
    request_id: &str,
    host_id: &str,
) -> Response {
    let (mut parts, body) = response.into_parts();
    let members = parts.headers.remove(MEMBERS);
    parts.headers.remove(header::CONTENT_LENGTH);
    if method == Method::HEAD || parts.status == StatusCode::NOT_MODIFIED {
        if parts.status == StatusCode::NOT_MODIFIED {
            parts.headers.remove(header::CONTENT_TYPE);
        } else {
            parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        return Response::from_parts(parts, Body::empty());
    }
    let written = http_body_util::Limited::new(body, LONGEST_ERROR).collect().await;
    let written = written.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let written = String::from_utf8_lossy(&written);
    let code = member(&written, "Code").unwrap_or("InternalError");
    let message = member(&written, "Message").unwrap_or_else(|| usual_message(code));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>"
    );
    let said: Vec<(String, String)> = match &members {
        Some(members) => url::form_urlencoded::parse(members.as_bytes()).into_owned().collect(),
        None => usual_members(code, asked),
    };
    for (name, value) in said {
        text.push_str(&format!("<{name}>{}</{name}>", escaped(&value)));
    }
    text.push_str(&format!("<RequestId>{request_id}</RequestId><HostId>{host_id}</HostId></Error>"));
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Response::from_parts(parts, Body::from(text))
}

/// The text of an element, as it is written.
fn member<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// What S3 says when s3s finds the fault and says nothing.
fn usual_message(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "IncompleteBody" => {
            "You did not provide the number of bytes specified by the Content-Length HTTP header"
        }
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidURI" => "Couldn&apos;t parse the specified URI.",
        "KeyTooLongError" => "Your key is too long",
        "MalformedXML" => {
            "The XML you provided was not well-formed or did not validate against our published schema"
        }
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "MissingRequestBodyError" => "Request Body is empty",
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        _ => "We encountered an internal error. Please try again.",
    }
}

/// What S3 repeats of the request when s3s finds the fault.
fn usual_members(code: &str, asked: &Asked) -> Vec<(String, String)> {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match code {
        "InvalidBucketName" => vec![own("BucketName", &asked.bucket)],
        "KeyTooLongError" => {
            vec![own("Size", &asked.key.len().to_string()), own("MaxSizeAllowed", "1024")]
        }
        "InvalidURI" => vec![own("URI", &asked.key)],
        _ => Vec::new(),
    }
}
