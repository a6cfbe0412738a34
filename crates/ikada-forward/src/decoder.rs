//! From the bytes of a connection to chunks on their way. No I/O: bytes and the time come in, chunks go out.
//!
//! ```text
//!            ┌────────┐ Message: time and record, one copy        ┌──────────┐ full, or the flush came
//!  bytes ───►│ Framer ├──────────────────────────────────────────►│ Gatherer ├────────────────────────► ready
//!            └───┬────┘ Forward, small packs: entry by entry      └──────────┘                            ▲
//!                │      large packs: checked in place and shared, never copied                            │
//!                └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Entries of frames with a token are gathered apart: they leave at the end of the read, with the receipt that releases the answers.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use ikada_plugin::{Dispatch, FlushClock, Gatherer, OnFull};
use ikada_record::{Chunk, ChunkBuilder, Entry, Receipt, Tag};
use tokio::time::Instant;

use crate::ack::{AckBatch, Acks};
use crate::frame::{Body, Compression, Frame, FrameError, Framer};
use crate::inflate::inflate;
use crate::join::{JoinRule, Joiner, Out};
use crate::tags::TagRule;

/// Packed entries from this size on are shared, not copied.
pub const SHARED: usize = 64 * 1024;

/// A chunk on its way to the router.
#[derive(Debug)]
pub struct Ready {
    /// The entries.
    pub chunk: Chunk,
    /// When they are due, and what happens at the bound.
    pub how: Dispatch,
}

/// What one read brought.
#[derive(Debug, Default)]
pub struct Fed {
    /// Entries taken in.
    pub records: u64,
    /// Bytes of those entries as MessagePack.
    pub bytes: u64,
    /// Frames that want an answer.
    pub tokens: u64,
    /// The first frame that had to be left incomplete although the next one can be told, and how many there were.
    pub damaged: Option<(FrameError, u64)>,
    /// Why the connection has to end.
    pub end: Option<FrameError>,
}

/// Makes chunks of the bytes of one connection.
#[derive(Debug)]
pub struct Decoder {
    framer: Framer,
    tags: Arc<TagRule>,
    tag_room: Vec<u8>,
    limit: usize,
    flush: FlushClock,
    plain: Gatherer,
    answered: Gatherer,
    acks: Arc<Acks>,
    ready: Vec<Ready>,
    joiner: Option<Joiner>,
    /// Entries, and their bytes, that were taken in outside of a read: lines that waited for their last piece.
    late: (u64, u64),
}

impl Decoder {
    /// A decoder for frames of up to `limit` bytes, packed or unpacked.
    #[must_use]
    pub fn new(tags: Arc<TagRule>, limit: usize, flush: FlushClock, acks: Arc<Acks>) -> Self {
        Self {
            framer: Framer::new(limit),
            tags,
            tag_room: Vec::new(),
            limit,
            flush,
            plain: Gatherer::new(flush),
            answered: Gatherer::new(flush),
            acks,
            ready: Vec::new(),
            joiner: None,
            late: (0, 0),
        }
    }

    /// Puts lines together that come in pieces.
    ///
    /// Pieces whose peer asks for an answer go on as they are: it may wait for that answer before it sends the next one.
    #[must_use]
    pub fn joining(mut self, rule: Option<JoinRule>) -> Self {
        self.joiner = rule.map(Joiner::new);
        self
    }

    /// Takes every whole frame off the front of `buf`. What stays is the beginning of the next one.
    ///
    /// After [`Fed::end`] the rest of `buf` means nothing, and the decoder must not be fed again.
    pub fn feed(&mut self, buf: &mut BytesMut, now: Instant) -> Fed {
        let mut read = Read { fed: Fed::default(), batch: None, now };
        if let Err(error) = self.take_frames(buf, &mut read) {
            read.fed.end = Some(error);
        }
        let due = self.plain.due().unwrap_or(now);
        while let Some(full) = self.plain.pop_full() {
            self.ready.push(Ready::paced(full.finish(Receipt::unwatched()), due));
        }
        if let Some(batch) = read.batch {
            self.flush();
            for builder in self.answered.take_all() {
                self.ready.push(Ready::awaited(builder.finish(batch.receipt()), now));
            }
        }
        read.fed
    }

    /// When [`Decoder::tick`] is to be called: entries that were gathered are due, or a line has waited long enough for its pieces.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let waiting = self.joiner.as_ref().and_then(Joiner::due);
        match (self.plain.due(), waiting) {
            (Some(plain), Some(waiting)) => Some(plain.min(waiting)),
            (plain, waiting) => plain.or(waiting),
        }
    }

    /// Makes ready what is due.
    pub fn tick(&mut self, now: Instant) {
        if let Some(joiner) = &mut self.joiner {
            joiner.tick(now);
            self.late = add(self.late, self.take_joined(now));
        }
        if self.plain.due().is_some_and(|due| due <= now) {
            self.flush();
        }
    }

    /// Makes everything ready, unfinished lines too: nothing more will come.
    pub fn finish(&mut self, now: Instant) {
        if let Some(joiner) = &mut self.joiner {
            joiner.end();
            self.late = add(self.late, self.take_joined(now));
        }
        self.flush();
    }

    /// Makes everything ready at once, unfinished lines in pieces: memory is short. More may come.
    pub fn relieve(&mut self, now: Instant) {
        if let Some(joiner) = &mut self.joiner {
            joiner.let_go();
            self.late = add(self.late, self.take_joined(now));
        }
        self.flush();
    }

    /// Bytes of entries that are not handed over: gathered, kept for their line, ready.
    #[must_use]
    pub fn size(&self) -> usize {
        let ready: usize = self.ready.iter().map(|ready| ready.chunk.size()).sum();
        let kept = self.joiner.as_ref().map_or(0, Joiner::size);
        ready + kept + self.plain.size() + self.answered.size()
    }

    /// Entries, and their bytes, that [`Decoder::tick`] and [`Decoder::finish`] have taken in since this was asked last.
    pub fn take_late(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.late)
    }

    /// Makes all that was gathered ready.
    pub fn flush(&mut self) {
        self.framer.relax();
        let Some(due) = self.plain.due() else { return };
        for builder in self.plain.take_all() {
            self.ready.push(Ready::paced(builder.finish(Receipt::unwatched()), due));
        }
    }

    /// The chunks that are ready, in order.
    pub fn take_ready(&mut self) -> std::vec::Drain<'_, Ready> {
        self.ready.drain(..)
    }

    /// Bytes that the frame at hand needs at least, 0 when none has begun.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.framer.needed()
    }

    fn take_frames(&mut self, buf: &mut BytesMut, read: &mut Read) -> Result<(), FrameError> {
        let mut at = 0;
        let result = loop {
            let frame = match self.framer.next(&buf[at..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let taken = match Large::of(&frame) {
                None => {
                    at += frame.len;
                    let result = self.take(&frame, read);
                    self.settle(result, frame.token, read)
                }
                Some(large) => {
                    buf.advance(std::mem::take(&mut at));
                    let frame = buf.split_to(large.len).freeze();
                    let tag = Tag::new(self.tags.apply(&large.tag, &mut self.tag_room));
                    let result = self.share(tag, frame.slice(large.payload), large.token.is_some(), read);
                    self.settle(result, large.token.as_deref(), read)
                }
            };
            if taken.is_err() {
                break taken;
            }
        };
        buf.advance(at);
        result
    }

    /// Copies the entries of a frame to where entries of their tag gather.
    #[inline]
    fn take(&mut self, frame: &Frame<'_>, read: &mut Read) -> Result<(), FrameError> {
        if matches!(frame.body, Body::Message { time, .. } if time.is_group_mark()) {
            return Ok(());
        }
        if self.joins(frame, read.now) {
            let (records, bytes) = self.take_joined(read.now);
            read.fed.records += records;
            read.fed.bytes += bytes;
            return Ok(());
        }
        let tag = self.tags.apply(frame.tag, &mut self.tag_room);
        let gatherer = if frame.token.is_some() { &mut self.answered } else { &mut self.plain };
        match frame.body {
            Body::Message { time, entry, record, metadata } => {
                let builder = gatherer.builder(tag, read.now);
                let size = match metadata {
                    None | Some([0x80]) => {
                        builder.push_message(time, entry);
                        1 + entry.len()
                    }
                    Some(metadata) => {
                        builder.push_with_metadata(time, metadata, record);
                        12 + metadata.len() + record.len()
                    }
                };
                read.count(1, size);
                Ok(())
            }
            Body::Entries { run, broken } => {
                let entries = self.framer.entries();
                let mut start = 0;
                let mut kept = 0;
                let is_batch = entries.len() > 1;
                for entry in entries {
                    let raw = &run[start..entry.end];
                    start = entry.end;
                    if entry.time.is_group_mark() {
                        continue;
                    }
                    let builder = gatherer.builder(tag, read.now);
                    builder.push_with(entry.time, |data| data.extend_from_slice(raw));
                    if is_batch {
                        builder.mark_batch();
                    }
                    kept += 1;
                }
                read.count(kept, run.len());
                broken.map_or(Ok(()), |source| Err(FrameError::Entry { index: entries.len(), source }))
            }
            Body::Packed { payload, compression: None, .. } => copy_run(gatherer, tag, payload, read),
            Body::Packed { payload, compression: Some(compression), .. } => {
                let tag = Tag::new(tag);
                self.unpack(tag, payload, compression, frame.token.is_some(), read)
            }
        }
    }

    /// Whether the frame is a piece of a line, and was kept.
    #[inline]
    fn joins(&mut self, frame: &Frame<'_>, now: Instant) -> bool {
        let (Some(joiner), Body::Message { time, record, metadata: None | Some([0x80]), .. }, None) =
            (&mut self.joiner, &frame.body, frame.token)
        else {
            return false;
        };
        if !joiner.may_take(record) {
            return false;
        }
        let is_kept = joiner.take(frame.tag, *time, record, now);
        if !is_kept && joiner.has_out() {
            // Its line was given up just now: what came before it goes first.
            self.late = add(self.late, self.take_joined(now));
        }
        is_kept
    }

    /// Gathers what the joiner lets go. Returns how many entries and bytes that was.
    fn take_joined(&mut self, now: Instant) -> (u64, u64) {
        let Some(joiner) = &mut self.joiner else { return (0, 0) };
        let mut taken = (0, 0);
        for Out { tag, time, record } in joiner.drain() {
            let tag = self.tags.apply(&tag, &mut self.tag_room);
            let builder = self.plain.builder(tag, now);
            let before = builder.size();
            builder.push_record(time, &record);
            taken = add(taken, (1, (builder.size() - before) as u64));
        }
        taken
    }

    /// Notes the token of a good frame, or what is wrong with a bad one. An error ends the connection.
    ///
    /// Where entries were lost, a peer that waits for an answer must learn it, so its connection ends; one that does not
    /// wait would only lose more.
    #[inline]
    fn settle(
        &mut self,
        result: Result<(), FrameError>,
        token: Option<&[u8]>,
        read: &mut Read,
    ) -> Result<(), FrameError> {
        match (result, token) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(token)) => {
                read.batch(&self.acks).push(token);
                read.fed.tokens += 1;
                Ok(())
            }
            (Err(error), None) if error.leaves_framing_intact() => {
                match &mut read.fed.damaged {
                    Some((_, count)) => *count += 1,
                    none => *none = Some((error, 1)),
                }
                Ok(())
            }
            (Err(error), _) => {
                if token.is_some() {
                    // What was good of it travels without an answer.
                    read.batch(&self.acks);
                }
                Err(error)
            }
        }
    }

    /// Hands a large run on as it lies in memory.
    fn share(&mut self, tag: Tag, run: Bytes, awaited: bool, read: &mut Read) -> Result<(), FrameError> {
        let receipt = if awaited { read.batch(&self.acks).receipt() } else { Receipt::unwatched() };
        let (chunk, result) = match Chunk::check(tag, run, receipt) {
            Ok(chunk) => (Some(chunk), Ok(())),
            Err((chunk, source)) => {
                let kept = chunk.as_ref().map_or(0, Chunk::len);
                (chunk, Err(FrameError::Pack { kept, source }))
            }
        };
        let Some(mut chunk) = chunk else { return result };
        // Rare enough to be copied.
        if chunk.span().1.is_group_mark() {
            let mut builder = ChunkBuilder::with_capacity(chunk.tag().clone(), chunk.size());
            let own = chunk.entries().filter(|entry| !entry.time().is_group_mark());
            own.for_each(|entry| builder.push_entry(&entry));
            chunk = builder.finish(chunk.receipt().clone());
        }
        read.count(chunk.len(), chunk.size());
        // What came before it under the same tag goes first.
        self.flush();
        self.ready.push(match awaited {
            true => Ready::awaited(chunk, read.now),
            false => Ready::paced(chunk, self.flush.next(read.now)),
        });
        result
    }

    fn unpack(
        &mut self,
        tag: Tag,
        payload: &[u8],
        compression: Compression,
        awaited: bool,
        read: &mut Read,
    ) -> Result<(), FrameError> {
        let mut run = Vec::new();
        inflate(payload, compression, self.limit, &mut run)?;
        if run.len() > SHARED {
            if run.capacity() - run.len() > run.len() / 4 {
                run.shrink_to_fit();
            }
            return self.share(tag, run.into(), awaited, read);
        }
        let gatherer = if awaited { &mut self.answered } else { &mut self.plain };
        copy_run(gatherer, tag.as_bytes(), &run, read)
    }
}

fn add(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}

/// Appends a small run entry by entry.
fn copy_run(gatherer: &mut Gatherer, tag: &[u8], run: &[u8], read: &mut Read) -> Result<(), FrameError> {
    let (mut at, mut kept) = (0, 0);
    let result = loop {
        if at == run.len() {
            break Ok(());
        }
        match Entry::scan(&run[at..]) {
            Ok((entry, len)) => {
                at += len;
                if !entry.time().is_group_mark() {
                    let builder = gatherer.builder(tag, read.now);
                    builder.push_entry(&entry);
                    if at < run.len() || kept > 0 {
                        builder.mark_batch();
                    }
                    kept += 1;
                }
            }
            Err(source) => break Err(FrameError::Pack { kept, source }),
        }
    };
    read.count(kept, at);
    result
}

/// A plain pack so large that it is shared: what is needed of its frame once that is off the buffer.
struct Large {
    len: usize,
    payload: Range<usize>,
    tag: Vec<u8>,
    token: Option<Vec<u8>>,
}

impl Large {
    #[inline]
    fn of(frame: &Frame<'_>) -> Option<Self> {
        match frame.body {
            Body::Packed { payload, at, compression: None } if payload.len() > SHARED => Some(Self {
                len: frame.len,
                payload: at..at + payload.len(),
                tag: frame.tag.to_vec(),
                token: frame.token.map(<[u8]>::to_vec),
            }),
            _ => None,
        }
    }
}

impl Ready {
    /// For a peer that does not wait for an answer: what it wrote is gone for it.
    fn paced(chunk: Chunk, due: Instant) -> Self {
        Self { chunk, how: Dispatch { due, on_full: OnFull::Pace } }
    }

    /// For a peer that keeps what is not answered.
    fn awaited(chunk: Chunk, now: Instant) -> Self {
        Self { chunk, how: Dispatch { due: now, on_full: OnFull::Wait } }
    }
}

/// What is gathered while one read is looked through.
struct Read {
    fed: Fed,
    batch: Option<AckBatch>,
    now: Instant,
}

impl Read {
    #[inline]
    fn count(&mut self, records: usize, bytes: usize) {
        self.fed.records += records as u64;
        self.fed.bytes += bytes as u64;
    }

    fn batch(&mut self, acks: &Arc<Acks>) -> &AckBatch {
        self.batch.get_or_insert_with(|| acks.batch())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;

    use super::*;

    #[test]
    fn what_was_sent_together_is_a_batch_and_what_was_gathered_here_is_none() {
        let message = b"\x93\xa1t\x01\x81\xa1k\x01";
        let (one, two) = (b"\x92\xa1t\x91\x92\x01\x80", b"\x92\xa1t\x92\x92\x01\x80\x92\x01\x80");
        let (packed_one, packed_two) =
            (b"\x92\xa1t\xc4\x03\x92\x01\x80", b"\x92\xa1t\xc4\x06\x92\x01\x80\x92\x01\x80");
        let cases: [(&[u8], bool); 5] =
            [(message, false), (one, false), (two, true), (packed_one, false), (packed_two, true)];
        for (frame, expected) in cases {
            let now = Instant::now();
            let flush = FlushClock::new(now, Duration::from_secs(1));
            let mut decoder = Decoder::new(Arc::new(TagRule::Sent), 6_144_000, flush, Acks::new(None));
            decoder.feed(&mut BytesMut::from(&[frame, frame].concat()[..]), now);
            decoder.finish(now);
            let ready: Vec<_> = decoder.take_ready().collect();
            assert_eq!(ready.len(), 1);
            assert_eq!(ready[0].chunk.is_batch(), expected, "{frame:?}");
        }
    }
}
