//! The log of one call: lines as AWS writes them (FACTS.md §6), in order, within bounds.
//!
//! Owns every text of the platform in a log. Never waits and never fails; what does not fit is
//! counted and said.

use std::time::{SystemTime, UNIX_EPOCH};

use layercake_core::aws::Region;
use sha2::{Digest, Sha256};

use super::FunctionRuntime;

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
    fn line(&self, request_id: &str) -> String {
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

/// A log while its call runs.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: Vec<LogEvent>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    bytes: usize,
    dropped: u64,
    tail_from: usize,
}

impl Log {
    /// Adds what the runtime has printed.
    pub(super) fn output(&mut self, mut bytes: &[u8]) {
        let now = now_ms();
        if self.bytes >= MOST_BYTES {
            self.dropped += bytes.len() as u64;
            return;
        }
        self.bytes += bytes.len();
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            if self.partial.is_empty() {
                self.push(now, line);
            } else {
                self.partial.extend_from_slice(line);
                let line = std::mem::take(&mut self.partial);
                self.push(now, &line);
            }
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_EVENT {
            self.end_line();
        }
    }

    fn push(&mut self, now: u64, line: &[u8]) {
        for part in line.chunks(LONGEST_EVENT) {
            // An event costs memory even when its line is empty.
            self.bytes += size_of::<LogEvent>();
            let text = String::from_utf8_lossy(part).into_owned();
            self.events.push(LogEvent { timestamp_ms: now as i64, text });
        }
    }

    /// Ends a line that the runtime has left open.
    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            let mut line = std::mem::take(&mut self.partial);
            line.push(b'\n');
            self.push(now_ms(), &line);
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            let text = format!(
                "[layercake] {dropped} more bytes were printed; one call's log ends at {MOST_BYTES} bytes\n"
            );
            self.push(now_ms(), text.as_bytes());
        }
    }

    fn platform(&mut self, line: &str) {
        self.end_line();
        self.push(now_ms(), line.as_bytes());
    }

    pub(super) fn init_start(&mut self, runtime: FunctionRuntime, region: &Region) {
        let (version, arn) = (runtime.log_name(), runtime_version_arn(region, runtime));
        self.platform(&format!("INIT_START Runtime Version: {version}.v1\tRuntime Version ARN: {arn}\n"));
    }

    pub(super) fn init_report(
        &mut self,
        duration_ms: f64,
        phase: &str,
        status: &str,
        error_type: Option<&str>,
    ) {
        let error_type = error_type.map(|name| format!("\tError Type: {name}")).unwrap_or_default();
        self.platform(&format!(
            "INIT_REPORT Init Duration: {duration_ms:.2} ms\tPhase: {phase}\tStatus: {status}{error_type}\n"
        ));
    }

    /// What comes from here on belongs to the call and not to the init phase.
    pub(super) fn begin_call(&mut self) {
        self.end_line();
        self.tail_from = self.events.len();
    }

    pub(super) fn start(&mut self, request_id: &str, version: &str) {
        self.platform(&format!("START RequestId: {request_id} Version: {version}\n"));
    }

    /// Why the runtime failed, in the two lines that AWS has for it.
    pub(super) fn runtime_failed(&mut self, request_id: &str, reason: &str, error_type: &str) {
        self.platform(&format!("RequestId: {request_id} Error: {reason}\n"));
        self.platform(&format!("{error_type}\n"));
    }

    pub(super) fn timed_out(&mut self, request_id: &str, message: &str) {
        let now = jiff::Timestamp::from_millisecond(now_ms() as i64).unwrap_or_default();
        self.platform(&format!("{now:.3} {request_id} {message}\n"));
    }

    /// The last two lines; gives back the events and the index of the call's first.
    pub(super) fn finish(mut self, request_id: &str, report: &Report) -> (Vec<LogEvent>, usize) {
        self.platform(&format!("END RequestId: {request_id}\n"));
        self.platform(&report.line(request_id));
        (self.events, self.tail_from)
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
        log.start("id", "$LATEST");
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
        let (events, _) = log.finish("id", &report);
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
    fn a_flood_is_cut_and_the_cut_is_said() {
        let megabyte = vec![b'x'; 1024 * 1024];
        let mut log = Log::default();
        for _ in 0..20 {
            log.output(&megabyte);
        }
        log.platform("END\n");
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
