//! Arguments of `build`.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Build {}
