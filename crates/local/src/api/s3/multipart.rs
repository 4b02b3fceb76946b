//! Multipart uploads.

use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto::*};

use super::{
    Objects, canonical_id,
    listing::class,
    objects::{Claimed, Described, checked, copied_from, copied_marker},
    owner,
    refusal::refusal,
    wire::{
        self, as_i64, checksum_type, claimed_checksums, copying, given, invalid_argument, malformed,
        new_version, shown_version, wanted, with_checksums, with_encryption, write_condition,
    },
};
use crate::{
    service::{CompletedPart as NamedPart, Completion, CopiedPart, DEFAULT_ALGORITHM},
    store::UploadRecord,
};

impl Objects {
    pub(super) async fn create_upload(
        &self,
        mut req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let beside = Self::beside(&req)?;
        let input = &mut req.input;
        let bucket = self.enter(&beside, &input.bucket).await?;
        self.check_object_acl(&bucket.name, input.acl.as_ref()).await?;
        let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_lowercase());
        let kind = input.checksum_type.as_ref().map(|kind| kind.as_str().to_owned()).or_else(|| {
            // What S3 takes when the client does not say.
            let whole = algorithm.as_deref()? == DEFAULT_ALGORITHM;
            Some(if whole { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE }.to_owned())
        });
        let usual = self.usual_encryption(&bucket.name).await?;
        let traits = wanted!(input).into_traits(usual)?;
        let record = UploadRecord {
            initiated: 0,
            headers: checked(given!(input))?,
            checksum_algorithm: algorithm,
            checksum_type: kind.clone(),
            traits: traits.clone(),
        };
        let (name, key) = (input.bucket.clone(), input.key.clone());
        let id = self.cloud.create_upload(name, key, record).await.map_err(wire::error)?;
        let output = CreateMultipartUploadOutput {
            bucket: Some(req.input.bucket),
            key: Some(req.input.key),
            upload_id: Some(id),
            checksum_algorithm: req.input.checksum_algorithm,
            checksum_type: kind.map(ChecksumType::from),
            ..Default::default()
        };
        Ok(S3Response::new(with_encryption!(output, traits)))
    }

    pub(super) async fn put_part(
        &self,
        mut req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let mut beside = Self::beside(&req)?;
        let input = &mut req.input;
        check_number(input.part_number)?;
        self.enter(&beside, &input.bucket).await?;
        let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).await;
        let upload = upload.map_err(wire::error)?;
        if let Some(algorithm) = upload.checksum_algorithm
            && !beside.announced.contains(&algorithm)
        {
            beside.announced.push(algorithm);
        }
        let claimed = Claimed { md5: input.content_md5.take(), checksums: claimed_checksums!(input) };
        let new = self
            .taken(input.body.take(), input.content_length, &beside, claimed, Described::default())
            .await?;
        let id = input.upload_id.clone();
        let part = self.cloud.put_part(id, input.part_number, new).await.map_err(wire::error)?;
        let output = UploadPartOutput { e_tag: Some(wire::etag(&part.etag)), ..Default::default() };
        let output = with_encryption!(output, upload.traits);
        Ok(S3Response::new(with_checksums!(output, part.checksums)))
    }

    pub(super) async fn copy_part(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        check_number(input.part_number)?;
        self.enter(&beside, &input.bucket).await?;
        let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).await;
        let upload = upload.map_err(wire::error)?;
        let from = copied_from(&input.copy_source)?;
        let source = self.enter_source(&beside, &from.bucket).await?;
        let original = self.cloud.object(from.clone()).await.map_err(copied_marker)?;
        copying!(input).check_copy(&original.record)?;
        let size = original.record.size;
        let (first, end) = match input.copy_source_range.as_deref() {
            Some(range) => copied_range(range, size)?,
            None => (0, size),
        };
        let copied = CopiedPart {
            from,
            etag: original.record.etag,
            first,
            end,
            checksum_algorithm: upload.checksum_algorithm,
        };
        let copy = self.cloud.copy_part(input.upload_id, input.part_number, copied);
        let (part, version) = copy.await.map_err(wire::error)?;
        let result = CopyPartResult {
            e_tag: Some(wire::etag(&part.etag)),
            last_modified: Some(wire::time(part.modified)),
            ..Default::default()
        };
        let output = UploadPartCopyOutput {
            copy_part_result: Some(with_checksums!(result, part.checksums)),
            copy_source_version_id: shown_version(&source, &version),
            ..Default::default()
        };
        Ok(S3Response::new(with_encryption!(output, upload.traits)))
    }

    pub(super) async fn complete(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let beside = Self::beside(&req)?;
        let mut input = req.input;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let condition = write_condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let parts = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
        if parts.is_empty() {
            // Whose upload is not there hears that first.
            let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).await;
            upload.map_err(wire::error)?;
            return Err(malformed());
        }
        let named = parts.into_iter().map(|mut part| NamedPart {
            number: part.part_number.unwrap_or_default(),
            etag: part.e_tag.take().map(|etag| etag.value().to_owned()).unwrap_or_default(),
            checksums: claimed_checksums!(part),
        });
        let completion = Completion {
            parts: named.collect(),
            condition,
            size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
            checksums: claimed_checksums!(input),
        };
        let (name, key) = (input.bucket.clone(), input.key.clone());
        let object = self.cloud.complete_upload(name, key, input.upload_id, completion).await;
        let object = object.map_err(wire::error)?;
        let path = percent_encoding::utf8_percent_encode(&input.key, percent_encoding::NON_ALPHANUMERIC);
        let output = CompleteMultipartUploadOutput {
            location: Some(format!("{}/{}/{path}", beside.endpoint, input.bucket)),
            bucket: Some(input.bucket),
            key: Some(input.key.clone()),
            e_tag: Some(wire::etag(&object.record.etag)),
            checksum_type: checksum_type(&object.record),
            version_id: new_version(&bucket, &object),
            ..Default::default()
        };
        let output = with_encryption!(output, object.record.traits);
        Ok(S3Response::new(with_checksums!(output, object.record.checksums)))
    }

    pub(super) async fn abort(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        self.enter(&beside, &input.bucket).await?;
        self.cloud.abort_upload(input.bucket, input.key, input.upload_id).await.map_err(wire::error)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn every_part(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).await;
        let upload = upload.map_err(wire::error)?;
        let limit = match input.max_parts {
            Some(limit) if limit < 0 => {
                return Err(invalid_argument(
                    "Argument max-parts must be an integer between 0 and 2147483647",
                    "max-parts",
                    &limit.to_string(),
                ));
            }
            limit => limit.unwrap_or(1000).min(1000),
        };
        let most = usize::try_from(limit).unwrap_or(1000);
        let after = input.part_number_marker.unwrap_or(0);
        let parts = self.cloud.parts(input.upload_id.clone(), after, most + 1).await;
        let mut parts = parts.map_err(wire::error)?;
        let more = parts.len() > most;
        parts.truncate(most);
        let last = parts.last().map_or(0, |part| part.number);
        let listed = parts.into_iter().map(|part| {
            let listed = Part {
                part_number: Some(part.number),
                e_tag: Some(wire::etag(&part.etag)),
                size: Some(as_i64(part.size)),
                last_modified: Some(wire::time(part.modified)),
                ..Default::default()
            };
            // Parts show a checksum only when the upload has chosen one.
            let chosen = upload.checksum_algorithm.as_ref();
            let mut checksums = part.checksums;
            checksums.retain(|name, _| Some(name) == chosen);
            with_checksums!(listed, checksums)
        });
        let id = canonical_id(&bucket.account);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: Some(last),
            max_parts: Some(limit),
            is_truncated: Some(more),
            parts: Some(listed.collect()),
            owner: Some(owner(&bucket.account)),
            initiator: Some(Initiator { display_name: None, id: Some(id) }),
            storage_class: Some(class(upload.traits.storage_class.as_deref())),
            checksum_algorithm: upload
                .checksum_algorithm
                .as_ref()
                .map(|name| ChecksumAlgorithm::from(name.to_uppercase())),
            checksum_type: upload.checksum_type.map(ChecksumType::from),
            ..Default::default()
        }))
    }
}

/// The bytes that a part copies: from, and to without it. Other than elsewhere the range must be
/// whole and lie in the object.
fn copied_range(text: &str, size: u64) -> S3Result<(u64, u64)> {
    let invalid = |message: String| invalid_argument(message, "x-amz-copy-source-range", text);
    let Ok(Range::Int { first, last: Some(last) }) = Range::parse(text) else {
        return Err(invalid(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are \
             the zero-based offsets of the first and last bytes to copy"
                .to_owned(),
        ));
    };
    if first >= size {
        return Err(refusal(
            S3ErrorCode::InvalidRequest,
            "The specified copy range is invalid for the source object size",
            &[],
        ));
    }
    if last >= size {
        return Err(invalid(format!("Range specified is not valid for source object of size: {size}")));
    }
    Ok((first, last + 1))
}

fn check_number(number: i32) -> S3Result<()> {
    if (1..=10_000).contains(&number) {
        Ok(())
    } else {
        Err(invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive",
            "partNumber",
            &number.to_string(),
        ))
    }
}
