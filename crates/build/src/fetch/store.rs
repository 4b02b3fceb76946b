//! The wheel cache on disk, addressed by content.
//!
//! ```text
//! wheels/ab/abcdef…/lock            held while one process fetches
//!                  /partial         bytes of an unfinished download; the next try resumes it
//!                  /NAME.whl        the wheel, verified
//!                  /facts.json      what is in it; written last, so that its presence means "done"
//! ```
//!
//! Owns this layout. Never decides what a sound wheel is.

use std::fs::File;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    cached_wheel::CachedWheel,
    resolution::ResolvedWheel,
    wheel::{WheelFacts, WheelFilename},
    zip::Archive,
};

use super::FetchError;

/// The folder of all wheels.
pub(super) struct WheelCache {
    folder: Utf8PathBuf,
}

/// The place of one wheel, held by this process.
pub(super) struct Place {
    folder: Utf8PathBuf,
    _lock: File,
}

/// A wheel that is in the cache.
pub(super) struct Opened {
    pub(super) path: Utf8PathBuf,
    pub(super) size: u64,
    pub(super) archive: Archive,
    pub(super) facts: WheelFacts,
}

impl WheelCache {
    pub(super) fn new(cache: &Utf8Path) -> Self {
        Self { folder: cache.join("wheels") }
    }

    fn place(&self, wheel: &ResolvedWheel) -> Utf8PathBuf {
        let hash = wheel.sha256.to_hex();
        self.folder.join(&hash[..2]).join(hash)
    }

    /// The wheel, if it is there and undamaged as far as can be told without reading it.
    pub(super) fn open(&self, wheel: &ResolvedWheel) -> Option<Opened> {
        let folder = self.place(wheel);
        let path = folder.join(&wheel.filename);
        let json = std::fs::read(folder.join("facts.json")).ok()?;
        let CachedWheel { size, archive, facts, .. } = CachedWheel::from_json(&json)?;
        let there = std::fs::metadata(&path).ok()?.len();
        (there == size).then_some(Opened { path, size, archive, facts })
    }

    /// Takes the wheel's place for this process, waiting for another that has it.
    pub(super) fn lock(&self, wheel: &ResolvedWheel) -> Result<Place, FetchError> {
        // The name becomes a path, so it must be one that a wheel can have.
        wheel.filename.parse::<WheelFilename>().map_err(|error| FetchError::Misnamed {
            filename: wheel.filename.clone(),
            reason: error.to_string(),
        })?;
        let folder = self.place(wheel);
        let path = folder.join("lock");
        let locked = std::fs::create_dir_all(&folder)
            .and_then(|()| File::options().create(true).append(true).open(&path))
            .and_then(|file| file.lock().map(|()| file));
        match locked {
            Ok(lock) => Ok(Place { folder, _lock: lock }),
            Err(source) => Err(FetchError::Cache { path, source }),
        }
    }
}

impl Place {
    /// Where unfinished bytes are.
    pub(super) fn partial(&self) -> Utf8PathBuf {
        self.folder.join("partial")
    }

    /// Makes the finished download the wheel.
    pub(super) fn keep(
        &self,
        wheel: &ResolvedWheel,
        size: u64,
        archive: Archive,
        facts: WheelFacts,
    ) -> Result<Opened, FetchError> {
        let path = self.folder.join(&wheel.filename);
        let cache = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| FetchError::Cache { path, source }
        };
        std::fs::rename(self.partial(), &path).map_err(cache(&path))?;
        let cached = CachedWheel::new(size, archive, facts);
        let json_path = self.folder.join("facts.json");
        let json = cached.to_json().map_err(std::io::Error::from).map_err(cache(&json_path))?;
        let beside = self.folder.join("facts.json.new");
        std::fs::write(&beside, json).map_err(cache(&beside))?;
        std::fs::rename(&beside, &json_path).map_err(cache(&json_path))?;
        Ok(Opened { path, size, archive: cached.archive, facts: cached.facts })
    }
}
