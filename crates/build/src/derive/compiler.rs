//! The interpreter that compiles modules.
//!
//! Owns its process and the frames to and from it. Never runs a line of a wheel's code: the modules
//! are parsed and compiled, not imported.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::hash::Sha256;

use super::DeriveError;

const SCRIPT: &str = include_str!("compile.py");

/// A Python that compiles, with what its bytecode depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    executable: Utf8PathBuf,
    identity: String,
}

impl Compiler {
    /// Asks the interpreter who it is; the answer is remembered in the cache for as long as the
    /// program does not change.
    ///
    /// # Errors
    /// [`DeriveError::Compiler`] when it does not start.
    pub fn open(executable: &Utf8Path, cache: &Utf8Path) -> Result<Self, DeriveError> {
        let remembered = cache.join("interpreters").join(format!("{}.txt", &stamp(executable)[..32]));
        if let Ok(identity) = std::fs::read_to_string(&remembered)
            && identity.len() == 16
        {
            return Ok(Self { executable: executable.to_owned(), identity });
        }
        let output = command(executable).arg("identity").stdin(Stdio::null()).output();
        let output = output.map_err(|error| failed(executable, error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(
                executable,
                said.lines().last().unwrap_or("it ended with an error").to_owned(),
            ));
        }
        let described = [&output.stdout, SCRIPT.as_bytes()].concat();
        let identity = Sha256::of(&described).to_hex()[..16].to_owned();
        // Only a shortcut: without it the interpreter is asked again.
        if let Some(folder) = remembered.parent() {
            let _ = std::fs::create_dir_all(folder)
                .and_then(|()| tempfile::NamedTempFile::new_in(folder))
                .and_then(|file| std::fs::write(file.path(), &identity).map(|()| file))
                .map(|file| file.persist(&remembered));
        }
        Ok(Self { executable: executable.to_owned(), identity })
    }

    /// A short text that is the same exactly when the bytecode is.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Starts a process that compiles.
    pub(super) fn start(&self) -> Result<Running<'_>, DeriveError> {
        let refuse = |error: std::io::Error| failed(&self.executable, error.to_string());
        let mut child = command(&self.executable)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(refuse)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&self.executable, "it has no pipes".to_owned()));
        };
        Ok(Running { compiler: self, child, input: Some(input), output })
    }
}

/// What the program is, as far as the file system tells.
fn stamp(executable: &Utf8Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let facts = std::fs::metadata(executable).map(|metadata| {
        (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
    });
    Sha256::of(format!("{executable} {facts:?} {SCRIPT}").as_bytes()).to_hex()
}

fn command(executable: &Utf8Path) -> Command {
    let mut command = Command::new(executable);
    // Nothing of the user's own may change what is compiled; sets in constants come in the order of
    // their hashes.
    command
        .args(["-s", "-S", "-B", "-c", SCRIPT])
        .env_clear()
        .env("PYTHONHASHSEED", "0")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/");
    command
}

fn failed(executable: &Utf8Path, reason: String) -> DeriveError {
    DeriveError::Compiler { executable: executable.to_owned(), reason }
}

/// The process.
pub(super) struct Running<'a> {
    compiler: &'a Compiler,
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Running<'_> {
    /// Compiles one module. `path` is what tracebacks show. The inner error says why it cannot be
    /// compiled, which is the module's own affair.
    pub(super) fn compile(
        &mut self,
        path: &str,
        source: &[u8],
        without_docstrings: bool,
    ) -> Result<Result<Vec<u8>, String>, DeriveError> {
        self.exchange(path, source, without_docstrings)
            .map_err(|error| failed(&self.compiler.executable, error.to_string()))
    }

    fn exchange(
        &mut self,
        path: &str,
        source: &[u8],
        without_docstrings: bool,
    ) -> std::io::Result<Result<Vec<u8>, String>> {
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(std::io::Error::other);
        let mut frame = Vec::with_capacity(9 + path.len() + source.len());
        frame.extend(length(path.as_bytes())?);
        frame.extend(length(source)?);
        frame.push(u8::from(without_docstrings));
        frame.extend(path.as_bytes());
        frame.extend(source);
        let input = self.input.as_mut().ok_or_else(|| std::io::Error::other("it was ended"))?;
        input.write_all(&frame)?;
        let mut head = [0; 5];
        self.output.read_exact(&mut head)?;
        let mut answer = vec![0; u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize];
        self.output.read_exact(&mut answer)?;
        Ok(if head[0] == 0 { Ok(answer) } else { Err(String::from_utf8_lossy(&answer).into_owned()) })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.input = None;
        let _ = self.child.wait();
    }
}
