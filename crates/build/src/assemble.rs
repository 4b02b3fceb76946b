//! Writing a plan to a zip: the wheels' entries and what was derived from them as they are, still
//! compressed, under new names.
//!
//! Owns the way from [`LayerPlan`], [`WheelSet`] and [`DerivedSet`] to a file. Decides nothing: the plan says what
//! goes in, in which order and with which mode.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
    sync::mpsc,
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    Hint,
    derived::Derivation,
    hash::Sha256,
    plan::{LayerPlan, PlannedFile, Source},
    zip::{Entry, EntryHeader, ZipWriter},
};

use crate::{derive::DerivedSet, fetch::WheelSet};

/// Bytes that are handed to the hashing thread and to the disk at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks under way; bounds memory.
const BLOCKS: usize = 8;

/// A zip on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerZip {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Sum of the sizes of its files in bytes, as Lambda counts.
    pub unzipped: u64,
    /// Its hash.
    pub sha256: Sha256,
}

/// Why a zip could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A wheel of the set is gone or shorter than it was.
    #[error("cannot read wheel `{path}`")]
    Wheel {
        /// The wheel.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the app cannot be read.
    #[error("cannot read `{path}`")]
    Code {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The zip cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The zip.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The plan speaks of other wheels than the set has.
    #[error("the plan does not belong to these wheels: wheel {wheel} has nothing for `{path}`")]
    OtherWheels {
        /// Number of the wheel.
        wheel: usize,
        /// The planned file.
        path: String,
    },
}

impl Hint for AssembleError {
    fn hint(&self) -> Option<String> {
        use io::ErrorKind;
        match self {
            Self::Wheel { .. } => Some("the cache changed meanwhile: run it again".to_owned()),
            Self::Code { .. } => Some("make it readable, or move it out of the app's folder".to_owned()),
            Self::Write { source, .. } => Some(match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "the disk is full: free some space".to_owned()
                }
                ErrorKind::InvalidInput => {
                    "the layer is far above Lambda's limits: leave packages out".to_owned()
                }
                _ => "make the folder writable, or write somewhere else".to_owned(),
            }),
            Self::OtherWheels { .. } => None,
        }
    }

    fn is_bug(&self) -> bool {
        matches!(self, Self::OtherWheels { .. })
    }
}

/// Writes the planned layer to `path`, all or nothing.
///
/// The same plan and wheels give the same bytes.
///
/// # Errors
/// [`AssembleError`]; nothing is left at `path` that was not there before.
pub fn assemble(
    plan: &LayerPlan,
    wheels: &WheelSet,
    derived: &DerivedSet,
    path: &Utf8Path,
) -> Result<LayerZip, AssembleError> {
    let mut sources = Sources { wheels, derived, open: BTreeMap::new(), buffer: Vec::new() };
    write_beside(path, |sink| {
        let mut zip = ZipWriter::new(sink);
        for file in &plan.files {
            if let Source::Text(text) = &file.source {
                zip.file_from_bytes(&file.path, file.mode, text.as_bytes()).map_err(cannot_write(path))?;
                continue;
            }
            let (entry, data) = sources.read(file)?;
            let header = EntryHeader {
                path: &file.path,
                method: entry.method,
                crc32: entry.crc32,
                size: entry.size,
                packed_size: entry.data.len() as u64,
                mode: file.mode,
            };
            zip.file(&header, data).map_err(cannot_write(path))?;
        }
        let (_, size) = zip.finish().map_err(cannot_write(path))?;
        Ok((size, plan.unzipped_size()))
    })
}

/// The files that a layer is made of, each opened when it is first needed.
struct Sources<'a> {
    wheels: &'a WheelSet,
    derived: &'a DerivedSet,
    open: BTreeMap<(usize, Option<Derivation>), (Utf8PathBuf, File)>,
    buffer: Vec<u8>,
}

impl<'a> Sources<'a> {
    /// A planned file's entry and its data, still packed.
    fn read(&mut self, file: &PlannedFile) -> Result<(&'a Entry, &[u8]), AssembleError> {
        let other = || AssembleError::OtherWheels { wheel: file.wheel, path: file.path.clone() };
        let (derivation, entry) = match &file.source {
            Source::Wheel(number) => {
                let contents = self.wheels.contents.get(file.wheel);
                (None, contents.and_then(|wheel| wheel.archive.entries.get(*number)))
            }
            Source::Derived(derivation, number) => {
                let archive = self.derived.files.get(file.wheel).and_then(|files| files.archive(*derivation));
                (Some(*derivation), archive.and_then(|archive| archive.entries.get(*number)))
            }
            Source::Text(_) => (None, None),
        };
        let entry = entry.ok_or_else(other)?;
        let place = (file.wheel, derivation);
        if !self.open.contains_key(&place) {
            let path = match derivation {
                None => self.wheels.files.get(file.wheel).map(|wheel| wheel.path.clone()),
                Some(derivation) => self.derived.pack(file.wheel, derivation),
            };
            let path = path.ok_or_else(other)?;
            let opened =
                File::open(&path).map_err(|source| AssembleError::Wheel { path: path.clone(), source })?;
            self.open.insert(place, (path, opened));
        }
        let (path, opened) = self.open.get(&place).ok_or_else(other)?;
        if self.buffer.len() < entry.data.len() {
            // Made anew, not resized: new zeroed memory costs nothing.
            self.buffer = vec![0; entry.data.len().next_power_of_two()];
        }
        let data = &mut self.buffer[..entry.data.len()];
        opened
            .read_exact_at(data, entry.data.start as u64)
            .map_err(|source| AssembleError::Wheel { path: path.clone(), source })?;
        Ok((entry, data))
    }
}

fn cannot_write(path: &Utf8Path) -> impl Fn(io::Error) -> AssembleError + use<> {
    let path = path.to_owned();
    move |source| AssembleError::Write { path: path.clone(), source }
}

/// Lets `fill` write a zip beside `path`, hashes it on another thread, and moves it to `path` when
/// all went well. `fill` answers the size of the zip and the sum of its files' sizes.
pub(crate) fn write_beside(
    path: &Utf8Path,
    fill: impl FnOnce(&mut BlockWriter) -> Result<(u64, u64), AssembleError>,
) -> Result<LayerZip, AssembleError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_str().is_empty() => folder,
        _ => Utf8Path::new("."),
    };
    fs_err::create_dir_all(folder).map_err(cannot_write(path))?;
    let beside = tempfile::Builder::new()
        .prefix(".layercake-")
        .suffix(".zip.new")
        // Readable as any file the user makes, where a temporary file would be private.
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        // Without the name of the temporary file, which means nothing to anybody.
        .map_err(|error| cannot_write(path)(error.kind().into()))?;
    let (blocks, hashing) = mpsc::sync_channel::<Vec<u8>>(BLOCKS);
    // Blocks come back to be filled again: new memory costs more than the bytes in it.
    let (hashed, empty) = mpsc::channel::<Vec<u8>>();
    let file = beside.as_file();
    let (sizes, sha256) = std::thread::scope(|scope| {
        let hash = scope.spawn(move || {
            let mut hasher = Sha256::hasher();
            for block in hashing {
                hasher.update(&block);
                // Nobody waits for it any more when the last block is written.
                let _ = hashed.send(block);
            }
            hasher.finish()
        });
        let mut sink = BlockWriter { file, block: Vec::with_capacity(BLOCK_BYTES), blocks, empty };
        let sizes = fill(&mut sink).and_then(|sizes| {
            sink.flush().map_err(cannot_write(path))?;
            Ok(sizes)
        });
        drop(sink);
        let hash = hash.join().map_err(|_| cannot_write(path)(io::Error::other("hashing failed")));
        sizes.and_then(|sizes| Ok((sizes, hash?)))
    })?;
    beside.persist(path).map_err(|error| cannot_write(path)(error.error))?;
    let (size, unzipped) = sizes;
    Ok(LayerZip { path: path.to_owned(), size, unzipped, sha256 })
}

/// Collects bytes to blocks, which go to the file and then to the hashing thread.
pub(crate) struct BlockWriter<'a> {
    file: &'a File,
    block: Vec<u8>,
    blocks: mpsc::SyncSender<Vec<u8>>,
    empty: mpsc::Receiver<Vec<u8>>,
}

impl Write for BlockWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES - self.block.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.block.extend_from_slice(taken);
        if self.block.len() == BLOCK_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK_BYTES));
        next.clear();
        let block = std::mem::replace(&mut self.block, next);
        self.file.write_all(&block)?;
        self.blocks.send(block).map_err(|_| io::Error::other("hashing stopped"))
    }
}
