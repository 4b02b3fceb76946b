//! STS: who the caller is, and temporary credentials.

use layercake_core::aws::AccountId;

use super::{
    AwsError,
    constraints::Constraints,
    lambda::with_causes,
    query::{Call, Outcome, QueryService, Xml, checked, invalid, time},
};
use crate::{
    service::{Caller, Principal, Trust, trust},
    store::{RoleRecord, SessionRecord, StoreError},
};

/// STS's actions, built or not: without a signature they tell STS from IAM.
const ACTIONS: [&str; 11] = [
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoot",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetCallerIdentity",
    "GetDelegatedAccessToken",
    "GetFederationToken",
    "GetSessionToken",
    "GetWebIdentityToken",
];

/// The namespace of STS's XML.
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// STS on the local cloud.
pub(super) struct Sts;

impl Sts {
    /// Whether an action is one of STS's.
    pub(super) fn has(action: &str) -> bool {
        ACTIONS.contains(&action)
    }
}

/// The list of what is built.
#[async_trait::async_trait]
impl QueryService for Sts {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    async fn perform(&self, call: &Call<'_>) -> Outcome {
        match call.action {
            "GetCallerIdentity" => Ok(Some(caller_identity(call.caller))),
            "AssumeRole" => assume_role(call).await,
            "GetSessionToken" => session_token(call).await,
            "GetAccessKeyInfo" => access_key_info(call),
            _ => Err(call.not_built()),
        }
    }
}

fn caller_identity(caller: &Caller) -> Xml {
    Xml::default()
        .text("Arn", &caller.arn())
        .text("UserId", &caller.user_id())
        .text("Account", caller.account.as_str())
}

fn failed(error: &StoreError) -> AwsError {
    AwsError::user(500, "InternalFailure", with_causes(error))
}

/// The longest session of a role that was taken with a role's credentials.
const CHAINED_SECONDS: i64 = 3600;

async fn assume_role(call: &Call<'_>) -> Outcome {
    let form = call.form;
    let mut constraints = Constraints::default();
    constraints.present("roleArn", form.get("RoleArn").is_some());
    constraints.present("roleSessionName", form.get("RoleSessionName").is_some());
    let session = form.get("RoleSessionName").unwrap_or("..");
    constraints.length("roleSessionName", session, 2..=64);
    constraints.pattern("roleSessionName", session, is_name(session), r"[\w+=,.@-]*");
    if let Some(arn) = form.get("RoleArn") {
        constraints.length("roleArn", arn, 20..=2048);
    }
    let seconds = form.number("DurationSeconds")?.unwrap_or(3600);
    constraints.number("durationSeconds", seconds, 900..=43_200);
    checked(constraints)?;
    let arn = form.get("RoleArn").unwrap_or_default();
    let (role, account) = trusted_role(call, arn)?;
    let is_chained = matches!(call.caller.principal, Principal::AssumedRole { .. });
    if is_chained && seconds > CHAINED_SECONDS {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    if seconds > i64::from(role.max_session) {
        return Err(invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    let principal = Principal::AssumedRole { role: role.name, id: role.id, session: session.to_owned() };
    let taken = Caller { account, principal, is_temporary: true };
    let made = call.cloud().new_session(&taken, u32::try_from(seconds).unwrap_or(3600)).await;
    let made = made.map_err(|error| failed(&error))?;
    let user = Xml::default().text("AssumedRoleId", &taken.user_id()).text("Arn", &taken.arn());
    let xml = Xml::default().nested("AssumedRoleUser", user).nested("Credentials", credentials(&made));
    Ok(Some(xml.maybe("SourceIdentity", form.get("SourceIdentity"))))
}

/// The role, if its trust policy lets the caller in. A role that is not there is refused in the
/// same words, as on AWS.
fn trusted_role(call: &Call<'_>, arn: &str) -> Result<(RoleRecord, AccountId), AwsError> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let (account, path) = match parts[..] {
        ["arn", "aws", "iam", "", account, resource] => {
            (account.parse().ok(), resource.strip_prefix("role/"))
        }
        _ => (None, None),
    };
    let (Some(account), Some(path)) = (account, path) else {
        return Err(invalid(format!("{arn} is invalid")));
    };
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let path = if above.is_empty() { "/".to_owned() } else { format!("/{above}/") };
    let refused = || {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            call.caller.arn()
        );
        AwsError::user(403, "AccessDenied", message)
    };
    let role = call.cloud().store.role(&account, name).map_err(|error| failed(&error))?;
    let role = role.filter(|role| role.path == path).ok_or_else(refused)?;
    match trust(&role.assume_role_policy, call.caller, call.form.get("ExternalId")) {
        Trust::Allowed => Ok((role, account)),
        Trust::Denied => Err(refused()),
        Trust::Unknown { condition } => Err(AwsError::not_built(format!(
            "The local cloud does not evaluate the condition {condition} of a trust policy"
        ))),
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

async fn session_token(call: &Call<'_>) -> Outcome {
    let seconds = call.form.number("DurationSeconds")?;
    let mut constraints = Constraints::default();
    constraints.number("durationSeconds", seconds.unwrap_or(3600), 900..=129_600);
    checked(constraints)?;
    if call.caller.is_temporary {
        return Err(AwsError::user(
            403,
            "AccessDenied",
            "Cannot call GetSessionToken with session credentials",
        ));
    }
    // The account's root has an hour at most.
    let (usual, most) = match call.caller.principal {
        Principal::Root => (3600, 3600),
        _ => (43_200, 129_600),
    };
    let seconds = u32::try_from(seconds.unwrap_or(usual).min(most)).unwrap_or(3600);
    let made = call.cloud().new_session(call.caller, seconds).await.map_err(|error| failed(&error))?;
    Ok(Some(Xml::default().nested("Credentials", credentials(&made))))
}

fn credentials(session: &SessionRecord) -> Xml {
    Xml::default()
        .text("AccessKeyId", &session.key)
        .text("SecretAccessKey", &session.secret)
        .text("SessionToken", &session.token)
        .text("Expiration", &time(session.expires))
}

fn access_key_info(call: &Call<'_>) -> Outcome {
    let id = call.form.need("AccessKeyId")?;
    let mut constraints = Constraints::default();
    constraints.length("accessKeyId", id, 1..=128);
    checked(constraints)?;
    let account = call.api.keyring.account_of(&call.cloud().store, id).map_err(|error| failed(&error))?;
    Ok(Some(Xml::default().text("Account", account.as_str())))
}
