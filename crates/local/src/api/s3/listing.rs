//! Listings: of objects in both versions, of their versions, and of unfinished uploads.

use std::borrow::Cow;

use s3s::{S3Request, S3Response, S3Result, dto::*};

use super::{
    Objects,
    buckets::{from_token, to_token},
    canonical_id, owner,
    wire::{self, as_i64, checksum_type, invalid_argument},
};
use crate::store::{ListedVersion, ListingQuery, ObjectRecord};

/// Everything but what S3 leaves as it is; a blank becomes `+`.
const ENCODED: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*')
    .remove(b'/')
    .remove(b' ');

impl Objects {
    pub(super) async fn list_v1(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        let encode = Encoding::of(input.encoding_type.as_ref())?;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let limit = limited(input.max_keys, "maxKeys")?;
        let query = ListingQuery {
            prefix: input.prefix.unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            after: input.marker.unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let page = self.cloud.list_objects(bucket.name.clone(), query.clone()).await.map_err(wire::error)?;
        let last = match page.ends_with_prefix {
            true => page.common_prefixes.last().cloned(),
            false => page.items.last().map(|(key, _)| key.clone()),
        };
        let owner = owner(&bucket.account);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(bucket.name),
            prefix: Some(encode.text(&query.prefix)),
            marker: Some(encode.text(&query.after)),
            max_keys: Some(limit),
            is_truncated: Some(page.more),
            // Without a delimiter S3 leaves it out; the last key says the same.
            next_marker: last
                .filter(|_| page.more && !query.delimiter.is_empty())
                .map(|last| encode.text(&last)),
            common_prefixes: encode.prefixes(&page.common_prefixes),
            contents: Some(encode.objects(page.items, Some(&owner))),
            delimiter: encode.delimiter(&query),
            encoding_type: input.encoding_type,
            ..Default::default()
        }))
    }

    pub(super) async fn list_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        let encode = Encoding::of(input.encoding_type.as_ref())?;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let limit = limited(input.max_keys, "maxKeys")?;
        let token = input.continuation_token.as_deref().map(from_token).transpose()?;
        // Who goes on with a token has started long ago.
        let start_after = input.start_after.filter(|_| token.is_none());
        let query = ListingQuery {
            prefix: input.prefix.unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            after: token.or_else(|| start_after.clone()).unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let page = self.cloud.list_objects(bucket.name.clone(), query.clone()).await.map_err(wire::error)?;
        let last = match page.ends_with_prefix {
            true => page.common_prefixes.last(),
            false => page.items.last().map(|(key, _)| key),
        };
        let next = last.filter(|_| page.more).map(|last| to_token(last));
        let owner = (input.fetch_owner == Some(true)).then(|| owner(&bucket.account));
        let count = page.items.len() + page.common_prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(bucket.name),
            prefix: Some(encode.text(&query.prefix)),
            max_keys: Some(limit),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.more),
            next_continuation_token: next,
            common_prefixes: encode.prefixes(&page.common_prefixes),
            contents: Some(encode.objects(page.items, owner.as_ref())),
            delimiter: encode.delimiter(&query),
            encoding_type: input.encoding_type,
            start_after: start_after.map(|start| encode.text(&start)),
            ..Default::default()
        }))
    }

    pub(super) async fn list_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        let encode = Encoding::of(input.encoding_type.as_ref())?;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let limit = limited(input.max_keys, "maxKeys")?;
        let marker = input.version_id_marker.clone().filter(|marker| !marker.is_empty());
        if marker.is_some() && input.key_marker.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid_argument(
                "A version-id marker cannot be specified without a key marker.",
                "version-id-marker",
                marker.as_deref().unwrap_or_default(),
            ));
        }
        let query = ListingQuery {
            prefix: input.prefix.unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            after: input.key_marker.unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let listed = self.cloud.list_versions(bucket.name.clone(), query.clone(), marker);
        let page = listed.await.map_err(wire::error)?;
        let (next_key, next_version) = match (page.more, page.ends_with_prefix) {
            (false, _) => (None, None),
            (true, true) => (page.common_prefixes.last().map(|prefix| encode.text(prefix)), None),
            (true, false) => page.items.last().map(|last| (encode.text(&last.key), last.id.clone())).unzip(),
        };
        let owner = owner(&bucket.account);
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for item in page.items {
            match &item.record {
                Some(record) => versions.push(version(&encode, &item, record, &owner)),
                None => markers.push(DeleteMarkerEntry {
                    is_latest: Some(item.latest),
                    key: Some(encode.text(&item.key)),
                    last_modified: Some(wire::time(item.modified)),
                    owner: Some(owner.clone()),
                    version_id: Some(item.id),
                }),
            }
        }
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(bucket.name),
            prefix: Some(encode.text(&query.prefix)),
            key_marker: Some(encode.text(&query.after)),
            version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
            next_key_marker: next_key,
            next_version_id_marker: next_version,
            max_keys: Some(limit),
            is_truncated: Some(page.more),
            common_prefixes: encode.prefixes(&page.common_prefixes),
            versions: Some(versions),
            delete_markers: Some(markers),
            delimiter: encode.delimiter(&query),
            encoding_type: input.encoding_type,
            ..Default::default()
        }))
    }

    pub(super) async fn list_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let beside = Self::beside(&req)?;
        let input = req.input;
        let encode = Encoding::of(input.encoding_type.as_ref())?;
        let bucket = self.enter(&beside, &input.bucket).await?;
        let limit = limited(input.max_uploads, "max-uploads")?;
        let key_marker = input.key_marker.unwrap_or_default();
        // Without a key the id says nothing.
        let id_marker = input.upload_id_marker.filter(|id| !key_marker.is_empty() && !id.is_empty());
        let query = ListingQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            after: key_marker,
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let listed = self.cloud.list_uploads(bucket.name.clone(), query.clone(), id_marker.clone());
        let page = listed.await.map_err(wire::error)?;
        let last = page.items.last().filter(|_| !page.ends_with_prefix);
        let (next_key, next_id) = match last {
            Some((key, id, _)) => (encode.text(key), id.clone()),
            None => {
                (page.common_prefixes.last().map(|last| encode.text(last)).unwrap_or_default(), String::new())
            }
        };
        let id = canonical_id(&bucket.account);
        let uploads = page.items.into_iter().map(|(key, upload, record)| MultipartUpload {
            key: Some(encode.text(&key)),
            upload_id: Some(upload),
            initiated: Some(wire::time(record.initiated)),
            initiator: Some(Initiator { display_name: None, id: Some(id.clone()) }),
            owner: Some(owner(&bucket.account)),
            storage_class: Some(class(record.traits.storage_class.as_deref())),
            checksum_algorithm: record
                .checksum_algorithm
                .map(|name| ChecksumAlgorithm::from(name.to_uppercase())),
            checksum_type: record.checksum_type.map(ChecksumType::from),
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(bucket.name),
            prefix: input.prefix.map(|prefix| encode.text(&prefix)),
            key_marker: Some(encode.text(&query.after)),
            upload_id_marker: Some(id_marker.unwrap_or_default()),
            next_key_marker: Some(next_key),
            next_upload_id_marker: Some(next_id),
            max_uploads: Some(limit),
            is_truncated: Some(page.more),
            uploads: Some(uploads.collect()),
            common_prefixes: encode.prefixes(&page.common_prefixes),
            delimiter: encode.delimiter(&query),
            encoding_type: input.encoding_type,
            ..Default::default()
        }))
    }
}

fn version(encode: &Encoding, item: &ListedVersion, record: &ObjectRecord, owner: &Owner) -> ObjectVersion {
    ObjectVersion {
        key: Some(encode.text(&item.key)),
        version_id: Some(item.id.clone()),
        is_latest: Some(item.latest),
        last_modified: Some(wire::time(item.modified)),
        e_tag: Some(wire::etag(&record.etag)),
        size: Some(as_i64(record.size)),
        storage_class: Some(ObjectVersionStorageClass::from(
            class(record.traits.storage_class.as_deref()).as_str().to_owned(),
        )),
        owner: Some(owner.clone()),
        checksum_algorithm: algorithms(record),
        checksum_type: checksum_type(record),
        ..Default::default()
    }
}

fn algorithms(record: &ObjectRecord) -> Option<ChecksumAlgorithmList> {
    let names: Vec<_> =
        record.checksums.keys().map(|name| ChecksumAlgorithm::from(name.to_uppercase())).collect();
    Some(names).filter(|names| !names.is_empty())
}

/// The class of an object, which is the standard one unless it says another.
pub(super) fn class(name: Option<&str>) -> StorageClass {
    name.map_or(StorageClass::from_static(StorageClass::STANDARD), |name| StorageClass::from(name.to_owned()))
}

/// How many things a page shows: at most 1,000.
fn limited(wanted: Option<i32>, name: &str) -> S3Result<i32> {
    match wanted {
        Some(wanted) if wanted < 0 => Err(invalid_argument(
            format!("Argument {name} must be an integer between 0 and 2147483647"),
            name,
            &wanted.to_string(),
        )),
        wanted => Ok(wanted.unwrap_or(1000).min(1000)),
    }
}

/// How names are written in an answer: XML cannot hold every character of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    fn of(wanted: Option<&EncodingType>) -> S3Result<Self> {
        match wanted.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(other) => {
                Err(invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", other))
            }
        }
    }

    fn text(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => {
                let encoded: Cow<'_, str> = percent_encoding::utf8_percent_encode(text, &ENCODED).into();
                encoded.replace(' ', "+")
            }
        }
    }

    fn prefixes(self, prefixes: &[String]) -> Option<CommonPrefixList> {
        Some(prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(self.text(prefix)) }).collect())
    }

    fn delimiter(self, query: &ListingQuery) -> Option<String> {
        Some(&query.delimiter).filter(|delimiter| !delimiter.is_empty()).map(|delimiter| self.text(delimiter))
    }

    fn objects(self, objects: Vec<(String, ObjectRecord)>, owner: Option<&Owner>) -> ObjectList {
        let listed = objects.into_iter().map(|(key, record)| Object {
            key: Some(self.text(&key)),
            e_tag: Some(wire::etag(&record.etag)),
            last_modified: Some(wire::time(record.modified)),
            size: Some(as_i64(record.size)),
            storage_class: Some(ObjectStorageClass::from(
                class(record.traits.storage_class.as_deref()).as_str().to_owned(),
            )),
            owner: owner.cloned(),
            checksum_algorithm: algorithms(&record),
            checksum_type: checksum_type(&record),
            ..Default::default()
        });
        listed.collect()
    }
}
