//! One test run of the function, with its log.

use aws_sdk_lambda::{
    primitives::Blob,
    types::{InvocationType, LogType},
};
use base64::Engine as _;
use layercake_core::{
    aws::FunctionName,
    journal::Resource,
    report::{Figures, Invocation},
};

use crate::{destination::Endpoint, error::DeployError, journal::JournalFile};

/// Invokes the function and waits for its answer.
///
/// Lambda makes the function's log group at its first run, so the group is journaled here, unless
/// it is there already from something else.
///
/// # Errors
/// [`DeployError`]. A function that fails is not an error: the answer says so.
pub async fn invoke(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    name: &FunctionName,
    event: &serde_json::Value,
) -> Result<Invocation, DeployError> {
    let log_step = announce_log_group(endpoint, journal, name).await?;
    let answer = endpoint
        .lambda
        .invoke()
        .function_name(name.as_str())
        .invocation_type(InvocationType::RequestResponse)
        .log_type(LogType::Tail)
        .payload(Blob::new(event.to_string()))
        .send()
        .await
        .map_err(|error| DeployError::of("Invoke", error))?;
    if let Some((step, group)) = log_step {
        journal.created(step, group)?;
    }
    let log = answer.log_result().map(decode_log).unwrap_or_default();
    let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
    let payload = serde_json::from_slice(payload)
        .unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(payload).into_owned()));
    Ok(Invocation {
        status: u16::try_from(answer.status_code()).unwrap_or_default(),
        function_error: answer.function_error().map(str::to_owned),
        payload,
        figures: Figures::from_log(&log),
        log,
    })
}

fn decode_log(text: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn announce_log_group(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    function: &FunctionName,
) -> Result<Option<(u64, Resource)>, DeployError> {
    let name = format!("/aws/lambda/{function}");
    let group = Resource::LogGroup { name: name.clone() };
    if journal.journal().steps().iter().any(|step| step.resource == group) {
        return Ok(None);
    }
    if log_group_exists(endpoint, &name).await? {
        return Ok(None);
    }
    let step = journal.will_create(group.clone())?;
    Ok(Some((step, group)))
}

async fn log_group_exists(endpoint: &Endpoint, name: &str) -> Result<bool, DeployError> {
    let input = serde_json::json!({ "logGroupNamePrefix": name });
    let answer = endpoint.signed.logs("DescribeLogGroups", &input).await?;
    let groups = answer.get("logGroups").and_then(|groups| groups.as_array());
    Ok(groups.is_some_and(|groups| {
        groups.iter().any(|group| group.get("logGroupName").and_then(|found| found.as_str()) == Some(name))
    }))
}
