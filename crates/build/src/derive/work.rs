//! The work itself, on all cores: read an entry, make the file, pack it.
//!
//! Owns the order of the work and how much memory it takes: large entries go one at a time. Never
//! fails because of what an entry holds; such an entry stays as the wheel has it.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use layercake_core::{
    derived::Derivation,
    elf,
    plan::Needed,
    wheel::{Destination, destination},
    zip::{Entry, Method, deflate_as, inflate},
};

use super::{DeriveError, How, Progress, compiler::Running, store::Growing};
use crate::fetch::WheelSet;

/// Raised when the stripper gives other bytes than before.
pub(super) const STRIP_FORMAT: u32 = 1;

/// Entries above this size, in bytes, are unpacked one at a time: a layer's largest library alone
/// can take half of the memory that a build may have.
const LARGE_BYTES: u64 = 8 << 20;

/// One file to make.
pub(super) struct Task<'a> {
    pub(super) derivation: Derivation,
    pub(super) wheel: usize,
    pub(super) entry: &'a Entry,
    /// Which archive it goes to.
    pub(super) archive: usize,
}

/// An archive for each derivation of each wheel that has something to do.
pub(super) type Archives = [(usize, Derivation, Mutex<Growing>)];

/// Does all the tasks.
pub(super) fn run(
    wheels: &WheelSet,
    needed: &[Needed],
    archives: &Archives,
    tasks: Vec<Task<'_>>,
    how: How<'_>,
    progress: &dyn Progress,
) -> Result<(), DeriveError> {
    if tasks.is_empty() {
        return Ok(());
    }
    progress.begun(tasks.iter().map(|task| task.entry.size).sum());
    // Taken from the end: the largest first, so that no core is left with one at last; and modules
    // before libraries, so that it is modules that are compiled while a large library is unpacked.
    let (mut large, mut tasks): (Vec<_>, Vec<_>) =
        tasks.into_iter().partition(|task| task.entry.size > LARGE_BYTES);
    large.sort_by_key(|task| task.entry.size);
    tasks.sort_by_key(|task| (task.derivation == Derivation::Bytecode, task.entry.size));
    let workshop = Workshop {
        wheels,
        needed,
        archives,
        how,
        progress,
        small: Mutex::new(tasks),
        large: Mutex::new(large),
        one_large: Mutex::new(()),
        stopped: AtomicBool::new(false),
    };
    // One more than cores, since a thread waits while its interpreter works.
    let workers = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|number| {
                let workshop = &workshop;
                scope.spawn(move || workshop.worker(number == 0))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

struct Workshop<'a> {
    wheels: &'a WheelSet,
    needed: &'a [Needed],
    archives: &'a Archives,
    how: How<'a>,
    progress: &'a dyn Progress,
    small: Mutex<Vec<Task<'a>>>,
    large: Mutex<Vec<Task<'a>>>,
    one_large: Mutex<()>,
    stopped: AtomicBool,
}

impl<'a> Workshop<'a> {
    /// Works until nothing is left. One worker takes the large entries first, the others come to
    /// them last.
    fn worker(&self, large_first: bool) -> Result<(), DeriveError> {
        let mut python = None;
        let queues = if large_first { [&self.large, &self.small] } else { [&self.small, &self.large] };
        for queue in queues {
            while let Some(task) = locked(queue).pop() {
                if self.stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let turn = (task.entry.size > LARGE_BYTES).then(|| locked(&self.one_large));
                let done = self.make(&task, &mut python);
                drop(turn);
                if done.is_err() {
                    self.stopped.store(true, Ordering::Relaxed);
                    return done;
                }
                self.progress.advanced(task.entry.size);
            }
        }
        Ok(())
    }

    fn make(&self, task: &Task<'_>, python: &mut Option<Running<'a>>) -> Result<(), DeriveError> {
        let bytes = self.unpacked(task)?;
        let made = match task.derivation {
            Derivation::Stripped => match elf::strip(bytes) {
                Ok(elf::Stripped::Smaller(bytes)) => Ok(bytes),
                Ok(elf::Stripped::NothingToGain) => Err("there is nothing to strip".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Derivation::Bytecode => self.compile(task, &bytes, python)?,
            Derivation::Repacked => Ok(bytes),
        };
        let growing = |number: usize| locked(&self.archives[number].2);
        let bytes = match made {
            Ok(bytes) => bytes,
            Err(why) => {
                growing(task.archive).leave_alone(&task.entry.path, why);
                return Ok(());
            }
        };
        let (method, packed) = deflate_as(&bytes, self.how.packing);
        if task.derivation == Derivation::Repacked && packed.len() >= task.entry.data.len() {
            growing(task.archive).leave_alone(&task.entry.path, "the wheel packs it as well".to_owned());
            return Ok(());
        }
        let entry = Entry {
            path: task.entry.path.clone(),
            kind: task.entry.kind,
            permissions: task.entry.permissions,
            method,
            crc32: layercake_core::zip::checksum(&bytes),
            size: bytes.len() as u64,
            modified: 0,
            data: 0..0,
        };
        drop(bytes);
        growing(task.archive).add(entry, &packed)
    }

    fn compile(
        &self,
        task: &Task<'_>,
        source: &[u8],
        python: &mut Option<Running<'a>>,
    ) -> Result<Result<Vec<u8>, String>, DeriveError> {
        let Some(compiler) = self.how.compiler else {
            return Ok(Err("there is no interpreter".to_owned()));
        };
        let running = match python {
            Some(running) => running,
            None => python.insert(compiler.start()?),
        };
        let below = match destination(&task.entry.path) {
            Destination::SitePackages(below) | Destination::Scripts(below) => below,
            Destination::Headers => &task.entry.path,
        };
        // Where the module lies in most layers. In another place Python corrects it when it loads.
        let path = format!("/opt/python/{below}");
        running.compile(&path, source, self.needed[task.wheel].without_docstrings)
    }

    /// The entry's bytes.
    fn unpacked(&self, task: &Task<'_>) -> Result<Vec<u8>, DeriveError> {
        let path = &self.wheels.files[task.wheel].path;
        let mut packed = vec![0; task.entry.data.len()];
        File::open(path)
            .and_then(|file| file.read_exact_at(&mut packed, task.entry.data.start as u64))
            .map_err(|source| DeriveError::Cache { path: path.clone(), source })?;
        let entry = Entry { data: 0..packed.len(), ..task.entry.clone() };
        if entry.method == Method::Stored {
            return Ok(packed);
        }
        inflate(&packed, &entry).map_err(|source| DeriveError::Wheel {
            path: path.clone(),
            entry: entry.path.clone(),
            source,
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
