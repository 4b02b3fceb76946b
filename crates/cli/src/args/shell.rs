//! The arguments of `shell`.

use clap::Args;

use super::{Aws, On};

#[derive(Args, Debug)]
#[command(
    after_help = "Code and layers are fetched from the endpoint, also from AWS, and run on this machine. The exit code
is that of what ran: 128 and more when a signal ended it.

Examples:
  layercake shell pandas
  layercake shell pandas -- python
  layercake shell pandas -- python -c 'import pandas; print(pandas.__file__)'
  layercake shell pandas -- ls /opt/python
  layercake shell pandas --qualifier 3 --on aws --region eu-central-1"
)]
pub(crate) struct Shell {
    /// The function: its name or ARN, with `:` and a version or alias if it is to be that one.
    pub(crate) function: String,
    /// What to run instead of a shell; `python` is the function's own.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Version or alias.
    #[arg(long, value_name = "VERSION|ALIAS")]
    pub(crate) qualifier: Option<String>,
    /// Where the function is.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) on: On,
    #[command(flatten)]
    pub(crate) aws: Aws,
}
