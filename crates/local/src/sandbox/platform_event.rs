//! What the platform has to say: one event, and its three forms: a line of text, a line of JSON
//! and a telemetry event (FACTS.md §6 and §9).
//!
//! Owns the texts, the JSON keys and their order, and the level of each event. Knows no time and no
//! log.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{LogLevel, extensions::ExtensionStatus, log::Report};

/// In which phase an init runs: before the first call, or again within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InitPhase {
    Init,
    Invoke,
}

impl InitPhase {
    fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

/// How something ended; success when both are absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending<'a> {
    /// `error` or `timeout`.
    pub(super) status: Option<&'static str>,
    pub(super) error_type: Option<&'a str>,
}

impl Ending<'_> {
    fn level(self, success: LogLevel) -> LogLevel {
        if self.status.is_some() { LogLevel::Warn } else { success }
    }

    fn write(self, record: &mut Map<String, Value>) {
        record.insert("status".into(), self.status.unwrap_or("success").into());
        if let Some(error_type) = self.error_type {
            record.insert("errorType".into(), error_type.into());
        }
    }
}

/// The X-Ray header of a call that is sampled, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Tracing {
    root: String,
    span_id: String,
    header: String,
}

impl Tracing {
    /// Nothing unless the header says that the call is sampled.
    pub(super) fn of(header: &str) -> Option<Self> {
        if !header.contains("Sampled=1") {
            return None;
        }
        let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
        let span_id = uuid::Uuid::new_v4().simple().to_string();
        Some(Self { root: root.to_owned(), span_id: span_id[..16].to_owned(), header: header.to_owned() })
    }

    fn record(&self) -> Value {
        json!({ "spanId": self.span_id, "type": "X-Amzn-Trace-Id", "value": self.header })
    }

    /// The line below a `REPORT`.
    fn line(&self) -> String {
        format!("XRAY TraceId: {}\tSegmentId: {}\tSampled: true\t\n", self.root, self.span_id)
    }
}

/// A part of a call, for telemetry.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: &'static str,
    /// Milliseconds since 1970.
    pub(super) start_ms: u64,
    pub(super) duration_ms: f64,
}

impl Span {
    fn record(&self) -> Value {
        json!({
            "name": self.name,
            "start": time_text(self.start_ms),
            "durationMs": rounded(self.duration_ms),
        })
    }
}

/// Why an environment was started (`AWS_LAMBDA_INITIALIZATION_TYPE`, FACTS.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Initialization {
    /// A call needed it.
    OnDemand,
    /// It is kept ready for calls to come.
    Provisioned,
}

impl Initialization {
    /// In AWS's word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Provisioned => "provisioned-concurrency",
        }
    }
}

/// An event of the platform.
#[derive(Debug)]
pub(super) enum PlatformEvent<'a> {
    InitStart {
        initialization: Initialization,
        phase: InitPhase,
        runtime_version: &'a str,
        runtime_version_arn: &'a str,
    },
    InitRuntimeDone {
        initialization: Initialization,
        phase: InitPhase,
        ending: Ending<'a>,
    },
    InitReport {
        initialization: Initialization,
        phase: InitPhase,
        duration_ms: f64,
        ending: Ending<'a>,
    },
    Extension(&'a ExtensionStatus),
    Subscription {
        telemetry: bool,
        name: &'a str,
        types: &'a [&'static str],
    },
    Start {
        request_id: &'a str,
        version: &'a str,
        function_arn: &'a str,
        tracing: Option<&'a Tracing>,
    },
    RuntimeDone {
        request_id: &'a str,
        ending: Ending<'a>,
        duration_ms: f64,
        produced_bytes: Option<usize>,
        spans: &'a [Span],
        tracing: Option<&'a Tracing>,
    },
    /// The call is over: `END` and `REPORT` in one.
    Report {
        request_id: &'a str,
        report: &'a Report,
        spans: &'a [Span],
        tracing: Option<&'a Tracing>,
    },
    LogsDropped {
        records: u64,
        bytes: u64,
        reason: &'a str,
    },
}

impl PlatformEvent<'_> {
    /// `platform.…`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::InitStart { .. } => "platform.initStart",
            Self::InitRuntimeDone { .. } => "platform.initRuntimeDone",
            Self::InitReport { .. } => "platform.initReport",
            Self::Extension(_) => "platform.extension",
            Self::Subscription { telemetry: true, .. } => "platform.telemetrySubscription",
            Self::Subscription { telemetry: false, .. } => "platform.logsSubscription",
            Self::Start { .. } => "platform.start",
            Self::RuntimeDone { .. } => "platform.runtimeDone",
            Self::Report { .. } => "platform.report",
            Self::LogsDropped { .. } => "platform.logsDropped",
        }
    }

    /// The level that Lambda's documentation gives it ("System log level event mapping").
    pub(super) fn level(&self) -> LogLevel {
        match self {
            Self::InitStart { .. } | Self::Subscription { .. } | Self::Start { .. } => LogLevel::Info,
            Self::InitRuntimeDone { ending, .. }
            | Self::InitReport { ending, .. }
            | Self::RuntimeDone { ending, .. } => ending.level(LogLevel::Debug),
            Self::Report { report, .. } => report.ending().level(LogLevel::Info),
            Self::Extension(status) if status.error_type.is_none() => LogLevel::Info,
            Self::Extension(_) | Self::LogsDropped { .. } => LogLevel::Warn,
        }
    }

    /// The lines in a log of the text format; some events have none there.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::InitStart { phase: InitPhase::Init, runtime_version, runtime_version_arn, .. } => format!(
                "INIT_START Runtime Version: {runtime_version}\tRuntime Version ARN: {runtime_version_arn}\n"
            ),
            Self::InitReport {
                phase,
                duration_ms,
                ending: Ending { status: Some(status), error_type },
                ..
            } => {
                let phase = phase.name();
                let error_type = error_type.map(|name| format!("\tError Type: {name}")).unwrap_or_default();
                format!(
                    "INIT_REPORT Init Duration: {duration_ms:.2} ms\tPhase: {phase}\tStatus: {status}{error_type}\n"
                )
            }
            Self::Extension(status) => {
                let events: Vec<&str> = status.events.iter().map(|event| event.name()).collect();
                let mut line = format!(
                    "EXTENSION\tName: {}\tState: {}\tEvents: [{}]",
                    status.name,
                    status.state.name(),
                    events.join(", ")
                );
                // Writing to a `String` cannot fail.
                if let Some(error_type) = &status.error_type {
                    let _ = write!(line, "\tError Type: {error_type}");
                }
                line.push('\n');
                line
            }
            Self::Subscription { telemetry, name, types } => {
                let api = if *telemetry { "TELEMETRY" } else { "LOGS" };
                let types: Vec<String> = types.iter().map(|name| capitalised(name)).collect();
                format!("{api}\tName: {name}\tState: Subscribed\tTypes: [{}]\n", types.join(", "))
            }
            Self::Start { request_id, version, .. } => {
                format!("START RequestId: {request_id} Version: {version}\n")
            }
            Self::Report { request_id, report, tracing, .. } => {
                let mut line = report.line(request_id);
                if let Some(tracing) = tracing {
                    line.push_str(&tracing.line());
                }
                line
            }
            Self::LogsDropped { .. }
            | Self::InitStart { .. }
            | Self::InitRuntimeDone { .. }
            | Self::InitReport { .. }
            | Self::RuntimeDone { .. } => return None,
        })
    }

    /// The `record` of the telemetry event.
    pub(super) fn record(&self) -> Value {
        let mut record = Map::new();
        let mut put = |name: &str, value: Value| {
            record.insert(name.into(), value);
        };
        match self {
            Self::InitStart { initialization, phase, runtime_version, runtime_version_arn } => {
                put("initializationType", initialization.name().into());
                put("phase", phase.name().into());
                put("runtimeVersion", (*runtime_version).into());
                put("runtimeVersionArn", (*runtime_version_arn).into());
            }
            Self::InitRuntimeDone { initialization, phase, ending } => {
                put("initializationType", initialization.name().into());
                put("phase", phase.name().into());
                ending.write(&mut record);
            }
            Self::InitReport { initialization, phase, duration_ms, ending } => {
                put("initializationType", initialization.name().into());
                put("phase", phase.name().into());
                put("metrics", json!({ "durationMs": rounded(*duration_ms) }));
                ending.write(&mut record);
            }
            Self::Extension(status) => {
                put("name", status.name.clone().into());
                put("state", status.state.name().into());
                put("events", status.events.iter().map(|event| event.name()).collect::<Vec<_>>().into());
                if let Some(error_type) = &status.error_type {
                    put("errorType", error_type.clone().into());
                }
            }
            Self::Subscription { name, types, .. } => {
                put("name", (*name).into());
                put("state", "Subscribed".into());
                put("types", types.to_vec().into());
            }
            Self::Start { request_id, version, function_arn, tracing } => {
                put("requestId", (*request_id).into());
                put("version", (*version).into());
                put("functionArn", (*function_arn).into());
                put_tracing(&mut record, *tracing);
            }
            Self::RuntimeDone { request_id, ending, duration_ms, produced_bytes, spans, tracing } => {
                put("requestId", (*request_id).into());
                ending.write(&mut record);
                put_tracing(&mut record, *tracing);
                put_spans(&mut record, spans);
                let mut metrics = json!({ "durationMs": rounded(*duration_ms) });
                if let Some(bytes) = produced_bytes {
                    metrics["producedBytes"] = (*bytes).into();
                }
                record.insert("metrics".into(), metrics);
            }
            Self::Report { request_id, report, spans, tracing } => {
                put("requestId", (*request_id).into());
                put("metrics", report.metrics());
                put_spans(&mut record, spans);
                report.ending().write(&mut record);
                put_tracing(&mut record, *tracing);
            }
            Self::LogsDropped { records, bytes, reason } => {
                put("reason", (*reason).into());
                put("droppedRecords", (*records).into());
                put("droppedBytes", (*bytes).into());
            }
        }
        Value::Object(record)
    }
}

fn put_tracing(record: &mut Map<String, Value>, tracing: Option<&Tracing>) {
    if let Some(tracing) = tracing {
        record.insert("tracing".into(), tracing.record());
    }
}

fn put_spans(record: &mut Map<String, Value>, spans: &[Span]) {
    if !spans.is_empty() {
        record.insert("spans".into(), spans.iter().map(Span::record).collect());
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// Milliseconds with microseconds behind the point, as AWS has them.
pub(super) fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1000.0).round() / 1000.0
}

/// A time as in telemetry events.
pub(super) fn time_text(time_ms: u64) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    format!("{:.3}", time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{
        super::extensions::{EventKind, State},
        *,
    };

    fn check(event: &PlatformEvent<'_>) -> String {
        let text = event.text().map(|text| text.replace('\t', "→")).unwrap_or_default();
        format!("{:?} {} {}\n{text}", event.level(), event.kind(), event.record())
    }

    #[test]
    fn an_extension_that_failed_is_a_warning() {
        let status = ExtensionStatus {
            name: "watcher".into(),
            state: State::Ready,
            events: vec![EventKind::Invoke, EventKind::Shutdown],
            error_type: None,
        };
        insta::assert_snapshot!(check(&PlatformEvent::Extension(&status)), @r#"
        Info platform.extension {"name":"watcher","state":"Ready","events":["INVOKE","SHUTDOWN"]}
        EXTENSION→Name: watcher→State: Ready→Events: [INVOKE, SHUTDOWN]
        "#);
        let failed = ExtensionStatus {
            state: State::LaunchError,
            events: Vec::new(),
            error_type: Some("PermissionDenied".into()),
            ..status
        };
        insta::assert_snapshot!(check(&PlatformEvent::Extension(&failed)), @r#"
        Warn platform.extension {"name":"watcher","state":"LaunchError","events":[],"errorType":"PermissionDenied"}
        EXTENSION→Name: watcher→State: LaunchError→Events: []→Error Type: PermissionDenied
        "#);
    }

    #[test]
    fn a_sampled_call_has_its_trace_below_the_report() {
        assert!(Tracing::of("Root=1-a-b;Parent=c;Sampled=0").is_none());
        let mut tracing = Tracing::of("Root=1-a-b;Parent=c;Sampled=1").expect("sampled");
        assert_eq!(tracing.span_id.len(), 16);
        tracing.span_id = "0123456789abcdef".into();
        let report = Report {
            duration_ms: 1.2345,
            billed_ms: 2,
            memory_mb: 128,
            max_memory_mb: 30,
            init_ms: None,
            status: Some("timeout"),
            error_type: None,
        };
        let span = Span { name: "extensionOverhead", start_ms: 0, duration_ms: 0.1 };
        let event = PlatformEvent::Report {
            request_id: "id",
            report: &report,
            spans: &[span],
            tracing: Some(&tracing),
        };
        insta::assert_snapshot!(check(&event), @r#"
        Warn platform.report {"requestId":"id","metrics":{"durationMs":1.235,"billedDurationMs":2,"memorySizeMB":128,"maxMemoryUsedMB":30},"spans":[{"name":"extensionOverhead","start":"1970-01-01T00:00:00.000Z","durationMs":0.1}],"status":"timeout","tracing":{"spanId":"0123456789abcdef","type":"X-Amzn-Trace-Id","value":"Root=1-a-b;Parent=c;Sampled=1"}}
        REPORT RequestId: id→Duration: 1.23 ms→Billed Duration: 2 ms→Memory Size: 128 MB→Max Memory Used: 30 MB→Status: timeout
        XRAY TraceId: 1-a-b→SegmentId: 0123456789abcdef→Sampled: true→
        "#);
    }

    #[test]
    fn what_is_only_interesting_when_it_failed_has_no_text() {
        let done = |ending| PlatformEvent::InitReport {
            initialization: Initialization::OnDemand,
            phase: InitPhase::Invoke,
            duration_ms: 3.0,
            ending,
        };
        let failed = Ending { status: Some("error"), error_type: Some("Extension.Crash") };
        insta::assert_snapshot!(check(&done(Ending::default())), @r#"Debug platform.initReport {"initializationType":"on-demand","phase":"invoke","metrics":{"durationMs":3.0},"status":"success"}"#);
        insta::assert_snapshot!(check(&done(failed)), @r#"
        Warn platform.initReport {"initializationType":"on-demand","phase":"invoke","metrics":{"durationMs":3.0},"status":"error","errorType":"Extension.Crash"}
        INIT_REPORT Init Duration: 3.00 ms→Phase: invoke→Status: error→Error Type: Extension.Crash
        "#);
    }
}
