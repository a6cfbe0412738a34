//! Frames: where each one ends, which mode it is, and what it asks for.
//!
//! A connection carries MessagePack arrays back to back. Their second element tells the mode:
//!
//! | second element | mode | frame |
//! |---|---|---|
//! | integer or EventTime | Message | `[tag, time, record, option?]` |
//! | array | Forward | `[tag, [[time, record], …], option?]` |
//! | binary or string | PackedForward | `[tag, entries back to back, option?]` |
//! | the same, compressed | CompressedPackedForward | `[tag, gzip or zstd of those, option?]` |
//!
//! A [`Framer`] is asked again and again with the bytes that are there. A frame that is whole is split in one walk. One that
//! is not is handed to a [`Scanner`], which remembers how far it came, so that a frame in forty reads is not walked forty times.

mod error;
mod option;

use ikada_msgpack::{ScanError, Scanner, View, header, skip, str_bytes};
use ikada_record::{Entry, EntryError, Timestamp};

pub use error::FrameError;
pub(crate) use error::chain;
pub use option::Compression;
use option::FrameOption;

/// Bytes a tag may have. Fluent Bit cuts tags at about this length (reference, "What an input produces").
pub const MAX_TAG: usize = 65_535;

/// One whole frame, borrowed from the bytes it came in.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Bytes of the frame.
    pub len: usize,
    /// The tag as it was sent.
    pub tag: &'a [u8],
    /// The entries.
    pub body: Body<'a>,
    /// What the peer wants to hear once the entries are safe.
    pub token: Option<&'a [u8]>,
}

/// The entries of a frame.
#[derive(Debug)]
pub enum Body<'a> {
    /// One entry.
    Message {
        /// Its time.
        time: Timestamp,
        /// Its encoded time and record, next to each other as on the wire.
        entry: &'a [u8],
        /// Its encoded record.
        record: &'a [u8],
        /// The metadata map from the option.
        metadata: Option<&'a [u8]>,
    },
    /// An array of entries. Where each one is, [`Framer::entries`] tells.
    Entries {
        /// The encoded entries back to back.
        run: &'a [u8],
        /// What is wrong with the entry behind the last good one. Length, option and token of the frame are then unknown.
        broken: Option<EntryError>,
    },
    /// Entries in one binary or string.
    Packed {
        /// The entries back to back, compressed or not.
        payload: &'a [u8],
        /// Offset of the payload in the frame.
        at: usize,
        /// How the entries are compressed.
        compression: Option<Compression>,
    },
}

/// One entry of a Forward mode frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryAt {
    /// Offset behind the entry in the run.
    pub end: usize,
    /// The entry's time.
    pub time: Timestamp,
}

/// Finds and splits frames. No I/O, no clock.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    scanner: Scanner,
    /// Whether the frame at hand was found incomplete before, so that the scanner has begun with it.
    resumed: bool,
    /// Walks records, one after another: kept so that none of them allocates.
    walker: Scanner,
    entries: Vec<EntryAt>,
}

impl Framer {
    /// A framer for frames of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, scanner: Scanner::new(), resumed: false, walker: Scanner::new(), entries: Vec::new() }
    }

    /// The frame that `buf` starts with, `None` while it is not all there.
    ///
    /// Until it is, every call must bring the same bytes and more.
    ///
    /// # Errors
    /// The bytes are not, and will not become, a frame of the allowed length. Nothing behind them can be told.
    #[inline]
    pub fn next<'a>(&mut self, buf: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        if buf.is_empty() {
            return Ok(None);
        }
        if self.resumed {
            return self.resume(buf);
        }
        match self.split(buf) {
            Ok(frame) => self.within_limit(frame).map(Some),
            Err(FrameError::Scan(ScanError::Truncated)) => self.resume(buf),
            Err(error) => Err(error),
        }
    }

    /// The entries of the Forward mode frame that [`Framer::next`] gave last.
    #[must_use]
    pub fn entries(&self) -> &[EntryAt] {
        &self.entries
    }

    /// Bytes that the frame at hand needs at least, 0 when none has begun.
    #[must_use]
    pub fn needed(&self) -> usize {
        if self.resumed { self.scanner.needed() } else { 0 }
    }

    /// Lets go of what a large frame made it allocate.
    pub fn relax(&mut self) {
        if self.entries.capacity() > 256 {
            self.entries = Vec::new();
        }
    }

    #[cold]
    fn resume<'a>(&mut self, buf: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        self.resumed = true;
        let Some(len) = self.scanner.advance(buf)? else {
            let len = self.scanner.needed().max(buf.len());
            if len > self.limit {
                return Err(FrameError::TooLong { len, limit: self.limit });
            }
            return Ok(None);
        };
        self.scanner.reset();
        self.resumed = false;
        let frame = self.split(&buf[..len])?;
        self.within_limit(frame).map(Some)
    }

    #[inline]
    fn within_limit<'a>(&self, frame: Frame<'a>) -> Result<Frame<'a>, FrameError> {
        if frame.len > self.limit {
            return Err(FrameError::TooLong { len: frame.len, limit: self.limit });
        }
        Ok(frame)
    }

    #[inline]
    fn split<'a>(&mut self, buf: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let head = header(buf)?;
        if !is_array(buf[0]) || head.children < 2 {
            return Err(FrameError::NotAFrame);
        }
        let (tag, at) = tag(buf, head.len)?;
        match *buf.get(at).ok_or(ScanError::Truncated)? {
            byte if is_array(byte) => self.forward(buf, tag, at, head.children),
            0xa0..=0xbf | 0xd9..=0xdb | 0xc4..=0xc6 => packed(buf, tag, at, head.children),
            _ => self.message(buf, tag, at, head.children),
        }
    }

    /// `[tag, time, record, option?]`: what Docker sends, so nothing here allocates and only the record is walked.
    #[inline]
    fn message<'a>(
        &mut self,
        buf: &'a [u8],
        tag: &'a [u8],
        time_at: usize,
        elements: u64,
    ) -> Result<Frame<'a>, FrameError> {
        let (time, len) = time(&buf[time_at..])?;
        if elements < 3 {
            return Err(FrameError::Record);
        }
        let record_at = time_at + len;
        let rest = buf.get(record_at..).ok_or(ScanError::Truncated)?;
        if !is_map(*rest.first().ok_or(ScanError::Truncated)?) {
            return Err(FrameError::Record);
        }
        self.walker.reset();
        let end = record_at + self.walker.advance(rest)?.ok_or(ScanError::Truncated)?;
        let (option, len) = option_at(buf, end, elements, 3)?;
        let body = Body::Message {
            time,
            entry: &buf[time_at..end],
            record: &buf[record_at..end],
            metadata: option.metadata,
        };
        Ok(Frame { len, tag, body, token: option.token })
    }

    fn forward<'a>(
        &mut self,
        buf: &'a [u8],
        tag: &'a [u8],
        at: usize,
        elements: u64,
    ) -> Result<Frame<'a>, FrameError> {
        self.entries.clear();
        let head = header(&buf[at..])?;
        let run = buf.get(at + head.len..).ok_or(ScanError::Truncated)?;
        let mut end = 0;
        for _ in 0..head.children {
            match Entry::scan(&run[end..]) {
                Ok((entry, len)) => {
                    end += len;
                    self.entries.push(EntryAt { end, time: entry.time() });
                }
                Err(EntryError::Scan(ScanError::Truncated)) => return Err(ScanError::Truncated.into()),
                Err(error) => {
                    let body = Body::Entries { run: &run[..end], broken: Some(error) };
                    return Ok(Frame { len: 0, tag, body, token: None });
                }
            }
        }
        let (option, len) = option_at(buf, at + head.len + end, elements, 2)?;
        let body = Body::Entries { run: &run[..end], broken: None };
        Ok(Frame { len, tag, body, token: option.token })
    }
}

fn packed<'a>(buf: &'a [u8], tag: &'a [u8], at: usize, elements: u64) -> Result<Frame<'a>, FrameError> {
    let head = header(&buf[at..])?;
    let end = at + head.len;
    let raw = buf.get(at..end).ok_or(ScanError::Truncated)?;
    let (View::Bin(payload) | View::Str(payload), _) = View::parse(raw)? else {
        return Err(FrameError::NotAFrame);
    };
    let (option, len) = option_at(buf, end, elements, 2)?;
    if !option.signal_is_logs {
        return Err(FrameError::Signal);
    }
    if payload.is_empty() {
        return Err(FrameError::EmptyPack);
    }
    let compression = Compression::of(payload, option.compressed)?;
    let body = Body::Packed { payload, at: end - payload.len(), compression };
    Ok(Frame { len, tag, body, token: option.token })
}

/// The tag at `at`, and the offset behind it.
#[inline]
fn tag(buf: &[u8], at: usize) -> Result<(&[u8], usize), FrameError> {
    let rest = buf.get(at..).ok_or(ScanError::Truncated)?;
    if !matches!(*rest.first().ok_or(ScanError::Truncated)?, 0xa0..=0xbf | 0xd9..=0xdb) {
        return Err(FrameError::Tag);
    }
    let head = header(rest)?;
    if head.len > MAX_TAG {
        return Err(FrameError::TagTooLong { len: head.len, limit: MAX_TAG });
    }
    let raw = rest.get(..head.len).ok_or(ScanError::Truncated)?;
    Ok((str_bytes(raw).unwrap_or_default(), at + head.len))
}

/// The time of a message. Floats are taken inside entries only (reference, case `fwd-message-float`).
#[inline]
fn time(buf: &[u8]) -> Result<(Timestamp, usize), FrameError> {
    if let [0xd7, 0x00, a, b, c, d, e, f, g, h, ..] = *buf {
        let nanos = u32::from_be_bytes([e, f, g, h]);
        if nanos >= 1_000_000_000 {
            return Err(FrameError::Time);
        }
        return Ok((Timestamp::new(i64::from(u32::from_be_bytes([a, b, c, d])), nanos), 10));
    }
    if header(buf)?.children > 0 {
        return Err(FrameError::Time);
    }
    let (view, len) = View::parse(buf)?;
    if matches!(view, View::Float(_)) {
        return Err(FrameError::Time);
    }
    Ok((Timestamp::from_view(&view).ok_or(FrameError::Time)?, len))
}

/// The option at `at`, if the frame has one, and the frame's length. Elements behind it mean nothing.
#[inline]
fn option_at(
    buf: &[u8],
    at: usize,
    elements: u64,
    before: u64,
) -> Result<(FrameOption<'_>, usize), FrameError> {
    if elements == before {
        return Ok((FrameOption::default(), at));
    }
    let rest = buf.get(at..).ok_or(ScanError::Truncated)?;
    let len = match rest.first() {
        // What Docker sends when there is nothing to say.
        Some(0xc0 | 0x80) => 1,
        _ => skip(rest)?,
    };
    let option = FrameOption::read(&rest[..len])?;
    let mut end = at + len;
    for _ in before + 1..elements {
        end += skip(buf.get(end..).ok_or(ScanError::Truncated)?)?;
    }
    Ok((option, end))
}

#[inline]
fn is_array(byte: u8) -> bool {
    matches!(byte, 0x90..=0x9f | 0xdc | 0xdd)
}

#[inline]
fn is_map(byte: u8) -> bool {
    matches!(byte, 0x80..=0x8f | 0xde | 0xdf)
}

#[cfg(test)]
mod tests {
    use ikada_msgpack::write;

    use super::*;

    const LIMIT: usize = 6_144_000;

    fn message_frame(option: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write::array_header(&mut frame, if option.is_empty() { 3 } else { 4 });
        write::str(&mut frame, b"app.a");
        write::event_time(&mut frame, 5, 7);
        frame.extend_from_slice(b"\x81\xa3log\xa1m");
        frame.extend_from_slice(option);
        frame
    }

    #[test]
    fn a_message_is_split_where_its_parts_are() {
        for option in [&b""[..], b"\xc0", b"\x80"] {
            let bytes = message_frame(option);
            let frame = Framer::new(LIMIT).next(&bytes).unwrap().unwrap();
            assert_eq!((frame.len, frame.tag, frame.token), (bytes.len(), &b"app.a"[..], None));
            let Body::Message { time, entry, record, metadata: None } = frame.body else {
                panic!("{frame:?}")
            };
            assert_eq!(time, Timestamp::new(5, 7));
            assert_eq!(record, b"\x81\xa3log\xa1m");
            assert_eq!(entry.len(), 10 + record.len());
        }
    }

    #[test]
    fn a_frame_in_single_bytes_is_the_same_frame() {
        let bytes = message_frame(b"\x81\xa5chunk\xa3abc");
        let mut framer = Framer::new(LIMIT);
        for end in 0..bytes.len() {
            assert!(framer.next(&bytes[..end]).unwrap().is_none(), "at {end}");
        }
        let frame = framer.next(&bytes).unwrap().unwrap();
        assert_eq!(frame.token, Some(&b"abc"[..]));
        assert_eq!(framer.needed(), 0);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut framer = Framer::new(LIMIT);
        let error = framer.next(b"\x92\xa1t\xc6\xff\xff\xff\xff").unwrap_err();
        assert!(matches!(error, FrameError::TooLong { len, limit: LIMIT } if len > 0xffff_ffff), "{error}");
        let error = framer.next(b"\x92\xdb\xff\xff\xff\xff").unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. } | FrameError::TagTooLong { .. }), "{error}");
    }

    #[test]
    fn a_whole_frame_over_the_limit_is_refused_too() {
        let bytes = message_frame(b"");
        let error = Framer::new(bytes.len() - 1).next(&bytes).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
        assert!(Framer::new(bytes.len()).next(&bytes).unwrap().is_some());
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let mut bytes = b"\x93\xa1t\x05\x81\xa1k".to_vec();
        bytes.extend_from_slice(&[0x91; 300]);
        let error = Framer::new(LIMIT).next(&bytes).unwrap_err();
        assert!(matches!(error, FrameError::Scan(ScanError::TooDeep)), "{error}");
    }

    #[test]
    fn elements_behind_the_option_are_stepped_over() {
        let bytes = b"\x95\xa1t\x05\x80\x80\x93\x01\x02\x03\x93";
        let frame = Framer::new(LIMIT).next(bytes).unwrap().unwrap();
        assert_eq!(frame.len, bytes.len() - 1);
    }

    #[test]
    fn good_entries_before_a_bad_one_are_found() {
        let bytes = b"\x92\xa1t\x92\x92\x05\x80\x92\xa1x\x80";
        let mut framer = Framer::new(LIMIT);
        let frame = framer.next(bytes).unwrap().unwrap();
        let Body::Entries { run, broken: Some(EntryError::Time) } = frame.body else { panic!("{frame:?}") };
        assert_eq!(run, b"\x92\x05\x80");
        assert_eq!(framer.entries(), [EntryAt { end: 3, time: Timestamp::new(5, 0) }]);
    }
}
