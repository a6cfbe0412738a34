//! `cargo xtask docs`: the reference pages, written from the declarations in the code.
//!
//! The writing itself is the test target `reference` (`xtask/tests/reference`), so that the program's library is compiled for
//! it and for nothing else here; every run of the tests checks the pages as well.

use std::process::Command;

use anyhow::Result;

use crate::steps::succeed;
use crate::workspace::cargo;

/// Tells the test target to write the pages instead of comparing them.
const WRITE: &str = "IKADA_WRITE_REFERENCE";

/// What to do with the pages.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Writes nothing; fails if a page is not as it would be written
    #[arg(long)]
    check: bool,
}

/// Writes or checks the pages.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut command = target();
    if !options.check {
        command.env(WRITE, "1");
    }
    succeed(&mut command)
}

/// The whole workspace is named, so that dependencies are compiled with the features that all other tests use too.
fn target() -> Command {
    cargo(["test", "--quiet", "--workspace", "--test", "reference"])
}
