//! What is made from a wheel once and kept: stripped libraries, bytecode, harder packed data.
//!
//! ```text
//! derived/ab/abcdef…/lock                     held while one process derives from this wheel
//!                   /stripped-6.json          which entries there are, and in which pack
//!                   /bytecode-6-….json
//!                   /RANDOM.pack              their data, one after the other, never written again
//! ```
//!
//! Owns this layout and the work. Never decides what is to be derived (the plan says it), and keeps
//! the wheel's own file on any doubt.

mod compiler;
mod store;
mod work;

use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    Hint,
    derived::{Derivation, DerivedArchive, DerivedFiles},
    plan::Needed,
    zip::Packing,
};

pub use compiler::Compiler;

use crate::fetch::WheelSet;

/// What was derived from each wheel of a set, in its order.
#[derive(Debug, Default)]
pub struct DerivedSet {
    /// What the planner needs.
    pub files: Vec<DerivedFiles>,
    /// The folder of each wheel's derived files.
    folders: Vec<Utf8PathBuf>,
    /// How many files were made now; the others were in the cache.
    pub made: usize,
}

impl DerivedSet {
    /// Where the data of one derivation of one wheel lies.
    pub(crate) fn pack(&self, wheel: usize, derivation: Derivation) -> Option<Utf8PathBuf> {
        let archive = self.files.get(wheel)?.archive(derivation)?;
        Some(self.folders.get(wheel)?.join(&archive.pack))
    }

    /// The sets one after the other, as [`layercake_core::plan::LayerPlan::joined`] numbers wheels.
    pub fn join(&mut self, other: Self) {
        self.files.extend(other.files);
        self.folders.extend(other.folders);
        self.made += other.made;
    }
}

/// How files are made.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// What compiles modules; without it none is.
    pub compiler: Option<&'a Compiler>,
    /// How hard everything is packed.
    pub packing: Packing,
}

/// Hears how the work goes, from several threads at once.
pub trait Progress: Sync {
    /// There is so much to do, in bytes that go in.
    fn begun(&self, bytes: u64);
    /// So many bytes more are done.
    fn advanced(&self, bytes: u64);
}

/// Why files could not be derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The cache cannot be read or written.
    #[error("cannot use the cache at `{path}`")]
    Cache {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The wheel's entry does not unpack.
    #[error("`{entry}` of the wheel `{path}` cannot be unpacked")]
    Wheel {
        /// The wheel.
        path: Utf8PathBuf,
        /// The entry.
        entry: String,
        /// What is wrong.
        source: layercake_core::zip::ZipError,
    },
    /// The interpreter cannot be started, or ended before its time.
    #[error("the Python at `{executable}` does not compile: {reason}")]
    Compiler {
        /// The interpreter.
        executable: Utf8PathBuf,
        /// What happened.
        reason: String,
    },
}

impl Hint for DeriveError {
    fn hint(&self) -> Option<String> {
        use std::io::ErrorKind;
        Some(match self {
            Self::Cache { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "the disk is full: free some space, or choose another folder with --cache-dir".to_owned()
                }
                _ => "make it readable and writable, or choose another folder with --cache-dir".to_owned(),
            },
            Self::Wheel { .. } => {
                "the cache is damaged: run `layercake cache clean` and try again".to_owned()
            }
            Self::Compiler { .. } => {
                "name another one with --python, or build without bytecode: --bytecode none".to_owned()
            }
        })
    }
}

/// Sees to it that everything that is needed of each wheel is in the cache.
///
/// Blocks and uses all cores. Several processes may do this at once with one cache. The result does
/// not depend on what the cache held before.
///
/// # Errors
/// [`DeriveError`] of the first thing that went wrong.
pub fn derive(
    cache: &Utf8Path,
    wheels: &WheelSet,
    needed: &[Needed],
    how: How<'_>,
    progress: &dyn Progress,
) -> Result<DerivedSet, DeriveError> {
    let mut set = DerivedSet::default();
    let mut open = Vec::new();
    let mut tasks = Vec::new();
    for (number, (wheel, needed)) in wheels.files.iter().zip(needed).enumerate() {
        let folder = store::folder(cache, &wheel.sha256);
        let mut files = DerivedFiles::default();
        for (derivation, name, paths) in recipes(needed, how) {
            let known = store::read(&folder, &name);
            let is_complete = |known: &DerivedArchive| paths.iter().all(|path| known.knows(path));
            if let Some(known) = known.filter(is_complete) {
                files.set(derivation, known);
                continue;
            }
            let growing = store::Growing::begin(&folder, &name)?;
            if paths.iter().all(|path| growing.knows(path)) {
                files.set(derivation, growing.unchanged());
                continue;
            }
            for entry in &wheels.contents[number].archive.entries {
                if paths.contains(&entry.path) && !growing.knows(&entry.path) {
                    let archive = open.len();
                    tasks.push(work::Task { derivation, wheel: number, entry, archive });
                }
            }
            open.push((number, derivation, Mutex::new(growing)));
        }
        set.files.push(files);
        set.folders.push(folder);
    }
    set.made = tasks.len();
    work::run(wheels, needed, &open, tasks, how, progress)?;
    for (number, derivation, growing) in open {
        let growing = growing.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        set.files[number].set(derivation, growing.keep()?);
    }
    Ok(set)
}

/// The derivations that are needed, each with the name of its index and the entries.
fn recipes<'a>(
    needed: &'a Needed,
    how: How<'_>,
) -> impl Iterator<Item = (Derivation, String, &'a std::collections::BTreeSet<String>)> + use<'a> {
    let level = match how.packing {
        Packing::Normal => 6,
        Packing::Hard => 12,
    };
    let bytecode = how.compiler.map(|compiler| {
        let docstrings = if needed.without_docstrings { "-without-docstrings" } else { "" };
        let name = format!("bytecode-{level}-{}{docstrings}", compiler.identity());
        (Derivation::Bytecode, name, &needed.compile)
    });
    [
        Some((Derivation::Stripped, format!("stripped-{level}-{}", work::STRIP_FORMAT), &needed.strip)),
        bytecode,
        Some((Derivation::Repacked, format!("repacked-{level}"), &needed.repack)),
    ]
    .into_iter()
    .flatten()
    .filter(|(_, _, paths)| !paths.is_empty())
}
