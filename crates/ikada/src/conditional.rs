//! A processor's condition: which records its filter takes. The others pass untouched.
//!
//! A field is compared as text; numbers after a text has been read as one, a missing field being an empty text and 0
//! (reference, configuration §12).

use std::cmp::Ordering;

use ikada_config::{ConditionOp, ProcessorCondition, RuleOp};
use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_parse::regex::Regex;
use ikada_plugin::{BoxFuture, Emitted, EntryContext, Filter, Verdict};
use ikada_record::Fields;
use ikada_record::accessor::{Accessor, write_text};
use tokio::time::Instant;

/// A filter that takes some records only.
pub(crate) struct Conditional {
    filter: Box<dyn Filter>,
    condition: Condition,
}

impl Conditional {
    /// Puts a condition before a filter.
    pub(crate) fn new(filter: Box<dyn Filter>, condition: Condition) -> Self {
        Self { filter, condition }
    }
}

impl Filter for Conditional {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if !self.condition.holds(cx, fields) {
            return Verdict::Keep;
        }
        self.filter.filter(cx, fields)
    }

    fn end_of_chunk(&self) {
        self.filter.end_of_chunk();
    }

    fn due(&self) -> Option<Instant> {
        self.filter.due()
    }

    fn flush(&self, now: Option<Instant>) -> Vec<Emitted> {
        self.filter.flush(now)
    }

    fn background(&self) -> Option<BoxFuture<'static, ()>> {
        self.filter.background()
    }
}

/// A condition, ready to be asked.
#[derive(Debug)]
pub(crate) struct Condition {
    op: ConditionOp,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    field: Accessor,
    in_metadata: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Equal { text: String, wanted: bool },
    Number { number: f64, holds: fn(Ordering) -> bool },
    Regex { regex: Regex, wanted: bool },
    OneOf { texts: Vec<String>, wanted: bool },
}

impl Condition {
    /// Compiles a condition; `None` if a rule has a mistake, which is reported.
    pub(crate) fn build(written: &ProcessorCondition, found: &mut Diagnostics) -> Option<Self> {
        let rules: Vec<Option<Rule>> = written.rules.iter().map(|rule| rule_of(rule, found)).collect();
        Some(Self { op: written.op, rules: rules.into_iter().collect::<Option<_>>()? })
    }

    fn holds(&self, cx: &EntryContext<'_>, fields: &Fields<'_>) -> bool {
        let mut rules = self.rules.iter().map(|rule| rule.holds(cx, fields));
        match self.op {
            ConditionOp::And => rules.all(|holds| holds),
            ConditionOp::Or => rules.any(|holds| holds),
        }
    }
}

fn rule_of(written: &ikada_config::ConditionRule, found: &mut Diagnostics) -> Option<Rule> {
    let field = match Accessor::new(&written.field.value) {
        Ok(field) => Some(field),
        Err(error) => {
            let help = "write a record accessor: `$level` or `$kubernetes['labels']['app']`";
            let message = format!("`{}` names no field: {error}", written.field.value);
            found.push(Diagnostic::error(codes::BAD_ACCESSOR, message).at(written.field.span).help(help));
            None
        }
    };
    let test = test_of(written, found);
    Some(Rule { field: field?, in_metadata: written.in_metadata, test: test? })
}

fn test_of(written: &ikada_config::ConditionRule, found: &mut Diagnostics) -> Option<Test> {
    let texts = || written.values.iter().map(|value| value.value.clone()).collect();
    if let RuleOp::In | RuleOp::NotIn = written.op {
        return Some(Test::OneOf { texts: texts(), wanted: written.op == RuleOp::In });
    }
    let [value] = &written.values[..] else {
        let message = "this rule compares with one value, and there are several";
        let help = "use `op: in` or `op: not_in`, or write one value";
        let span = written.values.first().map_or(written.field.span, |value| value.span);
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
        return None;
    };
    match written.op {
        RuleOp::Eq | RuleOp::Neq => {
            Some(Test::Equal { text: value.value.clone(), wanted: written.op == RuleOp::Eq })
        }
        RuleOp::Regex | RuleOp::NotRegex => regex_of(value, written.op == RuleOp::Regex, found),
        RuleOp::Gt => number_of(value, Ordering::is_gt, found),
        RuleOp::Gte => number_of(value, Ordering::is_ge, found),
        RuleOp::Lt => number_of(value, Ordering::is_lt, found),
        _ => number_of(value, Ordering::is_le, found),
    }
}

fn regex_of(value: &Spanned<String>, wanted: bool, found: &mut Diagnostics) -> Option<Test> {
    match Regex::new(&value.value) {
        Ok(regex) => Some(Test::Regex { regex, wanted }),
        Err(error) => {
            let message = format!("not a regular expression: {error}");
            let help = "write it as Ruby does, without `/` around it";
            found.push(Diagnostic::error(codes::BAD_REGEX, message).at(value.span).help(help));
            None
        }
    }
}

fn number_of(value: &Spanned<String>, holds: fn(Ordering) -> bool, found: &mut Diagnostics) -> Option<Test> {
    let number = value.value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if number.is_none() {
        let message = format!("`{}` is no number", value.value);
        let help = "write a number, or compare texts with `eq`, `regex` or `in`";
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(value.span).help(help));
    }
    Some(Test::Number { number: number?, holds })
}

impl Rule {
    fn holds(&self, cx: &EntryContext<'_>, fields: &Fields<'_>) -> bool {
        let raw = match self.in_metadata {
            false => self.field.lookup_raw(fields),
            true => cx
                .metadata
                .and_then(|metadata| ikada_msgpack::View::parse(metadata).ok())
                .and_then(|(view, _)| view.as_map())
                .and_then(|map| self.field.lookup_map_raw(map)),
        };
        // A text is compared where it lies; other values are rendered.
        let mut rendered = Vec::new();
        let text = match raw.and_then(ikada_msgpack::str_bytes) {
            Some(text) => text,
            None => {
                if let Some(raw) = raw {
                    write_text(&mut rendered, raw);
                }
                &rendered[..]
            }
        };
        match &self.test {
            Test::Equal { text: other, wanted } => (text == other.as_bytes()) == *wanted,
            Test::Regex { regex, wanted } => regex.is_match(text) == *wanted,
            Test::OneOf { texts, wanted } => texts.iter().any(|other| text == other.as_bytes()) == *wanted,
            Test::Number { number, holds } => number_in(text).partial_cmp(number).is_some_and(holds),
        }
    }
}

/// Reads a text as a number; one that is none counts as 0.
fn number_in(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use ikada_config::{build_pipeline, from_text};
    use ikada_msgpack::View;
    use ikada_plugin::Effects;
    use ikada_record::{Tag, Timestamp};

    use super::*;

    fn holds(rules: &str, record: &str) -> bool {
        let text = format!(
            "pipeline:\n  inputs:\n    - name: dummy\n      processors:\n        logs:\n          - name: grep\n            condition: {{ op: or, rules: [ {rules} ] }}\n  outputs: [ {{ name: stdout }} ]\n"
        );
        let mut loaded = from_text("a.yaml", text);
        let pipeline = build_pipeline(&loaded.document, &mut loaded.diagnostics);
        let written = pipeline.inputs[0].processors[0].condition.clone().unwrap();
        let condition = Condition::build(&written, &mut loaded.diagnostics).unwrap();
        let mut encoded = Vec::new();
        ikada_parse::json::transcode_one(record.as_bytes(), &mut encoded).unwrap();
        let (view, _) = View::parse(&encoded).unwrap();
        let fields = Fields::split(view.as_map().unwrap());
        let (tag, mut effects) = (Tag::new(b"t"), Effects::default());
        let cx = EntryContext {
            tag: &tag,
            time: Timestamp::new(0, 0),
            metadata: None,
            position: 0,
            effects: &mut effects,
        };
        condition.holds(&cx, &fields)
    }

    #[test]
    fn every_comparison_is_what_fluent_bit_makes_it() {
        let record = r#"{"level":"error","code":"500","n":7,"deep":{"a":true}}"#;
        let rows = [
            ("{ field: '$level', op: eq, value: error }", true),
            ("{ field: '$level', op: neq, value: error }", false),
            ("{ field: '$code', op: gte, value: 500 }", true),
            ("{ field: '$code', op: gt, value: 500 }", false),
            ("{ field: '$n', op: lt, value: 7.5 }", true),
            ("{ field: '$n', op: lte, value: 6 }", false),
            ("{ field: '$n', op: eq, value: 7 }", true),
            ("{ field: '$level', op: regex, value: '^err' }", true),
            ("{ field: '$level', op: not_regex, value: '^err' }", false),
            ("{ field: '$level', op: in, value: [ warn, error ] }", true),
            ("{ field: '$level', op: not_in, value: [ warn, error ] }", false),
            ("{ field: \"$deep['a']\", op: eq, value: 'true' }", true),
            // A field that is missing is an empty text, and 0.
            ("{ field: '$none', op: eq, value: x }", false),
            ("{ field: '$none', op: neq, value: x }", true),
            ("{ field: '$none', op: lt, value: 1 }", true),
            ("{ field: '$none', op: not_in, value: [ x ] }", true),
            ("{ field: '$none', op: not_regex, value: x }", true),
            ("{ field: '$none', op: eq, value: x, context: metadata }", false),
        ];
        for (rule, expected) in rows {
            assert_eq!(holds(rule, record), expected, "{rule}");
        }
        let either = "{ field: '$level', op: eq, value: x }, { field: '$n', op: eq, value: 7 }";
        assert!(holds(either, record));
    }
}
