//! Tags of functions, event source mappings and code signing configurations, by ARN.

use std::collections::BTreeMap;

use super::{Cloud, FunctionRef, LambdaError, SettingsError};
use crate::store::Scope;

/// The most tags that a resource may have (FACTS.md §1).
pub(crate) const MOST_TAGS: usize = 50;

/// What can have tags.
#[derive(Clone, Debug)]
pub(crate) enum Taggable {
    /// A function.
    Function(FunctionRef),
    /// An event source mapping, by its UUID.
    Mapping(String),
    /// A code signing configuration, by its ARN.
    CodeSigning(String),
}

impl Cloud {
    /// The tags of a resource.
    pub(crate) async fn tags(
        &self,
        scope: &Scope,
        resource: Taggable,
    ) -> Result<BTreeMap<String, String>, SettingsError> {
        match resource {
            Taggable::Function(function) => Ok(self.function(scope, &function).await?.tags),
            Taggable::Mapping(uuid) => Ok(self.mapping(scope.clone(), uuid).await?.tags),
            Taggable::CodeSigning(arn) => Ok(self.code_signing(scope.clone(), arn).await?.tags),
        }
    }

    /// Changes the tags of a resource.
    pub(crate) async fn change_resource_tags(
        &self,
        scope: Scope,
        resource: Taggable,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), SettingsError> {
        match resource {
            Taggable::Function(function) => {
                self.function(&scope, &function).await?;
                self.change_tags(scope, function, change).await?;
            }
            Taggable::Mapping(uuid) => {
                self.tag_mapping(scope, uuid, move |record| within_limit(&mut record.tags, change)).await?;
            }
            Taggable::CodeSigning(arn) => {
                self.change_code_signing(scope, arn, move |record| within_limit(&mut record.tags, change))
                    .await?;
            }
        }
        Ok(())
    }
}

fn within_limit(
    tags: &mut BTreeMap<String, String>,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), SettingsError> {
    change(tags);
    if tags.len() > MOST_TAGS { Err(LambdaError::TooManyTags.into()) } else { Ok(()) }
}
