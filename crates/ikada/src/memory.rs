//! How much memory the queues may take.

use std::fs;
use std::path::{Path, PathBuf};

/// The queues of all outputs together take at most this by default, however large the machine is.
const MOST: usize = 256 << 20;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Half of the smallest memory limit of the program's control groups, or of the machine's memory, but no more than 256 MiB.
pub(crate) fn budget() -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let limit = limit(Path::new(ROOT), &groups);
    limit.into_iter().chain(machine).map(|bytes| bytes / 2).min().unwrap_or(MOST).min(MOST)
}

/// The smallest limit on the way from the program's groups up to the root, in bytes. `groups` is the text of `/proc/self/cgroup`.
///
/// A group that is not there is passed over: inside a container its own group is mounted as the root, whatever its path outside is.
fn limit(root: &Path, groups: &str) -> Option<usize> {
    let hierarchies = groups.lines().filter_map(|line| hierarchy(root, line));
    let files = hierarchies.flat_map(|(base, path, file)| {
        let group = base.join(path.trim_start_matches('/'));
        let up = group.ancestors().take_while(|dir| dir.starts_with(&base)).map(|dir| dir.join(file));
        up.collect::<Vec<_>>()
    });
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// Of a line `number:controllers:path`, the folder that the path begins at, the path, and the name of the file with the limit.
///
/// Version 2 has one hierarchy, whose controllers are not named; version 1 has one for memory.
fn hierarchy<'a>(root: &Path, line: &'a str) -> Option<(PathBuf, &'a str, &'static str)> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    if controllers.is_empty() {
        return Some((root.to_owned(), path, "memory.max"));
    }
    let is_memory = controllers.split(',').any(|controller| controller == "memory");
    is_memory.then(|| (root.join("memory"), path, "memory.limit_in_bytes"))
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

    /// A tree of groups with limits.
    fn tree(limits: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in limits {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let root = tree(&[
            ("task/memory.max", "536870912\n"),
            ("task/router/memory.max", "max\n"),
            ("other/memory.max", "1000\n"),
        ]);
        assert_eq!(limit(root.path(), "0::/task/router\n"), Some(512 << 20));
        assert_eq!(limit(root.path(), "0::/\n"), None);
    }

    #[test]
    fn the_first_version_of_control_groups_has_its_own_folder_for_memory() {
        let root = tree(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/a/b/memory.limit_in_bytes", "67108864\n"),
        ]);
        let groups = "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/a\n0::/\n";
        assert_eq!(limit(root.path(), groups), Some(64 << 20));
    }

    #[test]
    fn inside_a_container_its_group_is_the_root_whatever_its_path_outside() {
        let root = tree(&[("memory/memory.limit_in_bytes", "67108864\n")]);
        assert_eq!(limit(root.path(), "4:memory:/docker/0123\n"), Some(64 << 20));
        let root = tree(&[("memory.max", "67108864\n")]);
        assert_eq!(limit(root.path(), "0::/../system.slice\n"), Some(64 << 20));
    }

    #[test]
    fn without_groups_there_is_no_limit() {
        let root = tree(&[]);
        assert_eq!(limit(root.path(), ""), None);
        assert_eq!(limit(root.path(), "no colons\n4:memory\n0::/x\n"), None);
    }
}
