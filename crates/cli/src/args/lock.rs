//! Arguments of `lock`.

use camino::Utf8PathBuf;
use clap::Args;
use layercake_core::target::{Arch, Runtime};

use super::Index;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake lock pyproject.toml --runtime python3.12 --runtime python3.13 --arch x86_64 --arch arm64
  layercake lock -r requirements.txt --upgrade-package pandas
  layercake lock 'pandas>=2' pyarrow -o pylock.heavy.toml
  layercake lock pyproject.toml --check")]
pub(crate) struct Lock {
    /// What to lock: requirements (PEP 508), requirements files, pyproject.toml, a script with a
    /// PEP 723 block, wheels, folders, URLs [default: the pyproject.toml here].
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
    /// Lambda runtime; may be given more than once [default: the newest for which this machine has
    /// a Python].
    #[arg(long, value_name = "python3.N")]
    pub(crate) runtime: Vec<Runtime>,
    /// Architecture; may be given more than once [default: this machine's].
    #[arg(long)]
    pub(crate) arch: Vec<Arch>,
    /// The lock [default: pylock.toml beside the project, requirements file or script].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Take the newest versions, whatever the lock that is there has.
    #[arg(long)]
    pub(crate) upgrade: bool,
    /// Take the newest version of this package; may be given more than once.
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) upgrade_package: Vec<String>,
    /// Write nothing; fail when the lock is not what the inputs give.
    #[arg(long, conflicts_with_all = ["upgrade", "upgrade_package", "dry_run"])]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) index: Index,
    /// Settings file in place of layercake.toml or [tool.layercake] beside the input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<Utf8PathBuf>,
    /// Print the lock and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was locked and what changed as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}
