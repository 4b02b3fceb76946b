//! IAM on the wire: roles, policies, and the caller as a user.

mod policies;
mod roles;

use std::collections::BTreeMap;

use super::{
    AwsError,
    constraints::Constraints,
    lambda::with_causes,
    query::{Call, Outcome, QueryService, Xml, invalid, time},
};
use crate::service::{DocumentFault, IamError, Principal, user_id};

/// The namespace of IAM's XML.
pub(super) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// IAM on the local cloud.
pub(super) struct Iam;

/// The list of what is built.
#[async_trait::async_trait]
impl QueryService for Iam {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    async fn perform(&self, call: &Call<'_>) -> Outcome {
        match call.action {
            "CreateRole" => roles::create(call).await,
            "GetRole" => roles::get(call),
            "ListRoles" => roles::list(call),
            "UpdateRole" => roles::update(call).await,
            "UpdateRoleDescription" => roles::update_description(call).await,
            "UpdateAssumeRolePolicy" => roles::update_trust(call).await,
            "PutRolePermissionsBoundary" => roles::put_boundary(call).await,
            "DeleteRolePermissionsBoundary" => roles::delete_boundary(call).await,
            "DeleteRole" => roles::delete(call).await,
            "TagRole" => roles::tag(call).await,
            "UntagRole" => roles::untag(call).await,
            "ListRoleTags" => roles::list_tags(call),
            "PutRolePolicy" => roles::put_policy(call).await,
            "GetRolePolicy" => roles::get_policy(call),
            "DeleteRolePolicy" => roles::delete_policy(call).await,
            "ListRolePolicies" => roles::list_policies(call),
            "AttachRolePolicy" => roles::attach(call).await,
            "DetachRolePolicy" => roles::detach(call).await,
            "ListAttachedRolePolicies" => roles::list_attached(call),
            "ListInstanceProfilesForRole" => roles::list_instance_profiles(call),
            "CreatePolicy" => policies::create(call).await,
            "GetPolicy" => policies::get(call),
            "ListPolicies" => policies::list(call),
            "DeletePolicy" => policies::delete(call).await,
            "CreatePolicyVersion" => policies::create_version(call).await,
            "GetPolicyVersion" => policies::get_version(call),
            "ListPolicyVersions" => policies::list_versions(call),
            "SetDefaultPolicyVersion" => policies::set_default_version(call).await,
            "DeletePolicyVersion" => policies::delete_version(call).await,
            "ListEntitiesForPolicy" => policies::list_entities(call),
            "TagPolicy" => policies::tag(call).await,
            "UntagPolicy" => policies::untag(call).await,
            "ListPolicyTags" => policies::list_tags(call),
            "GetUser" => get_user(call),
            "" => Err(AwsError::user(400, "MissingAction", "The request has no Action parameter")),
            _ => Err(call.not_built()),
        }
    }
}

impl From<IamError> for AwsError {
    fn from(error: IamError) -> Self {
        let missing = |message: String| Self::user(404, "NoSuchEntity", message);
        let exists = |message: String| Self::user(409, "EntityAlreadyExists", message);
        let conflict = |message: &str| Self::user(409, "DeleteConflict", message);
        let limit = |message: String| Self::user(409, "LimitExceeded", message);
        match error {
            IamError::RoleExists { name } => exists(format!("Role with name {name} already exists.")),
            IamError::NoSuchRole { name } => missing(format!("The role with name {name} cannot be found.")),
            IamError::PolicyExists { name } => {
                exists(format!("A policy called {name} already exists. Duplicate names are not allowed."))
            }
            IamError::NoSuchPolicy { arn } => missing(format!("Policy {arn} was not found.")),
            IamError::NotAttachable { arn } => {
                missing(format!("Policy {arn} does not exist or is not attachable."))
            }
            IamError::NoSuchPolicyVersion { arn, version } => {
                missing(format!("Policy {arn} version {version} does not exist or is not attachable."))
            }
            IamError::NoSuchInlinePolicy { name } => {
                missing(format!("The role policy with name {name} cannot be found."))
            }
            IamError::PoliciesAttached => conflict("Cannot delete entity, must detach all policies first."),
            IamError::PoliciesInside => conflict("Cannot delete entity, must delete policies first."),
            IamError::PolicyIsAttached => conflict("Cannot delete a policy attached to entities."),
            IamError::PolicyHasVersions => conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the \
                 policy's versions. The default version is deleted with the policy.",
            ),
            IamError::VersionIsDefault => conflict("Cannot delete the default version of a policy."),
            IamError::TooManyVersions { most } => limit(format!(
                "A managed policy can have up to {most} versions. Before you create a new version, you must \
                 delete an existing version."
            )),
            IamError::Quota { text } => limit(format!("Cannot exceed quota for {text}")),
            IamError::InlinePoliciesTooLong { role, most } => {
                limit(format!("Maximum policy size of {most} bytes exceeded for role {role}"))
            }
            IamError::TooManyTags => limit("The number of tags has reached the maximum limit.".to_owned()),
            IamError::MalformedPolicy => {
                Self::user(400, "MalformedPolicyDocument", "This policy contains invalid Json")
            }
            IamError::Document { fault } => {
                let message = match fault {
                    DocumentFault::NotJson | DocumentFault::Syntax => "Syntax errors in policy.",
                    DocumentFault::NoPrincipal => "Missing required field Principal",
                    DocumentFault::HasPrincipal => "Policy document should not specify a principal.",
                    DocumentFault::HasResource => "Has prohibited field Resource",
                    DocumentFault::NoResource => "Policy statement must contain resources.",
                    DocumentFault::NoAction => "Policy statement must contain actions.",
                    DocumentFault::NotSts => "AssumeRole policy may only specify STS AssumeRole actions.",
                };
                Self::user(400, "MalformedPolicyDocument", message)
            }
            IamError::Store(error) => Self::user(500, "ServiceFailure", with_causes(&error)),
        }
    }
}

/// A name of a role, policy or user: letters, digits and a few signs.
fn name(call: &Call<'_>, member: &str, longest: usize) -> Result<String, AwsError> {
    let name = call.form.need(member)?;
    let lower = super::constraints::lower_first(member);
    let mut constraints = Constraints::default();
    constraints.length(&lower, name, 1..=longest);
    super::query::checked(constraints)?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)) {
        return Err(invalid(format!(
            "The specified value for {lower} is invalid. It must contain only alphanumeric characters and/or \
             the following: +=,.@_-"
        )));
    }
    Ok(name.to_owned())
}

/// A path: `/`, or names between slashes.
fn path(call: &Call<'_>) -> Result<String, AwsError> {
    let path = call.form.get("Path").unwrap_or("/");
    let mut constraints = Constraints::default();
    constraints.length("path", path, 1..=512);
    super::query::checked(constraints)?;
    let is_path = path == "/"
        || (path.len() > 2
            && path.starts_with('/')
            && path.ends_with('/')
            && path.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    if is_path {
        return Ok(path.to_owned());
    }
    Err(invalid(
        "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric \
         characters and/or / characters.",
    ))
}

fn path_prefix<'a>(call: &'a Call<'_>) -> Result<&'a str, AwsError> {
    let prefix = call.form.get("PathPrefix").unwrap_or("/");
    if prefix.starts_with('/') && prefix.bytes().all(|byte| (0x21..=0x7f).contains(&byte)) {
        return Ok(prefix);
    }
    Err(invalid(
        "The specified value for pathPrefix is invalid. It must begin with / and contain only alphanumeric \
         characters and/or / characters.",
    ))
}

fn description(call: &Call<'_>) -> Result<Option<String>, AwsError> {
    let description = call.form.get("Description");
    let mut constraints = Constraints::default();
    constraints.length("description", description.unwrap_or_default(), 0..=1000);
    super::query::checked(constraints)?;
    Ok(description.filter(|text| !text.is_empty()).map(str::to_owned))
}

fn policy_arn(call: &Call<'_>, member: &str) -> Result<String, AwsError> {
    let arn = call.form.need(member)?;
    let mut constraints = Constraints::default();
    constraints.length(&super::constraints::lower_first(member), arn, 20..=2048);
    super::query::checked(constraints)?;
    if arn.starts_with("arn:") && arn.contains(":policy/") {
        return Ok(arn.to_owned());
    }
    Err(AwsError::user(400, "InvalidInput", format!("ARN {arn} is not valid.")))
}

/// Documents travel percent-encoded in answers.
fn encoded(document: &str) -> String {
    percent_encoding::utf8_percent_encode(document, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn tag_list(xml: Xml, tags: &BTreeMap<String, String>) -> Xml {
    xml.list("Tags", tags.iter().map(|(key, value)| Xml::default().text("Key", key).text("Value", value)))
}

/// Users are not stored: there are those whose keys are configured, and the account's root.
fn get_user(call: &Call<'_>) -> Outcome {
    let account = call.account();
    let asked = call.form.get("UserName");
    let user = match (asked, &call.caller.principal) {
        (None, Principal::AssumedRole { .. }) => {
            return Err(invalid("Must specify userName when calling with non-User credentials"));
        }
        (None, Principal::Root) => {
            Xml::default().text("Path", "/").text("UserId", account.as_str()).text("Arn", &call.caller.arn())
        }
        (None, Principal::User { name }) => user(&account, name),
        (Some(_), _) => {
            let name = name(call, "UserName", 128)?;
            if !call.api.keyring.has_user(&account, &name) {
                let message = format!("The user with name {name} cannot be found.");
                return Err(AwsError::user(404, "NoSuchEntity", message));
            }
            user(&account, &name)
        }
    };
    // Keys are configured and not made, so there is no time of their making.
    Ok(Some(Xml::default().nested("User", user.text("CreateDate", &time(0)))))
}

fn user(account: &layercake_core::aws::AccountId, name: &str) -> Xml {
    Xml::default()
        .text("Path", "/")
        .text("UserName", name)
        .text("UserId", &user_id(account, name))
        .text("Arn", &format!("arn:aws:iam::{account}:user/{name}"))
}
