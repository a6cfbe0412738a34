//! What the program says of itself at the end, and what the system says of it meanwhile.

use std::path::Path;

use crate::Router;

/// The last line of an instance: its numbers by name, as `sent=1, unsent=0, dropped=0`.
#[derive(Debug)]
pub struct Books(String);

impl Books {
    /// The last such line of the instance with this name, as `null.0`.
    ///
    /// # Panics
    /// There is none.
    pub fn of(log: &str, name: &str) -> Self {
        let end = format!(":{name}] ");
        let is_its = |line: &&str| line.contains(&end) && line.contains("unsent=");
        Self(log.lines().rev().find(is_its).unwrap_or_else(|| panic!("no books of {name}")).to_owned())
    }

    /// A number; 0 if the line does not tell it.
    pub fn number(&self, name: &str) -> u64 {
        let (_, said) = self.0.rsplit_once("] ").unwrap();
        let number = said.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        number.map_or(0, |number| number.parse().unwrap())
    }

    /// Entries sent, unsent and dropped by an output.
    pub fn ends(&self) -> (u64, u64, u64) {
        (self.number("sent"), self.number("unsent"), self.number("dropped"))
    }
}

/// Kilobytes that a field of `/proc/PID/status` tells of the program, as `VmHWM`; 0 once it is gone.
pub fn kilobytes(router: &Router, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", router.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

/// A number from the environment, for tests that run longer where somebody wants them to.
pub fn from_environment(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Entries in the chunk files below a `storage.path`.
pub fn on_disk(store: &Path) -> u64 {
    let outputs = std::fs::read_dir(store.join("outputs")).into_iter().flatten().flatten();
    let files = outputs.flat_map(|output| std::fs::read_dir(output.path()).into_iter().flatten().flatten());
    let whole = |name: &String| !name.starts_with('.');
    let entries = |name: String| {
        Some(name).filter(whole)?.strip_suffix(".chunk")?.split_once('-')?.1.parse::<u64>().ok()
    };
    files.filter_map(|file| entries(file.file_name().into_string().ok()?)).sum()
}
