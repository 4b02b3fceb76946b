//! What uv's resolver asks its surroundings for: settings, and a builder of source distributions.
//!
//! Owns the refusal to build: a wheel built here would be for this machine, not for Lambda.

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use uv_cache::Cache;
use uv_configuration::{BuildKind, BuildOptions, BuildOutput, NoBinary, NoBuild, NoSources};
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

/// The answer to every wish to build.
#[derive(Debug, thiserror::Error)]
#[error("source distributions are not built")]
pub(super) struct BuildsRefused;

impl uv_errors::Hint for BuildsRefused {
    fn hints(&self) -> uv_errors::Hints<'_> {
        uv_errors::Hints::none()
    }
}

impl IsBuildBackendError for BuildsRefused {
    fn is_build_backend_error(&self) -> bool {
        false
    }
}

/// Stands where uv keeps its builder; never made.
pub(super) struct NoBuilder;

impl SourceBuildTrait for NoBuilder {
    async fn metadata(&mut self) -> Result<Option<PathBuf>, AnyErrorBuild> {
        Err(BuildsRefused.into())
    }

    async fn wheel<'a>(&'a self, _folder: &'a Path) -> Result<String, AnyErrorBuild> {
        Err(BuildsRefused.into())
    }
}

/// Settings for one resolution.
pub(super) struct Context {
    cache: Cache,
    locations: IndexLocations,
    build_options: BuildOptions,
    git: GitResolver,
    arena: BuildArena<NoBuilder>,
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
    pub(super) fn new(cache: Cache, locations: IndexLocations) -> Self {
        Self {
            cache,
            locations,
            build_options: BuildOptions::new(NoBinary::None, NoBuild::All),
            git: GitResolver::default(),
            arena: BuildArena::default(),
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
}

impl BuildContext for Context {
    type SourceDistBuilder = NoBuilder;

    /// Only builds ask for it, and the resolver is told that builds are off, so nothing waits here.
    fn interpreter(&self) -> impl Future<Output = &Interpreter> + '_ {
        std::future::pending()
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn git(&self) -> &GitResolver {
        &self.git
    }

    fn build_arena(&self) -> &BuildArena<NoBuilder> {
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
        Err::<_, BuildsRefused>(BuildsRefused)
    }

    async fn install<'a>(
        &'a self,
        _requirements: &'a ResolvedRequirements,
        _environment: &'a PythonEnvironment,
        _stack: &'a BuildStack,
    ) -> Result<Vec<CachedDist>, impl IsBuildBackendError> {
        Err::<_, BuildsRefused>(BuildsRefused)
    }

    async fn setup_build<'a>(
        &'a self,
        _source: &'a Path,
        _subdirectory: Option<&'a Path>,
        _install_path: &'a Path,
        _revision: Option<&'a Path>,
        _version: Option<&'a str>,
        _dist: Option<&'a SourceDist>,
        _sources: &'a NoSources,
        _kind: BuildKind,
        _output: BuildOutput,
        _stack: BuildStack,
    ) -> Result<NoBuilder, impl IsBuildBackendError> {
        Err::<_, BuildsRefused>(BuildsRefused)
    }

    async fn direct_build<'a>(
        &'a self,
        _source: &'a Path,
        _subdirectory: Option<&'a Path>,
        _output: &'a Path,
        _sources: NoSources,
        _kind: BuildKind,
        _version: Option<&'a str>,
    ) -> Result<Option<DistFilename>, impl IsBuildBackendError> {
        Err::<_, BuildsRefused>(BuildsRefused)
    }
}
