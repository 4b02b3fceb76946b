//! The floor of a warm call: a server and a client that do the Runtime API's two exchanges over a
//! bare socket and nothing else, beside the sandbox without the HTTP in front of it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{super::met, LASTING, RUNTIME};
use crate::root;

const CLIENT: &str = include_str!("floor.py");
const CALL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 5dddcd14-8325-4771-ae70-69cb3f20c514\r\nLambda-Runtime-Deadline-Ms: 1700000000000\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:t\r\nLambda-Runtime-Trace-Id: Root=1;Parent=2;Sampled=0\r\nContent-Length: 2\r\n\r\n{}";
const TAKEN: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";

/// Prints the rows.
pub(super) fn run() -> Result<()> {
    for environments in [1, 2, 4] {
        let floor = rate(environments)?;
        let ours = sandbox(&["warm", &environments.to_string(), &LASTING.as_secs().to_string()])?;
        println!(
            "| the sandbox alone, {environments} environments | {ours:.0}/s, {:.1} µs each | floor {floor:.0}/s, {:.1} µs | {:.2} | ≤ 2 × the floor's time | {} |",
            1e6 / ours,
            1e6 / floor,
            floor / ours,
            met(floor <= 2.0 * ours)
        );
    }
    Ok(())
}

/// A figure of the sandbox's own benchmark, which has no HTTP API before it.
pub(super) fn sandbox(arguments: &[&str]) -> Result<f64> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--quiet", "-p", "layercake-local", "--bench", "sandbox", "--"])
        .args(arguments)
        .current_dir(root())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Ended with the value.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rate(environments: usize) -> Result<f64> {
    let python = super::super::python_of(RUNTIME)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut clients = Vec::new();
    for _ in 0..environments {
        let mut command = Command::new(&python);
        clients.push(Client(command.args(["-I", "-S", "-c", CLIENT, &port]).spawn()?));
    }
    let streams = clients.iter().map(|_| Ok(listener.accept()?.0)).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        for stream in streams {
            scope.spawn(|| serve(stream, &stop, &count));
        }
        std::thread::sleep(Duration::from_millis(500));
        let (before, begun) = (count.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(LASTING);
        let rate = (count.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        Ok(rate)
    })
}

fn serve(mut stream: TcpStream, stop: &AtomicBool, count: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 65_536];
    request(&mut stream, &mut buffer)?;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(CALL)?;
        request(&mut stream, &mut buffer)?;
        stream.write_all(TAKEN)?;
        request(&mut stream, &mut buffer)?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads one request.
fn request(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            bail!("the client has gone");
        }
        filled += count;
        let Some(end) = buffer[..filled].windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if filled >= end + 4 + length.unwrap_or(0) {
            return Ok(());
        }
    }
}
