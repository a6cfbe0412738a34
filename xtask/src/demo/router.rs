//! The router's process: started with a configuration, asked to stop, never left behind.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often a fact is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running router. Dropped before it has ended, it is killed.
pub(crate) struct Router {
    child: Child,
    log: PathBuf,
}

impl Router {
    /// Starts `program` with the configuration; its log lines go to `log`. Only the keys of the fake AWS are told to it.
    pub(crate) fn start(program: &Path, configuration: &Path, log: &Path) -> Result<Router> {
        let lines = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        let child = command
            .arg("-c")
            .arg(configuration)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(lines)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Router { child, log: log.to_owned() })
    }

    /// Waits until the unix socket and the health check's port take connections.
    pub(crate) fn wait_until_listening(
        &mut self,
        socket: &Path,
        health_port: u16,
        patience: Duration,
    ) -> Result<()> {
        let mut left = patience;
        while UnixStream::connect(socket).is_err() || TcpStream::connect(("127.0.0.1", health_port)).is_err()
        {
            if let Some(status) = self.child.try_wait()? {
                bail!("the router ended at its start ({status}):\n{}", self.last_lines(20));
            }
            left = self
                .sleep(left)
                .with_context(|| format!("the router does not listen:\n{}", self.last_lines(20)))?;
        }
        Ok(())
    }

    /// Says what ECS says at the end of a task.
    pub(crate) fn terminate(&self) -> Result<()> {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("the router has no process id")?;
        kill_process(id, Signal::TERM).context("cannot send SIGTERM to the router")
    }

    /// Waits for the end; `meanwhile` is called again and again.
    pub(crate) fn wait(&mut self, patience: Duration, mut meanwhile: impl FnMut()) -> Result<ExitStatus> {
        let mut left = patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            meanwhile();
            left = self.sleep(left).context("the router does not end")?;
        }
    }

    /// Whether it has ended already.
    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The end of what it logged.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    fn sleep(&self, left: Duration) -> Option<Duration> {
        std::thread::sleep(LOOK_AGAIN);
        left.checked_sub(LOOK_AGAIN)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what they are for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
