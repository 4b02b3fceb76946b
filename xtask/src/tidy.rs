//! Rules of the house that the compiler does not know: crate edges, words, headers, decisions.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::root;

/// Which of our crates may depend on which (ARCHITECTURE.md).
const EDGES: &[(&str, &[&str])] = &[
    ("layercake-core", &[]),
    ("layercake-build", &["layercake-core"]),
    ("layercake-deploy", &["layercake-core"]),
    ("layercake-local", &["layercake-core"]),
    ("layercake", &["layercake-build", "layercake-core", "layercake-deploy", "layercake-local"]),
    ("xtask", &[]),
];

/// Edges for tests only.
const TEST_EDGES: &[(&str, &[&str])] =
    &[("layercake-deploy", &["layercake-local"]), ("layercake", &["layercake-build"])];

/// Longest a source file may be, in lines: more is two modules.
const LONGEST: usize = 700;

pub(crate) fn run() -> Result<()> {
    let mut findings = Vec::new();
    edges(&mut findings)?;
    for path in tracked_files()? {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        words(&path, &text, &mut findings);
        if path.extension().is_some_and(|ending| ending == "rs") {
            source(&path, &text, &mut findings);
        }
    }
    decisions(&mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings:\n  {}", findings.len(), findings.join("\n  "))
}

fn edges(findings: &mut Vec<String>) -> Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .context("cargo metadata cannot be started")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("metadata has packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = |table: &[(&str, &'static [&'static str])]| {
            table.iter().find(|(from, _)| *from == name).map_or(&[][..], |(_, to)| *to)
        };
        if !EDGES.iter().any(|(from, _)| *from == name) {
            findings.push(format!("crate `{name}` has no row in xtask's table of edges"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            let fine = allowed(EDGES).contains(&to) || (for_tests && allowed(TEST_EDGES).contains(&to));
            if ours.contains(to) && !fine {
                findings.push(format!("crate `{name}` may not depend on `{to}` (ARCHITECTURE.md)"));
            }
        }
    }
    Ok(())
}

fn tracked_files() -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("git cannot be started")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect())
}

/// Words that do not belong into the project, each with the reason. They are put together here so
/// that this file does not hold them.
fn forbidden() -> Vec<(String, &'static str)> {
    vec![
        (["py", "pi.org"].concat(), "name no registry host"),
        (["python", "hosted.org"].concat(), "name no registry host"),
        (["regis", "try.npmjs"].concat(), "name no registry host"),
        (["deb.de", "bian.org"].concat(), "name no registry host"),
        (["/wo", "rk/"].concat(), "name no path of one machine"),
        (["/ro", "ot/"].concat(), "name no path of one machine"),
        (["TO", "DO"].concat(), "an open end belongs into an issue"),
        (["FIX", "ME"].concat(), "an open end belongs into an issue"),
        (["to", "do!("].concat(), "what is not built answers \"not implemented\" by name"),
        (["unimpl", "emented!("].concat(), "what is not built answers \"not implemented\" by name"),
    ]
}

fn words(path: &Path, text: &str, findings: &mut Vec<String>) {
    if path.ends_with("Cargo.lock") {
        return;
    }
    for (word, reason) in forbidden() {
        for (number, _) in text.lines().enumerate().filter(|(_, line)| line.contains(&word)) {
            findings.push(format!("{}:{}: `{word}`: {reason}", path.display(), number + 1));
        }
    }
}

fn source(path: &Path, text: &str, findings: &mut Vec<String>) {
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    if !is_test && !text.starts_with("//!") {
        findings.push(format!("{}: begins without `//!`: say what the file owns", path.display()));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        findings.push(format!("{}: {lines} lines; more than {LONGEST} is two modules", path.display()));
    }
    let sandbox = path.starts_with("crates/local/src/sandbox");
    if !sandbox && text.contains(&["allow(", "unsafe_code"].concat()) {
        findings.push(format!("{}: `unsafe` belongs into `local::sandbox` only", path.display()));
    }
}

/// Every dependency has a line in the decisions.
fn decisions(findings: &mut Vec<String>) -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("Cargo.toml")?;
    let page = "docs/decisions/0002-dependencies.md";
    let decided = fs::read_to_string(root().join(page)).with_context(|| page.to_owned())?;
    let dependencies = manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| !name.starts_with("layercake-"));
    for name in dependencies {
        let named =
            decided.contains(&format!("`{name}`")) || (name.starts_with("uv-") && decided.contains("`uv-*`"));
        if !named {
            findings.push(format!("dependency `{name}` has no line in {page}"));
        }
    }
    Ok(())
}
