//! A file system in memory that a test may fill, and make read-only.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::require::{search_path, skip};

/// A small file system. Unmounted when it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of this size, as `1m`, at a folder that is made for it; `None`, with one line that says why, where that cannot be
    /// done.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let options = format!("size={size},mode=0755");
        match run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]) {
            Ok(()) => Some(Self(at.to_owned())),
            Err(reason) => {
                skip("mount", &format!("no file system can be mounted here: {reason}"));
                None
            }
        }
    }

    /// Lets it be written again, or not any more.
    pub fn set_read_only(&self, read_only: bool) {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        // Whoever is just writing keeps it busy for a moment.
        crate::wait_for("the remount", || run("mount", &["-o", how, self.0.to_str().unwrap()]).is_ok());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(run("umount", &["-l", self.0.to_str().unwrap()]));
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).env("PATH", search_path()).args(args).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
