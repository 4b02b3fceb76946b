//! Where a layer is to run: the Lambda runtime and the architecture, and what follows from them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A Python runtime of Lambda, `python3.6` to `python3.15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Runtime {
    minor: u8,
}

/// A text that names no Python runtime of Lambda.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a Python runtime of Lambda; there are python3.6 to python3.15")]
pub struct UnknownRuntime {
    /// What was given.
    pub text: String,
}

/// The operating system under a runtime, which fixes the C library that wheels may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OperatingSystem {
    /// Amazon Linux 1.
    #[serde(rename = "al1")]
    AmazonLinux1,
    /// Amazon Linux 2.
    #[serde(rename = "al2")]
    AmazonLinux2,
    /// Amazon Linux 2023.
    #[serde(rename = "al2023")]
    AmazonLinux2023,
}

impl Runtime {
    /// The oldest runtime: the one of the 2020 write-up.
    pub const PYTHON3_6: Self = Self { minor: 6 };
    /// The newest runtime in AWS's API model.
    pub const PYTHON3_15: Self = Self { minor: 15 };

    /// The runtime of Python 3.`minor`, where there is one.
    pub const fn from_minor(minor: u8) -> Option<Self> {
        if minor >= Self::PYTHON3_6.minor && minor <= Self::PYTHON3_15.minor {
            Some(Self { minor })
        } else {
            None
        }
    }

    /// Every runtime, oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (Self::PYTHON3_6.minor..=Self::PYTHON3_15.minor).map(|minor| Self { minor })
    }

    /// The second number of the Python version: 12 for `python3.12`.
    pub const fn minor(self) -> u8 {
        self.minor
    }

    /// `3.12` for `python3.12`.
    pub fn python_version(self) -> String {
        format!("3.{}", self.minor)
    }

    /// The Python version that markers see: the last release of the line where the line is
    /// closed, else a release that every wheel of the line accepts.
    ///
    /// `python_full_version` markers compare against it; Lambda patches within a line without
    /// notice, so no wheel may depend on more than this.
    pub fn python_full_version(self) -> String {
        let patch = match self.minor {
            6 => 15,
            7 => 17,
            8 => 20,
            9 => 25,
            10 => 20,
            11 => 15,
            12 => 12,
            13 => 9,
            _ => 0,
        };
        format!("3.{}.{patch}", self.minor)
    }

    /// The operating system (FACTS.md §5).
    pub const fn operating_system(self) -> OperatingSystem {
        match self.minor {
            ..=7 => OperatingSystem::AmazonLinux1,
            8..=11 => OperatingSystem::AmazonLinux2,
            _ => OperatingSystem::AmazonLinux2023,
        }
    }

    /// The minor version of glibc 2.x that the runtime has (FACTS.md §5).
    pub const fn glibc_minor(self) -> u16 {
        match self.operating_system() {
            OperatingSystem::AmazonLinux1 => 17,
            OperatingSystem::AmazonLinux2 => 26,
            OperatingSystem::AmazonLinux2023 => 34,
        }
    }

    /// Whether AWS refuses to create functions of this runtime today (FACTS.md §5).
    pub const fn is_retired(self) -> bool {
        self.minor <= 7
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "python3.{}", self.minor)
    }
}

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    fn from_str(text: &str) -> Result<Self, UnknownRuntime> {
        text.strip_prefix("python3.")
            .and_then(|minor| minor.parse().ok())
            .and_then(Self::from_minor)
            .filter(|runtime| runtime.to_string() == text)
            .ok_or_else(|| UnknownRuntime { text: text.to_owned() })
    }
}

impl TryFrom<String> for Runtime {
    type Error = UnknownRuntime;

    fn try_from(text: String) -> Result<Self, UnknownRuntime> {
        text.parse()
    }
}

impl From<Runtime> for String {
    fn from(runtime: Runtime) -> Self {
        runtime.to_string()
    }
}

/// The instruction set of a function, in Lambda's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit x86, Lambda's default.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM (Graviton).
    #[serde(rename = "arm64")]
    Arm64,
}

/// A text that names no architecture of Lambda.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an architecture of Lambda; there are x86_64 and arm64")]
pub struct UnknownArch {
    /// What was given.
    pub text: String,
}

impl Arch {
    /// As the AWS API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// As wheel tags and markers write it (`platform_machine`).
    pub const fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            "arm64" => Ok(Self::Arm64),
            _ => Err(UnknownArch { text: text.to_owned() }),
        }
    }
}

/// What a layer is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The Lambda runtime, which gives the Python version and the C library.
    pub runtime: Runtime,
    /// The instruction set.
    pub arch: Arch,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.runtime, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_parses_back_from_its_name() {
        for runtime in Runtime::all() {
            assert_eq!(runtime.to_string().parse(), Ok(runtime));
        }
        assert_eq!(Runtime::all().count(), 10);
    }

    #[test]
    fn what_is_not_a_runtime_is_named() {
        for text in ["python3.5", "python3.16", "python2.7", "python3.012", "python3", "nodejs20.x", ""] {
            assert_eq!(text.parse::<Runtime>(), Err(UnknownRuntime { text: text.to_owned() }));
        }
    }

    #[test]
    fn the_c_library_follows_the_runtime() {
        let table: Vec<_> = Runtime::all().map(|r| format!("{r} 2.{}", r.glibc_minor())).collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        python3.6 2.17
        python3.7 2.17
        python3.8 2.26
        python3.9 2.26
        python3.10 2.26
        python3.11 2.26
        python3.12 2.34
        python3.13 2.34
        python3.14 2.34
        python3.15 2.34
        ");
    }
}
