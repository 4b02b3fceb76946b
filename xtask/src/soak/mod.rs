//! `soak`: an hour of mixed load on a local cloud, and a look at what is left of it.
//!
//! Good, slow, crashing, memory-hungry, forking and noisy handlers are called from several
//! connections while one of them gets new code again and again. Every answer is held against what the
//! handler must give; at the end nothing may be left running, mounted, open or on the disk that was
//! not there before, and the logs must have one report for each call. Fails on the first finding.

mod handlers;
mod remains;

use std::{
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use self::{handlers::Handler, remains::Remains};
use crate::{
    bench::{
        base64, expect, http::Connection, http::get, http::head, release_binary, server::Server, zipped,
    },
    target,
};

/// What the server may run at once, and how long it keeps what is idle, in seconds.
const ENVIRONMENTS: &str = "8";
const KEEP_IDLE: &str = "3";
/// Connections that call.
const CALLERS: usize = 10;
/// How long the last things may take to go away.
const PATIENCE: Duration = Duration::from_secs(90);
/// More memory than this the server may not have gained, in MB.
const MOST_GAINED_MB: f64 = 64.0;

/// What is counted while calls are made.
#[derive(Default)]
struct Counts {
    /// Calls that were answered, by handler.
    answered: [AtomicU64; handlers::ALL.len()],
    /// Events that were accepted.
    events: AtomicU64,
    /// The generation of the code that every later call must run at least.
    live: AtomicU64,
    updates: AtomicU64,
    ended: AtomicBool,
    /// What was wrong.
    wrong: Mutex<Vec<String>>,
}

impl Counts {
    fn report(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        self.ended.store(true, Ordering::Release);
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Runs for so many minutes. A binary that was built before can be named.
pub(crate) fn run(minutes: u64, binary: Option<&str>) -> Result<()> {
    let binary = binary.map_or_else(release_binary, |binary| Ok(binary.into()))?;
    let data = target().join("soak");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data)?;
    let arguments = ["--environments", ENVIRONMENTS, "--keep-idle", KEEP_IDLE];
    let server = Server::start_with(&binary, &data, &arguments)?;
    for handler in &handlers::ALL {
        create(&server, handler)?;
    }
    let counts = Counts::default();
    // Once through everything, so that what is made once is there: templates, caches, connections.
    for (number, handler) in handlers::ALL.iter().enumerate() {
        call(&mut server.connect()?, handler, &counts, number, 0)?;
    }
    let before = rested(&server, &data)?;
    let begun = Instant::now();
    let lasting = Duration::from_secs(minutes * 60);
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (server, counts) = (&server, &counts);
            scope.spawn(move || {
                if let Err(error) = call_all(server, counts, caller) {
                    counts.report(format!("caller {caller}: {error:#}"));
                }
            });
        }
        scope.spawn(|| {
            if let Err(error) = update(&server, &counts) {
                counts.report(format!("an update: {error:#}"));
            }
        });
        let mut told = Instant::now();
        while begun.elapsed() < lasting && !counts.ended() {
            std::thread::sleep(Duration::from_millis(200));
            if told.elapsed() >= Duration::from_secs(60) {
                told = Instant::now();
                println!("{} min: {}", begun.elapsed().as_secs() / 60, summary(&counts, &server));
            }
        }
        counts.ended.store(true, Ordering::Release);
    });
    let wrong = counts.wrong.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    check_logs(&server, &counts)?;
    let after = rested(&server, &data)?;
    println!("before: {before:?}\nafter:  {after:?}");
    before.check(&after, MOST_GAINED_MB)?;
    let (pid, address) = (server.id(), server.address);
    server.stop(Duration::from_secs(20))?;
    remains::check_ended(pid, &data)?;
    println!(
        "{:.1} min: {}; nothing is left of {address}",
        begun.elapsed().as_secs_f64() / 60.0,
        handlers::ALL
            .iter()
            .zip(&counts.answered)
            .map(|(handler, count)| format!("{} {}", count.load(Ordering::Relaxed), handler.name))
            .collect::<Vec<_>>()
            .join(", "),
    );
    fs::remove_dir_all(&data).context("the data folder")
}

fn summary(counts: &Counts, server: &Server) -> String {
    let answered: u64 = counts.answered.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    format!(
        "{answered} calls, {} events, {} updates, {:.0} MB",
        counts.events.load(Ordering::Relaxed),
        counts.updates.load(Ordering::Relaxed),
        server.status("VmRSS").unwrap_or_default() as f64 / 1e6
    )
}

/// One handler after the other, until the end.
fn call_all(server: &Server, counts: &Counts, caller: usize) -> Result<()> {
    let mut connection = server.connect()?;
    let mut turn = caller as u64;
    while !counts.ended() {
        let number = turn as usize % handlers::ALL.len();
        call(&mut connection, &handlers::ALL[number], counts, number, turn)?;
        if turn % 16 == 3 {
            send_event(&mut connection, counts)?;
        }
        turn += 1;
    }
    Ok(())
}

/// One call, whose answer is held against what must come.
fn call(
    connection: &mut Connection,
    handler: &Handler,
    counts: &Counts,
    number: usize,
    turn: u64,
) -> Result<()> {
    let least = counts.live.load(Ordering::Acquire);
    let event = json!(turn).to_string();
    let path = format!("/2015-03-31/functions/{}/invocations", handler.name);
    let answer = connection.send(&head("POST", &path, event.len()), event.as_bytes())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    expect(200, &answer).with_context(|| format!("a call of `{}`", handler.name))?;
    let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    ensure!((handler.is_right)(&value, turn, least), "`{}` answered {text}", handler.name);
    counts.answered[number].fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn send_event(connection: &mut Connection, counts: &Counts) -> Result<()> {
    let path = format!("/2015-03-31/functions/{}/invocations", handlers::EVENTS);
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-amz-invocation-type: Event\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    expect(202, &connection.ask(request.as_bytes())?)?;
    counts.events.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Gives one function new code again and again.
fn update(server: &Server, counts: &Counts) -> Result<()> {
    let mut connection = server.connect()?;
    let mut generation = 0;
    while !counts.ended() {
        generation += 1;
        let code = handlers::good(generation);
        let body = json!({ "ZipFile": base64(&zipped(&code)?) }).to_string();
        let path = format!("/2015-03-31/functions/{}/code", handlers::UPDATED);
        expect(200, &connection.send(&head("PUT", &path, body.len()), body.as_bytes())?)?;
        settled(&mut connection, handlers::UPDATED)?;
        counts.live.store(generation, Ordering::Release);
        counts.updates.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(700));
    }
    Ok(())
}

fn create(server: &Server, handler: &Handler) -> Result<()> {
    let body = json!({
        "FunctionName": handler.name,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Role": "arn:aws:iam::123456789012:role/soak",
        "Timeout": handler.timeout,
        "MemorySize": 256,
        "Code": { "ZipFile": base64(&zipped(&(handler.code)())?) },
    })
    .to_string();
    let mut connection = server.connect()?;
    let request = head("POST", "/2015-03-31/functions", body.len());
    expect(201, &connection.send(&request, body.as_bytes())?)?;
    settled(&mut connection, handler.name)
}

fn settled(connection: &mut Connection, name: &str) -> Result<()> {
    let look = get(&format!("/2015-03-31/functions/{name}"));
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let answer = connection.ask(&look)?;
        let text = String::from_utf8_lossy(&answer.body);
        if !text.contains("\"Pending\"") && !text.contains("\"InProgress\"") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("`{name}` does not become ready")
}

/// Every call and every event has its report.
fn check_logs(server: &Server, counts: &Counts) -> Result<()> {
    let mut connection = server.connect()?;
    for (handler, answered) in handlers::ALL.iter().zip(&counts.answered) {
        let mut wanted = answered.load(Ordering::Relaxed);
        if handler.name == handlers::EVENTS {
            wanted += counts.events.load(Ordering::Relaxed);
        }
        let begun = Instant::now();
        loop {
            let found = reports(&mut connection, handler.name)?;
            if found == wanted {
                break;
            }
            // Events may wait still, and lines are written behind the answers.
            let waited = begun.elapsed();
            ensure!(waited < PATIENCE && found < wanted, "`{}`: {found} reports of {wanted}", handler.name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    Ok(())
}

/// How many `REPORT` lines a function's log has.
fn reports(connection: &mut Connection, name: &str) -> Result<u64> {
    let mut found = 0;
    let mut next = Value::Null;
    loop {
        let mut body =
            json!({ "logGroupName": format!("/aws/lambda/{name}"), "filterPattern": "\"REPORT RequestId\"" });
        if next.is_string() {
            body["nextToken"] = next;
        }
        let body = body.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-amz-target: Logs_20140328.FilterLogEvents\r\n\
             content-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = connection.ask(request.as_bytes())?;
        expect(200, &answer)?;
        let page: Value = serde_json::from_slice(&answer.body)?;
        found += page["events"].as_array().map_or(0, Vec::len) as u64;
        next = page["nextToken"].clone();
        if !next.is_string() {
            return Ok(found);
        }
    }
}

/// What there is of a server whose environments have all gone.
fn rested(server: &Server, data: &Path) -> Result<Remains> {
    let begun = Instant::now();
    loop {
        let seen = Remains::of(server, data)?;
        if seen.processes == 0 {
            // What goes with the environments may take a moment more.
            std::thread::sleep(Duration::from_secs(2));
            return Remains::of(server, data);
        }
        ensure!(begun.elapsed() < PATIENCE, "environments do not go away: {seen:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
