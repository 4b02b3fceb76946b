//! `docs/coverage.md`: which of Lambda's operations are built. Made from the program, not by hand.
//!
//! Each operation is performed with an empty input. What is not built says so whatever it is
//! given; everything else fails on its missing members, or answers.

use std::fmt::Write as _;

use serde_json::Map;

use super::{Call, HeaderMap, Lambda, Links, operations};
use crate::api::{Api, model::Model, tests};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/coverage.md");

/// What is worth knowing about an operation that is built.
const NOTES: [(&str, &str); 3] = [
    (
        "CreateEventSourceMapping",
        "validated and stored; no event source runs here, and the mapping's state says so",
    ),
    ("CreateFunction", "zip packages of every runtime are taken, Python's run; container images are refused"),
    (
        "PutFunctionEventInvokeConfig",
        "events follow it; records go to functions and buckets, since queues, topics and buses are not here",
    ),
];

async fn is_built(api: &Api, operation: &str) -> bool {
    let (parts, ()) = http::Request::new(()).into_parts();
    let call = Call {
        api,
        scope: api.cloud.scope("us-east-1".parse().expect("a region")),
        request_id: "id",
        operation,
        endpoint: Links::new(api, &parts),
        headers: HeaderMap::new(),
        input: Map::new(),
        seen: None,
        unseen: None,
        zip: None,
        body: std::sync::Mutex::default(),
    };
    match operations::perform(&Lambda, operation, call).await {
        Err(error) => error.code != "NotImplemented",
        Ok(_) => true,
    }
}

async fn page(api: &Api) -> String {
    let mut rows = String::new();
    let mut built = 0;
    for (name, operation) in &Model::get().operations {
        let state = if is_built(api, name).await {
            built += 1;
            NOTES
                .iter()
                .find(|(of, _)| of == name)
                .map_or("built".to_owned(), |(_, note)| format!("built: {note}"))
        } else {
            "NotImplemented".to_owned()
        };
        let _ = writeln!(rows, "| {name} | `{} {}` | {state} |", operation.method, operation.uri);
    }
    format!(
        "# Lambda operations of the local cloud\n\n\
         The API model has {} operations; {built} are built. Every other one is found by its path, held\n\
         against the model, and answered with `NotImplemented` (501) and its name.\n\n\
         `cargo xtask gen` writes this page from the program; a test holds it against it.\n\n\
         | Operation | Request | Local cloud |\n|---|---|---|\n{rows}",
        Model::get().operations.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coverage_page_is_true() {
    let (_folder, api) = tests::api();
    let page = page(&api).await;
    if std::env::var_os("LAYERCAKE_GENERATE").is_some() {
        fs_err::write(PAGE, &page).expect("docs/");
    }
    let kept = fs_err::read_to_string(PAGE).unwrap_or_default();
    assert!(kept == page, "docs/coverage.md is not what the program does: run `cargo xtask gen`");
}
