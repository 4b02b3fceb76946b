//! Callers: which account and principal an access key stands for, and temporary credentials.

use std::collections::BTreeMap;

use layercake_core::aws::AccountId;

use super::{Cloud, now};
use crate::{
    Access, AccessKey, Signatures,
    store::{SessionRecord, Store, StoreError},
};

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The account that everything belongs to which the request makes.
    pub(crate) account: AccountId,
    /// Who of it.
    pub(crate) principal: Principal,
    /// When the credentials are temporary.
    pub(crate) is_temporary: bool,
}

/// Who of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The account itself.
    Root,
    /// An IAM user.
    User {
        /// The name.
        name: String,
    },
    /// Somebody who took a role.
    AssumedRole {
        /// The role's name.
        role: String,
        /// The role's id, `AROA…`.
        id: String,
        /// The session's name.
        session: String,
    },
}

impl Caller {
    /// As GetCallerIdentity and refusals name them.
    pub(crate) fn arn(&self) -> String {
        let account = &self.account;
        match &self.principal {
            Principal::Root => format!("arn:aws:iam::{account}:root"),
            Principal::User { name } => format!("arn:aws:iam::{account}:user/{name}"),
            Principal::AssumedRole { role, session, .. } => {
                format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
            }
        }
    }

    /// Whether this is the ARN of the role that the caller took, with or without its path.
    pub(crate) fn role_arn_matches(&self, arn: &str) -> bool {
        let Principal::AssumedRole { role, .. } = &self.principal else { return false };
        arn.strip_prefix(&format!("arn:aws:iam::{}:role/", self.account))
            .is_some_and(|path| path.rsplit('/').next() == Some(role))
    }

    /// The id that belongs to [`Caller::arn`].
    pub(crate) fn user_id(&self) -> String {
        match &self.principal {
            Principal::Root => self.account.to_string(),
            Principal::User { name } => user_id(&self.account, name),
            Principal::AssumedRole { id, session, .. } => format!("{id}:{session}"),
        }
    }
}

/// `AIDA…`: the same for the same user, since users are not stored.
pub(crate) fn user_id(account: &AccountId, name: &str) -> String {
    let hash = layercake_core::hash::Sha256::of(format!("{account}/{name}").as_bytes()).to_hex();
    format!("AIDA{}", &hash[..17].to_uppercase())
}

/// An access key whose secret is known.
pub(crate) struct KnownKey {
    /// To verify signatures with.
    pub(crate) secret: String,
    /// The session token that must come with it.
    pub(crate) token: Option<String>,
    /// When it ends, in milliseconds since 1970.
    pub(crate) expires: Option<i64>,
    /// Who signs with it.
    pub(crate) caller: Caller,
}

/// All keys: the configured ones, and the temporary ones of the store.
pub(crate) struct Keyring {
    signatures: Signatures,
    account: AccountId,
    keys: BTreeMap<String, AccessKey>,
}

/// What ids of temporary keys begin with.
pub(crate) const TEMPORARY_PREFIX: &str = "ASIA";

impl Keyring {
    /// Takes the configuration; `account` is that of callers who say nothing of it.
    pub(crate) fn new(access: &Access, account: AccountId) -> Self {
        let keys = access.credentials.iter().map(|key| (key.id.clone(), key.clone())).collect();
        Self { signatures: access.signatures, account, keys }
    }

    /// Whether requests must be signed.
    pub(crate) fn signatures(&self) -> Signatures {
        self.signatures
    }

    /// The key with this id, if its secret is known.
    pub(crate) fn known(&self, store: &Store, id: &str) -> Result<Option<KnownKey>, StoreError> {
        if let Some(key) = self.keys.get(id) {
            return Ok(Some(KnownKey {
                secret: key.secret.clone(),
                token: None,
                expires: None,
                caller: Caller {
                    account: key.account.clone(),
                    principal: principal_of(key.user.as_deref()),
                    is_temporary: false,
                },
            }));
        }
        if !id.starts_with(TEMPORARY_PREFIX) {
            return Ok(None);
        }
        Ok(store.session(id)?.map(|session| KnownKey {
            caller: session_caller(&session),
            secret: session.secret,
            token: Some(session.token),
            expires: Some(session.expires),
        }))
    }

    /// Who a caller is whose signature nobody verifies: a known key's principal, the account that
    /// the key's id is when it is twelve digits, else the configured account.
    pub(crate) fn claimed(&self, store: &Store, id: Option<&str>) -> Result<Caller, StoreError> {
        let Some(id) = id else { return Ok(self.root(None)) };
        if let Some(known) = self.known(store, id)? {
            return Ok(known.caller);
        }
        Ok(self.root(Some(id)))
    }

    fn root(&self, id: Option<&str>) -> Caller {
        let account = id.and_then(|id| id.parse().ok()).unwrap_or_else(|| self.account.clone());
        Caller { account, principal: Principal::Root, is_temporary: false }
    }

    /// Whether a configured key belongs to this user.
    pub(crate) fn has_user(&self, account: &AccountId, name: &str) -> bool {
        self.keys.values().any(|key| key.account == *account && key.user.as_deref() == Some(name))
    }

    /// The account of an access key, for GetAccessKeyInfo.
    pub(crate) fn account_of(&self, store: &Store, id: &str) -> Result<AccountId, StoreError> {
        Ok(self.claimed(store, Some(id))?.account)
    }
}

fn principal_of(user: Option<&str>) -> Principal {
    match user {
        Some(name) => Principal::User { name: name.to_owned() },
        None => Principal::Root,
    }
}

fn session_caller(session: &SessionRecord) -> Caller {
    let principal = match (&session.role, &session.role_id, &session.session) {
        (Some(role), Some(id), Some(name)) => {
            Principal::AssumedRole { role: role.clone(), id: id.clone(), session: name.clone() }
        }
        _ => principal_of(session.user.as_deref()),
    };
    Caller { account: session.account.clone(), principal, is_temporary: true }
}

impl Cloud {
    /// Makes temporary credentials for a principal, good for `seconds`.
    pub(crate) async fn new_session(
        &self,
        caller: &Caller,
        seconds: u32,
    ) -> Result<SessionRecord, StoreError> {
        let (user, role, role_id, session) = match &caller.principal {
            Principal::Root => (None, None, None, None),
            Principal::User { name } => (Some(name.clone()), None, None, None),
            Principal::AssumedRole { role, id, session } => {
                (None, Some(role.clone()), Some(id.clone()), Some(session.clone()))
            }
        };
        let record = SessionRecord {
            key: format!("{TEMPORARY_PREFIX}{}", &random_letters()[..16]),
            secret: random_secret(),
            token: format!("layercake/{}{}{}", random_secret(), random_secret(), random_secret()),
            account: caller.account.clone(),
            user,
            role,
            role_id,
            session,
            expires: now() / 1000 * 1000 + i64::from(seconds) * 1000,
        };
        self.blocking(move |store| {
            store.forget_sessions(now())?;
            store.add_session(&record)?;
            Ok(record)
        })
        .await
    }
}

/// 32 letters and digits that nobody can guess.
fn random_letters() -> String {
    uuid::Uuid::new_v4().simple().to_string().to_uppercase()
}

/// 40 characters, as AWS's secrets have.
fn random_secret() -> String {
    use base64::Engine as _;
    let bytes = [*uuid::Uuid::new_v4().as_bytes(), *uuid::Uuid::new_v4().as_bytes()].concat();
    base64::engine::general_purpose::STANDARD.encode(&bytes[..30])
}
