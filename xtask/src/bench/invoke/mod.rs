//! `bench invoke`: what an invocation costs: warm beside other local Lambdas, alone beside the
//! floor, cold beside the interpreter itself, and many at once.
//!
//! Owns the table and the bounds. Load and server share the machine's cores, and so do the others.
//! Prints whether each bound was met; fails on none, since the machine is noisy.

mod cold;
mod floor;
mod peers;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::json;

use super::{
    base64, expect,
    http::{Connection, Load, get, head, load},
    met, release_binary,
    server::Server,
    zipped,
};
use crate::target;

/// The runtime that everything is measured on: the newest that the peers know.
const RUNTIME: &str = "python3.11";
/// What the handler does: nothing.
const HANDLER: &str = "def handler(event, context):\n    return {\"ok\": True}\n";
/// Connections of the load generator.
const CONCURRENT: [usize; 4] = [1, 4, 16, 64];
/// How long each rate is measured, and how often. The two sides take turns and the middle of what the
/// rounds say counts: the machine's own speed changes by a third from one minute to the next.
const LASTING: Duration = Duration::from_secs(2);
const ROUNDS: usize = 7;
/// More connections than environments are to cost nothing; a tenth is the noise of the machine.
const LEAST_KEPT: f64 = 0.9;

/// Prints the table. A binary that was built before can be named, for measuring while working.
pub(crate) fn run(binary: Option<&str>) -> Result<()> {
    let binary = binary.map_or_else(release_binary, |binary| Ok(PathBuf::from(binary)))?;
    let scratch = target().join("bench-invoke");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    println!("| what | layercake | beside it | ratio | must reach | |");
    println!("|---|---|---|---|---|---|");
    warm(&binary, &scratch)?;
    floor::run()?;
    cold::run(&binary, &scratch)?;
    many(&binary, &scratch)
}

/// Warm calls over HTTP, beside the other local Lambda that can run here.
fn warm(binary: &Path, scratch: &Path) -> Result<()> {
    let server = Server::start(binary, &scratch.join("warm"))?;
    let request = function(&server, "hello", HANDLER, &json!({}))?;
    let peer = match peers::ServerlessOffline::start(scratch) {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("| serverless-offline | | cannot run here: {error:#} | | | |");
            None
        }
    };
    let mut fewer = 0.0;
    for connections in CONCURRENT {
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let measured = measured(&server, connections, &request)?;
            if let Some(peer) = &peer {
                let load = peer.load(connections, LASTING)?;
                ratios.push(measured.load.rate / load.rate);
                theirs.push(load.rate);
            }
            ours.push(measured);
        }
        let of_ours = |what: fn(&Measured) -> f64| middle(ours.iter().map(what).collect());
        let rate = of_ours(|measured| measured.load.rate);
        let half = of_ours(|measured| measured.load.percentile(0.5));
        let most = of_ours(|measured| measured.load.percentile(0.99));
        let spread = of_ours(|measured| measured.load.percentile(0.99) / measured.load.percentile(0.5));
        let bound = match connections {
            1 => Some(1.5),
            4 | 16 => Some(2.5),
            _ => None,
        };
        let (promise, kept) = match bound {
            Some(bound) => (format!("≥ {bound}"), None),
            None => (format!("≥ {LEAST_KEPT} of the rate with fewer"), Some(rate >= LEAST_KEPT * fewer)),
        };
        fewer = rate;
        let ratio = middle(ratios);
        let beside = match peer {
            Some(_) => format!("serverless-offline {:.0}/s", middle(theirs)),
            None => String::new(),
        };
        println!(
            "| warm invocations, {connections} at a time | {rate:.0}/s, {:.0} µs of the server's CPU each | {beside} | {ratio:.2} | {promise} | {} |",
            of_ours(|measured| measured.cpu),
            met(kept.unwrap_or_else(|| bound.is_some_and(|bound| ratio >= bound))),
        );
        println!(
            "| the same: p50, p99 | {half:.0} µs, {most:.0} µs | | {spread:.1} | {} | {} |",
            if connections <= 16 { "p99 ≤ 5 × p50" } else { "" },
            if connections <= 16 { met(spread <= 5.0) } else { "" }
        );
    }
    Ok(())
}

/// The middle of some figures; no number where there are none.
fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

struct Measured {
    load: Load,
    /// The server's CPU time of each call, in microseconds.
    cpu: f64,
}

fn measured(server: &Server, connections: usize, request: &[u8]) -> Result<Measured> {
    let requests = [request.to_vec()];
    // Starts environments.
    load(server.address, connections, Duration::from_millis(800), &requests)?;
    let (cpu, begun) = (server.cpu()?, Instant::now());
    let load = load(server.address, connections, LASTING, &requests)?;
    let answered = load.rate * begun.elapsed().as_secs_f64();
    Ok(Measured { load, cpu: (server.cpu()? - cpu) / answered * 1e6 })
}

/// Many calls of a function that sleeps: nothing is lost, nothing stays.
fn many(binary: &Path, scratch: &Path) -> Result<()> {
    const CALLS: usize = 1_000;
    let server = Server::start(binary, &scratch.join("many"))?;
    let code = "import time\ndef handler(event, context):\n    time.sleep(0.1)\n    return event\n";
    let request = function(&server, "sleeper", code, &json!({ "Timeout": 60 }))?;
    let begun = Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLS)
            .map(|_| {
                scope.spawn(|| Connection::open(server.address)?.ask(&request).map(|answer| answer.status))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().ok().and_then(Result::ok).unwrap_or(0)).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|&&status| status == wanted).count();
    println!(
        "| {CALLS} calls at once of a handler that sleeps 100 ms | {} answered, {} refused, {} lost, in {:.1} s | | | none lost | {} |",
        count(200),
        count(429),
        CALLS - count(200) - count(429),
        begun.elapsed().as_secs_f64(),
        met(count(200) + count(429) == CALLS)
    );
    idle_functions(binary, scratch)
}

/// What a function costs that has run and runs no more.
fn idle_functions(binary: &Path, scratch: &Path) -> Result<()> {
    const FUNCTIONS: usize = 100;
    let data = scratch.join("idle");
    let server = Server::start_with(binary, &data, &["--keep-idle", "1"])?;
    let before = settled_memory(&server)?;
    for number in 0..FUNCTIONS {
        let request = function(&server, &format!("idle-{number}"), HANDLER, &json!({}))?;
        expect(200, &server.connect()?.ask(&request)?)?;
    }
    let each = (settled_memory(&server)? - before) / FUNCTIONS as f64;
    println!(
        "| memory of an idle function, of {FUNCTIONS} that have run | {each:.2} MB | | | ≤ 1 MB | {} |",
        met(each <= 1.0)
    );
    Ok(())
}

/// The server's memory in MB once no environment is left.
fn settled_memory(server: &Server) -> Result<f64> {
    std::thread::sleep(Duration::from_secs(4));
    Ok(server.status("VmRSS")? as f64 / 1e6)
}

/// Makes a function and waits until it is active; the answer is a request that invokes it.
fn function(server: &Server, name: &str, code: &str, settings: &serde_json::Value) -> Result<Vec<u8>> {
    let mut body = json!({
        "FunctionName": name,
        "Runtime": RUNTIME,
        "Handler": "app.handler",
        "Role": "arn:aws:iam::123456789012:role/bench",
        "Code": { "ZipFile": base64(&zipped(code)?) },
    });
    for (key, value) in settings.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let body = body.to_string();
    let mut connection = server.connect()?;
    let request = head("POST", "/2015-03-31/functions", body.len());
    expect(201, &connection.send(&request, body.as_bytes())?)?;
    let look = get(&format!("/2015-03-31/functions/{name}"));
    while String::from_utf8_lossy(&connection.ask(&look)?.body).contains("\"Pending\"") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut request = head("POST", &format!("/2015-03-31/functions/{name}/invocations"), 2);
    request.extend(b"{}");
    Ok(request)
}
