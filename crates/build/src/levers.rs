//! The levers that made a set of wheels fit, remembered: to find them, a layer is planned once for
//! each, and the next build of the same wheels needs to plan it once.
//!
//! Owns these notes in the cache. Never decides which levers are pulled: a note is only where to
//! look first, and one that does not lead to the size it names is thrown away.

use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    derived::DERIVED_FORMAT,
    hash::Sha256,
    plan::{
        Policy,
        fit::{Lever, Pulled},
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    derive::Compiler,
    layer::{Part, Wanted},
};

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The levers, in their order.
    pub(crate) pulled: Vec<Pulled>,
    /// What the layer came to, in bytes.
    pub(crate) unzipped_size: u64,
}

impl Note {
    /// The policy with all the levers pulled; nothing when one of them changes nothing.
    pub(crate) fn policy(&self, policy: &Policy, has_interpreter: bool) -> Option<Policy> {
        let pull = |policy: Policy, lever: Lever| lever.pull(&policy, has_interpreter);
        self.pulled.iter().try_fold(policy.clone(), |policy, pulled| pull(policy, pulled.lever))
    }
}

/// Where the note about these wheels and wishes lies.
pub(crate) fn place(cache: &Utf8Path, parts: &[Part], wanted: &Wanted<'_>) -> Utf8PathBuf {
    let mut hasher = Sha256::hasher();
    let mut add = |text: String| {
        hasher.update(text.as_bytes());
        hasher.update(b"\n");
    };
    add(format!("{} {DERIVED_FORMAT}", env!("CARGO_PKG_VERSION")));
    add(format!("{:?} {:?} {:?}", wanted.policy, wanted.imported, wanted.fit));
    for part in parts {
        add(format!("{:?} {:?}", part.target, part.compiler.as_ref().map(Compiler::identity)));
        part.wheels.files.iter().for_each(|wheel| add(wheel.sha256.to_hex()));
    }
    cache.join("levers").join(format!("{}.json", hasher.finish().to_hex()))
}

/// The note, when there is one that can be read.
pub(crate) fn read(place: &Utf8Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(place).ok()?).ok()
}

/// Keeps a note. A fault is passed over: it costs the next build time and nothing else.
pub(crate) fn keep(place: &Utf8Path, note: &Note) {
    let Some(folder) = place.parent() else { return };
    let _ = std::fs::create_dir_all(folder).and_then(|()| tempfile::NamedTempFile::new_in(folder)).and_then(
        |mut file| {
            file.write_all(serde_json::to_string(note)?.as_bytes())?;
            Ok(file.persist(place)?)
        },
    );
}
