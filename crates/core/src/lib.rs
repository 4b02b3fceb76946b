//! The domain of layercake: what a layer is, what Lambda allows, what is to be done.
//!
//! Owns every value that flows from a requirement to a report, and every decision about it.
//! Never touches files, network, clock, environment or randomness; facts about the world come in
//! as arguments. The lints in `clippy.toml` beside this crate hold that line.

pub mod app;
pub mod aws;
pub mod cached_wheel;
pub mod check;
pub mod configuration;
pub mod contents;
pub mod derived;
pub mod diff;
pub mod elf;
pub mod hash;
pub mod hint;
pub mod imports;
pub mod journal;
pub mod limits;
pub mod literals;
pub mod lock;
pub mod plan;
pub mod project;
pub mod report;
pub mod requirements;
pub mod resolution;
pub mod show;
pub mod target;
pub mod wheel;
pub mod zip;

pub use hint::Hint;
