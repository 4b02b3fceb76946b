//! Unfinished multipart uploads and their parts.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    NewVersion, PartRecord, Pinned, Store, StoreError, UploadRecord, from_json,
    objects::{Condition, put},
    to_json,
};

impl Store {
    /// Remembers a new multipart upload. False when there is no such bucket.
    pub(crate) fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        record: &UploadRecord,
    ) -> Result<bool, StoreError> {
        let text = to_json(record)?;
        self.write(|transaction| {
            Ok(transaction.execute(
                "INSERT INTO uploads SELECT name, ?2, ?3, ?4 FROM buckets WHERE name = ?1",
                params![bucket, key, id, text],
            )? == 1)
        })
    }

    /// One upload.
    pub(crate) fn upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<Option<UploadRecord>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT record FROM uploads WHERE bucket = ?1 AND key = ?2 AND id = ?3")?
                .query_row([bucket, key, id], |row| row.get::<_, String>(0))
                .optional()?
                .map(|text| from_json(&text, &format!("upload `{id}`")))
                .transpose()
        })
    }

    /// Remembers a part, in place of one of the same number. False when there is no such upload.
    pub(crate) fn put_part(&self, upload: &str, part: &PartRecord) -> Result<bool, StoreError> {
        let text = to_json(part)?;
        let replaced = self.write(|transaction| {
            if !transaction.prepare_cached("SELECT 1 FROM uploads WHERE id = ?1")?.exists([upload])? {
                return Ok(None);
            }
            let replaced: Option<String> = transaction
                .query_row(
                    "SELECT sha256 FROM parts WHERE upload = ?1 AND number = ?2",
                    params![upload, part.number],
                    |row| row.get(0),
                )
                .optional()?;
            transaction.execute(
                "INSERT OR REPLACE INTO parts VALUES (?1, ?2, ?3, ?4)",
                params![upload, part.number, part.sha256.to_hex(), text],
            )?;
            Ok(Some(replaced.map(Pinned::Blob)))
        })?;
        let there = replaced.is_some();
        self.collect(replaced.flatten());
        Ok(there)
    }

    /// The parts of an upload behind a number, by number, `limit` at most.
    pub(crate) fn parts(
        &self,
        upload: &str,
        after: i32,
        limit: usize,
    ) -> Result<Vec<PartRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM parts WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![upload, after, limit], |row| row.get::<_, String>(0))?;
            rows.map(|row| from_json(&row?, "a part")).collect()
        })
    }

    /// Throws an upload away. False when there is no such upload.
    pub(crate) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<bool, StoreError> {
        let dropped = self.write(|transaction| end(transaction, bucket, key, id))?;
        let there = dropped.is_some();
        self.collect(dropped.into_iter().flatten());
        Ok(there)
    }

    /// Ends an upload; the object takes its place in the same step. Gives the version's id;
    /// nothing when there is no such upload or `allowed` says no.
    pub(crate) fn complete_upload(
        &self,
        id: &str,
        object: &NewVersion<'_>,
        allowed: Condition<'_>,
    ) -> Result<Option<String>, StoreError> {
        let done = self.write(|transaction| {
            let there = transaction
                .prepare_cached("SELECT 1 FROM uploads WHERE bucket = ?1 AND key = ?2 AND id = ?3")?
                .exists([object.bucket, object.key, id])?;
            if !there {
                return Ok(None);
            }
            let Some((version, replaced)) = put(transaction, object, allowed)? else {
                return Ok(None);
            };
            let mut dropped = end(transaction, object.bucket, object.key, id)?.unwrap_or_default();
            dropped.extend(replaced);
            Ok(Some((version, dropped)))
        })?;
        let (version, dropped) = done.unzip();
        self.collect(dropped.into_iter().flatten());
        Ok(version)
    }
}

/// Removes an upload and its parts. Gives the bytes; nothing when there is no such upload.
fn end(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Option<Vec<Pinned>>, StoreError> {
    let ended = transaction
        .execute("DELETE FROM uploads WHERE bucket = ?1 AND key = ?2 AND id = ?3", [bucket, key, id])?;
    if ended == 0 { Ok(None) } else { drop_parts(transaction, id).map(Some) }
}

pub(super) fn drop_parts(transaction: &Transaction<'_>, upload: &str) -> Result<Vec<Pinned>, StoreError> {
    let mut statement = transaction.prepare_cached("DELETE FROM parts WHERE upload = ?1 RETURNING sha256")?;
    let rows = statement.query_map([upload], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(Pinned::Blob(row?))).collect()
}
