//! IAM roles, which are the same in every region.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Cloud, IamError, now};
use crate::store::RoleRecord;

/// A role to be.
pub(crate) struct NewRole {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) assume_role_policy: String,
    pub(crate) description: Option<String>,
    pub(crate) max_session: u32,
    pub(crate) tags: BTreeMap<String, String>,
}

/// The most roles in one answer.
const MOST_ROLES: usize = 1000;

impl Cloud {
    /// Creates a role.
    pub(crate) async fn create_role(&self, new: NewRole) -> Result<RoleRecord, IamError> {
        if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&new.assume_role_policy)
            .is_err()
        {
            return Err(IamError::MalformedPolicy);
        }
        let letters = Uuid::new_v4().simple().to_string().to_uppercase();
        let record = RoleRecord {
            name: new.name,
            id: format!("AROA{}", &letters[..17]),
            path: new.path,
            assume_role_policy: new.assume_role_policy,
            description: new.description,
            max_session: new.max_session,
            created: now(),
            tags: new.tags,
        };
        let account = self.account.clone();
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
    pub(crate) fn role(&self, name: &str) -> Result<RoleRecord, IamError> {
        self.store.role(&self.account, name)?.ok_or_else(|| IamError::NoSuchRole { name: name.to_owned() })
    }

    /// Roles by name; the second value says where the next page begins.
    pub(crate) fn roles(
        &self,
        path_prefix: &str,
        marker: &str,
        limit: usize,
    ) -> Result<(Vec<RoleRecord>, Option<String>), IamError> {
        let limit = limit.clamp(1, MOST_ROLES);
        let mut roles = self.store.roles(&self.account, marker, limit + 1)?;
        let more = roles.len() > limit;
        roles.truncate(limit);
        let next = if more { roles.last().map(|last| last.name.clone()) } else { None };
        roles.retain(|role| role.path.starts_with(path_prefix));
        Ok((roles, next))
    }

    /// Deletes a role that has no policies.
    pub(crate) async fn delete_role(&self, name: String) -> Result<(), IamError> {
        self.role(&name)?;
        let account = self.account.clone();
        self.blocking(move |store| {
            if store.delete_role(&account, &name)? { Ok(()) } else { Err(IamError::PoliciesAttached) }
        })
        .await
    }

    /// Attaches a policy. Which policies there are is not known here; every ARN is taken.
    pub(crate) async fn attach_role_policy(&self, role: String, arn: String) -> Result<(), IamError> {
        let account = self.account.clone();
        self.blocking(move |store| {
            let there = store.attach_policy(&account, &role, &arn)?;
            if there { Ok(()) } else { Err(IamError::NoSuchRole { name: role }) }
        })
        .await
    }

    /// Detaches a policy.
    pub(crate) async fn detach_role_policy(&self, role: String, arn: String) -> Result<(), IamError> {
        self.role(&role)?;
        let account = self.account.clone();
        self.blocking(move |store| {
            if store.detach_policy(&account, &role, &arn)? {
                Ok(())
            } else {
                Err(IamError::NotAttached { arn })
            }
        })
        .await
    }

    /// The ARNs of a role's policies.
    pub(crate) fn attached_role_policies(&self, role: &str) -> Result<Vec<String>, IamError> {
        self.role(role)?;
        Ok(self.store.attached_policies(&self.account, role)?)
    }

    /// Changes a role's tags.
    pub(crate) async fn change_role_tags(
        &self,
        role: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<(), IamError> {
        let mut record = self.role(role)?;
        change(&mut record.tags);
        let account = self.account.clone();
        self.blocking(move |store| Ok(store.replace_role(&account, &record)?)).await
    }
}
