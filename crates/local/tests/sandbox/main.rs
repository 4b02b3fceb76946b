//! Tests that run inside real execution environments, on every Python of this machine.
#![allow(missing_docs, reason = "tests document themselves by their names")]

mod errors;
mod host;
mod images;
mod inside;
mod life;
mod provided;
mod registry;
mod support;
mod wrapper;
