//! The places of an unpacked image at which an environment mounts something.
//!
//! Owns the guarantee that these are real folders and files: a link there would lead a mount out of
//! the image, and to this machine's own folder of that name.

use std::{io, os::unix::fs::PermissionsExt, path::Path};

use super::ImageError;

/// Folders that hold places: an image in which one is a link is refused.
const PARENTS: [&str; 3] = ["", "etc", "var"];
/// Folders that something is mounted at.
const FOLDERS: [&str; 5] = ["dev", "opt", "proc", "tmp", "var/task"];
/// Files that something is mounted at.
pub(in crate::sandbox) const FILES: [&str; 4] = ["etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf"];

/// Makes what is missing.
pub(super) fn prepare(root: &Path) -> Result<(), ImageError> {
    for name in PARENTS {
        let path = root.join(name);
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(ImageError::Layout { path: format!("/{name}") }),
            Err(_) => make_folder(&path)?,
        }
    }
    open_to_all(root)?;
    for name in FOLDERS {
        let path = root.join(name);
        if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            remove_file(&path)?;
            make_folder(&path)?;
        }
    }
    for name in FILES {
        let path = root.join(name);
        if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            remove_file(&path)?;
            fs_err::write(&path, "").map_err(failed)?;
        }
    }
    Ok(())
}

fn failed(source: io::Error) -> ImageError {
    ImageError::Folder { step: "prepare an image", source }
}

fn make_folder(path: &Path) -> Result<(), ImageError> {
    fs_err::create_dir(path).map_err(failed)?;
    open_to_all(path)
}

/// A function is another user than this server.
fn open_to_all(path: &Path) -> Result<(), ImageError> {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(failed)
}

/// Removes a link or a file; a folder in its place makes what follows fail.
fn remove_file(path: &Path) -> Result<(), ImageError> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}
