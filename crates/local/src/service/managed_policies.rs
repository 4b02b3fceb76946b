//! Customer managed policies: documents with up to five versions, which roles attach.

use std::collections::BTreeMap;

use layercake_core::aws::AccountId;

use super::{
    Cloud, IamError,
    documents::{check_permissions, document_length},
    iam::{Page, changed, checked_tags, new_id, page},
    now,
};
use crate::store::{PolicyDeletion, PolicyRecord, PolicyVersionRecord, RoleRecord};

/// A managed policy to be.
pub(crate) struct NewPolicy {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) document: String,
    pub(crate) description: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// AWS's quotas: characters without white space, and versions at a time.
const POLICY_LENGTH: usize = 6144;
const VERSIONS: usize = 5;

impl Cloud {
    /// Creates a policy with its first version.
    pub(crate) async fn create_policy(
        &self,
        account: AccountId,
        new: NewPolicy,
    ) -> Result<PolicyRecord, IamError> {
        checked(&new.document)?;
        let created = now() / 1000 * 1000;
        let record = PolicyRecord {
            id: new_id("ANPA"),
            arn: format!("arn:aws:iam::{account}:policy{}{}", new.path, new.name),
            name: new.name,
            path: new.path,
            description: new.description,
            created,
            updated: created,
            tags: new.tags,
            default_version: 1,
            last_version: 1,
            versions: vec![PolicyVersionRecord { number: 1, document: new.document, created }],
        };
        self.blocking(move |store| {
            if store.create_policy(&account, &record)? {
                Ok(record)
            } else {
                Err(IamError::PolicyExists { name: record.name })
            }
        })
        .await
    }

    /// One policy, and to how many roles it is attached.
    pub(crate) fn policy(&self, account: &AccountId, arn: &str) -> Result<(PolicyRecord, u64), IamError> {
        self.store.policy(account, arn)?.ok_or_else(|| IamError::NoSuchPolicy { arn: arn.to_owned() })
    }

    /// Policies below a path by name, each with the number of roles that it is attached to.
    pub(crate) fn policies(
        &self,
        account: &AccountId,
        path_prefix: &str,
        only_attached: bool,
        marker: &str,
        limit: usize,
    ) -> Result<Page<(PolicyRecord, u64)>, IamError> {
        let found =
            self.store.policies(account, path_prefix, only_attached, marker, limit.saturating_add(1))?;
        Ok(page(found, limit, |(policy, _)| policy.name.clone()))
    }

    /// Deletes a policy that is attached to nothing and has one version.
    pub(crate) async fn delete_managed_policy(
        &self,
        account: AccountId,
        arn: String,
    ) -> Result<(), IamError> {
        self.blocking(move |store| match store.delete_policy(&account, &arn)? {
            PolicyDeletion::Deleted => Ok(()),
            PolicyDeletion::NoSuchPolicy => Err(IamError::NoSuchPolicy { arn }),
            PolicyDeletion::IsAttached => Err(IamError::PolicyIsAttached),
            PolicyDeletion::HasVersions => Err(IamError::PolicyHasVersions),
        })
        .await
    }

    /// Adds a version, and makes it the one that counts when asked to.
    pub(crate) async fn create_policy_version(
        &self,
        account: AccountId,
        arn: String,
        document: String,
        is_default: bool,
    ) -> Result<(PolicyVersionRecord, bool), IamError> {
        checked(&document)?;
        self.change_managed_policy(account, arn, move |policy| {
            if policy.versions.len() >= VERSIONS {
                return Err(IamError::TooManyVersions { most: VERSIONS });
            }
            let created = now() / 1000 * 1000;
            policy.last_version += 1;
            policy.updated = created;
            policy.versions.push(PolicyVersionRecord { number: policy.last_version, document, created });
            if is_default {
                policy.default_version = policy.last_version;
            }
            Ok(())
        })
        .await
        .and_then(|policy| {
            let number = policy.last_version;
            let made = policy.versions.into_iter().find(|version| version.number == number);
            made.map(|version| (version, is_default))
                .ok_or(IamError::NoSuchPolicyVersion { arn: policy.arn, version: format!("v{number}") })
        })
    }

    /// Makes a version the one that counts.
    pub(crate) async fn set_default_policy_version(
        &self,
        account: AccountId,
        arn: String,
        version: String,
    ) -> Result<(), IamError> {
        self.change_managed_policy(account, arn, move |policy| {
            policy.default_version = numbered(policy, &version)?.number;
            policy.updated = now() / 1000 * 1000;
            Ok(())
        })
        .await
        .map(|_| ())
    }

    /// Deletes a version that does not count.
    pub(crate) async fn delete_policy_version(
        &self,
        account: AccountId,
        arn: String,
        version: String,
    ) -> Result<(), IamError> {
        self.change_managed_policy(account, arn, move |policy| {
            let number = numbered(policy, &version)?.number;
            if number == policy.default_version {
                return Err(IamError::VersionIsDefault);
            }
            policy.versions.retain(|kept| kept.number != number);
            Ok(())
        })
        .await
        .map(|_| ())
    }

    /// One version, and whether it is the one that counts.
    pub(crate) fn policy_version(
        &self,
        account: &AccountId,
        arn: &str,
        version: &str,
    ) -> Result<(PolicyVersionRecord, bool), IamError> {
        let (policy, _) = self.policy(account, arn)?;
        let found = numbered(&policy, version)?.clone();
        let is_default = found.number == policy.default_version;
        Ok((found, is_default))
    }

    /// Changes a policy's tags.
    pub(crate) async fn change_policy_tags(
        &self,
        account: AccountId,
        arn: String,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), IamError> {
        self.change_managed_policy(account, arn, move |policy| {
            change(&mut policy.tags);
            checked_tags(&policy.tags)
        })
        .await
        .map(|_| ())
    }

    /// The roles that a policy is attached to. AWS's own policies are attached to some as well.
    pub(crate) fn roles_with_policy(
        &self,
        account: &AccountId,
        arn: &str,
        marker: &str,
        limit: usize,
    ) -> Result<Page<RoleRecord>, IamError> {
        if !super::is_awss_policy(arn) {
            self.policy(account, arn)?;
        }
        let roles = self.store.roles_with_policy(account, arn, marker, limit.saturating_add(1))?;
        Ok(page(roles, limit, |role| role.name.clone()))
    }

    async fn change_managed_policy(
        &self,
        account: AccountId,
        arn: String,
        change: impl FnOnce(&mut PolicyRecord) -> Result<(), IamError> + Send + 'static,
    ) -> Result<PolicyRecord, IamError> {
        self.blocking(move |store| {
            changed(store.change_policy(&account, &arn, change), || IamError::NoSuchPolicy {
                arn: arn.clone(),
            })
        })
        .await
    }
}

fn checked(document: &str) -> Result<(), IamError> {
    check_permissions(document).map_err(|fault| IamError::Document { fault })?;
    if document_length(document) > POLICY_LENGTH {
        return Err(IamError::Quota { text: format!("PolicySize: {POLICY_LENGTH}") });
    }
    Ok(())
}

/// The version that is called `v3`.
fn numbered<'a>(policy: &'a PolicyRecord, version: &str) -> Result<&'a PolicyVersionRecord, IamError> {
    let number = version.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
    policy
        .versions
        .iter()
        .find(|known| Some(known.number) == number)
        .ok_or_else(|| IamError::NoSuchPolicyVersion { arn: policy.arn.clone(), version: version.to_owned() })
}
