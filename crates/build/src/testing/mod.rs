//! A package index of our own, and wheels made in memory, for tests here and in other crates.
//!
//! Owns fakes only. Compiled for tests and with the feature `testing`; never part of the product.

mod index;
mod source;
mod wheel;

pub use index::{Fault, TestIndex, TestIndexBuilder};
pub use source::SourceBuilder;
pub use wheel::WheelBuilder;
