//! The runtime client that environments start: our bootstrap, as source and as bytecode.
//!
//! Owns the two files. Python compiles a script anew on each start, so the bytecode is made once
//! per interpreter and kept; without it everything works the same, a few milliseconds later.

use std::{
    io,
    process::{Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use crate::interpreters::Interpreter;

pub(super) const SOURCE: &str = include_str!("bootstrap/bootstrap.py");

/// What starts it with a debugger: the arguments are the client's file and the port.
pub(super) const DEBUGGED: &str = include_str!("bootstrap/debugged.py");

/// Compiles for the interpreter that runs it. The name in the code is the one tracebacks show
/// (and hide), wherever the file lies.
const COMPILE: &str = "\
import sys, marshal, importlib.util
with open(sys.argv[1], encoding='utf-8') as source:
    code = compile(source.read(), '/var/runtime/bootstrap.py', 'exec')
with open(sys.argv[2], 'wb') as target:
    padding = bytes(12 if sys.version_info >= (3, 7) else 8)
    target.write(importlib.util.MAGIC_NUMBER + padding + marshal.dumps(code))
";

/// The files of the client below the sandbox's folder.
#[derive(Clone, Debug)]
pub(super) struct ClientFiles {
    pub(super) source: Utf8PathBuf,
    /// Absent when the interpreter could not make it.
    pub(super) bytecode: Option<Utf8PathBuf>,
}

impl ClientFiles {
    /// The better of the two.
    pub(super) fn program(&self) -> &Utf8Path {
        self.bytecode.as_deref().unwrap_or(&self.source)
    }
}

/// Writes what is not there yet.
pub(super) fn prepare(work: &Utf8Path, interpreter: &Interpreter) -> io::Result<ClientFiles> {
    let folder = work.join("runtime");
    fs_err::create_dir_all(&folder)?;
    let hash: String = Sha256::digest(SOURCE).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let (major, minor, patch) = interpreter.version;
    let source = folder.join(format!("bootstrap-{hash}.py"));
    write_once(&source, |target| fs_err::write(target, SOURCE))?;
    let bytecode = folder.join(format!("bootstrap-{hash}-{major}.{minor}.{patch}.pyc"));
    let compiled = write_once(&bytecode, |target| {
        let status = Command::new(&interpreter.executable)
            .args(["-I", "-S", "-c", COMPILE, source.as_str(), target.as_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("the interpreter failed")) }
    });
    Ok(ClientFiles { source, bytecode: compiled.is_ok().then_some(bytecode) })
}

/// Makes a file whole or not at all, also when several environments start at the same time.
fn write_once(path: &Utf8Path, write: impl FnOnce(&Utf8Path) -> io::Result<()>) -> io::Result<()> {
    if path.is_file() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    let partial = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?.into_temp_path();
    let target = Utf8Path::from_path(&partial).ok_or_else(|| io::Error::other("a name that is not UTF-8"))?;
    write(target)?;
    // Functions run as somebody else and must read it.
    fs_err::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    partial.persist(path).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_make_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8").join("file");
        for round in 0..50 {
            let barrier = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        write_once(&path, |target| fs_err::write(target, "whole")).expect("written");
                    });
                }
            });
            assert_eq!(fs_err::read_to_string(&path).expect("there"), "whole", "round {round}");
            fs_err::remove_file(&path).expect("removed");
        }
        assert_eq!(folder.path().read_dir().expect("readable").count(), 0, "nothing half-made is left");
    }
}
