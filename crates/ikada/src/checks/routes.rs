//! Outputs and filters that no record reaches, and inputs whose records reach no output.

use ikada_config::{Format, Instance, Pipeline};
use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{PluginKind, nearest, quoted_list};

use super::tags::{Takes, all_tags, is_retagged, tags_of_input};

/// How many tags a help names.
const SHOWN: usize = 6;

pub(super) fn check(config: &Pipeline, found: &mut Diagnostics) {
    // Without ends, everything would be unreachable, and that has its finding.
    if config.inputs.is_empty() || config.outputs.is_empty() {
        return;
    }
    let tags = all_tags(config);
    for instance in config.filters.iter().chain(&config.outputs) {
        let takes = Takes::of(instance);
        if takes.is_given() && !tags.iter().any(|tag| takes.some_of(tag)) {
            found.push(unreachable(instance, &takes, &tags));
        }
    }
    let outputs: Vec<Takes> = config.outputs.iter().map(Takes::of).collect();
    for input in &config.inputs {
        let tag = tags_of_input(input);
        if !outputs.iter().any(|output| output.some_of(&tag)) && !is_retagged(&tag, config) {
            found.push(unmatched(input, &tag, config));
        }
    }
}

fn unreachable(instance: &Instance, takes: &Takes, tags: &[String]) -> Diagnostic {
    let word = instance.kind.word();
    let written = ["match", "match_regex"].iter().find_map(|name| instance.bag.peek(name));
    let span = written.map_or(instance.header, |property| property.value.span);
    let shown = written.map(|property| property.value.value.as_str()).unwrap_or_default();
    let message = format!("no tag fits `{shown}`, so nothing reaches {word} {}", instance.name());
    let pattern = takes.pattern.as_deref().unwrap_or_default();
    let lower = pattern.to_lowercase();
    let near = nearest(pattern.trim_matches('*'), tags.iter().map(|tag| tag.trim_matches('*')));
    let help = if tags.iter().any(|tag| super::tags::fit(&lower, &tag.to_lowercase())) {
        "upper and lower case are told apart".to_owned()
    } else if let Some(near) =
        near.first().and_then(|near| tags.iter().find(|tag| tag.trim_matches('*') == *near))
    {
        format!("did you mean `{near}`?")
    } else {
        let listed: Vec<&str> = tags.iter().map(String::as_str).take(SHOWN).collect();
        let more = if tags.len() > SHOWN { ", among others" } else { "" };
        format!("the tags here are {}{more}", quoted_list(&listed, "and"))
    };
    let code = match instance.kind {
        PluginKind::Output => codes::UNREACHABLE_OUTPUT,
        _ => codes::UNREACHABLE_FILTER,
    };
    Diagnostic::warning(code, message).at(span).help(help)
}

fn unmatched(input: &Instance, tag: &str, config: &Pipeline) -> Diagnostic {
    let written = input.bag.peek("tag").filter(|tag| !tag.value.is_empty());
    let span: Span = written.map_or(input.header, |tag| tag.value.span);
    let message =
        format!("no output matches the tag `{tag}` of input {}, so its records are dropped", input.name());
    let key = match (config.outputs.first().map(|output| output.format), input.format) {
        (Some(Format::Yaml), _) | (None, Format::Yaml) => format!("match: \"{tag}\""),
        _ => format!("Match {tag}"),
    };
    let help = format!("give an output `{key}`");
    Diagnostic::warning(codes::UNMATCHED_INPUT, message).at(span).help(help)
}
