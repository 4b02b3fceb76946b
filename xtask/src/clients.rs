//! AWS's own clients, for tests that must not be fooled by our own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::target;

/// What the tests use, pinned so that a new release cannot change a result.
const PACKAGES: [&str; 3] = ["boto3==1.44.5", "awscli==1.46.3", "awslambdaric==4.2.2"];

/// SAM's command line, apart, since it wants another boto3.
const SAM: [&str; 1] = ["aws-sam-cli==1.170.0"];

/// Where they are. Beside their programs in `bin` stands `sam`, an environment of its own.
pub(crate) fn folder() -> PathBuf {
    target().join("aws-clients")
}

/// Makes the virtual environments, unless they are there with just these packages, and sees to
/// Debian's own `awscli`, which is another generation of it.
pub(crate) fn prepare() -> Result<PathBuf> {
    let folder = folder();
    environment(&folder, &PACKAGES)?;
    environment(&folder.join("sam"), &SAM)?;
    debian()?;
    registry(&folder.join("registry"))?;
    Ok(folder)
}

fn environment(folder: &Path, packages: &[&str]) -> Result<()> {
    let stamp = folder.join("packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(folder);
    let python = find_python()?;
    run(Command::new(&python).args(["-m", "venv"]).arg(folder))?;
    run(Command::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(packages))?;
    fs::write(&stamp, wanted).context("the stamp cannot be written")
}

/// Where Debian's package puts it.
const DEBIAN_AWS: &str = "/usr/bin/aws";

/// Installs Debian's `awscli` where that can be done without asking anybody: as root on Debian.
/// Elsewhere the test that uses it says that it is not there.
fn debian() -> Result<()> {
    if Path::new(DEBIAN_AWS).exists() || !can_use_apt() {
        return Ok(());
    }
    let apt =
        |arguments: &[&str]| run(Command::new("apt-get").args(["-qq", "-o=Dpkg::Use-Pty=0"]).args(arguments));
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", "awscli"])
}

/// Whether packages can be had without asking anybody.
fn can_use_apt() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    is_root && Path::new("/usr/bin/apt-get").exists()
}

/// Fetches Debian's `docker-registry` and unpacks it into a folder, as root on Debian: a server of
/// images that is not ours, for one test. Nothing is installed, so that nothing starts by itself.
fn registry(folder: &Path) -> Result<()> {
    if folder.join("usr/bin/docker-registry").exists() || !can_use_apt() {
        return Ok(());
    }
    run(Command::new("apt-get").args(["-qq", "update"]))?;
    unpack_debian("docker-registry", folder)
}

/// Fetches a package of Debian's and unpacks it into a folder, which is there whole or not at all.
pub(crate) fn unpack_debian(name: &str, folder: &Path) -> Result<()> {
    let beside = folder.with_extension("new");
    let _ = fs::remove_dir_all(&beside);
    fs::create_dir_all(&beside).with_context(|| format!("a folder for {name}"))?;
    run(Command::new("apt-get").args(["-qq", "download", name]).current_dir(&beside))?;
    // Listed before anything is unpacked beside them.
    let packages: Vec<_> =
        fs::read_dir(&beside).with_context(|| format!("a folder for {name}"))?.flatten().collect();
    for package in packages {
        run(Command::new("dpkg-deb").arg("-x").arg(package.path()).arg(&beside))?;
    }
    let _ = fs::remove_dir_all(folder);
    fs::rename(&beside, folder).with_context(|| format!("{name} cannot be put in its place"))
}

/// A Python that AWS's clients run on (3.10 and later) and that can make virtual environments.
pub(crate) fn find_python() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut candidates: Vec<PathBuf> = pyenv_versions(&home.join(".pyenv/versions"));
    candidates.extend(["python3.13", "python3.12", "python3.11", "python3.10", "python3"].map(PathBuf::from));
    for python in candidates {
        let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
        let answer = Command::new(&python).args(["-c", probe]).output();
        if answer.is_ok_and(|output| output.status.success()) {
            return Ok(python);
        }
    }
    bail!("no Python 3.10 or later with `venv` was found: the tests need one for AWS's clients")
}

/// Where pyenv puts its Pythons.
pub(crate) fn pyenv_root() -> Option<PathBuf> {
    let named = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")))
}

fn pyenv_versions(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path().join("bin/python3")).collect();
    found.sort_by_key(|python| std::cmp::Reverse(version_of(python)));
    found
}

/// The numbers of a release, from pyenv's folder name.
fn version_of(python: &Path) -> Vec<u32> {
    let folder = python.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().split('.').map_while(|part| part.parse().ok()).collect()
}

/// Runs a program and demands success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}
