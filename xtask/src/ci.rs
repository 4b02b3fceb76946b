//! What CI runs, in order, each step with its time.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{clients, root, tidy};

/// Runs every step and stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let mut times = Vec::new();
    step(&mut times, "format", || cargo(&["fmt", "--all", "--check"]))?;
    step(&mut times, "tidy", tidy::run)?;
    step(&mut times, "clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])
    })?;
    step(&mut times, "AWS's clients", || clients::prepare().map(drop))?;
    step(&mut times, "tests", || cargo(&["test", "--workspace", "--locked"]))?;
    println!();
    for (name, took) in times {
        println!("{:>6.1} s  {name}", took.as_secs_f64());
    }
    Ok(())
}

fn step(
    times: &mut Vec<(&'static str, Duration)>,
    name: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    println!("== {name}");
    let begun = Instant::now();
    work().with_context(|| format!("step `{name}`"))?;
    times.push((name, begun.elapsed()));
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .env("LAYERCAKE_AWS_CLIENTS", clients::folder().join("bin"))
        // A snapshot that differs is a failure, never a new snapshot.
        .env("INSTA_UPDATE", "no")
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("`cargo {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
