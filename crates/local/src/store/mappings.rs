//! Event source mappings.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Scope, Store, StoreError, from_json, to_json};

/// What is being done to a mapping, or was done last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MappingAction {
    /// It is new.
    Creating,
    /// It is switched on.
    Enabling,
    /// It is switched off.
    Disabling,
    /// Something else of it changes.
    Updating,
    /// It goes.
    Deleting,
}

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MappingRecord {
    /// Its name.
    pub(crate) uuid: String,
    /// The function's ARN, qualified as the caller did.
    pub(crate) function_arn: String,
    /// None for a self-managed source.
    pub(crate) source: Option<String>,
    /// Whether it shall read.
    pub(crate) enabled: bool,
    /// What was done last.
    pub(crate) action: MappingAction,
    /// When, in milliseconds since 1970.
    pub(crate) changed: i64,
    /// The other members, by their name in the API, as an answer has them.
    pub(crate) members: Map<String, Value>,
    /// As given.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// Why a mapping was not changed.
#[derive(Debug)]
pub(crate) enum MappingChangeError<E> {
    /// There is no such mapping.
    NoSuchMapping,
    /// The one who wanted the change thought better of it.
    Refused(E),
    /// The store failed.
    Store(StoreError),
}

impl<E> From<StoreError> for MappingChangeError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// Remembers a new mapping unless `check`, which sees all there are, refuses.
    pub(crate) fn create_mapping<E: From<StoreError>>(
        &self,
        scope: &Scope,
        record: &MappingRecord,
        check: impl FnOnce(&[MappingRecord]) -> Result<(), E>,
    ) -> Result<(), E> {
        let created = self.write(|transaction| {
            if let Err(refusal) = check(&mappings(transaction, scope)?) {
                return Ok(Err(refusal));
            }
            transaction.execute(
                "INSERT INTO event_source_mappings VALUES (?1, ?2, ?3, ?4)",
                params![scope.account.as_str(), scope.region.as_str(), record.uuid, to_json(record)?],
            )?;
            Ok(Ok(()))
        });
        created?
    }

    /// One mapping.
    pub(crate) fn mapping(&self, scope: &Scope, uuid: &str) -> Result<Option<MappingRecord>, StoreError> {
        self.read(|connection| mapping(connection, scope, uuid))
    }

    /// All mappings, by name.
    pub(crate) fn mappings(&self, scope: &Scope) -> Result<Vec<MappingRecord>, StoreError> {
        self.read(|connection| mappings(connection, scope))
    }

    /// Changes a mapping as one step.
    pub(crate) fn change_mapping<E>(
        &self,
        scope: &Scope,
        uuid: &str,
        change: impl FnOnce(&mut MappingRecord) -> Result<(), E>,
    ) -> Result<MappingRecord, MappingChangeError<E>> {
        self.write(|transaction| {
            let Some(mut record) = mapping(transaction, scope, uuid)? else {
                return Ok(Err(MappingChangeError::NoSuchMapping));
            };
            if let Err(refusal) = change(&mut record) {
                return Ok(Err(MappingChangeError::Refused(refusal)));
            }
            transaction.execute(
                "UPDATE event_source_mappings SET record = ?4
                 WHERE account = ?1 AND region = ?2 AND uuid = ?3",
                params![scope.account.as_str(), scope.region.as_str(), uuid, to_json(&record)?],
            )?;
            Ok(Ok(record))
        })?
    }

    /// Forgets mappings.
    pub(crate) fn forget_mappings(&self, scope: &Scope, uuids: &[String]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for uuid in uuids {
                transaction.execute(
                    "DELETE FROM event_source_mappings WHERE account = ?1 AND region = ?2 AND uuid = ?3",
                    params![scope.account.as_str(), scope.region.as_str(), uuid],
                )?;
            }
            Ok(())
        })
    }
}

fn mapping(connection: &Connection, scope: &Scope, uuid: &str) -> Result<Option<MappingRecord>, StoreError> {
    connection
        .prepare_cached(
            "SELECT record FROM event_source_mappings WHERE account = ?1 AND region = ?2 AND uuid = ?3",
        )?
        .query_row(params![scope.account.as_str(), scope.region.as_str(), uuid], |row| {
            row.get::<_, String>(0)
        })
        .optional()?
        .map(|record| from_json(&record, &format!("event source mapping `{uuid}`")))
        .transpose()
}

fn mappings(connection: &Connection, scope: &Scope) -> Result<Vec<MappingRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT record FROM event_source_mappings WHERE account = ?1 AND region = ?2 ORDER BY uuid",
    )?;
    let rows = statement
        .query_map(params![scope.account.as_str(), scope.region.as_str()], |row| row.get::<_, String>(0))?;
    rows.map(|row| from_json(&row?, "an event source mapping")).collect()
}
