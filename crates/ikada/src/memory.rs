//! How much memory the queues may take.

use std::fs;

/// The queues of all outputs together take at most this by default, however large the machine is.
const MOST: usize = 256 << 20;

/// Half of the container's memory limit, or of the machine's memory, but no more than 256 MiB.
pub(crate) fn budget() -> usize {
    let limits = [
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok(),
        fs::read_to_string("/sys/fs/cgroup/memory/memory.limit_in_bytes").ok(),
    ];
    let cgroup = limits.into_iter().flatten().filter_map(|text| text.trim().parse::<usize>().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    cgroup.chain(machine).map(|bytes| bytes / 2).min().unwrap_or(MOST).min(MOST)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_memory_is_read_from_meminfo() {
        assert_eq!(total("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2048 * 1024));
        assert_eq!(total("nothing"), None);
        assert!(budget() <= MOST);
    }
}
