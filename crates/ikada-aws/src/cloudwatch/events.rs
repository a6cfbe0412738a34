//! One request's worth of log events, rendered as the request's own text.
//!
//! ```text
//! {"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"a"},{"timestamp":2,"message":"b"},
//! └──────────────────── head ────────────────────────┘└──────── event 0 ────────┘ └──────── event 1 ────────┘
//! ```
//!
//! An event is written once, at the end of the arena, with a comma behind it; two numbers beside it say where it ends and what
//! time it has. Closing turns the last comma into `]}`, and what lies in the arena is the body of the request: nothing is
//! copied unless times are out of order or only some of the events are to be sent again.

use bytes::Bytes;

/// Most events in one call (PutLogEvents, read 2026-11-22).
pub(super) const MAX_EVENTS: usize = 10_000;
/// Most bytes in one call: of all messages as UTF-8, and [`EVENT_OVERHEAD`] for each.
pub(super) const MAX_BYTES: usize = 1_048_576;
/// What each event counts besides its message.
pub(super) const EVENT_OVERHEAD: usize = 26;
/// Longest message: one that fills a call alone.
pub(super) const MAX_MESSAGE: usize = MAX_BYTES - EVENT_OVERHEAD;
/// Events of one call must lie less than a day apart, in milliseconds.
pub(super) const MAX_SPAN: i64 = 24 * 60 * 60 * 1000;

/// What stands at the end of a message that was cut.
const CUT_MARK: &[u8] = b"[Truncated...]";
/// Room for `[Part 12345/12345]`.
const PART_MARK: usize = 19;

/// What every event begins with.
const TIMESTAMP: &[u8] = b"{\"timestamp\":";
const TAIL: &[u8] = b"]}";

/// Log events of one stream, gathered up to what one call takes.
#[derive(Debug)]
pub(super) struct Events {
    arena: Vec<u8>,
    head: u32,
    /// Offset behind each event, its comma left out.
    ends: Vec<u32>,
    /// Time of each event in milliseconds.
    times: Vec<i64>,
    earliest: i64,
    latest: i64,
    in_order: bool,
    /// What the service counts.
    size: usize,
}

/// An event at the end of the arena that has not been counted yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    start: usize,
    message: usize,
}

impl Events {
    /// None yet, for a stream; `capacity` in bytes.
    pub(super) fn new(head: &[u8], capacity: usize) -> Self {
        let mut arena = Vec::with_capacity(capacity.max(head.len() + 1024));
        arena.extend_from_slice(head);
        Self {
            arena,
            head: head.len() as u32,
            ends: Vec::new(),
            times: Vec::new(),
            earliest: 0,
            latest: 0,
            in_order: true,
            size: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes held.
    pub(super) fn cost(&self) -> usize {
        self.arena.len() + 12 * self.ends.len()
    }

    /// Bytes of request body; not to be asked while there are no events.
    pub(super) fn body_len(&self) -> usize {
        self.arena.len() - 1 + TAIL.len()
    }

    /// Whether another event of this time may stand beside those here: count and span, not size.
    #[inline]
    pub(super) fn takes(&self, time: i64) -> bool {
        if self.ends.is_empty() {
            return true;
        }
        self.ends.len() < MAX_EVENTS
            && self.latest.max(time).saturating_sub(self.earliest.min(time)) < MAX_SPAN
    }

    /// Begins an event; its message is to be written behind it.
    #[inline]
    pub(super) fn begin(&mut self, time: i64) -> Mark {
        let start = self.arena.len();
        self.arena.extend_from_slice(TIMESTAMP);
        self.arena.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        self.arena.extend_from_slice(b",\"message\":\"");
        Mark { start, message: self.arena.len() }
    }

    /// Where the message goes: the body of a JSON string.
    #[inline]
    pub(super) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// Lets only that count of the message begun at `mark` that was written from `from` on.
    pub(super) fn keep_from(&mut self, mark: Mark, from: usize) {
        self.arena.drain(mark.message..from);
    }

    /// Takes the event back.
    pub(super) fn abort(&mut self, mark: Mark) {
        self.arena.truncate(mark.start);
    }

    /// Cuts the message begun at `mark` to the longest one the service takes. Returns its length as UTF-8.
    pub(super) fn cut(&mut self, mark: Mark) -> usize {
        let (kept, len) = prefix(&self.arena[mark.message..], MAX_MESSAGE - CUT_MARK.len());
        self.arena.truncate(mark.message + kept);
        self.arena.extend_from_slice(CUT_MARK);
        len + CUT_MARK.len()
    }

    /// Takes the event back whose message is too long, in pieces that the service takes: each as the body of a JSON string, and its
    /// length as UTF-8. Each says which part it is.
    pub(super) fn take_apart(&mut self, mark: Mark) -> Vec<(Vec<u8>, usize)> {
        let mut pieces = Vec::new();
        let mut rest = &self.arena[mark.message..];
        while !rest.is_empty() {
            let (end, len) = prefix(rest, MAX_MESSAGE - PART_MARK);
            pieces.push((rest[..end].to_vec(), len));
            rest = &rest[end..];
        }
        let count = pieces.len();
        for (at, (piece, len)) in pieces.iter_mut().enumerate() {
            let mark = format!("[Part {}/{count}]", at + 1);
            piece.extend_from_slice(mark.as_bytes());
            *len += mark.len();
        }
        self.abort(mark);
        pieces
    }

    /// Adds an event with this message, whatever fits.
    pub(super) fn push(&mut self, time: i64, message: &[u8], len: usize) {
        self.begin(time);
        self.arena.extend_from_slice(message);
        self.end(time, len);
    }

    /// Whether the message begun last still fits, with its length as UTF-8.
    #[inline]
    pub(super) fn fits(&self, message: usize) -> bool {
        self.size + message + EVENT_OVERHEAD <= MAX_BYTES
    }

    /// Ends the event and counts it.
    #[inline]
    pub(super) fn end(&mut self, time: i64, message: usize) {
        self.arena.extend_from_slice(b"\"},");
        self.count(time, message);
    }

    fn count(&mut self, time: i64, message: usize) {
        if self.ends.is_empty() {
            (self.earliest, self.latest) = (time, time);
        }
        // Offsets fit: a call's worth of messages is far below 4 GiB however much it is escaped.
        self.ends.push(self.arena.len() as u32 - 1);
        self.times.push(time);
        self.in_order &= time >= self.latest;
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
        self.size += message + EVENT_OVERHEAD;
    }

    /// Moves the event begun at `mark`, message written, to `other`, where it is ended and counted.
    pub(super) fn move_last(&mut self, mark: Mark, other: &mut Self, time: i64, message: usize) {
        other.arena.extend_from_slice(&self.arena[mark.start..]);
        self.arena.truncate(mark.start);
        other.end(time, message);
    }

    /// Makes the body.
    pub(super) fn close(mut self) -> Closed {
        if !self.ends.is_empty() {
            self.arena.pop();
        }
        self.arena.extend_from_slice(TAIL);
        Closed {
            arena: self.arena.into(),
            head: self.head,
            ends: self.ends.into(),
            times: self.times.into(),
            in_order: self.in_order,
        }
    }
}

/// Log events of one stream that no more are added to.
#[derive(Debug)]
pub(super) struct Closed {
    arena: Bytes,
    head: u32,
    ends: Box<[u32]>,
    times: Box<[i64]>,
    in_order: bool,
}

impl Closed {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn time(&self, event: u32) -> i64 {
        self.times[event as usize]
    }

    /// Puts events, by their number in the arena, in the order the service wants: by time, and as they came within a
    /// millisecond.
    pub(super) fn sort(&self, events: &mut [u32]) {
        if !self.in_order {
            events.sort_by_key(|event| (self.time(*event), *event));
        }
    }

    /// The body of a call with these events, in this order.
    pub(super) fn body(&self, events: &[u32]) -> Bytes {
        if self.in_order && events.len() == self.len() {
            return self.arena.clone();
        }
        self.body_of(events, &self.arena[..self.head as usize], None)
    }

    /// The same with another head, and with another time for all of them if there is one.
    pub(super) fn body_of(&self, events: &[u32], head: &[u8], time: Option<i64>) -> Bytes {
        let size: usize = events.iter().map(|event| self.text(*event).len() + 1).sum();
        let mut body = Vec::with_capacity(head.len() + size + 8 * events.len() + TAIL.len());
        body.extend_from_slice(head);
        for (n, event) in events.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            let text = self.text(*event);
            match time.zip(memchr::memchr(b',', text)) {
                Some((time, behind)) => {
                    body.extend_from_slice(TIMESTAMP);
                    body.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
                    body.extend_from_slice(&text[behind..]);
                }
                None => body.extend_from_slice(text),
            }
        }
        body.extend_from_slice(TAIL);
        body.into()
    }

    fn text(&self, event: u32) -> &[u8] {
        let event = event as usize;
        let start = match event {
            0 => self.head,
            _ => self.ends[event - 1] + 1,
        };
        &self.arena[start as usize..self.ends[event] as usize]
    }
}

/// What every call to a stream begins with. `entity` is a whole member with its comma, or nothing.
pub(super) fn head(group: &str, stream: &str, entity: &str) -> Vec<u8> {
    let mut head = b"{\"logGroupName\":\"".to_vec();
    ikada_record::json::write_str_escaped(&mut head, group.as_bytes());
    head.extend_from_slice(b"\",\"logStreamName\":\"");
    ikada_record::json::write_str_escaped(&mut head, stream.as_bytes());
    head.extend_from_slice(b"\",");
    head.extend_from_slice(entity.as_bytes());
    head.extend_from_slice(b"\"logEvents\":[");
    head
}

/// The longest beginning of a JSON string's body that spells at most `limit` bytes of UTF-8: its length as it stands and as it
/// spells. It ends between characters, and where the string is itself JSON, not inside one of that JSON's escapes.
fn prefix(escaped: &[u8], limit: usize) -> (usize, usize) {
    let (mut at, mut spelt) = (0, 0);
    while at < escaped.len() {
        let (len, spells) = token(&escaped[at..]);
        if spelt + spells > limit {
            break;
        }
        at += len;
        spelt += spells;
    }
    (at, spelt)
}

/// The length of what must not be parted at the start of a string's body, and how many bytes it spells.
fn token(text: &[u8]) -> (usize, usize) {
    if !text.starts_with(b"\\\\") {
        return unit(text);
    }
    // A backslash in the message: with what it escapes, should the message be JSON.
    let (escaped, spells) = unit(&text[2..]);
    if text.get(2) != Some(&b'u') {
        return (2 + escaped, 1 + spells);
    }
    let hex = text.get(3..7).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let high = hex
        && text[3].eq_ignore_ascii_case(&b'd')
        && matches!(text[4], b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
    match (hex, high && text[7..].starts_with(b"\\\\u") && text.len() >= 14) {
        (_, true) => (14, 12),
        (true, false) => (7, 6),
        (false, false) => (3, 2),
    }
}

/// One character as it stands in a string's body, and how many bytes it spells.
fn unit(text: &[u8]) -> (usize, usize) {
    let Some(first) = text.first() else { return (0, 0) };
    let len = match first {
        b'\\' if text.get(1) == Some(&b'u') => return (6.min(text.len()), 1),
        b'\\' => return (2.min(text.len()), 1),
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    let len = len.min(text.len());
    (len, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(events: &mut Events, time: i64, message: &str) {
        let mark = events.begin(time);
        events.arena().extend_from_slice(message.as_bytes());
        assert!(events.takes(time) && events.fits(message.len()) && mark.message > mark.start);
        events.end(time, message.len());
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn in_order_the_arena_is_the_body() {
        let mut events = Events::new(&head("g", "s", ""), 0);
        event(&mut events, 1, "a");
        event(&mut events, 1, "b");
        let body_len = events.body_len();
        let closed = events.close();
        let body = closed.body(&[0, 1]);
        assert_eq!(
            text(&body),
            r#"{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"a"},{"timestamp":1,"message":"b"}]}"#
        );
        assert_eq!(body.as_ptr(), closed.arena.as_ptr(), "nothing is copied");
        assert_eq!(body.len(), body_len);
    }

    #[test]
    fn out_of_order_events_are_sorted_and_equal_times_keep_their_order() {
        let mut events = Events::new(&head("g", "s", ""), 0);
        for (time, message) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            event(&mut events, time, message);
        }
        let closed = events.close();
        let mut order = [0, 1, 2, 3];
        closed.sort(&mut order);
        assert_eq!(order, [1, 3, 0, 2]);
        assert!(text(&closed.body(&order)).ends_with(
            r#"[{"timestamp":1,"message":"a"},{"timestamp":1,"message":"b"},{"timestamp":5,"message":"c"},{"timestamp":5,"message":"d"}]}"#
        ));
        assert!(text(&closed.body(&[2])).ends_with(r#"[{"timestamp":5,"message":"d"}]}"#));
    }

    #[test]
    fn events_can_be_given_another_head_and_time() {
        let mut events = Events::new(&head("g", "s", ""), 0);
        event(&mut events, 1, "a,b");
        event(&mut events, 2, "c");
        let closed = events.close();
        assert_eq!(
            text(&closed.body_of(&[0, 1], b"<", Some(77))),
            r#"<{"timestamp":77,"message":"a,b"},{"timestamp":77,"message":"c"}]}"#
        );
    }

    #[test]
    fn a_message_is_taken_apart_between_characters() {
        let mut events = Events::new(b"", 0);
        let whole = "日".repeat(800_000);
        let mark = events.begin(5);
        events.arena().extend_from_slice(whole.as_bytes());
        let pieces = events.take_apart(mark);
        assert_eq!((pieces.len(), events.arena().len()), (3, 0));
        let joined: String = pieces
            .iter()
            .enumerate()
            .map(|(at, (piece, len))| {
                assert!(*len == piece.len() && *len <= MAX_MESSAGE);
                text(piece).strip_suffix(&format!("[Part {}/3]", at + 1)).unwrap()
            })
            .collect();
        assert!(joined == whole);
    }

    #[test]
    fn a_day_apart_is_too_far() {
        let mut events = Events::new(b"", 0);
        event(&mut events, MAX_SPAN, "x");
        assert!(events.takes(1) && events.takes(2 * MAX_SPAN - 1));
        assert!(!events.takes(0) && !events.takes(2 * MAX_SPAN));
    }

    #[test]
    fn a_message_is_cut_between_characters_and_escapes() {
        let cases: [(&str, usize, &str, usize); 9] = [
            ("abc", 2, "ab", 2),
            ("a日本", 4, "a日", 4),
            ("a日本", 3, "a", 1),
            (r#"a\"b"#, 2, r#"a\""#, 2),
            (r"a\u001fb", 2, r"a\u001f", 2),
            (r"a\\u65e5b", 6, "a", 1),
            (r"a\\u65e5b", 7, r"a\\u65e5", 7),
            (r"\\ud83d\\ude00b", 11, "", 0),
            (r"\\ud83d\\ude00b", 12, r"\\ud83d\\ude00", 12),
        ];
        for (escaped, limit, kept, spelt) in cases {
            assert_eq!(prefix(escaped.as_bytes(), limit), (kept.len(), spelt), "{escaped} to {limit}");
        }
        assert_eq!(prefix(r"\\\\\\n".as_bytes(), 3), (4, 2), "two backslashes, then a line break's escape");
        assert_eq!(prefix(br"\\u12", 9), (5, 4), "what only looks like an escape");
    }
}
