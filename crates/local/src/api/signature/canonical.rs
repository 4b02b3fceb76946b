//! The canonical form of a request, which both sides sign (AWS Signature Version 4).
//!
//! Text to text; it knows no key and refuses nothing.

use axum::http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but letters, digits and `-._~` (RFC 3986 §2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same, and `/` stays.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// How a service's paths are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathStyle {
    /// S3: the key as it is, encoded once.
    Once,
    /// Everybody else: dots resolved, and the encoded path encoded again.
    Twice,
}

/// The path's line.
pub(super) fn path(raw: &str, style: PathStyle) -> String {
    let text = match style {
        PathStyle::Once => {
            let bytes: Vec<u8> = percent_decode_str(raw).collect();
            percent_encoding::percent_encode(&bytes, PATH).to_string()
        }
        PathStyle::Twice => utf8_percent_encode(&without_dots(raw), PATH).to_string(),
    };
    if text.is_empty() { "/".to_owned() } else { text }
}

/// `/a/./b/../c//d` is `/a/c/d`.
fn without_dots(raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for piece in raw.split('/') {
        match piece {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            piece => kept.push(piece),
        }
    }
    let end = if raw.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// The query's line: encoded anew and sorted, without the signature itself.
pub(super) fn query(raw: Option<&str>) -> String {
    let encoded = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&bytes, QUERY).to_string()
    };
    let mut pairs: Vec<(String, String)> = raw
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(name), encoded(value))
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The headers' lines, one for each name; names must be lower-case and sorted. The error is the
/// first name of which the request has no header.
pub(super) fn headers(headers: &HeaderMap, names: &[String]) -> Result<String, String> {
    let mut lines = String::new();
    for name in names {
        let values: Vec<String> = headers
            .get_all(name.as_str())
            .iter()
            .map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        if values.is_empty() {
            return Err(name.clone());
        }
        lines.push_str(&format!("{name}:{}\n", values.join(",").trim()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |raw: &str| format!("{} {}", path(raw, PathStyle::Once), path(raw, PathStyle::Twice));
        insta::assert_snapshot!(check(""), @"/ /");
        insta::assert_snapshot!(check("/"), @"/ /");
        insta::assert_snapshot!(check("/a/../b//c/"), @"/a/../b//c/ /b/c/");
        insta::assert_snapshot!(check("/arn%3Aaws/x+y~z"), @"/arn%3Aaws/x%2By~z /arn%253Aaws/x%2By~z");
        insta::assert_snapshot!(check("/key with space"), @"/key%20with%20space /key%20with%20space");
    }

    #[test]
    fn queries() {
        insta::assert_snapshot!(query(None), @"");
        insta::assert_snapshot!(
            query(Some("b=2&a=x%20y&X-Amz-Signature=0&a=%2B&acl&&c=/")),
            @"a=%2B&a=x%20y&acl=&b=2&c=%2F"
        );
    }

    #[test]
    fn header_lines() {
        let mut map = HeaderMap::new();
        map.append("host", " localhost:1 ".parse().expect("a value"));
        map.append("x-amz-meta-a", "one   two".parse().expect("a value"));
        map.append("x-amz-meta-a", "three".parse().expect("a value"));
        let check = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            headers(&map, &names)
        };
        assert_eq!(
            check(&["host", "x-amz-meta-a"]),
            Ok("host:localhost:1\nx-amz-meta-a:one two,three\n".to_owned())
        );
        assert_eq!(check(&["x-amz-date"]), Err("x-amz-date".to_owned()));
    }
}
