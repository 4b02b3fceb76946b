//! Resource-based policies: who may use a layer version or invoke a function.
//!
//! Owns the statements that AWS writes and the one question that is asked of them here: may this
//! account have this layer version. What a function's policy allows is asked of function URLs alone
//! (`url_access`), since every other caller is the account itself.

use layercake_core::aws::{AccountId, LayerName};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Cloud, FunctionRef, LambdaError, Qualifier, SettingsError, settings::owner_or_function};
use crate::store::{
    ChangeError, FunctionPolicyRecord, LayerPolicyRecord, LayerVersionRecord, Scope, SettingKind, Store,
    StoreError,
};

/// The longest policy in bytes (FACTS.md §1).
pub(crate) const POLICY_BYTES: usize = 20_480;

/// Who gets a permission for a layer version.
pub(crate) struct LayerPermission {
    /// The statement's name.
    pub(crate) id: String,
    /// `lambda:GetLayerVersion`.
    pub(crate) action: String,
    /// An account, `*` or an account's ARN.
    pub(crate) principal: String,
    /// Only accounts of this organisation.
    pub(crate) organization: Option<String>,
}

/// Who gets a permission for a function, as the request says it.
pub(crate) struct FunctionPermission {
    /// The statement's name.
    pub(crate) id: String,
    /// `lambda:InvokeFunction` and the like.
    pub(crate) action: String,
    /// An account, a user's or role's ARN, a service, or `*`.
    pub(crate) principal: String,
    /// The resource that invokes.
    pub(crate) source_arn: Option<String>,
    /// Whose that is.
    pub(crate) source_account: Option<String>,
    /// `NONE` or `AWS_IAM`.
    pub(crate) url_auth: Option<String>,
    /// Whether only through the function URL.
    pub(crate) via_url: Option<bool>,
    /// For Alexa skills.
    pub(crate) event_source_token: Option<String>,
    /// Only accounts of this organisation.
    pub(crate) organization: Option<String>,
}

/// A policy as it is answered.
pub(crate) struct Policy {
    /// The document.
    pub(crate) document: Value,
    /// Its revision.
    pub(crate) revision: String,
}

impl Cloud {
    /// Adds a statement to a layer version's policy. Gives it and the policy's revision.
    pub(crate) async fn add_layer_permission(
        &self,
        scope: Scope,
        name: LayerName,
        version: i64,
        permission: LayerPermission,
        revision: Option<String>,
    ) -> Result<(Value, String), SettingsError> {
        let version = layer_version_number(version)?;
        let arn = layer_version_arn(&scope, &name, version);
        let statement = layer_statement(&arn, &permission);
        self.blocking(move |store| {
            store
                .change_layer_policy(&scope, &name, version, |found| {
                    check_layer_revision(found.as_ref(), revision.as_deref())?;
                    let mut document = found.map_or_else(empty_policy, |found| found.document);
                    append(&mut document, &permission.id, statement.clone())?;
                    let revision = Uuid::new_v4().to_string();
                    let record = LayerPolicyRecord { revision: revision.clone(), document };
                    Ok((Some(record), (statement, revision)))
                })
                .map_err(|error| layer_gone(error, arn))
        })
        .await
    }

    /// The policy of a layer version.
    pub(crate) async fn layer_policy(
        &self,
        scope: Scope,
        name: LayerName,
        version: i64,
    ) -> Result<Policy, SettingsError> {
        let version = layer_version_number(version)?;
        self.blocking(move |store| {
            if store.layer_version(&scope, &name, version)?.is_none() {
                let arn = layer_version_arn(&scope, &name, version);
                return Err(SettingsError::NoSuchLayerVersionArn { arn });
            }
            let found = store.layer_policy(&scope, &name, version)?.ok_or(SettingsError::NoPolicy)?;
            Ok(Policy { document: found.document, revision: found.revision })
        })
        .await
    }

    /// Removes a statement from a layer version's policy.
    pub(crate) async fn remove_layer_permission(
        &self,
        scope: Scope,
        name: LayerName,
        version: i64,
        id: String,
        revision: Option<String>,
    ) -> Result<(), SettingsError> {
        let version = layer_version_number(version)?;
        let arn = layer_version_arn(&scope, &name, version);
        self.blocking(move |store| {
            store
                .change_layer_policy(&scope, &name, version, |found| {
                    let mut found = found.ok_or(SettingsError::NoPolicy)?;
                    remove(&mut found.document, &id)?;
                    check_layer_revision(Some(&found), revision.as_deref())?;
                    found.revision = Uuid::new_v4().to_string();
                    let left = !statements(&found.document).is_empty();
                    Ok((left.then_some(found), ()))
                })
                .map_err(|error| layer_gone(error, arn))
        })
        .await
    }

    /// One layer version of any account, if its policy lets the caller have it.
    pub(crate) async fn permitted_layer_version(
        &self,
        caller: &Scope,
        owner: Scope,
        name: LayerName,
        version: i64,
    ) -> Result<LayerVersionRecord, LambdaError> {
        let caller = caller.account.clone();
        let (at, layer, number) = (owner.clone(), name.clone(), u64::try_from(version).unwrap_or(0));
        self.blocking(move |store| {
            if may_read_layer(store, &caller, &at, &layer, number)? {
                return Ok(());
            }
            let arn = layer_version_arn(&at, &layer, number);
            Err(LambdaError::LayerNotPermitted { arn, account: caller.to_string() })
        })
        .await?;
        self.layer_version(owner, name, version).await
    }

    /// Adds a statement to the policy of a function, version or alias, and gives it.
    pub(crate) async fn add_permission(
        &self,
        scope: Scope,
        function: FunctionRef,
        permission: FunctionPermission,
        revision: Option<String>,
    ) -> Result<Value, SettingsError> {
        refuse_latest(&function)?;
        self.policy_owner(&scope, &function).await?;
        let statement = function_statement(&function.arn(&scope), &permission)?;
        let added = statement.clone();
        self.change_policy(scope, function, revision, move |found| {
            let mut document = found.unwrap_or_else(empty_policy);
            append(&mut document, &permission.id, added)?;
            Ok(Some(document))
        })
        .await?;
        Ok(statement)
    }

    /// The policy of a function, version or alias.
    pub(crate) async fn function_policy(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<Policy, SettingsError> {
        let revision = self.policy_revision(&scope, &function).await?;
        let owner = owner_or_function(&function);
        self.blocking(move |store| {
            let found: Option<FunctionPolicyRecord> = store.setting(&scope, SettingKind::Policy, &owner)?;
            let document = found.ok_or(SettingsError::NoSuchResource)?.document;
            Ok(Policy { document, revision })
        })
        .await
    }

    /// Removes a statement from the policy of a function, version or alias.
    pub(crate) async fn remove_permission(
        &self,
        scope: Scope,
        function: FunctionRef,
        id: String,
        revision: Option<String>,
    ) -> Result<(), SettingsError> {
        self.policy_owner(&scope, &function).await.map_err(|error| match error {
            SettingsError::Lambda(LambdaError::NoSuchFunction { arn }) => SettingsError::NoPolicyFor { arn },
            other => other,
        })?;
        self.change_policy(scope, function, revision, move |found| {
            let mut document = found.ok_or(SettingsError::NoPolicy)?;
            remove(&mut document, &id)?;
            Ok((!statements(&document).is_empty()).then_some(document))
        })
        .await
    }

    /// Replaces the whole policy of a function, version or alias.
    pub(crate) async fn put_policy(
        &self,
        scope: Scope,
        function: FunctionRef,
        text: &str,
        revision: Option<String>,
    ) -> Result<Policy, SettingsError> {
        refuse_latest(&function)?;
        self.policy_owner(&scope, &function).await?;
        let document: Value = serde_json::from_str(text).map_err(|_| SettingsError::MalformedPolicy)?;
        if !document.get("Statement").is_some_and(Value::is_array) {
            return Err(SettingsError::MalformedPolicy);
        }
        check_length(&document)?;
        let new = document.clone();
        self.change_policy(scope.clone(), function.clone(), revision, move |_| Ok(Some(new))).await?;
        let revision = self.policy_revision(&scope, &function).await?;
        Ok(Policy { document, revision })
    }

    /// Removes the whole policy of a function, version or alias.
    pub(crate) async fn delete_policy(
        &self,
        scope: Scope,
        function: FunctionRef,
        revision: Option<String>,
    ) -> Result<(), SettingsError> {
        self.policy_owner(&scope, &function).await?;
        self.change_policy(scope, function, revision, |found| {
            found.map(|_| None).ok_or(SettingsError::NoSuchResource)
        })
        .await
    }

    async fn change_policy(
        &self,
        scope: Scope,
        function: FunctionRef,
        revision: Option<String>,
        change: impl FnOnce(Option<Value>) -> Result<Option<Value>, SettingsError> + Send + 'static,
    ) -> Result<(), SettingsError> {
        let owner = owner_or_function(&function);
        self.blocking(move |store| {
            let next = Uuid::new_v4().to_string();
            let changed = store.change_function_policy(&scope, &owner, &next, |found| {
                if revision.is_some_and(|revision| revision != found.revision) {
                    return Err(LambdaError::OtherRevision.into());
                }
                change(found.document)
            });
            Ok::<_, SettingsError>(changed?)
        })
        .await
    }

    /// The revision of a policy, which is that of the function, version or alias.
    async fn policy_revision(&self, scope: &Scope, function: &FunctionRef) -> Result<String, SettingsError> {
        let found = match &function.qualifier {
            Some(Qualifier::Alias(alias)) => {
                let alias = self.alias(scope.clone(), function.clone(), alias.clone()).await;
                alias.map(|alias| alias.revision)
            }
            _ => self.function(scope, function).await.map(|record| record.revision),
        };
        found.map_err(|error| match error {
            // AWS names the function that is missing, but no version or alias.
            LambdaError::NoSuchFunction { .. } | LambdaError::NoSuchAlias { .. }
                if function.qualifier.is_some() =>
            {
                SettingsError::NoSuchResource
            }
            other => other.into(),
        })
    }

    /// Whether what shall have a policy is there.
    async fn policy_owner(&self, scope: &Scope, function: &FunctionRef) -> Result<(), SettingsError> {
        self.qualified_function(scope, function).await.map(|_| ())
    }
}

/// Whether an account may have a layer version: its own always, another's by its policy.
pub(super) fn may_read_layer(
    store: &Store,
    caller: &AccountId,
    owner: &Scope,
    name: &LayerName,
    version: u64,
) -> Result<bool, StoreError> {
    if *caller == owner.account {
        return Ok(true);
    }
    let policy = store.layer_policy(owner, name, version)?;
    Ok(policy.is_some_and(|policy| allows_layer(&policy.document, caller)))
}

/// Whether a policy lets an account have a layer version. Nobody here is in an organisation, so a
/// statement with a condition lets nobody in.
fn allows_layer(policy: &Value, account: &AccountId) -> bool {
    let root = format!("arn:aws:iam::{account}:root");
    statements(policy).iter().any(|statement| {
        let principal = &statement["Principal"];
        let named = principal.get("AWS").unwrap_or(principal).as_str();
        statement.get("Condition").is_none()
            && statement["Effect"] == "Allow"
            && named.is_some_and(|named| named == "*" || named == root || named == account.as_str())
    })
}

fn refuse_latest(function: &FunctionRef) -> Result<(), SettingsError> {
    match function.qualifier {
        Some(Qualifier::Latest) => Err(SettingsError::PolicyOfLatest),
        _ => Ok(()),
    }
}

fn layer_version_number(version: i64) -> Result<u64, SettingsError> {
    match u64::try_from(version) {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(LambdaError::LayerVersionBelowOne.into()),
    }
}

fn layer_version_arn(scope: &Scope, name: &LayerName, version: u64) -> String {
    format!("arn:aws:lambda:{}:{}:layer:{name}:{version}", scope.region, scope.account)
}

fn layer_gone(error: ChangeError<SettingsError>, arn: String) -> SettingsError {
    match error {
        ChangeError::NoSuchFunction => SettingsError::NoSuchLayerVersionArn { arn },
        other => other.into(),
    }
}

fn check_layer_revision(
    found: Option<&LayerPolicyRecord>,
    revision: Option<&str>,
) -> Result<(), SettingsError> {
    match (revision, found) {
        (None, _) => Ok(()),
        (Some(revision), Some(found)) if found.revision == revision => Ok(()),
        (Some(_), _) => Err(SettingsError::OtherLayerRevision),
    }
}

fn layer_statement(arn: &str, permission: &LayerPermission) -> Value {
    let mut statement = json!({
        "Sid": permission.id,
        "Effect": "Allow",
        "Principal": account_or(&permission.principal).unwrap_or_else(|| permission.principal.as_str().into()),
        "Action": permission.action,
        "Resource": arn,
    });
    if let Some(organization) = &permission.organization {
        statement["Condition"] = json!({ "StringEquals": { "aws:PrincipalOrgID": organization } });
    }
    statement
}

/// An account or an ARN as a principal.
fn account_or(principal: &str) -> Option<Value> {
    if principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(json!({ "AWS": format!("arn:aws:iam::{principal}:root") }))
    } else if principal.starts_with("arn:") {
        Some(json!({ "AWS": principal }))
    } else {
        None
    }
}

/// The ends of names of services that may be principals.
const SERVICES: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com", ".amazonaws.internal"];

/// The statement, its members in AWS's order.
fn function_statement(arn: &str, permission: &FunctionPermission) -> Result<Value, SettingsError> {
    let principal = &permission.principal;
    let principal = match account_or(principal) {
        Some(account) => account,
        None if principal == "*" => "*".into(),
        None if SERVICES.iter().any(|end| principal.ends_with(end)) => json!({ "Service": principal }),
        None => return Err(SettingsError::BadPrincipal),
    };
    if permission.url_auth.is_some() && permission.action != "lambda:InvokeFunctionUrl" {
        return Err(SettingsError::NotTheActionOfUrls);
    }
    let mut equals = Map::new();
    let mut equal = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            equals.insert(key.to_owned(), value.as_str().into());
        }
    };
    equal("AWS:SourceAccount", &permission.source_account);
    equal("lambda:FunctionUrlAuthType", &permission.url_auth);
    equal("aws:PrincipalOrgID", &permission.organization);
    equal("lambda:EventSourceToken", &permission.event_source_token);
    let mut condition = Map::new();
    if !equals.is_empty() {
        condition.insert("StringEquals".to_owned(), equals.into());
    }
    if let Some(via_url) = permission.via_url {
        condition.insert("Bool".to_owned(), json!({ "lambda:InvokedViaFunctionUrl": via_url.to_string() }));
    }
    if let Some(source) = &permission.source_arn {
        condition.insert("ArnLike".to_owned(), json!({ "AWS:SourceArn": source }));
    }
    let mut statement = json!({
        "Sid": permission.id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": permission.action,
        "Resource": arn,
    });
    if !condition.is_empty() {
        statement["Condition"] = condition.into();
    }
    Ok(statement)
}

fn empty_policy() -> Value {
    json!({ "Version": "2012-10-17", "Id": "default", "Statement": [] })
}

fn statements(document: &Value) -> &[Value] {
    document["Statement"].as_array().map_or(&[], Vec::as_slice)
}

fn append(document: &mut Value, id: &str, statement: Value) -> Result<(), SettingsError> {
    if statements(document).iter().any(|statement| statement["Sid"] == id) {
        return Err(SettingsError::StatementExists { id: id.to_owned() });
    }
    if let Some(list) = document["Statement"].as_array_mut() {
        list.push(statement);
    }
    check_length(document)
}

fn check_length(document: &Value) -> Result<(), SettingsError> {
    let bytes = document.to_string().len();
    if bytes > POLICY_BYTES { Err(SettingsError::PolicyTooLong { bytes }) } else { Ok(()) }
}

fn remove(document: &mut Value, id: &str) -> Result<(), SettingsError> {
    let before = statements(document).len();
    if let Some(list) = document["Statement"].as_array_mut() {
        list.retain(|statement| statement["Sid"] != id);
    }
    if statements(document).len() == before {
        return Err(SettingsError::NoSuchStatement { id: id.to_owned() });
    }
    Ok(())
}
