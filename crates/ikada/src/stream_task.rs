//! A stream task, as the last filter of its tag: what it picks enters the router anew under the task's tag.
//!
//! Values compare as in Fluent Bit 5.1.1: numbers with numbers and with texts that are numbers, texts byte by byte,
//! booleans with booleans; whatever else is compared does not hold.

use std::cmp::Ordering;

use ikada_config::stream::{Comparison, Condition, FieldPath, Literal, Operand, Selected, Source, Task};
use ikada_config::{Instance, Pipeline};
use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::{View, write};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::{Fields, Piece};
use ikada_route::{Matcher, Pattern};

/// A task, ready to run.
#[derive(Debug)]
pub(crate) struct StreamTask {
    tag: String,
    /// What is selected, with its encoded name; nothing when it is every field.
    keys: Option<Vec<(Selected, Vec<u8>)>>,
    condition: Option<Condition>,
}

/// Returns the tasks of a configuration that do something, each with the tags it reads.
pub(crate) fn tasks_of(config: &Pipeline, found: &mut Diagnostics) -> Vec<(Task, Matcher, StreamTask)> {
    let mut tasks = Vec::new();
    for task in &config.streams {
        let Some(tag) = task.output_tag() else {
            let message =
                format!("the stream task `{}` creates no stream, so nothing comes of it", task.name.value);
            let help = "write `CREATE STREAM name WITH (tag='x') AS SELECT …`";
            found.push(Diagnostic::warning(codes::NO_EFFECT, message).at(task.span).help(help));
            continue;
        };
        let Some(pattern) = source_of(task, config, found) else { continue };
        let is_whole = matches!(&task.keys[..], [only] if only.value == Selected::All);
        let keys = task.keys.iter().map(|key| {
            let mut name = Vec::new();
            write::str(&mut name, key.alias.clone().unwrap_or_else(|| key.value.usual_name()).as_bytes());
            (key.value.clone(), name)
        });
        let keys = (!is_whole).then(|| keys.collect());
        let filter = StreamTask { tag: tag.to_owned(), keys, condition: task.condition.clone() };
        let matcher = Matcher { pattern: Some(Pattern::new(&pattern)), regex: None };
        tasks.push((task.clone(), matcher, filter));
    }
    tasks
}

/// Returns the pattern of the tags that a task reads. A stream is known by its tag; so is an input.
fn source_of(task: &Task, config: &Pipeline, found: &mut Diagnostics) -> Option<String> {
    let name = match &task.from {
        Source::Tag(pattern) => return Some(pattern.clone()),
        Source::Stream(name) => name,
    };
    let is_same = |known: &str| known.eq_ignore_ascii_case(name);
    let stream = config.streams.iter().find(|other| other.stream.as_deref().is_some_and(is_same));
    if let Some(stream) = stream {
        return stream.output_tag().map(str::to_owned);
    }
    let is_meant =
        |input: &&Instance| is_same(input.name()) || is_same(&input.id) || is_same(&input.plugin.value);
    // A name that stands for nothing has its finding already.
    let input = config.inputs.iter().find(is_meant)?;
    let written = input.bag.peek("tag").map(|tag| tag.value.value.clone()).filter(|tag| !tag.is_empty());
    if written.is_none() && ["forward", "tcp", "http", "syslog"].contains(&input.plugin.value.as_str()) {
        let message = format!(
            "the records of `{name}` are known by their tags alone, and the input has none of its own"
        );
        let help = "read by tag: `FROM TAG:'app.*'`";
        found.push(Diagnostic::error(codes::BAD_STREAM_TASK, message).at(task.span).help(help));
        return None;
    }
    Some(written.unwrap_or_else(|| input.id.clone()))
}

impl Filter for StreamTask {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if self.condition.as_ref().is_some_and(|condition| !holds(condition, cx, fields)) {
            return Verdict::Keep;
        }
        let Some(keys) = &self.keys else {
            cx.retag(self.tag.as_bytes(), fields);
            return Verdict::Keep;
        };
        let picked = select(keys, cx, fields);
        if !picked.is_empty() {
            cx.retag(self.tag.as_bytes(), &picked);
        }
        // The record itself goes on: a task reads, and takes nothing away.
        Verdict::Keep
    }
}

fn select<'r>(keys: &'r [(Selected, Vec<u8>)], cx: &EntryContext<'_>, fields: &'r Fields<'_>) -> Fields<'r> {
    let mut picked = Fields::default();
    for (selected, name) in keys {
        let mut value = Vec::new();
        match selected {
            Selected::All => {
                for field in fields.as_slice() {
                    picked.push(Piece::Ref(field.key.bytes()), Piece::Ref(field.value.bytes()));
                }
                continue;
            }
            Selected::Field(path) => {
                if let Some(raw) = lookup(path, fields) {
                    picked.push(Piece::Ref(name), Piece::Ref(raw));
                }
                continue;
            }
            Selected::Now => {
                let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S").to_string();
                write::str(&mut value, now.as_bytes());
            }
            Selected::UnixTimestamp => write::int(&mut value, chrono::Utc::now().timestamp()),
            Selected::RecordTag => write::str(&mut value, cx.tag.as_bytes()),
            Selected::RecordTime => write::float(&mut value, cx.time.as_f64()),
        }
        picked.push(Piece::Ref(name), Piece::Own(value));
    }
    picked
}

fn lookup<'r>(path: &FieldPath, fields: &'r Fields<'_>) -> Option<&'r [u8]> {
    let (first, rest) = path.0.split_first()?;
    let field = fields.as_slice().iter().rev().find(|field| field.name() == Some(first.as_bytes()))?;
    let mut raw = field.value.bytes();
    for part in rest {
        let (view, _) = View::parse(raw).ok()?;
        let map = view.as_map()?;
        let is_meant = |key: &[u8]| ikada_msgpack::str_bytes(key) == Some(part.as_bytes());
        raw = map.raw().find(|(key, _)| is_meant(key)).map(|(_, value)| value)?;
    }
    Some(raw)
}

fn view<'r>(path: &FieldPath, fields: &'r Fields<'_>) -> Option<View<'r>> {
    View::parse(lookup(path, fields)?).ok().map(|(view, _)| view)
}

fn holds(condition: &Condition, cx: &EntryContext<'_>, fields: &Fields<'_>) -> bool {
    match condition {
        Condition::And(left, right) => holds(left, cx, fields) && holds(right, cx, fields),
        Condition::Or(left, right) => holds(left, cx, fields) || holds(right, cx, fields),
        Condition::Not(inner) => !holds(inner, cx, fields),
        Condition::IsNull(path) => matches!(view(path, fields), Some(View::Nil)),
        Condition::Contains(path) => lookup(path, fields).is_some(),
        Condition::IsTrue(path) => match view(path, fields) {
            None | Some(View::Nil | View::Bool(false) | View::Int(0) | View::Uint(0)) => false,
            Some(View::Float(number)) => number != 0.0,
            Some(_) => true,
        },
        Condition::Compare(Operand::Time, how, literal) => {
            compare_number(cx.time.as_f64(), literal).is_some_and(|order| is_so(*how, order))
        }
        Condition::Compare(Operand::Field(path), how, literal) => {
            let order = view(path, fields).and_then(|view| compare(&view, literal));
            order.is_some_and(|order| is_so(*how, order))
        }
    }
}

fn compare(value: &View<'_>, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (View::Int(number), Literal::Integer(other)) => Some(number.cmp(other)),
        (View::Int(number), _) => compare_number(*number as f64, literal),
        (View::Uint(number), _) => compare_number(*number as f64, literal),
        (View::Float(number), _) => compare_number(*number, literal),
        (View::Str(text), Literal::Text(other)) => Some((*text).cmp(other.as_bytes())),
        (View::Str(text), _) => compare_number(std::str::from_utf8(text).ok()?.parse().ok()?, literal),
        (View::Bool(value), Literal::Bool(other)) => Some(value.cmp(other)),
        _ => None,
    }
}

fn compare_number(number: f64, literal: &Literal) -> Option<Ordering> {
    match literal {
        Literal::Integer(other) => number.partial_cmp(&(*other as f64)),
        Literal::Float(other) => number.partial_cmp(other),
        _ => None,
    }
}

fn is_so(how: Comparison, order: Ordering) -> bool {
    match how {
        Comparison::Equal => order.is_eq(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use ikada_config::{build_pipeline, from_text};
    use ikada_plugin::Effects;
    use ikada_record::{Tag, Timestamp};

    use super::*;

    /// What a task makes of a record that came as `dum.x`: its fields as JSON, if it picks it.
    fn picked(statement: &str) -> Option<String> {
        let record = r#"{"a":1,"b":{"c":"y"},"n":null,"s":"t","f":false,"z":0,"e":"","one":"1","fl":2.5}"#;
        let text = format!(
            "[INPUT]\n    Name dummy\n    Tag dum.x\n[OUTPUT]\n    Name stdout\n    Match *\n[STREAM_TASK]\n    Name t\n    Exec CREATE STREAM q AS {statement};\n"
        );
        let mut loaded = from_text("a.conf", text);
        let config = build_pipeline(&loaded.document, &mut loaded.diagnostics);
        let (_, matcher, task) = tasks_of(&config, &mut loaded.diagnostics).pop().unwrap();
        assert!(matcher.matches(b"dum.x"), "{statement}");
        let mut encoded = Vec::new();
        ikada_parse::json::transcode_one(record.as_bytes(), &mut encoded).unwrap();
        let (view, _) = View::parse(&encoded).unwrap();
        let mut fields = Fields::split(view.as_map().unwrap());
        let (tag, mut effects) = (Tag::new(b"dum.x"), Effects::default());
        let time = Timestamp::new(1_700_000_000, 0);
        let mut cx = EntryContext { tag: &tag, time, metadata: None, position: 0, effects: &mut effects };
        assert_eq!(task.filter(&mut cx, &mut fields), Verdict::Keep);
        let (_, builder) = effects.take_retagged().pop()?;
        assert_eq!(builder.tag().as_bytes(), b"q");
        let chunk = builder.finish(ikada_record::Receipt::unwatched());
        let mut json = Vec::new();
        let entry = chunk.entries().next().unwrap();
        ikada_record::json::write_value(&mut json, entry.record_bytes(), Default::default());
        Some(String::from_utf8(json).unwrap())
    }

    #[test]
    fn what_is_picked_is_what_fluent_bit_picks() {
        let rows = [
            (
                "SELECT a, b['c'], b['c'] AS d, RECORD_TAG(), nope FROM TAG:'dum*'",
                r#"{"a":1,"b['c']":"y","d":"y","RECORD_TAG()":"dum.x"}"#,
            ),
            ("SELECT n FROM TAG:'dum*'", r#"{"n":null}"#),
            ("SELECT a FROM STREAM:dummy", r#"{"a":1}"#),
        ];
        for (statement, expected) in rows {
            assert_eq!(picked(statement).as_deref(), Some(expected), "{statement}");
        }
        assert_eq!(picked("SELECT nope FROM TAG:'dum*'"), None);
        assert!(picked("SELECT *, a AS q FROM TAG:'*'").unwrap().ends_with(r#""fl":2.5,"q":1}"#));
        assert_eq!(
            picked("SELECT a AS q, RECORD_TIME() AS t FROM TAG:'*'").as_deref(),
            Some(r#"{"q":1,"t":1700000000.0}"#)
        );
    }

    #[test]
    fn every_condition_holds_where_it_does_in_fluent_bit() {
        let rows = [
            ("a = 1 AND NOT b['c'] = 'x'", true),
            ("zz IS NULL", false),
            ("n IS NULL", true),
            ("n IS NOT NULL", false),
            ("NOT zz = 'y'", true),
            ("s", true),
            ("f", false),
            ("z", false),
            ("n", false),
            ("e", true),
            ("b", true),
            ("nope", false),
            ("a = '1'", false),
            ("a = 1.0", true),
            ("one = 1", true),
            ("one > 0", true),
            ("a = true", false),
            ("f = false", true),
            ("s > 'a'", true),
            ("zz < 5", false),
            ("fl >= 1.5", true),
            ("fl != 2.5", false),
            ("@record.contains(n)", true),
            ("@record.contains(nope)", false),
            ("@record.time() > 1600000000", true),
            ("(s = 1 OR a = '1') OR a > 0.5", true),
        ];
        for (condition, expected) in rows {
            let statement = format!("SELECT a FROM TAG:'dum*' WHERE {condition}");
            assert_eq!(picked(&statement).is_some(), expected, "{condition}");
        }
    }
}
