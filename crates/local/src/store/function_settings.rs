//! What is configured beside a function, one record of each kind for the function, a version or an
//! alias: reserved and provisioned concurrency, asynchronous invocation, URL, recursion, runtime
//! management, code signing, policy.
//!
//! Owns their table. A record never outlives what it belongs to: deleting that deletes it in the
//! same transaction.

use layercake_core::aws::{FunctionName, Region};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    ChangeError, Scope, Store, StoreError, aliases, code_signing, from_json, functions::find, to_json,
};

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingKind {
    /// The resource-based policy.
    Policy,
    /// Reserved concurrency.
    Concurrency,
    /// Provisioned concurrency.
    ProvisionedConcurrency,
    /// Options for asynchronous invocation.
    EventInvoke,
    /// The function URL.
    Url,
    /// Recursive loop detection.
    Recursion,
    /// Runtime updates.
    RuntimeManagement,
    /// The ARN of the code signing configuration.
    CodeSigning,
}

impl SettingKind {
    /// As it is kept; never changed.
    fn text(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Concurrency => "concurrency",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
            Self::EventInvoke => "event-invoke",
            Self::Url => "url",
            Self::Recursion => "recursion",
            Self::RuntimeManagement => "runtime-management",
            Self::CodeSigning => "code-signing",
        }
    }
}

/// What a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SettingOwner {
    /// The function.
    pub(crate) function: FunctionName,
    /// `$LATEST`, a version's number or an alias; empty for the function as such.
    pub(crate) qualifier: String,
}

impl SettingOwner {
    /// The function as such.
    pub(crate) fn function(function: &FunctionName) -> Self {
        Self { function: function.clone(), qualifier: String::new() }
    }

    /// What the qualifier names.
    pub(crate) fn part(&self) -> SettingPart<'_> {
        match self.qualifier.as_str() {
            "" | "$LATEST" => SettingPart::Version(None),
            other => match other.parse::<u64>() {
                // No alias is called by a number, and no version is written with zeros before it.
                Ok(number) if number.to_string() == other => SettingPart::Version(Some(number)),
                _ => SettingPart::Alias(other),
            },
        }
    }
}

/// The part of a function that a record belongs to.
pub(crate) enum SettingPart<'a> {
    /// A version; none is `$LATEST`, and with it the function as such.
    Version(Option<u64>),
    /// An alias.
    Alias(&'a str),
}

/// A record with what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// What it belongs to.
    pub(crate) owner: SettingOwner,
    /// The record.
    pub(crate) value: T,
}

/// What one may look at while a record is changed: nobody changes it meanwhile.
pub(crate) struct Settings<'a> {
    transaction: &'a Transaction<'a>,
    scope: &'a Scope,
}

impl Settings<'_> {
    /// All records of a kind in the account and region.
    pub(crate) fn all<T: DeserializeOwned>(&self, kind: SettingKind) -> Result<Vec<Setting<T>>, StoreError> {
        all(self.transaction, self.scope, kind)
    }

    /// Whether there is a code signing configuration of this id.
    pub(crate) fn has_code_signing(&self, id: &str) -> Result<bool, StoreError> {
        Ok(code_signing::find(self.transaction, self.scope, id)?.is_some())
    }
}

impl Store {
    /// One record.
    pub(crate) fn setting<T: DeserializeOwned>(
        &self,
        scope: &Scope,
        kind: SettingKind,
        owner: &SettingOwner,
    ) -> Result<Option<T>, StoreError> {
        self.read(|connection| one(connection, scope, kind, owner))
    }

    /// All records of a kind in an account and region, by function and qualifier.
    pub(crate) fn all_settings<T: DeserializeOwned>(
        &self,
        scope: &Scope,
        kind: SettingKind,
    ) -> Result<Vec<Setting<T>>, StoreError> {
        self.read(|connection| all(connection, scope, kind))
    }

    /// What has records of a kind in a region, of all accounts.
    pub(crate) fn setting_owners(
        &self,
        region: &Region,
        kind: SettingKind,
    ) -> Result<Vec<(Scope, SettingOwner)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT account, name, qualifier FROM function_settings WHERE region = ?1 AND kind = ?2",
            )?;
            let rows = statement.query_map(params![region.as_str(), kind.text()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })?;
            let mut owners = Vec::new();
            for row in rows {
                let (account, name, qualifier) = row?;
                // Only accounts and names that were checked are written.
                let (Ok(account), Ok(function)) = (account.parse(), name.parse()) else { continue };
                let scope = Scope { account, region: region.clone() };
                owners.push((scope, SettingOwner { function, qualifier }));
            }
            Ok(owners)
        })
    }

    /// All records of a kind, of all accounts and regions.
    pub(crate) fn settings_everywhere<T: DeserializeOwned>(
        &self,
        kind: SettingKind,
    ) -> Result<Vec<(Scope, Setting<T>)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT DISTINCT account, region FROM function_settings WHERE kind = ?1")?;
            let scopes = statement.query_map(params![kind.text()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            let mut settings = Vec::new();
            for scope in scopes {
                let (account, region) = scope?;
                // Only accounts and regions that were checked are written.
                let (Ok(account), Ok(region)) = (account.parse(), region.parse()) else { continue };
                let scope = Scope { account, region };
                let found = all(connection, &scope, kind)?;
                settings.extend(found.into_iter().map(|setting| (scope.clone(), setting)));
            }
            Ok(settings)
        })
    }

    /// Concurrency that functions have reserved of their account's.
    pub(crate) fn reserved_concurrency(&self, scope: &Scope) -> Result<u32, StoreError> {
        let reserved = self.all_settings::<u32>(scope, SettingKind::Concurrency)?;
        Ok(reserved.iter().map(|setting| setting.value).sum())
    }

    /// One function's records of a kind by qualifier, from behind the qualifier `after`.
    pub(crate) fn settings_of<T: DeserializeOwned>(
        &self,
        scope: &Scope,
        kind: SettingKind,
        function: &FunctionName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Setting<T>>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT qualifier, record FROM function_settings
                 WHERE account = ?1 AND region = ?2 AND kind = ?3 AND name = ?4
                   AND (?5 IS NULL OR qualifier > ?5)
                 ORDER BY qualifier LIMIT ?6",
            )?;
            let (account, region) = (scope.account.as_str(), scope.region.as_str());
            let rows = statement.query_map(
                params![account, region, kind.text(), function.as_str(), after, limit as i64],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
            )?;
            rows.map(|row| {
                let (qualifier, record) = row?;
                let owner = SettingOwner { function: function.clone(), qualifier };
                Ok(Setting { value: from_json(&record, &what(kind, &owner))?, owner })
            })
            .collect()
        })
    }

    /// Changes, makes or removes a record as one step. `change` is given what there is and gives
    /// what shall be, none for no record; it may look at the records of others.
    pub(crate) fn change_setting<T, R, E>(
        &self,
        scope: &Scope,
        kind: SettingKind,
        owner: &SettingOwner,
        change: impl FnOnce(&Settings<'_>, Option<T>) -> Result<(Option<T>, R), E>,
    ) -> Result<R, ChangeError<E>>
    where
        T: Serialize + DeserializeOwned,
    {
        self.write(|transaction| {
            if !exists(transaction, scope, owner)? {
                return Ok(Err(ChangeError::NoSuchFunction));
            }
            let found = one(transaction, scope, kind, owner)?;
            match change(&Settings { transaction, scope }, found) {
                Err(refusal) => Ok(Err(ChangeError::Refused(refusal))),
                Ok((value, result)) => {
                    keep(transaction, scope, kind, owner, value.as_ref())?;
                    Ok(Ok(result))
                }
            }
        })?
    }
}

/// Forgets everything that is configured for a function, or for one version or alias of it.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    scope: &Scope,
    function: &FunctionName,
    qualifier: Option<&str>,
) -> Result<(), StoreError> {
    transaction.execute(
        "DELETE FROM function_settings
         WHERE account = ?1 AND region = ?2 AND name = ?3 AND (?4 IS NULL OR qualifier = ?4)",
        params![scope.account.as_str(), scope.region.as_str(), function.as_str(), qualifier],
    )?;
    Ok(())
}

/// Writes a record, or removes it.
pub(super) fn keep<T: Serialize>(
    transaction: &Transaction<'_>,
    scope: &Scope,
    kind: SettingKind,
    owner: &SettingOwner,
    value: Option<&T>,
) -> Result<(), StoreError> {
    let (account, region) = (scope.account.as_str(), scope.region.as_str());
    let (name, qualifier) = (owner.function.as_str(), owner.qualifier.as_str());
    match value {
        Some(value) => transaction.execute(
            "INSERT INTO function_settings VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET record = excluded.record",
            params![account, region, name, qualifier, kind.text(), to_json(value)?],
        )?,
        None => transaction.execute(
            "DELETE FROM function_settings
             WHERE account = ?1 AND region = ?2 AND name = ?3 AND qualifier = ?4 AND kind = ?5",
            params![account, region, name, qualifier, kind.text()],
        )?,
    };
    Ok(())
}

/// One record.
pub(super) fn one<T: DeserializeOwned>(
    connection: &rusqlite::Connection,
    scope: &Scope,
    kind: SettingKind,
    owner: &SettingOwner,
) -> Result<Option<T>, StoreError> {
    connection
        .prepare_cached(
            "SELECT record FROM function_settings
             WHERE account = ?1 AND region = ?2 AND name = ?3 AND qualifier = ?4 AND kind = ?5",
        )?
        .query_row(
            params![
                scope.account.as_str(),
                scope.region.as_str(),
                owner.function.as_str(),
                owner.qualifier,
                kind.text()
            ],
            |row| row.get::<_, String>(0),
        )
        .optional()?
        .map(|record| from_json(&record, &what(kind, owner)))
        .transpose()
}

fn all<T: DeserializeOwned>(
    connection: &rusqlite::Connection,
    scope: &Scope,
    kind: SettingKind,
) -> Result<Vec<Setting<T>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, qualifier, record FROM function_settings
         WHERE account = ?1 AND region = ?2 AND kind = ?3 ORDER BY name, qualifier",
    )?;
    let rows = statement
        .query_map(params![scope.account.as_str(), scope.region.as_str(), kind.text()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })?;
    let mut settings = Vec::new();
    for row in rows {
        let (name, qualifier, record) = row?;
        // Only names that were checked are written.
        let Ok(function) = name.parse() else { continue };
        let owner = SettingOwner { function, qualifier };
        settings.push(Setting { value: from_json(&record, &what(kind, &owner))?, owner });
    }
    Ok(settings)
}

/// Whether what a record belongs to is still there.
fn exists(transaction: &Transaction<'_>, scope: &Scope, owner: &SettingOwner) -> Result<bool, StoreError> {
    Ok(match owner.part() {
        SettingPart::Version(version) => find(transaction, scope, &owner.function, version)?.is_some(),
        SettingPart::Alias(alias) => aliases::one(transaction, scope, &owner.function, alias)?.is_some(),
    })
}

fn what(kind: SettingKind, owner: &SettingOwner) -> String {
    format!("{} of function `{}` {}", kind.text(), owner.function, owner.qualifier)
}
