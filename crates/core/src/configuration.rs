//! What a project wants of its layer: the table `[tool.layercake]` of pyproject.toml, or the whole of
//! `layercake.toml`.
//!
//! Owns the names of the keys. Never finds the file, and never mixes it with what was typed: what
//! was typed wins, and that is the command line's work.

use serde::Deserialize;

use crate::{
    Hint,
    plan::policy::{Bytecode, Pattern, Profile},
    target::{Arch, Runtime},
};

/// The keys, all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// How much is kept.
    pub profile: Option<Profile>,
    /// Kept whatever a rule says.
    pub keep: Vec<Pattern>,
    /// Left out whatever a rule says.
    pub drop: Vec<Pattern>,
    /// Whether modules have bytecode.
    pub bytecode: Option<Bytecode>,
    /// Whether libraries are stripped.
    pub strip: Option<bool>,
    /// Whether levers are pulled to make the layer fit.
    pub fit: Option<bool>,
    /// Unzipped bytes that the layer may have.
    pub budget: Option<u64>,
    /// Into how many layers it is split.
    pub split: Option<usize>,
    /// What it is for.
    pub runtimes: Vec<Runtime>,
    /// What it is for.
    pub arch: Option<Arch>,
    /// Extras of the project.
    pub extras: Vec<String>,
    /// Dependency groups of the project.
    pub groups: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the settings in `{file}` are not valid: {reason}")]
pub struct BadConfiguration {
    /// Where it was read.
    pub file: String,
    /// What is wrong.
    pub reason: String,
}

impl Hint for BadConfiguration {
    fn hint(&self) -> Option<String> {
        Some(
            "there are profile, keep, drop, bytecode, strip, fit, budget, split, runtime, arch, extra and group"
                .to_owned(),
        )
    }
}

/// One value or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A number of bytes, or a text such as `200MB`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Number(u64),
    Text(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Table {
    profile: Option<String>,
    keep: Vec<String>,
    drop: Vec<String>,
    bytecode: Option<String>,
    strip: Option<bool>,
    fit: Option<bool>,
    budget: Option<Bytes>,
    split: Option<usize>,
    runtime: Option<OneOrMany>,
    arch: Option<String>,
    extra: Option<OneOrMany>,
    group: Option<OneOrMany>,
}

/// The part of pyproject.toml that is ours.
#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    tool: Tool,
}

#[derive(Default, Deserialize)]
struct Tool {
    layercake: Option<Table>,
}

impl Configuration {
    /// Reads `layercake.toml`.
    ///
    /// # Errors
    /// [`BadConfiguration`] for what is not TOML, unknown keys and values that mean nothing.
    pub fn read(file: &str, text: &str) -> Result<Self, BadConfiguration> {
        let refuse = |reason: String| BadConfiguration { file: file.to_owned(), reason };
        let table: Table = toml::from_str(text).map_err(|error| refuse(error.message().to_owned()))?;
        Self::of(table).map_err(refuse)
    }

    /// Reads `[tool.layercake]` of pyproject.toml; nothing when there is no such table.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_project(file: &str, text: &str) -> Result<Option<Self>, BadConfiguration> {
        let refuse = |reason: String| BadConfiguration { file: file.to_owned(), reason };
        let project: Project = toml::from_str(text).map_err(|error| refuse(error.message().to_owned()))?;
        project.tool.layercake.map(Self::of).transpose().map_err(refuse)
    }

    fn of(table: Table) -> Result<Self, String> {
        let patterns = |texts: Vec<String>| -> Result<Vec<Pattern>, String> {
            texts.iter().map(|text| parsed(text)).collect()
        };
        let many = |value: Option<OneOrMany>| match value {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text],
            Some(OneOrMany::Many(texts)) => texts,
        };
        Ok(Self {
            profile: table.profile.as_deref().map(parsed).transpose()?,
            keep: patterns(table.keep)?,
            drop: patterns(table.drop)?,
            bytecode: table.bytecode.as_deref().map(parsed).transpose()?,
            strip: table.strip,
            fit: table.fit,
            budget: match table.budget {
                None => None,
                Some(Bytes::Number(bytes)) => Some(bytes),
                Some(Bytes::Text(text)) => Some(bytes(&text)?),
            },
            split: table.split,
            runtimes: many(table.runtime).iter().map(|text| parsed(text)).collect::<Result<_, _>>()?,
            arch: table.arch.as_deref().map(parsed).transpose()?,
            extras: many(table.extra),
            groups: many(table.group),
        })
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A number of bytes as people write it: `262144000`, `200MB` (1000² bytes), `200MiB` (1024²).
///
/// # Errors
/// A sentence for what is no such number.
pub fn bytes(text: &str) -> Result<u64, String> {
    let plain = text.trim();
    let end = plain.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(plain.len());
    let (number, unit) = plain.split_at(end);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        _ => return Err(format!("`{text}` is not a size; write bytes, or as in 200MB or 190MiB")),
    };
    let number: f64 = number
        .replace('_', "")
        .parse()
        .map_err(|_| format!("`{text}` is not a size; write bytes, or as in 200MB or 190MiB"))?;
    Ok((number * scale) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let text = "[project]\nname = 'x'\n[tool.layercake]\nprofile = 'smallest'\nkeep = ['a/**']\nruntime = 'python3.12'\nbudget = '200MB'\n";
        let configuration = Configuration::of_project("pyproject.toml", text).expect("valid").expect("there");
        assert_eq!(configuration.profile, Some(Profile::Smallest));
        assert_eq!(configuration.budget, Some(200_000_000));
        assert_eq!(configuration.runtimes.len(), 1);
        assert!(configuration.keep[0].matches("a/b.py"));
        assert_eq!(Configuration::of_project("pyproject.toml", "[tool.other]\nx = 1\n"), Ok(None));
    }

    #[test]
    fn mistakes_are_named() {
        let refused =
            |text: &str| Configuration::read("layercake.toml", text).expect_err("refused").to_string();
        insta::assert_snapshot!(
            refused("profile = 'tiny'"),
            @"the settings in `layercake.toml` are not valid: `tiny` is not a profile; there are `faithful`, `lean` and `smallest`"
        );
        insta::assert_snapshot!(
            refused("budget = '3 apples'"),
            @"the settings in `layercake.toml` are not valid: `3 apples` is not a size; write bytes, or as in 200MB or 190MiB"
        );
        assert!(refused("profiel = 'lean'").contains("profiel"));
    }
}
