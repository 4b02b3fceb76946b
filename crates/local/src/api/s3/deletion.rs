//! Deleting objects, versions and delete markers, one or up to a thousand.

use s3s::{S3Request, S3Response, S3Result, dto::*};

use super::{
    Objects,
    wire::{self, malformed, object_name},
};
use crate::{
    service::{DeleteRequest, ObjectError, WriteCondition},
    store::Deleted,
};

/// The most objects that one request deletes.
const MOST_AT_ONCE: usize = 1000;

impl Objects {
    pub(super) async fn delete_one(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        let name = object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let condition = match &input.if_match {
            None => WriteCondition::None,
            Some(ETagCondition::Any) => WriteCondition::Present,
            Some(ETagCondition::ETag(etag)) => WriteCondition::Match(etag.value().to_owned()),
        };
        let request = DeleteRequest { key: name.key, version: name.version.clone(), condition };
        let outcomes = self.cloud.delete_objects(bucket.name, vec![request]).await.map_err(wire::error)?;
        let outcome = outcomes.into_iter().next().unwrap_or(Ok(Deleted::Object)).map_err(wire::error)?;
        Ok(S3Response::new(match outcome {
            Deleted::Object | Deleted::Refused => DeleteObjectOutput::default(),
            Deleted::Version => DeleteObjectOutput { version_id: name.version, ..Default::default() },
            Deleted::Marker => DeleteObjectOutput {
                delete_marker: Some(true),
                version_id: name.version,
                ..Default::default()
            },
            Deleted::Marked(id) => {
                DeleteObjectOutput { delete_marker: Some(true), version_id: Some(id), ..Default::default() }
            }
        }))
    }

    pub(super) async fn delete_several(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let beside = Self::beside(&req)?;
        let Delete { objects, quiet } = req.input.delete;
        if objects.is_empty() || objects.len() > MOST_AT_ONCE {
            return Err(malformed());
        }
        let bucket = self.enter(&beside, &req.input.bucket).await?;
        let requests: Vec<_> = objects
            .into_iter()
            .map(|object| DeleteRequest {
                key: object.key,
                version: object.version_id.filter(|version| !version.is_empty()),
                condition: match object.e_tag {
                    Some(etag) if etag.value() == "*" => WriteCondition::Present,
                    Some(etag) => WriteCondition::Match(etag.value().to_owned()),
                    None => WriteCondition::None,
                },
            })
            .collect();
        let outcomes = self.cloud.delete_objects(bucket.name, requests.clone()).await.map_err(wire::error)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for (request, outcome) in requests.into_iter().zip(outcomes) {
            match outcome {
                Ok(outcome) => deleted.push(shown(request, outcome)),
                Err(error) => errors.push(refused(request, error)),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (quiet != Some(true)).then_some(deleted),
            errors: Some(errors).filter(|errors| !errors.is_empty()),
            ..Default::default()
        }))
    }
}

fn shown(request: DeleteRequest, outcome: Deleted) -> DeletedObject {
    let DeleteRequest { key, version, .. } = request;
    let (delete_marker, delete_marker_version_id) = match outcome {
        Deleted::Object | Deleted::Version | Deleted::Refused => (None, None),
        Deleted::Marker => (Some(true), version.clone()),
        Deleted::Marked(id) => (Some(true), Some(id)),
    };
    DeletedObject { key: Some(key), version_id: version, delete_marker, delete_marker_version_id }
}

fn refused(request: DeleteRequest, error: ObjectError) -> Error {
    let DeleteRequest { key, version, .. } = request;
    // Here S3 does not tell ids that it never made from those whose version is gone.
    let error = match error {
        ObjectError::InvalidVersion { version } => ObjectError::NoSuchVersion { key: key.clone(), version },
        other => other,
    };
    let error = wire::error(error);
    Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(key),
        message: error.message().map(str::to_owned),
        version_id: version,
    }
}
