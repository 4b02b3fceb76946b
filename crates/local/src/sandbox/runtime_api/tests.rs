//! The API as a runtime and an extension see it: bytes in, bytes out.

use tokio::io::AsyncWriteExt as _;

use super::{
    super::{exchange::RuntimeEvent, extensions::FunctionIdentity},
    *,
};

/// Those of a function, none of which has registered.
pub(super) fn extensions_of(exchange: &Exchange) -> Arc<Extensions> {
    let function = FunctionIdentity {
        name: "f".into(),
        version: "$LATEST".into(),
        handler: "app.handler".into(),
        account: "123456789012".into(),
    };
    Arc::new(Extensions::new(function, exchange.events()))
}

fn call(id: &str) -> Delivery {
    Delivery {
        request_id: id.into(),
        payload: Bytes::from_static(b"{\"a\":1}"),
        invoked_arn: "arn:f".into(),
        client_context: Some("{\n\"custom\":{}}".into()),
        trace_id: "Root=1".into(),
        deadline_ms: 17,
    }
}

/// A connection to the API of an environment.
async fn connected(exchange: &Arc<Exchange>) -> (tokio::task::JoinHandle<()>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let extensions = extensions_of(exchange);
    let server = tokio::spawn(serve(listener, Arc::clone(exchange), extensions, Admission::Everybody));
    (server, TcpStream::connect(address).await.expect("a connection"))
}

/// Sends bytes to the API of an environment that has one call waiting, and gives back what
/// the API said until it closed.
async fn check(request: &[u8]) -> String {
    let (exchange, mut events) = Exchange::new();
    exchange.offer(call("id-1"));
    let (server, mut stream) = connected(&Arc::new(exchange)).await;
    stream.write_all(request).await.expect("written");
    stream.shutdown().await.expect("shut down");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    server.abort();
    while let Ok(event) = events.try_recv() {
        answer.push_str(&format!("[{event:?}]\n"));
    }
    answer.replace('\r', "")
}

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_call_and_its_answer() {
    let answer = "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
    insta::assert_snapshot!(check(format!("{NEXT}{answer}").as_bytes()).await, @r#"
    HTTP/1.1 200 OK
    Content-Type: application/json
    Lambda-Runtime-Aws-Request-Id: id-1
    Lambda-Runtime-Deadline-Ms: 17
    Lambda-Runtime-Invoked-Function-Arn: arn:f
    Lambda-Runtime-Trace-Id: Root=1
    Lambda-Runtime-Client-Context: { "custom":{}}
    Content-Length: 7

    {"a":1}HTTP/1.1 202 Accepted
    Content-Type: application/json
    Content-Length: 16

    {"status":"OK"}
    [Asked]
    [Answered(b"ok")]
    "#);
}

#[tokio::test]
async fn what_is_said_to_an_answer_travels_with_the_next_call() {
    let (exchange, mut events) = Exchange::new();
    let exchange = Arc::new(exchange);
    let (server, mut stream) = connected(&exchange).await;
    let asks = format!(
        "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nContent-Length: 2\r\n\r\nok{NEXT}"
    );
    let mut buffer = [0; 4096];
    stream.write_all(NEXT.as_bytes()).await.expect("written");
    exchange.offer(call("id-1"));
    let count = stream.read(&mut buffer).await.expect("a call");
    assert!(buffer[..count].ends_with(b"{\"a\":1}"));
    stream.write_all(asks.as_bytes()).await.expect("written");
    while !matches!(events.recv().await, Some(RuntimeEvent::Answered(_))) {}
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let early = stream.try_read(&mut buffer);
    assert!(early.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    exchange.offer(call("id-2"));
    let count = stream.read(&mut buffer).await.expect("an answer and a call");
    let said = String::from_utf8_lossy(&buffer[..count]);
    assert!(said.starts_with("HTTP/1.1 202 Accepted\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\n{\"a\":1}"), "{said}");
    server.abort();
}

#[tokio::test]
async fn who_asks_again_and_goes_is_told_of_its_answer() {
    let answer = "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
    let said = check(format!("{NEXT}{answer}{NEXT}").as_bytes()).await;
    assert!(said.ends_with("{\"status\":\"OK\"}\n[Asked]\n[Answered(b\"ok\")]\n"), "{said}");
}

#[tokio::test]
async fn a_chunked_answer() {
    let answer = "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nTrailer: t\r\n\r\n";
    let said = check(format!("{NEXT}{answer}").as_bytes()).await;
    assert!(said.ends_with("{\"status\":\"OK\"}\n[Asked]\n[Answered(b\"abcde\")]\n"), "{said}");
}

#[tokio::test]
async fn a_listener_that_fails_is_not_asked_without_end() {
    // Bound, but not listening: each accept fails at once, as it does without free descriptors.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let broken = std::os::fd::AsFd::as_fd(&socket).try_clone_to_owned().expect("a copy");
    let broken = TcpListener::from_std(broken.into()).expect("a listener");
    let (mut accepting, mut polls) = (Box::pin(accept(&broken)), 0);
    let counted = std::future::poll_fn(|context| {
        polls += 1;
        accepting.as_mut().poll(context)
    });
    assert!(tokio::time::timeout(3 * ACCEPT_PAUSE, counted).await.is_err());
    assert!(polls < 20, "{polls}");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_in_aws_s_words() {
    let post = |path: &str, length: u64| {
        format!("POST /2018-06-01/runtime/{path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")
    };
    insta::assert_snapshot!(check(post("invocation/id-1/response", 0).as_bytes()).await, @r#"
    HTTP/1.1 403 Forbidden
    Content-Type: application/json
    Content-Length: 81

    {"errorMessage":"Invalid state transition","errorType":"InvalidStateTransition"}
    "#);
    let other = check(format!("{NEXT}{}", post("invocation/other/response", 0)).as_bytes()).await;
    assert!(other.contains("400 Bad Request"), "{other}");
    assert!(
        other.contains(r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#),
        "{other}"
    );
    let mut large =
        format!("{NEXT}{}", post("invocation/id-1/response", SYNC_RESPONSE_BYTES + 1)).into_bytes();
    large.resize(large.len() + SYNC_RESPONSE_BYTES as usize + 1, b'x');
    let large = check(&large).await;
    assert!(large.contains("413 Request Entity Too Large"), "{large}");
    assert!(large.ends_with("[Asked]\n[TooLarge]\n"), "{large}");
    assert!(check(b"GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 Not Found"));
    assert_eq!(check(b"nonsense\r\n\r\n").await, "");
}

async fn check_extension(request: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let request = format!("{request} HTTP/1.1\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let answer = check(request.as_bytes()).await;
    let mut answer: Vec<&str> = answer.lines().collect();
    answer.retain(|line| !line.starts_with("Content-") && !line.is_empty());
    answer.join("\n")
}

#[tokio::test]
async fn an_internal_extension_registers() {
    let register = "POST /2020-01-01/extension/register";
    let name = "Lambda-Extension-Name: inner\r\nLambda-Extension-Accept-Feature: x, accountId\r\n";
    let answer = check_extension(register, name, r#"{"events": ["INVOKE"]}"#).await;
    let id = answer.lines().find_map(|line| line.strip_prefix("Lambda-Extension-Identifier: "));
    let id = id.expect("an identifier").to_owned();
    insta::assert_snapshot!(answer.replace(&id, "<id>"), @r#"
    HTTP/1.1 200 OK
    Lambda-Extension-Identifier: <id>
    {"functionName":"f","functionVersion":"$LATEST","handler":"app.handler","accountId":"123456789012"}
    [Extensions]
    "#);
}

#[tokio::test]
async fn extensions_are_refused_in_aws_s_words() {
    let register = "POST /2020-01-01/extension/register";
    let next = "GET /2020-01-01/extension/event/next";
    let (init, exit) = ("POST /2020-01-01/extension/init/error", "POST /2020-01-01/extension/exit/error");
    let name = "Lambda-Extension-Name: inner\r\n";
    let id = "Lambda-Extension-Identifier: 11111111-2222-3333-4444-555555555555\r\n";
    let error_type = format!("{id}Lambda-Extension-Function-Error-Type: Extension.X\r\n");
    let mut all = Vec::new();
    for (request, headers, body) in [
        (register, "", "{}"),
        (register, name, ""),
        (register, name, r#"{"configurationKeys": ["a"]}"#),
        (register, name, r#"{"events": ["OTHER"]}"#),
        (register, name, r#"{"events": ["SHUTDOWN"]}"#),
        (next, "", ""),
        (next, "Lambda-Extension-Identifier: x\r\n", ""),
        (next, id, ""),
        (init, id, ""),
        (init, &error_type, ""),
        (exit, &error_type, ""),
    ] {
        let answer = check_extension(request, headers, body).await;
        all.push(answer.replace("HTTP/1.1 403 Forbidden\n", ""));
    }
    insta::assert_snapshot!(all.join("\n"), @r#"
    {"errorMessage":"Empty extension name","errorType":"Extension.InvalidExtensionName"}
    {"errorMessage":"unexpected end of JSON input","errorType":"InvalidRequestFormat"}
    {"errorMessage":"configurationKeys are deprecated; use environment variables instead","errorType":"InvalidRequestFormat"}
    {"errorMessage":"OTHER: ErrorInvalidEventType","errorType":"Extension.InvalidEventType"}
    {"errorMessage":"SHUTDOWN: ShutdownEventNotSupportedForInternalExtension","errorType":"Extension.InvalidEventType"}
    {"errorMessage":"Missing Lambda-Extension-Identifier header","errorType":"Extension.MissingExtensionIdentifier"}
    {"errorMessage":"Invalid Lambda-Extension-Identifier","errorType":"Extension.InvalidExtensionIdentifier"}
    {"errorMessage":"Unknown extension 11111111-2222-3333-4444-555555555555","errorType":"Extension.UnknownExtensionIdentifier"}
    {"errorMessage":"Lambda-Extension-Function-Error-Type not found","errorType":"Extension.MissingHeader"}
    {"errorMessage":"Unknown Lambda-Extension-Identifier","errorType":"Extension.UnknownExtensionIdentifier"}
    {"errorMessage":"Unknown Lambda-Extension-Identifier","errorType":"Extension.UnknownExtensionIdentifier"}
    "#);
}
