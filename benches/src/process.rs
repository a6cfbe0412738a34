//! What the kernel knows of a process, and of the machine.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Ticks of a second in `/proc` (USER_HZ, the same on every Linux that Ikada runs on; proc(5)).
const TICKS: f64 = 100.0;

/// CPU seconds that a process, its ended threads and its children that were waited for have used. Works until it is reaped.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(pid, "stat")?;
    cpu_of_stat(&stat).with_context(|| format!("/proc/{pid}/stat is not as expected"))
}

/// Whether a process has ended, reaped or not.
pub(crate) fn has_ended(pid: u32) -> bool {
    let Ok(stat) = read(pid, "stat") else { return true };
    fields(&stat).next().is_none_or(|state| matches!(state, "Z" | "X"))
}

/// Peak of the resident memory, in bytes; 0 once the process has ended.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    read(pid, "status").ok().and_then(|text| status_number(&text, "VmHWM")).unwrap_or_default() * 1024
}

/// Resident memory, in bytes; 0 once the process has ended.
pub(crate) fn memory(pid: u32) -> u64 {
    read(pid, "status").ok().and_then(|text| status_number(&text, "VmRSS")).unwrap_or_default() * 1024
}

/// Bytes that a process has read, from files and sockets alike (`rchar`, proc(5)).
pub(crate) fn bytes_read(pid: u32) -> u64 {
    read(pid, "io").ok().and_then(|text| status_number(&text, "rchar")).unwrap_or_default()
}

/// How far a process has read an open file with `read`; `None` if it has not opened it, or reads at positions of its own.
pub(crate) fn position(pid: u32, file: &Path) -> Option<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let numbers = open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file));
    let position = |entry: fs::DirEntry| {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().display())).ok()?;
        status_number(&info, "pos")
    };
    numbers.filter_map(position).max().filter(|position| *position > 0)
}

/// How often threads of a process went to sleep by themselves, and so were woken up; threads that are alive only.
pub(crate) fn sleeps(pid: u32) -> Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
    let of_task = |path: std::path::PathBuf| {
        let status = fs::read_to_string(path.join("status")).ok()?;
        status_number(&status, "voluntary_ctxt_switches")
    };
    Ok(tasks.flatten().filter_map(|task| of_task(task.path())).sum())
}

/// CPU seconds that the whole machine has used since it started.
pub(crate) fn machine_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().next().map(machine_cpu).unwrap_or_default()
}

/// The machine in a few words: processor, number of them, kernel.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} processors, Linux {}", kernel.trim())
}

fn read(pid: u32, what: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{what}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

/// The fields behind the name, which may hold blanks and brackets itself: state, parent, …
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace()
}

/// Fields 14 to 17 of the file: utime, stime, cutime, cstime.
fn cpu_of_stat(stat: &str) -> Option<f64> {
    let times: Vec<f64> = fields(stat).skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum::<f64>() / TICKS)
}

/// User, nice, system; then neither idle nor waiting; interrupts, soft interrupts.
fn machine_cpu(line: &str) -> f64 {
    let times: Vec<f64> =
        line.split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|&at| times.get(at)).sum::<f64>() / TICKS
}

fn status_number(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "17 (a) b) S 1 17 17 0 -1 4194304 100 0 0 0 250 50 10 5 20 0 3 0 100 0 0";
        assert_eq!(cpu_of_stat(stat), Some(3.15));
        assert_eq!(fields(stat).next(), Some("S"));
        assert_eq!(cpu_of_stat("17 (a) S 1"), None);
    }

    #[test]
    fn idle_and_waiting_are_not_use() {
        assert_eq!(machine_cpu("cpu  100 10 50 9999 777 20 30 0 0 0"), 2.1);
    }

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let status = "VmHWM:\t    2048 kB\nnonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t5\n";
        assert_eq!(status_number(status, "VmHWM"), Some(2048));
        assert_eq!(status_number(status, "voluntary_ctxt_switches"), Some(5));
        assert_eq!(status_number(status, "VmRSS"), None);
    }

    #[test]
    fn a_position_is_that_of_the_file_and_none_where_nothing_was_read() {
        use std::io::Read;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("lines");
        fs::write(&path, [b'x'; 100]).unwrap();
        let mut file = fs::File::open(&path).unwrap();
        assert_eq!(position(std::process::id(), &path), None);
        file.read_exact(&mut [0; 40]).unwrap();
        assert_eq!(position(std::process::id(), &path), Some(40));
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let pid = std::process::id();
        assert!(!has_ended(pid));
        assert!(peak_memory(pid) >= memory(pid) && memory(pid) > 0);
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(sleeps(pid).is_ok());
        assert!(bytes_read(pid) > 0);
        assert!(machine_cpu_seconds() > 0.0);
    }
}
