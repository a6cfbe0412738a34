//! What Fluent Bit has: every plugin and option it knows by name, and what to do about those that Ikada has not.
//!
//! Two tables stand in `data/`: `fluent-bit.tsv` is generated and holds names, types and defaults; `advice.tsv` is
//! written by hand. Neither says what Ikada has: the registry and the option sets do, and they are asked first.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::nearest::nearest;
use crate::spec::PluginKind;

const NAMES: &str = include_str!("../data/fluent-bit.tsv");
const ADVICE: &str = include_str!("../data/advice.tsv");

/// The plugin that stands for every plugin of its kind.
const EVERY: &str = "*";

/// The version that the tables were made from.
pub const FLUENT_BIT: &str = "5.1.1";

/// An option of Fluent Bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownOption {
    /// Its name; one that ends with `*` stands for every name that starts so.
    pub name: &'static str,
    /// Its type: `string`, `boolean`, `integer`, `number`, `size`, `time`, `list` or `words`.
    pub kind: &'static str,
    /// What it is when it is not given.
    pub default: Option<&'static str>,
}

/// What to do about a plugin or option that Ikada does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It is refused, and this is what to use.
    Instead(&'static str),
    /// It is accepted, changes nothing, and this is why.
    Idle(&'static str),
}

type Plugins = HashMap<(PluginKind, &'static str), Vec<KnownOption>>;

static KNOWN: LazyLock<Plugins> = LazyLock::new(|| {
    let mut plugins = Plugins::new();
    for row in rows(NAMES) {
        let [kind, plugin, option, typed, default] = row;
        let Some(kind) = kind_named(kind) else { continue };
        let options = plugins.entry((kind, plugin)).or_default();
        if !option.is_empty() {
            let default = (!default.is_empty()).then_some(default);
            options.push(KnownOption { name: option, kind: typed, default });
        }
    }
    plugins
});

/// Says whether Fluent Bit has a plugin of this kind and name (lower case).
pub fn is_known_plugin(kind: PluginKind, name: &str) -> bool {
    name != EVERY && KNOWN.keys().any(|(known, plugin)| *known == kind && *plugin == name)
}

/// Returns the kinds of plugin that this name (lower case) stands for in Fluent Bit.
pub fn kinds_of_plugin(name: &str) -> Vec<PluginKind> {
    let kinds = [PluginKind::Input, PluginKind::Filter, PluginKind::Output, PluginKind::Processor];
    kinds.into_iter().filter(|kind| is_known_plugin(*kind, name)).collect()
}

/// Returns the names of Fluent Bit's plugins of one kind that are near a name, the nearest first.
pub fn nearest_plugins(kind: PluginKind, name: &str) -> Vec<&'static str> {
    let names = KNOWN.keys().filter(|(known, plugin)| *known == kind && *plugin != EVERY);
    nearest(name, names.map(|(_, plugin)| *plugin))
}

/// Returns the option that Fluent Bit's plugin has under this name, in any case, or that every plugin of its kind has.
pub fn known_option(kind: PluginKind, plugin: &str, option: &str) -> Option<KnownOption> {
    let find = |plugin: &str| {
        let key = KNOWN.keys().find(|(known, name)| *known == kind && *name == plugin)?;
        KNOWN[key].iter().find(|known| covers(known.name, option)).copied()
    };
    find(plugin).or_else(|| find(EVERY))
}

/// Returns all options that Fluent Bit's plugin has of its own.
pub fn known_options(kind: PluginKind, plugin: &str) -> &'static [KnownOption] {
    let key = KNOWN.keys().find(|(known, name)| *known == kind && *name == plugin);
    key.map_or(&[], |key| &KNOWN[key])
}

/// Returns what to do about a plugin that Ikada does not have.
pub fn advice_on_plugin(kind: PluginKind, plugin: &str) -> Option<Advice> {
    advice(kind, plugin, "")
}

/// Returns what to do about an option that Ikada does not have.
pub fn advice_on_option(kind: PluginKind, plugin: &str, option: &str) -> Option<Advice> {
    advice(kind, plugin, option).or_else(|| advice(kind, EVERY, option))
}

fn advice(kind: PluginKind, plugin: &str, option: &str) -> Option<Advice> {
    let is_about = |[known, name, about, _, _]: &[&str; 5]| {
        kind_named(known) == Some(kind) && *name == plugin && covers(about, option)
    };
    let [_, _, _, verdict, text] = rows(ADVICE).find(is_about)?;
    Some(if verdict == "idle" { Advice::Idle(text) } else { Advice::Instead(text) })
}

/// Says whether a name from a table stands for an option.
fn covers(known: &str, option: &str) -> bool {
    match known.strip_suffix('*') {
        None => known.eq_ignore_ascii_case(option),
        Some(start) => {
            !start.is_empty()
                && option.get(..start.len()).is_some_and(|given| given.eq_ignore_ascii_case(start))
        }
    }
}

fn kind_named(word: &str) -> Option<PluginKind> {
    Some(match word {
        "input" => PluginKind::Input,
        "filter" => PluginKind::Filter,
        "output" => PluginKind::Output,
        "processor" => PluginKind::Processor,
        "custom" => PluginKind::Custom,
        _ => return None,
    })
}

/// Returns the rows of a table; cells at the end of a line may be missing.
fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 5]> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| {
        let mut row = [""; 5];
        for (cell, text) in row.iter_mut().zip(line.split('\t')) {
            *cell = text;
        }
        row
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_options_are_known_by_name() {
        assert!(is_known_plugin(PluginKind::Output, "kafka-rest"));
        assert!(is_known_plugin(PluginKind::Input, "systemd"));
        assert!(!is_known_plugin(PluginKind::Input, "s3"));
        assert!(!is_known_plugin(PluginKind::Input, "*"));
        assert_eq!(kinds_of_plugin("forward"), [PluginKind::Input, PluginKind::Output]);
        assert_eq!(nearest_plugins(PluginKind::Output, "opensaerch"), ["opensearch"]);
    }

    #[test]
    fn an_option_is_found_in_any_case_by_prefix_and_among_those_of_all() {
        let of = |plugin, option| known_option(PluginKind::Input, plugin, option).map(|known| known.name);
        assert_eq!(of("tail", "Skip_Long_Lines"), Some("skip_long_lines"));
        assert_eq!(of("tail", "Parser_1"), Some("parser_*"));
        assert_eq!(of("tail", "storage.type"), Some("storage.type"));
        assert_eq!(of("tail", "bucket"), None);
        let size = known_option(PluginKind::Output, "s3", "total_file_size").unwrap();
        assert_eq!((size.kind, size.default), ("size", Some("100000000")));
    }

    #[test]
    fn every_row_of_the_tables_is_whole() {
        for [kind, plugin, option, typed, _] in rows(NAMES) {
            assert!(kind_named(kind).is_some() && !plugin.is_empty(), "{kind} {plugin}");
            assert_eq!(option.is_empty(), typed.is_empty(), "{kind} {plugin} {option}");
        }
        for [kind, plugin, option, verdict, text] in rows(ADVICE) {
            let place = format!("{kind} {plugin} {option}");
            let kind = kind_named(kind).unwrap();
            assert!(["idle", "instead"].contains(&verdict) && !text.is_empty(), "{place}");
            assert!(plugin == EVERY || is_known_plugin(kind, plugin) || plugin == "newrelic", "{place}");
        }
    }
}
