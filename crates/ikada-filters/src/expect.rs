//! `expect`: checks that records are as they should be, in tests of a pipeline.
//!
//! The first rule that a record breaks ends its check. What was broken is told once a chunk, with a count, and without the record's content.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::View;
use ikada_options::{Choice, InOrder, Options, PropertyBag};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::accessor::Accessor;
use ikada_record::{Field, Fields, Piece};

use crate::rule::name_or_accessor;
use crate::text::encoded;

/// Checks that records are as they should be.
///
/// It is made for tests of a configuration. Records pass whatever it finds.
#[derive(Debug, Options)]
#[options(filter = "expect")]
pub struct ExpectOptions {
    /// The field must be there.
    #[option(example = "$log")]
    pub key_exists: Vec<InOrder<String>>,
    /// The field must not be there.
    #[option(example = "$password")]
    pub key_not_exists: Vec<InOrder<String>>,
    /// The field must be there and null.
    #[option(example = "$error")]
    pub key_val_is_null: Vec<InOrder<String>>,
    /// The field must be there and not null.
    #[option(example = "$level")]
    pub key_val_is_not_null: Vec<InOrder<String>>,
    /// The field must be there, be no array and, if it is a text, be this one: `FIELD TEXT`.
    #[option(example = "$level error")]
    pub key_val_eq: Vec<InOrder<String>>,
    /// What to do when a record breaks a rule.
    #[option(default = "warn")]
    pub action: Action,
    /// With `result_key`: the name of the boolean that is put first in the record.
    #[option(default = "matched")]
    pub result_key: String,
}

/// What to do when a record breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Action {
    /// Say so in the log.
    Warn,
    /// Stop the router, as if it had been told to by SIGTERM.
    Exit,
    /// Say so in a field of the record, and in the log.
    #[choice("result_key")]
    ResultKey,
}

/// Asks the router to stop.
pub type Stop = Box<dyn Fn() + Send + Sync>;

/// The filter, ready to run.
pub struct Expect {
    rules: Vec<Rule>,
    action: Action,
    result_key: Box<[u8]>,
    stop: Stop,
    stopped: AtomicBool,
    broken: Mutex<Broken>,
}

#[derive(Debug)]
struct Rule {
    kind: Kind,
    key: Accessor,
    /// With [`Kind::Equals`]: the text.
    text: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exists,
    NotExists,
    Null,
    NotNull,
    Equals,
}

/// What records of the chunk broke.
#[derive(Debug, Default)]
struct Broken {
    records: u32,
    /// The rule the first one broke.
    first: usize,
}

impl Expect {
    /// Checks the rules. `stop` is called at most once.
    pub fn build(options: &ExpectOptions, stop: Stop, found: &mut Diagnostics) -> Option<Self> {
        let kinds = [
            (Kind::Exists, &options.key_exists),
            (Kind::NotExists, &options.key_not_exists),
            (Kind::Null, &options.key_val_is_null),
            (Kind::NotNull, &options.key_val_is_not_null),
            (Kind::Equals, &options.key_val_eq),
        ];
        let mut written: Vec<_> =
            kinds.into_iter().flat_map(|(kind, texts)| texts.iter().map(move |text| (kind, text))).collect();
        written.sort_by_key(|(_, text)| text.order);
        let rules: Vec<_> = written.into_iter().map(|(kind, text)| Rule::build(kind, text, found)).collect();
        Some(Self {
            rules: rules.into_iter().collect::<Option<_>>()?,
            action: options.action,
            result_key: encoded(&options.result_key),
            stop,
            stopped: AtomicBool::new(false),
            broken: Mutex::default(),
        })
    }

    fn note(&self, rule: usize) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.records == 0 {
            broken.first = rule;
        }
        broken.records += 1;
        drop(broken);
        if self.action == Action::Exit && !self.stopped.swap(true, Relaxed) {
            (self.stop)();
        }
    }
}

impl Filter for Expect {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let broken = self.rules.iter().position(|rule| !rule.holds(fields));
        if let Some(rule) = broken {
            self.note(rule);
        }
        if self.action == Action::ResultKey {
            let value: &[u8] = if broken.is_none() { &[0xc3] } else { &[0xc2] };
            let field = Field { key: Piece::Ref(&self.result_key), value: Piece::Ref(value) };
            fields.edit().insert(0, field);
        }
        Verdict::Keep
    }

    fn end_of_chunk(&self) {
        let broken = std::mem::take(&mut *self.broken.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(rule) = self.rules.get(broken.first).filter(|_| broken.records > 0) {
            tracing::error!(records = broken.records, first = %rule, "filter expect: records are not as expected");
        }
    }
}

impl Rule {
    fn build(kind: Kind, text: &InOrder<String>, found: &mut Diagnostics) -> Option<Self> {
        if kind != Kind::Equals {
            let key = name_or_accessor(&text.value, text.span, found)?;
            return Some(Self { kind, key, text: [].into() });
        }
        let Some((key, value)) = text.value.trim_start().split_once(' ') else {
            let finding = Diagnostic::error(codes::BAD_VALUE, "`key_val_eq` needs a field and a text");
            found.push(finding.at(text.span).help(format!("type `key_val_eq {} text`", text.value)));
            return None;
        };
        let key = name_or_accessor(key, text.span, found)?;
        Some(Self { kind, key, text: value.trim_start().as_bytes().into() })
    }

    fn holds(&self, fields: &Fields<'_>) -> bool {
        let value = self.key.lookup(fields);
        match self.kind {
            Kind::Exists => value.is_some(),
            Kind::NotExists => value.is_none(),
            Kind::Null => value == Some(View::Nil),
            Kind::NotNull => value.is_some_and(|value| value != View::Nil),
            Kind::Equals => match value {
                Some(View::Str(text)) => *text == *self.text,
                Some(View::Array(_)) | None => false,
                Some(_) => true,
            },
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::Exists => "key_exists",
            Kind::NotExists => "key_not_exists",
            Kind::Null => "key_val_is_null",
            Kind::NotNull => "key_val_is_not_null",
            Kind::Equals => "key_val_eq",
        };
        write!(f, "{name} {}", self.key)
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "expect", aliases: &[], options: ExpectOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = ExpectOptions::parse(bag, found)?;
    Some(Box::new(Expect::build(&options, Box::new(terminate), found)?))
}

/// Sends the process the signal that asks it to end: it drains first.
fn terminate() {
    tracing::error!("filter expect stops the router: a record is not as expected");
    let own = rustix::process::getpid();
    if let Err(error) = rustix::process::kill_process(own, rustix::process::Signal::TERM) {
        tracing::error!(%error, "filter expect cannot stop the router");
    }
}
