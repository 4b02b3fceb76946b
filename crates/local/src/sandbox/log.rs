//! The log of one call: lines as AWS writes them (FACTS.md §6), in order, within bounds.
//!
//! Owns the cutting of output into events, and the order and bounds of a log; the texts of the
//! platform are `platform_event`'s. Never waits and never fails; what does not fit is counted and
//! said.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use layercake_core::aws::Region;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    FunctionRuntime,
    log_format::LogFormat,
    platform_event::{Ending, PlatformEvent, rounded, time_text},
    telemetry::{Category, Telemetry},
};

/// The longest event that CloudWatch Logs takes.
const LONGEST_EVENT: usize = 262_118;
/// What one call may print before the rest is dropped.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const TAIL_BYTES: usize = 4096;

/// One line of a function's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The line with its line feed.
    pub text: String,
}

/// The figures of a `REPORT` line.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How long the call took.
    pub duration_ms: f64,
    /// What AWS would charge: duration and init together, rounded up.
    pub billed_ms: u64,
    /// The memory setting.
    pub memory_mb: u32,
    /// The most memory that the environment has used so far.
    pub max_memory_mb: u32,
    /// How long the init phase took, on the first call of an environment.
    pub init_ms: Option<f64>,
    /// `error` or `timeout`, when the runtime rather than the handler failed.
    pub status: Option<&'static str>,
    /// The error type that goes with `error`.
    pub error_type: Option<String>,
}

impl Report {
    /// The last line of a call.
    pub(super) fn line(&self, request_id: &str) -> String {
        use std::fmt::Write;
        let mut line = format!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            self.duration_ms, self.billed_ms, self.memory_mb, self.max_memory_mb
        );
        // Writing to a `String` cannot fail.
        if let Some(init) = self.init_ms {
            let _ = write!(line, "Init Duration: {init:.2} ms\t");
        }
        if let Some(status) = self.status {
            let _ = write!(line, "Status: {status}");
            if let Some(error_type) = &self.error_type {
                let _ = write!(line, "\tError Type: {error_type}");
            }
        }
        line.push('\n');
        line
    }

    /// How the call ended.
    pub(super) fn ending(&self) -> Ending<'_> {
        Ending { status: self.status, error_type: self.error_type.as_deref() }
    }

    /// The figures of a telemetry event.
    pub(super) fn metrics(&self) -> Value {
        let mut metrics = json!({
            "durationMs": rounded(self.duration_ms),
            "billedDurationMs": self.billed_ms,
            "memorySizeMB": self.memory_mb,
            "maxMemoryUsedMB": self.max_memory_mb,
        });
        if let Some(init) = self.init_ms {
            metrics["initDurationMs"] = rounded(init).into();
        }
        metrics
    }
}

/// The ARN of the runtime version that functions of this runtime claim to run on.
pub fn runtime_version_arn(region: &Region, runtime: FunctionRuntime) -> String {
    let id: String = Sha256::digest(runtime.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("arn:aws:lambda:{region}::runtime:{id}")
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// How a frame of AWS's runtime clients begins: three bytes that no UTF-8 text has, a level, the
/// length of the message and a time; see `FramedTelemetryLogSink` in awslambdaric.
const FRAME_MAGIC: [u8; 3] = [0xa5, 0x5a, 0x00];
const FRAME_HEAD: usize = 16;

/// A log while its call runs.
#[derive(Debug, Default)]
pub(super) struct Log {
    format: LogFormat,
    /// Whose output is cut here.
    category: Category,
    /// Who hears of it too.
    telemetry: Option<Arc<Telemetry>>,
    events: Vec<LogEvent>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// A frame whose end has not come.
    frame: Vec<u8>,
    bytes: usize,
    dropped: u64,
    tail_from: usize,
}

/// What begins with the first byte of a frame.
enum Framed<'a> {
    /// Something else.
    Nothing,
    /// A frame that goes on.
    Beginning,
    Message {
        message: &'a [u8],
        rest: &'a [u8],
    },
}

impl Log {
    /// An empty log of a format.
    pub(super) fn new(format: LogFormat, telemetry: Option<Arc<Telemetry>>) -> Self {
        Self { format, telemetry, ..Self::default() }
    }

    /// The log of what extensions print, which is text.
    pub(super) fn of_extensions(telemetry: Arc<Telemetry>) -> Self {
        Self { category: Category::Extension, telemetry: Some(telemetry), ..Self::default() }
    }

    /// Whether an event that the text format has no line for is wanted by anybody.
    pub(super) fn wants_details(&self) -> bool {
        self.format != LogFormat::Text || self.telemetry.is_some()
    }

    /// Nobody hears of what comes now.
    pub(super) fn stop_telemetry(&mut self) {
        self.telemetry = None;
    }

    /// Adds what the runtime has printed: lines, and frames, which are one event each whatever
    /// they hold.
    pub(super) fn output(&mut self, bytes: &[u8]) {
        if self.bytes >= MOST_BYTES {
            self.dropped += bytes.len() as u64;
            return;
        }
        self.bytes += bytes.len();
        if self.frame.is_empty() {
            return self.cut(bytes);
        }
        self.frame.extend_from_slice(bytes);
        let is_frame = !matches!(framed(&self.frame), Framed::Nothing);
        if !is_frame || self.frame.len() >= frame_length(&self.frame) {
            let frame = std::mem::take(&mut self.frame);
            self.cut(&frame);
        }
    }

    fn cut(&mut self, mut bytes: &[u8]) {
        let now = now_ms();
        let mut searched = 0;
        while let Some(found) = memchr::memchr2(b'\n', FRAME_MAGIC[0], &bytes[searched..]) {
            let at = searched + found;
            if bytes[at] == b'\n' {
                let (line, rest) = bytes.split_at(at + 1);
                if self.partial.is_empty() {
                    self.push_output(now, line);
                } else {
                    self.partial.extend_from_slice(line);
                    let line = std::mem::take(&mut self.partial);
                    self.push_output(now, &line);
                }
                (bytes, searched) = (rest, 0);
                continue;
            }
            match framed(&bytes[at..]) {
                Framed::Nothing => searched = at + 1,
                Framed::Beginning => {
                    self.partial.extend_from_slice(&bytes[..at]);
                    self.frame = bytes[at..].to_vec();
                    return;
                }
                Framed::Message { message, rest } => {
                    self.partial.extend_from_slice(&bytes[..at]);
                    self.end_line();
                    self.push_output(now, &event_of_frame(message));
                    (bytes, searched) = (rest, 0);
                }
            }
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_EVENT {
            self.end_line();
        }
    }

    /// Adds what the function wrote, when its level is high enough.
    fn push_output(&mut self, now: u64, text: &[u8]) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.line(now, self.category, text);
        }
        if self.format.takes(text) {
            self.push(now, text);
        }
    }

    fn push(&mut self, now: u64, line: &[u8]) {
        for part in line.chunks(LONGEST_EVENT) {
            self.push_text(now, String::from_utf8_lossy(part).into_owned());
        }
    }

    fn push_text(&mut self, now: u64, text: String) {
        // An event costs memory even when its line is empty.
        self.bytes += size_of::<LogEvent>();
        self.events.push(LogEvent { timestamp_ms: now as i64, text });
    }

    /// Ends a line that the runtime has left open.
    fn end_line(&mut self) {
        if self.frame.len() < FRAME_MAGIC.len() {
            // It was the end of a letter after all.
            self.partial.append(&mut self.frame);
        }
        if !self.partial.is_empty() {
            let mut line = std::mem::take(&mut self.partial);
            line.push(b'\n');
            self.push_output(now_ms(), &line);
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            let text = format!(
                "[layercake] {dropped} more bytes were printed; one call's log ends at {MOST_BYTES} bytes\n"
            );
            self.push_text(now_ms(), text);
        }
    }

    /// Adds a line that has one form only.
    fn line(&mut self, line: String) {
        self.end_line();
        self.push_text(now_ms(), line);
    }

    /// Adds an event of the platform in the log's format, if it has a place there.
    pub(super) fn platform(&mut self, event: &PlatformEvent<'_>) {
        if self.telemetry.is_some() {
            // What was printed before comes before.
            self.end_line();
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.platform(now_ms(), event);
        }
        match self.format {
            LogFormat::Text => {
                if let Some(text) = event.text() {
                    self.line(text);
                }
            }
            LogFormat::Json { system, .. } => {
                if event.level() >= system {
                    let line = json!({
                        "time": time_text(now_ms()),
                        "type": event.kind(),
                        "record": event.record(),
                    });
                    self.line(format!("{line}\n"));
                }
            }
        }
    }

    /// What comes from here on belongs to the call and not to the init phase.
    pub(super) fn begin_call(&mut self) {
        self.end_line();
        self.tail_from = self.events.len();
    }

    /// Why a program's end failed the call, in two lines.
    pub(super) fn exit(&mut self, request_id: &str, error_type: &str, reason: &str) {
        let line = format!("RequestId: {request_id} Error: {reason}\n");
        if let Some(telemetry) = &self.telemetry {
            telemetry.of_logs_api(now_ms(), "platform.fault", line.trim_end().into());
        }
        self.line(line);
        self.line(format!("{error_type}\n"));
    }

    pub(super) fn timed_out(&mut self, request_id: &str, message: &str) {
        self.line(format!("{} {request_id} {message}\n", time_text(now_ms())));
    }

    /// The last lines of a call.
    pub(super) fn report(&mut self, event: &PlatformEvent<'_>) {
        if let PlatformEvent::Report { request_id, .. } = event {
            if let Some(telemetry) = &self.telemetry {
                telemetry.of_logs_api(now_ms(), "platform.end", json!({ "requestId": request_id }));
            }
            if self.format == LogFormat::Text {
                self.line(format!("END RequestId: {request_id}\n"));
            }
        }
        self.platform(event);
    }

    /// Puts events of others, such as extensions, where their time is.
    pub(super) fn merge(&mut self, others: Vec<LogEvent>) {
        for event in others {
            self.bytes += event.text.len() + size_of::<LogEvent>();
            let place = self.events[self.tail_from..]
                .iter()
                .rposition(|before| before.timestamp_ms <= event.timestamp_ms)
                .map_or(self.tail_from, |before| self.tail_from + before + 1);
            self.events.insert(place, event);
        }
    }

    /// The events so far and the index of the call's first; the log goes on empty.
    pub(super) fn take_call(&mut self) -> (Vec<LogEvent>, usize) {
        self.end_line();
        (std::mem::take(&mut self.events), std::mem::take(&mut self.tail_from))
    }

    /// The events so far, without a line that is still open.
    pub(super) fn take(&mut self) -> Vec<LogEvent> {
        if self.dropped > 0 {
            self.end_line();
        }
        self.bytes = self.partial.len();
        std::mem::take(&mut self.events)
    }
}

/// The length of a frame as its head says, as far as the head is there.
fn frame_length(bytes: &[u8]) -> usize {
    match bytes.get(4..8).and_then(|length| length.try_into().ok()) {
        Some(length) => FRAME_HEAD + u32::from_be_bytes(length) as usize,
        None => FRAME_HEAD,
    }
}

/// The event of a framed message. What nobody caught has carriage returns in it, as recorded on AWS.
fn event_of_frame(message: &[u8]) -> Vec<u8> {
    let mut event = message.strip_suffix(b"\n").unwrap_or(message).to_vec();
    if event.starts_with(b"[ERROR] ") {
        event.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'\r');
    }
    event.push(b'\n');
    event
}

fn framed(bytes: &[u8]) -> Framed<'_> {
    let known = bytes.len().min(FRAME_MAGIC.len());
    let length = frame_length(bytes);
    if bytes[..known] != FRAME_MAGIC[..known] || length > MOST_BYTES {
        return Framed::Nothing;
    }
    match bytes.get(FRAME_HEAD..length) {
        Some(message) => Framed::Message { message, rest: &bytes[length..] },
        None => Framed::Beginning,
    }
}

/// The last 4 KB of some events.
pub(super) fn tail(events: &[LogEvent]) -> Vec<u8> {
    let mut size = 0;
    let first = events.iter().rposition(|event| {
        size += event.text.len();
        size >= TAIL_BYTES
    });
    let bytes: Vec<u8> = events[first.unwrap_or(0)..].iter().flat_map(|event| event.text.bytes()).collect();
    bytes[bytes.len().saturating_sub(TAIL_BYTES)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(printed: &[&[u8]]) -> String {
        let mut log = Log::default();
        log.begin_call();
        log.platform(&PlatformEvent::Start {
            request_id: "id",
            version: "$LATEST",
            function_arn: "arn",
            tracing: None,
        });
        for bytes in printed {
            log.output(bytes);
        }
        let report = Report {
            duration_ms: 1.234,
            billed_ms: 12,
            memory_mb: 128,
            max_memory_mb: 30,
            init_ms: Some(10.0),
            status: None,
            error_type: None,
        };
        log.report(&PlatformEvent::Report { request_id: "id", report: &report, spans: &[], tracing: None });
        let (events, _) = log.take_call();
        events.iter().map(|event| format!("{:?}\n", event.text)).collect()
    }

    #[test]
    fn one_event_per_line_whatever_the_reads_were() {
        insta::assert_snapshot!(check(&[b"a\nb", b"c\r", b"d\n\n", b"open"]), @r#"
        "START RequestId: id Version: $LATEST\n"
        "a\n"
        "bc\rd\n"
        "\n"
        "open\n"
        "END RequestId: id\n"
        "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 12 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 10.00 ms\t\n"
        "#);
    }

    #[test]
    fn a_frame_is_one_event_however_it_comes() {
        let frame = |message: &str| {
            let length = u32::try_from(message.len()).expect("short").to_be_bytes();
            [&[0xa5, 0x5a, 0x00, 0x0f], &length[..], &[0; 8], message.as_bytes()].concat()
        };
        let stream =
            [b"\xc3\xa5 open".to_vec(), frame("two\nlines\n"), b"plain\n".to_vec(), frame("x")].concat();
        let whole = check(&[&stream]);
        insta::assert_snapshot!(whole, @r#"
        "START RequestId: id Version: $LATEST\n"
        "å open\n"
        "two\nlines\n"
        "plain\n"
        "x\n"
        "END RequestId: id\n"
        "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 12 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 10.00 ms\t\n"
        "#);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(check(&bytes), whole);
    }

    #[test]
    fn events_of_others_come_where_their_time_is() {
        let event = |timestamp_ms, text: &str| LogEvent { timestamp_ms, text: text.into() };
        let mut log =
            Log { events: vec![event(1, "a"), event(3, "b"), event(3, "c")], tail_from: 1, ..Log::default() };
        log.merge(vec![event(0, "first"), event(3, "same"), event(9, "last")]);
        let texts: Vec<_> = log.take().into_iter().map(|event| event.text).collect();
        assert_eq!(texts, ["a", "first", "b", "c", "same", "last"]);
    }

    #[test]
    fn a_flood_is_cut_and_the_cut_is_said() {
        let megabyte = vec![b'x'; 1024 * 1024];
        let mut log = Log::default();
        for _ in 0..20 {
            log.output(&megabyte);
        }
        log.line("END\n".into());
        let bytes: usize = log.events.iter().map(|event| event.text.len()).sum();
        assert!(bytes < MOST_BYTES + MOST_BYTES / 8, "{bytes}");
        let said = &log.events[log.events.len() - 2].text;
        insta::assert_snapshot!(said, @"[layercake] 4194304 more bytes were printed; one call's log ends at 16777216 bytes");
    }

    #[test]
    fn the_tail_is_the_last_four_kilobytes() {
        let event = |text: String| LogEvent { timestamp_ms: 0, text };
        let events: Vec<_> = (0..1000).map(|n| event(format!("line {n:04}\n"))).collect();
        let tail = tail(&events);
        assert_eq!(tail.len(), TAIL_BYTES);
        assert!(tail.ends_with(b"line 0999\n"));
        assert_eq!(super::tail(&[]), b"");
    }
}
