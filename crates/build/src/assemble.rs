//! Writing a plan to a zip: the wheels' entries as they are, still compressed, under new names.
//!
//! Owns the way from [`LayerPlan`] and [`WheelSet`] to a file. Decides nothing: the plan says what
//! goes in, in which order and with which mode.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
    sync::mpsc,
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    Hint,
    hash::Sha256,
    plan::LayerPlan,
    zip::{EntryHeader, ZipWriter},
};

use crate::fetch::WheelSet;

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
    #[error("the plan does not belong to these wheels: there is no entry {entry} in wheel {wheel}")]
    OtherWheels {
        /// Number of the wheel.
        wheel: usize,
        /// Number of the entry.
        entry: usize,
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
pub fn assemble(plan: &LayerPlan, wheels: &WheelSet, path: &Utf8Path) -> Result<LayerZip, AssembleError> {
    let sources = open_wheels(wheels)?;
    write_beside(path, |sink| {
        let mut zip = ZipWriter::new(sink);
        let mut buffer = Vec::new();
        for file in &plan.files {
            let (Some(source), Some(entry)) = (
                sources.get(file.wheel),
                wheels.contents.get(file.wheel).and_then(|wheel| wheel.archive.entries.get(file.entry)),
            ) else {
                return Err(AssembleError::OtherWheels { wheel: file.wheel, entry: file.entry });
            };
            if buffer.len() < entry.data.len() {
                // Made anew, not resized: new zeroed memory costs nothing.
                buffer = vec![0; entry.data.len().next_power_of_two()];
            }
            let data = &mut buffer[..entry.data.len()];
            source.read_exact_at(data, entry.data.start as u64).map_err(|source| AssembleError::Wheel {
                path: wheels.files[file.wheel].path.clone(),
                source,
            })?;
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

fn open_wheels(wheels: &WheelSet) -> Result<Vec<File>, AssembleError> {
    wheels
        .files
        .iter()
        .map(|wheel| {
            File::open(&wheel.path)
                .map_err(|source| AssembleError::Wheel { path: wheel.path.clone(), source })
        })
        .collect()
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
    let file = beside.as_file();
    let (sizes, sha256) = std::thread::scope(|scope| {
        let hash = scope.spawn(move || {
            let mut hasher = Sha256::hasher();
            for block in hashing {
                hasher.update(&block);
            }
            hasher.finish()
        });
        let mut sink = BlockWriter { file, block: Vec::with_capacity(BLOCK_BYTES), blocks };
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
}

impl Write for BlockWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.file.write_all(&block)?;
        self.blocks.send(block).map_err(|_| io::Error::other("hashing stopped"))
    }
}
