//! Functions and what they run from.

use layercake_core::aws::FunctionName;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{FunctionRecord, Pinned, Scope, Settings, Store, StoreError, Update, from_json, to_json, trees};

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
    /// Remembers a new function. False when there is one of that name.
    pub(crate) fn create_function(&self, scope: &Scope, record: &FunctionRecord) -> Result<bool, StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            let added = transaction.execute(
                "INSERT INTO functions VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![scope.account.as_str(), scope.region.as_str(), record.name.as_str(), text],
            )?;
            if added == 1 {
                note_uses(transaction, scope, record)?;
            }
            Ok(added == 1)
        })
    }

    /// One function.
    pub(crate) fn function(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<Option<FunctionRecord>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT record FROM functions WHERE account = ?1 AND region = ?2 AND name = ?3",
                )?
                .query_row(params![scope.account.as_str(), scope.region.as_str(), name.as_str()], |row| {
                    row.get::<_, String>(0)
                })
                .optional()?
                .map(|text| from_json(&text, &format!("function `{name}`")))
                .transpose()
        })
    }

    /// Changes a function as one step: nobody else changes it between reading and writing.
    pub(crate) fn change_function<T, E>(
        &self,
        scope: &Scope,
        name: &FunctionName,
        change: impl FnOnce(&mut FunctionRecord) -> Result<T, E>,
    ) -> Result<(T, FunctionRecord), ChangeError<E>> {
        let mut before = Vec::new();
        let changed = self.write(|transaction| {
            let found = transaction
                .prepare_cached(
                    "SELECT record FROM functions WHERE account = ?1 AND region = ?2 AND name = ?3",
                )?
                .query_row(params![scope.account.as_str(), scope.region.as_str(), name.as_str()], |row| {
                    row.get::<_, String>(0)
                })
                .optional()?;
            let Some(text) = found else {
                return Ok(Err(ChangeError::NoSuchFunction));
            };
            let mut record: FunctionRecord = from_json(&text, &format!("function `{name}`"))?;
            before = uses(&record);
            let value = match change(&mut record) {
                Ok(value) => value,
                Err(refusal) => return Ok(Err(ChangeError::Refused(refusal))),
            };
            transaction.execute(
                "UPDATE functions SET record = ?4 WHERE account = ?1 AND region = ?2 AND name = ?3",
                params![scope.account.as_str(), scope.region.as_str(), name.as_str(), to_json(&record)?],
            )?;
            note_uses(transaction, scope, &record)?;
            Ok(Ok((value, record)))
        })??;
        let after = uses(&changed.1);
        before.retain(|used| !after.contains(used));
        self.collect(before.into_iter().map(|(_, used)| used));
        Ok(changed)
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

    /// Functions of any account and region whose creation or change was cut off.
    pub(crate) fn unfinished_functions(&self) -> Result<Vec<(Scope, FunctionName)>, StoreError> {
        let all = self.read(|connection| {
            // Most are finished, and reading a record takes far longer than looking for a word in it.
            let mut statement = connection.prepare(
                "SELECT account, region, record FROM functions
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
            let waits =
                record.state == super::State::Pending || matches!(record.update, Update::InProgress { .. });
            if let (true, Ok(account), Ok(region)) = (waits, account.parse(), region.parse()) {
                unfinished.push((Scope { account, region }, record.name));
            }
        }
        Ok(unfinished)
    }

    /// Forgets a function. False when there was none.
    pub(crate) fn delete_function(&self, scope: &Scope, name: &FunctionName) -> Result<bool, StoreError> {
        let Some(record) = self.function(scope, name)? else {
            return Ok(false);
        };
        self.write(|transaction| {
            let key = params![scope.account.as_str(), scope.region.as_str(), name.as_str()];
            transaction
                .execute("DELETE FROM functions WHERE account = ?1 AND region = ?2 AND name = ?3", key)?;
            transaction
                .execute("DELETE FROM function_uses WHERE account = ?1 AND region = ?2 AND name = ?3", key)?;
            Ok(())
        })?;
        self.collect(uses(&record).into_iter().map(|(_, used)| used));
        Ok(true)
    }
}

/// Everything on disk that a function needs, now and after its change.
fn uses(record: &FunctionRecord) -> Vec<(&'static str, Pinned)> {
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

fn note_uses(
    transaction: &Transaction<'_>,
    scope: &Scope,
    record: &FunctionRecord,
) -> Result<(), StoreError> {
    let (account, region, name) = (scope.account.as_str(), scope.region.as_str(), record.name.as_str());
    transaction.execute(
        "DELETE FROM function_uses WHERE account = ?1 AND region = ?2 AND name = ?3",
        params![account, region, name],
    )?;
    for (kind, used) in uses(record) {
        let (Pinned::Blob(key) | Pinned::Merged(key)) = used;
        transaction.execute(
            "INSERT INTO function_uses VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![account, region, name, kind, key],
        )?;
    }
    Ok(())
}
