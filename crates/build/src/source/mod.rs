//! Building a wheel from source (PEP 517), in an environment of its own that is thrown away.
//!
//! A build runs code of the package and of what it needs to build, with the rights of the user, as
//! pip and uv do it. It happens only where the user asked for a source or where a package has
//! nothing else, with a Python of the target's minor version, and its result is taken only when it
//! runs everywhere: what a build compiles is for this machine, not for Lambda.
//!
//! Owns the front end's half: the environment, what is installed there, calling the backend's
//! hooks. Knows nothing of indexes beyond asking for wheels, never decides what is built.

mod error;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use camino::Utf8PathBuf;
use tempfile::TempDir;

pub use error::BuildError;

use crate::{
    fetch::{Silent, fetch},
    resolve::{Host, PackageIndex},
};

const HOOK: &str = include_str!("hook.py");

/// Midnight of 1980-01-01 UTC, the earliest time that a zip can hold: the same source gives the
/// same wheel whenever it is built.
const SOURCE_DATE_EPOCH: &str = "315532800";

/// The variables that a build may see. Everything else, passwords of indexes among it, stays out.
const PASSED_ON: [&str; 8] =
    ["PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
/// The version of a project that would read it from a repository which a source distribution lacks.
const PASSED_ON_PREFIX: &str = "SETUPTOOLS_SCM_PRETEND_VERSION";

/// So many lines of a failed build's output are told.
const TOLD_LINES: usize = 25;

/// A build whose environment stands. The environment goes when this is dropped.
pub(crate) struct Build {
    environment: TempDir,
    project: PathBuf,
    backend: Backend,
}

/// `[build-system]` of `pyproject.toml` (PEP 518), or what stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Backend {
    requires: Vec<String>,
    name: String,
    path: Vec<String>,
}

impl Build {
    /// Makes the environment for building the project in this folder.
    ///
    /// # Errors
    /// [`BuildError`].
    pub(crate) fn prepare(index: &PackageIndex, host: &Host, project: &Path) -> Result<Self, BuildError> {
        let backend = Backend::of(project)?;
        let environment =
            tempfile::Builder::new().prefix("layercake-build-").tempdir().map_err(|source| {
                BuildError::Files { path: std::env::temp_dir().display().to_string(), source }
            })?;
        let build = Self { environment, project: project.to_owned(), backend };
        build.write("hook.py", HOOK.as_bytes())?;
        let home = build.environment.path().join("home");
        fs::create_dir(&home).map_err(|source| files(&home, source))?;
        build.make_environment(host)?;
        let mut requires = build.backend.requires.clone();
        build.install(index, host, &requires)?;
        let more: Vec<String> = build.answer("requires", serde_json::json!({}))?;
        if !more.is_empty() {
            // Resolved together, so that what comes now agrees with what is there.
            requires.extend(more);
            build.install(index, host, &requires)?;
        }
        Ok(build)
    }

    /// Builds the wheel into `folder` and tells its file name.
    ///
    /// # Errors
    /// [`BuildError`]; [`BuildError::Native`] when the wheel does not run everywhere.
    pub(crate) fn wheel(&self, folder: &Path) -> Result<String, BuildError> {
        let filename: String = self.answer("wheel", serde_json::json!({ "folder": folder }))?;
        let mut tags = filename.strip_suffix(".whl").unwrap_or(&filename).rsplit('-');
        let (platform, abi) = (tags.next(), tags.next());
        if platform != Some("any") || abi != Some("none") {
            return Err(BuildError::Native { filename });
        }
        Ok(filename)
    }

    fn make_environment(&self, host: &Host) -> Result<(), BuildError> {
        let mut command = Command::new(host.program());
        command.args(["-I", "-m", "venv", "--without-pip"]).arg(self.environment.path().join("env"));
        self.run(command).map_err(|output| BuildError::NoEnvironment {
            python: host.program().display().to_string(),
            output,
        })
    }

    /// Brings wheels into the environment. Only wheels: a build that needs another build first is
    /// refused by the resolver.
    fn install(&self, index: &PackageIndex, host: &Host, requires: &[String]) -> Result<(), BuildError> {
        if requires.is_empty() {
            return Ok(());
        }
        let resolution = index.resolve_for_build(requires, host).map_err(|source| {
            BuildError::Requirements { requires: requires.to_vec(), source: Box::new(source) }
        })?;
        let wheels = fetch(index, &resolution, &Silent)
            .map_err(|source| BuildError::Fetch { source: Box::new(source) })?;
        let paths: Vec<&Utf8PathBuf> = wheels.files.iter().map(|file| &file.path).collect();
        self.answer::<()>("install", serde_json::json!({ "wheels": paths }))
    }

    /// Has the environment's Python do one thing, and reads its answer.
    fn answer<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        mut request: serde_json::Value,
    ) -> Result<T, BuildError> {
        let folder = self.environment.path();
        let answer = folder.join("answer.json");
        request["do"] = what.into();
        request["answer"] = answer.display().to_string().into();
        if what != "install" {
            request["project"] = self.project.display().to_string().into();
            request["backend"] = self.backend.name.clone().into();
            request["backend_path"] = self.backend.path.clone().into();
        }
        self.write("request.json", request.to_string().as_bytes())?;
        let mut command = Command::new(folder.join("env").join("bin").join("python"));
        command.arg("-s").arg(folder.join("hook.py")).arg(folder.join("request.json"));
        self.run(command)
            .map_err(|output| BuildError::Backend { backend: self.backend.name.clone(), output })?;
        let text = fs::read(&answer).map_err(|source| files(&answer, source))?;
        serde_json::from_slice(&text).map_err(|error| BuildError::Backend {
            backend: self.backend.name.clone(),
            output: vec![format!("its answer makes no sense: {error}")],
        })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        let path = self.environment.path().join(name);
        fs::write(&path, bytes).map_err(|source| files(&path, source))
    }

    /// Runs a program to its end; when it fails, the end of what it said.
    fn run(&self, mut command: Command) -> Result<(), Vec<String>> {
        let log = self.environment.path().join("log");
        let said = |error: std::io::Error| vec![error.to_string()];
        let out = fs::File::create(&log).map_err(said)?;
        let err = out.try_clone().map_err(said)?;
        let passed_on = std::env::vars_os().filter(|(name, _)| {
            name.to_str().is_some_and(|name| PASSED_ON.contains(&name) || name.starts_with(PASSED_ON_PREFIX))
        });
        let status = command
            .env_clear()
            .envs(passed_on)
            .env("HOME", self.environment.path().join("home"))
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .map_err(said)?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read(&log).map_err(said)?;
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| line.chars().filter(|character| !character.is_control()).collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .map(|line| crate::resolve::redacted(line.trim_end()))
            .collect();
        lines.drain(..lines.len().saturating_sub(TOLD_LINES));
        if lines.is_empty() {
            lines.push(format!("it said nothing ({status})"));
        }
        Err(lines)
    }
}

fn files(path: &Path, source: std::io::Error) -> BuildError {
    BuildError::Files { path: path.display().to_string(), source }
}

impl Backend {
    /// What the project says, or setuptools, which was before PEP 517 and needs no word of it.
    fn of(project: &Path) -> Result<Self, BuildError> {
        let legacy = |requires: Vec<String>| Self {
            requires,
            name: "setuptools.build_meta:__legacy__".to_owned(),
            path: Vec::new(),
        };
        let path = project.join("pyproject.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !project.join("setup.py").is_file() {
                    return Err(BuildError::NoProject { folder: project.display().to_string() });
                }
                return Ok(legacy(vec!["setuptools>=40.8.0".to_owned(), "wheel".to_owned()]));
            }
            Err(source) => return Err(files(&path, source)),
        };
        let bad = |reason: String| BuildError::BadProject { reason };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        let Some(system) = table.get("build-system") else {
            return Ok(legacy(vec!["setuptools>=40.8.0".to_owned(), "wheel".to_owned()]));
        };
        let texts = |key: &str| -> Result<Vec<String>, BuildError> {
            match system.get(key) {
                None => Ok(Vec::new()),
                Some(value) => value
                    .as_array()
                    .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect())
                    .ok_or_else(|| bad(format!("`{key}` of [build-system] is no list of texts"))),
            }
        };
        let path = texts("backend-path")?;
        // PEP 517: "The directories in backend-path … MUST refer to a location within the source tree".
        if path.iter().any(|path| Path::new(path).is_absolute() || path.split('/').any(|part| part == "..")) {
            return Err(bad("`backend-path` of [build-system] leads out of the project".to_owned()));
        }
        let requires = texts("requires")?;
        Ok(match system.get("build-backend").and_then(toml::Value::as_str) {
            Some(name) => Self { requires, name: name.to_owned(), path },
            None => legacy(requires),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pyproject: Option<&str>, setup: bool) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(text) = pyproject {
            fs::write(folder.path().join("pyproject.toml"), text).expect("a file");
        }
        if setup {
            fs::write(folder.path().join("setup.py"), "").expect("a file");
        }
        match Backend::of(folder.path()) {
            Ok(backend) => format!("{} {:?} {:?}", backend.name, backend.requires, backend.path),
            Err(error) => error.to_string().replace(&folder.path().display().to_string(), "[FOLDER]"),
        }
    }

    #[test]
    fn the_backend_is_the_projects_or_setuptools() {
        let hatch = "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\nbackend-path = ['.']";
        let table = [
            check(None, true),
            check(None, false),
            check(Some("[project]\nname = 'x'"), false),
            check(Some("[build-system]\nrequires = ['setuptools', 'x']"), false),
            check(Some(hatch), false),
            check(Some("[build-system]\nbuild-backend = 'x'\nbackend-path = ['../x']"), false),
            check(Some("[build-system]\nrequires = 1"), false),
        ]
        .join("\n");
        insta::assert_snapshot!(table, @r#"
        setuptools.build_meta:__legacy__ ["setuptools>=40.8.0", "wheel"] []
        `[FOLDER]` has neither pyproject.toml nor setup.py
        setuptools.build_meta:__legacy__ ["setuptools>=40.8.0", "wheel"] []
        setuptools.build_meta:__legacy__ ["setuptools", "x"] []
        hatchling.build ["hatchling"] ["."]
        its pyproject.toml cannot be used: `backend-path` of [build-system] leads out of the project
        its pyproject.toml cannot be used: `requires` of [build-system] is no list of texts
        "#);
    }
}
