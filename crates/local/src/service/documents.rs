//! Policy documents: whether they can be one, and whom a role's trust policy lets in.
//!
//! Nothing else is evaluated: the local cloud lets its callers do everything in their account.

use serde_json::{Map, Value};

use super::Caller;

/// Why a text is no policy document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentFault {
    /// It is not a JSON object.
    NotJson,
    /// It has no statements, or members that no policy has.
    Syntax,
    /// A statement of a trust policy names nobody.
    NoPrincipal,
    /// A statement of a permissions policy names somebody.
    HasPrincipal,
    /// A statement of a trust policy has resources.
    HasResource,
    /// A statement of a permissions policy has no resources.
    NoResource,
    /// A statement has no actions.
    NoAction,
    /// A trust policy has other actions than those of STS.
    NotSts,
}

/// Checks a role's trust policy.
pub(crate) fn check_trust(text: &str) -> Result<(), DocumentFault> {
    for statement in statements(text)? {
        if !(statement.contains_key("Principal") || statement.contains_key("NotPrincipal")) {
            return Err(DocumentFault::NoPrincipal);
        }
        if statement.contains_key("Resource") || statement.contains_key("NotResource") {
            return Err(DocumentFault::HasResource);
        }
        let actions = texts(statement.get("Action"));
        if actions.is_empty() && !statement.contains_key("NotAction") {
            return Err(DocumentFault::NoAction);
        }
        if !actions.iter().all(|action| *action == "*" || action.to_ascii_lowercase().starts_with("sts:")) {
            return Err(DocumentFault::NotSts);
        }
    }
    Ok(())
}

/// Checks an inline or managed policy.
pub(crate) fn check_permissions(text: &str) -> Result<(), DocumentFault> {
    for statement in statements(text)? {
        if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
            return Err(DocumentFault::HasPrincipal);
        }
        let has = |one: &str, other: &str| {
            !texts(statement.get(one)).is_empty() || !texts(statement.get(other)).is_empty()
        };
        if !has("Action", "NotAction") {
            return Err(DocumentFault::NoAction);
        }
        if !has("Resource", "NotResource") {
            return Err(DocumentFault::NoResource);
        }
    }
    Ok(())
}

/// How long a document counts: white space is free.
pub(crate) fn document_length(text: &str) -> usize {
    text.chars().filter(|letter| !letter.is_whitespace()).count()
}

fn statements(text: &str) -> Result<Vec<Map<String, Value>>, DocumentFault> {
    let document: Map<String, Value> = serde_json::from_str(text).map_err(|_| DocumentFault::NotJson)?;
    let known = ["Version", "Id", "Statement"];
    if document.keys().any(|name| !known.contains(&name.as_str())) {
        return Err(DocumentFault::Syntax);
    }
    let version = document.get("Version").map(Value::as_str);
    if version.is_some_and(|version| !matches!(version, Some("2012-10-17" | "2008-10-17"))) {
        return Err(DocumentFault::Syntax);
    }
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => return Err(DocumentFault::Syntax),
    };
    let known = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    statements
        .into_iter()
        .map(|statement| match statement {
            Value::Object(statement)
                if matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny"))
                    && statement.keys().all(|name| known.contains(&name.as_str())) =>
            {
                Ok(statement)
            }
            _ => Err(DocumentFault::Syntax),
        })
        .collect()
}

/// One text, or a list of them.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What a trust policy says to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Come in.
    Allowed,
    /// Stay out.
    Denied,
    /// It depends on something that is not evaluated here.
    Unknown {
        /// The condition.
        condition: String,
    },
}

/// Asks a trust policy whether a caller may take the role.
pub(crate) fn trust(text: &str, caller: &Caller, external_id: Option<&str>) -> Trust {
    let mut allowed = false;
    for statement in statements(text).unwrap_or_default() {
        let assumes = texts(statement.get("Action"))
            .iter()
            .any(|action| matches!(action.to_ascii_lowercase().as_str(), "sts:assumerole" | "sts:*" | "*"));
        if !assumes || !names(statement.get("Principal"), caller) {
            continue;
        }
        match condition(statement.get("Condition"), external_id) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(condition) => return Trust::Unknown { condition },
        }
        if statement.get("Effect").and_then(Value::as_str) == Some("Deny") {
            return Trust::Denied;
        }
        allowed = true;
    }
    if allowed { Trust::Allowed } else { Trust::Denied }
}

fn names(principal: Option<&Value>, caller: &Caller) -> bool {
    let listed = match principal {
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Object(kinds)) => texts(kinds.get("AWS")),
        _ => Vec::new(),
    };
    let account = caller.account.as_str();
    listed.into_iter().any(|name| {
        name == "*"
            || name == account
            || name == format!("arn:aws:iam::{account}:root")
            || name == caller.arn()
            || caller.role_arn_matches(name)
    })
}

/// Whether the conditions hold; the error is the first that cannot be told.
fn condition(conditions: Option<&Value>, external_id: Option<&str>) -> Result<bool, String> {
    let Some(conditions) = conditions.and_then(Value::as_object) else { return Ok(true) };
    for (operator, keys) in conditions {
        for (key, wanted) in keys.as_object().into_iter().flatten() {
            if operator != "StringEquals" || !key.eq_ignore_ascii_case("sts:ExternalId") {
                return Err(format!("{operator} {key}"));
            }
            if !external_id.is_some_and(|given| texts(Some(wanted)).contains(&given)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Principal;

    fn caller(account: &str, principal: Principal) -> Caller {
        Caller { account: account.parse().expect("an account"), principal, is_temporary: false }
    }

    fn check(statement: &str, external_id: Option<&str>) -> String {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
        let ann = caller("111111111111", Principal::User { name: "ann".to_owned() });
        format!("{:?} {:?}", check_trust(&text), trust(&text, &ann, external_id))
    }

    #[test]
    fn a_role_trusts_whom_it_names() {
        let allow = |principal: &str, more: &str| {
            format!(r#"{{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {principal}{more}}}"#)
        };
        for principal in [
            r#"{"AWS": "111111111111"}"#,
            r#"{"AWS": ["arn:aws:iam::222222222222:root", "arn:aws:iam::111111111111:root"]}"#,
            r#"{"AWS": "arn:aws:iam::111111111111:user/ann"}"#,
            r#""*""#,
        ] {
            assert_eq!(check(&allow(principal, ""), None), "Ok(()) Allowed", "{principal}");
        }
        for principal in [
            r#"{"Service": "lambda.amazonaws.com"}"#,
            r#"{"AWS": "222222222222"}"#,
            r#"{"AWS": "arn:aws:iam::111111111111:user/bob"}"#,
        ] {
            assert_eq!(check(&allow(principal, ""), None), "Ok(()) Denied", "{principal}");
        }
        let everybody = r#"{"AWS": "*"}"#;
        let external = r#", "Condition": {"StringEquals": {"sts:ExternalId": "x"}}"#;
        assert_eq!(check(&allow(everybody, external), None), "Ok(()) Denied");
        assert_eq!(check(&allow(everybody, external), Some("x")), "Ok(()) Allowed");
        insta::assert_snapshot!(
            check(&allow(everybody, r#", "Condition": {"Bool": {"aws:SecureTransport": "true"}}"#), None),
            @r#"Ok(()) Unknown { condition: "Bool aws:SecureTransport" }"#
        );
        let deny = allow(r#"{"AWS": "111111111111"}"#, "").replace("Allow", "Deny");
        assert_eq!(check(&format!("{}, {deny}", allow(everybody, "")), None), "Ok(()) Denied");
    }

    #[test]
    fn documents_that_are_none() {
        let faults: Vec<_> = [
            "",
            "[]",
            "{}",
            r#"{"Statement": []}"#,
            r#"{"Statement": [{"Effect": "Perhaps", "Action": "*", "Resource": "*"}]}"#,
            r#"{"Version": "2020-01-01", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Allow", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Allow", "Action": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]}"#,
            r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": ["*"]}}"#,
        ]
        .iter()
        .map(|text| format!("{:?} {:?}", check_permissions(text), check_trust(text)))
        .collect();
        insta::assert_snapshot!(faults.join("\n"), @"
        Err(NotJson) Err(NotJson)
        Err(NotJson) Err(NotJson)
        Err(Syntax) Err(Syntax)
        Err(Syntax) Err(Syntax)
        Err(Syntax) Err(Syntax)
        Err(Syntax) Err(Syntax)
        Err(NoAction) Err(NoPrincipal)
        Err(NoResource) Err(NoPrincipal)
        Err(HasPrincipal) Err(HasResource)
        Ok(()) Err(NoPrincipal)
        ");
    }
}
