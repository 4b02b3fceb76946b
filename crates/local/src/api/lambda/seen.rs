//! Invocations that were read before: the same function is called again and again, with the same path
//! and the same headers around another event.
//!
//! Owns copies of requests that the API model has let through, by everything that was looked at to read
//! them. What it does not know is read, and held against the model, as any other request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use axum::http::{HeaderName, request::Parts};

use super::{super::model::Model, invoke::InvokeRequest};

/// Requests that are kept at most; with more, all are read again.
const MOST: usize = 4096;
/// A longer one is not kept, in bytes.
const LONGEST: usize = 512;

/// The requests that were read.
#[derive(Default)]
pub(in crate::api) struct SeenInvocations(Mutex<HashMap<Box<str>, Arc<InvokeRequest>>>);

impl SeenInvocations {
    /// The request as it was read before.
    pub(super) fn get(&self, key: &str) -> Option<Arc<InvokeRequest>> {
        self.lock().get(key).map(Arc::clone)
    }

    /// Keeps a request that the model has let through.
    pub(super) fn keep(&self, key: String, request: &Arc<InvokeRequest>) {
        let mut seen = self.lock();
        if seen.len() >= MOST {
            seen.clear();
        }
        seen.insert(key.into(), Arc::clone(request));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Arc<InvokeRequest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that makes a request for Invoke what it is, but for its body; nothing when that is long, or it is
/// a request for something else.
pub(super) fn key(parts: &Parts) -> Option<String> {
    let target = parts.uri.path_and_query()?.as_str();
    if parts.method != "POST" || !parts.uri.path().ends_with("/invocations") || target.len() > LONGEST {
        return None;
    }
    let mut key = String::with_capacity(target.len() + 16);
    key.push_str(target);
    for (number, name) in headers().iter().enumerate() {
        if let Some(value) = parts.headers.get(name) {
            // No header has a line feed in it, and no target either.
            key.push('\n');
            key.push(char::from(b'a' + u8::try_from(number).ok()?));
            key.push_str(value.to_str().ok()?);
        }
    }
    (key.len() <= LONGEST).then_some(key)
}

/// The headers that have members of Invoke's input.
fn headers() -> &'static [HeaderName] {
    static HEADERS: OnceLock<Vec<HeaderName>> = OnceLock::new();
    HEADERS.get_or_init(|| {
        let model = Model::get();
        let operation = model.operations.get("Invoke").and_then(|operation| operation.input.as_ref());
        let members = operation.and_then(|shape| model.shapes.get(shape)).map(|shape| &shape.members);
        members
            .into_iter()
            .flatten()
            .filter(|(_, member)| member.location.as_deref() == Some("header"))
            .filter_map(|(name, member)| member.location_name.as_deref().unwrap_or(name).parse().ok())
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_looked_at_is_in_the_key() {
        let check = |method: &str, uri: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::builder().method(method).uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            key(&parts).unwrap_or_else(|| "none".to_owned()).replace('\n', " ")
        };
        let path = "/2015-03-31/functions/f/invocations";
        insta::assert_snapshot!(check("POST", path, &[("host", "localhost")]), @"/2015-03-31/functions/f/invocations");
        insta::assert_snapshot!(
            check("POST", "/2015-03-31/functions/f/invocations?Qualifier=2", &[("X-Amz-Log-Type", "Tail")]),
            @"/2015-03-31/functions/f/invocations?Qualifier=2 dTail"
        );
        let kind = |value| check("POST", path, &[("X-Amz-Invocation-Type", value)]);
        assert_ne!(kind("Event"), kind("DryRun"));
        assert_ne!(kind("Tail"), check("POST", path, &[("X-Amz-Log-Type", "Tail")]));
        for (method, path) in [("GET", path), ("POST", "/2015-03-31/functions")] {
            assert_eq!(check(method, path, &[]), "none");
        }
        assert_eq!(check("POST", path, &[("X-Amz-Client-Context", &"a".repeat(LONGEST))]), "none");
        // Every header that the model has for Invoke.
        assert_eq!(headers().len(), 5, "{:?}", headers());
    }
}
