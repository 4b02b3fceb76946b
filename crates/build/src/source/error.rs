//! Why nothing could be built from a source, in words a user can act on.

use layercake_core::Hint;

use crate::{fetch::FetchError, resolve::ResolveError};

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What it needs to build cannot be chosen.
    #[error("what it needs to build ({}) cannot be had as wheels for this machine", .requires.join(", "))]
    Requirements {
        /// What it needs.
        requires: Vec<String>,
        /// Why not.
        source: Box<ResolveError>,
    },
    /// What it needs to build cannot be fetched.
    #[error("what it needs to build cannot be fetched")]
    Fetch {
        /// Why not.
        source: Box<FetchError>,
    },
    /// No isolated environment.
    #[error("`{python}` cannot make a virtual environment:{}", indented(.output))]
    NoEnvironment {
        /// The interpreter.
        python: String,
        /// The end of what it said.
        output: Vec<String>,
    },
    /// The backend failed.
    #[error("its build backend `{backend}` failed:{}", indented(.output))]
    Backend {
        /// Its name (PEP 517).
        backend: String,
        /// The end of what it said.
        output: Vec<String>,
    },
    /// There is no project in the folder.
    #[error("`{folder}` has neither pyproject.toml nor setup.py")]
    NoProject {
        /// The folder.
        folder: String,
    },
    /// Its `pyproject.toml` makes no sense.
    #[error("its pyproject.toml cannot be used: {reason}")]
    BadProject {
        /// What is wrong.
        reason: String,
    },
    /// The wheel has native code, which was compiled for this machine.
    #[error("it contains native code: the build made `{filename}`, which is for this machine")]
    Native {
        /// The wheel that came of it.
        filename: String,
    },
    /// The temporary files of the build.
    #[error("cannot use `{path}`")]
    Files {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Hint for BuildError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Requirements { source, .. } => return source.hint(),
            Self::Fetch { source } => return source.hint(),
            Self::NoEnvironment { .. } => {
                "install the module `venv` of that Python, or name another Python with --python".to_owned()
            }
            Self::Backend { .. } => {
                "build a wheel yourself, for Lambda if it has native code, and give it as ./file.whl".to_owned()
            }
            Self::NoProject { .. } => "give the folder that holds pyproject.toml or setup.py".to_owned(),
            Self::BadProject { .. } => "mend the file, or give a wheel as ./file.whl".to_owned(),
            Self::Native { .. } => {
                "there is no wheel of it for this target: ask for another runtime, or give a wheel built for Lambda as ./file.whl"
                    .to_owned()
            }
            Self::Files { .. } => "check TMPDIR and the free space there".to_owned(),
        })
    }

    fn is_bug(&self) -> bool {
        match self {
            Self::Requirements { source, .. } => source.is_bug(),
            Self::Fetch { source } => source.is_bug(),
            _ => false,
        }
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {line}")).collect()
}
