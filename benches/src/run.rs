//! One run: start everything, play the load, wait until all of it is delivered, read the meters.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::isolation::{self, Latency};
use crate::lines::Lines;
use crate::load::{Load, Shape, Volume, Written};
use crate::process;
use crate::programs::Program;
use crate::scenario::{Scenario, Work};
use crate::soak::{self, Slope};
use crate::stage::Stage;

/// Time for a router that has just started to come to rest.
const SETTLE: Duration = Duration::from_secs(3);

/// What the command line says of amounts.
#[derive(Debug, Clone)]
pub(crate) struct Amount {
    /// Bytes for runs at full speed, instead of the scenario's own number.
    pub(crate) bytes: Option<u64>,
    /// Length of all other runs.
    pub(crate) time: Duration,
    /// Length of a soak.
    pub(crate) soak: Duration,
    /// Whether folders are kept.
    pub(crate) keep: bool,
}

impl Amount {
    /// Bytes for a run whose scenario asks for so many megabytes.
    pub(crate) fn bytes(&self, megabytes: u64) -> u64 {
        self.bytes.unwrap_or(megabytes * 1_000_000)
    }
}

/// One run of one program.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) scenario: &'static Scenario,
    pub(crate) program: &'a Program,
    /// The local AWS's program.
    pub(crate) localaws: &'a Path,
    /// Which pair of runs it belongs to.
    pub(crate) pair: u32,
    pub(crate) amount: &'a Amount,
    /// The file that is read, for a scenario that reads one.
    pub(crate) file: Option<&'a Lines>,
}

/// What one run came to.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// `ikada` or `peer`; `wc -l` beside them where a file is read.
    pub(crate) program: &'static str,
    /// Which pair of runs it belongs to.
    pub(crate) pair: u32,
    /// Records written.
    pub(crate) records: u64,
    /// Their bytes as MessagePack; of a file, its size.
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
    /// Records that never arrived, at each service for itself; unknown where the router does not tell.
    pub(crate) lost: Option<u64>,
    /// Times a record arrived again.
    pub(crate) duplicated: Option<u64>,
    /// Times the router closed a connection under load.
    pub(crate) reconnects: u64,
    /// Times a second that a thread was woken up; for `idle` only.
    pub(crate) wakeups_per_second: Option<f64>,
    /// How late records came without and with a dead output; for `isolation` only.
    pub(crate) latencies: Vec<Latency>,
    /// How the memory grew; for `soak` only.
    pub(crate) slope: Option<Slope>,
    /// Whether the router's books balanced, for `isolation` and `soak`; unknown where it has none.
    pub(crate) balanced: Option<bool>,
}

/// Runs a scenario once.
pub(crate) fn run(job: &Job<'_>) -> Result<Measured> {
    let base = Measured {
        scenario: job.scenario.name,
        program: job.program.name,
        pair: job.pair,
        ..Measured::default()
    };
    match job.scenario.work {
        Work::Idle => idle(base, job),
        Work::Full(shape, megabytes) => written(base, job, shape, Volume::Bytes(job.amount.bytes(megabytes))),
        Work::Paced(shape, megabytes) => {
            written(base, job, shape, Volume::Rate(megabytes * 1_000_000, job.amount.time))
        }
        Work::File(..) => read(base, job),
        Work::Isolated(shape, megabytes) => isolation::run(base, job, shape, megabytes * 1_000_000),
        Work::Soak(shape, megabytes) => soak::run(base, job, shape, megabytes * 1_000_000),
    }
}

/// Writes a load to the router's socket.
fn written(base: Measured, job: &Job<'_>, shape: Shape, volume: Volume) -> Result<Measured> {
    let mut load = Load::new(shape);
    let stage = Stage::set(job, None)?;
    let start = Instant::now();
    let written = load.play(&stage.socket(), volume).with_context(|| stage.router.last_lines())?;
    let taken = start.elapsed();
    let memory = process::peak_memory(stage.router.pid());
    let (measured, stage) = deliver(base, job, stage, written, (start, taken), memory)?;
    stage.end()?;
    Ok(measured)
}

/// Lets the router read a file. The clock starts with the router.
fn read(base: Measured, job: &Job<'_>) -> Result<Measured> {
    let file = job.file.context("there is no file to read")?;
    file.warm()?;
    let stage = Stage::set(job, None)?;
    let mut memory = 0;
    let taken = stage.wait_until_read(file, &mut memory)? - stage.began;
    let written = Written { records: file.count, bytes: file.bytes, reconnects: 0 };
    let times = (stage.began, taken);
    let (measured, stage) = deliver(base, job, stage, written, times, memory)?;
    stage.end()?;
    Ok(measured)
}

/// Waits until everything that the router has read is delivered, and reads the meters. `times` says when the load began, and how long
/// the router took to read it.
pub(crate) fn deliver(
    base: Measured,
    job: &Job<'_>,
    stage: Stage,
    written: Written,
    times: (Instant, Duration),
    mut memory: u64,
) -> Result<(Measured, Stage)> {
    let (start, taken) = times;
    let expected = written.records * job.scenario.outputs.len() as u64;
    let delivered = match &stage.sink {
        None => stage.wait_until_processed(job.scenario.setup, expected, taken)?,
        Some(sink) => {
            // Only at its end does Fluent Bit complete objects that are not full.
            if job.scenario.ends_with_objects() {
                memory = memory.max(process::peak_memory(stage.router.pid()));
                stage.router.terminate()?;
            }
            stage.wait_until_delivered(sink, expected, start, &mut memory)?
        }
    };
    let base = Measured {
        records: written.records,
        fed_bytes: written.bytes,
        reconnects: written.reconnects,
        read_seconds: taken.as_secs_f64(),
        wall_seconds: delivered.after.as_secs_f64(),
        lost: delivered.arrived.map(|arrived| expected.saturating_sub(arrived.distinct)),
        duplicated: stage.sink.as_ref().and(delivered.arrived).map(|arrived| arrived.duplicated),
        memory_bytes: memory.max(process::peak_memory(stage.router.pid())),
        ..base
    };
    Ok((stage.read_meters(base)?, stage))
}

/// Looks at a router that has nothing to do.
fn idle(base: Measured, job: &Job<'_>) -> Result<Measured> {
    let mut stage = Stage::set(job, None)?;
    std::thread::sleep(SETTLE);
    stage.start_meters()?;
    let pid = stage.router.pid();
    let (start, before) = (Instant::now(), process::sleeps(pid)?);
    std::thread::sleep(job.amount.time);
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
