//! Removes files and trees that no record names.

use layercake_core::hash::Sha256;
use rusqlite::{Connection, params};

use super::{Pinned, Store, StoreError, held};

impl Store {
    /// Removes those of `candidates` that no record names. What is in use now is removed when its
    /// last user lets go.
    pub(crate) fn collect(&self, candidates: impl IntoIterator<Item = Pinned>) -> Result<(), StoreError> {
        for candidate in candidates {
            let doomed = {
                // Held over the whole decision: who wants to use the thing pins it first.
                let pins = held(&self.pins);
                if pins.contains_key(&candidate) {
                    held(&self.garbage).insert(candidate);
                    continue;
                }
                self.set_aside(&candidate)?
            };
            for folder in doomed {
                fs_err::remove_dir_all(folder)?;
            }
        }
        Ok(())
    }

    /// Removes one thing, or moves it out of sight when removing takes long. Gives what is left
    /// to remove.
    fn set_aside(&self, candidate: &Pinned) -> Result<Vec<camino::Utf8PathBuf>, StoreError> {
        let (named, runs) = self.read(|connection| named(connection, candidate))?;
        let mut doomed = Vec::new();
        let mut move_away = |folder: camino::Utf8PathBuf| -> Result<(), StoreError> {
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
    pub(super) fn collect_everything(&self) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for shelf in fs_err::read_dir(self.root.join("blobs"))? {
            for file in fs_err::read_dir(shelf?.path())? {
                found.push(Pinned::Blob(file?.file_name().to_string_lossy().into_owned()));
            }
        }
        for tree in fs_err::read_dir(self.root.join("trees"))? {
            found.push(Pinned::Blob(tree?.file_name().to_string_lossy().into_owned()));
        }
        for tree in fs_err::read_dir(self.root.join("merged"))? {
            found.push(Pinned::Merged(tree?.file_name().to_string_lossy().into_owned()));
        }
        self.collect(found)
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
                || exists("SELECT 1 FROM objects WHERE sha256 = ?1", hex)?
                || exists("SELECT 1 FROM parts WHERE sha256 = ?1", hex)?;
            (named, runs)
        }
        Pinned::Merged(key) => {
            let runs = runs(key)?;
            (runs, runs)
        }
    })
}
