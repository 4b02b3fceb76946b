//! Log events: written in chunks, read in the order of time, forgotten when they are too old.
//!
//! Owns the table of chunks. Whatever the size of a group, what is in memory is one chunk and the
//! page that is asked for.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    LogEventRecord, Scope, Store, StoreError,
    log_chunk::{self, SPAN, event_id, last_event_id},
    logs::{add_group, add_stream, group_key, stream_key},
};

/// What CloudWatch Logs counts for each event beside its message.
pub(crate) const EVENT_BYTES: usize = 26;

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

/// The same as [`NewLogEvents`], of somebody else's texts.
#[derive(Debug)]
pub(crate) struct LogBatch<'a> {
    /// Whose.
    pub(crate) account: &'a str,
    /// Where.
    pub(crate) region: &'a str,
    /// The group.
    pub(crate) group: &'a str,
    /// The stream.
    pub(crate) stream: &'a str,
    /// The function whose log it is.
    pub(crate) function: Option<&'a str>,
    /// When they came in, in milliseconds since 1970.
    pub(crate) ingested: i64,
    /// Time in milliseconds since 1970, and text.
    pub(crate) events: Vec<(i64, &'a str)>,
}

impl NewLogEvents {
    fn batch(&self) -> LogBatch<'_> {
        LogBatch {
            account: self.scope.account.as_str(),
            region: self.scope.region.as_str(),
            group: &self.group,
            stream: &self.stream,
            function: self.function.as_deref(),
            ingested: self.ingested,
            events: self.events.iter().map(|(time, message)| (*time, message.as_str())).collect(),
        }
    }
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
    /// No more once their messages have so many bytes.
    pub(crate) bytes: usize,
}

/// Events in the order of time.
#[derive(Debug, Default)]
pub(crate) struct FoundEvents {
    /// The events.
    pub(crate) events: Vec<LogEventRecord>,
    /// Whether these are all that were asked for, and no limit left any out.
    pub(crate) is_end: bool,
}

impl Store {
    /// Adds the events of several streams in one step.
    pub(crate) fn add_log_events(&self, batches: &[NewLogEvents]) -> Result<(), StoreError> {
        self.add_log_batches(batches.iter().map(NewLogEvents::batch).collect())
    }

    /// The same for texts that stay where they are.
    pub(crate) fn add_log_batches(&self, mut batches: Vec<LogBatch<'_>>) -> Result<(), StoreError> {
        for batch in &mut batches {
            let events = &mut batch.events;
            if !events.is_sorted_by_key(|(time, _)| *time) {
                // Those of the same time stay in the order in which they came.
                events.sort_by_key(|(time, _)| *time);
            }
        }
        self.write_aside(|transaction| batches.iter().try_for_each(|batch| add_batch(transaction, batch)))
    }

    /// Reads events, always in the order of time.
    pub(crate) fn log_events(&self, query: &LogQuery) -> Result<FoundEvents, StoreError> {
        self.read(|connection| {
            // Several statements, and what they see must not change between them.
            let snapshot = connection.unchecked_transaction()?;
            let nothing = FoundEvents { is_end: true, ..FoundEvents::default() };
            let (account, region) = (query.scope.account.as_str(), query.scope.region.as_str());
            let Some(group) = group_key(&snapshot, account, region, &query.group)? else {
                return Ok(nothing);
            };
            let mut streams = BTreeSet::new();
            for name in &query.streams {
                streams.extend(stream_key(&snapshot, group, name)?);
            }
            if streams.is_empty() && !query.streams.is_empty() {
                return Ok(nothing);
            }
            let mut page = Page::new(query);
            scan(&snapshot, group, &streams, &mut page)?;
            page.finish(&snapshot)
        })
    }

    /// Deletes events that are older than their group keeps them. Gives their number.
    pub(crate) fn expire_log_events(&self, now: i64) -> Result<usize, StoreError> {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        self.write_aside(|transaction| {
            let groups: Vec<(i64, i64)> = transaction
                .prepare_cached("SELECT key, retention FROM log_groups WHERE retention IS NOT NULL")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            groups.iter().try_fold(0, |sum, (group, days)| {
                Ok(sum + expire_group(transaction, *group, now.saturating_sub(days.saturating_mul(DAY)))?)
            })
        })
    }
}

fn add_batch(transaction: &Transaction<'_>, batch: &LogBatch<'_>) -> Result<(), StoreError> {
    let (account, region) = (batch.account, batch.region);
    let group = match group_key(transaction, account, region, batch.group)? {
        Some(group) => group,
        None if is_wanted(transaction, batch)? => {
            add_group(transaction, account, region, batch.group, batch.ingested)?;
            transaction.last_insert_rowid()
        }
        None => return Ok(()),
    };
    let stream = match stream_key(transaction, group, batch.stream)? {
        Some(stream) => stream,
        None => {
            add_stream(transaction, group, batch.stream, batch.ingested)?;
            transaction.last_insert_rowid()
        }
    };
    let chunks = log_chunk::pack(&batch.events);
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(()) };
    let mut insert = transaction.prepare_cached(
        "INSERT INTO log_chunks (group_key, stream_key, first, last, ingested, count, bytes, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for chunk in &chunks {
        let (count, bytes) = (chunk.count as i64, chunk.bytes as i64);
        insert.execute(params![
            group,
            stream,
            chunk.first,
            chunk.last,
            batch.ingested,
            count,
            bytes,
            chunk.body
        ])?;
    }
    let bytes: usize = chunks.iter().map(|chunk| chunk.bytes).sum();
    transaction
        .prepare_cached("UPDATE log_groups SET stored_bytes = stored_bytes + ?2 WHERE key = ?1")?
        .execute(params![group, bytes as i64])?;
    transaction
        .prepare_cached(
            "UPDATE log_streams SET first_event = MIN(COALESCE(first_event, ?2), ?2),
                last_event = MAX(COALESCE(last_event, ?3), ?3), last_ingestion = ?4
             WHERE key = ?1",
        )?
        .execute(params![stream, first.first, last.last, batch.ingested])?;
    Ok(())
}

/// Whether a group may be made for these events.
fn is_wanted(transaction: &Transaction<'_>, batch: &LogBatch<'_>) -> Result<bool, StoreError> {
    let Some(function) = batch.function else { return Ok(true) };
    Ok(transaction
        .prepare_cached("SELECT 1 FROM functions WHERE account = ?1 AND region = ?2 AND name = ?3")?
        .exists(params![batch.account, batch.region, function])?)
}

/// Deletes a group's events of before a time. Gives their number.
fn expire_group(transaction: &Transaction<'_>, group: i64, before: i64) -> Result<usize, StoreError> {
    const OLD: &str = "FROM log_chunks WHERE group_key = ?1 AND first < ?2 AND last < ?2";
    let old = params![group, before];
    let (mut events, mut bytes): (i64, i64) = transaction.query_row(
        &format!("SELECT COALESCE(SUM(count), 0), COALESCE(SUM(bytes), 0) {OLD}"),
        old,
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    transaction.execute(&format!("DELETE {OLD}"), old)?;
    for chunk in half_expired(transaction, group, before)? {
        transaction
            .prepare_cached(
                "UPDATE log_chunks SET first = ?2, expired = expired + ?3, count = count - ?3,
                    bytes = bytes - ?4
                 WHERE id = ?1",
            )?
            .execute(params![chunk.id, chunk.first, chunk.events, chunk.bytes])?;
        events += chunk.events;
        bytes += chunk.bytes;
    }
    if events > 0 {
        transaction.execute(
            "UPDATE log_groups SET stored_bytes = stored_bytes - ?2 WHERE key = ?1",
            params![group, bytes],
        )?;
        transaction.execute(
            "UPDATE log_streams SET first_event = (
                 SELECT MIN(first) FROM log_chunks WHERE stream_key = log_streams.key)
             WHERE group_key = ?1",
            [group],
        )?;
    }
    Ok(usize::try_from(events).unwrap_or_default())
}

/// A chunk that keeps its later events.
struct HalfExpired {
    id: i64,
    /// Time of the first event that is kept.
    first: i64,
    /// How many more than before are not kept.
    events: i64,
    /// What those count for.
    bytes: i64,
}

/// The chunks of a group that have events before a time and others.
fn half_expired(
    transaction: &Transaction<'_>,
    group: i64,
    before: i64,
) -> Result<Vec<HalfExpired>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, last, expired, body FROM log_chunks
         WHERE group_key = ?1 AND first < ?2 AND last >= ?2",
    )?;
    let mut rows = statement.query(params![group, before])?;
    let mut chunks = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, last, expired): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let body = row.get_ref(3)?.as_bytes().map_err(rusqlite::Error::from)?;
        let mut chunk = HalfExpired { id, first: last, events: 0, bytes: 0 };
        let expired = usize::try_from(expired).unwrap_or_default();
        for (time, message) in log_chunk::unpack(last, body)?.into_iter().skip(expired) {
            if time >= before {
                chunk.first = time;
                break;
            }
            chunk.events += 1;
            chunk.bytes += (message.len() + EVENT_BYTES) as i64;
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// Looks at the chunks that may hold events of a page, until the page has all of its events.
fn scan(
    connection: &Connection,
    group: i64,
    streams: &BTreeSet<i64>,
    page: &mut Page<'_>,
) -> Result<(), StoreError> {
    let query = page.query;
    let start = query.start.max(query.from.map_or(i64::MIN, |(time, _)| time));
    let end = query.end.min(query.before.map_or(i64::MAX, |(time, _)| time.saturating_add(1)));
    // Both indices hold all of these columns, so that only chunks of the page are read.
    let (column, key) = match streams.first() {
        Some(stream) if streams.len() == 1 => ("stream_key", *stream),
        _ => ("group_key", group),
    };
    let order = if query.backwards { "DESC" } else { "ASC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, first, last, stream_key FROM log_chunks
         WHERE {column} = ?1 AND first >= ?2 AND first < ?3 AND last >= ?4 ORDER BY first {order}"
    ))?;
    let mut rows = statement.query(params![key, start.saturating_sub(SPAN), end, start])?;
    while let Some(row) = rows.next()? {
        let (id, first, last, stream): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if !streams.is_empty() && !streams.contains(&stream) {
            continue;
        }
        let (best, best_of_others) = if query.backwards {
            (page.rank(last, last_event_id(id)), page.rank(first.saturating_add(SPAN), i64::MAX))
        } else {
            (page.rank(first, event_id(id, 0)), page.rank(first, 0))
        };
        if !page.has_room_for(best_of_others) {
            return Ok(());
        }
        if page.has_room_for(best) {
            read_chunk(connection, id, page)?;
        }
    }
    Ok(())
}

/// Puts the events of a chunk that belong there on the page.
fn read_chunk(connection: &Connection, id: i64, page: &mut Page<'_>) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT stream_key, last, expired, ingested, body FROM log_chunks WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let (stream, last, expired, ingested): (i64, i64, i64, i64) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let body = row.get_ref(4)?.as_bytes().map_err(rusqlite::Error::from)?;
    let expired = usize::try_from(expired).unwrap_or_default();
    let events = log_chunk::unpack(last, body)?;
    let numbered = events.iter().enumerate().skip(expired).map(|(place, (time, message))| {
        let place = (*time, event_id(id, place));
        (place, *message)
    });
    let wanted = numbered.filter(|(place, _)| page.asks_for(*place));
    // The best of a chunk come first, so that no other is copied that will be left out.
    let mut wanted: Vec<_> = wanted.collect();
    if page.query.backwards {
        wanted.reverse();
    }
    for ((time, id), message) in wanted {
        let rank = page.rank(time, id);
        if !page.has_room_for(rank) {
            break;
        }
        page.add(Found { rank, stream, time, id, ingested, message: message.to_owned() });
    }
    Ok(())
}

/// An event that may be on a page. The best are those of the least rank.
struct Found {
    rank: (i64, i64),
    stream: i64,
    time: i64,
    id: i64,
    ingested: i64,
    message: String,
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Found {}

/// The best events found so far, as many as were asked for.
struct Page<'query> {
    query: &'query LogQuery,
    /// The worst is on top.
    found: BinaryHeap<Found>,
    bytes: usize,
    is_end: bool,
}

impl<'query> Page<'query> {
    fn new(query: &'query LogQuery) -> Self {
        Self { query, found: BinaryHeap::new(), bytes: 0, is_end: true }
    }

    /// Where an event comes: the first to be given have the least rank.
    fn rank(&self, time: i64, id: i64) -> (i64, i64) {
        // The complement turns the order round without an overflow.
        if self.query.backwards { (!time, !id) } else { (time, id) }
    }

    /// Whether an event is among those that were asked for.
    fn asks_for(&self, place: (i64, i64)) -> bool {
        let query = self.query;
        place.0 >= query.start
            && place.0 < query.end
            && query.from.is_none_or(|from| place >= from)
            && query.before.is_none_or(|before| place < before)
    }

    /// Whether an event of this rank would be kept.
    fn has_room_for(&mut self, rank: (i64, i64)) -> bool {
        let is_full = self.found.len() >= self.query.limit || self.bytes >= self.query.bytes;
        let is_late = is_full && self.found.peek().is_some_and(|worst| worst.rank < rank);
        self.is_end &= !is_late;
        !is_late
    }

    fn add(&mut self, event: Found) {
        self.bytes += event.message.len();
        self.found.push(event);
        // What the page does not need any more goes.
        while let Some(worst) = self.found.peek() {
            let (others, rest) = (self.found.len() - 1, self.bytes - worst.message.len());
            if others < self.query.limit && (rest < self.query.bytes || others == 0) {
                break;
            }
            self.found.pop();
            self.bytes = rest;
            self.is_end = false;
        }
    }

    fn finish(self, connection: &Connection) -> Result<FoundEvents, StoreError> {
        let mut names: HashMap<i64, String> = HashMap::new();
        let mut events = Vec::with_capacity(self.found.len());
        for found in self.found.into_sorted_vec() {
            let stream = match names.get(&found.stream) {
                Some(name) => name.clone(),
                None => {
                    let name: Option<String> = connection
                        .prepare_cached("SELECT name FROM log_streams WHERE key = ?1")?
                        .query_row([found.stream], |row| row.get(0))
                        .optional()?;
                    names.entry(found.stream).or_insert(name.unwrap_or_default()).clone()
                }
            };
            events.push(LogEventRecord {
                id: found.id,
                stream,
                time: found.time,
                ingested: found.ingested,
                message: found.message,
            });
        }
        if self.query.backwards {
            events.reverse();
        }
        Ok(FoundEvents { events, is_end: self.is_end })
    }
}
