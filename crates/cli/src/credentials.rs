//! The access keys of `layercake local`: from the arguments, a file, or the environment.
//!
//! Reads AWS's credentials format. Never prints a secret.

use camino::Utf8Path;
use layercake_core::aws::AccountId;
use layercake_local::AccessKey;

use crate::{
    args::{AccessKeyArgument, Local},
    error::{CommandError, Kind},
    settings::access_key_of_the_environment,
};

/// All keys that the arguments ask for; those of the environment when signatures are required and
/// nothing else is given.
pub(crate) fn access_keys(local: &Local, account: &AccountId) -> Result<Vec<AccessKey>, CommandError> {
    let mut keys: Vec<_> = local.access_key.iter().map(|key| typed(key, account)).collect();
    if let Some(file) = &local.credentials {
        keys.extend(of_file(file, account)?);
    }
    if local.require_signatures && local.credentials.is_none() && keys.is_empty() {
        keys.extend(access_key_of_the_environment().map(|(id, secret)| AccessKey {
            id,
            secret,
            account: account.clone(),
            user: None,
        }));
    }
    Ok(keys)
}

fn typed(key: &AccessKeyArgument, account: &AccountId) -> AccessKey {
    AccessKey {
        id: key.id.clone(),
        secret: key.secret.clone(),
        account: key.account.clone().unwrap_or_else(|| account.clone()),
        user: None,
    }
}

fn of_file(file: &Utf8Path, account: &AccountId) -> Result<Vec<AccessKey>, CommandError> {
    let text = fs_err::read_to_string(file).map_err(|error| CommandError {
        kind: Kind::User,
        error: Box::new(error),
        hints: vec!["--credentials takes a file in the format of ~/.aws/credentials".to_owned()],
    })?;
    let keys = parsed(&text, account).map_err(|(line, why)| {
        CommandError::new(
            Kind::User,
            format!("`{file}`, line {line}: {why}"),
            "a profile looks like this: [default], aws_access_key_id = …, aws_secret_access_key = …",
        )
    })?;
    if keys.is_empty() {
        return Err(CommandError::new(
            Kind::User,
            format!("`{file}` holds no access key"),
            "a profile looks like this: [default], aws_access_key_id = …, aws_secret_access_key = …",
        ));
    }
    Ok(keys)
}

/// One profile while it is read.
#[derive(Default)]
struct Profile {
    line: usize,
    id: Option<String>,
    secret: Option<String>,
    account: Option<AccountId>,
    user: Option<String>,
}

impl Profile {
    fn finished(self, account: &AccountId) -> Result<Option<AccessKey>, (usize, String)> {
        match (self.id, self.secret) {
            (Some(id), Some(secret)) => Ok(Some(AccessKey {
                id,
                secret,
                account: self.account.unwrap_or_else(|| account.clone()),
                user: self.user,
            })),
            // Profiles that take a role or ask a program have no key of their own.
            (None, None) => Ok(None),
            (Some(_), None) => Err((self.line, "the profile has no aws_secret_access_key".to_owned())),
            (None, Some(_)) => Err((self.line, "the profile has no aws_access_key_id".to_owned())),
        }
    }
}

/// Reads a credentials file. The error is a line's number and what is wrong with it.
fn parsed(text: &str, account: &AccountId) -> Result<Vec<AccessKey>, (usize, String)> {
    let mut keys = Vec::new();
    let mut profile: Option<Profile> = None;
    for (number, line) in (1..).zip(text.lines()) {
        // What is indented belongs to the setting above, and none that we read is made of parts.
        if line.starts_with([' ', '\t']) || line.trim().is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let line = line.trim_end();
        if let Some(name) = line.strip_prefix('[') {
            if !name.ends_with(']') {
                return Err((number, "`]` is missing".to_owned()));
            }
            if let Some(before) = profile.replace(Profile { line: number, ..Profile::default() }) {
                keys.extend(before.finished(account)?);
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err((number, "`=` is missing".to_owned()));
        };
        let Some(profile) = &mut profile else {
            return Err((number, "a setting outside of any profile".to_owned()));
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => profile.id = Some(value.to_owned()),
            "aws_secret_access_key" => profile.secret = Some(value.to_owned()),
            "aws_account_id" => {
                profile.account = Some(
                    value
                        .parse()
                        .map_err(|_| (number, format!("`{value}` is no account: 12 digits are expected")))?,
                );
            }
            "user" => profile.user = Some(value.to_owned()),
            _ => {}
        }
    }
    if let Some(last) = profile {
        keys.extend(last.finished(account)?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        match parsed(text, &"123456789012".parse().expect("an account")) {
            Ok(keys) => keys
                .iter()
                .map(|key| format!("{} {} {} {:?}\n", key.id, key.secret, key.account, key.user))
                .collect(),
            Err((line, why)) => format!("line {line}: {why}"),
        }
    }

    #[test]
    fn every_profile_with_a_key_counts() {
        insta::assert_snapshot!(check(
            "# mine\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=a=b/c+d\n\n[role]\nrole_arn = x\ns3 =\n  max = 3\n\n[two]\nAWS_ACCESS_KEY_ID=AKIA2\naws_secret_access_key = s\naws_account_id = 210987654321\nuser = ann\n"
        ), @r#"
        AKIA1 a=b/c+d 123456789012 None
        AKIA2 s 210987654321 Some("ann")
        "#);
        insta::assert_snapshot!(check(""), @"");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        insta::assert_snapshot!(check("[a]\naws_access_key_id = x\n"), @"line 1: the profile has no aws_secret_access_key");
        insta::assert_snapshot!(check("aws_access_key_id = x\n"), @"line 1: a setting outside of any profile");
        insta::assert_snapshot!(check("[a\n"), @"line 1: `]` is missing");
        insta::assert_snapshot!(check("[a]\naws_account_id = 12\n"), @"line 2: `12` is no account: 12 digits are expected");
    }
}
