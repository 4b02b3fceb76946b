//! Tests that run inside real execution environments, on every Python of this machine.
#![allow(missing_docs, reason = "tests document themselves by their names")]

mod containment;
mod errors;
mod extensions;
mod host;
mod images;
mod inside;
mod life;
mod log_formats;
mod memory;
mod network;
mod provided;
mod registry;
mod streaming;
mod support;
mod telemetry;
mod wrapper;
