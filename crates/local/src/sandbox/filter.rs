//! The system calls that function code is refused.
//!
//! Owns the list. It names what changes a kernel, a clock or somebody else's processes, and what
//! makes a namespace in which all that would look allowed; AWS's environments refuse it too. The
//! rest is let through: which calls a library makes is not ours to guess.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

/// What is refused whatever its arguments are.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// `clone` is refused when it asks for any of these. `clone3` hides its flags from a filter: it is
/// answered as by a kernel that does not have it, and C libraries then use `clone`.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The filters of every environment, in the order in which they are set; none on an architecture
/// that the library does not know.
pub(super) fn programs() -> Vec<BpfProgram> {
    let refused = || -> Option<BpfProgram> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            REFUSED.iter().map(|&number| (number, Vec::new())).collect();
        let asks_for = |flag: &libc::c_int| {
            let flag = u64::from(flag.unsigned_abs());
            let operator = SeccompCmpOp::MaskedEq(flag);
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, operator, flag).ok()?;
            SeccompRule::new(vec![condition]).ok()
        };
        rules.insert(libc::SYS_clone, NAMESPACES.iter().map(asks_for).collect::<Option<_>>()?);
        compiled(rules, libc::EPERM)
    };
    let hidden = || compiled(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS);
    let known = [refused(), hidden()].into_iter().flatten();
    known.chain(cfg!(target_arch = "x86_64").then(without_other_table)).collect()
}

/// x86-64 has a second table of the same calls, with other numbers (x32), which kernels may have
/// switched on. Nothing is built for it, so it is answered as by one that has not.
fn without_other_table() -> BpfProgram {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// The number is the first member of the kernel's `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const FIRST_OF_OTHERS: u32 = 0x4000_0000;
    let step = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    vec![
        step(LOAD_WORD, 0, NUMBER),
        step(JUMP_AT_LEAST, 1, FIRST_OF_OTHERS),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}

/// A filter that answers the calls of these rules with an error.
fn compiled(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: libc::c_int) -> Option<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into().ok()?;
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_filters_are_made_here() {
        let expected = match std::env::consts::ARCH {
            "x86_64" => 3,
            "aarch64" => 2,
            _ => 0,
        };
        assert_eq!(programs().len(), expected);
    }
}
