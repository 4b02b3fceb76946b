//! How a zip travels: within the request, or through a bucket when it would be too large.

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use camino::Utf8Path;
use layercake_core::{aws::BucketName, journal::Resource, limits};

use crate::{destination::Endpoint, error::DeployError, journal::JournalFile};

/// How a zip goes to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Within the request.
    Direct,
    /// Through a bucket made for it.
    ViaS3,
}

/// Decides from the size in bytes, before anything is sent.
pub const fn route_for(zip_bytes: u64, force_s3: bool) -> Route {
    if force_s3 || !limits::fits_in_request(zip_bytes) { Route::ViaS3 } else { Route::Direct }
}

/// A zip in a bucket that was made for it.
pub(crate) struct Staged {
    pub(crate) bucket: BucketName,
    pub(crate) key: String,
    steps: [u64; 2],
}

/// Makes a bucket and puts the zip into it.
pub(crate) async fn stage(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    zip: &Utf8Path,
    key: &str,
) -> Result<Staged, DeployError> {
    let name = bucket_name(endpoint, journal)?;
    let bucket = Resource::Bucket { name: name.clone() };
    let bucket_step = journal.will_create(bucket.clone())?;
    let mut create = endpoint.s3.create_bucket().bucket(name.as_str());
    // us-east-1 is the one region that must not be named (S3 CreateBucket).
    if endpoint.region.as_str() != "us-east-1" {
        let place = BucketLocationConstraint::from(endpoint.region.as_str());
        create = create.create_bucket_configuration(
            CreateBucketConfiguration::builder().location_constraint(place).build(),
        );
    }
    match create.send().await.map_err(|error| DeployError::of("CreateBucket", error)) {
        // The client repeated a request whose answer was lost; the name is nobody else's.
        Err(error) if !error.exists_already() => return Err(error),
        _ => {}
    }
    journal.created(bucket_step, bucket)?;

    let object = Resource::Object { bucket: name.clone(), key: key.to_owned() };
    let object_step = journal.will_create(object.clone())?;
    let body = ByteStream::from_path(zip.as_std_path()).await.map_err(|error| DeployError::ReadZip {
        path: zip.to_owned(),
        source: std::io::Error::other(error),
    })?;
    endpoint
        .s3
        .put_object()
        .bucket(name.as_str())
        .key(key)
        .body(body)
        .send()
        .await
        .map_err(|error| DeployError::of("PutObject", error))?;
    journal.created(object_step, object)?;
    Ok(Staged { bucket: name, key: key.to_owned(), steps: [bucket_step, object_step] })
}

/// Removes the zip and its bucket: Lambda has copied what it needs.
pub(crate) async fn unstage(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    staged: Staged,
) -> Result<(), DeployError> {
    let [bucket_step, object_step] = staged.steps;
    absent_is_fine(delete_object(endpoint, &staged.bucket, &staged.key).await)?;
    journal.undone(object_step)?;
    absent_is_fine(delete_bucket(endpoint, &staged.bucket).await)?;
    journal.undone(bucket_step)?;
    Ok(())
}

/// Deletes an object.
pub(crate) async fn delete_object(
    endpoint: &Endpoint,
    bucket: &BucketName,
    key: &str,
) -> Result<(), DeployError> {
    let answer = endpoint.s3.delete_object().bucket(bucket.as_str()).key(key).send().await;
    answer.map(drop).map_err(|error| DeployError::of("DeleteObject", error))
}

/// Deletes a bucket.
pub(crate) async fn delete_bucket(endpoint: &Endpoint, bucket: &BucketName) -> Result<(), DeployError> {
    let answer = endpoint.s3.delete_bucket().bucket(bucket.as_str()).send().await;
    answer.map(drop).map_err(|error| DeployError::of("DeleteBucket", error))
}

/// Takes the absence of what is to go for success.
pub(crate) fn absent_is_fine(answer: Result<(), DeployError>) -> Result<(), DeployError> {
    match answer {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

/// A name that nobody else has: bucket names are shared by all of AWS's accounts.
fn bucket_name(endpoint: &Endpoint, journal: &JournalFile) -> Result<BucketName, DeployError> {
    let token: String =
        journal.journal().opening.token.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let step = journal.journal().next_step();
    format!("layercake-{}-{}-{step}", endpoint.account, token.to_ascii_lowercase())
        .parse()
        .map_err(|source| DeployError::Name { operation: "CreateBucket", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_is_decided_by_the_size() {
        assert_eq!(route_for(1, false), Route::Direct);
        assert_eq!(route_for(limits::ZIPPED_DIRECT_BYTES - 1, false), Route::Direct);
        assert_eq!(route_for(limits::ZIPPED_DIRECT_BYTES, false), Route::ViaS3);
        assert_eq!(route_for(1, true), Route::ViaS3);
    }
}
