//! IAM roles, which are the same in every region.

use std::collections::BTreeMap;

use layercake_core::aws::AccountId;
use uuid::Uuid;

use super::{
    Cloud, DocumentFault, IamError,
    documents::{check_permissions, check_trust, document_length},
    now,
};
use crate::store::{Attachment, RoleDeletion, RoleRecord, StoreError};

/// A role to be.
pub(crate) struct NewRole {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) assume_role_policy: String,
    pub(crate) description: Option<String>,
    pub(crate) max_session: u32,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) boundary: Option<String>,
}

/// A change of a role; what is not given stays.
#[derive(Default)]
pub(crate) struct RoleChanges {
    pub(crate) assume_role_policy: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) max_session: Option<u32>,
    /// Nothing inside takes the boundary away.
    pub(crate) boundary: Option<Option<String>>,
}

/// AWS's quotas (IAM User Guide, "IAM and AWS STS quotas"), in characters without white space.
const TRUST_POLICY_LENGTH: usize = 2048;
const INLINE_POLICIES_LENGTH: usize = 10_240;
/// The most managed policies that a role may have.
const ATTACHED_POLICIES: usize = 10;
/// The most tags of a role or policy.
pub(super) const TAGS: usize = 50;

/// One page of a list, and where the next begins.
pub(crate) type Page<T> = (Vec<T>, Option<String>);

/// Cuts a page from a list that was read with one item too many.
pub(super) fn page<T>(mut items: Vec<T>, limit: usize, name: impl FnOnce(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(name) } else { None };
    (items, next)
}

/// `AROA` and the like with 17 letters behind.
pub(super) fn new_id(prefix: &str) -> String {
    let letters = Uuid::new_v4().simple().to_string().to_uppercase();
    format!("{prefix}{}", &letters[..17])
}

impl Cloud {
    /// Creates a role.
    pub(crate) async fn create_role(&self, account: AccountId, new: NewRole) -> Result<RoleRecord, IamError> {
        checked_trust(&new.assume_role_policy)?;
        let record = RoleRecord {
            name: new.name,
            id: new_id("AROA"),
            path: new.path,
            assume_role_policy: new.assume_role_policy,
            description: new.description,
            max_session: new.max_session,
            created: now() / 1000 * 1000,
            tags: new.tags,
            boundary: new.boundary,
        };
        self.blocking(move |store| {
            if store.create_role(&account, &record)? {
                Ok(record)
            } else {
                Err(IamError::RoleExists { name: record.name })
            }
        })
        .await
    }

    /// One role.
    pub(crate) fn role(&self, account: &AccountId, name: &str) -> Result<RoleRecord, IamError> {
        self.store.role(account, name)?.ok_or_else(|| IamError::NoSuchRole { name: name.to_owned() })
    }

    /// Roles below a path by name.
    pub(crate) fn roles(
        &self,
        account: &AccountId,
        path_prefix: &str,
        marker: &str,
        limit: usize,
    ) -> Result<Page<RoleRecord>, IamError> {
        let roles = self.store.roles(account, path_prefix, marker, limit.saturating_add(1))?;
        Ok(page(roles, limit, |role| role.name.clone()))
    }

    /// Changes a role.
    pub(crate) async fn update_role(
        &self,
        account: AccountId,
        name: String,
        changes: RoleChanges,
    ) -> Result<RoleRecord, IamError> {
        if let Some(policy) = &changes.assume_role_policy {
            checked_trust(policy)?;
        }
        self.change_role(account, name, move |record| {
            if let Some(policy) = changes.assume_role_policy {
                record.assume_role_policy = policy;
            }
            if changes.description.is_some() {
                record.description = changes.description;
            }
            record.max_session = changes.max_session.unwrap_or(record.max_session);
            if let Some(boundary) = changes.boundary {
                record.boundary = boundary;
            }
            Ok(())
        })
        .await
    }

    /// Changes a role's tags.
    pub(crate) async fn change_role_tags(
        &self,
        account: AccountId,
        name: String,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), IamError> {
        self.change_role(account, name, move |record| {
            change(&mut record.tags);
            checked_tags(&record.tags)
        })
        .await
        .map(|_| ())
    }

    async fn change_role(
        &self,
        account: AccountId,
        name: String,
        change: impl FnOnce(&mut RoleRecord) -> Result<(), IamError> + Send + 'static,
    ) -> Result<RoleRecord, IamError> {
        self.blocking(move |store| {
            changed(store.change_role(&account, &name, change), || IamError::NoSuchRole {
                name: name.clone(),
            })
        })
        .await
    }

    /// Deletes a role that has no policies.
    pub(crate) async fn delete_role(&self, account: AccountId, name: String) -> Result<(), IamError> {
        self.blocking(move |store| match store.delete_role(&account, &name)? {
            RoleDeletion::Deleted => Ok(()),
            RoleDeletion::NoSuchRole => Err(IamError::NoSuchRole { name }),
            RoleDeletion::PoliciesAttached => Err(IamError::PoliciesAttached),
            RoleDeletion::PoliciesInside => Err(IamError::PoliciesInside),
        })
        .await
    }

    /// Attaches a managed policy: one of AWS's, of which only the shape of the ARN is known here,
    /// or one of the account's.
    pub(crate) async fn attach_role_policy(
        &self,
        account: AccountId,
        role: String,
        arn: String,
    ) -> Result<(), IamError> {
        let known = arn.starts_with(&format!("arn:aws:iam::{account}:policy/")) || is_awss_policy(&arn);
        self.blocking(move |store| {
            if !known {
                return Err(IamError::NotAttachable { arn });
            }
            match store.attach_policy(&account, &role, &arn, ATTACHED_POLICIES)? {
                Attachment::Attached => Ok(()),
                Attachment::NoSuchRole => Err(IamError::NoSuchRole { name: role }),
                Attachment::NoSuchPolicy => Err(IamError::NotAttachable { arn }),
                Attachment::TooMany => {
                    Err(IamError::Quota { text: format!("PoliciesPerRole: {ATTACHED_POLICIES}") })
                }
            }
        })
        .await
    }

    /// Detaches a policy.
    pub(crate) async fn detach_role_policy(
        &self,
        account: AccountId,
        role: String,
        arn: String,
    ) -> Result<(), IamError> {
        self.role(&account, &role)?;
        self.blocking(move |store| {
            if store.detach_policy(&account, &role, &arn)? {
                Ok(())
            } else {
                Err(IamError::NoSuchPolicy { arn })
            }
        })
        .await
    }

    /// The ARNs of a role's managed policies.
    pub(crate) fn attached_role_policies(
        &self,
        account: &AccountId,
        role: &str,
        marker: &str,
        limit: usize,
    ) -> Result<Page<String>, IamError> {
        self.role(account, role)?;
        let arns = self.store.attached_policies(account, role, marker, limit.saturating_add(1))?;
        Ok(page(arns, limit, Clone::clone))
    }

    /// Writes a policy into a role.
    pub(crate) async fn put_role_policy(
        &self,
        account: AccountId,
        role: String,
        name: String,
        document: String,
    ) -> Result<(), IamError> {
        check_permissions(&document).map_err(|fault| IamError::Document { fault })?;
        self.blocking(move |store| {
            let fits = |others: &[String]| {
                let length: usize = others.iter().map(|other| document_length(other)).sum();
                length + document_length(&document) <= INLINE_POLICIES_LENGTH
            };
            match store.put_inline_policy(&account, &role, &name, &document, fits)? {
                None => Err(IamError::NoSuchRole { name: role }),
                Some(true) => Ok(()),
                Some(false) => Err(IamError::InlinePoliciesTooLong { role, most: INLINE_POLICIES_LENGTH }),
            }
        })
        .await
    }

    /// The document of a policy that is written into a role.
    pub(crate) fn role_policy(
        &self,
        account: &AccountId,
        role: &str,
        name: &str,
    ) -> Result<String, IamError> {
        self.role(account, role)?;
        self.store
            .inline_policy(account, role, name)?
            .ok_or_else(|| IamError::NoSuchInlinePolicy { name: name.to_owned() })
    }

    /// The names of the policies that are written into a role.
    pub(crate) fn role_policies(
        &self,
        account: &AccountId,
        role: &str,
        marker: &str,
        limit: usize,
    ) -> Result<Page<String>, IamError> {
        self.role(account, role)?;
        let names = self.store.inline_policies(account, role, marker, limit.saturating_add(1))?;
        Ok(page(names, limit, Clone::clone))
    }

    /// Takes a policy out of a role.
    pub(crate) async fn delete_role_policy(
        &self,
        account: AccountId,
        role: String,
        name: String,
    ) -> Result<(), IamError> {
        self.role(&account, &role)?;
        self.blocking(move |store| {
            if store.delete_inline_policy(&account, &role, &name)? {
                Ok(())
            } else {
                Err(IamError::NoSuchInlinePolicy { name })
            }
        })
        .await
    }
}

/// `arn:aws:iam::aws:policy/NAME`, perhaps with a path before the name.
pub(crate) fn is_awss_policy(arn: &str) -> bool {
    arn.strip_prefix("arn:aws:iam::aws:policy/").is_some_and(|path| {
        path.split('/').all(|part| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        })
    })
}

fn checked_trust(document: &str) -> Result<(), IamError> {
    check_trust(document).map_err(|fault| match fault {
        // CreateRole has words of its own for what is not JSON.
        DocumentFault::NotJson => IamError::MalformedPolicy,
        fault => IamError::Document { fault },
    })?;
    if document_length(document) > TRUST_POLICY_LENGTH {
        return Err(IamError::Quota { text: format!("ACLSizePerRole: {TRUST_POLICY_LENGTH}") });
    }
    Ok(())
}

pub(super) fn checked_tags(tags: &BTreeMap<String, String>) -> Result<(), IamError> {
    if tags.len() > TAGS { Err(IamError::TooManyTags) } else { Ok(()) }
}

/// What a change of the store left: the refusal, the record, or nothing to change.
pub(super) fn changed<T>(
    outcome: Result<Option<Result<T, IamError>>, StoreError>,
    missing: impl FnOnce() -> IamError,
) -> Result<T, IamError> {
    outcome?.unwrap_or_else(|| Err(missing()))
}
