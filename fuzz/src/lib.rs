//! What the fuzz targets share: trees of files as text, so that seeds, dictionaries and crashes can
//! be read; and a loader's view of a library.
//!
//! Owns no law; each target states its own.

#[path = "../../crates/core/src/elf/sample.rs"]
mod sample;

use layercake_core::{
    lock::TargetRules,
    target::{Arch, Runtime, Target},
    wheel::{WheelFacts, check_wheel},
    zip::{Archive, EntryKind, FileMode, ReadLimits, ZipWriter, inflate_start},
};

/// A file of a tree.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its mode.
    pub mode: FileMode,
    /// Whether it is a symbolic link.
    pub is_link: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A package, or another tree of files.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// What stands behind `## `, before the first space.
    pub name: String,
    /// What stands behind it.
    pub version: String,
    /// The files.
    pub files: Vec<File>,
}

/// Trees of files written as text.
///
/// `## NAME VERSION` begins a tree, `== PATH` a file whose bytes are the lines that follow, `=! PATH`
/// one that can be executed, `=@ PATH` a symbolic link. Lines before the first tree are given back as
/// they are. Bytes that begin with `@elf` stand for a small library, changed as the bytes behind
/// that say: two for a place, one for the value there.
pub fn trees(text: &[u8]) -> (Vec<&[u8]>, Vec<Tree>) {
    let (mut before, mut trees) = (Vec::new(), Vec::<Tree>::new());
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(title) = line.strip_prefix(b"## ") {
            let title = String::from_utf8_lossy(title);
            let (name, version) = title.split_once(' ').unwrap_or((&title, "1"));
            trees.push(Tree { name: name.to_owned(), version: version.to_owned(), files: Vec::new() });
            continue;
        }
        let Some(tree) = trees.last_mut() else {
            before.push(line);
            continue;
        };
        let (mode, is_link) = match line.get(..3) {
            Some(b"== ") => (FileMode::Regular, false),
            Some(b"=! ") => (FileMode::Executable, false),
            Some(b"=@ ") => (FileMode::Regular, true),
            _ => {
                if let Some(file) = tree.files.last_mut() {
                    file.bytes.extend(line);
                    file.bytes.push(b'\n');
                }
                continue;
            }
        };
        let path = String::from_utf8_lossy(&line[3..]).into_owned();
        tree.files.push(File { path, mode, is_link, bytes: Vec::new() });
    }
    for file in trees.iter_mut().flat_map(|tree| &mut tree.files) {
        if let Some(changes) = file.bytes.strip_prefix(b"@elf") {
            file.bytes = library(changes);
        }
    }
    (before, trees)
}

fn library(changes: &[u8]) -> Vec<u8> {
    let mut bytes = sample::Sample { debug: 0x10, appended: false, ..Default::default() }.build();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    bytes
}

/// A library as the stripper meets it: debug sections, perhaps a segment that patchelf appended,
/// perhaps one more program header.
pub fn stripper_sample(debug: u16, appended: bool, alignment: u8, segment: Option<[u64; 5]>) -> Vec<u8> {
    let debug = usize::from(debug) % 0x3000;
    let alignment = 1 << (u32::from(alignment) % 22);
    sample::Sample { debug, appended, alignment, segment, ..Default::default() }.build()
}

/// The zip of a tree as bytes and read again; nothing when the reader refuses it, as it must refuse
/// unsafe paths and files below files.
pub fn zip_of(tree: &Tree) -> Option<(Vec<u8>, Archive)> {
    let mut writer = ZipWriter::new(Vec::new());
    for file in &tree.files {
        writer.file_from_bytes(&file.path, file.mode, &file.bytes).ok()?;
    }
    let (bytes, _) = writer.finish().expect("a small archive is finished in memory");
    let mut archive = Archive::read(&bytes, &ReadLimits::WHEEL).ok()?;
    for (entry, file) in archive.entries.iter_mut().zip(&tree.files) {
        if file.is_link {
            entry.kind = EntryKind::Symlink;
        }
    }
    Some((bytes, archive))
}

/// The same for a wheel, with what the planner must know of it. The file `WHEEL` is added where none
/// is.
pub fn wheel_of(tree: &Tree) -> Option<(Vec<u8>, Archive, WheelFacts)> {
    let mut tree = tree.clone();
    tree.files.retain(|file| !file.is_link);
    if !tree.files.iter().any(|file| file.path.ends_with(".dist-info/WHEEL")) {
        let path = format!("{}-{}.dist-info/WHEEL", tree.name, tree.version);
        tree.files.push(File { path, mode: FileMode::Regular, is_link: false, bytes: Vec::new() });
    }
    let (bytes, archive) = zip_of(&tree)?;
    check_wheel(&archive).ok()?;
    let facts = WheelFacts::collect(&archive, |entry, most| inflate_start(&bytes, entry, most))
        .expect("what was written unpacks");
    Some((bytes, archive, facts))
}

/// A target that depends on a byte.
pub fn target(byte: u8) -> Target {
    let runtime = Runtime::from_minor(6 + (byte >> 1) % 10).expect("6 to 15 are runtimes");
    Target { runtime, arch: if byte & 1 == 0 { Arch::X86_64 } else { Arch::Arm64 } }
}

/// Rules without a resolver: what a marker or specifier means depends on its length, so that all
/// answers occur.
#[derive(Clone, Copy, Debug)]
pub struct AnyRules(pub Target);

impl AnyRules {
    fn answer(text: &str) -> Result<bool, String> {
        match text.len() % 7 {
            0 => Err("an odd length".to_owned()),
            1 | 2 => Ok(false),
            _ => Ok(true),
        }
    }
}

impl TargetRules for AnyRules {
    fn target(&self) -> Target {
        self.0
    }

    fn holds(&self, marker: &str, _extras: &[String], _groups: &[String]) -> Result<bool, String> {
        Self::answer(marker)
    }

    fn holds_with_extra(&self, marker: &str, extras: &[String]) -> Result<bool, String> {
        Ok(Self::answer(marker)? || extras.iter().any(|extra| marker.contains(extra.as_str())))
    }

    fn python_fits(&self, specifiers: &str) -> Result<bool, String> {
        Self::answer(specifiers)
    }

    fn best_wheel(&self, filenames: &[&str]) -> Option<usize> {
        filenames.iter().position(|name| name.ends_with(".whl"))
    }

    fn asked_name(&self, requirement: &str) -> Option<String> {
        requirement.split(' ').next().map(str::to_owned)
    }
}

/// A loaded segment: its program header without `p_offset`, where it begins in its page, its bytes.
pub type Load = (Vec<u8>, u64, Vec<u8>);

/// What a loader that knows nothing of layercake's reader has of a 64-bit library: each `PT_LOAD`
/// segment, without those bytes of the headers that say where the tables are.
///
/// # Panics
/// When a segment is not in the file. The stripper refuses such files.
pub fn loads(bytes: &[u8]) -> Vec<Load> {
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let table = number(32, 8) as usize;
    let rows: Vec<usize> = (0..number(56, 2) as usize).map(|index| table + index * 56).collect();
    let mut masked = bytes.to_vec();
    masked[32..48].fill(0);
    masked[60..64].fill(0);
    for row in &rows {
        masked[row + 8..row + 16].fill(0);
    }
    rows.iter()
        .filter(|row| number(**row, 4) == 1)
        .map(|&row| {
            let (offset, size) = (number(row + 8, 8), number(row + 32, 8) as usize);
            let page = number(row + 48, 8).max(0x1000);
            let start = if size == 0 { 0 } else { offset as usize };
            (masked[row..row + 56].to_vec(), offset % page, masked[start..start + size].to_vec())
        })
        .collect()
}
