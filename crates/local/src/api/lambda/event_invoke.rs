//! The operations on asynchronous invocation's options on the wire.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, AwsError, Call, layers::listed, wire};
use crate::service::{Destinations, EventInvoke, FunctionRef, NewEventInvokeConfig};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    function_name: String,
    qualifier: Option<String>,
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Option<DestinationConfig>,
    marker: Option<String>,
    max_items: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    #[serde(default)]
    on_success: Destination,
    #[serde(default)]
    on_failure: Destination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    destination: Option<String>,
}

fn function(call: &Call<'_>, request: &Request) -> Result<FunctionRef, AwsError> {
    call.function(&request.function_name, request.qualifier.as_deref())
}

fn answered(found: &EventInvoke) -> Value {
    let destination = |arn: &Option<String>| match arn {
        Some(arn) => json!({ "Destination": arn }),
        None => json!({}),
    };
    let config = &found.config;
    let mut answer = json!({
        "FunctionArn": found.arn,
        "LastModified": wire::seconds(config.modified),
        "DestinationConfig": {
            "OnSuccess": destination(&config.on_success),
            "OnFailure": destination(&config.on_failure),
        },
    });
    if let Some(retries) = config.retries {
        answer["MaximumRetryAttempts"] = retries.into();
    }
    if let Some(age) = config.age {
        answer["MaximumEventAgeInSeconds"] = age.into();
    }
    answer
}

pub(super) async fn put(call: Call<'_>) -> Result<Answer, AwsError> {
    set(call, true).await
}

pub(super) async fn update(call: Call<'_>) -> Result<Answer, AwsError> {
    set(call, false).await
}

async fn set(mut call: Call<'_>, replace: bool) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    let new = NewEventInvokeConfig {
        retries: request.maximum_retry_attempts,
        age: request.maximum_event_age_in_seconds,
        destinations: request.destination_config.map(|config| Destinations {
            success: config.on_success.destination,
            failure: config.on_failure.destination,
        }),
    };
    Ok(Answer::Json(answered(&call.api.cloud.put_event_invoke(call.scope, function, new, replace).await?)))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    Ok(Answer::Json(answered(&call.api.cloud.event_invoke(call.scope, function).await?)))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    let limit = request.max_items.unwrap_or(50);
    let page = call.api.cloud.list_event_invoke(call.scope, function, request.marker, limit).await?;
    let configs: Vec<_> = page.items.iter().map(answered).collect();
    Ok(listed("FunctionEventInvokeConfigs", configs.into(), page.next))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = function(&call, &request)?;
    call.api.cloud.delete_event_invoke(call.scope, function).await?;
    Ok(Answer::Empty(204))
}
