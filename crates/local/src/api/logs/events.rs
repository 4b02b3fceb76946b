//! Log events: writing, reading, searching.

use serde_json::{Map, Value, json};

use super::{
    super::constraints::Constraints,
    Call, Outcome,
    input::{checked, invalid},
    with_token,
};
use crate::service::{FilterEvents, GetEvents, Rejected};

const MOST_EVENTS: usize = 10_000;

pub(super) async fn put(mut call: Call<'_>) -> Outcome {
    let (group, stream) = (call.input.group()?, call.input.stream()?);
    let events = call.input.log_events.take();
    let mut constraints = Constraints::default();
    constraints.present("logEvents", events.is_some());
    let events = events.unwrap_or_default();
    if events.len() > MOST_EVENTS {
        let rule = format!("Member must have length less than or equal to {MOST_EVENTS}");
        constraints.add("logEvents", "[...]", &rule);
    }
    for (place, event) in (1..).zip(&events) {
        constraints.number(&format!("logEvents.{place}.member.timestamp"), event.timestamp, 0..=i64::MAX);
        if event.message.is_empty() {
            constraints.length(&format!("logEvents.{place}.member.message"), "", 1..=usize::MAX);
        }
    }
    if events.is_empty() {
        constraints.add("logEvents", "[]", "Member must have length greater than or equal to 1");
    }
    checked(constraints)?;
    let events = events.into_iter().map(|event| (event.timestamp, event.message)).collect();
    let rejected = call.cloud().put_log_events(call.scope.clone(), group, stream, events).await?;
    // Sequence tokens are of no use since 2023; old clients still read one.
    let mut answer = json!({ "nextSequenceToken": "49039859629718217468893" });
    if rejected != Rejected::default() {
        answer["rejectedLogEventsInfo"] = rejection(rejected);
    }
    Ok(Some(answer))
}

fn rejection(rejected: Rejected) -> Value {
    let mut answer = Map::new();
    for (name, place) in [
        ("tooNewLogEventStartIndex", rejected.too_new_from),
        ("tooOldLogEventEndIndex", rejected.too_old_to),
        ("expiredLogEventEndIndex", rejected.expired_to),
    ] {
        if let Some(place) = place {
            answer.insert(name.to_owned(), place.into());
        }
    }
    Value::Object(answer)
}

pub(super) async fn get(call: Call<'_>) -> Outcome {
    let input = &call.input;
    let group = input.group_or_identifier(&call.scope)?;
    let get = GetEvents {
        stream: input.stream()?,
        start: input.start_time,
        end: input.end_time,
        limit: Some(input.limit(10_000, 10_000)?),
        token: input.next_token.clone(),
        from_head: input.start_from_head,
    };
    let page = call.cloud().log_events(call.scope.clone(), group, get).await?;
    let events: Vec<_> = page
        .events
        .iter()
        .map(|event| {
            json!({ "timestamp": event.time, "message": event.message, "ingestionTime": event.ingested })
        })
        .collect();
    let answer =
        json!({ "events": events, "nextForwardToken": page.forward, "nextBackwardToken": page.backward });
    Ok(Some(answer))
}

pub(super) async fn filter(call: Call<'_>) -> Outcome {
    let input = &call.input;
    let group = input.group_or_identifier(&call.scope)?;
    if !input.log_stream_names.is_empty() && input.log_stream_name_prefix.is_some() {
        return Err(invalid("logStreamNames and logStreamNamePrefix cannot both be specified."));
    }
    let pattern = input.filter_pattern.clone().unwrap_or_default();
    let mut constraints = Constraints::default();
    constraints.length("filterPattern", &pattern, 0..=1024);
    if input.log_stream_names.len() > 100 {
        constraints.add("logStreamNames", "[...]", "Member must have length less than or equal to 100");
    }
    checked(constraints)?;
    let filter = FilterEvents {
        streams: input.log_stream_names.clone(),
        stream_prefix: input.log_stream_name_prefix.clone(),
        start: input.start_time,
        // FilterLogEvents alone includes the end.
        end: input.end_time.map(|end| end.saturating_add(1)),
        limit: Some(input.limit(10_000, 10_000)?),
        token: input.next_token.clone(),
        pattern: Some(pattern).filter(|pattern| !pattern.trim().is_empty()),
    };
    let (events, next) = call.cloud().filter_log_events(call.scope.clone(), group, filter).await?;
    let events: Vec<_> = events
        .iter()
        .map(|event| {
            json!({
                "logStreamName": event.stream,
                "timestamp": event.time,
                "message": event.message,
                "ingestionTime": event.ingested,
                "eventId": format!("{:056}", event.id),
            })
        })
        .collect();
    // AWS names no searched streams any more.
    Ok(Some(with_token(json!({ "events": events, "searchedLogStreams": [] }), next)))
}
