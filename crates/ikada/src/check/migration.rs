//! `ikada check --from fluent-bit`: what becomes of each section and each option of a configuration that Fluent Bit runs.
//!
//! The answer for an option comes from what was found at its place: an error means that it is not supported (or wrong in both programs), a
//! note of `no-effect` that it changes nothing, and a row of `data/differences.tsv` that it means something else here. All others mean the
//! same.

use ikada_config::{Instance, Loaded, Pipeline, SectionKind};
use ikada_diag::{Diagnostic, Diagnostics, Severity, Span, codes};
use ikada_options::{Property, known_option};
use ikada_plugin::registry::{Registry, find};
use serde_json::{Value, json};

const DIFFERENCES: &str = include_str!("../../data/differences.tsv");

/// What becomes of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Same,
    Different(String),
    Idle(String),
    Unsupported(String),
}

struct Entry {
    name: String,
    line: u32,
    fate: Fate,
}

struct Part {
    /// `[OUTPUT] s3.0`.
    title: String,
    place: String,
    options: Vec<Entry>,
    /// What its absent options mean here.
    absent: Vec<String>,
}

/// The whole report.
pub(super) struct Report {
    parts: Vec<Part>,
}

pub(super) fn report(loaded: &Loaded, registry: &Registry) -> Report {
    let config = ikada_config::build_pipeline(&loaded.document, &mut Diagnostics::new());
    let mut parts: Vec<Part> = Vec::new();
    for section in loaded.document.of_kind(SectionKind::Service) {
        let options = options_of(loaded, &section.properties, "service", "");
        parts.push(part(loaded, "service".to_owned(), section.header, options));
    }
    if let Some(service) = parts.first_mut().filter(|part| part.title == "service") {
        service.absent = absent("service", "", |name| loaded.document.sets_service(name));
    }
    for instance in config.inputs.iter().chain(&config.filters).chain(&config.outputs) {
        parts.push(part_of(loaded, instance, registry));
    }
    for parser in &config.parsers {
        let name = parser.get("name").map_or("", |name| name.value.as_str());
        let options = options_of(loaded, &parser.properties, parser.kind.word(), "");
        parts.push(part(loaded, format!("{} {name}", parser.kind.word()), parser.header, options));
    }
    parts.extend(others(loaded, &config));
    Report { parts }
}

fn part(loaded: &Loaded, title: String, header: Span, options: Vec<Entry>) -> Part {
    let at = loaded.sources.location(header);
    Part { title, place: format!("{}:{}", at.name, at.line), options, absent: Vec::new() }
}

fn part_of(loaded: &Loaded, instance: &Instance, registry: &Registry) -> Part {
    let (kind, plugin) = (instance.kind.word(), instance.plugin.value.as_str());
    let is_there = match kind {
        "input" => find(&registry.inputs, plugin).is_some(),
        "filter" => find(&registry.filters, plugin).is_some(),
        _ => find(&registry.outputs, plugin).is_some(),
    };
    let title = format!("{kind} {}", instance.name());
    let name = || loaded.sources.location(instance.plugin.span).line;
    if !is_there {
        let why = error_at(loaded, instance.plugin.span).unwrap_or_else(|| "no such plugin".to_owned());
        let all = instance.bag.properties().iter().filter(|property| is_written(property, instance.header));
        let mut options =
            vec![Entry { name: format!("Name {plugin}"), line: name(), fate: Fate::Unsupported(why) }];
        options.extend(all.map(|property| Entry {
            name: property.key.value.clone(),
            line: loaded.sources.location(property.key.span).line,
            fate: Fate::Unsupported("belongs to a plugin that is not supported".to_owned()),
        }));
        return part(loaded, title, instance.header, options);
    }
    let written: Vec<Property> =
        instance.bag.properties().iter().filter(|p| is_written(p, instance.header)).cloned().collect();
    let mut options = vec![Entry { name: format!("Name {plugin}"), line: name(), fate: Fate::Same }];
    options.extend(options_of(loaded, &written, kind, plugin));
    let mut part = part(loaded, title, instance.header, options);
    part.absent = absent(kind, plugin, |name| instance.bag.peek(name).is_some());
    part
}

/// A `Match *` that was added has no place of its own.
fn is_written(property: &Property, header: Span) -> bool {
    property.key.span != header
}

fn options_of(loaded: &Loaded, properties: &[Property], kind: &str, plugin: &str) -> Vec<Entry> {
    let entry = |property: &Property| Entry {
        name: property.key.value.clone(),
        line: loaded.sources.location(property.key.span).line,
        fate: fate_of(loaded, property, kind, plugin),
    };
    properties.iter().map(entry).collect()
}

fn fate_of(loaded: &Loaded, property: &Property, kind: &str, plugin: &str) -> Fate {
    let here = |finding: &&Diagnostic| {
        finding.span.is_some_and(|span| {
            let inside = |whole: Span| {
                span.source == whole.source && span.start >= whole.start && span.end <= whole.end
            };
            inside(property.key.span) || inside(property.value.span)
        })
    };
    let mut findings: Vec<&Diagnostic> = loaded.diagnostics.iter().filter(here).collect();
    findings.sort_by_key(|finding| finding.severity);
    for finding in findings {
        match (finding.severity, finding.code) {
            (Severity::Error, _) => return Fate::Unsupported(finding.message.clone()),
            (_, codes::NO_EFFECT) => {
                let why = finding.help.clone().unwrap_or_else(|| finding.message.clone());
                return Fate::Idle(why);
            }
            (_, codes::ADJUSTED_VALUE) => return Fate::Different(finding.message.clone()),
            _ => {}
        }
    }
    match difference(kind, plugin, &property.name(), "written") {
        Some(text) => Fate::Different(text.to_owned()),
        None => Fate::Same,
    }
}

fn error_at(loaded: &Loaded, span: Span) -> Option<String> {
    let finding = loaded.diagnostics.iter().find(|finding| finding.span == Some(span))?;
    Some(match &finding.help {
        Some(help) => format!("{}: {help}", finding.message),
        None => finding.message.clone(),
    })
}

fn rows() -> impl Iterator<Item = [&'static str; 5]> {
    DIFFERENCES.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut row = [""; 5];
        row.iter_mut().zip(line.split('\t')).for_each(|(cell, text)| *cell = text);
        row
    })
}

fn difference(kind: &str, plugin: &str, option: &str, when: &str) -> Option<&'static str> {
    let is_meant = |row: &[&str; 5]| {
        row[0] == kind && (row[1] == plugin || row[1] == "*") && row[2] == option && row[3] == when
    };
    rows().find(is_meant).map(|row| row[4])
}

fn absent(kind: &str, plugin: &str, is_given: impl Fn(&str) -> bool) -> Vec<String> {
    let known = |option: &str| match kind {
        "output" => known_option(ikada_options::PluginKind::Output, plugin, option).is_some(),
        _ => true,
    };
    let is_meant = |row: &[&'static str; 5]| {
        row[0] == kind
            && (row[1] == plugin || row[1] == "*")
            && row[3] == "absent"
            && known(row[2])
            && !is_given(row[2])
    };
    rows().filter(is_meant).map(|row| format!("without {}: {}", row[2], row[4])).collect()
}

/// Sections that are neither instances nor parsers.
fn others(loaded: &Loaded, config: &Pipeline) -> Vec<Part> {
    let mut parts = Vec::new();
    for section in loaded.document.sections() {
        let is_read = match section.kind {
            SectionKind::StreamTask => config
                .streams
                .iter()
                .any(|task| section.properties.iter().any(|property| property.value.span == task.span)),
            SectionKind::Upstream | SectionKind::Node => true,
            SectionKind::Custom | SectionKind::Plugins | SectionKind::Unknown => false,
            _ => continue,
        };
        let fate = match is_read {
            true => Fate::Same,
            false => Fate::Unsupported("this section is not supported".to_owned()),
        };
        let line = loaded.sources.location(section.header).line;
        let name = format!("[{}]", section.name.value);
        let options = vec![Entry { name, line, fate }];
        parts.push(part(loaded, section.kind.word().to_owned(), section.header, options));
    }
    parts
}

impl Report {
    fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for option in self.parts.iter().flat_map(|part| &part.options) {
            counts[match option.fate {
                Fate::Same => 0,
                Fate::Different(_) => 1,
                Fate::Idle(_) => 2,
                Fate::Unsupported(_) => 3,
            }] += 1;
        }
        counts
    }

    /// Options that keep their meaning or differ in a way that is told, of all.
    fn percentage(&self) -> usize {
        let [same, different, idle, unsupported] = self.counts();
        let all = same + different + idle + unsupported;
        ((same + different + idle) * 100).checked_div(all).unwrap_or(100)
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(&format!("{} ({})\n", part.title, part.place));
            let same: Vec<&str> =
                part.options.iter().filter(|o| o.fate == Fate::Same).map(|o| o.name.as_str()).collect();
            if !same.is_empty() {
                text.push_str(&format!("  same           {}\n", same.join(", ")));
            }
            for option in &part.options {
                let (word, why) = match &option.fate {
                    Fate::Same => continue,
                    Fate::Different(why) => ("different", why),
                    Fate::Idle(why) => ("without effect", why),
                    Fate::Unsupported(why) => ("not supported", why),
                };
                text.push_str(&format!("  {word:<14} {} (line {}): {why}\n", option.name, option.line));
            }
            for absent in &part.absent {
                text.push_str(&format!("  different      {absent}\n"));
            }
        }
        let [same, different, idle, unsupported] = self.counts();
        text.push_str(&format!(
            "\n{} % supported: {same} the same, {different} with a difference, {idle} without effect, {unsupported} not supported\n",
            self.percentage()
        ));
        text
    }

    pub(super) fn json(&self) -> String {
        let option = |option: &Entry| {
            let (fate, why) = match &option.fate {
                Fate::Same => ("same", None),
                Fate::Different(why) => ("different", Some(why)),
                Fate::Idle(why) => ("without effect", Some(why)),
                Fate::Unsupported(why) => ("not supported", Some(why)),
            };
            json!({ "name": option.name, "line": option.line, "fate": fate, "why": why })
        };
        let part = |part: &Part| {
            let options: Vec<Value> = part.options.iter().map(option).collect();
            json!({ "section": part.title, "place": part.place, "options": options, "absent": part.absent })
        };
        let [same, different, idle, unsupported] = self.counts();
        let whole = json!({
            "sections": self.parts.iter().map(part).collect::<Vec<_>>(),
            "same": same,
            "different": different,
            "without_effect": idle,
            "not_supported": unsupported,
            "percent_supported": self.percentage(),
        });
        format!("{whole:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::assemble;
    use crate::plugins::registry;

    #[test]
    fn every_row_of_the_table_is_whole() {
        for row in rows() {
            assert!(["service", "input", "filter", "output"].contains(&row[0]), "{row:?}");
            assert!(["written", "absent"].contains(&row[3]) && !row[4].is_empty(), "{row:?}");
        }
    }

    #[test]
    fn each_option_has_its_fate_and_the_whole_a_percentage() {
        let text = "[INPUT]\n    Name forward\n    Mem_Buf_Limit 10MB\n    Threaded on\n[OUTPUT]\n    Name stdout\n    Match *\n[OUTPUT]\n    Name es\n    Match *\n    Host x\n";
        let mut loaded = ikada_config::from_text("a.conf", text);
        assemble(&mut loaded, &registry(), true);
        let report = report(&loaded, &registry());
        assert_eq!(report.counts(), [3, 1, 1, 3]);
        assert_eq!(report.percentage(), 62);
        let text = report.text();
        for line in [
            "input forward.0 (a.conf:1)\n  same           Name forward\n  different      Mem_Buf_Limit (line 3): ",
            "  without effect Threaded (line 4): ",
            "output stdout.0 (a.conf:5)\n  same           Name stdout, Match\n  different      without retry_limit: ",
            "  not supported  Name es (line 9): Fluent Bit has `es`, Ikada does not have it: ",
            "\n62 % supported: 3 the same, 1 with a difference, 1 without effect, 3 not supported\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
