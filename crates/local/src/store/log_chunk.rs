//! How log events lie in a row: the events of one stream that were written together are one chunk.
//!
//! Owns the form of a chunk's body and how large a chunk may be. Never asks the database.
//!
//! A body is one event behind the other in the order of time: how many milliseconds before the
//! chunk's last event it was, a space, the bytes of its message, a line feed, the message. SQL can
//! write that too, which is how older databases are brought to this form.

use super::{EVENT_BYTES, StoreError};

/// The most events in a chunk.
const MOST_EVENTS: usize = 1 << 12;
/// A chunk is full once it has so many bytes of messages.
const FULL_BYTES: usize = 256 << 10;
/// How many milliseconds may lie between the first and the last event of a chunk. Whoever looks for
/// events of a time finds all of their chunks from this much earlier on.
pub(super) const SPAN: i64 = 60 * 1000;
/// The bits of an event's number that say its place in the chunk.
const PLACE_BITS: u32 = 13;

/// A chunk to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewChunk {
    /// Time of the first event.
    pub(super) first: i64,
    /// Time of the last event.
    pub(super) last: i64,
    /// The number of events.
    pub(super) count: usize,
    /// What they count for in the group's size.
    pub(super) bytes: usize,
    /// The events.
    pub(super) body: Vec<u8>,
}

/// The number of the event at a place of a chunk. Numbers are in the order in which events were
/// written.
pub(super) fn event_id(chunk: i64, place: usize) -> i64 {
    (chunk << PLACE_BITS) | i64::try_from(place).unwrap_or((1 << PLACE_BITS) - 1)
}

/// The greatest number that an event of a chunk can have.
pub(super) fn last_event_id(chunk: i64) -> i64 {
    event_id(chunk, (1 << PLACE_BITS) - 1)
}

/// Packs events, which are in the order of time, into as few chunks as may hold them.
pub(super) fn pack(mut events: &[(i64, &str)]) -> Vec<NewChunk> {
    let mut chunks = Vec::with_capacity(1);
    while let Some((first, _)) = events.first() {
        let mut bytes = 0;
        let fits = |(time, message): &&(i64, &str)| {
            let fits = bytes < FULL_BYTES && time.saturating_sub(*first) < SPAN;
            bytes += message.len();
            fits
        };
        let count = events.iter().take(MOST_EVENTS).take_while(fits).count();
        let (these, others) = events.split_at(count);
        chunks.push(pack_one(these));
        events = others;
    }
    chunks
}

fn pack_one(events: &[(i64, &str)]) -> NewChunk {
    let time = |event: Option<&(i64, &str)>| event.map_or(0, |(time, _)| *time);
    let (first, last) = (time(events.first()), time(events.last()));
    let messages: usize = events.iter().map(|(_, message)| message.len()).sum();
    // Two numbers and what ends them.
    let mut body = Vec::with_capacity(messages + 12 * events.len());
    for (time, message) in events {
        push_number(&mut body, last.abs_diff(*time));
        body.push(b' ');
        push_number(&mut body, message.len() as u64);
        body.push(b'\n');
        body.extend_from_slice(message.as_bytes());
    }
    NewChunk { first, last, count: events.len(), bytes: messages + EVENT_BYTES * events.len(), body }
}

/// In decimal. Twice for each event, so without the formatting machinery.
fn push_number(body: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    body.extend_from_slice(&digits[start..]);
}

/// The events of a chunk: time and message, in order.
///
/// # Errors
/// [`StoreError::DamagedRecord`] when the body was not written by this module.
pub(super) fn unpack(last: i64, mut body: &[u8]) -> Result<Vec<(i64, &str)>, StoreError> {
    let mut events = Vec::new();
    while !body.is_empty() {
        let (event, rest) = unpack_one(last, body).ok_or_else(damaged)?;
        events.push(event);
        body = rest;
    }
    Ok(events)
}

fn unpack_one(last: i64, body: &[u8]) -> Option<((i64, &str), &[u8])> {
    let (before, body) = take_number(body, b' ')?;
    let (length, body) = take_number(body, b'\n')?;
    let (message, rest) = body.split_at_checked(usize::try_from(length).ok()?)?;
    let time = last.checked_sub(before)?;
    Some(((time, std::str::from_utf8(message).ok()?), rest))
}

fn take_number(body: &[u8], end: u8) -> Option<(i64, &[u8])> {
    let at = body.iter().take(20).position(|byte| *byte == end)?;
    let number = std::str::from_utf8(&body[..at]).ok()?.parse().ok()?;
    Some((number, &body[at + 1..]))
}

fn damaged() -> StoreError {
    use serde::de::Error as _;

    StoreError::DamagedRecord {
        what: "a chunk of log events".to_owned(),
        source: serde_json::Error::custom("its events are cut off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[(i64, &str)]) -> String {
        let chunks = pack(events);
        let unpacked: Vec<_> =
            chunks.iter().flat_map(|chunk| unpack(chunk.last, &chunk.body).expect("whole")).collect();
        assert_eq!(unpacked, events);
        let line = |chunk: &NewChunk| {
            format!("{}..{} {} events, {} bytes\n", chunk.first, chunk.last, chunk.count, chunk.bytes)
        };
        chunks.iter().map(line).collect()
    }

    #[test]
    fn events_come_back_as_they_were() {
        insta::assert_snapshot!(
            check(&[(5, "a\n"), (5, ""), (6, "12 3\n4"), (59_999, "nul \0 \u{1f370}")]),
            @"5..59999 4 events, 122 bytes"
        );
        let chunk = &pack(&[(5, "a\n"), (17, "b")])[0];
        assert_eq!(String::from_utf8_lossy(&chunk.body), "12 2\na\n0 1\nb");
        assert_eq!(pack(&[]), []);
    }

    #[test]
    fn a_chunk_has_a_length_a_size_and_a_number() {
        insta::assert_snapshot!(check(&[(0, "a"), (59_999, "b"), (60_000, "c"), (200_000, "d")]), @r"
        0..59999 2 events, 54 bytes
        60000..60000 1 events, 27 bytes
        200000..200000 1 events, 27 bytes
        ");
        let large = "x".repeat(100_000);
        insta::assert_snapshot!(check(&[(1, large.as_str()); 4]), @r"
        1..1 3 events, 300078 bytes
        1..1 1 events, 100026 bytes
        ");
        insta::assert_snapshot!(check(&vec![(1, "x"); 5_000]), @r"
        1..1 4096 events, 110592 bytes
        1..1 904 events, 24408 bytes
        ");
    }

    #[test]
    fn a_damaged_body_is_said_and_not_misread() {
        let chunk = &pack(&[(5, "a\n"), (17, "b")])[0];
        for (body, why) in [
            (&chunk.body[..chunk.body.len() - 1], "cut off"),
            (&chunk.body[1..5], "without a message"),
            (b"1 99999999999999999999\nx".as_slice(), "a number that is none"),
            (b"x 1\ny".as_slice(), "no number"),
            (b"0 1\n\xff".as_slice(), "no text"),
        ] {
            assert!(unpack(chunk.last, body).is_err(), "{why}");
        }
    }
}
