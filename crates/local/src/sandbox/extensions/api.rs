//! The HTTP of the Extensions API: requests to questions, answers to AWS's words (FACTS.md §9).
//!
//! Decides nothing; [`Extensions`] does.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::telemetry::{self, subscription::Subscription},
    Extensions, MOST_EXTENSIONS, Refusal, State,
};

/// The headers that only extensions send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ExtensionHeaders {
    pub(in super::super) name: String,
    pub(in super::super) identifier: String,
    pub(in super::super) features: String,
    pub(in super::super) error_type: String,
}

/// An answer to an extension.
#[derive(Debug)]
pub(in super::super) struct Answer {
    pub(in super::super) status: &'static str,
    /// A header beside the usual ones.
    pub(in super::super) header: Option<(&'static str, String)>,
    pub(in super::super) body: String,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Route {
    Register,
    Next,
    InitError,
    ExitError,
    /// The Telemetry API, or the Logs API before it.
    Subscribe {
        telemetry: bool,
    },
}

impl Route {
    /// The route of a request line.
    pub(in super::super) fn of(method: &str, path: &[&str]) -> Option<Self> {
        Some(match (method, path) {
            ("POST", ["2020-01-01", "extension", "register"]) => Self::Register,
            ("GET", ["2020-01-01", "extension", "event", "next"]) => Self::Next,
            ("POST", ["2020-01-01", "extension", "init", "error"]) => Self::InitError,
            ("POST", ["2020-01-01", "extension", "exit", "error"]) => Self::ExitError,
            ("PUT", ["2022-07-01", "telemetry"] | ["2022-07-01", "telemetry", ""]) => {
                Self::Subscribe { telemetry: true }
            }
            ("PUT", ["2020-08-15", "logs"] | ["2020-08-15", "logs", ""]) => {
                Self::Subscribe { telemetry: false }
            }
            _ => return None,
        })
    }
}

/// Answers a request. Waits for `/event/next`; no answer when the environment was reset meanwhile.
pub(in super::super) async fn answer(
    extensions: &Extensions,
    route: Route,
    headers: &ExtensionHeaders,
    body: &[u8],
) -> Option<Answer> {
    let answer = match route {
        Route::Register => register(extensions, headers, body),
        Route::Next => match identifier(headers) {
            Ok(identifier) => match extensions.next(identifier).await {
                Ok(event) => return event.map(event_answer),
                Err(refusal) => Err(refused(&refusal, Route::Next)),
            },
            Err(answer) => Err(answer),
        },
        Route::InitError => report(extensions, headers, State::InitError, route),
        Route::ExitError => report(extensions, headers, State::ExitError, route),
        Route::Subscribe { telemetry } => subscribe(extensions, headers, telemetry, body),
    };
    Some(answer.unwrap_or_else(|refused| refused))
}

fn event_answer(event: String) -> Answer {
    let header = Some(("Lambda-Extension-Event-Identifier", Uuid::new_v4().to_string()));
    Answer { status: "200 OK", header, body: event }
}

fn register(extensions: &Extensions, headers: &ExtensionHeaders, body: &[u8]) -> Result<Answer, Answer> {
    if headers.name.is_empty() {
        return Err(forbidden("Extension.InvalidExtensionName", "Empty extension name"));
    }
    let events = wanted_events(body).map_err(|why| forbidden("InvalidRequestFormat", &why))?;
    let identifier =
        extensions.register(&headers.name, &events).map_err(|refusal| refused(&refusal, Route::Register))?;
    let function = &extensions.function;
    let mut told = json!({
        "functionName": function.name,
        "functionVersion": function.version,
        "handler": function.handler,
    });
    if headers.features.split(',').any(|feature| feature.trim() == "accountId") {
        told["accountId"] = function.account.clone().into();
    }
    let header = Some(("Lambda-Extension-Identifier", identifier.to_string()));
    Ok(Answer { status: "200 OK", header, body: format!("{told}\n") })
}

/// The events that a registration asks for, or why it is none.
fn wanted_events(body: &[u8]) -> Result<Vec<String>, String> {
    if body.is_empty() {
        return Err("unexpected end of JSON input".into());
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Value::Object(body) = body else {
        return Err("the body must be a JSON object".into());
    };
    if body.get("configurationKeys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty()) {
        return Err("configurationKeys are deprecated; use environment variables instead".into());
    }
    match body.get("events") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(events)) => events
            .iter()
            .map(|event| event.as_str().map(str::to_owned).ok_or_else(|| "events must be strings".into()))
            .collect(),
        Some(_) => Err("events must be a list of strings".into()),
    }
}

fn report(
    extensions: &Extensions,
    headers: &ExtensionHeaders,
    to: State,
    route: Route,
) -> Result<Answer, Answer> {
    let identifier = identifier(headers)?;
    if headers.error_type.is_empty() {
        let message = "Lambda-Extension-Function-Error-Type not found";
        return Err(forbidden("Extension.MissingHeader", message));
    }
    extensions
        .report_error(identifier, &headers.error_type, to)
        .map_err(|refusal| refused(&refusal, route))?;
    Ok(Answer { status: "202 Accepted", header: None, body: "{\"status\":\"OK\"}\n".into() })
}

fn subscribe(
    extensions: &Extensions,
    headers: &ExtensionHeaders,
    telemetry: bool,
    body: &[u8],
) -> Result<Answer, Answer> {
    let identifier = identifier(headers)?;
    let Some(name) = extensions.name_of(identifier) else {
        return Err(refused(&Refusal::Unknown(identifier), Route::Next));
    };
    let api = if telemetry { "Telemetry" } else { "Logs" };
    let invalid = |message: &str| {
        let error_type = if telemetry { "ValidationError" } else { "Logs.ValidationError" };
        let body = json!({ "errorType": error_type, "errorMessage": message });
        Answer { status: "400 Bad Request", header: None, body: body.to_string() }
    };
    let subscription = Subscription::parse(telemetry, body).map_err(|fault| invalid(&fault))?;
    extensions.telemetry.subscribe(identifier, name, subscription).map_err(|refusal| match refusal {
        telemetry::Refusal::Closed => {
            forbidden(&format!("{api}.SubscriptionClosed"), &format!("{api} API subscription is closed"))
        }
        telemetry::Refusal::OtherApi => invalid("the extension has subscribed with another API already"),
    })?;
    Ok(Answer { status: "200 OK", header: None, body: "\"OK\"".into() })
}

/// Who asks, as its header says.
fn identifier(headers: &ExtensionHeaders) -> Result<Uuid, Answer> {
    if headers.identifier.is_empty() {
        let message = "Missing Lambda-Extension-Identifier header";
        return Err(forbidden("Extension.MissingExtensionIdentifier", message));
    }
    Uuid::parse_str(&headers.identifier)
        .map_err(|_| forbidden("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"))
}

/// A refusal of the status 403.
fn forbidden(error_type: &str, message: &str) -> Answer {
    let body = json!({ "errorMessage": message, "errorType": error_type });
    Answer { status: "403 Forbidden", header: None, body: format!("{body}\n") }
}

/// A refusal in AWS's words.
fn refused(refusal: &Refusal, route: Route) -> Answer {
    match refusal {
        Refusal::Unknown(_) if route != Route::Next => {
            forbidden("Extension.UnknownExtensionIdentifier", "Unknown Lambda-Extension-Identifier")
        }
        Refusal::Unknown(identifier) => {
            forbidden("Extension.UnknownExtensionIdentifier", &format!("Unknown extension {identifier}"))
        }
        Refusal::State { from, to, who } => forbidden(
            "Extension.InvalidExtensionState",
            &format!(
                "State transition from {} to {} failed for extension {who}. Error: State transition is not allowed",
                from.name(),
                to.name()
            ),
        ),
        Refusal::Event { event, internal_shutdown } => {
            let why = if *internal_shutdown {
                "ShutdownEventNotSupportedForInternalExtension"
            } else {
                "ErrorInvalidEventType"
            };
            forbidden("Extension.InvalidEventType", &format!("{event}: {why}"))
        }
        Refusal::Closed => forbidden("Extension.RegistrationClosed", "Extension registration closed already"),
        Refusal::Taken => {
            forbidden("Extension.InvalidExtensionState", "Extension with this name already registered")
        }
        Refusal::TooMany => {
            forbidden("Extension.TooManyExtensions", &format!("Extension limit ({MOST_EXTENSIONS}) reached"))
        }
    }
}
