//! One subscriber's queue and the task that empties it.
//!
//! Owns the bounds: a subscriber that is slow or gone costs so much memory and no time, and learns
//! what it has missed.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    super::{
        log::now_ms,
        loopback::Loopback,
        platform_event::{PlatformEvent, time_text},
    },
    subscription::{Buffering, Destination},
};

/// How long a subscriber may take to take one batch. It may be frozen between two calls.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// AWS's words for what a queue had no room for.
const SLOW: &str = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.";

/// A queue whose content is on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    queue: Arc<Queue>,
    sending: JoinHandle<()>,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    buffering: Buffering,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Bytes>,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
    flush: bool,
    dropped: u64,
    dropped_bytes: u64,
}

impl Delivery {
    pub(super) fn start(destination: Destination, buffering: Buffering, loopback: Loopback) -> Self {
        let queue = Arc::new(Queue { waiting: Mutex::default(), changed: Notify::new(), buffering });
        let sending = tokio::spawn(send_all(Arc::clone(&queue), destination, loopback));
        Self { queue, sending }
    }

    /// Adds an event; drops it where the queue is full.
    pub(super) fn push(&self, event: Bytes) {
        self.queue.push(event);
    }

    /// Sends what there is without waiting for more.
    pub(super) fn flush(&self) {
        let mut waiting = self.queue.waiting();
        waiting.flush = !waiting.events.is_empty();
        drop(waiting);
        self.queue.changed.notify_one();
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Bytes) {
        let Buffering { most_items, most_bytes, .. } = self.buffering;
        let mut waiting = self.waiting();
        // A batch may be on its way while the next one fills.
        let full = waiting.events.len() >= 2 * most_items || waiting.bytes + event.len() > 2 * most_bytes;
        if full && !waiting.events.is_empty() {
            waiting.dropped += 1;
            waiting.dropped_bytes += event.len() as u64;
            return;
        }
        waiting.bytes += event.len();
        waiting.events.push_back(event);
        let first = waiting.since.is_none();
        waiting.since.get_or_insert_with(Instant::now);
        if first || waiting.is_full(self.buffering) {
            drop(waiting);
            self.changed.notify_one();
        }
    }

    /// Waits for a batch: enough of it, or old enough.
    async fn batch(&self) -> Vec<Bytes> {
        loop {
            let due = {
                let mut waiting = self.waiting();
                let due = waiting.since.map(|since| since + self.buffering.timeout);
                let is_due = due.is_some_and(|due| due <= Instant::now());
                if is_due || waiting.flush || waiting.is_full(self.buffering) {
                    return waiting.take(self.buffering);
                }
                due
            };
            match due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }
}

impl Waiting {
    fn is_full(&self, buffering: Buffering) -> bool {
        self.events.len() >= buffering.most_items || self.bytes >= buffering.most_bytes
    }

    fn take(&mut self, buffering: Buffering) -> Vec<Bytes> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(event) = self.events.front() {
            if !batch.is_empty()
                && (batch.len() >= buffering.most_items || size + event.len() > buffering.most_bytes)
            {
                break;
            }
            size += event.len();
            batch.extend(self.events.pop_front());
        }
        self.bytes -= size;
        self.since = (!self.events.is_empty()).then(Instant::now);
        self.flush &= !self.events.is_empty();
        if self.dropped > 0 {
            let event = PlatformEvent::LogsDropped {
                records: std::mem::take(&mut self.dropped),
                bytes: std::mem::take(&mut self.dropped_bytes),
                reason: SLOW,
            };
            let event =
                json!({ "time": time_text(now_ms()), "type": event.kind(), "record": event.record() });
            batch.push(event.to_string().into());
        }
        batch
    }
}

/// Sends batches one after the other, each until it is taken.
async fn send_all(queue: Arc<Queue>, destination: Destination, loopback: Loopback) {
    let mut connection = None;
    loop {
        let batch = queue.batch().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let sent = timeout(PATIENCE, send(&destination, &loopback, &mut connection, &batch)).await;
            if matches!(sent, Ok(Ok(()))) {
                break;
            }
            connection = None;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn send(
    destination: &Destination,
    loopback: &Loopback,
    connection: &mut Option<TcpStream>,
    batch: &[Bytes],
) -> io::Result<()> {
    match destination {
        Destination::Http { port, method, path } => {
            let mut body = Vec::with_capacity(batch.iter().map(|event| event.len() + 1).sum::<usize>() + 2);
            body.push(b'[');
            for (index, event) in batch.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(event);
            }
            body.push(b']');
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: sandbox.localdomain:{port}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let mut stream = loopback.connect(*port).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            let mut answer = Vec::new();
            while answer.len() < 12 {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            if answer.starts_with(b"HTTP/1.") && answer[8..10] == *b" 2" {
                Ok(())
            } else {
                Err(io::Error::other("the subscriber did not take the events"))
            }
        }
        Destination::Tcp { port } => {
            let stream = match connection {
                Some(stream) => stream,
                None => connection.insert(loopback.connect(*port).await?),
            };
            let mut lines = Vec::with_capacity(batch.iter().map(|event| event.len() + 1).sum());
            for event in batch {
                lines.extend_from_slice(event);
                lines.push(b'\n');
            }
            stream.write_all(&lines).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Buffering = Buffering { most_items: 2, most_bytes: 100, timeout: Duration::from_secs(3600) };

    fn queue() -> Queue {
        Queue { waiting: Mutex::default(), changed: Notify::new(), buffering: SMALL }
    }

    fn text(batch: &[Bytes]) -> Vec<String> {
        batch.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect()
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_says_so() {
        let queue = queue();
        for number in 0..7 {
            queue.push(Bytes::from(format!("event {number}")));
        }
        assert_eq!(text(&queue.batch().await)[..2], ["event 0", "event 1"]);
        queue.push(Bytes::from_static(b"later"));
        let second = text(&queue.batch().await);
        assert_eq!(second, ["event 2", "event 3"], "the news came with the first batch");
        queue.push(Bytes::from_static(b"last"));
        assert_eq!(text(&queue.batch().await), ["later", "last"]);
    }

    #[tokio::test]
    async fn what_was_dropped_is_counted() {
        let queue = queue();
        for _ in 0..6 {
            queue.push(Bytes::from_static(b"123"));
        }
        let batch = text(&queue.batch().await);
        assert!(
            batch[2].ends_with(&format!(
                r#""type":"platform.logsDropped","record":{{"reason":"{SLOW}","droppedRecords":2,"droppedBytes":6}}}}"#
            )),
            "{batch:?}"
        );
    }

    #[tokio::test]
    async fn a_subscriber_that_comes_late_or_refuses_gets_its_events_all_the_same() {
        use tokio::net::TcpListener;

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let destination = Destination::Http { port, method: "PUT", path: "/x".into() };
        let delivery = Delivery::start(destination, SMALL, Loopback::Machine);
        delivery.push(Bytes::from_static(b"1"));
        delivery.flush();
        for answer in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n[1]") {
                assert!(stream.read_buf(&mut request).await.expect("a request") > 0);
            }
            assert!(request.starts_with(b"PUT /x HTTP/1.1\r\nHost: sandbox.localdomain:"));
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    }
}
