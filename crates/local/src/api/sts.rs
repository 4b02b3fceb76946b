//! STS: who the caller is. There is one caller, the account's root.

use super::{Api, AwsError, query::Xml};
use crate::store::Scope;

/// The namespace of STS's XML.
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// STS's actions, built or not.
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

/// Whether an action is one of STS's.
pub(super) fn has(action: &str) -> bool {
    ACTIONS.contains(&action)
}

pub(super) fn perform(api: &Api, _scope: &Scope, action: &str) -> Result<Option<Xml>, AwsError> {
    let account = api.cloud.account.as_str();
    match action {
        "GetCallerIdentity" => Ok(Some(
            Xml::default()
                .text("Arn", &format!("arn:aws:iam::{account}:root"))
                .text("UserId", account)
                .text("Account", account),
        )),
        other => Err(AwsError::not_built(format!("The local cloud does not implement {other} yet"))),
    }
}
