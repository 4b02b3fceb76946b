//! Lambda's limits on sizes and numbers.
//!
//! Owns the sums. The limits themselves, with their source, are in [`crate::limits`].

use serde::{Deserialize, Serialize};

use super::{Code, Findings, NamedContents, Place, Severity, Subject};
use crate::limits;

/// Sizes that Lambda limits, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// Each zip: the layers in their order, then the function.
    pub zips: Vec<ZipSizes>,
    /// Unzipped, all together.
    pub unzipped: u64,
    /// What the sum may be.
    pub limit: u64,
    /// What is left for function code and further layers; 0 when the sum is too large.
    pub left: u64,
}

/// Sizes of one zip in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZipSizes {
    /// What the zip is called.
    pub name: String,
    /// The zip itself.
    pub zipped: u64,
    /// Its files unpacked.
    pub unzipped: u64,
}

impl Sizes {
    /// Adds up.
    pub fn of(subject: &Subject<'_>) -> Self {
        let zips: Vec<_> = subject
            .layers
            .iter()
            .chain(subject.function)
            .map(|zip| ZipSizes {
                name: zip.name.clone(),
                zipped: zip.zip_bytes,
                unzipped: zip.contents.unpacked_size(),
            })
            .collect();
        let unzipped = zips.iter().map(|zip| zip.unzipped).sum();
        let limit = limits::UNZIPPED_BYTES;
        Self { zips, unzipped, limit, left: limit.saturating_sub(unzipped) }
    }
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Findings) {
    let limit = limits::UNZIPPED_BYTES;
    let mut single_is_too_large = false;
    for zip in subject.layers.iter().chain(subject.function) {
        let unzipped = zip.contents.unpacked_size();
        if unzipped >= limit {
            single_is_too_large = true;
            found.add(
                Severity::Error,
                Code::TooLarge,
                Place::zip(zip),
                format!(
                    "it has {unzipped} bytes unzipped; Lambda takes less than {limit} in one package: {}",
                    heaviest(zip)
                ),
                "`layercake build --fit` makes it smaller where that does no harm",
            );
        }
        if !limits::fits_in_request(zip.zip_bytes) {
            found.add(
                Severity::Note,
                Code::NeedsS3,
                Place::zip(zip),
                format!(
                    "the zip has {} bytes; one of {} or more does not go into a request and must go through S3",
                    zip.zip_bytes,
                    limits::ZIPPED_DIRECT_BYTES
                ),
                "`layercake up` does that by itself; elsewhere upload it to a bucket first and name that",
            );
        }
    }
    together(subject, single_is_too_large, found);
    if subject.layers.len() > limits::LAYERS_PER_FUNCTION {
        found.add(
            Severity::Error,
            Code::TooManyLayers,
            Place::EVERYWHERE,
            format!(
                "there are {} layers; a function has at most {}",
                subject.layers.len(),
                limits::LAYERS_PER_FUNCTION
            ),
            "put the packages of several layers into one",
        );
    }
}

fn together(subject: &Subject<'_>, single_is_too_large: bool, found: &mut Findings) {
    let sizes = Sizes::of(subject);
    let what = if subject.function.is_some() { "function and layers" } else { "the layers" };
    if sizes.unzipped > sizes.limit && !single_is_too_large {
        found.add(
            Severity::Error,
            Code::TooLarge,
            Place::EVERYWHERE,
            format!(
                "{what} have {} bytes unzipped together; Lambda takes {} at most",
                sizes.unzipped, sizes.limit
            ),
            "`layercake build --fit --budget` makes a layer fit beside the others",
        );
    } else if sizes.left > 0 && sizes.left < sizes.limit / 20 {
        let rest =
            if subject.function.is_some() { "" } else { " for the function's code and further layers" };
        found.add(
            Severity::Note,
            Code::NearlyFull,
            Place::EVERYWHERE,
            format!("{what} have {} bytes unzipped; {} are left{rest}", sizes.unzipped, sizes.left),
            "nothing needs to be done; Lambda counts function and layers together",
        );
    }
}

/// The three distributions that weigh most.
fn heaviest(zip: &NamedContents) -> String {
    let mut weights = vec![0; zip.contents.distributions.len()];
    for file in &zip.contents.files {
        if let Some(weight) = file.owner.and_then(|owner| weights.get_mut(owner)) {
            *weight += file.size;
        }
    }
    let mut heaviest: Vec<_> = zip.contents.distributions.iter().zip(weights).collect();
    heaviest.sort_by(|(one, weight), (other, heavier)| {
        heavier.cmp(weight).then_with(|| one.name.cmp(&other.name))
    });
    let words: Vec<_> = heaviest
        .iter()
        .take(3)
        .map(|(distribution, weight)| format!("{} {weight}", distribution.name))
        .collect();
    if words.is_empty() {
        "no package is known in it".to_owned()
    } else {
        format!("most weigh {}", words.join(", "))
    }
}
