//! `processors` of an input or output: a list of filters for each kind of signal, each with a condition.
//!
//! Ikada carries logs; what stands below `metrics` and `traces` changes nothing.

use ikada_diag::{Diagnostic, Span, Spanned, codes};
use ikada_options::{nearest, quoted_list};

use super::shape::{Reader, header_of, is_named};
use super::tree::{Node, Pair, Value};
use crate::document::{Format, Section, SectionKind};
use crate::processor::{ConditionOp, ConditionRule, ProcessorCondition, RuleOp};

const NAMED: &str = "- name: …";
const RULE: &str = "- { field: \"$level\", op: eq, value: error }";

impl Reader<'_> {
    /// Reads the processors that stand in an input or output.
    pub(super) fn processors(&mut self, pairs: &[Pair]) -> Vec<Section> {
        let mut processors = Vec::new();
        for pair in pairs.iter().filter(|pair| is_named(pair, "processors")) {
            let Some(signals) = self.mapping(&pair.key, &pair.value, "logs: …") else { continue };
            for signal in signals {
                let Some(name) = self.key_of(&signal.key) else { continue };
                match name.to_ascii_lowercase().as_str() {
                    "logs" => self.processors_of_logs(signal, &mut processors),
                    "metrics" | "traces" => {
                        let message = format!("processors of `{name}` have no effect: Ikada carries logs");
                        let diagnostic = Diagnostic::warning(codes::NO_EFFECT, message).at(signal.key.span);
                        self.push(diagnostic.help("remove them"));
                    }
                    _ => {
                        let message = format!("`{name}` is no signal that has processors");
                        let help = "there are `logs`, `metrics` and `traces`: put the list below `logs:`";
                        self.error(codes::UNKNOWN_SECTION, signal.key.span, message, help);
                    }
                }
            }
        }
        processors
    }

    fn processors_of_logs(&mut self, signal: &Pair, processors: &mut Vec<Section>) {
        for item in self.entries(&signal.key, &signal.value, NAMED) {
            let Some(pairs) = self.entry(&signal.key, item, NAMED) else { continue };
            let name = Spanned::new("processors".to_owned(), signal.key.span);
            let properties = self.properties(SectionKind::Processor, pairs, &["condition"]);
            let header = header_of(item, pairs);
            let mut section =
                Section::new(SectionKind::Processor, Format::Yaml, name, header).with(properties);
            let condition = pairs.iter().find(|pair| is_named(pair, "condition"));
            section.condition = condition.and_then(|pair| self.condition(pair));
            processors.push(section);
        }
    }

    fn condition(&mut self, pair: &Pair) -> Option<ProcessorCondition> {
        let parts = self.mapping(&pair.key, &pair.value, "op: and")?;
        let mut condition = ProcessorCondition { op: ConditionOp::And, rules: Vec::new() };
        for part in parts {
            let Some(name) = self.key_of(&part.key) else { continue };
            match name.to_ascii_lowercase().as_str() {
                "op" => match part.value.text().map(str::to_ascii_lowercase).as_deref() {
                    Some("and") => condition.op = ConditionOp::And,
                    Some("or") => condition.op = ConditionOp::Or,
                    _ => self.bad_word(part, &["and", "or"]),
                },
                "rules" => {
                    for item in self.entries(&part.key, &part.value, RULE) {
                        let Some(parts) = self.entry(&part.key, item, RULE) else { continue };
                        condition.rules.extend(self.condition_rule(item, parts));
                    }
                }
                _ => self.no_part(part, "a condition", &["op", "rules"]),
            }
        }
        if condition.rules.is_empty() {
            let message = "the condition has no rules";
            let help = format!("write `rules:` and below it `{RULE}`");
            self.error(codes::MISSING_OPTION, pair.key.span, message, help);
            return None;
        }
        Some(condition)
    }

    fn condition_rule(&mut self, item: &Node, parts: &[Pair]) -> Option<ConditionRule> {
        let (mut field, mut op, mut values, mut in_metadata) = (None, None, None, false);
        for part in parts {
            let Some(name) = self.key_of(&part.key) else { continue };
            match name.to_ascii_lowercase().as_str() {
                "field" => field = self.field(part),
                "op" => op = self.rule_op(part),
                "value" => values = self.values(part),
                "context" => match part.value.text().map(str::to_ascii_lowercase).as_deref() {
                    Some("metadata") => in_metadata = true,
                    Some("body") => in_metadata = false,
                    _ => self.bad_word(part, &["body", "metadata"]),
                },
                _ => self.no_part(part, "a rule", &["field", "op", "value", "context"]),
            }
        }
        for (name, is_there) in
            [("field", field.is_some()), ("op", op.is_some()), ("value", values.is_some())]
        {
            let is_written = parts.iter().any(|part| is_named(part, name));
            if !is_there && !is_written && !item.cut {
                let message = format!("the rule has no `{name}`");
                let help = format!("write `{RULE}`");
                self.error(codes::MISSING_OPTION, header_of(item, parts), message, help);
            }
        }
        Some(ConditionRule { field: field?, op: op?, values: values?, in_metadata })
    }

    fn field(&mut self, part: &Pair) -> Option<Spanned<String>> {
        let text = part.value.text().unwrap_or_default();
        if !text.starts_with('$') {
            let message = format!("`{text}` names no field");
            let help = "write a record accessor: `field: \"$level\"`";
            self.error(codes::BAD_ACCESSOR, self.visible(part.value.span, &part.key), message, help);
            return None;
        }
        Some(Spanned::new(text.to_owned(), part.value.span))
    }

    fn rule_op(&mut self, part: &Pair) -> Option<RuleOp> {
        let word = part.value.text().unwrap_or_default();
        let found = RuleOp::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        if found.is_none() {
            self.bad_word(part, &RuleOp::WORDS.map(|(word, _)| word));
        }
        found.map(|(_, op)| *op)
    }

    fn values(&mut self, part: &Pair) -> Option<Vec<Spanned<String>>> {
        let text = |node: &Node| {
            node.text().map(|text| Spanned::new(text.to_owned(), self.visible(node.span, &part.key)))
        };
        let values = match &part.value.value {
            Value::List(items) => items.iter().map(text).collect(),
            _ => text(&part.value).map(|value| vec![value]),
        };
        if values.is_none() {
            let help = "write one value, or a list of values behind `op: in`";
            self.error(codes::NESTED_VALUE, part.key.span, "`value` takes texts", help);
        }
        values
    }

    fn bad_word(&mut self, part: &Pair, words: &[&str]) {
        let word = part.value.text().unwrap_or_default();
        let near = nearest(word, words.iter().copied());
        let help = match near.is_empty() {
            false => format!("did you mean {}?", quoted_list(&near, "or")),
            true => format!("write {}", quoted_list(words, "or")),
        };
        let name = part.key.text().unwrap_or_default();
        let message = format!("`{word}` is no value of `{name}`");
        let span = self.visible(part.value.span, &part.key);
        self.error(codes::BAD_VALUE, span, message, help);
    }

    fn no_part(&mut self, part: &Pair, whole: &str, parts: &[&str]) {
        let name = part.key.text().unwrap_or_default();
        let span: Span = part.key.span;
        let message = format!("`{name}` is no part of {whole}");
        let help = format!("it has {}", quoted_list(parts, "and"));
        self.error(codes::UNKNOWN_OPTION, span, message, help);
    }
}
