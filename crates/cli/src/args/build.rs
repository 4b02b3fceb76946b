//! Arguments of `build`, and those about a layer that `up` has too.

use camino::Utf8PathBuf;
use clap::Args;
use layercake_core::{
    configuration,
    plan::policy::{Bytecode, Pattern, Profile},
    target::{Arch, Runtime},
};

use super::Index;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake build pandas pyarrow --runtime python3.12 --arch arm64 -o layer.zip
  layercake build -r requirements.txt --profile smallest
  layercake build pyproject.toml --extra api --group batch
  layercake build uv.lock --runtime python3.13
  layercake build requests --runtime python3.9 --runtime python3.12
  layercake build pandas pyarrow scipy scikit-learn --fit --dry-run")]
pub(crate) struct Build {
    /// What goes in: requirements (PEP 508), requirements files, pyproject.toml, uv.lock,
    /// pylock.toml, a script with a PEP 723 block, wheels, folders, URLs.
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,
    /// A requirements file; may be given more than once.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) requirement: Vec<Utf8PathBuf>,
    /// A file of constraints; may be given more than once.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) constraint: Vec<Utf8PathBuf>,
    /// An extra of the project; may be given more than once.
    #[arg(long)]
    pub(crate) extra: Vec<String>,
    /// A dependency group of the project (PEP 735); may be given more than once.
    #[arg(long)]
    pub(crate) group: Vec<String>,
    /// Lambda runtime; given more than once, one layer serves all of them [default: the newest for
    /// which this machine has a Python].
    #[arg(long, value_name = "python3.N")]
    pub(crate) runtime: Vec<Runtime>,
    /// Architecture [default: this machine's].
    #[arg(long)]
    pub(crate) arch: Option<Arch>,
    /// The layer's zip [default: layer.zip].
    #[arg(short, long, value_name = "ZIP")]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Take versions and hashes from pylock.toml beside the input, and refuse when it is not what
    /// the input asks for.
    #[arg(long)]
    pub(crate) locked: bool,
    /// Make up to five layers that change independently, heavy packages apart.
    #[arg(long, value_name = "N")]
    pub(crate) split: Option<usize>,
    #[command(flatten)]
    pub(crate) layer: LayerOptions,
    #[command(flatten)]
    pub(crate) index: Index,
    /// Decide and print what would go in and what stays out, with the reasons; write no zip.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write the zip even when the check says that the layer will not run.
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Print the whole report as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a layer keeps and how small it is to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct LayerOptions {
    /// What the layer keeps of the wheels: `faithful` (everything), `lean` (no tests, sources,
    /// symbols; with bytecode) or `smallest` (bytecode in place of sources) [default: lean].
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// Keep what this pattern matches, whatever a rule says; may be given more than once.
    #[arg(long, value_name = "GLOB")]
    pub(crate) keep: Vec<Pattern>,
    /// Leave out what this pattern matches; may be given more than once.
    #[arg(long, value_name = "GLOB")]
    pub(crate) drop: Vec<Pattern>,
    /// Bytecode: `none`, `beside` the sources or `only` [default: as the profile has it].
    #[arg(long)]
    pub(crate) bytecode: Option<Bytecode>,
    /// Leave libraries as they are.
    #[arg(long)]
    pub(crate) no_strip: bool,
    /// When the layer is too large, make it smaller by what costs least, until it fits.
    #[arg(long)]
    pub(crate) fit: bool,
    /// Unzipped size that the layer must stay below, so that the function and its other layers
    /// have room: bytes, or as in 200MB [default: 262144000].
    #[arg(long, value_name = "SIZE", value_parser = configuration::bytes)]
    pub(crate) budget: Option<u64>,
    /// Settings file in place of layercake.toml or [tool.layercake] beside the input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,
}
