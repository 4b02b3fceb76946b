//! Subscribers to telemetry inside real environments: what they get, in which order, and what a bad
//! one costs.

use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::extensions::Extended;

/// A subscriber that shows what it got when it is told of the end.
pub(crate) const SUBSCRIBER: &str = r#"
import socket, threading
TYPES, BUFFERING = ['platform', 'function'], {'timeoutMs': 25, 'maxItems': 1000, 'maxBytes': 262144}
events, came = [], threading.Condition()
def take(batch):
    with came:
        events.extend(batch)
        came.notify_all()
def over_http(answer=200):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            take(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            self.send_response(answer)
            self.send_header('Content-Length', '0')
            self.end_headers()
        def log_message(self, *ignored):
            pass
    server = HTTPServer(('0.0.0.0', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain:%d' % server.server_port}
def over_tcp():
    server = socket.create_server(('127.0.0.1', 0))
    def serve():
        for line in server.accept()[0].makefile():
            take([json.loads(line)])
    threading.Thread(target=serve, daemon=True).start()
    return {'protocol': 'TCP', 'port': server.getsockname()[1]}
def subscribe(me, path, version, destination, types=TYPES, buffering=BUFFERING):
    body = {'schemaVersion': version, 'types': types, 'buffering': buffering, 'destination': destination}
    api.request('PUT', path, json.dumps(body), {'Lambda-Extension-Identifier': me})
    answer = api.getresponse()
    return '%s %s' % (answer.status, answer.read().decode().strip())
def watch(me):
    calls = 0
    while True:
        event = next_event(me)
        if event['eventType'] == 'SHUTDOWN':
            break
        calls += 1
    with came:
        came.wait_for(lambda: sum(event['type'] == 'platform.report' for event in events) >= calls, 1.5)
        for event in events:
            print(name, json.dumps(event), flush=True)
"#;

pub(crate) const TALKER: &str =
    "print('at import')\ndef handler(event, context):\n    print('handled')\n    return 1\n";

/// What a subscriber showed, without what differs from run to run.
fn shown(log: &str, subscriber: &str) -> String {
    let mut lines = Vec::new();
    for line in log.lines().filter_map(|line| line.strip_prefix(subscriber)) {
        let Ok(mut event) = serde_json::from_str::<serde_json::Value>(line.trim()) else { continue };
        let time = event["time"].as_str().unwrap_or_default().to_owned();
        assert!(time == "<time>" || (time.len() == 24 && time.ends_with('Z')), "{line}");
        blur(&mut event["record"]);
        lines.push(format!("{} {}", event["type"].as_str().unwrap_or_default(), event["record"]));
    }
    lines.join("\n")
}

fn blur(record: &mut serde_json::Value) {
    let Some(record) = record.as_object_mut() else { return };
    for (key, value) in record {
        match key.as_str() {
            "requestId" => *value = "<id>".into(),
            "functionArn" | "runtimeVersionArn" => *value = "<arn>".into(),
            "runtimeVersion" => *value = "<version>".into(),
            "start" => *value = "<time>".into(),
            "durationMs" | "billedDurationMs" | "maxMemoryUsedMB" | "initDurationMs" => *value = "<n>".into(),
            "spans" => value.as_array_mut().into_iter().flatten().for_each(blur),
            "metrics" => blur(value),
            _ => {}
        }
    }
}

/// Two calls with a subscriber that subscribes as this Python says.
async fn check(subscribe: &str) -> String {
    let body = format!("{SUBSCRIBER}\nme = register('INVOKE', 'SHUTDOWN')\nsay({subscribe})\nwatch(me)\n");
    let extended = Extended::new(TALKER, &[("subscriber", &body)]);
    for _ in 0..2 {
        assert_eq!(extended.call().await.payload, "1");
    }
    extended.settled(2).await;
    let log = extended.end_plainly().await;
    assert!(log.contains("subscriber 200 \"OK\""), "{log}");
    format!(
        "{}\n{}",
        log.lines().find(|line| line.contains("State: Subscribed")).expect("a line"),
        shown(&log, "subscriber")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_over_http_gets_every_event_in_order() {
    let subscribe = "subscribe(me, '/2022-07-01/telemetry', '2022-07-01', over_http())";
    assert_snapshot!(check(subscribe).await, @r#"
    TELEMETRY	Name: subscriber	State: Subscribed	Types: [Platform, Function]
    platform.initStart {"initializationType":"on-demand","phase":"init","runtimeVersion":"<version>","runtimeVersionArn":"<arn>"}
    function "at import\n"
    platform.initRuntimeDone {"initializationType":"on-demand","phase":"init","status":"success"}
    platform.telemetrySubscription {"name":"subscriber","state":"Subscribed","types":["platform","function"]}
    platform.extension {"name":"subscriber","state":"Ready","events":["INVOKE","SHUTDOWN"]}
    platform.initReport {"initializationType":"on-demand","phase":"init","metrics":{"durationMs":"<n>"},"status":"success"}
    platform.start {"requestId":"<id>","version":"$LATEST","functionArn":"<arn>"}
    function "handled\n"
    platform.runtimeDone {"requestId":"<id>","status":"success","spans":[{"name":"responseLatency","start":"<time>","durationMs":"<n>"},{"name":"responseDuration","start":"<time>","durationMs":"<n>"},{"name":"runtimeOverhead","start":"<time>","durationMs":"<n>"}],"metrics":{"durationMs":"<n>","producedBytes":1}}
    platform.report {"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>","initDurationMs":"<n>"},"spans":[{"name":"extensionOverhead","start":"<time>","durationMs":"<n>"}],"status":"success"}
    platform.start {"requestId":"<id>","version":"$LATEST","functionArn":"<arn>"}
    function "handled\n"
    platform.runtimeDone {"requestId":"<id>","status":"success","spans":[{"name":"responseLatency","start":"<time>","durationMs":"<n>"},{"name":"responseDuration","start":"<time>","durationMs":"<n>"},{"name":"runtimeOverhead","start":"<time>","durationMs":"<n>"}],"metrics":{"durationMs":"<n>","producedBytes":1}}
    platform.report {"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>"},"spans":[{"name":"extensionOverhead","start":"<time>","durationMs":"<n>"}],"status":"success"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_over_tcp_gets_the_same() {
    let http = check("subscribe(me, '/2022-07-01/telemetry', '2022-12-13', over_http())").await;
    assert_eq!(check("subscribe(me, '/2022-07-01/telemetry', '2022-12-13', over_tcp())").await, http);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_api_has_fewer_events() {
    assert_snapshot!(check("subscribe(me, '/2020-08-15/logs', '2020-08-15', over_http())").await, @r#"
    LOGS	Name: subscriber	State: Subscribed	Types: [Platform, Function]
    function "at import\n"
    platform.logsSubscription {"name":"subscriber","state":"Subscribed","types":["platform","function"]}
    platform.extension {"name":"subscriber","state":"Ready","events":["INVOKE","SHUTDOWN"]}
    platform.start {"requestId":"<id>","version":"$LATEST"}
    function "handled\n"
    platform.end {"requestId":"<id>"}
    platform.report {"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>","initDurationMs":"<n>"},"spans":[{"name":"extensionOverhead","start":"<time>","durationMs":"<n>"}],"status":"success"}
    platform.start {"requestId":"<id>","version":"$LATEST"}
    function "handled\n"
    platform.end {"requestId":"<id>"}
    platform.report {"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>"},"spans":[{"name":"extensionOverhead","start":"<time>","durationMs":"<n>"}],"status":"success"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn extension_lines_are_telemetry_too() {
    let body = format!(
        "{SUBSCRIBER}\nme = register('INVOKE', 'SHUTDOWN')\n\
         say(subscribe(me, '/2022-07-01/telemetry', '2022-07-01', over_http(), ['extension']))\n\
         with came:\n    came.wait_for(lambda: events, 20)\nsay('got', events[0]['type'], repr(events[0]['record']))\nwatch(me)\n"
    );
    let extended = Extended::new(TALKER, &[("subscriber", &body)]);
    assert_eq!(extended.call().await.payload, "1");
    let log = extended.end().await;
    assert!(log.contains(r#"subscriber got extension 'subscriber 200 "OK"\n'"#), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_subscription_is_said() {
    let body = format!(
        "{SUBSCRIBER}\nassert socket.gethostbyname('sandbox.localdomain') == '127.0.0.1'\n\
         nobody = '11111111-2222-3333-4444-555555555555'\npath, version = '/2022-07-01/telemetry', '2022-07-01'\n\
         say(subscribe(nobody, path, version, over_tcp()))\nme = register('INVOKE', 'SHUTDOWN')\n\
         say(subscribe(me, path, version, {{'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain'}}, []))\n\
         say(subscribe(me, path, version, over_tcp(), buffering={{'maxItems': 1}}))\n\
         here = over_tcp()\nsay(subscribe(me, path, version, here))\nsay(subscribe(me, path, version, here))\n\
         say(subscribe(me, '/2020-08-15/logs', '2020-08-15', here))\n\
         next_event(me)\nsay(subscribe(me, path, version, here))\nwatch(me)\n"
    );
    let extended = Extended::new(TALKER, &[("subscriber", &body)]);
    assert_eq!(extended.call().await.payload, "1");
    let log = extended.end().await;
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("subscriber 2") || line.starts_with("subscriber 4"))
        .collect();
    assert_snapshot!(said.join("\n"), @r#"
    subscriber 403 {"errorMessage":"Unknown extension <id>","errorType":"Extension.UnknownExtensionIdentifier"}
    subscriber 400 {"errorType":"ValidationError","errorMessage":"URI port is not provided; types should not be empty"}
    subscriber 400 {"errorType":"ValidationError","errorMessage":"buffering.maxItems should be between 1000 and 10000"}
    subscriber 200 "OK"
    subscriber 200 "OK"
    subscriber 400 {"errorType":"Logs.ValidationError","errorMessage":"the extension has subscribed with another API already"}
    subscriber 403 {"errorMessage":"Telemetry API subscription is closed","errorType":"Telemetry.SubscriptionClosed"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_takes_nothing_holds_nobody_up() {
    for destination in ["over_http(500)", "{'protocol': 'TCP', 'port': 1}"] {
        let body = format!(
            "{SUBSCRIBER}\nme = register('INVOKE', 'SHUTDOWN')\n\
             say(subscribe(me, '/2022-07-01/telemetry', '2022-07-01', {destination}))\n\
             while next_event(me)['eventType'] != 'SHUTDOWN':\n    pass\n"
        );
        let flood = "def handler(event, context):\n    for n in range(5000):\n        print('x' * 100)\n    return 1\n";
        let extended = Extended::new(flood, &[("subscriber", &body)]);
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(extended.call().await.payload, "1");
        }
        let log = extended.end().await;
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        assert_eq!(log.matches("REPORT ").count(), 3, "nothing is missing from the log");
    }
}
