//! What is left of a local cloud that was killed, that had no room, or whose files were damaged.
//! Each server here is a process of its own: this very program, started again.
#![allow(missing_docs, reason = "tests document themselves by their names")]

mod damage;
mod disk;
mod events;
mod kill;
mod memory;
mod support;
