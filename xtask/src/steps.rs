//! Steps of a chore: each is announced, run to its end, and remembered; a failure stops none of the others.

use std::process::Command;

use anyhow::{Context, Result};

/// What was run and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    failed: Vec<String>,
    last_words: Vec<String>,
}

impl Steps {
    /// Runs a program; it fails if its exit code is not 0.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) {
        self.run(name, || succeed(command));
    }

    /// Runs a check, which fails if it finds anything. Every finding is a line.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<Vec<String>>) {
        self.run(name, || {
            let findings = check()?;
            for finding in &findings {
                println!("{finding}");
            }
            Ok(findings.is_empty())
        });
    }

    /// Runs anything that can say whether it went well.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<bool>) {
        println!("── {name}");
        match step() {
            Ok(true) => {}
            Ok(false) => self.failed.push(name.to_owned()),
            Err(error) => self.failed.push(format!("{name} ({error:#})")),
        }
    }

    /// Keeps a line for the very end.
    pub(crate) fn say_at_the_end(&mut self, line: String) {
        self.last_words.push(line);
    }

    /// Prints how it all ended; says whether every step went well.
    pub(crate) fn finish(self) -> bool {
        if self.failed.is_empty() {
            println!("── all well");
        }
        for name in &self.failed {
            println!("── failed: {name}");
        }
        for line in self.last_words {
            println!("{line}");
        }
        self.failed.is_empty()
    }
}

/// Runs a program to its end and says whether its exit code was 0.
pub(crate) fn succeed(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    Ok(status.success())
}
