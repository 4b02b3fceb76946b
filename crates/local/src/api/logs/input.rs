//! What requests to CloudWatch Logs hold, and the constraints on it in AWS's words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::{AwsError, constraints::Constraints};
use crate::store::Scope;

/// The members of every operation that is built.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Input {
    pub(super) log_group_name: Option<String>,
    pub(super) log_group_identifier: Option<String>,
    pub(super) resource_arn: Option<String>,
    /// A map when tags are set, a list when they are taken away.
    pub(super) tags: Value,
    pub(super) tag_keys: Option<Vec<String>>,
    pub(super) log_stream_name: Option<String>,
    pub(super) log_group_name_prefix: Option<String>,
    pub(super) log_group_name_pattern: Option<String>,
    pub(super) log_group_class: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) deletion_protection_enabled: bool,
    pub(super) log_stream_name_prefix: Option<String>,
    pub(super) log_stream_names: Vec<String>,
    pub(super) order_by: Option<String>,
    pub(super) descending: bool,
    pub(super) log_events: Option<Vec<InputEvent>>,
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) limit: Option<i64>,
    pub(super) next_token: Option<String>,
    pub(super) start_from_head: bool,
    pub(super) filter_pattern: Option<String>,
    pub(super) retention_in_days: Option<i64>,
}

/// An event of PutLogEvents.
#[derive(Deserialize)]
pub(super) struct InputEvent {
    pub(super) timestamp: i64,
    pub(super) message: String,
}

/// A request that breaks a rule of the API.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::user(400, "InvalidParameterException", message)
}

/// The violations as an error.
pub(super) fn checked(constraints: Constraints) -> Result<(), AwsError> {
    constraints.message().map_or(Ok(()), |message| Err(invalid(message)))
}

const GROUP_PATTERN: &str = r"[\.\-_/#A-Za-z0-9]+";
const STREAM_PATTERN: &str = "[^:*]*";

fn is_group_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte))
}

fn group_rules(constraints: &mut Constraints, member: &str, name: &str) {
    constraints.length(member, name, 1..=512);
    constraints.pattern(member, name, is_group_name(name), GROUP_PATTERN);
}

fn stream_rules(constraints: &mut Constraints, member: &str, name: &str) {
    constraints.length(member, name, 1..=512);
    constraints.pattern(member, name, !name.contains([':', '*']), STREAM_PATTERN);
}

impl Input {
    /// Reads a body; an empty one has no members.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, AwsError> {
        let bytes = if bytes.is_empty() { b"{}" } else { bytes };
        let mut members: Value = serde_json::from_slice(bytes)
            .map_err(|error| AwsError::user(400, "SerializationException", error.to_string()))?;
        if let Some(members) = members.as_object_mut() {
            // A member that is null is one that is not there.
            members.retain(|_, value| !value.is_null());
        }
        serde_json::from_value(members)
            .map_err(|error| AwsError::user(400, "SerializationException", error.to_string()))
    }

    /// The group's name, by itself.
    pub(super) fn group(&self) -> Result<String, AwsError> {
        let mut constraints = Constraints::default();
        constraints.present("logGroupName", self.log_group_name.is_some());
        if let Some(name) = &self.log_group_name {
            group_rules(&mut constraints, "logGroupName", name);
        }
        checked(constraints)?;
        Ok(self.log_group_name.clone().unwrap_or_default())
    }

    /// The group's name, by itself or in an ARN that must be of this account and region.
    pub(super) fn group_or_identifier(&self, scope: &Scope) -> Result<String, AwsError> {
        match (&self.log_group_name, &self.log_group_identifier) {
            (Some(_), Some(_)) => {
                Err(invalid("LogGroupName and LogGroupIdentifier cannot both be specified."))
            }
            (None, Some(identifier)) => named_by(scope, identifier),
            _ => self.group(),
        }
    }

    /// The group that a tagged ARN names.
    pub(super) fn resource(&self, scope: &Scope) -> Result<String, AwsError> {
        let mut constraints = Constraints::default();
        constraints.present("resourceArn", self.resource_arn.is_some());
        checked(constraints)?;
        let arn = self.resource_arn.as_deref().unwrap_or_default();
        if !arn.starts_with("arn:") {
            return Err(invalid(format!("The specified resource ARN is not valid: {arn}")));
        }
        named_by(scope, arn)
    }

    /// The stream's name.
    pub(super) fn stream(&self) -> Result<String, AwsError> {
        let mut constraints = Constraints::default();
        constraints.present("logStreamName", self.log_stream_name.is_some());
        if let Some(name) = &self.log_stream_name {
            stream_rules(&mut constraints, "logStreamName", name);
        }
        checked(constraints)?;
        Ok(self.log_stream_name.clone().unwrap_or_default())
    }

    /// How many items an answer may have.
    pub(super) fn limit(&self, usual: i64, most: i64) -> Result<usize, AwsError> {
        let limit = self.limit.unwrap_or(usual);
        let mut constraints = Constraints::default();
        constraints.number("limit", limit, 1..=most);
        checked(constraints)?;
        Ok(usize::try_from(limit).unwrap_or(1))
    }

    /// Tags to set.
    pub(super) fn tag_map(&self) -> Result<BTreeMap<String, String>, AwsError> {
        let tags: BTreeMap<String, String> = match &self.tags {
            Value::Null => BTreeMap::new(),
            tags => serde_json::from_value(tags.clone())
                .map_err(|error| AwsError::user(400, "SerializationException", error.to_string()))?,
        };
        let mut constraints = Constraints::default();
        for (key, value) in &tags {
            constraints.length("tags", key, 1..=128);
            constraints.length(&format!("tags.{key}.member"), value, 0..=256);
        }
        checked(constraints)?;
        Ok(tags)
    }

    /// Names of tags to take away.
    pub(super) fn tag_names(&self) -> Result<Vec<String>, AwsError> {
        match (&self.tag_keys, &self.tags) {
            (Some(keys), _) => Ok(keys.clone()),
            (None, tags) => serde_json::from_value(tags.clone())
                .map_err(|error| AwsError::user(400, "SerializationException", error.to_string())),
        }
    }
}

/// The group in an ARN, perhaps with `:*` or a stream behind, or a plain name.
fn named_by(scope: &Scope, identifier: &str) -> Result<String, AwsError> {
    let missing = || AwsError::from(crate::service::LogsError::NoSuchGroup);
    let name = match identifier.split_once(":log-group:") {
        None if identifier.starts_with("arn:") => return Err(missing()),
        None => identifier,
        Some((before, name)) => {
            // Groups of other accounts and regions are not ours to read.
            if before != format!("arn:aws:logs:{}:{}", scope.region, scope.account) {
                return Err(missing());
            }
            name.split(':').next().unwrap_or(name)
        }
    };
    let mut constraints = Constraints::default();
    group_rules(&mut constraints, "logGroupIdentifier", name);
    checked(constraints)?;
    Ok(name.to_owned())
}
