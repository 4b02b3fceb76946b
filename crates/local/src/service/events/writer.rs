//! Writes the queue's changes to the disk: all that came in while the last ones were written
//! become one commit.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Signal, lanes::Lanes};
use crate::store::{EventChange, Store, StoreError};

/// How long a change that nobody waits for may wait for others to share its commit with.
const LEISURE: Duration = Duration::from_millis(20);

/// The way to the thread that writes. The thread ends when this is dropped, after writing
/// everything.
pub(super) struct Writer(mpsc::Sender<Message>);

/// What became of a change: the number of the event that it leaves in the queue.
type Written = Result<Option<i64>, StoreError>;

enum Message {
    /// Somebody waits until it is on the disk.
    Write(EventChange, oneshot::Sender<Written>),
    /// Nobody does.
    Note(EventChange),
    /// Everything before this shall be on the disk.
    Flush(oneshot::Sender<()>),
}

/// Where events go once they are on the disk.
pub(super) struct Queue {
    pub(super) lanes: Arc<Mutex<Lanes>>,
    pub(super) signal: Arc<Signal>,
}

impl Writer {
    /// Starts the thread that writes.
    pub(super) fn start(store: Arc<Store>, queue: Queue) -> Self {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            while let Some(batch) = Batch::receive(&receiver) {
                batch.write(&store, &queue);
            }
        });
        Self(sender)
    }

    /// Makes a change, and waits until it is on the disk. Gives the number of the event that it
    /// leaves in the queue. It is made also when nobody waits for it any more.
    pub(super) async fn write(&self, change: EventChange) -> Written {
        let (done, written) = oneshot::channel();
        if self.0.send(Message::Write(change, done)).is_err() {
            return Err(StoreError::ShuttingDown);
        }
        written.await.unwrap_or(Err(StoreError::ShuttingDown))
    }

    /// Leaves a change to be made soon. An event that ended just before the process was killed may
    /// so be run again, as one that was about to end.
    pub(super) fn note(&self, change: EventChange) {
        let _ = self.0.send(Message::Note(change));
    }

    /// Waits until everything left so far is on the disk.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.send(Message::Flush(done)).is_ok() {
            let _ = written.await;
        }
    }
}

/// Changes that become one commit, each with who waits for it.
#[derive(Default)]
struct Batch {
    changes: Vec<EventChange>,
    waiting: Vec<Option<oneshot::Sender<Written>>>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Batch {
    /// Waits for changes; none when there will not be any more.
    fn receive(receiver: &mpsc::Receiver<Message>) -> Option<Self> {
        let mut batch = Self::default();
        let mut is_urgent = batch.take(receiver.recv().ok()?);
        let until = Instant::now() + LEISURE;
        while !is_urgent {
            match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => is_urgent = batch.take(message),
                Err(_) => break,
            }
        }
        while let Ok(message) = receiver.try_recv() {
            batch.take(message);
        }
        Some(batch)
    }

    /// Takes a message in, and says whether somebody waits for it.
    fn take(&mut self, message: Message) -> bool {
        let (change, done) = match message {
            Message::Write(change, done) => (change, Some(done)),
            Message::Note(change) => (change, None),
            Message::Flush(done) => {
                self.flushed.push(done);
                return true;
            }
        };
        let is_urgent = done.is_some();
        self.changes.push(change);
        self.waiting.push(done);
        is_urgent
    }

    fn write(self, store: &Store, queue: &Queue) {
        let all = self.changes.iter().zip(self.waiting);
        match store.change_events(&self.changes) {
            Ok(left) => all.zip(left).for_each(|((change, done), id)| finish(queue, change, done, Ok(id))),
            // One by one, since what one of them is refused for need not be true of the others.
            Err(_) => all.for_each(|(change, done)| {
                let made = store.change_events(std::slice::from_ref(change));
                finish(queue, change, done, made.map(|left| left.first().copied().flatten()));
            }),
        }
        for done in self.flushed {
            let _ = done.send(());
        }
    }
}

/// Puts what a change leaves in the queue into its lane, and tells who waits.
fn finish(queue: &Queue, change: &EventChange, done: Option<oneshot::Sender<Written>>, made: Written) {
    let left = match change {
        EventChange::Add(event) | EventChange::End { then: Some(event), .. } => {
            Some((&event.scope, &event.function, event.due))
        }
        EventChange::Wait { event, .. } => Some((&event.scope, &event.function, event.due)),
        EventChange::End { then: None, .. } => None,
    };
    if let (Ok(Some(id)), Some((scope, function, due))) = (&made, left) {
        let mut lanes = queue.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.add((scope.clone(), function.clone()), due, *id);
        drop(lanes);
        queue.signal.changed();
    }
    match (done, made) {
        (Some(done), made) => drop(done.send(made)),
        (None, Err(error)) => {
            tracing::warn!(%error, "the end of an event is not kept; it runs again after a restart");
        }
        (None, Ok(_)) => {}
    }
}
