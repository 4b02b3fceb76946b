//! Which isolation this host gives, found out once, and told by name.
//!
//! Owns the decision what a jail may be made of. Never weakens isolation silently: whatever is
//! missing is in the report.

use camino::Utf8Path;

/// How much isolation to ask the host for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// As much as the host permits.
    #[default]
    Best,
    /// None: ordinary processes. For hosts without namespaces, and for tests of that case.
    ProcessOnly,
}

/// One thing that isolates function code from its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationFeature {
    /// Its name, such as `own file system`.
    pub name: &'static str,
    /// Whether environments have it.
    pub state: FeatureState,
    /// What its absence means for a function.
    pub without: &'static str,
}

/// Whether environments have a feature, and if not, whose lack that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureState {
    /// They have it.
    Given,
    /// This host does not permit it, or process mode was asked for.
    Lacking,
}

/// What this host gives and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IsolationReport {
    /// Every feature, given or not.
    pub features: Vec<IsolationFeature>,
    /// Why the host refused, when it did.
    pub refusal: Option<String>,
}

impl IsolationReport {
    /// The features that this host lacks.
    pub fn missing(&self) -> impl Iterator<Item = &IsolationFeature> {
        self.features.iter().filter(|feature| feature.state == FeatureState::Lacking)
    }
}

/// What a jail on this host is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Means {
    /// Own mounts and a root of its own: `/opt`, `/var/task`, `/tmp` are real.
    pub(super) root: bool,
    /// A user namespace.
    pub(super) users: bool,
    /// Own process numbers, and a kernel that ends all processes with the first.
    pub(super) pids: bool,
    /// Whether the server is root, and the function can be somebody else.
    pub(super) as_root: bool,
    /// Whether it can be told which process opened a connection.
    pub(super) peers: bool,
    /// Whether a limit on processes means those of one environment alone.
    pub(super) process_limit: bool,
    /// Whether the kernel counts an environment's processes by itself.
    pub(super) process_group: bool,
    /// Whether the kernel limits memory.
    pub(super) memory_limit: bool,
    /// Whether the CPU is shared by memory settings.
    pub(super) cpu_share: bool,
    /// Whether idle environments can be made to stand still.
    pub(super) freezer: bool,
    /// Whether system calls are filtered.
    pub(super) filter: bool,
    /// Whether Landlock fences in a function without a root of its own.
    pub(super) fence: bool,
    /// Whether a jail can have a network of its own.
    pub(super) network: bool,
}

impl Means {
    fn report(self, refusal: Option<String>) -> IsolationReport {
        let feature = |name, given, without| {
            let state = if given { FeatureState::Given } else { FeatureState::Lacking };
            IsolationFeature { name, state, without }
        };
        IsolationReport {
            features: vec![
                feature(
                    "own file system",
                    self.root,
                    "functions see this machine's files; /opt is only on sys.path, /tmp is the machine's",
                ),
                feature(
                    "own processes",
                    self.pids,
                    "functions see this machine's processes, and can signal those of the same user",
                ),
                feature(
                    "own IPC and host name",
                    self.root,
                    "functions share shared memory with this machine",
                ),
                feature(
                    "own user",
                    self.root && (self.users || self.as_root),
                    "functions run as the user who runs the local cloud",
                ),
                feature(
                    "no new privileges",
                    cfg!(target_os = "linux"),
                    "functions can run set-user-id programs",
                ),
                feature(
                    "own Runtime API",
                    self.peers,
                    "every process of this machine can answer in a function's place",
                ),
                feature(
                    "process limit",
                    self.process_limit || self.process_group,
                    "functions can start as many processes as this machine permits",
                ),
                feature(
                    "memory limit",
                    self.memory_limit,
                    "memory is looked at ten times a second, and a function can exceed its setting in between",
                ),
                feature(
                    "CPU share",
                    self.cpu_share,
                    "a function's memory setting does not change its share of the CPU",
                ),
                feature(
                    "stands still between calls",
                    self.freezer,
                    "background threads and processes go on after an answer",
                ),
                feature(
                    "system call filter",
                    self.filter,
                    "functions can use system calls that Lambda refuses",
                ),
                feature(
                    "file fence",
                    self.root || self.fence,
                    "functions can read whatever the user who runs the local cloud can read",
                ),
                feature(
                    "own network",
                    self.network,
                    "no function can be cut off from the network, and one that is to be is refused",
                ),
            ],
            refusal,
        }
    }
}

/// Finds the best means this host permits; `scratch` is a folder to try them in.
#[cfg(target_os = "linux")]
pub(super) fn detect(isolation: Isolation, groups: Means, scratch: &Utf8Path) -> (Means, IsolationReport) {
    let as_root = nix::unistd::geteuid().is_root() && has_ids_to_give();
    let told = |means: Means, refusal| {
        let means = means.completed(groups);
        (means, means.report(refusal))
    };
    let none = Means { as_root, ..Means::default() };
    if isolation == Isolation::ProcessOnly {
        return told(none, Some("process mode was asked for".into()));
    }
    let mut refusal = None;
    for means in rungs(as_root) {
        match probe::run(means, scratch) {
            Ok(()) => {
                let with_network = Means { network: true, ..means };
                match probe::run(with_network, scratch) {
                    Ok(()) => return told(with_network, refusal),
                    Err(error) => return told(means, refusal.or(Some(error))),
                }
            }
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    told(none, refusal)
}

#[cfg(target_os = "linux")]
impl Means {
    /// What control groups give.
    pub(super) fn of_groups(groups: &super::cgroup::Groups) -> Self {
        Self {
            process_group: groups.limit_processes(),
            memory_limit: groups.limit_memory(),
            cpu_share: groups.share_cpu(),
            freezer: groups.freeze(),
            ..Self::default()
        }
    }

    /// Adds what needs no trial jail to be known.
    fn completed(self, groups: Self) -> Self {
        let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
        let kernel = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            peers: self.shows_files(&status) && super::peer::can_be_told(),
            process_limit: self.counts_processes(&kernel),
            process_group: groups.process_group,
            memory_limit: groups.memory_limit,
            cpu_share: groups.cpu_share,
            freezer: groups.freezer,
            filter: !super::filter::programs().is_empty(),
            fence: !self.root && super::confine::has_landlock(),
            ..self
        }
    }

    /// Whether the server may see which files a function has open: a function that is another
    /// user in the server's own user namespace shows them to `CAP_SYS_PTRACE` alone.
    fn shows_files(self, status: &str) -> bool {
        const CAP_SYS_PTRACE: u64 = 1 << 19;
        let is_stranger = self.root && self.as_root && !self.users;
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = capabilities.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        !is_stranger || capabilities.is_some_and(|mask| mask & CAP_SYS_PTRACE != 0)
    }

    /// `RLIMIT_NPROC` counts the processes of a user; only in a user namespace of its own, and
    /// there only since Linux 5.14, are these the environment's alone.
    fn counts_processes(self, kernel: &str) -> bool {
        let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        self.root && self.users && version >= (5, 14)
    }
}

/// Whether this process knows more ids than its own. Root alone in a user namespace does not, and
/// is as good as an ordinary user.
#[cfg(target_os = "linux")]
fn has_ids_to_give() -> bool {
    ["/proc/self/uid_map", "/proc/self/gid_map"]
        .iter()
        .all(|map| fs_err::read_to_string(map).is_ok_and(|map| ids_in(&map) > 1))
}

/// How many ids a map holds (user_namespaces(7)).
#[cfg(target_os = "linux")]
fn ids_in(map: &str) -> u64 {
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

/// What to try, best first: all of it; as root without a user namespace, which some hosts forbid
/// altogether; without process numbers, where a container hides parts of `/proc`.
#[cfg(target_os = "linux")]
fn rungs(as_root: bool) -> Vec<Means> {
    let all = Means { root: true, users: true, pids: true, as_root, ..Means::default() };
    let without_users = as_root.then_some(Means { users: false, ..all });
    [all].into_iter().chain(without_users).chain([Means { pids: false, ..all }]).collect()
}

/// Only Linux has what a jail is made of.
#[cfg(not(target_os = "linux"))]
pub(super) fn detect(_: Isolation, _: Means, _: &Utf8Path) -> (Means, IsolationReport) {
    let none = Means::default();
    (none, none.report(Some("only Linux has namespaces".into())))
}

/// Tries a jail without a runtime.
#[cfg(target_os = "linux")]
mod probe {
    use std::{io, time::Duration};

    use camino::Utf8Path;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::{
        super::{
            confine::Confinement,
            jail::{self, JailPlan, Record, RuntimeCommand, Step, attribute},
            root,
        },
        Means,
    };

    const PATIENCE: Duration = Duration::from_secs(5);

    pub(super) fn run(means: Means, scratch: &Utf8Path) -> Result<(), String> {
        let fail = |error: io::Error| error.to_string();
        for name in ["tmp", "proc"] {
            fs_err::create_dir_all(scratch.join(name)).map_err(fail)?;
        }
        let path = |name: &str| root::c_string(scratch.join(name).as_str());
        let mut steps = vec![
            Step::PrivateMounts,
            Step::Bind {
                source: root::c_string(scratch.as_str()),
                target: root::c_string(scratch.as_str()),
                attributes: attribute::READ_ONLY | attribute::NO_SUID | attribute::NO_DEV,
            },
            Step::Tmpfs { target: path("tmp"), options: c"size=1m".into(), attributes: attribute::NO_SUID },
        ];
        steps.push(root::processes(means, path("proc")));
        steps.push(Step::Pivot { root: root::c_string(scratch.as_str()) });
        let nothing = RuntimeCommand {
            program: c"/".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: c"/".into(),
            identity: None,
            most_processes: None,
            streams: None,
        };
        let mut namespaces = root::namespaces(means);
        if means.network {
            namespaces |= nix::libc::CLONE_NEWNET;
            steps.push(Step::Network { port: 1 });
        }
        let id_maps = root::id_maps(means);
        let plan = JailPlan { namespaces, id_maps, steps, runtime: nothing, extensions: Vec::new() };
        let keeper = jail::start(&plan, &Confinement::default())
            .map_err(|error| format!("new namespaces: {error}"))?;
        let answer = first_record(&keeper.status);
        drop(keeper.control);
        jail::wait(keeper.pid);
        match answer {
            Some(Record::Ready) => Ok(()),
            Some(Record::StepFailed { step, errno }) => {
                let what = plan.steps.get(step).map(Step::describe).unwrap_or_default();
                Err(format!("{what}: {}", io::Error::from_raw_os_error(errno)))
            }
            _ => Err("the trial jail gave no answer".into()),
        }
    }

    fn first_record(status: &std::os::fd::OwnedFd) -> Option<Record> {
        use std::os::fd::AsFd;
        let patience = PollTimeout::try_from(PATIENCE).ok()?;
        let mut ready = [PollFd::new(status.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, patience).ok().filter(|&count| count > 0)?;
        let mut bytes = [0; Record::SIZE];
        (nix::unistd::read(status, &mut bytes) == Ok(Record::SIZE)).then(|| Record::from_bytes(bytes))?
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_over_all_lines() {
        assert_eq!(ids_in("         0          0 4294967295\n"), 4_294_967_295);
        assert_eq!(ids_in("0 1000 1\n1 100000 65536\n"), 65_537);
        assert_eq!(ids_in("         0          0          1\n"), 1);
    }

    #[test]
    fn a_host_that_gives_everything_lacks_nothing() {
        let all = Means {
            root: true,
            users: true,
            pids: true,
            as_root: true,
            peers: true,
            process_limit: true,
            process_group: true,
            memory_limit: true,
            cpu_share: true,
            freezer: true,
            filter: true,
            fence: false,
            network: true,
        };
        let report = all.report(None);
        assert_eq!(report.missing().count(), 0);
    }

    #[test]
    fn processes_are_limited_only_where_the_limit_is_the_environment_s_own() {
        let own_users = Means { root: true, users: true, pids: true, ..Means::default() };
        for (kernel, expected) in
            [("6.18.44-x\n", true), ("5.14.0", true), ("5.13.19", false), ("4.19", false), ("", false)]
        {
            assert_eq!(own_users.counts_processes(kernel), expected, "{kernel}");
        }
        let shared_users = Means { users: false, as_root: true, ..own_users };
        assert!(!shared_users.counts_processes("6.1"), "all functions are the same user of this machine");
    }

    #[test]
    fn a_stranger_s_files_are_shown_to_a_capability_alone() {
        let stranger = Means { root: true, as_root: true, ..Means::default() };
        assert!(stranger.shows_files("CapEff:\t000001ffffffffff\n"));
        assert!(!stranger.shows_files("CapEff:\t00000000a82425fb\n"));
        assert!(Means { users: true, ..stranger }.shows_files("CapEff:\t0000000000000000\n"));
    }

    #[test]
    fn a_host_that_permits_the_best_permits_every_lower_rung() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let scratch = Utf8Path::from_path(folder.path()).expect("UTF-8 path");
        // Control groups need no jail, and are tried elsewhere.
        let groups = Means {
            process_group: true,
            memory_limit: true,
            cpu_share: true,
            freezer: true,
            ..Means::default()
        };
        let (best, report) = detect(Isolation::Best, groups, scratch);
        if best.root && best.users && best.pids {
            assert_eq!(report.missing().count(), 0, "{report:?}");
            for means in rungs(best.as_root) {
                assert_eq!(probe::run(means, scratch), Ok(()), "{means:?}");
            }
        } else {
            assert!(report.refusal.is_some(), "a host that refuses says why: {report:?}");
        }
    }
}
