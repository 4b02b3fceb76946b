//! What a program of an environment is confined by beside its namespaces: control groups, no
//! capabilities, a filter of system calls, and, where it has no root of its own, a fence around the
//! files it may reach.
//!
//! The server prepares; the jail's child does it to itself, step by step, between clone and exec.
//! So nothing below the line may allocate, lock or panic.
#![allow(unsafe_code, reason = "between clone and exec there are only system calls")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
};

use camino::Utf8Path;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope,
};
use nix::{
    errno::Errno,
    libc::{self, c_int, c_long, c_ulong, c_void},
};
use seccompiler::BpfProgram;

use super::cgroup::Cradle;

/// More groups than there are controllers that we use.
const MOST_DOORS: usize = 4;

/// What a jail's programs are confined by.
#[derive(Debug, Default)]
pub(super) struct Confinement {
    /// The doors of their control groups, by which they join them.
    pub(super) doors: Vec<OwnedFd>,
    /// The group that they are born into.
    pub(super) cradle: Option<Cradle>,
    /// Filters of system calls, in the order in which they are set.
    pub(super) filters: Vec<BpfProgram>,
    /// A Landlock ruleset.
    pub(super) fence: Option<OwnedFd>,
}

/// What a program without a root of its own may reach.
pub(super) struct Reach<'a> {
    /// Files and folders to read and execute.
    pub(super) read: Vec<&'a Utf8Path>,
    /// Folders to write in.
    pub(super) write: Vec<&'a Utf8Path>,
}

/// Whether this kernel has Landlock (landlock(7)).
pub(super) fn has_landlock() -> bool {
    const VERSION: c_long = 1;
    // SAFETY: with this flag the call takes no memory and answers with a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<c_void>(), 0 as c_long, VERSION)
    };
    version > 0
}

/// A ruleset that lets nothing be reached but this: no other files, and, since Linux 6.12, no process
/// and no abstract socket outside. What does not exist is left out.
///
/// # Errors
/// What the kernel says.
pub(super) fn fence(reach: &Reach<'_>) -> io::Result<Option<OwnedFd>> {
    let abi = ABI::V6;
    let failed = |error: landlock::RulesetError| io::Error::other(error);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .map_err(failed)?
        .scope(Scope::from_all(abi))
        .map_err(failed)?
        .create()
        .map_err(failed)?;
    let read = AccessFs::from_read(abi);
    let rules = reach.read.iter().map(|path| (path, read));
    for (path, access) in rules.chain(reach.write.iter().map(|path| (path, AccessFs::from_all(abi)))) {
        let Ok(opened) = PathFd::new(path.as_std_path()) else { continue };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
        ruleset = ruleset.add_rule(PathBeneath::new(opened, access)).map_err(failed)?;
    }
    Ok(ruleset.into())
}

/// The same as plain numbers and pointers, for the child.
pub(super) struct Prepared {
    doors: [RawFd; MOST_DOORS],
    /// A folder, and the door for who was not born there.
    cradle: [RawFd; 2],
    filters: Vec<libc::sock_fprog>,
    fence: RawFd,
}

impl Confinement {
    /// The pointers are good as long as the confinement is.
    pub(super) fn prepare(&self) -> Prepared {
        let mut doors = [-1; MOST_DOORS];
        for (place, door) in doors.iter_mut().zip(&self.doors) {
            *place = door.as_raw_fd();
        }
        let filters = self
            .filters
            .iter()
            .map(|program| libc::sock_fprog {
                len: u16::try_from(program.len()).unwrap_or_default(),
                // The kernel's `sock_filter` has the layout of the library's, and is only read.
                filter: program.as_ptr().cast_mut().cast(),
            })
            .collect();
        let cradle = self
            .cradle
            .as_ref()
            .map_or([-1; 2], |Cradle { folder, door }| [folder.as_raw_fd(), door.as_raw_fd()]);
        Prepared { doors, cradle, filters, fence: self.fence.as_ref().map_or(-1, AsRawFd::as_raw_fd) }
    }
}

// ---------------------------------------------------------------------------------------------
// Run by the keeper and its children: async-signal-safe calls only.

impl Prepared {
    /// Moves the descriptors out of the way of the low numbers.
    ///
    /// # Safety
    /// Only in the keeper, which has copies of its own.
    pub(super) unsafe fn lift(&mut self) {
        // SAFETY: only numbers are moved; -1 stays what it is, an error.
        unsafe {
            for door in self.doors.iter_mut().chain(&mut self.cradle) {
                *door = lifted(*door);
            }
            self.fence = lifted(self.fence);
        }
    }

    /// Brings the descriptors to numbers from `first` on; the answer is the number behind the last.
    ///
    /// # Safety
    /// Only in the keeper, after [`Self::lift`].
    pub(super) unsafe fn settle(&mut self, first: RawFd) -> RawFd {
        let mut next = first;
        // SAFETY: as above.
        unsafe {
            for descriptor in self.doors.iter_mut().chain(&mut self.cradle).chain([&mut self.fence]) {
                if *descriptor >= 0 {
                    *descriptor = libc::dup3(*descriptor, next, libc::O_CLOEXEC);
                    next += 1;
                }
            }
        }
        next
    }

    /// The folder of the group that a child is born into; -1 where there is none.
    pub(super) fn cradle(&self) -> RawFd {
        self.cradle[0]
    }

    /// Joins the control groups: what is started from here on belongs to them.
    ///
    /// # Safety
    /// Only in a child of the keeper.
    pub(super) unsafe fn join(&self, was_born_inside: bool) -> Result<(), c_int> {
        let late = if was_born_inside { -1 } else { self.cradle[1] };
        for &door in self.doors.iter().chain([&late]).filter(|&&door| door >= 0) {
            // SAFETY: writes one byte that lives for ever.
            if unsafe { libc::write(door, c"0".as_ptr().cast(), 1) } < 0 {
                return Err(Errno::last_raw());
            }
        }
        Ok(())
    }

    /// Gives up what could ever become a capability again. Must be root in its user namespace, or
    /// have nothing to give up.
    ///
    /// # Safety
    /// Only in a child of the keeper.
    pub(super) unsafe fn drop_capabilities(&self) {
        // SAFETY: takes numbers only. A number that the kernel does not know is refused.
        unsafe {
            for capability in 0..64 as c_ulong {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong);
            }
        }
    }

    /// The last steps before exec; from here on hardly anything is allowed.
    ///
    /// # Safety
    /// Only in a child of the keeper that cannot gain privileges any more.
    pub(super) unsafe fn enclose(&self) -> Result<(), c_int> {
        let none = 0 as c_ulong;
        // SAFETY: the programs live in this process's copy of the plan.
        unsafe {
            if self.fence >= 0
                && libc::syscall(libc::SYS_landlock_restrict_self, self.fence as c_long, 0 as c_long) < 0
            {
                return Err(Errno::last_raw());
            }
            for filter in &self.filters {
                let mode = c_ulong::from(libc::SECCOMP_MODE_FILTER);
                if libc::prctl(libc::PR_SET_SECCOMP, mode, ptr::from_ref(filter), none, none) < 0 {
                    return Err(Errno::last_raw());
                }
            }
        }
        Ok(())
    }
}

unsafe fn lifted(descriptor: RawFd) -> RawFd {
    if descriptor < 0 {
        return -1;
    }
    // SAFETY: only a number is moved.
    unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_made_where_there_is_landlock() {
        let reach = Reach {
            read: vec![Utf8Path::new("/usr"), Utf8Path::new("/dev/null"), Utf8Path::new("/nowhere")],
            write: vec![Utf8Path::new("/tmp")],
        };
        assert_eq!(fence(&reach).expect("made").is_some(), has_landlock());
    }
}
