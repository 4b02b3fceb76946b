//! AWS's error answers: status, code, and how each protocol writes them.
//!
//! Knows shapes, not reasons: which error it is decide the services.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value};

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    /// HTTP status.
    pub(crate) status: u16,
    /// `ResourceNotFoundException` and the like.
    pub(crate) code: &'static str,
    /// What the service says.
    pub(crate) message: String,
    /// How the JSON body is written.
    pub(crate) style: Style,
}

/// The keys of a JSON error body; they differ from exception to exception (FACTS.md §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `message` alone.
    Bare,
    /// `Type: User` and `message`.
    User,
    /// `Type: User` and `Message`.
    UserUpper,
    /// `Type: Service` and `Message`.
    Service,
    /// `Message` alone.
    BareUpper,
    /// `Reason`, `Type: User` and `message`.
    Throttled {
        /// Why; one of the API's `ThrottleReason`.
        reason: &'static str,
    },
}

impl AwsError {
    /// The client's fault, with `Type: User` and `message`.
    pub(crate) fn user(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), style: Style::User }
    }

    /// A request that breaks the API model.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self { status: 400, code: "ValidationException", message: message.into(), style: Style::Bare }
    }

    /// Something that the local cloud does not have.
    pub(crate) fn not_built(message: impl Into<String>) -> Self {
        Self { status: 501, code: "NotImplemented", message: message.into(), style: Style::User }
    }

    /// Our own fault.
    pub(crate) fn service(message: impl Into<String>) -> Self {
        Self { status: 500, code: "ServiceException", message: message.into(), style: Style::Service }
    }

    /// As REST-JSON services (Lambda) write it.
    pub(crate) fn rest_json(&self, request_id: &str) -> Response {
        let mut body = Map::new();
        let (kind, key) = match self.style {
            Style::Bare => (None, "message"),
            Style::User => (Some("User"), "message"),
            Style::UserUpper => (Some("User"), "Message"),
            Style::Service => (Some("Service"), "Message"),
            Style::BareUpper => (None, "Message"),
            Style::Throttled { reason } => {
                body.insert("Reason".to_owned(), reason.into());
                (Some("User"), "message")
            }
        };
        if let Some(kind) = kind {
            body.insert("Type".to_owned(), kind.into());
        }
        body.insert(key.to_owned(), self.message.clone().into());
        let mut response =
            answer(self.status, "application/json", Value::Object(body).to_string(), request_id);
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        response
    }

    /// As JSON 1.1 services (CloudWatch Logs) write it.
    pub(crate) fn json_1_1(&self, request_id: &str) -> Response {
        let body = serde_json::json!({ "__type": self.code, "message": self.message });
        answer(self.status, "application/x-amz-json-1.1", body.to_string(), request_id)
    }

    /// As Query services (IAM, STS) write it. Not every service has a namespace.
    pub(crate) fn query(&self, namespace: &str, request_id: &str) -> Response {
        let fault = if self.status < 500 { "Sender" } else { "Receiver" };
        let namespace = if namespace.is_empty() { String::new() } else { format!(" xmlns=\"{namespace}\"") };
        let body = format!(
            "<ErrorResponse{namespace}><Error><Type>{fault}</Type><Code>{}</Code>\
             <Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
            self.code,
            escaped(&self.message)
        );
        answer(self.status, "text/xml", body, request_id)
    }
}

/// A text as it may stand in XML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An answer with the headers that every answer has.
pub(crate) fn answer(
    status: u16,
    content_type: &'static str,
    body: impl Into<Body>,
    request_id: &str,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", value);
    }
    response
}
