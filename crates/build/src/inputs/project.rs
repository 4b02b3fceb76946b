//! A `pyproject.toml` as something to resolve.

use camino::Utf8Path;
use layercake_core::{
    lock::Scope,
    project::{Project, ProjectError},
};

use super::{InputError, absolute, read_text};
use crate::resolve::{Asked, IndexSettings};

/// What was read.
pub(super) struct ReadProject {
    pub(super) asked: Asked,
    pub(super) requires_python: Option<String>,
}

/// Reads the project's file.
pub(super) fn read(path: &Utf8Path, scope: &Scope) -> Result<ReadProject, InputError> {
    let refuse = |source: ProjectError| InputError::Project { path: path.to_owned(), source };
    let project = Project::parse(&read_text(path)?).map_err(refuse)?;
    let file = absolute(path)?;
    let folder = file.parent().unwrap_or(Utf8Path::new("/"));
    let shown = path.file_name().unwrap_or(path.as_str());
    let requirements = project.requirements(shown, folder.as_str(), scope).map_err(refuse)?;
    let mut indexes = IndexSettings::default();
    for index in &project.indexes {
        if index.is_default && indexes.index_url.is_none() {
            indexes.index_url = Some(index.url.clone());
        } else if !index.is_default {
            indexes.extra_index_urls.push(index.url.clone());
        }
    }
    let constraints = project.constraints(shown);
    let asked = Asked { requirements, constraints, indexes, ..Asked::default() };
    Ok(ReadProject { asked, requires_python: project.requires_python })
}
