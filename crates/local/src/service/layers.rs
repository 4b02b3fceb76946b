//! Layers: publishing, reading, listing, deleting.

use layercake_core::aws::LayerName;

use super::{Cloud, LambdaError, Source, now};
use crate::store::{LayerFilter, LayerVersionRecord, Scope};

/// A layer version to be.
pub(crate) struct NewLayer {
    /// The layer.
    pub(crate) name: LayerName,
    /// Its content.
    pub(crate) source: Option<Source>,
    /// As given.
    pub(crate) description: String,
    /// As given.
    pub(crate) license: Option<String>,
    /// As given.
    pub(crate) runtimes: Option<Vec<String>>,
    /// As given.
    pub(crate) architectures: Option<Vec<String>>,
}

/// One page of layers or versions.
pub(crate) struct LayerPage {
    /// The versions, or the newest of each layer.
    pub(crate) versions: Vec<LayerVersionRecord>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

impl Cloud {
    /// Publishes a layer version.
    pub(crate) async fn publish_layer_version(
        &self,
        scope: Scope,
        layer: NewLayer,
    ) -> Result<LayerVersionRecord, LambdaError> {
        let source = layer.source.ok_or(LambdaError::NoCode)?;
        let package = self.package(source).await?;
        self.blocking(move |store| {
            let record = LayerVersionRecord {
                name: layer.name,
                version: 0,
                sha256: package.blob.sha256(),
                code_size: package.blob.size(),
                unzipped_size: package.unzipped_size,
                description: layer.description,
                license: layer.license,
                runtimes: layer.runtimes,
                architectures: layer.architectures,
                created: now(),
            };
            Ok(store.publish_layer_version(&scope, record)?)
        })
        .await
    }

    /// One layer version.
    pub(crate) fn layer_version(
        &self,
        scope: &Scope,
        name: &LayerName,
        version: i64,
    ) -> Result<LayerVersionRecord, LambdaError> {
        let version = u64::try_from(version).unwrap_or(0);
        if version < 1 {
            return Err(LambdaError::LayerVersionBelowOne);
        }
        self.store.layer_version(scope, name, version)?.ok_or(LambdaError::NoSuchLayerVersion)
    }

    /// The newest version of each layer.
    pub(crate) fn layers(
        &self,
        scope: &Scope,
        filter: &LayerFilter,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<LayerPage, LambdaError> {
        let versions = self.store.layers(scope, filter, marker.unwrap_or_default(), limit + 1)?;
        Ok(page(versions, limit, |last| last.name.to_string()))
    }

    /// The versions of one layer, newest first. An unknown layer has none.
    pub(crate) fn layer_versions(
        &self,
        scope: &Scope,
        name: &LayerName,
        filter: &LayerFilter,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<LayerPage, LambdaError> {
        let before = marker.and_then(|marker| marker.parse().ok());
        let versions = self.store.layer_versions(scope, name, filter, before, limit + 1)?;
        Ok(page(versions, limit, |last| last.version.to_string()))
    }

    /// Deletes a layer version; one that is not there counts as deleted.
    pub(crate) async fn delete_layer_version(
        &self,
        scope: Scope,
        name: LayerName,
        version: i64,
    ) -> Result<(), LambdaError> {
        let version = u64::try_from(version).unwrap_or(0);
        if version < 1 {
            return Err(LambdaError::LayerVersionBelowOne);
        }
        self.blocking(move |store| Ok(store.delete_layer_version(&scope, &name, version)?)).await
    }
}

fn page(
    mut versions: Vec<LayerVersionRecord>,
    limit: usize,
    marker: impl Fn(&LayerVersionRecord) -> String,
) -> LayerPage {
    let more = versions.len() > limit;
    versions.truncate(limit);
    let next = if more { versions.last().map(marker) } else { None };
    LayerPage { versions, next }
}
