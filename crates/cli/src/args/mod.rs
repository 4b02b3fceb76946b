//! What was typed, as clap reads it. What it means here is `settings`' work.

mod build;
mod cache;
mod check;
mod doctor;
mod invoke;
mod lock;
mod logs;
mod shell;
mod show;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use layercake_core::{
    aws::{AccountId, FunctionName, Handler, Region},
    target::{Arch, Runtime},
};

pub(crate) use build::{Build, LayerOptions};
pub(crate) use cache::{Cache, CacheCommand, Removal};
pub(crate) use check::Check;
pub(crate) use doctor::Doctor;
pub(crate) use invoke::Invoke;
pub(crate) use lock::Lock;
pub(crate) use logs::Logs;
pub(crate) use shell::Shell;
pub(crate) use show::{Diff, Show};

/// Python dependencies on AWS Lambda: layer, function, test run and clean-up in one command.
#[derive(Debug, Parser)]
#[command(name = "layercake", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Examples:
  layercake up examples/pandas        build the layer, make the function, run it, on the local cloud
  layercake down                      remove everything that `up` made
  layercake local                     serve the local cloud on 127.0.0.1:4566 for aws, boto3 and SDKs")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Say nothing but errors and the result.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Log what happens inside to stderr (the filter is RUST_LOG, `debug` when it is not set).
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Folder of the local cloud's state.
    #[arg(long, global = true, env = "LAYERCAKE_DATA", value_name = "FOLDER")]
    pub(crate) data: Option<Utf8PathBuf>,
    /// Python to run functions and to compile with; may be given more than once.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) python: Vec<Utf8PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take an app to a running function: resolve, layer, publish, function, test run, report.
    Up(Box<Up>),
    /// Remove everything that `up` made, newest first.
    Down(Down),
    /// Call a function and print its answer.
    Invoke(Invoke),
    /// Open a shell, Python or a command in a function's environment: its files, variables, limits.
    Shell(Shell),
    /// Print what a function has logged, and what it goes on to log.
    Logs(Logs),
    /// Build a layer's zip from requirements, a project, a lock or wheels.
    Build(Box<Build>),
    /// Write the lock file pylock.toml (PEP 751): versions and hashes for every target asked for.
    Lock(Box<Lock>),
    /// Tell whether a layer will run on Lambda, before it is uploaded.
    Check(Check),
    /// Show what is in a zip and what it costs.
    Show(Show),
    /// Compare two zips: packages and files added, removed, changed.
    Diff(Diff),
    /// Look after the cache.
    Cache(Cache),
    /// Serve the local cloud for other clients: Lambda, S3, IAM, STS and Logs on one port.
    Local(Local),
    /// Tell what this machine gives: Pythons, isolation, folders, credentials.
    Doctor(Doctor),
}

/// Where the endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// The local cloud.
    Local,
    /// AWS, with the standard credential chain.
    Aws,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  layercake up examples/pandas
  layercake up examples/pandas --runtime python3.6
  layercake up handler.py --with pandas --event '{\"rows\": 3}'
  layercake up my-app --watch
  layercake up my-app --on aws --region eu-central-1 --memory 512 --dry-run")]
pub(crate) struct Up {
    /// Folder with the function's code and its requirements.txt, pylock.toml, uv.lock or pyproject.toml; or one Python file.
    #[arg(default_value = ".")]
    pub(crate) app: Utf8PathBuf,
    /// Where to.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) on: On,
    /// Lambda runtime [default: the newest for which this machine has a Python].
    #[arg(long, value_name = "python3.N")]
    pub(crate) runtime: Option<Runtime>,
    /// Architecture [default: this machine's].
    #[arg(long)]
    pub(crate) arch: Option<Arch>,
    /// A requirement beside those of the app (PEP 508); may be given more than once.
    #[arg(long, value_name = "REQUIREMENT")]
    pub(crate) with: Vec<String>,
    /// What Lambda calls [default: `lambda_handler` or `handler`, found in the code].
    #[arg(long, value_name = "module.function")]
    pub(crate) handler: Option<Handler>,
    /// The function's name [default: the app's].
    #[arg(long)]
    pub(crate) name: Option<FunctionName>,
    /// Event of the test run: JSON, or a file that holds it.
    #[arg(long, value_name = "JSON|FILE", default_value = "{}")]
    pub(crate) event: String,
    /// The function's memory in MB.
    #[arg(long, value_name = "MB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) memory: u32,
    /// The function's timeout in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=900))]
    pub(crate) timeout: u32,
    /// An environment variable of the function; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Give the function no network but its own loopback, to see that it needs none; on the local
    /// cloud only.
    #[arg(long)]
    pub(crate) no_network: bool,
    /// ARN of a role for the function [default: one made for it].
    #[arg(long, value_name = "ARN")]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) layer: LayerOptions,
    /// Go on even when the check says that the function will not run.
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Publish through a bucket even when the zip would fit into the request.
    #[arg(long)]
    pub(crate) via_s3: bool,
    #[command(flatten)]
    pub(crate) aws: Aws,
    #[command(flatten)]
    pub(crate) index: Index,
    /// Folder for the journal [default: .layercake beside the app].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<Utf8PathBuf>,
    /// Stay, and bring every change of the code live as soon as it is written; the layer is built
    /// again when the requirements change. Ctrl-C ends it; what was made stays until `down`.
    #[arg(long, conflicts_with_all = ["dry_run", "json"])]
    pub(crate) watch: bool,
    /// Print the steps and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the whole report as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// AWS's settings.
#[derive(Args, Clone, Debug)]
pub(crate) struct Aws {
    /// AWS region [default: as configured; us-east-1 on the local cloud].
    #[arg(long)]
    pub(crate) region: Option<Region>,
    /// Named profile of the AWS configuration.
    #[arg(long = "aws-profile", value_name = "PROFILE")]
    pub(crate) aws_profile: Option<String>,
}

/// The package index's settings.
#[derive(Args, Clone, Debug)]
pub(crate) struct Index {
    /// Package index to use in place of the public one.
    #[arg(long, value_name = "URL", env = "LAYERCAKE_INDEX_URL", hide_env_values = true)]
    pub(crate) index_url: Option<String>,
    /// Package index to ask first; may be given more than once.
    #[arg(long, value_name = "URL")]
    pub(crate) extra_index_url: Vec<String>,
    /// Folder with wheels, or address of an HTML page with links to wheels, that counts beside the
    /// indexes; may be given more than once.
    #[arg(short = 'f', long, value_name = "FOLDER|URL")]
    pub(crate) find_links: Vec<String>,
    /// Ask no index, only the --find-links places.
    #[arg(long)]
    pub(crate) no_index: bool,
    /// What counts when several indexes have a package.
    #[arg(long, value_enum, default_value = "first-index")]
    pub(crate) index_strategy: Strategy,
    /// Where passwords of indexes come from, beside addresses and netrc.
    #[arg(long, value_enum, default_value = "disabled")]
    pub(crate) keyring_provider: Keyring,
    /// Take versions before a release (alpha, beta, candidate) like any other.
    #[arg(long)]
    pub(crate) pre: bool,
    /// Packages to take from source only, and to build: names with commas, `:all:` or `:none:`.
    #[arg(long, value_name = "NAMES")]
    pub(crate) no_binary: Vec<String>,
    /// Packages to take as wheels only, never from source: names with commas, `:all:` or `:none:`.
    /// With `:all:`, names in --no-binary are exceptions.
    #[arg(long, value_name = "NAMES")]
    pub(crate) only_binary: Vec<String>,
    /// Use only what is in the cache.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Folder of the cache.
    #[arg(long, value_name = "FOLDER", env = "LAYERCAKE_CACHE")]
    pub(crate) cache_dir: Option<Utf8PathBuf>,
    /// Only consider files published before this date or time (RFC 3339).
    #[arg(long, value_name = "DATE")]
    pub(crate) exclude_newer: Option<String>,
}

/// What counts when several indexes have a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// The first index that has it.
    FirstIndex,
    /// All of them; versions of the first come first.
    UnsafeFirstMatch,
    /// All of them; the best version comes first, as in pip.
    UnsafeBestMatch,
}

/// Where passwords of indexes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keyring {
    /// Only from addresses and netrc.
    Disabled,
    /// Also from the program `keyring`.
    Subprocess,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake down                      everything that any `up` made
  layercake down examples/pandas      what `up examples/pandas` made")]
pub(crate) struct Down {
    /// The app [default: every app that `up` made something for].
    pub(crate) app: Option<Utf8PathBuf>,
    /// Only what was made there [default: everywhere].
    #[arg(long, value_enum)]
    pub(crate) on: Option<On>,
    /// Folder of the journal, when `up` was given one.
    #[arg(long, value_name = "FOLDER", requires = "app")]
    pub(crate) state: Option<Utf8PathBuf>,
    /// Print the steps and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was removed as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake local
  aws --endpoint-url http://127.0.0.1:4566 lambda list-functions
  layercake local --listen 127.0.0.1:0 --data /tmp/cloud
  layercake local --listen 0.0.0.0:4566 --require-signatures --credentials ~/.aws/credentials")]
pub(crate) struct Local {
    /// Address to listen on; port 0 takes a free one. Other addresses than loopback need
    /// --require-signatures.
    #[arg(long, default_value = crate::cloud::DEFAULT_ADDRESS)]
    pub(crate) listen: std::net::SocketAddr,
    /// Verify the signature of every request (SigV4), and refuse what is not signed.
    #[arg(long)]
    pub(crate) require_signatures: bool,
    /// File with access keys, in the format of ~/.aws/credentials; every profile counts.
    /// `aws_account_id` in a profile names its account, `user` its IAM user.
    /// [default with --require-signatures: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<Utf8PathBuf>,
    /// An access key; may be given more than once. Others on this machine can read it in the list
    /// of processes: --credentials is better.
    #[arg(long, value_name = "ID:SECRET[:ACCOUNT]", value_parser = access_key)]
    pub(crate) access_key: Vec<AccessKeyArgument>,
    /// Name under which clients reach the server, beside localhost; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// Listen where others reach it although signatures are not verified: they may run code here.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Functions on runtimes that AWS has retired (python3.6, python3.7).
    #[arg(long, value_enum, default_value = "refuse")]
    pub(crate) retired_runtimes: Retired,
    /// How many times faster than on AWS events wait: with 60, one that failed is run again after
    /// 1 and 2 seconds and not minutes, and is too old after 6 minutes and not hours.
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    pub(crate) event_speed: std::num::NonZeroU32,
    /// Execution environments that may exist at the same time; further calls wait for one.
    #[arg(long, value_name = "NUMBER", default_value = "32")]
    pub(crate) environments: std::num::NonZeroUsize,
    /// How long an environment without a call is kept, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    pub(crate) keep_idle: u64,
    /// The files that functions see as their system: this machine's, or AWS's base image of the
    /// runtime, with AWS's Python. An image that cannot be had is replaced by this machine's files.
    #[arg(long, value_enum, default_value = "host")]
    pub(crate) rootfs: RootFs,
    /// Registry with AWS's base images, for --rootfs image: a mirror in place of AWS's own.
    #[arg(long, value_name = "HOST[:PORT][/FOLDER]", requires = "rootfs")]
    pub(crate) rootfs_registry: Option<layercake_local::sandbox::ImageSource>,
}

/// Where a function's system files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RootFs {
    /// This machine.
    Host,
    /// AWS's base images.
    Image,
}

/// An access key as it was typed.
#[derive(Clone)]
pub(crate) struct AccessKeyArgument {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) account: Option<AccountId>,
}

impl std::fmt::Debug for AccessKeyArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKeyArgument").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether functions may be created on runtimes that AWS has retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Retired {
    /// They may.
    Allow,
    /// As AWS does today.
    Refuse,
}

fn access_key(text: &str) -> Result<AccessKeyArgument, String> {
    let parts: Vec<_> = text.split(':').collect();
    let (id, secret, account) = match parts[..] {
        [id, secret] => (id, secret, None),
        [id, secret, account] => (id, secret, Some(account)),
        _ => return Err("ID:SECRET or ID:SECRET:ACCOUNT is expected".to_owned()),
    };
    if id.is_empty() || secret.is_empty() {
        return Err("neither the id nor the secret may be empty".to_owned());
    }
    let account = account
        .map(|account| {
            account.parse().map_err(|_| format!("`{account}` is no account: 12 digits are expected"))
        })
        .transpose()?;
    Ok(AccessKeyArgument { id: id.to_owned(), secret: secret.to_owned(), account })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
