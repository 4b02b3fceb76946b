//! Published versions of functions: their numbers, their records, and the room that code takes.

use layercake_core::aws::FunctionName;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    ChangeError, FunctionRecord, Pinned, Scope, State, Store, StoreError, Update, from_json,
    function_settings,
    functions::{column, find, note_uses, replace, uses},
    to_json,
};

/// What came of the wish to publish.
#[derive(Debug)]
pub(crate) enum Publication {
    /// The last version is what would be published.
    Unchanged(FunctionRecord),
    /// This one, which has no number yet.
    New(FunctionRecord),
}

/// What came of the wish to delete a version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VersionDeletion {
    /// It is gone, or was not there.
    Done,
    /// These aliases point to it.
    Referenced(Vec<String>),
}

/// The size of the code of a record; a damaged record has none, so that it is in nobody's way. The
/// text is that of the indices.
const FUNCTION_CODE: &str =
    "CASE WHEN json_valid(record) THEN json_extract(record, '$.settings.code_size') ELSE 0 END";
/// The same for layers.
const LAYER_CODE: &str = "CASE WHEN json_valid(record) THEN json_extract(record, '$.code_size') ELSE 0 END";

impl Store {
    /// Publishes a version of a function as one step. `publish` may change `$LATEST`, is given the
    /// last version when it is still there, and says what becomes of it.
    pub(crate) fn publish_function_version<E>(
        &self,
        scope: &Scope,
        name: &FunctionName,
        publish: impl FnOnce(&mut FunctionRecord, Option<FunctionRecord>) -> Result<Publication, E>,
    ) -> Result<FunctionRecord, ChangeError<E>> {
        let mut before = Vec::new();
        let (published, latest) = self.write(|transaction| {
            let Some(mut latest) = find(transaction, scope, name, None)? else {
                return Ok(Err(ChangeError::NoSuchFunction));
            };
            before = uses(&latest);
            let last = match last_number(transaction, scope, name)? {
                None => None,
                number => find(transaction, scope, name, number)?,
            };
            let publication = match publish(&mut latest, last) {
                Ok(publication) => publication,
                Err(refusal) => return Ok(Err(ChangeError::Refused(refusal))),
            };
            replace(transaction, scope, &latest)?;
            let published = match publication {
                Publication::Unchanged(version) => version,
                Publication::New(version) => insert(transaction, scope, version)?,
            };
            Ok(Ok((published, latest)))
        })??;
        self.collect_unless_used(before, &latest);
        Ok(published)
    }

    /// Published versions of one function, oldest first, from behind the number `after`.
    pub(crate) fn function_versions(
        &self,
        scope: &Scope,
        name: &FunctionName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM function_versions
                 WHERE account = ?1 AND region = ?2 AND name = ?3 AND version > ?4
                 ORDER BY version LIMIT ?5",
            )?;
            let rows = statement.query_map(
                params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    name.as_str(),
                    column(Some(after)),
                    limit as i64
                ],
                |row| row.get::<_, String>(0),
            )?;
            rows.map(|row| from_json(&row?, &format!("a version of function `{name}`"))).collect()
        })
    }

    /// `$LATEST` and all versions of all functions, by name and number, from behind this place.
    pub(crate) fn all_function_versions(
        &self,
        scope: &Scope,
        after: (&str, Option<u64>),
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, 0 AS version, record FROM functions
                 WHERE account = ?1 AND region = ?2 AND name > ?3
                 UNION ALL
                 SELECT name, version, record FROM function_versions
                 WHERE account = ?1 AND region = ?2 AND (name, version) > (?3, ?4)
                 ORDER BY 1, 2 LIMIT ?5",
            )?;
            let (name, version) = after;
            let rows = statement.query_map(
                params![scope.account.as_str(), scope.region.as_str(), name, column(version), limit as i64],
                |row| row.get::<_, String>(2),
            )?;
            rows.map(|row| from_json(&row?, "a function")).collect()
        })
    }

    /// Forgets a version, unless aliases point to it. Its number is not given out again.
    pub(crate) fn delete_function_version(
        &self,
        scope: &Scope,
        name: &FunctionName,
        version: u64,
    ) -> Result<VersionDeletion, StoreError> {
        let (deletion, used) = self.write(|transaction| {
            let aliases: Vec<_> = super::aliases::of_function(transaction, scope, name, "", usize::MAX)?
                .into_iter()
                .filter(|alias| alias.invokes(Some(version)))
                .map(|alias| alias.name)
                .collect();
            if !aliases.is_empty() {
                return Ok((VersionDeletion::Referenced(aliases), Vec::new()));
            }
            let Some(record) = find(transaction, scope, name, Some(version))? else {
                return Ok((VersionDeletion::Done, Vec::new()));
            };
            for table in ["function_versions", "function_uses"] {
                transaction.execute(
                    &format!(
                        "DELETE FROM {table}
                         WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4"
                    ),
                    params![
                        scope.account.as_str(),
                        scope.region.as_str(),
                        name.as_str(),
                        column(Some(version))
                    ],
                )?;
            }
            function_settings::forget(transaction, scope, name, Some(&version.to_string()))?;
            let used: Vec<Pinned> = uses(&record).into_iter().map(|(_, used)| used).collect();
            Ok((VersionDeletion::Done, used))
        })?;
        self.collect(used);
        Ok(deletion)
    }

    /// Bytes of all zips of functions, their versions, and layer versions: each counts, also when
    /// several have the same.
    pub(crate) fn code_storage(&self, scope: &Scope) -> Result<u64, StoreError> {
        self.read(|connection| {
            let mut bytes = 0;
            for (table, size) in [
                ("functions", FUNCTION_CODE),
                ("function_versions", FUNCTION_CODE),
                ("layer_versions", LAYER_CODE),
            ] {
                let sql = format!(
                    "SELECT COALESCE(SUM({size}), 0) FROM {table} WHERE account = ?1 AND region = ?2"
                );
                let sum: i64 = connection
                    .prepare_cached(&sql)?
                    .query_row(params![scope.account.as_str(), scope.region.as_str()], |row| row.get(0))?;
                bytes += sum.unsigned_abs();
            }
            Ok(bytes)
        })
    }
}

/// The number given out last, also when that version or the whole function was deleted since:
/// numbers are never reused.
fn last_number(
    transaction: &Transaction<'_>,
    scope: &Scope,
    name: &FunctionName,
) -> Result<Option<u64>, StoreError> {
    let number: Option<i64> = transaction
        .prepare_cached(
            "SELECT last_version FROM function_counters WHERE account = ?1 AND region = ?2 AND name = ?3",
        )?
        .query_row(params![scope.account.as_str(), scope.region.as_str(), name.as_str()], |row| row.get(0))
        .optional()?;
    Ok(number.map(i64::unsigned_abs))
}

/// Gives a version its number and writes it.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    scope: &Scope,
    mut record: FunctionRecord,
) -> Result<FunctionRecord, StoreError> {
    let (account, region) = (scope.account.as_str(), scope.region.as_str());
    let version: i64 = transaction
        .prepare_cached(
            "INSERT INTO function_counters VALUES (?1, ?2, ?3, 1)
             ON CONFLICT DO UPDATE SET last_version = last_version + 1 RETURNING last_version",
        )?
        .query_row(params![account, region, record.name.as_str()], |row| row.get(0))?;
    record.version = Some(version.unsigned_abs());
    transaction.execute(
        "INSERT INTO function_versions VALUES (?1, ?2, ?3, ?4, ?5)",
        params![account, region, record.name.as_str(), version, to_json(&record)?],
    )?;
    note_uses(transaction, scope, &record)?;
    Ok(record)
}

impl FunctionRecord {
    /// The version that is published of `$LATEST`, without its number. It is as far as `$LATEST`
    /// is: pending while that is being unpacked.
    pub(crate) fn published(&self, description: Option<String>) -> Self {
        let settled = self.state == State::Active && self.update == Update::Successful;
        let mut settings = self.settings.clone();
        if let Some(description) = description {
            settings.description = description;
        }
        Self {
            name: self.name.clone(),
            version: None,
            latest_description: Some(self.settings.description.clone()),
            settings,
            revision: uuid::Uuid::new_v4().to_string(),
            last_modified: self.last_modified,
            state: if settled { State::Active } else { State::Pending },
            update: if settled { Update::Successful } else { Update::None },
            tags: std::collections::BTreeMap::new(),
        }
    }

    /// Whether this version was published of the very code and configuration that `$LATEST` has.
    pub(crate) fn is_published_of(&self, latest: &Self) -> bool {
        let mut settings = self.settings.clone();
        settings.id.clone_from(&latest.settings.id);
        if let Some(description) = &self.latest_description {
            settings.description.clone_from(description);
        }
        settings == latest.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_that_code_takes_is_told_by_an_index() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = camino::Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
        let store = Store::open(&root).expect("a new store");
        for (table, size) in [("functions", FUNCTION_CODE), ("layer_versions", LAYER_CODE)] {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT SUM({size}) FROM {table} WHERE account = '' AND region = ''"
            );
            let plan: Result<String, _> =
                store.read(|connection| Ok(connection.query_row(&sql, [], |row| row.get(3))?));
            let plan = plan.expect("a plan");
            assert!(plan.contains(&format!("COVERING INDEX {table}_by_code_size")), "{plan}");
        }
    }
}
