//! Invocations: from a function's record to an outcome of the sandbox.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use layercake_core::aws::FunctionName;

use super::{
    CallLog, Cloud, FunctionRef, LambdaError,
    functions::{function_arn, unpack},
    routes::Route,
};
use crate::{
    sandbox::{Call, EnvironmentSpec, FunctionRuntime, LogFormat, Network, Outcome},
    store::{FunctionRecord, Scope, StoreError, TreePin},
};

/// What is ready to run, so that an invocation need not look at the disk.
#[derive(Default)]
pub(crate) struct PreparedCache(Mutex<HashMap<PreparedKey, Arc<Prepared>>>);

/// A function and its version; none is `$LATEST`.
type PreparedKey = (Scope, FunctionName, Option<u64>);

/// A function's settings, unpacked. The trees stay while the value lives.
pub(super) struct Prepared {
    settings: String,
    pub(super) spec: Arc<EnvironmentSpec>,
    _task: TreePin,
    _opt: Option<TreePin>,
}

impl PreparedCache {
    /// Lets go of the trees of all versions of a function; running invocations keep theirs.
    pub(super) fn forget(&self, scope: &Scope, name: &FunctionName) {
        let is_of = |key: &PreparedKey| key.0 == *scope && key.1 == *name;
        let forgotten: Vec<_> = self.lock().extract_if(|key, _| is_of(key)).collect();
        drop(forgotten);
    }

    /// The same for one version.
    pub(super) fn forget_version(&self, scope: &Scope, name: &FunctionName, version: Option<u64>) {
        let forgotten = self.lock().remove(&(scope.clone(), name.clone(), version));
        drop(forgotten);
    }

    /// The same, unless something else was prepared for the version meanwhile.
    fn forget_this(&self, key: &PreparedKey, prepared: &Arc<Prepared>) {
        let mut all = self.lock();
        if all.get(key).is_some_and(|found| Arc::ptr_eq(found, prepared)) {
            all.remove(key);
        }
    }

    /// Whether nothing is prepared.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PreparedKey, Arc<Prepared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a synchronous invocation gives.
pub(crate) struct Invoked {
    /// From the sandbox.
    pub(crate) outcome: Outcome,
    /// `$LATEST` or the number of the version that ran.
    pub(crate) version: String,
}

impl Cloud {
    /// Runs a function and waits for it.
    pub(crate) async fn invoke(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        call: Call,
    ) -> Result<Invoked, LambdaError> {
        let route = self.route(scope, function).await?;
        self.invoke_by(route, scope, function, call).await
    }

    /// The same where it is known already where the call goes.
    pub(crate) async fn invoke_by(
        &self,
        route: Route,
        scope: &Scope,
        function: &FunctionRef,
        call: Call,
    ) -> Result<Invoked, LambdaError> {
        let _running = route.begin_call()?;
        // Kept until the call has ended, and with it the trees.
        let (record, prepared) = self.prepare_routed(route, scope, function).await?;
        let outcome = self.sandbox.run(Arc::clone(&prepared.spec), call).await?;
        self.keep_log(&prepared.spec, &outcome);
        Ok(Invoked { outcome, version: record.version_text() })
    }

    /// Keeps the log of a call that has ended.
    pub(super) fn keep_log(&self, environment: &Arc<EnvironmentSpec>, outcome: &Outcome) {
        if !outcome.logged {
            self.logs.add(CallLog {
                environment: Arc::clone(environment),
                stream: Arc::clone(&outcome.log_stream),
                events: Arc::clone(&outcome.log),
            });
        }
    }

    /// What a call runs on. A function that was changed after its route was looked up may have lost the
    /// code that it had then: its call goes where calls go now.
    ///
    /// # Errors
    /// [`LambdaError`] when that is nowhere, or cannot be unpacked though nothing has changed.
    pub(super) async fn prepare_routed(
        &self,
        route: Route,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<(Arc<FunctionRecord>, Arc<Prepared>), LambdaError> {
        let mut record = route.record;
        loop {
            let error = match self.prepare(scope, &record).await {
                Ok(prepared) => return Ok((record, prepared)),
                Err(error) => error,
            };
            let now = Box::pin(self.route(scope, function)).await?.record;
            if now.running().id == record.running().id {
                return Err(error);
            }
            record = now;
        }
    }

    pub(super) async fn prepare(
        &self,
        scope: &Scope,
        record: &FunctionRecord,
    ) -> Result<Arc<Prepared>, LambdaError> {
        let key = (scope.clone(), record.name.clone(), record.version);
        let known = self.prepared.lock().get(&key).map(Arc::clone);
        match known.filter(|prepared| prepared.settings == record.running().id) {
            Some(prepared) => Ok(prepared),
            // Boxed, since it is rare and its future is large.
            None => Box::pin(self.prepare_anew(scope, record, key)).await,
        }
    }

    async fn prepare_anew(
        &self,
        scope: &Scope,
        record: &FunctionRecord,
        key: PreparedKey,
    ) -> Result<Arc<Prepared>, LambdaError> {
        let settings = record.running();
        let runtime: FunctionRuntime = settings.runtime.parse().map_err(|_| LambdaError::NotBuilt {
            what: format!("running functions of the runtime {}", settings.runtime),
        })?;
        let (task, opt) = self
            .blocking({
                let settings = settings.clone();
                move |store| unpack(store, &settings)
            })
            .await?;
        // Of the versions only `$LATEST` has the function's tags.
        let network = match record.version {
            None => network_of(&record.tags)?,
            Some(_) => self.network(scope, &record.name).await?,
        };
        let spec = EnvironmentSpec {
            region: scope.region.clone(),
            account: scope.account.clone(),
            function_name: record.name.clone(),
            version: record.version_text(),
            revision: settings.id.clone(),
            runtime,
            handler: settings.handler.clone(),
            memory_mb: settings.memory,
            timeout: Duration::from_secs(settings.timeout.into()),
            tmp_mb: settings.ephemeral_storage,
            log_group: settings.logging.group.clone(),
            log_format: LogFormat::of(
                &settings.logging.format,
                settings.logging.application_level.as_deref(),
                settings.logging.system_level.as_deref(),
            ),
            variables: settings.variables.clone().unwrap_or_default(),
            task: task.path().to_owned(),
            opt: opt.as_ref().map(|tree| tree.path().to_owned()),
            network,
        };
        let prepared = Arc::new(Prepared {
            settings: settings.id.clone(),
            spec: Arc::new(spec),
            _task: task,
            _opt: opt,
        });
        self.prepared.lock().insert(key.clone(), Arc::clone(&prepared));
        // Only now is it seen whether the function still runs these settings: who deletes or
        // changes it forgets what is prepared afterwards, and would have missed this before.
        let still: Result<_, StoreError> = self
            .blocking({
                let (scope, name, version) = key.clone();
                move |store| store.function_version(&scope, &name, version)
            })
            .await;
        let runs = |record: &FunctionRecord| record.running().id == prepared.settings;
        let network = self.network(scope, &record.name).await;
        if !still.is_ok_and(|found| found.as_ref().is_some_and(runs))
            || !network.is_ok_and(|network| network == prepared.spec.network)
        {
            self.prepared.forget_this(&key, &prepared);
        }
        Ok(prepared)
    }

    /// What a function reaches: its tags say so, for all of its versions.
    async fn network(&self, scope: &Scope, name: &FunctionName) -> Result<Network, LambdaError> {
        let (at, named) = (scope.clone(), name.clone());
        let found: Result<_, StoreError> = self.reading(move |store| store.function(&at, &named)).await;
        let function =
            found?.ok_or_else(|| LambdaError::NoSuchFunction { arn: function_arn(scope, name) })?;
        network_of(&function.tags)
    }
}

/// The tag that says what a function reaches: `none`, or `host`, which is as without it.
pub const NETWORK_TAG: &str = "layercake:network";

/// What is not understood is refused: it may have been meant to take the network away.
fn network_of(tags: &BTreeMap<String, String>) -> Result<Network, LambdaError> {
    match tags.get(NETWORK_TAG).map(String::as_str) {
        None | Some("host") => Ok(Network::Host),
        Some("none") => Ok(Network::None),
        Some(given) => Err(LambdaError::UnknownNetwork { given: given.to_owned() }),
    }
}

/// The ARN that a call was made to.
pub(crate) fn invoked_arn(scope: &Scope, function: &FunctionRef) -> String {
    if function.qualifier.is_some() { function.arn(scope) } else { function_arn(scope, &function.name) }
}

/// Whether bytes are JSON; if not, what Lambda's parser says about them (FACTS.md §2).
pub(crate) fn check_event(event: &Bytes) -> Result<(), LambdaError> {
    if let Err(error) = std::str::from_utf8(event) {
        return Err(LambdaError::EventNotJson { why: utf8_fault(event, error.valid_up_to()) });
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(event) {
        Ok(_) => Ok(()),
        Err(error) => Err(LambdaError::EventNotJson { why: json_fault(event, &error) }),
    }
}

/// Where the parser stopped, as it says it.
fn place(line: usize, column: usize) -> String {
    const SOURCE: &str = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)";
    format!("\n at {SOURCE}; line: {line}, column: {column}]")
}

fn utf8_fault(event: &[u8], at: usize) -> String {
    let line_start = event[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |found| found + 1);
    let line = event[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    format!("Invalid UTF-8 start byte 0x{:02x}{}", event[at], place(line, at - line_start + 2))
}

fn json_fault(event: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return format!("Unexpected end-of-input{}", place(error.line().max(1), error.column() + 1));
    }
    let line = event.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let rest = line.get(error.column().saturating_sub(1)..).unwrap_or_default();
    let start = line[..line.len() - rest.len()]
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .map_or(0, |found| found + 1);
    let token: String = String::from_utf8_lossy(&line[start..])
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    if token.starts_with(|letter: char| letter.is_alphabetic()) {
        return format!(
            "Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or token \
             'null', 'true' or 'false'){}",
            place(error.line(), start + token.chars().count() + 1)
        );
    }
    let shown = rest.first().copied().map_or(' ', char::from);
    format!(
        "Unexpected character ('{shown}' (code {})): expected a valid value (JSON String, Number, Array, \
         Object or token 'null', 'true' or 'false'){}",
        u32::from(shown),
        place(error.line(), error.column() + 1)
    )
}
