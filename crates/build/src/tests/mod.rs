//! What the crate promises, tried through its public interface.
//!
//! Owns the helpers that all these tests share: an index of our own and a cache that goes away.

mod app;
mod assemble;
mod by_address;
mod derive;
mod fetch;
mod from_source;
mod indexes;
mod inputs;
mod public_index;
mod requirements_txt;
mod resolve;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{Hint, resolution::Source, target::Target};

use crate::{
    resolve::{Asked, IndexOptions, PackageIndex},
    testing::TestIndex,
};

/// A folder that is removed at the end of the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).expect("temporary folders are UTF-8 here")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Utf8PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }
}

/// Options that ask this index through this cache and never wait.
pub(crate) fn options(cache: &Folder, index: &TestIndex) -> IndexOptions {
    let mut options = IndexOptions::new(cache.path());
    options.indexes.index_url = Some(index.url());
    options.pause_between_retries = false;
    options
}

pub(crate) fn open(options: IndexOptions) -> PackageIndex {
    PackageIndex::open(options).expect("an index opens without being asked")
}

/// `python3.12` or `python3.12 arm64`.
pub(crate) fn target(text: &str) -> Target {
    let (runtime, arch) = text.split_once(' ').unwrap_or((text, "x86_64"));
    Target { runtime: runtime.parse().expect("a runtime"), arch: arch.parse().expect("an architecture") }
}

/// What an index chooses, one line for each package, or why it does not.
pub(crate) fn answer(index: &PackageIndex, asked: &Asked, runtime: &str) -> String {
    match index.resolve(asked, target(runtime)) {
        Ok(resolution) => {
            let wheels = resolution.wheels.iter().map(|wheel| {
                let by = if wheel.required_by.is_empty() { "" } else { " <- " };
                let source = match &wheel.source {
                    None => String::new(),
                    Some(Source::Archive { url, .. }) => format!(", built from {url}"),
                    Some(Source::Git { url, requested, .. }) => {
                        format!(", built from {url} at {}", requested.as_deref().unwrap_or("its head"))
                    }
                    Some(Source::Folder { path }) => format!(", built from {path}"),
                };
                format!("{}{by}{}{source}", wheel.filename, wheel.required_by.join(", "))
            });
            wheels.collect::<Vec<_>>().join("\n")
        }
        Err(error) => told(&error),
    }
}

/// A Python of this machine: its minor version and program.
pub(crate) fn python() -> (u8, Utf8PathBuf) {
    let code = "import sys; print(sys.version_info[1], getattr(sys, '_base_executable', sys.executable))";
    let output = std::process::Command::new("python3").args(["-I", "-c", code]).output().expect("a Python");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let (minor, program) = text.trim().split_once(' ').expect("two words");
    (minor.parse().expect("a number"), program.into())
}

/// An error as a user reads it: message, causes, hint.
pub(crate) fn told(error: &(impl std::error::Error + Hint)) -> String {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}\n  {error}");
        cause = error.source();
    }
    match error.hint() {
        Some(hint) => format!("{text}\nhint: {hint}"),
        None => text,
    }
}
