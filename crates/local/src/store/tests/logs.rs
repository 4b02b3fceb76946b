//! Log events come back in the order of time, whatever chunks they are in.

use crate::store::*;

use super::{folder, scope};

const GROUP: &str = "g";

fn opened() -> (tempfile::TempDir, Arc<Store>) {
    let (folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    (folder, store)
}

fn add(store: &Store, stream: &str, events: &[(i64, &str)]) {
    let events = NewLogEvents {
        scope: scope(),
        group: GROUP.to_owned(),
        stream: stream.to_owned(),
        function: None,
        ingested: 7,
        events: events.iter().map(|(time, text)| (*time, (*text).to_owned())).collect(),
    };
    store.add_log_events(&[events]).expect("written");
}

fn everything() -> LogQuery {
    LogQuery {
        scope: scope(),
        group: GROUP.to_owned(),
        streams: Vec::new(),
        start: i64::MIN,
        end: i64::MAX,
        from: None,
        before: None,
        backwards: false,
        limit: 10_000,
        bytes: usize::MAX,
    }
}

fn line(event: &LogEventRecord) -> String {
    format!("{} {} {}\n", event.time, event.stream, event.message)
}

fn read(store: &Store, query: &LogQuery) -> String {
    let found = store.log_events(query).expect("readable");
    let events: String = found.events.iter().map(line).collect();
    if found.is_end { events } else { events + "…" }
}

/// What is read in pages of so many events from one end to the other, in order.
fn in_pages(store: &Store, mut query: LogQuery) -> Vec<LogEventRecord> {
    let mut pages = Vec::new();
    loop {
        let found = store.log_events(&query).expect("readable");
        assert!(found.events.len() <= query.limit);
        let place = |event: &LogEventRecord, more| Some((event.time, event.id + more));
        match (query.backwards, found.events.first(), found.events.last()) {
            (true, Some(first), _) => query.before = place(first, 0),
            (false, _, Some(last)) => query.from = place(last, 1),
            (_, _, _) => assert!(found.is_end, "there is more, and nothing was given"),
        }
        pages.push(found.events);
        if found.is_end {
            break;
        }
    }
    if query.backwards {
        pages.reverse();
    }
    pages.concat()
}

/// Two streams whose chunks overlap: later chunks hold earlier events.
fn overlapping(store: &Store) {
    add(store, "a", &[(10, "a1"), (30, "a2"), (50, "a3")]);
    add(store, "b", &[(20, "b1"), (30, "b2"), (30, "b3"), (60, "b4")]);
    add(store, "a", &[(5, "a4"), (30, "a5"), (55, "a6")]);
    add(store, "b", &[(1, "b5")]);
    add(store, "c", &[(30, "c1")]);
}

#[test]
fn chunks_that_overlap_are_read_in_the_order_of_time() {
    let (_folder, store) = opened();
    overlapping(&store);
    insta::assert_snapshot!(read(&store, &everything()), @r"
    1 b b5
    5 a a4
    10 a a1
    20 b b1
    30 a a2
    30 b b2
    30 b b3
    30 a a5
    30 c c1
    50 a a3
    55 a a6
    60 b b4
    ");
    let some = LogQuery {
        streams: vec!["b".to_owned(), "c".to_owned(), "gone".to_owned()],
        start: 20,
        end: 60,
        limit: 3,
        ..everything()
    };
    insta::assert_snapshot!(read(&store, &some), @r"
    20 b b1
    30 b b2
    30 b b3
    …
    ");
    insta::assert_snapshot!(read(&store, &LogQuery { backwards: true, ..some }), @r"
    30 b b2
    30 b b3
    30 c c1
    …
    ");
    let gone = LogQuery { streams: vec!["gone".to_owned()], ..everything() };
    assert_eq!(read(&store, &gone), "");
    assert_eq!(read(&store, &LogQuery { group: "gone".to_owned(), ..everything() }), "");
}

#[test]
fn pages_of_any_size_give_every_event_once_in_both_directions() {
    let (_folder, store) = opened();
    overlapping(&store);
    for streams in [vec![], vec!["a"], vec!["a", "b"]] {
        let streams: Vec<_> = streams.into_iter().map(str::to_owned).collect();
        let all = LogQuery { streams, ..everything() };
        let expected = store.log_events(&all).expect("readable").events;
        for limit in 1..=expected.len() + 1 {
            for backwards in [false, true] {
                let pages = in_pages(&store, LogQuery { limit, backwards, ..all.clone() });
                assert_eq!(pages, expected, "pages of {limit}, backwards: {backwards}");
            }
        }
    }
}

#[test]
fn a_page_ends_once_it_has_its_bytes() {
    let (_folder, store) = opened();
    overlapping(&store);
    let small = LogQuery { bytes: 5, ..everything() };
    insta::assert_snapshot!(read(&store, &small), @r"
    1 b b5
    5 a a4
    10 a a1
    …
    ");
    insta::assert_snapshot!(read(&store, &LogQuery { backwards: true, ..small.clone() }), @r"
    50 a a3
    55 a a6
    60 b b4
    …
    ");
    let expected = store.log_events(&everything()).expect("readable").events;
    assert_eq!(in_pages(&store, small), expected);
}

#[test]
fn events_of_a_whole_day_are_found_at_any_time() {
    const MINUTE: i64 = 60_000;
    let (_folder, store) = opened();
    let texts: Vec<_> = (0..24 * 60).map(|minute| (minute * MINUTE, minute.to_string())).collect();
    let events: Vec<_> = texts.iter().map(|(time, text)| (*time, text.as_str())).collect();
    add(&store, "s", &events);
    add(&store, "s", &[(90 * MINUTE, "late"), (90 * MINUTE + 59_999, "later")]);
    let around = LogQuery { start: 90 * MINUTE - 1, end: 91 * MINUTE + 1, ..everything() };
    insta::assert_snapshot!(read(&store, &around), @r"
    5400000 s 90
    5400000 s late
    5459999 s later
    5460000 s 91
    ");
    let last_of_chunk = LogQuery { start: 90 * MINUTE + 59_999, limit: 1, ..everything() };
    insta::assert_snapshot!(read(&store, &last_of_chunk), @r"
    5459999 s later
    …
    ");
    let backwards = LogQuery { end: 91 * MINUTE, limit: 2, backwards: true, ..everything() };
    insta::assert_snapshot!(read(&store, &backwards), @r"
    5400000 s late
    5459999 s later
    …
    ");
}

#[test]
fn many_chunks_are_paged_like_one_list() {
    let (_folder, store) = opened();
    let mut expected = Vec::new();
    for chunk in 0..40_i64 {
        // Each begins among those before it.
        let events: Vec<_> = (0..50).map(|place| (chunk * 20 + place, format!("{chunk}/{place}"))).collect();
        let borrowed: Vec<_> = events.iter().map(|(time, text)| (*time, text.as_str())).collect();
        add(&store, if chunk % 3 == 0 { "a" } else { "b" }, &borrowed);
        expected.extend(events);
    }
    expected.sort_by_key(|(time, _)| *time);
    for backwards in [false, true] {
        let pages = in_pages(&store, LogQuery { limit: 170, backwards, ..everything() });
        let pages: Vec<_> = pages.into_iter().map(|event| (event.time, event.message)).collect();
        assert_eq!(pages, expected);
    }
}

fn group(store: &Store) -> String {
    let groups = store.log_groups(&scope(), "", "", "", 10).expect("readable");
    let streams = store
        .log_streams(&scope(), GROUP, &LogStreamQuery { limit: 10, ..LogStreamQuery::default() })
        .expect("readable");
    let sizes = groups.iter().map(|group| format!("{} bytes\n", group.stored_bytes));
    let streams = streams.iter().map(|stream| {
        format!(
            "{} {:?} {:?} {:?}\n",
            stream.name, stream.first_event, stream.last_event, stream.last_ingestion
        )
    });
    sizes.chain(streams).collect()
}

#[test]
fn what_is_too_old_goes_and_the_rest_of_its_chunk_stays() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let (_folder, store) = opened();
    overlapping(&store);
    insta::assert_snapshot!(group(&store), @r"
    336 bytes
    a Some(5) Some(55) Some(7)
    b Some(1) Some(60) Some(7)
    c Some(30) Some(30) Some(7)
    ");
    assert_eq!(store.expire_log_events(DAY + 1_000).expect("written"), 0, "it is kept for ever");
    assert!(store.set_log_retention(&scope(), GROUP, Some(1)).expect("written"));
    let ids = |store: &Store| -> Vec<_> {
        let events = store.log_events(&everything()).expect("readable").events;
        events.into_iter().map(|event| (event.id, event.message)).collect()
    };
    let before = ids(&store);
    assert_eq!(store.expire_log_events(DAY + 30).expect("written"), 4);
    assert_eq!(store.expire_log_events(DAY + 30).expect("written"), 0);
    assert_eq!(ids(&store), before[4..], "the others keep their numbers");
    assert_eq!(store.expire_log_events(DAY + 51).expect("written"), 6);
    insta::assert_snapshot!(read(&store, &everything()), @r"
    55 a a6
    60 b b4
    ");
    insta::assert_snapshot!(group(&store), @r"
    56 bytes
    a Some(55) Some(55) Some(7)
    b Some(60) Some(60) Some(7)
    c None Some(30) Some(7)
    ");
    // Nothing that is gone comes back.
    assert!(store.set_log_retention(&scope(), GROUP, None).expect("written"));
    assert_eq!(in_pages(&store, LogQuery { limit: 1, backwards: true, ..everything() }).len(), 2);
    assert!(store.delete_log_stream(&scope(), GROUP, "a").expect("written"));
    assert!(!store.delete_log_stream(&scope(), GROUP, "a").expect("written"));
    insta::assert_snapshot!(group(&store), @r"
    28 bytes
    b Some(60) Some(60) Some(7)
    c None Some(30) Some(7)
    ");
    assert!(store.delete_log_group(&scope(), GROUP).expect("written"));
    add(&store, "b", &[(70, "new")]);
    insta::assert_snapshot!(read(&store, &everything()), @"70 b new");
}
