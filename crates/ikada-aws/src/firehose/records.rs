//! One request's worth of records, rendered as the request's own text.
//!
//! ```text
//! {"DeliveryStreamName":"logs","Records":[{"Data":"e30K"},{"Data":"e30K"},
//! └──────────────── head ────────────────┘└── record 0 ──┘ └── record 1 ──┘
//! ```
//!
//! A record is encoded to base64 straight into the arena. Closing turns the last comma into `]}`; the arena is then the body of the
//! request, copied only when some of the records are to be sent again.

use bytes::Bytes;

/// Most records in one call (PutRecordBatch, read 2026-11-22).
pub(super) const MAX_RECORDS: usize = 500;
/// Most bytes in one call. The service counts records before base64; this is held to the whole request, which is longer.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Longest record before base64: 1,000 KiB.
pub(super) const MAX_RECORD: usize = 1_024_000;

const OPEN: &[u8] = b"{\"Data\":\"";
const CLOSE: &[u8] = b"\"},";
const TAIL: &[u8] = b"]}";

/// Records gathered up to what one call takes.
#[derive(Debug)]
pub(super) struct Records {
    arena: Vec<u8>,
    head: u32,
    /// Offset behind each record, its comma left out.
    ends: Vec<u32>,
    /// Entries up to and including each record; empty while each record is one entry.
    entries: Vec<u32>,
}

impl Records {
    /// None yet; `capacity` in bytes.
    pub(super) fn new(head: &[u8], capacity: usize) -> Self {
        let mut arena = Vec::with_capacity(capacity.max(head.len() + 1024));
        arena.extend_from_slice(head);
        Self { arena, head: head.len() as u32, ends: Vec::new(), entries: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes held.
    pub(super) fn cost(&self) -> usize {
        self.arena.len() + 8 * self.ends.len()
    }

    /// Bytes of request body; not to be asked while there are no records.
    pub(super) fn body_len(&self) -> usize {
        self.arena.len() - 1 + TAIL.len()
    }

    /// Whether another record of so many bytes fits.
    #[inline]
    pub(super) fn fits(&self, record: usize) -> bool {
        let grown = OPEN.len() + record.div_ceil(3) * 4 + CLOSE.len();
        self.ends.len() < MAX_RECORDS && self.arena.len() + grown + TAIL.len() <= MAX_BYTES
    }

    /// Adds a record that holds `entries` entries.
    #[inline]
    pub(super) fn push(&mut self, record: &[u8], entries: u32) {
        self.arena.extend_from_slice(OPEN);
        base64_simd::STANDARD.encode_append(record, &mut self.arena);
        self.arena.extend_from_slice(CLOSE);
        if entries != 1 || !self.entries.is_empty() {
            self.count(entries);
        }
        self.ends.push(self.arena.len() as u32 - 1);
    }

    #[cold]
    fn count(&mut self, entries: u32) {
        if self.entries.is_empty() {
            self.entries.extend(1..=self.ends.len() as u32);
        }
        self.entries.push(self.entries.last().copied().unwrap_or(0) + entries);
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
            entries: self.entries.into(),
        }
    }
}

/// Records that no more are added to.
#[derive(Debug)]
pub(super) struct Closed {
    arena: Bytes,
    head: u32,
    ends: Box<[u32]>,
    entries: Box<[u32]>,
}

impl Closed {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The body of a call with these records, in this order.
    pub(super) fn body(&self, records: &[u32]) -> Bytes {
        if records.len() == self.len() {
            return self.arena.clone();
        }
        let size: usize = records.iter().map(|record| self.text(*record).len() + 1).sum();
        let mut body = Vec::with_capacity(self.head as usize + size + TAIL.len());
        body.extend_from_slice(&self.arena[..self.head as usize]);
        for (n, record) in records.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            body.extend_from_slice(self.text(*record));
        }
        body.extend_from_slice(TAIL);
        body.into()
    }

    /// Whether some record holds more than one entry.
    pub(super) fn holds_several(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The entries in each of these records, counted over those records only.
    pub(super) fn entries_at(&self, records: &[u32]) -> Vec<std::ops::Range<u32>> {
        let mut end = 0;
        let mut range = |count: u32| {
            let start = end;
            end += count;
            start..end
        };
        records.iter().map(|record| range(self.entry_count(*record))).collect()
    }

    fn entry_count(&self, record: u32) -> u32 {
        let at = record as usize;
        match self.entries.get(at) {
            None => 1,
            Some(end) if at == 0 => *end,
            Some(end) => end - self.entries[at - 1],
        }
    }

    fn text(&self, record: u32) -> &[u8] {
        let at = record as usize;
        let start = if at == 0 { self.head } else { self.ends[at - 1] + 1 };
        &self.arena[start as usize..self.ends[at] as usize]
    }
}

/// What every call begins with.
pub(super) fn head(delivery_stream: &str) -> Vec<u8> {
    let mut head = b"{\"DeliveryStreamName\":\"".to_vec();
    ikada_record::json::write_str_escaped(&mut head, delivery_stream.as_bytes());
    head.extend_from_slice(b"\",\"Records\":[");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_arena_is_the_body() {
        let mut records = Records::new(&head("ds-plain"), 0);
        records.push(b"{\"log\":\"second\",\"f\":0.1,\"nil\":null}\n", 1);
        records.push(b"{}\n", 1);
        let len = records.body_len();
        let closed = records.close();
        let body = closed.body(&[0, 1]);
        assert_eq!(
            text(&body),
            r#"{"DeliveryStreamName":"ds-plain","Records":[{"Data":"eyJsb2ciOiJzZWNvbmQiLCJmIjowLjEsIm5pbCI6bnVsbH0K"},{"Data":"e30K"}]}"#
        );
        assert_eq!((body.len(), body.as_ptr()), (len, closed.arena.as_ptr()));
        assert_eq!(
            text(&closed.body(&[1])),
            r#"{"DeliveryStreamName":"ds-plain","Records":[{"Data":"e30K"}]}"#
        );
    }

    #[test]
    fn a_record_may_hold_several_entries() {
        let mut records = Records::new(b"", 0);
        for entries in [1, 3, 1] {
            records.push(b"x", entries);
        }
        let closed = records.close();
        assert!(closed.holds_several());
        assert_eq!(closed.entries_at(&[0, 1, 2]), [0..1, 1..4, 4..5]);
        assert_eq!(closed.entries_at(&[1, 2]), [0..3, 3..4]);
    }

    #[test]
    fn no_call_is_longer_than_the_limit() {
        let mut records = Records::new(&head("s"), 0);
        let record = vec![b'x'; 6_289];
        while records.fits(record.len()) {
            records.push(&record, 1);
        }
        assert!(records.len() < MAX_RECORDS && records.body_len() <= MAX_BYTES);
        assert!(records.body_len() + record.len().div_ceil(3) * 4 + 12 > MAX_BYTES);
    }
}
