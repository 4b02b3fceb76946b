//! What follows an attempt: the event ends, or waits for another one.
//!
//! Values in, values out: no clock, no store.

use std::num::NonZeroU32;

use crate::store::{EventRecord, EventResponse};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// The longest wait after an attempt that Lambda itself refused: "from 1 second after the first
/// attempt to a maximum of 5 minutes" (Developer Guide, invocation-async-error-handling).
const LONGEST_BACKOFF: i64 = 5 * MINUTE;

/// How patient a function is with its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// Runs after the first, 0 to 2.
    pub(super) retries: u32,
    /// How long an event may wait, in seconds.
    pub(super) age: u32,
    /// How many times faster than on AWS the time passes that events wait.
    pub(super) speed: NonZeroU32,
}

impl Patience {
    /// So many of AWS's milliseconds, here.
    fn scaled(self, milliseconds: i64) -> i64 {
        milliseconds / i64::from(self.speed.get())
    }

    /// When an event is too old, in milliseconds since 1970.
    pub(super) fn deadline(self, record: &EventRecord) -> i64 {
        record.accepted + self.scaled(i64::from(self.age) * SECOND)
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The function ran, and succeeded or failed.
    Ended(EventResponse),
    /// As many calls of the function ran as are reserved for it.
    Throttled,
    /// The function could not be run: a fault of the service, not of the function.
    Faulted,
    /// No calls are reserved for the function, so that none may run.
    NothingReserved,
    /// It was too late for one.
    TooOld,
}

/// Why an event has ended, as AWS names it in `requestContext.condition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The function ran it.
    Success,
    /// The function failed as often as it may.
    RetriesExhausted,
    /// The next attempt would come too late.
    EventAgeExceeded,
    /// The function may not run at all.
    ZeroReservedConcurrency,
}

impl Condition {
    /// As AWS writes it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
        }
    }
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Another attempt at this time, in milliseconds since 1970.
    Wait(i64),
    /// No other attempt.
    End(Condition),
}

/// Notes an attempt in the event's record, and says what follows.
pub(super) fn decide(record: &mut EventRecord, attempt: Attempt, patience: Patience, now: i64) -> Decision {
    let deadline = patience.deadline(record);
    match attempt {
        Attempt::Ended(response) => {
            let failed = response.error.is_some();
            record.response = Some(response);
            record.setbacks = 0;
            record.runs += 1;
            if !failed {
                return Decision::End(Condition::Success);
            }
            if record.runs > patience.retries {
                return Decision::End(Condition::RetriesExhausted);
            }
            // "a one-minute wait between the first two attempts, and two minutes between the second
            // and third attempts"
            let due = now + patience.scaled(i64::from(record.runs) * MINUTE);
            // An event whose next run would come too late is given up when that is known; so it was
            // recorded with an age of 60 seconds.
            if due < deadline { Decision::Wait(due) } else { Decision::End(Condition::EventAgeExceeded) }
        }
        Attempt::Throttled => {
            // Lambda's own refusal takes the place of what the function answered before.
            record.response = Some(EventResponse { status: 429, ..EventResponse::default() });
            back_off(record, patience, now, deadline)
        }
        Attempt::Faulted => back_off(record, patience, now, deadline),
        Attempt::NothingReserved => {
            record.response = None;
            Decision::End(Condition::ZeroReservedConcurrency)
        }
        Attempt::TooOld => Decision::End(Condition::EventAgeExceeded),
    }
}

/// Waits longer each time, and counts no run: until the event is too old it stays in the queue.
fn back_off(record: &mut EventRecord, patience: Patience, now: i64, deadline: i64) -> Decision {
    // The ninth doubling is longer than the longest wait.
    let wait = if record.setbacks < 9 { SECOND << record.setbacks } else { LONGEST_BACKOFF };
    record.setbacks += 1;
    Decision::Wait((now + patience.scaled(wait)).min(deadline))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: Patience = Patience { retries: 2, age: 21_600, speed: NonZeroU32::MIN };

    fn failed() -> Attempt {
        Attempt::Ended(EventResponse {
            status: 200,
            error: Some("Unhandled".to_owned()),
            ..EventResponse::default()
        })
    }

    /// Attempts that all come to the same, each as soon as it is due and taking no time. Tells when
    /// each of them was, in seconds after the event came in, and how the event ended.
    fn check(attempt: impl Fn(u32) -> Attempt, patience: Patience) -> String {
        let accepted = 1_800_000_000_000;
        let mut record = EventRecord { accepted, ..EventRecord::default() };
        let (mut now, mut said) = (accepted, Vec::new());
        for number in 0.. {
            let attempt = if now < patience.deadline(&record) { attempt(number) } else { Attempt::TooOld };
            said.push(format!("{}", (now - accepted) as f64 / 1000.0));
            match decide(&mut record, attempt, patience, now) {
                Decision::Wait(due) => now = due,
                Decision::End(condition) => {
                    let status = record.response.map_or(0, |response| response.status);
                    let rest = format!("{}, {} runs, {status}", condition.as_str(), record.runs);
                    return format!("{}: {rest}", said.join(" "));
                }
            }
        }
        unreachable!("an event ends")
    }

    #[test]
    fn a_failing_function_is_run_again_after_one_and_two_minutes() {
        insta::assert_snapshot!(check(|_| failed(), AWS), @"0 60 180: RetriesExhausted, 3 runs, 200");
        insta::assert_snapshot!(check(|_| failed(), Patience { retries: 1, ..AWS }), @"0 60: RetriesExhausted, 2 runs, 200");
        insta::assert_snapshot!(check(|_| failed(), Patience { retries: 0, ..AWS }), @"0: RetriesExhausted, 1 runs, 200");
        let succeeds = |number| match number {
            0 => failed(),
            _ => Attempt::Ended(EventResponse { status: 200, ..EventResponse::default() }),
        };
        insta::assert_snapshot!(check(succeeds, AWS), @"0 60: Success, 2 runs, 200");
    }

    #[test]
    fn a_run_that_would_come_too_late_is_given_up_at_once() {
        insta::assert_snapshot!(check(|_| failed(), Patience { age: 60, ..AWS }), @"0: EventAgeExceeded, 1 runs, 200");
        insta::assert_snapshot!(check(|_| failed(), Patience { age: 61, ..AWS }), @"0 60: EventAgeExceeded, 2 runs, 200");
    }

    #[test]
    fn what_is_throttled_waits_longer_each_time_and_counts_no_run() {
        insta::assert_snapshot!(check(|_| Attempt::Throttled, Patience { age: 100, ..AWS }), @"0 1 3 7 15 31 63 100: EventAgeExceeded, 0 runs, 429");
        insta::assert_snapshot!(check(|_| Attempt::Faulted, Patience { age: 1_500, ..AWS }), @"0 1 3 7 15 31 63 127 255 511 811 1111 1411 1500: EventAgeExceeded, 0 runs, 0");
        let then_fails = |number| if number < 2 { Attempt::Throttled } else { failed() };
        insta::assert_snapshot!(check(then_fails, AWS), @"0 1 3 63 183: RetriesExhausted, 3 runs, 200");
    }

    #[test]
    fn a_clock_that_is_turned_makes_every_wait_shorter() {
        let fast = Patience { speed: NonZeroU32::new(600).expect("not zero"), ..AWS };
        insta::assert_snapshot!(check(|_| failed(), fast), @"0 0.1 0.3: RetriesExhausted, 3 runs, 200");
        insta::assert_snapshot!(check(|_| Attempt::Throttled, Patience { age: 6_000, ..fast }), @"0 0.001 0.004 0.01 0.023 0.049 0.102 0.208 0.421 0.847 1.347 1.847 2.347 2.847 3.347 3.847 4.347 4.847 5.347 5.847 6.347 6.847 7.347 7.847 8.347 8.847 9.347 9.847 10: EventAgeExceeded, 0 runs, 429");
    }

    #[test]
    fn a_function_that_may_not_run_gets_no_attempt() {
        insta::assert_snapshot!(check(|_| Attempt::NothingReserved, AWS), @"0: ZeroReservedConcurrency, 0 runs, 0");
    }
}
