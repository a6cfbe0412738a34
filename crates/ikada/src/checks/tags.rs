//! Which tags there can be, and who takes them.

use ikada_config::stream::Source;
use ikada_config::{Instance, Pipeline};
use ikada_route::TagRegex;

/// Longest pattern that is compared with another, in characters; longer ones count as fitting.
const LONGEST: usize = 256;

/// Where FireLens listens for the containers of a task.
const FIRELENS_SOCKET: &str = "/var/run/fluent.sock";

/// Inputs whose clients choose the tag.
const TAGGED_BY_CLIENTS: [&str; 5] = ["http", "splunk", "opentelemetry", "elasticsearch", "mqtt"];

/// The tags that an instance takes.
pub(crate) struct Takes {
    pub(crate) pattern: Option<String>,
    regex: Option<TagRegex>,
}

impl Takes {
    /// Reads `Match` and `Match_Regex`; an expression that is none has its finding elsewhere.
    pub(crate) fn of(instance: &Instance) -> Self {
        let written = |name: &str| {
            instance.bag.peek(name).map(|p| p.value.value.clone()).filter(|text| !text.is_empty())
        };
        let regex = written("match_regex").and_then(|text| TagRegex::new(&text).ok());
        Takes { pattern: written("match"), regex }
    }

    /// Says whether it has a `Match` or `Match_Regex` at all.
    pub(crate) fn is_given(&self) -> bool {
        self.pattern.is_some() || self.regex.is_some()
    }

    /// Says whether some tag that fits `tag` is taken.
    pub(crate) fn some_of(&self, tag: &str) -> bool {
        let by_regex = |regex: &TagRegex| tag.contains('*') || regex.matches(tag.as_bytes());
        self.pattern.as_deref().is_some_and(|pattern| fit(pattern, tag))
            || self.regex.as_ref().is_some_and(by_regex)
    }
}

/// Returns the tag of an input's records, as a pattern where it is not known before they come.
pub(crate) fn tags_of_input(input: &Instance) -> String {
    let written =
        |name: &str| input.bag.peek(name).map(|p| p.value.value.as_str()).filter(|text| !text.is_empty());
    let plugin = input.plugin.value.as_str();
    match (plugin, written("tag")) {
        ("forward", None) => match written("tag_prefix") {
            Some(prefix) => format!("{prefix}*"),
            None if written("unix_path") == Some(FIRELENS_SOCKET) => "*-firelens-*".to_owned(),
            None => "*".to_owned(),
        },
        (plugin, _) if TAGGED_BY_CLIENTS.contains(&plugin) => "*".to_owned(),
        ("tail", Some(tag)) => groups_as_stars(tag),
        (_, Some(tag)) => tag.to_owned(),
        (_, None) => input.id.clone(),
    }
}

/// `app.<name>`, whose parts come of the file's name, becomes `app.*`.
fn groups_as_stars(tag: &str) -> String {
    let mut pattern = String::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((_, behind)) = after.split_once('>') else { break };
        pattern.push_str(before);
        pattern.push('*');
        rest = behind;
    }
    pattern + rest
}

/// A filter that gives records another tag.
pub(crate) struct Retagger<'c> {
    pub(crate) filter: &'c Instance,
    pub(crate) takes: Takes,
    /// The new tags, as patterns, each with the place of its rule.
    pub(crate) rules: Vec<(String, ikada_diag::Span)>,
}

/// Returns the filters `rewrite_tag` of a configuration.
pub(crate) fn retaggers(config: &Pipeline) -> Vec<Retagger<'_>> {
    let is_one = |filter: &&Instance| filter.plugin.value == "rewrite_tag";
    let retaggers = config.filters.iter().filter(is_one).map(|filter| {
        let rules = filter.bag.properties().iter().filter(|property| property.is_named("rule"));
        let rules = rules.filter_map(|rule| {
            let words = words_of(&rule.value.value);
            words.get(2).map(|tag| (template_as_pattern(tag), rule.value.span))
        });
        Retagger { filter, takes: Takes::of(filter), rules: rules.collect() }
    });
    retaggers.collect()
}

/// Splits a rule at blanks; quotes keep a word together.
fn words_of(text: &str) -> Vec<String> {
    use ikada_options::{OptionValue, SpaceList};
    SpaceList::parse_value(text).map(|list| list.0).unwrap_or_default()
}

/// `error.$TAG[1].$0` becomes `error.*.*`.
fn template_as_pattern(template: &str) -> String {
    let mut pattern = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        pattern.push_str(before);
        pattern.push('*');
        let name = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
        rest = &after[name..];
        while rest.starts_with('[') {
            rest = rest.split_once(']').map_or("", |(_, behind)| behind);
        }
    }
    pattern + rest
}

/// Returns every tag that records can have: those of the inputs, and those that filters and stream tasks give.
pub(crate) fn all_tags(config: &Pipeline) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    let add = |tags: &mut Vec<String>, tag: String| {
        let is_new = !tags.contains(&tag);
        if is_new {
            tags.push(tag);
        }
        is_new
    };
    for input in &config.inputs {
        add(&mut tags, tags_of_input(input));
    }
    for task in &config.streams {
        if let Some(tag) = task.output_tag() {
            add(&mut tags, tag.to_owned());
        }
    }
    let retaggers = retaggers(config);
    let mut has_grown = true;
    while has_grown {
        has_grown = false;
        for retagger in &retaggers {
            if tags.iter().any(|tag| retagger.takes.some_of(tag)) {
                for (tag, _) in &retagger.rules {
                    has_grown |= add(&mut tags, tag.clone());
                }
            }
        }
    }
    tags
}

/// Says whether a filter or stream task gives records of this tag another one.
pub(crate) fn is_retagged(tag: &str, config: &Pipeline) -> bool {
    let by_stream = config.streams.iter().any(|task| match &task.from {
        Source::Tag(pattern) => fit(pattern, tag),
        Source::Stream(_) => true,
    });
    by_stream || retaggers(config).iter().any(|retagger| retagger.takes.some_of(tag))
}

/// Says whether some text fits both patterns, in which `*` stands for any text.
pub(crate) fn fit(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len() > LONGEST || other.len() > LONGEST {
        return true;
    }
    // row[j]: whether what is left of `one` fits what is left of `other` from j on. Filled from the ends.
    let mut row: Vec<bool> = vec![false; other.len() + 1];
    for i in (0..=one.len()).rev() {
        let below = row.clone();
        for j in (0..=other.len()).rev() {
            row[j] = match (one.get(i), other.get(j)) {
                (None, None) => true,
                (Some('*'), Some('*')) => below[j] || row[j + 1],
                (Some('*'), Some(_)) => below[j] || row[j + 1],
                (Some('*'), None) => below[j],
                (Some(_), Some('*')) => row[j + 1] || below[j],
                (None, Some('*')) => row[j + 1],
                (Some(a), Some(b)) => a == b && below[j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_when_some_tag_fits_both() {
        for (one, other) in [
            ("app.*", "app.web"),
            ("*", "x"),
            ("*.error", "app.*"),
            ("a*c", "ab*"),
            ("app-firelens*", "*-firelens-*"),
            ("", "*"),
            ("a", "a"),
        ] {
            assert!(fit(one, other) && fit(other, one), "{one} {other}");
        }
        for (one, other) in
            [("app.*", "web.*"), ("a", "b"), ("*.x", "a.y"), ("a*", ""), ("app", "*-firelens-*")]
        {
            assert!(!fit(one, other) && !fit(other, one), "{one} {other}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_tag_is_a_star() {
        assert_eq!(template_as_pattern("error.$TAG[1].$0"), "error.*.*");
        assert_eq!(template_as_pattern("$kubernetes['labels']['app']-x"), "*-x");
        assert_eq!(template_as_pattern("plain"), "plain");
        assert_eq!(groups_as_stars("kube.<ns>.<pod>"), "kube.*.*");
        assert_eq!(groups_as_stars("a<b"), "a<b");
    }

    proptest! {
        #[test]
        fn a_text_that_fits_both_makes_them_fit(parts in proptest::collection::vec(("[ab]{0,3}", any::<bool>(), any::<bool>()), 0..6)) {
            let text: String = parts.iter().map(|(part, _, _)| part.as_str()).collect();
            let starred = |second: bool| -> String {
                parts.iter().map(|(part, one, two)| if if second { *two } else { *one } { "*" } else { part.as_str() }).collect()
            };
            let (one, two) = (starred(false), starred(true));
            prop_assert!(fit(&one, &text) && fit(&two, &text) && fit(&one, &two));
        }
    }
}
