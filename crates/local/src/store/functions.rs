//! Functions and what they run from. A function has `$LATEST` here; see `versions` for the rest.

use layercake_core::aws::FunctionName;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    FunctionRecord, Pinned, Scope, Settings, State, Store, StoreError, Update, events, from_json,
    function_settings, to_json, trees,
};

/// Why a function was not changed.
#[derive(Debug)]
pub(crate) enum ChangeError<E> {
    /// There is no such function.
    NoSuchFunction,
    /// The one who wanted the change thought better of it.
    Refused(E),
    /// The store failed.
    Store(StoreError),
}

impl<E> From<StoreError> for ChangeError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// Remembers a new function, and with `publish` its first version. Gives what was made last,
    /// the version or `$LATEST`; nothing when there is a function of that name.
    pub(crate) fn create_function(
        &self,
        scope: &Scope,
        record: &FunctionRecord,
        publish: bool,
    ) -> Result<Option<FunctionRecord>, StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            let added = transaction.execute(
                "INSERT INTO functions VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![scope.account.as_str(), scope.region.as_str(), record.name.as_str(), text],
            )?;
            if added == 0 {
                return Ok(None);
            }
            note_uses(transaction, scope, record)?;
            if publish {
                super::versions::insert(transaction, scope, record.published(None)).map(Some)
            } else {
                Ok(Some(record.clone()))
            }
        })
    }

    /// One function, as `$LATEST`.
    pub(crate) fn function(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<Option<FunctionRecord>, StoreError> {
        self.function_version(scope, name, None)
    }

    /// One version of a function; none is `$LATEST`.
    pub(crate) fn function_version(
        &self,
        scope: &Scope,
        name: &FunctionName,
        version: Option<u64>,
    ) -> Result<Option<FunctionRecord>, StoreError> {
        self.read(|connection| find(connection, scope, name, version))
    }

    /// Changes a function's `$LATEST` as one step: nobody else changes it between reading and
    /// writing.
    pub(crate) fn change_function<T, E>(
        &self,
        scope: &Scope,
        name: &FunctionName,
        change: impl FnOnce(&mut FunctionRecord) -> Result<T, E>,
    ) -> Result<(T, FunctionRecord), ChangeError<E>> {
        self.change_function_version(scope, name, None, change)
    }

    /// The same for any version; none is `$LATEST`.
    pub(crate) fn change_function_version<T, E>(
        &self,
        scope: &Scope,
        name: &FunctionName,
        version: Option<u64>,
        change: impl FnOnce(&mut FunctionRecord) -> Result<T, E>,
    ) -> Result<(T, FunctionRecord), ChangeError<E>> {
        let mut before = Vec::new();
        let changed = self.write(|transaction| {
            let Some(mut record) = find(transaction, scope, name, version)? else {
                return Ok(Err(ChangeError::NoSuchFunction));
            };
            before = uses(&record);
            let value = match change(&mut record) {
                Ok(value) => value,
                Err(refusal) => return Ok(Err(ChangeError::Refused(refusal))),
            };
            replace(transaction, scope, &record)?;
            Ok(Ok((value, record)))
        })??;
        self.collect_unless_used(before, &changed.1);
        Ok(changed)
    }

    /// Collects what a record used before a change and does not use any more.
    pub(super) fn collect_unless_used(&self, before: Vec<Use>, record: &FunctionRecord) {
        let after = uses(record);
        self.collect(before.into_iter().filter(|used| !after.contains(used)).map(|(_, used)| used));
    }

    /// Functions by name, from behind the name `after`.
    pub(crate) fn functions(
        &self,
        scope: &Scope,
        after: &str,
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM functions WHERE account = ?1 AND region = ?2 AND name > ?3
                 ORDER BY name LIMIT ?4",
            )?;
            let rows = statement.query_map(
                params![scope.account.as_str(), scope.region.as_str(), after, limit as i64],
                |row| row.get::<_, String>(0),
            )?;
            rows.map(|row| from_json(&row?, "a function")).collect()
        })
    }

    /// How many functions there are; versions do not count.
    pub(crate) fn function_count(&self, scope: &Scope) -> Result<u64, StoreError> {
        self.read(|connection| {
            let count: i64 = connection
                .prepare_cached("SELECT COUNT(*) FROM functions WHERE account = ?1 AND region = ?2")?
                .query_row(params![scope.account.as_str(), scope.region.as_str()], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Functions and versions of any account and region whose creation or change was cut off.
    pub(crate) fn unfinished_functions(&self) -> Result<Vec<(Scope, FunctionName, Option<u64>)>, StoreError> {
        let all = self.read(|connection| {
            // Most are finished, and reading a record takes far longer than looking for a word in it.
            let mut statement = connection.prepare(
                "SELECT account, region, record FROM
                     (SELECT account, region, record FROM functions
                      UNION ALL SELECT account, region, record FROM function_versions)
                 WHERE instr(record, '\"Pending\"') OR instr(record, '\"InProgress\"')",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        let mut unfinished = Vec::new();
        for (account, region, text) in all {
            let record: FunctionRecord = from_json(&text, "a function")?;
            let waits = record.state == State::Pending || matches!(record.update, Update::InProgress { .. });
            if let (true, Ok(account), Ok(region)) = (waits, account.parse(), region.parse()) {
                unfinished.push((Scope { account, region }, record.name, record.version));
            }
        }
        Ok(unfinished)
    }

    /// Forgets a function with all its versions and aliases. False when there was none.
    pub(crate) fn delete_function(&self, scope: &Scope, name: &FunctionName) -> Result<bool, StoreError> {
        let used = self.write(|transaction| {
            let key = params![scope.account.as_str(), scope.region.as_str(), name.as_str()];
            let of = "WHERE account = ?1 AND region = ?2 AND name = ?3";
            if transaction.execute(&format!("DELETE FROM functions {of}"), key)? == 0 {
                return Ok(None);
            }
            let used = transaction
                .prepare(&format!("SELECT DISTINCT kind, key FROM function_uses {of}"))?
                .query_map(key, |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            transaction.execute(&format!("DELETE FROM function_uses {of}"), key)?;
            transaction.execute(&format!("DELETE FROM function_versions {of}"), key)?;
            transaction.execute(
                "DELETE FROM function_aliases WHERE account = ?1 AND region = ?2 AND function = ?3",
                key,
            )?;
            function_settings::forget(transaction, scope, name, None)?;
            events::forget(transaction, scope, name)?;
            Ok(Some(used))
        })?;
        let Some(used) = used else {
            return Ok(false);
        };
        self.collect(
            used.into_iter().map(
                |(kind, key)| {
                    if kind == "merged" { Pinned::Merged(key) } else { Pinned::Blob(key) }
                },
            ),
        );
        Ok(true)
    }
}

/// One version of a function; none is `$LATEST`.
pub(super) fn find(
    connection: &Connection,
    scope: &Scope,
    name: &FunctionName,
    version: Option<u64>,
) -> Result<Option<FunctionRecord>, StoreError> {
    let (account, region) = (scope.account.as_str(), scope.region.as_str());
    let text: Option<String> = match version {
        None => connection
            .prepare_cached("SELECT record FROM functions WHERE account = ?1 AND region = ?2 AND name = ?3")?
            .query_row(params![account, region, name.as_str()], |row| row.get(0))
            .optional()?,
        Some(version) => connection
            .prepare_cached(
                "SELECT record FROM function_versions
                 WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
            )?
            .query_row(params![account, region, name.as_str(), column(Some(version))], |row| row.get(0))
            .optional()?,
    };
    text.map(|text| from_json(&text, &format!("function `{name}`"))).transpose()
}

/// Writes a record in the place of the one that is there, and what it uses.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    scope: &Scope,
    record: &FunctionRecord,
) -> Result<(), StoreError> {
    let (account, region, name) = (scope.account.as_str(), scope.region.as_str(), record.name.as_str());
    let text = to_json(record)?;
    match record.version {
        None => transaction.execute(
            "UPDATE functions SET record = ?4 WHERE account = ?1 AND region = ?2 AND name = ?3",
            params![account, region, name, text],
        )?,
        version => transaction.execute(
            "UPDATE function_versions SET record = ?5
             WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
            params![account, region, name, column(version), text],
        )?,
    };
    note_uses(transaction, scope, record)
}

/// A version as columns have it: 0 is `$LATEST`.
pub(super) fn column(version: Option<u64>) -> i64 {
    // A number that no column can hold is of no version.
    version.map_or(0, |version| i64::try_from(version).unwrap_or(i64::MAX))
}

/// Something on disk that a record needs, and what as.
pub(super) type Use = (&'static str, Pinned);

/// Everything on disk that a function needs, now and after its change.
pub(super) fn uses(record: &FunctionRecord) -> Vec<Use> {
    let mut all = Vec::new();
    let mut add = |settings: &Settings| {
        all.push(("code", Pinned::Blob(settings.code.to_hex())));
        for layer in &settings.layers {
            all.push(("layer", Pinned::Blob(layer.sha256.to_hex())));
        }
        if settings.layers.len() > 1 {
            let layers: Vec<_> = settings.layers.iter().map(|layer| layer.sha256).collect();
            all.push(("merged", Pinned::Merged(trees::merged_key(&layers))));
        }
    };
    add(&record.settings);
    if let Update::InProgress { earlier } | Update::Failed { earlier, .. } = &record.update {
        add(earlier);
    }
    all
}

/// Notes what a version of a function uses, in the place of what it used before.
pub(super) fn note_uses(
    transaction: &Transaction<'_>,
    scope: &Scope,
    record: &FunctionRecord,
) -> Result<(), StoreError> {
    let (account, region, name) = (scope.account.as_str(), scope.region.as_str(), record.name.as_str());
    let version = column(record.version);
    transaction.execute(
        "DELETE FROM function_uses WHERE account = ?1 AND region = ?2 AND name = ?3 AND version = ?4",
        params![account, region, name, version],
    )?;
    for (kind, used) in uses(record) {
        let (Pinned::Blob(key) | Pinned::Merged(key)) = used;
        transaction.execute(
            "INSERT INTO function_uses VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![account, region, name, version, kind, key],
        )?;
    }
    Ok(())
}
