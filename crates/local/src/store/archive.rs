//! What an uploaded archive must be like to be unpacked. Looked at when it comes in, so that the
//! client hears of it, and again when it is unpacked.
//!
//! Owns what [`Archive::read`] does not check: the folders that paths imply, where links lead, and
//! the data itself. Touches no file.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
};

use layercake_core::{
    limits,
    zip::{Archive, Entry, EntryKind, ReadAt, ReadError, ReadLimits, Unpacker, ZipError},
};

/// How uploads are read: AWS refuses exactly [`limits::UNZIPPED_BYTES`] and more.
const UPLOAD_LIMITS: ReadLimits =
    ReadLimits { unpacked_bytes: limits::UNZIPPED_BYTES - 1, entries: 500_000, symlinks: true };

/// The longest path that Linux takes, so the longest that a link can lead to.
const PATH_BYTES: u64 = 4096;

/// Reads an upload and holds its names and links against what a tree may have.
pub(crate) fn read_upload<S: ReadAt + ?Sized>(source: &S) -> Result<Archive, ReadError> {
    let read = Archive::read_from(source, &UPLOAD_LIMITS)?;
    folders(&read.entries, UPLOAD_LIMITS.entries)?;
    let mut unpacker = Unpacker::new(source);
    for entry in read.entries.iter().filter(|entry| entry.kind == EntryKind::Symlink) {
        link_target(&mut unpacker, entry)?;
    }
    Ok(read)
}

/// Holds the data of every entry against its header.
pub(crate) fn verify_upload<S: ReadAt + ?Sized>(source: &S, entries: &[Entry]) -> Result<(), ReadError> {
    in_parallel(entries, || Unpacker::new(source), Unpacker::verify)
}

/// Does the same for each item, on several threads, and stops at the first fault. `tools` makes what
/// each thread works with.
pub(super) fn in_parallel<T: Sync, U, E: Send>(
    items: &[T],
    tools: impl Fn() -> U + Sync,
    work: impl Fn(&mut U, &T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut tools = tools();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(&mut tools, item) {
                next.store(items.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4).min(items.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let own = worker();
        others.into_iter().fold(own, |outcome, other| {
            outcome.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

/// Every folder of a tree with these entries, those above them before those below. A short archive
/// can imply thousands of folders for each of its files, so there is a limit.
pub(super) fn folders(entries: &[Entry], limit: u64) -> Result<Vec<&str>, ZipError> {
    // In this order, all paths below a folder follow each other: what a path shares with the one
    // before it is there already, and every other slash in it ends the name of a new folder.
    let mut paths: Vec<_> = entries
        .iter()
        .map(|entry| match entry.kind {
            EntryKind::Folder => (Cow::Owned(format!("{}/", entry.path)), entry),
            EntryKind::File | EntryKind::Symlink => (Cow::Borrowed(entry.path.as_str()), entry),
        })
        .collect();
    paths.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let mut found = Vec::new();
    let mut before = "";
    for (path, entry) in &paths {
        let shared = path.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
        let slashes = path.bytes().enumerate().skip(shared).filter(|(_, byte)| *byte == b'/');
        found.extend(slashes.map(|(place, _)| &entry.path[..place]));
        before = path;
        if found.len() as u64 > limit {
            let what = "the number of folders".to_owned();
            return Err(ZipError::TooLarge { what, size: found.len() as u64, limit });
        }
    }
    Ok(found)
}

/// Where a link points, which must be in the same tree.
pub(super) fn link_target<S: ReadAt + ?Sized>(
    unpacker: &mut Unpacker<'_, S>,
    entry: &Entry,
) -> Result<String, ReadError> {
    let refused = |detail| ZipError::Symlink { entry: entry.path.clone(), detail };
    if entry.size > PATH_BYTES {
        return Err(refused(format!(" to a path of {} bytes", entry.size)).into());
    }
    let mut target = Vec::new();
    unpacker.unpack(entry, &mut |piece| {
        target.extend_from_slice(piece);
        Ok(())
    })?;
    let target = String::from_utf8_lossy(&target).into_owned();
    if stays_inside(&entry.path, &target) {
        return Ok(target);
    }
    let shown: String = target.escape_debug().take(200).collect();
    Err(refused(format!(" to `{shown}`, outside of the archive")).into())
}

/// Whether a link at `path` to `target` points into the same tree.
fn stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use layercake_core::zip::Method;

    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        let path = path.to_owned();
        Entry {
            path,
            kind,
            permissions: 0,
            method: Method::Stored,
            crc32: 0,
            size: 0,
            modified: 0,
            data: 0..0,
        }
    }

    fn check(paths: &[&str], limit: u64) -> String {
        let kind = |path: &str| if path.ends_with('/') { EntryKind::Folder } else { EntryKind::File };
        let entries: Vec<_> =
            paths.iter().map(|path| entry(path.trim_end_matches('/'), kind(path))).collect();
        match folders(&entries, limit) {
            Ok(folders) => folders.join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn folders_are_counted_with_those_that_paths_imply() {
        insta::assert_snapshot!(check(&["a/b/c/x", "a/b/y", "d/", "top"], 4), @"a a/b a/b/c d");
        insta::assert_snapshot!(check(&["a/", "a-b", "a/x", "a-b2/y/", "a/"], 4), @"a-b2 a-b2/y a");
        insta::assert_snapshot!(check(&["a/b/c/x", "a/b/y", "d/", "top"], 3), @"the number of folders claims 4 bytes; at most 3 are possible, so this is taken for a zip bomb");
        let deep: Vec<_> = (0..300).map(|number| format!("{number}/{}x", "d/".repeat(2000))).collect();
        let deep: Vec<_> = deep.iter().map(String::as_str).collect();
        assert!(check(&deep, UPLOAD_LIMITS.entries).starts_with("the number of folders claims"));
    }
}
