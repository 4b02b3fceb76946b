//! Arguments of `cache`.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Cache {}
