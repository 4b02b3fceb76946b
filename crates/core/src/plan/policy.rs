//! What a layer is to keep and how small it is to be: the profile, the user's own wishes, and the
//! levers that [`super::fit`] pulls.
//!
//! Owns the meaning of profiles. Never looks at a wheel.

use std::{fmt, str::FromStr, sync::OnceLock};

use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::Hint;

/// How much of the wheels a layer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Everything an installer would put into `site-packages`, as it is.
    Faithful,
    /// Without what a function never reads (tests, sources, symbols), with bytecode.
    #[default]
    Lean,
    /// Bytecode in place of sources where that is safe, docstrings out where that is safe, packed
    /// as hard as DEFLATE can.
    Smallest,
}

/// A text that names no profile.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a profile; there are `faithful`, `lean` and `smallest`")]
pub struct UnknownProfile {
    /// What was given.
    pub text: String,
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        match text {
            "faithful" => Ok(Self::Faithful),
            "lean" => Ok(Self::Lean),
            "smallest" => Ok(Self::Smallest),
            _ => Err(UnknownProfile { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Faithful => "faithful",
            Self::Lean => "lean",
            Self::Smallest => "smallest",
        })
    }
}

/// Whether a layer has its modules' bytecode. `/opt` is read-only on Lambda, so a module without it
/// is compiled again at every cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bytecode {
    /// None.
    None,
    /// In `__pycache__`, beside the sources.
    Beside,
    /// In place of the sources, except where a package reads its own. Tracebacks then have line
    /// numbers, but no lines.
    Only,
}

/// A text that names no kind of bytecode.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a way to keep bytecode; there are `none`, `beside` and `only`")]
pub struct UnknownBytecode {
    /// What was given.
    pub text: String,
}

impl FromStr for Bytecode {
    type Err = UnknownBytecode;

    fn from_str(text: &str) -> Result<Self, UnknownBytecode> {
        match text {
            "none" => Ok(Self::None),
            "beside" => Ok(Self::Beside),
            "only" => Ok(Self::Only),
            _ => Err(UnknownBytecode { text: text.to_owned() }),
        }
    }
}

/// A pattern over paths below `site-packages`, such as `pandas/tests` or `**/*.pyi`. What it matches
/// may be a folder: then it means all that is in it.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: Glob,
    /// Made when it is first asked: most patterns in the table of packages never are.
    matcher: OnceLock<GlobMatcher>,
}

/// A text that is no pattern.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a pattern of paths: {reason}")]
pub struct BadPattern {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Hint for BadPattern {
    fn hint(&self) -> Option<String> {
        Some("write paths below site-packages, such as `botocore/data/ec2` or `**/*.pyi`".to_owned())
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let refuse = |reason: String| BadPattern { text: text.to_owned(), reason };
        let plain = text.strip_prefix("python/").unwrap_or(text).trim_end_matches('/');
        if plain.is_empty() || plain.starts_with('/') {
            return Err(refuse("it must be a path below site-packages".to_owned()));
        }
        let glob = GlobBuilder::new(plain)
            .literal_separator(true)
            .build()
            .map_err(|error| refuse(error.kind().to_string()))?;
        Ok(Self { text: text.to_owned(), glob, matcher: OnceLock::new() })
    }
}

impl Pattern {
    /// Whether it matches this path or a folder above it.
    pub fn matches(&self, path: &str) -> bool {
        let matcher = self.matcher.get_or_init(|| self.glob.compile_matcher());
        let mut whole = Some(path);
        while let Some(part) = whole {
            if matcher.is_match(part) {
                return true;
            }
            whole = part.rsplit_once('/').map(|(folder, _)| folder);
        }
        false
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Everything that decides about a file, beside the wheels themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How much is kept.
    pub profile: Profile,
    /// Kept whatever a rule says.
    pub keep: Vec<Pattern>,
    /// Left out whatever a rule says.
    pub drop: Vec<Pattern>,
    /// Whether modules have bytecode.
    pub bytecode: Bytecode,
    /// Whether docstrings are taken out of bytecode that stands in place of its source, in packages
    /// that are known to bear it.
    pub docstrings_out: bool,
    /// Whether libraries lose what the loader never reads.
    pub strip: bool,
    /// Whether parts of packages that nothing asked for may go, as the packages' rules name them.
    pub optional_parts_out: bool,
    /// Whether everything is packed as hard as DEFLATE can.
    pub pack_hard: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

impl Policy {
    /// The policy of a profile.
    pub const fn of(profile: Profile) -> Self {
        let (bytecode, small) = match profile {
            Profile::Faithful => (Bytecode::None, false),
            Profile::Lean => (Bytecode::Beside, false),
            Profile::Smallest => (Bytecode::Only, true),
        };
        Self {
            profile,
            keep: Vec::new(),
            drop: Vec::new(),
            bytecode,
            docstrings_out: small,
            strip: !matches!(profile, Profile::Faithful),
            optional_parts_out: false,
            pack_hard: small,
        }
    }

    /// One text that is the same exactly when the policy is the same.
    pub fn key(&self) -> String {
        let patterns =
            |patterns: &[Pattern]| patterns.iter().map(|p| format!("{:?}", p.text)).collect::<Vec<_>>();
        format!(
            "{} keep {:?} drop {:?} bytecode {:?} docstrings {} strip {} optional {} hard {}",
            self.profile,
            patterns(&self.keep),
            patterns(&self.drop),
            self.bytecode,
            !self.docstrings_out,
            self.strip,
            !self.optional_parts_out,
            self.pack_hard
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_all_that_is_below() {
        let matches =
            |pattern: &str, path: &str| pattern.parse::<Pattern>().expect("a pattern").matches(path);
        assert!(matches("botocore/data/ec2", "botocore/data/ec2/2016/service-2.json.gz"));
        assert!(matches("botocore/data/e*", "botocore/data/ec2/2016/x"));
        assert!(!matches("botocore/data/ec2", "botocore/data/ec2x/y"));
        assert!(!matches("data/ec2", "botocore/data/ec2/y"));
        assert!(matches("**/*.pyi", "a.pyi"));
        assert!(matches("python/a/", "a/b"));
        assert!(!matches("*.pyi", "a/b.pyi"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let refused = |pattern: &str| pattern.parse::<Pattern>().expect_err("refused").to_string();
        insta::assert_snapshot!(
            refused("a[/b"),
            @"`a[/b` is not a pattern of paths: unclosed character class; missing ']'"
        );
        insta::assert_snapshot!(
            refused("/opt/python/x"),
            @"`/opt/python/x` is not a pattern of paths: it must be a path below site-packages"
        );
    }
}
