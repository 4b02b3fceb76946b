//! What is known of single packages: files that they never read on Lambda, parts that stand for
//! themselves, whether they read their own sources or docstrings.
//!
//! Owns reading `packages.toml`, which is data: each rule there says why, and a test of the command
//! line installs the package and proves that it still works. Never decides by itself.

use std::sync::LazyLock;

use serde::Deserialize;

use super::policy::Pattern;

/// All rules for one package, or for one range of its versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageRule {
    package: String,
    /// From this version on.
    since: Option<String>,
    /// Only below this version.
    before: Option<String>,
    /// Left out by every profile but `faithful`.
    #[serde(default)]
    pub(super) drop: Vec<Dropped>,
    /// Parts that work without the rest and the rest without them.
    #[serde(default)]
    pub(super) optional: Vec<Dropped>,
    /// Files that the general rules would leave out and the package reads.
    #[serde(default, deserialize_with = "patterns")]
    pub(super) keep: Vec<Pattern>,
    /// Whether C sources and the like go although the code names such endings: only its build
    /// commands read them, which need a compiler.
    #[serde(default)]
    pub(super) builds_only: bool,
    /// Whether one library lies there under several names, of which the loader asks for one.
    #[serde(default)]
    pub(super) has_copies: bool,
    /// Why the package needs its sources beside the bytecode, if it does.
    pub(super) needs_sources: Option<String>,
    /// Whether it is known to work without docstrings.
    #[serde(default)]
    pub(super) bears_no_docstrings: bool,
}

/// Files that can go, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dropped {
    #[serde(deserialize_with = "patterns")]
    pub(super) files: Vec<Pattern>,
    pub(super) why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rule: Vec<PackageRule>,
}

fn patterns<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Pattern>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

/// The table is part of the program; a test reads it, so it is never empty because of a mistake.
static TABLE: LazyLock<Vec<PackageRule>> = LazyLock::new(|| read().unwrap_or_default());

fn read() -> Result<Vec<PackageRule>, toml::de::Error> {
    toml::from_str::<Table>(include_str!("packages.toml")).map(|table| table.rule)
}

/// The rules that hold for this version of a package.
#[derive(Clone, Debug, Default)]
pub(super) struct PackageRules {
    rules: Vec<&'static PackageRule>,
}

impl PackageRules {
    /// The rules for a package by its normalised name.
    pub(super) fn of(name: &str, version: &str) -> Self {
        let holds = |rule: &&PackageRule| {
            rule.package == name
                && rule.since.as_deref().is_none_or(|since| !is_older(version, since))
                && rule.before.as_deref().is_none_or(|before| is_older(version, before))
        };
        Self { rules: TABLE.iter().filter(holds).collect() }
    }

    pub(super) fn keeps(&self, path: &str) -> bool {
        self.rules.iter().any(|rule| any_matches(&rule.keep, path))
    }

    /// Why this file goes, if it does.
    pub(super) fn drops(&self, path: &str) -> Option<&'static str> {
        self.rules.iter().flat_map(|rule| &rule.drop).find_map(|dropped| why(dropped, path))
    }

    /// What this file is a part of that can go.
    pub(super) fn optional(&self, path: &str) -> Option<&'static str> {
        self.rules.iter().flat_map(|rule| &rule.optional).find_map(|dropped| why(dropped, path))
    }

    pub(super) fn builds_only(&self) -> bool {
        self.rules.iter().any(|rule| rule.builds_only)
    }

    pub(super) fn has_copies(&self) -> bool {
        self.rules.iter().any(|rule| rule.has_copies)
    }

    pub(super) fn needs_sources(&self) -> bool {
        self.rules.iter().any(|rule| rule.needs_sources.is_some())
    }

    pub(super) fn bears_no_docstrings(&self) -> bool {
        self.rules.iter().any(|rule| rule.bears_no_docstrings)
    }
}

fn any_matches(patterns: &[Pattern], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(path))
}

fn why(dropped: &'static Dropped, path: &str) -> Option<&'static str> {
    any_matches(&dropped.files, path).then_some(dropped.why.as_str())
}

/// Compares the numbers of two releases; what is no number, such as `rc1`, counts as nothing.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    let (mut left, mut right) = (numbers(version), numbers(than));
    let length = left.len().max(right.len());
    left.resize(length, 0);
    right.resize(length, 0);
    left < right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let rules = read().expect("the table is TOML of this shape");
        assert!(!rules.is_empty());
        for rule in &rules {
            assert_eq!(crate::wheel::normalised_name(&rule.package), rule.package);
            let whys = rule.drop.iter().chain(&rule.optional).map(|dropped| &dropped.why);
            for why in whys.chain(&rule.needs_sources) {
                assert!(!why.is_empty() && !why.ends_with('.'), "{}: {why}", rule.package);
            }
        }
    }

    #[test]
    fn releases_compare_by_their_numbers() {
        for (older, newer) in [("1.19.5", "2.1"), ("2.0.2", "2.1"), ("2.0", "2.0.1"), ("9", "10")] {
            assert!(is_older(older, newer) && !is_older(newer, older), "{older} {newer}");
        }
        assert!(!is_older("2.1.0", "2.1") && !is_older("2.1", "2.1.0"));
    }
}
