//! A server in a process of its own, and a client that knows no more than HTTP.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    hash::Sha256,
    zip::{FileMode, ZipWriter},
};
use layercake_local::{Config, Interpreters, Presence, RetiredRuntimes, interpreters::SearchPlaces};
use serde_json::{Value, json};

const DATA: &str = "LAYERCAKE_CRASH_TEST_DATA";
const READY: &str = "listening at ";

/// Set for a server that shall run functions; the others start faster.
pub(crate) const PYTHONS: &str = "LAYERCAKE_CRASH_TEST_PYTHONS";

/// The Pythons in this machine's PATH and in pyenv's folder.
pub(crate) fn pythons() -> Interpreters {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var("HOME").map(Utf8PathBuf::from).unwrap_or_default();
    Interpreters::discover(&SearchPlaces {
        path: std::env::split_paths(&path).filter_map(|folder| Utf8PathBuf::try_from(folder).ok()).collect(),
        pyenv_root: Some(home.join(".pyenv")),
        ..SearchPlaces::default()
    })
}

/// The child: serves the folder until it is killed.
#[test]
#[ignore = "runs only as a child process of the other tests"]
fn server() {
    let Ok(data) = std::env::var(DATA) else { return };
    tracing::subscriber::set_global_default(Log).expect("no other log");
    let config = Config {
        data: data.into(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        account: layercake_local::DEFAULT_ACCOUNT.parse().expect("an account"),
        retired_runtimes: RetiredRuntimes::Refuse,
        presence: Presence::Serving,
        tuning: layercake_local::sandbox::Tuning::default(),
        interpreters: if std::env::var_os(PYTHONS).is_some() { pythons() } else { Interpreters::default() },
        access: layercake_local::Access::default(),
        // A minute is a tenth of a second.
        event_speed: std::num::NonZeroU32::new(600).expect("not zero"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        match layercake_local::start(config).await {
            Ok(handle) => {
                println!("{READY}{}", handle.address());
                std::future::pending::<()>().await;
            }
            Err(error) => println!("cannot start: {error}"),
        }
    });
}

/// Writes the server's warnings and errors to stderr.
struct Log;

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN && metadata.target().starts_with("layercake")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Message;
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    let _ = writeln!(io::stderr(), "{value:?}");
                }
            }
        }
        event.record(&mut Message);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// A server that is killed with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Utf8PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

/// The command that starts a server on a folder.
pub(crate) fn command(data: &Utf8Path, before: &[&str]) -> Command {
    let program = std::env::current_exe().expect("this test").to_string_lossy().into_owned();
    let mut words: Vec<&str> = before.to_vec();
    words.extend([program.as_str(), "--exact", "support::server", "--ignored", "--nocapture"]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(DATA, data);
    command
}

impl Server {
    pub(crate) fn start(data: &Utf8Path) -> Self {
        Self::started(command(data, &[]), data).unwrap_or_else(|said| panic!("the server says: {said}"))
    }

    /// Starts a server, or gives what it said when it did not start.
    pub(crate) fn started(mut command: Command, data: &Utf8Path) -> Result<Self, String> {
        let log = Utf8PathBuf::from(format!("{data}.log"));
        let stderr = fs_err::File::create(&log).expect("a log").into_parts().0;
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the server");
        let mut said = String::new();
        for line in io::BufReader::new(child.stdout.take().expect("its output")).lines() {
            let line = line.expect("a line");
            if let Some((_, address)) = line.split_once(READY) {
                let address = address.trim().parse().expect("an address");
                return Ok(Self { child, address, log });
            }
            said.push_str(&line);
        }
        child.wait().expect("ended");
        Err(said)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(self) {
        drop(self);
    }

    /// What the server wrote to its log.
    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(&self.log).expect("the log")
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
        Client { stream }
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// How long the body should be.
    pub(crate) length: usize,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Client {
    /// Asks and reads the answer; the error is that of a connection that broke before its head.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.ask_with("", method, path, body)
    }

    /// The same with more headers, each with its line's end.
    pub(crate) fn ask_with(
        &mut self,
        headers: &str,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text").to_ascii_lowercase();
        let status: u16 = head[9..12].parse().expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length = if method == "HEAD" || status == 204 { 0 } else { length.unwrap_or(0) };
        let mut body = Vec::new();
        // A connection that breaks leaves the body shorter than it should be.
        let _ = (&self.stream).take(length as u64).read_to_end(&mut body);
        Ok(Answer { status, body, length })
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, b"").expect("an answer")
    }

    pub(crate) fn publish(&mut self, layer: &str, zip: &[u8]) -> io::Result<Answer> {
        let body = json!({ "Content": { "ZipFile": base64(zip) } }).to_string();
        self.ask("POST", &format!("/2018-10-31/layers/{layer}/versions"), body.as_bytes())
    }

    pub(crate) fn create_function(&mut self, name: &str, zip: &[u8]) -> io::Result<Answer> {
        let body = json!({
            "FunctionName": name,
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Role": "arn:aws:iam::123456789012:role/r",
            "Code": { "ZipFile": base64(zip) },
        })
        .to_string();
        self.ask("POST", "/2015-03-31/functions", body.as_bytes())
    }

    /// All versions of a layer: number and hash.
    pub(crate) fn versions(&mut self, layer: &str) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        let mut marker = String::new();
        loop {
            let page = self.get(&format!("/2018-10-31/layers/{layer}/versions{marker}")).json();
            for version in page["LayerVersions"].as_array().expect("versions") {
                let number = version["Version"].as_u64().expect("a number");
                let found = self.get(&format!("/2018-10-31/layers/{layer}/versions/{number}")).json();
                all.push((number, found["Content"]["CodeSha256"].as_str().expect("a hash").to_owned()));
            }
            match page["NextMarker"].as_str() {
                Some(next) => marker = format!("?Marker={next}"),
                None => return all,
            }
        }
    }

    /// The bytes behind a `Location`.
    pub(crate) fn download(&mut self, location: &Value) -> Answer {
        let location = location.as_str().expect("a location");
        let path = location.split_once("localhost").expect("our own address").1;
        self.get(path)
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A zip of one file.
pub(crate) fn zip(text: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Vec::new());
    writer.file_from_bytes("app.py", FileMode::Regular, text).expect("memory");
    writer.finish().expect("memory").0
}

/// Numbers that look like chance and are the same each time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

pub(crate) fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
    (folder, path)
}

/// The hashes in base64 of all files that a data folder keeps, held against their names.
pub(crate) fn kept(data: &Utf8Path) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for shelf in data.join("blobs").read_dir_utf8().expect("a folder") {
        for file in shelf.expect("a shelf").path().read_dir_utf8().expect("a folder") {
            let file = file.expect("a file");
            let hash = Sha256::of(&fs_err::read(file.path()).expect("its bytes"));
            assert_eq!(hash.to_hex(), file.file_name(), "it has the bytes of its name");
            kept.insert(hash.to_base64());
        }
    }
    kept
}

pub(crate) fn is_empty(folder: &Utf8Path) -> bool {
    folder.read_dir_utf8().expect("a folder").next().is_none()
}
