//! What the user gives to be built or locked: requirements, files of them, projects, scripts,
//! wheels, addresses and locks.
//!
//! Owns telling these apart and reading them into one [`Asked`], or one lock. Never resolves, never
//! asks an index, never guesses between a file that is missing and a package of that name.

mod classify;
mod error;
mod lock;
mod project;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{lock::Scope, requirements::RequirementLine, requirements::script_metadata};

pub use error::InputError;
pub use lock::{LockFile, drift, lock_text, locked_inputs, write_lock};

use crate::resolve::{
    Asked,
    requirements_txt::{self},
};

/// One thing that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A requirement, or an address or wheel as one (PEP 508).
    Requirement(String),
    /// A requirements file.
    RequirementsFile(Utf8PathBuf),
    /// A `pyproject.toml`.
    Project(Utf8PathBuf),
    /// A script with its dependencies in it (PEP 723).
    Script(Utf8PathBuf),
    /// A lock: `pylock.toml` and its kin, or `uv.lock`.
    Lock(Utf8PathBuf),
}

/// Everything that was given, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// What was given without an option.
    pub inputs: Vec<String>,
    /// Requirements files (`-r`).
    pub requirements: Vec<Utf8PathBuf>,
    /// Constraints files (`-c`).
    pub constraints: Vec<Utf8PathBuf>,
    /// Extras, groups and the member of a workspace.
    pub scope: Scope,
}

/// What is to be built or locked.
#[derive(Debug)]
pub enum Wanted {
    /// Something to resolve.
    Asked(Box<AskedFor>),
    /// Something that was resolved before.
    Lock(Box<LockFile>),
}

/// Something to resolve.
#[derive(Clone, Debug, Default)]
pub struct AskedFor {
    /// What is asked for.
    pub asked: Asked,
    /// Each `requires-python` of a project or script, with the file it is in.
    pub requires_python: Vec<(Utf8PathBuf, String)>,
    /// The folder of the first project, requirements file or script, where its lock belongs; empty
    /// for the current one.
    pub folder: Option<Utf8PathBuf>,
}

/// How arguments are named as the place of a requirement.
const COMMAND_LINE: &str = "the command line";

impl Given {
    /// Reads everything that was given.
    ///
    /// # Errors
    /// [`InputError`], which names the input.
    pub fn read(&self) -> Result<Wanted, InputError> {
        let mut inputs = Vec::new();
        for text in &self.inputs {
            inputs.push((text.clone(), Input::classify(text)?));
        }
        for path in &self.requirements {
            inputs.push((format!("-r {path}"), Input::requirements_file(path)?));
        }
        if let Some((_, Input::Lock(path))) = inputs.iter().find(|(_, input)| matches!(input, Input::Lock(_)))
        {
            let constraints = self.constraints.iter().map(|path| format!("-c {path}"));
            let others = inputs.iter().filter(|(_, input)| *input != Input::Lock(path.clone()));
            return match others.map(|(text, _)| text.clone()).chain(constraints).next() {
                Some(other) => Err(InputError::LockAndMore { lock: path.clone(), other }),
                None => Ok(Wanted::Lock(Box::new(LockFile::read(path)?))),
            };
        }
        let mut wanted = AskedFor::default();
        let has_project = inputs.iter().any(|(_, input)| matches!(input, Input::Project(_)));
        self.check_scope(has_project)?;
        for (_, input) in &inputs {
            wanted.add(input, &self.scope)?;
        }
        for path in &self.constraints {
            if !path.exists() {
                return Err(classify::no_such_file(path));
            }
            let asked = requirements_txt::read(&absolute(path)?)?;
            // Everything in a constraints file is a constraint; hashes and indexes count as usual.
            let requirements = asked.requirements.clone();
            let mut asked = Asked { requirements: Default::default(), ..asked };
            asked.constraints.lines.extend(requirements.lines);
            wanted.asked = std::mem::take(&mut wanted.asked).and(asked);
        }
        Ok(Wanted::Asked(Box::new(wanted)))
    }

    fn check_scope(&self, has_project: bool) -> Result<(), InputError> {
        let nothing = "no project or lock is";
        let options =
            [("--extra", !self.scope.extras.is_empty()), ("--group", !self.scope.groups.is_empty())];
        if let Some((option, _)) = options.into_iter().find(|(_, is_given)| *is_given && !has_project) {
            return Err(InputError::NothingToChooseFrom { option, nothing });
        }
        match self.scope.package {
            Some(_) => Err(InputError::NothingToChooseFrom { option: "--package", nothing: "no uv.lock is" }),
            None => Ok(()),
        }
    }
}

impl AskedFor {
    fn add(&mut self, input: &Input, scope: &Scope) -> Result<(), InputError> {
        let asked = match input {
            Input::Requirement(text) => Asked::with(COMMAND_LINE, std::slice::from_ref(text)),
            Input::RequirementsFile(path) => {
                self.is_in(path);
                requirements_txt::read(&absolute(path)?)?
            }
            Input::Script(path) => {
                self.is_in(path);
                let text = read_text(path)?;
                let block = script_metadata(&text)
                    .map_err(|source| InputError::Script { path: path.clone(), source })?
                    .ok_or_else(|| InputError::NoScriptBlock { path: path.clone() })?;
                self.requires_python.extend(block.requires_python.map(|python| (path.clone(), python)));
                let origin = format!("{} (PEP 723)", path.file_name().unwrap_or(path.as_str()));
                Asked::with(&origin, &block.dependencies)
            }
            Input::Project(path) => {
                self.is_in(path);
                let read = project::read(path, scope)?;
                self.requires_python.extend(read.requires_python.map(|python| (path.clone(), python)));
                read.asked
            }
            // `read` has taken the locks out.
            Input::Lock(_) => Asked::default(),
        };
        self.asked = std::mem::take(&mut self.asked).and(asked);
        Ok(())
    }

    fn is_in(&mut self, path: &Utf8Path) {
        self.folder.get_or_insert_with(|| path.parent().unwrap_or(Utf8Path::new("")).to_owned());
    }
}

/// A file's text.
fn read_text(path: &Utf8Path) -> Result<String, InputError> {
    std::fs::read_to_string(path).map_err(|source| InputError::Read { path: path.to_owned(), source })
}

/// A path from the root.
fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, InputError> {
    let absolute =
        std::path::absolute(path).map_err(|source| InputError::Read { path: path.to_owned(), source })?;
    Ok(Utf8PathBuf::from_path_buf(absolute).unwrap_or_else(|_| path.to_owned()))
}

/// The lines of requirements in the one spelling that locks compare, sorted.
fn normalised_lines(lines: &[RequirementLine], with: impl Fn(&RequirementLine) -> String) -> Vec<String> {
    lines.iter().map(with).collect::<BTreeSet<_>>().into_iter().collect()
}
