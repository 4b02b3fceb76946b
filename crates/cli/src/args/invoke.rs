//! The arguments of `invoke`.

use std::num::NonZeroU16;

use clap::{ArgGroup, Args};

use super::{Aws, On};

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("kind").args(["asynchronous", "dry_run"]))]
#[command(
    after_help = "The answer goes to stdout as it came, the log and everything else to stderr. A function that
fails is told on stderr, with exit code 1.

Examples:
  layercake invoke pandas -d '{\"rows\": 3}'
  layercake invoke pandas -d @event.json --tail
  echo '{\"rows\": 3}' | layercake invoke pandas -d - | jq .total
  layercake invoke pandas --async
  layercake invoke pandas --debug
  layercake invoke pandas --qualifier live --on aws --region eu-central-1"
)]
pub(crate) struct Invoke {
    /// The function: its name or ARN, with `:` and a version or alias if it is to be that one.
    pub(crate) function: String,
    /// The event: JSON, `@` and a file that holds it, or `-` for stdin.
    #[arg(
        short = 'd',
        long = "event",
        value_name = "JSON|@FILE|-",
        default_value = "{}",
        allow_hyphen_values = true
    )]
    pub(crate) event: String,
    /// Print the last lines of the log to stderr [default: when stdout is a terminal].
    #[arg(long, overrides_with = "no_tail")]
    pub(crate) tail: bool,
    /// Print no log.
    #[arg(long, overrides_with = "tail")]
    pub(crate) no_tail: bool,
    /// Do not wait: the event is queued, and the function is run with it later.
    #[arg(long = "async")]
    pub(crate) asynchronous: bool,
    /// Only find out whether the function may be called.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run the function on this machine beside its endpoint, and wait for a debugger on this port of
    /// the loopback address. The timeout does not run; the function must bring debugpy.
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5678",
        conflicts_with_all = ["asynchronous", "dry_run"]
    )]
    pub(crate) debug: Option<NonZeroU16>,
    /// Version or alias.
    #[arg(long, value_name = "VERSION|ALIAS")]
    pub(crate) qualifier: Option<String>,
    /// What the function finds as `context.client_context`.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) client_context: Option<String>,
    /// Where the function is.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) on: On,
    #[command(flatten)]
    pub(crate) aws: Aws,
    /// Print answer, log and figures as one JSON document, also when the function failed.
    #[arg(long)]
    pub(crate) json: bool,
}
