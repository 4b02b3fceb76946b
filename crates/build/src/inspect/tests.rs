//! Zips on disk, and what is said of them.

use std::sync::atomic::{AtomicU64, Ordering};

use layercake_core::zip::{FileMode, ZipWriter};

use super::*;
use crate::tests::{Folder, told};

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Vec::new());
    for (path, bytes) in files {
        zip.file_from_bytes(path, FileMode::Regular, bytes).expect("a vector takes every byte");
    }
    zip.finish().expect("a vector takes every byte").0
}

fn written(folder: &Folder, bytes: &[u8]) -> Utf8PathBuf {
    let path = folder.path().join("layer.zip");
    std::fs::write(&path, bytes).expect("the folder is writable");
    path
}

/// What is said of a file with these bytes, or of what `make` puts there.
fn refused(make: impl FnOnce(&Utf8Path)) -> String {
    let folder = Folder::new();
    let path = folder.path().join("layer.zip");
    make(&path);
    told(&inspect(&path).expect_err("it is refused")).replace(folder.path().as_str(), "[FOLDER]")
}

#[test]
fn a_zip_is_looked_through() {
    let folder = Folder::new();
    let bytes = zip(&[
        ("python/six.py", b"x = 1"),
        ("python/six-1.17.0.dist-info/METADATA", b"Name: six\nVersion: 1.17.0\n\ntext"),
        ("python/six-1.17.0.dist-info/RECORD", b"six.py,,\n"),
        ("python/broken.so", b"\x7fELF and no more"),
    ]);
    let inspected = inspect(&written(&folder, &bytes)).expect("it is a sound zip");
    assert_eq!((inspected.size, inspected.sha256), (bytes.len() as u64, Sha256::of(&bytes)));
    let contents = &inspected.contents;
    let lines: Vec<_> = contents
        .files
        .iter()
        .map(|file| {
            let owner = contents.owner(file).map_or("-", |owner| owner.name.as_str());
            format!("{owner} {}: {}", file.path, file.damage.as_deref().unwrap_or("fine"))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    - python/broken.so: this is not a whole ELF file: the ELF header lies beyond its end
    six python/six-1.17.0.dist-info/METADATA: fine
    six python/six-1.17.0.dist-info/RECORD: fine
    six python/six.py: fine
    ");
}

#[test]
fn what_is_no_zip_is_refused() {
    insta::assert_snapshot!(refused(|path| std::fs::write(path, "text").expect("written")), @r"
    error: `[FOLDER]/layer.zip` is refused
      this is not a readable zip archive: Missing end of central directory
    hint: the file is damaged: download or build it again
    ");
    insta::assert_snapshot!(refused(|_| {}), @r"
    error: cannot read `[FOLDER]/layer.zip`
      No such file or directory (os error 2)
    hint: look for a typing mistake, or build it first
    ");
    insta::assert_snapshot!(refused(|path| std::fs::create_dir(path).expect("made")), @r"
    error: `[FOLDER]/layer.zip` is not a file
    hint: give a zip file
    ");
}

#[test]
fn a_file_too_large_to_be_held_is_not_read() {
    let sparse = |path: &Utf8Path| {
        File::create(path).and_then(|file| file.set_len(LARGEST_ZIP + 1)).expect("the disk knows holes");
    };
    insta::assert_snapshot!(refused(sparse), @r"
    error: `[FOLDER]/layer.zip` has 1073741825 bytes; a zip of more than 1073741824 is not looked at
    hint: Lambda takes less than 262144000 bytes unzipped: leave packages out
    ");
}

#[test]
fn a_damaged_metadata_file_is_named() {
    let mut bytes = zip(&[("python/x-1.dist-info/METADATA", b"Name: x\n")]);
    let at = bytes.windows(5).position(|window| window == b"Name:").expect("it is stored as it is");
    bytes[at] = b'M';
    insta::assert_snapshot!(refused(|path| std::fs::write(path, &bytes).expect("written")), @r"
    error: `[FOLDER]/layer.zip` is refused
      entry `python/x-1.dist-info/METADATA` is damaged: CRC-32 is bf2bef78, the header says 31a4e89b
    hint: the file is damaged: download or build it again
    ");
}

#[test]
fn no_more_is_unpacked_at_once_than_is_allowed() {
    let memory = Memory { left: Mutex::new(UNPACKED_AT_ONCE), freed: Condvar::new() };
    let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (memory, held, most) = (&memory, &held, &most);
            scope.spawn(move || {
                for _ in 0..50 {
                    // One of them asks for more than there is at all, and gets all of it.
                    let bytes = if number == 0 { u64::MAX } else { UNPACKED_AT_ONCE / 3 };
                    let taken = memory.take(bytes);
                    let now = held.fetch_add(taken.bytes, Ordering::SeqCst) + taken.bytes;
                    most.fetch_max(now, Ordering::SeqCst);
                    held.fetch_sub(taken.bytes, Ordering::SeqCst);
                }
            });
        }
    });
    assert!((1..=UNPACKED_AT_ONCE).contains(&most.into_inner()));
    assert_eq!(memory.left.into_inner().expect("nobody panicked"), UNPACKED_AT_ONCE);
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let folder = Folder::new();
    let path = folder.write("report.html", "before");
    write_page(&path, "<p>after</p>").expect("the folder is writable");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "<p>after</p>");
    let error = write_page(&folder.path().join("none/report.html"), "").expect_err("there is no folder");
    insta::assert_snapshot!(told(&error).replace(folder.path().as_str(), "[FOLDER]"), @r"
    error: cannot write `[FOLDER]/none/report.html`
      entity not found
    hint: make the folder writable, or write somewhere else
    ");
    assert_eq!(folder.path().read_dir_utf8().expect("readable").count(), 1, "nothing lies beside it");
}
