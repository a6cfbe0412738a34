//! Medians of the runs, ratios of the pairs, and how they are shown.

use serde_json::{Value, json};

use crate::programs::Programs;
use crate::run::Measured;
use crate::table::Table;
use crate::{isolation, soak};

impl Measured {
    fn megabytes_per_second(&self) -> f64 {
        self.fed_bytes as f64 / 1e6 / self.wall_seconds
    }

    fn kilorecords_per_second(&self) -> f64 {
        self.records as f64 / 1e3 / self.wall_seconds
    }

    fn cpu_per_gigabyte(&self) -> f64 {
        self.cpu_seconds / (self.fed_bytes as f64 / 1e9)
    }

    fn cpu_percent(&self) -> f64 {
        self.cpu_seconds / self.wall_seconds * 100.0
    }

    fn sink_percent(&self) -> f64 {
        self.sink_cpu_seconds / self.wall_seconds * 100.0
    }

    fn load_percent(&self) -> f64 {
        self.load_cpu_seconds / self.wall_seconds * 100.0
    }

    fn other_percent(&self) -> f64 {
        self.other_cpu_seconds / self.metered_seconds * 100.0
    }

    fn memory_megabytes(&self) -> f64 {
        self.memory_bytes as f64 / 1e6
    }

    fn is_idle(&self) -> bool {
        self.wakeups_per_second.is_some()
    }

    fn is_isolation(&self) -> bool {
        !self.latencies.is_empty()
    }

    fn is_soak(&self) -> bool {
        self.slope.is_some()
    }

    /// Whether more than half of the work was done. Figures of less are none to compare with.
    fn is_done(&self) -> bool {
        self.lost.is_none_or(|lost| lost * 2 <= self.records)
    }
}

/// One line about a run, while it goes on.
pub(crate) fn progress(run: &Measured) -> String {
    let head = format!("{} {} run {}:", run.scenario, run.program, run.pair + 1);
    if let Some(wakeups) = run.wakeups_per_second {
        return format!("{head} {:.1} MB resident, {wakeups:.1} wake-ups/s", run.memory_megabytes());
    }
    if run.is_isolation() {
        return format!("{head} {}", isolation::progress(run));
    }
    if let Some(slope) = &run.slope {
        return format!("{head} {}", soak::progress(run, slope));
    }
    let lost = run.lost.map_or("unknown".to_owned(), |count| count.to_string());
    format!(
        "{head} {:.1} MB/s, {:.2} CPU-s/GB, {:.1} MB peak, {lost} lost, {} reconnects; others took {:.0} % of a processor",
        run.megabytes_per_second(),
        run.cpu_per_gigabyte(),
        run.memory_megabytes(),
        run.reconnects,
        run.other_percent(),
    )
}

/// All tables.
pub(crate) fn report(runs: &[Measured]) -> String {
    let mut rest = groups(runs);
    let mut take = |is_so: fn(&Measured) -> bool| {
        let (taken, left) = rest.drain(..).partition(|group| group.iter().any(|run| is_so(run)));
        rest = left;
        taken
    };
    let (idle, isolated, soaked) =
        (take(Measured::is_idle), take(Measured::is_isolation), take(Measured::is_soak));
    let parts = [
        busy_table(&rest),
        idle_table(&idle),
        isolation::table(&isolated),
        soak::table(&soaked),
        ratios(runs),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("\n")
}

/// The runs of one program in one scenario together, in the order in which they began.
fn groups(runs: &[Measured]) -> Vec<Vec<&Measured>> {
    let mut groups: Vec<Vec<&Measured>> = Vec::new();
    for run in runs {
        let same = groups.iter_mut().find(|group| {
            group.first().is_some_and(|first| first.scenario == run.scenario && first.program == run.program)
        });
        match same {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}

fn busy_table(groups: &[Vec<&Measured>]) -> Option<String> {
    let mut table = Table::new(&[
        "scenario",
        "program",
        "MB/s",
        "min-max",
        "krec/s",
        "CPU-s/GB",
        "CPU %",
        "peak MB",
        "lost",
        "twice",
        "reconnects",
        "AWS %",
        "load %",
        "others %",
    ])
    .text_columns(2);
    for group in groups {
        let first = group.first()?;
        let speeds = values(group, Measured::megabytes_per_second);
        let median_of = |of: fn(&Measured) -> f64| median(values(group, of));
        let most = |of: fn(&Measured) -> Option<u64>| {
            let all: Option<Vec<u64>> = group.iter().map(|run| of(run)).collect();
            all.and_then(|all| all.into_iter().max()).map_or("?".to_owned(), |count| count.to_string())
        };
        let is_watched = first.sink_cpu_seconds > 0.0;
        table.row(vec![
            first.scenario.to_owned(),
            first.program.to_owned(),
            format!("{:.1}", median(speeds.clone())),
            format!("{:.0}-{:.0}", least(&speeds), greatest(&speeds)),
            format!("{:.0}", median_of(Measured::kilorecords_per_second)),
            format!("{:.2}", median_of(Measured::cpu_per_gigabyte)),
            format!("{:.0}", median_of(Measured::cpu_percent)),
            format!("{:.0}", median_of(Measured::memory_megabytes)),
            most(|run| run.lost),
            if is_watched { most(|run| run.duplicated) } else { String::new() },
            most(|run| Some(run.reconnects)),
            if is_watched { format!("{:.0}", median_of(Measured::sink_percent)) } else { String::new() },
            format!("{:.0}", median_of(Measured::load_percent)),
            format!("{:.0}", median_of(Measured::other_percent)),
        ]);
    }
    (!groups.is_empty()).then(|| table.render())
}

fn idle_table(groups: &[Vec<&Measured>]) -> Option<String> {
    let head = ["scenario", "program", "resident MB", "wake-ups/s", "min-max", "CPU %", "others %"];
    let mut table = Table::new(&head).text_columns(2);
    for group in groups {
        let first = group.first()?;
        let wakeups = values(group, |run| run.wakeups_per_second.unwrap_or_default());
        let median_of = |of: fn(&Measured) -> f64| median(values(group, of));
        table.row(vec![
            first.scenario.to_owned(),
            first.program.to_owned(),
            format!("{:.1}", median_of(Measured::memory_megabytes)),
            format!("{:.1}", median(wakeups.clone())),
            format!("{:.1}-{:.1}", least(&wakeups), greatest(&wakeups)),
            format!("{:.2}", median_of(Measured::cpu_percent)),
            format!("{:.0}", median_of(Measured::other_percent)),
        ]);
    }
    (!groups.is_empty()).then(|| table.render())
}

/// Ikada's figure divided by the peer's, pair by pair; the medians of that.
fn ratios(runs: &[Measured]) -> Option<String> {
    let rows = ratio_rows(runs);
    let mut table = Table::new(&["Ikada / peer", "MB/s", "CPU-s/GB", "memory", "wake-ups"]).text_columns(1);
    for row in &rows {
        let cells = row.values.iter().map(|value| value.map_or(String::new(), |ratio| format!("{ratio:.3}")));
        table.row(std::iter::once(row.scenario.to_owned()).chain(cells).collect());
    }
    (!rows.is_empty()).then(|| table.render())
}

struct RatioRow {
    scenario: &'static str,
    /// Speed, CPU per GB, memory, wake-ups.
    values: [Option<f64>; 4],
}

fn ratio_rows(runs: &[Measured]) -> Vec<RatioRow> {
    let mut rows = Vec::new();
    for group in groups(runs).iter().filter(|group| group.iter().all(|run| run.program == "ikada")) {
        let pairs: Vec<(&Measured, &Measured)> = group
            .iter()
            .filter_map(|run| {
                let is_peer = |other: &&Measured| {
                    other.scenario == run.scenario && other.pair == run.pair && other.program == "peer"
                };
                Some((*run, runs.iter().find(is_peer)?))
            })
            .filter(|(ours, theirs)| ours.is_done() && theirs.is_done())
            .collect();
        let Some((first, _)) = pairs.first() else { continue };
        let is_idle = first.is_idle();
        // At a fixed pace, speed is no figure.
        let is_paced = first.is_isolation() || first.is_soak();
        let of = |figure: fn(&Measured) -> f64| ratio(&pairs, figure);
        let busy = |figure: fn(&Measured) -> f64| if is_idle { None } else { of(figure) };
        rows.push(RatioRow {
            scenario: first.scenario,
            values: [
                if is_paced { None } else { busy(Measured::megabytes_per_second) },
                busy(Measured::cpu_per_gigabyte),
                of(Measured::memory_megabytes),
                if is_idle { of(|run| run.wakeups_per_second.unwrap_or_default()) } else { None },
            ],
        });
    }
    rows
}

fn ratio(pairs: &[(&Measured, &Measured)], of: fn(&Measured) -> f64) -> Option<f64> {
    let ratios: Vec<f64> =
        pairs.iter().map(|(ours, theirs)| of(ours) / of(theirs)).filter(|ratio| ratio.is_finite()).collect();
    (!ratios.is_empty()).then(|| median(ratios))
}

fn values(group: &[&Measured], of: impl Fn(&Measured) -> f64) -> Vec<f64> {
    group.iter().map(|run| of(run)).collect()
}

/// The middle of some values; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Everything, for other programs to read.
pub(crate) fn json(machine: &str, programs: &Programs, runs: &[Measured]) -> Value {
    let routers: serde_json::Map<String, Value> =
        programs.routers().map(|program| (program.name.to_owned(), json!(program.version))).collect();
    let medians: Vec<Value> = groups(runs).iter().map(|group| medians(group)).collect();
    let ratios: Vec<Value> = ratio_rows(runs)
        .iter()
        .map(|row| {
            let [speed, cpu, memory, wakeups] = row.values;
            json!({
                "scenario": row.scenario, "mb_per_second": speed, "cpu_seconds_per_gb": cpu,
                "memory": memory, "wakeups_per_second": wakeups,
            })
        })
        .collect();
    json!({ "machine": machine, "programs": routers, "medians": medians, "ratios": ratios, "runs": runs })
}

fn medians(group: &[&Measured]) -> Value {
    let (scenario, program) = group.first().map_or(("", ""), |run| (run.scenario, run.program));
    let median_of = |of: fn(&Measured) -> f64| median(values(group, of));
    let mut value = json!({
        "scenario": scenario,
        "program": program,
        "memory_mb": median_of(Measured::memory_megabytes),
        "cpu_percent": median_of(Measured::cpu_percent),
    });
    if group.iter().any(|run| run.is_idle()) {
        value["wakeups_per_second"] = json!(median_of(|run| run.wakeups_per_second.unwrap_or_default()));
    } else {
        value["mb_per_second"] = json!(median_of(Measured::megabytes_per_second));
        value["krecords_per_second"] = json!(median_of(Measured::kilorecords_per_second));
        value["cpu_seconds_per_gb"] = json!(median_of(Measured::cpu_per_gigabyte));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(program: &'static str, pair: u32, wall_seconds: f64, cpu_seconds: f64) -> Measured {
        Measured {
            scenario: "fwd-null",
            program,
            pair,
            records: 1_000_000,
            fed_bytes: 1_000_000_000,
            wall_seconds,
            cpu_seconds,
            memory_bytes: 10_000_000,
            lost: Some(0),
            ..Measured::default()
        }
    }

    #[test]
    fn a_median_of_two_lies_between_them() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![3.0, 1.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn a_ratio_is_taken_within_its_pair() {
        // The machine was twice as slow in the second pair; the ratio does not move.
        let runs = [
            busy("ikada", 0, 1.0, 1.0),
            busy("peer", 0, 4.0, 4.0),
            busy("ikada", 1, 2.0, 2.0),
            busy("peer", 1, 8.0, 8.0),
        ];
        let rows = ratio_rows(&runs);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].values, [Some(4.0), Some(0.25), Some(1.0), None]);
    }

    #[test]
    fn a_program_that_lost_most_of_the_records_is_no_measure() {
        let failed = Measured { lost: Some(600_000), ..busy("peer", 0, 4.0, 4.0) };
        assert!(ratio_rows(&[busy("ikada", 0, 1.0, 1.0), failed]).is_empty());
    }

    #[test]
    fn without_a_peer_there_are_no_ratios() {
        let runs = [busy("ikada", 0, 1.0, 1.0)];
        assert!(ratios(&runs).is_none());
        let text = report(&runs);
        assert!(text.contains("| fwd-null | ikada   | 1000.0 |"), "{text}");
    }

    #[test]
    fn an_idle_router_has_a_table_of_its_own() {
        let idle = |program, wakeups| Measured {
            scenario: "idle",
            program,
            memory_bytes: 8_000_000,
            wall_seconds: 10.0,
            wakeups_per_second: Some(wakeups),
            ..Measured::default()
        };
        let text = report(&[idle("ikada", 1.0), idle("peer", 10.0)]);
        assert!(text.contains("wake-ups/s"));
        assert!(text.contains("| idle         |      |          |  1.000 |    0.100 |"), "{text}");
    }
}
