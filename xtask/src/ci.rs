//! What CI runs, in order, each step with its time.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
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
    let mut passed = 0;
    step(&mut times, "tests", || {
        passed = tests()?;
        Ok(())
    })?;
    println!();
    for (name, took) in times {
        println!("{:>6.1} s  {name}", took.as_secs_f64());
    }
    println!("{passed} passed, 0 failed");
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
    let status = command(arguments).status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("`cargo {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}

/// Runs every test and answers how many passed. None at all is a failure.
fn tests() -> Result<u64> {
    let mut child = command(&["test", "--workspace", "--locked"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be started")?;
    let mut passed = 0;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            passed += passed_in(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`cargo test` failed ({status})");
    }
    if passed == 0 {
        bail!("no test was run");
    }
    Ok(passed)
}

/// The number in `test result: ok. 5 passed; 0 failed; …`.
fn passed_in(line: &str) -> u64 {
    line.strip_prefix("test result: ok. ")
        .and_then(|rest| rest.split(" passed;").next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .current_dir(root())
        .env("LAYERCAKE_AWS_CLIENTS", clients::folder().join("bin"))
        // A snapshot that differs is a failure, never a new snapshot.
        .env("INSTA_UPDATE", "no");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        assert_eq!(passed_in("test result: ok. 18 passed; 0 failed; 0 ignored"), 18);
        assert_eq!(passed_in("test a ... ok"), 0);
    }
}
