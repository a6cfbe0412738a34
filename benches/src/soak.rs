//! Minutes under a steady load: does the memory grow, and do the books balance?
//!
//! Resident memory is read every second. Its slope is that of the straight line that lies nearest to what was read after a time
//! for warming up, with the standard error that its residuals give. What is resident now is much like what was a second ago, which would
//! make many readings look surer than they are: the line is laid through the means of [`BLOCKS`] stretches of time. Growth is not told from
//! noise where the slope is within two standard errors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use crate::books::Books;
use crate::isolation::balanced;
use crate::load::{Load, Shape, Volume};
use crate::process;
use crate::run::{self, Job, Measured};
use crate::stage::Stage;
use crate::summary::median;
use crate::table::Table;

/// Between two readings of the memory.
const EACH: Duration = Duration::from_secs(1);
/// The part of the readings that is taken for warming up.
const WARM_UP: usize = 4;
/// The stretches of time that the rest is cut into.
const BLOCKS: usize = 24;

/// How the memory grew.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Slope {
    /// Length of the run.
    pub(crate) minutes: f64,
    /// Mean resident memory after warming up, in bytes.
    pub(crate) mean_bytes: f64,
    /// Growth in bytes an hour.
    pub(crate) bytes_per_hour: f64,
    /// Standard error of that.
    pub(crate) error: f64,
}

/// Plays the load, and reads the memory meanwhile.
pub(crate) fn run(base: Measured, job: &Job<'_>, shape: Shape, rate: u64) -> Result<Measured> {
    let mut load = Load::new(shape);
    let stage = Stage::set(job, None)?;
    let start = Instant::now();
    let is_written = AtomicBool::new(false);
    let (written, readings) = std::thread::scope(|scope| -> Result<_> {
        let reading = scope.spawn(|| read_memory(stage.router.pid(), start, &is_written));
        let written = load.play(&stage.socket(), Volume::Rate(rate, job.amount.soak));
        is_written.store(true, Ordering::Release);
        let readings = reading.join().map_err(|_| anyhow!("the reading panicked"))?;
        Ok((written.with_context(|| stage.router.last_lines())?, readings))
    })?;
    let slope = Slope { minutes: start.elapsed().as_secs_f64() / 60.0, ..slope(&readings) };
    let times = (start, start.elapsed());
    let memory = process::peak_memory(stage.router.pid());
    let (measured, stage) = run::deliver(base, job, stage, written, times, memory)?;
    let books = Books::of(&stage.end()?);
    let balanced = books.map(|books| books.balance(measured.records));
    Ok(Measured { slope: Some(slope), balanced, ..measured })
}

/// Seconds and bytes, until the load is written.
fn read_memory(pid: u32, start: Instant, is_written: &AtomicBool) -> Vec<(f64, f64)> {
    let mut readings = Vec::new();
    while !is_written.load(Ordering::Acquire) {
        readings.push((start.elapsed().as_secs_f64(), process::memory(pid) as f64));
        std::thread::sleep(EACH);
    }
    readings
}

/// The mean of times and of bytes.
fn mean(readings: &[(f64, f64)]) -> (f64, f64) {
    let (times, bytes) = readings.iter().fold((0.0, 0.0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    let count = readings.len().max(1) as f64;
    (times / count, bytes / count)
}

/// The line nearest to the readings without the first quarter, by least squares.
fn slope(readings: &[(f64, f64)]) -> Slope {
    let readings = &readings[readings.len() / WARM_UP..];
    let readings: Vec<_> = readings.chunks_exact((readings.len() / BLOCKS).max(1)).map(mean).collect();
    let count = readings.len() as f64;
    let (mean_time, mean_bytes) = mean(&readings);
    let spread: f64 = readings.iter().map(|(time, _)| (time - mean_time).powi(2)).sum();
    if readings.len() < 3 || spread == 0.0 {
        return Slope { minutes: 0.0, mean_bytes, bytes_per_hour: 0.0, error: f64::MAX };
    }
    let joint: f64 = readings.iter().map(|(time, bytes)| (time - mean_time) * (bytes - mean_bytes)).sum();
    let per_second = joint / spread;
    let off = |(time, bytes): &(f64, f64)| bytes - mean_bytes - per_second * (time - mean_time);
    let rest: f64 = readings.iter().map(|reading| off(reading).powi(2)).sum();
    let error = (rest / (count - 2.0) / spread).sqrt();
    Slope { minutes: 0.0, mean_bytes, bytes_per_hour: per_second * 3600.0, error: error * 3600.0 }
}

/// One line about a run.
pub(crate) fn progress(run: &Measured, slope: &Slope) -> String {
    format!(
        "{:.1} minutes, {:.1} MB resident, growing by {:.1} ± {:.1} MB an hour, {:?} lost, books balanced: {:?}",
        slope.minutes,
        slope.mean_bytes / 1e6,
        slope.bytes_per_hour / 1e6,
        slope.error / 1e6,
        run.lost,
        run.balanced
    )
}

/// A row for each program.
pub(crate) fn table(groups: &[Vec<&Measured>]) -> Option<String> {
    let head = [
        "soak",
        "program",
        "minutes",
        "krecords",
        "CPU %",
        "mean MB",
        "peak MB",
        "MB an hour",
        "±",
        "lost",
        "twice",
        "balanced",
    ];
    let mut table = Table::new(&head).text_columns(2);
    for group in groups {
        let first = group.first()?;
        let slopes: Vec<&Slope> = group.iter().filter_map(|run| run.slope.as_ref()).collect();
        let of_slope = |of: fn(&Slope) -> f64| median(slopes.iter().map(|slope| of(slope)).collect());
        let of_run = |of: fn(&Measured) -> f64| median(group.iter().map(|run| of(run)).collect());
        let most = |of: fn(&Measured) -> Option<u64>| {
            group.iter().filter_map(|run| of(run)).max().unwrap_or_default().to_string()
        };
        table.row(vec![
            first.scenario.to_owned(),
            first.program.to_owned(),
            format!("{:.0}", of_slope(|slope| slope.minutes)),
            format!("{:.0}", of_run(|run| run.records as f64 / 1e3)),
            format!("{:.1}", of_run(|run| run.cpu_seconds / run.wall_seconds * 100.0)),
            format!("{:.1}", of_slope(|slope| slope.mean_bytes / 1e6)),
            format!("{:.1}", of_run(|run| run.memory_bytes as f64 / 1e6)),
            format!("{:.2}", of_slope(|slope| slope.bytes_per_hour / 1e6)),
            format!("{:.2}", of_slope(|slope| slope.error / 1e6)),
            most(|run| run.lost),
            most(|run| run.duplicated),
            balanced(group),
        ]);
    }
    (!groups.is_empty()).then(|| table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_rises_has_its_slope_and_no_error() {
        let readings: Vec<(f64, f64)> =
            (0..40).map(|at| (f64::from(at), 1e7 + 1000.0 * f64::from(at))).collect();
        let slope = slope(&readings);
        assert!((slope.bytes_per_hour - 3.6e6).abs() < 1.0 && slope.error < 1.0, "{slope:?}");
    }

    #[test]
    fn noise_around_a_level_is_within_its_error() {
        let readings: Vec<(f64, f64)> =
            (0..40).map(|at| (f64::from(at), 1e7 + f64::from(at % 2) * 1e5)).collect();
        let slope = slope(&readings);
        assert!(slope.bytes_per_hour.abs() < 2.0 * slope.error, "{slope:?}");
    }

    /// Memory that stands at one of two levels for minutes: every reading again says nothing new.
    #[test]
    fn readings_that_follow_each_other_are_not_surer_for_their_number() {
        let levels = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0];
        let reading = |at: usize| (at as f64, 1e7 + 1e6 * levels[at / 300 % levels.len()]);
        let readings: Vec<(f64, f64)> = (0..7200).map(reading).collect();
        let slope = slope(&readings);
        assert!(slope.bytes_per_hour.abs() < 2.0 * slope.error && slope.error > 1e5, "{slope:?}");
    }

    #[test]
    fn too_few_readings_say_nothing() {
        assert_eq!(slope(&[(0.0, 5.0)]).bytes_per_hour, 0.0);
        assert_eq!(slope(&[]).mean_bytes, 0.0);
    }
}
