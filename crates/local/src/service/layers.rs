//! Layers: publishing, reading, listing, deleting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use layercake_core::{
    aws::{LayerName, LayerVersionArn},
    limits,
};

use super::{Cloud, LambdaError, Source, functions::check_storage, now, policies::may_read_layer};
use crate::store::{AttachedLayer, Blob, LayerFilter, LayerVersionRecord, Scope, Store, StoreError};

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

/// What a page of layers was asked with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LayerQuestion {
    /// Whose layers.
    pub(crate) scope: Scope,
    /// Which of them.
    pub(crate) filter: LayerFilter,
    /// Where the page begins.
    pub(crate) marker: Option<String>,
    /// How long it may be.
    pub(crate) limit: usize,
}

/// Answers to questions for layers, good until any layer changes. Clients that compare what is there
/// with what should be ask for the same pages again and again.
#[derive(Default)]
pub(crate) struct LayerPages(Mutex<(u64, HashMap<LayerQuestion, Bytes>)>);

impl LayerPages {
    /// As many pages are kept; a page has at most 50 layers.
    const MOST: usize = 64;

    /// The answer of that generation (see [`Store::layer_generation`]).
    pub(crate) fn find(&self, generation: u64, question: &LayerQuestion) -> Option<Bytes> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.0 == generation { pages.1.get(question).cloned() } else { None }
    }

    /// Keeps an answer. `generation` is the one from before the layers were read.
    pub(crate) fn keep(&self, generation: u64, question: LayerQuestion, answer: &Bytes) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.0 != generation || pages.1.len() >= Self::MOST {
            *pages = (generation, HashMap::new());
        }
        pages.1.insert(question, answer.clone());
    }
}

/// Layers that a function will use, kept from being collected until its record names them.
pub(super) struct Attached {
    pub(super) attached: Vec<AttachedLayer>,
    pub(super) held: Vec<Blob>,
}

impl Cloud {
    /// Publishes a layer version.
    pub(crate) async fn publish_layer_version(
        &self,
        scope: Scope,
        layer: NewLayer,
    ) -> Result<LayerVersionRecord, LambdaError> {
        let source = layer.source.ok_or(LambdaError::NoCode)?;
        let package = self.package(&scope, source).await?;
        self.blocking(move |store| {
            check_storage(store, &scope, package.blob.size())?;
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
    pub(crate) async fn layer_version(
        &self,
        scope: Scope,
        name: LayerName,
        version: i64,
    ) -> Result<LayerVersionRecord, LambdaError> {
        let version = u64::try_from(version).unwrap_or(0);
        if version < 1 {
            return Err(LambdaError::LayerVersionBelowOne);
        }
        let found: Result<_, StoreError> =
            self.reading(move |store| store.layer_version(&scope, &name, version)).await;
        found?.ok_or(LambdaError::NoSuchLayerVersion)
    }

    /// The newest version of each layer.
    pub(crate) async fn layers(
        &self,
        scope: Scope,
        filter: LayerFilter,
        marker: Option<String>,
        limit: usize,
    ) -> Result<LayerPage, LambdaError> {
        let after = marker.unwrap_or_default();
        let versions: Result<_, StoreError> =
            self.reading(move |store| store.layers(&scope, &filter, &after, limit + 1)).await;
        Ok(page(versions?, limit, |last| last.name.to_string()))
    }

    /// The versions of one layer, newest first. An unknown layer has none.
    pub(crate) async fn layer_versions(
        &self,
        scope: Scope,
        name: LayerName,
        filter: LayerFilter,
        marker: Option<String>,
        limit: usize,
    ) -> Result<LayerPage, LambdaError> {
        let before = marker.and_then(|marker| marker.parse().ok());
        let versions: Result<_, StoreError> =
            self.reading(move |store| store.layer_versions(&scope, &name, &filter, before, limit + 1)).await;
        Ok(page(versions?, limit, |last| last.version.to_string()))
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

/// Looks up the layers that a function wants, lowest first, and holds them.
pub(super) fn attach(store: &Arc<Store>, scope: &Scope, arns: &[String]) -> Result<Attached, LambdaError> {
    if arns.len() > limits::LAYERS_PER_FUNCTION {
        return Err(LambdaError::TooManyLayers);
    }
    let parsed: Vec<LayerVersionArn> = arns
        .iter()
        .map(|arn| arn.parse().map_err(|_| LambdaError::LayerVersionMissing { arn: arn.clone() }))
        .collect::<Result<_, _>>()?;
    let (mut attached, mut held) = (Vec::new(), Vec::new());
    for (place, (arn, text)) in parsed.iter().zip(arns).enumerate() {
        if let Some(first) = parsed[..place].iter().position(|other| other.layer == arn.layer) {
            return Err(LambdaError::SameLayerTwice { first: arns[first].clone(), second: text.clone() });
        }
        if arn.layer.region != scope.region {
            return Err(LambdaError::LayerElsewhere { region: scope.region.to_string() });
        }
        let owner = Scope { account: arn.layer.account.clone(), region: scope.region.clone() };
        if !may_read_layer(store, &scope.account, &owner, &arn.layer.name, arn.version)? {
            return Err(LambdaError::LayerNotPermitted {
                arn: text.clone(),
                account: scope.account.to_string(),
            });
        }
        // Also when the function has this very version already: what is deleted can be kept, and
        // cannot be asked for again.
        let found = store.hold_layer_version(&owner, &arn.layer.name, arn.version)?;
        let (found, blob) = found.ok_or_else(|| LambdaError::LayerVersionMissing { arn: text.clone() })?;
        held.push(blob);
        attached.push(AttachedLayer {
            arn: text.clone(),
            sha256: found.sha256,
            code_size: found.code_size,
            unzipped_size: found.unzipped_size,
        });
    }
    Ok(Attached { attached, held })
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
