//! The Runtime API 2018-06-01 of one environment, on a loopback port of its own.
//!
//! Owns the HTTP of it: a small parser with bounds, and AWS's answers to the letter (FACTS.md
//! §8). The Extensions API has the same port and its own texts (`extensions::api`). Decides
//! nothing; `exchange` and `extensions` do.

mod stream;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use layercake_core::limits::{STREAMED_RESPONSE_BYTES, SYNC_RESPONSE_BYTES};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    exchange::{Delivery, Exchange, Refusal},
    extensions::{
        Extensions,
        api::{self, ExtensionHeaders, Route},
    },
    peer::{self, Peer},
};

/// AWS's client puts an X-Ray document of up to 1 MiB into a header.
const LONGEST_HEAD: usize = 1_300_000;
/// A runtime has one connection, an eager client a few; the rest waits.
const MOST_CONNECTIONS: usize = 64;
/// How long to wait when this process can open no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whose connections are served.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admission {
    /// Those of every local process, on a host that does not tell whose they are.
    Everybody,
    /// Those of one environment.
    Own { keeper: i32 },
}

/// Serves until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    exchange: Arc<Exchange>,
    extensions: Arc<Extensions>,
    admission: Admission,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        let stream = accept(&listener).await;
        while connections.try_join_next().is_some() {}
        let generation = exchange.connect();
        let connected = Connected { exchange: Arc::clone(&exchange), counts: true };
        let extensions = Arc::clone(&extensions);
        connections.spawn(async move {
            if !admits(admission, &stream).await {
                return;
            }
            let mut connection =
                Connection { stream, connected, extensions, generation, input: Vec::new(), start: 0 };
            // A broken connection is the runtime's affair; the driver sees its process end.
            let _ = connection.run().await;
        });
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The connection stays in the queue, so the next try would come, and fail, at once.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Asked once for each connection. All environments share this machine's loopback network, and
/// AWS's client has no secret to present.
async fn admits(admission: Admission, stream: &TcpStream) -> bool {
    let Admission::Own { keeper } = admission else { return true };
    let (Ok(SocketAddr::V4(theirs)), Ok(SocketAddr::V4(ours))) = (stream.peer_addr(), stream.local_addr())
    else {
        return false;
    };
    // Off the async threads: the table has a row for each connection of this machine.
    match tokio::task::spawn_blocking(move || peer::of(theirs, ours, keeper)).await {
        Ok(Peer::Own) => true,
        Ok(Peer::Unknown) => {
            tracing::warn!("this host does not tell whose connection a Runtime API got; it is served");
            true
        }
        Ok(Peer::Stranger) | Err(_) => false,
    }
}

struct Connected {
    exchange: Arc<Exchange>,
    /// It may be the runtime's, whose last words are waited for.
    counts: bool,
}

impl Connected {
    /// Notes that the connection is an extension's.
    fn is_extension(&mut self) {
        if std::mem::take(&mut self.counts) {
            self.exchange.disconnect();
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.is_extension();
    }
}

struct Connection {
    stream: TcpStream,
    connected: Connected,
    extensions: Arc<Extensions>,
    generation: u64,
    /// Bytes read; those before `start` are done with.
    input: Vec<u8>,
    start: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    method: String,
    path: String,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    expects_continue: bool,
    error_type: String,
    /// Only on paths that are not the runtime's.
    extension: ExtensionHeaders,
    /// How the runtime answers, when it says so.
    response_mode: Option<String>,
    /// Kept of streamed answers alone: the type of those in one piece is nobody's affair.
    content_type: Option<String>,
}

enum Body {
    Whole(Bytes),
    /// Longer than any answer may be; read and thrown away.
    TooLarge,
    /// Broken off by the runtime, which says why behind it.
    Failed(Bytes),
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(head) = self.head().await? {
            if head.expects_continue {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            if head.response_mode.is_some() && self.stream(&head).await? {
                if head.close {
                    break;
                }
                continue;
            }
            let body = self.body(&head).await?;
            self.handle(&head, body).await?;
            if head.close {
                break;
            }
        }
        Ok(())
    }

    /// Reads more; false at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        self.input.reserve(8192);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            let unread = &self.input[self.start..];
            if let Some(end) = find(&unread[searched..], b"\r\n\r\n") {
                let head = parse_head(&unread[..searched + end]).ok_or(io::ErrorKind::InvalidData)?;
                self.start += searched + end + 4;
                return Ok(Some(head));
            }
            if unread.len() > LONGEST_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            searched = unread.len().saturating_sub(3);
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    async fn body(&mut self, head: &Head) -> io::Result<Body> {
        let mut body = Collected::default();
        if head.chunked {
            loop {
                match self.chunk_size().await? {
                    0 => break,
                    size => self.take(size, &mut body).await?,
                }
                self.line().await?;
            }
            if let Some(error) = self.trailers().await? {
                return Ok(Body::Failed(error));
            }
        } else {
            self.take(head.length.unwrap_or(0), &mut body).await?;
        }
        Ok(if body.too_large { Body::TooLarge } else { Body::Whole(body.bytes.into()) })
    }

    /// Moves the next bytes of the stream into a body.
    async fn take(&mut self, mut missing: u64, body: &mut Collected) -> io::Result<()> {
        body.expect(missing);
        while missing > 0 {
            if self.start == self.input.len() && !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let unread = &self.input[self.start..];
            let now = usize::try_from(missing).unwrap_or(usize::MAX).min(unread.len());
            body.push(&unread[..now]);
            self.start += now;
            missing -= now as u64;
        }
        Ok(())
    }

    /// The line before a chunk.
    async fn chunk_size(&mut self) -> io::Result<u64> {
        let line = self.line().await?;
        let size = std::str::from_utf8(&line).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|size| u64::from_str_radix(size.trim(), 16).ok());
        size.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        self.line_within(16_384).await
    }

    async fn line_within(&mut self, longest: usize) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.input[self.start..], b"\r\n") {
                let line = self.input[self.start..self.start + end].to_vec();
                self.start += end + 2;
                return Ok(line);
            }
            if self.input.len() - self.start > longest || !self.fill().await? {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    async fn handle(&mut self, head: &Head, body: Body) -> io::Result<()> {
        let path: Vec<&str> = head.path.trim_start_matches('/').split('/').collect();
        let answered = match (head.method.as_str(), &path[..]) {
            ("GET", ["2018-06-01", "runtime", "invocation", "next"]) => {
                return match self.next().await? {
                    Some(Ok(delivery)) => self.deliver(delivery).await,
                    Some(Err(refusal)) => self.refuse(refusal).await,
                    None => Err(io::ErrorKind::ConnectionAborted.into()),
                };
            }
            ("POST", ["2018-06-01", "runtime", "invocation", id, "response"]) => match body {
                Body::Whole(payload) => self.connected.exchange.answer(self.generation, id, Some(payload)),
                Body::TooLarge => self.connected.exchange.answer(self.generation, id, None),
                Body::Failed(payload) => self.connected.exchange.fail(self.generation, id, payload),
            },
            ("POST", ["2018-06-01", "runtime", "invocation", id, "error"]) => match body {
                Body::Whole(payload) | Body::Failed(payload) => {
                    self.connected.exchange.fail(self.generation, id, payload)
                }
                Body::TooLarge => self.connected.exchange.answer(self.generation, id, None),
            },
            ("POST", ["2018-06-01", "runtime", "init", "error"]) => match body {
                Body::Whole(payload) | Body::Failed(payload) => {
                    self.connected.exchange.fail_init(self.generation, payload, &head.error_type)
                }
                Body::TooLarge => Err(Refusal::TooLarge),
            },
            (method, path) => {
                return match Route::of(method, path) {
                    Some(route) => self.extension(route, &head.extension, body).await,
                    None => {
                        let body = b"404 page not found\n";
                        self.write("404 Not Found", "text/plain; charset=utf-8", body).await
                    }
                };
            }
        };
        match answered {
            Ok(()) => self.write("202 Accepted", "application/json", b"{\"status\":\"OK\"}\n").await,
            Err(refusal) => self.refuse(refusal).await,
        }
    }

    async fn extension(&mut self, route: Route, headers: &ExtensionHeaders, body: Body) -> io::Result<()> {
        self.connected.is_extension();
        let Body::Whole(body) = body else { return self.refuse(Refusal::TooLarge).await };
        let answer = {
            let answer = api::answer(&self.extensions, route, headers, &body);
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer,
                    read = self.stream.read_buf(&mut self.input) => {
                        if read? == 0 || self.input.len() > LONGEST_HEAD {
                            return Err(io::ErrorKind::ConnectionAborted.into());
                        }
                    }
                }
            }
        };
        let Some(answer) = answer else { return Err(io::ErrorKind::ConnectionAborted.into()) };
        let header = answer.header.map(|(name, value)| format!("{name}: {value}\r\n"));
        let answer = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
            answer.status,
            header.unwrap_or_default(),
            answer.body.len(),
            answer.body
        );
        self.stream.write_all(answer.as_bytes()).await
    }

    /// Waits for a call, or for the runtime to go away.
    async fn next(&mut self) -> io::Result<Option<Result<Delivery, Refusal>>> {
        let call = self.connected.exchange.next(self.generation);
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                delivery = &mut call => return Ok(Some(delivery)),
                read = self.stream.read_buf(&mut self.input) => {
                    // A client may send its next request early, but not without end.
                    if read? == 0 || self.input.len() > LONGEST_HEAD {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, delivery: Delivery) -> io::Result<()> {
        let mut head = String::with_capacity(640);
        head.push_str("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: ");
        head.push_str(&delivery.request_id);
        head.push_str("\r\nLambda-Runtime-Deadline-Ms: ");
        head.push_str(&delivery.deadline_ms.to_string());
        head.push_str("\r\nLambda-Runtime-Invoked-Function-Arn: ");
        head.push_str(&delivery.invoked_arn);
        if !delivery.trace_id.is_empty() {
            head.push_str("\r\nLambda-Runtime-Trace-Id: ");
            head.push_str(&delivery.trace_id);
        }
        if let Some(context) = &delivery.client_context {
            head.push_str("\r\nLambda-Runtime-Client-Context: ");
            // JSON may be spread over lines, a header may not.
            head.push_str(&context.replace(['\r', '\n'], " "));
        }
        head.push_str("\r\nContent-Length: ");
        head.push_str(&delivery.payload.len().to_string());
        head.push_str("\r\n\r\n");
        let mut head = head.into_bytes();
        if delivery.payload.len() <= 65_536 {
            head.extend_from_slice(&delivery.payload);
            return self.stream.write_all(&head).await;
        }
        self.stream.write_all(&head).await?;
        self.stream.write_all(&delivery.payload).await
    }

    async fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        let (status, message, kind) = match refusal {
            Refusal::InvalidRequestId => {
                ("400 Bad Request", "Invalid request ID".to_owned(), "InvalidRequestID")
            }
            Refusal::InvalidStateTransition => {
                ("403 Forbidden", "Invalid state transition".to_owned(), "InvalidStateTransition")
            }
            Refusal::TooLarge => too_large(SYNC_RESPONSE_BYTES),
            Refusal::StreamTooLarge => too_large(STREAMED_RESPONSE_BYTES),
            Refusal::Truncated => {
                ("400 Bad Request", "HTTP request detected as truncated".to_owned(), "TruncatedHTTPRequest")
            }
            Refusal::InvalidResponseMode => (
                "400 Bad Request",
                "Invalid function response mode".to_owned(),
                "InvalidFunctionResponseMode",
            ),
        };
        let body = format!("{{\"errorMessage\":\"{message}\",\"errorType\":\"{kind}\"}}\n");
        self.write(status, "application/json", body.as_bytes()).await
    }

    async fn write(&mut self, status: &str, content_type: &str, body: &[u8]) -> io::Result<()> {
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        self.stream.write_all(&answer).await
    }
}

fn too_large(limit: u64) -> (&'static str, String, &'static str) {
    let message = format!("Exceeded maximum allowed payload size ({limit} bytes).");
    ("413 Request Entity Too Large", message, "RequestEntityTooLarge")
}

/// A body as far as it may matter.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    too_large: bool,
}

impl Collected {
    fn expect(&mut self, more: u64) {
        if self.bytes.len() as u64 + more > SYNC_RESPONSE_BYTES {
            self.too_large = true;
            self.bytes = Vec::new();
        } else if !self.too_large {
            self.bytes.reserve(usize::try_from(more).unwrap_or_default());
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if !self.too_large {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let mut head =
        Head { method: method.to_owned(), path: target.split('?').next()?.to_owned(), ..Head::default() };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("expect") {
            head.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if name.eq_ignore_ascii_case("lambda-runtime-function-error-type") {
            head.error_type = value.to_owned();
        } else if name.eq_ignore_ascii_case("lambda-runtime-function-response-mode") {
            head.response_mode = Some(value.to_owned()).filter(|mode| !mode.is_empty());
        }
    }
    if !head.path.starts_with("/2018-06-01/") {
        head.extension = extension_headers(&text);
    }
    if head.response_mode.is_some() {
        head.content_type = text
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| value.trim().to_owned());
    }
    Some(head)
}

/// What only extensions send, read apart so that a runtime does not pay for it.
fn extension_headers(head: &str) -> ExtensionHeaders {
    let mut headers = ExtensionHeaders::default();
    for (name, value) in head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "lambda-extension-name" => headers.name = value,
            "lambda-extension-identifier" => headers.identifier = value,
            "lambda-extension-accept-feature" => headers.features = value,
            "lambda-extension-function-error-type" => headers.error_type = value,
            _ => {}
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::{super::extensions::FunctionIdentity, *};

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

    /// Sends bytes to the API of an environment that has one call waiting, and gives back what
    /// the API said until it closed.
    async fn check(request: &[u8]) -> String {
        let (exchange, mut events) = Exchange::new();
        exchange.offer(Delivery {
            request_id: "id-1".into(),
            payload: Bytes::from_static(b"{\"a\":1}"),
            invoked_arn: "arn:f".into(),
            client_context: Some("{\n\"custom\":{}}".into()),
            trace_id: "Root=1".into(),
            deadline_ms: 17,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let exchange = Arc::new(exchange);
        let extensions = extensions_of(&exchange);
        let server = tokio::spawn(serve(listener, exchange, extensions, Admission::Everybody));
        let mut stream = TcpStream::connect(address).await.expect("a connection");
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
        let answer =
            "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
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
}
