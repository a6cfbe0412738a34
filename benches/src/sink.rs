//! The local AWS as a process of its own, and what it says has arrived.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use ikada_localaws::{Report, SequenceReport};
use serde::Deserialize;

use crate::http::get_json;

/// A running local AWS; killed when it is dropped.
pub(crate) struct Sink {
    child: Child,
    ports: Ports,
}

#[derive(Debug, Deserialize)]
struct Ports {
    https_port: u16,
    admin_port: u16,
}

/// What has arrived, by the marks in the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Different records, at each service for itself.
    pub(crate) distinct: u64,
    /// Times a record came again.
    pub(crate) duplicated: u64,
}

impl Sink {
    /// Starts it; it answers when this returns. Its certificate is written to `ca_file`.
    pub(crate) fn start(program: &Path, ca_file: &Path) -> Result<Sink> {
        let mut child = Command::new(program)
            .args(["--keep", "none", "--ca-file"])
            .arg(ca_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take();
        let mut sink = Sink { child, ports: Ports { https_port: 0, admin_port: 0 } };
        let mut line = String::new();
        BufReader::new(stdout.context("the local AWS has no standard output")?).read_line(&mut line)?;
        sink.ports = serde_json::from_str(&line).context("the local AWS does not tell its ports")?;
        Ok(sink)
    }

    /// Where the services listen, with TLS.
    pub(crate) fn https_port(&self) -> u16 {
        self.ports.https_port
    }

    /// Its process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks what has arrived.
    pub(crate) fn arrived(&self) -> Result<Arrived> {
        let add = |sum: Arrived, numbers: &SequenceReport| Arrived {
            distinct: sum.distinct + numbers.distinct,
            duplicated: sum.duplicated + numbers.duplicated,
        };
        Ok(self.clients()?.iter().fold(Arrived::default(), add))
    }

    /// The same, by service and client.
    pub(crate) fn clients(&self) -> Result<Vec<SequenceReport>> {
        let report: Report = get_json(self.ports.admin_port, "/_localaws/report")?;
        Ok(report.clients)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what they are for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
