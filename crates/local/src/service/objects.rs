//! S3's objects and their versions.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Cloud, ObjectError,
    digest::{DEFAULT_ALGORITHM, Digest, Digested},
    now,
    version_id::{new_version_id, version_made},
};
use crate::store::{
    Blob, Deleted, Deletion, Listed, ListedVersion, ListingQuery, NewVersion, ObjectHeaders,
    ObjectPartRecord, ObjectRecord, ObjectTraits, Store, UploadRecord, VersionMarker,
};
use layercake_core::hash::Sha256;

/// Which object: its bucket, its key and, when one is named, its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectName {
    /// The bucket.
    pub(crate) bucket: String,
    /// The key.
    pub(crate) key: String,
    /// The version; without it the current one.
    pub(crate) version: Option<String>,
}

/// An object that was found or made.
#[derive(Clone, Debug)]
pub(crate) struct ObjectVersion {
    /// The version's id; `null` in buckets without versions.
    pub(crate) id: String,
    /// The object.
    pub(crate) record: ObjectRecord,
}

/// An object that came in whole.
pub(crate) struct NewObject {
    /// Its bytes.
    pub(crate) blob: Blob,
    /// MD5 in hexadecimal.
    pub(crate) etag: String,
    /// What the client said about it.
    pub(crate) headers: ObjectHeaders,
    /// By algorithm, base64.
    pub(crate) checksums: BTreeMap<String, String>,
    /// Class, encryption and tags.
    pub(crate) traits: ObjectTraits,
}

/// What a copy takes over.
pub(crate) struct Copied {
    /// The original.
    pub(crate) from: ObjectName,
    /// The original's ETag when the request's conditions were held against it.
    pub(crate) etag: String,
    /// Other headers than the original's.
    pub(crate) headers: Option<ObjectHeaders>,
    /// Class and encryption of the copy, and its tags if they are not the original's.
    pub(crate) traits: ObjectTraits,
    /// Whether the tags are the original's.
    pub(crate) same_tags: bool,
    /// The checksum that the copy is to have, when the client chooses one.
    pub(crate) checksum_algorithm: Option<String>,
}

/// One of the objects that a request deletes.
#[derive(Clone, Debug)]
pub(crate) struct DeleteRequest {
    /// The key.
    pub(crate) key: String,
    /// The version; without it the current one.
    pub(crate) version: Option<String>,
    /// When it may be deleted.
    pub(crate) condition: WriteCondition,
}

/// When a write may happen (`If-Match`, `If-None-Match`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WriteCondition {
    /// In any case.
    #[default]
    None,
    /// If there is no object of the key.
    Absent,
    /// If there is one of the key.
    Present,
    /// If there is one of the key with this ETag, which has no quotes.
    Match(String),
}

impl WriteCondition {
    /// Holds it against what is current. A write that began at a time (in milliseconds) also asks
    /// that nobody has written since.
    pub(super) fn check(
        &self,
        key: &str,
        there: Option<&ObjectRecord>,
        since: Option<i64>,
    ) -> Result<(), ObjectError> {
        let missing = || ObjectError::NoSuchKey { key: key.to_owned() };
        match (self, there) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Absent, Some(_)) => Err(ObjectError::PreconditionFailed { condition: "If-None-Match" }),
            (Self::Present | Self::Match(_), None) => Err(missing()),
            (Self::Match(etag), Some(there)) => {
                if !is_etag(etag, &there.etag) {
                    return Err(ObjectError::PreconditionFailed { condition: "If-Match" });
                }
                if since.is_some_and(|since| there.modified > since) {
                    return Err(ObjectError::ChangedMeanwhile { key: key.to_owned(), condition: "If-Match" });
                }
                Ok(())
            }
        }
    }
}

/// Whether a client's ETag, in quotes or not, is an object's.
pub(crate) fn is_etag(said: &str, etag: &str) -> bool {
    said.trim_matches('"') == etag
}

/// The largest object that one request copies.
const LARGEST_COPY: u64 = 5 << 30;

impl Cloud {
    /// Keeps an object.
    pub(crate) async fn put_object(
        &self,
        bucket: String,
        key: String,
        new: NewObject,
        condition: WriteCondition,
    ) -> Result<ObjectVersion, ObjectError> {
        self.blocking(move |store| {
            let record = ObjectRecord {
                sha256: new.blob.sha256(),
                size: new.blob.size(),
                etag: new.etag,
                modified: now(),
                headers: new.headers,
                checksums: new.checksums,
                composite: false,
                traits: new.traits,
                parts: 0,
            };
            let put = put(store, &bucket, &key, record, &condition);
            drop(new.blob);
            put
        })
        .await
    }

    /// One object, or a version of it.
    pub(crate) async fn object(&self, name: ObjectName) -> Result<ObjectVersion, ObjectError> {
        self.blocking(move |store| find(store, &name)).await
    }

    /// Copies an object. Its bytes are shared; it counts as put whole even if the original was
    /// uploaded in parts. Gives the copy and the original's version id.
    pub(crate) async fn copy_object(
        &self,
        bucket: String,
        key: String,
        copied: Copied,
        condition: WriteCondition,
    ) -> Result<(ObjectVersion, String), ObjectError> {
        self.blocking(move |store| {
            // Held, so that deleting the original meanwhile leaves the bytes to the copy.
            let (original, held) = hold(store, &copied.from, &copied.etag)?;
            let mut record = original.record;
            if record.size > LARGEST_COPY {
                return Err(ObjectError::CopyTooLarge);
            }
            let kept = record.checksums.keys().next().filter(|_| record.checksums.len() == 1).cloned();
            let wanted = copied
                .checksum_algorithm
                .or_else(|| kept.clone())
                .unwrap_or_else(|| DEFAULT_ALGORITHM.to_owned());
            if record.parts > 0 || record.composite || kept.as_ref() != Some(&wanted) {
                let digested = digest_blob(store, record.sha256, wanted)?;
                record.etag = digested.md5;
                record.checksums = digested.checksums;
            }
            record.composite = false;
            record.parts = 0;
            let tags = if copied.same_tags { record.traits.tags } else { copied.traits.tags };
            record.traits = ObjectTraits { tags, ..copied.traits };
            // Where a page is moved to belongs to the page and not to its content.
            record.headers.standard.remove("x-amz-website-redirect-location");
            if let Some(headers) = copied.headers {
                record.headers = headers;
            }
            record.modified = now();
            let copy = put(store, &bucket, &key, record, &condition)?;
            drop(held);
            Ok((copy, original.id))
        })
        .await
    }

    /// Deletes objects and versions; those that are not there count as deleted. Gives the outcome
    /// of each, or why it may not be deleted.
    pub(crate) async fn delete_objects(
        &self,
        bucket: String,
        requests: Vec<DeleteRequest>,
    ) -> Result<Vec<Result<Deleted, ObjectError>>, ObjectError> {
        self.blocking(move |store| {
            let now = now();
            let mut outcomes: Vec<Option<Result<Deleted, ObjectError>>> = Vec::new();
            let mut deletions = Vec::new();
            let mut places = Vec::new();
            for (place, request) in requests.iter().enumerate() {
                let refused = request.version.as_deref().and_then(|version| check_version(version).err());
                if refused.is_none() {
                    places.push(place);
                    deletions.push(Deletion {
                        key: request.key.clone(),
                        version: request.version.clone(),
                        marker: new_version_id(now),
                        now,
                    });
                }
                outcomes.push(refused.map(Err));
            }
            let mut refusals = BTreeMap::new();
            let mut allowed = |place: usize, there: Option<&ObjectRecord>| {
                let request = &requests[places[place]];
                match request.condition.check(&request.key, there, None) {
                    Ok(()) => true,
                    Err(error) => {
                        refusals.insert(place, error);
                        false
                    }
                }
            };
            let done = store
                .delete_objects(&bucket, &deletions, &mut allowed)?
                .ok_or(ObjectError::NoSuchBucket { name: bucket })?;
            for (place, deleted) in done.into_iter().enumerate() {
                let outcome = refusals.remove(&place).map_or(Ok(deleted), Err);
                if let Some(slot) = outcomes.get_mut(places[place]) {
                    *slot = Some(outcome);
                }
            }
            Ok(outcomes.into_iter().flatten().collect())
        })
        .await
    }

    /// Gives an object other tags.
    pub(crate) async fn tag_object(
        &self,
        name: ObjectName,
        tags: BTreeMap<String, String>,
    ) -> Result<ObjectVersion, ObjectError> {
        self.blocking(move |store| {
            find(store, &name)?;
            let changed =
                store.change_object(&name.bucket, &name.key, name.version.as_deref(), &mut |record| {
                    record.traits.tags = tags.clone();
                })?;
            let missing = || ObjectError::NoSuchKey { key: name.key.clone() };
            let changed = changed.ok_or_else(missing)?;
            Ok(ObjectVersion { id: changed.id, record: changed.record.ok_or_else(missing)? })
        })
        .await
    }

    /// The parts of an object behind a number, `limit` at most, and how many there are in all.
    pub(crate) async fn object_parts(
        &self,
        name: ObjectName,
        after: i32,
        limit: usize,
    ) -> Result<Vec<ObjectPartRecord>, ObjectError> {
        self.blocking(move |store| {
            let object = find(store, &name)?;
            Ok(store.object_parts(&name.bucket, &name.key, &object.id, after, limit)?)
        })
        .await
    }

    /// Where the bytes of a part lie in an object: from, and to without it. Nothing when there is
    /// no such part.
    pub(crate) async fn part_range(
        &self,
        name: ObjectName,
        number: i32,
    ) -> Result<Option<(u64, u64)>, ObjectError> {
        self.blocking(move |store| {
            let object = find(store, &name)?;
            if object.record.parts == 0 {
                return Ok((number == 1).then_some((0, object.record.size)));
            }
            let mut from = 0;
            for part in store.object_parts(&name.bucket, &name.key, &object.id, 0, usize::MAX)? {
                if part.number == number {
                    return Ok(Some((from, from + part.size)));
                }
                from += part.size;
            }
            Ok(None)
        })
        .await
    }

    /// Lists current objects: key and record.
    pub(crate) async fn list_objects(
        &self,
        bucket: String,
        query: ListingQuery,
    ) -> Result<Listed<(String, ObjectRecord)>, ObjectError> {
        if query.limit == 0 {
            return Ok(Listed::default());
        }
        self.blocking(move |store| Ok(store.list_objects(&bucket, &query)?)).await
    }

    /// Lists versions and delete markers. With a version id, from behind that of the key `after`.
    pub(crate) async fn list_versions(
        &self,
        bucket: String,
        query: ListingQuery,
        marker: Option<String>,
    ) -> Result<Listed<ListedVersion>, ObjectError> {
        if query.limit == 0 {
            return Ok(Listed::default());
        }
        let marker = match marker {
            Some(id) => {
                check_version(&id)?;
                Some(VersionMarker { made: version_made(&id), id })
            }
            None => None,
        };
        self.blocking(move |store| Ok(store.list_versions(&bucket, &query, marker.as_ref())?)).await
    }

    /// Lists unfinished uploads: key, id and record. With an id, from behind that upload of the
    /// key `after`.
    pub(crate) async fn list_uploads(
        &self,
        bucket: String,
        query: ListingQuery,
        id: Option<String>,
    ) -> Result<Listed<(String, String, UploadRecord)>, ObjectError> {
        if query.limit == 0 {
            return Ok(Listed::default());
        }
        self.blocking(move |store| Ok(store.list_uploads(&bucket, &query, id.as_deref())?)).await
    }
}

/// Puts an object, if the condition holds.
pub(super) fn put(
    store: &Arc<Store>,
    bucket: &str,
    key: &str,
    record: ObjectRecord,
    condition: &WriteCondition,
) -> Result<ObjectVersion, ObjectError> {
    let id = new_version_id(record.modified);
    let new = NewVersion { bucket, key, id: &id, record: &record, parts: &[] };
    let mut refusal = None;
    let put = store.put_object(&new, &mut |key, there| {
        refusal = condition.check(key, there, None).err();
        refusal.is_none()
    })?;
    match (put, refusal) {
        (Some(id), _) => Ok(ObjectVersion { id, record }),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => Err(ObjectError::NoSuchBucket { name: bucket.to_owned() }),
    }
}

/// An object, or why there is none.
pub(super) fn find(store: &Store, name: &ObjectName) -> Result<ObjectVersion, ObjectError> {
    let ObjectName { bucket, key, version } = name;
    let Some(found) = store.object(bucket, key, version.as_deref())? else {
        return Err(match version {
            None => ObjectError::NoSuchKey { key: key.clone() },
            Some(version) => {
                check_version(version)?;
                ObjectError::NoSuchVersion { key: key.clone(), version: version.clone() }
            }
        });
    };
    match (found.record, version) {
        (Some(record), _) => Ok(ObjectVersion { id: found.id, record }),
        (None, None) => Err(ObjectError::KeyDeleted { key: key.clone(), marker: found.id }),
        (None, Some(_)) => Err(ObjectError::IsDeleteMarker { version: found.id, modified: found.modified }),
    }
}

/// An object that a copy reads, which must still be the one that the caller saw.
pub(super) fn hold(
    store: &Arc<Store>,
    name: &ObjectName,
    etag: &str,
) -> Result<(ObjectVersion, Blob), ObjectError> {
    let found = find(store, name)?;
    let (record, blob) = store
        .hold_object(&name.bucket, &name.key, Some(&found.id))?
        .ok_or_else(|| ObjectError::NoSuchKey { key: name.key.clone() })?;
    if record.etag != etag {
        return Err(ObjectError::PreconditionFailed { condition: "x-amz-copy-source-If-Match" });
    }
    Ok((ObjectVersion { id: found.id, record }, blob))
}

/// Whether a text is the id of a version, there or gone.
fn check_version(version: &str) -> Result<(), ObjectError> {
    if version == crate::store::NULL_VERSION || version_made(version).is_some() {
        Ok(())
    } else {
        Err(ObjectError::InvalidVersion { version: version.to_owned() })
    }
}

/// MD5 and one checksum of a file of the store.
fn digest_blob(store: &Store, sha256: Sha256, algorithm: String) -> Result<Digested, ObjectError> {
    let mut digest = Digest::new(&[algorithm]);
    store.read_blob(sha256, &mut |bytes| {
        digest.update(bytes);
        Ok(())
    })?;
    Ok(digest.finish())
}
