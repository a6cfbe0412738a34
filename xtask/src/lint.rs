//! `cargo xtask lint`: what can be said of the code without running it.

use crate::deny;
use crate::steps::Steps;
use crate::workspace::cargo;

/// Checks format, lints and dependencies.
pub(crate) fn run(steps: &mut Steps) {
    steps.command("fmt", &mut cargo(["fmt", "--all", "--check"]));
    steps.command("clippy", &mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    steps.check("deny", deny::findings);
}
