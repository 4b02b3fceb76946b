//! Response streams and function URLs, as boto3, browsers and curl see them. The scenarios are in
//! `function_urls_suite.py`; the SDK for Rust reads a stream here.

use aws_sdk_lambda::{
    primitives::Blob,
    types::{FunctionCode, InvokeWithResponseStreamResponseEvent as Event, Runtime, State},
};

use crate::{
    common::{TestCloud, scenarios},
    credentials::guarded,
    sdk::{lambda, zip},
};

scenarios!("function_urls_suite.py";
    events_and_answers,
    aliases,
    cross_origin,
    response_streams,
    streaming_urls,
    claimed_callers,
);

scenarios!("function_urls_suite.py" in guarded();
    signed_callers,
);

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_for_rust_reads_a_stream() {
    let cloud = TestCloud::start().await;
    let lambda = lambda(&cloud.handle.endpoint());
    let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
    let code = zip("app.py", "def handler(event, context):\n    return event['name']\n");
    lambda
        .create_function()
        .function_name("f")
        .runtime(Runtime::from(runtime.as_str()))
        .handler("app.handler")
        .role("arn:aws:iam::123456789012:role/made-up")
        .code(FunctionCode::builder().zip_file(Blob::new(code)).build())
        .send()
        .await
        .expect("a function");
    loop {
        let found = lambda.get_function_configuration().function_name("f").send().await.expect("it");
        if found.state() == Some(&State::Active) {
            break;
        }
    }
    for (event, expected) in [(r#"{"name": "x"}"#, r#""x" None"#), ("{}", "KeyError Some(\"Unhandled\")")] {
        let mut answer = lambda
            .invoke_with_response_stream()
            .function_name("f")
            .payload(Blob::new(event))
            .send()
            .await
            .expect("an answer");
        assert_eq!((answer.status_code(), answer.executed_version()), (200, Some("$LATEST")));
        let mut shown = String::new();
        while let Some(event) = answer.event_stream.recv().await.expect("an event") {
            match event {
                Event::PayloadChunk(chunk) => {
                    let text = chunk.payload.map(Blob::into_inner).unwrap_or_default();
                    let text = String::from_utf8(text).expect("UTF-8");
                    shown.push_str(if text.contains("KeyError") { "KeyError" } else { &text });
                }
                Event::InvokeComplete(complete) => shown.push_str(&format!(" {:?}", complete.error_code())),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(shown, expected);
    }
    cloud.handle.shutdown().await;
}
