//! The user's app: its code files and what it asks for.
//!
//! Owns reading a folder or a single file, and packing the code. Never runs the app's code, never
//! follows a link out of the folder, never changes anything in it.

use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::{
    Hint,
    requirements::{ScriptMetadataError, script_metadata},
    zip::{FileMode, ZipWriter, clean_path},
};

use crate::{
    assemble::{AssembleError, LayerZip, write_beside},
    resolve::{
        Asked,
        requirements_txt::{self, RequirementsFileError},
    },
};

/// The zip of an app's code.
pub type CodeZip = LayerZip;

/// An app, read.
#[derive(Clone, Debug)]
pub struct App {
    /// Name of the folder, or of the file without `.py`.
    pub name: String,
    /// The folder that the code is in.
    pub folder: Utf8PathBuf,
    /// The code, sorted by path.
    pub files: Vec<AppFile>,
    /// What it asks for, by `requirements.txt` or in the file itself.
    pub asked: Asked,
    /// `requires-python` of a single file, as written (PEP 723).
    pub requires_python: Option<String>,
}

/// A file of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFile {
    /// Path in the code zip, below `/var/task`.
    pub path: String,
    /// Where it is.
    pub source: Utf8PathBuf,
    /// Its mode in the zip.
    pub mode: FileMode,
    /// Its size in bytes.
    pub size: u64,
}

/// Why an app cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Nothing there.
    #[error("there is no app at `{path}`")]
    Missing {
        /// What was given.
        path: Utf8PathBuf,
    },
    /// A file that is no Python source.
    #[error("`{path}` is neither a folder nor a .py file")]
    NotAnApp {
        /// What was given.
        path: Utf8PathBuf,
    },
    /// A folder with nothing to run in it.
    #[error("the folder `{path}` has no code in it")]
    Empty {
        /// The folder.
        path: Utf8PathBuf,
    },
    /// Something in the folder cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// File or folder.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link that would take other files of this machine along.
    #[error("`{path}` is a symbolic link that leaves the app's folder, to `{target}`")]
    LinkOut {
        /// The link.
        path: String,
        /// Where it points.
        target: Utf8PathBuf,
    },
    /// A link to a folder that it is in itself.
    #[error("`{path}` is a symbolic link to a folder around itself")]
    LinkLoop {
        /// The link.
        path: String,
    },
    /// A socket, pipe or device.
    #[error("`{path}` is neither file nor folder")]
    SpecialFile {
        /// The path.
        path: String,
    },
    /// A name that a zip cannot hold or Lambda cannot unpack.
    #[error("`{path}` has a name that cannot be packed: {reason}")]
    BadName {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The requirements file.
    #[error(transparent)]
    Requirements(#[from] RequirementsFileError),
    /// The block of dependencies in the file.
    #[error("cannot read the dependencies in `{path}`")]
    Script {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: ScriptMetadataError,
    },
}

impl Hint for AppError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } | Self::NotAnApp { .. } | Self::Empty { .. } => {
                "give the folder that holds the function's code, or one .py file".to_owned()
            }
            Self::Read { .. } => "make it readable, or move it out of the app's folder".to_owned(),
            Self::LinkOut { .. } => {
                "copy what it points to into the folder, or remove the link: Lambda would not have its target"
                    .to_owned()
            }
            Self::LinkLoop { .. } | Self::SpecialFile { .. } => "move it out of the app's folder".to_owned(),
            Self::BadName { .. } => "rename it".to_owned(),
            Self::Requirements(error) => return error.hint(),
            Self::Script { source, .. } => return source.hint(),
        })
    }
}

/// Folders that hold no code of the function.
const SKIPPED_FOLDERS: [&str; 6] = [".git", ".layercake", "__pycache__", ".venv", "venv", "node_modules"];

impl App {
    /// Reads the app at `path`, a folder or a `.py` file.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn read(path: &Utf8Path) -> Result<Self, AppError> {
        Self::read_without(path, &[])
    }

    /// As [`Self::read`], without these folders, which are not the app's though they may lie in it:
    /// the local cloud's data, a journal's folder. What is not there is left out of account.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn read_without(path: &Utf8Path, folders: &[Utf8PathBuf]) -> Result<Self, AppError> {
        let read = |source| AppError::Read { path: path.to_owned(), source };
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(AppError::Missing { path: path.to_owned() });
            }
            other => other.map_err(read)?,
        };
        let resolved = path.canonicalize_utf8().map_err(read)?;
        if metadata.is_dir() {
            Self::read_folder(&resolved, folders)
        } else if metadata.is_file() && path.extension() == Some("py") {
            Self::read_file(&resolved)
        } else {
            Err(AppError::NotAnApp { path: path.to_owned() })
        }
    }

    fn read_folder(folder: &Utf8Path, without: &[Utf8PathBuf]) -> Result<Self, AppError> {
        let without = without.iter().filter_map(|folder| folder.canonicalize_utf8().ok()).collect();
        let mut walk = Walk { root: folder, without, above: Vec::new(), files: BTreeMap::new() };
        walk.folder(folder, "")?;
        let files: Vec<_> = walk.files.into_values().collect();
        if files.is_empty() {
            return Err(AppError::Empty { path: folder.to_owned() });
        }
        let requirements = folder.join("requirements.txt");
        let asked =
            if requirements.exists() { requirements_txt::read(&requirements)? } else { Asked::default() };
        let name = folder.file_name().unwrap_or("app").to_owned();
        Ok(Self { name, folder: folder.to_owned(), files, asked, requires_python: None })
    }

    fn read_file(path: &Utf8Path) -> Result<Self, AppError> {
        let read = |source| AppError::Read { path: path.to_owned(), source };
        let file_name = path.file_name().unwrap_or_default();
        let bytes = fs::read(path).map_err(read)?;
        let metadata = fs::metadata(path).map_err(read)?;
        let script = script_metadata(&String::from_utf8_lossy(&bytes))
            .map_err(|source| AppError::Script { path: path.to_owned(), source })?
            .unwrap_or_default();
        let file = app_file(file_name.to_owned(), path, &metadata)?;
        Ok(Self {
            name: path.file_stem().unwrap_or("app").to_owned(),
            folder: path.parent().unwrap_or(Utf8Path::new("/")).to_owned(),
            files: vec![file],
            asked: Asked::with(&format!("{file_name} (PEP 723)"), &script.dependencies),
            requires_python: script.requires_python,
        })
    }

    /// The Python files, with their text. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`AppError::Read`].
    pub fn python_sources(&self) -> Result<Vec<(&str, String)>, AppError> {
        self.files
            .iter()
            .filter(|file| file.path.ends_with(".py"))
            .map(|file| match fs::read(&file.source) {
                Ok(bytes) => Ok((file.path.as_str(), String::from_utf8_lossy(&bytes).into_owned())),
                Err(source) => Err(AppError::Read { path: file.source.clone(), source }),
            })
            .collect()
    }

    /// Packs the code to `path`. The same files give the same bytes, whenever they were written.
    ///
    /// # Errors
    /// [`AssembleError`].
    pub fn pack(&self, path: &Utf8Path) -> Result<CodeZip, AssembleError> {
        write_beside(path, |sink| {
            let write = |source| AssembleError::Write { path: path.to_owned(), source };
            let mut zip = ZipWriter::new(sink);
            let mut unzipped = 0;
            for file in &self.files {
                let bytes = fs::read(&file.source)
                    .map_err(|source| AssembleError::Code { path: file.source.clone(), source })?;
                unzipped += bytes.len() as u64;
                zip.file_from_bytes(&file.path, file.mode, &bytes).map_err(write)?;
            }
            let (_, size) = zip.finish().map_err(write)?;
            Ok((size, unzipped))
        })
    }
}

struct Walk<'a> {
    root: &'a Utf8Path,
    /// Folders that are passed over, resolved.
    without: Vec<Utf8PathBuf>,
    /// The folders that the walk is in, resolved: one of them again would never end.
    above: Vec<Utf8PathBuf>,
    files: BTreeMap<String, AppFile>,
}

impl Walk<'_> {
    /// Collects a folder's files; `below` is its path in the app, empty or with a slash at its end.
    fn folder(&mut self, folder: &Utf8Path, below: &str) -> Result<(), AppError> {
        let read = |source| AppError::Read { path: folder.to_owned(), source };
        self.above.push(folder.to_owned());
        for entry in fs::read_dir(folder).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            let Some(name) = name.to_str() else {
                let path = format!("{below}{}", name.to_string_lossy());
                return Err(AppError::BadName { path, reason: "it is not UTF-8".to_owned() });
            };
            self.entry(folder, name, format!("{below}{name}"))?;
        }
        self.above.pop();
        Ok(())
    }

    fn entry(&mut self, folder: &Utf8Path, name: &str, path: String) -> Result<(), AppError> {
        let mut source = folder.join(name);
        let read = |source: &Utf8Path| {
            let path = source.to_owned();
            move |source| AppError::Read { path, source }
        };
        if is_skipped(name) {
            return Ok(());
        }
        if fs::symlink_metadata(&source).map_err(read(&source))?.is_symlink() {
            let target = source.canonicalize_utf8().map_err(read(&source))?;
            if !target.starts_with(self.root) {
                return Err(AppError::LinkOut { path, target });
            }
            if folder.starts_with(&target) {
                return Err(AppError::LinkLoop { path });
            }
            source = target;
        }
        if self.without.contains(&source) {
            return Ok(());
        }
        if self.above.contains(&source) {
            return Err(AppError::LinkLoop { path });
        }
        let metadata = fs::metadata(&source).map_err(read(&source))?;
        if metadata.is_dir() {
            // A virtual environment under any name: it holds this machine's packages.
            if source.join("pyvenv.cfg").exists() {
                return Ok(());
            }
            self.folder(&source, &format!("{path}/"))
        } else if metadata.is_file() {
            let file = app_file(path, &source, &metadata)?;
            self.files.insert(file.path.clone(), file);
            Ok(())
        } else {
            Err(AppError::SpecialFile { path })
        }
    }
}

/// Whether a file or folder of this name is no part of any app.
pub fn is_skipped(name: &str) -> bool {
    SKIPPED_FOLDERS.contains(&name)
        || name == ".DS_Store"
        || Utf8Path::new(name).extension().is_some_and(|extension| extension == "pyc")
}

fn app_file(path: String, source: &Utf8Path, metadata: &fs::Metadata) -> Result<AppFile, AppError> {
    match clean_path(path.as_bytes()) {
        Ok(clean) if clean == path => Ok(AppFile {
            path,
            source: source.to_owned(),
            mode: FileMode::from_permissions(metadata.permissions().mode()),
            size: metadata.len(),
        }),
        Ok(_) => Err(AppError::BadName { path, reason: "it ends with a slash".to_owned() }),
        Err(error) => Err(AppError::BadName { path, reason: error.to_string() }),
    }
}
