//! Pages of options.

use std::fmt::Write;

use ikada_options::{OptionSet, OptionSpec};

use crate::page::{Page, cell};

/// The page of one plugin.
pub(crate) fn plugin(kind: &str, name: &str, aliases: &[&str], set: &OptionSet) -> Page {
    let mut body = String::new();
    if !aliases.is_empty() {
        let names: Vec<String> = aliases.iter().map(|alias| format!("`{alias}`")).collect();
        writeln!(body, "Other names: {}.\n", names.join(", ")).unwrap();
    }
    body.push_str(&options(set));
    writeln!(body, "Beside these it has the [options of every {kind}](common-{kind}.md).").unwrap();
    Page::new(&format!("{kind}-{name}"), &format!("{kind} `{name}`"), set.doc, &body)
}

/// The page of the options that all plugins of a kind have.
pub(crate) fn common(kind: &str, set: &OptionSet) -> Page {
    Page::new(&format!("common-{kind}"), &format!("every {kind}"), set.doc, &options(set))
}

/// The page of `[SERVICE]`.
pub(crate) fn service(set: &OptionSet) -> Page {
    Page::new("service", "`[SERVICE]`", set.doc, &options(set))
}

/// First a table to look things up, then what there is to say, then what is accepted and does nothing.
fn options(set: &OptionSet) -> String {
    let (idle, active): (Vec<&OptionSpec>, Vec<&OptionSpec>) =
        set.specs.iter().partition(|spec| spec.no_effect);
    let mut text = String::new();
    if active.is_empty() {
        text.push_str("It has no options of its own.\n\n");
    } else {
        text.push_str("| option | value | default |\n|---|---|---|\n");
        for spec in &active {
            writeln!(text, "| `{}` | {} | {} |", spec.name, cell(spec.kind), default(spec)).unwrap();
        }
        text.push('\n');
    }
    for spec in &active {
        text.push_str(&details(spec));
    }
    if !idle.is_empty() {
        text.push_str(
            "## Accepted without effect\n\nSo that configurations for Fluent Bit load as they are.\n\n",
        );
        for spec in &idle {
            writeln!(text, "* `{}`: {}", spec.name, cell(spec.doc)).unwrap();
        }
        text.push('\n');
    }
    text
}

fn default(spec: &OptionSpec) -> String {
    match spec.default {
        Some(default) => format!("`{}`", cell(default)),
        None if spec.required => "**required**".to_owned(),
        None => String::new(),
    }
}

fn details(spec: &OptionSpec) -> String {
    let mut text = format!("## `{}`\n\n{}\n", spec.name, spec.doc.trim());
    if !spec.choices.is_empty() {
        text.push('\n');
        for (choice, doc) in spec.choices {
            writeln!(text, "* `{choice}`: {}", cell(doc)).unwrap();
        }
    }
    let mut notes = Vec::new();
    notes.extend(spec.example.map(|example| format!("Example: `{example}`.")));
    if !spec.aliases.is_empty() {
        let names: Vec<String> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        notes.push(format!("Also {}.", names.join(", ")));
    }
    notes.extend(spec.repeatable.then(|| "May be given more than once.".to_owned()));
    if !notes.is_empty() {
        writeln!(text, "\n{}", notes.join(" ")).unwrap();
    }
    text.push('\n');
    text
}
