//! A function's log in both formats, on every Python: keys, order, levels, and what is one event.

use insta::{allow_duplicates, assert_snapshot};
use layercake_core::target::Runtime;
use layercake_local::sandbox::{LogFormat, Outcome};

use crate::support::{Lab, newest, runtimes, scrub, show};

const TALKER: &str = r#"
import logging
print('plain at import')
logger = logging.getLogger('mine')
def handler(event, context):
    print('plain')
    print('{"level": "debug", "message": "printed"}')
    logging.debug('too detailed')
    logging.info('two\nlines of %s', 'text')
    logger.warning({'a': 1}, extra={'user': 'ann', 'nothing': None})
    try:
        {}['missing']
    except KeyError:
        logger.exception('caught')
    if event == 'raise':
        raise ValueError('not caught')
    return 1
"#;

async fn talk(runtime: Runtime, format: LogFormat, event: &str) -> Outcome {
    let lab = Lab::new();
    let mut function = lab.function(runtime, TALKER);
    function.spec.log_format = format;
    let outcome = function.call(event).await;
    lab.sandbox.shutdown().await;
    outcome
}

/// A log of JSON without what differs from run to run.
fn plain(outcome: &Outcome) -> String {
    let mut text = String::new();
    for event in outcome.log.iter() {
        let line = match serde_json::from_str::<serde_json::Value>(&event.text) {
            Ok(mut line) if line.is_object() => {
                blur(&mut line);
                line.to_string()
            }
            _ => event.text.trim_end().replace('\n', "␤"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Replaces times, ids and figures.
fn blur(value: &mut serde_json::Value) {
    let serde_json::Value::Object(object) = value else { return };
    for (key, value) in object {
        match key.as_str() {
            "time" | "timestamp" | "start" => *value = "<time>".into(),
            "requestId" if value.as_str().is_some_and(|id| !id.is_empty()) => *value = "<id>".into(),
            "functionArn" | "runtimeVersionArn" => *value = "<arn>".into(),
            "runtimeVersion" => *value = "<version>".into(),
            "durationMs" | "billedDurationMs" | "maxMemoryUsedMB" | "initDurationMs" => *value = "<n>".into(),
            "stackTrace" => value.as_array_mut().into_iter().flatten().for_each(unmark),
            "spans" => value.as_array_mut().into_iter().flatten().for_each(blur),
            _ => blur(value),
        }
    }
}

/// Takes out the marks that newer Pythons put below a line of code.
fn unmark(frame: &mut serde_json::Value) {
    let is_code = |line: &&str| line.trim().is_empty() || line.contains(|c: char| !"~^ ".contains(c));
    let lines: Vec<&str> = frame.as_str().unwrap_or_default().lines().filter(is_code).collect();
    *frame = lines.join("\n").into();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_call_as_json() {
    for runtime in runtimes() {
        let outcome = talk(runtime, LogFormat::of("JSON", None, None), "{}").await;
        allow_duplicates! { assert_snapshot!(plain(&outcome), @r#"
        {"time":"<time>","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"<version>","runtimeVersionArn":"<arn>"}}
        plain at import
        {"time":"<time>","type":"platform.start","record":{"requestId":"<id>","version":"$LATEST","functionArn":"<arn>"}}
        plain
        {"timestamp":"<time>","level":"INFO","message":"two\nlines of text","logger":"root","requestId":"<id>"}
        {"timestamp":"<time>","level":"WARNING","message":{"a":1},"logger":"mine","requestId":"<id>","user":"ann"}
        {"timestamp":"<time>","level":"ERROR","message":"caught","logger":"mine","stackTrace":["  File \"/var/task/app.py\", line 12, in handler\n    {}['missing']"],"errorType":"KeyError","errorMessage":"'missing'","requestId":"<id>","location":"/var/task/app.py:handler:14"}
        {"time":"<time>","type":"platform.report","record":{"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>","initDurationMs":"<n>"},"status":"success"}}
        "#); }
        // AWS's client has spaces behind commas and colons, its platform has none.
        let lines: String = outcome.log.iter().map(|event| event.text.as_str()).collect();
        assert!(
            lines.contains(r#""level": "INFO", "message": "two\nlines of text", "logger": "root""#),
            "{lines}"
        );
        assert!(lines.contains(r#""type":"platform.report","record":{"requestId":""#), "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_decide_what_is_written() {
    let detailed = talk(newest(), LogFormat::of("JSON", Some("TRACE"), Some("DEBUG")), "{}").await;
    assert_snapshot!(plain(&detailed), @r#"
    {"time":"<time>","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"<version>","runtimeVersionArn":"<arn>"}}
    plain at import
    {"time":"<time>","type":"platform.initRuntimeDone","record":{"initializationType":"on-demand","phase":"init","status":"success"}}
    {"time":"<time>","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","metrics":{"durationMs":"<n>"},"status":"success"}}
    {"time":"<time>","type":"platform.start","record":{"requestId":"<id>","version":"$LATEST","functionArn":"<arn>"}}
    plain
    {"level":"debug","message":"printed"}
    {"timestamp":"<time>","level":"DEBUG","message":"too detailed","logger":"root","requestId":"<id>"}
    {"timestamp":"<time>","level":"INFO","message":"two\nlines of text","logger":"root","requestId":"<id>"}
    {"timestamp":"<time>","level":"WARNING","message":{"a":1},"logger":"mine","requestId":"<id>","user":"ann"}
    {"timestamp":"<time>","level":"ERROR","message":"caught","logger":"mine","stackTrace":["  File \"/var/task/app.py\", line 12, in handler\n    {}['missing']"],"errorType":"KeyError","errorMessage":"'missing'","requestId":"<id>","location":"/var/task/app.py:handler:14"}
    {"time":"<time>","type":"platform.runtimeDone","record":{"requestId":"<id>","status":"success","spans":[{"name":"responseLatency","start":"<time>","durationMs":"<n>"},{"name":"responseDuration","start":"<time>","durationMs":"<n>"}],"metrics":{"durationMs":"<n>","producedBytes":1}}}
    {"time":"<time>","type":"platform.report","record":{"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>","initDurationMs":"<n>"},"status":"success"}}
    "#);
    let quiet = talk(newest(), LogFormat::of("JSON", Some("FATAL"), Some("WARN")), "{}").await;
    assert_snapshot!(plain(&quiet), @r"
    plain at import
    plain
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_catches_as_json() {
    for runtime in runtimes() {
        let outcome = talk(runtime, LogFormat::of("JSON", None, None), "\"raise\"").await;
        let shown = plain(&outcome);
        let error = shown.lines().find(|line| line.contains("not caught")).expect("an error");
        allow_duplicates! { assert_snapshot!(error, @r#"{"timestamp":"<time>","log_level":"ERROR","errorMessage":"not caught","errorType":"ValueError","requestId":"<id>","stackTrace":["  File \"/var/task/app.py\", line 16, in handler\n    raise ValueError('not caught')"]}"#); }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_init_and_a_timeout_as_json() {
    let lab = Lab::new();
    let mut function = lab.function(newest(), "import nowhere\n");
    function.spec.log_format = LogFormat::of("JSON", None, None);
    assert_snapshot!(plain(&function.call("{}").await), @r#"
    {"time":"<time>","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"<version>","runtimeVersionArn":"<arn>"}}
    {"timestamp":"<time>","log_level":"ERROR","errorMessage":"Unable to import module 'app': No module named 'nowhere'","errorType":"Runtime.ImportModuleError","requestId":"","stackTrace":[]}
    {"time":"<time>","type":"platform.initRuntimeDone","record":{"initializationType":"on-demand","phase":"init","status":"error","errorType":"Runtime.ImportModuleError"}}
    {"time":"<time>","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","metrics":{"durationMs":"<n>"},"status":"error","errorType":"Runtime.ImportModuleError"}}
    {"time":"<time>","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"invoke","runtimeVersion":"<version>","runtimeVersionArn":"<arn>"}}
    {"timestamp":"<time>","log_level":"ERROR","errorMessage":"Unable to import module 'app': No module named 'nowhere'","errorType":"Runtime.ImportModuleError","requestId":"","stackTrace":[]}
    {"time":"<time>","type":"platform.initRuntimeDone","record":{"initializationType":"on-demand","phase":"invoke","status":"error","errorType":"Runtime.ImportModuleError"}}
    {"time":"<time>","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"invoke","metrics":{"durationMs":"<n>"},"status":"error","errorType":"Runtime.ImportModuleError"}}
    {"time":"<time>","type":"platform.start","record":{"requestId":"<id>","version":"$LATEST","functionArn":"<arn>"}}
    {"time":"<time>","type":"platform.runtimeDone","record":{"requestId":"<id>","status":"error","errorType":"Runtime.ImportModuleError","metrics":{"durationMs":"<n>"}}}
    {"time":"<time>","type":"platform.report","record":{"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>"},"status":"error","errorType":"Runtime.ImportModuleError"}}
    "#);
    let mut function =
        lab.function(newest(), "import time\ndef handler(event, context):\n    time.sleep(600)\n");
    function.spec.log_format = LogFormat::of("JSON", None, None);
    function.spec.timeout = std::time::Duration::from_secs(1);
    let shown = plain(&function.call("{}").await);
    let shown: Vec<&str> = shown.lines().filter(|line| !line.contains("initStart")).collect();
    assert_snapshot!(scrub(&shown.join("\n")), @r#"
    {"time":"<time>","type":"platform.start","record":{"requestId":"<id>","version":"$LATEST","functionArn":"<arn>"}}
    <time> <id> Task timed out after <n> seconds
    {"time":"<time>","type":"platform.runtimeDone","record":{"requestId":"<id>","status":"timeout","metrics":{"durationMs":"<n>"}}}
    {"time":"<time>","type":"platform.report","record":{"requestId":"<id>","metrics":{"durationMs":"<n>","billedDurationMs":"<n>","memorySizeMB":1024,"maxMemoryUsedMB":"<n>","initDurationMs":"<n>"},"status":"timeout"}}
    "#);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_several_lines_is_one_event_of_a_text_log() {
    for runtime in runtimes() {
        let outcome = talk(runtime, LogFormat::Text, "{}").await;
        let event = outcome.log.iter().find(|event| event.text.contains("caught"));
        let event = event.expect("an event").text.replace(runtime.python_version().as_str(), "3.x");
        let (head, trace) = event.split_once('\n').expect("lines");
        assert!(head.starts_with("[ERROR]\t"), "{head}");
        assert!(
            trace.starts_with("Traceback (most recent call last):\n")
                && trace.ends_with("KeyError: 'missing'\n"),
            "{trace}"
        );
        let lines: Vec<_> = outcome.log.iter().map(|event| event.text.as_str()).collect();
        assert!(lines.contains(&"plain\n"), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampled_call_has_a_trace_in_its_log() {
    let lab = Lab::new();
    let function = lab.function(newest(), "def handler(event, context):\n    return 1\n");
    let traced = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let outcome = function.traced(traced).await;
    let last = outcome.log.last().expect("a line").text.clone();
    assert!(last.starts_with("REPORT "), "{last}");
    let trace = last.lines().nth(1).expect("a second line");
    assert!(trace.starts_with("XRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: "), "{trace}");
    assert!(trace.ends_with("\tSampled: true\t"), "{trace}");
    assert!(!show(&function.call("{}").await).contains("XRAY"));
    lab.sandbox.shutdown().await;
}
