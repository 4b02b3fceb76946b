//! A package index that serves wheels from memory, and misbehaves when told to.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use layercake_core::hash::Sha256;

use super::WheelBuilder;

/// What is wrong with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The index lists another hash than the file has.
    WrongHash,
    /// The first so many answers break off after this many bytes of the file.
    Truncated {
        /// How many answers.
        answers: usize,
        /// After how many bytes.
        after: usize,
    },
    /// The first so many answers are 500.
    ServerError {
        /// How many answers.
        answers: usize,
    },
    /// `Range` is ignored: the whole file comes each time.
    NoRanges,
    /// The index lists no hash.
    NoHash,
    /// The index lists one byte less than the file has.
    ShortSize,
}

/// A running index on a free port of the loopback address. Stops when dropped.
pub struct TestIndex {
    address: SocketAddr,
    served: Arc<Served>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Served {
    files: BTreeMap<String, ServedFile>,
    metadata: bool,
    stopping: AtomicBool,
    log: Mutex<Vec<String>>,
}

struct ServedFile {
    package: String,
    bytes: Vec<u8>,
    metadata: Option<String>,
    requires_python: Option<String>,
    faults: Vec<Fault>,
    answers: AtomicUsize,
}

/// What an index will serve.
#[derive(Default)]
pub struct TestIndexBuilder {
    served: Served,
}

impl TestIndexBuilder {
    /// Serves a wheel.
    #[must_use]
    pub fn wheel(self, wheel: &WheelBuilder) -> Self {
        self.faulty(wheel, &[])
    }

    /// Serves a wheel that has these faults.
    #[must_use]
    pub fn faulty(mut self, wheel: &WheelBuilder, faults: &[Fault]) -> Self {
        let file = ServedFile {
            package: wheel.name(),
            bytes: wheel.bytes(),
            metadata: Some(wheel.metadata()),
            requires_python: wheel.python().map(str::to_owned),
            faults: faults.to_vec(),
            answers: AtomicUsize::new(0),
        };
        self.served.files.insert(wheel.filename(), file);
        self
    }

    /// Serves a source distribution (which nobody may open).
    #[must_use]
    pub fn source(mut self, package: &str, version: &str) -> Self {
        let file = ServedFile {
            package: package.to_owned(),
            bytes: b"not an archive".to_vec(),
            metadata: None,
            requires_python: None,
            faults: Vec::new(),
            answers: AtomicUsize::new(0),
        };
        self.served.files.insert(format!("{package}-{version}.tar.gz"), file);
        self
    }

    /// Serves metadata beside each wheel (PEP 658), so that nobody has to look into it.
    #[must_use]
    pub fn with_metadata(mut self) -> Self {
        self.served.metadata = true;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(self) -> TestIndex {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let served = Arc::new(self.served);
        let shared = Arc::clone(&served);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopping.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A client that hangs up is none of the index's business.
                    let _ = stream.and_then(|stream| shared.answer(stream));
                });
            }
        });
        TestIndex { address, served, thread: Some(thread) }
    }
}

impl TestIndex {
    /// An index with nothing on it yet.
    pub fn builder() -> TestIndexBuilder {
        TestIndexBuilder::default()
    }

    /// An index with these wheels, sound ones.
    pub fn serving(wheels: &[WheelBuilder]) -> Self {
        wheels.iter().fold(Self::builder(), TestIndexBuilder::wheel).start()
    }

    /// The address to give as `--index-url`.
    pub fn url(&self) -> String {
        format!("http://{}/simple", self.address)
    }

    /// The same address with credentials in it. They are not checked.
    pub fn url_with_credentials(&self) -> String {
        format!("http://user:secret@{}/simple", self.address)
    }

    /// `METHOD PATH RANGE` of every request so far.
    pub fn log(&self) -> Vec<String> {
        self.served.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests for a path with this part there were.
    pub fn requests(&self, part: &str) -> usize {
        self.log().iter().filter(|line| line.contains(part)).count()
    }
}

impl Drop for TestIndex {
    fn drop(&mut self) {
        self.served.stopping.store(true, Ordering::SeqCst);
        // One more connection wakes the thread that waits for one.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Served {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut range = None;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
                range = Some(value.trim().to_owned());
            }
        }
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{method} {path} {}", range.as_deref().unwrap_or("-")));
        let head_only = method == "HEAD";
        if let Some(package) = path.strip_prefix("/simple/") {
            return self.page(&mut stream, package.trim_end_matches('/'));
        }
        match path.strip_prefix("/files/").and_then(|name| {
            let wheel = name.strip_suffix(".metadata");
            self.files.get(wheel.unwrap_or(name)).map(|file| (file, wheel.is_some()))
        }) {
            Some((file, true)) => match &file.metadata {
                Some(text) if self.metadata => {
                    respond(&mut stream, 200, "text/plain", &[], text.as_bytes(), None)
                }
                _ => respond(&mut stream, 404, "text/plain", &[], b"", None),
            },
            Some((file, false)) => file.answer(&mut stream, range.as_deref(), head_only),
            None => respond(&mut stream, 404, "text/plain", &[], b"", None),
        }
    }

    /// The page of a package (PEP 691).
    fn page(&self, stream: &mut TcpStream, package: &str) -> io::Result<()> {
        let files: Vec<_> = self
            .files
            .iter()
            .filter(|(_, file)| file.package == package)
            .map(|(name, file)| file.listing(name, self.metadata))
            .collect();
        if files.is_empty() {
            return respond(stream, 404, "text/plain", &[], b"", None);
        }
        let page = serde_json::json!({ "meta": { "api-version": "1.0" }, "name": package, "files": files });
        respond(stream, 200, "application/vnd.pypi.simple.v1+json", &[], page.to_string().as_bytes(), None)
    }
}

impl ServedFile {
    fn listing(&self, name: &str, metadata: bool) -> serde_json::Value {
        let listed = if self.faults.contains(&Fault::WrongHash) {
            Sha256::of(b"another file")
        } else {
            Sha256::of(&self.bytes)
        };
        let hashes = if self.faults.contains(&Fault::NoHash) {
            serde_json::json!({})
        } else {
            serde_json::json!({ "sha256": listed })
        };
        let size = self.bytes.len() - usize::from(self.faults.contains(&Fault::ShortSize));
        serde_json::json!({
            "filename": name,
            "url": format!("/files/{name}"),
            "hashes": hashes,
            "size": size,
            "requires-python": self.requires_python,
            "core-metadata": metadata && self.metadata.is_some(),
        })
    }

    fn answer(&self, stream: &mut TcpStream, range: Option<&str>, head_only: bool) -> io::Result<()> {
        let kind = "application/octet-stream";
        let ranges = !self.faults.contains(&Fault::NoRanges);
        let accept: &[&str] = if ranges { &["Accept-Ranges: bytes"] } else { &[] };
        if head_only {
            return respond(stream, 200, kind, accept, &[], Some(self.bytes.len()));
        }
        // Looking into a wheel for its metadata asks for a part; only downloads count for faults.
        let is_download = range.is_none_or(|range| range.ends_with('-') && !range.starts_with('-'));
        let number = if is_download { self.answers.fetch_add(1, Ordering::SeqCst) } else { usize::MAX };
        for fault in &self.faults {
            match *fault {
                Fault::ServerError { answers } if number < answers => {
                    return respond(stream, 500, kind, &[], b"", None);
                }
                Fault::Truncated { answers, after } if number < answers => {
                    let (start, _) = bounds(range.filter(|_| ranges), self.bytes.len());
                    let rest = &self.bytes[start..];
                    let cut = &rest[..after.min(rest.len())];
                    let content_range =
                        format!("Content-Range: bytes {start}-{}/{}", self.bytes.len() - 1, self.bytes.len());
                    let (status, headers): (u16, Vec<&str>) =
                        if start > 0 { (206, vec![&content_range]) } else { (200, vec![]) };
                    respond(stream, status, kind, &headers, cut, Some(rest.len()))?;
                    return stream.shutdown(Shutdown::Both);
                }
                _ => {}
            }
        }
        match range.filter(|_| ranges) {
            None => respond(stream, 200, kind, accept, &self.bytes, None),
            Some(range) => {
                let (start, end) = bounds(Some(range), self.bytes.len());
                if start >= self.bytes.len() {
                    return respond(stream, 416, kind, &[], b"", None);
                }
                let content_range = format!("Content-Range: bytes {start}-{}/{}", end - 1, self.bytes.len());
                respond(stream, 206, kind, &[content_range.as_str()], &self.bytes[start..end], None)
            }
        }
    }
}

/// Start and end of `a-b`, `a-` or `-n`.
fn bounds(range: Option<&str>, length: usize) -> (usize, usize) {
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return (0, length) };
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(start), Ok(last)) => (start, length.min(last + 1)),
        (Ok(start), Err(_)) => (start, length),
        (Err(_), Ok(count)) => (length.saturating_sub(count), length),
        (Err(_), Err(_)) => (0, length),
    }
}

fn respond(
    stream: &mut TcpStream,
    status: u16,
    kind: &str,
    headers: &[&str],
    body: &[u8],
    claimed: Option<usize>,
) -> io::Result<()> {
    let length = claimed.unwrap_or(body.len());
    let mut head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n"
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}
