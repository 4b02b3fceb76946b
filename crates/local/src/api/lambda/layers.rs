//! The layer operations on the wire.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, AwsError, Call, answer, wire};
use crate::{
    service::{LambdaError, LayerQuestion, NewLayer},
    store::LayerFilter,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublishRequest {
    layer_name: String,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    description: String,
    license_info: Option<String>,
    compatible_runtimes: Option<Vec<String>>,
    compatible_architectures: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Content {
    #[serde(rename = "S3Bucket")]
    bucket: Option<String>,
    #[serde(rename = "S3Key")]
    key: Option<String>,
    #[serde(rename = "S3ObjectVersion")]
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionRequest {
    layer_name: String,
    version_number: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ArnRequest {
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    layer_name: Option<String>,
    compatible_runtime: Option<String>,
    compatible_architecture: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl ListRequest {
    fn filter(&mut self) -> LayerFilter {
        LayerFilter {
            runtime: self.compatible_runtime.take(),
            architecture: self.compatible_architecture.take(),
        }
    }

    fn limit(&self) -> usize {
        self.max_items.unwrap_or(50).min(50)
    }
}

pub(super) async fn publish(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: PublishRequest = call.input()?;
    let layer = NewLayer {
        name: wire::layer_name(&call.scope, &request.layer_name)?,
        source: call.source(request.content.bucket, request.content.key, request.content.version)?,
        description: request.description,
        license: request.license_info,
        runtimes: request.compatible_runtimes,
        architectures: request.compatible_architectures,
    };
    let record = call.api.cloud.publish_layer_version(call.scope.clone(), layer).await?;
    Ok(Answer::Json(wire::layer_version_with_content(&call.scope, &record, &call.endpoint)))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: VersionRequest = call.input()?;
    answer_version(&call, &request.layer_name, request.version_number).await
}

pub(super) async fn get_by_arn(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ArnRequest = call.input()?;
    let (layer, version) = request.arn.rsplit_once(':').ok_or(LambdaError::NoSuchLayerVersion)?;
    let version = version.parse().map_err(|_| LambdaError::NoSuchLayerVersion)?;
    answer_version(&call, layer, version).await
}

/// One version of a layer, which may be another account's.
async fn answer_version(call: &Call<'_>, layer: &str, version: i64) -> Result<Answer, AwsError> {
    let (owner, name) = wire::layer_place(&call.scope, layer)?;
    let record = call.api.cloud.permitted_layer_version(&call.scope, owner.clone(), name, version).await?;
    Ok(Answer::Json(wire::layer_version_with_content(&owner, &record, &call.endpoint)))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut request: ListRequest = call.input()?;
    let (filter, limit) = (request.filter(), request.limit());
    let (cloud, scope) = (&call.api.cloud, &call.scope);
    let question = LayerQuestion { scope: scope.clone(), filter, marker: request.marker, limit };
    // From before the layers are read, so that a change meanwhile is not missed.
    let generation = cloud.store.layer_generation();
    let text = match cloud.layer_pages.find(generation, &question) {
        Some(text) => text,
        None => {
            let LayerQuestion { filter, marker, .. } = question.clone();
            let page = cloud.layers(scope.clone(), filter, marker, limit).await?;
            let layers = page.versions.iter().map(|record| {
                json!({
                    "LayerName": record.name,
                    "LayerArn": wire::layer_arn(scope, &record.name),
                    "LatestMatchingVersion": wire::layer_version(scope, record),
                })
            });
            let text = Bytes::from(page_of("Layers", layers.collect(), page.next).to_string());
            cloud.layer_pages.keep(generation, question, &text);
            text
        }
    };
    Ok(Answer::Response(Box::new(answer(200, "application/json", text, call.request_id))))
}

pub(super) async fn list_versions(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut request: ListRequest = call.input()?;
    let (filter, limit) = (request.filter(), request.limit());
    let name = wire::layer_name(&call.scope, request.layer_name.as_deref().unwrap_or_default())?;
    let page = call.api.cloud.layer_versions(call.scope.clone(), name, filter, request.marker, limit).await?;
    let versions: Vec<_> =
        page.versions.iter().map(|record| wire::layer_version(&call.scope, record)).collect();
    Ok(listed("LayerVersions", versions.into(), page.next))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: VersionRequest = call.input()?;
    let name = wire::layer_name(&call.scope, &request.layer_name)?;
    call.api.cloud.delete_layer_version(call.scope.clone(), name, request.version_number).await?;
    Ok(Answer::Empty(204))
}

/// A list and, when there is more, where to go on.
pub(super) fn listed(key: &str, items: Value, next: Option<String>) -> Answer {
    Answer::Json(page_of(key, items, next))
}

fn page_of(key: &str, items: Value, next: Option<String>) -> Value {
    let mut page = Map::new();
    page.insert(key.to_owned(), items);
    if let Some(next) = next {
        page.insert("NextMarker".to_owned(), next.into());
    }
    Value::Object(page)
}
