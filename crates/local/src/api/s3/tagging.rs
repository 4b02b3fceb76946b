//! Tags of objects.

use s3s::{S3Error, S3Request, S3Response, S3Result, dto::*};

use super::{
    Objects,
    wire::{self, is_delete_marker, object_name, shown_version},
};
use crate::service::{ObjectError, check_object_tags};

impl Objects {
    pub(super) async fn object_tags(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let object = self.cloud.object(name).await.map_err(|error| refused("GET", error))?;
        let tags = object.record.traits.tags.into_iter();
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set: tags.map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect(),
            version_id: shown_version(&bucket, &object.id),
        }))
    }

    pub(super) async fn set_object_tags(
        &self,
        req: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        let tags = check_object_tags(pairs(&input.tagging.tag_set)).map_err(wire::error)?;
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let object = self.cloud.tag_object(name, tags).await.map_err(|error| refused("PUT", error))?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id: shown_version(&bucket, &object.id) }))
    }

    pub(super) async fn drop_object_tags(
        &self,
        req: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let object = self.cloud.tag_object(name, Default::default()).await;
        let object = object.map_err(|error| refused("DELETE", error))?;
        Ok(S3Response::new(DeleteObjectTaggingOutput { version_id: shown_version(&bucket, &object.id) }))
    }
}

/// Delete markers have no tags, whether they are named or just the newest.
fn refused(method: &str, error: ObjectError) -> S3Error {
    match error {
        ObjectError::KeyDeleted { .. } | ObjectError::IsDeleteMarker { .. } => is_delete_marker(method, None),
        other => wire::error(other),
    }
}

/// Keys and values of tags as they come.
pub(super) fn pairs(tags: &TagSet) -> Vec<(String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    tags.iter().map(|tag| (text(&tag.key), text(&tag.value))).collect()
}
