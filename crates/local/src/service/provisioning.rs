//! Provisioned concurrency at work: which environments the sandbox keeps ready, by what is configured
//! and where aliases point.
//!
//! Owns what was made ready to run for that, so that its files stay. Never changes a configuration.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Cloud, FunctionRef, LambdaError, Qualifier, concurrency::ProvisionedRecord, invoke::Prepared};
use crate::{
    sandbox::NotReady,
    store::{Scope, Setting, SettingKind, SettingOwner, SettingPart, State, StoreError},
};

/// How often it is looked whether an alias points elsewhere by now.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A version or alias of an account.
type Owner = (Scope, SettingOwner);

/// Environments that are kept ready, and of which settings.
type Kept = HashMap<Owner, Vec<(Arc<Prepared>, usize)>>;

/// What is kept ready for whom.
#[derive(Default)]
pub(crate) struct Provisioning {
    changed: Arc<Notify>,
    kept: Mutex<Kept>,
}

/// How much there is of what is provisioned.
pub(super) struct Allocated {
    /// Environments that a call finds ready.
    pub(super) count: u32,
    /// Why there are not more.
    pub(super) missing: Option<NotReady>,
}

impl Provisioning {
    /// Looks after it as long as the cloud exists.
    pub(super) fn start(cloud: &Arc<Cloud>) {
        cloud.provisioning.changed();
        tokio::spawn(run(Arc::downgrade(cloud), Arc::clone(&cloud.provisioning.changed)));
    }

    /// Says that something else is configured.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Provisioning {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

async fn run(cloud: Weak<Cloud>, changed: Arc<Notify>) {
    let mut seen = None;
    loop {
        let told = match seen {
            None => {
                changed.notified().await;
                true
            }
            Some(_) => tokio::time::timeout(LOOK_EVERY, changed.notified()).await.is_ok(),
        };
        let Some(cloud) = cloud.upgrade() else { return };
        let changes = cloud.store.changes();
        if told || seen != Some(changes) {
            match cloud.provide().await {
                Ok(any) => seen = any.then_some(changes),
                // The next look may fare better.
                Err(error) => tracing::warn!("provisioned concurrency: {error}"),
            }
        }
    }
}

impl Cloud {
    /// How much there is of what is provisioned for a version or alias.
    pub(super) fn allocated(&self, scope: &Scope, owner: &SettingOwner, requested: u32) -> Allocated {
        let kept = self.provisioning.kept();
        let found = kept.get(&(scope.clone(), owner.clone())).map(Vec::as_slice).unwrap_or_default();
        let mut count = 0;
        let mut missing = None;
        for (prepared, share) in found {
            let ready = self.sandbox.ready(&prepared.spec);
            count += ready.count.min(*share);
            missing = missing.or(ready.missing);
        }
        Allocated { count: u32::try_from(count).unwrap_or(u32::MAX).min(requested), missing }
    }

    /// Lets the sandbox keep what is configured now. Says whether that is anything.
    async fn provide(&self) -> Result<bool, StoreError> {
        let configured: Vec<(Scope, Setting<ProvisionedRecord>)> =
            self.blocking(|store| store.settings_everywhere(SettingKind::ProvisionedConcurrency)).await?;
        let mut kept = HashMap::new();
        for (scope, setting) in configured {
            let mut shares = Vec::new();
            for (version, share) in self.shares(&scope, &setting).await? {
                match self.prepare_version(&scope, &setting.owner, version).await {
                    Ok(Some(prepared)) => shares.push((prepared, share)),
                    // It is not active yet, or gone by now: another change will tell.
                    Ok(None) => {}
                    Err(error) => tracing::warn!("provisioned concurrency: {error}"),
                }
            }
            kept.insert((scope, setting.owner), shares);
        }
        let wanted = kept.values().flatten().map(|(prepared, share)| (Arc::clone(&prepared.spec), *share));
        self.sandbox.keep_ready(wanted.collect());
        let any = !kept.is_empty();
        let before = std::mem::replace(&mut *self.provisioning.kept(), kept);
        drop(before);
        Ok(any)
    }

    /// Which versions are to be ready, how many times each.
    async fn shares(
        &self,
        scope: &Scope,
        setting: &Setting<ProvisionedRecord>,
    ) -> Result<Vec<(u64, usize)>, StoreError> {
        let requested = setting.value.requested;
        let alias = match setting.owner.part() {
            SettingPart::Version(version) => {
                return Ok(version.map(|version| (version, requested as usize)).into_iter().collect());
            }
            SettingPart::Alias(alias) => alias.to_owned(),
        };
        let (scope, name) = (scope.clone(), setting.owner.function.clone());
        let found = self.blocking(move |store| store.alias(&scope, &name, &alias)).await?;
        let Some(alias) = found else { return Ok(Vec::new()) };
        let elsewhere: f64 = alias.weights.values().sum();
        let main = alias.version.map(|version| (version, 1.0 - elsewhere));
        let all = main.into_iter().chain(alias.weights);
        Ok(all
            .map(|(version, weight)| (version, (f64::from(requested) * weight).round() as usize))
            .filter(|(_, share)| *share > 0)
            .collect())
    }

    async fn prepare_version(
        &self,
        scope: &Scope,
        owner: &SettingOwner,
        version: u64,
    ) -> Result<Option<Arc<Prepared>>, LambdaError> {
        let function =
            FunctionRef { name: owner.function.clone(), qualifier: Some(Qualifier::Version(version)) };
        let record = match self.resolve(scope, &function, |_| None).await {
            Ok(record) if matches!(record.state, State::Active) => record,
            Ok(_) | Err(LambdaError::NoSuchFunction { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.prepare(scope, &record).await.map(Some)
    }
}
