//! A control group that bounds the memory of a program under test, as a container's does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::require::skip;

/// A control group of the test's own; removed when it is dropped.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    is_first: bool,
}

impl Cgroup {
    /// A group whose processes may take `bytes` together, and nothing where the machine does not let one be made.
    ///
    /// # Panics
    /// It cannot be made, but `IKADA_TEST_REQUIRE` names `cgroup`.
    pub fn bounded(bytes: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let made =
            places(&groups).into_iter().find_map(|(parent, is_first)| Self::below(&parent, is_first, bytes));
        if made.is_none() {
            skip("cgroup", "control groups of memory need root and a writable /sys/fs/cgroup");
        }
        made
    }

    fn below(parent: &Path, is_first: bool, bytes: u64) -> Option<Self> {
        let dir = parent.join(format!("ikada-test-{}-{bytes}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        let group = Self { dir, is_first };
        fs::write(group.file("memory.limit_in_bytes", "memory.max"), bytes.to_string()).ok()?;
        // Without it, what does not fit would go to a swap file, if there is one; a machine without the file counts none.
        let swap = fs::write(
            group.file("memory.memsw.limit_in_bytes", "memory.swap.max"),
            if is_first { bytes.to_string() } else { "0".to_owned() },
        );
        drop(swap);
        Some(group)
    }

    fn file(&self, first: &str, second: &str) -> PathBuf {
        self.dir.join(if self.is_first { first } else { second })
    }

    /// A command that enters the group and then becomes `program`.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.dir.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// The most that was taken at a time, in bytes, pages of files included.
    pub fn peak(&self) -> u64 {
        let text = fs::read_to_string(self.file("memory.max_usage_in_bytes", "memory.peak")).unwrap();
        text.trim().parse().unwrap()
    }

    /// How many processes were killed because the group's memory was used up.
    pub fn killed(&self) -> u64 {
        let text = fs::read_to_string(self.file("memory.oom_control", "memory.events")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It fails while a process is in it; what is left behind then is an empty group.
        drop(fs::remove_dir(&self.dir));
    }
}

/// Where a group may be made: below the test's own or at the top, in either version.
fn places(groups: &str) -> Vec<(PathBuf, bool)> {
    let own = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_start_matches('/');
        match controllers {
            "memory" => Some((Path::new("/sys/fs/cgroup/memory").join(path), true)),
            "" => Some((Path::new("/sys/fs/cgroup").join(path), false)),
            _ => None,
        }
    };
    let top = [("/sys/fs/cgroup/memory".into(), true), ("/sys/fs/cgroup".into(), false)];
    groups.lines().filter_map(own).chain(top).filter(|(dir, _)| dir.is_dir()).collect()
}
