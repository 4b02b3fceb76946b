//! What uv's resolver asks its surroundings for: settings, and a builder of source distributions.
//!
//! Owns the way from uv's wish to build to [`crate::source`], or to a refusal: without a Python of
//! the target, and for packages that nobody allowed to be built, there is no builder.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use uv_cache::Cache;
use uv_configuration::{BuildKind, BuildOptions, BuildOutput, NoSources};
use uv_distribution_filename::DistFilename;
use uv_distribution_types::{
    CachedDist, ConfigSettings, DependencyMetadata, ExtraBuildRequires, ExtraBuildVariables,
    IndexCapabilities, IndexLocations, IsBuildBackendError, PackageConfigSettings, Requirement, SourceDist,
};
use uv_git::GitResolver;
use uv_python::{Interpreter, PythonEnvironment};
use uv_types::{
    AnyErrorBuild, BuildArena, BuildContext, BuildIsolation, BuildStack, ResolvedRequirements,
    SourceBuildTrait,
};
use uv_workspace::WorkspaceCache;

use super::{Host, PackageIndex, failure};
use crate::source::{Build, BuildError};

/// The answer to a wish to build that is refused, or that failed: why is kept in [`Builder`].
#[derive(Debug, thiserror::Error)]
#[error("the source distribution is not built")]
pub(super) struct NotBuilt;

impl uv_errors::Hint for NotBuilt {
    fn hints(&self) -> uv_errors::Hints<'_> {
        uv_errors::Hints::none()
    }
}

impl IsBuildBackendError for NotBuilt {
    fn is_build_backend_error(&self) -> bool {
        false
    }
}

/// What builds, and why it last failed.
#[derive(Clone)]
pub(super) struct Builder {
    index: PackageIndex,
    host: Host,
    failure: Arc<Mutex<Option<BuildFailure>>>,
    /// What was announced.
    announced: Arc<Mutex<BTreeSet<String>>>,
}

/// A build that failed.
pub(super) struct BuildFailure {
    /// What was built, as uv shows it.
    pub(super) what: String,
    pub(super) error: BuildError,
}

impl Builder {
    pub(super) fn new(index: PackageIndex, host: Host) -> Self {
        Self { index, host, failure: Arc::default(), announced: Arc::default() }
    }

    /// Why a build failed, if one did.
    pub(super) fn failure(&self) -> Option<BuildFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells that this is being built, once: where an address may have changed meanwhile, uv asks for
    /// a build to learn what it needs, and for another to have it.
    fn announce(&self, what: &str) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.insert(what.to_owned()) {
            self.index.tell_of_build(what);
        }
    }

    /// Does a part of a build on a thread of its own, so that the resolver's other work goes on.
    async fn work<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, NotBuilt> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let started = std::thread::Builder::new().name("build".to_owned()).spawn(move || {
            // Nobody waits for the answer of a build that was given up.
            let _ = sender.send(work());
        });
        let error = match started {
            Ok(_) => match receiver.await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                Err(_) => return Err(NotBuilt),
            },
            Err(source) => BuildError::Files { path: "a thread".to_owned(), source },
        };
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(BuildFailure { what: what.to_owned(), error });
        Err(NotBuilt)
    }
}

/// A build under way.
pub(super) struct Running {
    builder: Builder,
    build: Arc<Build>,
    what: String,
}

impl SourceBuildTrait for Running {
    /// The wheel's metadata is the one that counts, so there is no other.
    async fn metadata(&mut self) -> Result<Option<PathBuf>, AnyErrorBuild> {
        Ok(None)
    }

    async fn wheel<'a>(&'a self, folder: &'a Path) -> Result<String, AnyErrorBuild> {
        let (build, folder) = (Arc::clone(&self.build), folder.to_owned());
        Ok(self.builder.work(&self.what, move || build.wheel(&folder)).await?)
    }
}

/// Settings for one resolution.
pub(super) struct Context {
    cache: Cache,
    locations: IndexLocations,
    build_options: BuildOptions,
    git: GitResolver,
    arena: BuildArena<Running>,
    builder: Option<Builder>,
    capabilities: IndexCapabilities,
    dependency_metadata: DependencyMetadata,
    config_settings: ConfigSettings,
    package_settings: PackageConfigSettings,
    sources: NoSources,
    workspaces: WorkspaceCache,
    extra_build_requires: ExtraBuildRequires,
    extra_build_variables: ExtraBuildVariables,
}

impl Context {
    /// Settings without a builder must have options that allow no build.
    pub(super) fn new(
        cache: Cache,
        locations: IndexLocations,
        build_options: BuildOptions,
        builder: Option<Builder>,
    ) -> Self {
        Self {
            cache,
            locations,
            build_options,
            git: GitResolver::default(),
            arena: BuildArena::default(),
            builder,
            capabilities: IndexCapabilities::default(),
            dependency_metadata: DependencyMetadata::default(),
            config_settings: ConfigSettings::default(),
            package_settings: PackageConfigSettings::default(),
            sources: NoSources::default(),
            workspaces: WorkspaceCache::default(),
            extra_build_requires: ExtraBuildRequires::default(),
            extra_build_variables: ExtraBuildVariables::default(),
        }
    }

    /// Other build options, everything else the same.
    pub(super) fn allow(&mut self, build_options: BuildOptions) {
        self.build_options = build_options;
    }

    /// What may be built and what must be.
    pub(super) fn options(&self) -> &BuildOptions {
        &self.build_options
    }

    /// Whether there is a builder.
    pub(super) fn can_build(&self) -> bool {
        self.builder.is_some()
    }

    /// Why a build failed, if one did.
    pub(super) fn failure(&self) -> Option<BuildFailure> {
        self.builder.as_ref().and_then(Builder::failure)
    }
}

impl BuildContext for Context {
    type SourceDistBuilder = Running;

    /// Only builds ask for it, and the options allow none without a builder, so nothing waits here.
    async fn interpreter(&self) -> &Interpreter {
        match &self.builder {
            Some(builder) => builder.host.interpreter(),
            None => std::future::pending().await,
        }
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn git(&self) -> &GitResolver {
        &self.git
    }

    fn build_arena(&self) -> &BuildArena<Running> {
        &self.arena
    }

    fn capabilities(&self) -> &IndexCapabilities {
        &self.capabilities
    }

    fn dependency_metadata(&self) -> &DependencyMetadata {
        &self.dependency_metadata
    }

    fn build_options(&self) -> &BuildOptions {
        &self.build_options
    }

    fn build_isolation(&self) -> BuildIsolation<'_> {
        BuildIsolation::Isolated
    }

    fn config_settings(&self) -> &ConfigSettings {
        &self.config_settings
    }

    fn config_settings_package(&self) -> &PackageConfigSettings {
        &self.package_settings
    }

    fn sources(&self) -> &NoSources {
        &self.sources
    }

    fn locations(&self) -> &IndexLocations {
        &self.locations
    }

    fn workspace_cache(&self) -> &WorkspaceCache {
        &self.workspaces
    }

    fn extra_build_requires(&self) -> &ExtraBuildRequires {
        &self.extra_build_requires
    }

    fn extra_build_variables(&self) -> &ExtraBuildVariables {
        &self.extra_build_variables
    }

    async fn resolve<'a>(
        &'a self,
        _requirements: &'a [Requirement],
        _stack: &'a BuildStack,
    ) -> Result<ResolvedRequirements, impl IsBuildBackendError> {
        Err::<_, NotBuilt>(NotBuilt)
    }

    async fn install<'a>(
        &'a self,
        _requirements: &'a ResolvedRequirements,
        _environment: &'a PythonEnvironment,
        _stack: &'a BuildStack,
    ) -> Result<Vec<CachedDist>, impl IsBuildBackendError> {
        Err::<_, NotBuilt>(NotBuilt)
    }

    /// Of the project's own folder, its `pyproject.toml` and the hooks it names are all that counts.
    async fn setup_build<'a>(
        &'a self,
        _source: &'a Path,
        _subdirectory: Option<&'a Path>,
        project: &'a Path,
        _revision: Option<&'a Path>,
        what: Option<&'a str>,
        _dist: Option<&'a SourceDist>,
        _sources: &'a NoSources,
        _kind: BuildKind,
        _output: BuildOutput,
        _stack: BuildStack,
    ) -> Result<Running, impl IsBuildBackendError> {
        let Some(builder) = &self.builder else { return Err(NotBuilt) };
        let what = failure::redacted(what.unwrap_or("the project"));
        let (index, host, project) = (builder.index.clone(), builder.host.clone(), project.to_owned());
        builder.announce(&what);
        let build = builder.work(&what, move || Build::prepare(&index, &host, &project)).await?;
        Ok(Running { builder: builder.clone(), build: Arc::new(build), what })
    }

    /// uv's own backend is a backend like any other.
    async fn direct_build<'a>(
        &'a self,
        _source: &'a Path,
        _subdirectory: Option<&'a Path>,
        _output: &'a Path,
        _sources: NoSources,
        _kind: BuildKind,
        _version: Option<&'a str>,
    ) -> Result<Option<DistFilename>, impl IsBuildBackendError> {
        Ok::<_, NotBuilt>(None)
    }
}
