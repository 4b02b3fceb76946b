//! Lambda's REST-JSON protocol: a request becomes an operation with valid, typed input; an
//! answer or an error becomes JSON.

mod account;
mod aliases;
mod code_signing;
mod concurrency;
#[cfg(test)]
mod coverage;
mod errors;
mod event_invoke;
mod event_stream;
pub(super) use errors::with_causes;
mod functions;
mod invoke;
pub(super) use invoke::trace_id;
pub(super) use seen::SeenInvocations;
mod layers;
mod mappings;
mod operations;
mod policies;
mod recursion;
mod runtime_management;
mod seen;
mod settings_errors;
mod streaming;
mod tags;
#[cfg(test)]
mod tests;
mod urls;
mod versions;
mod wire;

use async_trait::async_trait;
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, request::Parts},
    response::Response,
};
use http_body_util::BodyExt as _;
use layercake_core::limits;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::operations::LambdaOperations;
use super::{
    Api, AwsError, answer,
    location::Links,
    model::{Found, Model, Operation},
    read_body,
    spool::{Spool, SpoolError},
    types, validate,
};
use crate::{
    service::{FunctionRef, Source},
    store::{BlobWriter, Scope},
};

/// A request that the model knows, read and checked against it.
struct Call<'a> {
    api: &'a Api,
    scope: Scope,
    request_id: &'a str,
    /// The operation's name.
    operation: &'a str,
    /// Where the client reached us.
    endpoint: Links,
    headers: HeaderMap,
    input: Map<String, Value>,
    /// The input of an Invoke whose request was read before, in place of the other.
    seen: Option<std::sync::Arc<invoke::InvokeRequest>>,
    /// Under what it is kept, when it was not.
    unseen: Option<String>,
    zip: Option<BlobWriter>,
    /// The request's body, of operations whose body is not JSON with members. In a mutex, since a
    /// body may not be shared between threads and a call may.
    body: std::sync::Mutex<Body>,
}

impl Call<'_> {
    /// The input as the operation's own type. The model has been checked, so only a member of
    /// another JSON type than it should have can fail here.
    fn input<T: DeserializeOwned>(&mut self) -> Result<T, AwsError> {
        serde_json::from_value(Value::Object(std::mem::take(&mut self.input)))
            .map_err(|error| AwsError::user(400, "SerializationException", error.to_string()))
    }

    /// The function that a request names, in any way that Lambda takes.
    fn function(&self, name: &str, qualifier: Option<&str>) -> Result<FunctionRef, AwsError> {
        wire::function_of(&self.scope, name, qualifier, self.operation)
    }

    /// The same for operations that take no version and no alias.
    fn unqualified_function(&self, name: &str) -> Result<FunctionRef, AwsError> {
        let function = self.function(name, None)?;
        function.check_unqualified()?;
        Ok(function.unqualified())
    }

    /// The body, which can be had once.
    fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Where the request says its code is.
    fn source(
        &mut self,
        bucket: Option<String>,
        key: Option<String>,
        version: Option<String>,
    ) -> Result<Option<Source>, AwsError> {
        match (self.zip.take(), bucket, key) {
            (None, None, None) => Ok(None),
            (Some(zip), None, None) => Ok(Some(Source::Zip(zip))),
            (None, Some(bucket), Some(key)) => Ok(Some(Source::Object { bucket, key, version })),
            (Some(_), ..) => Err(crate::service::LambdaError::TwoSources.into()),
            (None, ..) => Err(crate::service::LambdaError::NoCode.into()),
        }
    }
}

/// An answer before it is HTTP.
enum Answer {
    /// JSON with the operation's status.
    Json(Value),
    /// Nothing, with this status.
    Empty(u16),
    /// Ready.
    Response(Box<Response>),
}

/// Answers one request to Lambda.
pub(super) async fn answer_request(
    api: &Api,
    scope: Scope,
    parts: Parts,
    body: Body,
    request_id: &str,
) -> Response {
    let key = seen::key(&parts);
    let mut call = Call {
        api,
        scope,
        request_id,
        operation: "Invoke",
        endpoint: Links::new(api, &parts),
        headers: parts.headers,
        input: Map::new(),
        seen: key.as_deref().and_then(|key| api.seen.get(key)),
        unseen: None,
        zip: None,
        body: std::sync::Mutex::new(body),
    };
    if call.seen.is_some() {
        return written(invoke::invoke(call).await, StatusCode::OK.as_u16(), request_id);
    }
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let Some(found) = Model::get().find(parts.method.as_str(), parts.uri.path(), &query) else {
        let message = "Unable to determine service/operation name to be authorized";
        return AwsError::user(403, "AccessDeniedException", message).rest_json(request_id);
    };
    call.operation = found.name;
    call.input = located_members(&found, &query, &call.headers);
    call.unseen = key.filter(|_| found.name == "Invoke");
    // Boxed, since its future is large and the one of a call that was seen before is not to be.
    let performed = Box::pin(perform(call, &found)).await;
    written(performed, found.operation.code, request_id)
}

/// An answer, or an error, as HTTP.
fn written(result: Result<Answer, AwsError>, code: u16, request_id: &str) -> Response {
    match result {
        Ok(Answer::Json(value)) => answer(code, "application/json", value.to_string(), request_id),
        Ok(Answer::Empty(status)) => {
            let mut response = answer(status, "application/json", Body::empty(), request_id);
            if status == StatusCode::NO_CONTENT.as_u16() {
                response.headers_mut().remove("content-type");
            }
            response
        }
        Ok(Answer::Response(response)) => *response,
        Err(error) => error.rest_json(request_id),
    }
}

async fn perform(mut call: Call<'_>, found: &Found<'_>) -> Result<Answer, AwsError> {
    if !takes_raw_payload(found) {
        let body = call.take_body();
        let (text, zip) = spooled(call.api, body, found.name).await?;
        call.zip = zip;
        add_body(&mut call.input, &text)?;
    } else if found.name == "InvokeAsync" {
        // The body is the member, whatever is in it.
        call.input.insert("InvokeArgs".to_owned(), Value::String(String::new()));
    }
    check(found, &call.input)?;
    operations::perform(&Lambda, found.name, call).await
}

/// Whether the body is not JSON with members but a member itself, as an event is.
fn takes_raw_payload(found: &Found<'_>) -> bool {
    matches!(found.name, "Invoke" | "InvokeAsync" | "InvokeWithResponseStream")
}

/// What is built of Lambda.
struct Lambda;

#[async_trait]
impl LambdaOperations for Lambda {
    async fn publish_layer_version(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        layers::publish(call).await
    }
    async fn get_layer_version(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        layers::get(call).await
    }
    async fn get_layer_version_by_arn(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        layers::get_by_arn(call).await
    }
    async fn list_layers(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        layers::list(call).await
    }
    async fn list_layer_versions(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        layers::list_versions(call).await
    }
    async fn delete_layer_version(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        layers::delete(call).await
    }
    async fn create_function(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::create(call).await
    }
    async fn get_function(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::get(call).await
    }
    async fn get_function_configuration(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::get_configuration(call).await
    }
    async fn update_function_code(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::update_code(call).await
    }
    async fn update_function_configuration(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::update_configuration(call).await
    }
    async fn list_functions(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::list(call).await
    }
    async fn delete_function(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        functions::delete(call).await
    }
    async fn invoke(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        invoke::invoke(call).await
    }
    async fn invoke_async(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        invoke::invoke_async(call).await
    }
    async fn invoke_with_response_stream(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        streaming::invoke(call).await
    }
    // Versions and aliases
    async fn publish_version(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        versions::publish(call).await
    }
    async fn list_versions_by_function(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        versions::list(call).await
    }
    async fn create_alias(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        aliases::create(call).await
    }
    async fn get_alias(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        aliases::get(call).await
    }
    async fn update_alias(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        aliases::update(call).await
    }
    async fn delete_alias(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        aliases::delete(call).await
    }
    async fn list_aliases(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        aliases::list(call).await
    }
    async fn get_account_settings(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        account::get_settings(call).await
    }

    async fn list_tags(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        tags::list(call).await
    }
    async fn tag_resource(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        tags::tag(call).await
    }
    async fn untag_resource(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        tags::untag(call).await
    }

    // Permissions, concurrency and everything else that is configured beside a function.
    async fn add_layer_version_permission(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::add_to_layer(call).await
    }
    async fn get_layer_version_policy(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::get_of_layer(call).await
    }
    async fn remove_layer_version_permission(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::remove_from_layer(call).await
    }
    async fn add_permission(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::add(call).await
    }
    async fn get_policy(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::get(call).await
    }
    async fn remove_permission(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::remove(call).await
    }
    async fn put_resource_policy(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::put_of_resource(call).await
    }
    async fn get_resource_policy(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::get_of_resource(call).await
    }
    async fn delete_resource_policy(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        policies::delete_of_resource(call).await
    }
    async fn put_function_concurrency(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::put(call).await
    }
    async fn get_function_concurrency(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::get(call).await
    }
    async fn delete_function_concurrency(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::delete(call).await
    }
    async fn put_provisioned_concurrency_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::put_provisioned(call).await
    }
    async fn get_provisioned_concurrency_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::get_provisioned(call).await
    }
    async fn list_provisioned_concurrency_configs(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::list_provisioned(call).await
    }
    async fn delete_provisioned_concurrency_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        concurrency::delete_provisioned(call).await
    }
    async fn put_function_event_invoke_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        event_invoke::put(call).await
    }
    async fn update_function_event_invoke_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        event_invoke::update(call).await
    }
    async fn get_function_event_invoke_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        event_invoke::get(call).await
    }
    async fn list_function_event_invoke_configs(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        event_invoke::list(call).await
    }
    async fn delete_function_event_invoke_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        event_invoke::delete(call).await
    }
    async fn create_function_url_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        urls::create(call).await
    }
    async fn get_function_url_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        urls::get(call).await
    }
    async fn update_function_url_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        urls::update(call).await
    }
    async fn list_function_url_configs(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        urls::list(call).await
    }
    async fn delete_function_url_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        urls::delete(call).await
    }
    async fn put_function_recursion_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        recursion::put(call).await
    }
    async fn get_function_recursion_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        recursion::get(call).await
    }
    async fn put_runtime_management_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        runtime_management::put(call).await
    }
    async fn get_runtime_management_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        runtime_management::get(call).await
    }
    async fn create_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::create(call).await
    }
    async fn get_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::get(call).await
    }
    async fn update_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::update(call).await
    }
    async fn delete_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::delete(call).await
    }
    async fn list_code_signing_configs(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::list(call).await
    }
    async fn list_functions_by_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::list_functions(call).await
    }
    async fn put_function_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::put_of_function(call).await
    }
    async fn get_function_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::get_of_function(call).await
    }
    async fn delete_function_code_signing_config(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        code_signing::delete_of_function(call).await
    }
    async fn create_event_source_mapping(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        mappings::create(call).await
    }
    async fn get_event_source_mapping(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        mappings::get(call).await
    }
    async fn list_event_source_mappings(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        mappings::list(call).await
    }
    async fn update_event_source_mapping(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        mappings::update(call).await
    }
    async fn delete_event_source_mapping(&self, call: Call<'_>) -> Result<Answer, AwsError> {
        mappings::delete(call).await
    }
}

/// Members that travel in path, query and headers.
fn located_members(found: &Found<'_>, query: &[(String, String)], headers: &HeaderMap) -> Map<String, Value> {
    let model = Model::get();
    let mut input = Map::new();
    let shape = found.operation.input.as_ref().and_then(|name| model.shapes.get(name));
    for (name, member) in shape.iter().flat_map(|shape| &shape.members) {
        let place = member.location_name.as_deref().unwrap_or(name);
        let kind = model.shapes.get(&member.shape).map_or("string", |shape| shape.kind.as_str());
        let texts: Vec<String> = match member.location.as_deref() {
            Some("uri") => found.path.get(place).cloned().into_iter().collect(),
            Some("querystring") => {
                query.iter().filter(|(key, _)| key == place).map(|(_, value)| value.clone()).collect()
            }
            Some("header") => headers
                .get(place)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
                .into_iter()
                .collect(),
            _ => continue,
        };
        if kind == "list" {
            if !texts.is_empty() {
                input.insert(name.clone(), texts.into());
            }
        } else if let Some(text) = texts.into_iter().next() {
            input.insert(name.clone(), typed(kind, text));
        }
    }
    input
}

fn typed(kind: &str, text: String) -> Value {
    match kind {
        "integer" | "long" => text.parse::<i64>().map_or(Value::String(text), Value::from),
        "boolean" => text.parse::<bool>().map_or(Value::String(text), Value::from),
        _ => Value::String(text),
    }
}

/// Takes the body in, the zip apart. All bodies have the limit of those with a zip; smaller ones
/// of other operations were not found.
async fn spooled(
    api: &Api,
    mut body: Body,
    operation: &str,
) -> Result<(Vec<u8>, Option<BlobWriter>), AwsError> {
    let too_large = || AwsError {
        style: super::error::Style::User,
        ..AwsError::user(
            413,
            "RequestEntityTooLargeException",
            format!(
                "Request must be smaller than {} bytes for the {operation} operation",
                limits::REQUEST_BYTES
            ),
        )
    };
    let mut spool = Spool::new(&api.cloud.store);
    let mut fault = None;
    let mut count = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| AwsError::user(400, "BadRequestException", error.to_string()))?;
        let Ok(piece) = frame.into_data() else { continue };
        count += piece.len() as u64;
        // Whatever is wrong, the body is read to its end, so that the client reads the answer.
        if fault.is_none() && count < limits::REQUEST_BYTES {
            fault = spool.write(&piece).err();
        }
    }
    if count >= limits::REQUEST_BYTES {
        return Err(too_large());
    }
    match fault {
        None => Ok(spool.finish()),
        Some(SpoolError::TooLarge) => Err(too_large()),
        Some(SpoolError::NotBase64) => Err(AwsError::user(
            400,
            "SerializationException",
            "The zip file in the request is not valid base64",
        )),
        Some(SpoolError::Store(error)) => Err(crate::service::LambdaError::Store(error).into()),
    }
}

fn add_body(input: &mut Map<String, Value>, text: &[u8]) -> Result<(), AwsError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => {
            for (name, value) in members {
                if !value.is_null() {
                    input.entry(name).or_insert(value);
                }
            }
            Ok(())
        }
        Ok(_) => {
            Err(AwsError::user(400, "InvalidRequestContentException", "The request body is not an object"))
        }
        Err(error) => Err(AwsError::user(
            400,
            "InvalidRequestContentException",
            format!("Could not parse request body into json: {error}"),
        )),
    }
}

fn check(found: &Found<'_>, input: &Map<String, Value>) -> Result<(), AwsError> {
    let Operation { input: Some(shape), .. } = found.operation else {
        return Ok(());
    };
    if let Some(fault) = types::fault(Model::get(), shape, input) {
        return Err(AwsError::user(400, "SerializationException", fault));
    }
    let violations = validate::violations(Model::get(), shape, input);
    if violations.is_empty() { Ok(()) } else { Err(AwsError::validation(validate::message(&violations))) }
}
