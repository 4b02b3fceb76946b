//! Secrets: the data folder's own, and temporary credentials. The database is its owner's alone.

use layercake_core::aws::AccountId;
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, from_json, to_json};

/// Temporary credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    /// The access key's id.
    pub(crate) key: String,
    /// Its secret.
    pub(crate) secret: String,
    /// The token that goes with it.
    pub(crate) token: String,
    /// The account.
    pub(crate) account: AccountId,
    /// The user that they were made for, when it is one.
    pub(crate) user: Option<String>,
    /// The role that was taken.
    pub(crate) role: Option<String>,
    /// Its id.
    pub(crate) role_id: Option<String>,
    /// The session's name.
    pub(crate) session: Option<String>,
    /// When they end, in milliseconds since 1970.
    pub(crate) expires: i64,
}

impl Store {
    /// A random secret of this data folder, made when it is first asked for.
    pub(crate) fn own_secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO secrets VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![name, fresh],
            )?;
            Ok(transaction
                .query_row("SELECT value FROM secrets WHERE name = ?1", params![name], |row| row.get(0))?)
        })
    }

    /// Remembers temporary credentials.
    pub(crate) fn add_session(&self, record: &SessionRecord) -> Result<(), StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO sessions (key, expires, record) VALUES (?1, ?2, ?3)",
                params![record.key, record.expires, text],
            )?;
            Ok(())
        })
    }

    /// The temporary credentials with this key id, perhaps expired.
    pub(crate) fn session(&self, key: &str) -> Result<Option<SessionRecord>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT record FROM sessions WHERE key = ?1")?
                .query_row(params![key], |row| row.get::<_, String>(0))
                .optional()?
                .map(|text| from_json(&text, "temporary credentials"))
                .transpose()
        })
    }

    /// Forgets credentials a day after their end; until then a client learns that they expired.
    pub(crate) fn forget_sessions(&self, now: i64) -> Result<(), StoreError> {
        self.write(|transaction| {
            let day = 24 * 60 * 60 * 1000;
            transaction.execute("DELETE FROM sessions WHERE expires < ?1", params![now - day])?;
            Ok(())
        })
    }

    /// A file without a name, for bytes that are read once and gone with the file.
    pub(crate) fn scratch(&self) -> Result<std::fs::File, StoreError> {
        Ok(tempfile::tempfile_in(self.root.join("beside"))?)
    }
}
