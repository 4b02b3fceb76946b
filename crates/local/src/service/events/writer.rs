//! Writes the queue's changes to the disk: all that came in while the last ones were written
//! become one commit.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::{Signal, lanes::Lanes};
use crate::store::{EventChange, Store, StoreError};

/// The way to the thread that writes. The thread ends when this is dropped, after writing
/// everything.
pub(super) struct Writer(mpsc::UnboundedSender<Message>);

/// A change, and who waits for it to be on the disk.
struct Message {
    change: EventChange,
    done: oneshot::Sender<Result<Option<i64>, StoreError>>,
}

/// Where changes go once they are on the disk.
pub(super) struct Queue {
    pub(super) lanes: Arc<Mutex<Lanes>>,
    pub(super) signal: Arc<Signal>,
}

impl Writer {
    /// Starts the thread that writes.
    pub(super) fn start(store: Arc<Store>, queue: Queue) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Message>();
        std::thread::spawn(move || {
            while let Some(first) = receiver.blocking_recv() {
                let mut batch = vec![first];
                while let Ok(next) = receiver.try_recv() {
                    batch.push(next);
                }
                write(&store, &queue, batch);
            }
        });
        Self(sender)
    }

    /// Makes a change, and waits until it is on the disk. Gives the number of the event that it
    /// leaves in the queue. It is made also when nobody waits for it any more.
    pub(super) async fn write(&self, change: EventChange) -> Result<Option<i64>, StoreError> {
        let (done, written) = oneshot::channel();
        if self.0.send(Message { change, done }).is_err() {
            return Err(StoreError::ShuttingDown);
        }
        written.await.unwrap_or(Err(StoreError::ShuttingDown))
    }
}

fn write(store: &Store, queue: &Queue, batch: Vec<Message>) {
    let (changes, waiting): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|message| (message.change, message.done)).unzip();
    match store.change_events(&changes) {
        Ok(left) => {
            for ((change, done), id) in changes.iter().zip(waiting).zip(left) {
                finish(queue, change, done, Ok(id));
            }
        }
        // One by one, since what one of them is refused for need not be true of the others.
        Err(_) => {
            for (change, done) in changes.iter().zip(waiting) {
                let made = store.change_events(std::slice::from_ref(change));
                finish(queue, change, done, made.map(|left| left.first().copied().flatten()));
            }
        }
    }
}

/// Puts what a change leaves in the queue into its lane, and tells who waits.
fn finish(
    queue: &Queue,
    change: &EventChange,
    done: oneshot::Sender<Result<Option<i64>, StoreError>>,
    made: Result<Option<i64>, StoreError>,
) {
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
    let _ = done.send(made);
}
