//! Who takes which tag.

use chrono::{DateTime, Utc};
use ikada_config::{Instance, Loaded, build_pipeline};
use ikada_diag::{Diagnostics, Sources};
use ikada_engine::OutputSlot;
use ikada_route::{Matcher, Pattern, TagRegex};

use super::names::{TASK_ID, names};

/// Most tags that are shown.
const MOST_TAGS: usize = 100;

/// An input, filter or output on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its alias or number, as `grep.0`.
    pub name: String,
    /// A few words about it: a pattern, a parser, names at the destination.
    pub about: String,
    /// Where its section stands.
    pub place: String,
}

/// The way of one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The tag.
    pub tag: String,
    /// Which filter gave it, if one did.
    pub given_by: Option<String>,
    /// The inputs it can come from.
    pub inputs: Vec<Node>,
    /// The filters, in order.
    pub filters: Vec<Node>,
    /// The outputs.
    pub outputs: Vec<Node>,
}

/// The ways of all tags that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// The ways.
    pub ways: Vec<Way>,
    /// Filters and outputs that take none of these tags.
    pub idle: Vec<Node>,
}

struct Stage {
    instance: Instance,
    matcher: Matcher,
}

struct Place<'m> {
    built: &'m [OutputSlot],
    inputs: Vec<Instance>,
    filters: Vec<Stage>,
    outputs: Vec<Stage>,
    sources: &'m Sources,
    now: DateTime<Utc>,
}

impl Map {
    /// Follows a tag or a container's name, or every tag that is known. `built` are the outputs of this configuration, which say how they
    /// name things.
    #[must_use]
    pub fn of(loaded: &Loaded, built: &[OutputSlot], subject: Option<&str>, now: DateTime<Utc>) -> Self {
        let config = build_pipeline(&loaded.document, &mut Diagnostics::new());
        let place = Place {
            built,
            inputs: config.inputs,
            filters: stages(config.filters),
            outputs: stages(config.outputs),
            sources: &loaded.sources,
            now,
        };
        let tags = match subject {
            Some(subject) => vec![place.tag_of(subject)],
            None => place.known_tags(),
        };
        let mut map = Self::default();
        let mut waiting: Vec<(String, Option<String>)> =
            tags.into_iter().rev().map(|tag| (tag, None)).collect();
        while let Some((tag, given_by)) = waiting.pop() {
            if map.ways.len() == MOST_TAGS || map.ways.iter().any(|way| way.tag == tag) {
                continue;
            }
            let (way, new) = place.follow(&tag, given_by);
            waiting.extend(new.into_iter().rev());
            map.ways.push(way);
        }
        if subject.is_none() {
            map.idle = place.idle(&map.ways);
        }
        map
    }
}

fn stages(instances: Vec<Instance>) -> Vec<Stage> {
    let stage = |instance: Instance| {
        let text = |key: &str| instance.bag.peek(key).map(|property| property.value.value.clone());
        let pattern = text("match").filter(|text| !text.is_empty()).map(|text| Pattern::new(&text));
        let regex = text("match_regex").and_then(|text| TagRegex::new(&text).ok());
        Stage { matcher: Matcher { pattern, regex }, instance }
    };
    instances.into_iter().map(stage).collect()
}

/// The tag that FireLens gives a container's lines.
fn container_tag(container: &str) -> String {
    format!("{container}-firelens-{TASK_ID}")
}

impl Place<'_> {
    /// A container's name stands for its tag where clients say what tags they use, unless more is made for the name itself.
    fn tag_of(&self, subject: &str) -> String {
        let container = container_tag(subject);
        let stages = || self.filters.iter().chain(&self.outputs);
        let count = |tag: &str| stages().filter(|stage| stage.matcher.matches(tag.as_bytes())).count();
        let fixed: Vec<_> = self.inputs.iter().map(|input| self.fixed_tag(input)).collect();
        let is_given = fixed.iter().flatten().any(|tag| tag == subject);
        let is_name = fixed.contains(&None) && !subject.contains('.') && !subject.contains("-firelens-");
        if is_name && !is_given && count(&container) >= count(subject) {
            container
        } else {
            subject.to_owned()
        }
    }

    /// The one tag an input gives; `None` where it takes what its clients say, or makes it of a path.
    fn fixed_tag(&self, input: &Instance) -> Option<String> {
        let tag =
            input.bag.peek("tag").map(|property| property.value.value.clone()).filter(|tag| !tag.is_empty());
        match (input.plugin.value.as_str(), tag) {
            ("forward", None) => None,
            (_, Some(tag)) => Some(tag.replace('*', "var.log.app.log")),
            (_, None) => Some(input.id.clone()),
        }
    }

    /// Tags that inputs give, then those that patterns are made for where an input takes any.
    fn known_tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.inputs.iter().filter_map(|input| self.fixed_tag(input)).collect();
        let takes_any = self.inputs.iter().any(|input| self.fixed_tag(input).is_none());
        if takes_any {
            for stage in self.outputs.iter().chain(&self.filters) {
                let pattern = stage.instance.bag.peek("match").map(|property| property.value.value.clone());
                let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty() && pattern != "*") else {
                    continue;
                };
                tags.push(match pattern.split_once("-firelens") {
                    Some((container, rest)) if !container.contains('*') && rest.contains('*') => {
                        container_tag(container)
                    }
                    _ => pattern.replace('*', "x"),
                });
            }
            if tags.iter().all(|tag| tag == "firelens-healthcheck") {
                tags.push(container_tag("app"));
            }
        }
        let mut unique = Vec::new();
        tags.into_iter().for_each(|tag| {
            if !unique.contains(&tag) {
                unique.push(tag);
            }
        });
        unique
    }

    fn follow(&self, tag: &str, given_by: Option<String>) -> (Way, Vec<(String, Option<String>)>) {
        let takes = |stage: &&Stage| stage.matcher.matches(tag.as_bytes());
        // What a filter re-tags passes all filters but that one.
        let is_other = |stage: &&Stage| given_by.as_deref() != Some(stage.instance.name());
        let filters: Vec<&Stage> = self.filters.iter().filter(takes).filter(is_other).collect();
        let outputs = self.outputs.iter().filter(takes);
        let new = filters.iter().flat_map(|stage| {
            let by = stage.instance.name().to_owned();
            new_tags(&stage.instance, tag).into_iter().map(move |tag| (tag, Some(by.clone())))
        });
        let new = new.collect();
        let inputs = match given_by {
            Some(_) => Vec::new(),
            None => self
                .inputs
                .iter()
                .filter(|input| self.gives(input, tag))
                .map(|input| self.input(input))
                .collect(),
        };
        let way = Way {
            tag: tag.to_owned(),
            given_by,
            inputs,
            filters: filters.iter().map(|stage| self.filter(&stage.instance)).collect(),
            outputs: outputs.map(|stage| self.output(&stage.instance, tag)).collect(),
        };
        (way, new)
    }

    fn gives(&self, input: &Instance, tag: &str) -> bool {
        if let Some(fixed) = self.fixed_tag(input) {
            return fixed == tag;
        }
        let prefix = input.bag.peek("tag_prefix").map(|property| property.value.value.clone());
        prefix.is_none_or(|prefix| tag.starts_with(&prefix))
    }

    fn idle(&self, ways: &[Way]) -> Vec<Node> {
        let is_idle = |stage: &&Stage| !ways.iter().any(|way| stage.matcher.matches(way.tag.as_bytes()));
        let filters = self.filters.iter().filter(is_idle).map(|stage| self.filter(&stage.instance));
        let outputs = self
            .outputs
            .iter()
            .filter(is_idle)
            .map(|stage| self.node(&stage.instance, matched(&stage.instance)));
        filters.chain(outputs).collect()
    }

    fn node(&self, instance: &Instance, about: Vec<String>) -> Node {
        let at = self.sources.location(instance.header);
        let name = match instance.alias {
            Some(_) => format!("{} ({})", instance.name(), instance.plugin.value),
            None => instance.id.clone(),
        };
        Node { name, about: about.join(", "), place: format!("{}:{}", at.name, at.line) }
    }

    fn input(&self, input: &Instance) -> Node {
        let text = |key: &str| input.bag.peek(key).map(|property| property.value.value.clone());
        let mut about = Vec::new();
        about.extend(text("unix_path").or_else(|| text("path")));
        if let Some(port) = text("port") {
            about.push(format!("{}:{port}", text("listen").unwrap_or_else(|| "0.0.0.0".to_owned())));
        }
        about.extend(text("parser").map(|parser| format!("parser {parser}")));
        about.extend(text("multiline.parser").map(|parser| format!("multiline.parser {parser}")));
        self.node(input, about)
    }

    fn filter(&self, filter: &Instance) -> Node {
        let mut about = matched(filter);
        let all: Vec<_> = filter.bag.leftover().filter(|property| !property.is_named("match")).collect();
        let told = [
            "parser",
            "multiline.parser",
            "regex",
            "exclude",
            "rule",
            "key_name",
            "record",
            "script",
            "call",
        ];
        let shown = all.iter().filter(|property| told.contains(&property.name().as_str()));
        about
            .extend(shown.take(3).map(|property| format!("{} {}", property.key.value, property.value.value)));
        self.node(filter, about)
    }

    fn output(&self, output: &Instance, tag: &str) -> Node {
        let mut about = matched(output);
        about.extend(
            names(self.built, output, tag, self.now).into_iter().map(|(word, name)| format!("{word} {name}")),
        );
        self.node(output, about)
    }
}

fn matched(instance: &Instance) -> Vec<String> {
    let written = ["match", "match_regex"].iter().filter_map(|key| instance.bag.peek(key));
    written.map(|property| format!("{} {}", property.key.value, property.value.value)).collect()
}

/// Tags that `rewrite_tag` gives, as far as they do not depend on the record.
fn new_tags(filter: &Instance, tag: &str) -> Vec<String> {
    if filter.plugin.value != "rewrite_tag" {
        return Vec::new();
    }
    let rules = filter.bag.leftover().filter(|property| property.is_named("rule"));
    let new = rules.filter_map(|rule| rule.value.value.split_whitespace().nth(2).map(str::to_owned));
    let filled = new.map(|new| {
        let mut new = new;
        for (number, part) in tag.split('.').enumerate() {
            new = new.replace(&format!("$TAG[{number}]"), part);
        }
        new.replace("$TAG", tag)
    });
    filled.filter(|new| new != tag).collect()
}
