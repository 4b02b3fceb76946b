//! `bench build`: the builder beside its peers, in one run: `uv` and `pip` as the package index has
//! them, and `zip`.
//!
//! Owns the table and the bounds of SPECIFICATION.md. Prints whether each was met; fails on none,
//! since the machine is noisy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::release_binary;
use crate::{
    clients::{find_python, pyenv_root},
    target,
};

/// Times and memory of a command.
#[derive(Clone, Copy)]
struct Taken {
    /// Wall time in seconds, the median.
    wall: f64,
    /// CPU time in seconds, the median.
    cpu: f64,
    /// Peak memory in bytes, of the worst run.
    memory: f64,
}

const PANDAS: [&str; 1] = ["pandas"];
const HEAVY: [&str; 4] = ["pandas", "pyarrow", "scipy", "scikit-learn"];
const RUNTIME: &str = "python3.12";

/// Where everything is.
struct Bench {
    layercake: PathBuf,
    uv: PathBuf,
    python: PathBuf,
    scratch: PathBuf,
}

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    let scratch = target().join("bench-build");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let peers = scratch.join("peers");
    let python = find_python()?;
    checked(Command::new(&python).args(["-m", "venv"]).arg(&peers))?;
    checked(Command::new(peers.join("bin/python")).args(["-m", "pip", "install", "--quiet", "uv"]))?;
    let bench = Bench {
        layercake: release_binary()?,
        uv: peers.join("bin/uv"),
        python: peers.join("bin/python"),
        scratch,
    };
    println!("| what | layercake | the peer | ratio | must reach | |");
    println!("|---|---|---|---|---|---|");
    bench.warm("pandas", &PANDAS)?;
    bench.cold()?;
    bench.sizes()?;
    bench.imports()?;
    bench.warm("heavy set, --fit", &HEAVY)?;
    bench.first_derivation()?;
    bench.check()?;
    Ok(())
}

impl Bench {
    fn folder(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn measure(&self, runs: usize, prepare: &str, command: &[String]) -> Result<Taken> {
        let output = Command::new(&self.python)
            .args(["-c", include_str!("measure.py")])
            .arg(runs.to_string())
            .arg(prepare)
            .args(command)
            .env("LAYERCAKE_CACHE", self.folder("cache"))
            .env("LAYERCAKE_DATA", self.folder("data"))
            .env("UV_CACHE_DIR", self.folder("uv-cache"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .context("Python cannot be started")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let number = |key: &str| value[key].as_f64().context("measure.py prints numbers");
        Ok(Taken { wall: number("wall")?, cpu: number("cpu")?, memory: number("memory")? })
    }

    fn layercake(&self, packages: &[&str], more: &[&str]) -> Vec<String> {
        let mut command = vec![shown(&self.layercake), "--quiet".to_owned(), "build".to_owned()];
        command.extend(packages.iter().map(ToString::to_string));
        command.extend(["--runtime", RUNTIME, "-o"].map(str::to_owned));
        command.push(shown(&self.folder("layer.zip")));
        command.extend(more.iter().map(ToString::to_string));
        command
    }

    /// `uv pip install --target`, and `zip -r` of what it made when that is asked for.
    fn uv(&self, packages: &[&str], more: &str, zip: bool) -> Vec<String> {
        let folder = shown(&self.folder("uv-out"));
        let zip = if zip { format!(" && cd {folder} && zip -qr ../uv.zip .") } else { String::new() };
        let script = format!(
            "{} pip install --quiet --python-version 3.12 --python-platform x86_64-manylinux_2_34 --only-binary :all: {more} --target {folder}/python {}{zip}",
            shown(&self.uv),
            packages.join(" ")
        );
        vec!["sh".to_owned(), "-c".to_owned(), script]
    }

    fn forget_uv(&self, cache: bool) -> String {
        let cache = if cache { format!(" {}", shown(&self.folder("uv-cache"))) } else { String::new() };
        format!("rm -rf {} {}{cache}", shown(&self.folder("uv-out")), shown(&self.folder("uv.zip")))
    }

    fn warm(&self, name: &str, packages: &[&str]) -> Result<()> {
        let fit: &[&str] = if packages.len() > 1 { &["--fit"] } else { &[] };
        // Fills both caches.
        self.measure(1, "", &self.layercake(packages, fit))?;
        self.measure(1, &self.forget_uv(false), &self.uv(packages, "", true))?;
        let lock = shown(&self.folder("pylock.toml"));
        let mut locking = vec![shown(&self.layercake), "--quiet".to_owned(), "lock".to_owned()];
        locking.extend(packages.iter().map(ToString::to_string));
        locking.extend(["--runtime", RUNTIME, "-o", &lock].map(str::to_owned));
        self.measure(1, &format!("rm -f {lock}"), &locking)?;
        let uv = self.measure(3, &self.forget_uv(false), &self.uv(packages, "", true))?;
        // As with the peers, the zip of the run before is gone when the next begins.
        let fresh = format!("rm -f {}", shown(&self.folder("layer.zip")));
        let locked = self.measure(7, &fresh, &self.layercake(&[&lock], fit))?;
        row(&format!("{name}: warm cache, locked"), locked, "uv + zip -r, warm", uv, 1.0 / 50.0);
        let unlocked = self.measure(5, &fresh, &self.layercake(packages, fit))?;
        row(
            &format!("{name}: warm cache, the index is asked"),
            unlocked,
            "uv + zip -r, warm",
            uv,
            1.0 / 15.0,
        );
        let copied = shown(&self.folder("copied.zip"));
        let copy = vec!["cp".to_owned(), shown(&self.folder("layer.zip")), copied];
        let copy = self.measure(7, &format!("rm -f {}", shown(&self.folder("copied.zip"))), &copy)?;
        println!(
            "| {name}: the gap to copying the zip | {:.0} ms | cp {:.0} ms | {:.1} × | | |",
            locked.wall * 1e3,
            copy.wall * 1e3,
            locked.wall / copy.wall
        );
        if packages.len() > 1 {
            println!(
                "| {name}: peak memory, warm | {:.0} MB | | | ≤ 150 MB | {} |",
                locked.memory / 1e6,
                met(locked.memory <= 150e6)
            );
        }
        Ok(())
    }

    fn cold(&self) -> Result<()> {
        let forget = format!("rm -rf {} {}", shown(&self.folder("cache")), shown(&self.folder("layer.zip")));
        let uv = self.measure(3, &self.forget_uv(true), &self.uv(&PANDAS, "", false))?;
        let faithful = self.measure(3, &forget, &self.layercake(&PANDAS, &["--profile", "faithful"]))?;
        row("pandas: cold cache, --profile faithful", faithful, "uv alone, cold", uv, 1.3);
        let uv = self.measure(3, &self.forget_uv(true), &self.uv(&PANDAS, "--compile-bytecode", true))?;
        let lean = self.measure(3, &forget, &self.layercake(&PANDAS, &[]))?;
        row("pandas: cold cache, default profile", lean, "uv --compile-bytecode + zip -r, cold", uv, 0.7);
        Ok(())
    }

    /// The heavy set's first strip and bytecode.
    fn first_derivation(&self) -> Result<()> {
        let forget = format!("rm -rf {}", shown(&self.folder("cache/derived")));
        self.measure(1, "", &self.layercake(&HEAVY, &["--fit"]))?;
        let taken = self.measure(2, &forget, &self.layercake(&HEAVY, &["--fit"]))?;
        println!(
            "| heavy set: first strip and bytecode | {:.1} s, {:.1} s CPU | | {:.1} cores | both cores | |",
            taken.wall,
            taken.cpu,
            taken.cpu / taken.wall
        );
        println!(
            "| heavy set: peak memory, first strip | {:.0} MB | | | ≤ 150 MB | {} |",
            taken.memory / 1e6,
            met(taken.memory <= 150e6)
        );
        Ok(())
    }

    /// The write-up's recipe: `pip install -t`, `*.dist-info` and `__pycache__` deleted by hand,
    /// `zip -r`.
    fn write_up(&self, python: &Path, name: &str) -> Result<(PathBuf, u64, u64)> {
        let folder = self.folder(&format!("write-up-{name}"));
        let site = folder.join("python");
        checked(
            Command::new(python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-compile",
                    "-t",
                ])
                .arg(&site)
                .arg("pandas"),
        )?;
        checked(Command::new("sh").current_dir(&folder).args([
            "-c",
            "rm -rf python/*.dist-info && find . -name __pycache__ -type d -prune -exec rm -rf {} + && zip -qr ../write-up.zip python",
        ]))?;
        let zip = self.folder("write-up.zip");
        let zipped = fs::metadata(&zip)?.len();
        fs::remove_file(zip)?;
        Ok((site, zipped, unzipped(&folder)?))
    }

    fn sizes(&self) -> Result<()> {
        let Some(python) = pyenv("3.12") else { return Ok(()) };
        let (_, zipped, unpacked) = self.write_up(&python, "sizes")?;
        for (profile, zip_bound, unzip_bound) in [("lean", 1.0, 1.0), ("smallest", 0.8, 0.7)] {
            let report = self.report(&PANDAS, RUNTIME, &["--profile", profile])?;
            let size = |key: &str| report["layers"][0][key].as_f64().context("the report has sizes");
            for (what, ours, theirs, bound) in [
                ("zipped", size("zipped")?, zipped as f64, zip_bound),
                ("unzipped", size("unzipped")?, unpacked as f64, unzip_bound),
            ] {
                println!(
                    "| pandas, {profile}: {what} | {ours:.0} | the write-up's recipe {theirs:.0} | {:.1} % | ≤ {:.0} % | {} |",
                    ours / theirs * 100.0,
                    bound * 100.0,
                    met(ours <= theirs * bound)
                );
            }
        }
        Ok(())
    }

    fn imports(&self) -> Result<()> {
        for (version, bound) in [("3.6", 2.5), ("3.9", 2.5), ("3.12", 3.5), ("3.13", 3.5)] {
            let Some(python) = pyenv(version) else {
                println!("| import pandas on {version} | no such Python here | | | | |");
                continue;
            };
            let (recipe, _, _) = self.write_up(&python, version)?;
            let layer = self.folder(&format!("layer-{version}"));
            self.report(&PANDAS, &format!("python{version}"), &[])?;
            checked(
                Command::new("unzip")
                    .arg("-q")
                    .arg(self.folder("layer.zip"))
                    .arg("-d")
                    .arg(&layer)
                    .env("TZ", "UTC"),
            )?;
            let import = |site: &Path| {
                let script = "import sys; sys.path.insert(0, sys.argv[1]); import pandas";
                self.measure(5, "", &[shown(&python), "-c".into(), script.into(), shown(site)])
            };
            let (without, with) = (import(&recipe)?, import(&layer.join("python"))?);
            println!(
                "| import pandas on {version}, CPU | {:.0} ms | the write-up's recipe {:.0} ms | 1/{:.1} | ≤ 1/{bound} | {} |",
                with.cpu * 1e3,
                without.cpu * 1e3,
                without.cpu / with.cpu,
                met(without.cpu / with.cpu >= bound)
            );
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.report(&HEAVY, RUNTIME, &["--fit"])?;
        let command = [
            shown(&self.layercake),
            "check".to_owned(),
            shown(&self.folder("layer.zip")),
            "--runtime".to_owned(),
            RUNTIME.to_owned(),
        ];
        let taken = self.measure(5, "", &command)?;
        println!(
            "| check on the heavy layer | {:.2} s | | | ≤ 0.5 s | {} |",
            taken.wall,
            met(taken.wall <= 0.5)
        );
        Ok(())
    }

    fn report(&self, packages: &[&str], runtime: &str, more: &[&str]) -> Result<serde_json::Value> {
        let mut command = Command::new(&self.layercake);
        command.args(["--quiet", "build"]).args(packages).args(["--runtime", runtime, "--json", "-o"]);
        command.arg(self.folder("layer.zip")).args(more);
        command.env("LAYERCAKE_CACHE", self.folder("cache")).env("LAYERCAKE_DATA", self.folder("data"));
        let output = command.output().context("layercake cannot be started")?;
        if !output.status.success() {
            bail!("layercake build failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn row(name: &str, ours: Taken, peer_name: &str, peer: Taken, bound: f64) {
    let ratio = ours.wall / peer.wall;
    let fraction =
        |ratio: f64| if ratio < 0.5 { format!("1/{:.0}", 1.0 / ratio) } else { format!("{ratio:.2}") };
    println!(
        "| {name} | {:.0} ms | {peer_name}: {:.0} ms | {} | ≤ {} | {} |",
        ours.wall * 1e3,
        peer.wall * 1e3,
        fraction(ratio),
        fraction(bound),
        met(ratio <= bound)
    );
}

const fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**not met**" }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn checked(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// A Python of pyenv's, by its minor version.
fn pyenv(version: &str) -> Option<PathBuf> {
    let prefix = format!("{version}.");
    let mut found: Vec<PathBuf> = fs::read_dir(pyenv_root()?.join("versions"))
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path().join("bin/python"))
        .collect();
    found.sort();
    found.pop()
}

/// Sum of the sizes of a folder's files in bytes.
fn unzipped(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { unzipped(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}
