//! Letting a verified download into the cache: every entry checked once, so that nobody after has
//! to.
//!
//! Owns the order of the checks. The checks themselves are in `layercake_core`.

use layercake_core::{
    resolution::ResolvedWheel,
    wheel::{FactFinder, WheelError, WheelFacts, WheelFilename, check_wheel, normalised_name},
    zip::{Archive, ReadLimits, ZipError, inflate, inflate_start, verify},
};
use rayon::prelude::*;

use super::{
    FetchError,
    store::{Opened, Place},
};
use crate::resolve::is_same_version;

/// Looks through the finished download and keeps it, or says why not.
pub(super) fn admit(wheel: &ResolvedWheel, place: &Place) -> Result<Opened, FetchError> {
    let partial = place.partial();
    let bytes =
        std::fs::read(&partial).map_err(|source| FetchError::Cache { path: partial.clone(), source })?;
    let refused = |source| FetchError::Refused { filename: wheel.filename.clone(), source };
    match look_through(&bytes) {
        Ok((archive, facts)) => {
            check_names(wheel, &archive)?;
            place.keep(wheel, bytes.len() as u64, archive, facts)
        }
        Err(error) => Err(refused(error)),
    }
}

fn look_through(bytes: &[u8]) -> Result<(Archive, WheelFacts), WheelError> {
    let archive = Archive::read(bytes, &ReadLimits::WHEEL)?;
    check_wheel(&archive)?;
    let finder = FactFinder::new(&archive);
    let found: Vec<Result<WheelFacts, ZipError>> = archive
        .entries
        .par_iter()
        .map(|entry| {
            let Some(most) = finder.wants(entry) else {
                return verify(bytes, entry).map(|()| WheelFacts::default());
            };
            let start = inflate_start(bytes, entry, most)?;
            // Only an entry that is looked at whole was verified with that.
            if entry.size > most && !start.starts_with(layercake_core::wheel::ELF_MAGIC) {
                verify(bytes, entry)?;
            }
            finder.look(entry, &start, || inflate(bytes, entry))
        })
        .collect();
    let mut facts = WheelFacts::default();
    for found in found {
        facts.add(found?);
    }
    Ok((archive, facts))
}

/// The file name, the `.dist-info` folder and the pin must speak of one package and one version: an
/// archive under a false name would otherwise come in unseen.
fn check_names(wheel: &ResolvedWheel, archive: &Archive) -> Result<(), FetchError> {
    let misnamed = |reason: String| FetchError::Misnamed { filename: wheel.filename.clone(), reason };
    let filename: WheelFilename = wheel
        .filename
        .parse()
        .map_err(|error: layercake_core::wheel::NotAWheelFilename| misnamed(error.to_string()))?;
    if normalised_name(&filename.name) != wheel.name {
        return Err(misnamed(format!("it was given for the package `{}`", wheel.name)));
    }
    let folder = archive
        .entries
        .iter()
        .filter_map(|entry| entry.path.strip_suffix(".dist-info/WHEEL"))
        .find(|folder| !folder.contains('/'))
        .unwrap_or_default();
    let (name, version) = folder.split_once('-').unwrap_or((folder, ""));
    if normalised_name(name) != wheel.name || !is_same_version(version, &filename.version) {
        return Err(misnamed(format!("its contents are those of `{folder}`")));
    }
    if !is_same_version(&filename.version, &wheel.version) {
        return Err(misnamed(format!("it was given for version {}", wheel.version)));
    }
    Ok(())
}
