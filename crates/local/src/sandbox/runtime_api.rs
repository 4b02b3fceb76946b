//! The Runtime API 2018-06-01 of one environment, on a loopback port of its own.
//!
//! Owns the HTTP of it: a small parser with bounds, and AWS's answers to the letter (FACTS.md
//! §8). The Extensions API has the same port and its own texts (`extensions::api`). Decides
//! nothing; `exchange` and `extensions` do.

mod stream;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use layercake_core::limits::{STREAMED_RESPONSE_BYTES, SYNC_RESPONSE_BYTES};
use tokio::{
    io::AsyncReadExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use super::{
    exchange::{Delivery, Exchange, Line, Refusal},
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
            // A broken connection is the runtime's affair; the driver sees its process end.
            let _ = serve_connection(stream, connected, extensions, generation).await;
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

/// Serves one connection to its end.
async fn serve_connection(
    stream: TcpStream,
    connected: Connected,
    extensions: Arc<Extensions>,
    generation: u64,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let wire = Arc::new(Wire { writer, held: Mutex::default(), has_sent: AtomicBool::new(false) });
    let line: Arc<dyn Line> = Arc::<Wire>::clone(&wire);
    let mut connection =
        Connection { reader, wire, line, connected, extensions, generation, input: Vec::new(), start: 0 };
    let served = connection.run().await;
    connection.connected.exchange.stop_waiting(&connection.line);
    // Who has asked and gone has its answer all the same.
    let _ = connection.send(Vec::new()).await;
    served
}

/// The side of a connection that is written to: by the task that serves it, and by whoever has a call
/// for the runtime that waits on it.
#[derive(Debug)]
struct Wire {
    writer: OwnedWriteHalf,
    /// An answer that travels with what is written next.
    held: Mutex<Vec<u8>>,
    /// The call that the runtime waited for was sent without the task that serves the connection.
    has_sent: AtomicBool,
}

impl Wire {
    /// Bytes with what was held before them.
    fn with_held(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        if held.is_empty() {
            return bytes;
        }
        held.extend_from_slice(&bytes);
        held
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.writer.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writer.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Line for Wire {
    fn send(self: Arc<Self>, delivery: &Delivery) {
        let bytes = self.with_held(whole_call(delivery));
        // Before the runtime can answer.
        self.has_sent.store(true, Ordering::Release);
        let sent = self.writer.try_write(&bytes).unwrap_or(0);
        if sent < bytes.len() {
            // Who does not read is waited for elsewhere; a connection that breaks is the runtime's affair.
            tokio::spawn(async move { self.write_all(&bytes[sent..]).await });
        }
    }

    fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Acquire)
    }
}

struct Connection {
    reader: OwnedReadHalf,
    wire: Arc<Wire>,
    /// The same.
    line: Arc<dyn Line>,
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
        while let Some(head) = self.head().await? {
            if head.expects_continue {
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
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
        Ok(self.reader.read_buf(&mut self.input).await? > 0)
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
                    Some(Ok(Some(delivery))) => self.deliver(delivery).await,
                    Some(Ok(None)) => Ok(()),
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
            Ok(()) if !head.close && self.asks_again() => {
                // Who asks for the next call in the same breath hears of both at once.
                let answer = response("202 Accepted", "application/json", ACCEPTED);
                self.wire.held.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&answer);
                Ok(())
            }
            Ok(()) => self.write("202 Accepted", "application/json", ACCEPTED).await,
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
                    read = self.reader.read_buf(&mut self.input) => {
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
        self.send(answer.into_bytes()).await
    }

    /// Waits for a call, or for the runtime to go away; for nothing more when the call has been sent by
    /// somebody else.
    async fn next(&mut self) -> io::Result<Option<Result<Option<Delivery>, Refusal>>> {
        let call = self.connected.exchange.next(self.generation, &self.line);
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                next = &mut call => return Ok(Some(next.map(Some))),
                read = self.reader.read_buf(&mut self.input) => {
                    // A client may send its next request early, but not without end.
                    let read = read?;
                    if read > 0 && self.wire.has_sent.swap(false, Ordering::AcqRel) {
                        return Ok(Some(Ok(None)));
                    }
                    if read == 0 || self.input.len() > LONGEST_HEAD {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, delivery: Delivery) -> io::Result<()> {
        if delivery.payload.len() <= 65_536 {
            return self.send(whole_call(&delivery)).await;
        }
        self.send(call_head(&delivery)).await?;
        self.wire.write_all(&delivery.payload).await
    }

    /// Whether the next request for a call is here already.
    fn asks_again(&self) -> bool {
        let unread = &self.input[self.start..];
        unread.starts_with(b"GET /2018-06-01/runtime/invocation/next ") && find(unread, b"\r\n\r\n").is_some()
    }

    async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.wire.write_all(&self.wire.with_held(bytes)).await
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
        self.send(response(status, content_type, body)).await
    }
}

/// The body that answers what was accepted.
const ACCEPTED: &[u8] = b"{\"status\":\"OK\"}\n";

fn response(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut response = head.into_bytes();
    response.extend_from_slice(body);
    response
}

/// The answer to `/next` with this call, without the event.
fn call_head(delivery: &Delivery) -> Vec<u8> {
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
    head.into_bytes()
}

/// The same with the event.
fn whole_call(delivery: &Delivery) -> Vec<u8> {
    let mut call = call_head(delivery);
    call.extend_from_slice(&delivery.payload);
    call
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
mod tests;
