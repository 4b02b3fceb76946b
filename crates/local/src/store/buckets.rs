//! Buckets and their settings. A setting is text that the wire understands and the store does not.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{BucketRecord, Store, StoreError, Versioning, uploads::drop_parts};

/// Which buckets a listing shows.
#[derive(Debug)]
pub(crate) struct BucketQuery<'a> {
    /// Whose.
    pub(crate) account: &'a str,
    /// How their names begin.
    pub(crate) prefix: &'a str,
    /// The name that the listing goes on behind.
    pub(crate) after: &'a str,
    /// Where they are, when that matters.
    pub(crate) region: Option<&'a str>,
    /// How many at most.
    pub(crate) limit: usize,
}

impl Store {
    /// Remembers a new bucket. Gives the one of that name when there is one.
    pub(crate) fn create_bucket(&self, record: &BucketRecord) -> Result<Option<BucketRecord>, StoreError> {
        self.write(|transaction| {
            let added = transaction.execute(
                "INSERT INTO buckets (name, account, region, created) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
                params![record.name, record.account, record.region, record.created],
            )?;
            if added == 1 { Ok(None) } else { bucket(transaction, &record.name) }
        })
    }

    /// One bucket.
    pub(crate) fn bucket(&self, name: &str) -> Result<Option<BucketRecord>, StoreError> {
        self.read(|connection| bucket(connection, name))
    }

    /// Buckets of an account, by name.
    pub(crate) fn buckets(&self, query: &BucketQuery<'_>) -> Result<Vec<BucketRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, account, region, created, versioning FROM buckets
                 WHERE name > ?1 AND account = ?2 AND SUBSTR(name, 1, LENGTH(?3)) = ?3
                   AND (?4 IS NULL OR region = ?4)
                 ORDER BY name LIMIT ?5",
            )?;
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(
                params![query.after, query.account, query.prefix, query.region, limit],
                bucket_row,
            )?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Forgets an empty bucket, with its settings and unfinished uploads. False when it holds
    /// objects, or old versions or delete markers of some.
    pub(crate) fn delete_bucket(&self, name: &str) -> Result<bool, StoreError> {
        let parts = self.write(|transaction| {
            if transaction
                .prepare_cached("SELECT 1 FROM object_versions WHERE bucket = ?1")?
                .exists([name])?
            {
                return Ok(None);
            }
            let mut dropped = Vec::new();
            let mut statement = transaction.prepare("SELECT id FROM uploads WHERE bucket = ?1")?;
            for id in statement.query_map([name], |row| row.get::<_, String>(0))? {
                dropped.extend(drop_parts(transaction, &id?)?);
            }
            transaction.execute("DELETE FROM uploads WHERE bucket = ?1", [name])?;
            transaction.execute("DELETE FROM bucket_settings WHERE bucket = ?1", [name])?;
            transaction.execute("DELETE FROM buckets WHERE name = ?1", [name])?;
            Ok(Some(dropped))
        })?;
        let empty = parts.is_some();
        self.collect(parts.into_iter().flatten());
        Ok(empty)
    }

    /// Says whether a bucket's objects get versions from now on.
    pub(crate) fn set_versioning(&self, name: &str, versioning: Versioning) -> Result<(), StoreError> {
        let text = match versioning {
            Versioning::Enabled => "Enabled",
            Versioning::Suspended => "Suspended",
        };
        self.write(|transaction| {
            transaction.execute("UPDATE buckets SET versioning = ?2 WHERE name = ?1", [name, text])?;
            Ok(())
        })
    }

    /// A setting of a bucket: nothing when it was never set, an inner nothing when it was removed.
    pub(crate) fn bucket_setting(
        &self,
        bucket: &str,
        name: &str,
    ) -> Result<Option<Option<String>>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT value FROM bucket_settings WHERE bucket = ?1 AND name = ?2")?
                .query_row([bucket, name], |row| row.get(0))
                .optional()?)
        })
    }

    /// Sets settings of a bucket, or removes them. Does nothing when the bucket is gone.
    pub(crate) fn set_bucket_settings(
        &self,
        bucket: &str,
        settings: &[(&str, Option<String>)],
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT OR REPLACE INTO bucket_settings SELECT name, ?2, ?3 FROM buckets WHERE name = ?1",
            )?;
            for (name, value) in settings {
                statement.execute(params![bucket, name, value])?;
            }
            Ok(())
        })
    }
}

/// One bucket, inside of a transaction or not.
pub(super) fn bucket(connection: &Connection, name: &str) -> Result<Option<BucketRecord>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT name, account, region, created, versioning FROM buckets WHERE name = ?1")?
        .query_row([name], bucket_row)
        .optional()?)
}

fn bucket_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BucketRecord> {
    let versioning: Option<String> = row.get(4)?;
    Ok(BucketRecord {
        name: row.get(0)?,
        account: row.get(1)?,
        region: row.get(2)?,
        created: row.get(3)?,
        versioning: versioning.map(|text| match text.as_str() {
            "Enabled" => Versioning::Enabled,
            _ => Versioning::Suspended,
        }),
    })
}
