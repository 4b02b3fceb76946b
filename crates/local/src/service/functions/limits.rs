//! What a function may have: runtimes, environment variables, sizes.

use layercake_core::{limits, target::Runtime};
use serde_json::Value;

use crate::{
    RetiredRuntimes,
    sandbox::FunctionRuntime,
    service::{Cloud, LambdaError},
    store::{Scope, Settings, Store},
};

/// Identifiers that the service takes for new functions besides those that run here (FACTS.md §5).
const OTHER_RUNTIMES: [&str; 22] = [
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "nodejs26.x",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "custom",
];

/// Identifiers that the service knows and does not take for new functions any more.
const RETIRED_RUNTIMES: [&str; 17] = [
    "nodejs",
    "nodejs4.3",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs4.3-edge",
    "java8",
    "python2.7",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
];

impl Cloud {
    /// Whether functions may be given this runtime.
    pub(super) fn check_runtime(&self, runtime: &str) -> Result<(), LambdaError> {
        if let Ok(known) = runtime.parse::<FunctionRuntime>() {
            if known.is_retired() && self.retired_runtimes == RetiredRuntimes::Refuse {
                return Err(LambdaError::RetiredRuntime { runtime: runtime.to_owned() });
            }
            return Ok(());
        }
        if RETIRED_RUNTIMES.contains(&runtime) {
            return Err(LambdaError::RetiredRuntime { runtime: runtime.to_owned() });
        }
        if OTHER_RUNTIMES.contains(&runtime) {
            return Ok(());
        }
        Err(LambdaError::UnknownRuntime { runtime: runtime.to_owned() })
    }
}

/// The limit is on the JSON text of the map as the caller wrote it, in the caller's order.
pub(super) fn check_variables(variables: Option<&[(String, String)]>) -> Result<(), LambdaError> {
    let Some(variables) = variables else {
        return Ok(());
    };
    let reserved = |key: &&String| limits::RESERVED_VARIABLES.contains(&key.as_str());
    let keys: Vec<_> = variables.iter().map(|(key, _)| key).filter(reserved).cloned().collect();
    if !keys.is_empty() {
        return Err(LambdaError::ReservedVariables { keys });
    }
    let map: serde_json::Map<_, _> =
        variables.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let measured = Value::Object(map).to_string();
    if measured.len() > limits::ENVIRONMENT_BYTES {
        return Err(LambdaError::EnvironmentTooLarge { measured });
    }
    Ok(())
}

/// What can only be told of all settings together.
pub(super) fn check_together(settings: &Settings) -> Result<(), LambdaError> {
    let layers: u64 = settings.layers.iter().map(|layer| layer.unzipped_size).sum();
    let bytes = settings.unzipped_size + layers;
    if !settings.layers.is_empty() && bytes > limits::UNZIPPED_BYTES {
        return Err(LambdaError::TogetherTooLarge { bytes });
    }
    check_snap_start(settings)
}

/// Bytes of all zips of an account in a region (FACTS.md §1: 75 GB).
pub(crate) const CODE_STORAGE_BYTES: u64 = 80_530_636_800;

/// Whether there is room for so many bytes more. Another upload may take it in between; the limit
/// then gives way by that one, as it may on Lambda.
pub(crate) fn check_storage(store: &Store, scope: &Scope, more: u64) -> Result<(), LambdaError> {
    if store.code_storage(scope)? + more > CODE_STORAGE_BYTES {
        return Err(LambdaError::CodeStorageExceeded);
    }
    Ok(())
}

/// Runtimes besides Python's that SnapStart knows, by how they begin.
const SNAP_START: [&str; 7] = ["java11", "java17", "java21", "java25", "dotnet8", "dotnet10", "java8.al2023"];

/// SnapStart is for Java 11, Python 3.12, .NET 8 and later ones.
fn check_snap_start(settings: &Settings) -> Result<(), LambdaError> {
    let runtime = settings.runtime.as_str();
    let known = match runtime.parse::<Runtime>() {
        Ok(python) => python.minor() >= 12,
        Err(_) => SNAP_START.iter().any(|known| runtime.starts_with(known)),
    };
    if settings.snap_start.is_some() && !known {
        return Err(LambdaError::NoSnapStart { runtime: runtime.to_owned() });
    }
    Ok(())
}

/// What an account has in a region.
pub(crate) struct AccountUsage {
    /// Functions; their versions do not count.
    pub(crate) functions: u64,
    /// Bytes of all zips.
    pub(crate) code_bytes: u64,
    /// Calls at the same time that are kept for single functions.
    pub(crate) reserved: u32,
}

impl Cloud {
    /// What an account has in a region.
    pub(crate) async fn account_usage(&self, scope: Scope) -> Result<AccountUsage, LambdaError> {
        self.blocking(move |store| {
            Ok(AccountUsage {
                functions: store.function_count(&scope)?,
                code_bytes: store.code_storage(&scope)?,
                reserved: store.reserved_concurrency(&scope)?,
            })
        })
        .await
    }
}
