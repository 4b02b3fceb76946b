//! The Query protocol of IAM and STS: a form in, XML out.

use std::collections::BTreeMap;

use axum::{body::Body, http::request::Parts, response::Response};
use layercake_core::aws::AccountId;

use super::{
    Api, AwsError, answer,
    constraints::{Constraints, lower_first},
    error::escaped,
    iam::Iam,
    read_body,
    sts::Sts,
};
use crate::service::{Caller, Cloud};

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
            let mut constraints = Constraints::default();
            constraints.present(&lower_first(name), false);
            invalid(constraints.message().unwrap_or_default())
        })
    }

    /// A number, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, AwsError> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    AwsError::user(
                        400,
                        "MalformedInput",
                        format!("The value of {name} is not a number: {text}"),
                    )
                })
            })
            .transpose()
    }

    /// A switch.
    pub(super) fn is(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// `Tags.member.1.Key`, `Tags.member.1.Value`, …, in order.
    pub(super) fn pairs(&self, name: &str) -> Vec<(String, String)> {
        (1..)
            .map_while(|number| {
                let key = self.get(&format!("{name}.member.{number}.Key"))?;
                let value = self.get(&format!("{name}.member.{number}.Value")).unwrap_or_default();
                Some((key.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// The tags, checked.
    pub(super) fn tags(&self) -> Result<BTreeMap<String, String>, AwsError> {
        let pairs = self.pairs("Tags");
        let mut constraints = Constraints::default();
        if pairs.len() > 50 {
            constraints.add("tags", "[...]", "Member must have length less than or equal to 50");
        }
        for (place, (key, value)) in (1..).zip(&pairs) {
            constraints.length(&format!("tags.{place}.member.key"), key, 1..=128);
            constraints.length(&format!("tags.{place}.member.value"), value, 0..=256);
        }
        checked(constraints)?;
        let count = pairs.len();
        let mut seen: Vec<_> = pairs.iter().map(|(key, _)| key.to_lowercase()).collect();
        seen.sort();
        seen.dedup();
        if seen.len() < count {
            return Err(AwsError::user(
                400,
                "InvalidInput",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        Ok(pairs.into_iter().collect())
    }

    /// `TagKeys.member.1`, ….
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|number| self.get(&format!("{name}.member.{number}")).map(str::to_owned)).collect()
    }

    /// How many items a page has (IAM: 1 to 1,000, 100 when not said), and where it begins.
    pub(super) fn paging(&self) -> Result<(usize, &str), AwsError> {
        let limit = self.number("MaxItems")?.unwrap_or(100);
        let mut constraints = Constraints::default();
        constraints.number("maxItems", limit, 1..=1000);
        checked(constraints)?;
        Ok((usize::try_from(limit).unwrap_or(100), self.get("Marker").unwrap_or_default()))
    }
}

/// A request that breaks a rule of the API.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::user(400, "ValidationError", message)
}

/// The violations as an error.
pub(super) fn checked(constraints: Constraints) -> Result<(), AwsError> {
    constraints.message().map_or(Ok(()), |message| Err(invalid(message)))
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

    /// A list of texts.
    pub(super) fn texts<'a>(self, name: &str, items: impl Iterator<Item = &'a String>) -> Self {
        self.nested(name, items.fold(Self::default(), |all, item| all.text("member", item)))
    }

    /// The end of a page.
    pub(super) fn paged(self, next: Option<&str>) -> Self {
        self.text("IsTruncated", if next.is_some() { "true" } else { "false" }).maybe("Marker", next)
    }
}

/// A time as the Query protocol writes it.
pub(super) fn time(milliseconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: &'a Caller,
    pub(super) action: &'a str,
    pub(super) form: &'a Form,
}

impl Call<'_> {
    /// What decides.
    pub(super) fn cloud(&self) -> &Cloud {
        &self.api.cloud
    }

    /// The caller's account.
    pub(super) fn account(&self) -> AccountId {
        self.caller.account.clone()
    }

    /// The answer to what is not built.
    pub(super) fn not_built(&self) -> AwsError {
        AwsError::not_built(format!("The local cloud does not implement {} yet", self.action))
    }
}

/// What an action answers: elements of its result, or nothing when it has no result.
pub(super) type Outcome = Result<Option<Xml>, AwsError>;

/// One service of the Query protocol. An `impl` is the list of what is built: whatever action it
/// does not name answers NotImplemented.
#[async_trait::async_trait]
pub(super) trait QueryService: Sync {
    /// The namespace of its XML.
    fn namespace(&self) -> &'static str;

    /// Performs an action.
    async fn perform(&self, call: &Call<'_>) -> Outcome {
        Err(call.not_built())
    }
}

/// The form and the actions are small.
const FORM_BYTES: usize = 1 << 20;

/// Answers one request to IAM or STS.
pub(super) async fn answer_request(
    api: &Api,
    caller: &Caller,
    parts: &Parts,
    body: Body,
    request_id: &str,
) -> Response {
    let Ok(Ok(bytes)) = read_body(body, FORM_BYTES).await else {
        let error = AwsError::user(413, "RequestEntityTooLarge", "The request is too large");
        return error.query(Iam.namespace(), request_id);
    };
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let pairs = |bytes| url::form_urlencoded::parse(bytes).into_owned();
    let form = Form(pairs(&bytes).chain(pairs(query)).collect());
    let action = form.get("Action").unwrap_or_default();
    let service: &dyn QueryService = if Sts::has(action) { &Sts } else { &Iam };
    match service.perform(&Call { api, caller, action, form: &form }).await {
        Ok(result) => {
            let result = match result {
                Some(xml) => format!("<{action}Result>{}</{action}Result>", xml.0),
                None => String::new(),
            };
            let body = format!(
                "<{action}Response xmlns=\"{}\">{result}\
                 <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>",
                service.namespace()
            );
            answer(200, "text/xml", body, request_id)
        }
        Err(error) => error.query(service.namespace(), request_id),
    }
}
