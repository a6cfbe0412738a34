//! Multiline parsers that need no file: split lines of container runtimes, stack traces of languages.
//!
//! Names and behaviour are Fluent Bit's (cases `ml-*`); the expressions are written anew from what such traces look like.

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};

use super::rules::{RuleText, Rules};
use super::{LOG, MultilineParser, Test};
use crate::Parser;
use crate::parser::{Format, ParserOptions};

/// The names, in the order they are listed to people.
pub(crate) const NAMES: [&str; 7] = ["cri", "docker", "go", "java", "python", "ruby", OF_A_FILE];

/// The one that Fluent Bit's image has in a parsers file; a configuration may bring its own copy of it.
pub(crate) const OF_A_FILE: &str = "exception_test";

/// How long a record waits for its next line.
const WAIT: Duration = Duration::from_secs(4);

/// One of the built-in parsers.
pub(crate) struct Definition;

/// States, expression, next state.
type RuleLine = (&'static str, &'static str, &'static str);

const GO: &[RuleLine] = &[
    ("start_state", r"\bpanic: ", "panic"),
    ("start_state", r"http: panic serving", "goroutine"),
    ("panic", r"^\[signal ", "signal"),
    ("panic, signal, frame", r"^$", "goroutine"),
    ("goroutine", r"^goroutine [0-9]+ \[[^\]]+\]:$", "frame"),
    ("frame", r"^(?:[^\s.:]+\.)*[^\s.():]+\(|^created by ", "place"),
    ("place", r"^\s", "frame"),
];

const JAVA: &[RuleLine] = &[
    ("start_state, nested", r".(?:Exception|Error|Throwable|V8 errors stack trace)[:\r\n]", "exception"),
    ("exception", r"^[\t ]*nested exception is:[\t ]*", "nested"),
    ("exception", r"^[\r\n]*$", "exception"),
    ("exception, frames", r"^[\t ]+(?:eval )?at ", "frames"),
    ("exception, frames", r"^[\t ]+--- End of inner exception stack trace ---$", "frames"),
    (
        "exception, frames",
        r"^--- End of stack trace from previous location where exception was thrown ---$",
        "frames",
    ),
    ("exception, frames", r"^[\t ]*(?:Caused by|Suppressed):", "exception"),
    ("exception, frames", r"^[\t ]*\.\.\. [0-9]+ (?:more|common frames omitted)", "frames"),
];

const PYTHON: &[RuleLine] = &[
    ("start_state", r"^Traceback \(most recent call last\):$", "frame"),
    ("frame", r"^[\t ]+File ", "code"),
    ("code", r"[^\t ]", "frame"),
    // Marks below the line of code, which newer versions print.
    ("frame", r"^[\t ]+[~^][~^ ]*$", "frame"),
    ("frame", r"^(?:[^\s.():]+\.)*[^\s.():]+:", "start_state"),
];

const RUBY: &[RuleLine] =
    &[("start_state", r"^.+:[0-9]+:in\s", "frames"), ("frames", r"^\s+from\s.*:[0-9]+:in\s", "frames")];

/// Frames below a line with a time in December.
const OF_DECEMBER: &[RuleLine] =
    &[("start_state", r"Dec \d+ \d+:\d+:\d+", "frames"), ("frames", r"^\s+at", "frames")];

/// A line of the container runtime interface; the parts of a long one have the flag P, the last has F.
const CRI: &str = r"^(?<time>[^ ]+) (?<stream>stdout|stderr) (?<_p>[FP]) (?<log>.*)$";

impl Definition {
    /// Builds the parser of this name.
    pub(crate) fn build(name: &str) -> Option<MultilineParser> {
        let rules = match name {
            "cri" => return cri(),
            "docker" => return docker(),
            "go" => GO,
            "java" => JAVA,
            "python" => PYTHON,
            "ruby" => RUBY,
            OF_A_FILE => OF_DECEMBER,
            _ => return None,
        };
        let texts: Vec<_> = rules
            .iter()
            .map(|(states, regex, next)| RuleText {
                states: states.split(", ").collect(),
                regex,
                next: Some(*next),
            })
            .collect();
        let test = Test::Rules(Rules::new(&texts).ok()?);
        let flush_timeout = if name == OF_A_FILE { Duration::from_secs(1) } else { WAIT };
        Some(MultilineParser { test, key_content: None, key_group: None, flush_timeout, ..named(name) })
    }
}

fn docker() -> Option<MultilineParser> {
    let parser = line_parser("docker", Format::Json, None, "%Y-%m-%dT%H:%M:%S.%L")?;
    let test = Test::EndsWith { text: (*b"\n").into(), negate: false };
    Some(MultilineParser { test, parser: Some(parser), ..named("docker") })
}

fn cri() -> Option<MultilineParser> {
    let parser = line_parser("cri", Format::Regex, Some(CRI), "%Y-%m-%dT%H:%M:%S.%L%z")?;
    let test = Test::Equal { text: (*b"F").into(), negate: false };
    Some(MultilineParser { test, parser: Some(parser), key_pattern: Some((*b"_p").into()), ..named("cri") })
}

fn named(name: &str) -> MultilineParser {
    MultilineParser {
        name: name.into(),
        test: Test::Equal { text: Box::default(), negate: false },
        parser: None,
        key_content: Some(LOG.into()),
        key_pattern: None,
        key_group: Some((*b"stream").into()),
        flush_timeout: WAIT,
    }
}

/// The parser of a container's lines. Not strict: runtimes leave out a fraction that is zero.
fn line_parser(name: &str, format: Format, regex: Option<&str>, time_format: &str) -> Option<Arc<Parser>> {
    let place = Sources::default().add("built in", "").span(0, 0);
    let text = |text: &str| Spanned::new(text.to_owned(), place);
    let options = ParserOptions {
        name: text(name),
        format,
        regex: regex.map(text),
        time_key: None,
        time_format: Some(text(time_format)),
        time_keep: true,
        time_strict: false,
        time_offset: None,
        time_system_timezone: Spanned::new(false, place),
        time_zone: None,
        types: None,
        skip_empty_values: false,
        logfmt_no_bare_keys: false,
        decode_field: Vec::new(),
        decode_field_as: Vec::new(),
    };
    Parser::build(&options, &mut Diagnostics::new()).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_parser() {
        for name in NAMES {
            assert!(Definition::build(name).is_some(), "{name}");
        }
    }
}
