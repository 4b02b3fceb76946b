//! Objects: putting, getting and copying them.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    Beside, Objects,
    refusal::refusal,
    wire::{
        self, as_i64, checksum_type, copying, given, new_version, object_name, reading, shown_version,
        wanted, with_checksums, with_encryption, write_condition,
    },
};
use crate::{
    api::served,
    service::{Copied, DEFAULT_ALGORITHM, Digest, NewObject, ObjectName, hex_to_base64},
    store::{ObjectHeaders, ObjectRecord, ObjectTraits},
};

/// What a client says its bytes hash to.
#[derive(Default)]
pub(super) struct Claimed {
    pub(super) md5: Option<String>,
    /// By algorithm.
    pub(super) checksums: BTreeMap<String, String>,
}

/// What an object is to be besides its bytes.
#[derive(Default)]
pub(super) struct Described {
    pub(super) headers: ObjectHeaders,
    pub(super) traits: ObjectTraits,
}

/// The part of an object that a request reads: from, and to without it.
struct Wished {
    from: u64,
    to: u64,
    /// What `Content-Range` says; nothing for the whole object.
    content_range: Option<String>,
    /// Whether it is the whole object, said or not.
    whole: bool,
    /// How many parts the object has, when the request asks for one of them.
    parts: Option<i32>,
}

/// `x-amz-meta-…` headers may have this many bytes together.
const MOST_METADATA: usize = 2048;

impl Objects {
    pub(super) async fn put(
        &self,
        mut req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let beside = Self::beside(&req)?;
        let input = &mut req.input;
        // Before the bytes, so that nobody uploads into nothing.
        let bucket = self.enter(&beside, &input.bucket).await?;
        let condition = write_condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        self.check_object_acl(&bucket.name, input.acl.as_ref()).await?;
        let claimed = Claimed { md5: input.content_md5.take(), checksums: wire::claimed_checksums!(input) };
        let usual = self.usual_encryption(&bucket.name).await?;
        let traits = wanted!(input).into_traits(usual)?;
        let described = Described { headers: checked(given!(input))?, traits };
        let new = self.taken(input.body.take(), input.content_length, &beside, claimed, described).await?;
        let (name, key) = (input.bucket.clone(), input.key.clone());
        let object = self.cloud.put_object(name, key, new, condition).await.map_err(wire::error)?;
        let output = PutObjectOutput {
            e_tag: Some(wire::etag(&object.record.etag)),
            checksum_type: checksum_type(&object.record),
            version_id: new_version(&bucket, &object),
            ..Default::default()
        };
        let output = with_encryption!(output, object.record.traits);
        Ok(S3Response::new(with_checksums!(output, object.record.checksums)))
    }

    /// Takes an upload in and holds it against what the client says about it.
    pub(super) async fn taken(
        &self,
        body: Option<StreamingBlob>,
        length: Option<i64>,
        beside: &Beside,
        claimed: Claimed,
        described: Described,
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
        if let Some(md5) = claimed.md5 {
            check_md5(&md5, &hex_to_base64(&digested.md5))?;
        }
        for (algorithm, sum) in &digested.checksums {
            let in_header = claimed.checksums.get(algorithm).cloned();
            let claim = in_header.or_else(|| beside.trailers.get(&format!("x-amz-checksum-{algorithm}")));
            if claim.is_some_and(|claim| claim != *sum) {
                return Err(wire::bad_checksum(algorithm));
            }
        }
        let blob = tokio::task::spawn_blocking(move || writer.finish())
            .await
            .map_err(S3Error::internal_error)?
            .map_err(wire::internal)?;
        Ok(NewObject {
            blob,
            etag: digested.md5,
            headers: described.headers,
            checksums: digested.checksums,
            traits: described.traits,
        })
    }

    pub(super) async fn get(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let beside = Self::beside(&req)?;
        let input = &req.input;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let object = self.cloud.object(name.clone()).await.map_err(wire::error)?;
        let record = object.record;
        reading!(input).check(&record)?;
        if let Some(class @ ("GLACIER" | "DEEP_ARCHIVE")) = record.traits.storage_class.as_deref() {
            return Err(refusal(
                S3ErrorCode::InvalidObjectState,
                "The operation is not valid for the object's storage class",
                &[("StorageClass", class)],
            ));
        }
        let wished = self.wished(name, &record, input.range, input.part_number).await?;
        let store = &self.cloud.store;
        let opened = served::opened(store, record.sha256, Some(record.size), wished.whole);
        let file = opened.await.map_err(wire::internal)?;
        let checked = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let checksums = checked && wished.whole;
        let standard = |name: &str| record.headers.standard.get(name).cloned();
        let output = GetObjectOutput {
            body: Some(StreamingBlob::wrap(served::stream(store, file, wished.from, wished.to))),
            content_length: Some(as_i64(wished.to - wished.from)),
            content_range: wished.content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(wire::etag(&record.etag)),
            last_modified: Some(wire::time(record.modified)),
            content_type: Some(content_type(&record)),
            cache_control: standard("cache-control"),
            content_disposition: standard("content-disposition"),
            content_encoding: standard("content-encoding"),
            content_language: standard("content-language"),
            website_redirect_location: standard("x-amz-website-redirect-location"),
            expires: expires(&record),
            metadata: metadata(&record),
            checksum_type: checksum_type(&record).filter(|_| checksums),
            parts_count: wished.parts,
            storage_class: record.traits.storage_class.clone().map(StorageClass::from),
            tag_count: tag_count(&record),
            version_id: shown_version(&bucket, &object.id),
            ..Default::default()
        };
        let shown = if checksums { record.checksums } else { BTreeMap::new() };
        let output = with_encryption!(output, record.traits);
        Ok(S3Response::new(with_checksums!(output, shown)))
    }

    pub(super) async fn head(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let beside = Self::beside(&req)?;
        let input = &req.input;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let object = self.cloud.object(name.clone()).await.map_err(wire::error)?;
        let record = object.record;
        reading!(input).check(&record)?;
        let wished = self.wished(name, &record, input.range, input.part_number).await?;
        let checked = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let checksums = checked && wished.whole;
        let standard = |name: &str| record.headers.standard.get(name).cloned();
        let output = HeadObjectOutput {
            content_length: Some(as_i64(wished.to - wished.from)),
            content_range: wished.content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(wire::etag(&record.etag)),
            last_modified: Some(wire::time(record.modified)),
            content_type: Some(content_type(&record)),
            cache_control: standard("cache-control"),
            content_disposition: standard("content-disposition"),
            content_encoding: standard("content-encoding"),
            content_language: standard("content-language"),
            website_redirect_location: standard("x-amz-website-redirect-location"),
            expires: expires(&record),
            metadata: metadata(&record),
            checksum_type: checksum_type(&record).filter(|_| checksums),
            parts_count: wished.parts,
            storage_class: record.traits.storage_class.clone().map(StorageClass::from),
            version_id: shown_version(&bucket, &object.id),
            ..Default::default()
        };
        let mut headers = HeaderMap::new();
        if let Some(count) = tag_count(&record) {
            headers.insert("x-amz-tagging-count", HeaderValue::from(count));
        }
        let shown = if checksums { record.checksums } else { BTreeMap::new() };
        let output = with_encryption!(output, record.traits);
        Ok(S3Response::with_headers(with_checksums!(output, shown), headers))
    }

    /// Which bytes a request is about.
    async fn wished(
        &self,
        name: ObjectName,
        record: &ObjectRecord,
        range: Option<Range>,
        part: Option<i32>,
    ) -> S3Result<Wished> {
        let size = record.size;
        let all = Wished { from: 0, to: size, content_range: None, whole: true, parts: None };
        if let Some(number) = part {
            if range.is_some() {
                return Err(s3_error!(
                    InvalidRequest,
                    "Cannot specify both Range header and partNumber query parameter"
                ));
            }
            let found = self.cloud.part_range(name, number).await.map_err(wire::error)?;
            let Some((from, to)) = found else {
                return Err(refusal(
                    super::refusal::code("InvalidPartNumber"),
                    "The requested partnumber is not satisfiable",
                    &[
                        ("PartNumberRequested", &number.to_string()),
                        ("ActualPartCount", &record.parts.max(1).to_string()),
                    ],
                ));
            };
            let parts = i32::try_from(record.parts).ok().filter(|parts| *parts > 0);
            // An object without bytes has a part without a range.
            let content_range = (to > from).then(|| format!("bytes {from}-{}/{size}", to - 1));
            return Ok(Wished { from, to, content_range, whole: parts.is_none(), parts });
        }
        let Some(range) = range else {
            return Ok(all);
        };
        let found = range.check(size).map_err(|_| {
            refusal(
                S3ErrorCode::InvalidRange,
                "The requested range is not satisfiable",
                &[("RangeRequested", &range.to_header_string()), ("ActualObjectSize", &size.to_string())],
            )
        })?;
        let (from, to) = (found.start, found.end);
        let content_range = Some(format!("bytes {from}-{}/{size}", to.saturating_sub(1)));
        Ok(Wished { from, to, content_range, whole: from == 0 && to == size, parts: None })
    }

    pub(super) async fn copy(
        &self,
        mut req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let beside = Self::beside(&req)?;
        let header = |name: &str| {
            let value = req.headers.get(name)?;
            ETagCondition::parse_http_header(value.as_bytes()).ok()
        };
        let condition = write_condition(header("if-match").as_ref(), header("if-none-match").as_ref())?;
        let input = &mut req.input;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let from = copied_from(&input.copy_source)?;
        let source = self.enter_source(&beside, &from.bucket).await?;
        self.check_object_acl(&bucket.name, input.acl.as_ref()).await?;
        let replace = replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str))?;
        let replace_tags = replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str))?;
        let original = self.cloud.object(from.clone()).await.map_err(copied_marker)?;
        copying!(input).check_copy(&original.record)?;
        let same = (&from.bucket, &from.key) == (&input.bucket, &input.key) && from.version.is_none();
        let changes = replace
            || input.storage_class.is_some()
            || input.server_side_encryption.is_some()
            || input.website_redirect_location.is_some()
            || input.checksum_algorithm.is_some();
        if same && !changes {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing \
                 the object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        let usual = self.usual_encryption(&bucket.name).await?;
        let traits = wanted!(input).into_traits(usual)?;
        let headers = given!(input);
        let copied = Copied {
            from,
            etag: original.record.etag,
            headers: if replace { Some(checked(headers)?) } else { None },
            traits,
            same_tags: !replace_tags,
            checksum_algorithm: input.checksum_algorithm.as_ref().map(|name| name.as_str().to_lowercase()),
        };
        let (name, key) = (input.bucket.clone(), input.key.clone());
        let done = self.cloud.copy_object(name, key, copied, condition).await;
        let (copy, original) = done.map_err(wire::error)?;
        let result = CopyObjectResult {
            e_tag: Some(wire::etag(&copy.record.etag)),
            last_modified: Some(wire::time(copy.record.modified)),
            checksum_type: checksum_type(&copy.record),
            ..Default::default()
        };
        let output = CopyObjectOutput {
            copy_object_result: Some(with_checksums!(result, copy.record.checksums)),
            copy_source_version_id: shown_version(&source, &original),
            version_id: new_version(&bucket, &copy),
            ..Default::default()
        };
        Ok(S3Response::new(with_encryption!(output, copy.record.traits)))
    }
}

/// The object that a copy reads.
pub(super) fn copied_from(source: &CopySource) -> S3Result<ObjectName> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => object_name(bucket, key, version_id.as_deref()),
        _ => Err(s3_error!(NotImplemented, "The local cloud copies from buckets only")),
    }
}

/// Why nothing is copied; that a version is a delete marker is no matter of methods here.
pub(super) fn copied_marker(error: crate::service::ObjectError) -> S3Error {
    match error {
        crate::service::ObjectError::IsDeleteMarker { .. } => refusal(
            S3ErrorCode::InvalidRequest,
            "The source of a copy request may not specifically refer to a delete marker by version id.",
            &[],
        ),
        other => wire::error(other),
    }
}

/// Whether a copy gets its own headers, or tags, and not the original's.
fn replaces(directive: Option<&str>) -> S3Result<bool> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => {
            Err(wire::invalid_argument("Unknown metadata directive.", "x-amz-metadata-directive", other))
        }
    }
}

/// Headers that are not too long.
pub(super) fn checked(headers: ObjectHeaders) -> S3Result<ObjectHeaders> {
    let size: usize = headers.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MOST_METADATA {
        return Err(refusal(
            S3ErrorCode::MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size",
            &[("Size", &size.to_string()), ("MaxSizeAllowed", &MOST_METADATA.to_string())],
        ));
    }
    Ok(headers)
}

/// Holds an MD5 against what the client says it is.
fn check_md5(said: &str, found: &str) -> S3Result<()> {
    use base64::Engine as _;

    let bytes = base64::engine::general_purpose::STANDARD.decode(said);
    if bytes.is_ok_and(|bytes| bytes.len() != 16) {
        return Err(refusal(
            S3ErrorCode::InvalidDigest,
            "The Content-MD5 you specified was invalid.",
            &[("Content-MD5", said)],
        ));
    }
    if said != found {
        return Err(refusal(
            S3ErrorCode::BadDigest,
            "The Content-MD5 you specified did not match what we received.",
            &[("ExpectedDigest", said), ("CalculatedDigest", found)],
        ));
    }
    Ok(())
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

fn tag_count(record: &ObjectRecord) -> Option<i32> {
    i32::try_from(record.traits.tags.len()).ok().filter(|count| *count > 0)
}
