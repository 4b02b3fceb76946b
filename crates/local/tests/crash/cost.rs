//! What it costs to accept an event. Run by hand: `--ignored --nocapture cost`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Server, folder, zip};

fn accept(client: &mut Client, body: &[u8]) -> Duration {
    let begun = Instant::now();
    let answer = client.ask("POST", "/2014-11-13/functions/f/invoke-async", body).expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
    begun.elapsed()
}

fn say(what: &str, mut times: Vec<Duration>, all: Duration) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100];
    println!(
        "{what}: p50 {:?} p90 {:?} p99 {:?}, {:.0}/s",
        at(50),
        at(90),
        at(99),
        times.len() as f64 / all.as_secs_f64()
    );
}

#[test]
#[ignore = "a measurement"]
fn cost_of_accepting_an_event() {
    let (_folder, data) = folder();
    let server = Server::start(&data);
    let mut client = server.client();
    assert_eq!(client.create_function("f", &zip(b"x")).expect("an answer").status, 201);
    while client.get("/2015-03-31/functions/f").json()["Configuration"]["State"] != "Active" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let none = json!({ "ReservedConcurrentExecutions": 0 }).to_string();
    let path = "/2017-10-31/functions/f/concurrency";
    assert_eq!(client.ask("PUT", path, none.as_bytes()).expect("an answer").status, 200);
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    for (name, body, count) in [("small", "{}", 2_000), ("1 MB", large.as_str(), 100)] {
        let begun = Instant::now();
        let times = (0..count).map(|_| accept(&mut client, body.as_bytes())).collect();
        say(&format!("{name}, one client"), times, begun.elapsed());
    }
    for clients in [4, 16, 64] {
        let begun = Instant::now();
        let times = std::thread::scope(|scope| {
            let all: Vec<_> = (0..clients)
                .map(|_| {
                    let mut client = server.client();
                    scope.spawn(move || (0..4_000 / clients).map(|_| accept(&mut client, b"{}")).collect::<Vec<_>>())
                })
                .collect();
            all.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
        });
        say(&format!("small, {clients} clients"), times, begun.elapsed());
    }
}
