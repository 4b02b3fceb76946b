//! Keeps web pages out: a browser on this machine reaches the loopback address too, and whatever
//! page it shows could drive the local cloud, which may ask nobody for a secret.
//!
//! Looks at headers only, and lets every client through that is not a browser. Three things give
//! a page away: the `Origin` that the browser says it has, `Sec-Fetch-Site`, and a `Host` that is
//! not this machine, which is what a page gets by pointing its own name at 127.0.0.1.
//!
//! Function URLs are there for pages: at their names a page is let through, and marked.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::function_urls::Addressed;

/// The names under which this local cloud may be reached, beside those of the machine itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// The address that is listened on.
    address: Option<IpAddr>,
    /// Names that the user gave, lower-case.
    names: Vec<String>,
}

impl Hosts {
    /// Takes the listening address and the names that the user gave.
    pub(super) fn new(address: Option<IpAddr>, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self { address: address.map(|address| address.to_canonical()), names }
    }

    /// Whether a client that writes this `Host` means us. A page cannot point a name of its own at
    /// a name in our list, and no name stands behind a plain address.
    fn is_ours(&self, authority: &str) -> bool {
        match host_of(authority) {
            None => false,
            Some(Host::Address(address)) => {
                address.is_loopback()
                    || self.address.is_some_and(|own| own == address || own.is_unspecified())
            }
            Some(Host::Name(name)) => {
                is_loopback_name(&name) || self.names.iter().any(|own| is_same_or_below(&name, own))
            }
        }
    }

    /// Whether a page from there may ask: one of this machine, or one that was loaded from the very
    /// address that is asked. Other addresses are other machines' pages.
    fn is_own_origin(&self, origin: &str, asked: &[&str]) -> bool {
        // Not `null`, which is what pages from files and frames without an origin say.
        let Some((_, authority)) = origin.split_once("://") else { return false };
        match host_of(authority) {
            None => false,
            Some(Host::Address(address)) if address.is_loopback() => true,
            Some(Host::Name(name)) if is_loopback_name(&name) => true,
            Some(_) => {
                self.is_ours(authority) && asked.iter().all(|host| host.eq_ignore_ascii_case(authority))
            }
        }
    }
}

/// Our own paths are no function's, whatever the name of the host.
fn is_for_a_function(request: &Request) -> bool {
    Addressed::of(request.headers(), request.uri()).is_some()
        && !request.uri().path().starts_with(super::OWN_PATHS)
}

/// A request to a function URL that a web page of another site sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignPage;

const FOREIGN_ORIGIN: &str = "its Origin is not on this machine";
const FOREIGN_SITE: &str = "another site sent it";

/// The same before every route of a router.
pub(super) async fn refuse_web_pages(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    match admitted(&hosts, request) {
        Ok(request) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}

/// Refuses what a web page sent, and gives back the rest.
pub(super) fn admitted(hosts: &Hosts, mut request: Request) -> Result<Request, Box<Response>> {
    match fault(hosts, request.headers(), request.uri()) {
        None => Ok(request),
        Some(FOREIGN_ORIGIN | FOREIGN_SITE) if is_for_a_function(&request) => {
            request.extensions_mut().insert(ForeignPage);
            Ok(request)
        }
        Some(fault) => {
            tracing::warn!(fault, "a request was refused");
            let text = format!("the local cloud does not answer web pages and other names: {fault}\n");
            Err(Box::new((StatusCode::FORBIDDEN, text).into_response()))
        }
    }
}

/// Why a request may be a web page's.
fn fault(hosts: &Hosts, headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    // All values of a header: who sends two must not choose which one is looked at.
    let every = |name: &str, fits: &dyn Fn(&str) -> bool| {
        headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(fits))
    };
    let addressed = headers.contains_key(header::HOST) || uri.authority().is_some();
    if !addressed
        || !every(header::HOST.as_str(), &|host| hosts.is_ours(host))
        || uri.authority().is_some_and(|authority| !hosts.is_ours(authority.as_str()))
    {
        return Some("its Host is neither localhost nor a name given with --allow-host");
    }
    let asked: Vec<_> =
        headers.get_all(header::HOST).iter().filter_map(|value| value.to_str().ok()).collect();
    if !every(header::ORIGIN.as_str(), &|origin| hosts.is_own_origin(origin, &asked)) {
        return Some(FOREIGN_ORIGIN);
    }
    if !every("sec-fetch-site", &|site| !matches!(site, "cross-site" | "same-site")) {
        return Some(FOREIGN_SITE);
    }
    None
}

/// The host of `host` or `host:port`.
enum Host {
    Address(IpAddr),
    /// Lower-case.
    Name(String),
}

fn host_of(authority: &str) -> Option<Host> {
    if let Some(literal) = authority.strip_prefix('[') {
        let (address, port) = literal.split_once(']')?;
        let address: IpAddr = address.parse().ok()?;
        return is_port(port).then(|| Host::Address(address.to_canonical()));
    }
    let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    if !is_port(port) || host.is_empty() {
        return None;
    }
    Some(match host.parse::<IpAddr>() {
        Ok(address) => Host::Address(address.to_canonical()),
        Err(_) => Host::Name(host.to_ascii_lowercase()),
    })
}

/// Names that browsers and resolvers keep for the loopback interface (RFC 6761 §6.3). S3's clients
/// write `bucket.localhost`.
fn is_loopback_name(name: &str) -> bool {
    is_same_or_below(name, "localhost")
}

fn is_same_or_below(name: &str, own: &str) -> bool {
    name.strip_suffix(own).is_some_and(|below| below.is_empty() || below.ends_with('.'))
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
        fault(&Hosts::default(), &map, &Uri::from_static("/")).unwrap_or("let through")
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
            assert_eq!(
                check(&[("host", host)]),
                "its Host is neither localhost nor a name given with --allow-host",
                "{host}"
            );
        }
        assert_eq!(check(&[]), "its Host is neither localhost nor a name given with --allow-host");
        assert_eq!(
            check(&[("host", "localhost"), ("host", "evil.example")]),
            "its Host is neither localhost nor a name given with --allow-host"
        );
        let absolute = Uri::from_static("http://evil.example/2015-03-31/functions");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().expect("a header value"));
        assert!(fault(&Hosts::default(), &headers, &absolute).is_some());
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

    #[test]
    fn a_cloud_for_others_has_their_names_for_it() {
        let check = |listen: &str, host: &str, origin: Option<&str>| {
            let address = listen.parse().expect("an address");
            let hosts = Hosts::new(Some(address), &["Cloud.Example".to_owned()]);
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header value"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a header value"));
            }
            fault(&hosts, &headers, &Uri::from_static("/")).is_none()
        };
        for host in ["192.168.1.5:4566", "cloud.example", "bucket.cloud.example:80", "localhost"] {
            assert!(check("192.168.1.5", host, None), "{host}");
        }
        for host in ["192.168.1.6", "evil.example", "evilcloud.example", "cloud.example.evil", "10.0.0.1"] {
            assert!(!check("192.168.1.5", host, None), "{host}");
        }
        // Listening everywhere, every plain address may be ours; a name is ours only when given.
        assert!(check("0.0.0.0", "10.0.0.1:4566", None));
        assert!(check("::", "[2001:db8::1]:4566", None));
        assert!(!check("0.0.0.0", "evil.example", None));
        // A page of our own address may ask it; a page of another machine may not.
        assert!(check("0.0.0.0", "10.0.0.1:4566", Some("http://10.0.0.1:4566")));
        assert!(!check("0.0.0.0", "10.0.0.1:4566", Some("http://10.0.0.2")));
        assert!(!check("0.0.0.0", "10.0.0.1:4566", Some("http://cloud.example")));
        assert!(check("0.0.0.0", "cloud.example", Some("https://cloud.example")));
    }
}
