//! Keeps web pages out: a browser on this machine reaches the loopback address too, and whatever
//! page it shows could drive the local cloud, which asks nobody for a secret.
//!
//! Looks at headers only, and lets every client through that is not a browser. Three things give
//! a page away: the `Origin` that the browser says it has, `Sec-Fetch-Site`, and a `Host` that is
//! not this machine, which is what a page gets by pointing its own name at 127.0.0.1.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Refuses what a web page sent, before any route sees it.
pub(super) async fn refuse_web_pages(request: Request, next: Next) -> Response {
    match fault(request.headers(), request.uri()) {
        None => next.run(request).await,
        Some(fault) => {
            tracing::warn!(fault, "a request was refused");
            let text = format!("the local cloud answers clients on this machine only: {fault}\n");
            (StatusCode::FORBIDDEN, text).into_response()
        }
    }
}

/// Why a request may be a web page's.
fn fault(headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    // All values of a header: who sends two must not choose which one is looked at.
    let every = |name: &str, fits: fn(&str) -> bool| {
        headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(fits))
    };
    let addressed = headers.contains_key(header::HOST) || uri.authority().is_some();
    if !addressed
        || !every(header::HOST.as_str(), is_this_machine)
        || uri.authority().is_some_and(|authority| !is_this_machine(authority.as_str()))
    {
        return Some("its Host is another name than localhost");
    }
    if !every(header::ORIGIN.as_str(), is_own_origin) {
        return Some("its Origin is not on this machine");
    }
    if !every("sec-fetch-site", |site| !matches!(site, "cross-site" | "same-site")) {
        return Some("another site sent it");
    }
    None
}

/// `http://localhost:3000`; not `null`, which is what pages from files and frames without an
/// origin say.
fn is_own_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| is_this_machine(authority))
}

/// Whether `host` or `host:port` is an address of the loopback interface, or a name that browsers
/// and resolvers keep for it (RFC 6761 §6.3). S3's clients write `bucket.localhost`.
fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(literal) => {
            let Some((address, port)) = literal.split_once(']') else { return false };
            if !is_port(port) {
                return false;
            }
            return address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if !is_port(port) {
                return false;
            }
            host
        }
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Nothing, or `:` and a number.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)]) -> &'static str {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header value"));
        }
        fault(&map, &Uri::from_static("/")).unwrap_or("let through")
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in [
            "127.0.0.1:4566",
            "127.8.9.1",
            "localhost:4566",
            "LocalHost",
            "bucket.localhost:4566",
            "a.b.s3.localhost",
            "[::1]:4566",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(check(&[("host", host)]), "let through", "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4566",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "192.168.1.5:4566",
            "0.0.0.0:4566",
            "[2001:db8::1]:4566",
            "user@localhost",
            "localhost:x",
            "[::1",
            "",
        ] {
            assert_eq!(check(&[("host", host)]), "its Host is another name than localhost", "{host}");
        }
        assert_eq!(check(&[]), "its Host is another name than localhost");
        assert_eq!(
            check(&[("host", "localhost"), ("host", "evil.example")]),
            "its Host is another name than localhost"
        );
        let absolute = Uri::from_static("http://evil.example/2015-03-31/functions");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().expect("a header value"));
        assert!(fault(&headers, &absolute).is_some());
    }

    #[test]
    fn other_origins_and_sites_are_refused() {
        let from = |name, value| check(&[("host", "localhost:4566"), (name, value)]);
        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:1", "http://app.localhost"]
        {
            assert_eq!(from("origin", origin), "let through", "{origin}");
        }
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "http://10.0.0.1", ""]
        {
            assert_eq!(from("origin", origin), "its Origin is not on this machine", "{origin}");
        }
        assert_eq!(from("sec-fetch-site", "cross-site"), "another site sent it");
        assert_eq!(from("sec-fetch-site", "same-site"), "another site sent it");
        assert_eq!(from("sec-fetch-site", "same-origin"), "let through");
        assert_eq!(from("sec-fetch-site", "none"), "let through");
    }
}
