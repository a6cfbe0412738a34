//! `-h`, and the options of a plugin.

use ikada_options::{FilterCommon, InputCommon, OptionSet, Options, OutputCommon};
use ikada_plugin::registry::{Plugin, Registry, find};

use crate::cli::{HELP, Section};

/// The general help: flags, then the plugins that are built in.
#[must_use]
pub fn general(registry: &Registry) -> String {
    let mut text = HELP.to_owned();
    let lists = [
        ("Inputs", lines(&registry.inputs)),
        ("Filters", lines(&registry.filters)),
        ("Outputs", lines(&registry.outputs)),
    ];
    for (title, list) in lists {
        text.push_str(&format!("\n{title}\n{list}"));
    }
    text
}

fn lines<P: ?Sized>(plugins: &[Plugin<P>]) -> String {
    plugins
        .iter()
        .map(|plugin| format!("  {:<22} {}\n", plugin.name, first_sentence((plugin.options)().doc)))
        .collect()
}

fn first_sentence(doc: &str) -> String {
    let text = doc.trim().replace('\n', " ");
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}

/// The options of one plugin, its own first; `None` if there is no such plugin.
#[must_use]
pub fn plugin(registry: &Registry, section: Section, name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let (own, common) = match section {
        Section::Input => ((find(&registry.inputs, &name)?.options)(), InputCommon::set()),
        Section::Filter => ((find(&registry.filters, &name)?.options)(), FilterCommon::set()),
        Section::Output => ((find(&registry.outputs, &name)?.options)(), OutputCommon::set()),
    };
    let mut text = format!("{}\n\nOptions of {name}\n", own.doc.trim());
    text.push_str(&options(&own));
    text.push_str(&format!("\nOptions of every {}\n", common.name));
    text.push_str(&options(&common));
    Some(text)
}

fn options(set: &OptionSet) -> String {
    let mut text = String::new();
    for spec in &set.specs {
        let mut about = vec![spec.kind.to_owned()];
        about.extend(spec.required.then(|| "required".to_owned()));
        about.extend(spec.default.map(|default| format!("default {default}")));
        about.extend(spec.repeatable.then(|| "repeatable".to_owned()));
        if !spec.aliases.is_empty() {
            about.push(format!("also {}", spec.aliases.join(", ")));
        }
        let doc = spec.doc.trim().replace('\n', "\n      ");
        text.push_str(&format!("\n  {} ({})\n      {doc}\n", spec.name, about.join(", ")));
    }
    text
}
