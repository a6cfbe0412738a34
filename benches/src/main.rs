//! The benchmark harness: the same work for Ikada and, if there is one, for a peer, in turn and in one run.
//!
//! A scenario is a configuration and a load. Each run starts the router as a process of its own, and the local AWS as another one;
//! the load comes from this process, encoded beforehand so that it takes little of the machine. What is measured is read from the
//! kernel (CPU time, peak memory) and from the other end (what arrived). Nothing here passes or fails by a figure.
//!
//! Reading order: [`scenario`] (the table), [`configuration`] (what of it the router reads), [`run`] (one run from start to end) on its
//! [`stage`], [`load`] (what is written, and how) and [`lines`] (a file), [`isolation`] and [`soak`] (runs of their own kind), [`router`]
//! and [`sink`] (the processes), [`process`] (what the kernel knows of them), [`summary`] (medians, ratios, tables).

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures go to stdout, progress to stderr")]

mod books;
mod configuration;
mod frames;
mod http;
mod isolation;
mod lines;
mod load;
mod process;
mod programs;
mod router;
mod run;
mod scenario;
mod sink;
mod soak;
mod stage;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;

use lines::Lines;
use programs::Programs;
use run::{Amount, Job, Measured};
use scenario::{SCENARIOS, Scenario, Work};
use table::Table;

/// Measures Ikada, and beside it the program that FLUENT_BIT_BIN names.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Scenarios to run, by name or by the beginning of one (`fwd-c` is all that begins so); all but `soak` if none is named
    scenarios: Vec<String>,
    /// Tells which scenarios there are, and ends
    #[arg(long)]
    list: bool,
    /// Runs of each program in each scenario; medians are taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Megabytes (10^6 bytes of MessagePack, or of a file) of a run at full speed, instead of the scenario's own number
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: Option<u64>,
    /// Length of a run at a fixed rate, and of looking at an idle router
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Length of a soak
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// File that receives every run and every median as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Ikada's program; built if none is named
    #[arg(long, env = "IKADA_BIN")]
    ikada: Option<PathBuf>,
    /// The local AWS's program; built if none is named
    #[arg(long, env = "LOCALAWS_BIN")]
    localaws: Option<PathBuf>,
    /// Keeps the folders with configurations and logs
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match measure(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ikada-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(flags: &Flags) -> Result<()> {
    if flags.list {
        print!("{}", list());
        return Ok(());
    }
    let chosen = choose(&flags.scenarios)?;
    let peer = std::env::var_os("FLUENT_BIT_BIN").map(PathBuf::from);
    let programs = Programs::find(flags.ikada.clone(), flags.localaws.clone(), peer)?;
    let machine = process::machine();
    println!("{machine}");
    for program in programs.routers() {
        println!("{}: {}", program.name, program.version);
    }
    let amount = Amount {
        bytes: flags.megabytes.map(|megabytes| megabytes * 1_000_000),
        time: Duration::from_secs(flags.seconds),
        soak: Duration::from_secs(flags.minutes * 60),
        keep: flags.keep,
    };
    let mut all: Vec<Measured> = Vec::new();
    for scenario in chosen {
        all.extend(runs_of(scenario, &programs, flags.runs, &amount)?);
    }
    println!("\n{}", summary::report(&all));
    if let Some(path) = &flags.json {
        let text = serde_json::to_string_pretty(&summary::json(&machine, &programs, &all))?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// All programs in turn, again and again, so that what else the machine does hits them alike.
fn runs_of(
    scenario: &'static Scenario,
    programs: &Programs,
    runs: u32,
    amount: &Amount,
) -> Result<Vec<Measured>> {
    let file = match scenario.work {
        Work::File(kind, megabytes) => Some(Lines::write(kind, amount.bytes(megabytes))?),
        _ => None,
    };
    let mut all = Vec::new();
    let mut keep = |measured: Measured| {
        eprintln!("{}", summary::progress(&measured));
        all.push(measured);
    };
    for pair in 0..runs {
        for program in programs.routers() {
            let localaws = &programs.localaws;
            let job = Job { scenario, program, localaws, pair, amount, file: file.as_ref() };
            let measured = run::run(&job)
                .with_context(|| format!("{} of {}, run {}", scenario.name, program.name, pair + 1))?;
            keep(measured);
        }
        if let Some(file) = &file {
            keep(file.measure_wc(Measured { scenario: scenario.name, pair, ..Measured::default() })?);
        }
    }
    Ok(all)
}

fn choose(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().filter(|scenario| scenario.is_usual()).collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let exact = SCENARIOS.iter().find(|scenario| scenario.name == name);
        let begins = SCENARIOS.iter().filter(|scenario| scenario.name.starts_with(name.as_str()));
        let found: Vec<_> = exact.map_or_else(|| begins.collect(), |scenario| vec![scenario]);
        if found.is_empty() {
            bail!("there is no scenario `{name}`; there are:\n{}", list());
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

fn list() -> String {
    let mut table = Table::new(&["scenario", "what it is"]).text_columns(2);
    for scenario in SCENARIOS {
        table.row(vec![scenario.name.to_owned(), scenario.about.to_owned()]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }

    #[test]
    fn a_name_chooses_itself_and_a_beginning_chooses_all_that_begin_so() {
        let names = |wanted: &str| -> Vec<&str> {
            choose(&[wanted.to_owned()]).unwrap().iter().map(|scenario| scenario.name).collect()
        };
        assert_eq!(names("fwd-null"), ["fwd-null"]);
        assert_eq!(names("fwd-s3"), ["fwd-s3"]);
        assert!(names("fwd-").len() > 4);
        assert!(choose(&["nothing".to_owned()]).is_err());
    }
}
