//! Code and layer contents on their way in: from the request or from S3, within the limits.

use layercake_core::{
    limits,
    zip::{ReadError, ZipError},
};

use super::{Cloud, LambdaError};
use crate::store::{Blob, BlobFile, BlobWriter, Scope, StoreError, read_upload, verify_upload};

/// Where a request says its code is.
pub(crate) enum Source {
    /// In the request itself.
    Zip(BlobWriter),
    /// In a bucket.
    Object {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The version, when the request names one.
        version: Option<String>,
    },
}

/// Code or a layer's content that was looked at.
pub(super) struct Package {
    /// The zip. It stays while this value lives, or while a record names it.
    pub(super) blob: Blob,
    /// Sum of its files in bytes.
    pub(super) unzipped_size: u64,
}

impl Cloud {
    /// Takes in a package for somebody, who must own the bucket that it lies in.
    pub(super) async fn package(&self, scope: &Scope, source: Source) -> Result<Package, LambdaError> {
        match source {
            Source::Zip(writer) => {
                if writer.size() >= limits::ZIPPED_DIRECT_BYTES {
                    return Err(LambdaError::ZippedTooLarge);
                }
                self.blocking(move |_| {
                    let (blob, unzipped_size) = writer.finish_with(examine)?;
                    Ok(Package { blob, unzipped_size })
                })
                .await
            }
            Source::Object { bucket, key, version } => {
                let scope = scope.clone();
                self.blocking(move |store| {
                    let found = store.bucket(&bucket)?.ok_or(LambdaError::NoSuchBucket)?;
                    if found.account != scope.account.as_str() {
                        return Err(LambdaError::BucketOfAnother { bucket, key });
                    }
                    if found.region != scope.region.as_str() {
                        return Err(LambdaError::BucketElsewhere { region: found.region });
                    }
                    let missing = || match version {
                        Some(_) => LambdaError::NoSuchObjectVersion,
                        None => LambdaError::NoSuchKey,
                    };
                    let held = store.hold_object(&bucket, &key, version.as_deref())?;
                    let (object, blob) = held.ok_or_else(missing)?;
                    // Packed data cannot be much larger than unpacked.
                    if object.size >= limits::UNZIPPED_BYTES {
                        return Err(LambdaError::UnzippedTooLarge);
                    }
                    let unzipped_size = examine(&blob.open()?)?;
                    Ok(Package { blob, unzipped_size })
                })
                .await
            }
        }
    }
}

/// Lambda looks into a package before it takes it. Gives the sum of its files in bytes.
fn examine(file: &BlobFile) -> Result<u64, LambdaError> {
    let refused = |error| match error {
        ReadError::Zip(ZipError::TooLarge { what, .. }) if what == "the archive" => {
            LambdaError::UnzippedTooLarge
        }
        ReadError::Zip(error) => {
            tracing::info!(%error, "an upload is not a zip that can be unpacked");
            LambdaError::NotAZip
        }
        error => StoreError::from(error).into(),
    };
    let archive = read_upload(file).map_err(refused)?;
    if archive.entries.is_empty() {
        return Err(LambdaError::EmptyZip);
    }
    verify_upload(file, &archive.entries).map_err(refused)?;
    Ok(archive.unpacked_size())
}

/// Whether the error is the archive's own fault, in words for a function's `StateReason`.
pub(super) fn archive_fault(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Archive { source } => Some(source.to_string()),
        _ => None,
    }
}
