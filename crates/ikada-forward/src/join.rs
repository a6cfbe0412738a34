//! The pieces that Docker cuts long lines into, put together again.
//!
//! Docker's copier holds 16 KiB of a line; a longer one comes as several messages whose records say so (`partial_message`,
//! `partial_id`, `partial_ordinal`, `partial_last`; reference, configuration §10). A [`Joiner`] belongs to one connection. It keeps the
//! pieces of a line until the last one is there, and then makes one record of them:
//!
//! ```text
//!            piece                all pieces there
//!  (nothing) ─────► keeping ────────────────────────► one record
//!                      │  too long, too many, too late, or the end
//!                      └──────────────────────────────────────────► the pieces, marked as they came
//! ```
//!
//! A line that was let go in pieces is remembered until its last piece or until it has been silent for a while, so that what still
//! comes of it passes at once.

use std::time::Duration;

use ikada_msgpack::{MapView, View, str_bytes, write};
use ikada_record::Timestamp;
use memchr::memmem::Finder;
use tokio::time::Instant;

/// The encoded key that every piece has.
const MARK: &[u8] = b"\xafpartial_message";

/// Fields a piece has at least: the text and four marks. Docker's plain records have four fields in all.
const FIELDS: u32 = 5;

/// Lines that are under way on one connection at once. A container has two: one for each of its streams.
const LINES: usize = 32;

/// When lines are put together, and when no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinRule {
    /// Bytes of text that a line may have. A longer one goes on in pieces.
    pub limit: usize,
    /// How long the next piece may take.
    pub patience: Duration,
}

impl Default for JoinRule {
    fn default() -> Self {
        Self { limit: 1_000_000, patience: Duration::from_secs(5) }
    }
}

/// Something that goes on: a whole line, a piece of one, whatever came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Out {
    /// The tag as it was sent.
    pub(crate) tag: Vec<u8>,
    pub(crate) time: Timestamp,
    /// The encoded record.
    pub(crate) record: Vec<u8>,
}

/// Keeps the pieces of lines.
#[derive(Debug)]
pub(crate) struct Joiner {
    rule: JoinRule,
    finder: Finder<'static>,
    lines: Vec<Line>,
    out: Vec<Out>,
}

/// A line under way.
#[derive(Debug)]
struct Line {
    tag: Vec<u8>,
    id: Vec<u8>,
    pieces: Vec<Piece>,
    /// Number of pieces, once the last one is there.
    count: Option<u32>,
    /// Bytes of text.
    text: usize,
    /// Bytes of records.
    size: usize,
    /// Until when the next piece must be there.
    until: Instant,
    /// Whether it was let go in pieces.
    is_given_up: bool,
}

#[derive(Debug)]
struct Piece {
    ordinal: u32,
    time: Timestamp,
    record: Vec<u8>,
}

/// What a piece says of itself.
struct Marks<'a> {
    id: &'a [u8],
    ordinal: u32,
    is_last: bool,
    text: usize,
}

impl Joiner {
    pub(crate) fn new(rule: JoinRule) -> Self {
        Self { rule, finder: Finder::new(MARK), lines: Vec::new(), out: Vec::new() }
    }

    /// Whether a record may be a piece. Almost every record is told by its first byte that it is none.
    #[inline]
    pub(crate) fn may_take(&self, record: &[u8]) -> bool {
        match record.first() {
            Some(byte @ 0x80..=0x8f) => u32::from(byte & 15) >= FIELDS && self.finder.find(record).is_some(),
            _ => self.finder.find(record).is_some(),
        }
    }

    /// Takes a piece; `false` if it is none after all, or one that has to go on as it is.
    pub(crate) fn take(&mut self, tag: &[u8], time: Timestamp, record: &[u8], now: Instant) -> bool {
        let Some(marks) = Marks::read(record) else { return false };
        let known = self.lines.iter().position(|line| line.id == marks.id && line.tag == tag);
        let at = match known {
            Some(at) if self.lines[at].is_given_up => return self.pass(at, &marks, now),
            // The same piece once more is none of this line.
            Some(at) if self.lines[at].has(marks.ordinal) => {
                self.give_up(at);
                return self.pass(at, &marks, now);
            }
            Some(at) => at,
            None => self.begin(tag, marks.id, now),
        };
        let line = &mut self.lines[at];
        line.add(&marks, Piece { ordinal: marks.ordinal, time, record: record.to_vec() });
        line.until = now + self.rule.patience;
        if line.is_whole() {
            let line = self.lines.swap_remove(at);
            self.out.push(line.join());
        } else if line.text > self.rule.limit || line.size > 2 * self.rule.limit + 64 * 1024 {
            self.give_up(at);
        }
        true
    }

    /// When the first line has waited long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lines.iter().map(|line| line.until).min()
    }

    /// Lets go of what has waited long enough.
    pub(crate) fn tick(&mut self, now: Instant) {
        for at in (0..self.lines.len()).rev() {
            if self.lines[at].until > now {
                continue;
            }
            if self.lines[at].is_given_up {
                self.lines.swap_remove(at);
            } else {
                self.give_up(at);
                self.lines[at].until = now + self.rule.patience;
            }
        }
    }

    /// Lets go of all that is kept. What still comes of these lines passes at once.
    pub(crate) fn let_go(&mut self) {
        for at in 0..self.lines.len() {
            self.give_up(at);
        }
    }

    /// Lets go of everything: nothing more will come.
    pub(crate) fn end(&mut self) {
        self.let_go();
        self.lines.clear();
    }

    /// Bytes of pieces that are kept.
    pub(crate) fn size(&self) -> usize {
        self.lines.iter().map(|line| line.size).sum()
    }

    /// What goes on, in order.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, Out> {
        self.out.drain(..)
    }

    pub(crate) fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    fn begin(&mut self, tag: &[u8], id: &[u8], now: Instant) -> usize {
        if self.lines.len() >= LINES {
            self.give_up(0);
            self.lines.remove(0);
        }
        self.lines.push(Line {
            tag: tag.to_vec(),
            id: id.to_vec(),
            pieces: Vec::new(),
            count: None,
            text: 0,
            size: 0,
            until: now + self.rule.patience,
            is_given_up: false,
        });
        self.lines.len() - 1
    }

    /// A piece of a line that was given up goes on as it is; after the last one there is nothing to remember.
    fn pass(&mut self, at: usize, marks: &Marks<'_>, now: Instant) -> bool {
        if marks.is_last {
            self.lines.swap_remove(at);
        } else {
            self.lines[at].until = now + self.rule.patience;
        }
        false
    }

    /// Sends the pieces of a line on as they came.
    fn give_up(&mut self, at: usize) {
        let line = &mut self.lines[at];
        line.is_given_up = true;
        line.size = 0;
        let mut pieces = std::mem::take(&mut line.pieces);
        pieces.sort_by_key(|piece| piece.ordinal);
        for Piece { time, record, .. } in pieces {
            self.out.push(Out { tag: line.tag.clone(), time, record });
        }
    }
}

impl Line {
    fn has(&self, ordinal: u32) -> bool {
        self.pieces.iter().any(|piece| piece.ordinal == ordinal)
    }

    fn add(&mut self, marks: &Marks<'_>, piece: Piece) {
        self.text += marks.text;
        self.size += piece.record.len();
        if marks.is_last {
            self.count = Some(marks.ordinal);
        }
        self.pieces.push(piece);
    }

    /// Whether all pieces are there: no two have the same ordinal, and none is behind the last.
    fn is_whole(&self) -> bool {
        let Some(count) = self.count else { return false };
        self.pieces.len() == count as usize
            && self.pieces.iter().all(|piece| (1..=count).contains(&piece.ordinal))
    }

    /// One record of all pieces: the first one's time and fields without the marks, and the whole text behind them, as Fluent
    /// Bit's multiline filter does (reference, inputs §7.6).
    fn join(mut self) -> Out {
        self.pieces.sort_by_key(|piece| piece.ordinal);
        let (time, first) = (self.pieces[0].time, &self.pieces[0].record);
        let stays = |key: &[u8]| !matches!(str_bytes(key), Some(key) if key == b"log" || is_mark(key));
        let kept = || MapView::known(first).raw().filter(|(key, _)| stays(key));
        let mut record = Vec::with_capacity(first.len() + self.text + 8);
        write::map_header(&mut record, kept().count() + 1);
        for (key, value) in kept() {
            record.extend_from_slice(key);
            record.extend_from_slice(value);
        }
        let mut text = Vec::with_capacity(self.text);
        for piece in &self.pieces {
            let part = MapView::known(&piece.record).get(b"log");
            text.extend_from_slice(part.and_then(|part| part.as_str()).unwrap_or_default());
        }
        write::str(&mut record, b"log");
        write::str(&mut record, &text);
        Out { tag: self.tag, time, record }
    }
}

/// Whether a field is one of those that Docker adds to pieces.
fn is_mark(key: &[u8]) -> bool {
    matches!(key, b"partial_message" | b"partial_id" | b"partial_ordinal" | b"partial_last")
}

impl<'a> Marks<'a> {
    /// The marks of a record, `None` unless all four are there, make sense, and the text is text.
    fn read(record: &'a [u8]) -> Option<Self> {
        let (mut is_piece, mut id, mut ordinal, mut is_last, mut text) = (false, None, None, None, None);
        for (key, value) in MapView::known(record).iter() {
            match key.as_str() {
                Some(b"partial_message") => is_piece = truth(&value)?,
                Some(b"partial_id") => id = value.as_str(),
                Some(b"partial_ordinal") => ordinal = number(&value),
                Some(b"partial_last") => is_last = truth(&value),
                Some(b"log") => text = Some(value.as_str()?.len()),
                _ => {}
            }
        }
        is_piece.then_some(Self {
            id: id?,
            ordinal: ordinal.filter(|n| *n > 0)?,
            is_last: is_last?,
            text: text?,
        })
    }
}

/// `"true"` or `"false"`, as Docker says it; a boolean, as others may.
fn truth(value: &View<'_>) -> Option<bool> {
    match value {
        View::Bool(value) => Some(*value),
        View::Str(b"true") => Some(true),
        View::Str(b"false") => Some(false),
        _ => None,
    }
}

fn number(value: &View<'_>) -> Option<u32> {
    match value {
        View::Uint(number) => u32::try_from(*number).ok(),
        View::Str(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(id: &str, ordinal: u32, last: bool, text: &str) -> Vec<u8> {
        let ordinal = ordinal.to_string();
        let mut record = Vec::new();
        let fields = [
            ("source", "stdout"),
            ("log", text),
            ("partial_message", "true"),
            ("partial_id", id),
            ("partial_ordinal", ordinal.as_str()),
            ("partial_last", if last { "true" } else { "false" }),
        ];
        write::map_header(&mut record, fields.len());
        for (key, value) in fields {
            write::str(&mut record, key.as_bytes());
            write::str(&mut record, value.as_bytes());
        }
        record
    }

    fn joined(text: &str) -> Vec<u8> {
        let mut record = Vec::new();
        write::map_header(&mut record, 2);
        for (key, value) in [("source", "stdout"), ("log", text)] {
            write::str(&mut record, key.as_bytes());
            write::str(&mut record, value.as_bytes());
        }
        record
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::new(secs, 0)
    }

    fn give(joiner: &mut Joiner, ordinal: u32, record: &[u8], now: Instant) -> bool {
        assert!(joiner.may_take(record));
        joiner.take(b"t", at(i64::from(ordinal)), record, now)
    }

    fn records(joiner: &mut Joiner) -> Vec<Vec<u8>> {
        joiner.drain().map(|out| out.record).collect()
    }

    #[test]
    fn pieces_become_one_record_with_the_time_of_the_first() {
        let (mut joiner, now) = (Joiner::new(JoinRule::default()), Instant::now());
        for (ordinal, last, text) in [(1, false, "aa"), (2, false, "bb"), (3, true, "c")] {
            assert!(give(&mut joiner, ordinal, &piece("x", ordinal, last, text), now));
        }
        let out = Out { tag: b"t".to_vec(), time: at(1), record: joined("aabbc") };
        assert_eq!(joiner.drain().collect::<Vec<_>>(), [out]);
        assert_eq!(joiner.due(), None);
    }

    #[test]
    fn plain_records_are_told_without_a_look_into_them() {
        let joiner = Joiner::new(JoinRule::default());
        assert!(!joiner.may_take(b"\x81\xafpartial_message\xa4true"));
        assert!(!joiner.may_take(&joined("partial_message")));
    }

    #[test]
    fn what_lacks_a_mark_is_no_piece() {
        let (mut joiner, now) = (Joiner::new(JoinRule::default()), Instant::now());
        let whole = piece("x", 1, false, "a");
        let changes: [(&[u8], &[u8]); 4] = [
            (b"partial_id", b"partial_ix"),
            (b"false", b"falsy"),
            (b"true", b"trux"),
            (b"partial_ordinal\xa11", b"partial_ordinal\xa10"),
        ];
        for (from, to) in changes {
            let place = whole.windows(from.len()).position(|window| window == from).unwrap();
            let mut odd = whole.clone();
            odd[place..place + to.len()].copy_from_slice(to);
            assert!(!joiner.take(b"t", at(1), &odd, now), "{}", String::from_utf8_lossy(to));
        }
        assert!(joiner.lines.is_empty());
    }

    #[test]
    fn lines_of_two_streams_do_not_mix() {
        let (mut joiner, now) = (Joiner::new(JoinRule::default()), Instant::now());
        for (id, ordinal, last, text) in
            [("x", 1, false, "x1"), ("y", 1, false, "y1"), ("x", 2, true, "x2"), ("y", 2, true, "y2")]
        {
            assert!(give(&mut joiner, ordinal, &piece(id, ordinal, last, text), now));
        }
        assert_eq!(records(&mut joiner), [joined("x1x2"), joined("y1y2")]);
    }

    #[test]
    fn a_line_that_is_too_long_goes_on_in_pieces_and_its_rest_at_once() {
        let rule = JoinRule { limit: 5, ..JoinRule::default() };
        let (mut joiner, now) = (Joiner::new(rule), Instant::now());
        let pieces: Vec<_> = (1..=4).map(|n| piece("x", n, n == 4, "123")).collect();
        assert!(give(&mut joiner, 1, &pieces[0], now));
        assert!(give(&mut joiner, 2, &pieces[1], now));
        assert_eq!(records(&mut joiner), pieces[..2]);
        assert!(!give(&mut joiner, 3, &pieces[2], now));
        assert!(!give(&mut joiner, 4, &pieces[3], now));
        assert!(joiner.lines.is_empty());
    }

    #[test]
    fn a_line_without_its_end_goes_on_in_pieces_when_its_time_has_come() {
        let (mut joiner, now) = (Joiner::new(JoinRule::default()), Instant::now());
        let pieces = [piece("x", 1, false, "a"), piece("x", 2, false, "b")];
        give(&mut joiner, 1, &pieces[0], now);
        give(&mut joiner, 2, &pieces[1], now + Duration::from_secs(3));
        assert_eq!(joiner.due(), Some(now + Duration::from_secs(8)));
        joiner.tick(now + Duration::from_secs(7));
        assert!(!joiner.has_out());
        joiner.tick(now + Duration::from_secs(8));
        assert_eq!(records(&mut joiner), pieces);
        // What comes late passes; a line of which nothing more comes is forgotten.
        assert!(!give(&mut joiner, 3, &piece("x", 3, false, "c"), now + Duration::from_secs(9)));
        joiner.tick(now + Duration::from_secs(14));
        assert_eq!(joiner.due(), None);
    }

    #[test]
    fn a_piece_that_comes_twice_joins_nothing() {
        let (mut joiner, now) = (Joiner::new(JoinRule::default()), Instant::now());
        let one = piece("x", 1, false, "a");
        assert!(give(&mut joiner, 1, &one, now));
        assert!(!give(&mut joiner, 1, &one, now));
        assert_eq!(records(&mut joiner), [one]);
    }

    #[test]
    fn lines_without_number_do_not_fill_the_memory() {
        let (mut joiner, now) = (Joiner::new(JoinRule::default()), Instant::now());
        for n in 0..1000 {
            give(&mut joiner, 1, &piece(&format!("id{n}"), 1, false, "a"), now);
        }
        assert_eq!(joiner.lines.len(), LINES);
        joiner.end();
        assert_eq!(records(&mut joiner).len(), 1000);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_whatever_comes(
            all in proptest::collection::vec((0u8..3, 1u32..6, any::<bool>(), 0u64..4), 0..60)
        ) {
            let rule = JoinRule { limit: 12, patience: Duration::from_secs(5) };
            let (mut joiner, mut now) = (Joiner::new(rule), Instant::now());
            let (mut sent, mut got) = (0, 0);
            let text = |record: &[u8]| MapView::known(record).get(b"log").unwrap().as_str().unwrap().len();
            for (id, ordinal, last, wait) in all {
                now += Duration::from_secs(wait);
                joiner.tick(now);
                let record = piece(&id.to_string(), ordinal, last, "abcd");
                sent += 4;
                if !joiner.take(b"t", at(1), &record, now) {
                    got += 4;
                }
                got += joiner.drain().map(|out| text(&out.record)).sum::<usize>();
            }
            joiner.end();
            got += joiner.drain().map(|out| text(&out.record)).sum::<usize>();
            prop_assert_eq!(got, sent);
        }
    }
}
