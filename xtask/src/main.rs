//! The workshop: every chore of the project as one command.
//!
//! `cargo xtask --help` lists them. It stands outside the house and may use any crate of it, but uses few: what only some
//! chore needs (the program's own library, for the reference pages) lives in a test target, so that `cargo xtask demo` compiles quickly.
//!
//! Reading order: [`steps`] (how chores run and what they say), [`demo`], [`test`], [`lint`], [`tidy`], [`deny`], [`docs`].

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::print_stdout, reason = "what a chore finds is what it prints")]

mod demo;
mod deny;
mod docs;
mod licence;
mod lint;
mod steps;
mod table;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use steps::Steps;

/// The chores of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Plays an ECS task's logs through Ikada to a local AWS, and shows what arrived
    Demo(demo::Options),
    /// Runs all tests, the documentation's examples, and the checks of the house's order
    Test,
    /// Does all that CI does: lint and test
    Ci,
    /// Checks format, clippy's lints, and the dependencies' licences and sources
    Lint,
    /// Checks the order of the house: floors, names, first lines, leftovers
    Tidy,
    /// Checks where dependencies come from, their licences, and that there is one TLS stack
    Deny,
    /// Writes the reference pages in `docs/reference` from the declarations in the code
    Docs(docs::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Demo(options) => demo::run(&options),
        Chore::Docs(options) => docs::run(&options),
        chore => with_steps(&chore),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the chores that are made of steps; the last lines say which step failed.
fn with_steps(chore: &Chore) -> anyhow::Result<bool> {
    let mut steps = Steps::default();
    match chore {
        Chore::Test => test::run(&mut steps)?,
        Chore::Lint => lint::run(&mut steps),
        Chore::Ci => {
            lint::run(&mut steps);
            test::run(&mut steps)?;
        }
        Chore::Tidy => steps.check("tidy", tidy::findings),
        Chore::Deny => steps.check("deny", deny::findings),
        Chore::Demo(_) | Chore::Docs(_) => {}
    }
    Ok(steps.finish())
}
