//! How the program is linked.
//!
//! A position-independent program of this size has seven megabytes of relocations, which stay in
//! memory once they are applied. Packed ones (RELR) are a hundredth of that. glibc reads them since
//! 2.36, so only a program that is built for the machine it is built on gets them, and one that is
//! published (the profile `dist`) never does.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let is_published = variable("OUT_DIR").split('/').any(|folder| folder == "dist");
    let is_for_this_machine = variable("HOST") == variable("TARGET");
    let has_glibc = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if has_glibc && is_for_this_machine && !is_published && glibc_minor().is_some_and(|minor| minor >= 36) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The `36` of `glibc 2.36`.
fn glibc_minor() -> Option<u32> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix("glibc 2.")?.split('.').next()?.parse().ok()
}
