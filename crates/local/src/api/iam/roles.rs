//! Roles: themselves, their trust, their tags, and the policies in and at them.

use super::{description, encoded, name, path, path_prefix, policy_arn, tag_list};
use crate::{
    api::{
        AwsError,
        constraints::Constraints,
        query::{Call, Outcome, Xml, checked, time},
    },
    service::{NewRole, RoleChanges},
    store::RoleRecord,
};

const LONGEST_NAME: usize = 64;
const LONGEST_POLICY_NAME: usize = 128;
const LONGEST_DOCUMENT: usize = 131_072;

fn role_name(call: &Call<'_>) -> Result<String, AwsError> {
    name(call, "RoleName", LONGEST_NAME)
}

fn policy_name(call: &Call<'_>) -> Result<String, AwsError> {
    name(call, "PolicyName", LONGEST_POLICY_NAME)
}

fn document(call: &Call<'_>, member: &str) -> Result<String, AwsError> {
    let document = call.form.need(member)?;
    if document.is_empty() || document.chars().count() > LONGEST_DOCUMENT {
        let mut constraints = Constraints::default();
        let lower = crate::api::constraints::lower_first(member);
        constraints.length(&lower, document, 1..=LONGEST_DOCUMENT);
        checked(constraints)?;
    }
    Ok(document.to_owned())
}

fn max_session(call: &Call<'_>) -> Result<Option<u32>, AwsError> {
    let Some(seconds) = call.form.number("MaxSessionDuration")? else { return Ok(None) };
    let mut constraints = Constraints::default();
    constraints.number("maxSessionDuration", seconds, 3600..=43_200);
    checked(constraints)?;
    Ok(u32::try_from(seconds).ok())
}

pub(super) async fn create(call: &Call<'_>) -> Outcome {
    let boundary = call.form.get("PermissionsBoundary").is_some();
    let new = NewRole {
        name: role_name(call)?,
        path: path(call)?,
        assume_role_policy: document(call, "AssumeRolePolicyDocument")?,
        description: description(call)?,
        max_session: max_session(call)?.unwrap_or(3600),
        tags: call.form.tags()?,
        boundary: if boundary { Some(policy_arn(call, "PermissionsBoundary")?) } else { None },
    };
    let record = call.cloud().create_role(call.account(), new).await?;
    Ok(Some(Xml::default().nested("Role", role(call, &record, Whole::Created))))
}

pub(super) fn get(call: &Call<'_>) -> Outcome {
    let record = call.cloud().role(&call.account(), &role_name(call)?)?;
    Ok(Some(Xml::default().nested("Role", role(call, &record, Whole::Read))))
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let (limit, marker) = call.form.paging()?;
    let (roles, next) = call.cloud().roles(&call.account(), path_prefix(call)?, marker, limit)?;
    let items = roles.iter().map(|record| role(call, record, Whole::Listed));
    Ok(Some(Xml::default().list("Roles", items).paged(next.as_deref())))
}

pub(super) async fn update(call: &Call<'_>) -> Outcome {
    let changes = RoleChanges {
        // An empty description is one too: it takes the old one away.
        description: description(call)?.or_else(|| call.form.get("Description").map(str::to_owned)),
        max_session: max_session(call)?,
        ..RoleChanges::default()
    };
    call.cloud().update_role(call.account(), role_name(call)?, changes).await?;
    Ok(Some(Xml::default()))
}

pub(super) async fn update_description(call: &Call<'_>) -> Outcome {
    call.form.need("Description")?;
    let changes = RoleChanges {
        description: description(call)?.or_else(|| call.form.get("Description").map(str::to_owned)),
        ..RoleChanges::default()
    };
    let record = call.cloud().update_role(call.account(), role_name(call)?, changes).await?;
    Ok(Some(Xml::default().nested("Role", role(call, &record, Whole::Created))))
}

pub(super) async fn update_trust(call: &Call<'_>) -> Outcome {
    let policy = document(call, "PolicyDocument")?;
    let changes = RoleChanges { assume_role_policy: Some(policy), ..RoleChanges::default() };
    call.cloud().update_role(call.account(), role_name(call)?, changes).await?;
    Ok(None)
}

pub(super) async fn put_boundary(call: &Call<'_>) -> Outcome {
    let boundary = policy_arn(call, "PermissionsBoundary")?;
    let changes = RoleChanges { boundary: Some(Some(boundary)), ..RoleChanges::default() };
    call.cloud().update_role(call.account(), role_name(call)?, changes).await?;
    Ok(None)
}

pub(super) async fn delete_boundary(call: &Call<'_>) -> Outcome {
    let changes = RoleChanges { boundary: Some(None), ..RoleChanges::default() };
    call.cloud().update_role(call.account(), role_name(call)?, changes).await?;
    Ok(None)
}

pub(super) async fn delete(call: &Call<'_>) -> Outcome {
    call.cloud().delete_role(call.account(), role_name(call)?).await?;
    Ok(None)
}

pub(super) async fn tag(call: &Call<'_>) -> Outcome {
    let added = call.form.tags()?;
    let change = move |tags: &mut std::collections::BTreeMap<_, _>| tags.extend(added);
    call.cloud().change_role_tags(call.account(), role_name(call)?, change).await?;
    Ok(None)
}

pub(super) async fn untag(call: &Call<'_>) -> Outcome {
    let removed = call.form.list("TagKeys");
    let change = move |tags: &mut std::collections::BTreeMap<String, String>| {
        tags.retain(|key, _| !removed.contains(key));
    };
    call.cloud().change_role_tags(call.account(), role_name(call)?, change).await?;
    Ok(None)
}

pub(super) fn list_tags(call: &Call<'_>) -> Outcome {
    let record = call.cloud().role(&call.account(), &role_name(call)?)?;
    Ok(Some(tag_list(Xml::default(), &record.tags).paged(None)))
}

pub(super) async fn put_policy(call: &Call<'_>) -> Outcome {
    let (role, policy) = (role_name(call)?, policy_name(call)?);
    let document = document(call, "PolicyDocument")?;
    call.cloud().put_role_policy(call.account(), role, policy, document).await?;
    Ok(None)
}

pub(super) fn get_policy(call: &Call<'_>) -> Outcome {
    let (role, policy) = (role_name(call)?, policy_name(call)?);
    let document = call.cloud().role_policy(&call.account(), &role, &policy)?;
    Ok(Some(
        Xml::default()
            .text("RoleName", &role)
            .text("PolicyName", &policy)
            .text("PolicyDocument", &encoded(&document)),
    ))
}

pub(super) async fn delete_policy(call: &Call<'_>) -> Outcome {
    let (role, policy) = (role_name(call)?, policy_name(call)?);
    call.cloud().delete_role_policy(call.account(), role, policy).await?;
    Ok(None)
}

pub(super) fn list_policies(call: &Call<'_>) -> Outcome {
    let (limit, marker) = call.form.paging()?;
    let (names, next) = call.cloud().role_policies(&call.account(), &role_name(call)?, marker, limit)?;
    Ok(Some(Xml::default().texts("PolicyNames", names.iter()).paged(next.as_deref())))
}

pub(super) async fn attach(call: &Call<'_>) -> Outcome {
    let (role, arn) = (role_name(call)?, policy_arn(call, "PolicyArn")?);
    call.cloud().attach_role_policy(call.account(), role, arn).await?;
    Ok(None)
}

pub(super) async fn detach(call: &Call<'_>) -> Outcome {
    let (role, arn) = (role_name(call)?, policy_arn(call, "PolicyArn")?);
    call.cloud().detach_role_policy(call.account(), role, arn).await?;
    Ok(None)
}

pub(super) fn list_attached(call: &Call<'_>) -> Outcome {
    let (limit, marker) = call.form.paging()?;
    let role = role_name(call)?;
    let (arns, next) = call.cloud().attached_role_policies(&call.account(), &role, marker, limit)?;
    let items = arns.iter().map(|arn| {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        Xml::default().text("PolicyName", name).text("PolicyArn", arn)
    });
    Ok(Some(Xml::default().list("AttachedPolicies", items).paged(next.as_deref())))
}

/// There are no machines here, so no role is in an instance profile.
pub(super) fn list_instance_profiles(call: &Call<'_>) -> Outcome {
    call.cloud().role(&call.account(), &role_name(call)?)?;
    Ok(Some(Xml::default().list("InstanceProfiles", std::iter::empty()).paged(None)))
}

/// How much of a role an answer shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// CreateRole.
    Created,
    /// GetRole: also when it was used last.
    Read,
    /// ListRoles leaves tags and boundary out.
    Listed,
}

fn role(call: &Call<'_>, record: &RoleRecord, whole: Whole) -> Xml {
    let arn = format!("arn:aws:iam::{}:role{}{}", call.caller.account, record.path, record.name);
    let description = record.description.as_deref().filter(|text| !text.is_empty());
    let xml = Xml::default()
        .text("Path", &record.path)
        .text("RoleName", &record.name)
        .text("RoleId", &record.id)
        .text("Arn", &arn)
        .text("CreateDate", &time(record.created))
        .text("AssumeRolePolicyDocument", &encoded(&record.assume_role_policy))
        .maybe("Description", description)
        .text("MaxSessionDuration", &record.max_session.to_string());
    if whole == Whole::Listed {
        return xml;
    }
    let xml = match &record.boundary {
        Some(arn) => xml.nested(
            "PermissionsBoundary",
            Xml::default().text("PermissionsBoundaryType", "Policy").text("PermissionsBoundaryArn", arn),
        ),
        None => xml,
    };
    let xml = if record.tags.is_empty() { xml } else { tag_list(xml, &record.tags) };
    if whole == Whole::Read { xml.nested("RoleLastUsed", Xml::default()) } else { xml }
}
