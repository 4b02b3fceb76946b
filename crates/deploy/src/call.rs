//! A call of any function, and what is said when there is no such function.
//!
//! Makes nothing, so it needs no journal.

use aws_sdk_lambda::{
    operation::RequestId as _,
    primitives::Blob,
    types::{InvocationType, LogType},
};
use base64::Engine as _;

use crate::{destination::Endpoint, error::DeployError, layer::once};

/// How many functions are looked at for one whose name was meant.
const MOST_NAMES: usize = 5_000;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// The answer is waited for (`RequestResponse`).
    Wait,
    /// The endpoint runs it later (`Event`).
    Queue,
    /// Only whether it may be called (`DryRun`).
    DryRun,
}

/// One call.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    /// Name, partial or whole ARN, with or without a qualifier, as Lambda takes it.
    pub function: String,
    /// Version or alias.
    pub qualifier: Option<String>,
    /// The event: JSON.
    pub event: Vec<u8>,
    /// How.
    pub kind: CallKind,
    /// The client context as JSON.
    pub client_context: Option<String>,
}

/// What a call gave.
#[derive(Clone, Debug)]
pub struct Called {
    /// The HTTP status.
    pub status: u16,
    /// The request id, as in the log.
    pub request_id: Option<String>,
    /// `$LATEST` or the number of the version that ran.
    pub version: Option<String>,
    /// `Unhandled`, when the function failed; the payload is then its error.
    pub function_error: Option<String>,
    /// The answer, byte for byte.
    pub payload: Vec<u8>,
    /// The last 4 KB of the log, when the answer was waited for.
    pub log: String,
}

/// Calls a function. One that fails is no error: the answer says so.
///
/// # Errors
/// [`DeployError::NoFunction`] or [`DeployError::NoQualifier`] when there is nothing of that name,
/// else what the endpoint says.
pub async fn call(endpoint: &Endpoint, call: FunctionCall) -> Result<Called, DeployError> {
    let (kind, log) = match call.kind {
        CallKind::Wait => (InvocationType::RequestResponse, Some(LogType::Tail)),
        CallKind::Queue => (InvocationType::Event, None),
        CallKind::DryRun => (InvocationType::DryRun, None),
    };
    let engine = base64::engine::general_purpose::STANDARD;
    let sent = endpoint
        .lambda
        .invoke()
        .function_name(&call.function)
        .set_qualifier(call.qualifier.clone())
        .invocation_type(kind)
        .set_log_type(log)
        .set_client_context(call.client_context.map(|context| engine.encode(context)))
        .payload(Blob::new(call.event))
        .customize()
        // Repeated after a lost answer, one call would be two.
        .config_override(once())
        .send()
        .await;
    let answer = match sent.map_err(|error| DeployError::of("Invoke", error)) {
        Ok(answer) => answer,
        Err(error) => return Err(explained(endpoint, &call.function, call.qualifier.as_deref(), error).await),
    };
    let log = answer.log_result().and_then(|text| engine.decode(text).ok()).unwrap_or_default();
    Ok(Called {
        status: u16::try_from(answer.status_code()).unwrap_or_default(),
        request_id: answer.request_id().map(str::to_owned),
        version: answer.executed_version().map(str::to_owned),
        function_error: answer.function_error().map(str::to_owned),
        log: String::from_utf8_lossy(&log).into_owned(),
        payload: answer.payload.map(Blob::into_inner).unwrap_or_default(),
    })
}

/// Turns "there is no such thing" into what the user most likely meant.
pub(crate) async fn explained(
    endpoint: &Endpoint,
    function: &str,
    qualifier: Option<&str>,
    error: DeployError,
) -> DeployError {
    if !error.is_absent() {
        return error;
    }
    let (name, inner) = split(function);
    // Without the right to list functions there is only what the endpoint said.
    let Ok(names) = function_names(endpoint).await else { return error };
    match qualifier.or(inner) {
        Some(qualifier) if names.iter().any(|known| known == name) => {
            DeployError::NoQualifier { function: name.to_owned(), qualifier: qualifier.to_owned() }
        }
        _ => DeployError::NoFunction {
            name: name.to_owned(),
            region: endpoint.region.to_string(),
            nearest: nearest(name, names),
        },
    }
}

/// The names of all functions, up to a bound.
async fn function_names(endpoint: &Endpoint) -> Result<Vec<String>, DeployError> {
    let mut pages = endpoint.lambda.list_functions().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(found) = pages.next().await {
        let found = found.map_err(|error| DeployError::of("ListFunctions", error))?;
        names.extend(found.function_name);
        if names.len() >= MOST_NAMES {
            break;
        }
    }
    Ok(names)
}

/// Name and qualifier of what Lambda takes for a function: `name`, `account:function:name` or a
/// whole ARN, each with a qualifier or without.
fn split(function: &str) -> (&str, Option<&str>) {
    let own = function.rsplit_once(":function:").map_or(function, |(_, own)| own);
    let own = own.strip_prefix("function:").unwrap_or(own);
    match own.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (own, None),
    }
}

/// The names most like the one that was given, best first; when none is like it and there are few,
/// all of them.
fn nearest(wanted: &str, mut names: Vec<String>) -> Vec<String> {
    const MOST: usize = 5;
    let likeness = |name: &str| {
        let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
        let part = if name.contains(&wanted) || wanted.contains(&name) { 0.9 } else { 0.0 };
        strsim::jaro_winkler(&wanted, &name).max(part)
    };
    names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b)));
    let alike = names.iter().take_while(|name| likeness(name) > 0.8).count();
    match (alike, names.len()) {
        (0, all) if all > MOST => names.clear(),
        (0, _) => {}
        (alike, _) => names.truncate(alike.min(MOST)),
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_in_many_ways() {
        assert_eq!(split("f"), ("f", None));
        assert_eq!(split("f:live"), ("f", Some("live")));
        assert_eq!(split("123456789012:function:f"), ("f", None));
        assert_eq!(split("function:f:1"), ("f", Some("1")));
        assert_eq!(split("arn:aws:lambda:us-east-1:123456789012:function:f:1"), ("f", Some("1")));
    }

    #[test]
    fn what_was_meant_comes_first() {
        let check = |wanted: &str, names: &[&str]| {
            nearest(wanted, names.iter().map(|&name| name.to_owned()).collect()).join(" ")
        };
        insta::assert_snapshot!(check("pandsa", &["other", "pandas", "pandas-dev"]), @"pandas pandas-dev");
        insta::assert_snapshot!(check("report", &["nightly-report", "x", "y"]), @"nightly-report");
        insta::assert_snapshot!(check("zzz", &["b", "a"]), @"a b");
        insta::assert_snapshot!(check("zzz", &["a", "b", "c", "d", "e", "f"]), @"");
    }
}
