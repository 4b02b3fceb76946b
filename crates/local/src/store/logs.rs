//! Log groups, streams and events.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{LogEventRecord, LogGroupRecord, LogStreamRecord, Scope, Store, StoreError};

/// Events for one stream; group and stream are made when they are not there.
#[derive(Clone, Debug)]
pub(crate) struct NewLogEvents {
    /// Where.
    pub(crate) scope: Scope,
    /// The group.
    pub(crate) group: String,
    /// The stream.
    pub(crate) stream: String,
    /// The function whose log it is. When that is gone and so is the group, the events are
    /// dropped: they must not bring back a group that was deleted after the function.
    pub(crate) function: Option<String>,
    /// When they came in, in milliseconds since 1970.
    pub(crate) ingested: i64,
    /// Time in milliseconds since 1970, and text.
    pub(crate) events: Vec<(i64, String)>,
}

/// Which events to read, in the order of time.
#[derive(Clone, Debug)]
pub(crate) struct LogQuery {
    /// Where.
    pub(crate) scope: Scope,
    /// The group.
    pub(crate) group: String,
    /// Only these streams, when there are any.
    pub(crate) streams: Vec<String>,
    /// From this time on.
    pub(crate) start: i64,
    /// Before this time.
    pub(crate) end: i64,
    /// Only those behind this place in the order.
    pub(crate) after: Option<(i64, i64)>,
    /// Only those before this place; they are read backwards, and given in order.
    pub(crate) before: Option<(i64, i64)>,
    /// From the newest backwards.
    pub(crate) newest: bool,
    /// At most so many.
    pub(crate) limit: usize,
}

impl Store {
    /// Remembers a new group with its tags. False when there is one of that name.
    pub(crate) fn create_log_group(
        &self,
        scope: &Scope,
        name: &str,
        tags: &BTreeMap<String, String>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tags = serde_json::to_string(tags).map_err(|source| StoreError::DamagedRecord {
            what: format!("tags of log group {name}"),
            source,
        })?;
        self.write(|transaction| {
            let is_new = add_group(transaction, scope, name, now)?;
            if is_new {
                transaction.execute(
                    "UPDATE log_groups SET tags = ?4 WHERE account = ?1 AND region = ?2 AND name = ?3",
                    params![scope.account.as_str(), scope.region.as_str(), name, tags],
                )?;
            }
            Ok(is_new)
        })
    }

    /// The tags of a group; nothing when there is no such group.
    pub(crate) fn log_group_tags(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let text: Option<String> = self.read(|connection| {
            connection
                .query_row(
                    "SELECT tags FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3",
                    params![scope.account.as_str(), scope.region.as_str(), name],
                    |row| row.get(0),
                )
                .optional()
                .map_err(StoreError::from)
        })?;
        text.map(|text| {
            serde_json::from_str(&text).map_err(|source| StoreError::DamagedRecord {
                what: format!("tags of log group {name}"),
                source,
            })
        })
        .transpose()
    }

    /// Forgets a group with everything in it. False when there was none.
    pub(crate) fn delete_log_group(&self, scope: &Scope, name: &str) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let key = params![scope.account.as_str(), scope.region.as_str(), name];
            for sql in [
                "DELETE FROM log_events WHERE account = ?1 AND region = ?2 AND log_group = ?3",
                "DELETE FROM log_streams WHERE account = ?1 AND region = ?2 AND log_group = ?3",
            ] {
                transaction.execute(sql, key)?;
            }
            Ok(transaction
                .execute("DELETE FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3", key)?
                == 1)
        })
    }

    /// Groups by name that begin with `prefix` or hold `pattern`, from behind `after`.
    pub(crate) fn log_groups(
        &self,
        scope: &Scope,
        prefix: &str,
        pattern: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<LogGroupRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, created, retention,
                    (SELECT COALESCE(SUM(LENGTH(CAST(message AS BLOB)) + 26), 0) FROM log_events
                     WHERE account = ?1 AND region = ?2 AND log_group = log_groups.name)
                 FROM log_groups
                 WHERE account = ?1 AND region = ?2 AND name > ?3
                   AND SUBSTR(name, 1, LENGTH(?4)) = ?4 AND INSTR(LOWER(name), LOWER(?5)) > 0
                 ORDER BY name LIMIT ?6",
            )?;
            let rows = statement.query_map(
                params![scope.account.as_str(), scope.region.as_str(), after, prefix, pattern, limit as i64],
                |row| {
                    Ok(LogGroupRecord {
                        name: row.get(0)?,
                        created: row.get(1)?,
                        retention: row.get(2)?,
                        stored_bytes: row.get(3)?,
                    })
                },
            )?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Whether there is such a group.
    pub(crate) fn has_log_group(&self, scope: &Scope, name: &str) -> Result<bool, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT 1 FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3")?
                .exists(params![scope.account.as_str(), scope.region.as_str(), name])?)
        })
    }

    /// Remembers a new stream. False when there is one of that name.
    pub(crate) fn create_log_stream(
        &self,
        scope: &Scope,
        group: &str,
        name: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| add_stream(transaction, scope, group, name, now))
    }

    /// Whether there is such a stream.
    pub(crate) fn has_log_stream(&self, scope: &Scope, group: &str, name: &str) -> Result<bool, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT 1 FROM log_streams
                     WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND name = ?4",
                )?
                .query_row(params![scope.account.as_str(), scope.region.as_str(), group, name], |_| Ok(()))
                .optional()?
                .is_some())
        })
    }

    /// All streams of a group that begin with `prefix`, by name.
    pub(crate) fn log_streams(
        &self,
        scope: &Scope,
        group: &str,
        prefix: &str,
    ) -> Result<Vec<LogStreamRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, created, first_event, last_event, last_ingestion FROM log_streams
                 WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND SUBSTR(name, 1, LENGTH(?4)) = ?4
                 ORDER BY name",
            )?;
            let rows = statement.query_map(
                params![scope.account.as_str(), scope.region.as_str(), group, prefix],
                |row| {
                    Ok(LogStreamRecord {
                        name: row.get(0)?,
                        created: row.get(1)?,
                        first_event: row.get(2)?,
                        last_event: row.get(3)?,
                        last_ingestion: row.get(4)?,
                    })
                },
            )?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Adds the events of several streams in one step.
    pub(crate) fn add_log_events(&self, batches: &[NewLogEvents]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for batch in batches {
                if !is_wanted(transaction, batch)? {
                    continue;
                }
                add_group(transaction, &batch.scope, &batch.group, batch.ingested)?;
                add_stream(transaction, &batch.scope, &batch.group, &batch.stream, batch.ingested)?;
                add_events(transaction, batch)?;
            }
            Ok(())
        })
    }

    /// Reads events, always in the order of time.
    pub(crate) fn log_events(&self, query: &LogQuery) -> Result<Vec<LogEventRecord>, StoreError> {
        let streams = super::to_json(&query.streams)?;
        let backwards = query.newest || query.before.is_some();
        let order = if backwards { "DESC" } else { "ASC" };
        let after = query.after.unwrap_or((i64::MIN, i64::MIN));
        let before = query.before.unwrap_or((i64::MAX, i64::MAX));
        let mut events = self.read(|connection| {
            let sql = format!(
                "SELECT id, stream, time, ingested, message FROM log_events
                 WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND time >= ?4 AND time < ?5
                   AND (time, id) > (?6, ?7) AND (time, id) < (?8, ?9)
                   AND (?10 = '[]' OR stream IN (SELECT value FROM json_each(?10)))
                 ORDER BY time {order}, id {order} LIMIT ?11"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                params![
                    query.scope.account.as_str(),
                    query.scope.region.as_str(),
                    query.group,
                    query.start,
                    query.end,
                    after.0,
                    after.1,
                    before.0,
                    before.1,
                    streams,
                    query.limit as i64
                ],
                |row| {
                    Ok(LogEventRecord {
                        id: row.get(0)?,
                        stream: row.get(1)?,
                        time: row.get(2)?,
                        ingested: row.get(3)?,
                        message: row.get(4)?,
                    })
                },
            )?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        if backwards {
            events.reverse();
        }
        Ok(events)
    }
}

fn is_wanted(transaction: &Transaction<'_>, batch: &NewLogEvents) -> Result<bool, StoreError> {
    let Some(function) = &batch.function else { return Ok(true) };
    Ok(transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM functions WHERE account = ?1 AND region = ?2 AND name = ?3)
                 OR EXISTS (SELECT 1 FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?4)",
        )?
        .query_row(
            params![batch.scope.account.as_str(), batch.scope.region.as_str(), function, batch.group],
            |row| row.get(0),
        )?)
}

fn add_group(transaction: &Transaction<'_>, scope: &Scope, name: &str, now: i64) -> Result<bool, StoreError> {
    Ok(transaction
        .prepare_cached("INSERT INTO log_groups (account, region, name, created) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![scope.account.as_str(), scope.region.as_str(), name, now])?
        == 1)
}

fn add_stream(
    transaction: &Transaction<'_>,
    scope: &Scope,
    group: &str,
    name: &str,
    now: i64,
) -> Result<bool, StoreError> {
    Ok(transaction
        .prepare_cached(
            "INSERT INTO log_streams VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, NULL) ON CONFLICT DO NOTHING",
        )?
        .execute(params![scope.account.as_str(), scope.region.as_str(), group, name, now])?
        == 1)
}

fn add_events(transaction: &Transaction<'_>, batch: &NewLogEvents) -> Result<(), StoreError> {
    let (account, region) = (batch.scope.account.as_str(), batch.scope.region.as_str());
    let mut insert = transaction.prepare_cached(
        "INSERT INTO log_events (account, region, log_group, stream, time, ingested, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (time, message) in &batch.events {
        insert.execute(params![account, region, batch.group, batch.stream, time, batch.ingested, message])?;
    }
    let times = || batch.events.iter().map(|(time, _)| *time);
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        transaction
            .prepare_cached(
                "UPDATE log_streams SET first_event = MIN(COALESCE(first_event, ?5), ?5),
                    last_event = MAX(COALESCE(last_event, ?6), ?6), last_ingestion = ?7
                 WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND name = ?4",
            )?
            .execute(params![account, region, batch.group, batch.stream, first, last, batch.ingested])?;
    }
    Ok(())
}
