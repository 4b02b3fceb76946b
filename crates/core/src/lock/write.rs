//! Writing `pylock.toml`: the same lock gives the same bytes, and a change of one package changes
//! the lines of that package.
//!
//! Owns the layout: keys in the order of the specification, a file a line. What goes in is decided
//! elsewhere.

use std::fmt::Write as _;

use super::{Lock, LockedFile, LockedPackage, Place, Source, read::decoded};

const NOTE: &str =
    "# Written by `layercake lock`. Change the requirements and run it again; edits here are lost.\n";

impl Lock {
    /// The text of the file.
    pub fn to_toml(&self) -> String {
        let mut text = NOTE.to_owned();
        pair(&mut text, "lock-version", &quoted(&self.lock_version));
        list(&mut text, "environments", &self.environments);
        if let Some(python) = &self.requires_python {
            pair(&mut text, "requires-python", &quoted(python));
        }
        list(&mut text, "extras", &self.extras);
        list(&mut text, "dependency-groups", &self.dependency_groups);
        list(&mut text, "default-groups", &self.default_groups);
        pair(&mut text, "created-by", &quoted(&self.created_by));
        if self.packages.is_empty() {
            text.push_str("packages = []\n");
        }
        for package in &self.packages {
            write_package(&mut text, package);
        }
        if let Some(inputs) = &self.inputs {
            text.push_str("\n[tool.layercake]\n");
            text.push_str("targets = [\n");
            for target in &inputs.targets {
                let (runtime, arch) = (target.runtime.to_string(), target.arch.as_str());
                // Writing to a string cannot fail.
                let _ = writeln!(text, "    {{ runtime = {}, arch = {} }},", quoted(&runtime), quoted(arch));
            }
            text.push_str("]\n");
            list(&mut text, "requirements", &inputs.requirements);
            list(&mut text, "constraints", &inputs.constraints);
        }
        text
    }
}

fn write_package(text: &mut String, package: &LockedPackage) {
    text.push_str("\n[[packages]]\n");
    pair(text, "name", &quoted(&package.name));
    for (key, value) in [
        ("version", &package.version),
        ("marker", &package.marker),
        ("requires-python", &package.requires_python),
    ] {
        if let Some(value) = value {
            pair(text, key, &quoted(value));
        }
    }
    if !package.dependencies.is_empty() {
        text.push_str("dependencies = [\n");
        for dependency in &package.dependencies {
            let version = dependency.version.as_ref();
            let version = version.map(|version| format!(", version = {}", quoted(version)));
            let name = quoted(&dependency.name);
            let _ = writeln!(text, "    {{ name = {name}{} }},", version.unwrap_or_default());
        }
        text.push_str("]\n");
    }
    match &package.source {
        Source::Release { index, wheels, sdist } => {
            if let Some(index) = index {
                pair(text, "index", &quoted(index));
            }
            if let Some(sdist) = sdist {
                pair(text, "sdist", &file(sdist));
            }
            if !wheels.is_empty() {
                text.push_str("wheels = [\n");
                for wheel in wheels {
                    let _ = writeln!(text, "    {},", file(wheel));
                }
                text.push_str("]\n");
            }
        }
        Source::Archive { file: archive, subdirectory } => {
            pair(text, "archive", &table(&file_pairs(archive), subdirectory.as_deref()));
        }
        Source::Directory { path, subdirectory } => {
            pair(text, "directory", &table(&[("path", quoted(path))], subdirectory.as_deref()));
        }
        Source::Vcs { kind, place, requested, commit, subdirectory } => {
            let mut pairs = vec![("type", quoted(kind)), (key_of_place(place), quoted(place.as_str()))];
            pairs.extend(requested.iter().map(|requested| ("requested-revision", quoted(requested))));
            pairs.push(("commit-id", quoted(commit)));
            pair(text, "vcs", &table(&pairs, subdirectory.as_deref()));
        }
    }
}

fn file(file: &LockedFile) -> String {
    table(&file_pairs(file), None)
}

fn file_pairs(file: &LockedFile) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    if decoded(file.place.last_part()) != file.name {
        pairs.push(("name", quoted(&file.name)));
    }
    pairs.extend(file.upload_time.iter().map(|time| ("upload-time", time.clone())));
    pairs.push((key_of_place(&file.place), quoted(file.place.as_str())));
    pairs.extend(file.size.iter().map(|size| ("size", size.to_string())));
    let hashes = file.hashes.iter().map(|(name, hash)| format!("{} = {}", key_of(name), quoted(hash)));
    pairs.push(("hashes", format!("{{ {} }}", hashes.collect::<Vec<_>>().join(", "))));
    pairs
}

fn key_of_place(place: &Place) -> &'static str {
    match place {
        Place::Url(_) => "url",
        Place::Path(_) => "path",
    }
}

/// An inline table, with a last pair that many tables may have.
fn table(pairs: &[(&str, String)], subdirectory: Option<&str>) -> String {
    let mut pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    pairs.extend(subdirectory.map(|folder| format!("subdirectory = {}", quoted(folder))));
    format!("{{ {} }}", pairs.join(", "))
}

fn pair(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// A list with an item a line; nothing for an empty one.
fn list(text: &mut String, key: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "{key} = [");
    for item in items {
        let _ = writeln!(text, "    {},", quoted(item));
    }
    text.push_str("]\n");
}

fn key_of(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
