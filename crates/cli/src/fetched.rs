//! A function's environment on this machine: what its endpoint has, fetched and unpacked.
//!
//! Owns the way from a function's name to what the sandbox needs. Runs nothing.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::aws::FunctionName;
use layercake_deploy::{Endpoint, FetchedFunction, fetch_function};
use layercake_local::{
    Interpreters, NETWORK_TAG, StoreError,
    sandbox::{EnvironmentSpec, FunctionRuntime, LogFormat, Network, log_group},
    unpack_function,
};

use crate::{
    args::{Aws, On},
    cloud::Cloud,
    error::{CommandError, Kind},
    settings::Settings,
    ui::Ui,
};

/// Which function is meant.
pub(crate) struct Asked<'a> {
    /// Name or ARN.
    pub(crate) function: &'a str,
    /// Version or alias.
    pub(crate) qualifier: Option<&'a str>,
    /// Where it is.
    pub(crate) on: On,
    /// How AWS is reached.
    pub(crate) aws: &'a Aws,
}

/// A folder for the files of one run, gone with the answer.
pub(crate) fn scratch() -> Result<(tempfile::TempDir, Utf8PathBuf), CommandError> {
    let folder = tempfile::tempdir().map_err(|error| no_folder(&error))?;
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).map_err(|_| {
        CommandError::new(
            Kind::User,
            "the temporary folder has a name that is not UTF-8",
            "set TMPDIR to another",
        )
    })?;
    Ok((folder, path))
}

/// The function as the endpoint has it, unpacked.
pub(crate) async fn fetch(
    asked: &Asked<'_>,
    settings: &Settings,
    interpreters: &Interpreters,
    folder: &Utf8Path,
    ui: &Ui,
) -> Result<EnvironmentSpec, CommandError> {
    let cloud = Cloud::open(asked.on, asked.aws, settings, interpreters, ui).await?;
    let fetched = fetch_function(&cloud.endpoint, asked.function, asked.qualifier, folder).await;
    let endpoint = cloud.endpoint.clone();
    // The function's files are here now: others may have the local cloud.
    cloud.close().await;
    let fetched = fetched?;
    let (code, layers, place) = (fetched.code.clone(), fetched.layers.clone(), folder.to_owned());
    let unpacking = tokio::task::spawn_blocking(move || unpack_function(&code, &layers, &place)).await;
    let (task, opt) =
        unpacking.map_err(|error| no_folder(&std::io::Error::other(error)))?.map_err(unreadable)?;
    let mut spec = spec(&fetched, &endpoint)?;
    (spec.task, spec.opt) = (task, opt);
    Ok(spec)
}

fn spec(fetched: &FetchedFunction, endpoint: &Endpoint) -> Result<EnvironmentSpec, CommandError> {
    let runtime = fetched.runtime.as_deref().unwrap_or("none");
    let runtime: FunctionRuntime = runtime.parse().map_err(|_| {
        CommandError::new(
            Kind::User,
            format!("the function `{}` has the runtime {runtime}", fetched.name),
            "only functions of Python's and the `provided` runtimes can be opened here",
        )
    })?;
    let function_name: FunctionName = fetched.name.parse().map_err(|error| CommandError {
        kind: Kind::Bug,
        error: Box::new(error),
        hints: Vec::new(),
    })?;
    let network = match fetched.tags.get(NETWORK_TAG).map(String::as_str) {
        None | Some("host") => Network::Host,
        // What is not understood may have been meant to take the network away.
        Some(_) => Network::None,
    };
    Ok(EnvironmentSpec {
        region: endpoint.region.clone(),
        account: endpoint.account.clone(),
        version: fetched.version.clone(),
        revision: String::new(),
        runtime,
        handler: fetched.handler.clone(),
        memory_mb: fetched.memory_mb,
        timeout: Duration::from_secs(fetched.timeout_seconds.into()),
        tmp_mb: fetched.tmp_mb,
        log_format: LogFormat::of(
            fetched.logging.format.as_deref().unwrap_or("Text"),
            fetched.logging.application_level.as_deref(),
            fetched.logging.system_level.as_deref(),
        ),
        log_group: fetched.log_group.clone().unwrap_or_else(|| log_group(&function_name)),
        function_name,
        variables: fetched.variables.clone(),
        task: fetched.code.clone(),
        opt: None,
        network,
    })
}

/// Why there is no such folder.
pub(crate) fn no_folder(error: &std::io::Error) -> CommandError {
    CommandError::new(
        Kind::User,
        format!("the function's files cannot be put into a temporary folder: {error}"),
        "set TMPDIR to a folder that can be written and has room",
    )
}

fn unreadable(error: StoreError) -> CommandError {
    let hint = "what the endpoint gave cannot be unpacked here".to_owned();
    CommandError { kind: Kind::User, error: Box::new(error), hints: vec![hint] }
}
