//! The journal of one object on disk: everything its bytes are made of, appended and never changed.
//!
//! ```text
//!  IKADAS3 1 │ head │ lines │ lines │ body │ body │ … │ end
//!            └─ each: length u32 │ CRC-32 u32 │ kind u8, fields, bytes ─┘   (little endian)
//! ```
//!
//! *Head*: name, method, size of parts. *Lines*: what waits until a compressor is worth its memory. *Body*: the next bytes of
//! the object, as uploaded; the first of them takes all lines before it along. *End*: the object is whole.
//!
//! A frame that is torn or damaged, and all behind it, does not count: what was synced stands before it. What each part of an
//! upload holds follows from the frames alone ([`Ranges`]), so a later run uploads the same bytes in the same parts.
//!
//! Beside it lie notes on the upload, in frames of the same shape: its identifier and the parts that S3 has taken. They only save
//! work; without them the object is uploaded anew, to the same name.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crc_fast::CrcAlgorithm::Crc32IsoHdlc;

use super::compress::Method;
use super::store::TakenPart;

/// The format and its version.
const MAGIC: [u8; 8] = *b"IKADAS3\x01";

const HEAD: u8 = 0;
const LINES: u8 = 1;
const BODY: u8 = 2;
const END: u8 = 3;
const CREATED: u8 = 16;
const TAKEN: u8 = 17;
const FORGOTTEN: u8 = 18;

/// Bytes of a body frame besides those of the object: kind, entries, checksum and length.
const BODY_FIELDS: usize = 1 + 4 + 4 + 8;

/// What an object is, as decided when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its name in the bucket.
    pub(crate) key: String,
    pub(crate) method: Method,
    /// Bytes at which a part is full; `None` where objects go up whole.
    pub(crate) part_size: Option<u64>,
}

/// CRC-32 and length of all lines of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Plain {
    pub(crate) crc: u32,
    pub(crate) len: u64,
}

impl Plain {
    /// The same with more lines behind them.
    pub(crate) fn and(self, lines: &[u8]) -> Self {
        // A CRC-32 is what its register holds, turned over: it goes on where it was left.
        let mut crc = crc_fast::Digest::new_with_init_state(Crc32IsoHdlc, u64::from(!self.crc));
        crc.update(lines);
        Self { crc: crc.finalize() as u32, len: self.len + lines.len() as u64 }
    }
}

/// Writes what a journal starts with.
pub(crate) fn write_head(head: &Head, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    let mut fields = vec![number_of(head.method)];
    fields.extend_from_slice(&head.part_size.unwrap_or(0).to_le_bytes());
    write_frame(out, HEAD, &fields, head.key.as_bytes());
}

/// Writes lines of `entries` entries that wait.
pub(crate) fn write_lines(entries: u32, lines: &[u8], out: &mut Vec<u8>) {
    write_frame(out, LINES, &entries.to_le_bytes(), lines);
}

/// Writes the object's next bytes. `entries` have come since the frame before; `plain` stands for all lines up to here.
pub(crate) fn write_body(entries: u32, plain: Plain, bytes: &[u8], out: &mut Vec<u8>) {
    let mut fields = [0; BODY_FIELDS - 1];
    fields[..4].copy_from_slice(&entries.to_le_bytes());
    fields[4..8].copy_from_slice(&plain.crc.to_le_bytes());
    fields[8..].copy_from_slice(&plain.len.to_le_bytes());
    write_frame(out, BODY, &fields, bytes);
}

/// Writes that the object is whole.
pub(crate) fn write_end(out: &mut Vec<u8>) {
    write_frame(out, END, &[], &[]);
}

fn write_frame(out: &mut Vec<u8>, kind: u8, fields: &[u8], bytes: &[u8]) {
    let len = 1 + fields.len() + bytes.len();
    out.reserve(len + 8);
    out.extend_from_slice(&(len as u32).to_le_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(fields);
    out.extend_from_slice(bytes);
    let crc = checksum(&out[at + 4..]);
    out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(Crc32IsoHdlc, bytes) as u32
}

fn number_of(method: Method) -> u8 {
    match method {
        Method::None => 0,
        Method::Gzip(_) => 1,
        Method::Zstd(_) => 2,
        Method::Snappy => 3,
        Method::Parquet => 4,
    }
}

fn method_of(number: u8) -> Option<Method> {
    let all = [Method::None, Method::GZIP, Method::ZSTD, Method::Snappy, Method::Parquet];
    all.into_iter().find(|m| number_of(*m) == number)
}

/// A stretch of a journal whose body frames are one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    /// Place in the file where its first frame starts.
    pub(crate) start: u64,
    /// Place behind its last frame.
    pub(crate) end: u64,
    /// Bytes of the object in it.
    pub(crate) bytes: u64,
}

/// How the frames of an object make parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges {
    part_size: u64,
    /// Full parts.
    pub(crate) full: Vec<Range>,
    /// What comes after them.
    pub(crate) open: Range,
}

impl Ranges {
    /// No parts yet in a file whose head takes `head` bytes.
    pub(crate) fn new(part_size: Option<u64>, head: u64) -> Self {
        let open = Range { start: head, end: head, bytes: 0 };
        Self { part_size: part_size.unwrap_or(u64::MAX), full: Vec::new(), open }
    }

    /// A frame of `frame` bytes with `bytes` bytes of the object follows. The part it makes full, if it does.
    pub(crate) fn add(&mut self, frame: u64, bytes: u64) -> Option<Range> {
        self.open.end += frame;
        self.open.bytes += bytes;
        if self.open.bytes == 0 {
            // Lines that a body takes along are no part of what is uploaded.
            self.open.start = self.open.end;
        }
        if self.open.bytes < self.part_size {
            return None;
        }
        let full = self.open;
        self.full.push(full);
        self.open = Range { start: full.end, end: full.end, bytes: 0 };
        Some(full)
    }

    /// Bytes of the object so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.full.iter().map(|range| range.bytes).sum::<u64>() + self.open.bytes
    }

    /// All parts of an object that has ended; the last one may be small.
    pub(crate) fn all(&self) -> Vec<Range> {
        let mut all = self.full.clone();
        if self.open.bytes > 0 || all.is_empty() {
            all.push(self.open);
        }
        all
    }
}

/// What a journal holds.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) head: Head,
    /// Lines that no body frame has taken along.
    pub(crate) lines: Vec<u8>,
    pub(crate) plain: Plain,
    pub(crate) ranges: Ranges,
    pub(crate) entries: u64,
    pub(crate) is_ended: bool,
    /// Bytes of the file that count.
    pub(crate) valid: u64,
}

/// Reads a journal up to the first frame that does not count. `None` when not even the head does.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn replay(path: &Path) -> io::Result<Option<Replay>> {
    let mut frames = Frames::open(path, MAGIC.len() as u64)?;
    if frames.prelude != MAGIC {
        return Ok(None);
    }
    let Some(head) = frames.next()?.and_then(parse_head) else { return Ok(None) };
    let ranges = Ranges::new(head.part_size, frames.at);
    let (lines, plain) = (Vec::new(), Plain::default());
    let mut replay = Replay { head, lines, plain, ranges, entries: 0, is_ended: false, valid: frames.at };
    loop {
        let before = frames.at;
        let Some(payload) = frames.next()? else { return Ok(Some(replay)) };
        let taken = replay.take(payload);
        if !taken {
            return Ok(Some(replay));
        }
        let frame = frames.at - before;
        let bytes = frames.body_len();
        replay.valid = frames.at;
        replay.ranges.add(frame, bytes);
    }
}

impl Replay {
    fn take(&mut self, payload: &[u8]) -> bool {
        match payload {
            [LINES, rest @ ..] if rest.len() >= 4 => {
                self.entries += u64::from(u32_at(rest, 0));
                self.lines.extend_from_slice(&rest[4..]);
            }
            [BODY, rest @ ..] if rest.len() >= BODY_FIELDS - 1 => {
                self.entries += u64::from(u32_at(rest, 0));
                self.plain = Plain { crc: u32_at(rest, 4), len: u64_at(rest, 8) };
                self.lines.clear();
            }
            [END] => self.is_ended = true,
            _ => return false,
        }
        true
    }
}

fn parse_head(payload: &[u8]) -> Option<Head> {
    let (HEAD, rest) = payload.split_first().map(|(kind, rest)| (*kind, rest))? else { return None };
    if rest.len() < 9 {
        return None;
    }
    let part_size = Some(u64_at(rest, 1)).filter(|size| *size > 0);
    let key = String::from_utf8(rest[9..].to_vec()).ok()?;
    Some(Head { key, method: method_of(rest[0])?, part_size })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The frames of a file, one after another.
struct Frames {
    file: BufReader<File>,
    prelude: Vec<u8>,
    len: u64,
    at: u64,
    payload: Vec<u8>,
}

impl Frames {
    fn open(path: &Path, prelude: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut file = BufReader::with_capacity(256 * 1024, file);
        let mut start = Vec::new();
        (&mut file).take(prelude).read_to_end(&mut start)?;
        Ok(Self { file, prelude: start, len, at: prelude, payload: Vec::new() })
    }

    /// The payload of the next frame; `None` where the file ends or a frame does not count.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.at + 8 >= self.len {
            return Ok(None);
        }
        let mut start = [0; 8];
        self.file.read_exact(&mut start)?;
        let len = u64::from(u32_at(&start, 0));
        if len == 0 || self.at + 8 + len > self.len {
            return Ok(None);
        }
        self.payload.resize(len as usize, 0);
        self.file.read_exact(&mut self.payload)?;
        if checksum(&self.payload) != u32_at(&start, 4) {
            return Ok(None);
        }
        self.at += 8 + len;
        Ok(Some(&self.payload))
    }

    /// Bytes of the object in the frame that was read last.
    fn body_len(&self) -> u64 {
        match self.payload.first() {
            Some(&BODY) => (self.payload.len() - BODY_FIELDS) as u64,
            _ => 0,
        }
    }
}

/// Reads the object's bytes in a stretch of its journal, behind what is in `out` already.
///
/// # Errors
/// The file cannot be read, or is not what was written.
pub(crate) fn read_range(path: &Path, range: Range, out: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let base = out.len();
    let len = (range.end - range.start) as usize;
    out.reserve_exact(len);
    (&mut file).take(len as u64).read_to_end(out)?;
    // The frames make room for each other where they lie.
    let (mut from, mut to) = (base, base);
    while from + 8 < out.len() {
        let (len, crc) = (u32_at(out, from) as usize, u32_at(out, from + 4));
        let end = from + 8 + len;
        if len == 0 || end > out.len() || checksum(&out[from + 8..end]) != crc {
            break;
        }
        if out[from + 8] == BODY {
            out.copy_within(from + 8 + BODY_FIELDS..end, to);
            to += len - BODY_FIELDS;
        }
        from = end;
    }
    out.truncate(to);
    if (to - base) as u64 != range.bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal is damaged"));
    }
    Ok(())
}

/// What is known of an object's upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// S3's identifier.
    pub(crate) id: Option<String>,
    /// The parts it has taken, by number.
    pub(crate) taken: BTreeMap<i32, TakenPart>,
}

/// One more thing that is known of an upload.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Note<'a> {
    /// S3 has given it this identifier.
    Created(&'a str),
    /// S3 has taken this part.
    Taken(&'a TakenPart),
    /// S3 knows it no more.
    Forgotten,
}

/// Adds a note to the file.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn add_note(path: &Path, note: Note<'_>) -> io::Result<()> {
    let mut frame = Vec::new();
    match note {
        Note::Created(id) => write_frame(&mut frame, CREATED, &[], id.as_bytes()),
        Note::Taken(part) => {
            let mut fields = (part.number as u32).to_le_bytes().to_vec();
            fields.extend_from_slice(&(part.etag.len() as u32).to_le_bytes());
            fields.extend_from_slice(part.etag.as_bytes());
            let checksum = part.checksum.as_deref().unwrap_or_default();
            write_frame(&mut frame, TAKEN, &fields, checksum.as_bytes());
        }
        Note::Forgotten => write_frame(&mut frame, FORGOTTEN, &[], &[]),
    }
    OpenOptions::new().create(true).append(true).open(path)?.write_all(&frame)
}

/// Reads all notes that count; no file is none.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read_notes(path: &Path) -> io::Result<Notes> {
    let mut notes = Notes::default();
    let mut frames = match Frames::open(path, 0) {
        Ok(frames) => frames,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(notes),
        Err(error) => return Err(error),
    };
    while let Some(payload) = frames.next()? {
        match payload {
            [CREATED, id @ ..] => {
                notes = Notes { id: String::from_utf8(id.to_vec()).ok(), ..Notes::default() };
            }
            [TAKEN, rest @ ..] => {
                let Some(part) = parse_taken(rest) else { break };
                notes.taken.insert(part.number, part);
            }
            _ => notes = Notes::default(),
        }
    }
    Ok(notes)
}

fn parse_taken(rest: &[u8]) -> Option<TakenPart> {
    let etag_len = u32_at(rest.get(..8)?, 4) as usize;
    let etag = rest.get(8..8usize.checked_add(etag_len)?)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let checksum = text(&rest[8 + etag_len..])?;
    let checksum = Some(checksum).filter(|sum| !sum.is_empty());
    Some(TakenPart { number: u32_at(rest, 0) as i32, etag: text(etag)?, checksum })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        Head { key: "a/日本.gz".into(), method: Method::GZIP, part_size: Some(1000) }
    }

    /// A journal of body frames with these bytes.
    fn journal(bodies: &[Vec<u8>]) -> (Vec<u8>, Ranges) {
        let mut file = Vec::new();
        write_head(&head(), &mut file);
        let mut ranges = Ranges::new(head().part_size, file.len() as u64);
        for body in bodies {
            let before = file.len();
            write_body(2, Plain { crc: 7, len: 9 }, body, &mut file);
            ranges.add((file.len() - before) as u64, body.len() as u64);
        }
        (file, ranges)
    }

    fn on_disk(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_sum_goes_on_where_it_was_left() {
        let text: Vec<u8> = (0..1000_u32).map(|n| (n * 7) as u8).collect();
        for cut in [0, 1, 15, 16, 127, 128, 500, 999, 1000] {
            let (first, second) = text.split_at(cut);
            let plain = Plain::default().and(first).and(second);
            assert_eq!(plain, Plain { crc: checksum(&text), len: 1000 }, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn a_journal_cut_anywhere_holds_what_was_whole(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..12), cut in any::<prop::sample::Index>(),
        ) {
            let (whole, _) = journal(&bodies);
            let cut = cut.index(whole.len() + 1);
            let file = on_disk(&whole[..cut]);
            let Some(replay) = replay(file.path()).unwrap() else {
                prop_assert!(cut < journal(&[]).0.len());
                return Ok(());
            };
            let kept = (replay.entries / 2) as usize;
            let (expected, ranges) = journal(&bodies[..kept]);
            prop_assert_eq!(replay.valid, expected.len() as u64);
            prop_assert!(expected.len() <= cut && (kept == bodies.len() || journal(&bodies[..=kept]).0.len() > cut));
            prop_assert_eq!(&replay.ranges, &ranges);
            prop_assert_eq!(replay.head, head());
            let mut read = Vec::new();
            for range in ranges.all() {
                read_range(file.path(), range, &mut read).unwrap();
            }
            prop_assert_eq!(read, bodies[..kept].concat());
            prop_assert!(ranges.full.iter().all(|range| range.bytes >= 1000));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut file = Vec::new();
            write_head(&head(), &mut file);
            file.extend_from_slice(&bytes);
            let file = on_disk(&file);
            prop_assert!(replay(file.path()).unwrap().is_some());
            read_notes(file.path()).unwrap();
            drop(read_range(file.path(), Range { start: 0, end: bytes.len() as u64, bytes: 1 }, &mut Vec::new()));
        }
    }

    #[test]
    fn the_first_body_takes_the_lines_before_it_along() {
        let (mut file, _) = journal(&[]);
        write_lines(3, b"a\nb\nc\n", &mut file);
        let disk = on_disk(&file);
        let waiting = replay(disk.path()).unwrap().unwrap();
        assert_eq!((waiting.lines.as_slice(), waiting.entries), (&b"a\nb\nc\n"[..], 3));
        write_body(1, Plain { crc: 5, len: 8 }, b"packed", &mut file);
        write_end(&mut file);
        let disk = on_disk(&file);
        let packed = replay(disk.path()).unwrap().unwrap();
        assert_eq!((packed.lines.len(), packed.entries, packed.is_ended), (0, 4, true));
        assert_eq!(packed.plain, Plain { crc: 5, len: 8 });
        let mut body = Vec::new();
        read_range(disk.path(), packed.ranges.all()[0], &mut body).unwrap();
        assert_eq!(body, b"packed");
    }

    #[test]
    fn notes_say_what_is_still_true() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.upload");
        assert_eq!(read_notes(&path).unwrap(), Notes::default());
        let part = |number, sum: Option<&str>| TakenPart {
            number,
            etag: format!("\"etag{number}\""),
            checksum: sum.map(str::to_owned),
        };
        add_note(&path, Note::Created("one")).unwrap();
        add_note(&path, Note::Taken(&part(1, None))).unwrap();
        add_note(&path, Note::Forgotten).unwrap();
        assert_eq!(read_notes(&path).unwrap(), Notes::default());
        add_note(&path, Note::Created("two")).unwrap();
        for part in [part(1, Some("AAAA")), part(2, None)] {
            add_note(&path, Note::Taken(&part)).unwrap();
        }
        let notes = read_notes(&path).unwrap();
        assert_eq!(notes.id.as_deref(), Some("two"));
        assert_eq!(notes.taken.into_values().collect::<Vec<_>>(), [part(1, Some("AAAA")), part(2, None)]);
    }
}
