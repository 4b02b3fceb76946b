//! The alias operations on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Answer, AwsError, Call, functions::LIST_ITEMS, layers::listed, wire};
use crate::service::{AliasChanges, FunctionRef};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AliasRequest {
    function_name: String,
    #[serde(default)]
    name: String,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<RoutingConfig>,
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingConfig {
    #[serde(default)]
    additional_version_weights: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    function_name: String,
    function_version: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl AliasRequest {
    fn changes(self) -> AliasChanges {
        AliasChanges {
            version: self.function_version.as_deref().map(version),
            description: self.description,
            weights: self.routing_config.map(|config| {
                let weights = config.additional_version_weights.into_iter();
                weights.map(|(version, weight)| (number(&version), weight)).collect()
            }),
            revision: self.revision_id,
        }
    }
}

/// A version as the model lets it through: digits or `$LATEST`.
fn version(text: &str) -> Option<u64> {
    // Managed instances alone have `$LATEST.PUBLISHED`; for others it is a version that is not there.
    if text == "$LATEST" { None } else { Some(number(text)) }
}

/// The number of a version. One that no number can hold is of no version, and neither is 0.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn answer(call: &Call<'_>, function: &FunctionRef, record: &crate::store::AliasRecord) -> Answer {
    Answer::Json(wire::alias(&call.scope, function, record))
}

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut request: AliasRequest = call.input()?;
    let function = call.unqualified_function(&request.function_name)?;
    let name = std::mem::take(&mut request.name);
    let changes = request.changes();
    let record = call.api.cloud.create_alias(call.scope.clone(), function.clone(), name, changes).await?;
    Ok(answer(&call, &function, &record))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: AliasRequest = call.input()?;
    let function = call.unqualified_function(&request.function_name)?;
    let record = call.api.cloud.alias(call.scope.clone(), function.clone(), request.name).await?;
    Ok(answer(&call, &function, &record))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let mut request: AliasRequest = call.input()?;
    let function = call.unqualified_function(&request.function_name)?;
    let name = std::mem::take(&mut request.name);
    let changes = request.changes();
    let record = call.api.cloud.update_alias(call.scope.clone(), function.clone(), name, changes).await?;
    Ok(answer(&call, &function, &record))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: AliasRequest = call.input()?;
    let function = call.unqualified_function(&request.function_name)?;
    call.api.cloud.delete_alias(call.scope.clone(), function, request.name).await?;
    Ok(Answer::Empty(204))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ListRequest = call.input()?;
    let function = call.unqualified_function(&request.function_name)?;
    let limit = request.max_items.unwrap_or(LIST_ITEMS);
    let only = request.function_version.as_deref().map(version);
    let page =
        call.api.cloud.aliases(call.scope.clone(), function.clone(), only, request.marker, limit).await?;
    let aliases: Vec<_> =
        page.aliases.iter().map(|record| wire::alias(&call.scope, &function, record)).collect();
    Ok(listed("Aliases", aliases.into(), page.next))
}
