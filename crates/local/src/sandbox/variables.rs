//! The environment variables of a runtime process (FACTS.md §5).

use std::collections::BTreeMap;

use layercake_core::aws::FunctionName;
use sha2::{Digest, Sha256};

use super::{EnvironmentSpec, FunctionRuntime, LogFormat, platform_event::Initialization};

const LIBRARY_PATH: &str =
    "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";
const PATH: &str = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin";

/// Whose files the environment sees.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// A root of its own, made of this machine's folders.
    Root,
    /// This machine's files as they are.
    Machine(Outside<'a>),
    /// An image, with the variables that it sets.
    Image(&'a [String]),
}

/// Where things are for a process that has no root of its own.
#[derive(Debug)]
pub(super) struct Outside<'a> {
    /// The folder of the interpreter's shared library, where it has one.
    pub(super) library: Option<&'a str>,
    /// What stands in for `/tmp`.
    pub(super) temporary: &'a str,
}

/// What an environment is told of its server.
#[derive(Debug)]
pub(super) struct Contact {
    /// Where its lines go.
    pub(super) log_stream: String,
    /// The address of its Runtime API, without a scheme.
    pub(super) runtime_api: String,
    /// Why it is started.
    pub(super) initialization: Initialization,
}

/// The log group of a function that names none.
pub fn log_group(function: &FunctionName) -> String {
    format!("/aws/lambda/{function}")
}

/// All variables, sorted. What the user may set wins over the default; what is reserved does not.
pub(super) fn variables(
    spec: &EnvironmentSpec,
    contact: &Contact,
    place: &Place<'_>,
) -> BTreeMap<String, String> {
    // An image's own start script does for its Python what is done here for this machine's.
    let python = matches!(spec.runtime, FunctionRuntime::Python(_)) && !matches!(place, Place::Image(_));
    let outside = match place {
        Place::Machine(outside) => Some(outside),
        Place::Root | Place::Image(_) => None,
    };
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    set("AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000");
    set("LANG", "en_US.UTF-8");
    set("TZ", ":UTC");
    set("PATH", PATH);
    set("LD_LIBRARY_PATH", LIBRARY_PATH);
    if let Some(outside) = outside {
        let opt = spec.opt.as_ref().map_or("/opt", |opt| opt.as_str());
        let task = &spec.task;
        set("PATH", &format!("/usr/local/bin:/usr/bin/:/bin:{opt}/bin"));
        let library = outside.library.map(|path| format!("{path}:")).unwrap_or_default();
        set("LD_LIBRARY_PATH", &format!("{library}{task}:{task}/lib:{opt}/lib"));
        set("TMPDIR", outside.temporary);
    }
    if python && !["LANG", "LC_ALL", "LC_CTYPE"].iter().any(|name| spec.variables.contains_key(*name)) {
        // AWS's images of python3.12 and later lack en_US, so Python sets this itself there. The
        // older ones have it and the host may not: they need the variable to start, and the
        // bootstrap takes it away again.
        set("LC_CTYPE", "C.UTF-8");
        set("_LAYERCAKE_LC_CTYPE", "1");
    }
    if let Place::Image(own) = place {
        let pairs = own.iter().filter_map(|pair| pair.split_once('='));
        all.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    all.extend(spec.variables.clone());

    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    let credentials = Credentials::of(&spec.function_arn());
    set("AWS_ACCESS_KEY_ID", &credentials.access_key_id);
    set("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key);
    set("AWS_SESSION_TOKEN", &credentials.session_token);
    set("AWS_REGION", spec.region.as_str());
    set("AWS_DEFAULT_REGION", spec.region.as_str());
    if let Some(name) = spec.runtime.execution_environment() {
        set("AWS_EXECUTION_ENV", &name);
    }
    set("AWS_LAMBDA_INITIALIZATION_TYPE", contact.initialization.name());
    set("AWS_LAMBDA_FUNCTION_NAME", spec.function_name.as_str());
    set("AWS_LAMBDA_FUNCTION_VERSION", &spec.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &spec.memory_mb.to_string());
    set("AWS_LAMBDA_LOG_GROUP_NAME", &spec.log_group);
    set("AWS_LAMBDA_LOG_STREAM_NAME", &contact.log_stream);
    set("AWS_LAMBDA_RUNTIME_API", &contact.runtime_api);
    if let LogFormat::Json { application, .. } = spec.log_format {
        set("AWS_LAMBDA_LOG_FORMAT", "JSON");
        set("AWS_LAMBDA_LOG_LEVEL", application.name());
    }
    set("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1");
    set("_AWS_XRAY_DAEMON_PORT", "2000");
    set("LAMBDA_RUNTIME_DIR", "/var/runtime");
    set("LAMBDA_TASK_ROOT", outside.map_or("/var/task", |_| spec.task.as_str()));
    set("_HANDLER", &spec.handler);
    if python {
        // Python's runtimes are started by a shell, which sets these two; others are not.
        set("SHLVL", "0");
        set("PWD", outside.map_or("/var/task", |_| spec.task.as_str()));
    }
    if let (true, Some(_), Some(opt)) = (python, outside, &spec.opt) {
        set("_LAYERCAKE_OPT", opt.as_str());
    }
    all
}

/// Variables that the runtime gets and extensions do not (FACTS.md §9).
const OF_THE_RUNTIME: &[&str] = &[
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "PWD",
    "SHLVL",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
    "_LAYERCAKE_LC_CTYPE",
    "_LAYERCAKE_OPT",
    "_LAMBDA_TELEMETRY_LOG_FD",
];

/// What an extension gets of a runtime's variables.
pub(super) fn of_extensions(runtime: &[(String, String)]) -> Vec<(String, String)> {
    runtime.iter().filter(|(name, _)| !OF_THE_RUNTIME.contains(&name.as_str())).cloned().collect()
}

/// Credentials with the shape of a role's, and no power anywhere.
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

impl Credentials {
    fn of(function_arn: &str) -> Self {
        const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        const ANY: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let text = |purpose: &str, alphabet: &[u8], length: usize| -> String {
            let blocks = (0u32..).flat_map(|block| {
                Sha256::new()
                    .chain_update(purpose)
                    .chain_update(function_arn)
                    .chain_update(block.to_le_bytes())
                    .finalize()
            });
            blocks.take(length).map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect()
        };
        Self {
            access_key_id: format!("ASIA{}", text("id", UPPER, 16)),
            secret_access_key: text("secret", ANY, 40),
            session_token: format!("IQoJb3JpZ2luX2Vj{}", text("token", ANY, 340)),
        }
    }
}
