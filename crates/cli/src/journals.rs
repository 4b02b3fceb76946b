//! Where an app's journals are, and which of them a command is about.

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{Hint, aws::FunctionName, journal::Journal};
use layercake_deploy::JournalFile;

use crate::{args::On, error::CommandError, registry::Registry};

/// The folder beside an app that holds its journals.
pub(crate) const STATE_FOLDER: &str = ".layercake";

/// An app as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppPath {
    /// The folder, or the file's folder.
    pub(crate) folder: Utf8PathBuf,
    /// The file, when the app is one.
    pub(crate) file: Option<String>,
}

/// There is no such app.
#[derive(Debug, thiserror::Error)]
#[error("there is no app at `{path}`")]
pub(crate) struct NoApp {
    path: Utf8PathBuf,
    source: std::io::Error,
}

impl Hint for NoApp {
    fn hint(&self) -> Option<String> {
        Some("give the folder that holds the function's code, or one .py file".to_owned())
    }
}

impl AppPath {
    /// Finds the app on the disk.
    pub(crate) fn find(path: &Utf8Path) -> Result<Self, NoApp> {
        let error = |source| NoApp { path: path.to_owned(), source };
        let real = path.canonicalize_utf8().map_err(error)?;
        if real.is_dir() {
            return Ok(Self { folder: real, file: None });
        }
        let folder = real.parent().map(Utf8Path::to_owned).unwrap_or_default();
        Ok(Self { folder, file: real.file_name().map(str::to_owned) })
    }

    /// The app as a path.
    pub(crate) fn path(&self) -> Utf8PathBuf {
        match &self.file {
            Some(file) => self.folder.join(file),
            None => self.folder.clone(),
        }
    }

    /// How a journal names the app: by its path from the folder that the journal's folder is in,
    /// or by its whole path when the journal is kept elsewhere.
    pub(crate) fn name_in_journal(&self, state: Option<&Utf8Path>) -> String {
        match state {
            Some(_) => self.path().into_string(),
            None => self.file.clone().unwrap_or_else(|| ".".to_owned()),
        }
    }

    /// A function name made of the app's: what cannot be in one becomes a hyphen.
    pub(crate) fn function_name(&self) -> Option<FunctionName> {
        let own = match &self.file {
            Some(file) => file.strip_suffix(".py").unwrap_or(file),
            None => self.folder.file_name()?,
        };
        let name: String = own
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' })
            .take(64)
            .collect();
        name.trim_matches('-').parse().ok()
    }

    /// The folder of the app's journals.
    pub(crate) fn state(&self, given: Option<&Utf8Path>) -> Utf8PathBuf {
        match given {
            Some(folder) => std::path::absolute(folder)
                .ok()
                .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
                .unwrap_or_else(|| folder.to_owned()),
            None => self.folder.join(STATE_FOLDER),
        }
    }
}

/// The journal of a function at a destination.
pub(crate) fn journal_path(state: &Utf8Path, function: &FunctionName, on: On) -> Utf8PathBuf {
    let word = match on {
        On::Local => "local",
        On::Aws => "aws",
    };
    state.join(format!("{function}.{word}.journal"))
}

/// A journal that `down` is to undo.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Where `up` keeps it.
    pub(crate) path: Utf8PathBuf,
    /// Where it can be read and written now.
    pub(crate) readable: Utf8PathBuf,
    /// What it says.
    pub(crate) journal: Journal,
}

/// Journals found, and what could not be read on the way.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) standing: Vec<Standing>,
    /// Journals that were announced or made but never begun: a run was killed in between.
    pub(crate) unbegun: Vec<Utf8PathBuf>,
    /// Journals that are there but cannot be read: each with its error.
    pub(crate) unreadable: Vec<CommandError>,
    /// Registered journals that are nowhere any more, or of which nothing is left.
    pub(crate) lost: Vec<Utf8PathBuf>,
}

impl Found {
    /// Takes a journal up by what its text says. One that was begun and says nothing is lost.
    fn take(&mut self, path: Utf8PathBuf, readable: Utf8PathBuf, begun: bool) {
        match JournalFile::peek(&readable) {
            Ok(Some(journal)) => self.standing.push(Standing { path, readable, journal }),
            Ok(None) if begun => self.lost.push(path),
            Ok(None) => self.unbegun.push(path),
            Err(error) => self.unreadable.push(error.into()),
        }
    }

    fn knows(&self, path: &Utf8Path) -> bool {
        self.standing.iter().any(|standing| standing.path == path)
            || self.unbegun.iter().chain(&self.lost).any(|known| known == path)
    }
}

impl Standing {
    /// The app that this journal is of, as a path.
    fn app(&self) -> Utf8PathBuf {
        let folder = self.path.parent().and_then(Utf8Path::parent).unwrap_or(Utf8Path::new("/"));
        match self.journal.opening.app.as_str() {
            "." => folder.to_owned(),
            // Joined to it, a whole path is itself.
            app => folder.join(app),
        }
    }
}

/// The journals of one app: those beside it and those that only the registry knows, also when the
/// app is gone. What was never begun is of no app.
pub(crate) fn of_app(
    app: &Utf8Path,
    state: Option<&Utf8Path>,
    registry: &Registry,
) -> Result<Found, CommandError> {
    let path = AppPath::find(app);
    let whole = match &path {
        Ok(path) => path.path(),
        Err(_) => std::path::absolute(app)
            .ok()
            .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
            .unwrap_or_else(|| app.to_owned()),
    };
    let mut found = of_all(registry)?;
    if let Ok(path) = &path {
        for file in journal_files(&path.state(state)) {
            if !found.knows(&file) {
                found.take(file.clone(), file, false);
            }
        }
    }
    found.standing.retain(|standing| standing.app() == whole);
    found.lost.clear();
    match path {
        Err(missing) if found.standing.is_empty() => Err(missing.into()),
        _ => Ok(found),
    }
}

/// The journals of every app that is up.
pub(crate) fn of_all(registry: &Registry) -> Result<Found, CommandError> {
    let mut found = Found::default();
    for registered in registry.all()? {
        match registered.readable {
            Some(readable) => found.take(registered.journal, readable, !registered.announced),
            None if registered.announced => found.unbegun.push(registered.journal),
            None => found.lost.push(registered.journal),
        }
    }
    Ok(found)
}

fn journal_files(state: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(entries) = state.read_dir_utf8() else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| path.extension() == Some("journal"))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_gives_its_function_a_name() {
        let name = |folder: &str, file: Option<&str>| {
            let app = AppPath { folder: folder.into(), file: file.map(str::to_owned) };
            app.function_name().map(|name| name.to_string())
        };
        assert_eq!(name("/x/pandas", None).as_deref(), Some("pandas"));
        assert_eq!(name("/x/my app!", None).as_deref(), Some("my-app"));
        assert_eq!(name("/x", Some("handler.py")).as_deref(), Some("handler"));
        assert_eq!(name("/", None), None);
    }
}
