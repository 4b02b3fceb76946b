//! Who may use a local cloud: access keys, how strictly requests are checked, and the names under
//! which it may be reached. Values only; they are checked in `api` and [`Access::fault`].

use std::{fmt, net::SocketAddr};

use layercake_core::{Hint, aws::AccountId};

/// How a local cloud tells its clients apart.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether requests must be signed with one of the keys.
    pub signatures: Signatures,
    /// The keys. Without required signatures they only say which account a caller is.
    pub credentials: Vec<AccessKey>,
    /// Names beside `localhost` and the address under which clients reach it.
    pub hosts: Vec<String>,
    /// Whether others may reach it although signatures are not required.
    pub exposure: Exposure,
}

/// Whether requests must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// Any credentials do, and none.
    #[default]
    Ignored,
    /// Every request is verified (AWS Signature Version 4); what is not signed is refused.
    Required,
}

/// Whether an address that others reach may be listened on without signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// No.
    #[default]
    Refused,
    /// Yes: everybody who reaches the address may run code here.
    Accepted,
}

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The key's id, `AKIA…` on AWS; any text without `/` here.
    pub id: String,
    /// The secret. It is never printed.
    pub secret: String,
    /// The account that it acts for.
    pub account: AccountId,
    /// The IAM user that it belongs to; the account's root when there is none.
    pub user: Option<String>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why a local cloud would not be safe to start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Others could run code here.
    #[error("{address} can be reached by others, and without signatures everybody may run code here")]
    Exposed {
        /// Where it would listen.
        address: SocketAddr,
    },
    /// Nobody could use it.
    #[error("signatures are required and there is no access key to verify them with")]
    NoKey,
    /// One id with two secrets or accounts.
    #[error("the access key `{id}` is given twice")]
    KeyTwice {
        /// The id.
        id: String,
    },
    /// An id that no request can carry.
    #[error("`{id}` is no access key id: letters, digits, `-`, `_`, `.` and `@` are expected")]
    BadId {
        /// What was given.
        id: String,
    },
}

impl Hint for AccessError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Exposed { .. } => {
                "add --require-signatures and access keys, or listen on 127.0.0.1; --insecure listens all the same"
                    .to_owned()
            }
            Self::NoKey => "give --credentials FILE (AWS's credentials format), or set AWS_ACCESS_KEY_ID and \
                            AWS_SECRET_ACCESS_KEY"
                .to_owned(),
            Self::KeyTwice { .. } => "give each access key once".to_owned(),
            Self::BadId { .. } => "AWS's ids look like AKIAIOSFODNN7EXAMPLE".to_owned(),
        })
    }
}

impl Access {
    /// Checks that listening on this address is safe and that somebody can use it.
    ///
    /// # Errors
    /// The [`AccessError`] that stands against it.
    pub fn fault(&self, listen: SocketAddr) -> Result<(), AccessError> {
        let is_word = |id: &str| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
        };
        for (place, key) in self.credentials.iter().enumerate() {
            if !is_word(&key.id) {
                return Err(AccessError::BadId { id: key.id.clone() });
            }
            if self.credentials[..place].iter().any(|other| other.id == key.id && other != key) {
                return Err(AccessError::KeyTwice { id: key.id.clone() });
            }
        }
        match self.signatures {
            Signatures::Required if self.credentials.is_empty() => Err(AccessError::NoKey),
            Signatures::Ignored if !listen.ip().is_loopback() && self.exposure == Exposure::Refused => {
                Err(AccessError::Exposed { address: listen })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, secret: &str) -> AccessKey {
        let account = "123456789012".parse().expect("an account");
        AccessKey { id: id.to_owned(), secret: secret.to_owned(), account, user: None }
    }

    fn check(listen: &str, access: &Access) -> String {
        match access.fault(listen.parse().expect("an address")) {
            Ok(()) => "started".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn others_get_in_only_with_a_key_or_by_decision() {
        let open = Access::default();
        assert_eq!(check("127.0.0.1:0", &open), "started");
        assert_eq!(check("[::1]:0", &open), "started");
        insta::assert_snapshot!(
            check("0.0.0.0:4566", &open),
            @"0.0.0.0:4566 can be reached by others, and without signatures everybody may run code here"
        );
        let decided = Access { exposure: Exposure::Accepted, ..Access::default() };
        assert_eq!(check("0.0.0.0:4566", &decided), "started");
        let strict = Access { signatures: Signatures::Required, ..Access::default() };
        insta::assert_snapshot!(
            check("127.0.0.1:0", &strict),
            @"signatures are required and there is no access key to verify them with"
        );
        let keyed = Access { credentials: vec![key("AKIA1", "s")], ..strict };
        assert_eq!(check("0.0.0.0:4566", &keyed), "started");
    }

    #[test]
    fn keys_are_told_apart_and_secrets_stay_secret() {
        let twice = Access { credentials: vec![key("A", "1"), key("A", "2")], ..Access::default() };
        insta::assert_snapshot!(check("127.0.0.1:0", &twice), @"the access key `A` is given twice");
        let bad = Access { credentials: vec![key("A/B", "1")], ..Access::default() };
        insta::assert_snapshot!(
            check("127.0.0.1:0", &bad),
            @"`A/B` is no access key id: letters, digits, `-`, `_`, `.` and `@` are expected"
        );
        assert!(!format!("{:?}", key("A", "hidden")).contains("hidden"));
    }
}
