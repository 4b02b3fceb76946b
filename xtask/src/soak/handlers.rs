//! What is called: each handler with what it must answer.

use serde_json::{Value, json};

/// A function under load.
pub(super) struct Handler {
    pub(super) name: &'static str,
    /// In seconds.
    pub(super) timeout: u32,
    pub(super) code: fn() -> String,
    /// Whether this is the answer to the event, given the oldest code that may run.
    pub(super) is_right: fn(&Value, u64, u64) -> bool,
}

/// The one whose code changes.
pub(super) const UPDATED: &str = "good";
/// The one that is called without waiting, too.
pub(super) const EVENTS: &str = "slow";

/// Answers with its generation and the event.
pub(super) fn good(generation: u64) -> String {
    format!(
        "import threading, time\ndef turn():\n    while True:\n        time.sleep(0.001)\n\
         threading.Thread(target=turn, daemon=True).start()\n\
         def handler(event, context):\n    return [{generation}, event]\n"
    )
}

fn killed(value: &Value) -> bool {
    let message = value["errorMessage"].as_str().unwrap_or_default();
    value["errorType"] == "Runtime.ExitError"
        && message.ends_with("Error: Runtime exited with error: signal: killed")
}

/// All of them. Each is its own function; the event is a number that grows.
pub(super) const ALL: [Handler; 9] = [
    Handler {
        name: UPDATED,
        timeout: 30,
        code: || good(0),
        is_right: |value, turn, least| {
            value[0].as_u64().is_some_and(|generation| generation >= least) && value[1] == json!(turn)
        },
    },
    Handler {
        name: EVENTS,
        timeout: 30,
        code: || {
            "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return 'done'\n".into()
        },
        is_right: |value, _, _| value == "done",
    },
    Handler {
        name: "raising",
        timeout: 30,
        code: || "def handler(event, context):\n    raise KeyError(event)\n".into(),
        is_right: |value, _, _| value["errorType"] == "KeyError",
    },
    Handler {
        name: "crashing",
        timeout: 30,
        code: || "import os\ndef handler(event, context):\n    os._exit(1 + event % 100)\n".into(),
        is_right: |value, turn, _| {
            let message = value["errorMessage"].as_str().unwrap_or_default();
            value["errorType"] == "Runtime.ExitError"
                && message.ends_with(&format!("exit status {}", 1 + turn % 100))
        },
    },
    Handler {
        name: "too-slow",
        timeout: 1,
        code: || {
            "import time\ndef handler(event, context):\n    time.sleep(30 if event % 5 == 0 else 0)\n    return event\n".into()
        },
        is_right: |value, turn, _| match turn % 5 {
            0 => value["errorMessage"]
                .as_str()
                .unwrap_or_default()
                .ends_with("Task timed out after 1.00 seconds"),
            _ => *value == json!(turn),
        },
    },
    Handler {
        name: "hungry",
        timeout: 30,
        code: || {
            "def handler(event, context):\n    held = []\n    while True:\n        held.append(bytearray(8 << 20))\n".into()
        },
        is_right: |value, _, _| killed(value),
    },
    Handler {
        name: "forking",
        timeout: 30,
        code: || {
            "import os, time\ndef handler(event, context):\n    for _ in range(20):\n        if os.fork() == 0:\n            \
             time.sleep(3600)\n            os._exit(0)\n    if event % 3 == 0:\n        os._exit(7)\n    return event\n"
                .into()
        },
        is_right: |value, turn, _| {
            // Those that an earlier call left behind count too: at some point no more can be started.
            *value == json!(turn)
                || value["errorMessage"].as_str().unwrap_or_default().ends_with("exit status 7")
                || value["errorType"] == "BlockingIOError"
                || killed(value)
        },
    },
    Handler {
        name: "noisy",
        timeout: 30,
        code: || {
            "def handler(event, context):\n    for _ in range(200):\n        print('x' * 1000)\n    return event\n".into()
        },
        is_right: |value, turn, _| *value == json!(turn),
    },
    Handler {
        name: "filling",
        timeout: 30,
        code: || {
            "import errno\ndef handler(event, context):\n    try:\n        with open('/tmp/full', 'wb') as file:\n            \
             while True:\n                file.write(bytes(16 << 20))\n    except OSError as error:\n        return errno.errorcode[error.errno]\n"
                .into()
        },
        is_right: |value, _, _| value == "ENOSPC",
    },
];
