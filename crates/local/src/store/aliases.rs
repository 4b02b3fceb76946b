//! Aliases of functions.

use layercake_core::aws::FunctionName;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    AliasRecord, FunctionRecord, Scope, Store, StoreError, from_json, function_settings, functions::find,
    to_json,
};

/// Why an alias was not written.
#[derive(Debug)]
pub(crate) enum AliasError<E> {
    /// There is no such alias.
    NoSuchAlias,
    /// There is one of that name.
    AliasExists,
    /// There is no such version of the function; none is `$LATEST`, and with it the function.
    NoSuchVersion(Option<u64>),
    /// The one who wanted the change thought better of it.
    Refused(E),
    /// The store failed.
    Store(StoreError),
}

impl<E> From<StoreError> for AliasError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// Remembers a new alias, when every version that it names is there.
    pub(crate) fn create_alias<E>(
        &self,
        scope: &Scope,
        function: &FunctionName,
        alias: &AliasRecord,
    ) -> Result<(), AliasError<E>> {
        let text = to_json(alias)?;
        self.write(|transaction| {
            if let Some(missing) = missing_version(transaction, scope, function, alias)? {
                return Ok(Err(AliasError::NoSuchVersion(missing)));
            }
            let added = transaction.execute(
                "INSERT INTO function_aliases VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![scope.account.as_str(), scope.region.as_str(), function.as_str(), alias.name, text],
            )?;
            Ok(if added == 1 { Ok(()) } else { Err(AliasError::AliasExists) })
        })?
    }

    /// One alias.
    pub(crate) fn alias(
        &self,
        scope: &Scope,
        function: &FunctionName,
        name: &str,
    ) -> Result<Option<AliasRecord>, StoreError> {
        self.read(|connection| one(connection, scope, function, name))
    }

    /// An alias and the version of the function that `choose` takes of it, both as they are at one
    /// moment.
    pub(crate) fn aliased_version(
        &self,
        scope: &Scope,
        function: &FunctionName,
        name: &str,
        choose: impl FnOnce(&AliasRecord) -> Option<u64>,
    ) -> Result<Option<FunctionRecord>, StoreError> {
        self.read(|connection| match one(connection, scope, function, name)? {
            None => Ok(None),
            Some(alias) => find(connection, scope, function, choose(&alias)),
        })
    }

    /// Changes an alias as one step, when every version that it names afterwards is there.
    pub(crate) fn change_alias<E>(
        &self,
        scope: &Scope,
        function: &FunctionName,
        name: &str,
        change: impl FnOnce(&mut AliasRecord) -> Result<(), E>,
    ) -> Result<AliasRecord, AliasError<E>> {
        self.write(|transaction| {
            let Some(mut alias) = one(transaction, scope, function, name)? else {
                return Ok(Err(AliasError::NoSuchAlias));
            };
            if let Err(refusal) = change(&mut alias) {
                return Ok(Err(AliasError::Refused(refusal)));
            }
            if let Some(missing) = missing_version(transaction, scope, function, &alias)? {
                return Ok(Err(AliasError::NoSuchVersion(missing)));
            }
            replace(transaction, scope, function, &alias)?;
            Ok(Ok(alias))
        })?
    }

    /// Forgets an alias. False when there was none.
    pub(crate) fn delete_alias(
        &self,
        scope: &Scope,
        function: &FunctionName,
        name: &str,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let deleted = transaction.execute(
                "DELETE FROM function_aliases
                 WHERE account = ?1 AND region = ?2 AND function = ?3 AND name = ?4",
                params![scope.account.as_str(), scope.region.as_str(), function.as_str(), name],
            )?;
            function_settings::forget(transaction, scope, function, Some(name))?;
            Ok(deleted == 1)
        })
    }

    /// Aliases of a function by name, from behind the name `after`.
    pub(crate) fn aliases(
        &self,
        scope: &Scope,
        function: &FunctionName,
        after: &str,
        limit: usize,
    ) -> Result<Vec<AliasRecord>, StoreError> {
        self.read(|connection| of_function(connection, scope, function, after, limit))
    }
}

/// Aliases of a function by name, from behind the name `after`.
pub(super) fn of_function(
    connection: &Connection,
    scope: &Scope,
    function: &FunctionName,
    after: &str,
    limit: usize,
) -> Result<Vec<AliasRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT record FROM function_aliases
         WHERE account = ?1 AND region = ?2 AND function = ?3 AND name > ?4 ORDER BY name LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(
        params![scope.account.as_str(), scope.region.as_str(), function.as_str(), after, limit],
        |row| row.get::<_, String>(0),
    )?;
    rows.map(|row| from_json(&row?, &format!("an alias of function `{function}`"))).collect()
}

/// Writes an alias in the place of the one that is there.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    scope: &Scope,
    function: &FunctionName,
    alias: &AliasRecord,
) -> Result<(), StoreError> {
    let (account, region) = (scope.account.as_str(), scope.region.as_str());
    transaction.execute(
        "UPDATE function_aliases SET record = ?5
         WHERE account = ?1 AND region = ?2 AND function = ?3 AND name = ?4",
        params![account, region, function.as_str(), alias.name, to_json(alias)?],
    )?;
    Ok(())
}

/// One alias.
pub(super) fn one(
    connection: &Connection,
    scope: &Scope,
    function: &FunctionName,
    name: &str,
) -> Result<Option<AliasRecord>, StoreError> {
    connection
        .prepare_cached(
            "SELECT record FROM function_aliases
             WHERE account = ?1 AND region = ?2 AND function = ?3 AND name = ?4",
        )?
        .query_row(params![scope.account.as_str(), scope.region.as_str(), function.as_str(), name], |row| {
            row.get::<_, String>(0)
        })
        .optional()?
        .map(|text| from_json(&text, &format!("alias `{name}` of function `{function}`")))
        .transpose()
}

/// The first version that an alias names and that is not there.
fn missing_version(
    transaction: &Transaction<'_>,
    scope: &Scope,
    function: &FunctionName,
    alias: &AliasRecord,
) -> Result<Option<Option<u64>>, StoreError> {
    let named = std::iter::once(alias.version).chain(alias.weights.keys().map(|&version| Some(version)));
    for version in named {
        if find(transaction, scope, function, version)?.is_none() {
            return Ok(Some(version));
        }
    }
    Ok(None)
}
