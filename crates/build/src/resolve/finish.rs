//! From the chosen files to a resolution: every file gets its sha256, and the hashes that the user
//! allows are enforced.
//!
//! Owns what happens when nobody tells a file's hash: it is computed from the bytes. Never takes a
//! file whose hash no line allows.

use layercake_core::{hash::Sha256, resolution::ResolvedWheel};

use super::{AllowedHashes, Asked, Digest, PackageIndex, ResolveError, draft::Draft};
use crate::fetch::measure;

/// The wheels of the drafts.
pub(super) fn finish(
    index: &PackageIndex,
    asked: &Asked,
    drafts: Vec<Draft>,
) -> Result<Vec<ResolvedWheel>, ResolveError> {
    drafts.into_iter().map(|draft| finish_one(index, asked, draft)).collect()
}

fn finish_one(index: &PackageIndex, asked: &Asked, mut draft: Draft) -> Result<ResolvedWheel, ResolveError> {
    let allowed: Vec<&AllowedHashes> =
        asked.hashes.iter().filter(|allowed| allowed.belongs_to(&draft.name, &draft.origins)).collect();
    if asked.require_hashes && allowed.is_empty() {
        return Err(ResolveError::HashRequired {
            package: draft.name.clone(),
            version: draft.version.clone(),
        });
    }
    let is_told = |allowed: &AllowedHashes, digests: &[Digest]| {
        let of_same_kind =
            |digest: &Digest| digests.iter().any(|known| known.algorithm() == digest.algorithm());
        allowed.digests.iter().any(|digest| digests.contains(digest))
            || allowed.digests.iter().all(of_same_kind)
    };
    let mut known = match draft.source {
        // The hashes are those of the source; the wheel was made here.
        Some(_) => None,
        None => draft.digests.iter().find_map(Digest::sha256),
    };
    let is_unsure = draft.source.is_none() && allowed.iter().any(|allowed| !is_told(allowed, &draft.digests));
    if known.is_none() || is_unsure {
        let measured = measure(index, &draft.filename, &draft.url).map_err(|error| ResolveError::NoHash {
            filename: draft.filename.clone(),
            url: draft.url.clone(),
            reason: error.to_string(),
        })?;
        if draft.source.is_none() {
            // What the index says of the same kind stands: the download is compared with it later.
            draft.digests.extend(measured.digests);
        }
        draft.size.get_or_insert(measured.size);
        known.get_or_insert(measured.sha256);
    }
    for allowed in allowed {
        if !allowed.digests.iter().any(|digest| draft.digests.contains(digest)) {
            return Err(not_allowed(allowed, &draft, known));
        }
    }
    let sha256 = known.ok_or_else(|| ResolveError::Internal { reason: "a file has no hash".to_owned() })?;
    Ok(ResolvedWheel {
        name: draft.name,
        version: draft.version,
        filename: draft.filename,
        url: draft.url,
        sha256,
        size: draft.size,
        required_by: draft.required_by,
        asked: draft.asked,
        source: draft.source,
    })
}

fn not_allowed(allowed: &AllowedHashes, draft: &Draft, wheel: Option<Sha256>) -> ResolveError {
    let same = draft
        .digests
        .iter()
        .find(|known| allowed.digests.iter().any(|digest| digest.algorithm() == known.algorithm()));
    let actual = match (same, wheel) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(sha256)) => Digest::from(sha256).to_string(),
        (None, None) => "no hash that is known".to_owned(),
    };
    ResolveError::HashNotAllowed {
        package: draft.name.clone(),
        origin: allowed.origin.clone(),
        filename: draft.filename.clone(),
        actual: actual.replacen(':', " ", 1),
    }
}
