//! Removes files and trees that no record names.

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::hash::Sha256;
use rusqlite::{Connection, params};

use super::{Pinned, Store, StoreError, held, trees};

impl Store {
    /// Removes those of `candidates` that no record names. What is in use now is removed when its
    /// last user lets go.
    ///
    /// Never fails: what made something garbage has happened already, and the next start looks at
    /// everything again.
    pub(crate) fn collect(&self, candidates: impl IntoIterator<Item = Pinned>) {
        for candidate in candidates {
            match self.set_aside(&candidate) {
                Ok(doomed) => doomed.iter().for_each(|folder| trees::remove_leftover(folder)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, ?candidate, "cannot collect what nobody names");
                }
            }
        }
    }

    /// Removes one thing, or moves it out of sight when removing takes long. Gives what is left
    /// to remove.
    fn set_aside(&self, candidate: &Pinned) -> Result<Vec<Utf8PathBuf>, StoreError> {
        self.read(|connection| {
            // Held over the whole decision: who wants to use the thing pins it first. Taken after
            // the reader, so that nobody who pins waits for a long query.
            let pins = held(&self.pins);
            if pins.contains_key(candidate) {
                held(&self.garbage).insert(candidate.clone());
                return Ok(Vec::new());
            }
            // A folder that was given up may be another process's by now.
            let lock = held(&self.lock);
            if lock.is_none() {
                return Ok(Vec::new());
            }
            self.remove_unless_named(connection, candidate)
        })
    }

    fn remove_unless_named(
        &self,
        connection: &Connection,
        candidate: &Pinned,
    ) -> Result<Vec<Utf8PathBuf>, StoreError> {
        let (named, runs) = named(connection, candidate)?;
        let mut doomed = Vec::new();
        let mut move_away = |folder: Utf8PathBuf| -> Result<(), StoreError> {
            if folder.exists() {
                let beside = self.root.join("beside").join(uuid::Uuid::new_v4().to_string());
                fs_err::rename(&folder, &beside)?;
                doomed.push(beside);
            }
            Ok(())
        };
        match candidate {
            Pinned::Blob(hex) => {
                if !runs {
                    move_away(self.root.join("trees").join(hex))?;
                }
                if !named && let Ok(sha256) = hex.parse::<Sha256>() {
                    let path = self.blob_path(sha256);
                    if path.exists() {
                        fs_err::remove_file(path)?;
                        self.forget_sound(sha256);
                    }
                }
            }
            Pinned::Merged(key) => {
                if !named {
                    move_away(self.root.join("merged").join(key))?;
                }
            }
        }
        Ok(doomed)
    }

    /// Looks at every file and tree of the folder; for the start, when nothing is in use.
    pub(super) fn collect_everything(&self) {
        let list = |folder: &Utf8Path| match folder.read_dir_utf8() {
            Ok(items) => items.flatten().map(|item| item.file_name().to_owned()).collect(),
            Err(error) => {
                tracing::warn!(%folder, %error, "cannot look for what nobody names");
                Vec::new()
            }
        };
        let blobs = self.root.join("blobs");
        let shelved = list(&blobs).into_iter().flat_map(|shelf| list(&blobs.join(shelf)));
        self.collect(shelved.map(Pinned::Blob));
        self.collect(list(&self.root.join("trees")).into_iter().map(Pinned::Blob));
        self.collect(list(&self.root.join("merged")).into_iter().map(Pinned::Merged));
    }
}

/// Whether any record names the thing, and whether a function runs from it.
fn named(connection: &Connection, candidate: &Pinned) -> Result<(bool, bool), StoreError> {
    let exists = |sql: &str, key: &str| -> Result<bool, StoreError> {
        Ok(connection.prepare_cached(sql)?.exists(params![key])?)
    };
    let runs = |key| exists("SELECT 1 FROM function_uses WHERE key = ?1", key);
    Ok(match candidate {
        Pinned::Blob(hex) => {
            let runs = runs(hex)?;
            let named = runs
                || exists("SELECT 1 FROM layer_versions WHERE sha256 = ?1", hex)?
                || exists("SELECT 1 FROM object_versions WHERE sha256 = ?1", hex)?
                || exists("SELECT 1 FROM parts WHERE sha256 = ?1", hex)?;
            (named, runs)
        }
        Pinned::Merged(key) => {
            let runs = runs(key)?;
            (runs, runs)
        }
    })
}
