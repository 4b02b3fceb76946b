//! Errors, times and headers as s3s has them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{ChecksumType, ETag, ETagCondition, Metadata, Timestamp, TimestampFormat},
};

use super::refusal::{code, refusal, with_headers};
use crate::{
    api::lambda::with_causes,
    service::{ObjectError, ObjectName, ObjectVersion, TagFault, WriteCondition, check_object_tags, is_etag},
    store::{BucketRecord, EncryptionRecord, ObjectHeaders, ObjectRecord, ObjectTraits, Versioning},
};

const FAILED: &str = "At least one of the pre-conditions you specified did not hold";

/// S3's codes and texts for what the service refuses.
pub(super) fn error(error: ObjectError) -> S3Error {
    use ObjectError as E;
    match error {
        E::NoSuchBucket { name } => refusal(
            S3ErrorCode::NoSuchBucket,
            "The specified bucket does not exist",
            &[("BucketName", &name)],
        ),
        E::AccessDenied => refusal(S3ErrorCode::AccessDenied, "Access Denied", &[]),
        E::InvalidBucketName { name } => refusal(
            S3ErrorCode::InvalidBucketName,
            "The specified bucket is not valid.",
            &[("BucketName", &name)],
        ),
        E::NoSuchKey { key } => no_such_key(&key),
        E::KeyDeleted { key, marker } => {
            with_headers(no_such_key(&key), &[("x-amz-delete-marker", "true"), ("x-amz-version-id", &marker)])
        }
        E::NoSuchVersion { key, version } => refusal(
            S3ErrorCode::NoSuchVersion,
            "The specified version does not exist.",
            &[("Key", &key), ("VersionId", &version)],
        ),
        E::InvalidVersion { version } => {
            invalid_argument("Invalid version id specified", "versionId", &version)
        }
        E::IsDeleteMarker { version, modified } => is_delete_marker("GET", Some((&version, modified))),
        E::NoSuchUpload { id } => refusal(
            S3ErrorCode::NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
             aborted or completed.",
            &[("UploadId", &id)],
        ),
        E::BucketIsYours { name } => refusal(
            S3ErrorCode::BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it.",
            &[("BucketName", &name)],
        ),
        E::BucketExists { name } => refusal(
            S3ErrorCode::BucketAlreadyExists,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the \
             system. Please select a different name and try again.",
            &[("BucketName", &name)],
        ),
        E::BucketNotEmpty { name, versioned } => refusal(
            S3ErrorCode::BucketNotEmpty,
            if versioned {
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
            } else {
                "The bucket you tried to delete is not empty"
            },
            &[("BucketName", &name)],
        ),
        E::PreconditionFailed { condition } => failed(condition),
        E::ChangedMeanwhile { key, condition } => refusal(
            S3ErrorCode::ConditionalRequestConflict,
            "The conditional request cannot succeed due to a conflicting operation against this resource.",
            &[("Condition", condition), ("Key", &key)],
        ),
        E::CopyTooLarge => refusal(
            S3ErrorCode::InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
            &[],
        ),
        E::InvalidPart { .. } | E::InvalidPartOrder { .. } | E::PartTooSmall { .. } | E::OtherSize => {
            completion(error)
        }
        E::OtherChecksum { algorithm } => bad_checksum(&algorithm),
        E::TooManyTags { of_bucket: true, most } => {
            refusal(code("BadRequest"), format!("Bucket tag count cannot be greater than {most}"), &[])
        }
        E::TooManyTags { most, .. } => {
            refusal(code("BadRequest"), format!("Object tags cannot be greater than {most}"), &[])
        }
        E::InvalidTag { key, value, why } => {
            let message = match why {
                TagFault::Key => "The TagKey you have provided is invalid",
                TagFault::Value => "The TagValue you have provided is invalid",
                TagFault::Twice => "Cannot provide multiple Tags with the same key",
                TagFault::OfAwsOnBucket => "System tags cannot be added/updated by requester",
                TagFault::OfAwsOnObject => "Your TagKey cannot be prefixed with aws:",
            };
            let mut members = vec![("TagKey", key.as_str())];
            members.extend(value.as_deref().map(|value| ("TagValue", value)));
            refusal(S3ErrorCode::InvalidTag, message, &members)
        }
        E::Store(error) => S3Error::with_message(S3ErrorCode::InternalError, with_causes(&error)),
    }
}

fn completion(error: ObjectError) -> S3Error {
    match error {
        ObjectError::InvalidPart { upload, number, etag } => refusal(
            S3ErrorCode::InvalidPart,
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or \
             the specified entity tag may not match the part's entity tag.",
            &[("UploadId", &upload), ("PartNumber", &number.to_string()), ("ETag", etag.trim_matches('"'))],
        ),
        ObjectError::InvalidPartOrder { upload } => refusal(
            S3ErrorCode::InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
            &[("UploadId", &upload)],
        ),
        ObjectError::PartTooSmall { number, etag, size } => refusal(
            S3ErrorCode::EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size",
            &[
                ("ProposedSize", &size.to_string()),
                ("MinSizeAllowed", "5242880"),
                ("PartNumber", &number.to_string()),
                ("ETag", &etag),
            ],
        ),
        _ => refusal(
            S3ErrorCode::InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value does not match what was computed.",
            &[],
        ),
    }
}

fn no_such_key(key: &str) -> S3Error {
    refusal(S3ErrorCode::NoSuchKey, "The specified key does not exist.", &[("Key", key)])
}

/// A request for what only objects have, about a delete marker.
pub(super) fn is_delete_marker(method: &str, version: Option<(&str, i64)>) -> S3Error {
    let refused = refusal(
        S3ErrorCode::MethodNotAllowed,
        "The specified method is not allowed against this resource.",
        &[("Method", method), ("ResourceType", "DeleteMarker")],
    );
    let Some((version, modified)) = version else {
        return refused;
    };
    let modified = http_date(&time(modified)).unwrap_or_default();
    with_headers(
        refused,
        &[
            ("x-amz-delete-marker", "true"),
            ("x-amz-version-id", version),
            ("allow", "DELETE"),
            ("last-modified", &modified),
        ],
    )
}

/// A condition that does not hold.
pub(super) fn failed(condition: &str) -> S3Error {
    refusal(S3ErrorCode::PreconditionFailed, FAILED, &[("Condition", condition)])
}

/// A checksum that is not what the client says.
pub(super) fn bad_checksum(algorithm: &str) -> S3Error {
    let name = algorithm.to_uppercase();
    let message = format!("The {name} you specified did not match the calculated checksum.");
    refusal(S3ErrorCode::BadDigest, message, &[])
}

/// An argument that S3 does not take.
pub(super) fn invalid_argument(
    message: impl Into<std::borrow::Cow<'static, str>>,
    name: &str,
    value: &str,
) -> S3Error {
    refusal(S3ErrorCode::InvalidArgument, message, &[("ArgumentName", name), ("ArgumentValue", value)])
}

/// XML that breaks the schema.
pub(super) fn malformed() -> S3Error {
    refusal(
        S3ErrorCode::MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema",
        &[],
    )
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

/// The version id that answers show: none for buckets that never had versions.
pub(super) fn shown_version(bucket: &BucketRecord, id: &str) -> Option<String> {
    bucket.versioning.map(|_| id.to_owned())
}

/// The version id that answers to writes show: only what has one of its own.
pub(super) fn new_version(bucket: &BucketRecord, version: &ObjectVersion) -> Option<String> {
    (bucket.versioning == Some(Versioning::Enabled)).then(|| version.id.clone())
}

/// The object that a request names; an empty version id is none that S3 gives.
pub(super) fn object_name(bucket: &str, key: &str, version: Option<&str>) -> S3Result<ObjectName> {
    if version == Some("") {
        return Err(invalid_argument("Version id cannot be the empty string", "versionId", ""));
    }
    Ok(ObjectName { bucket: bucket.to_owned(), key: key.to_owned(), version: version.map(str::to_owned) })
}

fn http_date(time: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
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
    pub(super) website_redirect_location: Option<String>,
    pub(super) metadata: Option<Metadata>,
}

impl Given {
    pub(super) fn into_headers(self) -> ObjectHeaders {
        let standard = [
            ("content-type", self.content_type),
            ("cache-control", self.cache_control),
            ("content-disposition", self.content_disposition),
            ("content-encoding", self.content_encoding.filter(|coding| !coding.is_empty())),
            ("content-language", self.content_language),
            ("expires", self.expires.as_ref().and_then(http_date)),
            ("x-amz-website-redirect-location", self.website_redirect_location),
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
            website_redirect_location: $input.website_redirect_location.take(),
            metadata: $input.metadata.take(),
        }
        .into_headers()
    };
}
pub(super) use given;

/// What a request wants of an object besides its content.
pub(super) struct Wanted {
    pub(super) storage_class: Option<String>,
    pub(super) encryption: Option<String>,
    pub(super) key: Option<String>,
    pub(super) bucket_key: Option<bool>,
    pub(super) tagging: Option<String>,
}

impl Wanted {
    /// Checked, with the bucket's encryption where the request names none.
    pub(super) fn into_traits(self, usual: Option<EncryptionRecord>) -> S3Result<ObjectTraits> {
        const CLASSES: [&str; 8] = [
            "STANDARD",
            "REDUCED_REDUNDANCY",
            "STANDARD_IA",
            "ONEZONE_IA",
            "INTELLIGENT_TIERING",
            "GLACIER",
            "DEEP_ARCHIVE",
            "GLACIER_IR",
        ];
        if self.storage_class.as_deref().is_some_and(|class| !CLASSES.contains(&class)) {
            return Err(refusal(
                S3ErrorCode::InvalidStorageClass,
                "The storage class you specified is not valid",
                &[("StorageClassRequested", self.storage_class.as_deref().unwrap_or_default())],
            ));
        }
        let encryption = match self.encryption.as_deref() {
            None => usual,
            Some("AES256") => None,
            Some(algorithm @ ("aws:kms" | "aws:kms:dsse")) => Some(EncryptionRecord {
                algorithm: algorithm.to_owned(),
                key: self.key,
                bucket_key: self.bucket_key == Some(true),
            }),
            Some(other) => {
                return Err(invalid_argument(
                    "The encryption method specified is not supported",
                    "x-amz-server-side-encryption",
                    other,
                ));
            }
        };
        Ok(ObjectTraits {
            storage_class: self.storage_class.filter(|class| class != "STANDARD"),
            encryption,
            tags: self.tagging.as_deref().map(tags_of_header).transpose()?.unwrap_or_default(),
        })
    }
}

/// Takes what a request wants of an object out of any request's input.
macro_rules! wanted {
    ($input:expr) => {
        $crate::api::s3::wire::Wanted {
            storage_class: $input.storage_class.as_ref().map(|class| class.as_str().to_owned()),
            encryption: $input.server_side_encryption.as_ref().map(|name| name.as_str().to_owned()),
            key: $input.ssekms_key_id.take(),
            bucket_key: $input.bucket_key_enabled,
            tagging: $input.tagging.take(),
        }
    };
}
pub(super) use wanted;

/// Tags as the header `x-amz-tagging` has them: `key=value&key=value`, URL-encoded.
fn tags_of_header(text: &str) -> S3Result<BTreeMap<String, String>> {
    let pairs = url::form_urlencoded::parse(text.as_bytes()).into_owned();
    check_object_tags(pairs).map_err(|refused| match refused {
        ObjectError::InvalidTag { why: TagFault::Twice | TagFault::Key, .. } => invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters \
             without tag name duplicates.",
            "x-amz-tagging",
            text,
        ),
        other => error(other),
    })
}

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

/// Takes the checksums that a client says out of any input that has fields for them.
macro_rules! claimed_checksums {
    ($input:expr) => {
        [
            ("crc32", $input.checksum_crc32.take()),
            ("crc32c", $input.checksum_crc32c.take()),
            ("crc64nvme", $input.checksum_crc64nvme.take()),
            ("sha1", $input.checksum_sha1.take()),
            ("sha256", $input.checksum_sha256.take()),
        ]
        .into_iter()
        .filter_map(|(name, sum)| Some((name.to_owned(), sum?)))
        .collect::<std::collections::BTreeMap<String, String>>()
    };
}
pub(super) use claimed_checksums;

/// Puts an object's encryption into any answer that has fields for it. S3 encrypts everything.
macro_rules! with_encryption {
    ($output:expr, $traits:expr) => {{
        let mut output = $output;
        let encryption = $traits.encryption.as_ref();
        let algorithm = encryption.map_or("AES256", |encryption| encryption.algorithm.as_str());
        output.server_side_encryption = Some(s3s::dto::ServerSideEncryption::from(algorithm.to_owned()));
        output.ssekms_key_id = encryption.and_then(|encryption| encryption.key.clone());
        output.bucket_key_enabled =
            encryption.filter(|encryption| encryption.bucket_key).map(|encryption| encryption.bucket_key);
        output
    }};
}
pub(super) use with_encryption;

/// Whether an object's checksums are of the whole or of its parts' checksums.
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

/// The conditions of a request that reads an object, or copies one.
pub(super) struct Conditions<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

/// The conditions of any request that reads an object.
macro_rules! reading {
    ($input:expr) => {
        $crate::api::s3::wire::Conditions {
            if_match: $input.if_match.as_ref(),
            if_none_match: $input.if_none_match.as_ref(),
            if_modified_since: $input.if_modified_since.as_ref(),
            if_unmodified_since: $input.if_unmodified_since.as_ref(),
        }
    };
}
pub(super) use reading;

/// The conditions of any request that copies an object.
macro_rules! copying {
    ($input:expr) => {
        $crate::api::s3::wire::Conditions {
            if_match: $input.copy_source_if_match.as_ref(),
            if_none_match: $input.copy_source_if_none_match.as_ref(),
            if_modified_since: $input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.as_ref(),
        }
    };
}
pub(super) use copying;

/// Which condition of a request does not hold.
#[derive(Clone, Copy)]
enum Unmet {
    Match,
    NoneMatch,
    ModifiedSince,
    UnmodifiedSince,
}

impl Conditions<'_> {
    /// Whether the object may be read (RFC 9110 §13.2.2).
    pub(super) fn check(&self, record: &ObjectRecord) -> S3Result<()> {
        match self.unmet(record) {
            None => Ok(()),
            Some(Unmet::Match) => Err(failed("If-Match")),
            Some(Unmet::UnmodifiedSince) => Err(failed("If-Unmodified-Since")),
            Some(Unmet::NoneMatch | Unmet::ModifiedSince) => {
                let modified = http_date(&time(record.modified)).unwrap_or_default();
                let etag = format!("\"{}\"", record.etag);
                Err(with_headers(
                    S3Error::new(S3ErrorCode::NotModified),
                    &[("etag", &etag), ("last-modified", &modified)],
                ))
            }
        }
    }

    /// Whether the object may be copied.
    pub(super) fn check_copy(&self, record: &ObjectRecord) -> S3Result<()> {
        match self.unmet(record) {
            None => Ok(()),
            Some(unmet) => Err(failed(match unmet {
                Unmet::Match => "x-amz-copy-source-If-Match",
                Unmet::NoneMatch => "x-amz-copy-source-If-None-Match",
                Unmet::ModifiedSince => "x-amz-copy-source-If-Modified-Since",
                Unmet::UnmodifiedSince => "x-amz-copy-source-If-Unmodified-Since",
            })),
        }
    }

    fn unmet(&self, record: &ObjectRecord) -> Option<Unmet> {
        let is_own = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(other) => is_etag(other.value(), &record.etag),
        };
        let modified = time(record.modified);
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !is_own(condition) => return Some(Unmet::Match),
            (None, Some(since)) if modified > *since => return Some(Unmet::UnmodifiedSince),
            _ => {}
        }
        // A time to come says nothing about what has happened.
        let now = Timestamp::from(SystemTime::now());
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) => is_own(condition).then_some(Unmet::NoneMatch),
            (None, Some(since)) => (modified <= *since && *since <= now).then_some(Unmet::ModifiedSince),
            _ => None,
        }
    }
}

/// When a write may happen. S3 takes one of the two headers, and of their values only these.
pub(super) fn write_condition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<WriteCondition> {
    let not_taken = |header: &str, why: &str| {
        refusal(
            S3ErrorCode::NotImplemented,
            "A header you provided implies functionality that is not implemented",
            &[("Header", header), ("additionalMessage", why)],
        )
    };
    let value = |header: &str| {
        not_taken(header, &format!("We don't accept the provided value of {header} header for this API"))
    };
    match (if_match, if_none_match) {
        (None, None) => Ok(WriteCondition::None),
        (Some(_), Some(_)) => Err(not_taken(
            "If-Match,If-None-Match",
            "Multiple conditional request headers present in the request",
        )),
        (None, Some(ETagCondition::Any)) => Ok(WriteCondition::Absent),
        (None, Some(_)) => Err(value("If-None-Match")),
        (Some(ETagCondition::Any), None) => Err(value("If-Match")),
        (Some(ETagCondition::ETag(etag)), None) => Ok(WriteCondition::Match(etag.value().to_owned())),
    }
}
