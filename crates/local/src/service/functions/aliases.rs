//! Aliases: names for versions, and calls that are shared between two of them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{FunctionRef, Qualifier, function_arn};
use crate::{
    service::{Cloud, LambdaError},
    store::{AliasError, AliasRecord, Scope, StoreError, version_text},
};

/// What a caller says about an alias. `None` leaves the default or what there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct AliasChanges {
    /// The version to point to; none is `$LATEST`.
    pub(crate) version: Option<Option<u64>>,
    /// As given.
    pub(crate) description: Option<String>,
    /// Shares of the calls (0 to 1) by version; none of them ends the sharing.
    pub(crate) weights: Option<BTreeMap<u64, f64>>,
    /// What the alias must have.
    pub(crate) revision: Option<String>,
}

/// One page of aliases.
pub(crate) struct AliasPage {
    /// The aliases.
    pub(crate) aliases: Vec<AliasRecord>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

impl Cloud {
    /// Creates an alias.
    pub(crate) async fn create_alias(
        &self,
        scope: Scope,
        function: FunctionRef,
        name: String,
        changes: AliasChanges,
    ) -> Result<AliasRecord, LambdaError> {
        function.check_unqualified()?;
        let mut alias = AliasRecord {
            name,
            version: None,
            description: String::new(),
            weights: BTreeMap::new(),
            revision: String::new(),
        };
        changes.apply(&mut alias)?;
        self.blocking(move |store| {
            store.create_alias(&scope, &function.name, &alias).map_err(refusal(
                &scope,
                &function,
                &alias.name,
            ))?;
            Ok(alias)
        })
        .await
    }

    /// One alias.
    pub(crate) async fn alias(
        &self,
        scope: Scope,
        function: FunctionRef,
        name: String,
    ) -> Result<AliasRecord, LambdaError> {
        self.function(&scope, &function.unqualified()).await?;
        let arn = alias_arn(&scope, &function, &name);
        let found: Result<_, StoreError> =
            self.blocking(move |store| store.alias(&scope, &function.name, &name)).await;
        found?.ok_or(LambdaError::NoSuchAlias { arn })
    }

    /// Aliases of a function by name, those alone that invoke a version when one is given.
    pub(crate) async fn aliases(
        &self,
        scope: Scope,
        function: FunctionRef,
        version: Option<Option<u64>>,
        marker: Option<String>,
        limit: usize,
    ) -> Result<AliasPage, LambdaError> {
        self.function(&scope, &function.unqualified()).await?;
        let after = marker.unwrap_or_default();
        let found: Result<_, StoreError> =
            self.blocking(move |store| store.aliases(&scope, &function.name, &after, usize::MAX)).await;
        let mut aliases = found?;
        aliases.retain(|alias| version.is_none_or(|version| alias.invokes(version)));
        let more = aliases.len() > limit;
        aliases.truncate(limit);
        let next = if more { aliases.last().map(|last| last.name.clone()) } else { None };
        Ok(AliasPage { aliases, next })
    }

    /// Changes an alias.
    pub(crate) async fn update_alias(
        &self,
        scope: Scope,
        function: FunctionRef,
        name: String,
        changes: AliasChanges,
    ) -> Result<AliasRecord, LambdaError> {
        function.check_unqualified()?;
        self.function(&scope, &function.unqualified()).await?;
        self.blocking(move |store| {
            store
                .change_alias(&scope, &function.name, &name, |alias| {
                    if changes.revision.as_ref().is_some_and(|revision| *revision != alias.revision) {
                        return Err(LambdaError::OtherRevision);
                    }
                    changes.apply(alias)
                })
                .map_err(refusal(&scope, &function, &name))
        })
        .await
    }

    /// Deletes an alias; one that is not there counts as deleted.
    pub(crate) async fn delete_alias(
        &self,
        scope: Scope,
        function: FunctionRef,
        name: String,
    ) -> Result<(), LambdaError> {
        function.check_unqualified()?;
        self.function(&scope, &function.unqualified()).await?;
        self.blocking(move |store| {
            store.delete_alias(&scope, &function.name, &name)?;
            Ok(())
        })
        .await
    }
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS`.
pub(crate) fn alias_arn(scope: &Scope, function: &FunctionRef, name: &str) -> String {
    format!("{}:{name}", function_arn(scope, &function.name))
}

/// Which version a call of the alias goes to, `throw` being anywhere from 0 up to 1.
pub(in crate::service) fn route(alias: &AliasRecord, throw: f64) -> Option<u64> {
    let mut below = 0.0;
    for (&version, &weight) in &alias.weights {
        below += weight;
        if throw < below {
            return Some(version);
        }
    }
    alias.version
}

/// Somewhere from 0 up to 1.
pub(in crate::service) fn throw() -> f64 {
    // A version 4 UUID has its 62 last bits at random; 32 of them are plenty, and exact.
    let (.., low) = Uuid::new_v4().as_u64_pair();
    f64::from(u32::try_from(low & u64::from(u32::MAX)).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

impl AliasChanges {
    fn apply(self, alias: &mut AliasRecord) -> Result<(), LambdaError> {
        alias.version = self.version.unwrap_or(alias.version);
        if let Some(description) = self.description {
            alias.description = description;
        }
        if let Some(weights) = self.weights {
            alias.weights = weights;
        }
        alias.revision = Uuid::new_v4().to_string();
        check_weights(alias)
    }
}

/// An alias can share its calls between two published versions.
fn check_weights(alias: &AliasRecord) -> Result<(), LambdaError> {
    if alias.weights.len() > 1 {
        return Err(LambdaError::TooManyWeights);
    }
    match alias.version {
        None if !alias.weights.is_empty() => Err(LambdaError::WeightsOnLatest),
        Some(version) if alias.weights.contains_key(&version) => {
            Err(LambdaError::WeightOnOwnVersion { version })
        }
        _ => Ok(()),
    }
}

fn refusal(
    scope: &Scope,
    function: &FunctionRef,
    name: &str,
) -> impl FnOnce(AliasError<LambdaError>) -> LambdaError {
    let arn = alias_arn(scope, function, name);
    let function = function_arn(scope, &function.name);
    move |error| match error {
        AliasError::NoSuchAlias => LambdaError::NoAliasToUpdate { arn },
        AliasError::AliasExists => LambdaError::AliasExists { arn },
        AliasError::NoSuchVersion(version) => {
            LambdaError::NoSuchFunction { arn: format!("{function}:{}", version_text(version)) }
        }
        AliasError::Refused(error) => error,
        AliasError::Store(error) => error.into(),
    }
}

impl Qualifier {
    /// From the text of a name or a `Qualifier` member.
    pub(crate) fn of(text: &str) -> Self {
        if text == "$LATEST" {
            return Self::Latest;
        }
        match text.parse::<u64>() {
            // Only as the number is written: no alias and no version is called `01`.
            Ok(number) if number.to_string() == text => Self::Version(number),
            _ => Self::Alias(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_shared_by_weight() {
        let alias = AliasRecord {
            name: "a".to_owned(),
            version: Some(1),
            description: String::new(),
            weights: BTreeMap::from([(2, 0.25)]),
            revision: String::new(),
        };
        let routed: Vec<_> = [0.0, 0.2, 0.25, 0.9].into_iter().map(|throw| route(&alias, throw)).collect();
        assert_eq!(routed, [Some(2), Some(2), Some(1), Some(1)]);
        assert!((0..1000).map(|_| throw()).all(|throw| (0.0..1.0).contains(&throw)));
    }

    #[test]
    fn a_qualifier_is_a_number_only_as_it_is_written() {
        assert_eq!(Qualifier::of("$LATEST"), Qualifier::Latest);
        assert_eq!(Qualifier::of("12"), Qualifier::Version(12));
        assert_eq!(Qualifier::of("012"), Qualifier::Alias("012".to_owned()));
        assert_eq!(Qualifier::of("live"), Qualifier::Alias("live".to_owned()));
    }
}
