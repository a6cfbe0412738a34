//! The lines of one stream, on their way to be records.

use std::sync::Arc;
use std::time::Duration;

use ikada_msgpack::{MapView, str_bytes, write};
use ikada_record::{Field, Fields, Timestamp};

use super::rules::Step;
use super::{LOG, MultilineParser, Test};

/// A record that is larger is handed over in parts: Fluent Bit's `multiline_buffer_limit`.
pub const DEFAULT_LIMIT: usize = 2 << 20;

/// So many groups of one stream are told apart; the one that was quiet longest makes room for another.
const MOST_GROUPS: usize = 64;

/// Room of a buffer that stays for the next record.
const KEPT_ROOM: usize = 64 * 1024;

/// What a line's maker needs to account for it. A record has one, made of those of its lines.
pub trait Origin {
    /// Takes that of a later line of the same record.
    fn join(&mut self, later: Self);
}

impl Origin for () {
    fn join(&mut self, (): Self) {}
}

/// From the start of the first line to the end of the last one.
impl Origin for std::ops::Range<u64> {
    fn join(&mut self, later: Self) {
        self.end = self.end.max(later.end);
        self.start = self.start.min(later.start);
    }
}

/// A record that is complete, or waited long enough.
#[derive(Debug)]
pub struct Finished<'j, T> {
    /// The encoded record.
    pub record: &'j [u8],
    /// The time of its first line.
    pub time: Timestamp,
    /// That of its lines.
    pub origin: T,
    /// More of it follows in the next record: it grew over the limit.
    pub is_cut: bool,
}

/// What became of a record that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is part of a record that has been, or will be, handed over.
    Taken,
    /// It is none of the parsers' business and goes on as it is; what was under way before it has been handed over.
    Alone,
}

/// Joins the lines of one stream.
#[derive(Debug)]
pub struct Joiner<T> {
    parsers: Arc<[Arc<MultilineParser>]>,
    /// The field that is joined, instead of those the parsers name.
    key_content: Option<Arc<[u8]>>,
    groups: Vec<Group<T>>,
    /// The parser that took the last line.
    last: Option<usize>,
    limit: usize,
    /// How long a record waits for its next line, instead of what the parsers say.
    wait: Option<Duration>,
    /// The record that a parser made of a line.
    parsed: Vec<u8>,
    /// A line with its line feed.
    fed: Vec<u8>,
    /// The record that is handed over.
    out: Vec<u8>,
}

/// Lines of one parser with the same value in its group field.
#[derive(Debug)]
struct Group<T> {
    parser: usize,
    name: Vec<u8>,
    /// The record under way; its buffers stay for the next one.
    text: Vec<u8>,
    first: Vec<u8>,
    time: Timestamp,
    /// The rule that took its last line.
    rule: Option<usize>,
    /// There is a record under way if this is.
    origin: Option<T>,
    /// When its last line came.
    touched: Duration,
}

/// The record that a line stands in.
#[derive(Clone, Copy)]
enum Record<'l> {
    /// It is only a line.
    None,
    Map(&'l [u8]),
    Fields(&'l [Field<'l>]),
}

/// A line or a record on its way in.
struct Line<'l> {
    text: &'l [u8],
    /// The field of a record that is looked at instead of the text.
    pattern: Option<&'l [u8]>,
    /// The record it stands in.
    record: Record<'l>,
    group: &'l [u8],
    time: Timestamp,
}

impl<T: Origin> Joiner<T> {
    /// A stream without lines. `key_content` is the field that is joined, instead of those the parsers name.
    #[must_use]
    pub fn new(parsers: Arc<[Arc<MultilineParser>]>, key_content: Option<Arc<[u8]>>) -> Self {
        Self {
            parsers,
            key_content,
            groups: Vec::new(),
            last: None,
            limit: DEFAULT_LIMIT,
            wait: None,
            parsed: Vec::new(),
            fed: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Sets the size, in bytes of text, over which a record is handed over in parts.
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes.max(1);
        self
    }

    /// Sets how long a record waits for its next line, instead of what the parsers say.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Takes a line without its line feed. `time` is the record's unless a parser finds one in the line; `now` is the moment, as time since
    /// any fixed one. What is complete goes to `hand`, in order.
    ///
    /// Empty lines alone make no record, whether they begin one or belong to none (cases `ml-empty-start`, `ml-empty-lines`): their
    /// `origin` is dropped.
    pub fn push_line(
        &mut self,
        line: &[u8],
        time: Timestamp,
        origin: T,
        now: Duration,
        hand: &mut impl FnMut(Finished<'_, T>),
    ) {
        let mut parsed = std::mem::take(&mut self.parsed);
        let parsers = self.parsers.clone();
        let mut origin = Some(origin);
        for at in self.order() {
            let parser = &*parsers[at];
            parsed.clear();
            let made = match &parser.parser {
                None => Some(Line { text: line, pattern: None, record: Record::None, group: &[], time }),
                Some(reader) => match reader.parse(line, time, &mut parsed) {
                    Ok(found) => self.line_in_map(parser, &parsed, found.unwrap_or(time)),
                    Err(_) => None,
                },
            };
            if made.is_some_and(|line| self.offer(at, &line, &mut origin, now, hand)) {
                break;
            }
        }
        if let Some(origin) = origin {
            self.finish(hand);
            self.alone(line, time, origin, hand);
        }
        let_go(&mut parsed);
        self.parsed = parsed;
    }

    /// Takes a record whose text stands in a field. `origin` is asked for only if the record is taken.
    pub fn push_record(
        &mut self,
        record: &Fields<'_>,
        time: Timestamp,
        origin: impl FnOnce() -> T,
        now: Duration,
        hand: &mut impl FnMut(Finished<'_, T>),
    ) -> Pushed {
        let mut parsed = std::mem::take(&mut self.parsed);
        let parsers = self.parsers.clone();
        let mut origin = Lazy(Some(origin));
        let mut taken = false;
        for at in self.order() {
            let parser = &*parsers[at];
            parsed.clear();
            let fields = record.as_slice();
            let pairs = fields.iter().map(|field| (field.key.bytes(), field.value.bytes()));
            let Some(line) = self.line_of(parser, pairs, Record::Fields(fields), time) else { continue };
            let line = match &parser.parser {
                None => Some(line),
                Some(reader) => match reader.parse(line.text, time, &mut parsed) {
                    Ok(found) => self.line_in_map(parser, &parsed, found.unwrap_or(time)),
                    Err(_) => None,
                },
            };
            if let Some(line) = line {
                taken = self.offer(at, &line, &mut origin, now, hand);
            }
            if taken {
                break;
            }
        }
        let_go(&mut parsed);
        self.parsed = parsed;
        if taken {
            return Pushed::Taken;
        }
        self.finish(hand);
        Pushed::Alone
    }

    /// When [`flush`](Self::flush) has something to hand over, if anything waits.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let waiting = self.groups.iter().filter(|group| group.origin.is_some());
        waiting.map(|group| group.touched + self.wait_of(group.parser)).min()
    }

    /// Hands over what has waited too long.
    pub fn flush(&mut self, now: Duration, hand: &mut impl FnMut(Finished<'_, T>)) {
        for at in 0..self.groups.len() {
            let wait = self.wait_of(self.groups[at].parser);
            if self.groups[at].touched + wait <= now {
                self.hand_over(at, false, hand);
            }
        }
    }

    /// Hands over everything that waits, complete or not.
    pub fn finish(&mut self, hand: &mut impl FnMut(Finished<'_, T>)) {
        for at in 0..self.groups.len() {
            self.hand_over(at, false, hand);
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.origin.is_none())
    }

    /// What the lines that wait come from, record by record.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.groups.iter().filter_map(|group| group.origin.as_ref())
    }

    /// Bytes of text that wait.
    #[must_use]
    pub fn held(&self) -> usize {
        let waiting = self.groups.iter().filter(|group| group.origin.is_some());
        waiting.map(|group| group.text.len() + group.first.len()).sum()
    }

    fn wait_of(&self, parser: usize) -> Duration {
        self.wait.unwrap_or(self.parsers[parser].flush_timeout)
    }

    /// The parsers, the one that took the last line first.
    fn order(&self) -> impl Iterator<Item = usize> + use<T> {
        let last = self.last;
        let others = (0..self.parsers.len()).filter(move |at| Some(*at) != last);
        last.into_iter().chain(others)
    }

    fn line_in_map<'l>(&self, parser: &MultilineParser, map: &'l [u8], time: Timestamp) -> Option<Line<'l>> {
        self.line_of(parser, MapView::known(map).raw(), Record::Map(map), time)
    }

    /// The line in a record; `None` without its field, or if that is no text.
    fn line_of<'l>(
        &self,
        parser: &MultilineParser,
        pairs: impl Iterator<Item = (&'l [u8], &'l [u8])>,
        record: Record<'l>,
        time: Timestamp,
    ) -> Option<Line<'l>> {
        let content = content_of(self.key_content.as_deref(), parser).unwrap_or(LOG);
        let mut line = Line { text: &[], pattern: None, record, group: &[], time };
        let mut has_text = false;
        let is = |key: &Option<Box<[u8]>>, name: &[u8]| key.as_deref() == Some(name);
        for (key, value) in pairs {
            let (Some(name), Some(text)) = (str_bytes(key), str_bytes(value)) else { continue };
            if name == content && !has_text {
                line.text = text;
                has_text = true;
            }
            if is(&parser.key_pattern, name) {
                line.pattern = Some(text);
            }
            if is(&parser.key_group, name) {
                line.group = text;
            }
        }
        has_text.then_some(line)
    }

    /// Offers a line to a parser. Whether it takes it.
    fn offer(
        &mut self,
        at: usize,
        line: &Line<'_>,
        origin: &mut impl Source<T>,
        now: Duration,
        hand: &mut impl FnMut(Finished<'_, T>),
    ) -> bool {
        let parsers = self.parsers.clone();
        let parser = &*parsers[at];
        let group = self.groups.iter().position(|group| group.parser == at && group.name == line.group);
        let step = match &parser.test {
            Test::Rules(rules) => {
                // The state outlives the record: what follows a stray line is joined by itself.
                rules.step(group.and_then(|group| self.groups[group].rule), line.text)
            }
            Test::EndsWith { .. } | Test::Equal { .. } => Step::Continues(0),
        };
        if step == Step::Alone {
            return false;
        }
        self.others_finish(at, hand);
        self.last = Some(at);
        let group = group.unwrap_or_else(|| self.new_group(at, line.group, hand));
        if let Step::Starts(_) = step {
            self.hand_over(group, false, hand);
        }
        self.append(group, line, step, origin.give(), now, hand);
        let done = match (&parser.test, step) {
            (Test::Rules(rules), Step::Continues(rule) | Step::Starts(rule)) => {
                self.groups[group].rule = Some(rule);
                rules.completes(rule)
            }
            (Test::Rules(_), Step::Alone) => false,
            (Test::EndsWith { text, negate }, _) => {
                line.pattern.unwrap_or(line.text).ends_with(text) != *negate
            }
            (Test::Equal { text, negate }, _) => (*line.pattern.unwrap_or(line.text) == **text) != *negate,
        };
        if done {
            self.hand_over(group, false, hand);
        }
        true
    }

    /// Hands over what other parsers have under way, so that records keep their order.
    fn others_finish(&mut self, parser: usize, hand: &mut impl FnMut(Finished<'_, T>)) {
        if self.last == Some(parser) {
            return;
        }
        for at in 0..self.groups.len() {
            if self.groups[at].parser != parser {
                self.hand_over(at, false, hand);
            }
        }
    }

    fn new_group(&mut self, parser: usize, name: &[u8], hand: &mut impl FnMut(Finished<'_, T>)) -> usize {
        if self.groups.len() == MOST_GROUPS {
            let quiet = (0..MOST_GROUPS).min_by_key(|at| self.groups[*at].touched).unwrap_or(0);
            self.hand_over(quiet, false, hand);
            self.groups.remove(quiet);
        }
        self.groups.push(Group {
            parser,
            name: name.to_vec(),
            text: Vec::new(),
            first: Vec::new(),
            time: Timestamp::default(),
            rule: None,
            origin: None,
            touched: Duration::ZERO,
        });
        self.groups.len() - 1
    }

    /// Adds a line to a group's record, or begins one with it.
    fn append(
        &mut self,
        at: usize,
        line: &Line<'_>,
        step: Step,
        origin: Option<T>,
        now: Duration,
        hand: &mut impl FnMut(Finished<'_, T>),
    ) {
        let parser = &self.parsers[self.groups[at].parser];
        let content = content_of(self.key_content.as_deref(), parser);
        let has_rules = matches!(parser.test, Test::Rules(_));
        let breaks = has_rules || content.is_none();
        let goes_on = has_rules && matches!(step, Step::Continues(_));
        let group = &mut self.groups[at];
        group.touched = now;
        if group.origin.is_some() && group.text.len() + line.text.len() >= self.limit {
            self.hand_over(at, true, hand);
        }
        let group = &mut self.groups[at];
        match (&mut group.origin, origin) {
            (Some(joined), Some(origin)) => {
                if breaks && group.text.last().is_some_and(|byte| *byte != b'\n') {
                    group.text.push(b'\n');
                }
                joined.join(origin);
            }
            (None, Some(origin)) => {
                group.origin = Some(origin);
                group.time = line.time;
                group.first.clear();
                match line.record {
                    Record::None => {}
                    Record::Map(map) => group.first.extend_from_slice(map),
                    Record::Fields(fields) => write_fields(fields, &mut group.first),
                }
            }
            (_, None) => {}
        }
        group.text.extend_from_slice(line.text);
        // An empty line is a line too; only what a rule joins it to may be as empty (case `ml-empty-cont`).
        if breaks && line.text.is_empty() && (goes_on || !group.text.is_empty()) {
            group.text.push(b'\n');
        }
    }

    /// Hands over the record that a group has under way, if it has one.
    fn hand_over(&mut self, at: usize, is_cut: bool, hand: &mut impl FnMut(Finished<'_, T>)) {
        let Some(origin) = self.groups[at].origin.take() else { return };
        let group = &mut self.groups[at];
        // Empty lines, and no fields beside them.
        if group.text.is_empty() && group.first.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let content = content_of(self.key_content.as_deref(), &self.parsers[group.parser]);
        if content.is_none() && group.text.last() != Some(&b'\n') {
            group.text.push(b'\n');
        }
        write_record(&group.first, content.unwrap_or(LOG), &group.text, &mut out);
        let_go(&mut group.text);
        hand(Finished { record: &out, time: group.time, origin, is_cut });
        let_go(&mut out);
        self.out = out;
    }

    /// Hands over a line that no parser takes.
    fn alone(&mut self, line: &[u8], time: Timestamp, origin: T, hand: &mut impl FnMut(Finished<'_, T>)) {
        let Some(parser) = self.parsers.first() else { return };
        let content = content_of(self.key_content.as_deref(), parser);
        if line.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        write::map_header(&mut out, 1);
        write::str(&mut out, content.unwrap_or(LOG));
        self.fed.clear();
        self.fed.extend_from_slice(line);
        if content.is_none() && line.last() != Some(&b'\n') {
            self.fed.push(b'\n');
        }
        write::str(&mut out, &self.fed);
        let_go(&mut self.fed);
        hand(Finished { record: &out, time, origin, is_cut: false });
        self.out = out;
    }
}

fn write_fields(fields: &[Field<'_>], out: &mut Vec<u8>) {
    write::map_header(out, fields.len());
    for field in fields {
        out.extend_from_slice(field.key.bytes());
        out.extend_from_slice(field.value.bytes());
    }
}

/// Empties a buffer and keeps its room, unless a long record made it large.
fn let_go(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_ROOM {
        *buffer = Vec::new();
    }
}

/// The field that is joined, if one is named: by the joiner, or by the parser.
fn content_of<'k>(key: Option<&'k [u8]>, parser: &'k MultilineParser) -> Option<&'k [u8]> {
    key.or(parser.key_content.as_deref())
}

/// Writes the first line's record with the joined text in its field.
fn write_record(first: &[u8], key: &[u8], text: &[u8], out: &mut Vec<u8>) {
    if first.is_empty() {
        write::map_header(out, 1);
        write::str(out, key);
        write::str(out, text);
        return;
    }
    let map = MapView::known(first);
    write::map_header(out, map.len());
    let mut replaced = false;
    for (name, value) in map.raw() {
        out.extend_from_slice(name);
        if !replaced && str_bytes(name) == Some(key) {
            write::str(out, text);
            replaced = true;
        } else {
            out.extend_from_slice(value);
        }
    }
}

/// An origin that is there, or is made when it is needed.
trait Source<T> {
    fn give(&mut self) -> Option<T>;
}

impl<T> Source<T> for Option<T> {
    fn give(&mut self) -> Option<T> {
        self.take()
    }
}

struct Lazy<F>(Option<F>);

impl<T, F: FnOnce() -> T> Source<T> for Lazy<F> {
    fn give(&mut self) -> Option<T> {
        self.0.take().map(|make| make())
    }
}

#[cfg(test)]
mod tests;
