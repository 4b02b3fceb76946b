//! What a function has logged, read through FilterLogEvents.
//!
//! Owns the order in which events are given, and that each is given once. Never prints.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use layercake_core::aws::FunctionName;
use serde_json::{Value, json};

use crate::{
    destination::Endpoint,
    error::DeployError,
    invoke::{default_log_group, log_group_exists},
};

/// How long an event may take on its way into the log, beside the call that logs it: CloudWatch Logs
/// takes some seconds.
const LATENESS: Duration = Duration::from_secs(10);

/// Where a function's log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// The log group.
    pub group: String,
    /// The longest that a call of the function may take.
    pub timeout: Duration,
}

/// One event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// The endpoint's id of it.
    pub id: String,
    /// The stream: one for each environment.
    pub stream: String,
    /// When it happened, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// When it came into the log, in milliseconds since 1970.
    pub ingested_ms: i64,
    /// The text, with its line feed if it was logged with one.
    pub message: String,
}

/// How a reading of a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// Everything that is there now was given.
    Reached,
    /// There is no log group, so nothing was logged yet.
    NoGroup,
    /// Whoever takes the events wanted no more.
    Stopped,
}

/// Finds the log of a function. A function that is gone may have left one; nothing when there is
/// neither.
///
/// # Errors
/// [`DeployError`].
pub async fn log_source(
    endpoint: &Endpoint,
    function: &FunctionName,
) -> Result<Option<LogSource>, DeployError> {
    let asked = endpoint.lambda.get_function_configuration().function_name(function.as_str()).send().await;
    match asked.map_err(|error| DeployError::of("GetFunctionConfiguration", error)) {
        Ok(found) => {
            let configured = found.logging_config().and_then(|logging| logging.log_group());
            let seconds = found.timeout().and_then(|seconds| u64::try_from(seconds).ok());
            Ok(Some(LogSource {
                group: configured.map_or_else(|| default_log_group(function), str::to_owned),
                timeout: Duration::from_secs(seconds.unwrap_or_default()),
            }))
        }
        Err(error) if error.is_absent() => {
            let group = default_log_group(function);
            let is_there = log_group_exists(endpoint, &group).await?;
            Ok(is_there.then_some(LogSource { group, timeout: Duration::ZERO }))
        }
        Err(error) => Err(error),
    }
}

/// Reads a log again and again, and gives each event once.
///
/// Lambda's lines have the time at which they were printed and may come into the log later: those
/// of a call when it is over at the latest. So each reading begins as long before the newest event as
/// that can take, and what was given before is left out.
#[derive(Debug)]
pub struct LogReader {
    group: String,
    pattern: Option<String>,
    since: i64,
    lateness: i64,
    newest: i64,
    /// The ids of the events that another reading would find again, with their times.
    given: HashMap<String, i64>,
}

impl LogReader {
    /// For the events of a log from a time on, in milliseconds since 1970, that a filter pattern of
    /// CloudWatch Logs matches.
    pub fn new(source: LogSource, since: i64, pattern: Option<String>) -> Self {
        let lateness = i64::try_from((source.timeout + LATENESS).as_millis()).unwrap_or(i64::MAX);
        let since = since.max(0);
        Self { group: source.group, pattern, since, lateness, newest: since, given: HashMap::new() }
    }

    /// Gives what was logged and not given yet, page by page, in the order of time. `now` is in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// [`DeployError`].
    pub async fn read(
        &mut self,
        endpoint: &Endpoint,
        now: i64,
        mut give: impl FnMut(&[LogEvent]) -> ControlFlow<()>,
    ) -> Result<LogEnd, DeployError> {
        let mut input = json!({ "logGroupName": self.group, "startTime": self.begin() });
        if let Some(pattern) = &self.pattern {
            input["filterPattern"] = pattern.as_str().into();
        }
        loop {
            let mut answer = match endpoint.signed.logs("FilterLogEvents", &input).await {
                Ok(answer) => answer,
                Err(error) if error.is_absent() => return Ok(LogEnd::NoGroup),
                Err(error) => return Err(error),
            };
            let events = self.unseen(&answer, now);
            if !events.is_empty() && give(&events).is_break() {
                return Ok(LogEnd::Stopped);
            }
            match answer["nextToken"].take() {
                token @ Value::String(_) => input["nextToken"] = token,
                _ => return Ok(LogEnd::Reached),
            }
        }
    }

    /// From when on events may have come that were not given.
    fn begin(&self) -> i64 {
        self.newest.saturating_sub(self.lateness).max(self.since)
    }

    /// The events of an answer that were not given before. They count as given from now on.
    fn unseen(&mut self, answer: &Value, now: i64) -> Vec<LogEvent> {
        let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut unseen = Vec::new();
        for event in events {
            let text = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
            let number = |member: &str| event[member].as_i64().unwrap_or_default();
            let event = LogEvent {
                id: text("eventId"),
                stream: text("logStreamName"),
                timestamp_ms: number("timestamp"),
                ingested_ms: number("ingestionTime"),
                message: text("message"),
            };
            if self.given.insert(event.id.clone(), event.timestamp_ms).is_none() {
                // Clients may log up to two hours ahead; others than those are still to come.
                self.newest = self.newest.max(event.timestamp_ms.min(now));
                unseen.push(event);
            }
        }
        let begin = self.begin();
        self.given.retain(|_, time| *time >= begin);
        unseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn reader() -> LogReader {
        let source = LogSource { group: "g".to_owned(), timeout: Duration::from_secs(5) };
        LogReader::new(source, 900_000, None)
    }

    /// What is given of an answer with these ids and times, and where the next reading begins.
    fn check(reader: &mut LogReader, events: &[(&str, i64)]) -> String {
        let event = |(id, time): &(&str, i64)| json!({ "eventId": id, "timestamp": time, "message": "m" });
        let answer = json!({ "events": events.iter().map(event).collect::<Vec<_>>() });
        let unseen = reader.unseen(&answer, NOW);
        let ids: Vec<_> = unseen.iter().map(|event| event.id.as_str()).collect();
        format!("{} then from {}, {} in mind", ids.join(" "), reader.begin(), reader.given.len())
    }

    #[test]
    fn an_event_is_given_once_and_remembered_as_long_as_it_may_come_again() {
        let mut reader = reader();
        let check = |events: &[(&str, i64)]| check(&mut reader, events);
        let given = [
            &[("a", 900_000), ("b", 905_000)][..],
            &[("a", 900_000), ("late", 901_000), ("b", 905_000)],
            &[("b", 905_000), ("c", 940_000)],
            &[("c", 940_000), ("ahead", NOW + 5_000_000)],
            &[("d", NOW - 15_000), ("ahead", NOW + 5_000_000)],
            &[],
        ]
        .map(check);
        insta::assert_snapshot!(given.join("\n"), @r"
        a b then from 900000, 2 in mind
        late then from 900000, 3 in mind
        c then from 925000, 1 in mind
        ahead then from 985000, 1 in mind
        d then from 985000, 2 in mind
         then from 985000, 2 in mind
        ");
    }
}
