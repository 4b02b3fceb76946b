//! The jail: a process in namespaces of its own, made by an ordered list of precomputed steps.
//!
//! Owns the `unsafe` code of a jail: clone, mounts, identity, exec. A jail has two
//! kinds of processes. The *keeper* is process 1 of the new pid namespace; it runs the steps, starts
//! the *programs* (the runtime and the function's extensions) whenever the server says so, and
//! reports how they ended. When the server goes away, however it does, the control pipe closes, the
//! keeper ends, and the kernel ends all the rest.
//!
//! Between clone and exec nothing here may allocate, lock or panic: the server has many threads,
//! and the child is a copy of only one of them.
#![allow(unsafe_code, reason = "clone, mount and exec have no safe form that works between clone and exec")]

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
};

use super::{
    confine::{self, Confinement},
    open::ProgramStreams,
    sockets,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc::{self, c_char, c_int, c_long, c_ulong, c_void},
    unistd::pipe2,
};

mod birth;
mod record;

use birth::{clone, clone_into};
pub(super) use record::Record;

/// What is forbidden on a mount.
pub(super) mod attribute {
    /// Read-only.
    pub(in super::super) const READ_ONLY: u64 = 1;
    /// No set-user-id programs.
    pub(in super::super) const NO_SUID: u64 = 2;
    /// No devices.
    pub(in super::super) const NO_DEV: u64 = 4;
    /// No programs.
    pub(in super::super) const NO_EXEC: u64 = 8;
}

/// One step of making the file system of a jail, run by the keeper.
#[derive(Debug)]
pub(super) enum Step {
    /// Mounts made from here on are seen by nobody else.
    PrivateMounts,
    /// Shows a file or folder of the host at another place.
    Bind { source: CString, target: CString, attributes: u64 },
    /// An empty file system in memory.
    Tmpfs { target: CString, options: CString, attributes: u64 },
    /// The processes of this namespace.
    Proc { target: CString },
    /// Makes a folder the root and forgets the host's.
    Pivot { root: CString },
    /// The name of the machine.
    HostName { name: CString },
    /// Brings up the loopback of a network of the jail's own, and hands the server a listener on it.
    Network { port: u16 },
}

/// Who the runtime runs as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether the supplementary groups can (and must) be dropped.
    pub(super) drop_groups: bool,
}

/// How ids inside map to ids outside; written by the server, which may.
#[derive(Clone, Debug)]
pub(super) struct IdMaps {
    pub(super) uid_map: String,
    pub(super) gid_map: String,
    /// An unprivileged process must give up `setgroups` before it may map a group.
    pub(super) deny_setgroups: bool,
}

/// A jail, decided.
#[derive(Debug)]
pub(super) struct JailPlan {
    /// `CLONE_NEW*`.
    pub(super) namespaces: c_int,
    pub(super) id_maps: Option<IdMaps>,
    pub(super) steps: Vec<Step>,
    pub(super) runtime: RuntimeCommand,
    /// Programs that run beside the runtime, at most [`MOST_EXTENSIONS`].
    pub(super) extensions: Vec<RuntimeCommand>,
}

impl JailPlan {
    /// The program of a number: the runtime is 0, the extensions follow.
    pub(super) fn program(&self, number: usize) -> Option<&RuntimeCommand> {
        number.checked_sub(1).map_or(Some(&self.runtime), |extension| self.extensions.get(extension))
    }
}

/// As many as Lambda allows.
pub(super) const MOST_EXTENSIONS: usize = 10;
const MOST_PROGRAMS: usize = MOST_EXTENSIONS + 1;

/// A program that the keeper starts.
#[derive(Debug)]
pub(super) struct RuntimeCommand {
    pub(super) program: CString,
    pub(super) arguments: Vec<CString>,
    /// `KEY=value`.
    pub(super) environment: Vec<CString>,
    pub(super) directory: CString,
    pub(super) identity: Option<Identity>,
    /// `RLIMIT_NPROC`. It counts the processes of a user, so it is only set where a user namespace
    /// makes that mean this jail's processes alone.
    pub(super) most_processes: Option<u64>,
    /// What it reads and writes, in place of nothing and the log.
    pub(super) streams: Option<ProgramStreams>,
}

/// A running keeper and the server's ends of its pipes.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) pid: i32,
    /// Commands, two bytes each: what, and the number of the program. Closing it ends the jail.
    pub(super) control: OwnedFd,
    /// Reports, [`Record::SIZE`] bytes each.
    pub(super) status: OwnedFd,
    /// What the runtime writes to stdout and stderr.
    pub(super) log: OwnedFd,
    /// What the extensions write, where there are any.
    pub(super) extension_log: Option<OwnedFd>,
    /// Where sockets come from, where the jail has a network of its own.
    pub(super) sockets: Option<OwnedFd>,
}

/// Starts a program.
pub(super) const RUN: u8 = b'R';
/// Asks a program and its process group to end.
pub(super) const TERMINATE: u8 = b'T';
/// Kills a program; whatever it has started follows when nothing else runs.
pub(super) const KILL: u8 = b'K';
const GO: u8 = b'G';

/// Everything the child needs, as plain pointers and numbers.
struct Prepared<'a> {
    plan: &'a JailPlan,
    /// Arguments and environment of each program, ended by null.
    lists: Vec<(Vec<*const c_char>, Vec<*const c_char>)>,
    null: RawFd,
    control: RawFd,
    status: RawFd,
    log: RawFd,
    extension_log: RawFd,
    /// The runtime's own streams, or -1.
    streams: [RawFd; 3],
    sockets: RawFd,
    confined: confine::Prepared,
}

/// Starts the keeper of a jail. The programs wait for [`RUN`].
pub(super) fn start(plan: &JailPlan, confinement: &Confinement) -> io::Result<Keeper> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let null = fs_err::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let (control_read, control) = pipe2(OFlag::O_CLOEXEC)?;
    let (status, status_write) = pipe2(OFlag::O_CLOEXEC)?;
    let (log, log_write) = pipe2(OFlag::O_CLOEXEC)?;
    let extension_log = if plan.extensions.is_empty() { None } else { Some(pipe2(OFlag::O_CLOEXEC)?) };
    let (extension_log, extension_log_write) = extension_log.unzip();
    let has_network = plan.namespaces & libc::CLONE_NEWNET != 0;
    let (sockets, sockets_write) = if has_network { Some(sockets::pair()?) } else { None }.unzip();
    let programs = std::iter::once(&plan.runtime).chain(plan.extensions.iter().take(MOST_EXTENSIONS));
    let mut prepared = Prepared {
        plan,
        lists: programs
            .map(|program| (pointers(&program.arguments), pointers(&program.environment)))
            .collect(),
        null: null.as_raw_fd(),
        control: control_read.as_raw_fd(),
        status: status_write.as_raw_fd(),
        log: log_write.as_raw_fd(),
        extension_log: extension_log_write.as_ref().unwrap_or(&log_write).as_raw_fd(),
        streams: plan
            .runtime
            .streams
            .as_ref()
            .map_or([-1; 3], |streams| streams.files.each_ref().map(AsRawFd::as_raw_fd)),
        sockets: sockets_write.as_ref().map_or(null.as_raw_fd(), AsRawFd::as_raw_fd),
        confined: confinement.prepare(),
    };
    // SAFETY: the child runs `keep`, which never returns and keeps to async-signal-safe calls on
    // memory that was prepared above and lives in its own copy of the address space.
    let pid = unsafe { clone(plan.namespaces) };
    if pid == 0 {
        // SAFETY: as above; this is the child.
        unsafe { keep(&mut prepared) }
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let keeper = Keeper { pid: pid as i32, control, status, log, extension_log, sockets };
    drop((control_read, status_write, log_write, extension_log_write, sockets_write));
    let written = plan.id_maps.as_ref().map_or(Ok(()), |maps| write_id_maps(keeper.pid, maps));
    if let Err(error) = written.and_then(|()| Ok(nix::unistd::write(&keeper.control, &[GO, 0]).map(drop)?)) {
        drop(keeper.control);
        wait(keeper.pid);
        return Err(error);
    }
    Ok(keeper)
}

/// Waits until a keeper, and with it all of its pid namespace, is gone.
pub(super) fn wait(pid: i32) {
    while let Err(Errno::EINTR) = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None) {}
}

fn write_id_maps(pid: i32, maps: &IdMaps) -> io::Result<()> {
    let put = |name: &str, text: &str| fs_err::write(format!("/proc/{pid}/{name}"), text);
    if maps.deny_setgroups {
        put("setgroups", "deny")?;
    }
    put("uid_map", &maps.uid_map)?;
    put("gid_map", &maps.gid_map)
}

const CONTROL: RawFd = 3;
const STATUS: RawFd = 4;
const LOG: RawFd = 5;
const EXTENSION_LOG: RawFd = 6;
const SOCKETS: RawFd = 7;
const FIRST_DOOR: RawFd = 8;

fn errno() -> c_int {
    Errno::last_raw()
}

fn check(result: c_int) -> Result<(), c_int> {
    if result < 0 { Err(errno()) } else { Ok(()) }
}

unsafe fn report(record: Record) {
    let bytes = record.to_bytes();
    // SAFETY: `bytes` lives through the call. A pipe takes so few bytes at once or not at all.
    unsafe { libc::write(STATUS, bytes.as_ptr().cast(), bytes.len()) };
}

/// The keeper's life. Never returns.
unsafe fn keep(prepared: &mut Prepared<'_>) -> ! {
    let plan = prepared.plan;
    // SAFETY: all calls below are async-signal-safe system calls on valid memory.
    unsafe {
        take_descriptors(prepared);
        libc::setsid();
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut children: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut children);
        libc::sigaddset(&raw mut children, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const children, ptr::null_mut());
        libc::umask(0o022);
        let own_pids = plan.namespaces & libc::CLONE_NEWPID != 0;
        if !own_pids {
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong);
        }
        if read_command().is_none_or(|(command, _)| command != GO) {
            libc::_exit(0);
        }
        for (index, step) in plan.steps.iter().enumerate() {
            if let Err(errno) = step.run() {
                report(Record::StepFailed { step: index, errno });
                libc::_exit(70);
            }
        }
        report(Record::Ready);
        let signals = libc::signalfd(-1, &raw const children, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        let mut running: [libc::pid_t; MOST_PROGRAMS] = [-1; MOST_PROGRAMS];
        let mut sockets = if plan.namespaces & libc::CLONE_NEWNET == 0 { -1 } else { SOCKETS };
        loop {
            let mut ready = [
                libc::pollfd { fd: CONTROL, events: libc::POLLIN, revents: 0 },
                libc::pollfd { fd: signals, events: libc::POLLIN, revents: 0 },
                // A negative number is passed over.
                libc::pollfd { fd: sockets, events: libc::POLLIN, revents: 0 },
            ];
            libc::poll(ready.as_mut_ptr(), 3, -1);
            if ready[2].revents != 0 && !sockets::serve(sockets) {
                sockets = -1;
            }
            if ready[1].revents != 0 {
                let mut ignored = [0u8; 1024];
                while libc::read(signals, ignored.as_mut_ptr().cast(), ignored.len()) > 0 {}
                let mut wait_status = 0;
                let mut usage: libc::rusage = std::mem::zeroed();
                loop {
                    let pid = libc::wait4(-1, &raw mut wait_status, libc::WNOHANG, &raw mut usage);
                    if pid <= 0 {
                        break;
                    }
                    let mut others = false;
                    let mut ended = None;
                    for (program, place) in running.iter_mut().enumerate() {
                        if *place == pid {
                            *place = -1;
                            ended = Some(program);
                        }
                        others |= *place > 0;
                    }
                    if let Some(program) = ended {
                        libc::kill(-pid, libc::SIGKILL);
                        // Whose child an orphan was is not known, so the last program's end takes
                        // all of them.
                        if !others {
                            kill_all(own_pids);
                        }
                        report(Record::Exited { program, wait_status, peak_kb: usage.ru_maxrss as i32 });
                    }
                }
            }
            if ready[0].revents != 0 {
                let Some((command, program)) = read_command() else {
                    for pid in running.into_iter().filter(|&pid| pid > 0) {
                        libc::kill(-pid, libc::SIGKILL);
                    }
                    kill_all(own_pids);
                    libc::_exit(0);
                };
                if let Some(place) = running.get_mut(program) {
                    match command {
                        RUN if *place < 0 => *place = start_program(prepared, program),
                        TERMINATE if *place > 0 => {
                            libc::kill(-*place, libc::SIGTERM);
                        }
                        // SIGCHLD comes next, and with it the report.
                        KILL if *place > 0 => {
                            libc::kill(*place, libc::SIGKILL);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Brings the pipes to their fixed numbers and closes everything else.
unsafe fn take_descriptors(prepared: &mut Prepared<'_>) {
    // SAFETY: only descriptors are touched, and they are this process's own copies.
    unsafe {
        let high = |descriptor: RawFd| libc::fcntl(descriptor, libc::F_DUPFD, 64);
        let (null, control) = (high(prepared.null), high(prepared.control));
        let (status, log) = (high(prepared.status), high(prepared.log));
        let extension_log = high(prepared.extension_log);
        for stream in prepared.streams.iter_mut().filter(|stream| **stream >= 0) {
            *stream = high(*stream);
        }
        let sockets = high(prepared.sockets);
        prepared.confined.lift();
        for target in 0..3 {
            libc::dup2(null, target);
        }
        libc::dup3(control, CONTROL, libc::O_CLOEXEC);
        libc::dup3(status, STATUS, libc::O_CLOEXEC);
        libc::dup3(log, LOG, libc::O_CLOEXEC);
        libc::dup3(extension_log, EXTENSION_LOG, libc::O_CLOEXEC);
        libc::dup3(sockets, SOCKETS, libc::O_CLOEXEC);
        let mut next = prepared.confined.settle(FIRST_DOOR);
        for stream in prepared.streams.iter_mut().filter(|stream| **stream >= 0) {
            *stream = libc::dup3(*stream, next, libc::O_CLOEXEC);
            next += 1;
        }
        close_from(next);
    }
}

unsafe fn close_from(first: RawFd) {
    // SAFETY: closing descriptors that nobody in this process uses any more.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first as c_long, c_int::MAX as c_long, 0 as c_long) < 0 {
            let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536) as c_int;
            for descriptor in first..limit {
                libc::close(descriptor);
            }
        }
    }
}

/// A command and the number of its program; the server writes both at once.
unsafe fn read_command() -> Option<(u8, usize)> {
    let mut bytes = [0u8; 2];
    loop {
        // SAFETY: reads two bytes into `bytes`.
        match unsafe { libc::read(CONTROL, bytes.as_mut_ptr().cast(), bytes.len()) } {
            2 => return Some((bytes[0], usize::from(bytes[1]))),
            -1 if errno() == libc::EINTR => {}
            _ => return None,
        }
    }
}

/// Kills and reaps every descendant of the keeper.
unsafe fn kill_all(own_pids: bool) {
    // SAFETY: signals and waits for this process's own descendants only: `-1` means them in a
    // pid namespace whose process 1 we are, and otherwise each child is asked for by number.
    unsafe {
        if own_pids {
            libc::kill(-1, libc::SIGKILL);
            while libc::waitpid(-1, ptr::null_mut(), 0) > 0 {}
            return;
        }
        // The keeper is a subreaper: whoever loses its parent becomes the keeper's child, so
        // killing children until there are none reaches those that left the process group too.
        loop {
            kill_children();
            if libc::waitpid(-1, ptr::null_mut(), 0) < 0 && errno() != libc::EINTR {
                return;
            }
        }
    }
}

unsafe fn kill_children() {
    // SAFETY: reads into a local buffer and signals children that have not been waited for.
    unsafe {
        let list = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let mut text = [0u8; 4096];
        let length = libc::read(list, text.as_mut_ptr().cast(), text.len());
        libc::close(list);
        let mut pid: libc::pid_t = 0;
        for byte in text.iter().take(length.max(0) as usize) {
            match *byte {
                digit @ b'0'..=b'9' => pid = pid * 10 + libc::pid_t::from(digit - b'0'),
                _ if pid > 1 => {
                    libc::kill(pid, libc::SIGKILL);
                    pid = 0;
                }
                _ => pid = 0,
            }
        }
    }
}

/// Forks and executes a program.
unsafe fn start_program(prepared: &Prepared<'_>, program: usize) -> libc::pid_t {
    // SAFETY: the child only makes async-signal-safe calls until it executes or exits.
    unsafe {
        let (pid, was_born_inside) = match clone_into(prepared.confined.cradle()) {
            -1 => (clone(0), false),
            pid => (pid, true),
        };
        if pid != 0 {
            return pid as libc::pid_t;
        }
        let errno = become_runtime(prepared, program, was_born_inside).err().unwrap_or(0);
        report(Record::ExecFailed { program, errno });
        libc::_exit(127)
    }
}

/// Returns only on failure.
unsafe fn become_runtime(
    prepared: &Prepared<'_>,
    program: usize,
    was_born_inside: bool,
) -> Result<(), c_int> {
    let (Some(runtime), Some((arguments, environment))) =
        (prepared.plan.program(program), prepared.lists.get(program))
    else {
        return Err(libc::ENOENT);
    };
    let log = if program == 0 { LOG } else { EXTENSION_LOG };
    // SAFETY: system calls on memory prepared before the clone; the argument and environment
    // lists end with null.
    unsafe {
        prepared.confined.join(was_born_inside)?;
        libc::setsid();
        // Whoever started the server may keep keys in the session's keyring, which is inherited. A
        // host that forbids this call has none to inherit.
        libc::syscall(
            libc::SYS_keyctl,
            c_long::from(libc::KEYCTL_JOIN_SESSION_KEYRING),
            ptr::null::<c_char>(),
        );
        check(libc::dup2(log, 1))?;
        check(libc::dup2(log, 2))?;
        if let Some(streams) = &runtime.streams {
            for (number, &stream) in (0..).zip(&prepared.streams) {
                check(libc::dup2(stream, number))?;
            }
            if streams.is_terminal {
                check(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
            }
        }
        libc::prctl(
            libc::PR_SET_PDEATHSIG,
            libc::SIGKILL as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
        );
        // Woken by the server's answer, it need not push aside the server, which has others to answer.
        // Where it is not permitted, it does.
        let priority: c_int = 0;
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0 as c_long,
            c_long::from(libc::SCHED_BATCH),
            &raw const priority,
        );
        limit(libc::RLIMIT_NOFILE as c_int, 1024)?;
        limit(libc::RLIMIT_CORE as c_int, 0)?;
        prepared.confined.drop_capabilities();
        if let Some(identity) = runtime.identity {
            if identity.drop_groups {
                check(libc::syscall(libc::SYS_setgroups, 0 as c_long, ptr::null::<c_void>()) as c_int)?;
            }
            // The system calls themselves: libc's wrappers would tell every thread of the server,
            // and this process has none of them.
            let (uid, gid) = (c_long::from(identity.uid), c_long::from(identity.gid));
            check(libc::syscall(libc::SYS_setresgid, gid, gid, gid) as c_int)?;
            check(libc::syscall(libc::SYS_setresuid, uid, uid, uid) as c_int)?;
        }
        if let Some(most) = runtime.most_processes {
            limit(libc::RLIMIT_NPROC as c_int, most)?;
        }
        check(libc::prctl(
            libc::PR_SET_NO_NEW_PRIVS,
            1 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
        ))?;
        check(libc::chdir(runtime.directory.as_ptr()))?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        prepared.confined.enclose()?;
        libc::execve(runtime.program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        Err(errno())
    }
}

/// Sets a limit, or lowers it as far as an already lower hard limit asks.
unsafe fn limit(resource: c_int, value: u64) -> Result<(), c_int> {
    let mut now = [0u64; 2];
    let (this, resource) = (0 as c_long, c_long::from(resource));
    // SAFETY: both pairs have the layout of the kernel's `struct rlimit64` and live through the calls.
    unsafe {
        check(
            libc::syscall(libc::SYS_prlimit64, this, resource, ptr::null::<u64>(), now.as_mut_ptr()) as c_int
        )?;
        let value = value.min(now[1]);
        let wanted = [value, value];
        check(libc::syscall(libc::SYS_prlimit64, this, resource, wanted.as_ptr(), ptr::null::<u64>()) as c_int)
    }
}

impl Step {
    /// Does the step; the error is an `errno`.
    unsafe fn run(&self) -> Result<(), c_int> {
        let none: *const c_char = ptr::null();
        // SAFETY: every pointer comes from a `CString` of the plan or is null where that is allowed.
        unsafe {
            match self {
                Self::PrivateMounts => check(libc::mount(
                    none,
                    c"/".as_ptr(),
                    none,
                    libc::MS_REC | libc::MS_PRIVATE,
                    ptr::null(),
                )),
                Self::Bind { source, target, attributes } => {
                    let flags = libc::MS_BIND | libc::MS_REC;
                    check(libc::mount(source.as_ptr(), target.as_ptr(), none, flags, ptr::null()))?;
                    forbid(target, *attributes)
                }
                Self::Tmpfs { target, options, attributes } => {
                    let kind = c"tmpfs".as_ptr();
                    check(libc::mount(
                        kind,
                        target.as_ptr(),
                        kind,
                        *attributes as c_ulong,
                        options.as_ptr().cast(),
                    ))
                }
                Self::Proc { target } => {
                    let flags = attribute::NO_SUID | attribute::NO_DEV | attribute::NO_EXEC;
                    let kind = c"proc".as_ptr();
                    check(libc::mount(kind, target.as_ptr(), kind, flags as c_ulong, ptr::null()))
                }
                Self::Pivot { root } => {
                    check(libc::chdir(root.as_ptr()))?;
                    let here = c".".as_ptr();
                    check(libc::syscall(libc::SYS_pivot_root, here, here) as c_int)?;
                    check(libc::umount2(here, libc::MNT_DETACH))?;
                    check(libc::chdir(c"/".as_ptr()))
                }
                Self::HostName { name } => check(libc::sethostname(name.as_ptr(), name.as_bytes().len())),
                Self::Network { port } => sockets::open(SOCKETS, *port),
            }
        }
    }

    /// The step in words, for an error.
    pub(super) fn describe(&self) -> String {
        let text = |string: &CStr| string.to_string_lossy().into_owned();
        match self {
            Self::PrivateMounts => "keep mounts private".into(),
            Self::Bind { source, target, .. } => format!("mount `{}` at `{}`", text(source), text(target)),
            Self::Tmpfs { target, .. } => format!("mount a file system in memory at `{}`", text(target)),
            Self::Proc { target } => format!("mount the processes at `{}`", text(target)),
            Self::Pivot { root } => format!("make `{}` the root", text(root)),
            Self::HostName { .. } => "set the host name".into(),
            Self::Network { .. } => "set up a network".into(),
        }
    }
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Adds restrictions to a mount and all mounts below it.
unsafe fn forbid(target: &CStr, attributes: u64) -> Result<(), c_int> {
    let wanted = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    const RECURSIVE: c_long = 0x8000;
    // SAFETY: `wanted` has the layout of the kernel's `struct mount_attr` and lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD as c_long,
            target.as_ptr(),
            RECURSIVE,
            (&raw const wanted).cast::<c_void>(),
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    if errno() != libc::ENOSYS {
        return Err(errno());
    }
    // Linux before 5.12: a remount, which must repeat the restrictions that are there already.
    // SAFETY: `now` is filled by the call; the remount takes no other memory.
    unsafe {
        let mut now: libc::statvfs = std::mem::zeroed();
        check(libc::statvfs(target.as_ptr(), &raw mut now))?;
        let present = now.f_flag;
        let mut flags = (present & 0xf) | attributes;
        for (reported, flag) in
            [(1024, libc::MS_NOATIME), (2048, libc::MS_NODIRATIME), (4096, libc::MS_RELATIME)]
        {
            if present & reported != 0 {
                flags |= flag;
            }
        }
        let flags = flags as c_ulong | libc::MS_REMOUNT | libc::MS_BIND;
        check(libc::mount(ptr::null(), target.as_ptr(), ptr::null(), flags, ptr::null()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_pipe() {
        for record in [
            Record::Ready,
            Record::StepFailed { step: 3, errno: 1 },
            Record::ExecFailed { program: 10, errno: 2 },
            Record::Exited { program: 1, wait_status: 9, peak_kb: 7 },
        ] {
            assert_eq!(Record::from_bytes(record.to_bytes()), Some(record));
        }
        assert_eq!(Record::from_bytes([0; Record::SIZE]), None);
    }
}
