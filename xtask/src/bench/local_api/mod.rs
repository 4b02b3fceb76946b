//! `bench local-api`: the local cloud as its clients feel it: how soon it answers, how many requests
//! it answers, what publishing costs, and how much memory it takes.
//!
//! Owns the table and the bounds. The load comes from this process, so server and load share the
//! machine's cores. Prints whether each bound was met; fails on none, since the machine is noisy.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    base64, expect,
    http::{get, head, rate},
    met, release_binary,
    server::Server,
};
use crate::{clients::find_python, target};

/// Connections of the pool.
const CONNECTIONS: usize = 8;
/// How long each rate is measured.
const LASTING: Duration = Duration::from_secs(4);
/// Layers that all versions are of, so that pages are the same however many versions there are.
const LAYERS: usize = 50;

/// Prints the table. A binary that was built before can be named, for measuring while working.
pub(crate) fn run(binary: Option<&str>) -> Result<()> {
    let binary = binary.map_or_else(release_binary, |binary| Ok(PathBuf::from(binary)))?;
    let scratch = target().join("bench-local-api");
    fs::create_dir_all(&scratch)?;
    let bench = Bench { binary, scratch };
    for data in ["new", "cloud", "publish"] {
        let _ = fs::remove_dir_all(bench.scratch.join(data));
    }
    println!("| what | layercake | beside it | ratio | must reach | |");
    println!("|---|---|---|---|---|---|");
    bench.starts("a new folder", "new")?;
    bench.calls()?;
    bench.publishing()
}

struct Bench {
    binary: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    fn start(&self, data: &str) -> Result<Server> {
        Server::start(&self.binary, &self.scratch.join(data))
    }

    /// Rates with 1,000 of each, and whether a call costs the same with 10 and with 10,000.
    fn calls(&self) -> Result<()> {
        let mut server = self.start("cloud")?;
        let mut there = 0;
        let mut costs = Vec::new();
        for count in [10, 1_000, 10_000] {
            fill(&server, there..count)?;
            there = count;
            settled(&server, count)?;
            let functions: Vec<_> =
                (0..count).map(|number| get(&format!("/2015-03-31/functions/function-{number}"))).collect();
            let layers = [get("/2018-10-31/layers?MaxItems=10")];
            for (what, requests) in [("GetFunction", &functions[..]), ("ListLayers", &layers[..])] {
                costs.push((what, count, self.measured(&server, requests)?));
            }
            if count == 1_000 {
                let (rate, cpu) = self.measured(&server, &functions)?;
                row_of_rate("GetFunction, 1,000 functions stored", rate, cpu);
                let (rate, cpu) = self.measured(&server, &[get("/2018-10-31/layers")])?;
                row_of_rate("ListLayers (pages of 50), 1,000 layer versions stored", rate, cpu);
                drop(server);
                self.starts("1,000 functions and layer versions", "cloud")?;
                server = self.start("cloud")?;
            }
        }
        for what in ["GetFunction", "ListLayers"] {
            // The server's CPU time, since the machine's other work changes the wall time.
            let cost = |wanted: usize| {
                let found = costs.iter().find(|(name, count, _)| *name == what && *count == wanted);
                found.map_or(f64::NAN, |(_, _, (_, cpu))| *cpu)
            };
            let ratio = cost(10_000) / cost(10);
            println!(
                "| {what}, CPU of a call: 10,000 stored beside 10 | {:.0} µs | {:.0} µs | {ratio:.2} | flat (≤ 1.25) | {} |",
                cost(10_000),
                cost(10),
                met(ratio <= 1.25)
            );
        }
        Ok(())
    }

    /// Requests per second, and the server's CPU time for each in microseconds.
    fn measured(&self, server: &Server, requests: &[Vec<u8>]) -> Result<(f64, f64)> {
        // Fills caches and connections.
        rate(server.address, CONNECTIONS, Duration::from_millis(500), requests)?;
        let (cpu, begun) = (server.cpu()?, Instant::now());
        let rate = rate(server.address, CONNECTIONS, LASTING, requests)?;
        let answered = rate * begun.elapsed().as_secs_f64();
        Ok((rate, (server.cpu()? - cpu) / answered * 1e6))
    }

    /// How soon the first request is answered, and how much memory an idle server has.
    fn starts(&self, name: &str, data: &str) -> Result<()> {
        let mut ready = Vec::new();
        for _ in 0..7 {
            if data == "new" {
                let _ = fs::remove_dir_all(self.scratch.join(data));
            }
            ready.push(self.start(data)?.ready);
        }
        ready.sort();
        println!(
            "| ready after its start, {name} | {:.0} ms (slowest {:.0}) | | | ≤ 50 ms | {} |",
            ready[3].as_secs_f64() * 1e3,
            ready[6].as_secs_f64() * 1e3,
            met(ready[3] <= Duration::from_millis(50))
        );
        let server = self.start(data)?;
        std::thread::sleep(Duration::from_secs(2));
        let (memory, own) = (server.status("VmRSS")? as f64 / 1e6, server.status("RssAnon")? as f64 / 1e6);
        println!(
            "| memory, idle, {name} | {memory:.0} MB | {own:.0} MB besides the program's own pages | | ≤ 30 MB | {} |",
            met(memory <= 30.0)
        );
        Ok(())
    }

    /// A zip in the request, and a layer of 250 MB through S3.
    fn publishing(&self) -> Result<()> {
        let output = Command::new(find_python()?)
            .args(["-c", include_str!("zips.py")])
            .arg(&self.scratch)
            .output()
            .context("Python cannot be started")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let zips: Value = serde_json::from_slice(&output.stdout)?;
        let zip = |number: usize| -> Result<(Vec<u8>, f64)> {
            let name = zips[number]["name"].as_str().context("a name")?;
            let seconds = zips[number]["seconds"].as_f64().context("seconds")?;
            Ok((fs::read(self.scratch.join(name))?, seconds))
        };
        let (direct, alone) = zip(0)?;
        let body = publish_body(&direct);
        let mut taken = Vec::new();
        for _ in 0..5 {
            // Each time to a new folder: a file that is there already need not be written.
            let _ = fs::remove_dir_all(self.scratch.join("publish"));
            let server = self.start("publish")?;
            let mut connection = server.connect()?;
            let head = head("POST", "/2018-10-31/layers/direct/versions", body.len());
            let begun = Instant::now();
            let answer = connection.send(&head, &body)?;
            taken.push((begun.elapsed().as_secs_f64(), server.status("VmHWM")?));
            expect(201, &answer)?;
        }
        taken.sort_by(|one, other| one.0.total_cmp(&other.0));
        let memory = taken.iter().map(|taken| taken.1).max().unwrap_or(0) as f64 / 1e6;
        println!(
            "| publish of a {:.0} MB zip | {:.0} ms | hashing and writing {:.0} ms | {:.2} | ≤ 2 | {} |",
            direct.len() as f64 / 1e6,
            taken[2].0 * 1e3,
            alone * 1e3,
            taken[2].0 / alone,
            met(taken[2].0 <= 2.0 * alone)
        );
        println!("| the same: peak memory | {memory:.0} MB | | | ≤ 60 MB | {} |", met(memory <= 60.0));

        let (large, alone) = zip(1)?;
        let _ = fs::remove_dir_all(self.scratch.join("publish"));
        let server = self.start("publish")?;
        let mut connection = server.connect()?;
        expect(200, &connection.ask(&head("PUT", "/bench-bucket", 0))?)?;
        let begun = Instant::now();
        expect(200, &connection.send(&head("PUT", "/bench-bucket/large.zip", large.len()), &large)?)?;
        let put = begun.elapsed().as_secs_f64();
        let body = json!({ "Content": { "S3Bucket": "bench-bucket", "S3Key": "large.zip" } }).to_string();
        let begun = Instant::now();
        let head = head("POST", "/2018-10-31/layers/large/versions", body.len());
        expect(201, &connection.send(&head, body.as_bytes())?)?;
        let published = begun.elapsed().as_secs_f64();
        let memory = server.status("VmHWM")? as f64 / 1e6;
        println!(
            "| {:.0} MB zip (250 MB unzipped) into S3 | {:.0} ms | hashing and writing {:.0} ms | {:.2} | | |",
            large.len() as f64 / 1e6,
            put * 1e3,
            alone * 1e3,
            put / alone
        );
        println!("| its publish from S3 | {:.0} ms | | | | |", published * 1e3);
        println!("| both: peak memory | {memory:.0} MB | | | ≤ 60 MB | {} |", met(memory <= 60.0));
        Ok(())
    }
}

/// Makes functions and layer versions of these numbers, on several connections.
fn fill(server: &Server, numbers: std::ops::Range<usize>) -> Result<()> {
    let small = small_zip();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|thread| {
                let (small, numbers) = (&small, numbers.clone());
                scope.spawn(move || -> Result<()> {
                    let mut connection = server.connect()?;
                    for number in numbers.filter(|number| number % CONNECTIONS == thread) {
                        let function = json!({
                            "FunctionName": format!("function-{number}"),
                            "Runtime": "python3.12",
                            "Handler": "app.handler",
                            "Role": "arn:aws:iam::123456789012:role/bench",
                            "Code": { "ZipFile": small },
                        })
                        .to_string();
                        let request = head("POST", "/2015-03-31/functions", function.len());
                        expect(201, &connection.send(&request, function.as_bytes())?)?;
                        let path = format!("/2018-10-31/layers/layer-{}/versions", number % LAYERS);
                        let layer = json!({
                            "Content": { "ZipFile": small },
                            "Description": "one of many",
                            "CompatibleRuntimes": ["python3.12"],
                        })
                        .to_string();
                        let request = head("POST", &path, layer.len());
                        expect(201, &connection.send(&request, layer.as_bytes())?)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Waits until the functions are active, so that nothing else runs while a rate is measured.
fn settled(server: &Server, count: usize) -> Result<()> {
    let mut connection = server.connect()?;
    for number in 0..count {
        let request = get(&format!("/2015-03-31/functions/function-{number}"));
        loop {
            let answer = connection.ask(&request)?;
            expect(200, &answer)?;
            if !String::from_utf8_lossy(&answer.body).contains("\"Pending\"") {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// A zip with one empty file `app.py`, in base64.
fn small_zip() -> String {
    let mut bytes = Vec::new();
    let common = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0];
    bytes.extend(b"PK\x03\x04");
    bytes.extend(common);
    bytes.extend(b"app.py");
    let directory = bytes.len() as u8;
    bytes.extend(b"PK\x01\x02\x14\x03");
    bytes.extend(common);
    bytes.extend([0; 14]);
    bytes.extend(b"app.py");
    let length = bytes.len() as u8 - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend([length, 0, 0, 0, directory, 0, 0, 0, 0, 0]);
    base64(&bytes)
}

fn publish_body(zip: &[u8]) -> Vec<u8> {
    let mut body = b"{\"Content\":{\"ZipFile\":\"".to_vec();
    body.extend(base64(zip).into_bytes());
    body.extend(b"\"}}");
    body
}

fn row_of_rate(name: &str, rate: f64, cpu: f64) {
    println!(
        "| {name} | {rate:.0}/s | {cpu:.0} µs of the server's CPU each | | ≥ 5,000/s | {} |",
        met(rate >= 5_000.0)
    );
}
