//! The errors that the platform itself answers with (FACTS.md §7), to the letter.

use std::time::Duration;

use bytes::Bytes;

use super::cell_event::Exit;

/// How the program of an extension ended.
pub(super) fn process_exit(exit: Exit) -> String {
    match exit {
        Exit::Code(0) => "exit code 0".into(),
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("signal: {}", signal_name(signal)),
    }
}

/// `Runtime exited …`.
pub(super) fn exit_reason(exit: Exit) -> String {
    match exit {
        Exit::Code(0) => "Runtime exited without providing a reason".into(),
        Exit::Code(code) => format!("Runtime exited with error: exit status {code}"),
        Exit::Signal(signal) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
    }
}

/// What a call gets whose runtime or extension ended.
pub(super) fn exit_error(request_id: &str, error_type: &str, reason: &str) -> Bytes {
    payload(error_type, &format!("RequestId: {request_id} Error: {reason}"))
}

/// `Task timed out …`.
pub(super) fn timeout_message(timeout: Duration) -> String {
    format!("Task timed out after {:.2} seconds", timeout.as_secs_f64())
}

pub(super) fn timeout_error(request_id: &str, timeout: Duration) -> Bytes {
    payload("Sandbox.Timedout", &format!("RequestId: {request_id} Error: {}", timeout_message(timeout)))
}

pub(super) fn too_large_error(limit: u64) -> Bytes {
    let message = format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
    // This one has its message first.
    Bytes::from(format!(r#"{{"errorMessage":"{message}","errorType":"Function.ResponseSizeTooLarge"}}"#))
}

/// The type is the platform's (FACTS.md §8); the words are ours, since no recording was found.
pub(super) fn truncated_error(request_id: &str) -> Bytes {
    payload(TRUNCATED, &format!("RequestId: {request_id} Error: The response was truncated"))
}

/// The error type of an answer that breaks off.
pub(super) const TRUNCATED: &str = "Runtime.TruncatedResponse";

fn payload(error_type: &str, message: &str) -> Bytes {
    Bytes::from(serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string())
}

/// The words that Go, in which AWS's supervisor is written, has for a signal.
fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 15] = [
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
        "killed",
        "user defined signal 1",
        "segmentation fault",
        "user defined signal 2",
        "broken pipe",
        "alarm clock",
        "terminated",
    ];
    let index = usize::try_from(signal - 1).ok();
    index
        .and_then(|index| NAMES.get(index))
        .map_or_else(|| format!("signal {signal}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use layercake_core::limits::{STREAMED_RESPONSE_BYTES, SYNC_RESPONSE_BYTES};

    use super::*;

    #[test]
    fn payloads_are_aws_s() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let exit_error = |id, exit| exit_error(id, "Runtime.ExitError", &exit_reason(exit));
        insta::assert_snapshot!(text(exit_error("ID", Exit::Code(0))), @r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}"#);
        insta::assert_snapshot!(text(exit_error("ID", Exit::Code(3))), @r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 3"}"#);
        insta::assert_snapshot!(text(exit_error("ID", Exit::Signal(9))), @r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed"}"#);
        insta::assert_snapshot!(text(timeout_error("ID", Duration::from_secs(1))), @r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ID Error: Task timed out after 1.00 seconds"}"#);
        insta::assert_snapshot!(text(too_large_error(SYNC_RESPONSE_BYTES)), @r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#);
        assert!(text(too_large_error(STREAMED_RESPONSE_BYTES)).contains("(209715200 bytes)"));
    }
}
