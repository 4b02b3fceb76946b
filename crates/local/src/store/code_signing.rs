//! Code signing configurations. Which function has which is kept with the function's settings.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Scope, Store, StoreError, from_json, to_json};

/// A code signing configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeSigningRecord {
    /// `csc-` and 17 letters and digits.
    pub(crate) id: String,
    /// As given.
    pub(crate) description: Option<String>,
    /// As given: `SigningProfileVersionArns`.
    pub(crate) publishers: Value,
    /// `Warn` or `Enforce`.
    pub(crate) untrusted: String,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
    /// As given.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

impl Store {
    /// Remembers a new configuration.
    pub(crate) fn create_code_signing(
        &self,
        scope: &Scope,
        record: &CodeSigningRecord,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO code_signing_configs VALUES (?1, ?2, ?3, ?4)",
                params![scope.account.as_str(), scope.region.as_str(), record.id, to_json(record)?],
            )?;
            Ok(())
        })
    }

    /// One configuration.
    pub(crate) fn code_signing(
        &self,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<CodeSigningRecord>, StoreError> {
        self.read(|connection| find(connection, scope, id))
    }

    /// Configurations by id, from behind the id `after`.
    pub(crate) fn code_signings(
        &self,
        scope: &Scope,
        after: &str,
        limit: usize,
    ) -> Result<Vec<CodeSigningRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM code_signing_configs WHERE account = ?1 AND region = ?2 AND id > ?3
                 ORDER BY id LIMIT ?4",
            )?;
            let rows = statement.query_map(
                params![scope.account.as_str(), scope.region.as_str(), after, limit as i64],
                |row| row.get::<_, String>(0),
            )?;
            rows.map(|row| from_json(&row?, "a code signing configuration")).collect()
        })
    }

    /// Changes a configuration as one step; none when there is no such.
    pub(crate) fn change_code_signing<E: From<StoreError>>(
        &self,
        scope: &Scope,
        id: &str,
        change: impl FnOnce(&mut CodeSigningRecord) -> Result<(), E>,
    ) -> Result<Option<CodeSigningRecord>, E> {
        let changed = self.write(|transaction| {
            let Some(mut record) = find(transaction, scope, id)? else {
                return Ok(Ok(None));
            };
            if let Err(refusal) = change(&mut record) {
                return Ok(Err(refusal));
            }
            transaction.execute(
                "UPDATE code_signing_configs SET record = ?4
                 WHERE account = ?1 AND region = ?2 AND id = ?3",
                params![scope.account.as_str(), scope.region.as_str(), id, to_json(&record)?],
            )?;
            Ok(Ok(Some(record)))
        });
        changed?
    }

    /// Forgets a configuration that no function has; `arn` is what functions know it by.
    pub(crate) fn delete_code_signing(
        &self,
        scope: &Scope,
        id: &str,
        arn: &str,
    ) -> Result<CodeSigningDeletion, StoreError> {
        self.write(|transaction| {
            let (account, region) = (scope.account.as_str(), scope.region.as_str());
            let used = transaction
                .prepare_cached(
                    "SELECT 1 FROM function_settings WHERE account = ?1 AND region = ?2
                       AND kind = 'code-signing' AND record = json_quote(?3)",
                )?
                .exists(params![account, region, arn])?;
            if used {
                return Ok(CodeSigningDeletion::InUse);
            }
            let gone = transaction.execute(
                "DELETE FROM code_signing_configs WHERE account = ?1 AND region = ?2 AND id = ?3",
                params![account, region, id],
            )?;
            Ok(if gone == 1 { CodeSigningDeletion::Deleted } else { CodeSigningDeletion::NotFound })
        })
    }
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeSigningDeletion {
    /// It is gone.
    Deleted,
    /// There was none.
    NotFound,
    /// A function has it.
    InUse,
}

/// One configuration.
pub(super) fn find(
    connection: &Connection,
    scope: &Scope,
    id: &str,
) -> Result<Option<CodeSigningRecord>, StoreError> {
    connection
        .prepare_cached(
            "SELECT record FROM code_signing_configs WHERE account = ?1 AND region = ?2 AND id = ?3",
        )?
        .query_row(params![scope.account.as_str(), scope.region.as_str(), id], |row| row.get::<_, String>(0))
        .optional()?
        .map(|record| from_json(&record, &format!("code signing configuration `{id}`")))
        .transpose()
}
