//! The Query protocol of IAM and STS: a form in, XML out.

use axum::{body::Body, http::request::Parts, response::Response};

use super::{Api, AwsError, answer, error::escaped, iam, read_body, sts};
use crate::store::Scope;

/// The form of a request.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// A parameter, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, AwsError> {
        self.get(name).ok_or_else(|| {
            let mut letters = name.chars();
            let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
            let name = format!("{first}{}", letters.as_str());
            AwsError::user(
                400,
                "ValidationError",
                format!(
                    "1 validation error detected: Value null at '{name}' failed to satisfy constraint: \
                     Member must not be null"
                ),
            )
        })
    }

    /// `Tags.member.1.Key`, `Tags.member.1.Value`, ….
    pub(super) fn tags(&self) -> std::collections::BTreeMap<String, String> {
        (1..)
            .map_while(|number| {
                let key = self.get(&format!("Tags.member.{number}.Key"))?;
                let value = self.get(&format!("Tags.member.{number}.Value")).unwrap_or_default();
                Some((key.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// `TagKeys.member.1`, ….
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|number| self.get(&format!("{name}.member.{number}")).map(str::to_owned)).collect()
    }
}

/// XML elements, one after the other.
#[derive(Default)]
pub(super) struct Xml(String);

impl Xml {
    /// An element with text.
    pub(super) fn text(mut self, name: &str, text: &str) -> Self {
        self.0.push_str(&format!("<{name}>{}</{name}>", escaped(text)));
        self
    }

    /// An element with text, if there is one.
    pub(super) fn maybe(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// An element with elements.
    pub(super) fn nested(mut self, name: &str, Self(inner): Self) -> Self {
        self.0.push_str(&format!("<{name}>{inner}</{name}>"));
        self
    }

    /// A list: one `member` for each item.
    pub(super) fn list(self, name: &str, items: impl Iterator<Item = Self>) -> Self {
        self.nested(name, items.fold(Self::default(), |all, item| all.nested("member", item)))
    }
}

/// The form and the actions are small.
const FORM_BYTES: usize = 1 << 20;

/// Answers one request to IAM or STS.
pub(super) async fn answer_request(
    api: &Api,
    scope: &Scope,
    parts: &Parts,
    body: Body,
    request_id: &str,
) -> Response {
    let Ok(Ok(bytes)) = read_body(body, FORM_BYTES).await else {
        let error = AwsError::user(413, "RequestEntityTooLarge", "The request is too large");
        return error.query(iam::NAMESPACE, request_id);
    };
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let pairs = |bytes| url::form_urlencoded::parse(bytes).into_owned();
    let form = Form(pairs(&bytes).chain(pairs(query)).collect());
    let action = form.get("Action").unwrap_or_default().to_owned();
    let (namespace, outcome) = if sts::has(&action) {
        (sts::NAMESPACE, sts::perform(api, scope, &action))
    } else {
        (iam::NAMESPACE, iam::perform(api, &action, &form).await)
    };
    match outcome {
        Ok(result) => {
            let result = match result {
                Some(xml) => format!("<{action}Result>{}</{action}Result>", xml.0),
                None => String::new(),
            };
            let body = format!(
                "<{action}Response xmlns=\"{namespace}\">{result}\
                 <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
            );
            answer(200, "text/xml", body, request_id)
        }
        Err(error) => error.query(namespace, request_id),
    }
}
