//! S3's buckets and their settings. Names are global; a bucket belongs to an account.

use std::net::Ipv4Addr;

use super::{Cloud, ObjectError, now};
use crate::store::{BucketQuery, BucketRecord, Scope, Store, Versioning};

/// Which page of an account's buckets.
pub(crate) struct ListBuckets {
    /// How their names begin.
    pub(crate) prefix: String,
    /// The name that the page comes behind.
    pub(crate) after: String,
    /// Where they are, when that matters.
    pub(crate) region: Option<String>,
    /// How many at most.
    pub(crate) limit: usize,
}

/// What is kept of a bucket's configuration. The texts are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Accelerate,
    Acl,
    Cors,
    Encryption,
    Lifecycle,
    LifecycleMinimum,
    Logging,
    Notification,
    Ownership,
    Policy,
    PublicAccess,
    Replication,
    RequestPayment,
    Tagging,
    Website,
}

impl Setting {
    /// Its name in the store; these never change.
    fn name(self) -> &'static str {
        match self {
            Self::Accelerate => "accelerate",
            Self::Acl => "acl",
            Self::Cors => "cors",
            Self::Encryption => "encryption",
            Self::Lifecycle => "lifecycle",
            Self::LifecycleMinimum => "lifecycle-minimum",
            Self::Logging => "logging",
            Self::Notification => "notification",
            Self::Ownership => "ownership",
            Self::Policy => "policy",
            Self::PublicAccess => "public-access",
            Self::Replication => "replication",
            Self::RequestPayment => "request-payment",
            Self::Tagging => "tagging",
            Self::Website => "website",
        }
    }
}

impl Cloud {
    /// Creates a bucket in a region, with settings.
    pub(crate) async fn create_bucket(
        &self,
        scope: Scope,
        name: String,
        settings: Vec<(Setting, String)>,
    ) -> Result<(), ObjectError> {
        if !may_be_created(&name) {
            return Err(ObjectError::InvalidBucketName { name });
        }
        self.blocking(move |store| {
            let record = BucketRecord {
                name,
                account: scope.account.to_string(),
                region: scope.region.to_string(),
                created: now(),
                versioning: None,
            };
            let name = record.name.clone();
            match store.create_bucket(&record)? {
                None => {
                    let settings: Vec<_> =
                        settings.into_iter().map(|(setting, text)| (setting.name(), Some(text))).collect();
                    Ok(store.set_bucket_settings(&name, &settings)?)
                }
                Some(there) if there.account != record.account => Err(ObjectError::BucketExists { name }),
                // The oldest region answers as it did before there were others.
                Some(there) if there.region == "us-east-1" && record.region == "us-east-1" => Ok(()),
                Some(_) => Err(ObjectError::BucketIsYours { name }),
            }
        })
        .await
    }

    /// One bucket, when it is the caller's.
    pub(crate) async fn bucket(&self, scope: &Scope, name: &str) -> Result<BucketRecord, ObjectError> {
        let (account, name) = (scope.account.to_string(), name.to_owned());
        self.blocking(move |store| own_bucket(store, &account, &name)).await
    }

    /// Buckets of an account, of every region, by name; one more than asked for when there are
    /// more.
    pub(crate) async fn buckets(
        &self,
        scope: &Scope,
        page: ListBuckets,
    ) -> Result<Vec<BucketRecord>, ObjectError> {
        let account = scope.account.to_string();
        self.blocking(move |store| {
            Ok(store.buckets(&BucketQuery {
                account: &account,
                prefix: &page.prefix,
                after: &page.after,
                region: page.region.as_deref(),
                limit: page.limit.saturating_add(1),
            })?)
        })
        .await
    }

    /// Deletes an empty bucket.
    pub(crate) async fn delete_bucket(&self, bucket: BucketRecord) -> Result<(), ObjectError> {
        self.blocking(move |store| {
            if store.delete_bucket(&bucket.name)? {
                return Ok(());
            }
            let versioned = bucket.versioning.is_some();
            Err(ObjectError::BucketNotEmpty { name: bucket.name, versioned })
        })
        .await
    }

    /// Says whether a bucket's objects get versions from now on.
    pub(crate) async fn set_versioning(
        &self,
        bucket: String,
        versioning: Versioning,
    ) -> Result<(), ObjectError> {
        self.blocking(move |store| Ok(store.set_versioning(&bucket, versioning)?)).await
    }

    /// A setting of a bucket: nothing when it was never set, an inner nothing when it was removed.
    pub(crate) async fn setting(
        &self,
        bucket: &str,
        setting: Setting,
    ) -> Result<Option<Option<String>>, ObjectError> {
        let bucket = bucket.to_owned();
        self.blocking(move |store| Ok(store.bucket_setting(&bucket, setting.name())?)).await
    }

    /// Sets a setting of a bucket, or removes it.
    pub(crate) async fn set(
        &self,
        bucket: String,
        setting: Setting,
        value: Option<String>,
    ) -> Result<(), ObjectError> {
        self.blocking(move |store| Ok(store.set_bucket_settings(&bucket, &[(setting.name(), value)])?)).await
    }
}

/// A bucket, when it is the account's.
pub(super) fn own_bucket(store: &Store, account: &str, name: &str) -> Result<BucketRecord, ObjectError> {
    match store.bucket(name)? {
        None => Err(ObjectError::NoSuchBucket { name: name.to_owned() }),
        Some(bucket) if bucket.account != account => Err(ObjectError::AccessDenied),
        Some(bucket) => Ok(bucket),
    }
}

/// Whether a bucket may be created with the name (S3 User Guide, "General purpose bucket naming
/// rules").
fn may_be_created(name: &str) -> bool {
    let ends = |end: Option<char>| end.is_some_and(|end| end.is_ascii_lowercase() || end.is_ascii_digit());
    let letters =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
    (3..=63).contains(&name.len())
        && letters
        && ends(name.chars().next())
        && ends(name.chars().last())
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|start| name.starts_with(start))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules() {
        for name in ["abc", "a.b-c.9", &"a".repeat(63)] {
            assert!(may_be_created(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in [
            "ab",
            &long,
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            "a..b",
            "1.2.3.4",
            "xn--abc",
            "sthree-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "abc.mrap",
            "abc--x-s3",
        ] {
            assert!(!may_be_created(name), "{name}");
        }
    }
}
