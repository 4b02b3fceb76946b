//! Events through a real queue and real functions, with a clock that is turned.

use std::{collections::BTreeMap, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regex_lite::Regex;

use super::*;
use crate::{
    Interpreters, RetiredRuntimes,
    interpreters::SearchPlaces,
    sandbox::{Isolation, Sandbox, SandboxConfig},
    service::{Destinations, FunctionChanges, NewEventInvokeConfig, NewFunction, Source},
    store::{LogQuery, State},
};

/// A minute is a tenth of a second.
const FAST: NonZeroU32 = NonZeroU32::new(600).expect("not zero");

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says its id and the time, and fails.
const FAILS: &str = "import time\ndef handler(event, context):\n    print('run', context.aws_request_id, time.time())\n    raise Exception('no')\n";

/// Says what it got.
const SAYS: &str =
    "import json\ndef handler(event, context):\n    print(json.dumps(event))\n    return 'said'\n";

struct Lab {
    _folder: tempfile::TempDir,
    data: Utf8PathBuf,
    cloud: Arc<Cloud>,
}

fn pythons() -> Interpreters {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var("HOME").map(Utf8PathBuf::from).unwrap_or_default();
    Interpreters::discover(&SearchPlaces {
        path: std::env::split_paths(&path).filter_map(|folder| Utf8PathBuf::try_from(folder).ok()).collect(),
        pyenv_root: Some(home.join(".pyenv")),
        ..SearchPlaces::default()
    })
}

fn open(data: &Utf8Path, interpreters: Interpreters, speed: NonZeroU32) -> Arc<Cloud> {
    let store = Store::open(data).expect("a store");
    let config = SandboxConfig { work: store.work(), interpreters, isolation: Isolation::Best };
    let account = "123456789012".parse().expect("an account");
    Cloud::new(store, Sandbox::new(config), account, RetiredRuntimes::Refuse, speed).expect("a cloud")
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Lab {
    /// A cloud that runs functions; none on a machine without a Python for them.
    fn new() -> Option<Self> {
        Self::at(FAST)
    }

    fn at(speed: NonZeroU32) -> Option<Self> {
        let interpreters = pythons();
        interpreters.for_runtime("python3.12".parse().expect("a runtime")).ok()?;
        Some(Self::with(interpreters, speed))
    }

    fn with(interpreters: Interpreters, speed: NonZeroU32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
        let cloud = open(&data, interpreters, speed);
        Self { _folder: folder, data, cloud }
    }

    /// Ends everything as a server does that is stopped.
    async fn stop(&self) {
        self.cloud.events.close();
        self.cloud.sandbox.shutdown().await;
        self.cloud.events.settled().await;
        self.cloud.logs.flush().await;
        self.cloud.store.close();
    }

    fn here(&self) -> Scope {
        self.cloud.scope("us-east-1".parse().expect("a region"))
    }

    async fn function(&self, name: &str, code: &str, changes: FunctionChanges) {
        let mut archive = layercake_core::zip::ZipWriter::new(Vec::new());
        let mode = layercake_core::zip::FileMode::Regular;
        archive.file_from_bytes("app.py", mode, code.as_bytes()).expect("memory");
        let mut writer = self.cloud.store.new_blob().expect("a writer");
        writer.write(&archive.finish().expect("memory").0).expect("room");
        let new = NewFunction {
            name: name.parse().expect("a function name"),
            source: Some(Source::Zip(writer)),
            architecture: None,
            changes: FunctionChanges {
                runtime: Some("python3.12".to_owned()),
                handler: Some("app.handler".to_owned()),
                timeout: Some(60),
                ..changes
            },
            tags: BTreeMap::new(),
            publish: true,
        };
        let made = self.cloud.create_function(self.here(), new).await.expect("a function");
        for qualifier in ["$LATEST", &made.version_text()] {
            let function = named(&format!("{name}:{qualifier}"));
            until("an active function", async || {
                let record = self.cloud.function(&self.here(), &function).await.expect("the function");
                (record.state == State::Active).then_some(())
            })
            .await;
        }
    }

    /// A function that fails with these options, and one that says the records of its events.
    async fn with_failing(&self, retries: u32, age: u32) {
        self.function("f", FAILS, FunctionChanges::default()).await;
        self.function("d", SAYS, FunctionChanges::default()).await;
        self.options("f", retries, age, None, Some("d")).await;
    }

    async fn options(
        &self,
        function: &str,
        retries: u32,
        age: u32,
        success: Option<&str>,
        failure: Option<&str>,
    ) {
        let arn = |name: &str| match name.split_once(':') {
            Some(("arn", _)) => name.to_owned(),
            _ => format!("arn:aws:lambda:us-east-1:123456789012:function:{name}"),
        };
        let new = NewEventInvokeConfig {
            retries: Some(retries),
            age: Some(age),
            destinations: Some(Destinations { success: success.map(arn), failure: failure.map(arn) }),
        };
        let put = self.cloud.put_event_invoke(self.here(), named(function), new, true);
        put.await.map(|_| ()).expect("options");
    }

    /// Sends an event, and gives its request id.
    async fn event(&self, function: &str, payload: &str) -> String {
        let (scope, function) = (self.here(), named(function));
        let request_id = uuid::Uuid::new_v4().to_string();
        let call = Call {
            request_id: request_id.clone(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            invoked_arn: invoked_arn(&scope, &function),
            client_context: None,
            trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".to_owned(),
        };
        self.cloud.accept_event(scope, function, call).await.expect("accepted");
        request_id
    }

    /// What a function wrote by itself, and what was written about it.
    async fn said(&self, function: &str) -> Vec<String> {
        self.cloud.logs.flush().await;
        let query = LogQuery {
            scope: self.here(),
            group: format!("/aws/lambda/{function}"),
            streams: Vec::new(),
            start: i64::MIN,
            end: i64::MAX,
            from: None,
            before: None,
            backwards: false,
            limit: 10_000,
            bytes: usize::MAX,
        };
        let events = self.cloud.store.log_events(&query).expect("its log");
        let by_lambda = ["START ", "END ", "REPORT ", "INIT_START ", "LAMBDA_WARNING", "[ERROR]"];
        let lines = events.events.into_iter().map(|event| event.message);
        lines.filter(|line| !by_lambda.iter().any(|start| line.starts_with(start))).collect()
    }

    /// The same, as soon as there are so many lines.
    async fn lines(&self, function: &str, count: usize) -> Vec<String> {
        until(&format!("{count} lines of {function}"), async || {
            let said = self.said(function).await;
            (said.len() >= count).then_some(said)
        })
        .await
    }

    /// The one record that the function `d` got.
    async fn record(&self) -> String {
        stable(&self.lines("d", 1).await[0])
    }

    /// Names of the functions whose events have not ended.
    fn waiting(&self) -> Vec<String> {
        let events = self.cloud.store.waiting_events().expect("the queue");
        events.into_iter().map(|event| event.function.to_string()).collect()
    }

    async fn empty(&self) {
        until("an empty queue", async || self.waiting().is_empty().then_some(())).await;
    }
}

/// `NAME` or `NAME:QUALIFIER`.
fn named(text: &str) -> FunctionRef {
    let (name, qualifier) = match text.split_once(':') {
        Some((name, qualifier)) => (name, Some(Qualifier::of(qualifier))),
        None => (text, None),
    };
    FunctionRef { name: name.parse().expect("a function name"), qualifier }
}

/// A text without what is another every time.
fn stable(text: &str) -> String {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    ]
    .iter()
    .fold(text.trim_end().to_owned(), |text, (pattern, name)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *name).into_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_run_again_later_under_the_same_id() {
    let Some(lab) = Lab::new() else { return };
    lab.with_failing(2, 21_600).await;
    let id = lab.event("f", r#"{"order": 1}"#).await;
    insta::assert_snapshot!(lab.record().await, @r#"{"version": "1.0", "timestamp": "TIME", "requestContext": {"requestId": "UUID", "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": 3}, "requestPayload": {"order": 1}, "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}, "responsePayload": {"errorMessage": "no", "errorType": "Exception", "requestId": "UUID", "stackTrace": ["  File \"/var/task/app.py\", line 4, in handler\n    raise Exception('no')\n"]}}"#);
    let runs = lab.said("f").await;
    let runs: Vec<Vec<_>> = runs.iter().map(|line| line.trim_end().split(' ').collect()).collect();
    assert!(runs.iter().all(|run| run[1] == id), "{runs:?} of {id}");
    let times: Vec<f64> = runs.iter().map(|run| run[2].parse().expect("a time")).collect();
    assert_eq!(times.len(), 3);
    // A tenth of a second is a minute.
    assert!(times[1] - times[0] >= 0.1 && times[2] - times[1] >= 0.2, "{times:?}");
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_would_be_too_late_is_not_made() {
    // In AWS's own time, so that the first run is not too late already.
    let Some(lab) = Lab::at(NonZeroU32::MIN) else { return };
    lab.with_failing(2, 60).await;
    lab.event("f", "{}").await;
    insta::assert_snapshot!(lab.record().await, @r#"{"version": "1.0", "timestamp": "TIME", "requestContext": {"requestId": "UUID", "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST", "condition": "EventAgeExceeded", "approximateInvokeCount": 1}, "requestPayload": {}, "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}, "responsePayload": {"errorMessage": "no", "errorType": "Exception", "requestId": "UUID", "stackTrace": ["  File \"/var/task/app.py\", line 4, in handler\n    raise Exception('no')\n"]}}"#);
    assert_eq!(lab.said("f").await.len(), 1);
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_those_of_the_version_or_alias() {
    let Some(lab) = Lab::new() else { return };
    lab.function("f", SAYS, FunctionChanges::default()).await;
    lab.function("d", SAYS, FunctionChanges::default()).await;
    lab.options("f:1", 0, 21_600, Some("d"), None).await;
    lab.event("f", r#""unqualified""#).await;
    lab.lines("f", 1).await;
    lab.empty().await;
    lab.event("f:1", r#""version""#).await;
    insta::assert_snapshot!(lab.record().await, @r#"{"version": "1.0", "timestamp": "TIME", "requestContext": {"requestId": "UUID", "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:1", "condition": "Success", "approximateInvokeCount": 1}, "requestPayload": "version", "responseContext": {"statusCode": 200, "executedVersion": "1"}, "responsePayload": "said"}"#);
    lab.empty().await;
    assert_eq!(lab.said("d").await.len(), 1);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reserved_concurrency_an_event_ends_at_once() {
    let Some(lab) = Lab::new() else { return };
    lab.with_failing(2, 21_600).await;
    lab.cloud.put_concurrency(lab.here(), named("f"), 0).await.expect("reserved");
    lab.event("f", r#"{"order": 1}"#).await;
    insta::assert_snapshot!(lab.record().await, @r#"{"version": "1.0", "timestamp": "TIME", "requestContext": {"requestId": "UUID", "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST", "condition": "ZeroReservedConcurrency", "approximateInvokeCount": 0}, "requestPayload": {"order": 1}}"#);
    assert!(lab.said("f").await.is_empty());
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_event_waits_until_it_may_run() {
    let Some(lab) = Lab::new() else { return };
    lab.function("f", SAYS, FunctionChanges::default()).await;
    lab.cloud.put_concurrency(lab.here(), named("f"), 1).await.expect("reserved");
    let other = lab
        .cloud
        .route(&lab.here(), &named("f"))
        .await
        .expect("a function")
        .begin_call()
        .expect("the only one");
    lab.event("f", "1").await;
    lab.event("f", "2").await;
    until("setbacks", async || {
        let event = lab.cloud.store.waiting_events().expect("the queue").first().map(|event| event.id)?;
        let (record, _) = lab.cloud.store.event(event).expect("the queue")?;
        (record.setbacks >= 3).then_some(())
    })
    .await;
    assert!(lab.said("f").await.is_empty());
    drop(other);
    let mut said = lab.lines("f", 2).await;
    said.sort();
    assert_eq!(said, ["1\n", "2\n"]);
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_event_gets_too_old() {
    let Some(lab) = Lab::new() else { return };
    lab.with_failing(2, 60).await;
    lab.cloud.put_concurrency(lab.here(), named("f"), 1).await.expect("reserved");
    let _other = lab
        .cloud
        .route(&lab.here(), &named("f"))
        .await
        .expect("a function")
        .begin_call()
        .expect("the only one");
    lab.event("f", "{}").await;
    // On a machine that sleeps for a tenth of a second before the first attempt there is no answer.
    let record = lab.record().await.replace(r#", "responseContext": {"statusCode": 429}"#, "");
    insta::assert_snapshot!(record, @r#"{"version": "1.0", "timestamp": "TIME", "requestContext": {"requestId": "UUID", "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST", "condition": "EventAgeExceeded", "approximateInvokeCount": 0}, "requestPayload": {}}"#);
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_told_in_the_functions_log() {
    let Some(lab) = Lab::new() else { return };
    let queue = Some("arn:aws:sqs:us-east-1:123456789012:dead".to_owned());
    lab.function("f", FAILS, FunctionChanges { dead_letter_target: queue, ..FunctionChanges::default() })
        .await;
    lab.options("f", 0, 21_600, None, Some("arn:aws:sns:us-east-1:123456789012:topic")).await;
    lab.event("f", r#"{"order": 1}"#).await;
    // What a run prints is in another stream, and may have the millisecond of what is told of it.
    let told = async |lines: usize, runs: usize| {
        let (ran, told): (Vec<_>, Vec<_>) =
            lab.lines("f", lines).await.into_iter().partition(|line| line.starts_with("run "));
        assert_eq!(ran.len(), runs, "{ran:?}");
        told
    };
    insta::assert_snapshot!(stable(&told(5, 1).await.concat()), @r#"
    WARNING RequestId: UUID The event ended (RetriesExhausted), and its record was not sent to arn:aws:sns:us-east-1:123456789012:topic: the local cloud has no Amazon SNS
    {"version":"1.0","timestamp":"TIME","requestContext":{"requestId":"UUID","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":1},"requestPayload":{"order": 1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage": "no", "errorType": "Exception", "requestId": "UUID", "stackTrace": ["  File \"/var/task/app.py\", line 4, in handler\n    raise Exception('no')\n"]}}
    WARNING RequestId: UUID The event ended (RetriesExhausted), and the event was not sent to arn:aws:sqs:us-east-1:123456789012:dead: the local cloud has no Amazon SQS
    {"order": 1}
    "#);
    lab.options("f", 0, 21_600, None, Some("arn:aws:s3:::nowhere")).await;
    lab.event("f", r#"{"order": 1}"#).await;
    insta::assert_snapshot!(stable(&told(10, 2).await[4]), @"WARNING RequestId: UUID The event ended (RetriesExhausted), and its record was not sent to arn:aws:s3:::nowhere: there is no such bucket in this account");
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_send_each_other_records_are_stopped() {
    let Some(lab) = Lab::new() else { return };
    for name in ["f", "d"] {
        lab.function(name, "def handler(event, context):\n    print('run')\n", FunctionChanges::default())
            .await;
    }
    lab.options("f", 0, 21_600, Some("d"), None).await;
    lab.options("d", 0, 21_600, Some("f"), None).await;
    lab.event("f", "{}").await;
    let said = lab.lines("d", 18).await;
    assert_eq!(said.iter().filter(|line| *line == "run\n").count(), 16);
    // The record follows it, in the same millisecond as a rule.
    let warning = said.iter().find(|line| line.starts_with("WARNING")).expect("a warning");
    insta::assert_snapshot!(stable(warning), @"WARNING RequestId: UUID The event ended (Success), and its record was not sent to arn:aws:lambda:us-east-1:123456789012:function:f: the function ran 16 times in this chain of records; put-function-recursion-config with Allow lets it go on");
    assert_eq!(lab.said("f").await.len(), 16);
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_holds_up_nobody_else() {
    let Some(lab) = Lab::new() else { return };
    let slow = "import time\ndef handler(event, context):\n    time.sleep(2)\n";
    lab.function("slow", slow, FunctionChanges::default()).await;
    lab.function("f", SAYS, FunctionChanges::default()).await;
    for _ in 0..200 {
        lab.event("slow", "{}").await;
    }
    lab.event("f", "1").await;
    lab.lines("f", 1).await;
    let call = Call {
        request_id: String::new(),
        payload: Bytes::from_static(b"2"),
        invoked_arn: String::new(),
        client_context: None,
        trace_id: String::new(),
    };
    lab.cloud.invoke(&lab.here(), &named("f"), call).await.expect("an answer");
    assert!(lab.waiting().iter().any(|name| name == "slow"), "a backlog");
    lab.stop().await;
    // What was cut off is there still, and what never began.
    let store = Store::open(&lab.data).expect("free");
    assert!(store.waiting_events().expect("the queue").len() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_outlives_its_process() {
    let pythons = pythons();
    if pythons.for_runtime("python3.12".parse().expect("a runtime")).is_err() {
        return;
    }
    // Nothing runs here: the event waits.
    let mut lab = Lab::with(Interpreters::default(), FAST);
    lab.with_failing(0, 21_600).await;
    let id = lab.event("f", r#"{"order": 1}"#).await;
    lab.stop().await;
    assert_eq!(lab.waiting(), ["f"]);
    lab.cloud = open(&lab.data, pythons, FAST);
    let run = lab.lines("f", 1).await;
    assert!(run[0].starts_with(&format!("run {id} ")), "{run:?}");
    assert!(lab.record().await.contains("RetriesExhausted"));
    lab.empty().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_off_is_made_again() {
    let Some(lab) = Lab::new() else { return };
    let slow = "import time\ndef handler(event, context):\n    time.sleep(50)\n";
    lab.function("f", slow, FunctionChanges::default()).await;
    lab.event("f", "{}").await;
    until("a run", async || (!lab.cloud.events.lanes().is_idle()).then_some(())).await;
    lab.stop().await;
    let store = Store::open(&lab.data).expect("free");
    let [event] = &store.waiting_events().expect("the queue")[..] else { panic!("one event") };
    let (record, payload) = store.event(event.id).expect("the queue").expect("the event");
    assert_eq!((record.runs, record.setbacks, &payload[..]), (0, 0, &b"{}"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_function_go_with_it() {
    let lab = Lab::with(Interpreters::default(), NonZeroU32::MIN);
    for name in ["f", "g"] {
        lab.function(name, SAYS, FunctionChanges::default()).await;
        lab.event(name, "{}").await;
        lab.event(&format!("{name}:1"), "{}").await;
    }
    lab.cloud.delete_function(lab.here(), named("f")).await.expect("deleted");
    assert_eq!(lab.waiting(), ["g", "g"]);
    lab.function("f", SAYS, FunctionChanges::default()).await;
    assert_eq!(lab.waiting(), ["g", "g"]);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_accepts_no_event() {
    let lab = Lab::with(Interpreters::default(), FAST);
    lab.function("f", SAYS, FunctionChanges::default()).await;
    lab.stop().await;
    let call = Call {
        request_id: String::new(),
        payload: Bytes::new(),
        invoked_arn: String::new(),
        client_context: None,
        trace_id: String::new(),
    };
    let refused = lab.cloud.accept_event(lab.here(), named("f"), call).await.expect_err("closed");
    assert!(matches!(refused, LambdaError::Store(StoreError::ShuttingDown)), "{refused}");
}
