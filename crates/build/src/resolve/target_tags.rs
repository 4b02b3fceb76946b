//! A target in the words of wheels: compatibility tags in order of preference, and marker values.
//!
//! Owns the translation only; which C library and Python a runtime has is in
//! `layercake_core::target`.

use layercake_core::target::{Arch, Target};
use uv_pep440::{Version, VersionSpecifiers};
use uv_pep508::{MarkerEnvironment, MarkerEnvironmentBuilder};
use uv_platform_tags::{Os, Platform, Tags, TagsOptions};

use super::ResolveError;

/// The tags of wheels that run on the target, best first.
pub(super) fn tags(target: Target) -> Result<Tags, ResolveError> {
    let arch = match target.arch {
        Arch::X86_64 => uv_platform_tags::Arch::X86_64,
        Arch::Arm64 => uv_platform_tags::Arch::Aarch64,
    };
    let platform = Platform::new(Os::Manylinux { major: 2, minor: target.runtime.glibc_minor() }, arch);
    let python = (3, target.runtime.minor());
    let options = TagsOptions { manylinux_compatible: true, is_cross: true, ..TagsOptions::default() };
    Tags::from_env(platform, python, "cpython", python, options)
        .map_err(|error| ResolveError::Internal { reason: format!("no wheel tags for {target}: {error}") })
}

/// What `; python_version < "3.8"` and the like compare against on the target.
pub(super) fn markers(target: Target) -> Result<MarkerEnvironment, ResolveError> {
    let full = target.runtime.python_full_version();
    let short = target.runtime.python_version();
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name: "posix",
        platform_machine: target.arch.machine(),
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: &full,
        python_version: &short,
        sys_platform: "linux",
    })
    .map_err(|error| ResolveError::Internal { reason: format!("no markers for {target}: {error}") })
}

/// Whether a `Requires-Python` of a wheel lets it onto the target.
pub(super) fn admits(requires_python: &VersionSpecifiers, target: Target) -> bool {
    target
        .runtime
        .python_full_version()
        .parse::<Version>()
        .is_ok_and(|version| requires_python.contains(&version))
}

/// A `requires-python` that is no version specifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a Python version specifier such as `>=3.9`: {reason}")]
pub struct BadPythonSpecifier {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl layercake_core::Hint for BadPythonSpecifier {
    fn hint(&self) -> Option<String> {
        Some("write versions such as `>=3.9` (PEP 440)".to_owned())
    }
}

/// Whether the target's Python satisfies a `requires-python` such as `>=3.9` (PEP 440).
///
/// # Errors
/// [`BadPythonSpecifier`].
pub fn python_fits(requires_python: &str, target: Target) -> Result<bool, BadPythonSpecifier> {
    let specifiers: VersionSpecifiers = requires_python.parse().map_err(|error| BadPythonSpecifier {
        text: requires_python.to_owned(),
        reason: super::failure::one_line(&error),
    })?;
    Ok(admits(&specifiers, target))
}

/// Whether two texts from wheels' names mean one version (PEP 440), whatever their spelling. Names
/// have `_` where a version has `-`.
pub(crate) fn is_same_version(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| text.replace('_', "-"));
    match (one.parse::<Version>(), other.parse::<Version>()) {
        (Ok(one), Ok(other)) => one == other,
        // Versions from before PEP 440 have no meaning, only a spelling.
        _ => one.eq_ignore_ascii_case(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_whatever_their_spelling() {
        for (one, other) in
            [("1.0", "1"), ("1.0rc1", "1.0.RC_1"), ("1.0_1", "1.0.post1"), ("1+a_b", "1+a.b"), ("Old", "old")]
        {
            assert!(is_same_version(one, other), "{one} {other}");
        }
        for (one, other) in [("1.0", "1.0.1"), ("1", ""), ("1+a", "1+b")] {
            assert!(!is_same_version(one, other), "{one} {other}");
        }
    }
}
