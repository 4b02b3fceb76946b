//! What is configured beside functions and layers.

mod code_signing;
mod concurrency;
mod event_invoke;
mod layer_policies;
mod mappings;
mod policies;
mod tags;
mod urls;

use regex_lite::Regex;
use serde_json::{Value, json};

use super::{Harness, code as code_of};

/// `PATH/function…` of a function, as paths of these operations go on.
fn function(name: &str, rest: &str) -> String {
    format!("/2015-03-31/functions/{name}{rest}")
}

fn arn(rest: &str) -> String {
    format!("arn:aws:lambda:us-east-1:123456789012:{rest}")
}

/// A resource's ARN as one segment of a path.
fn segment(arn: &str) -> String {
    percent_encoding::utf8_percent_encode(arn, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The answer's line without what is another every time.
fn stable(line: &str) -> String {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", "TIME"),
        (r#""LastModified":[0-9]{10}(\.[0-9]+)?"#, r#""LastModified":SECONDS"#),
        ("csc-[0-9a-f]{17}", "csc-ID"),
    ]
    .iter()
    .fold(line.to_owned(), |line, (pattern, name)| {
        Regex::new(pattern).expect("a pattern").replace_all(&line, *name).into_owned()
    })
}

/// Sends a request and gives the answer's line without what is another every time.
async fn check(harness: &Harness, method: &str, path: &str, body: Value) -> String {
    stable(&harness.check(method, path, body).await)
}

/// A function with the version 1 and the alias `live` of it.
async fn with_alias() -> Harness {
    let harness = Harness::new();
    harness.create("f", json!({ "Publish": true })).await;
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    let made = harness.send("POST", &function("f", "/aliases"), alias).await;
    assert_eq!(made.status, 201, "{}", made.text);
    harness
}
