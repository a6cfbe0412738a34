//! `stdout`: shows records as they are at this place of the chain, and passes them on.
//!
//! One line per record, `[i] tag: [seconds.nanoseconds, {metadata}, {record}]`, where `i` counts the records of a chunk. Lines
//! are gathered and written at the end of the chunk; a chunk with much to say is written in pieces, always whole lines. The writing is
//! done beside the input's task, which never waits for it. When the router stops, it waits until the lines are out.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ikada_diag::{Diagnostic, Diagnostics};
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{Emitted, EntryContext, Filter, Verdict};
use ikada_record::Fields;
use ikada_record::json::dump_value;
use tokio::time::Instant;

use crate::beside::Beside;

/// Prints records to standard output and passes them on.
///
/// It shows them at its place of the filter chain. It is no log line, so that `Log_Level` does not hide it.
#[derive(Debug, Options)]
#[options(filter = "stdout")]
pub struct StdoutOptions {}

/// The filter, ready to run.
pub struct Stdout {
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    /// Lines not written yet.
    lines: Vec<u8>,
    /// Room to write one record in.
    record: Vec<u8>,
    /// Whether a failed write was told.
    told: bool,
    /// The router stops: every line is out before the next thing happens.
    is_last: bool,
}

/// The system refuses a thread.
const NO_THREAD: &str = "no-thread";

/// Bytes of lines that are held before they are written.
const HELD: usize = 64 * 1024;

/// What stands for metadata where there is none.
const EMPTY_MAP: &[u8] = &[0x80];

impl Stdout {
    /// A filter that prints to `out`.
    pub fn build(_options: &StdoutOptions, out: Box<dyn Write + Send>) -> Self {
        Self {
            state: Mutex::new(State {
                out,
                lines: Vec::new(),
                record: Vec::new(),
                told: false,
                is_last: false,
            }),
        }
    }

    /// What is held is whole lines whatever happened to another thread.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter for Stdout {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let mut state = self.state();
        state.add_line(cx, fields);
        if state.lines.len() >= HELD {
            state.write_out();
        }
        Verdict::Keep
    }

    fn end_of_chunk(&self) {
        self.state().write_out();
    }

    fn flush(&self, now: Option<Instant>) -> Vec<Emitted> {
        let mut state = self.state();
        state.is_last |= now.is_none();
        state.write_out();
        Vec::new()
    }
}

impl State {
    fn add_line(&mut self, cx: &EntryContext<'_>, fields: &Fields<'_>) {
        let lines = &mut self.lines;
        print(lines, format_args!("[{}] ", cx.position));
        lines.extend_from_slice(cx.tag.as_bytes());
        print(lines, format_args!(": [{}.{:09}, ", cx.time.secs(), cx.time.nanos()));
        dump_value(lines, cx.metadata.unwrap_or(EMPTY_MAP));
        lines.extend_from_slice(b", ");
        self.record.clear();
        fields.write(&mut self.record);
        dump_value(lines, &self.record);
        lines.extend_from_slice(b"]\n");
    }

    fn write_out(&mut self) {
        let mut written = Ok(());
        if !self.lines.is_empty() {
            written = self.out.write_all(&self.lines);
        }
        if self.is_last {
            written = written.and_then(|()| self.out.flush());
        }
        if let Err(error) = written
            && !std::mem::replace(&mut self.told, true)
        {
            tracing::warn!(%error, "filter stdout cannot print; records pass on");
        }
        self.lines.clear();
        self.lines.shrink_to(2 * HELD);
        self.record.shrink_to(2 * HELD);
    }
}

fn print(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing into a Vec does not fail");
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "stdout", aliases: &[], options: StdoutOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = StdoutOptions::parse(bag, found)?;
    if cx.dry_run {
        return Some(Box::new(Stdout::build(&options, Box::new(io::sink()))));
    }
    let section = bag.header();
    match Beside::new(Box::new(io::stdout())) {
        Ok(beside) => Some(Box::new(Stdout::build(&options, Box::new(beside)))),
        Err(error) => {
            let message = format!("no thread can be started that prints: {error}");
            found.push(Diagnostic::error(NO_THREAD, message).at(section));
            None
        }
    }
}
