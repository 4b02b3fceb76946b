//! The `aws-chunked` encoding that AWS's clients put around uploads: pieces with their length in
//! front, perhaps signatures, and checksums as trailers. Signatures are not looked at.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};

/// What came behind the last piece, by lower-case name; filled when the body has been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers(Arc<Mutex<BTreeMap<String, String>>>);

impl Trailers {
    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn add(&self, line: &str) {
        if let Some((name, value)) = line.split_once(':') {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

/// The body without its encoding.
pub(super) fn decoded(
    body: Body,
    trailers: Trailers,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let decoder = Decoder { state: State::Length, line: Vec::new(), trailers };
    let source = body.into_data_stream();
    stream::unfold((source, decoder, false), |(mut source, mut decoder, ended)| async move {
        if ended {
            return None;
        }
        loop {
            let piece = match source.next().await {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Some((Err(io::Error::other(error)), (source, decoder, true))),
                None if decoder.state == State::End => return None,
                None => {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the upload ends too early");
                    return Some((Err(error), (source, decoder, true)));
                }
            };
            match decoder.push(piece) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Some((Ok(data), (source, decoder, false))),
                Err(error) => return Some((Err(error), (source, decoder, true))),
            }
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length,
    Data(u64),
    AfterData,
    Trailer,
    End,
}

struct Decoder {
    state: State,
    line: Vec<u8>,
    trailers: Trailers,
}

/// A line is a length and a signature, or a checksum.
const LONGEST_LINE: usize = 8 << 10;

impl Decoder {
    /// Takes the next bytes of the body and gives the data among them.
    fn push(&mut self, mut bytes: Bytes) -> io::Result<Bytes> {
        let mut pieces: Vec<Bytes> = Vec::new();
        while !bytes.is_empty() {
            match self.state {
                State::Data(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    pieces.push(bytes.split_to(count));
                    self.state = match left - count as u64 {
                        0 => State::AfterData,
                        left => State::Data(left),
                    };
                }
                State::End => return Err(invalid("bytes behind the end of the upload")),
                _ => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let taken = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
                    self.line.extend_from_slice(&taken);
                    if self.line.len() > LONGEST_LINE {
                        return Err(invalid("a line that is too long"));
                    }
                    if end.is_some() {
                        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
                        self.end_of_line(&line)?;
                    }
                }
            }
        }
        Ok(match pieces.len() {
            0 => Bytes::new(),
            1 => pieces.swap_remove(0),
            _ => pieces.concat().into(),
        })
    }

    fn end_of_line(&mut self, line: &str) -> io::Result<()> {
        self.state = match self.state {
            State::Length => {
                let digits = line.split(';').next().unwrap_or_default();
                match u64::from_str_radix(digits, 16).map_err(|_| invalid("no length of a piece"))? {
                    0 => State::Trailer,
                    length => State::Data(length),
                }
            }
            State::AfterData if line.is_empty() => State::Length,
            State::AfterData => return Err(invalid("no line end behind a piece")),
            State::Trailer if line.is_empty() => State::End,
            State::Trailer => {
                self.trailers.add(line);
                State::Trailer
            }
            state => state,
        };
        Ok(())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the aws-chunked body has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the body in pieces of every size; all must give the same.
    fn check(body: &str) -> String {
        let mut all = Vec::new();
        for size in [1, 2, 3, 7, 1000] {
            let mut decoder =
                Decoder { state: State::Length, line: Vec::new(), trailers: Trailers::default() };
            let mut data = Vec::new();
            let outcome = body.as_bytes().chunks(size).try_for_each(|piece| {
                data.extend_from_slice(&decoder.push(Bytes::copy_from_slice(piece))?);
                Ok::<_, io::Error>(())
            });
            all.push(match outcome {
                Ok(()) => format!(
                    "{} {:?} {:?}",
                    String::from_utf8_lossy(&data),
                    decoder.state,
                    decoder.trailers.get("x-amz-checksum-crc32")
                ),
                Err(error) => error.to_string(),
            });
        }
        all.dedup();
        all.join("\n")
    }

    #[test]
    fn pieces_and_trailers() {
        insta::assert_snapshot!(
            check("5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"),
            @r#"hello world End Some("DUoRhQ==")"#
        );
        insta::assert_snapshot!(
            check("5;chunk-signature=abc\r\nhello\r\n0;chunk-signature=def\r\n\r\n"),
            @"hello End None"
        );
        insta::assert_snapshot!(check("5\r\nhello!\r\n"), @"the aws-chunked body has no line end behind a piece");
        insta::assert_snapshot!(check("x\r\n"), @"the aws-chunked body has no length of a piece");
    }
}
