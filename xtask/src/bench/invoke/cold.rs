//! Cold calls: how long until a new environment's handler is called, beside the interpreter alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use super::{
    super::{copy_app, expect, http::head, met, python_of, server::Server},
    RUNTIME, middle,
};
use crate::root;

/// Each figure is a median of so many.
const TIMES: usize = 15;

/// Prints the rows.
pub(super) fn run(binary: &Path, scratch: &Path) -> Result<()> {
    let python = python_of(RUNTIME)?;
    let alone = median(|| interpreter(&python, "pass", None))?;
    let called: f64 = super::floor::sandbox(&["cold", &TIMES.to_string()])?;
    println!(
        "| cold start, from the call to the handler | {called:.1} ms | python -c pass {alone:.1} ms | +{:.1} ms | ≤ 15 ms over it | {} |",
        called - alone,
        met(called - alone <= 15.0)
    );
    let started: f64 = super::floor::sandbox(&["start", &TIMES.to_string()])?;
    println!(
        "| of it the sandbox, from the call to the first instruction of a program | {started:.1} ms | | | ≤ 3 ms | {} |",
        met(started <= 3.0)
    );
    pandas(binary, scratch, &python)
}

/// The example, cold each time, beside the import of the same files.
fn pandas(binary: &Path, scratch: &Path, python: &Path) -> Result<()> {
    let (app, data) = (scratch.join("pandas"), scratch.join("pandas-cloud"));
    copy_app(&root().join("examples/pandas"), &app)?;
    let server = Server::start(binary, &data)?;
    let up = Command::new(binary)
        .args(["--quiet", "up", "--json", "--runtime", RUNTIME])
        .arg(&app)
        .arg("--data")
        .arg(&data)
        .stderr(Stdio::inherit())
        .output()
        .context("layercake cannot be started")?;
    if !up.status.success() {
        bail!("layercake up failed");
    }
    let layer = layer_folder(&data)?;
    let alone = median(|| interpreter(python, "import pandas", Some(&layer)))?;
    let mut connection = server.connect()?;
    let functions = connection.ask(&super::super::http::get("/2015-03-31/functions"))?;
    let functions: serde_json::Value = serde_json::from_slice(&functions.body)?;
    let name = functions["Functions"][0]["FunctionName"].as_str().context("a function")?.to_owned();
    let mut number = 0;
    let cold = median(|| {
        number += 1;
        let body = format!("{{\"Environment\":{{\"Variables\":{{\"RUN\":\"{number}\"}}}}}}");
        let change = head("PUT", &format!("/2015-03-31/functions/{name}/configuration"), body.len());
        expect(200, &connection.send(&change, body.as_bytes())?)?;
        let look = super::super::http::get(&format!("/2015-03-31/functions/{name}/configuration"));
        while !String::from_utf8_lossy(&connection.ask(&look)?.body)
            .contains("\"LastUpdateStatus\":\"Successful\"")
        {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let call = head("POST", &format!("/2015-03-31/functions/{name}/invocations"), 0);
        let begun = Instant::now();
        expect(200, &connection.ask(&call)?)?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    })?;
    println!(
        "| cold invocation of the pandas example | {cold:.0} ms | python -c \"import pandas\" {alone:.0} ms | {:.2} | ≤ 1.15 | {} |",
        cold / alone,
        met(cold <= 1.15 * alone)
    );
    Ok(())
}

/// Where the local cloud has unpacked the layer.
fn layer_folder(data: &Path) -> Result<PathBuf> {
    let mut waiting = vec![data.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if path.ends_with("pandas/__init__.py") {
                return path.ancestors().nth(2).map(Path::to_owned).context("a parent");
            }
            if entry.file_type()?.is_dir() {
                waiting.push(path);
            }
        }
    }
    bail!("the local cloud has unpacked no pandas")
}

/// From the start of an interpreter to its end, in ms.
fn interpreter(python: &Path, program: &str, path: Option<&Path>) -> Result<f64> {
    let mut command = Command::new(python);
    command.args(["-c", program]).env_remove("PYTHONPATH").env_remove("PYTHONDONTWRITEBYTECODE");
    if let Some(path) = path {
        // What is read-only in an environment must not be made faster here.
        command.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    }
    let begun = Instant::now();
    if !command.status()?.success() {
        bail!("python -c {program:?} failed");
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn median(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    measure()?;
    Ok(middle((0..TIMES).map(|_| measure()).collect::<Result<_>>()?))
}
