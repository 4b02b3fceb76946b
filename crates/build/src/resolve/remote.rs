//! Requirement files by URL.
//!
//! Owns getting them with the index's client: its proxies, certificates, credentials, and its
//! `--offline`. Never lets one change the indexes, which are settled by then.

use std::io;

use super::{
    Asked, Begin, PackageIndex, RemoteFile, ResolveError, Sink, TransferError,
    requirements_txt::{self, Kind},
    settings::{shown_address, without_credentials},
};

/// More than any honest requirements file has, in bytes.
const MOST_BYTES: usize = 4 << 20;
/// So many files may name each other.
const MOST_FILES: usize = 50;

/// What is asked for, with the lines of the files by URL, and without those files.
pub(super) fn with_remote_files(index: &PackageIndex, asked: &Asked) -> Result<Asked, ResolveError> {
    let mut all = Asked { remote: Vec::new(), ..asked.clone() };
    let mut open = asked.remote.clone();
    let mut seen: Vec<RemoteFile> = Vec::new();
    while let Some(file) = open.pop() {
        // They may form a circle; each counts once.
        if seen.iter().any(|other| (&other.url, other.is_constraints) == (&file.url, file.is_constraints)) {
            continue;
        }
        let unusable = |reason: String| ResolveError::RemoteFile {
            origin: file.origin.clone(),
            url: shown_address(&file.url),
            reason,
        };
        seen.push(file.clone());
        if seen.len() > MOST_FILES {
            return Err(unusable(format!("more than {MOST_FILES} files name each other")));
        }
        let text = text(index, &file.url).map_err(unusable)?;
        let kind = if file.is_constraints { Kind::Constraints } else { Kind::Requirements };
        let mut more = requirements_txt::read_remote(&file.url, &text, kind)
            .map_err(|error| unusable(error.to_string()))?;
        if more.indexes != super::IndexSettings::default() {
            return Err(unusable(
                "it names package indexes, which count only in a file of your own".to_owned(),
            ));
        }
        open.append(&mut more.remote);
        all = all.and(more);
    }
    Ok(all)
}

fn text(index: &PackageIndex, url: &str) -> Result<String, String> {
    let mut collected = Collected(Vec::new());
    index.remember_credentials(url);
    index.transfer(&without_credentials(url), 0, &mut collected).map_err(|error| match error {
        TransferError::Unreachable { .. } if index.options().offline => "the network is off".to_owned(),
        other => other.to_string(),
    })?;
    String::from_utf8(collected.0).map_err(|_| "it is not UTF-8 text".to_owned())
}

struct Collected(Vec<u8>);

impl Sink for Collected {
    fn begin(&mut self, _begin: Begin) -> io::Result<()> {
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
