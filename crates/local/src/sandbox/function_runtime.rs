//! The runtimes that functions can be run on: Python's, and those that bring their own `bootstrap`.
//!
//! Owns their names. The builder knows Python's alone (`core::target`), since it builds for nothing
//! else.

use std::{fmt, str::FromStr};

use layercake_core::target::{OperatingSystem, Runtime};

/// A runtime of Lambda that the sandbox runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionRuntime {
    /// `python3.6` to `python3.15`.
    Python(Runtime),
    /// An operating system alone, for a program that speaks the Runtime API itself.
    Provided(Provided),
}

/// A runtime without a language: `provided`, `provided.al2` or `provided.al2023`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Provided(OperatingSystem);

/// A text that names no runtime that can be run here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no runtime that can be run here")]
pub struct NotRun {
    /// What was given.
    pub text: String,
}

impl Provided {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [
        Self(OperatingSystem::AmazonLinux1),
        Self(OperatingSystem::AmazonLinux2),
        Self(OperatingSystem::AmazonLinux2023),
    ];

    /// As `CreateFunction` takes it.
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            OperatingSystem::AmazonLinux1 => "provided",
            OperatingSystem::AmazonLinux2 => "provided.al2",
            OperatingSystem::AmazonLinux2023 => "provided.al2023",
        }
    }

    /// The system's short name, as in the tags of AWS's images.
    const fn system(self) -> &'static str {
        match self.0 {
            OperatingSystem::AmazonLinux1 => "alami",
            OperatingSystem::AmazonLinux2 => "al2",
            OperatingSystem::AmazonLinux2023 => "al2023",
        }
    }
}

impl FunctionRuntime {
    /// As `INIT_START` names it: `python:3.12`, `provided:al2023` (both seen on AWS).
    pub fn log_name(self) -> String {
        match self {
            Self::Python(python) => format!("python:{}", python.python_version()),
            Self::Provided(provided) => format!("provided:{}", provided.system()),
        }
    }

    /// The repository and the tag of AWS's base image: `python:3.12`, `provided:al2023`.
    pub fn image(self) -> String {
        // The same words, as it happens; the log adds a version of its own.
        self.log_name()
    }

    /// What the environment is told to be. A runtime without a language is told nothing.
    pub(super) fn execution_environment(self) -> Option<String> {
        match self {
            Self::Python(python) => Some(format!("AWS_Lambda_{python}")),
            Self::Provided(_) => None,
        }
    }

    /// Whether AWS refuses to create functions of this runtime today.
    pub const fn is_retired(self) -> bool {
        match self {
            Self::Python(python) => python.is_retired(),
            Self::Provided(provided) => matches!(provided.0, OperatingSystem::AmazonLinux1),
        }
    }
}

impl From<Runtime> for FunctionRuntime {
    fn from(python: Runtime) -> Self {
        Self::Python(python)
    }
}

impl From<Provided> for FunctionRuntime {
    fn from(provided: Provided) -> Self {
        Self::Provided(provided)
    }
}

impl fmt::Display for FunctionRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python(python) => python.fmt(f),
            Self::Provided(provided) => f.write_str(provided.as_str()),
        }
    }
}

impl FromStr for FunctionRuntime {
    type Err = NotRun;

    fn from_str(text: &str) -> Result<Self, NotRun> {
        if let Ok(python) = text.parse::<Runtime>() {
            return Ok(Self::Python(python));
        }
        let provided = Provided::ALL.into_iter().find(|provided| provided.as_str() == text);
        provided.map(Self::Provided).ok_or_else(|| NotRun { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_as_aws_does() {
        let shown =
            ["python3.12", "provided", "provided.al2", "provided.al2023", "nodejs22.x", "provided.al"].map(
                |text| match text.parse::<FunctionRuntime>() {
                    Ok(runtime) => format!("{runtime} {} {}", runtime.log_name(), runtime.is_retired()),
                    Err(error) => error.to_string(),
                },
            );
        insta::assert_snapshot!(shown.join("\n"), @r"
        python3.12 python:3.12 false
        provided provided:alami true
        provided.al2 provided:al2 false
        provided.al2023 provided:al2023 false
        `nodejs22.x` is no runtime that can be run here
        `provided.al` is no runtime that can be run here
        ");
    }
}
