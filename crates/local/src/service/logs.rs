//! CloudWatch Logs: what clients ask of groups, streams and events, and write to them.

use std::collections::BTreeMap;

use super::{Cloud, LogsError, now, pattern::Pattern};
use crate::store::{
    EVENT_BYTES, FoundEvents, LogEventRecord, LogGroupRecord, LogGroupSettings, LogQuery, LogStreamQuery,
    LogStreamRecord, NewLogEvents, Scope, Store, StoreError,
};

/// The days for which a group may keep its events.
pub(crate) const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// How old and how far ahead events may be.
const OLDEST: i64 = 14 * DAY;
const NEWEST: i64 = 2 * HOUR;
/// The most bytes of one PutLogEvents, and of one page of events.
const MOST_BYTES: usize = 1_048_576;
/// The most tags of a group.
const MOST_TAGS: usize = 50;
/// The most events in one answer.
const PAGE: usize = 10_000;
/// The most events that one FilterLogEvents looks at before it hands out a token.
const MOST_SEARCHED: usize = 200_000;

/// Events that were not taken, by their place in the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// The first that is too far ahead.
    pub(crate) too_new_from: Option<usize>,
    /// Behind the last that is too old.
    pub(crate) too_old_to: Option<usize>,
    /// Behind the last that the group does not keep any more.
    pub(crate) expired_to: Option<usize>,
}

/// Which events of a stream to read.
#[derive(Default)]
pub(crate) struct GetEvents {
    pub(crate) stream: String,
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
    pub(crate) limit: Option<usize>,
    pub(crate) token: Option<String>,
    pub(crate) from_head: bool,
}

/// Events, and where to go on in both directions.
pub(crate) struct EventPage {
    pub(crate) events: Vec<LogEventRecord>,
    pub(crate) forward: String,
    pub(crate) backward: String,
}

/// Which events of a group to search.
#[derive(Default)]
pub(crate) struct FilterEvents {
    pub(crate) streams: Vec<String>,
    pub(crate) stream_prefix: Option<String>,
    pub(crate) start: Option<i64>,
    /// The first time that is not wanted.
    pub(crate) end: Option<i64>,
    pub(crate) limit: Option<usize>,
    pub(crate) token: Option<String>,
    pub(crate) pattern: Option<String>,
}

impl Cloud {
    /// Creates a group with its tags.
    pub(crate) async fn create_log_group(
        &self,
        scope: Scope,
        name: String,
        tags: BTreeMap<String, String>,
        settings: LogGroupSettings,
    ) -> Result<(), LogsError> {
        if tags.len() > MOST_TAGS {
            return Err(LogsError::TooManyTags);
        }
        self.blocking(move |store| {
            if store.create_log_group(&scope, &name, &tags, &settings, now())? {
                Ok(())
            } else {
                Err(LogsError::GroupExists)
            }
        })
        .await
    }

    /// The tags of a group.
    pub(crate) async fn log_group_tags(
        &self,
        scope: Scope,
        name: String,
    ) -> Result<BTreeMap<String, String>, LogsError> {
        self.blocking(move |store| store.log_group_tags(&scope, &name)?.ok_or(LogsError::NoSuchGroup)).await
    }

    /// Changes the tags of a group.
    pub(crate) async fn change_log_group_tags(
        &self,
        scope: Scope,
        name: String,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), LogsError> {
        self.blocking(move |store| {
            let change = |tags: &mut BTreeMap<String, String>| {
                change(tags);
                if tags.len() > MOST_TAGS { Err(LogsError::TooManyTags) } else { Ok(()) }
            };
            store.change_log_group_tags(&scope, &name, change)?.unwrap_or(Err(LogsError::NoSuchGroup))
        })
        .await
    }

    /// Says for how many days a group keeps its events; older ones go at once.
    pub(crate) async fn set_log_retention(
        &self,
        scope: Scope,
        name: String,
        days: Option<i64>,
    ) -> Result<(), LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| {
            if !store.set_log_retention(&scope, &name, days)? {
                return Err(LogsError::NoSuchGroup);
            }
            store.expire_log_events(now())?;
            Ok(())
        })
        .await
    }

    /// Deletes a group with everything in it.
    pub(crate) async fn delete_log_group(&self, scope: Scope, name: String) -> Result<(), LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| {
            if store.delete_log_group(&scope, &name)? { Ok(()) } else { Err(LogsError::NoSuchGroup) }
        })
        .await
    }

    /// Groups by name; the second value says where the next page begins.
    pub(crate) async fn log_groups(
        &self,
        scope: Scope,
        prefix: String,
        pattern: String,
        token: Option<String>,
        limit: usize,
    ) -> Result<(Vec<LogGroupRecord>, Option<String>), LogsError> {
        self.logs.flush().await;
        let after = token.unwrap_or_default();
        let found: Result<_, StoreError> =
            self.blocking(move |store| store.log_groups(&scope, &prefix, &pattern, &after, limit + 1)).await;
        Ok(super::iam::page(found?, limit, |group| group.name.clone()))
    }

    /// Creates a stream.
    pub(crate) async fn create_log_stream(
        &self,
        scope: Scope,
        group: String,
        name: String,
    ) -> Result<(), LogsError> {
        self.blocking(move |store| {
            if !store.has_log_group(&scope, &group)? {
                return Err(LogsError::NoSuchGroup);
            }
            if store.create_log_stream(&scope, &group, &name, now())? {
                Ok(())
            } else {
                Err(LogsError::StreamExists)
            }
        })
        .await
    }

    /// Deletes a stream with its events.
    pub(crate) async fn delete_log_stream(
        &self,
        scope: Scope,
        group: String,
        name: String,
    ) -> Result<(), LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| {
            if !store.has_log_group(&scope, &group)? {
                return Err(LogsError::NoSuchGroup);
            }
            if store.delete_log_stream(&scope, &group, &name)? {
                Ok(())
            } else {
                Err(LogsError::NoSuchStream)
            }
        })
        .await
    }

    /// Streams of a group; the second value says where the next page begins.
    pub(crate) async fn log_streams(
        &self,
        scope: Scope,
        group: String,
        mut query: LogStreamQuery,
        token: Option<String>,
    ) -> Result<(Vec<LogStreamRecord>, Option<String>), LogsError> {
        self.logs.flush().await;
        if let Some(token) = token {
            let (time, name) = token.split_once('/').ok_or(LogsError::BadToken)?;
            query.after = Some((time.parse().map_err(|_| LogsError::BadToken)?, name.to_owned()));
        }
        let limit = query.limit;
        query.limit = limit + 1;
        self.blocking(move |store| {
            if !store.has_log_group(&scope, &group)? {
                return Err(LogsError::NoSuchGroup);
            }
            let streams = store.log_streams(&scope, &group, &query)?;
            Ok(super::iam::page(streams, limit, |stream| {
                format!("{}/{}", stream.last_event.unwrap_or(-1), stream.name)
            }))
        })
        .await
    }

    /// Adds events to a stream that is there. What is too old or too far ahead is left out and
    /// named.
    pub(crate) async fn put_log_events(
        &self,
        scope: Scope,
        group: String,
        stream: String,
        events: Vec<(i64, String)>,
    ) -> Result<Rejected, LogsError> {
        check_batch(&events)?;
        self.blocking(move |store| {
            let retention = store.log_retention(&scope, &group)?.ok_or(LogsError::NoSuchGroup)?;
            if !store.has_log_stream(&scope, &group, &stream)? {
                return Err(LogsError::NoSuchStream);
            }
            let ingested = now();
            let (events, rejected) = taken(events, ingested, retention);
            let batch = NewLogEvents { scope, group, stream, function: None, ingested, events };
            if !batch.events.is_empty() {
                store.add_log_events(&[batch])?;
            }
            Ok(rejected)
        })
        .await
    }

    /// Reads events of one stream.
    pub(crate) async fn log_events(
        &self,
        scope: Scope,
        group: String,
        get: GetEvents,
    ) -> Result<EventPage, LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| read_events(store, scope, group, get)).await
    }

    /// Searches the events of a group; the second value says where to go on.
    pub(crate) async fn filter_log_events(
        &self,
        scope: Scope,
        group: String,
        filter: FilterEvents,
    ) -> Result<(Vec<LogEventRecord>, Option<String>), LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| search_events(store, scope, group, filter)).await
    }
}

fn check_batch(events: &[(i64, String)]) -> Result<(), LogsError> {
    let bytes: usize = events.iter().map(|(_, message)| message.len() + EVENT_BYTES).sum();
    if bytes > MOST_BYTES {
        return Err(LogsError::TooManyBytes { bytes, most: MOST_BYTES });
    }
    if !events.is_sorted_by_key(|(time, _)| *time) {
        return Err(LogsError::NotChronological);
    }
    match (events.first(), events.last()) {
        (Some((first, _)), Some((last, _))) if last.saturating_sub(*first) > DAY => {
            Err(LogsError::TooLongSpan)
        }
        _ => Ok(()),
    }
}

/// The events that are taken, and the places of the others. The events are in order.
fn taken(events: Vec<(i64, String)>, now: i64, retention: Option<i64>) -> (Vec<(i64, String)>, Rejected) {
    let kept_from = retention.map_or(i64::MIN, |days| now - days * DAY);
    let too_old = events.iter().take_while(|(time, _)| *time < now - OLDEST).count();
    let expired = events.iter().take_while(|(time, _)| *time < kept_from).count();
    let in_time = events.iter().take_while(|(time, _)| *time <= now + NEWEST).count();
    let rejected = Rejected {
        too_new_from: (in_time < events.len()).then_some(in_time),
        too_old_to: (too_old > 0).then_some(too_old),
        expired_to: (expired > too_old).then_some(expired),
    };
    let first = too_old.max(expired);
    let taken = events.into_iter().take(in_time).skip(first).collect();
    (taken, rejected)
}

/// A place between two events: before the one with this time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(i64, i64);

impl Place {
    fn before(event: &LogEventRecord) -> Self {
        Self(event.time, event.id)
    }

    fn behind(event: &LogEventRecord) -> Self {
        Self(event.time, event.id.saturating_add(1))
    }

    fn text(self, direction: char) -> String {
        format!("{direction}/{}/{}", self.0, self.1)
    }

    /// The direction and the place of a token.
    fn parse(text: &str) -> Result<(char, Self), LogsError> {
        let parts: Vec<_> = text.split('/').collect();
        let number = |text: &str| text.parse().map_err(|_| LogsError::BadToken);
        match parts[..] {
            ["f", time, id] => Ok(('f', Self(number(time)?, number(id)?))),
            ["b", time, id] => Ok(('b', Self(number(time)?, number(id)?))),
            _ => Err(LogsError::BadToken),
        }
    }
}

fn read_events(store: &Store, scope: Scope, group: String, get: GetEvents) -> Result<EventPage, LogsError> {
    if !store.has_log_group(&scope, &group)? {
        return Err(LogsError::NoSuchGroup);
    }
    if !store.has_log_stream(&scope, &group, &get.stream)? {
        return Err(LogsError::NoSuchStream);
    }
    let place = get.token.as_deref().map(Place::parse).transpose()?;
    let backwards = place.map_or(!get.from_head, |(direction, _)| direction == 'b');
    let start = get.start.unwrap_or(i64::MIN);
    let query = LogQuery {
        scope,
        group,
        streams: vec![get.stream],
        start,
        end: get.end.unwrap_or(i64::MAX),
        from: place.filter(|(direction, _)| *direction == 'f').map(|(_, place)| (place.0, place.1)),
        before: place.filter(|(direction, _)| *direction == 'b').map(|(_, place)| (place.0, place.1)),
        backwards,
        limit: get.limit.unwrap_or(PAGE).min(PAGE),
        bytes: MOST_BYTES,
    };
    let mut events = store.log_events(&query)?.events;
    cut_to_bytes(&mut events, backwards);
    // Without events the place stays where it was, and the token with it.
    let kept = place.map_or(Place(start.max(0), 0), |(_, place)| place);
    let forward = events.last().map_or(kept, Place::behind).text('f');
    let backward = events.first().map_or(kept, Place::before).text('b');
    Ok(EventPage { events, forward, backward })
}

/// A page has a mebibyte of messages at most, and one event at least.
fn cut_to_bytes(events: &mut Vec<LogEventRecord>, from_end: bool) {
    let mut bytes = 0;
    let mut fits = |event: &LogEventRecord| {
        let is_first = bytes == 0;
        bytes += event.message.len();
        is_first || bytes <= MOST_BYTES
    };
    if from_end {
        let count = events.iter().rev().take_while(|event| fits(event)).count();
        events.drain(..events.len() - count);
    } else {
        let count = events.iter().take_while(|event| fits(event)).count();
        events.truncate(count);
    }
}

fn search_events(
    store: &Store,
    scope: Scope,
    group: String,
    filter: FilterEvents,
) -> Result<(Vec<LogEventRecord>, Option<String>), LogsError> {
    if !store.has_log_group(&scope, &group)? {
        return Err(LogsError::NoSuchGroup);
    }
    let pattern =
        filter.pattern.as_deref().map(Pattern::parse).transpose().map_err(|_| LogsError::BadPattern)?;
    let mut streams = filter.streams;
    for stream in &streams {
        if !store.has_log_stream(&scope, &group, stream)? {
            return Err(LogsError::NoSuchStream);
        }
    }
    if let Some(prefix) = filter.stream_prefix {
        let query = LogStreamQuery { prefix, limit: usize::MAX >> 1, ..LogStreamQuery::default() };
        streams = store.log_streams(&scope, &group, &query)?.into_iter().map(|found| found.name).collect();
        if streams.is_empty() {
            return Ok((Vec::new(), None));
        }
    }
    let place = filter.token.as_deref().map(Place::parse).transpose()?;
    let mut query = LogQuery {
        scope,
        group,
        streams,
        start: filter.start.unwrap_or(i64::MIN),
        end: filter.end.unwrap_or(i64::MAX),
        from: place.map(|(_, place)| (place.0, place.1)),
        before: None,
        backwards: false,
        limit: PAGE,
        bytes: MOST_BYTES,
    };
    let limit = filter.limit.unwrap_or(PAGE).min(PAGE);
    let (mut found, mut bytes, mut searched) = (Vec::new(), 0, 0);
    loop {
        let FoundEvents { events, is_end: is_last } = store.log_events(&query)?;
        let count = events.len();
        searched += count;
        for (number, event) in (1..).zip(events) {
            let place = Place::behind(&event);
            query.from = Some((place.0, place.1));
            if pattern.as_ref().is_none_or(|pattern| pattern.matches(&event.message)) {
                bytes += event.message.len();
                found.push(event);
            }
            if found.len() >= limit || bytes >= MOST_BYTES {
                let is_end = is_last && number == count;
                return Ok((found, (!is_end).then(|| place.text('f'))));
            }
        }
        match query.from {
            Some((time, id)) if !is_last && searched >= MOST_SEARCHED => {
                return Ok((found, Some(Place(time, id).text('f'))));
            }
            _ if is_last => return Ok((found, None)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn check(times: &[i64], retention: Option<i64>) -> String {
        let events: Vec<_> = times.iter().map(|age| (NOW - age, String::new())).collect();
        let (taken, rejected) = taken(events, NOW, retention);
        let ages: Vec<_> = taken.iter().map(|(time, _)| NOW - time).collect();
        format!("{ages:?} {:?} {:?} {:?}", rejected.too_new_from, rejected.too_old_to, rejected.expired_to)
    }

    #[test]
    fn events_that_are_too_old_or_too_new_are_left_out() {
        assert_eq!(check(&[DAY, 0], None), format!("[{DAY}, 0] None None None"));
        assert_eq!(
            check(&[15 * DAY, 14 * DAY + 1, 14 * DAY], None),
            format!("[{}] None Some(2) None", 14 * DAY)
        );
        assert_eq!(
            check(&[0, -2 * HOUR, -2 * HOUR - 1], None),
            format!("[0, {}] Some(2) None None", -2 * HOUR)
        );
        assert_eq!(check(&[2 * DAY, DAY], Some(1)), format!("[{DAY}] None None Some(1)"));
        assert_eq!(check(&[20 * DAY], Some(30)), "[] None Some(1) None");
    }

    #[test]
    fn a_batch_has_an_order_and_a_size() {
        let batch = |times: &[i64]| times.iter().map(|time| (*time, String::new())).collect::<Vec<_>>();
        assert!(check_batch(&batch(&[1, 1, 2])).is_ok());
        assert!(matches!(check_batch(&batch(&[2, 1])), Err(LogsError::NotChronological)));
        assert!(check_batch(&batch(&[0, DAY])).is_ok());
        assert!(matches!(check_batch(&batch(&[0, DAY + 1])), Err(LogsError::TooLongSpan)));
        let sized = |bytes: usize| vec![(0, "a".repeat(bytes - EVENT_BYTES))];
        assert!(check_batch(&sized(MOST_BYTES)).is_ok());
        assert!(matches!(check_batch(&sized(MOST_BYTES + 1)), Err(LogsError::TooManyBytes { .. })));
    }
}
