//! Which distribution a file belongs to.
//!
//! Owns the order in which witnesses are believed: the folder that describes the distribution, its
//! RECORD, the source of a bytecode file, the neighbours in a folder, `top_level.txt`, the names.

use std::collections::{BTreeMap, BTreeSet};

use super::{ContentFile, Distribution};
use crate::wheel::normalised_name;

/// Gives every file its owner. `files` are sorted by path; `texts` are the texts that were read, by
/// path.
pub(super) fn assign(
    files: &mut [ContentFile],
    distributions: &[Distribution],
    texts: &BTreeMap<&str, String>,
) {
    let mut sources = BTreeMap::new();
    for (number, distribution) in distributions.iter().enumerate() {
        claim_folder(files, &distribution.folder, number);
    }
    for (number, distribution) in distributions.iter().enumerate() {
        if let Some(record) = texts.get(format!("{}/RECORD", distribution.folder).as_str()) {
            claim_recorded(files, distribution.root(), record, number, &mut sources);
        }
    }
    claim_bytecode(files, &sources);
    claim_by_neighbours(files, distributions);
    claim_by_name(files, distributions, texts);
}

/// What describes the distribution is its own.
fn claim_folder(files: &mut [ContentFile], folder: &str, number: usize) {
    let begin = files.partition_point(|file| file.path.as_str() < folder);
    for file in &mut files[begin..] {
        let Some(below) = file.path.strip_prefix(folder) else { break };
        // `x.dist-info.old` sorts between the folder and what is in it.
        if below.is_empty() || below.starts_with('/') {
            file.owner = Some(number);
        }
    }
}

/// What RECORD lists. Sources that are listed and not there are remembered, for their bytecode may
/// be.
fn claim_recorded(
    files: &mut [ContentFile],
    root: &str,
    record: &str,
    number: usize,
    sources: &mut BTreeMap<String, usize>,
) {
    for line in record.lines() {
        let listed = first_field(line);
        let path = below(root, &listed);
        let at = |path: &str| files.binary_search_by(|file| file.path.as_str().cmp(path)).ok();
        let position = path.as_deref().and_then(at).or_else(|| {
            // `pip install --target` moves commands without a word to RECORD.
            let mut parts = listed.rsplit('/');
            match (parts.next(), parts.next()) {
                (Some(name), Some("bin")) => at(&below(root, &format!("bin/{name}"))?),
                _ => None,
            }
        });
        match position {
            Some(position) => {
                files[position].owner.get_or_insert(number);
            }
            None => {
                if let Some(path) = path.filter(|path| path.ends_with(".py")) {
                    sources.entry(path).or_insert(number);
                }
            }
        }
    }
}

/// The first field of a line of comma-separated values (RFC 4180).
fn first_field(line: &str) -> String {
    match line.strip_prefix('"') {
        None => line.split(',').next().unwrap_or_default().to_owned(),
        Some(quoted) => {
            let mut field = String::new();
            let mut rest = quoted.chars().peekable();
            while let Some(c) = rest.next() {
                if c == '"' && rest.next_if_eq(&'"').is_none() {
                    break;
                }
                field.push(c);
            }
            field
        }
    }
}

/// A path of RECORD as seen from the zip's root; nothing when it leads out of the zip.
fn below(root: &str, listed: &str) -> Option<String> {
    if listed.is_empty() || listed.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
    for part in listed.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Bytecode belongs to whoever its source belongs to, although installers seldom record it.
fn claim_bytecode(files: &mut [ContentFile], missing_sources: &BTreeMap<String, usize>) {
    for position in 0..files.len() {
        if files[position].owner.is_some() {
            continue;
        }
        let Some(source) = source_of(&files[position].path) else { continue };
        let owner = match files.binary_search_by(|file| file.path.as_str().cmp(&source)) {
            Ok(source) => files[source].owner,
            Err(_) => missing_sources.get(&source).copied(),
        };
        files[position].owner = owner;
    }
}

/// `a/__pycache__/b.cpython-312.opt-1.pyc` and `a/b.pyc` are made of `a/b.py` (PEP 3147).
fn source_of(path: &str) -> Option<String> {
    let stem = path.strip_suffix(".pyc")?;
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let cached = if folder == "__pycache__" { Some("") } else { folder.strip_suffix("/__pycache__") };
    match cached {
        None => Some(format!("{stem}.py")),
        Some(folder) => {
            let module = name.split('.').next().unwrap_or(name);
            let slash = if folder.is_empty() { "" } else { "/" };
            Some(format!("{folder}{slash}{module}.py"))
        }
    }
}

/// A file without owner belongs to the one distribution that has files in its folder, or in the
/// nearest folder above. Several distributions share the folders they are installed into and that
/// of the commands, so these say nothing.
fn claim_by_neighbours(files: &mut [ContentFile], distributions: &[Distribution]) {
    let roots: BTreeSet<&str> = distributions.iter().map(Distribution::root).collect();
    let owners: Vec<Option<usize>> = {
        let mut folders: BTreeMap<&str, Option<usize>> = BTreeMap::new();
        for file in files.iter() {
            if let (Some(owner), Some((folder, _))) = (file.owner, file.path.rsplit_once('/')) {
                let single = folders.entry(folder).or_insert(Some(owner));
                if *single != Some(owner) {
                    *single = None;
                }
            }
        }
        let owner = |path: &str| {
            let mut path = path;
            while let Some((folder, _)) = path.rsplit_once('/') {
                let is_shared = roots.contains(folder) || folder == "bin" || folder.ends_with("/bin");
                if is_shared {
                    return None;
                }
                if let Some(owner) = folders.get(folder) {
                    return *owner;
                }
                path = folder;
            }
            None
        };
        files.iter().map(|file| file.owner.or_else(|| owner(&file.path))).collect()
    };
    for (file, owner) in files.iter_mut().zip(owners) {
        file.owner = owner;
    }
}

/// What is left belongs to the distribution that says so in `top_level.txt`, or whose name it
/// bears, as module, package or folder of libraries (`NAME.libs`, auditwheel).
fn claim_by_name(files: &mut [ContentFile], distributions: &[Distribution], texts: &BTreeMap<&str, String>) {
    let mut modules: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut names: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (number, distribution) in distributions.iter().enumerate() {
        names.entry((distribution.root(), &distribution.name)).or_insert(number);
        let top_level = texts.get(format!("{}/top_level.txt", distribution.folder).as_str());
        for module in top_level.into_iter().flat_map(|text| text.lines()).map(str::trim) {
            if !module.is_empty() {
                modules.entry((distribution.root(), module)).or_insert(number);
            }
        }
    }
    let roots: BTreeSet<&str> = distributions.iter().map(Distribution::root).collect();
    for file in files.iter_mut().filter(|file| file.owner.is_none()) {
        let below_root = std::iter::successors(Some(file.path.as_str()), |path| {
            path.rsplit_once('/').map(|(above, _)| above)
        })
        .map(|path| path.rsplit_once('/').unwrap_or(("", path)))
        .find(|(folder, _)| roots.contains(folder));
        let Some((root, top)) = below_root else { continue };
        let module = top.split('.').next().unwrap_or(top);
        let name = normalised_name(module);
        file.owner = modules.get(&(root, module)).or_else(|| names.get(&(root, name.as_str()))).copied();
    }
}
