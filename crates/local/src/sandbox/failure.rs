//! The errors that the platform itself answers with (FACTS.md §7), to the letter.

use std::time::Duration;

use bytes::Bytes;
use layercake_core::limits::SYNC_RESPONSE_BYTES;

use super::cell_event::Exit;

/// `Runtime exited …`.
pub(super) fn exit_reason(exit: Exit) -> String {
    match exit {
        Exit::Code(0) => "Runtime exited without providing a reason".into(),
        Exit::Code(code) => format!("Runtime exited with error: exit status {code}"),
        Exit::Signal(signal) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
    }
}

pub(super) fn exit_error(request_id: &str, exit: Exit) -> Bytes {
    payload("Runtime.ExitError", &format!("RequestId: {request_id} Error: {}", exit_reason(exit)))
}

/// The runtime cannot be executed, or is not there.
pub(super) fn entrypoint_error(request_id: &str, reason: &str) -> Bytes {
    payload("Runtime.InvalidEntrypoint", &format!("RequestId: {request_id} Error: {reason}"))
}

/// `Task timed out …`.
pub(super) fn timeout_message(timeout: Duration) -> String {
    format!("Task timed out after {:.2} seconds", timeout.as_secs_f64())
}

pub(super) fn timeout_error(request_id: &str, timeout: Duration) -> Bytes {
    payload("Sandbox.Timedout", &format!("RequestId: {request_id} Error: {}", timeout_message(timeout)))
}

pub(super) fn too_large_error() -> Bytes {
    let message =
        format!("Response payload size exceeded maximum allowed payload size ({SYNC_RESPONSE_BYTES} bytes).");
    // This one has its message first.
    Bytes::from(format!(r#"{{"errorMessage":"{message}","errorType":"Function.ResponseSizeTooLarge"}}"#))
}

fn payload(error_type: &str, message: &str) -> Bytes {
    // A message may name a program of an image; the rest contains nothing that JSON escapes.
    let message = serde_json::Value::from(message);
    Bytes::from(format!(r#"{{"errorType":"{error_type}","errorMessage":{message}}}"#))
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
    use super::*;

    #[test]
    fn payloads_are_aws_s() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        insta::assert_snapshot!(text(exit_error("ID", Exit::Code(0))), @r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}"#);
        insta::assert_snapshot!(text(exit_error("ID", Exit::Code(3))), @r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 3"}"#);
        insta::assert_snapshot!(text(exit_error("ID", Exit::Signal(9))), @r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed"}"#);
        insta::assert_snapshot!(text(timeout_error("ID", Duration::from_secs(1))), @r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ID Error: Task timed out after 1.00 seconds"}"#);
        insta::assert_snapshot!(text(too_large_error()), @r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#);
    }
}
