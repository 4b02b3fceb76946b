//! Arguments of `show` and `diff`.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Show {}

#[derive(Args, Debug)]
pub(crate) struct Diff {}
