//! Undoing exactly what a journal says was made, newest first.
//!
//! Safe to run twice and after a crash at any point: what is gone already counts as undone, and a
//! step that was only intended is looked for by name and token. Never removes what does not carry
//! the journal's token.

use aws_sdk_lambda::types::LayerVersionsListItem;
use layercake_core::{
    aws::{FunctionName, LayerName, RoleName},
    journal::{Resource, Step},
};

use crate::{
    code::{absent_is_fine, delete_bucket, delete_object},
    destination::Endpoint,
    error::DeployError,
    function::{Patience, carries_token, find},
    journal::JournalFile,
    layer::token_mark,
    role::find_role,
};

/// How long a function may refuse to be deleted because it is being created or updated, in s.
const BUSY_SECONDS: u64 = 120;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It was there and has been removed.
    Removed,
    /// It was not there.
    WasGone,
    /// Something of that name is there that this journal did not make; it stays.
    NotOurs,
}

/// Undoes every step of the journal; `tell` hears of each. The journal is empty afterwards.
///
/// # Errors
/// [`DeployError`] at the first step that cannot be undone; the journal then still holds it and
/// all older ones.
pub async fn destroy(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    mut tell: impl FnMut(&Step, Undone),
) -> Result<(), DeployError> {
    let token = journal.journal().opening.token.clone();
    for step in journal.journal().cleanup() {
        let outcome = undo(endpoint, &step.resource, &token).await?;
        journal.undone(step.number)?;
        tell(&step, outcome);
    }
    Ok(())
}

async fn undo(endpoint: &Endpoint, resource: &Resource, token: &str) -> Result<Undone, DeployError> {
    match resource {
        Resource::Role { name } => undo_role(endpoint, name, token).await,
        Resource::RolePolicy { role, policy } => {
            let members = [("RoleName", role.as_str()), ("PolicyArn", policy.as_str())];
            match find_role(endpoint, role).await? {
                None => Ok(Undone::WasGone),
                Some(found) if found.token.as_deref() != Some(token) => Ok(Undone::NotOurs),
                Some(_) => removed(endpoint.signed.iam("DetachRolePolicy", &members).await.map(drop)),
            }
        }
        // The name holds the token, so nobody else's bucket can have it.
        Resource::Bucket { name } => delete_bucket(endpoint, name).await.map(|()| Undone::Removed),
        Resource::Object { bucket, key } => {
            delete_object(endpoint, bucket, key).await.map(|()| Undone::Removed)
        }
        Resource::LayerVersion { layer, version: Some(version), .. } => {
            // Numbers are never reused (FACTS.md §3), so this one is surely ours.
            delete_layer_version(endpoint, layer, *version).await.map(|()| Undone::Removed)
        }
        Resource::LayerVersion { layer, version: None, .. } => {
            undo_unnumbered_version(endpoint, layer, token).await
        }
        Resource::Function { name } => undo_function(endpoint, name, token).await,
        Resource::LogGroup { name } => {
            let input = serde_json::json!({ "logGroupName": name });
            removed(endpoint.signed.logs("DeleteLogGroup", &input).await.map(drop))
        }
    }
}

fn removed(answer: Result<(), DeployError>) -> Result<Undone, DeployError> {
    match answer {
        Ok(()) => Ok(Undone::Removed),
        Err(error) if error.is_absent() => Ok(Undone::WasGone),
        Err(error) => Err(error),
    }
}

async fn undo_role(endpoint: &Endpoint, name: &RoleName, token: &str) -> Result<Undone, DeployError> {
    match find_role(endpoint, name).await? {
        None => Ok(Undone::WasGone),
        Some(found) if found.token.as_deref() != Some(token) => Ok(Undone::NotOurs),
        Some(_) => removed(endpoint.signed.iam("DeleteRole", &[("RoleName", name.as_str())]).await.map(drop)),
    }
}

async fn undo_function(endpoint: &Endpoint, name: &FunctionName, token: &str) -> Result<Undone, DeployError> {
    match find(endpoint, name).await? {
        None => return Ok(Undone::WasGone),
        Some(found) if !carries_token(&found, token) => return Ok(Undone::NotOurs),
        Some(_) => {}
    }
    let mut patience = Patience::new("DeleteFunction", BUSY_SECONDS);
    loop {
        let answer = endpoint.lambda.delete_function().function_name(name.as_str()).send().await;
        match answer.map(drop).map_err(|error| DeployError::of("DeleteFunction", error)) {
            Err(error) if error.is_conflict() => patience.wait().await?,
            other => return removed(other),
        }
    }
}

async fn delete_layer_version(
    endpoint: &Endpoint,
    layer: &LayerName,
    version: u64,
) -> Result<(), DeployError> {
    let number = i64::try_from(version).unwrap_or(i64::MAX);
    let answer =
        endpoint.lambda.delete_layer_version().layer_name(layer.as_str()).version_number(number).send().await;
    absent_is_fine(answer.map(drop).map_err(|error| DeployError::of("DeleteLayerVersion", error)))
}

/// Publishing was cut off before its answer was recorded: finds the versions by the token in
/// their description.
async fn undo_unnumbered_version(
    endpoint: &Endpoint,
    layer: &LayerName,
    token: &str,
) -> Result<Undone, DeployError> {
    let mark = token_mark(token);
    let mut pages = endpoint.lambda.list_layer_versions().layer_name(layer.as_str()).into_paginator().send();
    let mut versions: Vec<u64> = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page.map_err(|error| DeployError::of("ListLayerVersions", error)) {
            Ok(page) => page,
            Err(error) if error.is_absent() => return Ok(Undone::WasGone),
            Err(error) => return Err(error),
        };
        let ours =
            |item: &&LayerVersionsListItem| item.description().is_some_and(|text| text.ends_with(&mark));
        versions.extend(
            page.layer_versions().iter().filter(ours).filter_map(|item| u64::try_from(item.version()).ok()),
        );
    }
    for &version in &versions {
        delete_layer_version(endpoint, layer, version).await?;
    }
    Ok(if versions.is_empty() { Undone::WasGone } else { Undone::Removed })
}
