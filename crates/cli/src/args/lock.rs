//! Arguments of `lock`.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Lock {}
