//! IAM's roles on the wire.

use super::{
    Api, AwsError,
    lambda::with_causes,
    query::{Form, Xml},
};
use crate::{
    service::{IamError, NewRole},
    store::RoleRecord,
};

/// The namespace of IAM's XML.
pub(super) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

impl From<IamError> for AwsError {
    fn from(error: IamError) -> Self {
        match error {
            IamError::RoleExists { name } => {
                Self::user(409, "EntityAlreadyExists", format!("Role with name {name} already exists."))
            }
            IamError::NoSuchRole { name } => {
                Self::user(404, "NoSuchEntity", format!("The role with name {name} cannot be found."))
            }
            IamError::NotAttached { arn } => {
                Self::user(404, "NoSuchEntity", format!("Policy {arn} was not found."))
            }
            IamError::PoliciesAttached => {
                Self::user(409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
            }
            IamError::MalformedPolicy => {
                Self::user(400, "MalformedPolicyDocument", "This policy contains invalid Json")
            }
            IamError::Store(error) => Self::user(500, "ServiceFailure", with_causes(&error)),
        }
    }
}

pub(super) async fn perform(api: &Api, action: &str, form: &Form) -> Result<Option<Xml>, AwsError> {
    let cloud = &api.cloud;
    let account = api.cloud.account.as_str();
    let role_name = || form.need("RoleName").map(str::to_owned);
    match action {
        "CreateRole" => {
            let new = NewRole {
                name: checked_name(role_name()?)?,
                path: form.get("Path").unwrap_or("/").to_owned(),
                assume_role_policy: form.need("AssumeRolePolicyDocument")?.to_owned(),
                description: form.get("Description").map(str::to_owned),
                max_session: form
                    .get("MaxSessionDuration")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(3600),
                tags: form.tags(),
            };
            let record = cloud.create_role(new).await?;
            Ok(Some(Xml::default().nested("Role", role(account, &record, false))))
        }
        "GetRole" => {
            let record = cloud.role(&role_name()?)?;
            Ok(Some(Xml::default().nested("Role", role(account, &record, true))))
        }
        "ListRoles" => {
            let limit = form.get("MaxItems").and_then(|text| text.parse().ok()).unwrap_or(100);
            let (roles, next) = cloud.roles(
                form.get("PathPrefix").unwrap_or("/"),
                form.get("Marker").unwrap_or_default(),
                limit,
            )?;
            let items = roles.iter().map(|record| role(account, record, false));
            Ok(Some(paged(Xml::default().list("Roles", items), next.as_deref())))
        }
        "DeleteRole" => cloud.delete_role(role_name()?).await.map(|()| None).map_err(AwsError::from),
        "AttachRolePolicy" => {
            cloud.attach_role_policy(role_name()?, form.need("PolicyArn")?.to_owned()).await?;
            Ok(None)
        }
        "DetachRolePolicy" => {
            cloud.detach_role_policy(role_name()?, form.need("PolicyArn")?.to_owned()).await?;
            Ok(None)
        }
        "ListAttachedRolePolicies" => {
            let arns = cloud.attached_role_policies(&role_name()?)?;
            let items = arns.iter().map(|arn| {
                let name = arn.rsplit('/').next().unwrap_or(arn);
                Xml::default().text("PolicyName", name).text("PolicyArn", arn)
            });
            Ok(Some(paged(Xml::default().list("AttachedPolicies", items), None)))
        }
        "ListRolePolicies" => {
            cloud.role(&role_name()?)?;
            Ok(Some(paged(Xml::default().list("PolicyNames", std::iter::empty()), None)))
        }
        "ListInstanceProfilesForRole" => {
            cloud.role(&role_name()?)?;
            Ok(Some(paged(Xml::default().list("InstanceProfiles", std::iter::empty()), None)))
        }
        "TagRole" => {
            let added = form.tags();
            cloud.change_role_tags(&role_name()?, |tags| tags.extend(added)).await?;
            Ok(None)
        }
        "UntagRole" => {
            let removed = form.list("TagKeys");
            cloud
                .change_role_tags(&role_name()?, |tags| tags.retain(|key, _| !removed.contains(key)))
                .await?;
            Ok(None)
        }
        "ListRoleTags" => {
            let record = cloud.role(&role_name()?)?;
            Ok(Some(paged(with_tags(Xml::default(), &record), None)))
        }
        "" => Err(AwsError::user(400, "MissingAction", "The request has no Action parameter")),
        other => Err(AwsError::not_built(format!("The local cloud does not implement {other} yet"))),
    }
}

fn checked_name(name: String) -> Result<String, AwsError> {
    if name.parse::<layercake_core::aws::RoleName>().is_err() {
        return Err(AwsError::user(
            400,
            "ValidationError",
            "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or \
             the following: +=,.@_-",
        ));
    }
    Ok(name)
}

fn role(account: &str, record: &RoleRecord, whole: bool) -> Xml {
    let created = jiff::Timestamp::from_millisecond(record.created).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let policy =
        percent_encoding::utf8_percent_encode(&record.assume_role_policy, percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    let xml = Xml::default()
        .text("Path", &record.path)
        .text("RoleName", &record.name)
        .text("RoleId", &record.id)
        .text("Arn", &format!("arn:aws:iam::{account}:role{}{}", record.path, record.name))
        .text("CreateDate", &created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .text("AssumeRolePolicyDocument", &policy)
        .maybe("Description", record.description.as_deref())
        .text("MaxSessionDuration", &record.max_session.to_string());
    let xml = if record.tags.is_empty() { xml } else { with_tags(xml, record) };
    if whole { xml.nested("RoleLastUsed", Xml::default()) } else { xml }
}

fn with_tags(xml: Xml, record: &RoleRecord) -> Xml {
    xml.list(
        "Tags",
        record.tags.iter().map(|(key, value)| Xml::default().text("Key", key).text("Value", value)),
    )
}

fn paged(xml: Xml, next: Option<&str>) -> Xml {
    xml.text("IsTruncated", if next.is_some() { "true" } else { "false" }).maybe("Marker", next)
}
