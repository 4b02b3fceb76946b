//! Errors, times and headers as s3s has them.

use std::time::{Duration, SystemTime};

use s3s::{
    S3Error, S3ErrorCode,
    dto::{ETag, ETagCondition, Metadata, Timestamp, TimestampFormat},
};

use crate::{
    api::lambda::with_causes,
    service::ObjectError,
    store::{ObjectHeaders, ObjectRecord},
};

/// S3's codes and texts for what the service refuses.
pub(super) fn error(error: ObjectError) -> S3Error {
    let (code, message) = match error {
        ObjectError::NoSuchBucket => (S3ErrorCode::NoSuchBucket, "The specified bucket does not exist"),
        ObjectError::NoSuchKey => (S3ErrorCode::NoSuchKey, "The specified key does not exist."),
        ObjectError::NoSuchUpload => (
            S3ErrorCode::NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
             aborted or completed.",
        ),
        ObjectError::BucketIsYours => (
            S3ErrorCode::BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it.",
        ),
        ObjectError::BucketExists => (
            S3ErrorCode::BucketAlreadyExists,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the \
             system. Please select a different name and try again.",
        ),
        ObjectError::BucketNotEmpty => {
            (S3ErrorCode::BucketNotEmpty, "The bucket you tried to delete is not empty")
        }
        ObjectError::ObjectChanged => {
            (S3ErrorCode::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
        }
        ObjectError::InvalidPart => (
            S3ErrorCode::InvalidPart,
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or \
             the specified entity tag may not match the part's entity tag.",
        ),
        ObjectError::InvalidPartOrder => (
            S3ErrorCode::InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ),
        ObjectError::PartTooSmall => {
            (S3ErrorCode::EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size")
        }
        ObjectError::Store(error) => {
            return S3Error::with_message(S3ErrorCode::InternalError, with_causes(&error));
        }
    };
    S3Error::with_message(code, message)
}

/// Our own trouble.
pub(super) fn internal(error: crate::store::StoreError) -> S3Error {
    self::error(error.into())
}

/// Milliseconds since 1970; S3 has whole seconds.
pub(super) fn time(milliseconds: i64) -> Timestamp {
    let seconds = u64::try_from(milliseconds / 1000).unwrap_or(0);
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// As headers have it.
pub(super) fn etag(text: &str) -> ETag {
    ETag::Strong(text.to_owned())
}

/// What an object keeps of the request that made it.
#[derive(Default)]
pub(super) struct Given {
    pub(super) content_type: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) metadata: Option<Metadata>,
}

impl Given {
    pub(super) fn into_headers(self) -> ObjectHeaders {
        let expires = self.expires.and_then(|time| {
            let mut text = Vec::new();
            time.format(TimestampFormat::HttpDate, &mut text).ok()?;
            String::from_utf8(text).ok()
        });
        let standard = [
            ("content-type", self.content_type),
            ("cache-control", self.cache_control),
            ("content-disposition", self.content_disposition),
            ("content-encoding", self.content_encoding.filter(|coding| !coding.is_empty())),
            ("content-language", self.content_language),
            ("expires", expires),
        ];
        ObjectHeaders {
            standard: standard
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            metadata: self.metadata.unwrap_or_default().into_iter().collect(),
        }
    }
}

/// Takes the headers that an object keeps out of any request's input.
macro_rules! given {
    ($input:expr) => {
        $crate::api::s3::wire::Given {
            content_type: $input.content_type.take(),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            expires: $input.expires.take(),
            metadata: $input.metadata.take(),
        }
        .into_headers()
    };
}
pub(super) use given;

/// Puts an object's checksums into any answer that has fields for them.
macro_rules! with_checksums {
    ($output:expr, $checksums:expr) => {{
        let mut output = $output;
        output.checksum_crc32 = $checksums.get("crc32").cloned();
        output.checksum_crc32c = $checksums.get("crc32c").cloned();
        output.checksum_crc64nvme = $checksums.get("crc64nvme").cloned();
        output.checksum_sha1 = $checksums.get("sha1").cloned();
        output.checksum_sha256 = $checksums.get("sha256").cloned();
        output
    }};
}
pub(super) use with_checksums;

/// The conditions of a reading request.
pub(super) struct Conditions<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

impl Conditions<'_> {
    /// Whether the object may be answered (RFC 9110 §13.2.2).
    pub(super) fn check(&self, record: &ObjectRecord) -> Result<(), S3Error> {
        let failed = || {
            S3Error::with_message(
                S3ErrorCode::PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold",
            )
        };
        let own = etag(&record.etag);
        let is_own = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(other) => other.value() == own.value(),
        };
        let modified = time(record.modified);
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !is_own(condition) => return Err(failed()),
            (None, Some(since)) if modified > *since => return Err(failed()),
            _ => {}
        }
        let unchanged = match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) => is_own(condition),
            (None, Some(since)) => modified <= *since,
            _ => false,
        };
        if unchanged { Err(S3Error::new(S3ErrorCode::NotModified)) } else { Ok(()) }
    }
}
