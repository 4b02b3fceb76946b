//! `layercake invoke --debug`: one call with a debugger attached.
//!
//! The function is fetched as `shell` does it and runs on this machine, in an environment of its own
//! that the endpoint knows nothing of: nobody else's call stops at a breakpoint.

use std::{
    net::{Ipv4Addr, TcpListener},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use camino::Utf8Path;
use layercake_deploy::{Called, FunctionCall};
use layercake_local::{
    Interpreters,
    sandbox::{
        Call, EnvironmentSpec, FunctionRuntime, Isolation, Network, Outcome, RuntimeClient, Sandbox,
        SandboxConfig, Tuning,
    },
};

use crate::{
    args::Invoke,
    error::{CommandError, Kind},
    fetched::{Asked, fetch, no_folder, scratch},
    settings::Settings,
    ui::Ui,
    up::interrupted,
};

/// The timeout while somebody looks: long enough for anybody, and still a number that clocks can add.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Makes the call.
pub(crate) async fn run(
    invoke: &Invoke,
    port: NonZeroU16,
    call: FunctionCall,
    settings: &Settings,
    interpreters: Interpreters,
    ui: &Ui,
) -> Result<Called, CommandError> {
    let port = port.get();
    check_port(port)?;
    let (_temporary, folder) = scratch()?;
    let asked = Asked {
        function: &invoke.function,
        qualifier: invoke.qualifier.as_deref(),
        on: invoke.on,
        aws: &invoke.aws,
    };
    let mut spec = tokio::select! {
        spec = fetch(&asked, settings, &interpreters, &folder, ui) => spec?,
        error = interrupted() => return Err(error),
    };
    check_debugpy(&spec)?;
    if spec.network == Network::None {
        return Err(CommandError::new(
            Kind::User,
            format!("the function `{}` has no network, so no debugger reaches it", spec.function_name),
            "take its tag `layercake:network` away for a while",
        ));
    }
    spec.timeout = PATIENCE;
    let work = folder.join("work");
    std::fs::create_dir(&work).map_err(|error| no_folder(&error))?;
    let config = SandboxConfig { work, interpreters, isolation: Isolation::Best };
    let sandbox =
        Sandbox::with(config, Tuning { client: RuntimeClient::Debugged { port }, ..Tuning::default() });
    let has_root = sandbox.isolation().missing().all(|missing| missing.name != "own file system");
    let place = if has_root { "/var/task" } else { spec.task.as_str() };
    ui.say(&format!(
        "the function waits for a debugger on 127.0.0.1:{port}; its code is {place} there (for `pathMappings`)"
    ));
    let version = spec.version.clone();
    let call = Call {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload: call.event.into(),
        invoked_arn: spec.function_arn(),
        client_context: call.client_context,
        trace_id: String::new(),
    };
    let request_id = call.request_id.clone();
    let outcome = tokio::select! {
        outcome = sandbox.run(Arc::new(spec), call) => outcome.map_err(CommandError::from),
        error = interrupted() => Err(error),
    };
    sandbox.shutdown().await;
    let Outcome { payload, function_error, log, .. } = outcome?;
    Ok(Called {
        status: 200,
        request_id: Some(request_id),
        version: Some(version),
        function_error,
        payload: payload.to_vec(),
        log: log.iter().map(|event| event.text.as_str()).collect(),
    })
}

/// Whether debugpy can have the port, told before anything is fetched.
fn check_port(port: u16) -> Result<(), CommandError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(|error| {
        CommandError::new(
            Kind::User,
            format!("a debugger cannot be waited for on port {port}: {error}"),
            "give another one, such as --debug=5679",
        )
    })
}

/// Whether the function brings debugpy, in its code or in a layer.
fn check_debugpy(spec: &EnvironmentSpec) -> Result<(), CommandError> {
    let FunctionRuntime::Python(runtime) = spec.runtime else {
        return Err(CommandError::new(
            Kind::User,
            format!("the runtime {} has no Python to be debugged", spec.runtime),
            "leave out --debug",
        ));
    };
    let library = format!("python/lib/python{}/site-packages", runtime.python_version());
    let of_layers = spec.opt.iter().flat_map(|opt| [opt.join("python"), opt.join(&library)]);
    let has = |folder: &Utf8Path| folder.join("debugpy").is_dir();
    if has(&spec.task) || of_layers.into_iter().any(|folder| has(&folder)) {
        return Ok(());
    }
    Err(CommandError::new(
        Kind::User,
        format!("the function `{}` does not bring debugpy, which a debugger talks to", spec.function_name),
        "give it to the function for a while: `layercake up APP --with debugpy`; without --with it is gone again",
    ))
}
