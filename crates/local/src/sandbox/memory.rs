//! How much memory an environment uses, read from `/proc`.
//!
//! Owns the measure behind `Max Memory Used`: the sum of the peak resident sizes of the
//! environment's processes. Pages that a forked child shares with its parent count twice.

/// The sum in KB over all descendants of a keeper, or nothing where `/proc` does not tell.
pub(super) fn peak_kb(keeper: i32) -> Option<u64> {
    let mut waiting = children(keeper)?;
    let mut sum = 0;
    while let Some(pid) = waiting.pop() {
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum += high_water_mark(&status).unwrap_or_default();
        waiting.extend(children(pid).unwrap_or_default());
    }
    (sum > 0).then_some(sum)
}

fn children(pid: i32) -> Option<Vec<i32>> {
    let list = fs_err::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
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
