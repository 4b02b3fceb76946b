//! S3's multipart uploads.

use std::collections::BTreeMap;

use s3s::crypto::{Checksum as _, Md5};
use uuid::Uuid;

use super::{
    Cloud, NewObject, ObjectError, ObjectName, ObjectVersion, WriteCondition,
    digest::{self, DEFAULT_ALGORITHM, Digest, from_hex, to_hex},
    is_etag, now,
    objects::hold,
    version_id::new_version_id,
};
use crate::store::{
    Blob, NewVersion, ObjectHeaders, ObjectPartRecord, ObjectRecord, ObjectTraits, PartRecord, Store,
    UploadRecord,
};

/// What a part takes over.
pub(crate) struct CopiedPart {
    /// The object.
    pub(crate) from: ObjectName,
    /// The object's ETag when the range was held against its size.
    pub(crate) etag: String,
    /// The first byte.
    pub(crate) first: u64,
    /// The byte behind the last.
    pub(crate) end: u64,
    /// The checksum that the upload's parts have.
    pub(crate) checksum_algorithm: Option<String>,
}

/// A part as the completing request names it.
pub(crate) struct CompletedPart {
    /// 1 to 10,000.
    pub(crate) number: i32,
    /// As the client has it.
    pub(crate) etag: String,
    /// The checksums that the client says it has, by algorithm.
    pub(crate) checksums: BTreeMap<String, String>,
}

/// What completes an upload.
pub(crate) struct Completion {
    /// In ascending order.
    pub(crate) parts: Vec<CompletedPart>,
    /// When the object may take its place.
    pub(crate) condition: WriteCondition,
    /// The size that the client expects.
    pub(crate) size: Option<u64>,
    /// The object's checksums as the client says them, by algorithm.
    pub(crate) checksums: BTreeMap<String, String>,
}

/// All parts but the last must have this many bytes.
const LEAST_PART: u64 = 5 << 20;

impl Cloud {
    /// Begins a multipart upload and gives its id.
    pub(crate) async fn create_upload(
        &self,
        bucket: String,
        key: String,
        mut record: UploadRecord,
    ) -> Result<String, ObjectError> {
        record.initiated = now();
        // The time stands first, so that uploads of one key are listed in their order.
        let id = format!("{:012x}{}{}", record.initiated, Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.blocking(move |store| {
            let there = store.create_upload(&bucket, &key, &id, &record)?;
            if there { Ok(id) } else { Err(ObjectError::NoSuchBucket { name: bucket }) }
        })
        .await
    }

    /// An upload that is not complete.
    pub(crate) async fn upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<UploadRecord, ObjectError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.blocking(move |store| store.upload(&bucket, &key, &id)?.ok_or(ObjectError::NoSuchUpload { id }))
            .await
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
            if there { Ok(part) } else { Err(ObjectError::NoSuchUpload { id: upload }) }
        })
        .await
    }

    /// Makes a part of bytes of an object, if that still has the ETag that the caller saw. Gives
    /// the part and the object's version id.
    pub(crate) async fn copy_part(
        &self,
        upload: String,
        number: i32,
        copied: CopiedPart,
    ) -> Result<(PartRecord, String), ObjectError> {
        let (new, version) = self
            .blocking(move |store| {
                let (original, _held) = hold(store, &copied.from, &copied.etag)?;
                let mut digest = Digest::new(copied.checksum_algorithm.as_slice());
                let mut writer = store.new_blob()?;
                let mut place = 0_u64;
                store.read_blob(original.record.sha256, &mut |bytes| {
                    let length = bytes.len() as u64;
                    // The part of this piece that lies in the range.
                    let start = usize::try_from(copied.first.saturating_sub(place).min(length)).unwrap_or(0);
                    let end = usize::try_from(copied.end.saturating_sub(place).min(length)).unwrap_or(0);
                    place += length;
                    if start < end {
                        digest.update(&bytes[start..end]);
                        writer.write(&bytes[start..end])?;
                    }
                    Ok(())
                })?;
                let digested = digest.finish();
                let new = NewObject {
                    blob: writer.finish()?,
                    etag: digested.md5,
                    headers: ObjectHeaders::default(),
                    checksums: digested.checksums,
                    traits: ObjectTraits::default(),
                };
                Ok::<_, ObjectError>((new, original.id))
            })
            .await?;
        Ok((self.put_part(upload, number, new).await?, version))
    }

    /// The parts of an upload behind a number, `limit` at most.
    pub(crate) async fn parts(
        &self,
        upload: String,
        after: i32,
        limit: usize,
    ) -> Result<Vec<PartRecord>, ObjectError> {
        self.blocking(move |store| Ok(store.parts(&upload, after, limit)?)).await
    }

    /// Makes an object of the parts named.
    pub(crate) async fn complete_upload(
        &self,
        bucket: String,
        key: String,
        id: String,
        completion: Completion,
    ) -> Result<ObjectVersion, ObjectError> {
        self.blocking(move |store| {
            let upload = store
                .upload(&bucket, &key, &id)?
                .ok_or_else(|| ObjectError::NoSuchUpload { id: id.clone() })?;
            let parts = named_parts(store, &id, &completion.parts)?;
            let (blob, record) = assemble(store, &upload, &parts)?;
            if completion.size.is_some_and(|size| size != record.size) {
                return Err(ObjectError::OtherSize);
            }
            let differs = |(algorithm, said): (&String, &String)| {
                let found = record.checksums.get(algorithm)?;
                (found != said).then(|| ObjectError::OtherChecksum { algorithm: algorithm.clone() })
            };
            if let Some(error) = completion.checksums.iter().find_map(differs) {
                return Err(error);
            }
            let described: Vec<_> = parts
                .into_iter()
                .map(|part| ObjectPartRecord {
                    number: part.number,
                    size: part.size,
                    checksums: part.checksums,
                })
                .collect();
            let version = new_version_id(record.modified);
            let new =
                NewVersion { bucket: &bucket, key: &key, id: &version, record: &record, parts: &described };
            let mut refusal = None;
            let done = store.complete_upload(&id, &new, &mut |key, there| {
                refusal = completion.condition.check(key, there, Some(upload.initiated)).err();
                refusal.is_none()
            })?;
            drop(blob);
            match (done, refusal) {
                (Some(id), _) => Ok(ObjectVersion { id, record }),
                (None, Some(refusal)) => Err(refusal),
                (None, None) => Err(ObjectError::NoSuchUpload { id }),
            }
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
        self.blocking(move |store| {
            let there = store.abort_upload(&bucket, &key, &id)?;
            if there { Ok(()) } else { Err(ObjectError::NoSuchUpload { id }) }
        })
        .await
    }
}

/// The parts that a completing request names, in its order.
fn named_parts(
    store: &Store,
    upload: &str,
    wanted: &[CompletedPart],
) -> Result<Vec<PartRecord>, ObjectError> {
    if wanted.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(ObjectError::InvalidPartOrder { upload: upload.to_owned() });
    }
    let mut uploaded: BTreeMap<i32, PartRecord> =
        store.parts(upload, 0, usize::MAX)?.into_iter().map(|part| (part.number, part)).collect();
    let mut parts = Vec::new();
    for want in wanted {
        let fits = |part: &PartRecord| {
            is_etag(&want.etag, &part.etag)
                && want.checksums.iter().all(|(algorithm, said)| part.checksums.get(algorithm) == Some(said))
        };
        let part = uploaded.remove(&want.number).filter(fits).ok_or_else(|| ObjectError::InvalidPart {
            upload: upload.to_owned(),
            number: want.number,
            etag: want.etag.clone(),
        })?;
        parts.push(part);
    }
    let all_but_last = parts.split_last().map_or(&[][..], |(_, before)| before);
    if let Some(small) = all_but_last.iter().find(|part| part.size < LEAST_PART) {
        return Err(ObjectError::PartTooSmall {
            number: small.number,
            etag: small.etag.clone(),
            size: small.size,
        });
    }
    Ok(parts)
}

/// Puts the parts together.
fn assemble(
    store: &std::sync::Arc<Store>,
    upload: &UploadRecord,
    parts: &[PartRecord],
) -> Result<(Blob, ObjectRecord), ObjectError> {
    let algorithm = upload.checksum_algorithm.as_deref();
    let composite = algorithm.filter(|_| upload.checksum_type.as_deref() != Some("FULL_OBJECT"));
    // Who chooses none gets S3's own.
    let whole = match composite {
        Some(_) => None,
        None => Some(algorithm.unwrap_or(DEFAULT_ALGORITHM).to_owned()),
    };
    let mut writer = store.new_blob()?;
    let mut digest = Digest::new(whole.as_slice());
    let mut etags = Md5::new();
    for part in parts {
        store.read_blob(part.sha256, &mut |bytes| {
            digest.update(bytes);
            writer.write(bytes)
        })?;
        etags.update(&from_hex(&part.etag));
    }
    let blob = writer.finish()?;
    let mut checksums = digest.finish().checksums;
    if let Some(algorithm) = composite {
        let sums: Vec<_> =
            parts.iter().filter_map(|part| part.checksums.get(algorithm).map(String::as_str)).collect();
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
        headers: upload.headers.clone(),
        composite: composite.is_some() && !checksums.is_empty(),
        checksums,
        traits: upload.traits.clone(),
        parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
    };
    Ok((blob, record))
}
