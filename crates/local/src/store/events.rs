//! Events that wait to be run: the queue of asynchronous invocations.
//!
//! Owns their table. A row is an event that was accepted and has not ended; that it runs now is
//! noted nowhere on the disk, so that the next start finds what a killed process was doing and does
//! it again. The events of a function go with the function, in the same transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use layercake_core::aws::FunctionName;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Scope, Store, StoreError, from_json, to_json};

/// What is kept of an event beside its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    /// The version or alias that was invoked, as AWS writes it; empty when none was said.
    pub(crate) qualifier: String,
    /// The same for every attempt.
    pub(crate) request_id: String,
    /// The ARN as the caller wrote it, qualified or not.
    pub(crate) invoked_arn: String,
    /// The client context as JSON text.
    pub(crate) client_context: Option<String>,
    /// The `X-Amzn-Trace-Id` value.
    pub(crate) trace_id: String,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) accepted: i64,
    /// How often the function ran it and failed.
    pub(crate) runs: u32,
    /// How often the function could not be run since.
    pub(crate) setbacks: u32,
    /// What the last attempt came to.
    pub(crate) response: Option<EventResponse>,
    /// How often each function, by name, was run by the events whose records led to this one; nothing
    /// for what a client sent.
    #[serde(default)]
    pub(crate) chain: BTreeMap<String, u32>,
}

/// What an attempt came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventResponse {
    /// The HTTP status of Lambda's answer.
    pub(crate) status: u16,
    /// The version that ran, if one did.
    pub(crate) version: Option<String>,
    /// `Unhandled` when the payload is an error.
    pub(crate) error: Option<String>,
    /// The function's answer.
    pub(crate) payload: Option<String>,
}

/// An event that is accepted.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    /// Where the function is.
    pub(crate) scope: Scope,
    /// The function.
    pub(crate) function: FunctionName,
    /// When it shall run, in milliseconds since 1970.
    pub(crate) due: i64,
    /// What is known of it.
    pub(crate) record: EventRecord,
    /// The event itself, a JSON text.
    pub(crate) payload: Bytes,
}

/// Where an event stands in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingEvent {
    /// Its number; a later event has a greater one, and none is used twice.
    pub(crate) id: i64,
    /// Where the function is.
    pub(crate) scope: Scope,
    /// The function.
    pub(crate) function: FunctionName,
    /// When it shall run, in milliseconds since 1970.
    pub(crate) due: i64,
}

/// A change of the queue.
#[derive(Clone, Debug)]
pub(crate) enum EventChange {
    /// An event comes in.
    Add(NewEvent),
    /// An event waits for another attempt.
    Wait {
        /// Which one, and when it shall run.
        event: WaitingEvent,
        /// What is known of it now.
        record: EventRecord,
    },
    /// An event has ended, and another function may get the record of it.
    End {
        /// Which one.
        id: i64,
        /// The event of the other function.
        then: Option<NewEvent>,
    },
}

impl Store {
    /// Every event that has not ended, in the order in which they came in.
    pub(crate) fn waiting_events(&self) -> Result<Vec<WaitingEvent>, StoreError> {
        let rows = self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT id, account, region, function, due FROM events ORDER BY id")?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, i64>(4)?,
                ))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        // Only names that were checked are written.
        let read = |(id, account, region, function, due): (i64, String, String, String, i64)| {
            let scope = Scope { account: account.parse().ok()?, region: region.parse().ok()? };
            Some(WaitingEvent { id, scope, function: function.parse().ok()?, due })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// One event; nothing when it has ended, or went with its function.
    pub(crate) fn event(&self, id: i64) -> Result<Option<(EventRecord, Bytes)>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT record, payload FROM events WHERE id = ?1")?
                .query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))
                .optional()?
                .map(|(record, payload)| Ok((from_json(&record, "an event")?, Bytes::from(payload))))
                .transpose()
        })
    }

    /// Changes the queue as one step. Gives the number of the event that each change leaves in the
    /// queue; none when it leaves none. What has gone with its function meanwhile is not brought
    /// back, and leads to nothing.
    pub(crate) fn change_events(&self, changes: &[EventChange]) -> Result<Vec<Option<i64>>, StoreError> {
        self.write_aside(|transaction| changes.iter().map(|change| make(transaction, change)).collect())
    }
}

fn make(transaction: &Transaction<'_>, change: &EventChange) -> Result<Option<i64>, StoreError> {
    match change {
        EventChange::Add(event) => add(transaction, event).map(Some),
        EventChange::Wait { event, record } => {
            let changed = transaction
                .prepare_cached("UPDATE events SET due = ?2, record = ?3 WHERE id = ?1")?
                .execute(params![event.id, event.due, to_json(record)?])?;
            Ok((changed == 1).then_some(event.id))
        }
        EventChange::End { id, then } => {
            let gone = transaction.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id])?;
            match then {
                Some(event) if gone == 1 => add(transaction, event).map(Some),
                _ => Ok(None),
            }
        }
    }
}

fn add(transaction: &Transaction<'_>, event: &NewEvent) -> Result<i64, StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO events (account, region, function, due, record, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            event.scope.account.as_str(),
            event.scope.region.as_str(),
            event.function.as_str(),
            event.due,
            to_json(&event.record)?,
            &event.payload[..],
        ])?;
    Ok(transaction.last_insert_rowid())
}

/// Forgets the events of a function.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    scope: &Scope,
    function: &FunctionName,
) -> Result<(), StoreError> {
    transaction.execute(
        "DELETE FROM events WHERE account = ?1 AND region = ?2 AND function = ?3",
        params![scope.account.as_str(), scope.region.as_str(), function.as_str()],
    )?;
    Ok(())
}
