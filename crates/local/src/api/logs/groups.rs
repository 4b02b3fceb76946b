//! Log groups and streams: making, listing, tagging, keeping, deleting.

use serde_json::{Map, Value, json};

use super::{
    super::{AwsError, constraints::Constraints},
    Call, Outcome,
    input::{checked, invalid},
    with_token,
};
use crate::{
    service::RETENTION_DAYS,
    store::{LogGroupRecord, LogGroupSettings, LogStreamQuery, LogStreamRecord, Scope},
};

const CLASSES: [&str; 3] = ["STANDARD", "INFREQUENT_ACCESS", "DELIVERY"];

pub(super) async fn create(call: Call<'_>) -> Outcome {
    let name = call.input.group()?;
    if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws/")) {
        return Err(invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    if let Some(class) = call.input.log_group_class.as_deref().filter(|class| !CLASSES.contains(class)) {
        let mut constraints = Constraints::default();
        constraints.add(
            "logGroupClass",
            class,
            "Member must satisfy enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY]",
        );
        checked(constraints)?;
    }
    if call.input.deletion_protection_enabled {
        let message = "The local cloud does not implement deletion protection of log groups yet";
        return Err(AwsError::not_built(message));
    }
    let settings = LogGroupSettings {
        class: call.input.log_group_class.clone(),
        kms_key: call.input.kms_key_id.clone(),
    };
    let tags = call.input.tag_map()?;
    call.cloud().create_log_group(call.scope.clone(), name, tags, settings).await?;
    Ok(None)
}

pub(super) async fn describe(call: Call<'_>) -> Outcome {
    let input = &call.input;
    let limit = input.limit(50, 50)?;
    let prefix = input.log_group_name_prefix.clone().unwrap_or_default();
    let pattern = input.log_group_name_pattern.clone().unwrap_or_default();
    if !prefix.is_empty() && !pattern.is_empty() {
        return Err(invalid("You can't specify both logGroupNamePrefix and logGroupNamePattern"));
    }
    let token = input.next_token.clone();
    let (groups, next) = call.cloud().log_groups(call.scope.clone(), prefix, pattern, token, limit).await?;
    let groups: Vec<_> = groups.iter().map(|record| group(&call.scope, record)).collect();
    Ok(Some(with_token(json!({ "logGroups": groups }), next)))
}

fn group(scope: &Scope, record: &LogGroupRecord) -> Value {
    let arn = format!("arn:aws:logs:{}:{}:log-group:{}", scope.region, scope.account, record.name);
    let mut answer = json!({
        "logGroupName": record.name,
        "creationTime": record.created,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "storedBytes": record.stored_bytes,
        "logGroupClass": record.settings.class.as_deref().unwrap_or(CLASSES[0]),
        "logGroupArn": arn,
    });
    if let Some(days) = record.retention {
        answer["retentionInDays"] = days.into();
    }
    if let Some(key) = &record.settings.kms_key {
        answer["kmsKeyId"] = key.clone().into();
    }
    answer
}

pub(super) async fn delete(call: Call<'_>) -> Outcome {
    call.cloud().delete_log_group(call.scope.clone(), call.input.group()?).await?;
    Ok(None)
}

pub(super) async fn put_retention(call: Call<'_>) -> Outcome {
    let name = call.input.group()?;
    let days = call.input.retention_in_days;
    let mut constraints = Constraints::default();
    constraints.present("retentionInDays", days.is_some());
    if let Some(days) = days.filter(|days| !RETENTION_DAYS.contains(days)) {
        let allowed: Vec<_> = RETENTION_DAYS.iter().map(ToString::to_string).collect();
        let rule = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
        constraints.add("retentionInDays", &days.to_string(), &rule);
    }
    checked(constraints)?;
    call.cloud().set_log_retention(call.scope.clone(), name, days).await?;
    Ok(None)
}

pub(super) async fn delete_retention(call: Call<'_>) -> Outcome {
    call.cloud().set_log_retention(call.scope.clone(), call.input.group()?, None).await?;
    Ok(None)
}

pub(super) async fn tag_group(call: Call<'_>) -> Outcome {
    let name = call.input.group()?;
    tag(call, name).await
}

pub(super) async fn tag_resource(call: Call<'_>) -> Outcome {
    let name = call.input.resource(&call.scope)?;
    tag(call, name).await
}

async fn tag(call: Call<'_>, name: String) -> Outcome {
    let added = call.input.tag_map()?;
    call.cloud().change_log_group_tags(call.scope.clone(), name, |tags| tags.extend(added)).await?;
    Ok(None)
}

pub(super) async fn untag_group(call: Call<'_>) -> Outcome {
    let name = call.input.group()?;
    untag(call, name).await
}

pub(super) async fn untag_resource(call: Call<'_>) -> Outcome {
    let name = call.input.resource(&call.scope)?;
    untag(call, name).await
}

async fn untag(call: Call<'_>, name: String) -> Outcome {
    let removed = call.input.tag_names()?;
    let change = move |tags: &mut std::collections::BTreeMap<String, String>| {
        tags.retain(|key, _| !removed.contains(key));
    };
    call.cloud().change_log_group_tags(call.scope.clone(), name, change).await?;
    Ok(None)
}

pub(super) async fn list_group_tags(call: Call<'_>) -> Outcome {
    let name = call.input.group()?;
    Ok(Some(json!({ "tags": call.cloud().log_group_tags(call.scope.clone(), name).await? })))
}

pub(super) async fn list_resource_tags(call: Call<'_>) -> Outcome {
    let name = call.input.resource(&call.scope)?;
    Ok(Some(json!({ "tags": call.cloud().log_group_tags(call.scope.clone(), name).await? })))
}

pub(super) async fn create_stream(call: Call<'_>) -> Outcome {
    let (group, stream) = (call.input.group()?, call.input.stream()?);
    call.cloud().create_log_stream(call.scope.clone(), group, stream).await?;
    Ok(None)
}

pub(super) async fn delete_stream(call: Call<'_>) -> Outcome {
    let (group, stream) = (call.input.group()?, call.input.stream()?);
    call.cloud().delete_log_stream(call.scope.clone(), group, stream).await?;
    Ok(None)
}

pub(super) async fn describe_streams(call: Call<'_>) -> Outcome {
    let input = &call.input;
    let group = input.group_or_identifier(&call.scope)?;
    let by_last_event = match input.order_by.as_deref() {
        None | Some("LogStreamName") => false,
        Some("LastEventTime") => true,
        Some(other) => {
            let mut constraints = Constraints::default();
            constraints.add(
                "orderBy",
                other,
                "Member must satisfy enum value set: [LogStreamName, LastEventTime]",
            );
            return Err(invalid(constraints.message().unwrap_or_default()));
        }
    };
    if by_last_event && input.log_stream_name_prefix.is_some() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let query = LogStreamQuery {
        prefix: input.log_stream_name_prefix.clone().unwrap_or_default(),
        by_last_event,
        descending: input.descending,
        after: None,
        limit: input.limit(50, 50)?,
    };
    let token = input.next_token.clone();
    let (streams, next) = call.cloud().log_streams(call.scope.clone(), group.clone(), query, token).await?;
    let streams: Vec<_> = streams.iter().map(|record| stream(&call.scope, &group, record)).collect();
    Ok(Some(with_token(json!({ "logStreams": streams }), next)))
}

fn stream(scope: &Scope, group: &str, record: &LogStreamRecord) -> Value {
    let arn = format!(
        "arn:aws:logs:{}:{}:log-group:{group}:log-stream:{}",
        scope.region, scope.account, record.name
    );
    let mut answer = Map::new();
    answer.insert("logStreamName".to_owned(), record.name.clone().into());
    answer.insert("creationTime".to_owned(), record.created.into());
    for (name, value) in [
        ("firstEventTimestamp", record.first_event),
        ("lastEventTimestamp", record.last_event),
        ("lastIngestionTime", record.last_ingestion),
    ] {
        if let Some(value) = value {
            answer.insert(name.to_owned(), value.into());
        }
    }
    answer.insert("arn".to_owned(), arn.into());
    // AWS does not count the bytes of streams any more.
    answer.insert("storedBytes".to_owned(), 0.into());
    Value::Object(answer)
}
