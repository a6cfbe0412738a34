//! A tag and a run of encoded entries.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Entry, EntryError, Receipt, Tag, Timestamp};

/// A tag and a run of encoded entries in one buffer, with their count, time span and receipt. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chunk {
    tag: Tag,
    data: Bytes,
    ends: Arc<Vec<u32>>,
    span: (Timestamp, Timestamp),
    receipt: Receipt,
    is_batch: bool,
}

impl Chunk {
    /// Whether entries came in one batch from where they come from. Otherwise each came by itself, and they were gathered here.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// A chunk over entries that lie back to back in `data`, checked in one pass and shared without copying.
    ///
    /// # Errors
    /// Something in `data` is no entry: the chunk of what stood before it (`None` if nothing did), and why it ended there.
    pub fn check(tag: Tag, data: Bytes, receipt: Receipt) -> Result<Self, (Option<Self>, EntryError)> {
        let mut ends = Vec::with_capacity(data.len() / 256 + 1);
        let mut span = Span::default();
        let mut at = 0;
        while at < data.len() {
            match Entry::scan(&data[at..]) {
                Ok((entry, len)) => {
                    span.add(entry.time());
                    at += len;
                    ends.push(offset(at));
                }
                Err(error) if ends.is_empty() => return Err((None, error)),
                Err(error) => {
                    let data = data.slice(..at);
                    return Err((
                        Some(Self {
                            is_batch: ends.len() > 1,
                            tag,
                            data,
                            ends: Arc::new(ends),
                            span: span.get(),
                            receipt,
                        }),
                        error,
                    ));
                }
            }
        }
        Ok(Self { is_batch: ends.len() > 1, tag, data, ends: Arc::new(ends), span: span.get(), receipt })
    }

    /// The tag all entries arrived under.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of encoded entries.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Bytes that holding the chunk costs: its entries and their index.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.data.len() + 4 * self.ends.len() + 128
    }

    /// The encoded entries, back to back.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Earliest and latest time of an entry.
    #[must_use]
    pub fn span(&self) -> (Timestamp, Timestamp) {
        self.span
    }

    /// The chunk's receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries { data: &self.data, ends: self.ends.iter(), at: 0 }
    }
}

/// The entries of a [`Chunk`] in order.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    data: &'a [u8],
    ends: std::slice::Iter<'a, u32>,
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let end = *self.ends.next()? as usize;
        let entry = Entry::known(&self.data[self.at..end]);
        self.at = end;
        entry
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for Entries<'_> {}

/// Gathers entries of one tag.
#[derive(Debug)]
pub struct ChunkBuilder {
    tag: Tag,
    data: Vec<u8>,
    ends: Vec<u32>,
    span: Span,
    is_batch: bool,
}

impl ChunkBuilder {
    /// A builder without entries.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        Self::with_capacity(tag, 0)
    }

    /// Entries in here came in one batch from where they come from, and are judged together by what judges batches.
    #[inline]
    pub fn mark_batch(&mut self) {
        self.is_batch = true;
    }

    /// A builder with room for `bytes` of entries.
    #[must_use]
    pub fn with_capacity(tag: Tag, bytes: usize) -> Self {
        Self {
            tag,
            data: Vec::with_capacity(bytes),
            ends: Vec::new(),
            span: Span::default(),
            is_batch: false,
        }
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Bytes of entries so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Number of entries so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds an entry of a time and an encoded record, which must be one whole map.
    pub fn push_record(&mut self, time: Timestamp, record: &[u8]) {
        self.data.push(0x92);
        time.write(&mut self.data);
        self.data.extend_from_slice(record);
        self.close(time);
    }

    /// Adds an entry of a time, encoded metadata and an encoded record; both must be one whole map.
    pub fn push_with_metadata(&mut self, time: Timestamp, metadata: &[u8], record: &[u8]) {
        self.data.extend_from_slice(&[0x92, 0x92]);
        time.write(&mut self.data);
        self.data.extend_from_slice(metadata);
        self.data.extend_from_slice(record);
        self.close(time);
    }

    /// Adds an entry from the encoded time and record of a message, which lie next to each other on the wire.
    ///
    /// `time` is what `body` starts with; the caller has checked both.
    #[inline]
    pub fn push_message(&mut self, time: Timestamp, body: &[u8]) {
        self.data.push(0x92);
        self.data.extend_from_slice(body);
        self.close(time);
    }

    /// Adds an entry as it is encoded in another chunk.
    #[inline]
    pub fn push_entry(&mut self, entry: &Entry<'_>) {
        self.data.extend_from_slice(entry.as_bytes());
        self.close(entry.time());
    }

    /// Adds an entry that the closure writes, metadata and record included.
    pub fn push_with(&mut self, time: Timestamp, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.data);
        self.close(time);
    }

    #[inline]
    fn close(&mut self, time: Timestamp) {
        self.span.add(time);
        self.ends.push(offset(self.data.len()));
    }

    /// The chunk of all that was added.
    #[must_use]
    pub fn finish(self, receipt: Receipt) -> Chunk {
        Chunk {
            is_batch: self.is_batch,
            tag: self.tag,
            data: self.data.into(),
            ends: Arc::new(self.ends),
            span: self.span.get(),
            receipt,
        }
    }
}

/// Chunks are bounded far below 4 GiB by whoever builds them.
fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a chunk is bounded far below 4 GiB")
}

#[derive(Debug, Clone, Copy, Default)]
struct Span(Option<(Timestamp, Timestamp)>);

impl Span {
    #[inline]
    fn add(&mut self, time: Timestamp) {
        self.0 = Some(match self.0 {
            None => (time, time),
            Some((first, last)) => (first.min(time), last.max(time)),
        });
    }

    fn get(self) -> (Timestamp, Timestamp) {
        self.0.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_comes_out_again() {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(9, 1), b"\x81\xa1a\x01");
        builder.push_with_metadata(Timestamp::new(3, 0), b"\x81\xa1m\x02", b"\x80");
        builder.push_message(Timestamp::new(5, 0), b"\x05\x80");
        let chunk = builder.finish(Receipt::unwatched());
        let again = Chunk::check(Tag::from("t"), chunk.data().clone(), Receipt::unwatched()).unwrap();
        for chunk in [&chunk, &again] {
            let entries: Vec<_> = chunk.entries().collect();
            assert_eq!(entries.len(), 3);
            assert_eq!(entries[0].record().len(), 1);
            assert_eq!(entries[1].metadata(), Some(&b"\x81\xa1m\x02"[..]));
            assert_eq!(entries[2].time(), Timestamp::new(5, 0));
            assert_eq!(chunk.span(), (Timestamp::new(3, 0), Timestamp::new(9, 1)));
        }
    }

    #[test]
    fn a_run_that_breaks_off_keeps_what_stood_before() {
        let (chunk, error) = Chunk::check(
            Tag::from("t"),
            Bytes::from_static(b"\x92\x05\x80\x92\x06\x81"),
            Receipt::unwatched(),
        )
        .unwrap_err();
        assert_eq!(chunk.unwrap().len(), 1);
        assert!(matches!(error, EntryError::Scan(_)));
    }
}
