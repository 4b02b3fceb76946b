//! The half of building a layer that needs the world: the package index, the cache, the disk.
//!
//! Owns: reading what the user asks for ([`app`], [`resolve::requirements_txt`]), choosing wheels
//! ([`resolve`]), bringing them into the cache ([`fetch`]), making what is made of them once ([`derive`]), writing
//! zips ([`assemble`]).
//! Never prints, never talks to AWS, never decides what goes into a layer (`layercake_core::plan`
//! does).

pub mod app;
pub mod assemble;
pub mod cache;
pub mod derive;
pub mod fetch;
pub mod inputs;
pub mod inspect;
pub mod layer;
mod levers;
pub mod resolve;
pub mod source;
pub mod syntax;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod tests;
