//! How the processes of a jail come into being: as copies of their parent.
//!
//! Owns the two system calls. Run by the keeper too, so nothing here allocates, locks or panics.

use std::os::fd::RawFd;

use nix::libc::{self, c_int, c_long};

/// `fork` with new namespaces. The libc wrapper would want a stack, and so share memory.
///
/// # Safety
/// The child may only make async-signal-safe calls.
pub(super) unsafe fn clone(namespaces: c_int) -> c_long {
    let flags = namespaces | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork; the unused arguments are null
    // on every architecture, whatever their order there.
    unsafe {
        libc::syscall(libc::SYS_clone, flags as c_long, 0 as c_long, 0 as c_long, 0 as c_long, 0 as c_long)
    }
}

/// The kernel's `struct clone_args` (clone(2)).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `fork` into the control group of this folder; -1 where that is none, or the kernel does not do it.
///
/// # Safety
/// As above.
pub(super) unsafe fn clone_into(folder: RawFd) -> c_long {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let Ok(cgroup) = u64::try_from(folder) else { return -1 };
    let exit_signal = libc::SIGCHLD as u64;
    let arguments = CloneArguments { flags: INTO_CGROUP, exit_signal, cgroup, ..CloneArguments::default() };
    // SAFETY: the arguments have the layout of the kernel's structure and live through the call; without
    // CLONE_VM and with a null stack this is fork.
    unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) }
}
