//! Arguments of `check`.

use camino::Utf8PathBuf;
use clap::Args;
use layercake_core::{
    aws::Handler,
    target::{Arch, Runtime},
};

#[derive(Args, Debug)]
#[command(
    after_help = "The exit code is 0 when it will run on every runtime asked for, and 1 when it will not.

Examples:
  layercake check layer.zip --runtime python3.12
  layercake check layer.zip --runtime python3.12 --runtime python3.13 --arch arm64
  layercake check base.zip pandas.zip --function code.zip --handler app.handler --env PYTHONPATH=lib
  layercake check layer.zip --with other-layer.zip --strict --json"
)]
pub(crate) struct Check {
    /// Zips of layers, in the order in which the function lists them.
    #[arg(value_name = "LAYER.ZIP", required_unless_present = "function")]
    pub(crate) layers: Vec<Utf8PathBuf>,
    /// Lambda runtime; may be given more than once [default: the one that the zips are made for, if
    /// that can be told].
    #[arg(long, value_name = "python3.N")]
    pub(crate) runtime: Vec<Runtime>,
    /// Architecture.
    #[arg(long, default_value_t)]
    pub(crate) arch: Arch,
    /// Zip of a further layer, listed after the others; may be given more than once.
    #[arg(long, value_name = "LAYER.ZIP")]
    pub(crate) with: Vec<Utf8PathBuf>,
    /// Zip of the function's own code.
    #[arg(long, value_name = "CODE.ZIP")]
    pub(crate) function: Option<Utf8PathBuf>,
    /// An environment variable of the function; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::variable)]
    pub(crate) env: Vec<(String, String)>,
    /// What Lambda calls; its module must be there.
    #[arg(long, value_name = "module.function", requires = "function")]
    pub(crate) handler: Option<Handler>,
    /// Count warnings as errors.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print all findings as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}
