//! Lines that wait for the next one: multiline parsers, the old multiline mode, Docker mode.
//!
//! What waits belongs to the accounting: a file's position never passes the start of the first line that waits.

use std::sync::Arc;
use std::time::Duration;

use ikada_msgpack::{MapView, str_bytes, write};
use ikada_parse::Parser;
use ikada_parse::multiline::{Joiner, MultilineParser, Origin};
use ikada_record::Timestamp;
use memchr::memmem;

use crate::identity::Place;
use crate::record::{Emit, without_return};

/// How lines become records.
#[derive(Debug)]
pub(crate) enum Making {
    /// Each is text.
    Plain,
    /// Each is a record that a parser makes.
    Parsed(Arc<Parser>),
    /// `Multiline.parser`.
    Joined(Arc<[Arc<MultilineParser>]>),
    /// `Multiline On` (reference, inputs §3.10).
    Old { first: Arc<Parser>, more: Vec<Arc<Parser>>, wait: Duration },
    /// `Docker_Mode On`.
    Docker {
        parser: Option<Arc<Parser>>,
        /// `Docker_Mode_Parser`: takes the first line of a record.
        first: Option<Arc<Parser>>,
        wait: Duration,
    },
}

impl Making {
    /// What a file keeps between its lines.
    pub(crate) fn joining(&self) -> Option<Box<Joining>> {
        let joining = match self {
            Self::Plain | Self::Parsed(_) => return None,
            Self::Joined(parsers) => Joining::New(Joiner::new(parsers.clone(), None)),
            Self::Old { .. } => Joining::Old(OldLines::default()),
            Self::Docker { .. } => Joining::Docker(DockerLines::default()),
        };
        Some(Box::new(joining))
    }
}

/// A line on its way in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'l> {
    /// With a carriage return, if it has one.
    pub(crate) text: &'l [u8],
    pub(crate) start: Place,
    pub(crate) time: Timestamp,
    /// The moment, since the input started.
    pub(crate) now: Duration,
}

/// Where lines come from: the start of the first, the offset of the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    start: Place,
    last: u64,
}

impl Origin for From {
    fn join(&mut self, later: Self) {
        self.last = later.last;
    }
}

/// Lines of one file that wait.
#[derive(Debug)]
pub(crate) enum Joining {
    New(Joiner<From>),
    Old(OldLines),
    Docker(DockerLines),
}

/// Whether a parser took a line.
pub(crate) type Fits = bool;

impl Joining {
    /// Takes a line. Returns whether a parser took it, where one had to.
    pub(crate) fn push(&mut self, making: &Making, line: Line<'_>, emit: &mut Emit<'_>) -> Fits {
        match (self, making) {
            (Self::New(joiner), _) => {
                let from = From { start: line.start, last: line.start.offset };
                joiner.push_line(without_return(line.text), line.time, from, line.now, &mut |done| {
                    emit.map(done.time, done.record, done.origin.last, done.is_cut);
                });
                true
            }
            (Self::Old(lines), Making::Old { first, more, .. }) => {
                lines.push(first, more, line, emit);
                true
            }
            (Self::Docker(lines), Making::Docker { parser, first, .. }) => {
                lines.push(parser.as_deref(), first.as_deref(), line, emit)
            }
            _ => true,
        }
    }

    /// Lets go of what has waited too long, or of everything.
    pub(crate) fn flush(&mut self, making: &Making, now: Option<Duration>, emit: &mut Emit<'_>) {
        let is_due = now.is_none_or(|now| self.due(making).is_some_and(|due| due <= now));
        match self {
            Self::New(joiner) => {
                let mut hand = |done: ikada_parse::multiline::Finished<'_, From>| {
                    emit.map(done.time, done.record, done.origin.last, done.is_cut);
                };
                match now {
                    Some(now) => joiner.flush(now, &mut hand),
                    None => joiner.finish(&mut hand),
                }
            }
            Self::Old(lines) if is_due => lines.finish(emit),
            Self::Docker(lines) if is_due => {
                if let Making::Docker { parser, .. } = making {
                    lines.finish(parser.as_deref(), emit);
                }
            }
            _ => {}
        }
    }

    /// When something has waited long enough.
    pub(crate) fn due(&self, making: &Making) -> Option<Duration> {
        match (self, making) {
            (Self::New(joiner), _) => joiner.due(),
            (Self::Old(lines), Making::Old { wait, .. }) => lines.start.map(|_| lines.touched + *wait),
            (Self::Docker(lines), Making::Docker { wait, .. }) => lines.start.map(|_| lines.touched + *wait),
            _ => None,
        }
    }

    /// The start of the first line that waits.
    pub(crate) fn start(&self) -> Option<Place> {
        match self {
            Self::New(joiner) => joiner.waiting().map(|from| from.start).min_by_key(|start| start.offset),
            Self::Old(lines) => lines.start,
            Self::Docker(lines) => lines.start,
        }
    }
}

/// Adds a parsed line, or the text if the parser does not take it. Returns whether it did.
pub(crate) fn parsed(
    parser: &Parser,
    line: &[u8],
    time: Timestamp,
    offset: u64,
    scratch: &mut Vec<u8>,
    emit: &mut Emit<'_>,
) -> Fits {
    scratch.clear();
    match parser.parse(without_return(line), time, scratch) {
        Ok(found) => {
            // A time of 0 means that there was none (reference, inputs §1.1).
            let time = found.filter(|found| *found != Timestamp::default()).unwrap_or(time);
            emit.map(time, scratch, offset, false);
            true
        }
        Err(_) => {
            // Here the carriage return stays (reference, inputs §3.4).
            emit.plain(time, line, offset);
            false
        }
    }
}

/// Lines of the old multiline mode: the first line's record grows.
#[derive(Debug, Default)]
pub(crate) struct OldLines {
    start: Option<Place>,
    last: u64,
    touched: Duration,
    time: Timestamp,
    /// The first line's record.
    first: Vec<u8>,
    /// Keys and values of other lines, and how many.
    more: (Vec<u8>, usize),
    /// What is added to the last value of the first line.
    text: Vec<u8>,
    scratch: Vec<u8>,
}

impl OldLines {
    fn push(&mut self, first: &Parser, more: &[Arc<Parser>], line: Line<'_>, emit: &mut Emit<'_>) {
        let text = without_return(line.text);
        self.scratch.clear();
        if let Ok(found) = first.parse(text, line.time, &mut self.scratch) {
            self.finish(emit);
            self.start = Some(line.start);
            self.time = found.filter(|found| *found != Timestamp::default()).unwrap_or(line.time);
            std::mem::swap(&mut self.first, &mut self.scratch);
        } else if self.start.is_none() {
            return emit.plain(line.time, text, line.start.offset);
        } else if let Some(()) = self.pairs(more, text, line.time) {
            // Its keys were added.
        } else if self.ends_in_text() {
            self.text.push(b'\n');
            self.text.extend_from_slice(text);
        } else {
            return emit.plain(line.time, text, line.start.offset);
        }
        self.last = line.start.offset;
        self.touched = line.now;
    }

    /// Adds the keys that one of these parsers finds.
    fn pairs(&mut self, parsers: &[Arc<Parser>], text: &[u8], time: Timestamp) -> Option<()> {
        self.scratch.clear();
        let scratch = &mut self.scratch;
        parsers.iter().find(|parser| parser.parse(text, time, scratch).is_ok())?;
        let map = MapView::known(&self.scratch);
        self.more.1 += map.len();
        self.more.0.extend_from_slice(map.body());
        Some(())
    }

    fn ends_in_text(&self) -> bool {
        MapView::known(&self.first).raw().last().is_some_and(|(_, value)| str_bytes(value).is_some())
    }

    fn finish(&mut self, emit: &mut Emit<'_>) {
        if self.start.take().is_none() {
            return;
        }
        let map = MapView::known(&self.first);
        let mut out = Vec::with_capacity(self.first.len() + self.text.len() + self.more.0.len() + 16);
        write::map_header(&mut out, map.len() + self.more.1);
        let last = map.len().saturating_sub(1);
        for (at, (key, value)) in map.raw().enumerate() {
            out.extend_from_slice(key);
            match str_bytes(value) {
                Some(text) if at == last && !self.text.is_empty() => {
                    write::str(&mut out, &[text, &self.text].concat());
                }
                _ => out.extend_from_slice(value),
            }
        }
        out.extend_from_slice(&self.more.0);
        emit.map(self.time, &out, self.last, false);
        self.text.clear();
        self.more = (Vec::new(), 0);
    }
}

/// Docker's JSON lines: the text under `log` goes on in the next line unless it ends in a line feed.
#[derive(Debug, Default)]
pub(crate) struct DockerLines {
    start: Option<Place>,
    last: u64,
    touched: Duration,
    time: Timestamp,
    /// The escaped text so far.
    log: Vec<u8>,
    /// The last line, up to and from its text on: its other keys count.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether the text so far ends in a line feed.
    is_complete: bool,
    /// Whether a first line was ever seen.
    has_first: bool,
    scratch: Vec<u8>,
}

/// Text that waits for its end at most, in Docker mode.
const MOST_DOCKER: usize = 16 << 20;

impl DockerLines {
    fn push(
        &mut self,
        parser: Option<&Parser>,
        first: Option<&Parser>,
        line: Line<'_>,
        emit: &mut Emit<'_>,
    ) -> Fits {
        let text = without_return(line.text);
        let mut fits = true;
        if let Some(first) = first {
            self.scratch.clear();
            let is_first = first.parse(text, line.time, &mut self.scratch).is_ok();
            self.has_first |= is_first;
            // Until a first line was seen every whole line is a record (reference, inputs §3.10).
            if self.is_complete && (is_first || !self.has_first) {
                fits = self.finish(parser, emit);
            }
        }
        let Some((from, to)) = log_of(text) else {
            fits &= self.finish(parser, emit);
            return record(parser, text, line.time, line.start.offset, &mut self.scratch, emit) && fits;
        };
        if self.start.is_none() {
            self.start = Some(line.start);
            self.time = line.time;
        }
        let log = &text[from..to];
        self.log.extend_from_slice(log);
        self.before.clear();
        self.before.extend_from_slice(&text[..from]);
        self.after.clear();
        self.after.extend_from_slice(&text[to..]);
        self.last = line.start.offset;
        self.touched = line.now;
        self.is_complete = log.ends_with(b"\\n");
        if self.is_complete && first.is_none() || self.log.len() > MOST_DOCKER {
            fits &= self.finish(parser, emit);
        }
        fits
    }

    fn finish(&mut self, parser: Option<&Parser>, emit: &mut Emit<'_>) -> Fits {
        self.is_complete = false;
        if self.start.take().is_none() {
            return true;
        }
        let whole = [&self.before[..], &self.log, &self.after].concat();
        self.log.clear();
        record(parser, &whole, self.time, self.last, &mut self.scratch, emit)
    }
}

fn record(
    parser: Option<&Parser>,
    text: &[u8],
    time: Timestamp,
    offset: u64,
    scratch: &mut Vec<u8>,
    emit: &mut Emit<'_>,
) -> Fits {
    match parser {
        Some(parser) => parsed(parser, text, time, offset, scratch, emit),
        None => {
            emit.plain(time, text, offset);
            true
        }
    }
}

/// Where the escaped text under `log` lies in a line of JSON.
fn log_of(line: &[u8]) -> Option<(usize, usize)> {
    let key = memmem::find(line, b"\"log\"")? + 5;
    let blank = |at: &usize| line.get(*at).is_some_and(u8::is_ascii_whitespace);
    let colon = (key..).find(|at| !blank(at))?;
    if line.get(colon) != Some(&b':') {
        return None;
    }
    let quote = (colon + 1..).find(|at| !blank(at))?;
    if line.get(quote) != Some(&b'"') {
        return None;
    }
    let from = quote + 1;
    let mut at = from;
    loop {
        match line.get(at)? {
            b'"' => return Some((from, at)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_parse::Parsers;
    use ikada_record::json::{JsonStyle, write_record};
    use ikada_record::{ChunkBuilder, Receipt, Tag};

    use super::*;
    use crate::record::RecordRule;

    /// The records of these lines, and what is left at the end, as JSON.
    fn records(making: &Making, lines: &[&str]) -> Vec<String> {
        let rule = RecordRule::new("log", None, Some("at"), false);
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        let mut emit = Emit { rule: &rule, out: &mut builder, path: b"/a" };
        let mut joining = making.joining().unwrap();
        let mut offset = 0;
        for text in lines {
            let start = Place::new(offset, b"");
            let line = Line { text: text.as_bytes(), start, time: Timestamp::new(9, 0), now: Duration::ZERO };
            joining.push(making, line, &mut emit);
            offset += text.len() as u64 + 1;
        }
        joining.flush(making, None, &mut emit);
        assert!(joining.start().is_none() && joining.due(making).is_none());
        let chunk = builder.finish(Receipt::unwatched());
        let json = |entry: ikada_record::Entry<'_>| {
            let mut out = Vec::new();
            write_record(&mut out, entry.record_bytes(), JsonStyle::default());
            String::from_utf8(out).unwrap()
        };
        chunk.entries().map(json).collect()
    }

    #[test]
    fn docker_lines_are_joined_up_to_the_line_feed() {
        let parser = Parsers::new().get("docker");
        let making = Making::Docker { parser, first: None, wait: Duration::from_secs(4) };
        let lines = [
            r#"{"log":"one\n","stream":"stdout"}"#,
            r#"{"log":"part \"1\" ","stream":"a"}"#,
            r#"{"log":"part 2\n","stream":"b"}"#,
            "no json",
            r#"{"log":"never ends","stream":"c"}"#,
        ];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"log":"one\n","stream":"stdout","at":0}"#,
                r#"{"log":"part \"1\" part 2\n","stream":"b","at":69}"#,
                r#"{"at":101,"log":"no json"}"#,
                r#"{"log":"never ends","stream":"c","at":109}"#,
            ]
        );
    }

    #[test]
    fn with_a_parser_for_first_lines_whole_docker_lines_are_joined_too() {
        let first = Parsers::new().get("json");
        let making = Making::Docker { parser: None, first, wait: Duration::from_secs(4) };
        // What is no JSON as a whole is no first line here.
        let lines = [
            r#"-{"log":"0\n"}"#,
            r#"{"log":"a\n"}"#,
            r#"-{"log":"b"}"#,
            r#"-{"log":"c\n"}"#,
            r#"{"log":"d\n"}"#,
        ];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"at":0,"log":"-{\"log\":\"0\\n\"}"}"#,
                r#"{"at":42,"log":"-{\"log\":\"a\\nbc\\n\"}"}"#,
                r#"{"at":57,"log":"{\"log\":\"d\\n\"}"}"#,
            ]
        );
    }

    #[test]
    fn multiline_parsers_join_lines_and_give_the_offset_of_the_last() {
        let parsers = [Parsers::new().multiline("python").unwrap()];
        let making = Making::Joined(parsers.into());
        let lines =
            ["Traceback (most recent call last):", "  File \"a.py\", line 1", "    f()", "E: no", "next"];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"log":"Traceback (most recent call last):\n  File \"a.py\", line 1\n    f()\nE: no\n","at":65}"#,
                r#"{"log":"next\n","at":71}"#,
            ]
        );
    }
}
