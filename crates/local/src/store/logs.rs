//! Log groups, streams and events.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    LogEventRecord, LogGroupRecord, LogGroupSettings, LogStreamRecord, Scope, Store, StoreError, from_json,
    to_json,
};

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
    /// Only those from this place in the order on: a time and the number of an event.
    pub(crate) from: Option<(i64, i64)>,
    /// Only those before this place.
    pub(crate) before: Option<(i64, i64)>,
    /// From the end backwards; they are given in order all the same.
    pub(crate) backwards: bool,
    /// At most so many.
    pub(crate) limit: usize,
}

/// Which streams to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogStreamQuery {
    /// What their names begin with.
    pub(crate) prefix: String,
    /// By the time of the last event, and not by name.
    pub(crate) by_last_event: bool,
    /// From the end.
    pub(crate) descending: bool,
    /// Behind the stream with this last event (-1 without one) and name.
    pub(crate) after: Option<(i64, String)>,
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
        settings: &LogGroupSettings,
        now: i64,
    ) -> Result<bool, StoreError> {
        let (tags, settings) = (to_json(tags)?, to_json(settings)?);
        self.write(|transaction| {
            let is_new = add_group(transaction, scope, name, now)?;
            if is_new {
                transaction.execute(
                    "UPDATE log_groups SET tags = ?4, settings = ?5
                     WHERE account = ?1 AND region = ?2 AND name = ?3",
                    params![scope.account.as_str(), scope.region.as_str(), name, tags, settings],
                )?;
            }
            Ok(is_new)
        })
    }

    /// Changes the tags of a group; nothing when there is no such group. What `change` refuses is
    /// not written.
    pub(crate) fn change_log_group_tags<R>(
        &self,
        scope: &Scope,
        name: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), R>,
    ) -> Result<Option<Result<(), R>>, StoreError> {
        self.write(|transaction| {
            let key = params![scope.account.as_str(), scope.region.as_str(), name];
            let found: Option<String> = transaction
                .query_row(
                    "SELECT tags FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3",
                    key,
                    |row| row.get(0),
                )
                .optional()?;
            let Some(text) = found else { return Ok(None) };
            let mut tags = from_json(&text, &format!("tags of log group {name}"))?;
            if let Err(refusal) = change(&mut tags) {
                return Ok(Some(Err(refusal)));
            }
            transaction.execute(
                "UPDATE log_groups SET tags = ?4 WHERE account = ?1 AND region = ?2 AND name = ?3",
                params![scope.account.as_str(), scope.region.as_str(), name, to_json(&tags)?],
            )?;
            Ok(Some(Ok(())))
        })
    }

    /// Says for how many days a group keeps its events; nothing means for ever. False when there
    /// is no such group.
    pub(crate) fn set_log_retention(
        &self,
        scope: &Scope,
        name: &str,
        days: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "UPDATE log_groups SET retention = ?4 WHERE account = ?1 AND region = ?2 AND name = ?3",
                params![scope.account.as_str(), scope.region.as_str(), name, days],
            )? == 1)
        })
    }

    /// For how many days a group keeps its events. Nothing when there is no such group.
    pub(crate) fn log_retention(&self, scope: &Scope, name: &str) -> Result<Option<Option<i64>>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT retention FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3",
                )?
                .query_row(params![scope.account.as_str(), scope.region.as_str(), name], |row| row.get(0))
                .optional()?)
        })
    }

    /// Deletes events that are older than their group keeps them. Gives their number.
    pub(crate) fn expire_log_events(&self, now: i64) -> Result<usize, StoreError> {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        self.write(|transaction| {
            let groups: Vec<(String, String, String, i64)> = transaction
                .prepare_cached(
                    "SELECT account, region, name, retention FROM log_groups WHERE retention IS NOT NULL",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            let mut count = 0;
            for (account, region, name, days) in groups {
                let gone = transaction.execute(
                    "DELETE FROM log_events
                     WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND time < ?4",
                    params![account, region, name, now - days * DAY],
                )?;
                if gone > 0 {
                    recount(transaction, &account, &region, &name)?;
                }
                count += gone;
            }
            Ok(count)
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

    /// Forgets a stream with its events. False when there was none.
    pub(crate) fn delete_log_stream(
        &self,
        scope: &Scope,
        group: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let (account, region) = (scope.account.as_str(), scope.region.as_str());
            let key = params![account, region, group, name];
            transaction.execute(
                "DELETE FROM log_events
                 WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND stream = ?4",
                key,
            )?;
            let gone = transaction.execute(
                "DELETE FROM log_streams WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND name = ?4",
                key,
            )?;
            recount(transaction, account, region, group)?;
            Ok(gone == 1)
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
                "SELECT name, created, retention, stored_bytes, settings FROM log_groups
                 WHERE account = ?1 AND region = ?2 AND name > ?3
                   AND SUBSTR(name, 1, LENGTH(?4)) = ?4 AND INSTR(LOWER(name), LOWER(?5)) > 0
                 ORDER BY name LIMIT ?6",
            )?;
            let mut rows = statement.query(params![
                scope.account.as_str(),
                scope.region.as_str(),
                after,
                prefix,
                pattern,
                limit as i64
            ])?;
            let mut groups = Vec::new();
            while let Some(row) = rows.next()? {
                let settings: String = row.get(4)?;
                groups.push(LogGroupRecord {
                    name: row.get(0)?,
                    created: row.get(1)?,
                    retention: row.get(2)?,
                    stored_bytes: row.get(3)?,
                    settings: from_json(&settings, "a log group")?,
                });
            }
            Ok(groups)
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

    /// Streams of a group that begin with `prefix`, in the order and from the place asked for.
    pub(crate) fn log_streams(
        &self,
        scope: &Scope,
        group: &str,
        query: &LogStreamQuery,
    ) -> Result<Vec<LogStreamRecord>, StoreError> {
        let (order, beyond) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
        // Streams without events come before all others.
        let time = "COALESCE(last_event, -1)";
        let (sort, place) = if query.by_last_event {
            (format!("{time} {order}, name {order}"), format!("({time}, name) {beyond} (?5, ?6)"))
        } else {
            (format!("name {order}"), format!("?5 = ?5 AND name {beyond} ?6"))
        };
        let (after_time, after_name) = query.after.clone().unwrap_or_default();
        let place = if query.after.is_some() { place } else { "?5 = ?5 AND ?6 = ?6".to_owned() };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT name, created, first_event, last_event, last_ingestion FROM log_streams
                 WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND SUBSTR(name, 1, LENGTH(?4)) = ?4
                   AND {place}
                 ORDER BY {sort} LIMIT ?7"
            ))?;
            let rows = statement.query_map(
                params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    group,
                    query.prefix,
                    after_time,
                    after_name,
                    query.limit as i64
                ],
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
        self.write_aside(|transaction| {
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
        let streams = to_json(&query.streams)?;
        let order = if query.backwards { "DESC" } else { "ASC" };
        let from = query.from.unwrap_or((i64::MIN, i64::MIN));
        let before = query.before.unwrap_or((i64::MAX, i64::MAX));
        let mut events = self.read(|connection| {
            let sql = format!(
                "SELECT id, stream, time, ingested, message FROM log_events
                 WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND time >= ?4 AND time < ?5
                   AND (time, id) >= (?6, ?7) AND (time, id) < (?8, ?9)
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
                    from.0,
                    from.1,
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
        if query.backwards {
            events.reverse();
        }
        Ok(events)
    }
}

/// What CloudWatch Logs counts for each event beside its message.
pub(crate) const EVENT_BYTES: usize = 26;

/// Sets what is derived from a group's events after some were deleted.
fn recount(
    transaction: &Transaction<'_>,
    account: &str,
    region: &str,
    group: &str,
) -> Result<(), StoreError> {
    let key = params![account, region, group];
    transaction.execute(
        "UPDATE log_groups SET stored_bytes = (
             SELECT COALESCE(SUM(LENGTH(CAST(message AS BLOB)) + 26), 0) FROM log_events
             WHERE account = ?1 AND region = ?2 AND log_group = ?3)
         WHERE account = ?1 AND region = ?2 AND name = ?3",
        key,
    )?;
    transaction.execute(
        "UPDATE log_streams SET first_event = (
             SELECT MIN(time) FROM log_events
             WHERE account = ?1 AND region = ?2 AND log_group = ?3 AND stream = log_streams.name)
         WHERE account = ?1 AND region = ?2 AND log_group = ?3",
        key,
    )?;
    Ok(())
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
    let bytes: usize = batch.events.iter().map(|(_, message)| message.len() + EVENT_BYTES).sum();
    transaction
        .prepare_cached(
            "UPDATE log_groups SET stored_bytes = stored_bytes + ?4
             WHERE account = ?1 AND region = ?2 AND name = ?3",
        )?
        .execute(params![account, region, batch.group, bytes as i64])?;
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
