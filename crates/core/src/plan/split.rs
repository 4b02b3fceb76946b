//! Splitting a layer into several that change independently.
//!
//! Owns which package goes where. Never splits a package, and never moves one because another one
//! changed its version.

use std::collections::BTreeSet;

use super::{LayerPlan, limits};
use crate::Hint;

/// A package smaller than this stays with the others: a layer of its own would cost one of five
/// places and save little.
const HEAVY_BYTES: u64 = 5_000_000;

/// One of several layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The heavy package that it is for, or `rest`.
    pub name: String,
    /// Its files. Its packages are those of the whole plan, most of them empty.
    pub plan: LayerPlan,
}

/// A number of layers that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a layer cannot be split into {count}; a function has at most {} layers",
    limits::LAYERS_PER_FUNCTION
)]
pub struct BadSplit {
    /// What was given.
    pub count: usize,
}

impl Hint for BadSplit {
    fn hint(&self) -> Option<String> {
        Some(format!("give a number from 2 to {}", limits::LAYERS_PER_FUNCTION))
    }
}

/// Splits a plan: the heaviest packages get a layer each, everything else shares the last one, so
/// that a changed small package leaves the large uploads as they are.
///
/// # Errors
/// [`BadSplit`] for less than 2 or more than five parts.
pub fn split(plan: &LayerPlan, count: usize) -> Result<Vec<Part>, BadSplit> {
    if !(2..=limits::LAYERS_PER_FUNCTION).contains(&count) {
        return Err(BadSplit { count });
    }
    let mut heavy: Vec<usize> =
        (0..plan.wheels.len()).filter(|&number| plan.wheels[number].unzipped >= HEAVY_BYTES).collect();
    heavy.sort_by(|&a, &b| {
        let (a, b) = (&plan.wheels[a], &plan.wheels[b]);
        b.unzipped.cmp(&a.unzipped).then_with(|| a.name.cmp(&b.name))
    });
    // One package alone needs no company: then there is no rest.
    let alone = count.min(plan.wheels.len()).saturating_sub(1);
    heavy.truncate(alone);
    let mut parts: Vec<Part> = heavy
        .iter()
        .map(|&number| Part {
            name: plan.wheels[number].name.clone(),
            plan: plan.only(&BTreeSet::from([number])),
        })
        .collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let rest = (0..plan.wheels.len()).filter(|number| !heavy.contains(number)).collect();
    parts.push(Part { name: "rest".to_owned(), plan: plan.only(&rest) });
    Ok(parts)
}

impl LayerPlan {
    /// The part of the plan that these wheels are.
    pub fn only(&self, wheels: &BTreeSet<usize>) -> Self {
        let mut part = self.clone();
        part.files.retain(|file| wheels.contains(&file.wheel));
        part.excluded.retain(|file| wheels.contains(&file.wheel));
        part.findings.clear();
        part.settle();
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_without_packages_is_one_part_without_files() {
        let parts = split(&LayerPlan::joined(Vec::new()), 2).expect("two are allowed");
        let parts: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.plan.files.len())).collect();
        assert_eq!(parts, [("rest", 0)]);
    }
}
