//! A table of small zips, and what is found in them.

use std::collections::BTreeMap;

use super::*;
use crate::{
    contents::{ContentFile, Contents, Distribution},
    elf::ElfFacts,
    target::{Arch, Runtime},
    zip::EntryKind,
};

mod healthy;
mod kinds;
mod together;

/// A zip for tests, built file by file.
#[derive(Clone, Debug, Default)]
struct Zip(NamedContents);

/// An ELF file for x86_64 that needs these libraries.
fn elf(needed: &[&str]) -> ElfFacts {
    ElfFacts {
        machine: 62,
        is_64_bit_little_endian: true,
        soname: None,
        needed: needed.iter().map(|name| (*name).to_owned()).collect(),
        run_paths: Vec::new(),
        versions_needed: BTreeMap::new(),
        is_program: false,
    }
}

/// The same for another processor.
fn elf_for(machine: u16, needed: &[&str]) -> ElfFacts {
    ElfFacts { machine, ..elf(needed) }
}

impl ElfFacts {
    fn runs_from(mut self, path: &str) -> Self {
        self.run_paths.push(path.to_owned());
        self
    }

    fn wants(mut self, library: &str, version: &str) -> Self {
        self.versions_needed.entry(library.to_owned()).or_default().insert(version.to_owned());
        if !self.needed.iter().any(|needed| needed == library) {
            self.needed.push(library.to_owned());
        }
        self
    }

    fn program(mut self) -> Self {
        self.is_program = true;
        self
    }
}

impl Zip {
    fn new(name: &str) -> Self {
        Self(NamedContents { name: name.to_owned(), contents: Contents::default(), zip_bytes: 1000 })
    }

    fn entry(mut self, path: &str, change: impl FnOnce(&mut ContentFile)) -> Self {
        let owner = self.0.contents.distributions.len().checked_sub(1);
        let mut file = ContentFile {
            path: path.to_owned(),
            kind: EntryKind::File,
            permissions: 0o644,
            size: 10,
            packed_size: 5,
            crc32: 1,
            owner,
            elf: None,
            damage: None,
            points_to: None,
        };
        change(&mut file);
        self.0.contents.files.push(file);
        self.0.contents.files.sort_by(|one, other| one.path.cmp(&other.path));
        self
    }

    /// Begins a distribution: the files that follow belong to it.
    fn distribution(mut self, root: &str, name: &str, version: &str) -> Self {
        let slash = if root.is_empty() { "" } else { "/" };
        let folder = format!("{root}{slash}{}-{version}.dist-info", name.replace('-', "_"));
        self.0.contents.distributions.push(Distribution {
            name: name.to_owned(),
            version: version.to_owned(),
            folder: folder.clone(),
            requires_python: None,
            requires: Vec::new(),
        });
        self.file(&format!("{folder}/METADATA"))
    }

    fn file(self, path: &str) -> Self {
        self.entry(path, |_| ())
    }

    fn files(self, paths: &[&str]) -> Self {
        paths.iter().fold(self, |zip, path| zip.file(path))
    }

    fn elf(self, path: &str, facts: ElfFacts) -> Self {
        self.entry(path, |file| file.elf = Some(facts))
    }

    fn sized(self, path: &str, size: u64) -> Self {
        self.entry(path, |file| file.size = size)
    }

    fn mode(self, path: &str, permissions: u32) -> Self {
        self.entry(path, |file| file.permissions = permissions)
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, |file| {
            file.kind = EntryKind::Symlink;
            file.permissions = 0o777;
            file.points_to = Some(target.to_owned());
        })
    }
}

/// A function with its layers.
#[derive(Clone, Debug, Default)]
struct Case {
    layers: Vec<NamedContents>,
    function: Option<NamedContents>,
    environment: BTreeMap<String, String>,
    handler: Option<Handler>,
    unfulfilled: Unfulfilled,
}

impl Case {
    fn layers<const COUNT: usize>(zips: [Zip; COUNT]) -> Self {
        Self { layers: zips.map(|zip| zip.0).to_vec(), ..Self::default() }
    }

    fn function(mut self, zip: Zip) -> Self {
        self.function = Some(zip.0);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn handler(mut self, handler: &str) -> Self {
        self.handler = Some(handler.parse().expect("a handler"));
        self
    }

    fn verdict(&self, minor: u8, arch: Arch) -> Verdict {
        let runtime = Runtime::from_minor(minor).expect("a runtime");
        verdict(&Subject {
            target: Target { runtime, arch },
            layers: &self.layers,
            function: self.function.as_ref(),
            environment: &self.environment,
            handler: self.handler.as_ref(),
            unfulfilled: &self.unfulfilled,
        })
    }

    /// The findings, two lines each.
    fn on(&self, minor: u8, arch: Arch) -> String {
        let verdict = self.verdict(minor, arch);
        let lines = verdict.findings.iter().map(|finding| {
            let place = match (&finding.in_zip, &finding.file) {
                (Some(zip), Some(file)) => format!("{zip}: {file}"),
                (Some(zip), None) => zip.clone(),
                _ => "everywhere".to_owned(),
            };
            format!(
                "{:?} {} ({place})\n  {}\n  -> {}",
                finding.severity,
                finding.code.as_str(),
                finding.why,
                finding.fix
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// For python3.12 on x86_64.
    fn found(&self) -> String {
        self.on(12, Arch::X86_64)
    }
}

/// One layer on python3.12 and x86_64.
fn check(zip: Zip) -> String {
    Case::layers([zip]).found()
}
