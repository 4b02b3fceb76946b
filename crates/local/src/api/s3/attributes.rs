//! What is known of an object without its content.

use axum::{body::Body, http::header, response::Response};
use http_body_util::BodyExt as _;
use s3s::{S3Request, S3Response, S3Result, dto::*};

use super::{
    Objects,
    wire::{self, as_i64, checksum_type, object_name, shown_version, with_checksums},
};

const NAMES: [&str; 5] = [
    ObjectAttributes::ETAG,
    ObjectAttributes::CHECKSUM,
    ObjectAttributes::OBJECT_PARTS,
    ObjectAttributes::STORAGE_CLASS,
    ObjectAttributes::OBJECT_SIZE,
];

impl Objects {
    pub(super) async fn attributes(
        &self,
        req: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        // Clients write the list into one header.
        let wanted = input.object_attributes.iter().flat_map(|names| names.as_str().split(','));
        let wanted: Vec<&str> = wanted.map(str::trim).collect();
        let wants = |name: &str| wanted.contains(&name);
        let unknown = wanted.iter().find(|name| !NAMES.contains(name));
        if unknown.is_some() || wanted.is_empty() {
            let value = unknown.copied().unwrap_or_default();
            return Err(wire::invalid_argument(
                "Invalid attribute name specified.",
                "x-amz-object-attributes",
                value,
            ));
        }
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let object = self.cloud.object(name.clone()).await.map_err(wire::error)?;
        let record = &object.record;
        let mut object_parts = None;
        if wants(ObjectAttributes::OBJECT_PARTS) && record.parts > 0 {
            let limit = input.max_parts.unwrap_or(1000).clamp(0, 1000);
            let after = input.part_number_marker.unwrap_or(0);
            let most = usize::try_from(limit).unwrap_or(1000);
            let parts = self.cloud.object_parts(name, after, most + 1).await.map_err(wire::error)?;
            let more = parts.len() > most;
            let next = parts.iter().take(most).next_back().map_or(0, |part| part.number);
            // Single parts are shown only when each has a checksum of its own.
            let parts: Vec<_> = parts
                .into_iter()
                .take(most)
                .filter(|_| record.composite)
                .map(|part| {
                    let shown = ObjectPart {
                        part_number: Some(part.number),
                        size: Some(as_i64(part.size)),
                        ..Default::default()
                    };
                    with_checksums!(shown, part.checksums)
                })
                .collect();
            let listed = record.composite;
            object_parts = Some(GetObjectAttributesParts {
                total_parts_count: i32::try_from(record.parts).ok(),
                is_truncated: listed.then_some(more),
                max_parts: listed.then_some(limit),
                part_number_marker: listed.then_some(after),
                next_part_number_marker: listed.then_some(next),
                parts: Some(parts).filter(|parts| !parts.is_empty()),
            });
        }
        let checksum = wants(ObjectAttributes::CHECKSUM) && !record.checksums.is_empty();
        let class = record.traits.storage_class.as_deref().unwrap_or(StorageClass::STANDARD);
        Ok(S3Response::new(GetObjectAttributesOutput {
            e_tag: wants(ObjectAttributes::ETAG).then(|| wire::etag(&record.etag)),
            checksum: checksum.then(|| {
                let shown = Checksum { checksum_type: checksum_type(record), ..Default::default() };
                with_checksums!(shown, record.checksums)
            }),
            object_parts,
            storage_class: wants(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from(class.to_owned())),
            object_size: wants(ObjectAttributes::OBJECT_SIZE).then(|| as_i64(record.size)),
            last_modified: Some(wire::time(record.modified)),
            version_id: shown_version(&bucket, &object.id),
            ..Default::default()
        }))
    }
}

/// The answer with its ETag as S3 has it here: without quotes, other than everywhere else.
pub(super) async fn without_quotes(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let text = text.replace("<ETag>\"", "<ETag>").replace("\"</ETag>", "</ETag>");
    Response::from_parts(parts, Body::from(text))
}
