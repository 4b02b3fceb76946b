//! The house's own tools: `cargo xtask ci | tidy | gen | clients | bench | soak | kernel`.
//!
//! Owns what runs in CI and what is measured. Never needed to use the product.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod bench;
mod ci;
mod clients;
mod generate;
mod kernel;
mod soak;
mod tidy;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
cargo xtask <command>

  ci               format, clippy, tidy, AWS's clients, tests: exactly what CI runs
  tidy             crate edges, forbidden words, file headers, decisions
  gen              pages that are made from the program: docs/coverage.md
  clients          AWS's clients from the package index, in a virtual environment under target/
  bench [up]       measure `layercake up`, cold and warm, and print a table
  bench build      the builder beside uv, pip and zip, with the bounds of SPECIFICATION.md
  bench invoke     invocations beside their floor and other local Lambdas
  bench local-api  the local cloud: start, memory, requests per second, publishing
  bench first-run  time README's first command on a clean clone
  soak [MINUTES]   mixed load on a local cloud (60 minutes unless said otherwise), then a look at
                   what is left of it; fails on anything
  kernel [WORDS]   the sandbox's tests in a virtual machine with Debian's kernel, whose control groups
                   are version 2: those whose names contain one of the words, or a good few";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["gen"] => generate::run(),
        ["clients"] => clients::prepare().map(|folder| println!("{}", folder.display())),
        ["bench"] | ["bench", "up"] => bench::up(),
        ["bench", "build"] => bench::build(),
        ["bench", "invoke"] => bench::invoke(None),
        ["bench", "invoke", binary] => bench::invoke(Some(binary)),
        ["bench", "local-api"] => bench::local_api(None),
        ["bench", "local-api", binary] => bench::local_api(Some(binary)),
        ["bench", "first-run"] => bench::first_run(),
        ["soak"] => soak::run(60, None),
        ["soak", minutes] => soak::run(whole(minutes)?, None),
        ["soak", minutes, binary] => soak::run(whole(minutes)?, Some(binary)),
        ["kernel", ref tests @ ..] => kernel::run(tests),
        ["bench", other] => {
            bail!(
                "not implemented: the benchmark `{other}`; there are `up`, `build`, `invoke`, `local-api` and `first-run`"
            )
        }
        _ => {
            println!("{USAGE}");
            if words.is_empty() || words == ["--help"] {
                Ok(())
            } else {
                bail!("no such command: {}", words.join(" "))
            }
        }
    }
}

fn whole(minutes: &str) -> Result<u64> {
    minutes.parse().with_context(|| format!("`{minutes}` is no number of minutes"))
}

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The target folder in use.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
