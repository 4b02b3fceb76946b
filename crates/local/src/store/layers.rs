//! Layer versions and their numbers.

use std::sync::{Arc, atomic::Ordering};

use layercake_core::aws::LayerName;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Blob, LayerVersionRecord, Pinned, Scope, Store, StoreError, from_json, policies, to_json};

/// Which layer versions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LayerFilter {
    /// Only those that name this runtime.
    pub(crate) runtime: Option<String>,
    /// Only those that name this architecture.
    pub(crate) architecture: Option<String>,
}

/// The condition of a [`LayerFilter`] in parameters ?1 and ?2.
const MATCHES: &str = "(?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(runtimes) WHERE value = ?1))
    AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(architectures) WHERE value = ?2))";

impl Store {
    /// Gives the version its number, which no earlier version of the layer had.
    pub(crate) fn publish_layer_version(
        &self,
        scope: &Scope,
        mut record: LayerVersionRecord,
    ) -> Result<LayerVersionRecord, StoreError> {
        let published = self.write(|transaction| {
            let (account, region) = (scope.account.as_str(), scope.region.as_str());
            let version: i64 = transaction
                .prepare_cached(
                    "INSERT INTO layer_counters VALUES (?1, ?2, ?3, 1)
                     ON CONFLICT DO UPDATE SET last_version = last_version + 1 RETURNING last_version",
                )?
                .query_row(params![account, region, record.name.as_str()], |row| row.get(0))?;
            record.version = version.unsigned_abs();
            transaction
                .prepare_cached("INSERT INTO layer_versions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![
                    account,
                    region,
                    record.name.as_str(),
                    version,
                    record.sha256.to_hex(),
                    record.runtimes.as_ref().map(to_json).transpose()?,
                    record.architectures.as_ref().map(to_json).transpose()?,
                    to_json(&record)?,
                ])?;
            Ok(record)
        });
        self.layer_changes.fetch_add(1, Ordering::Release);
        published
    }

    /// A number that is another one after every change of any layer.
    pub(crate) fn layer_generation(&self) -> u64 {
        self.layer_changes.load(Ordering::Acquire)
    }

    /// One version, unless it was deleted.
    pub(crate) fn layer_version(
        &self,
        scope: &Scope,
        name: &LayerName,
        version: u64,
    ) -> Result<Option<LayerVersionRecord>, StoreError> {
        let Ok(version) = i64::try_from(version) else {
            return Ok(None);
        };
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT name, record FROM layer_versions
                     WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
                )?
                .query_row(
                    params![scope.account.as_str(), scope.region.as_str(), name.as_str(), version],
                    text,
                )
                .optional()?
                .map(parsed)
                .transpose()
        })
    }

    /// One version, unless it was deleted, and its zip, which stays while it is held.
    pub(crate) fn hold_layer_version(
        self: &Arc<Self>,
        scope: &Scope,
        name: &LayerName,
        version: u64,
    ) -> Result<Option<(LayerVersionRecord, Blob)>, StoreError> {
        self.hold(
            |store| store.layer_version(scope, name, version),
            |record| (record.sha256, record.code_size),
        )
    }

    /// Versions of one layer, newest first, below the number `before`.
    pub(crate) fn layer_versions(
        &self,
        scope: &Scope,
        name: &LayerName,
        filter: &LayerFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<LayerVersionRecord>, StoreError> {
        let before = before.and_then(|version| i64::try_from(version).ok()).unwrap_or(i64::MAX);
        self.read(|connection| {
            let sql = format!(
                "SELECT name, record FROM layer_versions
                 WHERE {MATCHES} AND account = ?3 AND region = ?4 AND name = ?5 AND version < ?6
                 ORDER BY version DESC LIMIT ?7"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                params![
                    filter.runtime,
                    filter.architecture,
                    scope.account.as_str(),
                    scope.region.as_str(),
                    name.as_str(),
                    before,
                    limit as i64
                ],
                text,
            )?;
            rows.map(|row| parsed(row?)).collect()
        })
    }

    /// The newest matching version of each layer, by name, from behind the name `after`.
    pub(crate) fn layers(
        &self,
        scope: &Scope,
        filter: &LayerFilter,
        after: &str,
        limit: usize,
    ) -> Result<Vec<LayerVersionRecord>, StoreError> {
        self.read(|connection| {
            // From name to name, and to the newest version of each: the others are not looked at.
            let sql = format!(
                "SELECT layers.name, newest.record FROM layer_counters AS layers
                 CROSS JOIN layer_versions AS newest
                 ON newest.account = ?3 AND newest.region = ?4 AND newest.name = layers.name
                 AND newest.version = (
                     SELECT version FROM layer_versions AS found
                     WHERE found.account = ?3 AND found.region = ?4 AND found.name = layers.name AND {MATCHES}
                     ORDER BY version DESC LIMIT 1)
                 WHERE layers.account = ?3 AND layers.region = ?4 AND layers.name > ?5
                 ORDER BY layers.name LIMIT ?6"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                params![
                    filter.runtime,
                    filter.architecture,
                    scope.account.as_str(),
                    scope.region.as_str(),
                    after,
                    limit as i64
                ],
                text,
            )?;
            rows.map(|row| parsed(row?)).collect()
        })
    }

    /// Forgets a version. Functions that use it keep its bytes.
    pub(crate) fn delete_layer_version(
        &self,
        scope: &Scope,
        name: &LayerName,
        version: u64,
    ) -> Result<(), StoreError> {
        let Some(record) = self.layer_version(scope, name, version)? else {
            return Ok(());
        };
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM layer_versions WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
                params![scope.account.as_str(), scope.region.as_str(), name.as_str(), record.version as i64],
            )?;
            policies::forget_layer_policy(transaction, scope, name, record.version)?;
            Ok(())
        })?;
        self.layer_changes.fetch_add(1, Ordering::Release);
        self.collect([Pinned::Blob(record.sha256.to_hex())]);
        Ok(())
    }
}

fn text(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn parsed((name, record): (String, String)) -> Result<LayerVersionRecord, StoreError> {
    from_json(&record, &format!("layer `{name}`"))
}
