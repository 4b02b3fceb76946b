//! Arguments of `check`.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Check {}
