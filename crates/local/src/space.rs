//! How much room a data directory has.

use camino::Utf8Path;

/// Free bytes for ordinary users on the disk of a folder, or of the folder that it would be made in.
#[allow(clippy::useless_conversion, reason = "counts of blocks have 32 bits on macOS")]
pub fn free_space(folder: &Utf8Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    let found = nix::sys::statvfs::statvfs(there.as_std_path()).ok()?;
    Some(u64::from(found.blocks_available()) * u64::from(found.fragment_size()))
}
