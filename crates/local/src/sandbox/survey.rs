//! What this machine gives to environments, found out without a local cloud.
//!
//! Tries the same things as a sandbox does when it starts, and leaves nothing behind.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

#[cfg(target_os = "linux")]
use super::cgroup::Groups;
use super::{
    Isolation, IsolationReport,
    isolation::{self, Means},
};

/// What this machine gives.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Every feature of isolation, given or not, and why the host refused the best there is.
    pub isolation: IsolationReport,
    /// Which control groups can be made, by what they limit.
    pub groups: Vec<ControlGroup>,
    /// Whether this process is root.
    pub is_root: bool,
    /// What could be changed on this machine so that it refuses less.
    pub advice: Vec<String>,
}

/// A place in which control groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroup {
    /// What is limited there: `memory`, `cpu`, `processes` or `freezer`.
    pub limits: &'static str,
    /// Of the kernel's interface: 1 or 2 (cgroups(7)).
    pub version: u8,
    /// The folder.
    pub folder: Utf8PathBuf,
}

/// Looks. Takes a few milliseconds: jails and control groups are tried by making them.
///
/// # Errors
/// When there is no folder to try a jail in.
pub fn survey() -> io::Result<Survey> {
    let scratch = tempfile::tempdir()?;
    let scratch = Utf8Path::from_path(scratch.path())
        .ok_or_else(|| io::Error::other("the temporary folder has a name that is not UTF-8"))?;
    #[cfg(target_os = "linux")]
    let (means, groups) = {
        let groups = Groups::detect();
        (Means::of_groups(&groups), groups.places().collect())
    };
    #[cfg(not(target_os = "linux"))]
    let (means, groups) = (Means::default(), Vec::new());
    let (_, isolation) = isolation::detect(Isolation::Best, means, scratch);
    let read = |file: &str| fs_err::read_to_string(file).ok();
    let advice = if isolation.refusal.is_some() { advice(read) } else { Vec::new() };
    Ok(Survey { isolation, groups, is_root: nix::unistd::geteuid().is_root(), advice })
}

/// Settings of a Linux that keep an ordinary user from having namespaces, and how to change them.
fn advice(read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let is = |file: &str, value: &str| read(file).is_some_and(|text| text.trim() == value);
    let settings = [
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor keeps programs without a profile from having user namespaces: `sudo sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0`, or a profile with `userns,` for layercake",
        ),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "this kernel gives user namespaces to root alone: `sudo sysctl kernel.unprivileged_userns_clone=1`",
        ),
        (
            "/proc/sys/user/max_user_namespaces",
            "0",
            "no user namespaces are permitted: `sudo sysctl user.max_user_namespaces=15000`",
        ),
    ];
    settings
        .iter()
        .filter(|(file, value, _)| is(file, value))
        .map(|(_, _, text)| (*text).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_looked_at_and_left_as_it_is() {
        let survey = survey().expect("looked at");
        assert!(!survey.isolation.features.is_empty());
        assert!(survey.isolation.refusal.is_some() || survey.advice.is_empty());
        #[cfg(target_os = "linux")]
        for group in &survey.groups {
            let ours = format!("layercake-{}-", std::process::id());
            let left = group.folder.read_dir_utf8().into_iter().flatten().flatten();
            let trials = left
                .filter(|entry| entry.file_name().starts_with(&ours) && entry.file_name().ends_with("trial"));
            assert_eq!(trials.count(), 0, "{}", group.folder);
        }
    }

    #[test]
    fn a_setting_that_is_in_the_way_is_named() {
        let check =
            |set: &str, value: &str| advice(|file| (file == set).then(|| format!("{value}\n"))).join("\n");
        assert!(check("/proc/sys/user/max_user_namespaces", "0").contains("user.max_user_namespaces=15000"));
        assert_eq!(check("/proc/sys/user/max_user_namespaces", "100"), "");
    }
}
