//! Customer managed policies with their versions.

use std::collections::BTreeMap;

use layercake_core::aws::AccountId;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{RoleRecord, Store, StoreError, from_json, to_json};

/// A customer managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRecord {
    /// Its name.
    pub(crate) name: String,
    /// `ANPA…`.
    pub(crate) id: String,
    /// Its ARN, which holds account and path.
    pub(crate) arn: String,
    /// Begins and ends with `/`.
    pub(crate) path: String,
    /// As given.
    pub(crate) description: Option<String>,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
    /// When a version was made or chosen last.
    pub(crate) updated: i64,
    /// As given.
    pub(crate) tags: BTreeMap<String, String>,
    /// The number of the version that counts.
    pub(crate) default_version: u32,
    /// The number of the newest version ever made; numbers are not used again.
    pub(crate) last_version: u32,
    /// The versions that there are, oldest first.
    pub(crate) versions: Vec<PolicyVersionRecord>,
}

/// One version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyVersionRecord {
    /// Its number; `v1` is 1.
    pub(crate) number: u32,
    /// The document's text.
    pub(crate) document: String,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
}

/// How a deletion of a policy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyDeletion {
    /// It is gone.
    Deleted,
    /// There was none.
    NoSuchPolicy,
    /// It is attached to a role.
    IsAttached,
    /// It has versions beside the one that counts.
    HasVersions,
}

impl Store {
    /// Remembers a new policy. False when there is one of that name, in letters of any case.
    pub(crate) fn create_policy(
        &self,
        account: &AccountId,
        record: &PolicyRecord,
    ) -> Result<bool, StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            let mut same = transaction
                .prepare_cached("SELECT 1 FROM policies WHERE account = ?1 AND name = ?2 COLLATE NOCASE")?;
            if same.exists(params![account.as_str(), record.name])? {
                return Ok(false);
            }
            transaction.execute(
                "INSERT INTO policies (account, name, arn, record) VALUES (?1, ?2, ?3, ?4)",
                params![account.as_str(), record.name, record.arn, text],
            )?;
            Ok(true)
        })
    }

    /// One policy, and to how many roles it is attached.
    pub(crate) fn policy(
        &self,
        account: &AccountId,
        arn: &str,
    ) -> Result<Option<(PolicyRecord, u64)>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT record, (SELECT COUNT(*) FROM role_policies
                                     WHERE role_policies.account = ?1 AND role_policies.arn = ?2)
                     FROM policies WHERE account = ?1 AND arn = ?2",
                )?
                .query_row(params![account.as_str(), arn], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
                })
                .optional()?
                .map(|(text, count)| Ok((from_json(&text, &format!("policy `{arn}`"))?, count as u64)))
                .transpose()
        })
    }

    /// Policies below a path by name, from behind the name `after`.
    pub(crate) fn policies(
        &self,
        account: &AccountId,
        path_prefix: &str,
        only_attached: bool,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(PolicyRecord, u64)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record, (SELECT COUNT(*) FROM role_policies
                                 WHERE role_policies.account = ?1 AND role_policies.arn = policies.arn) AS count
                 FROM policies WHERE account = ?1 AND name > ?2
                   AND SUBSTR(json_extract(record, '$.path'), 1, LENGTH(?3)) = ?3
                   AND (NOT ?4 OR count > 0)
                 ORDER BY name LIMIT ?5",
            )?;
            let rows = statement.query_map(
                params![account.as_str(), after, path_prefix, only_attached, limit as i64],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
            )?;
            rows.map(|row| {
                let (text, count) = row?;
                Ok((from_json(&text, "a policy")?, count as u64))
            })
            .collect()
        })
    }

    /// Changes a policy; nothing when there is none. What `change` refuses is not written.
    pub(crate) fn change_policy<R>(
        &self,
        account: &AccountId,
        arn: &str,
        change: impl FnOnce(&mut PolicyRecord) -> Result<(), R>,
    ) -> Result<Option<Result<PolicyRecord, R>>, StoreError> {
        self.write(|transaction| {
            let Some(mut record) = policy(transaction, account, arn)? else { return Ok(None) };
            if let Err(refusal) = change(&mut record) {
                return Ok(Some(Err(refusal)));
            }
            transaction.execute(
                "UPDATE policies SET record = ?3 WHERE account = ?1 AND arn = ?2",
                params![account.as_str(), arn, to_json(&record)?],
            )?;
            Ok(Some(Ok(record)))
        })
    }

    /// Forgets a policy that is attached to nothing and has one version.
    pub(crate) fn delete_policy(&self, account: &AccountId, arn: &str) -> Result<PolicyDeletion, StoreError> {
        self.write(|transaction| {
            let key = params![account.as_str(), arn];
            let Some(record) = policy(transaction, account, arn)? else {
                return Ok(PolicyDeletion::NoSuchPolicy);
            };
            let mut attached =
                transaction.prepare_cached("SELECT 1 FROM role_policies WHERE account = ?1 AND arn = ?2")?;
            if attached.exists(key)? {
                return Ok(PolicyDeletion::IsAttached);
            }
            if record.versions.len() > 1 {
                return Ok(PolicyDeletion::HasVersions);
            }
            transaction.execute("DELETE FROM policies WHERE account = ?1 AND arn = ?2", key)?;
            Ok(PolicyDeletion::Deleted)
        })
    }

    /// The roles that a policy is attached to, by name, from behind the name `after`.
    pub(crate) fn roles_with_policy(
        &self,
        account: &AccountId,
        arn: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RoleRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT roles.record FROM role_policies
                 JOIN roles ON roles.account = role_policies.account AND roles.name = role_policies.role
                 WHERE role_policies.account = ?1 AND role_policies.arn = ?2 AND role_policies.role > ?3
                 ORDER BY role_policies.role LIMIT ?4",
            )?;
            let rows = statement.query_map(params![account.as_str(), arn, after, limit as i64], |row| {
                row.get::<_, String>(0)
            })?;
            rows.map(|row| from_json(&row?, "a role")).collect()
        })
    }
}

fn policy(
    transaction: &Transaction<'_>,
    account: &AccountId,
    arn: &str,
) -> Result<Option<PolicyRecord>, StoreError> {
    transaction
        .prepare_cached("SELECT record FROM policies WHERE account = ?1 AND arn = ?2")?
        .query_row(params![account.as_str(), arn], |row| row.get::<_, String>(0))
        .optional()?
        .map(|text| from_json(&text, &format!("policy `{arn}`")))
        .transpose()
}
