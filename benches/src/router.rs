//! The router's process: started with a configuration, looked at while it works, never left behind.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process;
use crate::programs::Program;

/// How often a fact is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longest wait for the socket.
const START: Duration = Duration::from_secs(60);
/// Longest wait for the end after SIGTERM, before it is killed.
const END: Duration = Duration::from_secs(60);

/// A running router. Dropped before it has ended, it is killed.
pub(crate) struct Router {
    child: Child,
    log: PathBuf,
}

impl Router {
    /// Starts the program, and waits until it takes connections at its socket if it is to have one.
    pub(crate) fn start(
        program: &Program,
        folder: &Path,
        configuration: &str,
        socket: Option<&Path>,
    ) -> Result<Router> {
        let (file, log) = (folder.join("fluent-bit.conf"), folder.join("router.log"));
        std::fs::write(&file, configuration).context("cannot write the configuration")?;
        let lines = File::create(&log).context("cannot write the router's log")?;
        let mut command = Command::new(&program.path);
        for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        let child = command
            .arg("-c")
            .arg(&file)
            .current_dir(folder)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(lines.try_clone().context("cannot write the router's log")?)
            .stderr(lines)
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        let router = Router { child, log };
        if let Some(socket) = socket {
            router.wait_until_listening(socket)?;
        }
        Ok(router)
    }

    fn wait_until_listening(&self, socket: &Path) -> Result<()> {
        let start = Instant::now();
        while UnixStream::connect(socket).is_err() {
            self.must_run()?;
            if start.elapsed() > START {
                bail!("it does not listen:\n{}", self.last_lines());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended. It is not reaped, so its CPU time can still be read.
    pub(crate) fn has_ended(&self) -> bool {
        process::has_ended(self.pid())
    }

    /// An error with its last words, if it has ended.
    pub(crate) fn must_run(&self) -> Result<()> {
        if self.has_ended() {
            bail!("it has ended by itself:\n{}", self.last_lines());
        }
        Ok(())
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) -> Result<()> {
        let id = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("it has no process id")?;
        kill_process(id, Signal::TERM).context("cannot send SIGTERM to it")
    }

    /// Asks it to end and waits until it has; one that takes too long is killed when it is dropped.
    pub(crate) fn stop(&self) -> Result<()> {
        if self.has_ended() {
            return Ok(());
        }
        self.terminate()?;
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < END {
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it logged.
    pub(crate) fn last_lines(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what they are for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
