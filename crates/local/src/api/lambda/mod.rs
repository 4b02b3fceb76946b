//! Lambda's REST-JSON protocol: a request becomes an operation with valid, typed input; an
//! answer or an error becomes JSON.

mod errors;
pub(super) use errors::with_causes;
mod functions;
mod invoke;
mod layers;
mod tags;
mod wire;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, request::Parts},
    response::Response,
};
use http_body_util::BodyExt as _;
use layercake_core::limits;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Api, AwsError, answer,
    location::Links,
    model::{Found, Model, Operation},
    read_body,
    spool::{Spool, SpoolError},
    validate,
};
use crate::{
    service::Source,
    store::{BlobWriter, Scope},
};

/// A request that the model knows, read and checked against it.
struct Call<'a> {
    api: &'a Api,
    scope: Scope,
    request_id: &'a str,
    /// Where the client reached us.
    endpoint: Links,
    headers: HeaderMap,
    input: Map<String, Value>,
    zip: Option<BlobWriter>,
}

impl Call<'_> {
    /// The input as the operation's own type. The model has been checked, so only a member of
    /// another JSON type than it should have can fail here.
    fn input<T: DeserializeOwned>(&mut self) -> Result<T, AwsError> {
        serde_json::from_value(Value::Object(std::mem::take(&mut self.input)))
            .map_err(|error| AwsError::user(400, "SerializationException", error.to_string()))
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
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let Some(found) = Model::get().find(parts.method.as_str(), parts.uri.path(), &query) else {
        let message = "Unable to determine service/operation name to be authorized";
        return AwsError::user(403, "AccessDeniedException", message).rest_json(request_id);
    };
    let code = found.operation.code;
    match perform(api, scope, &parts, body, request_id, &found, &query).await {
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

async fn perform(
    api: &Api,
    scope: Scope,
    parts: &Parts,
    body: Body,
    request_id: &str,
    found: &Found<'_>,
    query: &[(String, String)],
) -> Result<Answer, AwsError> {
    let mut call = Call {
        api,
        scope,
        request_id,
        endpoint: Links::new(api, parts),
        headers: parts.headers.clone(),
        input: located_members(found, query, &parts.headers),
        zip: None,
    };
    if found.name == "Invoke" {
        check(found, &call.input)?;
        return invoke::invoke(call, body).await;
    }
    let (text, zip) = spooled(api, body, found.name).await?;
    call.zip = zip;
    add_body(&mut call.input, &text)?;
    check(found, &call.input)?;
    match found.name {
        "PublishLayerVersion" => layers::publish(call).await,
        "GetLayerVersion" => layers::get(call).await,
        "GetLayerVersionByArn" => layers::get_by_arn(call).await,
        "ListLayers" => layers::list(call).await,
        "ListLayerVersions" => layers::list_versions(call).await,
        "DeleteLayerVersion" => layers::delete(call).await,
        "CreateFunction" => functions::create(call).await,
        "GetFunction" => functions::get(call).await,
        "GetFunctionConfiguration" => functions::get_configuration(call).await,
        "UpdateFunctionCode" => functions::update_code(call).await,
        "UpdateFunctionConfiguration" => functions::update_configuration(call).await,
        "ListFunctions" => functions::list(call).await,
        "DeleteFunction" => functions::delete(call).await,
        "ListTags" => tags::list(call).await,
        "TagResource" => tags::tag(call).await,
        "UntagResource" => tags::untag(call).await,
        other => Err(AwsError::not_built(format!("The local cloud does not implement {other} yet"))),
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
    let violations = validate::violations(Model::get(), shape, input);
    if violations.is_empty() { Ok(()) } else { Err(AwsError::validation(validate::message(&violations))) }
}
