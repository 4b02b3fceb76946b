//! Who may call a function URL: the function's resource-based policy, asked as Lambda asks it.
//!
//! Since October 2025 a call needs two permissions, `lambda:InvokeFunctionUrl` and
//! `lambda:InvokeFunction` (Lambda's documentation, "Control access to Lambda function URLs").
//! Within an account nothing is authorised here, as everywhere: who is of the function's account is
//! stopped by a `Deny` alone.

use serde_json::Value;

use super::{Caller, Cloud, UrlTarget, settings::owner_or_function};
use crate::store::{FunctionPolicyRecord, SettingKind, StoreError};

/// What a call of a function URL needs.
const ACTIONS: [&str; 2] = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"];

impl Cloud {
    /// Whether somebody may call a function URL; nobody in particular when there is no caller.
    /// Otherwise the permission that is missing.
    pub(crate) async fn missing_url_permission(
        &self,
        target: &UrlTarget,
        caller: Option<&Caller>,
    ) -> Result<Option<&'static str>, StoreError> {
        let (scope, owner) = (target.scope.clone(), owner_or_function(&target.function));
        let policy: Option<FunctionPolicyRecord> =
            self.reading(move |store| store.setting(&scope, SettingKind::Policy, &owner)).await?;
        let document = policy.map(|policy| policy.document);
        let asked = Asked {
            caller,
            is_own: caller.is_some_and(|caller| caller.account == target.scope.account),
            auth: &target.config.auth,
        };
        Ok(ACTIONS.into_iter().find(|action| !asked.is_allowed(document.as_ref(), action)))
    }
}

/// A question to a policy.
struct Asked<'a> {
    caller: Option<&'a Caller>,
    /// Whether the caller is of the function's account.
    is_own: bool,
    /// `NONE` or `AWS_IAM`.
    auth: &'a str,
}

/// What a condition says.
#[derive(PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    /// Something that is not known here.
    Unknown,
}

impl Asked<'_> {
    fn is_allowed(&self, policy: Option<&Value>, action: &str) -> bool {
        let statements = policy.and_then(|policy| policy["Statement"].as_array());
        let about = |statement: &&Value| {
            any(&statement["Action"], |pattern| fits(pattern, action))
                && self.is_meant(&statement["Principal"])
        };
        let mut allowed = self.is_own;
        for statement in statements.into_iter().flatten().filter(about) {
            let holds = self.holds(&statement["Condition"]);
            if statement["Effect"] == "Deny" {
                // What cannot be judged must not let anybody in.
                if holds != Holds::No {
                    return false;
                }
            } else {
                allowed |= holds == Holds::Yes;
            }
        }
        allowed
    }

    fn is_meant(&self, principal: &Value) -> bool {
        any(principal.get("AWS").unwrap_or(principal), |named| {
            named == "*"
                || self.caller.is_some_and(|caller| {
                    named == caller.account.as_str()
                        || named == format!("arn:aws:iam::{}:root", caller.account)
                        || named == caller.arn()
                        || caller.role_arn_matches(named)
                })
        })
    }

    fn holds(&self, condition: &Value) -> Holds {
        let mut holds = Holds::Yes;
        for (operator, keys) in condition.as_object().into_iter().flatten() {
            for (key, values) in keys.as_object().into_iter().flatten() {
                let found = match (operator.as_str(), key.to_ascii_lowercase().as_str()) {
                    ("StringEquals", "lambda:functionurlauthtype") => self.auth,
                    ("Bool", "lambda:invokedviafunctionurl") => "true",
                    _ => {
                        holds = Holds::Unknown;
                        continue;
                    }
                };
                if !any(values, |value| value == found) {
                    return Holds::No;
                }
            }
        }
        holds
    }
}

/// Whether one of the texts in a text or a list of them fits.
fn any(texts: &Value, fits: impl Fn(&str) -> bool) -> bool {
    match texts {
        Value::String(text) => fits(text),
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(fits),
        Value::Bool(value) => fits(if *value { "true" } else { "false" }),
        _ => false,
    }
}

/// Whether an action fits a pattern with `*` at its end, in any case.
fn fits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    match pattern.strip_suffix('*') {
        Some(start) => action.starts_with(start),
        None => pattern == action,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::Principal;

    /// The permission that is missing, for somebody of an account or for nobody in particular; the
    /// function is of account 1….
    fn check(auth: &str, account: Option<&str>, statements: &Value) -> &'static str {
        let caller = account.map(|account| Caller {
            account: account.parse().expect("an account"),
            principal: Principal::User { name: "ann".into() },
            is_temporary: false,
        });
        let asked = Asked { caller: caller.as_ref(), is_own: account == Some("111111111111"), auth };
        let policy = json!({ "Statement": statements });
        ACTIONS
            .into_iter()
            .find(|action| !asked.is_allowed(Some(&policy), action))
            .unwrap_or("nothing is missing")
    }

    fn url(principal: &Value, auth: &str) -> Value {
        json!({
            "Effect": "Allow", "Principal": principal, "Action": "lambda:InvokeFunctionUrl",
            "Condition": { "StringEquals": { "lambda:FunctionUrlAuthType": auth } },
        })
    }

    fn function(principal: &Value) -> Value {
        json!({
            "Effect": "Allow", "Principal": principal, "Action": "lambda:InvokeFunction",
            "Condition": { "Bool": { "lambda:InvokedViaFunctionUrl": "true" } },
        })
    }

    #[test]
    fn everybody_needs_both_permissions() {
        let all = json!("*");
        let both = json!([url(&all, "NONE"), function(&all)]);
        assert_eq!(check("NONE", None, &json!([])), "lambda:InvokeFunctionUrl");
        assert_eq!(check("NONE", None, &json!([url(&all, "NONE")])), "lambda:InvokeFunction");
        assert_eq!(check("NONE", None, &json!([function(&all)])), "lambda:InvokeFunctionUrl");
        assert_eq!(check("NONE", None, &both), "nothing is missing");
        assert_eq!(
            check("NONE", None, &json!([url(&all, "AWS_IAM"), function(&all)])),
            "lambda:InvokeFunctionUrl"
        );
        let wide = json!([{ "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": ["lambda:Invoke*"] }]);
        assert_eq!(check("NONE", None, &wide), "nothing is missing");
        let some = json!({ "AWS": "arn:aws:iam::222222222222:root" });
        assert_eq!(
            check("NONE", None, &json!([url(&some, "NONE"), function(&some)])),
            "lambda:InvokeFunctionUrl"
        );
        let organization = json!([{
            "Effect": "Allow", "Principal": "*", "Action": "lambda:*",
            "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-1" } },
        }]);
        assert_eq!(check("NONE", None, &organization), "lambda:InvokeFunctionUrl");
    }

    #[test]
    fn other_accounts_need_them_too_and_the_own_one_does_not() {
        assert_eq!(check("AWS_IAM", Some("111111111111"), &json!([])), "nothing is missing");
        assert_eq!(check("AWS_IAM", Some("222222222222"), &json!([])), "lambda:InvokeFunctionUrl");
        for named in ["222222222222", "arn:aws:iam::222222222222:root", "arn:aws:iam::222222222222:user/ann"]
        {
            let named = json!({ "AWS": named });
            let both = json!([url(&named, "AWS_IAM"), function(&named)]);
            assert_eq!(check("AWS_IAM", Some("222222222222"), &both), "nothing is missing");
            assert_eq!(check("AWS_IAM", Some("333333333333"), &both), "lambda:InvokeFunctionUrl");
        }
    }

    #[test]
    fn a_deny_is_stronger() {
        let all = json!("*");
        let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunction" });
        let both = json!([url(&all, "NONE"), function(&all), deny]);
        assert_eq!(check("NONE", None, &both), "lambda:InvokeFunction");
        assert_eq!(check("AWS_IAM", Some("111111111111"), &json!([deny])), "lambda:InvokeFunction");
        let other = json!({
            "Effect": "Deny", "Principal": "*", "Action": "*",
            "Condition": { "StringEquals": { "lambda:FunctionUrlAuthType": "NONE" } },
        });
        assert_eq!(check("AWS_IAM", Some("111111111111"), &json!([other])), "nothing is missing");
    }
}
