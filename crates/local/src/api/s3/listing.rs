//! ListObjects in both versions.

use base64::Engine as _;
use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    Objects,
    objects::{as_i64, checksum_type},
    wire,
};
use crate::{
    service::ListingRequest,
    store::{ListedObjects, ObjectRecord},
};

/// Everything but what URLs may hold as it is. S3 leaves `/` alone and so does this; a blank is
/// `%20`, which clients that take `+` for one read as well.
const ENCODED: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'*');

impl Objects {
    pub(super) fn list_v1(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let limit = input.max_keys.unwrap_or(1000).clamp(0, 1000);
        let request = ListingRequest {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: input.marker.clone().unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let page = self.cloud.list_objects(&input.bucket, &request).map_err(wire::error)?;
        let encode = encoder(input.encoding_type.as_ref());
        let owner = Some(self.owner());
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encode(&request.prefix)),
            marker: Some(encode(&request.after)),
            max_keys: Some(limit),
            is_truncated: Some(page.more_after.is_some()),
            // Without a delimiter S3 leaves it out; the last key says the same.
            next_marker: page
                .more_after
                .as_ref()
                .filter(|_| !request.delimiter.is_empty())
                .map(|next| encode(next)),
            common_prefixes: prefixes(&page, &*encode),
            contents: Some(contents(page, &*encode, owner.as_ref())),
            delimiter: input.delimiter.as_deref().map(&*encode),
            encoding_type: input.encoding_type,
            ..Default::default()
        }))
    }

    pub(super) fn list_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let limit = input.max_keys.unwrap_or(1000).clamp(0, 1000);
        let token = input.continuation_token.as_deref().map(from_token).transpose()?;
        let request = ListingRequest {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: token.or_else(|| input.start_after.clone()).unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let page = self.cloud.list_objects(&input.bucket, &request).map_err(wire::error)?;
        let encode = encoder(input.encoding_type.as_ref());
        let owner = (input.fetch_owner == Some(true)).then(|| self.owner());
        let count = page.objects.len() + page.common_prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode(&request.prefix)),
            max_keys: Some(limit),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.more_after.is_some()),
            next_continuation_token: page.more_after.as_deref().map(to_token),
            common_prefixes: prefixes(&page, &*encode),
            contents: Some(contents(page, &*encode, owner.as_ref())),
            delimiter: input.delimiter.as_deref().map(&*encode),
            encoding_type: input.encoding_type,
            start_after: input.start_after.as_deref().map(&*encode),
            ..Default::default()
        }))
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { display_name: None, id: Some(self.cloud.account.to_string()) }
    }
}

fn to_token(key: &str) -> String {
    base64::engine::general_purpose::URL_SAFE.encode(key)
}

fn from_token(token: &str) -> S3Result<String> {
    base64::engine::general_purpose::URL_SAFE
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

/// How names are written in an answer: XML cannot hold every character of a key.
pub(super) fn encoder(encoding: Option<&EncodingType>) -> Box<dyn Fn(&str) -> String> {
    if encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL) {
        Box::new(|text| percent_encoding::utf8_percent_encode(text, &ENCODED).to_string())
    } else {
        Box::new(str::to_owned)
    }
}

fn prefixes(page: &ListedObjects, encode: &dyn Fn(&str) -> String) -> Option<CommonPrefixList> {
    Some(page.common_prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(encode(prefix)) }).collect())
}

fn contents(page: ListedObjects, encode: &dyn Fn(&str) -> String, owner: Option<&Owner>) -> ObjectList {
    page.objects.into_iter().map(|(key, record)| listed(encode(&key), &record, owner)).collect()
}

fn listed(key: String, record: &ObjectRecord, owner: Option<&Owner>) -> Object {
    let algorithms: Vec<_> =
        record.checksums.keys().map(|name| ChecksumAlgorithm::from(name.to_uppercase())).collect();
    Object {
        key: Some(key),
        e_tag: Some(wire::etag(&record.etag)),
        last_modified: Some(wire::time(record.modified)),
        size: Some(as_i64(record.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        owner: owner.cloned(),
        checksum_algorithm: Some(algorithms).filter(|all| !all.is_empty()),
        checksum_type: checksum_type(record),
        ..Default::default()
    }
}
