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
use ikada_diag::{Counts, Diagnostic, Diagnostics, codes};
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
    tell_of_firelens(&mut loaded.diagnostics);
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

/// A file of one's own for FireLens has no input, and needs none.
fn tell_of_firelens(found: &mut Diagnostics) {
    let is_one = |finding: &Diagnostic| finding.code == codes::NO_INPUT;
    // What is only counted would be lost.
    if found.left_out() > 0 || !found.iter().any(is_one) {
        return;
    }
    let taken = std::mem::take(found);
    found.extend(taken.into_iter().map(|finding| match &finding.help {
        Some(help) if is_one(&finding) => {
            let more = "with FireLens the ECS agent adds them, and `ikada check --task-definition FILE` looks at the whole";
            let help = format!("{help}; {more}");
            finding.help(help)
        }
        _ => finding,
    }));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_firelens_is_told_who_adds_the_inputs() {
        let text = "[OUTPUT]\n    Name stdout\n    Match *\n    nope 1\n";
        let mut loaded = ikada_config::from_text("extra.conf", text.to_owned());
        assemble(&mut loaded, &crate::plugins::registry(), true);
        let before = loaded.diagnostics.counts();
        tell_of_firelens(&mut loaded.diagnostics);
        assert_eq!(loaded.diagnostics.counts(), before);
        let found: Vec<_> = loaded.diagnostics.lines(&loaded.sources).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].contains("error[unknown-option]"), "{found:?}");
        assert!(
            found[0].ends_with(
                "(help: add an `[INPUT]`; with FireLens the ECS agent adds them, and `ikada check --task-definition FILE` looks at the whole)"
            ),
            "{found:?}"
        );
    }
}
