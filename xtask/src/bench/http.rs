//! A client of HTTP/1.1 that costs little beside what it measures: one request at a time on each
//! connection, all connections of a load in one thread. Load and server share the machine's cores, so a
//! thread for each connection would measure the switching between them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token};

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
            let Some(head) = Head::of(&self.buffer[..filled])? else { continue };
            if self.buffer.len() < head.whole {
                self.buffer.resize(head.whole, 0);
            }
            if filled < head.whole {
                self.stream.read_exact(&mut self.buffer[filled..head.whole])?;
            }
            return Ok(Answer { status: head.status, body: self.buffer[head.length..head.whole].to_vec() });
        }
    }
}

/// What the head of an answer tells.
struct Head {
    status: u16,
    /// Its own length, and that of head and body together, in bytes.
    length: usize,
    whole: usize,
}

impl Head {
    /// Nothing as long as it is not whole.
    fn of(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).context("a head is text")?;
        let status = head.get(9..12).and_then(|text| text.parse().ok()).context("no status")?;
        let body = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            })
            .unwrap_or(0);
        Ok(Some(Self { status, length: end + 4, whole: end + 4 + body }))
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
    let mut poll = Poll::new()?;
    let mut lanes = (0..connections)
        .map(|number| Lane::open(address, number * requests.len() / connections))
        .collect::<Result<Vec<_>>>()?;
    for (number, lane) in lanes.iter_mut().enumerate() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut lane.stream, Token(number), interest)?;
    }
    let begun = Instant::now();
    let until = begun + lasting;
    let mut latencies = Vec::new();
    let mut events = Events::with_capacity(connections);
    let mut open = connections;
    for lane in &mut lanes {
        lane.ask(requests)?;
    }
    while open > 0 {
        poll.poll(&mut events, Some(lasting + Duration::from_secs(60)))?;
        if events.is_empty() {
            bail!("{open} requests are not answered");
        }
        for event in &events {
            let lane = &mut lanes[event.token().0];
            if let Some(asked) = lane.go_on(requests)? {
                let now = Instant::now();
                latencies.push(u32::try_from((now - asked).as_micros()).unwrap_or(u32::MAX));
                if now >= until {
                    open -= 1;
                } else {
                    lane.ask(requests)?;
                }
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Load { rate: latencies.len() as f64 / took, latencies })
}

/// One connection of a load.
struct Lane {
    stream: mio::net::TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// The number of the next request.
    next: usize,
    /// The request that is not answered: when it was sent, and how much of it.
    asked: Option<(Instant, usize)>,
}

impl Lane {
    fn open(address: SocketAddr, next: usize) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(stream);
        Ok(Self { stream, buffer: vec![0; 64 << 10], filled: 0, next, asked: None })
    }

    /// Sends the next request.
    fn ask(&mut self, requests: &[Vec<u8>]) -> Result<()> {
        self.asked = Some((Instant::now(), 0));
        self.send(requests)
    }

    fn send(&mut self, requests: &[Vec<u8>]) -> Result<()> {
        let request = &requests[self.next % requests.len()];
        while let Some((_, sent)) = &mut self.asked
            && *sent < request.len()
        {
            match ready(self.stream.write(&request[*sent..]))? {
                Some(count) => *sent += count,
                None => break,
            }
        }
        Ok(())
    }

    /// Does what can be done now. When a request has been answered, says when it was sent.
    fn go_on(&mut self, requests: &[Vec<u8>]) -> Result<Option<Instant>> {
        let Some((asked, _)) = self.asked else { return Ok(None) };
        self.send(requests)?;
        while let Some(count) = ready(self.stream.read(&mut self.buffer[self.filled..]))? {
            if count == 0 {
                bail!("the server closed the connection");
            }
            self.filled += count;
            match Head::of(&self.buffer[..self.filled])? {
                Some(head) if head.whole > self.buffer.len() => self.buffer.resize(head.whole, 0),
                Some(head) if head.whole <= self.filled => {
                    if head.status != 200 {
                        let body = String::from_utf8_lossy(&self.buffer[head.length..head.whole]);
                        bail!("status {}: {body}", head.status);
                    }
                    (self.filled, self.asked) = (0, None);
                    self.next += 1;
                    return Ok(Some(asked));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Nothing where the socket has nothing, or no room.
fn ready(result: std::io::Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}
