//! `ikada check`: everything that is wrong with a configuration, at once, without starting anything.
//!
//! It loads what a start would load, in the same way, and asks the same engine. The findings go to standard output: drawn with
//! their source lines on a terminal, one line each off it, or as JSON. **Exit codes**: 0 when there is nothing to mend, 1 when
//! there are errors, 2 when there are warnings only. Notes do not count.

pub mod args;
mod examples;
mod json;
mod migration;

use std::io::{IsTerminal, Write};

use ikada_config::Loaded;
use ikada_diag::Counts;
use ikada_engine::OutputSlot;
use ikada_plugin::registry::Registry;

use crate::assemble::assemble;
use crate::banner::Banner;
use crate::load::load;
use crate::{checks, render};
use args::{Check, Format};

/// Checks a configuration and returns the exit code.
pub fn run(check: &Check, registry: &Registry) -> u8 {
    if let Some(dir) = &check.run.workdir
        && let Err(failed) = std::env::set_current_dir(dir)
    {
        say(&format!("error: could not change to the directory {}: {failed}\n", dir.display()));
        return 1;
    }
    let (mut loaded, init) = load(&check.run);
    checks::unreadable_paths(&mut loaded, init.files());
    let built = assemble(&mut loaded, registry, true).pipeline.outputs;
    let banner = Banner::of(&loaded, init.sources());
    let text = match (check.from_fluent_bit, check.format) {
        (true, Format::Text) => migration::report(&loaded, registry).text(),
        (true, Format::Json) => migration::report(&loaded, registry).json(),
        (false, Format::Json) => json::of(&loaded, &banner),
        (false, Format::Text) => text(&loaded, &built, &banner),
    };
    say(&text);
    exit_code(loaded.diagnostics.counts())
}

/// 0, 1 for errors, 2 for warnings only.
pub(crate) fn exit_code(counts: Counts) -> u8 {
    match counts {
        Counts { errors: 1.., .. } => 1,
        Counts { warnings: 1.., .. } => 2,
        _ => 0,
    }
}

fn text(loaded: &Loaded, built: &[OutputSlot], banner: &Banner) -> String {
    let on_terminal = std::io::stdout().is_terminal();
    let mut text = String::new();
    for finding in loaded.diagnostics.by_place() {
        match on_terminal {
            true => text.push_str(&format!("{}\n\n", render::on_terminal(finding, &loaded.sources))),
            false => text.push_str(&format!("{}\n", finding.line(&loaded.sources))),
        }
    }
    if loaded.diagnostics.left_out() > 0 {
        text.push_str(&format!("{} further findings are not shown\n", loaded.diagnostics.left_out()));
    }
    for line in banner.lines() {
        text.push_str(&format!("{line}\n"));
    }
    for line in examples::keys(loaded, built, chrono::Utc::now()) {
        text.push_str(&format!("{line}\n"));
    }
    let Counts { errors, warnings, notes } = loaded.diagnostics.counts();
    let of = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    text.push_str(&format!("{}, {}, {}\n", of(errors, "error"), of(warnings, "warning"), of(notes, "note")));
    text
}

fn say(text: &str) {
    // A closed pipe behind `ikada check | head` is no failure.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}
