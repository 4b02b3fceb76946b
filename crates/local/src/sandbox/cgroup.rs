//! Control groups: how much memory, how many processes and what share of the CPU an environment
//! has, and that it stands still between calls.
//!
//! All environments of a server are in one group where the CPU is shared, which weighs on each
//! processor half of what the server does. Side by side with the server a function of 128 MB would have
//! a fourteenth of its share, and wait whenever there is anything else to do; and some large ones that
//! compute would leave the server nothing.
//!
//! Owns the folders of control groups, from the first to the last. Knows both versions of the
//! kernel's interface (cgroups(7)): with version 1 every controller has a tree of its own, with
//! version 2 there is one. A host may have both, or let nobody but root make groups.
//!
//! `/tmp` lies in memory here and on a disk on AWS, and the kernel counts both together. So its
//! limit has room for a full `/tmp`; what processes hold of their own is held against the setting by
//! the server, which the kernel alarms as soon as that may be too much (version 1), and which looks
//! ten times a second.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use camino::{Utf8Path, Utf8PathBuf};

/// 1 vCPU for so many MB of memory (FACTS.md §1), and `cpu.shares` of a whole one.
const MB_OF_A_CPU: u64 = 1769;
const SHARES_OF_A_CPU: u64 = 1024;
/// `cpu.weight` of version 2 for the same share.
const WEIGHT_OF_A_CPU: u64 = 100;
/// The kernel's own memory for a function's processes; AWS's guest kernel takes it from elsewhere.
const KERNEL_BYTES: u64 = 16 << 20;
/// The kernel counts in steps about as large as this.
const NEAR_BYTES: u64 = 1 << 20;

/// What an environment may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The memory setting, in MB.
    pub(super) memory_mb: u32,
    /// The size of `/tmp`, in MB.
    pub(super) tmp_mb: u32,
    /// Processes and threads.
    pub(super) processes: u64,
}

/// A tree in which groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tree {
    /// The folder that new groups are made in.
    parent: Utf8PathBuf,
    version: u8,
    /// Whether our own group is there too, and not our processes themselves.
    beside_groups: bool,
}

/// What this host lets us make.
#[derive(Debug, Default)]
pub(super) struct Groups {
    memory: Option<Tree>,
    cpu: Option<Tree>,
    processes: Option<Tree>,
    /// Version 2 alone: the freezer of version 1 holds what it froze even against SIGKILL.
    freezer: Option<Tree>,
    next: AtomicU64,
    prefix: String,
    /// Whether environments are put into one group where the CPU is shared.
    gathers: bool,
    gathered: Mutex<Option<Arc<Gathered>>>,
}

/// The group that all environments are in. Removed with the last of them.
#[derive(Debug)]
struct Gathered(Utf8PathBuf);

/// The groups of one environment. Their folders are removed with the value.
#[derive(Debug)]
pub(super) struct Group {
    /// With their versions.
    folders: Vec<(Utf8PathBuf, u8)>,
    memory: Option<(Utf8PathBuf, u8)>,
    freezer: Option<Utf8PathBuf>,
    /// The most memory that the group has held; kept open, since it is read after calls.
    peak: Option<File>,
    memory_bytes: u64,
    /// How often the kernel has ended somebody, as far as that has been asked.
    kills_seen: AtomicU64,
    /// Goes after the folders in it.
    _gathered: Option<Arc<Gathered>>,
}

/// A group for a process to be born into (`CLONE_INTO_CGROUP`, since Linux 5.7).
#[derive(Debug)]
pub(super) struct Cradle {
    /// Its folder.
    pub(super) folder: OwnedFd,
    /// The file by which a process joins it afterwards, where the kernel does not do the other.
    pub(super) door: OwnedFd,
}

fn door(folder: &Utf8Path, file: &str) -> io::Result<OwnedFd> {
    let file = fs_err::OpenOptions::new().write(true).open(folder.join(file))?;
    Ok(File::from(file).into())
}

impl Groups {
    /// Finds out what can be made here, by making it, and removes what servers that are gone have
    /// left behind.
    pub(super) fn detect() -> Self {
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs_err::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let prefix = format!("layercake-{}-{:08x}-", std::process::id(), uuid::Uuid::new_v4().as_fields().0);
        let find = |controller: &str, file: &str| {
            candidates(&mounts, &own, controller).into_iter().find(|tree| tree.works(&prefix, file))
        };
        let memory = find("memory", "memory.max").or_else(|| find("memory", "memory.limit_in_bytes"));
        let cpu = find("cpu", "cpu.weight").or_else(|| find("cpu", "cpu.shares"));
        let processes = find("pids", "pids.max");
        let freezer = find("", "cgroup.freeze");
        for tree in [&memory, &cpu, &processes, &freezer].into_iter().flatten() {
            tree.remove_leftovers();
        }
        let mut groups = Self { memory, cpu, processes, freezer, prefix, ..Self::default() };
        groups.gathers = groups.can_gather();
        groups
    }

    /// Whether groups that are made in one of ours have all that those beside it have.
    fn can_gather(&self) -> bool {
        let Some(cpu) = &self.cpu else { return false };
        let Ok(gathered) = self.gather(cpu) else { return false };
        let inside = Tree { parent: gathered.0.clone(), ..cpu.clone() };
        let memory = if cpu.version == 2 { "memory.max" } else { "memory.limit_in_bytes" };
        let share = if cpu.version == 2 { "cpu.weight" } else { "cpu.shares" };
        let files = [
            (&self.memory, memory),
            (&self.cpu, share),
            (&self.processes, "pids.max"),
            (&self.freezer, "cgroup.freeze"),
        ];
        files.iter().all(|(tree, file)| tree.as_ref() != Some(cpu) || inside.works(&self.prefix, file))
    }

    /// Makes the group that all environments are to be in.
    fn gather(&self, tree: &Tree) -> io::Result<Gathered> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = tree.parent.join(format!("{}all-{number}", self.prefix));
        fs_err::create_dir(&folder)?;
        let gathered = Gathered(folder);
        // A group's weight is divided among the processors that it runs on, a process has its own on any.
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let times = if tree.beside_groups { 1 } else { processors };
        if tree.version == 2 {
            for controller in ["+cpu", "+memory", "+pids"] {
                // Whichever there are; what is missing afterwards is found out by trial.
                let _ = std::fs::write(gathered.0.join("cgroup.subtree_control"), controller);
            }
        }
        tree.weigh(&gathered.0, times, 2)?;
        Ok(gathered)
    }

    /// The group that all environments are in, where there is one.
    fn gathered(&self) -> io::Result<Option<Arc<Gathered>>> {
        let Some(tree) = self.cpu.as_ref().filter(|_| self.gathers) else { return Ok(None) };
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.is_none() {
            *gathered = Some(Arc::new(self.gather(tree)?));
        }
        Ok(gathered.clone())
    }

    /// Removes what no environment needs any more.
    pub(super) fn close(&self) {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether memory is limited by the kernel.
    pub(super) fn limit_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether processes are counted by the kernel.
    pub(super) fn limit_processes(&self) -> bool {
        self.processes.is_some()
    }

    /// Whether the CPU is shared by memory settings.
    pub(super) fn share_cpu(&self) -> bool {
        self.cpu.is_some()
    }

    /// Whether environments can be made to stand still.
    pub(super) fn freeze(&self) -> bool {
        self.freezer.is_some()
    }

    /// Where groups are made, by what they limit.
    pub(super) fn places(&self) -> impl Iterator<Item = super::survey::ControlGroup> {
        let all = [
            ("memory", &self.memory),
            ("cpu", &self.cpu),
            ("processes", &self.processes),
            ("freezer", &self.freezer),
        ];
        all.into_iter().filter_map(|(limits, tree)| {
            let Tree { parent, version, .. } = tree.clone()?;
            Some(super::survey::ControlGroup { limits, version, folder: parent })
        })
    }

    /// The groups of one environment.
    ///
    /// # Errors
    /// When a folder cannot be made any more, or a limit is refused.
    pub(super) fn make(&self, limits: Limits) -> io::Result<Group> {
        let name = format!("{}{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed));
        let memory_bytes = u64::from(limits.memory_mb) << 20;
        let kills_seen = AtomicU64::new(0);
        let gathered = self.gathered()?;
        let folder_in = |tree: &Tree| match &gathered {
            Some(gathered) if self.cpu.as_ref() == Some(tree) => gathered.0.join(&name),
            _ => tree.parent.join(&name),
        };
        let mut group = Group {
            folders: Vec::new(),
            memory: None,
            freezer: None,
            peak: None,
            memory_bytes,
            kills_seen,
            _gathered: gathered.clone(),
        };
        for tree in [&self.memory, &self.cpu, &self.processes, &self.freezer].into_iter().flatten() {
            let folder = folder_in(tree);
            if !group.folders.iter().any(|(made, _)| *made == folder) {
                fs_err::create_dir(&folder)?;
                group.folders.push((folder, tree.version));
            }
        }
        if let Some(tree) = &self.memory {
            let folder = folder_in(tree);
            let most = memory_bytes + KERNEL_BYTES + (u64::from(limits.tmp_mb) << 20);
            if tree.version == 2 {
                put(&folder, "memory.max", most)?;
                // A host without swap has no such file.
                let _ = put(&folder, "memory.swap.max", 0);
            } else {
                put(&folder, "memory.limit_in_bytes", most)?;
            }
            let peak = if tree.version == 2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
            // Version 2 has it since Linux 5.19.
            group.peak = File::open(folder.join(peak)).ok();
            group.memory = Some((folder, tree.version));
        }
        if let Some(tree) = &self.cpu {
            tree.weigh(&folder_in(tree), u64::from(limits.memory_mb), MB_OF_A_CPU)?;
        }
        if let Some(tree) = &self.processes {
            put(&folder_in(tree), "pids.max", limits.processes)?;
        }
        group.freezer = self.freezer.as_ref().map(folder_in);
        Ok(group)
    }
}

impl Group {
    /// The files by which a process of one thread joins the groups that it is not born into, by writing
    /// a zero. `tasks` and not `cgroup.procs`: to move a whole process the kernel waits until every
    /// processor has been idle or elsewhere, some ten milliseconds, and for a thread that moves itself it
    /// does not.
    pub(super) fn doors(&self) -> io::Result<Vec<OwnedFd>> {
        let first = self.folders.iter().position(|(_, version)| *version == 2);
        let others = self.folders.iter().enumerate().filter(|(place, _)| Some(*place) != first);
        others
            .map(|(_, (folder, version))| door(folder, if *version == 2 { "cgroup.procs" } else { "tasks" }))
            .collect()
    }

    /// The group that a process can be born into, where there is one: version 2 has no file for threads.
    pub(super) fn cradle(&self) -> io::Result<Option<Cradle>> {
        let Some((folder, _)) = self.folders.iter().find(|(_, version)| *version == 2) else {
            return Ok(None);
        };
        let opened = File::from(fs_err::File::open(folder)?).into();
        Ok(Some(Cradle { folder: opened, door: door(folder, "cgroup.procs")? }))
    }

    /// Makes every process stand still, or go on.
    pub(super) fn freeze(&self, still: bool) {
        if let Some(folder) = &self.freezer {
            // Nobody depends on it: what cannot be stopped goes on, as it did before.
            let _ = put(folder, "cgroup.freeze", u64::from(still));
        }
    }

    /// Makes an eventfd that the kernel writes to when memory has grown by as much as is left of the
    /// setting, where it can. Files count in the figure that it watches, so an alarm is a reason to look
    /// and no more. What this gives blocks for some ten milliseconds, in which the kernel waits for all
    /// processors.
    pub(super) fn memory_alarm(&self) -> Option<impl FnOnce() -> Option<OwnedFd> + Send + 'static> {
        let (folder, 1) = self.memory.as_ref()? else { return None };
        let (folder, own, setting) = (folder.clone(), self.own_bytes()?, self.memory_bytes);
        Some(move || alarm(&folder, setting.saturating_sub(own).max(NEAR_BYTES)))
    }

    /// Whether the kernel has ended somebody for want of memory since this was asked last.
    pub(super) fn has_killed(&self) -> bool {
        let Some((folder, version)) = &self.memory else { return false };
        let file = if *version == 2 { "memory.events" } else { "memory.oom_control" };
        let kills = field(folder, file, "oom_kill").unwrap_or_default();
        self.kills_seen.swap(kills, Ordering::Relaxed) < kills
    }

    /// Memory that is neither a file's nor `/tmp`'s, in bytes.
    pub(super) fn own_bytes(&self) -> Option<u64> {
        let (folder, version) = self.memory.as_ref()?;
        field(folder, "memory.stat", if *version == 2 { "anon" } else { "total_rss" })
    }

    /// The most memory that the group has held, files and `/tmp` among it, in bytes: as long as it is
    /// what it was, no process has held more than before.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        use std::os::unix::fs::FileExt as _;
        let mut text = [0; 24];
        let count = self.peak.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..count]).ok()?.trim().parse().ok()
    }

    /// The setting in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

/// An alarm when a group holds so many bytes more than now.
fn alarm(folder: &Utf8Path, left: u64) -> Option<OwnedFd> {
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use std::os::fd::AsRawFd;
    let threshold = number(folder, "memory.usage_in_bytes")? + left;
    let alarm = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok()?;
    let figure = fs_err::File::open(folder.join("memory.usage_in_bytes")).ok()?;
    let order = format!("{} {} {threshold}", alarm.as_raw_fd(), figure.as_raw_fd());
    fs_err::OpenOptions::new()
        .write(true)
        .open(folder.join("cgroup.event_control"))
        .and_then(|mut file| io::Write::write_all(&mut file, order.as_bytes()))
        .ok()?;
    Some(alarm.into())
}

impl Drop for Group {
    fn drop(&mut self) {
        for (folder, _) in &self.folders {
            // Empty by now: the environment's processes are gone before its groups are.
            if let Err(error) = std::fs::remove_dir(folder) {
                tracing::warn!(%error, %folder, "a control group stays behind");
            }
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            tracing::warn!(%error, folder = %self.0, "a control group stays behind");
        }
    }
}

impl Tree {
    /// Whether a group with this file can be made here, and joined.
    fn works(&self, prefix: &str, file: &str) -> bool {
        let folder = self.parent.join(format!("{prefix}trial"));
        if std::fs::create_dir(&folder).is_err() {
            return false;
        }
        let has_it = folder.join(file).exists();
        let is_open = std::fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).is_ok();
        let _ = std::fs::remove_dir(&folder);
        has_it && is_open
    }

    /// Gives a group so many parts of what a whole CPU weighs, within the kernel's bounds (cgroups(7)).
    fn weigh(&self, folder: &Utf8Path, parts: u64, of: u64) -> io::Result<()> {
        let (file, whole, least, most) = match self.version {
            2 => ("cpu.weight", WEIGHT_OF_A_CPU, 1, 10_000),
            _ => ("cpu.shares", SHARES_OF_A_CPU, 2, 1 << 18),
        };
        put(folder, file, (parts * whole / of).clamp(least, most))
    }

    fn remove_leftovers(&self) {
        for entry in self.parent.read_dir_utf8().into_iter().flatten().flatten() {
            let server = entry.file_name().strip_prefix("layercake-").and_then(|rest| rest.split('-').next());
            let is_gone = server
                .is_some_and(|pid| pid.parse::<u32>().is_ok() && !Utf8Path::new("/proc").join(pid).exists());
            if is_gone {
                for inside in entry.path().read_dir_utf8().into_iter().flatten().flatten() {
                    // A group's own files are no folders, and stay.
                    let _ = std::fs::remove_dir(inside.path());
                }
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }
}

/// Where groups of a controller may be made: beside or below our own, version 2 first. Nothing
/// stands for the version 2 tree whatever its controllers are.
fn candidates(mounts: &str, own: &str, controller: &str) -> Vec<Tree> {
    let mut trees = Vec::new();
    for (mount, root, version, controllers) in mounts.lines().filter_map(mounted) {
        let wanted = match version {
            2 => own.lines().find_map(|line| line.strip_prefix("0::")),
            _ if controllers.split(',').any(|name| name == controller) => own.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (names, path) = rest.split_once(':')?;
                names.split(',').any(|name| name == controller).then_some(path)
            }),
            _ => None,
        };
        // What is mounted may itself begin in the middle of the tree, as in a container.
        let Some(path) = wanted else { continue };
        let inside = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/');
        let own_folder = Utf8Path::new(mount).join(inside);
        // With version 2 a group that holds processes has no groups with controllers below it, but
        // the root may, and one beside ours may.
        let beside = (version == 2 && !inside.is_empty()).then(|| own_folder.parent()).flatten();
        let beside = beside.map(|parent| Tree { parent: parent.to_owned(), version, beside_groups: true });
        trees.extend(beside);
        trees.push(Tree { parent: own_folder, version, beside_groups: false });
    }
    trees.sort_by_key(|tree| std::cmp::Reverse(tree.version));
    trees
}

/// Mount point, root, version and controllers of a line of mountinfo, when it is a cgroup's
/// (proc_pid_mountinfo(5)).
fn mounted(line: &str) -> Option<(&str, &str, u8, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let version = match right.next()? {
        "cgroup" => 1,
        "cgroup2" => 2,
        _ => return None,
    };
    Some((mount, root, version, right.nth(1).unwrap_or_default()))
}

fn put(folder: &Utf8Path, file: &str, value: u64) -> io::Result<()> {
    fs_err::write(folder.join(file), value.to_string())
}

fn number(folder: &Utf8Path, file: &str) -> Option<u64> {
    fs_err::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

fn field(folder: &Utf8Path, file: &str, name: &str) -> Option<u64> {
    let text = fs_err::read_to_string(folder.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_beside_or_below_our_own() {
        let both = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                    31 30 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                    32 30 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let own = "5:devices:/\n4:memory:/a/b\n0::/\n";
        let tree = |parent: &str, version| Tree { parent: parent.into(), version, beside_groups: false };
        assert_eq!(
            candidates(both, own, "memory"),
            [tree("/sys/fs/cgroup/unified/", 2), tree("/sys/fs/cgroup/memory/a/b", 1)]
        );
        assert_eq!(candidates(both, own, "cpu"), [tree("/sys/fs/cgroup/unified/", 2)]);
        let unified = "35 30 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            candidates(unified, "0::/user.slice/app.slice/x.scope\n", "memory"),
            [
                Tree { beside_groups: true, ..tree("/sys/fs/cgroup/user.slice/app.slice", 2) },
                tree("/sys/fs/cgroup/user.slice/app.slice/x.scope", 2)
            ]
        );
        let container = "35 30 0:30 /docker/1 /sys/fs/cgroup ro - cgroup cgroup rw,memory\n";
        assert_eq!(candidates(container, "4:memory:/docker/1\n", "memory"), [tree("/sys/fs/cgroup/", 1)]);
    }

    #[test]
    fn what_this_host_permits_is_made_and_removed() {
        let groups = Groups::detect();
        let group = groups.make(Limits { memory_mb: 128, tmp_mb: 512, processes: 64 }).expect("made");
        let folders = group.folders.clone();
        assert!(folders.iter().all(|(folder, _)| folder.is_dir()));
        let (doors, cradle) = (group.doors().expect("open"), group.cradle().expect("open"));
        assert_eq!(doors.len() + usize::from(cradle.is_some()), folders.len());
        if groups.limit_memory() {
            assert_eq!(group.own_bytes(), Some(0));
            assert!(group.peak.is_none() || group.peak_bytes() == Some(0));
            assert!(!group.has_killed());
        }
        let gathered = group._gathered.as_ref().map(|gathered| gathered.0.clone());
        assert_eq!(gathered.is_some(), groups.gathers);
        groups.close();
        assert!(gathered.iter().all(|folder| folder.is_dir()), "an environment is in it");
        drop(group);
        assert!(folders.iter().map(|(folder, _)| folder).chain(&gathered).all(|folder| !folder.exists()));
    }

    #[test]
    fn together_environments_weigh_half_of_the_server() {
        let groups = Groups::detect();
        let limits = |memory_mb| Limits { memory_mb, tmp_mb: 512, processes: 64 };
        let (small, large) =
            (groups.make(limits(128)).expect("made"), groups.make(limits(1769)).expect("made"));
        let Some(tree) = groups.cpu.as_ref().filter(|_| groups.gathers) else {
            assert!(small._gathered.is_none() && large._gathered.is_none());
            return;
        };
        let all = small._gathered.as_ref().expect("gathered").0.clone();
        let file = if tree.version == 2 { "cpu.weight" } else { "cpu.shares" };
        let processors = std::thread::available_parallelism().expect("known").get() as u64;
        let times = if tree.beside_groups { 1 } else { processors };
        let whole = if tree.version == 2 { 100 } else { 1024 };
        let most = if tree.version == 2 { 10_000 } else { 1 << 18 };
        assert_eq!(number(&all, file), Some((times * whole / 2).min(most)));
        let inside = |group: &Group| {
            let folders = group.folders.iter().filter(|(folder, _)| folder.parent() == Some(&all));
            folders.filter_map(|(folder, _)| number(folder, file)).collect::<Vec<_>>()
        };
        assert_eq!((inside(&small), inside(&large)), (vec![128 * whole / 1769], vec![whole]));
    }

    #[test]
    fn what_a_server_that_is_gone_had_made_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let parent = Utf8Path::from_path(folder.path()).expect("UTF-8");
        // More than any process has for a number (proc_sys_kernel(5)).
        let [gone, alive] =
            [1 << 23, std::process::id()].map(|pid| parent.join(format!("layercake-{pid}-0-all-0")));
        for all in [&gone, &alive] {
            fs_err::create_dir_all(all.join("inside")).expect("made");
        }
        Tree { parent: parent.to_owned(), version: 2, beside_groups: false }.remove_leftovers();
        assert!(!gone.exists());
        assert!(alive.join("inside").exists());
    }
}
