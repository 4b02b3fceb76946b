//! uv's errors in our words.
//!
//! Owns telling apart "the network", "the index", "the cache" and "the requirements". Never shows
//! credentials, colours, or a chain of causes that repeat each other.

use std::error::Error;

use uv_client::{ErrorKind, FlatIndexError};
use uv_git::{GitError, GitResolverError};
use uv_redacted::DisplaySafeUrl;

use super::{ResolveError, settings::shown_address};

/// Stands for the cache's folder, which uv's errors do not name and the caller knows.
pub(super) const CACHE: &str = "index";

/// An error and its causes in one line, without colours.
pub(super) fn one_line(error: &dyn Error) -> String {
    let mut text = plain(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = plain(&error.to_string());
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    redacted(&text)
}

/// The cause of all causes, which is the one a user knows: "connection refused".
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    redacted(&plain(&innermost.to_string()))
}

/// Text without terminal colours, its lines joined.
pub(super) fn plain(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // `ESC [ … letter`, the only kind that is written here.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            clean.push(character);
        }
    }
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text with the credentials of any address in it taken out: everything from the scheme to the last
/// `@` before white space, since a password may hold any other character.
pub(crate) fn redacted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        rest = after[..end].rfind('@').map_or(after, |at| &after[at + 1..]);
    }
    clean.push_str(rest);
    clean
}

/// One address without what is between its scheme and its last `@`.
pub(super) fn cut_credentials(address: &str) -> String {
    let (scheme, rest) = match address.find("://") {
        Some(end) => address.split_at(end + "://".len()),
        None => ("", address),
    };
    format!("{scheme}{}", rest.rfind('@').map_or(rest, |at| &rest[at + 1..]))
}

/// What a failed request means.
pub(super) fn of_client(error: &uv_client::Error) -> ResolveError {
    match error.kind() {
        ErrorKind::RemotePackageNotFound(package) | ErrorKind::LocalPackageNotFound(package) => {
            ResolveError::NoSuchPackage { package: package.to_string(), origin: None }
        }
        ErrorKind::Offline(url) => ResolveError::Offline { package: package_of(url) },
        ErrorKind::WrappedReqwestError(url, cause) => {
            let url = shown(url);
            #[expect(
                clippy::redundant_closure_for_method_calls,
                reason = "the method's type is of a crate that this one does not depend on"
            )]
            match cause.inner().and_then(|inner| inner.status()) {
                Some(status) => ResolveError::IndexRefused { url, status: status.as_u16() },
                None => ResolveError::IndexUnreachable { url, reason: innermost(cause) },
            }
        }
        ErrorKind::AsyncHttpRangeReader(url, cause) => {
            ResolveError::IndexUnreachable { url: shown(url), reason: innermost(cause) }
        }
        ErrorKind::CacheWrite(cause) | ErrorKind::Io(cause) => {
            ResolveError::Cache { path: CACHE.into(), reason: innermost(cause) }
        }
        _ => ResolveError::BadAnswer { reason: one_line(error) },
    }
}

/// What a failure to read a `--find-links` place means.
pub(super) fn of_find_links(error: &FlatIndexError) -> ResolveError {
    let (place, reason) = match error {
        FlatIndexError::NonFileUrl(url) => (shown(url), "it is no file".to_owned()),
        FlatIndexError::FindLinksDirectory(path, cause) => (path.display().to_string(), innermost(cause)),
        FlatIndexError::FindLinksFile(path, cause) => (path.display().to_string(), innermost(cause)),
        FlatIndexError::FindLinksUrl(url, cause) => match of_client(cause) {
            ResolveError::BadAnswer { .. } => (shown(url), innermost(cause)),
            other => return other,
        },
    };
    ResolveError::BadFindLinks { place, reason }
}

/// What a failure of the resolver means that is not "no solution".
pub(super) fn of_resolver(error: &uv_resolver::ResolveError) -> ResolveError {
    use uv_resolver::ResolveError as Uv;
    match error {
        Uv::Dependencies(cause, ..) => of_resolver(cause),
        Uv::Client(cause) => of_client(cause),
        Uv::Distribution(cause) => of_distribution(cause),
        Uv::Dist(_, _, _, cause) => of_distribution(cause),
        Uv::DisallowedUrl { name, url } => {
            ResolveError::IndirectUrl { package: name.to_string(), url: shown_address(&plain(url)) }
        }
        Uv::UnregisteredTask(_) | Uv::ChannelClosed => ResolveError::Internal { reason: one_line(error) },
        _ => ResolveError::BadAnswer { reason: one_line(error) },
    }
}

/// What a failure to get a wheel, a source or their metadata means.
pub(super) fn of_distribution(error: &uv_distribution::Error) -> ResolveError {
    use uv_distribution::Error as Uv;
    match error {
        Uv::Client(cause) => of_client(cause),
        Uv::CacheRead(cause) | Uv::CacheWrite(cause) => {
            ResolveError::Cache { path: CACHE.into(), reason: innermost(cause) }
        }
        Uv::Git(GitResolverError::Git(cause)) => match cause.downcast_ref::<GitError>() {
            Some(GitError::GitNotFound) => ResolveError::NoGit,
            Some(GitError::TransportNotAllowed) => ResolveError::OfflineGit,
            _ => {
                let text = one_line(cause.as_ref());
                // What git itself said is behind the command, which has paths of the cache in it.
                let said = text.rsplit_once("--- stderr ").map_or(text.as_str(), |(_, said)| said);
                ResolveError::Git { reason: said.to_owned() }
            }
        },
        Uv::MismatchedHashes { distribution, expected, actual } => ResolveError::SourceHashNotAllowed {
            source_distribution: redacted(&plain(distribution)),
            expected: plain(expected),
            actual: plain(actual),
        },
        Uv::RequiresPython(specifiers, installed) => ResolveError::SourceNeedsPython {
            specifiers: specifiers.to_string(),
            installed: installed.to_string(),
        },
        _ => ResolveError::BadAnswer { reason: one_line(error) },
    }
}

fn shown(url: &DisplaySafeUrl) -> String {
    shown_address(url::Url::from(url.clone()).as_str())
}

/// The package that an index address is about: its last part.
fn package_of(url: &str) -> String {
    url.trim_end_matches('/').rsplit('/').next().unwrap_or(url).to_owned()
}
