//! Which indexes are asked, and how they are reached.
//!
//! Owns the options and the two ways in which an address may leave this folder: to be stored, to be
//! shown. Never connects.

use std::fmt;

use camino::Utf8PathBuf;

use super::{FormatControl, failure};

/// Which indexes to ask.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IndexSettings {
    /// In place of the public index.
    pub index_url: Option<String>,
    /// Asked before it. The first index that has a package is the only one asked for it.
    pub extra_index_urls: Vec<String>,
    /// Folders with wheels and source distributions, and HTML pages with links to such
    /// (`--find-links`). What they have counts beside what the indexes have.
    pub find_links: Vec<String>,
    /// Whether no index is asked, only the `--find-links` places (`--no-index`).
    pub no_index: bool,
}

/// What happens when more than one index has a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexStrategy {
    /// Only the first one that has it counts, so that nobody can slip a package in under a name
    /// that a private index uses.
    #[default]
    FirstIndex,
    /// The versions of the first come before those of the next.
    UnsafeFirstMatch,
    /// The best version of all counts, as in pip.
    UnsafeBestMatch,
}

impl From<IndexStrategy> for uv_configuration::IndexStrategy {
    fn from(strategy: IndexStrategy) -> Self {
        match strategy {
            IndexStrategy::FirstIndex => Self::FirstIndex,
            IndexStrategy::UnsafeFirstMatch => Self::UnsafeFirstMatch,
            IndexStrategy::UnsafeBestMatch => Self::UnsafeBestMatch,
        }
    }
}

impl IndexSettings {
    /// These settings, and the others' index when these name none. The extra indexes and the
    /// `--find-links` places of both count, these before the others'.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.index_url = self.index_url.or(other.index_url);
        self.extra_index_urls.extend(other.extra_index_urls);
        self.find_links.extend(other.find_links);
        self.no_index |= other.no_index;
        self
    }
}

impl fmt::Debug for IndexSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &String| shown_address(url);
        f.debug_struct("IndexSettings")
            .field("index_url", &self.index_url.as_ref().map(shown))
            .field("extra_index_urls", &self.extra_index_urls.iter().map(shown).collect::<Vec<_>>())
            .field("find_links", &self.find_links.iter().map(shown).collect::<Vec<_>>())
            .field("no_index", &self.no_index)
            .finish()
    }
}

/// How to reach package indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// Folder for index pages and wheels; made when missing.
    pub cache: Utf8PathBuf,
    /// Which indexes.
    pub indexes: IndexSettings,
    /// Whether only the cache may answer.
    pub offline: bool,
    /// Only files published before this time count (RFC 3339 or a date).
    pub exclude_newer: Option<String>,
    /// How often a failed request is repeated.
    pub retries: u32,
    /// Whether to wait between repetitions. Tests do not.
    pub pause_between_retries: bool,
    /// What happens when more than one index has a package.
    pub strategy: IndexStrategy,
    /// Whether versions before a release count like any other (`--pre`). Without it they count only
    /// where a requirement names one or there is nothing else.
    pub pre: bool,
    /// `--no-binary` and `--only-binary`.
    pub formats: FormatControl,
    /// Whether the program `keyring` is asked for passwords.
    pub keyring: bool,
    /// Pythons of this machine that may build source distributions: minor version and program.
    pub pythons: Vec<(u8, Utf8PathBuf)>,
}

impl IndexOptions {
    /// The public index, through the cache in this folder.
    pub fn new(cache: impl Into<Utf8PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            indexes: IndexSettings::default(),
            offline: false,
            exclude_newer: None,
            retries: 3,
            pause_between_retries: true,
            strategy: IndexStrategy::default(),
            pre: false,
            formats: FormatControl::default(),
            keyring: false,
            pythons: Vec::new(),
        }
    }
}

/// An address as it may be stored and used. One that does not parse is of no use, and is cut as
/// [`shown_address`] cuts it.
pub(crate) fn without_credentials(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) => {
            // Both fail only for addresses that cannot have credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Err(_) => failure::cut_credentials(address),
    }
}

/// An address as it may be shown. A password with a `/` or `#` in it ends the host before its time,
/// so that the address means something else, or nothing, and the password stands anywhere in it:
/// everything before the last `@` goes, even if it is part of an honest path.
pub(crate) fn shown_address(address: &str) -> String {
    failure::cut_credentials(&without_credentials(address))
}
