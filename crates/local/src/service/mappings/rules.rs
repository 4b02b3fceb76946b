//! What the members of an event source mapping may be, beyond the API model: by source, and with
//! each other. Fills in what AWS answers for members that were not given.

use serde_json::{Map, Value, json};

use super::{MappingFault, source::Source};

/// Members of a request that are kept as they are answered.
const KEPT: [&str; 24] = [
    "StartingPosition",
    "StartingPositionTimestamp",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "FilterCriteria",
    "KMSKeyArn",
    "MetricsConfig",
    "LoggingConfig",
    "ScalingConfig",
    "DestinationConfig",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "TumblingWindowInSeconds",
    "FunctionResponseTypes",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
];

/// Checks a request's members and puts them over `members`, those of the mapping so far.
pub(super) fn apply(
    source: Source,
    request: &Map<String, Value>,
    members: &mut Map<String, Value>,
) -> Result<(), MappingFault> {
    for member in KEPT {
        let Some(value) = request.get(member) else { continue };
        if !source.takes(member) {
            return Err(MappingFault::Unsupported { member });
        }
        if member == "FilterCriteria" {
            check_filters(value)?;
        }
        if member == "DestinationConfig" && value.get("OnSuccess").is_some() {
            return Err(MappingFault::Unsupported { member });
        }
        match answered(source, member, value)? {
            Some(value) => members.insert(member.to_owned(), value),
            None => members.shift_remove(member),
        };
    }
    check_together(source, members)
}

/// What AWS answers for members that a new mapping was not given.
pub(super) fn defaults(source: Source, uuid: &str) -> Map<String, Value> {
    let mut members = Map::new();
    let mut set = |member: &str, value: Value| {
        members.insert(member.to_owned(), value);
    };
    match source {
        Source::Sqs { .. } => {
            set("BatchSize", 10.into());
            set("MaximumBatchingWindowInSeconds", 0.into());
            set("FunctionResponseTypes", json!([]));
        }
        Source::Kinesis | Source::DynamoDb => {
            set("BatchSize", 100.into());
            set("MaximumBatchingWindowInSeconds", 0.into());
            set("ParallelizationFactor", 1.into());
            set("DestinationConfig", json!({ "OnFailure": {} }));
            set("MaximumRecordAgeInSeconds", (-1).into());
            set("BisectBatchOnFunctionError", false.into());
            set("MaximumRetryAttempts", (-1).into());
            set("TumblingWindowInSeconds", 0.into());
            set("FunctionResponseTypes", json!([]));
        }
        // "the default batching window is 500 ms", which the member's whole seconds cannot say.
        Source::Msk => {
            set("BatchSize", 100.into());
            set("AmazonManagedKafkaEventSourceConfig", json!({ "ConsumerGroupId": uuid }));
        }
        Source::SelfManagedKafka => {
            set("BatchSize", 100.into());
            set("SelfManagedKafkaEventSourceConfig", json!({ "ConsumerGroupId": uuid }));
        }
        Source::Mq | Source::DocumentDb => set("BatchSize", 100.into()),
    }
    members
}

/// Whether a new mapping has what its source needs, and begins to read where it can.
pub(super) fn check_new(
    source: Source,
    arn: Option<&str>,
    request: &Map<String, Value>,
    now: i64,
) -> Result<(), MappingFault> {
    let position = request.get("StartingPosition").and_then(Value::as_str);
    let time = request.get("StartingPositionTimestamp");
    let shared = |member: &str| {
        let config = request.get("SelfManagedKafkaEventSourceConfig")?;
        config.get(member)?.as_str()
    };
    // A share group has no position of its own.
    let queued = shared("ConsumptionMode") == Some("Queue");
    if !source.takes_position() || queued {
        if position.is_some() || time.is_some() {
            return Err(MappingFault::PositionNotAllowed { service: source.service() });
        }
    } else {
        check_position(source, arn, position, time, now)?;
    }
    for member in source.needs() {
        if !request.contains_key(*member) {
            return Err(MappingFault::Missing { member });
        }
    }
    Ok(())
}

fn check_position(
    source: Source,
    arn: Option<&str>,
    position: Option<&str>,
    time: Option<&Value>,
    now: i64,
) -> Result<(), MappingFault> {
    let Some(position) = position else {
        return if source.needs_position() { Err(MappingFault::NoPosition) } else { Ok(()) };
    };
    if position != "AT_TIMESTAMP" {
        return if time.is_some() { Err(MappingFault::TimeWithoutPosition) } else { Ok(()) };
    }
    if source == Source::DynamoDb {
        return Err(MappingFault::UnsupportedPosition { arn: arn.unwrap_or_default().to_owned() });
    }
    match time.and_then(Value::as_f64) {
        None => Err(MappingFault::NoTime),
        Some(seconds) if seconds < 0.0 => Err(MappingFault::NegativeTime),
        Some(seconds) if seconds * 1000.0 > now as f64 => Err(MappingFault::FutureTime),
        Some(_) => Ok(()),
    }
}

/// A member as answers have it; none when the value takes it away.
fn answered(source: Source, member: &str, value: &Value) -> Result<Option<Value>, MappingFault> {
    let empty = value.as_object().is_some_and(Map::is_empty);
    Ok(match member {
        "FilterCriteria" => {
            let none = value["Filters"].as_array().is_none_or(Vec::is_empty);
            (!none).then(|| value.clone())
        }
        "KMSKeyArn" => (value.as_str() != Some("")).then(|| value.clone()),
        "ScalingConfig" | "LoggingConfig" | "MetricsConfig" => (!empty).then(|| value.clone()),
        "ProvisionedPollerConfig" if empty => None,
        "ProvisionedPollerConfig" => Some(pollers(source, value)?),
        "DestinationConfig" => {
            let destination = value["OnFailure"]["Destination"].as_str().filter(|arn| !arn.is_empty());
            Some(match destination {
                Some(arn) => json!({ "OnFailure": { "Destination": arn } }),
                None => json!({ "OnFailure": {} }),
            })
        }
        _ => Some(value.clone()),
    })
}

/// The bounds of pollers (documentation of `ProvisionedPollerConfig`), with their defaults.
fn pollers(source: Source, value: &Value) -> Result<Value, MappingFault> {
    let (least, most) = if matches!(source, Source::Sqs { .. }) { (2, 10_000) } else { (1, 2_000) };
    let number = |member: &str, default: i64| value[member].as_i64().unwrap_or(default);
    let minimum = number("MinimumPollers", least);
    let maximum = number("MaximumPollers", 200.max(minimum));
    if minimum < least || maximum < minimum || maximum > most {
        return Err(MappingFault::Pollers { least, most });
    }
    let mut answer = json!({ "MinimumPollers": minimum, "MaximumPollers": maximum });
    if let Some(group) = value.get("PollerGroupName") {
        if !source.is_kafka() {
            return Err(MappingFault::Unsupported { member: "PollerGroupName" });
        }
        answer["PollerGroupName"] = group.clone();
    }
    Ok(answer)
}

/// A pattern is a JSON object whose leaves are lists of what a field may be.
fn check_filters(criteria: &Value) -> Result<(), MappingFault> {
    fn fits(pattern: &Value) -> bool {
        match pattern {
            Value::Object(members) => !members.is_empty() && members.values().all(fits),
            Value::Array(choices) => choices.iter().all(|choice| !choice.is_array()) && !choices.is_empty(),
            _ => false,
        }
    }
    for filter in criteria["Filters"].as_array().into_iter().flatten() {
        let pattern: Option<Value> =
            filter["Pattern"].as_str().and_then(|text| serde_json::from_str(text).ok());
        if !pattern
            .is_some_and(|pattern| pattern.is_object() && (pattern == json!({}) || or_fits(&pattern, fits)))
        {
            return Err(MappingFault::BadPattern);
        }
    }
    Ok(())
}

/// `$or` holds a list of patterns instead of choices.
fn or_fits(pattern: &Value, fits: fn(&Value) -> bool) -> bool {
    pattern.as_object().is_some_and(|members| {
        members.iter().all(|(name, value)| match value {
            Value::Array(patterns) if name == "$or" => patterns.iter().all(|pattern| or_fits(pattern, fits)),
            Value::Object(_) => or_fits(value, fits),
            value => fits(value),
        })
    })
}

fn check_together(source: Source, members: &Map<String, Value>) -> Result<(), MappingFault> {
    let number = |member: &str| members.get(member).and_then(Value::as_i64);
    let batch = number("BatchSize").unwrap_or_default();
    let window = number("MaximumBatchingWindowInSeconds").unwrap_or_default();
    if let Source::Sqs { fifo } = source {
        if fifo && batch > 10 {
            return Err(MappingFault::BatchOfFifo);
        }
        if fifo && window > 0 {
            return Err(MappingFault::WindowOfFifo);
        }
        if batch > 10 && window == 0 {
            return Err(MappingFault::BatchNeedsWindow);
        }
        if members.contains_key("ScalingConfig") && members.contains_key("ProvisionedPollerConfig") {
            return Err(MappingFault::PollersAndConcurrency);
        }
    }
    // "Although values less than 60 and greater than -1 fall within the parameter's absolute
    // range, they are not allowed."
    if number("MaximumRecordAgeInSeconds").is_some_and(|age| (0..60).contains(&age)) {
        return Err(MappingFault::RecordAge);
    }
    Ok(())
}
