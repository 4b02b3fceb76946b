//! Answers that are taken while they are made: their pieces, their ends, and callers that are slow
//! or go away.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use layercake_local::sandbox::{Call, Outcome, SandboxError, Streaming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{Function, Lab, newest, show};

/// A runtime of its own: the module is imported by our client, takes over, and never returns.
const RUNTIME: &str = r#"
import http.client, json, os, socket, sys, time
API = os.environ['AWS_LAMBDA_RUNTIME_API']
PATH = '/2018-06-01/runtime/invocation/'

def begin(request_id, content_type='text/x-pieces'):
    answer = http.client.HTTPConnection(API)
    answer.putrequest('POST', PATH + request_id + '/response')
    answer.putheader('Content-Type', content_type)
    answer.putheader('Lambda-Runtime-Function-Response-Mode', 'streaming')
    answer.putheader('Transfer-Encoding', 'chunked')
    answer.endheaders()
    return answer

def piece(answer, data):
    answer.send(b'%x\r\n' % len(data) + data + b'\r\n')

def end(answer, trailers=b''):
    answer.send(b'0\r\n' + trailers + b'\r\n')
    said = answer.getresponse()
    assert (said.status, said.read()) == (202, b'{"status":"OK"}\n')

def serve(handle):
    while True:
        asking = http.client.HTTPConnection(API)
        asking.request('GET', PATH + 'next')
        given = asking.getresponse()
        event = json.loads(given.read())
        if given.status != 200:
            # Whoever breaks an answer off may ask before that has been noticed.
            time.sleep(0.02)
            continue
        handle(given.getheader('Lambda-Runtime-Aws-Request-Id'), event)
"#;

/// A function that streams as `handle(request_id, event)` in this code says.
fn streamer(lab: &Lab, code: &str) -> Function {
    lab.function(newest(), &format!("{RUNTIME}\n{code}\nserve(handle)\n"))
}

async fn start(function: &Function, event: &str) -> Result<Streaming, SandboxError> {
    let call = Call {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload: Bytes::copy_from_slice(event.as_bytes()),
        invoked_arn: function.spec.function_arn(),
        client_context: None,
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0".into(),
    };
    function.sandbox.invoke_streaming(Arc::new(function.spec.clone()), call).await
}

/// Everything of a streamed call: type, body, and the outcome without the log of the init phase.
async fn check(function: &Function, event: &str) -> String {
    let streaming = start(function, event).await.expect("a call");
    let Streaming { head, mut body, completion } = streaming;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece);
    }
    let outcome = completion.outcome().await.expect("an outcome");
    let head = head.map_or("no answer".to_owned(), |head| format!("{:?}", head.content_type));
    format!("{head} {:?}\n{}", String::from_utf8_lossy(&bytes), own_log(&outcome))
}

/// The outcome from `START` on, without the figures.
fn own_log(outcome: &Outcome) -> String {
    let shown = show(outcome);
    let without_init = shown
        .lines()
        .filter(|line| !line.starts_with("INIT_START"))
        .map(|line| line.split("→Init Duration").next().unwrap_or_default())
        .map(|line| line.split("REPORT").next().unwrap_or_default())
        .filter(|line| !line.is_empty());
    without_init.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_is_there_before_the_next_is_made() {
    let lab = Lab::new();
    let function = streamer(
        &lab,
        "def handle(id, event):\n    answer = begin(id)\n    piece(answer, b'one')\n    \
         signal = socket.create_connection(('127.0.0.1', event))\n    signal.recv(1)\n    \
         piece(answer, b'two')\n    end(answer)\n",
    );
    let signal = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = signal.local_addr().expect("an address").port().to_string();
    for _ in 0..2 {
        let Streaming { head, mut body, completion } = start(&function, &port).await.expect("a call");
        assert_eq!(head.expect("an answer").content_type.as_deref(), Some("text/x-pieces"));
        assert_eq!(body.next().await.as_deref(), Some(&b"one"[..]));
        let (mut waiting, _) = signal.accept().await.expect("the function");
        waiting.write_all(b"x").await.expect("told");
        assert_eq!(body.next().await.as_deref(), Some(&b"two"[..]));
        assert_eq!(body.next().await, None);
        let outcome = completion.outcome().await.expect("an outcome");
        assert_eq!((outcome.function_error, outcome.payload), (None, Bytes::new()));
    }
    // The same function for a caller that wants its answer in one piece.
    let waiting = tokio::spawn(async move {
        let (mut waiting, _) = signal.accept().await.expect("the function");
        waiting.write_all(b"x").await.expect("told");
    });
    assert_eq!(function.call(&port).await.payload, Bytes::from_static(b"onetwo"));
    waiting.await.expect("the signal");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_midway_ends_the_stream() {
    let lab = Lab::new();
    let mut function = streamer(
        &lab,
        "import base64\n\
         def handle(id, event):\n    answer = begin(id)\n    piece(answer, b'one')\n    \
         if event == 'sleep':\n        time.sleep(60)\n    \
         if event != 'error':\n        \
             how, port = event\n        socket.create_connection(('127.0.0.1', port)).recv(1)\n        \
             if how == 'exit':\n            os._exit(3)\n        return answer.close()\n    \
         body = base64.b64encode(b'{\"errorType\":\"Midway\"}')\n    \
         end(answer, b'Lambda-Runtime-Function-Error-Type: Runtime.Midway\\r\\n'\n        \
             b'Lambda-Runtime-Function-Error-Body: ' + body + b'\\r\\n')\n",
    );
    insta::assert_snapshot!(check(&function, "\"error\"").await, @r#"
    Some("text/x-pieces") "one"
    Unhandled {"errorType":"Midway"}
    START RequestId: <id> Version: $LATEST
    END RequestId: <id>
    "#);
    // Whoever breaks off at once may be gone before it is known whose connection it was.
    let signal = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = signal.local_addr().expect("an address").port();
    let broken_off = async |how: &str| {
        let event = serde_json::json!([how, port]).to_string();
        let Streaming { mut body, completion, .. } = start(&function, &event).await.expect("a call");
        assert_eq!(body.next().await.as_deref(), Some(&b"one"[..]));
        signal.accept().await.expect("the function").0.write_all(b"x").await.expect("told");
        assert_eq!(body.next().await, None);
        own_log(&completion.outcome().await.expect("an outcome"))
    };
    insta::assert_snapshot!(broken_off("close").await, @r#"
    Unhandled {"errorType":"Runtime.TruncatedResponse","errorMessage":"RequestId: <id> Error: The response was truncated"}
    START RequestId: <id> Version: $LATEST
    END RequestId: <id>
    "#);
    insta::assert_snapshot!(broken_off("exit").await, @r#"
    Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: <id> Error: Runtime exited with error: exit status 3"}
    START RequestId: <id> Version: $LATEST
    RequestId: <id> Error: Runtime exited with error: exit status 3
    Runtime.ExitError
    END RequestId: <id>
    "#);
    (function.spec.timeout, function.spec.revision) = (Duration::from_secs(3), "2".into());
    insta::assert_snapshot!(check(&function, "\"sleep\"").await, @r#"
    Some("text/x-pieces") "one"
    Unhandled {"errorType":"Sandbox.Timedout","errorMessage":"RequestId: <id> Error: Task timed out after <n> seconds"}
    START RequestId: <id> Version: $LATEST
    <time> <id> Task timed out after <n> seconds
    END RequestId: <id>
    "#);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_holds_the_function_until_its_timeout() {
    let lab = Lab::new();
    let mut function = streamer(
        &lab,
        "def handle(id, event):\n    answer = begin(id)\n    \
         for _ in range(event):\n        piece(answer, b'x' * (1 << 20))\n    end(answer)\n",
    );
    function.spec.timeout = Duration::from_secs(6);
    let Streaming { body, completion, .. } = start(&function, "150").await.expect("a call");
    let outcome = completion.outcome().await.expect("an outcome");
    assert!(String::from_utf8_lossy(&outcome.payload).contains("Sandbox.Timedout"), "{outcome:?}");
    drop(body);
    // The environment is as good as new.
    let Streaming { mut body, completion, .. } = start(&function, "3").await.expect("a call");
    let mut count = 0;
    while let Some(piece) = body.next().await {
        count += piece.len();
    }
    assert_eq!(count, 3 << 20);
    assert_eq!(completion.outcome().await.expect("an outcome").function_error, None);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_does_not_end_the_function() {
    let lab = Lab::new();
    let function = streamer(
        &lab,
        "def handle(id, event):\n    answer = begin(id)\n    \
         for _ in range(50):\n        piece(answer, b'x' * (1 << 20))\n    end(answer)\n    \
         socket.create_connection(('127.0.0.1', event)).sendall(b'done')\n",
    );
    let signal = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = signal.local_addr().expect("an address").port().to_string();
    let Streaming { body, completion, .. } = start(&function, &port).await.expect("a call");
    drop(body);
    let outcome = completion.outcome().await.expect("an outcome");
    assert_eq!(outcome.function_error, None);
    let mut said = String::new();
    signal.accept().await.expect("the function").0.read_to_string(&mut said).await.expect("its word");
    assert_eq!(said, "done");

    // The same when nobody waits for the call at all.
    drop(start(&function, &port).await.expect("a call"));
    let mut said = String::new();
    signal.accept().await.expect("the function").0.read_to_string(&mut said).await.expect("its word");
    assert_eq!(said, "done");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_does_not_stream_answers_in_one_piece() {
    let lab = Lab::new();
    let function = lab.function(
        newest(),
        "def handler(event, context):\n    if event == 'big':\n        return 'x' * 7000000\n    return {'got': event}\n",
    );
    insta::assert_snapshot!(check(&function, "1").await, @r#"
    Some("application/json") "{\"got\": 1}"
    - {"got": 1}
    START RequestId: <id> Version: $LATEST
    END RequestId: <id>
    "#);
    let big = check(&function, "\"big\"").await;
    assert!(
        big.starts_with("no answer \"\"\nUnhandled {\"errorMessage\":\"Response payload size exceeded"),
        "{big}"
    );
    let failing = lab.function(newest(), "def handler(event, context):\n    raise ValueError('no')\n");
    let failed = check(&failing, "1").await;
    assert!(failed.starts_with("no answer \"\"\nUnhandled {\"errorMessage\": \"no\""), "{failed}");
    let broken = lab.function(newest(), "import nothing_of_this_name\n");
    let broken = check(&broken, "1").await;
    assert!(broken.contains("Runtime.ImportModuleError"), "{broken}");
    lab.sandbox.shutdown().await;
}
