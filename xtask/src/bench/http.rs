//! A client of HTTP/1.1 that costs little beside what it measures: blocking sockets, one request at
//! a time on each connection.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// One connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer: status and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 << 10] })
    }

    /// Sends a whole request and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request)?;
        self.answer()
    }

    /// Sends a request whose body is large, in pieces.
    pub(crate) fn send(&mut self, head: &[u8], body: &[u8]) -> Result<Answer> {
        self.stream.write_all(head)?;
        self.stream.write_all(body)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let count = self.stream.read(&mut self.buffer[filled..])?;
            if count == 0 {
                bail!("the server closed the connection");
            }
            filled += count;
            let Some(end) = self.buffer[..filled].windows(4).position(|part| part == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..end]).context("a head is text")?;
            let status = head.get(9..12).and_then(|text| text.parse().ok()).context("no status")?;
            let length = head
                .lines()
                .find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                })
                .unwrap_or(0);
            let whole = end + 4 + length;
            if self.buffer.len() < whole {
                self.buffer.resize(whole, 0);
            }
            if filled < whole {
                self.stream.read_exact(&mut self.buffer[filled..whole])?;
            }
            return Ok(Answer { status, body: self.buffer[end + 4..whole].to_vec() });
        }
    }
}

/// A request's bytes, without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// The head of a request with a body.
pub(crate) fn head(method: &str, path: &str, length: usize) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// What so many connections were answered in a while.
pub(crate) struct Load {
    /// Requests per second.
    pub(crate) rate: f64,
    /// How long each answer took, in microseconds, sorted.
    latencies: Vec<u32>,
}

impl Load {
    /// The time that this share of the answers did not exceed, in microseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).map_or(f64::NAN, |&latency| f64::from(latency))
    }
}

/// Requests per second that so many connections get answered for a while; each connection goes
/// through the requests in its own order.
pub(crate) fn rate(
    address: SocketAddr,
    connections: usize,
    lasting: Duration,
    requests: &[Vec<u8>],
) -> Result<f64> {
    Ok(load(address, connections, lasting, requests)?.rate)
}

/// The same, with what each answer took.
pub(crate) fn load(
    address: SocketAddr,
    connections: usize,
    lasting: Duration,
    requests: &[Vec<u8>],
) -> Result<Load> {
    let begun = Instant::now();
    let until = begun + lasting;
    let mut latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|number| {
                scope.spawn(move || -> Result<Vec<u32>> {
                    let mut connection = Connection::open(address)?;
                    let mut latencies = Vec::new();
                    let mut next = number * requests.len() / connections;
                    let mut asked = Instant::now();
                    while asked < until {
                        let answer = connection.ask(&requests[next % requests.len()])?;
                        if answer.status != 200 {
                            bail!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                        }
                        let now = Instant::now();
                        latencies.push(u32::try_from((now - asked).as_micros()).unwrap_or(u32::MAX));
                        (asked, next) = (now, next + 1);
                    }
                    Ok(latencies)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>>>()
    })?
    .concat();
    let took = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Load { rate: latencies.len() as f64 / took, latencies })
}
