//! Why what the user gave cannot be used, in words that name the input.

use std::io;

use camino::Utf8PathBuf;
use layercake_core::{
    Hint,
    lock::{Drift, LockError, SelectError},
    project::ProjectError,
    requirements::ScriptMetadataError,
};

use crate::resolve::{ResolveError, requirements_txt::RequirementsFileError};

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Looks like a file, and there is none.
    #[error("there is no file `{path}`{}", meant(.near.as_deref()))]
    NoSuchFile {
        /// What was given.
        path: String,
        /// A file beside it with nearly that name.
        near: Option<String>,
        /// The package of that name, if it can be one.
        package: Option<String>,
    },
    /// A folder with nothing in it that says what is needed.
    #[error("the folder `{path}` has no pyproject.toml")]
    NotAProject {
        /// The folder.
        path: Utf8PathBuf,
        /// Files in it that could be meant.
        has: Vec<String>,
    },
    /// A folder's name that may just as well be a package's.
    #[error("`{text}` may be the package of that name or the project in the folder `./{text}`")]
    Ambiguous {
        /// What was given.
        text: String,
    },
    /// A file of a kind that says nothing about packages, or not to us.
    #[error("`{path}` is {kind}, which is not read")]
    UnknownFile {
        /// What was given.
        path: Utf8PathBuf,
        /// What it is, with its article.
        kind: String,
        /// What to do.
        advice: String,
    },
    /// Neither file nor requirement nor address.
    #[error("`{text}` is neither a requirement, a file, nor an address: {reason}")]
    Unintelligible {
        /// What was given, without credentials.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A lock beside something else.
    #[error("`{lock}` is a lock, and `{other}` is given beside it")]
    LockAndMore {
        /// The lock.
        lock: Utf8PathBuf,
        /// The other input.
        other: String,
    },
    /// Extras or groups, and nothing that has any.
    #[error("{option} is given, and {nothing}")]
    NothingToChooseFrom {
        /// The option.
        option: &'static str,
        /// What is missing.
        nothing: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A project that cannot be used.
    #[error("cannot use `{path}`")]
    Project {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: ProjectError,
    },
    /// A script's block that cannot be read.
    #[error("cannot read the dependencies in `{path}`")]
    Script {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: ScriptMetadataError,
    },
    /// A script that says nothing.
    #[error("`{path}` has no `# /// script` block, so it asks for nothing")]
    NoScriptBlock {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A lock that cannot be read.
    #[error("cannot use the lock `{path}`")]
    Lock {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: LockError,
    },
    /// A lock that has no answer for the target.
    #[error("cannot use the lock `{path}`")]
    Select {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: SelectError,
    },
    /// A lock of ours that is not the lock of what is asked for.
    #[error("cannot use the lock `{path}`")]
    Drift {
        /// The file.
        path: Utf8PathBuf,
        /// What is different.
        source: Drift,
    },
    /// A lock that does not say what it was made from.
    #[error("the lock `{path}` was written by {created_by}, so it does not say what it is the lock of")]
    ForeignLock {
        /// The file.
        path: Utf8PathBuf,
        /// The tool that wrote it.
        created_by: String,
    },
    /// The lock cannot be written.
    #[error("cannot write the lock `{path}`")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A requirements file.
    #[error(transparent)]
    Requirements(#[from] RequirementsFileError),
    /// The rules of a target.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

impl Hint for InputError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchFile { package: Some(package), near: None, .. } => {
                format!("check the path; the package is asked for as `{package}`")
            }
            Self::NoSuchFile { .. } => "check the path and the spelling".to_owned(),
            Self::NotAProject { has, .. } if has.is_empty() => {
                "give packages by name, `-r requirements.txt`, a pyproject.toml, a lock, a script or a wheel".to_owned()
            }
            Self::NotAProject { path, has } => format!("give the file that is meant, such as `{}`", path.join(&has[0])),
            Self::Ambiguous { text } => format!("write `./{text}` for the project, or `{text}>=0` for the package"),
            Self::UnknownFile { advice, .. } => advice.clone(),
            Self::Unintelligible { .. } => {
                "write requirements as in `pandas>=2,<3` (PEP 508), or give a file or address".to_owned()
            }
            Self::LockAndMore { .. } => {
                "a lock stands alone: give it by itself, or lock both together with `layercake lock`".to_owned()
            }
            Self::NothingToChooseFrom { option, .. } => format!("leave {option} out"),
            Self::Read { .. } => "check that it is there, readable and UTF-8 text".to_owned(),
            Self::Project { source, .. } => return source.hint(),
            Self::Script { source, .. } => return source.hint(),
            Self::NoScriptBlock { .. } => {
                "write its dependencies into it (PEP 723: `# /// script`, `# dependencies = [\"pandas\"]`, `# ///`), or give them as arguments"
                    .to_owned()
            }
            Self::Lock { source, .. } => return source.hint(),
            Self::Select { source, .. } => return source.hint(),
            Self::Drift { source, .. } => return source.hint(),
            Self::ForeignLock { .. } => {
                "build from it alone, as `layercake build pylock.toml`, or write one with `layercake lock`".to_owned()
            }
            Self::Write { .. } => "make its folder writable, or choose another file with -o".to_owned(),
            Self::Requirements(error) => return error.hint(),
            Self::Resolve(error) => return error.hint(),
        })
    }

    fn is_bug(&self) -> bool {
        matches!(self, Self::Resolve(error) if error.is_bug())
    }
}

fn meant(near: Option<&str>) -> String {
    near.map(|near| format!("; there is `{near}`")).unwrap_or_default()
}
