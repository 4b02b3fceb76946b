//! What a function answers, as a response: payload format 2.0 in one piece, or a stream with what
//! Lambda calls an HTTP integration response before it.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::Engine as _;
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    sandbox::{ResponseBody, ResponseHead},
    service::StreamedEnd,
};

/// The type of a stream that begins with its status and headers.
const WITH_PRELUDE: &str = "application/vnd.awslambda.http-integration-response";
/// What stands between them and the body.
const DELIMITER: [u8; 8] = [0; 8];
/// The longest they may be ("the metadata must appear within the first 16KB", API Gateway's
/// documentation of the same format).
const LONGEST_PRELUDE: usize = 16_384;

/// Headers that a function may not decide about; they go out under another name, as on AWS.
const REMAPPED: [&str; 4] = ["connection", "content-length", "date", "www-authenticate"];

/// The members of a response that Lambda gives a meaning.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Structured {
    status_code: Value,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// The response of a function that answers in one piece; nothing when the answer is none.
pub(super) fn of_payload(payload: &[u8]) -> Option<Response> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    if value.get("statusCode").is_some() {
        return structured(value);
    }
    // "Lambda assumes" that everything else is the body (Lambda's documentation). It comes without
    // the spaces that Python puts in, and a text without its quotes (recorded).
    let body = match value {
        Value::String(text) => text.into_bytes(),
        _ => compact(payload),
    };
    Some(with_type(200, HeaderMap::new(), "application/json", body.into()))
}

fn structured(value: Value) -> Option<Response> {
    let structured: Structured = serde_json::from_value(value).ok()?;
    let body = match (structured.body, structured.is_base64_encoded) {
        (Value::Null, _) => Bytes::new(),
        (Value::String(text), Some(true)) => {
            base64::engine::general_purpose::STANDARD.decode(text).ok()?.into()
        }
        (Value::String(text), _) => text.into(),
        // No recording was found of what AWS makes of these.
        (other, _) => other.to_string().into(),
    };
    let headers = headers(structured.headers, structured.cookies)?;
    Some(with_type(status(&structured.status_code)?, headers, "application/json", body.into()))
}

/// The response of a function that streams, as soon as its status is known; nothing when what it
/// says of that cannot be read.
pub(super) async fn of_stream(
    head: ResponseHead,
    mut body: ResponseBody,
    end: StreamedEnd,
) -> Option<Response> {
    let content_type = head.content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    if !content_type.eq_ignore_ascii_case(WITH_PRELUDE) {
        let body = Body::from_stream(pieces(Bytes::new(), body, end));
        return Some(with_type(200, HeaderMap::new(), &content_type, body));
    }
    let mut begun = Vec::new();
    let at = loop {
        let found = begun.windows(DELIMITER.len()).position(|window| window == DELIMITER);
        match found {
            Some(at) if at <= LONGEST_PRELUDE => break at,
            None if begun.len() <= LONGEST_PRELUDE => begun.extend_from_slice(&body.next().await?),
            _ => return None,
        }
    };
    let mut prelude: Map<String, Value> = serde_json::from_slice(&begun[..at]).ok()?;
    prelude.entry("statusCode").or_insert_with(|| 200.into());
    let prelude: Structured = serde_json::from_value(prelude.into()).ok()?;
    let rest = Bytes::from(begun.split_off(at + DELIMITER.len()));
    let headers = headers(prelude.headers, prelude.cookies)?;
    let body = Body::from_stream(pieces(rest, body, end));
    Some(with_type(status(&prelude.status_code)?, headers, "application/octet-stream", body))
}

/// A body that ends as the call does: a function that fails midway breaks the response off.
fn pieces(
    first: Bytes,
    body: ResponseBody,
    end: StreamedEnd,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((first, Some((body, end))), |(first, rest)| async move {
        if !first.is_empty() {
            return Some((Ok(first), (Bytes::new(), rest)));
        }
        let (mut body, end) = rest?;
        if let Some(piece) = body.next().await {
            return Some((Ok(piece), (Bytes::new(), Some((body, end)))));
        }
        match end.outcome().await {
            Ok(outcome) if outcome.function_error.is_none() => None,
            _ => Some((Err(std::io::Error::other("the function failed midway")), (Bytes::new(), None))),
        }
    })
}

/// A number, or a text that is one (recorded).
fn status(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    // What is below is no final status, and cannot be sent as one.
    u16::try_from(number).ok().filter(|status| (200..=599).contains(status))
}

fn headers(given: Option<Map<String, Value>>, cookies: Option<Vec<String>>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given.unwrap_or_default() {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return None,
        };
        let name = name.to_ascii_lowercase();
        if name == "transfer-encoding" {
            continue;
        }
        let name = if REMAPPED.contains(&&*name) { format!("x-amzn-remapped-{name}") } else { name };
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(text).ok()?);
    }
    for cookie in cookies.unwrap_or_default() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    Some(headers)
}

fn with_type(status: u16, headers: HeaderMap, content_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = headers;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().entry(header::CONTENT_TYPE).or_insert(value);
    }
    response
}

/// Valid JSON without the white space between its parts.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut compact = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_text = byte == b'"';
        }
        compact.push(byte);
    }
    compact
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn check(payload: &str) -> String {
        let Some(response) = of_payload(payload.as_bytes()) else { return "malformed".to_owned() };
        let (parts, body) = response.into_parts();
        let mut shown = parts.status.as_u16().to_string();
        for (name, value) in &parts.headers {
            shown.push_str(&format!("\n{name}: {}", value.to_str().unwrap_or_default()));
        }
        let body = body.collect().await.expect("a body").to_bytes();
        format!("{shown}\n{}", String::from_utf8_lossy(&body))
    }

    #[tokio::test]
    async fn what_is_no_response_is_a_body() {
        // Recorded with a function in Python.
        for (payload, body) in [
            (r#"{"hello": "world"}"#, r#"{"hello":"world"}"#),
            (r#"["hello", 3, true]"#, r#"["hello",3,true]"#),
            (r#""hello""#, "hello"),
            ("3", "3"),
            ("3.1", "3.1"),
            ("true", "true"),
            (r#"{"a \" b": "c \\"}"#, r#"{"a \" b":"c \\"}"#),
        ] {
            assert_eq!(check(payload).await, format!("200\ncontent-type: application/json\n{body}"));
        }
        assert_eq!(check("no JSON").await, "malformed");
    }

    #[tokio::test]
    async fn a_response_says_what_it_is() {
        insta::assert_snapshot!(check(r#"{"statusCode": 200, "body": "body123"}"#).await, @r"
        200
        content-type: application/json
        body123
        ");
        insta::assert_snapshot!(check(r#"{"statusCode": "418", "body": "i'm a teapot", "isBase64Encoded": false}"#).await, @r"
        418
        content-type: application/json
        i'm a teapot
        ");
        insta::assert_snapshot!(check(r#"{"statusCode": 201, "headers": {"Content-Type": "text/plain", "X-Number": 3, "Date": "then"}, "cookies": ["a=1; Secure", "b=2"], "body": "aGk=", "isBase64Encoded": true}"#).await, @r"
        201
        content-type: text/plain
        x-number: 3
        x-amzn-remapped-date: then
        set-cookie: a=1; Secure
        set-cookie: b=2
        hi
        ");
        insta::assert_snapshot!(check(r#"{"statusCode": 204}"#).await, @r"
        204
        content-type: application/json
        ");
    }

    #[tokio::test]
    async fn what_cannot_be_a_response_is_refused() {
        for payload in [
            r#"{"statusCode": "many"}"#,
            r#"{"statusCode": 99}"#,
            r#"{"statusCode": 600}"#,
            r#"{"statusCode": 200, "headers": []}"#,
            r#"{"statusCode": 200, "headers": {"a": ["b"]}}"#,
            r#"{"statusCode": 200, "headers": {"a b": "c"}}"#,
            r#"{"statusCode": 200, "cookies": "a"}"#,
            r#"{"statusCode": 200, "body": "?", "isBase64Encoded": true}"#,
        ] {
            assert_eq!(check(payload).await, "malformed", "{payload}");
        }
    }
}
