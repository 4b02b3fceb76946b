//! IAM roles and the policies attached to them.

use layercake_core::aws::AccountId;
use rusqlite::{OptionalExtension as _, params};

use super::{RoleRecord, Store, StoreError, from_json, to_json};

impl Store {
    /// Remembers a new role. False when there is one of that name.
    pub(crate) fn create_role(&self, account: &AccountId, record: &RoleRecord) -> Result<bool, StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            Ok(transaction.execute(
                "INSERT INTO roles VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![account.as_str(), record.name, text],
            )? == 1)
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

    /// Roles by name, from behind the name `after`.
    pub(crate) fn roles(
        &self,
        account: &AccountId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RoleRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM roles WHERE account = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
            )?;
            let rows = statement
                .query_map(params![account.as_str(), after, limit as i64], |row| row.get::<_, String>(0))?;
            rows.map(|row| from_json(&row?, "a role")).collect()
        })
    }

    /// Replaces a role's record.
    pub(crate) fn replace_role(&self, account: &AccountId, record: &RoleRecord) -> Result<(), StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            transaction.execute(
                "UPDATE roles SET record = ?3 WHERE account = ?1 AND name = ?2",
                params![account.as_str(), record.name, text],
            )?;
            Ok(())
        })
    }

    /// Forgets a role. False when policies are attached to it.
    pub(crate) fn delete_role(&self, account: &AccountId, name: &str) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let key = params![account.as_str(), name];
            let mut attached =
                transaction.prepare_cached("SELECT 1 FROM role_policies WHERE account = ?1 AND role = ?2")?;
            if attached.exists(key)? {
                return Ok(false);
            }
            transaction.execute("DELETE FROM roles WHERE account = ?1 AND name = ?2", key)?;
            Ok(true)
        })
    }

    /// Attaches a policy; attaching it twice is the same as once. False when there is no such role.
    pub(crate) fn attach_policy(
        &self,
        account: &AccountId,
        role: &str,
        arn: &str,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let mut found =
                transaction.prepare_cached("SELECT 1 FROM roles WHERE account = ?1 AND name = ?2")?;
            if !found.exists(params![account.as_str(), role])? {
                return Ok(false);
            }
            transaction.execute(
                "INSERT INTO role_policies VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![account.as_str(), role, arn],
            )?;
            Ok(true)
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

    /// The ARNs of the attached policies.
    pub(crate) fn attached_policies(
        &self,
        account: &AccountId,
        role: &str,
    ) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT arn FROM role_policies WHERE account = ?1 AND role = ?2 ORDER BY arn",
            )?;
            let rows = statement.query_map(params![account.as_str(), role], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }
}
