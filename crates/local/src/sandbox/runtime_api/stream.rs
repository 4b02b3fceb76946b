//! `/response` of a runtime that streams: its body goes on as it comes.
//!
//! Owns the reading of such a body and of what stands behind it.

use std::io;

use base64::Engine as _;
use bytes::Bytes;
use layercake_core::limits::STREAMED_RESPONSE_BYTES;

use super::{Connection, Head, LONGEST_HEAD};
use crate::sandbox::exchange::{Refusal, Sink, StreamEnd};

/// The only mode besides that of an answer in one piece.
const STREAMING: &str = "streaming";
/// The most that one read takes.
const PIECE: usize = 65_536;

/// What became of a part of the body.
enum Part {
    Passed,
    /// More than an answer may have.
    TooLarge,
}

impl Connection {
    /// Serves a request that says how it answers; false when it is served like any other, since its
    /// caller wants the answer in one piece.
    pub(super) async fn stream(&mut self, head: &Head) -> io::Result<bool> {
        let path: Vec<&str> = head.path.trim_start_matches('/').split('/').collect();
        let ("POST", ["2018-06-01", "runtime", "invocation", id, "response"]) =
            (head.method.as_str(), &path[..])
        else {
            return Ok(false);
        };
        if head.response_mode.as_deref() != Some(STREAMING) {
            self.body(head).await?;
            // Lambda fails the call; the runtime may not know it.
            let _ = self.connected.exchange.fail(self.generation, id, invalid_mode());
            self.refuse(Refusal::InvalidResponseMode).await?;
            return Ok(true);
        }
        let sink = match self.connected.exchange.open_stream(self.generation, id, head.content_type.clone()) {
            Ok(Some(sink)) => sink,
            Ok(None) => return Ok(false),
            Err(refusal) => {
                self.body(head).await?;
                self.refuse(refusal).await?;
                return Ok(true);
            }
        };
        let end = match self.pass_on(head, sink).await {
            Ok(end) => end,
            Err(error) => {
                // Refused by nobody: there is no connection left to say it on.
                let _ = self.connected.exchange.close_stream(self.generation, StreamEnd::Truncated);
                return Err(error);
            }
        };
        let too_large = end == StreamEnd::TooLarge;
        match self.connected.exchange.close_stream(self.generation, end) {
            Ok(()) => self.write("202 Accepted", "application/json", b"{\"status\":\"OK\"}\n").await?,
            Err(refusal) => self.refuse(refusal).await?,
        }
        // The rest of a body that was not read to its end is no request.
        if too_large { Err(io::ErrorKind::InvalidData.into()) } else { Ok(true) }
    }

    /// Hands the body on to its end, or to the limit.
    async fn pass_on(&mut self, head: &Head, mut sink: Sink) -> io::Result<StreamEnd> {
        let mut left = STREAMED_RESPONSE_BYTES;
        if !head.chunked {
            return Ok(match self.pass(head.length.unwrap_or(0), &mut left, &mut sink).await? {
                Part::Passed => StreamEnd::Whole,
                Part::TooLarge => StreamEnd::TooLarge,
            });
        }
        loop {
            match self.chunk_size().await? {
                0 => break,
                size => {
                    if let Part::TooLarge = self.pass(size, &mut left, &mut sink).await? {
                        return Ok(StreamEnd::TooLarge);
                    }
                }
            }
            self.line().await?;
        }
        Ok(self.trailers().await?.map_or(StreamEnd::Whole, StreamEnd::Failed))
    }

    /// Hands the next bytes on, as many as come at once.
    async fn pass(&mut self, mut missing: u64, left: &mut u64, sink: &mut Sink) -> io::Result<Part> {
        while missing > 0 {
            if self.start == self.input.len() {
                self.input.clear();
                self.start = 0;
                self.input.reserve(PIECE);
                if !self.fill().await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let unread = &self.input[self.start..];
            let most = usize::try_from(missing.min(*left)).unwrap_or(usize::MAX).min(PIECE);
            if most == 0 {
                return Ok(Part::TooLarge);
            }
            let piece = Bytes::copy_from_slice(&unread[..most.min(unread.len())]);
            let length = piece.len();
            sink.pass(piece).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
            self.start += length;
            missing -= length as u64;
            *left -= length as u64;
        }
        Ok(Part::Passed)
    }

    /// Reads what stands behind a chunked body; gives the error that the runtime tells there.
    pub(super) async fn trailers(&mut self) -> io::Result<Option<Bytes>> {
        let (mut error_type, mut error_body) = (None, None);
        loop {
            let line = self.line_within(LONGEST_HEAD).await?;
            if line.is_empty() {
                break;
            }
            let line = String::from_utf8_lossy(&line);
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("lambda-runtime-function-error-type") && !value.is_empty() {
                error_type = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("lambda-runtime-function-error-body") && !value.is_empty() {
                error_body = Some(decoded(value));
            }
        }
        Ok(match (error_type, error_body) {
            (_, Some(body)) => Some(body),
            (Some(kind), None) => Some(serde_json::json!({ "errorType": kind }).to_string().into()),
            (None, None) => None,
        })
    }
}

/// "Base64-encoded information about the error", says Lambda's documentation; what is not in
/// Base64 is taken as it is.
fn decoded(value: &str) -> Bytes {
    let decoded = base64::engine::general_purpose::STANDARD.decode(value);
    decoded.unwrap_or_else(|_| value.as_bytes().to_vec()).into()
}

fn invalid_mode() -> Bytes {
    // The error type of AWS's emulator, whose payload is empty.
    Bytes::from_static(br#"{"errorType":"Runtime.InvalidResponseModeHeader","errorMessage":"Invalid function response mode"}"#)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::{
        super::tests::extensions_of,
        super::{Admission, serve},
        *,
    };
    use crate::sandbox::exchange::{Delivery, Exchange, Responder};

    const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n";

    /// Sends bytes to the API of an environment with one call waiting; what the API said, what the
    /// caller got, and what the driver was told. `streams` says how the caller takes its answer.
    async fn check(streams: bool, response: &[u8]) -> String {
        let (exchange, mut events) = Exchange::new();
        let exchange = Arc::new(exchange);
        let (responder, mut listener) = Responder::new();
        if streams {
            exchange.stream_to(responder);
        } else {
            drop(responder);
        }
        exchange.offer(Delivery {
            request_id: "id-1".into(),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: "arn:f".into(),
            client_context: None,
            trace_id: String::new(),
            deadline_ms: 17,
        });
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let server = tokio::spawn(serve(
            socket,
            Arc::clone(&exchange),
            extensions_of(&exchange),
            Admission::Everybody,
        ));
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(NEXT.as_bytes()).await.expect("written");
        stream.write_all(response).await.expect("written");
        stream.shutdown().await.expect("shut down");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        exchange.end_stream();
        server.abort();
        let answer = answer.split_once("{}").map_or(answer.clone(), |(_, rest)| rest.replace('\r', ""));
        let head = listener.head.try_recv().map(|head| head.content_type);
        let mut body = Vec::new();
        while let Some(piece) = listener.pieces.recv().await {
            body.extend_from_slice(&piece);
        }
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(event);
        }
        format!("{answer}\n{head:?} {:?}\n{told:?}", String::from_utf8_lossy(&body))
    }

    fn post(more: &str, body: &str) -> Vec<u8> {
        format!(
            "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nContent-Type: text/plain\r\n\
             Lambda-Runtime-Function-Response-Mode: streaming\r\n{more}\r\n{body}"
        )
        .into_bytes()
    }

    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

    #[tokio::test]
    async fn pieces_go_to_the_caller() {
        insta::assert_snapshot!(check(true, &post(CHUNKED, "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")).await, @r#"
        HTTP/1.1 202 Accepted
        Content-Type: application/json
        Content-Length: 16

        {"status":"OK"}

        Ok(Some("text/plain")) "abcde"
        [Asked, Streamed(Whole)]
        "#);
        let said = check(true, &post("Content-Length: 3\r\n", "abc")).await;
        assert!(said.ends_with("\"abc\"\n[Asked, Streamed(Whole)]"), "{said}");
    }

    #[tokio::test]
    async fn a_caller_of_one_piece_gets_one() {
        let said = check(false, &post(CHUNKED, "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")).await;
        assert!(said.ends_with("[Asked, Answered(b\"abcde\")]"), "{said}");
        let trailers = "Lambda-Runtime-Function-Error-Type: Runtime.X\r\n\
            Lambda-Runtime-Function-Error-Body: eyJlIjoxfQ==\r\n";
        let said = check(false, &post(CHUNKED, &format!("2\r\nab\r\n0\r\n{trailers}\r\n"))).await;
        assert!(said.ends_with(r#"[Asked, Failed(b"{\"e\":1}")]"#), "{said}");
    }

    #[tokio::test]
    async fn errors_midway_are_told_behind_the_body() {
        let trailers = "Lambda-Runtime-Function-Error-Type: Runtime.X\r\n\
            Lambda-Runtime-Function-Error-Body: eyJlIjoxfQ==\r\n";
        insta::assert_snapshot!(check(true, &post(CHUNKED, &format!("2\r\nab\r\n0\r\n{trailers}\r\n"))).await, @r#"
        HTTP/1.1 202 Accepted
        Content-Type: application/json
        Content-Length: 16

        {"status":"OK"}

        Ok(Some("text/plain")) "ab"
        [Asked, Streamed(Failed(b"{\"e\":1}"))]
        "#);
        let alone = "Lambda-Runtime-Function-Error-Type: Runtime.X\r\n";
        let said = check(true, &post(CHUNKED, &format!("0\r\n{alone}\r\n"))).await;
        assert!(said.ends_with(r#"Streamed(Failed(b"{\"errorType\":\"Runtime.X\"}"))]"#), "{said}");
        let said = check(true, &post(CHUNKED, "2\r\nab\r\n")).await;
        assert!(said.ends_with("\"ab\"\n[Asked, Streamed(Truncated)]"), "{said}");
    }

    #[tokio::test]
    async fn other_modes_and_other_calls_are_refused() {
        let other = String::from_utf8(post("Content-Length: 1\r\n", "x")).expect("UTF-8");
        insta::assert_snapshot!(check(true, other.replace(": streaming", ": slow").as_bytes()).await, @r#"
        HTTP/1.1 400 Bad Request
        Content-Type: application/json
        Content-Length: 92

        {"errorMessage":"Invalid function response mode","errorType":"InvalidFunctionResponseMode"}

        Err(Closed) ""
        [Asked, Failed(b"{\"errorType\":\"Runtime.InvalidResponseModeHeader\",\"errorMessage\":\"Invalid function response mode\"}")]
        "#);
        let said = check(true, other.replace("id-1", "id-2").as_bytes()).await;
        assert!(
            said.contains(r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_stream_has_a_limit() {
        let (exchange, mut events) = Exchange::new();
        let exchange = Arc::new(exchange);
        let (responder, mut listener) = Responder::new();
        exchange.stream_to(responder);
        exchange.offer(Delivery {
            request_id: "id-1".into(),
            payload: Bytes::new(),
            invoked_arn: String::new(),
            client_context: None,
            trace_id: String::new(),
            deadline_ms: 0,
        });
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let server = tokio::spawn(serve(
            socket,
            Arc::clone(&exchange),
            extensions_of(&exchange),
            Admission::Everybody,
        ));
        let (reading, mut writing) = TcpStream::connect(address).await.expect("a connection").into_split();
        let length = STREAMED_RESPONSE_BYTES + 1;
        writing.write_all(NEXT.as_bytes()).await.expect("written");
        writing.write_all(&post(&format!("Content-Length: {length}\r\n"), "")).await.expect("written");
        let writer = tokio::spawn(async move {
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..length.div_ceil(1 << 20) {
                if writing.write_all(&piece).await.is_err() {
                    return;
                }
            }
        });
        let mut count = 0;
        while let Some(piece) = listener.pieces.recv().await {
            count += piece.len() as u64;
        }
        assert_eq!(count, STREAMED_RESPONSE_BYTES);
        assert!(matches!(events.recv().await, Some(crate::sandbox::exchange::RuntimeEvent::Asked)));
        let told = events.recv().await;
        assert!(
            matches!(told, Some(crate::sandbox::exchange::RuntimeEvent::Streamed(StreamEnd::TooLarge))),
            "{told:?}"
        );
        server.abort();
        drop(reading);
        let _ = writer.await;
    }
}
