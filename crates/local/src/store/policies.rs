//! Resource-based policies of functions and layer versions.
//!
//! Owns where they are kept and that a policy and the revision of what it belongs to change
//! together. Never reads a statement.

use layercake_core::aws::LayerName;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ChangeError, Scope, SettingKind, SettingOwner, Store, StoreError, aliases, from_json,
    function_settings::{self, SettingPart},
    functions, to_json,
};

/// A policy of a layer version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerPolicyRecord {
    /// Another with every change.
    pub(crate) revision: String,
    /// `Version`, `Id` and `Statement`.
    pub(crate) document: Value,
}

/// A policy of a function, version or alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionPolicyRecord {
    /// `Version`, `Id` and `Statement`.
    pub(crate) document: Value,
}

/// A policy to change, and the revision of what it belongs to.
pub(crate) struct PolicyChange {
    /// The policy, when there is one.
    pub(crate) document: Option<Value>,
    /// The revision before the change.
    pub(crate) revision: String,
}

impl Store {
    /// The policy of a layer version.
    pub(crate) fn layer_policy(
        &self,
        scope: &Scope,
        name: &LayerName,
        version: u64,
    ) -> Result<Option<LayerPolicyRecord>, StoreError> {
        self.read(|connection| layer_policy(connection, scope, name, version))
    }

    /// Changes, makes or removes the policy of a layer version as one step.
    ///
    /// # Errors
    /// [`ChangeError::NoSuchFunction`] when the layer version is gone.
    pub(crate) fn change_layer_policy<R, E>(
        &self,
        scope: &Scope,
        name: &LayerName,
        version: u64,
        change: impl FnOnce(Option<LayerPolicyRecord>) -> Result<(Option<LayerPolicyRecord>, R), E>,
    ) -> Result<R, ChangeError<E>> {
        self.write(|transaction| {
            let (account, region) = (scope.account.as_str(), scope.region.as_str());
            let key = params![account, region, name.as_str(), version as i64];
            let there = transaction
                .prepare_cached(
                    "SELECT 1 FROM layer_versions
                     WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
                )?
                .exists(key)?;
            if !there {
                return Ok(Err(ChangeError::NoSuchFunction));
            }
            let found = layer_policy(transaction, scope, name, version)?;
            let (value, result) = match change(found) {
                Ok(changed) => changed,
                Err(refusal) => return Ok(Err(ChangeError::Refused(refusal))),
            };
            match value {
                Some(value) => transaction.execute(
                    "INSERT INTO layer_policies VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET record = excluded.record",
                    params![account, region, name.as_str(), version as i64, to_json(&value)?],
                )?,
                None => forget_layer_policy(transaction, scope, name, version)?,
            };
            Ok(Ok(result))
        })?
    }

    /// Changes, makes or removes the policy of a function as one step, and gives the function the
    /// revision `next`: AWS's revision of a policy is that of what it belongs to.
    pub(crate) fn change_function_policy<E>(
        &self,
        scope: &Scope,
        owner: &SettingOwner,
        next: &str,
        change: impl FnOnce(PolicyChange) -> Result<Option<Value>, E>,
    ) -> Result<(), ChangeError<E>> {
        self.write(|transaction| {
            let Some(revision) = revision_of(transaction, scope, owner)? else {
                return Ok(Err(ChangeError::NoSuchFunction));
            };
            let found: Option<FunctionPolicyRecord> =
                function_settings::one(transaction, scope, SettingKind::Policy, owner)?;
            let document = found.map(|found| found.document);
            let record = match change(PolicyChange { document, revision }) {
                Ok(document) => document.map(|document| FunctionPolicyRecord { document }),
                Err(refusal) => return Ok(Err(ChangeError::Refused(refusal))),
            };
            function_settings::keep(transaction, scope, SettingKind::Policy, owner, record.as_ref())?;
            set_revision(transaction, scope, owner, next)?;
            Ok(Ok(()))
        })?
    }
}

fn layer_policy(
    connection: &rusqlite::Connection,
    scope: &Scope,
    name: &LayerName,
    version: u64,
) -> Result<Option<LayerPolicyRecord>, StoreError> {
    connection
        .prepare_cached(
            "SELECT record FROM layer_policies
             WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
        )?
        .query_row(
            params![scope.account.as_str(), scope.region.as_str(), name.as_str(), version as i64],
            |row| row.get::<_, String>(0),
        )
        .optional()?
        .map(|record| from_json(&record, &format!("policy of layer `{name}`")))
        .transpose()
}

/// Forgets the policy of a layer version.
pub(super) fn forget_layer_policy(
    transaction: &Transaction<'_>,
    scope: &Scope,
    name: &LayerName,
    version: u64,
) -> Result<usize, StoreError> {
    Ok(transaction.execute(
        "DELETE FROM layer_policies WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
        params![scope.account.as_str(), scope.region.as_str(), name.as_str(), version as i64],
    )?)
}

/// The revision of what has a policy; none when that is not there.
fn revision_of(
    transaction: &Transaction<'_>,
    scope: &Scope,
    owner: &SettingOwner,
) -> Result<Option<String>, StoreError> {
    let function = &owner.function;
    Ok(match owner.part() {
        SettingPart::Version(version) => {
            functions::find(transaction, scope, function, version)?.map(|record| record.revision)
        }
        SettingPart::Alias(alias) => {
            aliases::one(transaction, scope, function, alias)?.map(|record| record.revision)
        }
    })
}

fn set_revision(
    transaction: &Transaction<'_>,
    scope: &Scope,
    owner: &SettingOwner,
    revision: &str,
) -> Result<(), StoreError> {
    let function = &owner.function;
    match owner.part() {
        SettingPart::Version(version) => {
            if let Some(mut record) = functions::find(transaction, scope, function, version)? {
                revision.clone_into(&mut record.revision);
                functions::replace(transaction, scope, &record)?;
            }
        }
        SettingPart::Alias(alias) => {
            if let Some(mut record) = aliases::one(transaction, scope, function, alias)? {
                revision.clone_into(&mut record.revision);
                aliases::replace(transaction, scope, function, &record)?;
            }
        }
    }
    Ok(())
}
