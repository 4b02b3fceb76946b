//! The arguments of `doctor`.

use clap::Args;

#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is contacted but a local cloud on this machine, and nothing is changed. What is missing
is no failure: the exit code is 0.

Examples:
  layercake doctor
  layercake doctor --json | jq '.isolation.features[] | select(.state == \"lacking\")'"
)]
pub(crate) struct Doctor {
    /// Print everything as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}
