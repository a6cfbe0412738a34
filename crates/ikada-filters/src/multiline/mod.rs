//! `multiline`: joins records that are the lines of one, as a stack trace's, or the parts of one line.
//!
//! Records are told apart by stream: the input, the tag, and the container's id if there is one. What is joined waits here, on the books of
//! the chunks its lines came in, until its record is complete, has waited for `flush_ms`, or the router stops. It then goes on behind this
//! filter. A record that belongs to no other passes at once, untouched.
//!
//! | mode | what is joined | by |
//! |---|---|---|
//! | `parser` | lines of a trace, parts of a line | multiline parsers |
//! | `partial_message` | parts of a line that Docker split | id and ordinal |

mod partial;
mod streams;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{ByteSize, Choice, CommaList, Options, PropertyBag, Spanned};
use ikada_parse::Parsers;
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{ALWAYS, Emitted, EntryContext, Filter, InputMemory, MemoryShare, Verdict};
use ikada_record::Fields;
use tokio::time::Instant;

use partial::Partial;
use streams::Streams;

/// Shorter waits part what belongs together; Fluent Bit refuses them too.
const SHORTEST_WAIT: u64 = 500;

/// Joins records that are the lines of one, as a stack trace's, or the parts of one line.
#[derive(Debug, Options)]
#[options(filter = "multiline")]
pub struct MultilineFilterOptions {
    /// Multiline parsers, tried in order, the one that took the last line first.
    #[option(name = "multiline.parser", example = "java, python")]
    pub parser: Vec<Spanned<CommaList>>,
    /// Field that is joined. Without it, it is the one that the parser names, or `log`, which Fluent Bit does not take by itself.
    #[option(name = "multiline.key_content", example = "log")]
    pub key_content: Option<String>,
    /// How records are told to belong together.
    #[option(default = "parser")]
    pub mode: Mode,
    /// Has no effect: records are joined across the chunks they come in.
    #[option(no_effect)]
    pub buffer: Option<bool>,
    /// How long a record waits for its next line, in milliseconds; 500 at least.
    #[option(default = "2000")]
    pub flush_ms: Spanned<u64>,
    /// Has no effect: joined records go on behind this filter and pass no filter twice.
    #[option(no_effect)]
    pub emitter_name: Option<String>,
    /// Has no effect: what waits here is held by the chunks it came in.
    #[option(name = "emitter_storage.type", no_effect)]
    pub emitter_storage: Option<String>,
    /// Memory for what waits; when it is full, or what all inputs may hold, all that waits goes on as it is.
    #[option(default = "10M")]
    pub emitter_mem_buf_limit: ByteSize,
    /// Has no effect.
    #[option(no_effect)]
    pub debug_flush: Option<bool>,
}

/// How records are told to belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Mode {
    /// By multiline parsers.
    Parser,
    /// By the fields that Docker marks the parts of a line with. The forward input joins such parts by itself.
    PartialMessage,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Multiline(Mutex<Joining>);

#[derive(Debug)]
enum Joining {
    Lines(Streams),
    Parts(Partial),
}

impl Multiline {
    /// Finds the parsers.
    pub fn build(
        options: &MultilineFilterOptions,
        bag: &PropertyBag,
        parsers: &Parsers,
        memory: &Arc<InputMemory>,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let wait = options.flush_ms;
        let is_long = wait.value >= SHORTEST_WAIT;
        if !is_long {
            let message = format!("`flush_ms`: {} ms are too short to wait for a line", wait.value);
            let help = format!("type {SHORTEST_WAIT} or more milliseconds");
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(wait.span).help(help));
        }
        let wait = Duration::from_millis(wait.value);
        let limit = usize::try_from(options.emitter_mem_buf_limit.0).unwrap_or(usize::MAX);
        let room = Room::new(limit, memory.share());
        let joining = match options.mode {
            Mode::Parser => {
                let parsers = named_parsers(options, bag, parsers, found)?;
                let key = options.key_content.as_ref().map(|key| Arc::from(key.as_bytes()));
                Joining::Lines(Streams::new(parsers, key, wait, room))
            }
            Mode::PartialMessage => Joining::Parts(partial(options, bag, wait, room, found)?),
        };
        is_long.then(|| Self(Mutex::new(joining)))
    }

    fn joining(&self) -> MutexGuard<'_, Joining> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of what waits: its own bound, and its part of what inputs may hold.
#[derive(Debug)]
struct Room {
    limit: usize,
    share: MemoryShare,
}

impl Room {
    fn new(limit: usize, share: MemoryShare) -> Self {
        Self { limit, share }
    }

    /// Books what waits.
    fn book(&mut self, held: usize) {
        self.share.set(held, 0);
    }

    /// Whether too much waits.
    fn is_full(&self) -> bool {
        let held = self.share.held();
        held > self.limit || held > ALWAYS && self.share.is_pressed()
    }
}

impl Filter for Multiline {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let mut done = Vec::new();
        let taken = match &mut *self.joining() {
            Joining::Lines(streams) => streams.push(cx, fields, &mut done),
            Joining::Parts(partial) => partial.push(cx, fields, &mut done),
        };
        done.into_iter().for_each(|emitted| cx.emit_held(emitted));
        if taken { Verdict::Hold } else { Verdict::Keep }
    }

    fn due(&self) -> Option<Instant> {
        match &*self.joining() {
            Joining::Lines(streams) => streams.due(),
            Joining::Parts(partial) => partial.due(),
        }
    }

    fn flush(&self, now: Option<Instant>) -> Vec<Emitted> {
        match &mut *self.joining() {
            Joining::Lines(streams) => streams.flush(now),
            Joining::Parts(partial) => partial.flush(now),
        }
    }
}

/// The multiline parsers that are named; what is wrong with them is reported.
fn named_parsers(
    options: &MultilineFilterOptions,
    bag: &PropertyBag,
    parsers: &Parsers,
    found: &mut Diagnostics,
) -> Option<streams::Named> {
    let names = options.parser.iter().flat_map(|list| list.value.iter().map(|name| (name, list.span)));
    let names: Vec<_> = names.map(|(name, span)| Spanned::new(name.clone(), span)).collect();
    if names.is_empty() {
        let message = format!("{} needs the option `multiline.parser`", bag.section());
        let help = "add a line `multiline.parser java`";
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(bag.header()).help(help));
        return None;
    }
    let known: Vec<_> = names.iter().map(|name| parsers.find_multiline(name, found)).collect();
    known.into_iter().collect::<Option<Vec<_>>>().map(Into::into)
}

fn partial(
    options: &MultilineFilterOptions,
    bag: &PropertyBag,
    wait: Duration,
    room: Room,
    found: &mut Diagnostics,
) -> Option<Partial> {
    if let Some(list) = options.parser.first() {
        let message = "`multiline.parser` cannot stand beside `mode partial_message`";
        let help = "use a second multiline filter behind this one";
        found.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(list.span).help(help));
        return None;
    }
    let Some(key) = &options.key_content else {
        let message = format!("{} needs the option `multiline.key_content`", bag.section());
        let help = "add a line `multiline.key_content log`";
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(bag.header()).help(help));
        return None;
    };
    Some(Partial::new(key.as_bytes(), wait, room))
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "multiline", aliases: &[], options: MultilineFilterOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = MultilineFilterOptions::parse(bag, found)?;
    Some(Box::new(Multiline::build(&options, bag, &cx.parsers, &cx.service.input_memory, found)?))
}

/// The text of a field: of several of that name, the first that is text.
fn text_of<'f>(fields: &'f Fields<'_>, name: &[u8]) -> Option<&'f [u8]> {
    let named = fields.as_slice().iter().filter(|field| field.name() == Some(name));
    named.filter_map(|field| text(field.value.bytes())).next()
}

/// The text in an encoded string, or binary value.
fn text(value: &[u8]) -> Option<&[u8]> {
    match ikada_msgpack::View::parse(value) {
        Ok((ikada_msgpack::View::Str(text) | ikada_msgpack::View::Bin(text), _)) => Some(text),
        _ => None,
    }
}
