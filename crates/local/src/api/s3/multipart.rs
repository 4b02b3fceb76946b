//! Multipart uploads.

use std::collections::BTreeMap;

use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    Objects,
    listing::encoder,
    objects::{Claimed, as_i64, checksum_type, copied_from, ranged},
    wire::{self, given, with_checksums},
};
use crate::{
    service::{CompletedPart as WantedPart, CopiedPart, DEFAULT_ALGORITHM},
    store::{ObjectHeaders, UploadRecord},
};

impl Objects {
    pub(super) async fn create_upload(
        &self,
        mut req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = &mut req.input;
        let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_lowercase());
        let kind = input.checksum_type.as_ref().map(|kind| kind.as_str().to_owned()).or_else(|| {
            // What S3 takes when the client does not say.
            let whole = algorithm.as_deref()? == DEFAULT_ALGORITHM;
            Some(if whole { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE }.to_owned())
        });
        let record = UploadRecord {
            initiated: 0,
            headers: given!(input),
            checksum_algorithm: algorithm,
            checksum_type: kind.clone(),
        };
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let id = self.cloud.create_upload(bucket, key, record).await.map_err(wire::error)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(req.input.bucket),
            key: Some(req.input.key),
            upload_id: Some(id),
            checksum_algorithm: req.input.checksum_algorithm,
            checksum_type: kind.map(ChecksumType::from),
            ..Default::default()
        }))
    }

    pub(super) async fn put_part(
        &self,
        mut req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let mut beside = Self::beside(&req)?;
        let input = &mut req.input;
        check_number(input.part_number)?;
        let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).map_err(wire::error)?;
        if let Some(algorithm) = upload.checksum_algorithm
            && !beside.announced.contains(&algorithm)
        {
            beside.announced.push(algorithm);
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
        let new = self
            .taken(input.body.take(), input.content_length, &beside, claimed, ObjectHeaders::default())
            .await?;
        let id = input.upload_id.clone();
        let part = self.cloud.put_part(id, input.part_number, new).await.map_err(wire::error)?;
        let output = UploadPartOutput { e_tag: Some(wire::etag(&part.etag)), ..Default::default() };
        Ok(S3Response::new(with_checksums!(output, part.checksums)))
    }

    pub(super) async fn copy_part(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = req.input;
        check_number(input.part_number)?;
        let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).map_err(wire::error)?;
        let (from_bucket, from_key) = copied_from(&input.copy_source)?;
        let original = self.cloud.object(&from_bucket, &from_key).map_err(wire::error)?;
        let range = input
            .copy_source_range
            .as_deref()
            .map(|text| Range::parse(text).map_err(|_| s3_error!(InvalidArgument, "invalid copy range")))
            .transpose()?;
        let (from, to) = ranged(range, original.size)?.unwrap_or((0, original.size));
        let copied = CopiedPart {
            from_bucket,
            from_key,
            etag: original.etag,
            from,
            to,
            checksum_algorithm: upload.checksum_algorithm,
        };
        let copy = self.cloud.copy_part(input.upload_id, input.part_number, copied);
        let part = copy.await.map_err(wire::error)?;
        let result = CopyPartResult {
            e_tag: Some(wire::etag(&part.etag)),
            last_modified: Some(wire::time(part.modified)),
            ..Default::default()
        };
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(with_checksums!(result, part.checksums)),
            ..Default::default()
        }))
    }

    pub(super) async fn complete(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        if parts.is_empty() {
            return Err(s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published schema"
            ));
        }
        let wanted = parts
            .into_iter()
            .map(|part| WantedPart {
                number: part.part_number.unwrap_or_default(),
                etag: part.e_tag.map(|etag| etag.value().to_owned()).unwrap_or_default(),
            })
            .collect();
        let record = self
            .cloud
            .complete_upload(input.bucket.clone(), input.key.clone(), input.upload_id, wanted)
            .await
            .map_err(wire::error)?;
        let output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(wire::etag(&record.etag)),
            checksum_type: checksum_type(&record),
            ..Default::default()
        };
        Ok(S3Response::new(with_checksums!(output, record.checksums)))
    }

    pub(super) fn every_part(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let upload = self.cloud.upload(&input.bucket, &input.key, &input.upload_id).map_err(wire::error)?;
        let limit = input.max_parts.unwrap_or(1000).clamp(1, 1000);
        let after = input.part_number_marker.unwrap_or(0);
        let mut parts = self.cloud.parts(&input.upload_id).map_err(wire::error)?;
        parts.retain(|part| part.number > after);
        let more = parts.len() > usize::try_from(limit).unwrap_or(1000);
        parts.truncate(usize::try_from(limit).unwrap_or(1000));
        let last = parts.last().map_or(after, |part| part.number);
        let listed = parts
            .into_iter()
            .map(|part| {
                let listed = Part {
                    part_number: Some(part.number),
                    e_tag: Some(wire::etag(&part.etag)),
                    size: Some(as_i64(part.size)),
                    last_modified: Some(wire::time(part.modified)),
                    ..Default::default()
                };
                with_checksums!(listed, part.checksums)
            })
            .collect();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: Some(last),
            max_parts: Some(limit),
            is_truncated: Some(more),
            parts: Some(listed),
            owner: Some(self.owner()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            checksum_algorithm: upload
                .checksum_algorithm
                .map(|name| ChecksumAlgorithm::from(name.to_uppercase())),
            checksum_type: upload.checksum_type.map(ChecksumType::from),
            ..Default::default()
        }))
    }

    pub(super) fn every_upload(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        let limit = input.max_uploads.unwrap_or(1000).clamp(1, 1000);
        let after = (
            input.key_marker.clone().unwrap_or_default(),
            // Without an id, everything of the key itself is behind us.
            input.upload_id_marker.clone().unwrap_or_else(|| "\u{10ffff}".to_owned()),
        );
        let mut uploads = self.cloud.uploads(&input.bucket, &prefix).map_err(wire::error)?;
        if input.key_marker.is_some() {
            uploads.retain(|(key, id, _)| (key, id) > (&after.0, &after.1));
        }
        let more = uploads.len() > usize::try_from(limit).unwrap_or(1000);
        uploads.truncate(usize::try_from(limit).unwrap_or(1000));
        let encode = encoder(input.encoding_type.as_ref());
        let last = if more { uploads.last().map(|(key, id, _)| (encode(key), id.clone())) } else { None };
        let (next_key_marker, next_upload_id_marker) = last.unzip();
        let listed = uploads
            .into_iter()
            .map(|(key, id, record)| MultipartUpload {
                key: Some(encode(&key)),
                upload_id: Some(id),
                initiated: Some(wire::time(record.initiated)),
                owner: Some(self.owner()),
                storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                ..Default::default()
            })
            .collect();
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            next_key_marker,
            next_upload_id_marker,
            max_uploads: Some(limit),
            is_truncated: Some(more),
            uploads: Some(listed),
            encoding_type: input.encoding_type,
            ..Default::default()
        }))
    }
}

fn check_number(number: i32) -> S3Result<()> {
    if (1..=10_000).contains(&number) {
        Ok(())
    } else {
        Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
    }
}
