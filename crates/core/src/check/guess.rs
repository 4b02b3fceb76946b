//! Which runtime a layer was made for, when nobody says.
//!
//! Owns the guess and the reason that is given for it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    NamedContents,
    modules::{ModuleName, Tag},
    tree::split,
};
use crate::target::Runtime;

/// Runtimes, and what shows that they are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Oldest first.
    pub runtimes: Vec<Runtime>,
    /// What shows it, as a sentence without a subject: `its packages lie in …`.
    pub because: String,
}

/// Tells from the folders of packages, else from the tags of most compiled modules; nothing when
/// neither says anything.
pub fn guess_runtimes<'a>(zips: impl IntoIterator<Item = &'a NamedContents>) -> Option<Guess> {
    let mut folders = BTreeSet::new();
    let mut tags: BTreeMap<Runtime, usize> = BTreeMap::new();
    for file in zips.into_iter().flat_map(|zip| &zip.contents.files) {
        let minor = file
            .path
            .strip_prefix("python/lib/python3.")
            .and_then(|rest| rest.split_once("/site-packages/"))
            .and_then(|(minor, _)| minor.parse().ok());
        folders.extend(minor.and_then(Runtime::from_minor));
        if let Some(ModuleName { tag: Tag::CPython { minor: Some(minor), .. }, .. }) =
            ModuleName::parse(split(&file.path).1)
            && let Some(runtime) = Runtime::from_minor(minor)
        {
            *tags.entry(runtime).or_default() += 1;
        }
    }
    if !folders.is_empty() {
        let names: Vec<_> =
            folders.iter().map(|runtime| format!("`python/lib/{runtime}/site-packages`")).collect();
        let because = format!("packages lie in {}", names.join(", "));
        return Some(Guess { runtimes: folders.into_iter().collect(), because });
    }
    let (runtime, count) = tags.into_iter().max_by_key(|(runtime, count)| (*count, *runtime))?;
    let modules =
        if count == 1 { "1 compiled module is".to_owned() } else { format!("{count} compiled modules are") };
    let because = format!("{modules} for Python {}", runtime.python_version());
    Some(Guess { runtimes: vec![runtime], because })
}
