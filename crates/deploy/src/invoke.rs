//! One test run of the function, with its log and the group the log goes to.

use aws_sdk_lambda::{
    primitives::Blob,
    types::{InvocationType, LogType},
};
use base64::Engine as _;
use layercake_core::{
    aws::FunctionName,
    journal::{Resource, TOKEN_TAG},
    report::{Figures, Invocation, JsonText},
};

use crate::{destination::Endpoint, error::DeployError, journal::JournalFile, layer::once};

/// Makes the group that the function's log goes to, unless it is there from something else.
///
/// Lambda would make it at the first run; made by us, and before the function, it carries our
/// token and is removed after everything that could still write to it.
///
/// # Errors
/// [`DeployError`].
pub async fn ensure_log_group(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    function: &FunctionName,
) -> Result<(), DeployError> {
    let name = default_log_group(function);
    let group = Resource::LogGroup { name: name.clone() };
    if journal.journal().newest(|resource| (*resource == group).then_some(())).is_some() {
        return Ok(());
    }
    if log_group_exists(endpoint, &name).await? {
        return Ok(());
    }
    let token = journal.journal().opening.token.clone();
    let step = journal.will_create(group.clone())?;
    let input = serde_json::json!({ "logGroupName": name, "tags": { TOKEN_TAG: token } });
    match endpoint.signed.logs("CreateLogGroup", &input).await {
        Ok(_) => journal.created(step, group)?,
        // Made in this very moment: by a request of ours that was repeated, or by somebody else.
        Err(error) if error.exists_already() => {
            if log_group_token(endpoint, &name).await?.as_deref() == Some(&token) {
                journal.created(step, group)?;
            } else {
                journal.undone(step)?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Invokes the function and waits for its answer.
///
/// # Errors
/// [`DeployError`]. A function that fails is not an error: the answer says so.
pub async fn invoke(
    endpoint: &Endpoint,
    name: &FunctionName,
    event: &JsonText,
) -> Result<Invocation, DeployError> {
    let answer = endpoint
        .lambda
        .invoke()
        .function_name(name.as_str())
        .invocation_type(InvocationType::RequestResponse)
        .log_type(LogType::Tail)
        .payload(Blob::new(event.text()))
        .customize()
        // Repeated after a lost answer, one test run would be two.
        .config_override(once())
        .send()
        .await
        .map_err(|error| DeployError::of("Invoke", error))?;
    let log = answer.log_result().map(decode_log).unwrap_or_default();
    let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
    Ok(Invocation {
        status: u16::try_from(answer.status_code()).unwrap_or_default(),
        function_error: answer.function_error().map(str::to_owned),
        payload: JsonText::of(&String::from_utf8_lossy(payload)),
        figures: Figures::from_log(&log),
        log,
    })
}

fn decode_log(text: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The group that a function's log goes to when no other is configured.
pub(crate) fn default_log_group(function: &FunctionName) -> String {
    format!("/aws/lambda/{function}")
}

/// Whether there is a log group of this name.
///
/// # Errors
/// [`DeployError`].
pub async fn log_group_exists(endpoint: &Endpoint, name: &str) -> Result<bool, DeployError> {
    let input = serde_json::json!({ "logGroupNamePrefix": name });
    let answer = endpoint.signed.logs("DescribeLogGroups", &input).await?;
    let groups = answer.get("logGroups").and_then(|groups| groups.as_array());
    Ok(groups.is_some_and(|groups| {
        groups.iter().any(|group| group.get("logGroupName").and_then(|found| found.as_str()) == Some(name))
    }))
}

/// The token that a log group carries, if it is there and carries one.
pub(crate) async fn log_group_token(endpoint: &Endpoint, name: &str) -> Result<Option<String>, DeployError> {
    let arn = format!("arn:aws:logs:{}:{}:log-group:{name}", endpoint.region, endpoint.account);
    let input = serde_json::json!({ "resourceArn": arn });
    match endpoint.signed.logs("ListTagsForResource", &input).await {
        Ok(answer) => {
            let token =
                answer.get("tags").and_then(|tags| tags.get(TOKEN_TAG)).and_then(|token| token.as_str());
            Ok(token.map(str::to_owned))
        }
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
