//! Event source mappings: what a function is to read from.
//!
//! Owns their rules and states. None of the services that a mapping reads from runs here, so a
//! mapping is checked, kept and given back, and never reads.

mod rules;
mod source;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

pub(crate) use source::Source;

use super::{Cloud, FunctionRef, LambdaError, SettingsError, now, settings::Page, tags::MOST_TAGS};
use crate::store::{MappingAction, MappingChangeError, MappingRecord, Scope};

/// How long a mapping takes to get from one state to the next, in milliseconds. AWS takes seconds
/// to a minute; here only the order of the states matters.
const SETTLING: i64 = 250;

/// The most mappings of a page (FACTS.md §1).
const PAGE: usize = 100;

/// Why an event source mapping is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MappingFault {
    /// Neither an ARN of a known shape nor a self-managed source.
    #[error("not an event source")]
    UnrecognizedSource,
    /// The function is not there.
    #[error("no such function")]
    NoFunction,
    /// The source needs a member.
    #[error("`{member}` is missing")]
    Missing { member: &'static str },
    /// The source does not take a member.
    #[error("`{member}` is not supported")]
    Unsupported { member: &'static str },
    /// Where to begin is not said.
    #[error("no starting position")]
    NoPosition,
    /// The source has no positions.
    #[error("no positions in {service}")]
    PositionNotAllowed { service: &'static str },
    /// The source has no position at a time.
    #[error("not a position of `{arn}`")]
    UnsupportedPosition { arn: String },
    /// A time with another position than the one at a time.
    #[error("a time without its position")]
    TimeWithoutPosition,
    /// The position at a time without a time.
    #[error("no time")]
    NoTime,
    /// A time before 1970.
    #[error("a negative time")]
    NegativeTime,
    /// A time to come.
    #[error("a time to come")]
    FutureTime,
    /// More than ten messages need a window to gather them in.
    #[error("a batch needs a window")]
    BatchNeedsWindow,
    /// More than ten messages of a FIFO queue.
    #[error("a batch of a FIFO queue is too large")]
    BatchOfFifo,
    /// A window for a FIFO queue.
    #[error("no window for a FIFO queue")]
    WindowOfFifo,
    /// A filter that is no pattern.
    #[error("not a filter pattern")]
    BadPattern,
    /// An age that is neither none nor a minute or more.
    #[error("not an age of records")]
    RecordAge,
    /// Pollers outside their bounds.
    #[error("pollers are from {least} to {most}")]
    Pollers { least: i64, most: i64 },
    /// Two ways to bound the same thing.
    #[error("both pollers and concurrency")]
    PollersAndConcurrency,
    /// The function reads from the source already.
    #[error("mapping `{}` exists", .0.uuid)]
    Exists(Box<Duplicate>),
    /// The mapping is on its way from one state to another.
    #[error("the mapping is in use")]
    InUse { deleting: bool },
}

/// A mapping that would read for a function what another one reads for it already.
#[derive(Debug)]
pub(crate) struct Duplicate {
    /// What it would read from.
    pub(crate) source: Source,
    /// The ARN, or the addresses of a self-managed source.
    pub(crate) source_name: String,
    /// The function's name.
    pub(crate) function: String,
    /// The function's ARN.
    pub(crate) function_arn: String,
    /// Kafka's topics.
    pub(crate) topics: String,
    /// The mapping there is.
    pub(crate) uuid: String,
}

/// A mapping with the state it is in.
pub(crate) struct Mapping {
    /// The mapping.
    pub(crate) record: MappingRecord,
    /// What it reads from.
    pub(crate) source: Source,
    /// `Creating`, `Enabled`, …
    pub(crate) state: &'static str,
    /// Whether the state is one that lasts.
    pub(crate) settled: bool,
    /// As given.
    pub(crate) tags: BTreeMap<String, String>,
}

/// What a request says of a mapping.
pub(crate) struct MappingRequest {
    /// The function, when it is named.
    pub(crate) function: Option<FunctionRef>,
    /// Whether it shall read.
    pub(crate) enabled: Option<bool>,
    /// The other members.
    pub(crate) members: Map<String, Value>,
}

impl Cloud {
    /// Makes a mapping.
    pub(crate) async fn create_mapping(
        &self,
        scope: Scope,
        request: MappingRequest,
        tags: BTreeMap<String, String>,
    ) -> Result<Mapping, SettingsError> {
        let arn = request.members.get("EventSourceArn").and_then(Value::as_str).map(str::to_owned);
        let source = match (&arn, request.members.contains_key("SelfManagedEventSource")) {
            (Some(arn), false) => Source::of_arn(arn),
            (None, true) => Some(Source::SelfManagedKafka),
            _ => None,
        };
        let source = source.ok_or(MappingFault::UnrecognizedSource)?;
        rules::check_new(source, arn.as_deref(), &request.members, now())?;
        let uuid = Uuid::new_v4().to_string();
        let mut members = rules::defaults(source, &uuid);
        rules::apply(source, &request.members, &mut members)?;
        complete(source, &uuid, &mut members);
        let function = request.function.ok_or(MappingFault::NoFunction)?;
        self.function(&scope, &function).await.map_err(no_function)?;
        if tags.len() > MOST_TAGS {
            return Err(LambdaError::TooManyTags.into());
        }
        let record = MappingRecord {
            uuid,
            function_arn: function.arn(&scope),
            source: arn,
            enabled: request.enabled.unwrap_or(true),
            action: MappingAction::Creating,
            changed: now(),
            members,
            tags,
        };
        self.forget_deleted_mappings(&scope).await?;
        self.blocking(move |store| {
            store.create_mapping(&scope, &record, |there| {
                match there.iter().find(|other| same_source(other, &record)) {
                    Some(other) => {
                        let fault = exists(source, &record, other, function.name.as_str());
                        Err(SettingsError::from(fault))
                    }
                    None => Ok(()),
                }
            })?;
            Ok(Mapping::changed(record))
        })
        .await
    }

    /// One mapping.
    pub(crate) async fn mapping(&self, scope: Scope, uuid: String) -> Result<Mapping, SettingsError> {
        let found = self.blocking(move |store| store.mapping(&scope, &uuid)).await?;
        let now = now();
        let found = found.filter(|record| !is_gone(record, now));
        found.map(|record| Mapping::at(record, now)).ok_or(SettingsError::NoSuchResource)
    }

    /// Mappings by UUID, of one function or source when those are given.
    pub(crate) async fn mappings(
        &self,
        scope: Scope,
        function: Option<FunctionRef>,
        source: Option<String>,
        marker: Option<String>,
        limit: Option<usize>,
    ) -> Result<Page<Mapping>, SettingsError> {
        self.forget_deleted_mappings(&scope).await?;
        let function = function.map(|function| function.arn(&scope));
        let limit = limit.unwrap_or(PAGE).min(PAGE);
        let all = self.blocking(move |store| store.mappings(&scope)).await?;
        let now = now();
        let found: Vec<_> = all
            .into_iter()
            .filter(|record| !is_gone(record, now))
            .filter(|record| function.as_ref().is_none_or(|arn| record.function_arn == *arn))
            .filter(|record| source.is_none() || record.source == source)
            .filter(|record| marker.as_ref().is_none_or(|marker| record.uuid > *marker))
            .take(limit + 1)
            .map(|record| Mapping::at(record, now))
            .collect();
        Ok(Page::of(found, limit, |last| last.record.uuid.clone()))
    }

    /// Changes a mapping that is at rest.
    pub(crate) async fn update_mapping(
        &self,
        scope: Scope,
        uuid: String,
        request: MappingRequest,
    ) -> Result<Mapping, SettingsError> {
        let found = self.mapping(scope.clone(), uuid.clone()).await?;
        let function_arn = match &request.function {
            None => None,
            Some(function) => {
                self.function(&scope, function).await.map_err(no_function)?;
                Some(function.arn(&scope))
            }
        };
        self.change_mapping(scope, uuid, move |record| {
            check_at_rest(record, false, now())?;
            let mut members = record.members.clone();
            rules::apply(found.source, &request.members, &mut members)?;
            record.members = members;
            record.action = match request.enabled {
                Some(true) if !record.enabled => MappingAction::Enabling,
                Some(false) if record.enabled => MappingAction::Disabling,
                _ => MappingAction::Updating,
            };
            record.enabled = request.enabled.unwrap_or(record.enabled);
            record.function_arn = function_arn.unwrap_or_else(|| record.function_arn.clone());
            record.changed = now();
            Ok(())
        })
        .await
    }

    /// Begins to delete a mapping that is at rest.
    pub(crate) async fn delete_mapping(&self, scope: Scope, uuid: String) -> Result<Mapping, SettingsError> {
        self.change_mapping(scope, uuid, |record| {
            check_at_rest(record, true, now())?;
            record.action = MappingAction::Deleting;
            record.changed = now();
            Ok(())
        })
        .await
    }

    /// Changes a mapping's tags, whatever state it is in.
    pub(super) async fn tag_mapping(
        &self,
        scope: Scope,
        uuid: String,
        change: impl FnOnce(&mut MappingRecord) -> Result<(), SettingsError> + Send + 'static,
    ) -> Result<(), SettingsError> {
        self.change_mapping(scope, uuid, change).await.map(|_| ())
    }

    async fn change_mapping(
        &self,
        scope: Scope,
        uuid: String,
        change: impl FnOnce(&mut MappingRecord) -> Result<(), SettingsError> + Send + 'static,
    ) -> Result<Mapping, SettingsError> {
        self.blocking(move |store| {
            let changed = store.change_mapping(&scope, &uuid, |record| {
                if is_gone(record, now()) { Err(SettingsError::NoSuchResource) } else { change(record) }
            });
            match changed {
                Ok(record) => Ok(Mapping::changed(record)),
                Err(MappingChangeError::NoSuchMapping) => Err(SettingsError::NoSuchResource),
                Err(MappingChangeError::Refused(refusal)) => Err(refusal),
                Err(MappingChangeError::Store(error)) => Err(error.into()),
            }
        })
        .await
    }

    async fn forget_deleted_mappings(&self, scope: &Scope) -> Result<(), SettingsError> {
        let scope = scope.clone();
        self.blocking(move |store| {
            let mut all = store.mappings(&scope)?;
            let now = now();
            all.retain(|record| is_gone(record, now));
            let gone: Vec<_> = all.into_iter().map(|record| record.uuid).collect();
            if gone.is_empty() { Ok(()) } else { Ok(store.forget_mappings(&scope, &gone)?) }
        })
        .await
    }
}

impl Mapping {
    /// Right after a change.
    fn changed(record: MappingRecord) -> Self {
        let then = record.changed;
        Self::at(record, then)
    }

    /// At a time.
    fn at(record: MappingRecord, now: i64) -> Self {
        let settled = is_at_rest(&record, now);
        let state = match (settled, record.action) {
            (true, _) if record.enabled => "Enabled",
            (true, _) => "Disabled",
            (false, MappingAction::Creating) => "Creating",
            (false, MappingAction::Enabling) => "Enabling",
            (false, MappingAction::Disabling) => "Disabling",
            (false, MappingAction::Updating) => "Updating",
            (false, MappingAction::Deleting) => "Deleting",
        };
        let source = record.source.as_deref().and_then(Source::of_arn).unwrap_or(Source::SelfManagedKafka);
        Self { source, state, settled, tags: record.tags.clone(), record }
    }
}

/// Whether a change is long ago; also when the clock was set back since.
fn is_past(record: &MappingRecord, now: i64) -> bool {
    !(0..SETTLING).contains(&(now - record.changed))
}

fn is_at_rest(record: &MappingRecord, now: i64) -> bool {
    record.action != MappingAction::Deleting && is_past(record, now)
}

fn is_gone(record: &MappingRecord, now: i64) -> bool {
    record.action == MappingAction::Deleting && is_past(record, now)
}

fn check_at_rest(record: &MappingRecord, deleting: bool, now: i64) -> Result<(), MappingFault> {
    if is_at_rest(record, now) { Ok(()) } else { Err(MappingFault::InUse { deleting }) }
}

/// A consumer group and the form of documents that AWS chooses where the request did not.
fn complete(source: Source, uuid: &str, members: &mut Map<String, Value>) {
    let (config, member, value) = match source {
        Source::Msk => ("AmazonManagedKafkaEventSourceConfig", "ConsumerGroupId", uuid),
        Source::SelfManagedKafka => ("SelfManagedKafkaEventSourceConfig", "ConsumerGroupId", uuid),
        Source::DocumentDb => ("DocumentDBEventSourceConfig", "FullDocument", "Default"),
        Source::Sqs { .. } | Source::Kinesis | Source::DynamoDb | Source::Mq => return,
    };
    if let Some(config) = members.get_mut(config).and_then(Value::as_object_mut) {
        config.entry(member).or_insert_with(|| value.into());
    }
}

fn no_function(error: LambdaError) -> SettingsError {
    match error {
        LambdaError::NoSuchFunction { .. } => MappingFault::NoFunction.into(),
        other => other.into(),
    }
}

/// Whether two mappings would read the same for the same function.
fn same_source(there: &MappingRecord, new: &MappingRecord) -> bool {
    let same = |member: &str| there.members.get(member) == new.members.get(member);
    !is_gone(there, new.changed)
        && there.function_arn == new.function_arn
        && there.source == new.source
        && same("Topics")
        && same("Queues")
        && same("SelfManagedEventSource")
}

fn exists(source: Source, new: &MappingRecord, there: &MappingRecord, function: &str) -> MappingFault {
    let texts = |list: Option<&Value>| {
        let list = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let addresses =
        new.members.get("SelfManagedEventSource").map(|own| &own["Endpoints"]["KAFKA_BOOTSTRAP_SERVERS"]);
    MappingFault::Exists(Box::new(Duplicate {
        source,
        source_name: new.source.clone().unwrap_or_else(|| texts(addresses)),
        function: function.to_owned(),
        function_arn: new.function_arn.clone(),
        topics: texts(new.members.get("Topics")),
        uuid: there.uuid.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(action: MappingAction, enabled: bool, age: i64) -> String {
        let record = MappingRecord {
            uuid: String::new(),
            function_arn: String::new(),
            source: None,
            enabled,
            action,
            changed: 1_000,
            members: Map::new(),
            tags: BTreeMap::new(),
        };
        let now = record.changed + age;
        let gone = if is_gone(&record, now) { " gone" } else { "" };
        let in_use = if check_at_rest(&record, false, now).is_err() { " in use" } else { "" };
        format!("{}{gone}{in_use}", Mapping::at(record, now).state)
    }

    #[test]
    fn a_mapping_is_in_use_until_it_has_settled() {
        insta::assert_snapshot!(check(MappingAction::Creating, true, 0), @"Creating in use");
        insta::assert_snapshot!(check(MappingAction::Creating, true, SETTLING), @"Enabled");
        insta::assert_snapshot!(check(MappingAction::Creating, false, SETTLING), @"Disabled");
        insta::assert_snapshot!(check(MappingAction::Enabling, true, 1), @"Enabling in use");
        insta::assert_snapshot!(check(MappingAction::Disabling, false, 1), @"Disabling in use");
        insta::assert_snapshot!(check(MappingAction::Updating, false, 1), @"Updating in use");
        insta::assert_snapshot!(check(MappingAction::Deleting, true, 1), @"Deleting in use");
        insta::assert_snapshot!(check(MappingAction::Deleting, true, SETTLING), @"Deleting gone in use");
        // A clock that is set back does not hold a mapping up.
        insta::assert_snapshot!(check(MappingAction::Updating, true, -1), @"Enabled");
    }
}
