//! CloudWatch Logs: the functions' real logs, and those that clients write.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;

use super::{Cloud, LogsError, now};
use crate::store::{
    LogEventRecord, LogGroupRecord, LogQuery, LogStreamRecord, NewLogEvents, Scope, Store, StoreError,
};

/// Where invocations leave their log without waiting for the disk.
pub(crate) struct LogSink {
    sender: mpsc::UnboundedSender<Message>,
}

enum Message {
    Events(NewLogEvents),
    Flush(tokio::sync::oneshot::Sender<()>),
}

impl LogSink {
    /// Starts the thread that writes. It ends when the sink is dropped, after writing everything.
    pub(super) fn start(store: &Arc<Store>) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let store = Arc::clone(store);
        std::thread::spawn(move || {
            while let Some(first) = receiver.blocking_recv() {
                let mut batches = Vec::new();
                let mut waiting = Vec::new();
                let mut take = |message| match message {
                    Message::Events(batch) => batches.push(batch),
                    Message::Flush(done) => waiting.push(done),
                };
                take(first);
                // Everything that came in meanwhile becomes one commit.
                while let Ok(next) = receiver.try_recv() {
                    take(next);
                }
                if let Err(error) = store.add_log_events(&batches) {
                    tracing::warn!(%error, "log events were lost");
                }
                for done in waiting {
                    let _ = done.send(());
                }
            }
        });
        Self { sender }
    }

    /// Leaves events to be written.
    pub(super) fn add(&self, events: NewLogEvents) {
        let _ = self.sender.send(Message::Events(events));
    }

    /// Waits until everything left so far is written, so that a reader sees it.
    pub(crate) async fn flush(&self) {
        let (done, written) = tokio::sync::oneshot::channel();
        if self.sender.send(Message::Flush(done)).is_ok() {
            let _ = written.await;
        }
    }
}

/// Which events of a group to read.
#[derive(Default)]
pub(crate) struct GetEvents {
    pub(crate) streams: Vec<String>,
    pub(crate) stream_prefix: Option<String>,
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
    pub(crate) limit: Option<usize>,
    pub(crate) token: Option<String>,
    pub(crate) from_head: bool,
    pub(crate) pattern: Option<String>,
}

/// Events, and where to go on.
pub(crate) struct EventPage {
    pub(crate) events: Vec<LogEventRecord>,
    pub(crate) forward: String,
    pub(crate) backward: String,
    /// Whether there may be more.
    pub(crate) more: bool,
}

/// The most events in one answer.
const PAGE: usize = 10_000;

impl Cloud {
    /// Creates a group with its tags.
    pub(crate) async fn create_log_group(
        &self,
        scope: Scope,
        name: String,
        tags: BTreeMap<String, String>,
    ) -> Result<(), LogsError> {
        self.blocking(move |store| {
            if store.create_log_group(&scope, &name, &tags, now())? {
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
        let mut groups = found?;
        let more = groups.len() > limit;
        groups.truncate(limit);
        let next = if more { groups.last().map(|last| last.name.clone()) } else { None };
        Ok((groups, next))
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

    /// The streams of a group.
    pub(crate) async fn log_streams(
        &self,
        scope: Scope,
        group: String,
        prefix: String,
    ) -> Result<Vec<LogStreamRecord>, LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| {
            if !store.has_log_group(&scope, &group)? {
                return Err(LogsError::NoSuchGroup);
            }
            Ok(store.log_streams(&scope, &group, &prefix)?)
        })
        .await
    }

    /// Adds events to a stream that is there.
    pub(crate) async fn put_log_events(
        &self,
        scope: Scope,
        group: String,
        stream: String,
        events: Vec<(i64, String)>,
    ) -> Result<(), LogsError> {
        self.blocking(move |store| {
            if !store.has_log_group(&scope, &group)? {
                return Err(LogsError::NoSuchGroup);
            }
            if !store.has_log_stream(&scope, &group, &stream)? {
                return Err(LogsError::NoSuchStream);
            }
            Ok(store.add_log_events(&[NewLogEvents {
                scope,
                group,
                stream,
                function: None,
                ingested: now(),
                events,
            }])?)
        })
        .await
    }

    /// Reads events.
    pub(crate) async fn log_events(
        &self,
        scope: Scope,
        group: String,
        get: GetEvents,
    ) -> Result<EventPage, LogsError> {
        self.logs.flush().await;
        self.blocking(move |store| read_events(store, scope, group, get)).await
    }
}

fn read_events(store: &Store, scope: Scope, group: String, get: GetEvents) -> Result<EventPage, LogsError> {
    if !store.has_log_group(&scope, &group)? {
        return Err(LogsError::NoSuchGroup);
    }
    let mut streams = get.streams;
    for stream in &streams {
        if !store.has_log_stream(&scope, &group, stream)? {
            return Err(LogsError::NoSuchStream);
        }
    }
    if let Some(prefix) = &get.stream_prefix {
        streams = store.log_streams(&scope, &group, prefix)?.into_iter().map(|found| found.name).collect();
        if streams.is_empty() {
            return Ok(EventPage {
                events: Vec::new(),
                forward: String::new(),
                backward: String::new(),
                more: false,
            });
        }
    }
    let pattern = get.pattern.as_deref().map(Pattern::parse).transpose()?;
    let limit = get.limit.unwrap_or(PAGE).min(PAGE);
    let place = get.token.as_deref().map(Place::parse).transpose()?;
    let mut query = LogQuery {
        scope,
        group,
        streams,
        start: get.start.unwrap_or(i64::MIN),
        end: get.end.unwrap_or(i64::MAX),
        after: None,
        before: None,
        newest: place.is_none() && !get.from_head,
        limit,
    };
    match place {
        Some(Place::After(at)) => query.after = Some(at),
        Some(Place::Before(at)) => query.before = Some(at),
        None => {}
    }
    let mut events = store.log_events(&query)?;
    let more = events.len() == limit;
    let ends = |event: Option<&LogEventRecord>| event.map(|event| (event.time, event.id));
    // Without events the place stays where it was, and the token with it.
    let kept = query.after.or(query.before).unwrap_or((0, 0));
    let forward = Place::After(ends(events.last()).unwrap_or(kept)).text();
    let backward = Place::Before(ends(events.first()).unwrap_or(kept)).text();
    if let Some(pattern) = pattern {
        events.retain(|event| pattern.matches(&event.message));
    }
    Ok(EventPage { events, forward, backward, more })
}

/// A place between two events.
enum Place {
    After((i64, i64)),
    Before((i64, i64)),
}

impl Place {
    fn text(&self) -> String {
        match self {
            Self::After((time, id)) => format!("f/{time}/{id}"),
            Self::Before((time, id)) => format!("b/{time}/{id}"),
        }
    }

    fn parse(text: &str) -> Result<Self, LogsError> {
        let parts: Vec<_> = text.split('/').collect();
        let [kind, time, id] = parts[..] else {
            return Err(LogsError::BadToken);
        };
        let at =
            (time.parse().map_err(|_| LogsError::BadToken)?, id.parse().map_err(|_| LogsError::BadToken)?);
        match kind {
            "f" => Ok(Self::After(at)),
            "b" => Ok(Self::Before(at)),
            _ => Err(LogsError::BadToken),
        }
    }
}

/// The plain part of CloudWatch's filter patterns: words that must all be there, `-word` that
/// must not, `?word` of which one must be there, and quoted texts.
struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, LogsError> {
        let mut pattern = Self { all: Vec::new(), any: Vec::new(), none: Vec::new() };
        let mut rest = text.trim();
        if rest.starts_with(['{', '[', '%']) {
            return Err(LogsError::PatternNotBuilt);
        }
        while !rest.is_empty() {
            let list = match rest.as_bytes()[0] {
                b'-' => &mut pattern.none,
                b'?' => &mut pattern.any,
                _ => &mut pattern.all,
            };
            rest = rest.strip_prefix(['-', '?']).unwrap_or(rest);
            let (word, behind) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or(LogsError::PatternNotBuilt)?,
                None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            };
            list.push(word.to_owned());
            rest = behind.trim_start();
        }
        Ok(pattern)
    }

    fn matches(&self, message: &str) -> bool {
        let has = |word: &String| message.contains(word.as_str());
        self.all.iter().all(has)
            && !self.none.iter().any(has)
            && (self.any.is_empty() || self.any.iter().any(has))
    }
}
