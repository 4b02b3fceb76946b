//! The way of the functions' logs from their calls to the disk.
//!
//! Owns what waits in between and the thread that writes it, many calls in one commit. Never makes
//! an invocation wait, and never holds more than a bound: what comes faster than the disk takes it
//! is counted, and the stream says how many events it lost.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::now;
use crate::{
    sandbox::{EnvironmentSpec, LateLog, LogEvent},
    store::{LogBatch, Store, StoreError},
};

/// How long logs are collected before they are written, unless somebody wants to read them.
const GATHER: Duration = Duration::from_millis(100);
/// So many bytes are written without waiting for more.
const BATCH_BYTES: usize = 4 << 20;
/// The most that waits for the disk, in bytes.
const MOST_WAITING: usize = 64 << 20;
/// What an event costs beside its text.
const EVENT_COST: usize = size_of::<LogEvent>() + 32;
/// For how many logs the writer keeps room.
const KEPT_ROOM: usize = 4096;
/// The most streams whose losses are counted.
const MOST_LOSERS: usize = 10_000;

/// The log of one call.
pub(crate) struct CallLog {
    /// Whose, and the group that it goes to.
    pub(crate) environment: Arc<EnvironmentSpec>,
    /// The stream of the environment that ran the call.
    pub(crate) stream: Arc<str>,
    /// The lines.
    pub(crate) events: Arc<Vec<LogEvent>>,
}

impl CallLog {
    /// What it takes in memory.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.events.iter().map(|event| event.text.len() + EVENT_COST).sum::<usize>()
    }
}

/// Where invocations leave their log without waiting for the disk.
pub(crate) struct LogSink {
    shared: Arc<Shared>,
    /// Ends the thread that deletes old events when it is dropped.
    _expiry: std::sync::mpsc::Sender<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the writer, who alone waits for it.
    wake: Condvar,
    most_waiting: usize,
}

#[derive(Default)]
struct State {
    waiting: Vec<CallLog>,
    /// What waits and what is being written take in memory.
    bytes: usize,
    lost: HashMap<Arc<str>, Loss>,
    readers: Vec<oneshot::Sender<()>>,
    writer: Writer,
    is_closed: bool,
}

/// Events of a stream that were not written.
struct Loss {
    environment: Arc<EnvironmentSpec>,
    events: usize,
}

/// What the thread does that writes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Writer {
    /// It writes, or was woken and will look at everything: it need not be woken.
    #[default]
    Awake,
    /// It has seen logs and waits for more.
    Gathering,
    /// It has nothing to do.
    Asleep,
}

impl State {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.lost.is_empty()
    }

    /// Whether what waits has to be written now.
    fn is_urgent(&self) -> bool {
        self.is_closed || !self.readers.is_empty() || self.bytes >= BATCH_BYTES
    }

    /// Counts what a stream has lost.
    fn lose(&mut self, environment: &Arc<EnvironmentSpec>, stream: &Arc<str>, events: usize) {
        if let Some(loss) = self.lost.get_mut(stream) {
            loss.events += events;
        } else if self.lost.len() < MOST_LOSERS {
            let environment = Arc::clone(environment);
            self.lost.insert(Arc::clone(stream), Loss { environment, events });
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves no half-made state: every change is one push or one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, log: CallLog) {
        let cost = log.cost();
        self.change(|state| {
            if state.bytes + cost > self.most_waiting {
                state.lose(&log.environment, &log.stream, log.events.len());
            } else {
                state.bytes += cost;
                state.waiting.push(log);
            }
        });
    }

    /// Changes the state, and wakes the writer if it has to know: at most once for each batch.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakes = match state.writer {
            Writer::Awake => false,
            Writer::Gathering => state.is_urgent(),
            Writer::Asleep => true,
        };
        if wakes {
            state.writer = Writer::Awake;
        }
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
    }
}

impl LogSink {
    /// Starts the thread that writes. It ends when the sink is dropped, after writing everything.
    pub(super) fn start(store: &Arc<Store>) -> Self {
        Self::bounded(store, MOST_WAITING)
    }

    fn bounded(store: &Arc<Store>, most_waiting: usize) -> Self {
        let expiry = expire_old_events(Arc::clone(store));
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), most_waiting });
        std::thread::spawn({
            let (shared, store) = (Arc::clone(&shared), Arc::clone(store));
            move || write_all(&shared, &store)
        });
        Self { shared, _expiry: expiry }
    }

    /// Leaves the log of a call to be written.
    pub(super) fn add(&self, log: CallLog) {
        self.shared.add(log);
    }

    /// Where environments leave lines that belong to no answer.
    pub(super) fn of_environments(&self) -> LateLog {
        let shared = Arc::downgrade(&self.shared);
        LateLog::new(move |environment, stream, events| {
            let Some(shared) = shared.upgrade() else { return };
            let log = CallLog { environment: Arc::clone(environment), stream: Arc::clone(stream), events };
            shared.add(log);
        })
    }

    /// Waits until everything left so far is written, so that a reader sees it.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.shared.change(|state| {
            // What is being written counts until it is on the disk.
            if state.bytes > 0 || !state.is_empty() {
                state.readers.push(done);
            }
        });
        // Without anything to wait for the other end is gone already.
        let _ = written.await;
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        self.shared.change(|state| state.is_closed = true);
    }
}

/// The thread that writes, until the sink is gone and nothing is left.
fn write_all(shared: &Shared, store: &Store) {
    let mut logs = Vec::new();
    loop {
        let mut state = shared.state();
        while state.waiting.is_empty() && !state.is_urgent() {
            state.writer = Writer::Asleep;
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let deadline = Instant::now() + GATHER;
        while !state.is_urgent() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.writer = Writer::Gathering;
            state = shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.writer = Writer::Awake;
        // The two vectors take turns, so that neither has to grow again.
        std::mem::swap(&mut state.waiting, &mut logs);
        let (lost, readers) = (std::mem::take(&mut state.lost), std::mem::take(&mut state.readers));
        let is_last = state.is_closed;
        drop(state);
        let written = if logs.is_empty() && lost.is_empty() { Ok(()) } else { write(store, &logs, &lost) };
        let cost: usize = logs.iter().map(CallLog::cost).sum();
        let mut state = shared.state();
        state.bytes -= cost;
        if let Err(error) = &written {
            tracing::warn!(%error, "log events were lost");
            for log in &logs {
                state.lose(&log.environment, &log.stream, log.events.len());
            }
            for (stream, loss) in &lost {
                state.lose(&loss.environment, stream, loss.events);
            }
        }
        drop(state);
        logs.clear();
        logs.shrink_to(KEPT_ROOM);
        for reader in readers {
            let _ = reader.send(());
        }
        if is_last {
            return;
        }
    }
}

/// Puts the logs of all calls of a stream together and writes them in one commit.
fn write(store: &Store, logs: &[CallLog], lost: &HashMap<Arc<str>, Loss>) -> Result<(), StoreError> {
    let ingested = now();
    let losses: Vec<_> = lost
        .iter()
        .map(|(stream, loss)| {
            let line = format!(
                "[layercake] {} events are missing here: they came faster than the disk took them\n",
                loss.events
            );
            (stream, loss, line)
        })
        .collect();
    let mut batches = Batches { ingested, all: Vec::new(), places: HashMap::new() };
    for log in logs {
        let events = log.events.iter().map(|event| (event.timestamp_ms, event.text.as_str()));
        batches.of(&log.environment, &log.stream).extend(events);
    }
    for (stream, loss, line) in &losses {
        batches.of(&loss.environment, stream).push((ingested, line));
    }
    store.add_log_batches(batches.all)
}

/// A batch for each stream.
struct Batches<'a> {
    ingested: i64,
    all: Vec<LogBatch<'a>>,
    /// The number of a stream's batch. Only the environments of one function have its name.
    places: HashMap<(&'a str, *const EnvironmentSpec), usize>,
}

impl<'a> Batches<'a> {
    /// The events of a stream, to add to.
    fn of(&mut self, environment: &'a Arc<EnvironmentSpec>, stream: &'a str) -> &mut Vec<(i64, &'a str)> {
        let place = *self.places.entry((stream, Arc::as_ptr(environment))).or_insert_with(|| {
            self.all.push(LogBatch {
                account: environment.account.as_str(),
                region: environment.region.as_str(),
                group: &environment.log_group,
                stream,
                function: Some(environment.function_name.as_str()),
                ingested: self.ingested,
                events: Vec::new(),
            });
            self.all.len() - 1
        });
        &mut self.all[place].events
    }
}

/// How often old events are looked for.
const EXPIRY: Duration = Duration::from_secs(60 * 60);

/// Deletes what is older than its group keeps it, now and every hour, until the sender is gone.
fn expire_old_events(store: Arc<Store>) -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        loop {
            match store.expire_log_events(now()) {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "old log events were deleted"),
                Err(StoreError::ShuttingDown) => return,
                Err(error) => tracing::warn!(%error, "old log events were not deleted"),
            }
            if receiver.recv_timeout(EXPIRY) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
                return;
            }
        }
    });
    sender
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::{LogGroupSettings, LogQuery, Scope};

    const GROUP: &str = "/aws/lambda/f";

    fn environment() -> Arc<EnvironmentSpec> {
        Arc::new(EnvironmentSpec {
            region: "us-east-1".parse().expect("a region"),
            account: "123456789012".parse().expect("an account"),
            function_name: "f".parse().expect("a function name"),
            version: "$LATEST".to_owned(),
            revision: "r".to_owned(),
            runtime: "python3.12".parse().expect("a runtime"),
            handler: "app.handler".to_owned(),
            memory_mb: 128,
            timeout: Duration::from_secs(3),
            tmp_mb: 512,
            log_group: GROUP.to_owned(),
            log_format: crate::sandbox::LogFormat::Text,
            variables: BTreeMap::new(),
            task: "/nowhere".into(),
            opt: None,
            network: crate::sandbox::Network::Host,
        })
    }

    fn store() -> (tempfile::TempDir, Arc<Store>, Scope) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = camino::Utf8Path::from_path(folder.path()).expect("UTF-8").join("data");
        let store = Store::open(&path).expect("a store");
        let EnvironmentSpec { account, region, .. } = (*environment()).clone();
        let scope = Scope { account, region };
        let made = store.create_log_group(&scope, GROUP, &BTreeMap::new(), &LogGroupSettings::default(), 1);
        assert!(made.expect("written"));
        (folder, store, scope)
    }

    fn log(environment: &Arc<EnvironmentSpec>, stream: &str, lines: &[&str]) -> CallLog {
        let event = |line: &&str| LogEvent { timestamp_ms: now(), text: (*line).to_owned() };
        let events = Arc::new(lines.iter().map(event).collect());
        CallLog { environment: Arc::clone(environment), stream: stream.into(), events }
    }

    fn written(store: &Store, scope: &Scope) -> String {
        let query = LogQuery {
            scope: scope.clone(),
            group: GROUP.to_owned(),
            streams: Vec::new(),
            start: i64::MIN,
            end: i64::MAX,
            from: None,
            before: None,
            backwards: false,
            limit: 1_000_000,
            bytes: usize::MAX,
        };
        let mut events = store.log_events(&query).expect("readable").events;
        events.sort_by(|left, right| (&left.stream, left.id).cmp(&(&right.stream, right.id)));
        events.iter().map(|event| format!("{} {}", event.stream, event.message)).collect()
    }

    #[tokio::test]
    async fn a_reader_sees_what_was_left_before() {
        let (_folder, store, scope) = store();
        let sink = LogSink::start(&store);
        let environment = environment();
        sink.flush().await;
        for call in ["1", "2"] {
            sink.add(log(&environment, "a", &[&format!("START {call}\n"), &format!("END {call}\n")]));
            sink.add(log(&environment, "b", &[&format!("only {call}\n")]));
            sink.flush().await;
        }
        insta::assert_snapshot!(written(&store, &scope), @r"
        a START 1
        a END 1
        a START 2
        a END 2
        b only 1
        b only 2
        ");
    }

    #[tokio::test]
    async fn what_the_disk_does_not_take_in_time_is_counted() {
        let (_folder, store, scope) = store();
        let environment = environment();
        let small = log(&environment, "a", &["small\n"]);
        let sink = LogSink::bounded(&store, small.cost());
        for _ in 0..3 {
            sink.add(log(&environment, "a", &["too", "large"]));
        }
        sink.add(small);
        sink.flush().await;
        sink.flush().await;
        insta::assert_snapshot!(written(&store, &scope), @r"
        a small
        a [layercake] 6 events are missing here: they came faster than the disk took them
        ");
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_said_when_it_works_again() {
        let (_folder, store, scope) = store();
        let environment = environment();
        let sink = LogSink::start(&store);
        // The test's own connection keeps the table away from the sink.
        let database = rusqlite::Connection::open(store.root().join("cloud.sqlite")).expect("the database");
        database.execute_batch("ALTER TABLE log_chunks RENAME TO hidden").expect("renamed");
        sink.add(log(&environment, "a", &["1\n", "2\n"]));
        sink.flush().await;
        database.execute_batch("ALTER TABLE hidden RENAME TO log_chunks").expect("renamed");
        sink.add(log(&environment, "a", &["3\n"]));
        sink.flush().await;
        insta::assert_snapshot!(written(&store, &scope), @r"
        a 3
        a [layercake] 2 events are missing here: they came faster than the disk took them
        ");
    }

    #[test]
    fn what_is_left_when_the_sink_goes_is_written() {
        let (_folder, store, scope) = store();
        let sink = LogSink::start(&store);
        sink.add(log(&environment(), "a", &["last words\n"]));
        let shared = Arc::downgrade(&sink.shared);
        drop(sink);
        let deadline = Instant::now() + Duration::from_secs(60);
        while shared.strong_count() > 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        insta::assert_snapshot!(written(&store, &scope), @"a last words");
    }

    /// Figures, not a verdict: `cargo test -p layercake-local --lib -- --ignored --nocapture
    /// what_the_log_of_a_call_costs`. With a pause after each call the load is low, and without one
    /// the sink collects as much as it may.
    #[test]
    #[ignore = "a benchmark"]
    fn what_the_log_of_a_call_costs() {
        let (_folder, store, _) = store();
        let sink = LogSink::start(&store);
        let environment = environment();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let make = |call: usize| {
            let id = format!("8f6c9b1e-2a77-4a55-9f0e-{call:012}");
            let lines = [
                format!("START RequestId: {id} Version: $LATEST\n"),
                "hello from the handler, with some words\n".to_owned(),
                format!("END RequestId: {id}\n"),
                format!(
                    "REPORT RequestId: {id}\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t\
                     Max Memory Used: 30 MB\t\n"
                ),
            ];
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            log(&environment, &format!("2026/01/01/[$LATEST]{:032}", call % 4), &lines)
        };
        for (pause, count) in [(0, 20_000), (50, 2_000)] {
            let logs: Vec<_> = (0..count).map(make).collect();
            let (begun, before) = (Instant::now(), processor_time());
            let mut adding = Duration::ZERO;
            for log in logs {
                if pause > 0 {
                    std::thread::sleep(Duration::from_micros(pause));
                }
                let begun = Instant::now();
                sink.add(log);
                adding += begun.elapsed();
            }
            runtime.block_on(sink.flush());
            let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
            println!(
                "{count} calls, a pause of {pause} us: {:.2} us of CPU per call, {:.2} us in the call's way, \
                 {:.0} ms in all",
                each(processor_time() - before),
                each(adding),
                begun.elapsed().as_secs_f64() * 1e3
            );
        }
    }

    /// What this process's threads have used of the processors.
    fn processor_time() -> Duration {
        let threads = fs_err::read_dir("/proc/self/task").expect("the threads");
        let nanoseconds = threads.map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let figures = fs_err::read_to_string(path).expect("its figures");
            figures.split(' ').next().and_then(|first| first.parse::<u64>().ok()).expect("a number")
        });
        Duration::from_nanos(nanoseconds.sum())
    }
}
