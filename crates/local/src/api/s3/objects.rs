//! Buckets and whole objects.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    Beside, Objects,
    wire::{self, Conditions, given, with_checksums},
};
use crate::{
    api::served,
    service::{Copied, DEFAULT_ALGORITHM, Digest, NewObject, hex_to_base64},
    store::{ObjectHeaders, ObjectRecord},
};

/// What a client says its bytes hash to.
#[derive(Default)]
pub(super) struct Claimed {
    pub(super) md5: Option<String>,
    /// By algorithm.
    pub(super) checksums: BTreeMap<&'static str, Option<String>>,
}

impl Objects {
    pub(super) async fn make_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let mut scope = Self::beside(&req)?.scope;
        let here = scope.region.to_string();
        let constraint = req
            .input
            .create_bucket_configuration
            .and_then(|configuration| configuration.location_constraint)
            .map(|constraint| constraint.as_str().to_owned())
            .filter(|constraint| !constraint.is_empty());
        let elsewhere = |what: &str| {
            S3Error::with_message(
                S3ErrorCode::IllegalLocationConstraintException,
                format!(
                    "The {what} location constraint is incompatible for the region specific endpoint this \
                     request was sent to."
                ),
            )
        };
        match constraint {
            None if here != "us-east-1" => return Err(elsewhere("unspecified")),
            Some(wanted) if wanted != here && here != "us-east-1" => return Err(elsewhere(&wanted)),
            Some(wanted) => {
                let invalid =
                    || s3_error!(InvalidLocationConstraint, "The specified location-constraint is not valid");
                scope.region = wanted.parse().map_err(|_| invalid())?;
            }
            None => {}
        }
        let location = format!("/{}", req.input.bucket);
        self.cloud.create_bucket(scope, req.input.bucket).await.map_err(wire::error)?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(location) }))
    }

    pub(super) fn every_bucket(
        &self,
        req: &S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = &req.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().unwrap_or_default();
        let limit = input.max_buckets.and_then(|max| usize::try_from(max).ok()).unwrap_or(10_000);
        let mut buckets: Vec<_> = self
            .cloud
            .buckets()
            .map_err(wire::error)?
            .into_iter()
            .filter(|bucket| bucket.name.starts_with(&prefix) && bucket.name > after)
            .filter(|bucket| input.bucket_region.as_ref().is_none_or(|region| *region == bucket.region))
            .collect();
        let more = buckets.len() > limit;
        buckets.truncate(limit);
        let token = if more { buckets.last().map(|bucket| bucket.name.clone()) } else { None };
        let account = self.cloud.account.to_string();
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(
                buckets
                    .into_iter()
                    .map(|bucket| Bucket {
                        name: Some(bucket.name),
                        creation_date: Some(wire::time(bucket.created)),
                        bucket_region: Some(bucket.region),
                    })
                    .collect(),
            ),
            owner: Some(Owner { display_name: None, id: Some(account) }),
            continuation_token: token,
            prefix: input.prefix.clone(),
        }))
    }

    pub(super) async fn put(
        &self,
        mut req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let beside = Self::beside(&req)?;
        let input = &mut req.input;
        // Before the bytes, so that nobody uploads into nothing.
        self.cloud.bucket(&input.bucket).map_err(wire::error)?;
        if input.if_none_match.as_ref().is_some_and(ETagCondition::is_any)
            && self.cloud.object(&input.bucket, &input.key).is_ok()
        {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        let claimed = Claimed {
            md5: input.content_md5.take(),
            checksums: BTreeMap::from([
                ("crc32", input.checksum_crc32.take()),
                ("crc32c", input.checksum_crc32c.take()),
                ("crc64nvme", input.checksum_crc64nvme.take()),
                ("sha1", input.checksum_sha1.take()),
                ("sha256", input.checksum_sha256.take()),
            ]),
        };
        let headers = given!(input);
        let new = self.taken(input.body.take(), input.content_length, &beside, claimed, headers).await?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let record = self.cloud.put_object(bucket, key, new).await.map_err(wire::error)?;
        let output = PutObjectOutput {
            e_tag: Some(wire::etag(&record.etag)),
            checksum_type: checksum_type(&record),
            ..Default::default()
        };
        Ok(S3Response::new(with_checksums!(output, record.checksums)))
    }

    /// Takes an upload in and holds it against what the client says about it.
    pub(super) async fn taken(
        &self,
        body: Option<StreamingBlob>,
        length: Option<i64>,
        beside: &Beside,
        claimed: Claimed,
        headers: ObjectHeaders,
    ) -> S3Result<NewObject> {
        let mut algorithms = beside.announced.clone();
        if algorithms.is_empty() {
            algorithms.push(DEFAULT_ALGORITHM.to_owned());
        }
        let mut digest = Digest::new(&algorithms);
        let mut writer = self.cloud.store.new_blob().map_err(wire::internal)?;
        let mut fault = None;
        if let Some(mut body) = body {
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|error| s3_error!(IncompleteBody, "{error}"))?;
                // Whatever is wrong, the body is read to its end, so that the client reads the answer.
                if fault.is_none() {
                    digest.update(&piece);
                    fault = writer.write(&piece).err();
                }
            }
        }
        if let Some(fault) = fault {
            return Err(wire::internal(fault));
        }
        if length.is_some_and(|length| u64::try_from(length) != Ok(writer.size())) {
            return Err(s3_error!(
                IncompleteBody,
                "You did not provide the number of bytes specified by the Content-Length HTTP header"
            ));
        }
        let digested = digest.finish();
        if claimed.md5.is_some_and(|md5| md5 != hex_to_base64(&digested.md5)) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        for (algorithm, sum) in &digested.checksums {
            let in_header = claimed.checksums.get(algorithm.as_str()).cloned().flatten();
            let claim = in_header.or_else(|| beside.trailers.get(&format!("x-amz-checksum-{algorithm}")));
            if claim.is_some_and(|claim| claim != *sum) {
                return Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.to_uppercase()
                ));
            }
        }
        let blob = tokio::task::spawn_blocking(move || writer.finish())
            .await
            .map_err(S3Error::internal_error)?
            .map_err(wire::internal)?;
        Ok(NewObject { blob, etag: digested.md5, headers, checksums: digested.checksums })
    }

    pub(super) async fn get(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        no_versions(input.version_id.as_deref())?;
        let record = self.cloud.object(&input.bucket, &input.key).map_err(wire::error)?;
        let conditions = Conditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.check(&record)?;
        let range = ranged(input.range, record.size)?;
        let (from, to) = range.unwrap_or((0, record.size));
        let store = &self.cloud.store;
        let whole = (from, to) == (0, record.size);
        let opened = served::opened(store, record.sha256, Some(record.size), whole);
        let file = opened.await.map_err(wire::internal)?;
        let checked = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let standard = |name: &str| record.headers.standard.get(name).cloned();
        let output = GetObjectOutput {
            body: Some(StreamingBlob::wrap(served::stream(store, file, from, to))),
            content_length: Some(as_i64(to - from)),
            content_range: range.map(|(from, to)| format!("bytes {from}-{}/{}", to - 1, record.size)),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(wire::etag(&record.etag)),
            last_modified: Some(wire::time(record.modified)),
            content_type: Some(content_type(&record)),
            cache_control: standard("cache-control"),
            content_disposition: standard("content-disposition"),
            content_encoding: standard("content-encoding"),
            content_language: standard("content-language"),
            expires: expires(&record),
            metadata: metadata(&record),
            checksum_type: if checked && range.is_none() { checksum_type(&record) } else { None },
            ..Default::default()
        };
        let shown = if checked && range.is_none() { record.checksums } else { BTreeMap::new() };
        Ok(S3Response::new(with_checksums!(output, shown)))
    }

    pub(super) fn head(&self, req: &S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &req.input;
        no_versions(input.version_id.as_deref())?;
        let record = self.cloud.object(&input.bucket, &input.key).map_err(wire::error)?;
        let conditions = Conditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.check(&record)?;
        let range = ranged(input.range, record.size)?;
        let (from, to) = range.unwrap_or((0, record.size));
        let checked = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let standard = |name: &str| record.headers.standard.get(name).cloned();
        let output = HeadObjectOutput {
            content_length: Some(as_i64(to - from)),
            content_range: range.map(|(from, to)| format!("bytes {from}-{}/{}", to - 1, record.size)),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(wire::etag(&record.etag)),
            last_modified: Some(wire::time(record.modified)),
            content_type: Some(content_type(&record)),
            cache_control: standard("cache-control"),
            content_disposition: standard("content-disposition"),
            content_encoding: standard("content-encoding"),
            content_language: standard("content-language"),
            expires: expires(&record),
            metadata: metadata(&record),
            checksum_type: if checked { checksum_type(&record) } else { None },
            ..Default::default()
        };
        let shown = if checked { record.checksums } else { BTreeMap::new() };
        Ok(S3Response::new(with_checksums!(output, shown)))
    }

    pub(super) async fn copy(
        &self,
        mut req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = &mut req.input;
        let (from_bucket, from_key) = copied_from(&input.copy_source)?;
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let original = self.cloud.object(&from_bucket, &from_key).map_err(wire::error)?;
        let conditions = Conditions {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            if_modified_since: input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        conditions.check(&original).map_err(|error| match error.code() {
            S3ErrorCode::NotModified => {
                s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
            }
            _ => error,
        })?;
        if !replace && (&from_bucket, &from_key) == (&input.bucket, &input.key) {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing \
                 the object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        let headers = replace.then(|| given!(input));
        let copied = Copied { from_bucket, from_key, headers };
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let record = self.cloud.copy_object(bucket, key, copied).await.map_err(wire::error)?;
        let result = CopyObjectResult {
            e_tag: Some(wire::etag(&record.etag)),
            last_modified: Some(wire::time(record.modified)),
            checksum_type: checksum_type(&record),
            ..Default::default()
        };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(with_checksums!(result, record.checksums)),
            ..Default::default()
        }))
    }

    pub(super) async fn delete_several(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let Delete { objects, quiet } = req.input.delete;
        let keys: Vec<String> = objects.into_iter().map(|object| object.key).collect();
        self.cloud.delete_objects(req.input.bucket, keys.clone()).await.map_err(wire::error)?;
        let deleted = keys.into_iter().map(|key| DeletedObject { key: Some(key), ..Default::default() });
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (quiet != Some(true)).then(|| deleted.collect()),
            ..Default::default()
        }))
    }
}

/// Bucket and key that a copy reads.
pub(super) fn copied_from(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            no_versions(version_id.as_deref())?;
            Ok((bucket.to_string(), key.to_string()))
        }
        _ => Err(s3_error!(NotImplemented, "The local cloud copies from buckets only")),
    }
}

fn no_versions(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null" | "") => Ok(()),
        Some(_) => Err(s3_error!(NotImplemented, "The local cloud does not implement object versions yet")),
    }
}

/// The half-open range of bytes that a request asks for.
pub(super) fn ranged(range: Option<Range>, size: u64) -> S3Result<Option<(u64, u64)>> {
    let Some(range) = range else {
        return Ok(None);
    };
    let found =
        range.check(size).map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable"))?;
    Ok(Some((found.start, found.end)))
}

fn content_type(record: &ObjectRecord) -> String {
    let given = record.headers.standard.get("content-type").cloned();
    given.unwrap_or_else(|| "binary/octet-stream".to_owned())
}

fn expires(record: &ObjectRecord) -> Option<Timestamp> {
    let text = record.headers.standard.get("expires")?;
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

fn metadata(record: &ObjectRecord) -> Option<Metadata> {
    let entries = &record.headers.metadata;
    (!entries.is_empty()).then(|| entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

pub(super) fn checksum_type(record: &ObjectRecord) -> Option<ChecksumType> {
    if record.checksums.is_empty() {
        return None;
    }
    let text = if record.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    Some(ChecksumType::from_static(text))
}

pub(super) fn as_i64(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
