//! Arguments of `show` and `diff`.

use camino::Utf8PathBuf;
use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake show layer.zip
  layercake show layer.zip --html report.html
  layercake show layer.zip --json | jq '.packages[] | select(.unzipped > 1000000) | .name'")]
pub(crate) struct Show {
    /// The zip of a layer or of a function's code, or a wheel.
    pub(crate) zip: Utf8PathBuf,
    /// Write a page with a map of the zip to click through; it needs no network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<Utf8PathBuf>,
    /// List every file, not only the biggest.
    #[arg(long)]
    pub(crate) files: bool,
    /// Print everything as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake diff old.zip new.zip
  layercake diff old.zip new.zip --exit-code || echo 'the layer is another'

Exit code: 0, also when the zips differ; with --exit-code 1 when they differ.")]
pub(crate) struct Diff {
    /// The zip that was.
    pub(crate) old: Utf8PathBuf,
    /// The zip that is.
    pub(crate) new: Utf8PathBuf,
    /// List every file that is not the same, not only the biggest changes.
    #[arg(long)]
    pub(crate) files: bool,
    /// Exit with 1 when something is different, as `git diff --exit-code` does.
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Print everything as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}
