//! Stream tasks: records that match are picked, and go on under another tag.
//!
//! A `[STREAM_TASK]` has a name and, in `Exec`, one statement:
//!
//! ```text
//! CREATE STREAM errors WITH (tag='errors') AS SELECT log, level FROM TAG:'app.*' WHERE level = 'error';
//! ```
//!
//! [`Task`] says what it means. Running it is the engine's business; what Fluent Bit's tasks count, group and gather
//! over time is refused with a finding.

mod lexer;
mod parser;

use std::collections::HashSet;

use ikada_diag::{Diagnostic, Diagnostics, Span, Spanned, codes};

use crate::document::{Document, Section, SectionKind};
use crate::pipeline::Instance;

pub(crate) use parser::parse;

/// How many unknown names are compared with all that are known; a hostile file has many of both.
const WITH_NEAREST: usize = 100;

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name.
    pub name: Spanned<String>,
    /// The name that other tasks read its records by (`FROM STREAM:name`), if it creates a stream. A task that creates
    /// none writes what it picks to the log in Fluent Bit, and nowhere else.
    pub stream: Option<String>,
    /// The tag that its records get: `WITH (tag='…')`. Without one, it is the stream's name.
    pub tag: Option<String>,
    /// What stands in its records, in order.
    pub keys: Vec<SelectedKey>,
    /// Whose records it reads.
    pub from: Source,
    /// Which of them it picks.
    pub condition: Option<Condition>,
    /// Where its statement is.
    pub span: Span,
}

/// One entry between `SELECT` and `FROM`.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedKey {
    /// What is selected.
    pub value: Selected,
    /// Its name in the new record: `AS name`.
    pub alias: Option<String>,
}

/// What an entry between `SELECT` and `FROM` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// `*`: every field.
    All,
    /// A field.
    Field(FieldPath),
    /// `NOW()`: the time of day, as text.
    Now,
    /// `UNIX_TIMESTAMP()`: the time, as a number of seconds.
    UnixTimestamp,
    /// `RECORD_TAG()`: the tag that the record came with.
    RecordTag,
    /// `RECORD_TIME()`: the record's time, as a number of seconds.
    RecordTime,
}

/// A field of a record: `kubernetes['labels']['app']` has three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(pub Vec<String>);

/// Whose records a task reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `TAG:'pattern'`: those whose tag matches.
    Tag(String),
    /// `STREAM:name`: those of another task, or of the input that has this alias or name.
    Stream(String),
}

/// What stands behind `WHERE`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Both.
    And(Box<Condition>, Box<Condition>),
    /// One of them, or both.
    Or(Box<Condition>, Box<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// A field against a value.
    Compare(Operand, Comparison, Literal),
    /// `IS NULL`: the field is null; one that is missing is not.
    IsNull(FieldPath),
    /// `@record.contains(key)`: the record has it, whatever its value.
    Contains(FieldPath),
    /// A field that stands alone: the record has it, and it is neither null nor false nor 0.
    IsTrue(FieldPath),
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A field.
    Field(FieldPath),
    /// `@record.time()`: the record's time in seconds.
    Time,
}

/// How it is compared. `!=` and `<>` are a `Not` around `Equal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`.
    Equal,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `12`.
    Integer(i64),
    /// `1.5`.
    Float(f64),
    /// `'text'`.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
}

impl Task {
    /// Returns the tag that its records get, if it creates a stream.
    pub fn output_tag(&self) -> Option<&str> {
        self.tag.as_deref().or(self.stream.as_deref())
    }
}

impl Selected {
    /// Returns the name of what is selected in the new record, where none is given.
    pub fn usual_name(&self) -> String {
        match self {
            Selected::All => "*".to_owned(),
            Selected::Field(FieldPath(parts)) => {
                let (first, rest) =
                    parts.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
                rest.iter().fold(first.to_owned(), |name, part| format!("{name}['{part}']"))
            }
            Selected::Now => "NOW()".to_owned(),
            Selected::UnixTimestamp => "UNIX_TIMESTAMP()".to_owned(),
            Selected::RecordTag => "RECORD_TAG()".to_owned(),
            Selected::RecordTime => "RECORD_TIME()".to_owned(),
        }
    }
}

/// Reads all tasks of a document. Of those with a mistake, the findings say what.
pub(crate) fn tasks_of(document: &Document, inputs: &[Instance], diags: &mut Diagnostics) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut names = HashSet::new();
    for section in document.of_kind(SectionKind::StreamTask) {
        let Some(task) = task_of(section, diags) else { continue };
        if !names.insert(task.name.value.clone()) {
            let message = format!("another stream task is named `{}` already", task.name.value);
            let help = "give each task a name of its own";
            diags.push(Diagnostic::error(codes::BAD_STREAM_TASK, message).at(task.name.span).help(help));
            continue;
        }
        tasks.push(task);
    }
    report_unknown_sources(&tasks, inputs, diags);
    tasks
}

fn task_of(section: &Section, diags: &mut Diagnostics) -> Option<Task> {
    let example =
        "`Exec CREATE STREAM errors WITH (tag='errors') AS SELECT * FROM TAG:'app.*' WHERE level = 'error';`";
    let Some(exec) = section.properties.iter().find(|property| property.is_named("exec")) else {
        let diagnostic = Diagnostic::error(codes::MISSING_OPTION, "this stream task has no `Exec`");
        diags.push(diagnostic.at(section.header).help(format!("say what it does: {example}")));
        return None;
    };
    let Some(name) = section.get("name").filter(|name| !name.value.is_empty()) else {
        let diagnostic = Diagnostic::error(codes::MISSING_NAME, "this stream task has no `Name`");
        diags.push(diagnostic.at(section.header).help("give it one: `Name errors`"));
        return None;
    };
    for other in &section.properties {
        if !other.is_named("exec") && !other.is_named("name") {
            let message = format!("`{}` is no option of a stream task", other.key.value);
            let help = "it knows `Name` and `Exec`";
            diags.push(Diagnostic::warning(codes::UNKNOWN_OPTION, message).at(other.key.span).help(help));
        }
    }
    match parse(&exec.value.value) {
        Ok(statement) => {
            let parser::Statement { stream, tag, keys, from, condition } = statement;
            Some(Task { name: name.clone(), stream, tag, keys, from, condition, span: exec.value.span })
        }
        Err(error) => {
            // Offsets are those of the value as written, unless variables were replaced in it.
            let span = match exec.written {
                None => exec.value.span.part(error.start, error.end.max(error.start + 1)),
                Some(_) => exec.value.span,
            };
            diags.push(Diagnostic::error(error.code, error.message).at(span).help(error.help));
            None
        }
    }
}

fn report_unknown_sources(tasks: &[Task], inputs: &[Instance], diags: &mut Diagnostics) {
    let streams = tasks.iter().filter_map(|task| task.stream.as_deref());
    let of_inputs = inputs.iter().flat_map(|input| [input.name(), &input.id, &input.plugin.value]);
    let known: HashSet<String> = streams.chain(of_inputs).map(str::to_lowercase).collect();
    let mut told = 0;
    for task in tasks {
        let Source::Stream(name) = &task.from else { continue };
        if known.contains(&name.to_lowercase()) {
            continue;
        }
        told += 1;
        let near = match told <= WITH_NEAREST {
            true => ikada_options::nearest(name, known.iter().map(String::as_str)),
            false => Vec::new(),
        };
        let help = match near.is_empty() {
            false => format!("did you mean {}?", ikada_options::quoted_list(&near, "or")),
            true => "create it with `CREATE STREAM`, or read by tag: `FROM TAG:'app.*'`".to_owned(),
        };
        let message = format!("no stream and no input is named `{name}`, so the task gets nothing");
        diags.push(Diagnostic::error(codes::BAD_STREAM_TASK, message).at(task.span).help(help));
    }
}
