//! Asking the target's interpreter whether the app's code compiles, before anything is uploaded.
//!
//! Owns one call of an interpreter with our own program. Never runs the app's code, never writes
//! bytecode.

use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::Hint;

use crate::app::AppFile;

/// Why code is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SyntaxCheckError {
    /// The code.
    #[error("`{file}` line {line} is not valid for {python}: {message}")]
    Invalid {
        /// The file, below the app's folder.
        file: String,
        /// The line, counted from 1; 0 when the interpreter names none.
        line: u32,
        /// The line's text.
        text: String,
        /// What the interpreter said.
        message: String,
        /// The interpreter's version, `Python 3.12`.
        python: String,
    },
    /// The interpreter cannot be used.
    #[error("cannot check the code with the interpreter `{interpreter}`: {reason}")]
    Interpreter {
        /// The interpreter.
        interpreter: Utf8PathBuf,
        /// What happened.
        reason: String,
    },
}

impl Hint for SyntaxCheckError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Invalid { text, .. } if !text.is_empty() => format!("correct this line: {text}"),
            Self::Invalid { .. } => "correct the file".to_owned(),
            Self::Interpreter { .. } => "choose another interpreter with --python".to_owned(),
        })
    }
}

/// Compiles what standard input names, in memory; answers the first error. Runs on 3.6 and later.
///
/// Fields are separated by NUL, which neither a path nor a line of source can hold.
const PROGRAM: &str = r#"
import sys
names = sys.stdin.buffer.read().decode().split("\0")
for shown, path in zip(names[0::2], names[1::2]):
    try:
        with open(path, "rb") as file:
            compile(file.read(), shown, "exec", 0, True)
        continue
    except SyntaxError as error:
        found = [shown, str(error.lineno or 0), (error.text or "").strip(), str(error.msg)]
    except (ValueError, OverflowError, MemoryError, RecursionError) as error:
        found = [shown, "0", "", str(error) or type(error).__name__]
    found.append("Python %d.%d" % sys.version_info[:2])
    found = [field.replace("\0", " ") for field in found]
    sys.stdout.buffer.write("\0".join(found).encode("utf-8", "backslashreplace"))
    break
"#;

/// Compiles the Python files among `files` with `interpreter`.
///
/// # Errors
/// [`SyntaxCheckError::Invalid`] for the first file that does not compile.
pub fn check_syntax(interpreter: &Utf8Path, files: &[AppFile]) -> Result<(), SyntaxCheckError> {
    let sources: Vec<&AppFile> = files.iter().filter(|file| file.path.ends_with(".py")).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let unusable =
        |reason: String| SyntaxCheckError::Interpreter { interpreter: interpreter.to_owned(), reason };
    let names: Vec<&str> =
        sources.iter().flat_map(|file| [file.path.as_str(), file.source.as_str()]).collect();
    let output =
        run(interpreter, names.join("\0").as_bytes()).map_err(|error| unusable(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it said nothing");
        return Err(unusable(format!("{} ({last})", output.status)));
    }
    if output.stdout.is_empty() {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let [file, line, text, message, python] = answer.split('\0').collect::<Vec<_>>()[..] else {
        return Err(unusable(format!("it answered `{answer}`")));
    };
    Err(SyntaxCheckError::Invalid {
        file: file.to_owned(),
        line: line.parse().unwrap_or(0),
        text: text.to_owned(),
        message: message.to_owned(),
        python: python.to_owned(),
    })
}

fn run(interpreter: &Utf8Path, input: &[u8]) -> io::Result<std::process::Output> {
    let mut child = Command::new(interpreter)
        .args(["-I", "-S", "-B", "-W", "ignore", "-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // The program reads all of its input before it writes anything, so this cannot block forever.
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    child.wait_with_output()
}
