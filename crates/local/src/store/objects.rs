//! Buckets, objects and unfinished multipart uploads.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    Blob, BucketRecord, ObjectRecord, PartRecord, Pinned, Store, StoreError, UploadRecord, from_json, to_json,
};

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListedObjects {
    /// Objects, by key.
    pub(crate) objects: Vec<(String, ObjectRecord)>,
    /// What stands before the delimiter, by name.
    pub(crate) common_prefixes: Vec<String>,
    /// The last key or prefix of the page, when there is more.
    pub(crate) more_after: Option<String>,
}

impl Store {
    /// Remembers a new bucket. Gives the one of that name when there is one.
    pub(crate) fn create_bucket(&self, record: &BucketRecord) -> Result<Option<BucketRecord>, StoreError> {
        self.write(|transaction| {
            let added = transaction.execute(
                "INSERT INTO buckets VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![record.name, record.account, record.region, record.created],
            )?;
            if added == 1 { Ok(None) } else { bucket(transaction, &record.name) }
        })
    }

    /// One bucket.
    pub(crate) fn bucket(&self, name: &str) -> Result<Option<BucketRecord>, StoreError> {
        self.read(|connection| bucket(connection, name))
    }

    /// All buckets of an account, by name.
    pub(crate) fn buckets(&self, account: &str) -> Result<Vec<BucketRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, account, region, created FROM buckets WHERE account = ?1 ORDER BY name",
            )?;
            let rows = statement.query_map(params![account], bucket_row)?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Forgets an empty bucket. False when it holds objects.
    pub(crate) fn delete_bucket(&self, name: &str) -> Result<bool, StoreError> {
        let parts = self.write(|transaction| {
            if transaction.prepare_cached("SELECT 1 FROM objects WHERE bucket = ?1")?.exists([name])? {
                return Ok(None);
            }
            let mut dropped = Vec::new();
            let mut statement = transaction.prepare("SELECT id FROM uploads WHERE bucket = ?1")?;
            for id in statement.query_map([name], |row| row.get::<_, String>(0))? {
                dropped.extend(drop_parts(transaction, &id?)?);
            }
            transaction.execute("DELETE FROM uploads WHERE bucket = ?1", [name])?;
            transaction.execute("DELETE FROM buckets WHERE name = ?1", [name])?;
            Ok(Some(dropped))
        })?;
        let empty = parts.is_some();
        self.collect(parts.into_iter().flatten());
        Ok(empty)
    }

    /// Remembers an object, in place of one of the same key. False when there is no such bucket.
    pub(crate) fn put_object(
        &self,
        bucket: &str,
        key: &str,
        record: &ObjectRecord,
    ) -> Result<bool, StoreError> {
        let replaced = self.write(|transaction| {
            if self::bucket(transaction, bucket)?.is_none() {
                return Ok(None);
            }
            put(transaction, bucket, key, record).map(Some)
        })?;
        let there = replaced.is_some();
        self.collect(replaced.flatten());
        Ok(there)
    }

    /// One object.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Result<Option<ObjectRecord>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT record FROM objects WHERE bucket = ?1 AND key = ?2")?
                .query_row([bucket, key], |row| row.get::<_, String>(0))
                .optional()?
                .map(|text| from_json(&text, &format!("object `{bucket}/{key}`")))
                .transpose()
        })
    }

    /// One object, and its bytes, which stay while they are held.
    pub(crate) fn hold_object(
        self: &Arc<Self>,
        bucket: &str,
        key: &str,
    ) -> Result<Option<(ObjectRecord, Blob)>, StoreError> {
        self.hold(|store| store.object(bucket, key), |record| (record.sha256, record.size))
    }

    /// Forgets objects; those that are not there count as forgotten.
    pub(crate) fn delete_objects(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        let dropped = self.write(|transaction| {
            let mut dropped = Vec::new();
            let mut delete = transaction
                .prepare_cached("DELETE FROM objects WHERE bucket = ?1 AND key = ?2 RETURNING sha256")?;
            for key in keys {
                let found = delete.query_map([bucket, key], |row| row.get::<_, String>(0))?;
                for sha256 in found {
                    dropped.push(Pinned::Blob(sha256?));
                }
            }
            Ok(dropped)
        })?;
        self.collect(dropped);
        Ok(())
    }

    /// One page of the objects whose key begins with `prefix`, from behind `after`; keys that
    /// hold `delimiter` behind the prefix count once for all that share what stands before it.
    pub(crate) fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        after: &str,
        limit: usize,
    ) -> Result<ListedObjects, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, record FROM objects
                 WHERE bucket = ?1 AND (key > ?2 OR (?4 AND key = ?2)) AND key < ?5
                   AND SUBSTR(key, 1, LENGTH(?3)) = ?3
                 ORDER BY key LIMIT 256",
            )?;
            let mut page = ListedObjects::default();
            let mut last = String::new();
            // Where to go on: behind a key, or at the first key behind all that share a prefix.
            let mut from = if after < prefix { (prefix.to_owned(), true) } else { (after.to_owned(), false) };
            if !delimiter.is_empty() && after.len() > prefix.len() && after.ends_with(delimiter) {
                from = (behind_all(after), true);
            }
            loop {
                let rows = statement
                    .query_map(params![bucket, from.0, prefix, from.1, behind_all(prefix)], |row| {
                        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                    })?
                    .collect::<Result<Vec<_>, _>>()?;
                let Some((newest, _)) = rows.last() else {
                    return Ok(page);
                };
                from = (newest.clone(), false);
                for (key, record) in rows {
                    let rest = key.get(prefix.len()..).unwrap_or_default();
                    let cut = if delimiter.is_empty() { None } else { rest.find(delimiter) };
                    if page.objects.len() + page.common_prefixes.len() >= limit {
                        page.more_after = Some(last);
                        return Ok(page);
                    }
                    if let Some(cut) = cut {
                        let common = format!("{prefix}{}", &rest[..cut + delimiter.len()]);
                        from = (behind_all(&common), true);
                        last.clone_from(&common);
                        page.common_prefixes.push(common);
                        break;
                    }
                    let parsed = from_json(&record, &format!("object `{bucket}/{key}`"))?;
                    last.clone_from(&key);
                    page.objects.push((key, parsed));
                }
            }
        })
    }

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

    /// All uploads into a bucket whose key begins with `prefix`: key, id, record.
    pub(crate) fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<(String, String, UploadRecord)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, id, record FROM uploads
                 WHERE bucket = ?1 AND SUBSTR(key, 1, LENGTH(?2)) = ?2 ORDER BY key, id",
            )?;
            let rows = statement.query_map([bucket, prefix], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })?;
            rows.map(|row| {
                let (key, id, text) = row?;
                let record = from_json(&text, &format!("upload `{id}`"))?;
                Ok((key, id, record))
            })
            .collect()
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

    /// The parts of an upload, by number.
    pub(crate) fn parts(&self, upload: &str) -> Result<Vec<PartRecord>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT record FROM parts WHERE upload = ?1 ORDER BY number")?;
            let rows = statement.query_map([upload], |row| row.get::<_, String>(0))?;
            rows.map(|row| from_json(&row?, "a part")).collect()
        })
    }

    /// Ends an upload; with an object, that takes its place in the same step. False when there is
    /// no such upload.
    pub(crate) fn end_upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        object: Option<&ObjectRecord>,
    ) -> Result<bool, StoreError> {
        let dropped = self.write(|transaction| {
            let ended = transaction.execute(
                "DELETE FROM uploads WHERE bucket = ?1 AND key = ?2 AND id = ?3",
                [bucket, key, id],
            )?;
            if ended == 0 {
                return Ok(None);
            }
            let mut dropped = drop_parts(transaction, id)?;
            if let Some(record) = object {
                dropped.extend(put(transaction, bucket, key, record)?);
            }
            Ok(Some(dropped))
        })?;
        let there = dropped.is_some();
        self.collect(dropped.into_iter().flatten());
        Ok(there)
    }
}

/// The least text that is greater than everything that begins with `prefix`.
fn behind_all(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

fn bucket(connection: &rusqlite::Connection, name: &str) -> Result<Option<BucketRecord>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT name, account, region, created FROM buckets WHERE name = ?1")?
        .query_row([name], bucket_row)
        .optional()?)
}

fn bucket_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BucketRecord> {
    Ok(BucketRecord { name: row.get(0)?, account: row.get(1)?, region: row.get(2)?, created: row.get(3)? })
}

fn put(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    record: &ObjectRecord,
) -> Result<Option<Pinned>, StoreError> {
    let replaced: Option<String> = transaction
        .query_row("SELECT sha256 FROM objects WHERE bucket = ?1 AND key = ?2", [bucket, key], |row| {
            row.get(0)
        })
        .optional()?;
    transaction.execute(
        "INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4)",
        params![bucket, key, record.sha256.to_hex(), to_json(record)?],
    )?;
    Ok(replaced.map(Pinned::Blob))
}

fn drop_parts(transaction: &Transaction<'_>, upload: &str) -> Result<Vec<Pinned>, StoreError> {
    let mut statement = transaction.prepare_cached("DELETE FROM parts WHERE upload = ?1 RETURNING sha256")?;
    let rows = statement.query_map([upload], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(Pinned::Blob(row?))).collect()
}
