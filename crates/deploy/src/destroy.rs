//! Undoing exactly what a journal says was made, newest first.
//!
//! Safe to run twice and after a crash at any point: what is gone already counts as undone, and a
//! step that was only intended is looked for by name and token. Never removes what does not carry
//! the journal's token.

use std::time::{Duration, Instant};

use aws_sdk_lambda::types::LayerVersionsListItem;
use layercake_core::{
    aws::{FunctionName, LayerName, RoleName},
    journal::{Resource, Stage, Step},
};

use crate::{
    code::{absent_is_fine, delete_bucket, delete_object},
    destination::Endpoint,
    error::DeployError,
    function::{Patience, carries_token, find},
    invoke::{log_group_exists, log_group_token},
    journal::JournalFile,
    layer::token_mark,
    role::find_role,
};

/// How often something is looked for that may still come.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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

/// Undoes every step of the journal that can be undone; `tell` hears of each. When all could, the
/// journal is empty afterwards.
///
/// # Errors
/// The first [`DeployError`]; the journal then still holds every step that is not undone.
pub async fn destroy(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    mut tell: impl FnMut(&Step, Undone),
) -> Result<(), DeployError> {
    let undoing = Undoing {
        endpoint,
        token: journal.journal().opening.token.clone(),
        settled: Instant::now() + endpoint.settling,
    };
    let mut first_error = None;
    for step in journal.journal().cleanup() {
        let outcome = match undoing.undo_settled(&step).await {
            Ok(outcome) => outcome,
            Err(error) => {
                first_error.get_or_insert(error);
                continue;
            }
        };
        tell(&step, outcome);
        if outcome == Undone::NotOurs && step.stage == Stage::Created {
            // We made it, so it must not be forgotten.
            first_error.get_or_insert(DeployError::MarkLost { resource: step.resource });
            continue;
        }
        journal.undone(step.number)?;
    }
    first_error.map_or(Ok(()), Err)
}

struct Undoing<'a> {
    endpoint: &'a Endpoint,
    token: String,
    /// From then on, what is not there will not come any more.
    settled: Instant,
}

impl Undoing<'_> {
    /// Undoes a step. What is not there is looked for again while a request whose answer never
    /// came may still take effect, and while a new role may not be known everywhere.
    async fn undo_settled(&self, step: &Step) -> Result<Undone, DeployError> {
        let may_come = step.stage == Stage::Intended || matches!(step.resource, Resource::Role { .. });
        loop {
            let outcome = self.undo(&step.resource, step.stage).await?;
            if outcome != Undone::WasGone || !may_come || Instant::now() >= self.settled {
                return Ok(outcome);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn undo(&self, resource: &Resource, stage: Stage) -> Result<Undone, DeployError> {
        let endpoint = self.endpoint;
        match resource {
            Resource::Role { name } => self.undo_role(name).await,
            Resource::RolePolicy { role, policy } => {
                let members = [("RoleName", role.as_str()), ("PolicyArn", policy.as_str())];
                match find_role(endpoint, role).await? {
                    None => Ok(Undone::WasGone),
                    Some(found) if found.token.as_deref() != Some(self.token.as_str()) => Ok(Undone::NotOurs),
                    Some(_) => removed(endpoint.signed.iam("DetachRolePolicy", &members).await.map(drop)),
                }
            }
            // The name holds the token, so nobody else's bucket can have it.
            Resource::Bucket { name } => removed(delete_bucket(endpoint, name).await),
            Resource::Object { bucket, key } => removed(delete_object(endpoint, bucket, key).await),
            Resource::LayerVersion { layer, version: Some(version), .. } => {
                // Numbers are never reused (FACTS.md §3), so this one is surely ours.
                delete_layer_version(endpoint, layer, *version).await.map(|()| Undone::Removed)
            }
            Resource::LayerVersion { layer, version: None, .. } => self.undo_unnumbered_version(layer).await,
            Resource::Function { name } => self.undo_function(name).await,
            Resource::LogGroup { name } => self.undo_log_group(name, stage).await,
        }
    }

    async fn undo_role(&self, name: &RoleName) -> Result<Undone, DeployError> {
        match find_role(self.endpoint, name).await? {
            None => return Ok(Undone::WasGone),
            Some(found) if found.token.as_deref() != Some(self.token.as_str()) => return Ok(Undone::NotOurs),
            Some(_) => {}
        }
        let mut patience = Patience::new("DeleteRole", BUSY_SECONDS);
        loop {
            let answer =
                self.endpoint.signed.iam("DeleteRole", &[("RoleName", name.as_str())]).await.map(drop);
            match answer {
                // A detached policy may not be known to be detached everywhere yet.
                Err(error) if error.is_conflict() => patience.wait().await?,
                other => return removed(other),
            }
        }
    }

    async fn undo_function(&self, name: &FunctionName) -> Result<Undone, DeployError> {
        match find(self.endpoint, name).await? {
            None => return Ok(Undone::WasGone),
            Some(found) if !carries_token(name, &found, &self.token)? => return Ok(Undone::NotOurs),
            Some(_) => {}
        }
        let mut patience = Patience::new("DeleteFunction", BUSY_SECONDS);
        loop {
            let answer = self.endpoint.lambda.delete_function().function_name(name.as_str()).send().await;
            match answer.map(drop).map_err(|error| DeployError::of("DeleteFunction", error)) {
                Err(error) if error.is_conflict() => patience.wait().await?,
                other => return removed(other),
            }
        }
    }

    /// A group that was surely made by us is ours by its record; one that may have been, by its
    /// tag.
    async fn undo_log_group(&self, name: &str, stage: Stage) -> Result<Undone, DeployError> {
        if stage == Stage::Intended {
            if !log_group_exists(self.endpoint, name).await? {
                return Ok(Undone::WasGone);
            }
            if log_group_token(self.endpoint, name).await?.as_deref() != Some(self.token.as_str()) {
                return Ok(Undone::NotOurs);
            }
        }
        let input = serde_json::json!({ "logGroupName": name });
        removed(self.endpoint.signed.logs("DeleteLogGroup", &input).await.map(drop))
    }

    /// Publishing was cut off before its answer was recorded: finds the versions by the token in
    /// their description.
    async fn undo_unnumbered_version(&self, layer: &LayerName) -> Result<Undone, DeployError> {
        let mark = token_mark(&self.token);
        let mut pages =
            self.endpoint.lambda.list_layer_versions().layer_name(layer.as_str()).into_paginator().send();
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
                page.layer_versions()
                    .iter()
                    .filter(ours)
                    .filter_map(|item| u64::try_from(item.version()).ok()),
            );
        }
        for &version in &versions {
            delete_layer_version(self.endpoint, layer, version).await?;
        }
        Ok(if versions.is_empty() { Undone::WasGone } else { Undone::Removed })
    }
}

fn removed(answer: Result<(), DeployError>) -> Result<Undone, DeployError> {
    match answer {
        Ok(()) => Ok(Undone::Removed),
        Err(error) if error.is_absent() => Ok(Undone::WasGone),
        Err(error) => Err(error),
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
