//! Buckets: making, listing, deleting, where they are, and whether their objects have versions.

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    Objects, owner,
    refusal::refusal,
    settings::to_xml,
    wire::{self, invalid_argument, malformed},
};
use crate::{
    service::{ListBuckets, Setting},
    store::Versioning,
};

/// The most buckets that an account can have, and so the longest page.
const MOST_BUCKETS: i32 = 10_000;

impl Objects {
    pub(super) async fn make_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let mut scope = Self::beside(&req)?.scope;
        let here = scope.region.to_string();
        let input = req.input;
        let constraint = input
            .create_bucket_configuration
            .and_then(|configuration| configuration.location_constraint)
            .map(|constraint| constraint.as_str().to_owned())
            .filter(|constraint| !constraint.is_empty());
        let elsewhere = |what: &str| {
            let message = format!(
                "The {what} location constraint is incompatible for the region specific endpoint this request \
                 was sent to."
            );
            refusal(S3ErrorCode::IllegalLocationConstraintException, message, &[])
        };
        match constraint {
            None if here != "us-east-1" => return Err(elsewhere("unspecified")),
            Some(wanted) if wanted != here && here != "us-east-1" => return Err(elsewhere(&wanted)),
            Some(wanted) => {
                let invalid = || {
                    refusal(
                        S3ErrorCode::InvalidLocationConstraint,
                        "The specified location-constraint is not valid",
                        &[("LocationConstraint", &wanted)],
                    )
                };
                // `EU` is Ireland's name from before regions had names.
                let region = if wanted == "EU" { "eu-west-1" } else { &wanted };
                scope.region = region.parse().map_err(|_| invalid())?;
            }
            None => {}
        }
        let mut settings = Vec::new();
        if let Some(ownership) = &input.object_ownership {
            let rule = OwnershipControlsRule { object_ownership: ownership.clone() };
            if !super::access::is_ownership(ownership) {
                let message = format!("Invalid x-amz-object-ownership header: {}", ownership.as_str());
                let members = [("ArgumentName", "x-amz-object-ownership")];
                return Err(refusal(S3ErrorCode::InvalidArgument, message, &members));
            }
            settings.push((Setting::Ownership, to_xml(&OwnershipControls { rules: vec![rule] })?));
        }
        let enforced =
            input.object_ownership.is_none_or(|name| name.as_str() == ObjectOwnership::BUCKET_OWNER_ENFORCED);
        match input.acl.as_ref().map(BucketCannedACL::as_str) {
            None | Some(BucketCannedACL::PRIVATE) => {}
            Some(_) if enforced => {
                return Err(refusal(
                    S3ErrorCode::InvalidBucketAclWithObjectOwnership,
                    "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
                    &[],
                ));
            }
            // Every new bucket blocks public access.
            Some(_) => return Err(s3_error!(AccessDenied, "Access Denied")),
        }
        let location = format!("/{}", input.bucket);
        let headers = arn_header(&input.bucket);
        self.cloud.create_bucket(scope, input.bucket, settings).await.map_err(wire::error)?;
        Ok(S3Response::with_headers(CreateBucketOutput { location: Some(location) }, headers))
    }

    pub(super) async fn one_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let headers = arn_header(&bucket.name);
        let output = HeadBucketOutput {
            bucket_region: Some(bucket.region),
            access_point_alias: Some(false),
            ..Default::default()
        };
        Ok(S3Response::with_headers(output, headers))
    }

    pub(super) async fn every_bucket(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let scope = Self::beside(&req)?.scope;
        let input = req.input;
        let paged =
            input.max_buckets.is_some() || input.prefix.is_some() || input.continuation_token.is_some();
        let limit = input.max_buckets.unwrap_or(MOST_BUCKETS);
        if !(1..=MOST_BUCKETS).contains(&limit) {
            return Err(invalid_argument(
                format!("Argument max-buckets must be an integer between 1 and {MOST_BUCKETS}"),
                "max-buckets",
                &limit.to_string(),
            ));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = input.continuation_token.as_deref().map(from_token).transpose()?;
        let page = ListBuckets {
            prefix: input.prefix.clone().unwrap_or_default(),
            after: after.unwrap_or_default(),
            region: input.bucket_region.clone(),
            limit,
        };
        let mut buckets = self.cloud.buckets(&scope, page).await.map_err(wire::error)?;
        let more = buckets.len() > limit;
        buckets.truncate(limit);
        let token = buckets.last().filter(|_| more).map(|bucket| to_token(&bucket.name));
        let regions = paged || input.bucket_region.is_some();
        let buckets = buckets.into_iter().map(|bucket| Bucket {
            name: Some(bucket.name),
            creation_date: Some(wire::time(bucket.created)),
            bucket_region: Some(bucket.region).filter(|_| regions),
        });
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            owner: Some(owner(scope.account.as_str())),
            continuation_token: token,
            prefix: input.prefix,
        }))
    }

    pub(super) async fn drop_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        self.cloud.delete_bucket(bucket).await.map_err(wire::error)?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    pub(super) async fn location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let constraint = Some(bucket.region).filter(|region| region != "us-east-1");
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: constraint.map(BucketLocationConstraint::from),
        }))
    }

    pub(super) async fn versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let status = bucket.versioning.map(|versioning| match versioning {
            Versioning::Enabled => BucketVersioningStatus::ENABLED,
            Versioning::Suspended => BucketVersioningStatus::SUSPENDED,
        });
        Ok(S3Response::new(GetBucketVersioningOutput {
            status: status.map(BucketVersioningStatus::from_static),
            mfa_delete: None,
        }))
    }

    pub(super) async fn set_versioning(
        &self,
        req: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let wanted = req.input.versioning_configuration;
        if wanted.mfa_delete.is_some_and(|delete| delete.as_str() == MFADelete::ENABLED) {
            return Err(s3_error!(NotImplemented, "The local cloud does not implement MFA delete yet"));
        }
        let versioning = match wanted.status.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            Some(_) => return Err(malformed()),
            None => {
                return Err(refusal(
                    S3ErrorCode::IllegalVersioningConfigurationException,
                    "The Versioning element must be specified",
                    &[],
                ));
            }
        };
        self.cloud.set_versioning(bucket.name, versioning).await.map_err(wire::error)?;
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }
}

fn arn_header(bucket: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("arn:aws:s3:::{bucket}")) {
        headers.insert("x-amz-bucket-arn", value);
    }
    headers
}

/// A name as a token for the next page.
pub(super) fn to_token(name: &str) -> String {
    base64::engine::general_purpose::URL_SAFE.encode(name)
}

/// The name behind a token.
pub(super) fn from_token(token: &str) -> S3Result<String> {
    base64::engine::general_purpose::URL_SAFE
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            let message = "The continuation token provided is incorrect";
            refusal(S3ErrorCode::InvalidArgument, message, &[("ArgumentName", "continuation-token")])
        })
}
