//! Measurements of the product as a user runs it. Prints; judges nothing: the machine is noisy.

mod build;
pub(crate) mod http;
mod invoke;
mod local_api;
pub(crate) mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{root, target};

pub(crate) use build::run as build;
pub(crate) use invoke::run as invoke;
pub(crate) use local_api::run as local_api;

/// Runs per row; the table shows the median.
const RUNS: usize = 5;

/// Measures `layercake up examples/pandas` on a local cloud of its own: with nothing cached, with
/// a warm cache, and a second time with nothing changed.
pub(crate) fn up() -> Result<()> {
    let binary = release_binary()?;
    let scratch = target().join("bench");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let app = scratch.join("pandas");
    copy_app(&root().join("examples/pandas"), &app)?;
    println!("| layercake up examples/pandas | wall, median | slowest | of it, in ms |");
    println!("|---|---|---|---|");
    let cache = scratch.join("cache");
    let cold = measure(2, || {
        let _ = fs::remove_dir_all(&cache);
        fresh(&binary, &app, &scratch)
    })?;
    row("cold cache, new function", &cold);
    let warm = measure(RUNS, || fresh(&binary, &app, &scratch))?;
    row("warm cache, new function", &warm);
    let again = measure(RUNS, || run_up(&binary, &app, &scratch))?;
    row("nothing changed", &again);
    down(&binary, &app, &scratch)?;
    Ok(())
}

/// Times README's first command on a clean clone with nothing built and no crate downloaded.
pub(crate) fn first_run() -> Result<()> {
    let scratch = target().join("bench-first-run");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let clone = scratch.join("layercake");
    let cloned = Command::new("git").args(["clone", "--quiet"]).arg(root()).arg(&clone).status()?;
    if !cloned.success() {
        bail!("git clone failed");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let begun = Instant::now();
    let status = Command::new(cargo)
        .args(["run", "--release", "--", "up", "examples/pandas"])
        .current_dir(&clone)
        .env("CARGO_HOME", scratch.join("cargo-home"))
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env("LAYERCAKE_CACHE", scratch.join("cache"))
        .env("LAYERCAKE_DATA", scratch.join("cloud"))
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the first command failed");
    }
    println!("| README's first command | {:.1} min |", begun.elapsed().as_secs_f64() / 60.0);
    let _ = fs::remove_dir_all(&scratch);
    Ok(())
}

/// One run: its wall time and the report's stages.
struct Run {
    took: Duration,
    stages: Vec<(String, f64)>,
}

fn measure(runs: usize, mut work: impl FnMut() -> Result<Run>) -> Result<Vec<Run>> {
    let mut all = (0..runs).map(|_| work()).collect::<Result<Vec<_>>>()?;
    all.sort_by_key(|run| run.took);
    Ok(all)
}

fn row(name: &str, runs: &[Run]) {
    let Some(median) = runs.get((runs.len() - 1) / 2) else { return };
    let slowest = runs.last().map_or(Duration::ZERO, |run| run.took);
    let stages: Vec<_> = median.stages.iter().map(|(stage, ms)| format!("{stage} {ms:.0}")).collect();
    println!(
        "| {name} | {:.2} s | {:.2} s | {} |",
        median.took.as_secs_f64(),
        slowest.as_secs_f64(),
        stages.join(", ")
    );
}

fn fresh(binary: &Path, app: &Path, scratch: &Path) -> Result<Run> {
    down(binary, app, scratch)?;
    run_up(binary, app, scratch)
}

fn command(binary: &Path, verb: &str, app: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["--quiet", verb]).arg(app).arg("--json").arg("--data").arg(scratch.join("cloud"));
    command.env("LAYERCAKE_CACHE", scratch.join("cache"));
    command
}

fn run_up(binary: &Path, app: &Path, scratch: &Path) -> Result<Run> {
    let begun = Instant::now();
    let output = command(binary, "up", app, scratch).output().context("layercake cannot be started")?;
    let took = begun.elapsed();
    if !output.status.success() {
        bail!("layercake up failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).context("the report is JSON")?;
    let stages = report["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|stage| Some((stage["stage"].as_str()?.to_owned(), stage["ms"].as_f64()?)))
        .collect();
    Ok(Run { took, stages })
}

fn down(binary: &Path, app: &Path, scratch: &Path) -> Result<()> {
    let output = command(binary, "down", app, scratch).output().context("layercake cannot be started")?;
    if !output.status.success() {
        bail!("layercake down failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

pub(crate) fn release_binary() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--package", "layercake"])
        .current_dir(root())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the release build failed");
    }
    Ok(target().join("release/layercake"))
}

fn copy_app(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

pub(crate) fn expect(status: u16, answer: &http::Answer) -> Result<()> {
    if answer.status == status {
        return Ok(());
    }
    bail!("status {} instead of {status}: {}", answer.status, String::from_utf8_lossy(&answer.body))
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**not met**" }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let number = number << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// The interpreter of a runtime: pyenv's, or one in PATH.
pub(crate) fn python_of(runtime: &str) -> Result<PathBuf> {
    let version = format!("{}.", runtime.trim_start_matches("python"));
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folders = fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let found = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with(&version));
    let found = found.map(|entry| entry.path().join("bin").join(runtime)).find(|path| path.exists());
    let in_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(runtime)).find(|path| path.exists())
    };
    found.or_else(in_path).with_context(|| format!("there is no {runtime} on this machine"))
}

/// A zip with `app.py` alone, made by Python.
pub(crate) fn zipped(code: &str) -> Result<Vec<u8>> {
    const PROGRAM: &str = "import io, sys, zipfile\nout = io.BytesIO()\nwith zipfile.ZipFile(out, 'w') as z:\n    z.writestr('app.py', sys.argv[1])\nsys.stdout.buffer.write(out.getvalue())";
    let output = Command::new(crate::clients::find_python()?).args(["-c", PROGRAM, code]).output()?;
    Ok(output.stdout)
}
