//! From fetched wheels to the plan of a layer with all that it needs: planned, derived, planned
//! again, and with `--fit` as often as a lever is left.
//!
//! Owns the order of these steps. Never decides about a file (the plan does) and writes nothing but
//! the cache.

use std::collections::BTreeSet;

use camino::Utf8Path;
use layercake_core::{
    Hint,
    plan::{
        Bytecode, Given, LayerPlan, Layout, PlanError, Policy,
        fit::{Lever, Pulled},
    },
    target::Target,
    zip::Packing,
};

use crate::{
    derive::{Compiler, DeriveError, DerivedSet, How, Progress, derive},
    fetch::WheelSet,
};

/// The wheels for one target of a layer.
#[derive(Debug)]
pub struct Part {
    /// What they are for.
    pub target: Target,
    /// The wheels.
    pub wheels: WheelSet,
    /// What compiles for it; without, this part has no bytecode.
    pub compiler: Option<Compiler>,
}

/// What is wanted of the layer.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What decides about each file.
    pub policy: &'a Policy,
    /// Test modules that the app imports.
    pub imported: &'a BTreeSet<String>,
    /// Unzipped bytes that the layer must stay below, when levers may be pulled for it.
    pub fit: Option<u64>,
}

/// A layer, decided.
#[derive(Debug)]
pub struct PlannedLayer {
    /// Every file.
    pub plan: LayerPlan,
    /// The wheels that the plan numbers.
    pub wheels: WheelSet,
    /// What was derived from them.
    pub derived: DerivedSet,
    /// The policy that led to it.
    pub policy: Policy,
    /// The levers that were pulled, in their order.
    pub pulled: Vec<Pulled>,
    /// Targets without bytecode, since there is no interpreter for them.
    pub without_bytecode: Vec<Target>,
}

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The wheels contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Something could not be derived.
    #[error(transparent)]
    Derive(#[from] DeriveError),
}

impl Hint for LayerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Derive(error) => error.hint(),
        }
    }
}

/// Decides about the layer of these parts. Several parts lie in folders of their own
/// (`python/lib/pythonX.Y/site-packages`).
///
/// Blocks, and uses all cores for what is not in the cache yet.
///
/// # Errors
/// [`LayerError`]. A layer that stays too large is no error: its plan has the finding.
pub fn plan_layer(
    cache: &Utf8Path,
    parts: Vec<Part>,
    wanted: Wanted<'_>,
    progress: &dyn Progress,
) -> Result<PlannedLayer, LayerError> {
    let has_interpreter = parts.iter().all(|part| part.compiler.is_some());
    let mut policy = wanted.policy.clone();
    let mut pulled = Vec::new();
    let mut levers = Lever::ALL.into_iter();
    let (mut plan, mut derived) = plan_parts(cache, &parts, &policy, wanted.imported, progress)?;
    while wanted.fit.is_some_and(|limit| plan.unzipped_size() >= limit) {
        let Some(lever) = levers.next() else { break };
        let Some(next) = lever.pull(&policy, has_interpreter) else { continue };
        let before = plan.unzipped_size();
        let (smaller, from) = plan_parts(cache, &parts, &next, wanted.imported, progress)?;
        // A lever that gains nothing is not worth its price.
        if smaller.unzipped_size() < before {
            pulled.push(Pulled { lever, gained: before - smaller.unzipped_size() });
            (plan, derived, policy) = (smaller, from, next);
        }
    }
    let without_bytecode = match policy.bytecode {
        Bytecode::None => Vec::new(),
        _ => parts.iter().filter(|part| part.compiler.is_none()).map(|part| part.target).collect(),
    };
    let mut wheels = WheelSet { contents: Vec::new(), files: Vec::new(), downloaded: 0 };
    for part in parts {
        wheels.contents.extend(part.wheels.contents);
        wheels.files.extend(part.wheels.files);
        wheels.downloaded += part.wheels.downloaded;
    }
    Ok(PlannedLayer { plan, wheels, derived, policy, pulled, without_bytecode })
}

fn plan_parts(
    cache: &Utf8Path,
    parts: &[Part],
    policy: &Policy,
    imported: &BTreeSet<String>,
    progress: &dyn Progress,
) -> Result<(LayerPlan, DerivedSet), LayerError> {
    let layout = if parts.len() > 1 { Layout::SitePackages } else { Layout::Python };
    let mut plans = Vec::new();
    let mut derived = DerivedSet::default();
    for part in parts {
        let mut policy = policy.clone();
        if part.compiler.is_none() {
            policy.bytecode = Bytecode::None;
        }
        let given = Given {
            target: part.target,
            wheels: &part.wheels.contents,
            derived: &[],
            policy: &policy,
            imported,
            layout,
        };
        let needed = LayerPlan::new(&given)?.needed(&given);
        let packing = if policy.pack_hard { Packing::Hard } else { Packing::Normal };
        let how = How { compiler: part.compiler.as_ref(), packing };
        let made = derive(cache, &part.wheels, &needed, how, progress)?;
        plans.push(LayerPlan::new(&Given { derived: &made.files, ..given })?);
        derived.join(made);
    }
    let plan = match plans.len() {
        1 => plans.remove(0),
        _ => LayerPlan::joined(plans),
    };
    Ok((plan, derived))
}
