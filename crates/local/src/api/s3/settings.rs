//! A bucket's settings. They are kept as they come and read back so; what AWS answers for a bucket
//! without them is here. The local cloud does nothing on their behalf: it expires no objects,
//! serves no web pages, sends no events and writes no access logs.

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::*,
    s3_error,
    xml::{DeserializeContent, Deserializer, SerializeContent, Serializer},
};

use super::{
    Objects,
    refusal::{code, refusal},
    wire::{self, malformed},
};
use crate::{
    service::{Setting, check_bucket_tags},
    store::EncryptionRecord,
};

/// What a setting is called where it is kept.
const ROOT: &str = "Setting";

/// A setting as it is kept.
pub(super) fn to_xml<T: SerializeContent>(value: &T) -> S3Result<String> {
    let mut text = Vec::new();
    Serializer::new(&mut text).content(ROOT, value).map_err(S3Error::internal_error)?;
    String::from_utf8(text).map_err(S3Error::internal_error)
}

fn from_xml<T: for<'xml> DeserializeContent<'xml>>(text: &str) -> S3Result<T> {
    let mut reader = Deserializer::new(text.as_bytes());
    reader.named_element(ROOT, Deserializer::content).map_err(S3Error::internal_error)
}

impl Objects {
    /// A setting of a bucket: nothing when it was never set, an inner nothing when it was removed.
    pub(super) async fn setting<T: for<'xml> DeserializeContent<'xml>>(
        &self,
        bucket: &str,
        setting: Setting,
    ) -> S3Result<Option<Option<T>>> {
        let kept = self.cloud.setting(bucket, setting).await.map_err(wire::error)?;
        kept.map(|text| text.as_deref().map(from_xml).transpose()).transpose()
    }

    /// A setting of the bucket that a request names, or the error that says there is none.
    async fn setting_or<I, T: for<'xml> DeserializeContent<'xml>>(
        &self,
        req: &S3Request<I>,
        bucket: &str,
        setting: Setting,
        missing: (&'static str, &'static str),
    ) -> S3Result<T> {
        let beside = Self::beside(req)?;
        let bucket = self.enter(&beside, bucket).await?;
        let found = self.setting(&bucket.name, setting).await?.flatten();
        found.ok_or_else(|| no_such_setting(missing, &bucket.name))
    }

    /// A setting of the bucket that a request names, which is always there.
    async fn setting_of<I, T: Default + for<'xml> DeserializeContent<'xml>>(
        &self,
        req: &S3Request<I>,
        bucket: &str,
        setting: Setting,
    ) -> S3Result<T> {
        let beside = Self::beside(req)?;
        let bucket = self.enter(&beside, bucket).await?;
        Ok(self.setting(&bucket.name, setting).await?.flatten().unwrap_or_default())
    }

    /// Sets a setting of the bucket that a request names.
    pub(super) async fn keep<I, T: SerializeContent>(
        &self,
        req: &S3Request<I>,
        bucket: &str,
        setting: Setting,
        value: &T,
    ) -> S3Result<()> {
        let (beside, text) = (Self::beside(req)?, to_xml(value)?);
        let bucket = self.enter(&beside, bucket).await?;
        self.cloud.set(bucket.name, setting, Some(text)).await.map_err(wire::error)
    }

    /// Removes a setting of the bucket that a request names.
    pub(super) async fn forget<I>(&self, req: &S3Request<I>, bucket: &str, setting: Setting) -> S3Result<()> {
        let beside = Self::beside(req)?;
        let bucket = self.enter(&beside, bucket).await?;
        self.cloud.set(bucket.name, setting, None).await.map_err(wire::error)
    }

    pub(super) async fn cors(
        &self,
        req: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        let missing = ("NoSuchCORSConfiguration", "The CORS configuration does not exist");
        let kept: CORSConfiguration =
            self.setting_or(&req, &req.input.bucket, Setting::Cors, missing).await?;
        Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(kept.cors_rules) }))
    }

    pub(super) async fn set_cors(
        &self,
        req: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let wanted = &req.input.cors_configuration;
        if wanted.cors_rules.is_empty() || wanted.cors_rules.len() > 100 {
            return Err(malformed());
        }
        for method in wanted.cors_rules.iter().flat_map(|rule| &rule.allowed_methods) {
            if !["GET", "PUT", "HEAD", "POST", "DELETE"].contains(&method.as_str()) {
                let message = format!(
                    "Found unsupported HTTP method in CORS config. Unsupported method is {}",
                    method.as_str()
                );
                return Err(refusal(S3ErrorCode::InvalidRequest, message, &[]));
            }
        }
        self.keep(&req, &req.input.bucket, Setting::Cors, wanted).await?;
        Ok(S3Response::new(PutBucketCorsOutput::default()))
    }

    pub(super) async fn lifecycle(
        &self,
        req: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        let missing = ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist");
        let bucket = &req.input.bucket;
        let kept: BucketLifecycleConfiguration =
            self.setting_or(&req, bucket, Setting::Lifecycle, missing).await?;
        let minimum: String = self.setting_of(&req, bucket, Setting::LifecycleMinimum).await?;
        Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
            rules: Some(kept.rules),
            transition_default_minimum_object_size: Some(minimum_size(minimum)),
        }))
    }

    pub(super) async fn set_lifecycle(
        &self,
        req: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        let mut wanted = req.input.lifecycle_configuration.clone().ok_or_else(malformed)?;
        let states = [ExpirationStatus::ENABLED, ExpirationStatus::DISABLED];
        let valid = wanted.rules.iter().all(|rule| states.contains(&rule.status.as_str()));
        if wanted.rules.is_empty() || !valid {
            return Err(malformed());
        }
        for rule in &mut wanted.rules {
            rule.id.get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
        }
        let minimum = req.input.transition_default_minimum_object_size.as_ref();
        let minimum = minimum.map(|name| name.as_str().to_owned()).unwrap_or_default();
        let bucket = &req.input.bucket;
        self.keep(&req, bucket, Setting::Lifecycle, &wanted).await?;
        self.keep(&req, bucket, Setting::LifecycleMinimum, &minimum).await?;
        Ok(S3Response::new(PutBucketLifecycleConfigurationOutput {
            transition_default_minimum_object_size: Some(minimum_size(minimum)),
        }))
    }

    pub(super) async fn bucket_encryption(
        &self,
        req: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        let beside = Self::beside(&req)?;
        let bucket = self.enter(&beside, &req.input.bucket).await?;
        let kept = self.setting(&bucket.name, Setting::Encryption).await?.flatten();
        // Since 2023 every bucket is encrypted with S3's own keys.
        let usual = || ServerSideEncryptionConfiguration {
            rules: vec![ServerSideEncryptionRule {
                apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                    kms_master_key_id: None,
                    sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
                }),
                bucket_key_enabled: Some(false),
            }],
        };
        Ok(S3Response::new(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(kept.unwrap_or_else(usual)),
        }))
    }

    pub(super) async fn set_encryption(
        &self,
        req: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        let mut wanted = req.input.server_side_encryption_configuration.clone();
        let [rule] = wanted.rules.as_mut_slice() else {
            return Err(malformed());
        };
        rule.bucket_key_enabled.get_or_insert(false);
        if let Some(usual) = &rule.apply_server_side_encryption_by_default {
            let by_kms = usual.sse_algorithm.as_str().starts_with("aws:kms");
            if !by_kms && usual.sse_algorithm.as_str() != ServerSideEncryption::AES256 {
                return Err(malformed());
            }
            if !by_kms && usual.kms_master_key_id.is_some() {
                return Err(refusal(
                    S3ErrorCode::InvalidArgument,
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or \
                     aws:kms:dsse",
                    &[("ArgumentName", "ApplyServerSideEncryptionByDefault")],
                ));
            }
        }
        self.keep(&req, &req.input.bucket, Setting::Encryption, &wanted).await?;
        Ok(S3Response::new(PutBucketEncryptionOutput::default()))
    }

    /// The encryption of objects whose request names none; nothing for S3's own.
    pub(super) async fn usual_encryption(&self, bucket: &str) -> S3Result<Option<EncryptionRecord>> {
        let kept: Option<ServerSideEncryptionConfiguration> =
            self.setting(bucket, Setting::Encryption).await?.flatten();
        let rule = kept.and_then(|kept| kept.rules.into_iter().next());
        let usual = rule.and_then(|rule| {
            Some((rule.apply_server_side_encryption_by_default?, rule.bucket_key_enabled == Some(true)))
        });
        Ok(usual.filter(|(usual, _)| usual.sse_algorithm.as_str() != ServerSideEncryption::AES256).map(
            |(usual, bucket_key)| EncryptionRecord {
                algorithm: usual.sse_algorithm.as_str().to_owned(),
                key: usual.kms_master_key_id,
                bucket_key,
            },
        ))
    }

    pub(super) async fn logging(
        &self,
        req: S3Request<GetBucketLoggingInput>,
    ) -> S3Result<S3Response<GetBucketLoggingOutput>> {
        let kept: BucketLoggingStatus = self.setting_of(&req, &req.input.bucket, Setting::Logging).await?;
        Ok(S3Response::new(GetBucketLoggingOutput { logging_enabled: kept.logging_enabled }))
    }

    pub(super) async fn set_logging(
        &self,
        req: S3Request<PutBucketLoggingInput>,
    ) -> S3Result<S3Response<PutBucketLoggingOutput>> {
        let wanted = &req.input.bucket_logging_status;
        if let Some(enabled) = &wanted.logging_enabled {
            let scope = Self::beside(&req)?.scope;
            if self.cloud.bucket(&scope, &enabled.target_bucket).await.is_err() {
                return Err(refusal(
                    S3ErrorCode::InvalidTargetBucketForLogging,
                    "The target bucket for logging does not exist",
                    &[("TargetBucket", &enabled.target_bucket)],
                ));
            }
        }
        self.keep(&req, &req.input.bucket, Setting::Logging, wanted).await?;
        Ok(S3Response::new(PutBucketLoggingOutput::default()))
    }

    pub(super) async fn notification(
        &self,
        req: S3Request<GetBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
        let kept: NotificationConfiguration =
            self.setting_of(&req, &req.input.bucket, Setting::Notification).await?;
        Ok(S3Response::new(GetBucketNotificationConfigurationOutput {
            event_bridge_configuration: kept.event_bridge_configuration,
            lambda_function_configurations: kept.lambda_function_configurations,
            queue_configurations: kept.queue_configurations,
            topic_configurations: kept.topic_configurations,
        }))
    }

    pub(super) async fn set_notification(
        &self,
        req: S3Request<PutBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
        let mut wanted = req.input.notification_configuration.clone();
        let id = || uuid::Uuid::new_v4().to_string();
        for one in wanted.lambda_function_configurations.iter_mut().flatten() {
            one.id.get_or_insert_with(id);
        }
        for one in wanted.queue_configurations.iter_mut().flatten() {
            one.id.get_or_insert_with(id);
        }
        for one in wanted.topic_configurations.iter_mut().flatten() {
            one.id.get_or_insert_with(id);
        }
        if wanted != NotificationConfiguration::default() {
            tracing::warn!(bucket = req.input.bucket, "the bucket's events are configured and not sent");
        }
        self.keep(&req, &req.input.bucket, Setting::Notification, &wanted).await?;
        Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
    }

    pub(super) async fn website(
        &self,
        req: S3Request<GetBucketWebsiteInput>,
    ) -> S3Result<S3Response<GetBucketWebsiteOutput>> {
        let missing =
            ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration");
        let kept: WebsiteConfiguration =
            self.setting_or(&req, &req.input.bucket, Setting::Website, missing).await?;
        Ok(S3Response::new(GetBucketWebsiteOutput {
            error_document: kept.error_document,
            index_document: kept.index_document,
            redirect_all_requests_to: kept.redirect_all_requests_to,
            routing_rules: kept.routing_rules,
        }))
    }

    pub(super) async fn set_website(
        &self,
        req: S3Request<PutBucketWebsiteInput>,
    ) -> S3Result<S3Response<PutBucketWebsiteOutput>> {
        let wanted = &req.input.website_configuration;
        let others = wanted.index_document.is_some()
            || wanted.error_document.is_some()
            || wanted.routing_rules.is_some();
        let index = wanted.index_document.as_ref().map(|document| document.suffix.as_str());
        let fault = match (&wanted.redirect_all_requests_to, index) {
            (Some(_), _) if others => Some((
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                ("RedirectAllRequestsTo", "not null"),
            )),
            (Some(_), _) => None,
            (None, None) => Some((
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
                ("IndexDocument", "null"),
            )),
            (None, Some(suffix)) => (suffix.is_empty() || suffix.contains('/'))
                .then_some(("The IndexDocument Suffix is not well formed", ("IndexDocument", suffix))),
        };
        if let Some((message, (name, value))) = fault {
            return Err(wire::invalid_argument(message, name, value));
        }
        self.keep(&req, &req.input.bucket, Setting::Website, wanted).await?;
        Ok(S3Response::new(PutBucketWebsiteOutput::default()))
    }

    pub(super) async fn accelerate(
        &self,
        req: S3Request<GetBucketAccelerateConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketAccelerateConfigurationOutput>> {
        let kept: AccelerateConfiguration =
            self.setting_of(&req, &req.input.bucket, Setting::Accelerate).await?;
        Ok(S3Response::new(GetBucketAccelerateConfigurationOutput {
            status: kept.status,
            ..Default::default()
        }))
    }

    pub(super) async fn set_accelerate(
        &self,
        req: S3Request<PutBucketAccelerateConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketAccelerateConfigurationOutput>> {
        let wanted = &req.input.accelerate_configuration;
        let states = [BucketAccelerateStatus::ENABLED, BucketAccelerateStatus::SUSPENDED];
        if !wanted.status.as_ref().is_some_and(|status| states.contains(&status.as_str())) {
            return Err(malformed());
        }
        if req.input.bucket.contains('.') {
            return Err(refusal(
                S3ErrorCode::InvalidRequest,
                "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names",
                &[],
            ));
        }
        self.keep(&req, &req.input.bucket, Setting::Accelerate, wanted).await?;
        Ok(S3Response::new(PutBucketAccelerateConfigurationOutput::default()))
    }

    pub(super) async fn request_payment(
        &self,
        req: S3Request<GetBucketRequestPaymentInput>,
    ) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
        let beside = Self::beside(&req)?;
        let bucket = self.enter(&beside, &req.input.bucket).await?;
        let kept: Option<RequestPaymentConfiguration> =
            self.setting(&bucket.name, Setting::RequestPayment).await?.flatten();
        let payer = kept.map_or(Payer::from_static(Payer::BUCKET_OWNER), |kept| kept.payer);
        Ok(S3Response::new(GetBucketRequestPaymentOutput { payer: Some(payer) }))
    }

    pub(super) async fn set_request_payment(
        &self,
        req: S3Request<PutBucketRequestPaymentInput>,
    ) -> S3Result<S3Response<PutBucketRequestPaymentOutput>> {
        let wanted = &req.input.request_payment_configuration;
        if ![Payer::BUCKET_OWNER, Payer::REQUESTER].contains(&wanted.payer.as_str()) {
            return Err(malformed());
        }
        self.keep(&req, &req.input.bucket, Setting::RequestPayment, wanted).await?;
        Ok(S3Response::new(PutBucketRequestPaymentOutput::default()))
    }

    pub(super) async fn bucket_tags(
        &self,
        req: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let missing = ("NoSuchTagSet", "The TagSet does not exist");
        let kept: Tagging = self.setting_or(&req, &req.input.bucket, Setting::Tagging, missing).await?;
        Ok(S3Response::new(GetBucketTaggingOutput { tag_set: kept.tag_set }))
    }

    pub(super) async fn set_bucket_tags(
        &self,
        req: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let pairs = super::tagging::pairs(&req.input.tagging.tag_set);
        check_bucket_tags(pairs).map_err(wire::error)?;
        self.keep(&req, &req.input.bucket, Setting::Tagging, &req.input.tagging).await?;
        Ok(S3Response::new(PutBucketTaggingOutput::default()))
    }

    /// Refuses a reading of what no bucket here has.
    pub(super) async fn none_of<I, T>(
        &self,
        req: &S3Request<I>,
        bucket: &str,
        missing: (&'static str, &'static str),
    ) -> S3Result<T> {
        let beside = Self::beside(req)?;
        let bucket = self.enter(&beside, bucket).await?;
        Err(no_such_setting(missing, &bucket.name))
    }

    pub(super) async fn set_object_lock(
        &self,
        req: S3Request<PutObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
        let beside = Self::beside(&req)?;
        let bucket = self.enter(&beside, &req.input.bucket).await?;
        if bucket.versioning != Some(crate::store::Versioning::Enabled) {
            return Err(refusal(
                S3ErrorCode::InvalidBucketState,
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
                &[],
            ));
        }
        Err(s3_error!(NotImplemented, "The local cloud does not implement object lock yet"))
    }
}

/// What every bucket without an analytics, inventory, metrics or tiering configuration says.
pub(super) const NO_CONFIGURATION: (&str, &str) =
    ("NoSuchConfiguration", "The specified configuration does not exist.");

/// What every bucket without replication says.
pub(super) const NO_REPLICATION: (&str, &str) =
    ("ReplicationConfigurationNotFoundError", "The replication configuration was not found");

/// What every bucket without object lock says.
pub(super) const NO_LOCK: (&str, &str) =
    ("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket");

/// A setting that is not there.
pub(super) fn no_such_setting((name, message): (&'static str, &'static str), bucket: &str) -> S3Error {
    refusal(code(name), message, &[("BucketName", bucket)])
}

/// Locks of objects are only for buckets that have them, and none here has.
pub(super) fn no_object_lock() -> S3Error {
    refusal(S3ErrorCode::InvalidRequest, "Bucket is missing Object Lock Configuration", &[])
}

fn minimum_size(kept: String) -> TransitionDefaultMinimumObjectSize {
    if kept.is_empty() {
        TransitionDefaultMinimumObjectSize::from_static(
            TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K,
        )
    } else {
        kept.into()
    }
}
