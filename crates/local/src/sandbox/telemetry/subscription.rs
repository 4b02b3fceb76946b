//! What a subscriber asks for, read and checked (FACTS.md §9).
//!
//! Owns the request's form, its bounds and the words about what is wrong with it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Category, Dialect};

/// A subscription that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Subscription {
    pub(super) dialect: Dialect,
    pub(super) types: Vec<Category>,
    pub(super) destination: Destination,
    pub(super) buffering: Buffering,
}

/// Where events go: always to this machine's loopback, which the environment shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Http { port: u16, method: &'static str, path: String },
    Tcp { port: u16 },
}

/// How many events are sent at once, at the most, and how long they wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffering {
    pub(super) most_items: usize,
    pub(super) most_bytes: usize,
    pub(super) timeout: Duration,
}

impl Default for Buffering {
    fn default() -> Self {
        Self { most_items: 10_000, most_bytes: 262_144, timeout: Duration::from_millis(1000) }
    }
}

/// The names by which an environment knows itself.
const OWN_NAMES: &[&str] = &["sandbox.localdomain", "sandbox"];

impl Subscription {
    /// Reads a request; all that is wrong with it, in one text, if something is.
    pub(in super::super) fn parse(telemetry: bool, body: &[u8]) -> Result<Self, String> {
        let body = match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => body,
            Ok(_) => return Err("request body should be a JSON object".into()),
            Err(_) => return Err("request body is not valid JSON".into()),
        };
        let mut faults = Vec::new();
        let dialect = dialect(telemetry, body.get("schemaVersion"), &mut faults);
        let destination = destination(body.get("destination"), &mut faults);
        let types = types(body.get("types"), &mut faults);
        let buffering = buffering(body.get("buffering"), &mut faults);
        match destination {
            Some(destination) if faults.is_empty() => Ok(Self { dialect, types, destination, buffering }),
            _ => Err(faults.join("; ")),
        }
    }

    /// The names of what it is about.
    pub(in super::super) fn type_names(&self) -> Vec<&'static str> {
        self.types.iter().map(|category| category.name()).collect()
    }

    /// Whether it came by the Telemetry API.
    pub(in super::super) fn is_telemetry(&self) -> bool {
        self.dialect.is_telemetry()
    }
}

fn dialect(telemetry: bool, version: Option<&Value>, faults: &mut Vec<String>) -> Dialect {
    let version = version.map(|version| version.as_str().unwrap_or_default());
    match (telemetry, version) {
        (true, None | Some("2022-07-01")) => Dialect::Telemetry { objects: false },
        (true, Some("2022-12-13" | "2025-01-29")) => Dialect::Telemetry { objects: true },
        (false, None | Some("2020-08-15")) => Dialect::Logs { runtime_done: false },
        (false, Some("2021-03-18")) => Dialect::Logs { runtime_done: true },
        (_, Some(other)) => {
            faults.push(format!("schemaVersion {other} is not supported"));
            Dialect::Logs { runtime_done: false }
        }
    }
}

fn types(types: Option<&Value>, faults: &mut Vec<String>) -> Vec<Category> {
    let mut found = Vec::new();
    for name in types.and_then(Value::as_array).into_iter().flatten() {
        let category = [Category::Platform, Category::Function, Category::Extension]
            .into_iter()
            .find(|category| Some(category.name()) == name.as_str());
        match category {
            Some(category) if found.contains(&category) => {}
            Some(category) => found.push(category),
            None => faults.push(format!("type {name} is not supported")),
        }
    }
    if found.is_empty() && faults.iter().all(|fault| !fault.starts_with("type ")) {
        faults.push("types should not be empty".into());
    }
    found
}

fn destination(destination: Option<&Value>, faults: &mut Vec<String>) -> Option<Destination> {
    let Some(destination) = destination.and_then(Value::as_object) else {
        faults.push("destination is not provided".into());
        return None;
    };
    let port = port(destination, faults);
    match text(destination, "protocol").to_ascii_uppercase().as_str() {
        "TCP" => port.map(|(port, _)| Destination::Tcp { port }),
        "HTTP" => {
            let method = match text(destination, "method").to_ascii_uppercase().as_str() {
                "" | "POST" => "POST",
                "PUT" => "PUT",
                _ => {
                    faults.push("method should be POST or PUT".into());
                    return None;
                }
            };
            port.map(|(port, path)| Destination::Http { port, method, path })
        }
        _ => {
            faults.push("protocol should be HTTP or TCP".into());
            None
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The port, and what is behind it in an address.
fn port(destination: &Map<String, Value>, faults: &mut Vec<String>) -> Option<(u16, String)> {
    if let Some(port) = destination.get("port") {
        let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if port.is_none() {
            faults.push("port should be between 1 and 65535".into());
        }
        return port.map(|port| (port, "/".into()));
    }
    let address = text(destination, "URI");
    let Ok(address) = url::Url::parse(address) else {
        faults.push("URI is not provided".into());
        return None;
    };
    if !matches!(address.scheme(), "http" | "tcp") {
        faults.push("URI scheme should be http".into());
    }
    if !OWN_NAMES.contains(&address.host_str().unwrap_or_default()) {
        faults.push("URI host should be sandbox.localdomain".into());
    }
    let Some(port) = address.port() else {
        faults.push("URI port is not provided".into());
        return None;
    };
    let path = &address[url::Position::BeforePath..url::Position::AfterQuery];
    Some((port, if path.is_empty() { "/".into() } else { path.to_owned() }))
}

fn buffering(buffering: Option<&Value>, faults: &mut Vec<String>) -> Buffering {
    let mut all = Buffering::default();
    let mut number = |name: &str, least: u64, most: u64| {
        let value = buffering?.get(name)?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            faults.push(format!("buffering.{name} should be between {least} and {most}"));
        }
        number
    };
    if let Some(items) = number("maxItems", 1000, 10_000) {
        all.most_items = usize::try_from(items).unwrap_or(all.most_items);
    }
    if let Some(bytes) = number("maxBytes", 262_144, 1_048_576) {
        all.most_bytes = usize::try_from(bytes).unwrap_or(all.most_bytes);
    }
    if let Some(timeout) = number("timeoutMs", 25, 30_000) {
        all.timeout = Duration::from_millis(timeout);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(telemetry: bool, body: &str) -> String {
        match Subscription::parse(telemetry, body.as_bytes()) {
            Ok(subscription) => format!("{subscription:?}"),
            Err(fault) => fault,
        }
    }

    #[test]
    fn requests_are_read() {
        insta::assert_snapshot!(check(true, r#"{"schemaVersion": "2022-12-13", "types": ["platform", "function"],
            "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/a?b=c"}}"#), @r#"Subscription { dialect: Telemetry { objects: true }, types: [Platform, Function], destination: Http { port: 8080, method: "POST", path: "/a?b=c" }, buffering: Buffering { most_items: 1000, most_bytes: 262144, timeout: 25ms } }"#);
        insta::assert_snapshot!(check(false, r#"{"schemaVersion": "2021-03-18", "types": ["extension"],
            "destination": {"protocol": "TCP", "port": 53000}}"#), @"Subscription { dialect: Logs { runtime_done: true }, types: [Extension], destination: Tcp { port: 53000 }, buffering: Buffering { most_items: 10000, most_bytes: 262144, timeout: 1s } }");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let faults = [
            check(true, "nonsense"),
            check(true, "[]"),
            check(
                false,
                r#"{"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}, "types": []}"#,
            ),
            check(
                true,
                r#"{"schemaVersion": "1", "types": ["other"], "buffering": {"maxItems": 1, "maxBytes": 1, "timeoutMs": 1},
                "destination": {"protocol": "HTTP", "URI": "https://example.com:1"}}"#,
            ),
            check(true, r#"{"types": ["platform"], "destination": {"protocol": "UDP", "port": 70000}}"#),
            check(true, r#"{"types": ["platform"]}"#),
        ];
        insta::assert_snapshot!(faults.join("\n"), @r#"
        request body is not valid JSON
        request body should be a JSON object
        URI port is not provided; types should not be empty
        schemaVersion 1 is not supported; URI scheme should be http; URI host should be sandbox.localdomain; type "other" is not supported; buffering.maxItems should be between 1000 and 10000; buffering.maxBytes should be between 262144 and 1048576; buffering.timeoutMs should be between 25 and 30000
        port should be between 1 and 65535; protocol should be HTTP or TCP
        destination is not provided
        "#);
    }
}
