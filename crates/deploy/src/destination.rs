//! Where things are deployed to: the only place in which AWS and the local cloud differ.

use std::time::Duration;

use aws_config::{BehaviorVersion, stalled_stream_protection::StalledStreamProtectionConfig};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use layercake_core::aws::{AccountId, Region};

use crate::{error::DeployError, signed::SignedClient};

/// How requests are signed.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The standard chain: environment, profile, SSO process, container, instance.
    Chain {
        /// A named profile.
        profile: Option<String>,
    },
    /// Given ones, for an endpoint that takes any.
    Fixed {
        /// Access key id.
        key: String,
        /// Secret access key.
        secret: String,
    },
}

/// An endpoint that speaks AWS, and how to reach it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The endpoint's URL; nothing for AWS's own, which follow from the region.
    pub url: Option<String>,
    /// The region; nothing to take the configured one.
    pub region: Option<Region>,
    /// How requests are signed.
    pub credentials: Credentials,
    /// How long something may take to show up that was asked for by a request whose answer never
    /// came: seconds on AWS, where reads may lag behind writes.
    pub settling: Duration,
}

/// A destination that has answered: its clients, and who we are there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// IAM and CloudWatch Logs.
    pub(crate) signed: SignedClient,
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// As in [`Destination`].
    pub(crate) settling: Duration,
}

impl Destination {
    /// Finds credentials and region, makes the clients and asks the endpoint who we are.
    ///
    /// # Errors
    /// No or bad credentials, no region, or an endpoint that does not answer.
    pub async fn connect(&self) -> Result<Endpoint, DeployError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            // An invocation may be silent for 15 minutes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(url) = &self.url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = &self.region {
            loader = loader.region(aws_config::Region::new(region.as_str().to_owned()));
        }
        loader = match &self.credentials {
            Credentials::Chain { profile: Some(profile) } => loader.profile_name(profile),
            Credentials::Chain { profile: None } => loader,
            Credentials::Fixed { key, secret } => loader.credentials_provider(
                aws_credential_types::Credentials::new(key, secret, None, None, "layercake"),
            ),
        };
        let config = loader.load().await;
        let region: Region = config
            .region()
            .ok_or(DeployError::NoRegion)?
            .as_ref()
            .parse()
            .map_err(|source| DeployError::Name { operation: "the configuration", source })?;
        // AWS's own setting for another endpoint (AWS_ENDPOINT_URL) counts for every service.
        let url = self.url.clone().or_else(|| config.endpoint_url().map(str::to_owned));
        if url.is_none() && (region.as_str().starts_with("cn-") || region.as_str().starts_with("us-gov-")) {
            return Err(DeployError::Partition { region: region.to_string() });
        }
        let provider = config
            .credentials_provider()
            .ok_or_else(|| DeployError::NoCredentials { detail: "no provider is configured".to_owned() })?;
        provider.provide_credentials().await.map_err(|error| credentials_error(&error))?;

        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(url.is_some()).build();
        let signed = SignedClient::new(provider, region.clone(), url)?;
        let sts = aws_sdk_sts::Client::new(&config);
        let identity = sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| self.name_in(DeployError::of("GetCallerIdentity", error)))?;
        let account = identity
            .account()
            .ok_or(DeployError::Incomplete { operation: "GetCallerIdentity", missing: "Account" })?
            .parse()
            .map_err(|source| DeployError::Name { operation: "GetCallerIdentity", source })?;
        Ok(Endpoint {
            lambda: aws_sdk_lambda::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            signed,
            account,
            region,
            settling: self.settling,
        })
    }

    fn name_in(&self, error: DeployError) -> DeployError {
        match error {
            DeployError::Unreachable { operation, detail, .. } => {
                let endpoint = self.url.clone().unwrap_or_else(|| "of AWS".to_owned());
                DeployError::Unreachable { operation, endpoint, detail }
            }
            DeployError::Refused { code, message, .. }
                if code.contains("Token")
                    || code == "InvalidClientTokenId"
                    || code == "SignatureDoesNotMatch" =>
            {
                DeployError::BadCredentials { detail: format!("{code}: {message}") }
            }
            other => other,
        }
    }
}

fn credentials_error(error: &CredentialsError) -> DeployError {
    let detail = crate::error::innermost(error);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => DeployError::NoCredentials { detail },
        _ => DeployError::BadCredentials { detail },
    }
}
