//! Whether a lock of ours still is the lock of what is asked for.
//!
//! Owns the comparison of what was locked with what is asked for now. Never resolves: a lock can be
//! up to date here and an index have newer versions all the same.

use std::{collections::BTreeSet, fmt};

use super::LockedInputs;
use crate::{Hint, target::Target};

/// How the inputs differ from those of the lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock is out of date: {}", told(.changes))]
pub struct Drift {
    /// At least one.
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Asked for now and not when it was locked.
    Added(String),
    /// Asked for when it was locked and not now.
    Removed(String),
    /// A constraint that is new.
    AddedConstraint(String),
    /// A constraint that is gone.
    RemovedConstraint(String),
    /// It was not locked for this target.
    OtherTarget(Target),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(text) => write!(f, "`{text}` was added"),
            Self::Removed(text) => write!(f, "`{text}` was removed"),
            Self::AddedConstraint(text) => write!(f, "the constraint `{text}` was added"),
            Self::RemovedConstraint(text) => write!(f, "the constraint `{text}` was removed"),
            Self::OtherTarget(target) => write!(f, "it was not locked for {target}"),
        }
    }
}

impl Hint for Drift {
    fn hint(&self) -> Option<String> {
        Some("run `layercake lock` with the same inputs, and look at what it changes".to_owned())
    }
}

fn told(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl LockedInputs {
    /// How `now` differs from what was locked; nothing when the lock is good for it. The lock may be
    /// for more targets than are wanted now.
    pub fn drift(&self, now: &Self) -> Option<Drift> {
        let mut changes = Vec::new();
        let mut compare =
            |then: &[String], now: &[String], added: fn(String) -> Change, removed: fn(String) -> Change| {
                let (then, now): (BTreeSet<_>, BTreeSet<_>) = (then.iter().collect(), now.iter().collect());
                changes.extend(now.difference(&then).map(|&text| added(text.clone())));
                changes.extend(then.difference(&now).map(|&text| removed(text.clone())));
            };
        compare(&self.requirements, &now.requirements, Change::Added, Change::Removed);
        compare(&self.constraints, &now.constraints, Change::AddedConstraint, Change::RemovedConstraint);
        let missing = now.targets.iter().filter(|target| !self.targets.contains(target));
        changes.extend(missing.copied().map(Change::OtherTarget));
        (!changes.is_empty()).then_some(Drift { changes })
    }
}
