//! Options for asynchronous invocation: how often and how long a failed event is tried again, and
//! where its record goes.
//!
//! What they do is in `events`.

use serde::{Deserialize, Serialize};

use super::{
    Cloud, FunctionRef, LambdaError, Qualifier, SettingsError,
    functions::function_arn,
    now,
    settings::{Page, owner_arn, owner_or_latest},
};
use crate::store::{ChangeError, Scope, Setting, SettingKind};

/// Options as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventInvokeConfig {
    /// Runs after the first, 0 to 2.
    pub(crate) retries: Option<u32>,
    /// How long an event may wait, in seconds.
    pub(crate) age: Option<u32>,
    /// Where records of events that succeeded go.
    pub(crate) on_success: Option<String>,
    /// Where records of events that failed go.
    pub(crate) on_failure: Option<String>,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
}

/// Options as a request gives them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewEventInvokeConfig {
    /// Runs after the first.
    pub(crate) retries: Option<u32>,
    /// In seconds.
    pub(crate) age: Option<u32>,
    /// Destinations, when the request speaks of them.
    pub(crate) destinations: Option<Destinations>,
}

/// Where records of events go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Destinations {
    /// Of those that succeeded.
    pub(crate) success: Option<String>,
    /// Of those that failed.
    pub(crate) failure: Option<String>,
}

/// Options as events follow them, with AWS's values where none are configured.
#[derive(Clone, Debug)]
pub(super) struct EventOptions {
    /// Runs after the first, 0 to 2.
    pub(super) retries: u32,
    /// How long an event may wait, in seconds.
    pub(super) age: u32,
    /// Where records of events that succeeded go.
    pub(super) on_success: Option<String>,
    /// Where records of events that failed go.
    pub(super) on_failure: Option<String>,
}

/// Options with what they belong to.
pub(crate) struct EventInvoke {
    /// The ARN, always qualified.
    pub(crate) arn: String,
    /// The options.
    pub(crate) config: EventInvokeConfig,
}

const KIND: SettingKind = SettingKind::EventInvoke;

impl Cloud {
    /// Sets options; those not given are removed when `replace` says so, else kept.
    pub(crate) async fn put_event_invoke(
        &self,
        scope: Scope,
        function: FunctionRef,
        new: NewEventInvokeConfig,
        replace: bool,
    ) -> Result<EventInvoke, SettingsError> {
        self.function(&scope, &function).await.map_err(no_function)?;
        if new.retries.is_none() && new.age.is_none() && new.destinations.is_none() {
            return Err(SettingsError::EmptyEventInvokeConfig);
        }
        let destinations = match new.destinations.clone() {
            None => None,
            Some(given) => Some(self.check_destinations(&scope, &function, given).await?),
        };
        let owner = owner_or_latest(&function);
        let arn = owner_arn(&scope, &owner);
        let missing = arn.clone();
        let config = self
            .blocking(move |store| {
                let changed: Result<_, ChangeError<SettingsError>> =
                    store.change_setting(&scope, KIND, &owner, |_, found: Option<EventInvokeConfig>| {
                        if !replace && found.is_none() {
                            return Err(SettingsError::NoEventInvokeConfig { arn: missing });
                        }
                        let before =
                            if replace { EventInvokeConfig::default() } else { found.unwrap_or_default() };
                        let (success, failure) = match destinations {
                            Some(given) => (given.success, given.failure),
                            None => (before.on_success, before.on_failure),
                        };
                        let config = EventInvokeConfig {
                            retries: new.retries.or(before.retries),
                            age: new.age.or(before.age),
                            on_success: success,
                            on_failure: failure,
                            modified: now(),
                        };
                        Ok((Some(config.clone()), config))
                    });
                Ok::<_, SettingsError>(changed?)
            })
            .await?;
        Ok(EventInvoke { arn, config })
    }

    /// The options of a function, version or alias.
    pub(crate) async fn event_invoke(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<EventInvoke, SettingsError> {
        let owner = owner_or_latest(&function);
        let arn = owner_arn(&scope, &owner);
        let found: Option<EventInvokeConfig> =
            self.blocking(move |store| store.setting(&scope, KIND, &owner)).await?;
        match found {
            Some(config) => Ok(EventInvoke { arn, config }),
            None => Err(SettingsError::NoEventInvokeConfig { arn }),
        }
    }

    /// The options of a function's versions and aliases.
    pub(crate) async fn list_event_invoke(
        &self,
        scope: Scope,
        function: FunctionRef,
        marker: Option<String>,
        limit: usize,
    ) -> Result<Page<EventInvoke>, SettingsError> {
        let name = function.name.clone();
        self.function(&scope, &function.unqualified()).await.map_err(no_function)?;
        let found: Vec<Setting<EventInvokeConfig>> = self
            .blocking({
                let scope = scope.clone();
                move |store| store.settings_of(&scope, KIND, &name, marker.as_deref(), limit + 1)
            })
            .await?;
        let page = Page::of(found, limit, |last| last.owner.qualifier.clone());
        let named = |setting: Setting<EventInvokeConfig>| EventInvoke {
            arn: owner_arn(&scope, &setting.owner),
            config: setting.value,
        };
        Ok(Page { items: page.items.into_iter().map(named).collect(), next: page.next })
    }

    /// Removes the options of a function, version or alias.
    pub(crate) async fn delete_event_invoke(
        &self,
        scope: Scope,
        function: FunctionRef,
    ) -> Result<(), SettingsError> {
        let owner = owner_or_latest(&function);
        let missing = SettingsError::NoEventInvokeConfig { arn: owner_arn(&scope, &owner) };
        match self.forget_setting::<EventInvokeConfig>(scope, KIND, owner).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(SettingsError::NoSuchResource) => Err(missing),
            Err(other) => Err(other),
        }
    }

    /// The options of a version or alias as its events follow them.
    pub(super) async fn event_options(&self, scope: &Scope, function: &FunctionRef) -> EventOptions {
        let config = match self.event_invoke(scope.clone(), function.clone()).await {
            Ok(found) => found.config,
            Err(_) => EventInvokeConfig::default(),
        };
        EventOptions {
            // "by default, Lambda retries an asynchronous invocation twice … up to six hours"
            retries: config.retries.unwrap_or(2),
            age: config.age.unwrap_or(21_600),
            on_success: config.on_success,
            on_failure: config.on_failure,
        }
    }

    /// Destinations whose service can be one, and functions that are there.
    async fn check_destinations(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        given: Destinations,
    ) -> Result<Destinations, SettingsError> {
        let given = Destinations {
            success: given.success.filter(|arn| !arn.is_empty()),
            failure: given.failure.filter(|arn| !arn.is_empty()),
        };
        let fits = |arn: &Option<String>, services: &[&str]| {
            arn.as_deref().is_none_or(|arn| services.contains(&service_of(arn)))
        };
        if !fits(&given.success, &["lambda", "sqs", "sns", "events"])
            || !fits(&given.failure, &["lambda", "sqs", "sns", "events", "s3"])
        {
            return Err(SettingsError::BadDestinations { success: given.success, failure: given.failure });
        }
        let own = function_arn(scope, &function.name);
        for arn in [&given.success, &given.failure].into_iter().flatten() {
            if service_of(arn) != "lambda" {
                continue;
            }
            if *arn == own || arn.strip_prefix(&own).is_some_and(|rest| rest.starts_with(':')) {
                return Err(SettingsError::OwnDestination);
            }
            if self.destination_function(scope, arn).await?.is_none() {
                return Err(SettingsError::NoSuchDestination { arn: arn.clone() });
            }
        }
        Ok(given)
    }

    /// The function of this account and region that an ARN names, if it is there.
    pub(super) async fn destination_function(
        &self,
        scope: &Scope,
        arn: &str,
    ) -> Result<Option<FunctionRef>, SettingsError> {
        let parts: Vec<_> = arn.split(':').collect();
        let ["arn", _, "lambda", region, account, "function", name, ..] = parts[..] else {
            return Ok(None);
        };
        let Ok(name) = name.parse() else { return Ok(None) };
        if region != scope.region.as_str() || account != scope.account.as_str() {
            return Ok(None);
        }
        let qualifier = parts.get(7).map(|text| Qualifier::of(text));
        let function = FunctionRef { name, qualifier };
        match self.function(scope, &function).await {
            Ok(_) => Ok(Some(function)),
            Err(LambdaError::NoSuchFunction { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// `sqs` of `arn:aws:sqs:…`.
fn service_of(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

fn no_function(error: LambdaError) -> SettingsError {
    match error {
        LambdaError::NoSuchFunction { .. } => SettingsError::NoFunctionForEvents,
        other => other.into(),
    }
}
