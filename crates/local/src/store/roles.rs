//! IAM roles, the policies attached to them and those written into them.

use layercake_core::aws::AccountId;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{RoleRecord, Store, StoreError, from_json, to_json};

/// How a deletion of a role ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoleDeletion {
    /// It is gone.
    Deleted,
    /// There was none.
    NoSuchRole,
    /// Managed policies are attached to it.
    PoliciesAttached,
    /// Policies are written into it.
    PoliciesInside,
}

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// It is attached.
    Attached,
    /// There is no such role.
    NoSuchRole,
    /// There is no such policy in the account.
    NoSuchPolicy,
    /// The role has as many as it may have.
    TooMany,
}

impl Store {
    /// Remembers a new role. False when there is one of that name, in letters of any case.
    pub(crate) fn create_role(&self, account: &AccountId, record: &RoleRecord) -> Result<bool, StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            let mut same = transaction
                .prepare_cached("SELECT 1 FROM roles WHERE account = ?1 AND name = ?2 COLLATE NOCASE")?;
            if same.exists(params![account.as_str(), record.name])? {
                return Ok(false);
            }
            transaction.execute(
                "INSERT INTO roles VALUES (?1, ?2, ?3)",
                params![account.as_str(), record.name, text],
            )?;
            Ok(true)
        })
    }

    /// One role.
    pub(crate) fn role(&self, account: &AccountId, name: &str) -> Result<Option<RoleRecord>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT record FROM roles WHERE account = ?1 AND name = ?2")?
                .query_row(params![account.as_str(), name], |row| row.get::<_, String>(0))
                .optional()?
                .map(|text| from_json(&text, &format!("role `{name}`")))
                .transpose()
        })
    }

    /// Roles below a path by name, from behind the name `after`.
    pub(crate) fn roles(
        &self,
        account: &AccountId,
        path_prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RoleRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM roles WHERE account = ?1 AND name > ?2
                   AND SUBSTR(json_extract(record, '$.path'), 1, LENGTH(?3)) = ?3
                 ORDER BY name LIMIT ?4",
            )?;
            let rows = statement
                .query_map(params![account.as_str(), after, path_prefix, limit as i64], |row| {
                    row.get::<_, String>(0)
                })?;
            rows.map(|row| from_json(&row?, "a role")).collect()
        })
    }

    /// Changes a role; nothing when there is none. What `change` refuses is not written.
    pub(crate) fn change_role<R>(
        &self,
        account: &AccountId,
        name: &str,
        change: impl FnOnce(&mut RoleRecord) -> Result<(), R>,
    ) -> Result<Option<Result<RoleRecord, R>>, StoreError> {
        self.write(|transaction| {
            let Some(text) = role_text(transaction, account, name)? else { return Ok(None) };
            let mut record: RoleRecord = from_json(&text, &format!("role `{name}`"))?;
            if let Err(refusal) = change(&mut record) {
                return Ok(Some(Err(refusal)));
            }
            transaction.execute(
                "UPDATE roles SET record = ?3 WHERE account = ?1 AND name = ?2",
                params![account.as_str(), name, to_json(&record)?],
            )?;
            Ok(Some(Ok(record)))
        })
    }

    /// Forgets a role that has no policies.
    pub(crate) fn delete_role(&self, account: &AccountId, name: &str) -> Result<RoleDeletion, StoreError> {
        self.write(|transaction| {
            let key = params![account.as_str(), name];
            let exists = |sql: &str| Ok::<_, StoreError>(transaction.prepare_cached(sql)?.exists(key)?);
            if exists("SELECT 1 FROM role_policies WHERE account = ?1 AND role = ?2")? {
                return Ok(RoleDeletion::PoliciesAttached);
            }
            if exists("SELECT 1 FROM inline_policies WHERE account = ?1 AND role = ?2")? {
                return Ok(RoleDeletion::PoliciesInside);
            }
            let count = transaction.execute("DELETE FROM roles WHERE account = ?1 AND name = ?2", key)?;
            Ok(if count == 1 { RoleDeletion::Deleted } else { RoleDeletion::NoSuchRole })
        })
    }

    /// Attaches a policy; attaching it twice is the same as once.
    pub(crate) fn attach_policy(
        &self,
        account: &AccountId,
        role: &str,
        arn: &str,
        most: usize,
    ) -> Result<Attachment, StoreError> {
        self.write(|transaction| {
            if role_text(transaction, account, role)?.is_none() {
                return Ok(Attachment::NoSuchRole);
            }
            let own = format!("arn:aws:iam::{account}:policy/");
            let mut policy =
                transaction.prepare_cached("SELECT 1 FROM policies WHERE account = ?1 AND arn = ?2")?;
            if arn.starts_with(&own) && !policy.exists(params![account.as_str(), arn])? {
                return Ok(Attachment::NoSuchPolicy);
            }
            let others: i64 = transaction.query_row(
                "SELECT COUNT(*) FROM role_policies WHERE account = ?1 AND role = ?2 AND arn <> ?3",
                params![account.as_str(), role, arn],
                |row| row.get(0),
            )?;
            if others >= most as i64 {
                return Ok(Attachment::TooMany);
            }
            transaction.execute(
                "INSERT INTO role_policies VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![account.as_str(), role, arn],
            )?;
            Ok(Attachment::Attached)
        })
    }

    /// Detaches a policy. False when it was not attached.
    pub(crate) fn detach_policy(
        &self,
        account: &AccountId,
        role: &str,
        arn: &str,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "DELETE FROM role_policies WHERE account = ?1 AND role = ?2 AND arn = ?3",
                params![account.as_str(), role, arn],
            )? == 1)
        })
    }

    /// A page of texts that belong to a role: account, role, the text before the first one and how
    /// many at most are the statement's parameters.
    fn of_role(
        &self,
        sql: &str,
        account: &AccountId,
        role: &str,
        (after, limit): (&str, usize),
    ) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement
                .query_map(params![account.as_str(), role, after, limit as i64], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// The ARNs of the attached policies, from behind the ARN `after`.
    pub(crate) fn attached_policies(
        &self,
        account: &AccountId,
        role: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT arn FROM role_policies WHERE account = ?1 AND role = ?2 AND arn > ?3
                   ORDER BY arn LIMIT ?4";
        self.of_role(sql, account, role, (after, limit))
    }

    /// Writes a policy into a role. `fits` is asked with the length of all others together and
    /// says whether it may be; the answer is false when not, and nothing when there is no role.
    pub(crate) fn put_inline_policy(
        &self,
        account: &AccountId,
        role: &str,
        name: &str,
        document: &str,
        fits: impl FnOnce(&[String]) -> bool,
    ) -> Result<Option<bool>, StoreError> {
        self.write(|transaction| {
            if role_text(transaction, account, role)?.is_none() {
                return Ok(None);
            }
            let others = {
                let mut statement = transaction.prepare_cached(
                    "SELECT document FROM inline_policies WHERE account = ?1 AND role = ?2 AND name <> ?3",
                )?;
                let rows = statement
                    .query_map(params![account.as_str(), role, name], |row| row.get::<_, String>(0))?;
                rows.collect::<Result<Vec<_>, _>>()?
            };
            if !fits(&others) {
                return Ok(Some(false));
            }
            transaction.execute(
                "INSERT INTO inline_policies VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET document = excluded.document",
                params![account.as_str(), role, name, document],
            )?;
            Ok(Some(true))
        })
    }

    /// The document of a policy that is written into a role.
    pub(crate) fn inline_policy(
        &self,
        account: &AccountId,
        role: &str,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT document FROM inline_policies WHERE account = ?1 AND role = ?2 AND name = ?3",
                )?
                .query_row(params![account.as_str(), role, name], |row| row.get(0))
                .optional()?)
        })
    }

    /// The names of the policies that are written into a role, from behind the name `after`.
    pub(crate) fn inline_policies(
        &self,
        account: &AccountId,
        role: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM inline_policies WHERE account = ?1 AND role = ?2 AND name > ?3
                   ORDER BY name LIMIT ?4";
        self.of_role(sql, account, role, (after, limit))
    }

    /// Takes a policy out of a role. False when it was not there.
    pub(crate) fn delete_inline_policy(
        &self,
        account: &AccountId,
        role: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "DELETE FROM inline_policies WHERE account = ?1 AND role = ?2 AND name = ?3",
                params![account.as_str(), role, name],
            )? == 1)
        })
    }
}

fn role_text(
    transaction: &Transaction<'_>,
    account: &AccountId,
    name: &str,
) -> Result<Option<String>, StoreError> {
    Ok(transaction
        .prepare_cached("SELECT record FROM roles WHERE account = ?1 AND name = ?2")?
        .query_row(params![account.as_str(), name], |row| row.get(0))
        .optional()?)
}
