//! The role that the function runs as.

use layercake_core::{
    aws::{FunctionName, InvalidName, RoleName},
    hash::Sha256,
    journal::{Resource, TOKEN_TAG},
};

use crate::{
    destination::Endpoint,
    error::DeployError,
    function::Patience,
    journal::JournalFile,
    signed::{xml_tags, xml_text},
};

/// Lets a function write its log, and nothing else.
pub(crate) const BASIC_EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";

/// How long IAM may need until a new role is known everywhere, in seconds.
const CONSISTENT_SECONDS: u64 = 30;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// The name of the role for a function: readable, and short enough for IAM whatever the function
/// is called.
///
/// # Errors
/// None in practice; the type says what a role name is.
pub fn role_name(function: &FunctionName) -> Result<RoleName, InvalidName> {
    let name = format!("layercake-{function}");
    if name.len() <= 64 {
        return name.parse();
    }
    let hash = Sha256::of(function.as_str().as_bytes()).to_hex();
    format!("{}-{}", &name[..51], &hash[..12]).parse()
}

/// Makes the role and attaches the policy, or finds them as an earlier run left them. Answers the
/// role's ARN.
///
/// # Errors
/// [`DeployError::NotOurs`] when there is a role of that name that this journal did not make.
pub async fn ensure_role(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    name: &RoleName,
) -> Result<String, DeployError> {
    let (arn, is_new) = match find_role(endpoint, name).await? {
        Some(role) if role.is_of(journal) => {
            confirm(journal, &Resource::Role { name: name.clone() })?;
            (role.arn, false)
        }
        Some(_) => return Err(DeployError::NotOurs { resource: Resource::Role { name: name.clone() } }),
        None => (create_role(endpoint, journal, name).await?, true),
    };
    let policy = Resource::RolePolicy { role: name.clone(), policy: BASIC_EXECUTION.to_owned() };
    let attached = journal.journal().newest(|resource| (*resource == policy).then_some(()));
    if attached.is_none() || is_new {
        attach(endpoint, journal, name, policy).await?;
    }
    Ok(arn)
}

/// Refuses a role of that name that this journal did not make.
///
/// # Errors
/// [`DeployError::NotOurs`], or that the endpoint cannot be asked.
pub async fn check_role(
    endpoint: &Endpoint,
    journal: &JournalFile,
    name: &RoleName,
) -> Result<(), DeployError> {
    match find_role(endpoint, name).await? {
        Some(role) if !role.is_of(journal) => {
            Err(DeployError::NotOurs { resource: Resource::Role { name: name.clone() } })
        }
        _ => Ok(()),
    }
}

async fn attach(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    name: &RoleName,
    policy: Resource,
) -> Result<(), DeployError> {
    let step = journal.will_create(policy.clone())?;
    let members = [("RoleName", name.as_str()), ("PolicyArn", BASIC_EXECUTION)];
    let mut patience = Patience::new("AttachRolePolicy", CONSISTENT_SECONDS);
    loop {
        match endpoint.signed.iam("AttachRolePolicy", &members).await {
            Ok(_) => break,
            // IAM is not consistent at once: the role may not be known everywhere yet.
            Err(error) if error.is_absent() => patience.wait().await?,
            Err(error) => return Err(error),
        }
    }
    journal.created(step, policy)?;
    Ok(())
}

/// A role as the endpoint knows it.
pub(crate) struct FoundRole {
    arn: String,
    /// The token of the journal that made it, if one did.
    pub(crate) token: Option<String>,
}

impl FoundRole {
    fn is_of(&self, journal: &JournalFile) -> bool {
        self.token.as_deref() == Some(journal.journal().opening.token.as_str())
    }
}

pub(crate) async fn find_role(
    endpoint: &Endpoint,
    name: &RoleName,
) -> Result<Option<FoundRole>, DeployError> {
    match endpoint.signed.iam("GetRole", &[("RoleName", name.as_str())]).await {
        Ok(xml) => Ok(Some(FoundRole {
            arn: role_arn("GetRole", &xml)?,
            token: xml_tags(&xml).into_iter().find(|(key, _)| key == TOKEN_TAG).map(|(_, value)| value),
        })),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn create_role(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    name: &RoleName,
) -> Result<String, DeployError> {
    let role = Resource::Role { name: name.clone() };
    let token = journal.journal().opening.token.clone();
    let step = journal.will_create(role.clone())?;
    let members = [
        ("RoleName", name.as_str()),
        ("AssumeRolePolicyDocument", TRUST),
        ("Description", "Made by layercake; removed by `layercake down`"),
        ("Tags.member.1.Key", TOKEN_TAG),
        ("Tags.member.1.Value", token.as_str()),
    ];
    let arn = match endpoint.signed.iam("CreateRole", &members).await {
        Ok(xml) => role_arn("CreateRole", &xml)?,
        // The request was repeated after its answer was lost: then the role carries our token.
        Err(error) if error.exists_already() => match find_role(endpoint, name).await? {
            Some(found) if found.is_of(journal) => found.arn,
            _ => return Err(error),
        },
        Err(error) => return Err(error),
    };
    journal.created(step, role)?;
    Ok(arn)
}

fn role_arn(operation: &'static str, xml: &str) -> Result<String, DeployError> {
    xml_text(xml, "Arn").ok_or(DeployError::Incomplete { operation, missing: "Role.Arn" })
}

/// Records that a resource which carries our token exists, when a crash kept that from being
/// recorded.
pub(crate) fn confirm(journal: &mut JournalFile, resource: &Resource) -> Result<(), DeployError> {
    let intended = journal
        .journal()
        .steps()
        .iter()
        .find(|step| step.resource == *resource)
        .map(|step| (step.number, step.stage));
    match intended {
        Some((number, layercake_core::journal::Stage::Intended)) => {
            journal.created(number, resource.clone())?;
        }
        Some(_) => {}
        None => {
            let step = journal.will_create(resource.clone())?;
            journal.created(step, resource.clone())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_fit_whatever_the_function_is_called() {
        let name =
            |function: &str| role_name(&function.parse().expect("a function name")).expect("a role name");
        assert_eq!(name("pandas").as_str(), "layercake-pandas");
        let long = name(&"f".repeat(64));
        assert_eq!(long.as_str().len(), 64);
        assert_ne!(long, name(&("f".repeat(63) + "g")));
    }
}
