//! Takes the zip out of a JSON request while it arrives.
//!
//! A publish request is one JSON object with up to 52 MB of zip in it, as base64. This reads the
//! body in pieces: base64 of `ZipFile` goes, decoded, into a new blob of the store, and the rest,
//! which is small, is kept as JSON text with an empty string in the zip's place. It checks no more
//! JSON than it must to find its way; the small text is parsed as usual afterwards.

use std::sync::Arc;

use crate::store::{BlobWriter, Store, StoreError};

/// Why a body was not taken.
#[derive(Debug)]
pub(crate) enum SpoolError {
    /// The zip's text is not base64.
    NotBase64,
    /// What is left besides the zip is larger than any request needs.
    TooLarge,
    /// The store failed.
    Store(StoreError),
}

/// The most that a request may have besides its zip. Function configurations are far smaller.
const REST_BYTES: usize = 6 << 20;

/// Where a zip may stand: at the top (`UpdateFunctionCode`) or in one of these.
const PARENTS: [&str; 2] = ["Code", "Content"];

/// A request on its way in.
pub(crate) struct Spool {
    store: Arc<Store>,
    rest: Vec<u8>,
    zip: Option<Zip>,
    /// The keys of the objects around the current place; `None` for a list.
    path: Vec<Option<String>>,
    place: Place,
    /// The text of the string that is being read, when it may be a key.
    text: Vec<u8>,
    /// The last key of the innermost object.
    key: String,
    /// Whether the next string of the innermost object is a value.
    value_next: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Between,
    Text { escaped: bool },
    Zip { escaped: bool },
}

struct Zip {
    writer: BlobWriter,
    /// Base64 not yet decoded.
    pending: Vec<u8>,
}

impl Spool {
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        Self {
            store: Arc::clone(store),
            rest: Vec::new(),
            zip: None,
            path: Vec::new(),
            place: Place::Between,
            text: Vec::new(),
            key: String::new(),
            value_next: false,
        }
    }

    /// Takes the next piece of the body.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), SpoolError> {
        while let Some(&byte) = bytes.first() {
            match self.place {
                Place::Between => {
                    self.rest.push(byte);
                    self.between(byte)?;
                    bytes = &bytes[1..];
                }
                Place::Text { escaped } => {
                    self.rest.push(byte);
                    bytes = &bytes[1..];
                    match (escaped, byte) {
                        (false, b'"') => self.end_of_text(),
                        (false, b'\\') => self.place = Place::Text { escaped: true },
                        _ => {
                            self.text.push(byte);
                            self.place = Place::Text { escaped: false };
                        }
                    }
                }
                Place::Zip { escaped: true } => {
                    // The only escape that writers of base64 use is `\/`.
                    if byte != b'/' {
                        return Err(SpoolError::NotBase64);
                    }
                    self.decode(b"/")?;
                    self.place = Place::Zip { escaped: false };
                    bytes = &bytes[1..];
                }
                Place::Zip { escaped: false } => {
                    let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                    self.decode(&bytes[..end])?;
                    bytes = &bytes[end..];
                    match bytes.first() {
                        Some(b'"') => {
                            self.rest.push(b'"');
                            self.end_of_zip()?;
                            bytes = &bytes[1..];
                        }
                        Some(_) => {
                            self.place = Place::Zip { escaped: true };
                            bytes = &bytes[1..];
                        }
                        None => {}
                    }
                }
            }
            if self.rest.len() > REST_BYTES {
                return Err(SpoolError::TooLarge);
            }
        }
        Ok(())
    }

    /// The JSON text without the zip, and the zip.
    pub(crate) fn finish(self) -> (Vec<u8>, Option<BlobWriter>) {
        (self.rest, self.zip.map(|zip| zip.writer))
    }

    fn between(&mut self, byte: u8) -> Result<(), SpoolError> {
        match byte {
            b'{' => {
                self.path.push(Some(std::mem::take(&mut self.key)));
                self.value_next = false;
            }
            b'[' => self.path.push(None),
            b'}' | b']' => {
                self.path.pop();
                self.value_next = false;
            }
            b':' => self.value_next = true,
            b',' => self.value_next = false,
            b'"' => {
                self.text.clear();
                self.place = Place::Text { escaped: false };
                if self.zip_comes() {
                    self.zip = Some(Zip {
                        writer: self.store.new_blob().map_err(SpoolError::Store)?,
                        pending: Vec::new(),
                    });
                    self.place = Place::Zip { escaped: false };
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of_text(&mut self) {
        self.place = Place::Between;
        if !self.value_next {
            self.key = String::from_utf8_lossy(&self.text).into_owned();
        }
    }

    fn zip_comes(&self) -> bool {
        self.value_next
            && self.key == "ZipFile"
            && match self.path.as_slice() {
                [Some(_)] => true,
                [Some(_), Some(parent)] => PARENTS.contains(&parent.as_str()),
                _ => false,
            }
    }

    fn decode(&mut self, text: &[u8]) -> Result<(), SpoolError> {
        let Some(zip) = &mut self.zip else {
            return Ok(());
        };
        zip.pending.extend_from_slice(text);
        // The last group waits: it may have padding, which must be the end.
        let ready = zip.pending.len().saturating_sub(1) / 4 * 4;
        if zip.pending[..ready].last() == Some(&b'=') {
            return Err(SpoolError::NotBase64);
        }
        let decoded = base64_simd::STANDARD
            .decode_inplace(&mut zip.pending[..ready])
            .map_err(|_| SpoolError::NotBase64)?;
        zip.writer.write(decoded).map_err(SpoolError::Store)?;
        zip.pending.drain(..ready);
        Ok(())
    }

    fn end_of_zip(&mut self) -> Result<(), SpoolError> {
        if let Some(zip) = &mut self.zip {
            let decoded =
                base64_simd::STANDARD.decode_inplace(&mut zip.pending).map_err(|_| SpoolError::NotBase64)?;
            zip.writer.write(decoded).map_err(SpoolError::Store)?;
        }
        self.place = Place::Between;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the body in pieces of every size; all must give the same.
    fn check(body: &str) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = camino::Utf8PathBuf::try_from(folder.path().to_owned()).expect("UTF-8");
        let store = Store::open(&root).expect("a new store");
        let mut all = Vec::new();
        for size in [1, 2, 3, 5, 7, 1000] {
            let mut spool = Spool::new(&store);
            let outcome = body.as_bytes().chunks(size).try_for_each(|piece| spool.write(piece));
            all.push(match outcome {
                Err(error) => format!("{error:?}"),
                Ok(()) => {
                    let (rest, zip) = spool.finish();
                    let zip = zip.map(|zip| {
                        let blob = zip.finish().expect("a blob");
                        String::from_utf8_lossy(&blob.bytes().expect("its bytes")).into_owned()
                    });
                    format!("{} {zip:?}", String::from_utf8_lossy(&rest))
                }
            });
        }
        all.dedup();
        all.join("\n")
    }

    #[test]
    fn the_zip_is_taken_out_and_nothing_else() {
        insta::assert_snapshot!(check(r#"{"ZipFile":"aGVsbG8="}"#), @r#"{"ZipFile":""} Some("hello")"#);
        insta::assert_snapshot!(
            check(r#"{"Description":"\"ZipFile\":\"x","Code":{"S":1,"ZipFile" : "Pz8\/"},"Environment":{"Variables":{"ZipFile":"kept"}}}"#),
            @r#"{"Description":"\"ZipFile\":\"x","Code":{"S":1,"ZipFile" : ""},"Environment":{"Variables":{"ZipFile":"kept"}}} Some("???")"#
        );
        insta::assert_snapshot!(check(r#"{"Layers":["ZipFile","b"],"Content":{"ZipFile":""}}"#), @r#"{"Layers":["ZipFile","b"],"Content":{"ZipFile":""}} Some("")"#);
        // Not base64; without its padding; with bits that mean nothing; with something behind its end.
        for text in ["????", "aGVsbG8", "aGVsbG9=", "aGVsbG8=aGVs", "aGVs bG8=", "aGVs\\n"] {
            assert_eq!(check(&format!(r#"{{"Code":{{"ZipFile":"{text}"}}}}"#)), "NotBase64", "{text}");
        }
    }
}
