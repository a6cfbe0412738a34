//! Lines that wait for the next one: multiline parsers, the old multiline mode, Docker mode.
//!
//! What waits belongs to the accounting: a file's position never passes the start of the first line that waits.

use std::sync::Arc;
use std::time::Duration;

use ikada_msgpack::{MapView, str_bytes, write};
use ikada_parse::Parser;
use ikada_parse::json::transcode_one;
use ikada_parse::multiline::{Joiner, MultilineParser, Origin};
use ikada_record::Timestamp;

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
            Self::Joined(parsers) => Joining::New(Joiner::new(parsers.clone(), None), None),
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

/// Where lines come from: the start of the first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From(Place);

impl Origin for From {
    fn join(&mut self, _later: Self) {}
}

/// Lines of one file that wait.
#[derive(Debug)]
pub(crate) enum Joining {
    /// With the offset behind the last line.
    New(Joiner<From>, Option<u64>),
    Old(OldLines),
    Docker(DockerLines),
}

/// Whether a parser took a line.
pub(crate) type Fits = bool;

impl Joining {
    /// Takes a line. Returns whether a parser took it, where one had to.
    pub(crate) fn push(&mut self, making: &Making, line: Line<'_>, emit: &mut Emit<'_>) -> Fits {
        match (self, making) {
            (Self::New(joiner, behind), _) => {
                // The offset is that of the line which showed that the record is whole (reference, inputs §3.6).
                let start = line.start.offset;
                let offset = behind.replace(start + line.text.len() as u64 + 1).unwrap_or(start);
                let text = without_return(line.text);
                joiner.push_line(text, line.time, From(line.start), line.now, &mut |done| {
                    emit.map(done.time, done.record, offset, done.is_cut);
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

    /// A line came that was cut: in the old multiline mode it ends the record (Fluent Bit 5.1.1).
    pub(crate) fn cut(&mut self, emit: &mut Emit<'_>) {
        if let Self::Old(lines) = self {
            lines.finish(emit);
        }
    }

    /// Lets go of what has waited too long, or of everything. `reached` is how far the file is read.
    pub(crate) fn flush(
        &mut self,
        making: &Making,
        now: Option<Duration>,
        reached: u64,
        emit: &mut Emit<'_>,
    ) {
        let is_due = now.is_none_or(|now| self.due(making).is_some_and(|due| due <= now));
        match self {
            Self::New(joiner, _) => {
                let mut hand = |done: ikada_parse::multiline::Finished<'_, From>| {
                    emit.map(done.time, done.record, reached, done.is_cut);
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
            (Self::New(joiner, _), _) => joiner.due(),
            (Self::Old(lines), Making::Old { wait, .. }) => lines.start.map(|_| lines.touched + *wait),
            (Self::Docker(lines), Making::Docker { wait, .. }) => lines.start.map(|_| lines.touched + *wait),
            _ => None,
        }
    }

    /// Bytes that wait.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::New(joiner, _) => joiner.held(),
            Self::Old(OldLines { start: None, .. }) | Self::Docker(DockerLines { start: None, .. }) => 0,
            Self::Old(lines) => lines.done.0.len() + lines.last.len() + lines.text.len(),
            Self::Docker(lines) => lines.before.len() + lines.log.len() + lines.after.len(),
        }
    }

    /// The start of the first line that waits.
    pub(crate) fn start(&self) -> Option<Place> {
        match self {
            Self::New(joiner, _) => joiner.waiting().map(|from| from.0).min_by_key(|start| start.offset),
            Self::Old(lines) => lines.start,
            Self::Docker(lines) => lines.start,
        }
    }
}

/// Adds what the parser makes of a text, or the text as it was found if the parser does not take it. Returns whether it did.
pub(crate) fn parsed(
    parser: &Parser,
    text: &[u8],
    found: &[u8],
    time: Timestamp,
    offset: u64,
    scratch: &mut Vec<u8>,
    emit: &mut Emit<'_>,
) -> Fits {
    scratch.clear();
    match parser.parse(text, time, scratch) {
        Ok(own) => {
            // A time of 0 means that there was none (reference, inputs §1.1).
            let time = own.filter(|own| *own != Timestamp::default()).unwrap_or(time);
            emit.map(time, scratch, offset, false);
            true
        }
        Err(_) => {
            emit.plain(time, found, offset);
            false
        }
    }
}

/// Lines of the old multiline mode: the first line's record grows.
#[derive(Debug, Default)]
pub(crate) struct OldLines {
    start: Option<Place>,
    touched: Duration,
    time: Timestamp,
    /// Whether the first line's record ends in text, so that lines can be added.
    takes_text: bool,
    /// Keys and values that are complete, and how many.
    done: (Vec<u8>, usize),
    /// The last line that a parser took, as a record.
    last: Vec<u8>,
    /// What is added to its last value.
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
            std::mem::swap(&mut self.last, &mut self.scratch);
            self.takes_text = self.ends_in_text();
        } else if self.start.is_none() {
            return emit.plain(line.time, text, line.start.offset);
        } else if self.is_taken(more, text, line.time) {
            self.complete();
            std::mem::swap(&mut self.last, &mut self.scratch);
        } else if self.takes_text && self.ends_in_text() {
            self.text.push(b'\n');
            self.text.extend_from_slice(text);
        } else {
            return emit.plain(line.time, text, line.start.offset);
        }
        self.touched = line.now;
    }

    /// Whether one of these parsers takes the text: its record is then in `scratch`.
    fn is_taken(&mut self, parsers: &[Arc<Parser>], text: &[u8], time: Timestamp) -> bool {
        self.scratch.clear();
        let scratch = &mut self.scratch;
        parsers.iter().any(|parser| parser.parse(text, time, scratch).is_ok())
    }

    fn ends_in_text(&self) -> bool {
        MapView::known(&self.last).raw().last().is_some_and(|(_, value)| str_bytes(value).is_some())
    }

    /// No line is added to the last record any more.
    fn complete(&mut self) {
        let map = MapView::known(&self.last);
        let (done, count) = (&mut self.done.0, map.len());
        for (at, (key, value)) in map.raw().enumerate() {
            done.extend_from_slice(key);
            match str_bytes(value) {
                Some(text) if at + 1 == count && !self.text.is_empty() => {
                    write::str(done, &[text, &self.text].concat());
                }
                _ => done.extend_from_slice(value),
            }
        }
        self.done.1 += count;
        self.text.clear();
    }

    fn finish(&mut self, emit: &mut Emit<'_>) {
        if self.start.take().is_none() {
            return;
        }
        self.complete();
        let (pairs, count) = std::mem::take(&mut self.done);
        emit.pairs(self.time, &pairs, count);
    }
}

/// Docker's JSON lines: the text under `log` goes on in the next line unless it ends in a line feed. A line that is no JSON map with a
/// text there is one by itself.
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
        self.scratch.clear();
        let is_json = transcode_one(text, &mut self.scratch) == Ok(text.trim_ascii_end().len());
        let Some((from, to)) = log_of(text).filter(|_| is_json) else {
            fits &= self.finish(parser, emit);
            let Some(parser) = parser else {
                emit.plain(line.time, text, line.start.offset);
                return fits;
            };
            let (time, offset) = (line.time, line.start.offset);
            return parsed(parser, text, line.text, time, offset, &mut self.scratch, emit) && fits;
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
        self.is_complete = ends_in_line_feed(log);
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
        let Some(parser) = parser else {
            emit.plain(self.time, &whole, self.last);
            return true;
        };
        parsed(parser, &whole, &whole, self.time, self.last, &mut self.scratch, emit)
    }
}

/// Where the escaped text under `log` lies in a line that is a map in JSON.
fn log_of(line: &[u8]) -> Option<(usize, usize)> {
    if line.first() != Some(&b'{') {
        return None;
    }
    let (mut at, mut depth) = (0, 0_u32);
    // Whether the next text on the map's own level is a key, and whether the one before was `log`.
    let (mut is_key, mut is_log) = (true, false);
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(line, at + 1)?;
                if depth == 1 && is_log {
                    return Some((at + 1, end));
                }
                is_log = depth == 1 && is_key && &line[at + 1..end] == b"log";
                at = end;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b':' if depth == 1 => is_key = false,
            b',' if depth == 1 => is_key = true,
            _ => {}
        }
        // Something else than text stands under `log`.
        if is_log && !matches!(byte, b'"' | b':' | b' ' | b'\t' | b'\r') {
            return None;
        }
        at += 1;
    }
    None
}

/// Where the text in quotes that starts here ends.
fn end_of_string(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match line.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether an escaped text ends in a line feed: in `n` behind a backslash that is not itself escaped.
fn ends_in_line_feed(text: &[u8]) -> bool {
    let Some(before) = text.strip_suffix(b"n") else { return text.ends_with(b"\\u000a") };
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
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
        let mut emit = Emit { rule: &rule, out: &mut builder, path: b"/a", cuts: 0 };
        let mut joining = making.joining().unwrap();
        let mut offset = 0;
        for text in lines {
            let start = Place::new(offset, b"");
            let line = Line { text: text.as_bytes(), start, time: Timestamp::new(9, 0), now: Duration::ZERO };
            joining.push(making, line, &mut emit);
            offset += text.len() as u64 + 1;
        }
        joining.flush(making, None, offset, &mut emit);
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
            r#"{"log":"ends in \\n","a":{"log":1}}"#,
            r#"{"a":{"log":"inner"},"b":"log","log":" and goes on\n"}"#,
            r#"{"log":5}"#,
            r#"{"log":"one\n","stream":"stdout"}"#,
            r#"{"log":"part \"1\" ","stream":"a"}"#,
            r#"{"log":"part 2\n","stream":"b"}"#,
            "no json",
            r#"{"log":"never ends","stream":"c"}"#,
        ];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"a":{"log":"inner"},"b":"log","log":"ends in \\n and goes on\n","at":36}"#,
                r#"{"log":5,"at":91}"#,
                r#"{"log":"one\n","stream":"stdout","at":101}"#,
                r#"{"log":"part \"1\" part 2\n","stream":"b","at":170}"#,
                r#"{"at":202,"log":"no json"}"#,
                r#"{"log":"never ends","stream":"c","at":210}"#,
            ]
        );
    }

    #[test]
    fn with_a_parser_for_first_lines_whole_docker_lines_are_joined_too() {
        let first = Parsers::new().get("cri");
        let making = Making::Docker { parser: None, first, wait: Duration::from_secs(4) };
        let lines = [
            r#"{"log":"0\n"}"#,
            r#"{"log":"a stdout F x\n"}"#,
            r#"{"log":"b"}"#,
            r#"{"log":"c\n"}"#,
            r#"{"log":"d stdout F y\n"}"#,
        ];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"at":0,"log":"{\"log\":\"0\\n\"}"}"#,
                r#"{"at":51,"log":"{\"log\":\"a stdout F x\\nbc\\n\"}"}"#,
                r#"{"at":65,"log":"{\"log\":\"d stdout F y\\n\"}"}"#,
            ]
        );
    }

    #[test]
    fn the_old_mode_adds_text_to_the_last_keys_and_keeps_what_has_no_place_there() {
        let first = Parsers::new().get("json").unwrap();
        let more = vec![Parsers::new().get("logfmt").unwrap()];
        let making = Making::Old { first, more, wait: Duration::from_secs(4) };
        let lines = ["text 0", r#"{"n":1,"m":"start"}"#, "  ", "k=v", "", r#"{"m":"b","n":1}"#, ""];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"at":0,"log":"text 0"}"#,
                r#"{"n":1,"m":"start\n  ","k":"v\n"}"#,
                r#"{"at":51,"log":""}"#,
                r#"{"m":"b","n":1}"#,
            ]
        );
    }

    #[test]
    fn a_line_that_was_cut_ends_a_record_of_the_old_mode() {
        let first = Parsers::new().get("json").unwrap();
        let making = Making::Old { first, more: Vec::new(), wait: Duration::from_secs(4) };
        let rule = RecordRule::new("log", None, None, false);
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        let mut emit = Emit { rule: &rule, out: &mut builder, path: b"/a", cuts: 0 };
        let mut joining = making.joining().unwrap();
        let start = Place::new(0, b"");
        let line = Line { text: br#"{"m":"a"}"#, start, time: Timestamp::new(9, 0), now: Duration::ZERO };
        joining.push(&making, line, &mut emit);
        joining.cut(&mut emit);
        assert!(joining.start().is_none());
        joining.push(&making, Line { text: b"text", ..line }, &mut emit);
        assert_eq!(builder.len(), 2);
    }

    #[test]
    fn multiline_parsers_join_lines_and_give_the_offset_of_the_line_that_ended_them() {
        let parsers = [Parsers::new().multiline("python").unwrap()];
        let making = Making::Joined(parsers.into());
        let lines = [
            "Traceback (most recent call last):",
            "  File \"a.py\", line 1",
            "    f()",
            "E: no",
            "next",
            "Traceback (most recent call last):",
        ];
        assert_eq!(
            records(&making, &lines),
            [
                r#"{"log":"Traceback (most recent call last):\n  File \"a.py\", line 1\n    f()\nE: no\n","at":65}"#,
                r#"{"log":"next\n","at":71}"#,
                r#"{"log":"Traceback (most recent call last):\n","at":111}"#,
            ]
        );
    }
}
