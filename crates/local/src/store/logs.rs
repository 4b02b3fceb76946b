//! Log groups and their streams; the events are next door.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    LogGroupRecord, LogGroupSettings, LogStreamRecord, Scope, Store, StoreError, from_json, to_json,
};

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
            let is_new = add_group(transaction, scope.account.as_str(), scope.region.as_str(), name, now)?;
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
            let Some(group) = group_key(transaction, scope.account.as_str(), scope.region.as_str(), name)?
            else {
                return Ok(false);
            };
            transaction.execute("DELETE FROM log_chunks WHERE group_key = ?1", [group])?;
            transaction.execute("DELETE FROM log_streams WHERE group_key = ?1", [group])?;
            transaction.execute("DELETE FROM log_groups WHERE key = ?1", [group])?;
            Ok(true)
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
            let Some((group, stream)) = stream_of(transaction, scope, group, name)? else {
                return Ok(false);
            };
            transaction.execute(
                "UPDATE log_groups SET stored_bytes = stored_bytes - (
                     SELECT COALESCE(SUM(bytes), 0) FROM log_chunks WHERE stream_key = ?2)
                 WHERE key = ?1",
                params![group, stream],
            )?;
            transaction.execute("DELETE FROM log_chunks WHERE stream_key = ?1", [stream])?;
            transaction.execute("DELETE FROM log_streams WHERE key = ?1", [stream])?;
            Ok(true)
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
            let found = group_key(connection, scope.account.as_str(), scope.region.as_str(), name)?;
            Ok(found.is_some())
        })
    }

    /// Remembers a new stream of a group. False when there is one of that name, or no group.
    pub(crate) fn create_log_stream(
        &self,
        scope: &Scope,
        group: &str,
        name: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            match group_key(transaction, scope.account.as_str(), scope.region.as_str(), group)? {
                Some(group) => add_stream(transaction, group, name, now),
                None => Ok(false),
            }
        })
    }

    /// Whether there is such a stream.
    pub(crate) fn has_log_stream(&self, scope: &Scope, group: &str, name: &str) -> Result<bool, StoreError> {
        self.read(|connection| Ok(stream_of(connection, scope, group, name)?.is_some()))
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
                 WHERE group_key = (
                     SELECT key FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3)
                   AND SUBSTR(name, 1, LENGTH(?4)) = ?4 AND {place}
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
}

/// The key of a group.
pub(super) fn group_key(
    connection: &Connection,
    account: &str,
    region: &str,
    name: &str,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT key FROM log_groups WHERE account = ?1 AND region = ?2 AND name = ?3")?
        .query_row(params![account, region, name], |row| row.get(0))
        .optional()?)
}

/// The key of a group's stream.
pub(super) fn stream_key(connection: &Connection, group: i64, name: &str) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT key FROM log_streams WHERE group_key = ?1 AND name = ?2")?
        .query_row(params![group, name], |row| row.get(0))
        .optional()?)
}

/// The keys of a group and of its stream.
fn stream_of(
    connection: &Connection,
    scope: &Scope,
    group: &str,
    name: &str,
) -> Result<Option<(i64, i64)>, StoreError> {
    let Some(group) = group_key(connection, scope.account.as_str(), scope.region.as_str(), group)? else {
        return Ok(None);
    };
    Ok(stream_key(connection, group, name)?.map(|stream| (group, stream)))
}

/// Adds a group; false when there is one of that name.
pub(super) fn add_group(
    transaction: &Transaction<'_>,
    account: &str,
    region: &str,
    name: &str,
    now: i64,
) -> Result<bool, StoreError> {
    Ok(transaction
        .prepare_cached(
            "INSERT INTO log_groups (account, region, name, created) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![account, region, name, now])?
        == 1)
}

/// Adds a stream to a group; false when there is one of that name.
pub(super) fn add_stream(
    transaction: &Transaction<'_>,
    group: i64,
    name: &str,
    now: i64,
) -> Result<bool, StoreError> {
    Ok(transaction
        .prepare_cached(
            "INSERT INTO log_streams (group_key, name, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![group, name, now])?
        == 1)
}
