//! Objects and their versions. Every version is a row; of one key the newest has the least place
//! and is marked as the latest, so that current objects are found without looking at old ones.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    Blob, ObjectPartRecord, ObjectRecord, Pinned, Store, StoreError, Versioning, buckets::bucket, from_json,
    to_json,
};

/// The version of what was put while its bucket had no versions.
pub(crate) const NULL_VERSION: &str = "null";

/// An object on its way in.
pub(crate) struct NewVersion<'a> {
    /// The bucket.
    pub(crate) bucket: &'a str,
    /// The key.
    pub(crate) key: &'a str,
    /// The version's id, taken when the bucket has versions.
    pub(crate) id: &'a str,
    /// The object.
    pub(crate) record: &'a ObjectRecord,
    /// Its parts, when it was uploaded in parts.
    pub(crate) parts: &'a [ObjectPartRecord],
}

/// A version of an object that was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundVersion {
    /// Its id.
    pub(crate) id: String,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
    /// Nothing for a delete marker.
    pub(crate) record: Option<ObjectRecord>,
}

/// What is to be deleted.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    /// The key.
    pub(crate) key: String,
    /// One version; without it, whatever is current.
    pub(crate) version: Option<String>,
    /// The id of the delete marker, taken when the bucket has versions and none is named.
    pub(crate) marker: String,
    /// In milliseconds since 1970.
    pub(crate) now: i64,
}

/// What became of a [`Deletion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// The object is gone, or was not there.
    Object,
    /// The version is gone, or was not there.
    Version,
    /// The version that is gone was a delete marker.
    Marker,
    /// There is a delete marker now, of this id.
    Marked(String),
    /// The caller's condition did not hold.
    Refused,
}

/// Decides, inside of the transaction that changes it, on what is current.
pub(crate) type Condition<'a> = &'a mut dyn FnMut(&str, Option<&ObjectRecord>) -> bool;

impl Store {
    /// Remembers an object: as a version of its own, or in place of the version `null`. Gives the
    /// version's id; nothing when there is no such bucket or `allowed` says no.
    pub(crate) fn put_object(
        &self,
        new: &NewVersion<'_>,
        allowed: Condition<'_>,
    ) -> Result<Option<String>, StoreError> {
        let put = self.write(|transaction| put(transaction, new, allowed))?;
        let (id, dropped) = put.unzip();
        self.collect(dropped.flatten());
        Ok(id)
    }

    /// One version of an object, or the current one. It may be a delete marker.
    pub(crate) fn object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<FoundVersion>, StoreError> {
        self.read(|connection| found(connection, bucket, key, version))
    }

    /// One version of an object, or the current one, and its bytes, which stay while they are
    /// held. Nothing when it is not there or is a delete marker.
    pub(crate) fn hold_object(
        self: &Arc<Self>,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<(ObjectRecord, Blob)>, StoreError> {
        self.hold(
            |store| Ok(store.object(bucket, key, version)?.and_then(|found| found.record)),
            |record| (record.sha256, record.size),
        )
    }

    /// Changes what is known of a version, not its bytes. Nothing when it is not there.
    pub(crate) fn change_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        change: &mut dyn FnMut(&mut ObjectRecord),
    ) -> Result<Option<FoundVersion>, StoreError> {
        self.write(|transaction| {
            let Some(mut version) = found(transaction, bucket, key, version)? else {
                return Ok(None);
            };
            if let Some(record) = &mut version.record {
                change(record);
                transaction.execute(
                    "UPDATE object_versions SET record = ?4 WHERE bucket = ?1 AND key = ?2 AND version = ?3",
                    params![bucket, key, version.id, to_json(record)?],
                )?;
            }
            Ok(Some(version))
        })
    }

    /// The parts of an object that was uploaded in parts: those behind `after`, `limit` at most.
    pub(crate) fn object_parts(
        &self,
        bucket: &str,
        key: &str,
        version: &str,
        after: i32,
        limit: usize,
    ) -> Result<Vec<ObjectPartRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM object_parts
                 WHERE bucket = ?1 AND key = ?2 AND version = ?3 AND number > ?4 ORDER BY number LIMIT ?5",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement
                .query_map(params![bucket, key, version, after, limit], |row| row.get::<_, String>(0))?;
            rows.map(|row| from_json(&row?, "a part of an object")).collect()
        })
    }

    /// Deletes objects and versions, all in one transaction. `allowed` is asked for those without
    /// a version, by their place in the list. Nothing when there is no such bucket.
    pub(crate) fn delete_objects(
        &self,
        bucket: &str,
        deletions: &[Deletion],
        allowed: &mut dyn FnMut(usize, Option<&ObjectRecord>) -> bool,
    ) -> Result<Option<Vec<Deleted>>, StoreError> {
        let done = self.write(|transaction| {
            let Some(record) = self::bucket(transaction, bucket)? else {
                return Ok(None);
            };
            let mut dropped = Vec::new();
            let mut outcomes = Vec::new();
            for (place, deletion) in deletions.iter().enumerate() {
                let mut allowed = |there: Option<&ObjectRecord>| allowed(place, there);
                let deleting = Deleting { transaction, bucket, versioning: record.versioning };
                outcomes.push(deleting.delete(deletion, &mut allowed, &mut dropped)?);
            }
            Ok(Some((outcomes, dropped)))
        })?;
        let (outcomes, dropped) = done.unzip();
        self.collect(dropped.into_iter().flatten());
        Ok(outcomes)
    }
}

/// One deletion in its transaction.
struct Deleting<'a> {
    transaction: &'a Transaction<'a>,
    bucket: &'a str,
    versioning: Option<Versioning>,
}

impl Deleting<'_> {
    fn delete(
        &self,
        deletion: &Deletion,
        allowed: &mut dyn FnMut(Option<&ObjectRecord>) -> bool,
        dropped: &mut Vec<Pinned>,
    ) -> Result<Deleted, StoreError> {
        let Self { transaction, bucket, versioning } = *self;
        let key = &deletion.key;
        let there = found(transaction, bucket, key, deletion.version.as_deref())?;
        if !allowed(there.as_ref().and_then(|version| version.record.as_ref())) {
            return Ok(Deleted::Refused);
        }
        if let Some(version) = &deletion.version {
            dropped.extend(remove(transaction, bucket, key, version)?);
            let was_marker = there.is_some_and(|version| version.record.is_none());
            return Ok(if was_marker { Deleted::Marker } else { Deleted::Version });
        }
        let id = match versioning {
            None => {
                dropped.extend(remove(transaction, bucket, key, NULL_VERSION)?);
                return Ok(Deleted::Object);
            }
            Some(Versioning::Enabled) => deletion.marker.as_str(),
            Some(Versioning::Suspended) => {
                dropped.extend(remove(transaction, bucket, key, NULL_VERSION)?);
                NULL_VERSION
            }
        };
        insert(transaction, &Row { bucket, key, id, modified: deletion.now, record: None })?;
        Ok(Deleted::Marked(id.to_owned()))
    }
}

/// A version as it is written.
struct Row<'a> {
    bucket: &'a str,
    key: &'a str,
    id: &'a str,
    modified: i64,
    record: Option<&'a ObjectRecord>,
}

/// Adds an object; gives the version's id and what it replaced. Nothing when there is no such
/// bucket or `allowed` says no.
pub(super) fn put(
    transaction: &Transaction<'_>,
    new: &NewVersion<'_>,
    allowed: Condition<'_>,
) -> Result<Option<(String, Option<Pinned>)>, StoreError> {
    let NewVersion { bucket, key, .. } = *new;
    let Some(there) = self::bucket(transaction, bucket)? else {
        return Ok(None);
    };
    let current = found(transaction, bucket, key, None)?.and_then(|version| version.record);
    if !allowed(key, current.as_ref()) {
        return Ok(None);
    }
    let versioned = there.versioning == Some(Versioning::Enabled);
    let id = if versioned { new.id } else { NULL_VERSION };
    let replaced = if versioned { None } else { remove(transaction, bucket, key, id)? };
    insert(transaction, &Row { bucket, key, id, modified: new.record.modified, record: Some(new.record) })?;
    let mut statement = transaction.prepare_cached("INSERT INTO object_parts VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for part in new.parts {
        statement.execute(params![bucket, key, id, part.number, to_json(part)?])?;
    }
    Ok(Some((id.to_owned(), replaced)))
}

/// Puts a version in front of all others of its key.
fn insert(transaction: &Transaction<'_>, row: &Row<'_>) -> Result<(), StoreError> {
    let Row { bucket, key, id, modified, record } = *row;
    transaction
        .prepare_cached(
            "UPDATE object_versions SET latest = 0 WHERE bucket = ?1 AND key = ?2 AND latest = 1",
        )?
        .execute([bucket, key])?;
    transaction
        .prepare_cached(
            "INSERT INTO object_versions
             SELECT ?1, ?2, COALESCE(MIN(place), 1) - 1, ?3, 1, ?4, ?5, ?6
             FROM object_versions WHERE bucket = ?1 AND key = ?2",
        )?
        .execute(params![
            bucket,
            key,
            id,
            modified,
            record.map(|record| record.sha256.to_hex()),
            record.map(to_json).transpose()?
        ])?;
    Ok(())
}

/// Removes a version and makes the one behind it the latest, if it was that. Gives its bytes.
fn remove(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    version: &str,
) -> Result<Option<Pinned>, StoreError> {
    let removed: Option<(bool, Option<String>)> = transaction
        .prepare_cached(
            "DELETE FROM object_versions WHERE bucket = ?1 AND key = ?2 AND version = ?3
             RETURNING latest, sha256",
        )?
        .query_row([bucket, key, version], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((latest, sha256)) = removed else {
        return Ok(None);
    };
    if latest {
        transaction
            .prepare_cached(
                "UPDATE object_versions SET latest = 1 WHERE bucket = ?1 AND key = ?2 AND place =
                    (SELECT MIN(place) FROM object_versions WHERE bucket = ?1 AND key = ?2)",
            )?
            .execute([bucket, key])?;
    }
    transaction
        .prepare_cached("DELETE FROM object_parts WHERE bucket = ?1 AND key = ?2 AND version = ?3")?
        .execute([bucket, key, version])?;
    Ok(sha256.map(Pinned::Blob))
}

/// One version of an object, or the current one.
fn found(
    connection: &Connection,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<Option<FoundVersion>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
    };
    let row = match version {
        Some(version) => connection
            .prepare_cached(
                "SELECT version, modified, record FROM object_versions
                 WHERE bucket = ?1 AND key = ?2 AND version = ?3",
            )?
            .query_row([bucket, key, version], read),
        // The latest has the least place.
        None => connection
            .prepare_cached(
                "SELECT version, modified, record FROM object_versions
                 WHERE bucket = ?1 AND key = ?2 ORDER BY place LIMIT 1",
            )?
            .query_row([bucket, key], read),
    };
    let Some((id, modified, record)) = row.optional()? else {
        return Ok(None);
    };
    let record = record.map(|text| from_json(&text, &format!("object `{bucket}/{key}`"))).transpose()?;
    Ok(Some(FoundVersion { id, modified, record }))
}
