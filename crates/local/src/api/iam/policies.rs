//! Customer managed policies and their versions. AWS's own policies can be attached; what is in
//! them is not known here.

use super::{description, encoded, name, path, path_prefix, policy_arn, tag_list};
use crate::{
    api::{
        AwsError,
        query::{Call, Outcome, Xml, invalid, time},
    },
    service::{NewPolicy, is_awss_policy},
    store::{PolicyRecord, PolicyVersionRecord},
};

const LONGEST_NAME: usize = 128;

/// The ARN of a policy of this account. AWS's own are refused by name: nothing but their ARNs is
/// known.
fn own_arn(call: &Call<'_>) -> Result<String, AwsError> {
    let arn = policy_arn(call, "PolicyArn")?;
    if is_awss_policy(&arn) {
        let message = format!("The local cloud does not implement {} for AWS's own policies", call.action);
        return Err(AwsError::not_built(message));
    }
    Ok(arn)
}

pub(super) async fn create(call: &Call<'_>) -> Outcome {
    let new = NewPolicy {
        name: name(call, "PolicyName", LONGEST_NAME)?,
        path: path(call)?,
        document: call.form.need("PolicyDocument")?.to_owned(),
        description: description(call)?,
        tags: call.form.tags()?,
    };
    let record = call.cloud().create_policy(call.account(), new).await?;
    Ok(Some(Xml::default().nested("Policy", policy(&record, 0, Whole::Created))))
}

pub(super) fn get(call: &Call<'_>) -> Outcome {
    let (record, count) = call.cloud().policy(&call.account(), &own_arn(call)?)?;
    Ok(Some(Xml::default().nested("Policy", policy(&record, count, Whole::Read))))
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let form = call.form;
    let (limit, marker) = form.paging()?;
    // Of AWS's own policies none is listed, since none is stored.
    let found = match form.get("Scope").unwrap_or("All") {
        "AWS" => (Vec::new(), None),
        "All" | "Local" => {
            let prefix = path_prefix(call)?;
            call.cloud().policies(&call.account(), prefix, form.is("OnlyAttached"), marker, limit)?
        }
        other => {
            return Err(invalid(format!(
                "1 validation error detected: Value '{other}' at 'scope' failed to satisfy constraint: Member \
                 must satisfy enum value set: [All, AWS, Local]"
            )));
        }
    };
    let items = found.0.iter().map(|(record, count)| policy(record, *count, Whole::Listed));
    Ok(Some(Xml::default().list("Policies", items).paged(found.1.as_deref())))
}

pub(super) async fn delete(call: &Call<'_>) -> Outcome {
    call.cloud().delete_managed_policy(call.account(), own_arn(call)?).await?;
    Ok(None)
}

pub(super) async fn create_version(call: &Call<'_>) -> Outcome {
    let document = call.form.need("PolicyDocument")?.to_owned();
    let is_default = call.form.is("SetAsDefault");
    let (made, is_default) =
        call.cloud().create_policy_version(call.account(), own_arn(call)?, document, is_default).await?;
    Ok(Some(Xml::default().nested("PolicyVersion", version(&made, is_default, None))))
}

pub(super) fn get_version(call: &Call<'_>) -> Outcome {
    let asked = call.form.need("VersionId")?;
    let (found, is_default) = call.cloud().policy_version(&call.account(), &own_arn(call)?, asked)?;
    let document = Some(found.document.as_str());
    Ok(Some(Xml::default().nested("PolicyVersion", version(&found, is_default, document))))
}

pub(super) fn list_versions(call: &Call<'_>) -> Outcome {
    let (record, _) = call.cloud().policy(&call.account(), &own_arn(call)?)?;
    // Newest first; there are five at most.
    let items = record
        .versions
        .iter()
        .rev()
        .map(|found| version(found, found.number == record.default_version, None));
    Ok(Some(Xml::default().list("Versions", items).paged(None)))
}

pub(super) async fn set_default_version(call: &Call<'_>) -> Outcome {
    let asked = call.form.need("VersionId")?.to_owned();
    call.cloud().set_default_policy_version(call.account(), own_arn(call)?, asked).await?;
    Ok(None)
}

pub(super) async fn delete_version(call: &Call<'_>) -> Outcome {
    let asked = call.form.need("VersionId")?.to_owned();
    call.cloud().delete_policy_version(call.account(), own_arn(call)?, asked).await?;
    Ok(None)
}

pub(super) fn list_entities(call: &Call<'_>) -> Outcome {
    let (limit, marker) = call.form.paging()?;
    let arn = policy_arn(call, "PolicyArn")?;
    let wants_roles = matches!(
        call.form.get("EntityFilter"),
        None | Some("Role" | "LocalManagedPolicy" | "AWSManagedPolicy")
    );
    let (roles, next) = if wants_roles {
        call.cloud().roles_with_policy(&call.account(), &arn, marker, limit)?
    } else {
        (Vec::new(), None)
    };
    let roles = roles.iter().map(|role| Xml::default().text("RoleName", &role.name).text("RoleId", &role.id));
    Ok(Some(
        Xml::default()
            .list("PolicyGroups", std::iter::empty())
            .list("PolicyUsers", std::iter::empty())
            .list("PolicyRoles", roles)
            .paged(next.as_deref()),
    ))
}

pub(super) async fn tag(call: &Call<'_>) -> Outcome {
    let added = call.form.tags()?;
    let change = move |tags: &mut std::collections::BTreeMap<_, _>| tags.extend(added);
    call.cloud().change_policy_tags(call.account(), own_arn(call)?, change).await?;
    Ok(None)
}

pub(super) async fn untag(call: &Call<'_>) -> Outcome {
    let removed = call.form.list("TagKeys");
    let change = move |tags: &mut std::collections::BTreeMap<String, String>| {
        tags.retain(|key, _| !removed.contains(key));
    };
    call.cloud().change_policy_tags(call.account(), own_arn(call)?, change).await?;
    Ok(None)
}

pub(super) fn list_tags(call: &Call<'_>) -> Outcome {
    let (record, _) = call.cloud().policy(&call.account(), &own_arn(call)?)?;
    Ok(Some(tag_list(Xml::default(), &record.tags).paged(None)))
}

/// How much of a policy an answer shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// CreatePolicy.
    Created,
    /// GetPolicy: also the description.
    Read,
    /// ListPolicies leaves tags and description out.
    Listed,
}

fn policy(record: &PolicyRecord, attached: u64, whole: Whole) -> Xml {
    let description = record.description.as_deref().filter(|_| whole != Whole::Listed);
    let xml = Xml::default()
        .text("PolicyName", &record.name)
        .text("PolicyId", &record.id)
        .text("Arn", &record.arn)
        .text("Path", &record.path)
        .text("DefaultVersionId", &format!("v{}", record.default_version))
        .text("AttachmentCount", &attached.to_string())
        .text("PermissionsBoundaryUsageCount", "0")
        .text("IsAttachable", "true")
        .maybe("Description", description)
        .text("CreateDate", &time(record.created))
        .text("UpdateDate", &time(record.updated));
    if whole == Whole::Listed || (record.tags.is_empty() && whole == Whole::Created) {
        return xml;
    }
    tag_list(xml, &record.tags)
}

fn version(found: &PolicyVersionRecord, is_default: bool, document: Option<&str>) -> Xml {
    Xml::default()
        .maybe("Document", document.map(encoded).as_deref())
        .text("VersionId", &format!("v{}", found.number))
        .text("IsDefaultVersion", if is_default { "true" } else { "false" })
        .text("CreateDate", &time(found.created))
}
