//! Cross-origin requests to a function URL: Lambda answers preflights itself, and adds to every
//! other answer what its configuration allows.
//!
//! As users have seen it on AWS: the allowed origin is the one that asks, not `*`; and what the
//! function says of its own stays beside it, so that a function that answers too says it twice.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    response::Response,
};
use serde::Deserialize;
use serde_json::Value;

/// The settings of a function URL. None of them means nothing is allowed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Cors {
    allow_credentials: bool,
    allow_headers: Vec<String>,
    allow_methods: Vec<String>,
    allow_origins: Vec<String>,
    expose_headers: Vec<String>,
    max_age: Option<u32>,
}

impl Cors {
    /// Reads them; nothing when the URL has none, and leaves everything to the function.
    pub(super) fn of(config: Option<&Value>) -> Option<Self> {
        // The API model has seen them, so they have the right types.
        serde_json::from_value(config?.clone()).ok()
    }

    /// The answer to a preflight; nothing when the request is none.
    pub(super) fn preflight(&self, parts: &Parts) -> Option<Response> {
        if parts.method != Method::OPTIONS {
            return None;
        }
        let origin = parts.headers.get(header::ORIGIN)?;
        let method = parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.allows(origin) {
            return Some(response);
        }
        self.allow(origin, headers);
        let asked = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let lists = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods, Some(method)),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers, asked),
        ];
        for (name, allowed, asked) in lists {
            // A browser takes `*` by its word when credentials are sent, so everything is named.
            let value = match asked {
                Some(asked) if allowed.iter().any(|one| one == "*") => Some(asked.clone()),
                _ => list(allowed),
            };
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        if let Some(seconds) = self.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
        Some(response)
    }

    /// Adds to an answer what an origin may do with it.
    pub(super) fn allow(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        if !self.allows(origin) {
            return;
        }
        headers.append(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if self.allow_credentials {
            headers.append(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = list(&self.expose_headers) {
            headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.allow_origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }
}

fn list(values: &[String]) -> Option<HeaderValue> {
    HeaderValue::from_str(&values.join(",")).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(headers: &HeaderMap) -> String {
        let line = |(name, value): (&header::HeaderName, &HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap_or_default())
        };
        headers.iter().map(line).collect()
    }

    /// The headers of the answer to a preflight that asks for PUT with `date`.
    fn preflight(config: &Value, origin: &str) -> String {
        let (parts, ()) = http::Request::builder()
            .method("OPTIONS")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "date,x-mine")
            .body(())
            .expect("a request")
            .into_parts();
        let cors = Cors::of(Some(config)).expect("settings");
        lines(cors.preflight(&parts).expect("a preflight").headers())
    }

    #[test]
    fn preflights_are_answered_from_the_settings() {
        let all = json!({
            "AllowCredentials": true, "AllowHeaders": ["date", "keep-alive"], "AllowMethods": ["GET", "PUT"],
            "AllowOrigins": ["https://a.example", "https://b.example"], "ExposeHeaders": ["x"], "MaxAge": 60,
        });
        insta::assert_snapshot!(preflight(&all, "https://b.example"), @r"
        content-type: application/json
        access-control-allow-origin: https://b.example
        vary: Origin
        access-control-allow-credentials: true
        access-control-expose-headers: x
        access-control-allow-methods: GET,PUT
        access-control-allow-headers: date,keep-alive
        access-control-max-age: 60
        ");
        insta::assert_snapshot!(preflight(&all, "https://c.example"), @"content-type: application/json");
        let any = json!({ "AllowHeaders": ["*"], "AllowMethods": ["*"], "AllowOrigins": ["*"] });
        insta::assert_snapshot!(preflight(&any, "null"), @r"
        content-type: application/json
        access-control-allow-origin: null
        vary: Origin
        access-control-allow-methods: PUT
        access-control-allow-headers: date,x-mine
        ");
        insta::assert_snapshot!(preflight(&json!({}), "null"), @"content-type: application/json");
    }

    #[test]
    fn what_is_no_preflight_goes_to_the_function() {
        let cors = Cors::of(Some(&json!({ "AllowOrigins": ["*"] }))).expect("settings");
        let (parts, ()) =
            http::Request::builder().method("OPTIONS").body(()).expect("a request").into_parts();
        assert!(cors.preflight(&parts).is_none());
        assert!(Cors::of(None).is_none());
    }

    #[test]
    fn an_answer_keeps_what_the_function_says() {
        let cors = Cors::of(Some(&json!({ "AllowOrigins": ["*"] }))).expect("settings");
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        cors.allow(&HeaderValue::from_static("https://a.example"), &mut headers);
        insta::assert_snapshot!(lines(&headers), @r"
        access-control-allow-origin: *
        access-control-allow-origin: https://a.example
        vary: Origin
        ");
    }
}
