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
    levers::{self, Note},
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
    let fitted = fit(cache, &parts, &wanted, has_interpreter, progress)?;
    let Fitted { plan, derived, policy, pulled } = fitted;
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

/// A plan, and what led to it.
struct Fitted {
    plan: LayerPlan,
    derived: DerivedSet,
    policy: Policy,
    pulled: Vec<Pulled>,
}

/// Plans, and pulls levers while the plan is too large and there are any.
fn fit(
    cache: &Utf8Path,
    parts: &[Part],
    wanted: &Wanted<'_>,
    has_interpreter: bool,
    progress: &dyn Progress,
) -> Result<Fitted, LayerError> {
    let planned = |policy: Policy, pulled| -> Result<Fitted, LayerError> {
        let (plan, derived) = plan_parts(cache, parts, &policy, wanted.imported, progress)?;
        Ok(Fitted { plan, derived, policy, pulled })
    };
    let note = wanted.fit.map(|_| levers::place(cache, parts, wanted));
    if let Some(note) = note.as_deref().and_then(levers::read)
        && let Some(policy) = note.policy(wanted.policy, has_interpreter)
    {
        let fitted = planned(policy, note.pulled)?;
        if fitted.plan.unzipped_size() == note.unzipped_size {
            return Ok(fitted);
        }
    }
    let mut fitted = planned(wanted.policy.clone(), Vec::new())?;
    for lever in Lever::ALL {
        if wanted.fit.is_none_or(|limit| fitted.plan.unzipped_size() < limit) {
            break;
        }
        let Some(next) = lever.pull(&fitted.policy, has_interpreter) else { continue };
        let smaller = planned(next, fitted.pulled.clone())?;
        let (before, after) = (fitted.plan.unzipped_size(), smaller.plan.unzipped_size());
        // A lever that gains nothing is not worth its price.
        if after < before {
            fitted = smaller;
            fitted.pulled.push(Pulled { lever, gained: before - after });
        }
    }
    if let Some(place) = note
        && !fitted.pulled.is_empty()
    {
        let note = Note { pulled: fitted.pulled.clone(), unzipped_size: fitted.plan.unzipped_size() };
        levers::keep(&place, &note);
    }
    Ok(fitted)
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
