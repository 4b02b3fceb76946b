//! Who may do what with a bucket: policy, access control lists, ownership and the block of public
//! access. They are kept and read back; whoever reaches the local cloud is the account itself.

use http::{HeaderMap, HeaderValue, header};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use serde_json::Value;

use super::{
    Beside, Objects, canonical_id, owner,
    refusal::{code, refusal},
    settings::no_such_setting,
    wire::{self, malformed},
};
use crate::service::Setting;

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";

impl Objects {
    pub(super) async fn policy(
        &self,
        req: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let policy = self.kept_policy(&Self::beside(&req)?, &req.input.bucket).await?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(S3Response::with_headers(GetBucketPolicyOutput { policy: Some(policy) }, headers))
    }

    pub(super) async fn policy_status(
        &self,
        req: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        let policy = self.kept_policy(&Self::beside(&req)?, &req.input.bucket).await?;
        let public = serde_json::from_str(&policy).is_ok_and(|policy: Value| is_public(&policy));
        Ok(S3Response::new(GetBucketPolicyStatusOutput {
            policy_status: Some(PolicyStatus { is_public: Some(public) }),
        }))
    }

    async fn kept_policy(&self, beside: &Beside, bucket: &str) -> S3Result<String> {
        let bucket = self.enter(beside, bucket).await?;
        let kept = self.cloud.setting(&bucket.name, Setting::Policy).await.map_err(wire::error)?;
        let missing = ("NoSuchBucketPolicy", "The bucket policy does not exist");
        kept.flatten().ok_or_else(|| no_such_setting(missing, &bucket.name))
    }

    pub(super) async fn set_policy(
        &self,
        req: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        let beside = Self::beside(&req)?;
        let bucket = self.enter(&beside, &req.input.bucket).await?;
        let text = req.input.policy;
        let malformed = |message: &'static str| refusal(S3ErrorCode::MalformedPolicy, message, &[]);
        let policy: Value = serde_json::from_str(&text)
            .ok()
            .filter(|_| text.starts_with('{'))
            .ok_or_else(|| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
        if policy.get("Statement").is_none() {
            return Err(malformed("Missing required field Statement"));
        }
        let blocked = self
            .public_access(&bucket.name)
            .await?
            .is_some_and(|block| block.block_public_policy == Some(true));
        if blocked && is_public(&policy) {
            let message = format!(
                "User: arn:aws:iam::{}:root is not authorized to perform: s3:PutBucketPolicy on resource: \
                 \"arn:aws:s3:::{}\" because public policies are blocked by the BlockPublicPolicy block public \
                 access setting.",
                beside.scope.account, bucket.name
            );
            return Err(refusal(S3ErrorCode::AccessDenied, message, &[]));
        }
        self.cloud.set(bucket.name, Setting::Policy, Some(text)).await.map_err(wire::error)?;
        Ok(S3Response::new(PutBucketPolicyOutput::default()))
    }

    /// The block of public access: all of it on a new bucket, none when it was taken off.
    async fn public_access(&self, bucket: &str) -> S3Result<Option<PublicAccessBlockConfiguration>> {
        let kept = self.setting(bucket, Setting::PublicAccess).await?;
        let all = PublicAccessBlockConfiguration {
            block_public_acls: Some(true),
            block_public_policy: Some(true),
            ignore_public_acls: Some(true),
            restrict_public_buckets: Some(true),
        };
        Ok(kept.unwrap_or(Some(all)))
    }

    pub(super) async fn public_access_block(
        &self,
        req: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let missing =
            ("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found");
        let block = self.public_access(&bucket.name).await?;
        let block = block.ok_or_else(|| no_such_setting(missing, &bucket.name))?;
        Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(block) }))
    }

    pub(super) async fn set_public_access_block(
        &self,
        req: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        let wanted = &req.input.public_access_block_configuration;
        let block = PublicAccessBlockConfiguration {
            block_public_acls: Some(wanted.block_public_acls == Some(true)),
            block_public_policy: Some(wanted.block_public_policy == Some(true)),
            ignore_public_acls: Some(wanted.ignore_public_acls == Some(true)),
            restrict_public_buckets: Some(wanted.restrict_public_buckets == Some(true)),
        };
        self.keep(&req, &req.input.bucket, Setting::PublicAccess, &block).await?;
        Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
    }

    /// Who owns the objects: the bucket's owner on a new bucket, nobody says when that was removed.
    async fn ownership_of(&self, bucket: &str) -> S3Result<Option<OwnershipControls>> {
        let kept = self.setting(bucket, Setting::Ownership).await?;
        Ok(kept.unwrap_or_else(|| {
            let enforced = ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED);
            Some(OwnershipControls { rules: vec![OwnershipControlsRule { object_ownership: enforced }] })
        }))
    }

    pub(super) async fn ownership(
        &self,
        req: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let missing = ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found");
        let controls = self.ownership_of(&bucket.name).await?;
        let controls = controls.ok_or_else(|| no_such_setting(missing, &bucket.name))?;
        Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls: Some(controls) }))
    }

    pub(super) async fn set_ownership(
        &self,
        req: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
        let wanted = &req.input.ownership_controls;
        let [rule] = wanted.rules.as_slice() else {
            return Err(malformed());
        };
        if !is_ownership(&rule.object_ownership) {
            return Err(malformed());
        }
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let enforced = rule.object_ownership.as_str() == ObjectOwnership::BUCKET_OWNER_ENFORCED;
        let acl: Option<AccessControlPolicy> = self.setting(&bucket.name, Setting::Acl).await?.flatten();
        if enforced && acl.is_some_and(|acl| acl.grants.is_some_and(|grants| grants.len() > 1)) {
            return Err(refusal(
                S3ErrorCode::InvalidBucketAclWithObjectOwnership,
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
                &[],
            ));
        }
        self.keep(&req, &req.input.bucket, Setting::Ownership, wanted).await?;
        Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
    }

    /// Whether the bucket takes no access control lists.
    async fn owner_enforced(&self, bucket: &str) -> S3Result<bool> {
        let controls = self.ownership_of(bucket).await?;
        let rule = controls.and_then(|controls| controls.rules.into_iter().next());
        Ok(rule.is_some_and(|rule| rule.object_ownership.as_str() == ObjectOwnership::BUCKET_OWNER_ENFORCED))
    }

    pub(super) async fn bucket_acl(
        &self,
        req: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        let kept: Option<AccessControlPolicy> = self.setting(&bucket.name, Setting::Acl).await?.flatten();
        let acl = kept.unwrap_or_else(|| canned(&bucket.account, &[]));
        Ok(S3Response::new(GetBucketAclOutput { grants: acl.grants, owner: acl.owner }))
    }

    pub(super) async fn set_bucket_acl(
        &self,
        req: S3Request<PutBucketAclInput>,
    ) -> S3Result<S3Response<PutBucketAclOutput>> {
        let bucket = self.enter(&Self::beside(&req)?, &req.input.bucket).await?;
        if self.owner_enforced(&bucket.name).await? {
            return Err(no_lists());
        }
        let input = &req.input;
        let granted = [
            &input.grant_full_control,
            &input.grant_read,
            &input.grant_read_acp,
            &input.grant_write,
            &input.grant_write_acp,
        ];
        if granted.iter().any(|grant| grant.is_some()) {
            return Err(s3_error!(
                NotImplemented,
                "The local cloud does not implement grants in headers yet"
            ));
        }
        let acl = match (&input.acl, &input.access_control_policy) {
            (Some(name), _) => {
                let groups = groups_of(name.as_str())
                    .ok_or_else(|| wire::invalid_argument("", "x-amz-acl", name.as_str()))?;
                canned(&bucket.account, groups)
            }
            (None, Some(acl)) => acl.clone(),
            (None, None) => {
                return Err(refusal(
                    code("MissingSecurityHeader"),
                    "Your request was missing a required header",
                    &[("MissingHeaderName", "x-amz-acl")],
                ));
            }
        };
        let public = acl.grants.iter().flatten().any(|grant| {
            let uri = grant.grantee.as_ref().and_then(|grantee| grantee.uri.as_deref());
            uri.is_some_and(|uri| [ALL_USERS, AUTHENTICATED_USERS].contains(&uri))
        });
        let block = self.public_access(&bucket.name).await?;
        if public && block.is_some_and(|block| block.block_public_acls == Some(true)) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        self.keep(&req, &req.input.bucket, Setting::Acl, &acl).await?;
        Ok(S3Response::new(PutBucketAclOutput::default()))
    }

    pub(super) async fn object_acl(
        &self,
        req: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        let name = wire::object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        self.cloud.object(name).await.map_err(wire::error)?;
        let acl = canned(&bucket.account, &[]);
        Ok(S3Response::new(GetObjectAclOutput { grants: acl.grants, owner: acl.owner, ..Default::default() }))
    }

    pub(super) async fn set_object_acl(
        &self,
        req: S3Request<PutObjectAclInput>,
    ) -> S3Result<S3Response<PutObjectAclOutput>> {
        let input = &req.input;
        let bucket = self.enter(&Self::beside(&req)?, &input.bucket).await?;
        let name = wire::object_name(&input.bucket, &input.key, input.version_id.as_deref())?;
        self.cloud.object(name).await.map_err(wire::error)?;
        self.check_object_acl(&bucket.name, input.acl.as_ref()).await?;
        if input.acl.is_none() {
            return Err(s3_error!(
                NotImplemented,
                "The local cloud does not implement lists of objects' grants yet"
            ));
        }
        Ok(S3Response::new(PutObjectAclOutput::default()))
    }

    /// Whether an object may get the access control list. Objects here are always their bucket's
    /// owner's alone, so every list that says so fits.
    pub(super) async fn check_object_acl(&self, bucket: &str, acl: Option<&ObjectCannedACL>) -> S3Result<()> {
        let Some(acl) = acl.map(ObjectCannedACL::as_str) else {
            return Ok(());
        };
        if acl == ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL {
            return Ok(());
        }
        if self.owner_enforced(bucket).await? {
            return Err(no_lists());
        }
        match acl {
            ObjectCannedACL::PRIVATE | ObjectCannedACL::BUCKET_OWNER_READ => Ok(()),
            ObjectCannedACL::PUBLIC_READ
            | ObjectCannedACL::PUBLIC_READ_WRITE
            | ObjectCannedACL::AUTHENTICATED_READ
            | ObjectCannedACL::AWS_EXEC_READ => {
                Err(s3_error!(NotImplemented, "The local cloud does not implement public objects yet"))
            }
            other => Err(wire::invalid_argument("", "x-amz-acl", other)),
        }
    }
}

fn no_lists() -> S3Error {
    refusal(S3ErrorCode::AccessControlListNotSupported, "The bucket does not allow ACLs", &[])
}

/// Whether it is one of the values that S3 knows.
pub(super) fn is_ownership(ownership: &ObjectOwnership) -> bool {
    [
        ObjectOwnership::BUCKET_OWNER_ENFORCED,
        ObjectOwnership::BUCKET_OWNER_PREFERRED,
        ObjectOwnership::OBJECT_WRITER,
    ]
    .contains(&ownership.as_str())
}

/// Groups and what they may, of a canned list for buckets.
fn groups_of(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    Some(match name {
        "private" | "bucket-owner-full-control" | "bucket-owner-read" => &[],
        "public-read" => &[(ALL_USERS, "READ")],
        "public-read-write" => &[(ALL_USERS, "READ"), (ALL_USERS, "WRITE")],
        "authenticated-read" => &[(AUTHENTICATED_USERS, "READ")],
        "log-delivery-write" => &[(LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")],
        _ => return None,
    })
}

/// A list with the owner in full control, and groups.
fn canned(account: &str, groups: &[(&'static str, &'static str)]) -> AccessControlPolicy {
    let grantee = |id: Option<String>, uri: Option<&str>, kind: &'static str| Grantee {
        display_name: None,
        email_address: None,
        id,
        type_: Type::from_static(kind),
        uri: uri.map(str::to_owned),
    };
    let mut grants = vec![Grant {
        grantee: Some(grantee(Some(canonical_id(account)), None, Type::CANONICAL_USER)),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }];
    grants.extend(groups.iter().map(|(group, permission)| Grant {
        grantee: Some(grantee(None, Some(group), Type::GROUP)),
        permission: Some(Permission::from_static(permission)),
    }));
    AccessControlPolicy { grants: Some(grants), owner: Some(owner(account)) }
}

/// Whether a policy allows anybody something without a condition.
fn is_public(policy: &Value) -> bool {
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => &[],
    };
    let anybody = |principal: &Value| match principal {
        Value::String(name) => name == "*",
        Value::Array(names) => names.iter().any(|name| name == "*"),
        _ => false,
    };
    statements.iter().any(|statement| {
        let principal = statement.get("Principal").unwrap_or(&Value::Null);
        let public = anybody(principal) || principal.get("AWS").is_some_and(anybody);
        public
            && statement.get("Effect").is_some_and(|effect| effect == "Allow")
            && statement.get("Condition").is_none()
    })
}
