//! Writes the pages that are made from the program. The tests hold them against it.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::root;

/// Writes `docs/coverage.md`.
pub(crate) fn run() -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--quiet", "--locked", "--package", "layercake-local", "--lib", "coverage_page"])
        .current_dir(root())
        .env("LAYERCAKE_GENERATE", "1")
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("docs/coverage.md was not written ({status})");
    }
    Ok(())
}
