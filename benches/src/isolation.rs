//! What a dead output costs the others: how late records come at two services, without a third output that is dead and with it.
//!
//! The load keeps a pace, so that it is known when a record was due: the k-th of a client at its share of the time. When it came is
//! seen by asking the local AWS every few milliseconds how many have. A record that is held up before it can be written is late too,
//! because it is its due time that counts. Dead is a port that takes connections and never answers.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use ikada_localaws::Service;
use serde::Serialize;

use crate::books::Books;
use crate::frames::CLIENTS;
use crate::load::{Load, Shape, Volume, Written};
use crate::process;
use crate::run::{Job, Measured};
use crate::sink::Sink;
use crate::stage::{PATIENCE, Stage};
use crate::summary::median;
use crate::table::Table;

/// How often it is asked what has come. Latencies are as exact as this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The healthy services, with the names that they have in the table.
const SERVICES: [(Service, &str); 2] = [(Service::Logs, "CloudWatch Logs"), (Service::Firehose, "Firehose")];

/// How late records came at one service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// The service.
    pub(crate) service: &'static str,
    /// The 99th percentile without the dead output, in milliseconds; none where more than a hundredth never came.
    pub(crate) alone_ms: Option<f64>,
    /// The same with the dead output.
    pub(crate) beside_ms: Option<f64>,
}

impl Latency {
    fn ratio(&self) -> Option<f64> {
        Some(self.beside_ms? / self.alone_ms?)
    }
}

/// What had come at one moment: of each service, of each client.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    count: [[u64; CLIENTS.len()]; SERVICES.len()],
}

/// One half of a run.
struct Half {
    p99_ms: [Option<f64>; SERVICES.len()],
    measured: Measured,
}

/// Plays the load twice.
pub(crate) fn run(base: Measured, job: &Job<'_>, shape: Shape, rate: u64) -> Result<Measured> {
    let alone = half(&base, job, shape, rate, None)?;
    // Never accepted from: the kernel takes the connections, and nobody answers.
    let dead = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
    let beside = half(&base, job, shape, rate, Some(dead.local_addr()?.port()))?;
    let latencies = SERVICES.iter().zip(alone.p99_ms).zip(beside.p99_ms);
    let latencies = latencies
        .map(|(((_, service), alone_ms), beside_ms)| Latency { service, alone_ms, beside_ms })
        .collect();
    Ok(Measured { latencies, ..beside.measured })
}

fn half(base: &Measured, job: &Job<'_>, shape: Shape, rate: u64, dead: Option<u16>) -> Result<Half> {
    let mut load = Load::new(shape);
    let stage = Stage::set(job, dead)?;
    let sink = stage.sink.as_ref().context("there is no local AWS")?;
    let start = Instant::now();
    let is_written = AtomicBool::new(false);
    let (written, samples) = std::thread::scope(|scope| -> Result<_> {
        let watching = scope.spawn(|| watch(sink, start, &is_written));
        let written = load.play_each(&stage.socket(), Volume::Rate(rate, job.amount.time));
        is_written.store(true, Ordering::Release);
        let samples = watching.join().map_err(|_| anyhow!("the watch panicked"))??;
        Ok((written.with_context(|| stage.router.last_lines())?, samples))
    })?;
    let share = rate as f64 / CLIENTS.len() as f64;
    let p99_ms = std::array::from_fn(|service| {
        let of_client =
            |(client, written): (usize, &Written)| latencies(&samples, service, client, written, share);
        p99(written.iter().enumerate().flat_map(of_client).collect())
    });
    let measured = measure(base.clone(), &stage, &written, &samples)?;
    let books = Books::of(&stage.end()?);
    let balanced = books.map(|books| books.balance(measured.records));
    Ok(Half { p99_ms, measured: Measured { balanced, ..measured } })
}

/// Looks again and again until everything is written and nothing more comes.
fn watch(sink: &Sink, start: Instant, is_written: &AtomicBool) -> Result<Vec<Sample>> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut changed = start.elapsed();
    loop {
        let (is_written, sample) = (is_written.load(Ordering::Acquire), look(sink, start)?);
        if samples.last().is_none_or(|last| last.count != sample.count) {
            changed = sample.at;
            samples.push(sample);
        }
        if is_written && sample.at > changed + PATIENCE {
            return Ok(samples);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn look(sink: &Sink, start: Instant) -> Result<Sample> {
    let reports = sink.clients()?;
    let of = |service: Service, client: &str| {
        let report = reports.iter().find(|report| report.service == service && report.client == client);
        report.map_or(0, |report| report.distinct)
    };
    let count = SERVICES.map(|(service, _)| CLIENTS.each_ref().map(|client| of(service, client.name)));
    Ok(Sample { at: start.elapsed(), count })
}

/// How late each record of a client came at a service, in milliseconds; infinite if it did not.
fn latencies(
    samples: &[Sample],
    service: usize,
    client: usize,
    written: &Written,
    bytes_per_second: f64,
) -> Vec<f64> {
    let each_ms = written.bytes as f64 / written.records.max(1) as f64 / bytes_per_second * 1e3;
    let mut late = Vec::with_capacity(written.records as usize);
    for sample in samples {
        let came = sample.count[service][client].min(written.records);
        for number in late.len() as u64..came {
            late.push((sample.at.as_secs_f64() * 1e3 - number as f64 * each_ms).max(0.0));
        }
    }
    late.resize(written.records as usize, f64::INFINITY);
    late
}

fn p99(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * 99).div_ceil(100).checked_sub(1)?;
    values.get(at).copied().filter(|value| value.is_finite())
}

fn measure(base: Measured, stage: &Stage, written: &[Written], samples: &[Sample]) -> Result<Measured> {
    let records: u64 = written.iter().map(|written| written.records).sum();
    let last = samples.last().context("nothing was looked at")?;
    let arrived: u64 = last.count.iter().flatten().sum();
    let sink = stage.sink.as_ref().context("there is no local AWS")?;
    stage.read_meters(Measured {
        records,
        fed_bytes: written.iter().map(|written| written.bytes).sum(),
        reconnects: written.iter().map(|written| written.reconnects).sum(),
        wall_seconds: last.at.as_secs_f64(),
        read_seconds: last.at.as_secs_f64(),
        memory_bytes: process::peak_memory(stage.router.pid()),
        lost: Some((records * SERVICES.len() as u64).saturating_sub(arrived)),
        duplicated: Some(sink.arrived()?.duplicated),
        ..base
    })
}

/// One line about a run.
pub(crate) fn progress(run: &Measured) -> String {
    let parts = run.latencies.iter().map(|latency| {
        format!(
            "{} p99 {} ms, {} ms beside the dead one",
            latency.service,
            ms(latency.alone_ms),
            ms(latency.beside_ms)
        )
    });
    parts.collect::<Vec<_>>().join("; ")
}

fn ms(value: Option<f64>) -> String {
    value.map_or("never".to_owned(), |value| format!("{value:.0}"))
}

/// Medians of the runs, a row for each service.
pub(crate) fn table(groups: &[Vec<&Measured>]) -> Option<String> {
    let head =
        ["isolation", "program", "p99 ms", "beside dead", "ratio", "min-max", "lost", "peak MB", "balanced"];
    let mut table = Table::new(&head).text_columns(2);
    for group in groups {
        let first = group.first()?;
        for (at, latency) in first.latencies.iter().enumerate() {
            let all = |of: fn(&Latency) -> Option<f64>| -> Option<Vec<f64>> {
                group.iter().map(|run| run.latencies.get(at).and_then(of)).collect()
            };
            let ratios = all(Latency::ratio);
            table.row(vec![
                latency.service.to_owned(),
                first.program.to_owned(),
                ms(all(|latency| latency.alone_ms).map(median)),
                ms(all(|latency| latency.beside_ms).map(median)),
                ratios.clone().map_or("–".to_owned(), |ratios| format!("{:.3}", median(ratios))),
                ratios.map_or(String::new(), |ratios| range(&ratios)),
                group.iter().filter_map(|run| run.lost).max().unwrap_or_default().to_string(),
                format!("{:.0}", median(group.iter().map(|run| run.memory_bytes as f64 / 1e6).collect())),
                balanced(group),
            ]);
        }
    }
    (!groups.is_empty()).then(|| table.render())
}

/// Whether the books of all runs balanced; empty where there are none.
pub(crate) fn balanced(group: &[&Measured]) -> String {
    let all: Option<Vec<bool>> = group.iter().map(|run| run.balanced).collect();
    let word = all.map_or("", |all| if all.iter().all(|is_so| *is_so) { "yes" } else { "no" });
    word.to_owned()
}

fn range(values: &[f64]) -> String {
    let (least, most) =
        values.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), value| (a.min(*value), b.max(*value)));
    format!("{least:.2}-{most:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_late_by_the_time_since_it_was_due() {
        let sample = |ms, count| Sample { at: Duration::from_millis(ms), count: [[count, 0], [0, 0]] };
        let written = Written { records: 4, bytes: 400, reconnects: 0 };
        // A record is due every 100 ms.
        let late = latencies(&[sample(150, 1), sample(350, 3)], 0, 0, &written, 1_000.0);
        assert_eq!(late, [150.0, 250.0, 150.0, f64::INFINITY]);
    }

    #[test]
    fn a_percentile_is_the_value_that_so_many_do_not_exceed() {
        assert_eq!(p99((1..=100).map(f64::from).collect()), Some(99.0));
        assert_eq!(p99(vec![5.0]), Some(5.0));
        assert_eq!(p99(vec![5.0, f64::INFINITY]), None);
        assert_eq!(p99(Vec::new()), None);
    }

    #[test]
    fn what_never_came_has_no_ratio() {
        let latency = |beside_ms| Latency { service: "Firehose", alone_ms: Some(100.0), beside_ms };
        let run = |beside_ms| Measured {
            program: "ikada",
            latencies: vec![latency(beside_ms)],
            ..Measured::default()
        };
        let (fine, lost) = (run(Some(105.0)), run(None));
        assert!(table(&[vec![&fine]]).unwrap().contains("| 1.050 |"));
        assert!(table(&[vec![&lost]]).unwrap().contains(" never |"), "{:?}", table(&[vec![&lost]]));
    }
}
