//! `cargo xtask test`: all tests.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::steps::Steps;
use crate::tidy;
use crate::workspace::{Metadata, cargo};

/// Runs all tests. The last line says how many passed.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    say_what_is_missing();
    // One set of features for everything that follows, so that each dependency is compiled once.
    let built = ["build", "--workspace", "--lib", "--bins", "--tests", "--examples"];
    steps.command("build", &mut cargo(built));
    let program = program()?;
    let has_nextest = cargo(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut summary = None;
    steps.run("tests", || {
        let (well, line) = if has_nextest { nextest(&program)? } else { cargo_test(&program)? };
        summary = line;
        Ok(well)
    });
    steps.command("examples in the documentation", &mut cargo(["test", "--quiet", "--workspace", "--doc"]));
    steps.check("tidy", tidy::findings);
    if let Some(summary) = summary {
        steps.say_at_the_end(summary);
    }
    Ok(())
}

/// The program that black-box tests run.
fn program() -> Result<PathBuf> {
    let target = Metadata::read()?.target_directory().context("cargo names no target directory")?;
    Ok(target.join("debug").join("ikada"))
}

/// Tests that need something the machine lacks say so themselves; here it is said once more where it is seen.
fn say_what_is_missing() {
    let answers = |program: &str, args: &[&str]| {
        let mut asked = Command::new(program);
        asked.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    if !answers("dockerd", &["--version"]) {
        println!("dockerd is not here: tests with containers are skipped (apt-get install docker.io)");
    }
    if !answers("python3", &["-c", "import venv, ensurepip"]) {
        println!("python3-venv is not here: tests against moto are skipped (apt-get install python3-venv)");
    }
}

/// Runs the tests with cargo-nextest, whose lines are passed on; returns its summary.
fn nextest(program: &Path) -> Result<(bool, Option<String>)> {
    let colour = if std::io::stderr().is_terminal() { "always" } else { "never" };
    let mut command = cargo(["nextest", "run", "--workspace", "--no-fail-fast", "--color", colour]);
    let mut child =
        command.env("IKADA_BIN", program).stderr(Stdio::piped()).spawn().context("cannot run cargo")?;
    let lines = child.stderr.take().context("cargo has no standard error")?;
    let mut summary = None;
    for line in BufReader::new(lines).lines() {
        let line = line.context("cannot read what nextest says")?;
        eprintln!("{line}");
        if line.contains("tests run:") || line.contains("test run:") {
            summary = Some(line.trim().to_owned());
        }
    }
    Ok((child.wait()?.success(), summary))
}

/// Runs the tests with cargo alone, and sums up what it says in nextest's way.
fn cargo_test(program: &Path) -> Result<(bool, Option<String>)> {
    println!("cargo-nextest is not here: `cargo test` does it too, one program after the other");
    let mut command =
        cargo(["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast"]);
    let mut child =
        command.env("IKADA_BIN", program).stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let lines = child.stdout.take().context("cargo has no standard output")?;
    let mut sum = Sum::default();
    for line in BufReader::new(lines).lines() {
        let line = line.context("cannot read what cargo says")?;
        println!("{line}");
        sum.add(&line);
    }
    Ok((child.wait()?.success(), Some(sum.to_string())))
}

/// Counts over many `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result:") else { return };
        let counts = result.split([';', '.']).filter_map(|part| {
            let (count, what) = part.trim().split_once(' ')?;
            Some((count.parse::<u64>().ok()?, what))
        });
        for (count, what) in counts {
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run = self.passed + self.failed;
        write!(f, "Summary {run} tests run: {} passed", self.passed)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        write!(f, ", {} skipped", self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_many_programs_are_summed_up() {
        let mut sum = Sum::default();
        sum.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s",
        );
        sum.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        sum.add("test a_test ... ok");
        assert_eq!(sum.to_string(), "Summary 17 tests run: 15 passed, 2 failed, 1 skipped");
    }
}
