//! S3 on the wire. The protocol is s3s's; this translates between its types and the service's.
//!
//! s3s verifies signatures with secrets that it knows, and the local cloud takes every caller's
//! key. So a request loses its signature and its upload encoding before s3s sees it. What is not
//! built answers NotImplemented, which is what s3s does by default.

mod chunked;
mod listing;
mod multipart;
mod objects;
mod wire;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use s3s::{S3, S3Request, S3Response, S3Result, dto::*};

use super::Api;
use crate::{
    service::{ALGORITHMS, Cloud},
    store::Scope,
};

/// S3 on the local cloud.
#[derive(Clone)]
pub(super) struct Objects {
    cloud: Arc<Cloud>,
}

/// What travels beside a request through s3s.
#[derive(Clone)]
struct Beside {
    scope: Scope,
    trailers: chunked::Trailers,
    /// Checksum algorithms that the client announced, lower-case.
    announced: Vec<String>,
}

pub(super) fn service(cloud: &Arc<Cloud>) -> s3s::service::S3Service {
    s3s::service::S3ServiceBuilder::new(Objects { cloud: Arc::clone(cloud) }).build()
}

/// Answers one request to S3.
pub(super) async fn answer_request(api: &Api, scope: Scope, mut parts: Parts, body: Body) -> Response {
    let request_id = uuid::Uuid::new_v4().simple().to_string()[..16].to_uppercase();
    let trailers = chunked::Trailers::default();
    let announced = announced_checksums(&parts.headers);
    parts.extensions.insert(Beside { scope, trailers: trailers.clone(), announced });
    let encoded = is_chunked(&parts.headers);
    let decoded_length = parts.headers.get("x-amz-decoded-content-length").cloned();
    strip_signature(&mut parts);
    let body = if encoded {
        if let Some(length) = decoded_length {
            parts.headers.insert(header::CONTENT_LENGTH, length);
            parts.headers.remove(header::TRANSFER_ENCODING);
        }
        Body::from_stream(chunked::decoded(body, trailers))
    } else {
        body
    };
    let request = http::Request::from_parts(parts, s3s::Body::http_body_unsync(body));
    let mut response = match api.s3.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "S3 request failed");
            http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    response
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text("x-amz-content-sha256").starts_with("STREAMING-")
        || text("content-encoding").split(',').any(|coding| coding.trim() == "aws-chunked")
}

fn announced_checksums(headers: &HeaderMap) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trailer = text("x-amz-trailer").unwrap_or_default().to_ascii_lowercase();
    let chosen = text("x-amz-sdk-checksum-algorithm").unwrap_or_default().to_ascii_lowercase();
    ALGORITHMS
        .iter()
        .filter(|name| {
            let header = format!("x-amz-checksum-{name}");
            headers.contains_key(&header)
                || trailer.split(',').any(|trailer| trailer.trim() == header)
                || chosen == **name
        })
        .map(|name| (*name).to_owned())
        .collect()
}

/// Takes everything away that makes s3s look for a signature.
fn strip_signature(parts: &mut Parts) {
    for name in [
        "authorization",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
    ] {
        parts.headers.remove(name);
    }
    if let Some(codings) = parts.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()) {
        let kept: Vec<_> = codings
            .split(',')
            .map(str::trim)
            .filter(|coding| *coding != "aws-chunked" && !coding.is_empty())
            .collect();
        let kept = HeaderValue::from_str(&kept.join(",")).ok().filter(|kept| !kept.is_empty());
        match kept {
            Some(kept) => parts.headers.insert(header::CONTENT_ENCODING, kept),
            None => parts.headers.remove(header::CONTENT_ENCODING),
        };
    }
    let Some(query) = parts.uri.query() else {
        return;
    };
    const SIGNING: [&str; 10] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "awsaccesskeyid",
        "signature",
        "expires",
    ];
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
            !SIGNING.contains(&name.as_str())
        })
        .collect();
    let path = parts.uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    if let Ok(uri) = target.parse::<Uri>() {
        parts.uri = uri;
    }
}

impl Objects {
    fn beside<T>(request: &S3Request<T>) -> S3Result<Beside> {
        request
            .extensions
            .get::<Beside>()
            .cloned()
            .ok_or_else(|| s3s::s3_error!(InternalError, "a request without its scope"))
    }
}

/// The list of what is built.
#[async_trait::async_trait]
impl S3 for Objects {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.make_bucket(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = self.cloud.bucket(&req.input.bucket).map_err(wire::error)?;
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(bucket.region), ..Default::default() }))
    }

    async fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.every_bucket(&req)
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.cloud.delete_bucket(req.input.bucket).await.map_err(wire::error)?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let bucket = self.cloud.bucket(&req.input.bucket).map_err(wire::error)?;
        let constraint = Some(bucket.region).filter(|region| region != "us-east-1");
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: constraint.map(BucketLocationConstraint::from),
        }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.put(req).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.get(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.head(&req)
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        self.copy(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.cloud.delete_objects(req.input.bucket, vec![req.input.key]).await.map_err(wire::error)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.delete_several(req).await
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        self.list_v1(req)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.list_v2(req)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.create_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.put_part(req).await
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.copy_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        self.cloud.abort_upload(input.bucket, input.key, input.upload_id).await.map_err(wire::error)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.every_part(req)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.every_upload(req)
    }
}
