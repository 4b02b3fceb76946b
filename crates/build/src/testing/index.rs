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

use super::{SourceBuilder, WheelBuilder};

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
    /// The index lists a SHA-512 and nothing else.
    OnlySha512,
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
    texts: BTreeMap<String, String>,
    /// `Authorization` that every request must have.
    authorization: Option<String>,
    stopping: AtomicBool,
    log: Mutex<Vec<String>>,
}

struct ServedFile {
    package: String,
    bytes: Vec<u8>,
    metadata: Option<String>,
    requires_python: Option<String>,
    uploaded: Option<String>,
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
            uploaded: None,
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
            uploaded: None,
            faults: Vec::new(),
            answers: AtomicUsize::new(0),
        };
        self.served.files.insert(format!("{package}-{version}.tar.gz"), file);
        self
    }

    /// Serves a source distribution that can be built.
    #[must_use]
    pub fn buildable(mut self, source: &SourceBuilder) -> Self {
        let file = ServedFile {
            package: source.name(),
            bytes: source.bytes(),
            metadata: None,
            requires_python: None,
            uploaded: None,
            faults: Vec::new(),
            answers: AtomicUsize::new(0),
        };
        self.served.files.insert(source.filename(), file);
        self
    }

    /// Serves a wheel, and lists when it was published (PEP 700).
    #[must_use]
    pub fn published(mut self, wheel: &WheelBuilder, time: &str) -> Self {
        self = self.wheel(wheel);
        if let Some(file) = self.served.files.get_mut(&wheel.filename()) {
            file.uploaded = Some(time.to_owned());
        }
        self
    }

    /// Serves a text under `/text/NAME`.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.served.texts.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Answers 401 to requests without this user's password.
    #[must_use]
    pub fn for_user(mut self, user: &str, password: &str) -> Self {
        self.served.authorization = Some(format!("basic {}", base64(&format!("{user}:{password}"))));
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

    /// The same address with credentials in it. They are checked after
    /// [`TestIndexBuilder::for_user`] only.
    pub fn url_with_credentials(&self) -> String {
        format!("http://user:secret@{}/simple", self.address)
    }

    /// Another address on it: `/files/NAME`, `/text/NAME`, and two pages with a link to every file
    /// as `--find-links` takes them: `/links/` with hashes, `/bare-links/` without.
    pub fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
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
        let (mut range, mut authorization) = (None, None);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
                range = Some(value.trim().to_owned());
            }
            if header.to_ascii_lowercase().starts_with("authorization: ") {
                let value = header["authorization: ".len()..].trim();
                // The scheme's name has no case, the rest has.
                authorization = value
                    .split_once(' ')
                    .map(|(scheme, rest)| format!("{} {rest}", scheme.to_ascii_lowercase()));
            }
        }
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{method} {path} {}", range.as_deref().unwrap_or("-")));
        let head_only = method == "HEAD";
        if self.authorization.is_some() && authorization != self.authorization {
            let challenge = "WWW-Authenticate: Basic realm=\"index\"";
            return respond(&mut stream, 401, "text/plain", &[challenge], b"", None);
        }
        if let Some(text) = path.strip_prefix("/text/").and_then(|name| self.texts.get(name)) {
            return respond(&mut stream, 200, "text/plain", &[], text.as_bytes(), None);
        }
        if path == "/links/" || path == "/bare-links/" {
            let page = self.links(path == "/links/");
            return respond(&mut stream, 200, "text/html", &[], page.as_bytes(), None);
        }
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

    /// A page with a link to every file.
    fn links(&self, with_hashes: bool) -> String {
        let mut page = "<!DOCTYPE html><html><body>".to_owned();
        for (name, file) in &self.files {
            let hash =
                if with_hashes { format!("#sha256={}", Sha256::of(&file.bytes)) } else { String::new() };
            page.push_str(&format!("<a href=\"/files/{name}{hash}\">{name}</a>\n"));
        }
        page + "</body></html>"
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
        } else if self.faults.contains(&Fault::OnlySha512) {
            let mut digester = crate::resolve::Digester::new();
            digester.update(&self.bytes);
            let sha512 = digester.finish().1[2].to_string();
            serde_json::json!({ "sha512": sha512.trim_start_matches("sha512:") })
        } else {
            serde_json::json!({ "sha256": listed })
        };
        let size = self.bytes.len() - usize::from(self.faults.contains(&Fault::ShortSize));
        let mut listing = serde_json::json!({
            "filename": name,
            "url": format!("/files/{name}"),
            "hashes": hashes,
            "size": size,
            "requires-python": self.requires_python,
            "core-metadata": metadata && self.metadata.is_some(),
        });
        if let Some(time) = &self.uploaded {
            listing["upload-time"] = time.clone().into();
        }
        listing
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

/// Base64 with padding (RFC 4648), which basic authentication uses.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            encoded.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    encoded
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
