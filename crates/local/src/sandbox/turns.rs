//! Calls that wait a moment for a busy environment, though another one is idle.
//!
//! Where calls take the processor for a fraction of a millisecond and nothing else, more environments
//! at once make none of them sooner: they only take turns, and each finds the processor's caches
//! filled by the others. Owns how soon the environments of one function come back, and the queue of
//! who waits for one of them. Never decides what else a call may have; that is the pool's.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// Calls that can be as short as this are quick. One that waits for something of its own takes longer.
const QUICK: Duration = Duration::from_micros(300);
/// Of how many calls the shortest counts: with many at once most take longer than they need.
const WINDOW: u32 = 32;

/// The queue of one function.
#[derive(Debug)]
pub(super) struct Turns<T> {
    waiting: VecDeque<oneshot::Sender<T>>,
    /// The shortest call of the last full window.
    shortest: Option<Duration>,
    /// The shortest call of the window that is being filled, and how many are in it.
    current: (Duration, u32),
    came_back: Option<Instant>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), shortest: None, current: (Duration::MAX, 0), came_back: None }
    }
}

impl<T> Turns<T> {
    /// Whether calls are so short that a busy environment is worth waiting for.
    pub(super) fn is_quick(&self) -> bool {
        self.shortest.is_some_and(|shortest| shortest <= QUICK)
    }

    /// Whether no environment has come back for so long.
    pub(super) fn has_stalled(&self, now: Instant, long: Duration) -> bool {
        self.came_back.is_none_or(|came_back| now.saturating_duration_since(came_back) >= long)
    }

    /// Notes that an environment has come back now, from a call that took so long.
    pub(super) fn came_back(&mut self, held: Duration, now: Instant) {
        self.came_back = Some(now);
        let (shortest, count) = &mut self.current;
        *shortest = held.min(*shortest);
        *count += 1;
        if *count == WINDOW {
            self.shortest = Some(*shortest);
            self.current = (Duration::MAX, 0);
        }
    }

    /// Queues up.
    pub(super) fn join(&mut self) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push_back(sender);
        receiver
    }

    /// Gives something to who has waited longest.
    ///
    /// # Errors
    /// What was to be given, where nobody waits.
    pub(super) fn hand_on(&mut self, mut given: T) -> Result<(), T> {
        while let Some(next) = self.waiting.pop_front() {
            match next.send(given) {
                Ok(()) => return Ok(()),
                // It has given up.
                Err(refused) => given = refused,
            }
        }
        Err(given)
    }

    /// Whether somebody waits who has not given up.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(held: &[u64]) -> Turns<u32> {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for &micros in held {
            turns.came_back(Duration::from_micros(micros), now);
        }
        turns
    }

    #[test]
    fn a_function_is_as_quick_as_its_quickest_call_of_late() {
        assert!(!after(&[50; 31]).is_quick(), "too few calls to tell");
        assert!(after(&[50; 32]).is_quick());
        assert!(!after(&[500; 32]).is_quick());
        let mut crowded = [900; 32];
        crowded[7] = 200;
        assert!(after(&crowded).is_quick(), "the others have waited for the processor");
        let slow_now: Vec<u64> = crowded.into_iter().chain([900; 32]).collect();
        assert!(!after(&slow_now).is_quick());
    }

    #[test]
    fn who_has_waited_longest_is_next_and_who_has_gone_is_passed_over() {
        let mut turns = Turns::default();
        let (first, mut second, mut third) = (turns.join(), turns.join(), turns.join());
        drop(first);
        assert_eq!(turns.hand_on(1), Ok(()));
        assert_eq!((second.try_recv(), third.try_recv().ok()), (Ok(1), None));
        assert_eq!(turns.hand_on(2), Ok(()));
        assert_eq!(third.try_recv(), Ok(2));
        assert!(!turns.is_awaited());
        let fourth = turns.join();
        assert!(turns.is_awaited());
        drop(fourth);
        assert!(!turns.is_awaited());
        assert_eq!(turns.hand_on(3), Err(3));
    }

    #[test]
    fn where_nothing_comes_back_nothing_is_to_be_waited_for() {
        let (mut turns, now) = (Turns::<u32>::default(), Instant::now());
        let long = Duration::from_millis(10);
        assert!(turns.has_stalled(now, long));
        turns.came_back(Duration::ZERO, now);
        assert!(!turns.has_stalled(now + long / 2, long));
        assert!(turns.has_stalled(now + long, long));
    }
}
