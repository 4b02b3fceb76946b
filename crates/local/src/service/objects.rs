//! S3's buckets, objects and multipart uploads.

use std::{collections::BTreeMap, sync::Arc};

use s3s::crypto::{Checksum as _, Md5};
use uuid::Uuid;

use super::{
    Cloud, ObjectError,
    digest::{self, Digest, from_hex, to_hex},
    now,
};
use crate::store::{
    Blob, BucketRecord, ListedObjects, ObjectHeaders, ObjectRecord, PartRecord, Scope, Store, UploadRecord,
};

/// An object that came in whole.
pub(crate) struct NewObject {
    pub(crate) blob: Blob,
    /// MD5 in hexadecimal.
    pub(crate) etag: String,
    pub(crate) headers: ObjectHeaders,
    pub(crate) checksums: BTreeMap<String, String>,
}

/// What a copy takes over.
pub(crate) struct Copied {
    pub(crate) from_bucket: String,
    pub(crate) from_key: String,
    /// Other headers than the original's.
    pub(crate) headers: Option<ObjectHeaders>,
}

/// What a part takes over.
pub(crate) struct CopiedPart {
    pub(crate) from_bucket: String,
    pub(crate) from_key: String,
    /// The object's ETag when the range was held against its size.
    pub(crate) etag: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) checksum_algorithm: Option<String>,
}

/// A part as the completing request names it.
pub(crate) struct CompletedPart {
    pub(crate) number: i32,
    /// Without quotes.
    pub(crate) etag: String,
}

/// Which page of which objects.
#[derive(Default)]
pub(crate) struct ListingRequest {
    pub(crate) prefix: String,
    pub(crate) delimiter: String,
    pub(crate) after: String,
    pub(crate) limit: usize,
}

/// All parts but the last must have this many bytes.
const LEAST_PART: u64 = 5 << 20;

impl Cloud {
    /// Creates a bucket in a region.
    pub(crate) async fn create_bucket(&self, scope: Scope, name: String) -> Result<(), ObjectError> {
        self.blocking(move |store| {
            let record = BucketRecord {
                name,
                account: scope.account.to_string(),
                region: scope.region.to_string(),
                created: now(),
            };
            match store.create_bucket(&record)? {
                None => Ok(()),
                Some(there) if there.account != record.account => Err(ObjectError::BucketExists),
                // The oldest region answers as it did before there were others.
                Some(there) if there.region == "us-east-1" && record.region == "us-east-1" => Ok(()),
                Some(_) => Err(ObjectError::BucketIsYours),
            }
        })
        .await
    }

    /// One bucket.
    pub(crate) fn bucket(&self, name: &str) -> Result<BucketRecord, ObjectError> {
        self.store.bucket(name)?.ok_or(ObjectError::NoSuchBucket)
    }

    /// All buckets of the account, of every region.
    pub(crate) fn buckets(&self) -> Result<Vec<BucketRecord>, ObjectError> {
        Ok(self.store.buckets(self.account.as_str())?)
    }

    /// Deletes an empty bucket.
    pub(crate) async fn delete_bucket(&self, name: String) -> Result<(), ObjectError> {
        self.bucket(&name)?;
        self.blocking(
            move |store| {
                if store.delete_bucket(&name)? { Ok(()) } else { Err(ObjectError::BucketNotEmpty) }
            },
        )
        .await
    }

    /// Keeps an object.
    pub(crate) async fn put_object(
        &self,
        bucket: String,
        key: String,
        new: NewObject,
    ) -> Result<ObjectRecord, ObjectError> {
        self.blocking(move |store| {
            let record = ObjectRecord {
                sha256: new.blob.sha256(),
                size: new.blob.size(),
                etag: new.etag,
                modified: now(),
                headers: new.headers,
                checksums: new.checksums,
                composite: false,
            };
            let there = store.put_object(&bucket, &key, &record)?;
            drop(new.blob);
            if there { Ok(record) } else { Err(ObjectError::NoSuchBucket) }
        })
        .await
    }

    /// One object.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Result<ObjectRecord, ObjectError> {
        self.bucket(bucket)?;
        self.store.object(bucket, key)?.ok_or(ObjectError::NoSuchKey)
    }

    /// Copies an object; its bytes are shared.
    pub(crate) async fn copy_object(
        &self,
        bucket: String,
        key: String,
        copied: Copied,
    ) -> Result<ObjectRecord, ObjectError> {
        self.blocking(move |store| {
            // Held, so that deleting the original meanwhile leaves the bytes to the copy.
            let (mut record, held) = hold_object(store, &copied.from_bucket, &copied.from_key)?;
            if let Some(headers) = copied.headers {
                record.headers = headers;
            }
            record.modified = now();
            let there = store.put_object(&bucket, &key, &record)?;
            drop(held);
            if there { Ok(record) } else { Err(ObjectError::NoSuchBucket) }
        })
        .await
    }

    /// Makes a part of bytes `from` to `to` (without it) of an object, if that still has the ETag
    /// that the caller saw.
    pub(crate) async fn copy_part(
        &self,
        upload: String,
        number: i32,
        copied: CopiedPart,
    ) -> Result<PartRecord, ObjectError> {
        let new = self
            .blocking(move |store| {
                let (record, _held) = hold_object(store, &copied.from_bucket, &copied.from_key)?;
                if record.etag != copied.etag {
                    return Err(ObjectError::ObjectChanged);
                }
                let mut digest = Digest::new(copied.checksum_algorithm.as_slice());
                let mut writer = store.new_blob()?;
                let mut place = 0_u64;
                store.read_blob(record.sha256, &mut |bytes| {
                    let length = bytes.len() as u64;
                    // The part of this piece that lies in the range.
                    let start = usize::try_from(copied.from.saturating_sub(place).min(length)).unwrap_or(0);
                    let end = usize::try_from(copied.to.saturating_sub(place).min(length)).unwrap_or(0);
                    place += length;
                    if start < end {
                        digest.update(&bytes[start..end]);
                        writer.write(&bytes[start..end])?;
                    }
                    Ok(())
                })?;
                let digested = digest.finish();
                Ok(NewObject {
                    blob: writer.finish()?,
                    etag: digested.md5,
                    headers: ObjectHeaders::default(),
                    checksums: digested.checksums,
                })
            })
            .await?;
        self.put_part(upload, number, new).await
    }

    /// Deletes objects; those that are not there count as deleted.
    pub(crate) async fn delete_objects(&self, bucket: String, keys: Vec<String>) -> Result<(), ObjectError> {
        self.bucket(&bucket)?;
        self.blocking(move |store| Ok(store.delete_objects(&bucket, &keys)?)).await
    }

    /// Lists objects.
    pub(crate) fn list_objects(
        &self,
        bucket: &str,
        request: &ListingRequest,
    ) -> Result<ListedObjects, ObjectError> {
        self.bucket(bucket)?;
        if request.limit == 0 {
            return Ok(ListedObjects::default());
        }
        Ok(self.store.list_objects(
            bucket,
            &request.prefix,
            &request.delimiter,
            &request.after,
            request.limit,
        )?)
    }

    /// Begins a multipart upload and gives its id.
    pub(crate) async fn create_upload(
        &self,
        bucket: String,
        key: String,
        mut record: UploadRecord,
    ) -> Result<String, ObjectError> {
        record.initiated = now();
        let id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.blocking(move |store| {
            let there = store.create_upload(&bucket, &key, &id, &record)?;
            if there { Ok(id) } else { Err(ObjectError::NoSuchBucket) }
        })
        .await
    }

    /// An upload that is not complete.
    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<UploadRecord, ObjectError> {
        self.bucket(bucket)?;
        self.store.upload(bucket, key, id)?.ok_or(ObjectError::NoSuchUpload)
    }

    /// All uploads into a bucket.
    pub(crate) fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<(String, String, UploadRecord)>, ObjectError> {
        self.bucket(bucket)?;
        Ok(self.store.uploads(bucket, prefix)?)
    }

    /// Keeps a part.
    pub(crate) async fn put_part(
        &self,
        upload: String,
        number: i32,
        new: NewObject,
    ) -> Result<PartRecord, ObjectError> {
        self.blocking(move |store| {
            let part = PartRecord {
                number,
                sha256: new.blob.sha256(),
                size: new.blob.size(),
                etag: new.etag,
                modified: now(),
                checksums: new.checksums,
            };
            let there = store.put_part(&upload, &part)?;
            drop(new.blob);
            if there { Ok(part) } else { Err(ObjectError::NoSuchUpload) }
        })
        .await
    }

    /// The parts of an upload.
    pub(crate) fn parts(&self, upload: &str) -> Result<Vec<PartRecord>, ObjectError> {
        Ok(self.store.parts(upload)?)
    }

    /// Makes an object of the parts named.
    pub(crate) async fn complete_upload(
        &self,
        bucket: String,
        key: String,
        id: String,
        wanted: Vec<CompletedPart>,
    ) -> Result<ObjectRecord, ObjectError> {
        let upload = self.upload(&bucket, &key, &id)?;
        if wanted.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            return Err(ObjectError::InvalidPartOrder);
        }
        self.blocking(move |store| {
            let uploaded = store.parts(&id)?;
            let mut parts = Vec::new();
            for want in &wanted {
                let found = uploaded.iter().find(|part| part.number == want.number && part.etag == want.etag);
                parts.push(found.ok_or(ObjectError::InvalidPart)?);
            }
            let Some((_, all_but_last)) = parts.split_last() else {
                return Err(ObjectError::InvalidPart);
            };
            if all_but_last.iter().any(|part| part.size < LEAST_PART) {
                return Err(ObjectError::PartTooSmall);
            }
            let composite = upload.checksum_type.as_deref() != Some("FULL_OBJECT");
            let algorithm = upload.checksum_algorithm.as_deref();
            let whole = algorithm.filter(|_| !composite).map(str::to_owned);
            let mut writer = store.new_blob()?;
            let mut digest = Digest::new(whole.as_slice());
            let mut etags = Md5::new();
            for part in &parts {
                store.read_blob(part.sha256, &mut |bytes| {
                    digest.update(bytes);
                    writer.write(bytes)
                })?;
                etags.update(&from_hex(&part.etag));
            }
            let blob = writer.finish()?;
            let mut checksums = digest.finish().checksums;
            if let Some(algorithm) = algorithm.filter(|_| composite) {
                let sums: Vec<_> = parts
                    .iter()
                    .filter_map(|part| part.checksums.get(algorithm).map(String::as_str))
                    .collect();
                if sums.len() == parts.len()
                    && let Some(sum) = digest::composite(algorithm, &sums)
                {
                    checksums.insert(algorithm.to_owned(), sum);
                }
            }
            let record = ObjectRecord {
                sha256: blob.sha256(),
                size: blob.size(),
                etag: format!("{}-{}", to_hex(&etags.finalize()), parts.len()),
                modified: now(),
                headers: upload.headers,
                composite: composite && !checksums.is_empty(),
                checksums,
            };
            let there = store.end_upload(&bucket, &key, &id, Some(&record))?;
            drop(blob);
            if there { Ok(record) } else { Err(ObjectError::NoSuchUpload) }
        })
        .await
    }

    /// Throws an upload away.
    pub(crate) async fn abort_upload(
        &self,
        bucket: String,
        key: String,
        id: String,
    ) -> Result<(), ObjectError> {
        self.bucket(&bucket)?;
        self.blocking(move |store| {
            let there = store.end_upload(&bucket, &key, &id, None)?;
            if there { Ok(()) } else { Err(ObjectError::NoSuchUpload) }
        })
        .await
    }
}

/// An object that a copy reads.
fn hold_object(store: &Arc<Store>, bucket: &str, key: &str) -> Result<(ObjectRecord, Blob), ObjectError> {
    if store.bucket(bucket)?.is_none() {
        return Err(ObjectError::NoSuchBucket);
    }
    store.hold_object(bucket, key)?.ok_or(ObjectError::NoSuchKey)
}
