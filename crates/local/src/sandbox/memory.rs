//! How much memory an environment uses, read from `/proc`.
//!
//! Owns the measure behind `Max Memory Used`: the sum of the peak resident sizes of the
//! environment's processes. Pages that a forked child shares with its parent count twice.

/// Memory of all descendants of a keeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// The most that each has ever held, added up, in KB.
    pub(super) peak_kb: u64,
    /// What they hold now that is neither a file's nor shared, in KB.
    pub(super) own_kb: u64,
}

/// The sum over all descendants of a keeper, or nothing where `/proc` does not tell.
pub(super) fn usage(keeper: i32) -> Option<Usage> {
    let mut sum = Usage::default();
    for pid in descendants(keeper)? {
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.peak_kb += field(&status, "VmHWM:").unwrap_or_default();
        sum.own_kb += field(&status, "RssAnon:").unwrap_or_default();
    }
    (sum.peak_kb > 0).then_some(sum)
}

/// What all descendants of a keeper hold of their own, in KB, with what several of them share shared
/// out among them; nothing where `/proc` does not tell. Costs the kernel a walk through their memory.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has cells that ask"))]
pub(super) fn shared_out(keeper: i32) -> Option<u64> {
    let own = |pid| field(&fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss_Anon:");
    descendants(keeper)?.into_iter().filter_map(own).reduce(|sum, kb| sum + kb)
}

/// The processes that a keeper and its descendants have started.
pub(super) fn descendants(keeper: i32) -> Option<Vec<i32>> {
    let mut all = children(keeper)?;
    let mut looked_at = 0;
    while let Some(&pid) = all.get(looked_at) {
        all.extend(children(pid).unwrap_or_default());
        looked_at += 1;
    }
    Some(all)
}

/// A child belongs to the thread that started it.
fn children(pid: i32) -> Option<Vec<i32>> {
    let mut all = Vec::new();
    for thread in fs_err::read_dir(format!("/proc/{pid}/task")).ok()?.filter_map(Result::ok) {
        match fs_err::read_to_string(thread.path().join("children")) {
            Ok(list) => all.extend(list.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            // A kernel without these lists; a thread may end meanwhile, the first one does not.
            Err(_) if thread.file_name() == pid.to_string().as_str() => return None,
            Err(_) => {}
        }
    }
    Some(all)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_a_status_file() {
        let status = "Name:\tpython\nVmHWM:\t   10240 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(field(status, "VmHWM:"), Some(10240));
        assert_eq!(field(status, "RssAnon:"), Some(1));
        assert_eq!(field("Name:\tkthread\n", "VmHWM:"), None);
    }
}
