//! The operations on published versions on the wire.

use serde::Deserialize;

use super::{Answer, AwsError, Call, functions::LIST_ITEMS, layers::listed, wire};
use crate::service::{FunctionRef, NewVersion, Qualifier};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublishRequest {
    function_name: String,
    description: Option<String>,
    code_sha256: Option<String>,
    revision_id: Option<String>,
    publish_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    function_name: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

pub(super) async fn publish(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: PublishRequest = call.input()?;
    if request.publish_to.is_some() {
        return Err(AwsError::not_built("The local cloud does not implement PublishTo yet"));
    }
    let function = call.unqualified_function(&request.function_name)?;
    // Clients send an empty text where they have nothing to say.
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let new = NewVersion {
        description: said(request.description),
        code_sha256: said(request.code_sha256),
        revision: request.revision_id,
    };
    let record = call.api.cloud.publish_version(call.scope.clone(), function.clone(), new).await?;
    let qualifier = record.version.map(Qualifier::Version);
    let arn = FunctionRef { qualifier, ..function }.arn(&call.scope);
    Ok(Answer::Json(wire::configuration(&call.scope, &record, &arn)))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: ListRequest = call.input()?;
    let function = call.function(&request.function_name, None)?;
    let limit = request.max_items.unwrap_or(LIST_ITEMS).min(LIST_ITEMS);
    let page =
        call.api.cloud.function_versions(call.scope.clone(), function.clone(), request.marker, limit).await?;
    let versions: Vec<_> = page
        .functions
        .iter()
        .map(|record| {
            let qualifier = Some(record.version.map_or(Qualifier::Latest, Qualifier::Version));
            let arn = FunctionRef { name: function.name.clone(), qualifier }.arn(&call.scope);
            wire::listed_configuration(&call.scope, record, &arn)
        })
        .collect();
    Ok(listed("Versions", versions.into(), page.next))
}
