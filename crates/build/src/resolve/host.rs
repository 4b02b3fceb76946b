//! The Python of this machine that builds source distributions, in uv's terms.
//!
//! Owns asking it what it is. Never builds anything itself: `crate::source` does.

use camino::Utf8PathBuf;
use layercake_core::target::Target;
use uv_cache::{Cache, Refresh};
use uv_pep508::MarkerEnvironment;
use uv_platform_tags::Tags;
use uv_python::Interpreter;

use super::{IndexOptions, ResolveError, failure};

/// A Python of the target's minor version.
#[derive(Clone)]
pub(crate) struct Host {
    interpreter: Interpreter,
    pub(super) target: Target,
}

impl Host {
    /// The Python for the target among those of the options; nothing when none was given.
    pub(super) fn find(
        options: &IndexOptions,
        target: Target,
        cache: &Cache,
    ) -> Result<Option<Self>, ResolveError> {
        let minor = target.runtime.minor();
        let Some((_, path)) = options.pythons.iter().find(|(other, _)| *other == minor) else {
            return Ok(None);
        };
        let unusable = |reason: String| ResolveError::BadInterpreter { path: path.clone(), target, reason };
        let interpreter =
            Interpreter::query(path, cache).map_err(|error| unusable(failure::one_line(&error)))?;
        if interpreter.python_tuple() != (3, minor) {
            return Err(unusable(format!("it is Python {}", interpreter.python_full_version())));
        }
        Ok(Some(Self { interpreter, target }))
    }

    /// In uv's terms.
    pub(super) fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// The program.
    pub(crate) fn program(&self) -> &std::path::Path {
        self.interpreter.sys_executable()
    }

    /// Its release, such as `3.12.7`.
    pub(crate) fn version(&self) -> String {
        self.interpreter.python_full_version().to_string()
    }

    /// The tags of wheels that run on it.
    pub(super) fn tags(&self) -> Result<Tags, ResolveError> {
        self.interpreter
            .tags()
            .cloned()
            .map_err(|error| ResolveError::Internal { reason: format!("no wheel tags: {error}") })
    }

    /// What markers compare against on it.
    pub(super) fn markers(&self) -> MarkerEnvironment {
        self.interpreter.markers().clone()
    }

    /// The folder in which uv keeps sources and what was built of them: one for each release, since
    /// a build may depend on it. With `again`, nothing of what is there is taken as it is: a folder
    /// of the user's may have changed without a sign that uv looks for.
    pub(super) async fn cache(&self, options: &IndexOptions, again: bool) -> Result<Cache, ResolveError> {
        let folder: Utf8PathBuf = options.cache.join("sources").join(self.version());
        Cache::from_path(&folder)
            .with_refresh(Refresh::from_args(Some(again), Vec::new()))
            .init()
            .await
            .map_err(|error| ResolveError::Cache { path: folder, reason: failure::innermost(&error) })
    }
}
