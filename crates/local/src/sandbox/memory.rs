//! How much memory an environment uses, read from `/proc`.
//!
//! Owns the measure behind `Max Memory Used`: the sum of the peak resident sizes of the
//! environment's processes. Pages that a forked child shares with its parent count twice.

/// The sum in KB over all descendants of a keeper, or nothing where `/proc` does not tell.
pub(super) fn peak_kb(keeper: i32) -> Option<u64> {
    let peak = |pid: i32| {
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        high_water_mark(&status).unwrap_or_default()
    };
    let sum = descendants(keeper)?.into_iter().map(peak).sum();
    (sum > 0).then_some(sum)
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

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_a_status_file() {
        assert_eq!(high_water_mark("Name:\tpython\nVmHWM:\t   10240 kB\nVmRSS:\t 1 kB\n"), Some(10240));
        assert_eq!(high_water_mark("Name:\tkthread\n"), None);
    }
}
