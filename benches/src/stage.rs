//! Everything that one run needs: the router, the services it delivers to, and the meters.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::configuration::{self, Places};
use crate::http::get_json;
use crate::lines::{self, Lines};
use crate::process;
use crate::router::Router;
use crate::run::{Job, Measured};
use crate::scenario::{Setup, Work};
use crate::sink::{Arrived, Sink};

/// How often it is asked what has arrived. Times are as exact as this.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often it is looked how much of a file was read.
const LOOK_AT_FILE: Duration = Duration::from_millis(2);
/// When a file was read and nothing more is for so long, its end is reached.
const AT_END: Duration = Duration::from_millis(250);
/// Bytes that are read meanwhile without a file: timers, wake-ups.
const NOT_A_FILE: u64 = 1_000;
/// When nothing has arrived for so long, the rest is counted as lost. Longer than a first retry takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// When a router has used no CPU for so long, it has nothing more to do.
const AT_REST: Duration = Duration::from_secs(4);

/// Everything that runs, and the meters at its start.
pub(crate) struct Stage {
    // Dropped in this order: who writes ends before who reads, and the folder goes last.
    pub(crate) router: Router,
    pub(crate) sink: Option<Sink>,
    http_port: u16,
    folder: tempfile::TempDir,
    /// When the router was started.
    pub(crate) began: Instant,
    metered: Instant,
    at: Readings,
}

/// CPU seconds so far.
#[derive(Debug, Clone, Copy, Default)]
struct Readings {
    load: f64,
    sink: f64,
    router: f64,
    machine: f64,
}

/// The end of a delivery.
pub(crate) struct Delivered {
    pub(crate) after: Duration,
    pub(crate) arrived: Option<Arrived>,
}

impl Stage {
    /// Starts the services and the router, and the meters: for a router that reads a file with its start, for others when it listens.
    pub(crate) fn set(job: &Job<'_>, dead_port: Option<u16>) -> Result<Stage> {
        let scenario = job.scenario;
        let mut folder = tempfile::Builder::new().prefix("ikada-bench-").tempdir()?;
        folder.disable_cleanup(job.amount.keep);
        let ca_file = folder.path().join("ca.pem");
        let sink = scenario.has_services().then(|| Sink::start(job.localaws, &ca_file)).transpose()?;
        let socket = folder.path().join(SOCKET);
        let http_port = free_port()?;
        let places = Places {
            socket: &socket,
            file: &lines::path_of(job.file),
            store: &folder.path().join("store"),
            http_port,
            ca_file: &ca_file,
            aws_port: sink.as_ref().map_or(0, Sink::https_port),
            dead_port,
        };
        for (name, text) in configuration::files(scenario) {
            std::fs::write(folder.path().join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        let configuration = configuration::text(scenario, &places);
        let reads_file = matches!(scenario.work, Work::File(..));
        let at = Readings::take(None, sink.as_ref())?;
        let began = Instant::now();
        let router =
            Router::start(job.program, folder.path(), &configuration, (!reads_file).then_some(&*socket))?;
        if job.amount.keep {
            eprintln!("kept: {}", folder.path().display());
        }
        let mut stage = Stage { router, sink, http_port, folder, began, metered: began, at };
        if !reads_file {
            stage.start_meters()?;
        }
        Ok(stage)
    }

    /// The unix socket that the router listens at.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Sets all meters to 0.
    pub(crate) fn start_meters(&mut self) -> Result<()> {
        self.metered = Instant::now();
        self.at = Readings::take(Some(&self.router), self.sink.as_ref())?;
        Ok(())
    }

    /// What the meters show, beside what is known already.
    pub(crate) fn read_meters(&self, base: Measured) -> Result<Measured> {
        let now = Readings::take(Some(&self.router), self.sink.as_ref())?;
        let (router, sink, load) =
            (now.router - self.at.router, now.sink - self.at.sink, now.load - self.at.load);
        let machine = now.machine - self.at.machine;
        Ok(Measured {
            cpu_seconds: router,
            sink_cpu_seconds: sink,
            load_cpu_seconds: load,
            other_cpu_seconds: (machine - router - sink - load).max(0.0),
            metered_seconds: self.metered.elapsed().as_secs_f64(),
            ..base
        })
    }

    /// Waits until the router has read a file; returns when that was. `memory` is the most that it has taken meanwhile.
    ///
    /// The kernel counts all bytes that a process reads, those of its start too, so the count alone runs ahead of the file: it has to have
    /// come to rest, and where the process reads on from a position, that has to be the end.
    pub(crate) fn wait_until_read(&self, file: &Lines, memory: &mut u64) -> Result<Instant> {
        let (pid, path) = (self.router.pid(), file.path());
        let mut last = (Instant::now(), 0);
        loop {
            let read = process::bytes_read(pid);
            if read > last.1 + NOT_A_FILE {
                last = (Instant::now(), read);
            }
            let rests = last.0.elapsed();
            let is_whole = read >= file.bytes
                && process::position(pid, &path).is_none_or(|position| position >= file.bytes);
            if is_whole && rests > AT_END {
                return Ok(last.0);
            }
            self.router.must_run()?;
            if rests > PATIENCE {
                bail!(
                    "it does not read on after {read} of {} bytes:\n{}",
                    file.bytes,
                    self.router.last_lines()
                );
            }
            *memory = process::peak_memory(pid).max(*memory);
            std::thread::sleep(LOOK_AT_FILE);
        }
    }

    /// Waits until so many records have arrived, or nothing more does.
    pub(crate) fn wait_until_delivered(
        &self,
        sink: &Sink,
        expected: u64,
        start: Instant,
        memory: &mut u64,
    ) -> Result<Delivered> {
        let mut last = (start.elapsed(), sink.arrived()?);
        loop {
            let is_over = last.1.distinct >= expected || start.elapsed() > last.0 + PATIENCE;
            if is_over {
                return Ok(Delivered { after: last.0, arrived: Some(last.1) });
            }
            *memory = process::peak_memory(self.router.pid()).max(*memory);
            std::thread::sleep(LOOK_AGAIN);
            let arrived = sink.arrived()?;
            if arrived != last.1 {
                last = (start.elapsed(), arrived);
            }
        }
    }

    /// Waits until the router says that it has processed every record, or does nothing any more. The time is that at which it had read
    /// everything: what it then says of itself lags by up to two seconds, and throwing away takes none.
    pub(crate) fn wait_until_processed(
        &self,
        setup: Setup,
        expected: u64,
        after: Duration,
    ) -> Result<Delivered> {
        let mut last = (Instant::now(), process::cpu_seconds(self.router.pid())?);
        loop {
            let processed = (setup == Setup::Tuned).then(|| self.processed()).flatten();
            let is_over = processed.is_some_and(|count| count >= expected);
            if is_over || last.0.elapsed() > AT_REST {
                let arrived = processed.map(|distinct| Arrived { distinct, duplicated: 0 });
                return Ok(Delivered { after, arrived });
            }
            self.router.must_run()?;
            std::thread::sleep(LOOK_AGAIN * 5);
            let used = process::cpu_seconds(self.router.pid())?;
            // Answering these very questions takes a tick now and then.
            if used > last.1 + 0.02 {
                last = (Instant::now(), used);
            }
        }
    }

    /// Records that the router says its outputs have processed.
    fn processed(&self) -> Option<u64> {
        let metrics: Value = get_json(self.http_port, "/api/v1/metrics").ok()?;
        let outputs = metrics.get("output")?.as_object()?;
        outputs.values().map(|output| output.get("proc_records")?.as_u64()).sum()
    }

    /// Ends everything; returns what the router logged.
    pub(crate) fn end(self) -> Result<String> {
        let Stage { router, sink, folder, .. } = self;
        router.stop()?;
        let log = router.log();
        drop(router);
        drop(sink);
        drop(folder);
        Ok(log)
    }
}

impl Readings {
    /// Reads what there is; a router that is yet to start has used nothing.
    fn take(router: Option<&Router>, sink: Option<&Sink>) -> Result<Readings> {
        let of = |pid: Option<u32>| pid.map_or(Ok(0.0), process::cpu_seconds);
        Ok(Readings {
            load: of(Some(std::process::id()))?,
            sink: of(sink.map(Sink::pid))?,
            router: of(router.map(Router::pid))?,
            machine: process::machine_cpu_seconds(),
        })
    }
}

/// The unix socket in the folder.
const SOCKET: &str = "fluent.sock";

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}
