//! Events that were accepted are run, also when the server is killed before or while they run.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Client, PYTHONS, Server, command, folder, pythons, zip};

const CODE: &[u8] = b"import time
def handler(event, context):
    time.sleep(5)
    print('ran', event)
";

/// The events that functions said they ran.
fn ran(client: &mut Client) -> BTreeSet<u64> {
    let headers = "x-amz-target: Logs_20140328.FilterLogEvents\r\n\
                   content-type: application/x-amz-json-1.1\r\n";
    let query = json!({ "logGroupName": "/aws/lambda/f", "filterPattern": "ran" }).to_string();
    let answer = client.ask_with(headers, "POST", "/", query.as_bytes()).expect("an answer");
    if answer.status == 400 {
        return BTreeSet::new();
    }
    let found = answer.json();
    let events = found["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text()));
    let message = |event: &serde_json::Value| event["message"].as_str().map(str::to_owned);
    let number = |message: String| message.trim_end().strip_prefix("ran ")?.parse().ok();
    events.iter().filter_map(message).filter_map(number).collect()
}

#[test]
fn events_outlive_a_server_that_is_killed() {
    if pythons().for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    let (_folder, data) = folder();
    let start = || {
        let mut command = command(&data, &[]);
        command.env(PYTHONS, "1");
        Server::started(command, &data).unwrap_or_else(|said| panic!("the server says: {said}"))
    };
    let server = start();
    let mut client = server.client();
    let body = json!({
        "FunctionName": "f", "Runtime": "python3.12", "Handler": "app.handler", "Timeout": 60,
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": { "ZipFile": crate::support::base64(&zip(CODE)) },
    });
    let made = client.ask("POST", "/2015-03-31/functions", body.to_string().as_bytes()).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let until = Instant::now() + Duration::from_secs(60);
    while client.get("/2015-03-31/functions/f").json()["Configuration"]["State"] != "Active" {
        assert!(Instant::now() < until, "the function is not made");
        std::thread::sleep(Duration::from_millis(10));
    }
    let all: BTreeSet<u64> = (0..12).collect();
    for number in &all {
        let event = number.to_string();
        let path = "/2014-11-13/functions/f/invoke-async";
        assert_eq!(client.ask("POST", path, event.as_bytes()).expect("an answer").status, 202);
    }
    // By now some of them may run, and none has ended.
    std::thread::sleep(Duration::from_millis(500));
    server.kill();
    let server = start();
    let mut client = server.client();
    let until = Instant::now() + Duration::from_secs(180);
    loop {
        let ran = ran(&mut client);
        if ran == all {
            return;
        }
        assert!(Instant::now() < until, "only {ran:?} ran");
        std::thread::sleep(Duration::from_millis(100));
    }
}
