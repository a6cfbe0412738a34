//! One run: start everything, play the load, wait until all of it is delivered, read the meters.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::http::get_json;
use crate::load::{Load, Volume, Written};
use crate::process;
use crate::programs::Program;
use crate::router::Router;
use crate::scenario::{Output, Places, Scenario, Setup, Work};
use crate::sink::{Arrived, Sink};

/// How often it is asked what has arrived. Times are as exact as this.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// When nothing has arrived for so long, the rest is counted as lost. Longer than a first retry takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// When a router has used no CPU for so long, it has nothing more to do.
const AT_REST: Duration = Duration::from_secs(4);
/// Time for a router that has just started to come to rest.
const SETTLE: Duration = Duration::from_secs(3);

/// What the command line says of amounts.
#[derive(Debug, Clone)]
pub(crate) struct Amount {
    /// Bytes for runs at full speed, instead of the scenario's own number.
    pub(crate) bytes: Option<u64>,
    /// Length of all other runs.
    pub(crate) time: Duration,
    /// Whether folders are kept.
    pub(crate) keep: bool,
}

/// What one run came to.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// `ikada` or `peer`.
    pub(crate) program: &'static str,
    /// Which pair of runs it belongs to.
    pub(crate) pair: u32,
    /// Records written.
    pub(crate) records: u64,
    /// Their bytes as MessagePack.
    pub(crate) fed_bytes: u64,
    /// From the first byte until everything was delivered; for `null`, until everything was read.
    pub(crate) wall_seconds: f64,
    /// From the first byte until the router had read the last one.
    pub(crate) read_seconds: f64,
    /// Of the router, until it had delivered everything.
    pub(crate) cpu_seconds: f64,
    /// Of the local AWS.
    pub(crate) sink_cpu_seconds: f64,
    /// Of this process.
    pub(crate) load_cpu_seconds: f64,
    /// Of everything else on the machine.
    pub(crate) other_cpu_seconds: f64,
    /// How long these times of CPU were added up.
    pub(crate) metered_seconds: f64,
    /// Peak resident memory; for `idle`, resident memory at the end.
    pub(crate) memory_bytes: u64,
    /// Records that never arrived; unknown where the router does not tell.
    pub(crate) lost: Option<u64>,
    /// Times a record arrived again.
    pub(crate) duplicated: Option<u64>,
    /// Times the router closed a connection under load.
    pub(crate) reconnects: u64,
    /// Times a second that a thread was woken up; for `idle` only.
    pub(crate) wakeups_per_second: Option<f64>,
}

/// Everything that runs, and the meters at its start.
struct Stage {
    // Dropped in this order: who writes ends before who reads, and the folder goes last.
    router: Router,
    sink: Option<Sink>,
    http_port: u16,
    folder: tempfile::TempDir,
    metered: Instant,
    load_at: f64,
    sink_at: f64,
    router_at: f64,
    machine_at: f64,
}

/// Runs a scenario once.
pub(crate) fn run(
    scenario: &'static Scenario,
    program: &Program,
    localaws: &Path,
    pair: u32,
    amount: &Amount,
) -> Result<Measured> {
    let base = Measured { scenario: scenario.name, program: program.name, pair, ..Measured::default() };
    let (shape, volume) = match scenario.work {
        Work::Idle => return idle(base, scenario, program, localaws, amount),
        Work::Full(shape, megabytes) => (shape, Volume::Bytes(amount.bytes.unwrap_or(megabytes * 1_000_000))),
        Work::Paced(shape, megabytes) => (shape, Volume::Rate(megabytes * 1_000_000, amount.time)),
    };
    let mut load = Load::new(shape);
    let stage = Stage::set(scenario, program, localaws, amount.keep)?;
    let start = Instant::now();
    let written =
        load.play(&stage.folder.path().join(SOCKET), volume).with_context(|| stage.router.last_lines())?;
    let taken = start.elapsed();
    let mut memory = process::peak_memory(stage.router.pid());
    let base = Measured {
        records: written.records,
        fed_bytes: written.bytes,
        reconnects: written.reconnects,
        read_seconds: taken.as_secs_f64(),
        ..base
    };
    let delivered = match &stage.sink {
        None => stage.wait_until_processed(scenario, &written, taken)?,
        Some(sink) => {
            // Only at its end does Fluent Bit complete objects that are not full.
            if matches!(scenario.output, Output::S3(_)) {
                memory = memory.max(process::peak_memory(stage.router.pid()));
                stage.router.terminate()?;
            }
            stage.wait_until_delivered(sink, &written, start, &mut memory)?
        }
    };
    let memory_bytes = memory.max(process::peak_memory(stage.router.pid()));
    let measured = Measured {
        wall_seconds: delivered.after.as_secs_f64(),
        lost: delivered.arrived.map(|arrived| written.records.saturating_sub(arrived.distinct)),
        duplicated: stage.sink.as_ref().and(delivered.arrived).map(|arrived| arrived.duplicated),
        memory_bytes,
        ..stage.read_meters(base)?
    };
    stage.end()?;
    Ok(measured)
}

/// Looks at a router that has nothing to do.
fn idle(
    base: Measured,
    scenario: &'static Scenario,
    program: &Program,
    localaws: &Path,
    amount: &Amount,
) -> Result<Measured> {
    let mut stage = Stage::set(scenario, program, localaws, amount.keep)?;
    std::thread::sleep(SETTLE);
    stage.start_meters()?;
    let pid = stage.router.pid();
    let (start, before) = (Instant::now(), process::sleeps(pid)?);
    std::thread::sleep(amount.time);
    stage.router.must_run()?;
    let wall_seconds = start.elapsed().as_secs_f64();
    let wakeups = process::sleeps(pid)?.saturating_sub(before) as f64 / wall_seconds;
    let base = Measured {
        wall_seconds,
        memory_bytes: process::memory(pid),
        wakeups_per_second: Some(wakeups),
        ..base
    };
    let measured = stage.read_meters(base)?;
    stage.end()?;
    Ok(measured)
}

/// The end of a delivery.
struct Delivered {
    after: Duration,
    arrived: Option<Arrived>,
}

/// The unix socket in the folder.
const SOCKET: &str = "fluent.sock";

impl Stage {
    fn set(scenario: &Scenario, program: &Program, localaws: &Path, keep: bool) -> Result<Stage> {
        let mut folder = tempfile::Builder::new().prefix("ikada-bench-").tempdir()?;
        folder.disable_cleanup(keep);
        let ca_file = folder.path().join("ca.pem");
        let sink = match scenario.output {
            Output::Null => None,
            _ => Some(Sink::start(localaws, &ca_file)?),
        };
        let socket = folder.path().join(SOCKET);
        let http_port = free_port()?;
        let places = Places {
            socket: &socket,
            store: &folder.path().join("store"),
            http_port,
            ca_file: &ca_file,
            aws_port: sink.as_ref().map_or(0, Sink::https_port),
        };
        let router = Router::start(program, folder.path(), &scenario.configuration(&places), &socket)?;
        if keep {
            eprintln!("kept: {}", folder.path().display());
        }
        let mut stage = Stage {
            router,
            sink,
            http_port,
            folder,
            metered: Instant::now(),
            load_at: 0.0,
            sink_at: 0.0,
            router_at: 0.0,
            machine_at: 0.0,
        };
        stage.start_meters()?;
        Ok(stage)
    }

    fn start_meters(&mut self) -> Result<()> {
        self.metered = Instant::now();
        self.load_at = process::cpu_seconds(std::process::id())?;
        self.sink_at = self.sink_cpu()?;
        self.router_at = process::cpu_seconds(self.router.pid())?;
        self.machine_at = process::machine_cpu_seconds();
        Ok(())
    }

    fn read_meters(&self, base: Measured) -> Result<Measured> {
        let machine = process::machine_cpu_seconds() - self.machine_at;
        let router = process::cpu_seconds(self.router.pid())? - self.router_at;
        let sink = self.sink_cpu()? - self.sink_at;
        let load = process::cpu_seconds(std::process::id())? - self.load_at;
        Ok(Measured {
            cpu_seconds: router,
            sink_cpu_seconds: sink,
            load_cpu_seconds: load,
            other_cpu_seconds: (machine - router - sink - load).max(0.0),
            metered_seconds: self.metered.elapsed().as_secs_f64(),
            ..base
        })
    }

    fn sink_cpu(&self) -> Result<f64> {
        self.sink.as_ref().map_or(Ok(0.0), |sink| process::cpu_seconds(sink.pid()))
    }

    /// Waits until every record has arrived, or nothing more does.
    fn wait_until_delivered(
        &self,
        sink: &Sink,
        written: &Written,
        start: Instant,
        memory: &mut u64,
    ) -> Result<Delivered> {
        let mut last = (start.elapsed(), sink.arrived()?);
        loop {
            let is_over = last.1.distinct >= written.records || start.elapsed() > last.0 + PATIENCE;
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
    fn wait_until_processed(
        &self,
        scenario: &Scenario,
        written: &Written,
        after: Duration,
    ) -> Result<Delivered> {
        let mut last = (Instant::now(), process::cpu_seconds(self.router.pid())?);
        loop {
            let processed = (scenario.setup == Setup::Tuned).then(|| self.processed()).flatten();
            let is_over = processed.is_some_and(|count| count >= written.records);
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

    fn end(self) -> Result<()> {
        let Stage { router, sink, folder, .. } = self;
        router.stop()?;
        drop(sink);
        drop(folder);
        Ok(())
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}
