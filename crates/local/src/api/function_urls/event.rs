//! A request as the function gets it: payload format 2.0 (Lambda's documentation, "Invoking Lambda
//! function URLs"; which members are left out when they are empty is from events that users have
//! pasted).
//!
//! There is no TLS here, so the headers that AWS adds about it are missing, and `x-forwarded-proto`
//! says `http`.

use std::{collections::BTreeMap, net::IpAddr};

use axum::http::{HeaderMap, header, request::Parts};
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Addressed;
use crate::service::{Caller, UrlTarget};

/// Who signed a request.
pub(super) struct Asker {
    /// The id of the key.
    pub(super) access_key: String,
    /// Whose it is.
    pub(super) caller: Caller,
}

/// What is known of a request besides its own words.
pub(super) struct Named<'a> {
    /// Its id, and the call's.
    pub(super) request_id: &'a str,
    /// The value of `X-Amzn-Trace-Id`.
    pub(super) trace_id: &'a str,
    /// Where it comes from.
    pub(super) source: IpAddr,
    /// When it came.
    pub(super) time: Timestamp,
}

/// What belongs to one connection, and is not passed on.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// The event.
pub(super) fn event(
    parts: &Parts,
    addressed: &Addressed,
    target: &UrlTarget,
    asker: Option<&Asker>,
    body: &[u8],
    named: &Named<'_>,
) -> Value {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
    });
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    event["headers"] = headers(&parts.headers, addressed, named).into();
    let parameters = parameters(query);
    if !parameters.is_empty() {
        event["queryStringParameters"] = parameters.into();
    }
    let mut context = json!({
        // Of a URL that anybody may call, AWS names nobody's account (recorded).
        "accountId": asker.map_or("anonymous", |_| target.scope.account.as_str()),
        "apiId": addressed.id,
    });
    if let Some(Asker { access_key, caller }) = asker {
        context["authorizer"] = json!({ "iam": {
            "accessKey": access_key,
            "accountId": caller.account.as_str(),
            "callerId": caller.user_id(),
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": caller.arn(),
            "userId": caller.user_id(),
        }});
    }
    let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    context["domainName"] = addressed.domain.as_str().into();
    context["domainPrefix"] = addressed.id.as_str().into();
    context["http"] = json!({
        "method": parts.method.as_str(),
        "path": path,
        "protocol": format!("{:?}", parts.version),
        "sourceIp": named.source.to_string(),
        "userAgent": agent.unwrap_or_default(),
    });
    context["requestId"] = named.request_id.into();
    context["routeKey"] = "$default".into();
    context["stage"] = "$default".into();
    context["time"] = named.time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string().into();
    context["timeEpoch"] = named.time.as_millisecond().into();
    event["requestContext"] = context;
    let text = std::str::from_utf8(body).ok().filter(|_| is_text(&parts.headers));
    match text {
        _ if body.is_empty() => event["isBase64Encoded"] = false.into(),
        Some(text) => {
            event["body"] = text.into();
            event["isBase64Encoded"] = false.into();
        }
        None => {
            event["body"] = base64::engine::general_purpose::STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

/// Each cookie by itself; the header stays as it is beside them.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = values.flat_map(|value| value.split(';')).map(str::trim);
    cookies.filter(|cookie| !cookie.is_empty()).map(str::to_owned).collect()
}

/// Names in lower case, values of one name joined by commas.
fn headers(headers: &HeaderMap, addressed: &Addressed, named: &Named<'_>) -> Map<String, Value> {
    let mut joined = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        if HOP_BY_HOP.contains(&name.as_str()) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|before| {
                before.push(',');
                before.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let port = addressed.port.unwrap_or(80).to_string();
    for (name, value) in [
        ("x-amzn-trace-id", named.trace_id),
        ("x-forwarded-for", &named.source.to_string()),
        ("x-forwarded-port", &port),
        ("x-forwarded-proto", "http"),
    ] {
        joined.insert(name.to_owned(), value.to_owned());
    }
    joined.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// Decoded, values of one name joined by commas.
fn parameters(query: &str) -> Map<String, Value> {
    let mut joined = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let text = match joined.get(&*name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.into_owned(),
        };
        joined.insert(name.into_owned(), text.into());
    }
    joined
}

/// Whether the type of a body is one that Lambda passes on as text; a form is none (recorded).
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let content_type = content_type.to_ascii_lowercase();
    content_type.starts_with("text/")
        || matches!(&*content_type, "application/json" | "application/javascript" | "application/xml")
        || content_type.ends_with("+json")
        || content_type.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        service::{FunctionRef, Principal, UrlConfig},
        store::Scope,
    };

    fn check(request: http::request::Builder, body: &[u8], asker: Option<&Asker>) -> String {
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let addressed = Addressed {
            id: "abc".into(),
            region: "eu-west-1".parse().expect("a region"),
            domain: "abc.lambda-url.eu-west-1.localhost".into(),
            port: Some(4566),
        };
        let scope = Scope {
            account: "111122223333".parse().expect("an account"),
            region: "eu-west-1".parse().expect("a region"),
        };
        let target = UrlTarget {
            scope,
            function: FunctionRef { name: "f".parse().expect("a name"), qualifier: None },
            config: UrlConfig {
                auth: "NONE".into(),
                cors: None,
                invoke_mode: "BUFFERED".into(),
                created: 0,
                modified: 0,
            },
        };
        let named = Named {
            request_id: "id",
            trace_id: "Root=1",
            source: [127, 0, 0, 1].into(),
            time: "2020-03-12T19:03:58.390Z".parse().expect("a time"),
        };
        format!("{:#}", event(&parts, &addressed, &target, asker, body, &named))
    }

    #[test]
    fn everything_a_request_has() {
        let request = http::Request::builder()
            .method("POST")
            .uri("/my/a%20path?parameter1=value1&parameter1=value2&parameter2=a%20b+c&empty=")
            .header("Host", "abc.lambda-url.eu-west-1.localhost:4566")
            .header("Header1", "value1")
            .header("header2", "value1")
            .header("header2", "value2")
            .header("cookie", "cookie1=a; cookie2=b")
            .header("user-agent", "agent")
            .header("connection", "keep-alive")
            .header("x-forwarded-for", "1.2.3.4")
            .header("content-type", "text/plain; charset=utf-8");
        let asker = Asker {
            access_key: "AKIAONE".into(),
            caller: Caller {
                account: "111122223333".parse().expect("an account"),
                principal: Principal::User { name: "example-user".into() },
                is_temporary: false,
            },
        };
        insta::assert_snapshot!(check(request, "Hello from cli€nt!".as_bytes(), Some(&asker)), @r#"
        {
          "version": "2.0",
          "routeKey": "$default",
          "rawPath": "/my/a%20path",
          "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=a%20b+c&empty=",
          "cookies": [
            "cookie1=a",
            "cookie2=b"
          ],
          "headers": {
            "content-type": "text/plain; charset=utf-8",
            "cookie": "cookie1=a; cookie2=b",
            "header1": "value1",
            "header2": "value1,value2",
            "host": "abc.lambda-url.eu-west-1.localhost:4566",
            "user-agent": "agent",
            "x-amzn-trace-id": "Root=1",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": "4566",
            "x-forwarded-proto": "http"
          },
          "queryStringParameters": {
            "parameter1": "value1,value2",
            "parameter2": "a b c",
            "empty": ""
          },
          "requestContext": {
            "accountId": "111122223333",
            "apiId": "abc",
            "authorizer": {
              "iam": {
                "accessKey": "AKIAONE",
                "accountId": "111122223333",
                "callerId": "AIDADC4237648487C73E5",
                "cognitoIdentity": null,
                "principalOrgId": null,
                "userArn": "arn:aws:iam::111122223333:user/example-user",
                "userId": "AIDADC4237648487C73E5"
              }
            },
            "domainName": "abc.lambda-url.eu-west-1.localhost",
            "domainPrefix": "abc",
            "http": {
              "method": "POST",
              "path": "/my/a%20path",
              "protocol": "HTTP/1.1",
              "sourceIp": "127.0.0.1",
              "userAgent": "agent"
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1584039838390
          },
          "body": "Hello from cli€nt!",
          "isBase64Encoded": false
        }
        "#);
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let request = http::Request::builder().uri("/").header("host", "h");
        insta::assert_snapshot!(check(request, b"", None), @r#"
        {
          "version": "2.0",
          "routeKey": "$default",
          "rawPath": "/",
          "rawQueryString": "",
          "headers": {
            "host": "h",
            "x-amzn-trace-id": "Root=1",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": "4566",
            "x-forwarded-proto": "http"
          },
          "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-west-1.localhost",
            "domainPrefix": "abc",
            "http": {
              "method": "GET",
              "path": "/",
              "protocol": "HTTP/1.1",
              "sourceIp": "127.0.0.1",
              "userAgent": ""
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1584039838390
          },
          "isBase64Encoded": false
        }
        "#);
    }

    #[test]
    fn bodies_that_are_no_text_are_base64() {
        let body = |content_type: &str, body: &[u8]| {
            let request = http::Request::builder().header("content-type", content_type);
            let event: Value = serde_json::from_str(&check(request, body, None)).expect("JSON");
            format!("{} {}", event["body"].as_str().unwrap_or_default(), event["isBase64Encoded"])
        };
        assert_eq!(body("application/json", b"{}"), "{} false");
        assert_eq!(body("application/problem+json", b"{}"), "{} false");
        assert_eq!(body("text/html", b"a"), "a false");
        assert_eq!(body("text/html", b"\xff"), "/w== true");
        assert_eq!(body("application/x-www-form-urlencoded", b"a=b"), "YT1i true");
        assert_eq!(body("application/octet-stream", b"a"), "YQ== true");
        assert_eq!(body("", b"a"), "YQ== true");
    }
}
