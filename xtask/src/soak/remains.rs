//! What a server holds of the machine, and that nothing of it stays.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

use crate::bench::server::Server;

/// What there is of a server.
#[derive(Debug)]
pub(super) struct Remains {
    /// Processes that descend from it.
    pub(super) processes: usize,
    mounts: usize,
    /// Control groups that it has made.
    groups: usize,
    open_files: usize,
    /// Files and folders below its data.
    files: usize,
    memory_mb: f64,
}

impl Remains {
    /// Looks now.
    pub(super) fn of(server: &Server, data: &Path) -> Result<Self> {
        let pid = server.id();
        Ok(Self {
            processes: descendants(pid).len(),
            mounts: fs::read_to_string(format!("/proc/{pid}/mountinfo"))?.lines().count(),
            groups: groups(Path::new("/sys/fs/cgroup"), &format!("layercake-{pid}-")),
            open_files: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            files: files(data),
            memory_mb: server.status("VmRSS")? as f64 / 1e6,
        })
    }

    /// Holds what is there afterwards against what was there before.
    pub(super) fn check(&self, after: &Self, most_gained_mb: f64) -> Result<()> {
        // Connections to the database and between threads come and go.
        const FEW: usize = 12;
        ensure!(after.processes == 0, "processes are left: {after:?}");
        ensure!(after.mounts == self.mounts, "mounts are left: {after:?} after {self:?}");
        ensure!(after.groups <= self.groups, "control groups are left: {after:?} after {self:?}");
        ensure!(after.open_files <= self.open_files + FEW, "files are open: {after:?} after {self:?}");
        ensure!(after.files <= self.files + FEW, "files are left: {after:?} after {self:?}");
        let gained = after.memory_mb - self.memory_mb;
        ensure!(gained <= most_gained_mb, "{gained:.0} MB more memory: {after:?} after {self:?}");
        Ok(())
    }
}

/// Nothing may be left of a server that has ended.
pub(super) fn check_ended(pid: u32, data: &Path) -> Result<()> {
    let groups = groups(Path::new("/sys/fs/cgroup"), &format!("layercake-{pid}-"));
    ensure!(groups == 0, "{groups} control groups are left of the server");
    let text = data.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(&text), "something is mounted below {text}");
    let left: Vec<_> = processes()
        .filter(|(pid, _)| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&text))
        })
        .collect();
    ensure!(left.is_empty(), "processes are left: {left:?}");
    Ok(())
}

/// Every process with its parent.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
}

fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<_> = processes().collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

fn groups(folder: &Path, prefix: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .map(|entry| {
            let own = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
            usize::from(own) + groups(&entry.path(), prefix)
        })
        .sum()
}

/// Files and folders, but for the 256 folders that code is spread over, which stay when they are empty.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_spread = folder.ends_with("blobs");
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => usize::from(!is_spread) + files(&entry.path()),
            _ => 1,
        })
        .sum()
}
