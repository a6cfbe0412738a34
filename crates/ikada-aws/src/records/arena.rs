//! One request's worth of records, rendered as the request's own text.
//!
//! ```text
//! {"DeliveryStreamName":"logs","Records":[{"Data":"e30K"},{"Data":"e30K"},
//! └──────────────── head ────────────────┘└── record 0 ──┘ └── record 1 ──┘
//! ```
//!
//! A record is encoded to base64 straight into the arena. Closing turns the last comma into `]}`; the arena is then the body of the
//! request, copied only when some of the records are to be sent again. Arenas go back to a small pool when the last copy of their
//! body is gone: a busy output fills the same memory over and over.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Most records in one call (PutRecordBatch, PutRecords, read 2026-11-22).
pub(crate) const MAX_RECORDS: usize = 500;

/// What a service takes in one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The service, as people call it.
    pub(crate) name: &'static str,
    /// Most bytes of all records and their keys, before base64.
    pub(crate) max_bytes: usize,
    /// Longest record, its key included, before base64.
    pub(crate) max_record: usize,
    /// Whether each record has a partition key.
    pub(crate) has_keys: bool,
}

const OPEN: &[u8] = b"{\"Data\":\"";
const KEY: &[u8] = b"\",\"PartitionKey\":\"";
const CLOSE: &[u8] = b"\"},";
const TAIL: &[u8] = b"]}";

/// Records gathered up to what one call takes.
#[derive(Debug)]
pub(crate) struct Records {
    arena: Vec<u8>,
    head: u32,
    /// Offset behind each record, its comma left out.
    ends: Vec<u32>,
    /// Entries up to and including each record; empty while each record is one entry.
    entries: Vec<u32>,
    /// Bytes of records and keys before base64.
    size: usize,
}

impl Records {
    /// None yet, written into `arena`.
    pub(crate) fn new(head: &[u8], mut arena: Vec<u8>) -> Self {
        arena.clear();
        arena.extend_from_slice(head);
        Self { arena, head: head.len() as u32, ends: Vec::new(), entries: Vec::new(), size: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes held.
    pub(crate) fn cost(&self) -> usize {
        self.arena.len() + 8 * self.ends.len()
    }

    /// Bytes of request body; not to be asked while there are no records.
    pub(crate) fn body_len(&self) -> usize {
        self.arena.len() - 1 + TAIL.len()
    }

    /// Whether another record of so many bytes, its key included, fits.
    #[inline]
    pub(crate) fn fits(&self, shape: &Shape, record: usize) -> bool {
        self.ends.len() < MAX_RECORDS && self.size + record <= shape.max_bytes
    }

    /// Adds a record that holds `entries` entries. An empty key is none.
    #[inline]
    pub(crate) fn push(&mut self, record: &[u8], key: &[u8], entries: u32) {
        self.arena.extend_from_slice(OPEN);
        base64_simd::STANDARD.encode_append(record, &mut self.arena);
        if !key.is_empty() {
            self.arena.extend_from_slice(KEY);
            ikada_record::json::write_str_escaped(&mut self.arena, key);
        }
        self.arena.extend_from_slice(CLOSE);
        if entries != 1 || !self.entries.is_empty() {
            self.count(entries);
        }
        self.size += record.len() + key.len();
        // Offsets fit: a call's worth of records is far below 4 GiB.
        self.ends.push(self.arena.len() as u32 - 1);
    }

    #[cold]
    fn count(&mut self, entries: u32) {
        if self.entries.is_empty() {
            self.entries.extend(1..=self.ends.len() as u32);
        }
        self.entries.push(self.entries.last().copied().unwrap_or(0) + entries);
    }

    /// Makes the body; its memory goes back to the pool in the end.
    pub(crate) fn close(mut self, pool: &Pool) -> Closed {
        if !self.ends.is_empty() {
            self.arena.pop();
        }
        self.arena.extend_from_slice(TAIL);
        Closed {
            arena: pool.share(self.arena),
            head: self.head,
            ends: self.ends.into(),
            entries: self.entries.into(),
        }
    }
}

/// Records that no more are added to.
#[derive(Debug)]
pub(crate) struct Closed {
    arena: Bytes,
    head: u32,
    ends: Box<[u32]>,
    entries: Box<[u32]>,
}

impl Closed {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The body of a call with these records, in this order.
    pub(crate) fn body(&self, records: &[u32]) -> Bytes {
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
    pub(crate) fn holds_several(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The entries in each of these records, counted over those records only.
    pub(crate) fn entries_at(&self, records: &[u32]) -> Vec<std::ops::Range<u32>> {
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

/// What every call begins with; `member` is the one that names the stream.
pub(crate) fn head(member: &str, stream: &str) -> Vec<u8> {
    let mut head = format!("{{\"{member}\":\"").into_bytes();
    ikada_record::json::write_str_escaped(&mut head, stream.as_bytes());
    head.extend_from_slice(b"\",\"Records\":[");
    head
}

/// Arenas that wait to be filled again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

/// Arenas kept at most; more are only in use when many calls are under way at once.
const KEPT: usize = 4;
/// Longer ones are given back to the system: they are rare, and four of them are much to hold on to.
const LONGEST_KEPT: usize = 2 * 1024 * 1024;

impl Pool {
    /// An arena, with room for `capacity` bytes if it is a new one.
    pub(crate) fn take(&self, capacity: usize) -> Vec<u8> {
        self.lock().pop().unwrap_or_else(|| Vec::with_capacity(capacity.max(1024)))
    }

    fn share(&self, arena: Vec<u8>) -> Bytes {
        if arena.capacity() > LONGEST_KEPT {
            return arena.into();
        }
        Bytes::from_owner(Lent { arena, pool: self.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An arena in use as a body.
struct Lent {
    arena: Vec<u8>,
    pool: Pool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.arena
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.pool.lock();
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.arena));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { name: "x", max_bytes: 100_000, max_record: 10_000, has_keys: true };

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_arena_is_the_body() {
        let pool = Pool::default();
        let mut records = Records::new(&head("DeliveryStreamName", "ds-plain"), pool.take(0));
        records.push(b"{\"log\":\"second\",\"f\":0.1,\"nil\":null}\n", b"", 1);
        records.push(b"{}\n", b"", 1);
        let len = records.body_len();
        let closed = records.close(&pool);
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
        assert_eq!(pool.lock().len(), 0);
        drop((closed, body));
        assert_eq!(pool.lock().len(), 1, "the arena comes back");
    }

    #[test]
    fn a_key_stands_behind_its_record() {
        let pool = Pool::default();
        let mut records = Records::new(&head("StreamName", "s"), Vec::new());
        records.push(b"{}\n", "k\"日".as_bytes(), 1);
        assert_eq!(
            text(&records.close(&pool).body(&[0])),
            r#"{"StreamName":"s","Records":[{"Data":"e30K","PartitionKey":"k\"日"}]}"#
        );
    }

    #[test]
    fn a_record_may_hold_several_entries() {
        let mut records = Records::new(b"", Vec::new());
        for entries in [1, 3, 1] {
            records.push(b"x", b"", entries);
        }
        let closed = records.close(&Pool::default());
        assert!(closed.holds_several());
        assert_eq!(closed.entries_at(&[0, 1, 2]), [0..1, 1..4, 4..5]);
        assert_eq!(closed.entries_at(&[1, 2]), [0..3, 3..4]);
    }

    #[test]
    fn no_call_is_longer_than_the_limit() {
        let mut records = Records::new(b"", Vec::new());
        while records.fits(&SHAPE, 709) {
            records.push(&[b'x'; 700], b"nine byte", 1);
        }
        assert_eq!(records.len(), 141);
        let mut records = Records::new(b"", Vec::new());
        while records.fits(&SHAPE, 2) {
            records.push(b"x", b"y", 1);
        }
        assert_eq!(records.len(), MAX_RECORDS);
    }
}
